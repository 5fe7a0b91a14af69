// SPDX-License-Identifier: GPL-2.0
/* The record stream as the host reads it: cut anywhere, and wrong in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <stdlib.h>

#include "channel.h"
#include "record.h"

#define HELLO "{\"t\":\"hello\",\"proto\":1,\"cpus\":2}"
#define PASS "{\"t\":\"result\",\"status\":\"pass\",\"why\":\"\"}"

/* Frames payloads, one a line of text, with consecutive numbers; "@" stands for the number of records before. */
static struct buf stream(const char *text)
{
	struct buf b = {};
	unsigned long seq = 0;

	while (*text) {
		size_t len = strcspn(text, "\n");
		char payload[512], line[1024];
		int n;

		if (text[0] == '@')
			len = snprintf(payload, sizeof(payload), "{\"t\":\"done\",\"records\":%lu}", seq), text += 1;
		else
			memcpy(payload, text, len), text += len;
		n = rec_frame(line, sizeof(line), seq++, payload, len);
		assert_true(n > 0);
		buf_add(&b, line, n);
		if (*text)
			text++;
	}
	return b;
}

static void test_good(void **arg)
{
	struct buf b = stream(HELLO "\n"
			      "{\"t\":\"progress\",\"done\":1,\"total\":2,\"what\":\"x\"}\n"
			      "{\"t\":\"info\",\"k\":\"a\",\"v\":\"b\\tc\"}\n"
			      "{\"t\":\"sample\",\"m\":\"x\",\"v\":1.5,\"x\":{\"n\":\"10\"}}\n"
			      "{\"t\":\"hist\",\"m\":\"x\",\"x\":{},\"h\":{}}\n"
			      "{\"t\":\"check\",\"name\":\"c\",\"ok\":true,\"detail\":\"d\"}\n"
			      "{\"t\":\"blob\",\"k\":\"fio\",\"x\":{},\"v\":[1]}\n"
			      PASS "\n@");

	(void)arg;
	/* In pieces of every size. */
	for (size_t piece = 1; piece <= b.len; piece++) {
		struct channel c;
		int n = 0;

		channel_init(&c);
		for (size_t at = 0; at < b.len; at += piece) {
			int ret = channel_feed(&c, b.s + at, at + piece > b.len ? b.len - at : piece);

			assert_true(ret >= 0);
			n += ret;
		}
		assert_int_equal(n, 9);
		assert_int_equal(channel_end(&c), 0);
		assert_true(c.hello && c.done);
		assert_string_equal(c.status, "pass");
		assert_null(c.failed_check);
		assert_int_equal(json_array_size(c.records), 9);
		assert_string_equal(json_string_value(json_object_get(json_array_get(c.records, 2), "v")), "b\tc");
		channel_free(&c);
	}
	buf_free(&b);
}

static void test_checks(void **arg)
{
	struct buf b = stream(HELLO "\n{\"t\":\"check\",\"name\":\"a\",\"ok\":true}\n"
			      "{\"t\":\"check\",\"name\":\"b\",\"ok\":false,\"detail\":\"1 != 2\"}\n"
			      "{\"t\":\"check\",\"name\":\"c\",\"ok\":false}\n");
	struct channel c;

	(void)arg;
	channel_init(&c);
	assert_int_equal(channel_feed(&c, b.s, b.len), 4);
	assert_string_equal(c.failed_check, "b: 1 != 2");
	assert_int_equal(c.failed_checks, 2);
	assert_false(c.done);
	channel_free(&c);
	buf_free(&b);
}

static void test_bad(void **arg)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ PASS, "record 0: the first one is not hello" },
		{ "{\"t\":\"hello\",\"proto\":2,\"cpus\":2}", "another version" },
		{ "{\"t\":\"hello\",\"proto\":1}", "hello without a valid \"cpus\"" },
		{ HELLO "\n" HELLO, "record 1: a second hello" },
		{ HELLO "\n[]", "not a JSON object with a type" },
		{ HELLO "\n{", "not a JSON object with a type" },
		{ HELLO "\n{\"t\":1}", "not a JSON object with a type" },
		{ HELLO "\n{\"t\":\"info\",\"t\":\"info\",\"k\":\"a\",\"v\":\"b\"}", "not a JSON object with a type" },
		{ HELLO "\n{\"t\":\"news\"}", "unknown type \"news\"" },
		{ HELLO "\n{\"t\":\"sample\",\"m\":\"x\",\"v\":\"1\",\"x\":{}}", "sample without a valid \"v\"" },
		{ HELLO "\n{\"t\":\"sample\",\"m\":\"x\",\"v\":1}", "sample without a valid \"x\"" },
		{ HELLO "\n{\"t\":\"sample\",\"m\":\"x\",\"v\":1,\"x\":{\"n\":10}}", "sample without a valid \"x\"" },
		{ HELLO "\n{\"t\":\"hist\",\"m\":\"x\",\"x\":{},\"h\":[]}", "hist without a valid \"h\"" },
		{ HELLO "\n{\"t\":\"check\",\"name\":\"x\",\"ok\":1}", "check without a valid \"ok\"" },
		{ HELLO "\n{\"t\":\"blob\",\"k\":\"x\"}", "blob without a valid \"v\"" },
		{ HELLO "\n{\"t\":\"result\",\"status\":\"good\"}", "none of pass, fail, skip" },
		{ HELLO "\n" PASS "\n" PASS, "a second result" },
		{ HELLO "\n@", "done without a result" },
		{ HELLO "\n" PASS "\n{\"t\":\"done\",\"records\":3}", "counts other records" },
		{ HELLO "\n" PASS "\n@\n{\"t\":\"info\",\"k\":\"a\",\"v\":\"b\"}", "record 3: comes after done" },
	};

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf b = stream(cases[i].text);
		struct channel c;

		channel_init(&c);
		assert_int_equal(channel_feed(&c, b.s, b.len), -EPROTO);
		if (!c.error || !strstr(c.error, cases[i].error))
			fail_msg("%s: \"%s\", but expected \"%s\"", cases[i].text, c.error ? c.error : "", cases[i].error);
		/* It stays broken. */
		assert_int_equal(channel_feed(&c, "", 0), -EPROTO);
		assert_int_equal(channel_end(&c), -EPROTO);
		channel_free(&c);
		buf_free(&b);
	}
}

/* Text of another program in the stream. */
static void test_noise(void **arg)
{
	struct channel c;

	(void)arg;
	channel_init(&c);
	assert_int_equal(channel_feed(&c, "\n", 1), -EPROTO);
	assert_non_null(strstr(c.error, "does not start with"));
	channel_free(&c);
}

/* At every place where a stream can end, only the ends of records are accepted. */
static void test_truncated(void **arg)
{
	struct buf b = stream(HELLO "\n" PASS "\n@");

	(void)arg;
	for (size_t len = 0; len <= b.len; len++) {
		bool whole = len == 0 || b.s[len - 1] == '\n';
		struct channel c;

		channel_init(&c);
		assert_true(channel_feed(&c, b.s, len) >= 0);
		assert_int_equal(channel_end(&c), whole ? 0 : -EPROTO);
		assert_int_equal(c.done, len == b.len);
		channel_free(&c);
	}
	buf_free(&b);
}

static void test_limits(void **arg)
{
	size_t len = REC_MAX + REC_OVERHEAD + 1;
	char *text = xmalloc(len);
	struct channel c;

	(void)arg;
	memset(text, 'x', len);
	channel_init(&c);
	assert_int_equal(channel_feed(&c, text, len), -EPROTO);
	assert_non_null(strstr(c.error, "longer than a record"));
	channel_free(&c);
	/* The same in two pieces. */
	channel_init(&c);
	assert_int_equal(channel_feed(&c, text, len / 2), 0);
	assert_int_equal(channel_feed(&c, text, len - len / 2), -EPROTO);
	channel_free(&c);
	channel_init(&c);
	c.bytes = CHANNEL_MAX;
	assert_int_equal(channel_feed(&c, "S", 1), -EPROTO);
	assert_non_null(strstr(c.error, "flood"));
	channel_free(&c);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
