// SPDX-License-Identifier: GPL-2.0
/* The framing of records: what one side writes the other reads, and nothing else is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

static void test_known_frame(void **arg)
{
	char line[128];
	int n = rec_frame(line, sizeof(line), 7, "{}", 2);

	(void)arg;
	/* The checksum is zlib's CRC-32 of "{}", computed elsewhere. */
	assert_int_equal(n, 21);
	assert_memory_equal(line, "SHC1 7 2 a3a6bf43 {}\n", n);
}

static void test_round_trip(void **arg)
{
	static const size_t lengths[] = { 0, 1, 2, 63, 64, 65, 4095, 4096, 65536, REC_MAX };
	char *payload = malloc(REC_MAX), *line = malloc(REC_MAX + REC_OVERHEAD);
	unsigned long seq = 0;

	(void)arg;
	for (size_t i = 0; i < REC_MAX; i++)
		payload[i] = 1 + i % 255 == '\n' ? '\t' : 1 + i % 255;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++, seq = seq * 37 + 1) {
		int n = rec_frame(line, REC_MAX + REC_OVERHEAD, seq, payload, lengths[i]);
		const char *p, *why;
		size_t len;

		assert_true(n > 0);
		assert_int_equal(line[n - 1], '\n');
		assert_null(memchr(line, '\n', n - 1));
		assert_int_equal(rec_parse(line, n - 1, seq, &p, &len, &why), 0);
		assert_int_equal(len, lengths[i]);
		assert_memory_equal(p, payload, len);
	}
	free(payload);
	free(line);
}

static void test_frame_refuses(void **arg)
{
	char line[256], *big = calloc(1, REC_MAX + 1);

	(void)arg;
	assert_int_equal(rec_frame(line, sizeof(line), 0, "a\nb", 3), -EINVAL);
	assert_int_equal(rec_frame(line, sizeof(line), 0, "a\0b", 3), -EINVAL);
	memset(big, 'x', REC_MAX + 1);
	assert_int_equal(rec_frame(line, sizeof(line), 0, big, REC_MAX + 1), -EINVAL);
	assert_int_equal(rec_frame(line, REC_OVERHEAD + 1, 0, "ab", 2), -ENOSPC);
	assert_true(rec_frame(line, REC_OVERHEAD + 2, 0, "ab", 2) > 0);
	free(big);
}

static void test_parse_refuses(void **arg)
{
	static const struct {
		const char *line;
		int err;
	} cases[] = {
		{ "", -EPROTO },
		{ "SHC1", -EPROTO },
		{ "SHC1 ", -EPROTO },
		{ "SHC2 3 2 a3a6bf43 {}", -EPROTO },
		{ " SHC1 3 2 a3a6bf43 {}", -EPROTO },
		{ "SHC1  3 2 a3a6bf43 {}", -EPROTO },
		{ "SHC1 -3 2 a3a6bf43 {}", -EPROTO },
		{ "SHC1 +3 2 a3a6bf43 {}", -EPROTO },
		{ "SHC1 x 2 a3a6bf43 {}", -EPROTO },
		{ "SHC1 3 2 {}", -EPROTO },
		{ "SHC1 3 2", -EPROTO },
		{ "SHC1 3 2 a3a6bf43", -EPROTO },
		{ "SHC1 99999999999999999999999999 2 a3a6bf43 {}", -EPROTO },
		{ "SHC1 3 3 a3a6bf43 {}", -EBADMSG },
		{ "SHC1 3 1 a3a6bf43 {}", -EBADMSG },
		{ "SHC1 3 2 a3a6bf43 {} ", -EBADMSG },
		{ "SHC1 3 2 a3a6bf43 {", -EBADMSG },
		{ "SHC1 3 2 a3a6bf44 {}", -EBADMSG },
		{ "SHC1 3 2 a3a6bf43 {]", -EBADMSG },
		{ "SHC1 2 2 a3a6bf43 {}", -EILSEQ },
		{ "SHC1 4 2 a3a6bf43 {}", -EILSEQ },
		{ "SHC1 3 2 a3a6bf43 {}", 0 },
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* Exactly as long as the line, so that a read beyond it is seen. */
		size_t len = strlen(cases[i].line), plen;
		char *line = malloc(len ? len : 1);
		const char *payload, *why = NULL;
		int ret;

		memcpy(line, cases[i].line, len);
		ret = rec_parse(line, len, 3, &payload, &plen, &why);
		if (ret != cases[i].err)
			fail_msg("\"%s\": %d, but expected %d", cases[i].line, ret, cases[i].err);
		if (ret)
			assert_non_null(why);
		/* The reason is optional. */
		assert_int_equal(rec_parse(line, len, 3, &payload, &plen, NULL), ret);
		free(line);
	}
}

/* No single wrong bit anywhere in a line is taken for a good record. */
static void test_every_bit(void **arg)
{
	static const char json[] = "{\"t\":\"sample\",\"m\":\"x\",\"v\":1}";
	char line[128];
	int n = rec_frame(line, sizeof(line), 41, json, strlen(json)) - 1;

	(void)arg;
	for (int bit = 0; bit < n * 8; bit++) {
		const char *payload;
		size_t len;
		int ret;

		line[bit / 8] ^= 1 << bit % 8;
		ret = rec_parse(line, n, 41, &payload, &len, NULL);
		/* "A3A6bf43" is the same number: a digit's case is the only bit that may be lost. */
		if (!ret && !(bit % 8 == 5 && len == strlen(json) && !memcmp(payload, json, len)))
			fail_msg("bit %d flipped and not noticed: %.*s", bit, n, line);
		line[bit / 8] ^= 1 << bit % 8;
	}
}

/* A line that is cut at any place, or that has lost any byte, is no record. */
static void test_every_cut(void **arg)
{
	static const char json[] = "{\"t\":\"done\",\"records\":12}";
	char line[128], shorter[128];
	int n = rec_frame(line, sizeof(line), 5, json, strlen(json)) - 1;
	const char *payload;
	size_t len;

	(void)arg;
	for (int i = 0; i < n; i++) {
		assert_int_not_equal(rec_parse(line, i, 5, &payload, &len, NULL), 0);
		memcpy(shorter, line, i);
		memcpy(shorter + i, line + i + 1, n - i - 1);
		assert_int_not_equal(rec_parse(shorter, n - 1, 5, &payload, &len, NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_frame),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_frame_refuses),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_every_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
