// SPDX-License-Identifier: GPL-2.0
/* The guest's pure parts: the job parser and the JSON writer, compiled for the host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "../../workloads/job.c"
#include "../../workloads/json.c"
#include "../../workloads/fnv.h"

static char why[256];

static int parse(const char *text, struct job *job)
{
	static char copy[8192];

	assert_true(strlen(text) < sizeof(copy));
	strcpy(copy, text);
	why[0] = '\0';
	return job_parse(copy, job, why, sizeof(why));
}

static void test_whole_job(void **state)
{
	struct job j;

	(void)state;
	assert_int_equal(parse("# a comment\nproto 1\nworkload footprint\nlane icount\nseed 42\nfs btrfs\nmode overlay-copyup\n"
			       "device virtio\ndevice_mb 2048\nmkfs_opts -m crc=1 -n size=4k\nmount_opts shcache,noatime\nimage tar\n"
			       "image_files 7\nimage_bytes 16M\n\nparam n 1,2,5\n  param access  read,mmap \r\nparam empty\n", &j), 0);
	assert_string_equal(j.workload, "footprint");
	assert_true(j.icount);
	assert_true(j.virtio);
	assert_true(j.tar);
	assert_string_equal(j.fs, "btrfs");
	assert_string_equal(j.mode, "overlay-copyup");
	assert_string_equal(j.mkfs_opts, "-m crc=1 -n size=4k");
	assert_string_equal(j.mount_opts, "shcache,noatime");
	assert_int_equal(j.seed, 42);
	assert_int_equal(j.device_mb, 2048);
	assert_int_equal(j.image_files, 7);
	assert_int_equal(j.image_bytes, 16 << 20);
	assert_int_equal(j.nr_params, 3);
	assert_string_equal(j.params[0].name, "n");
	assert_string_equal(j.params[0].value, "1,2,5");
	assert_string_equal(j.params[1].value, "read,mmap");
	assert_string_equal(j.params[2].value, "");
}

static void test_defaults(void **state)
{
	struct job j;

	(void)state;
	/* No newline at the end. */
	assert_int_equal(parse("proto 1\nworkload canary", &j), 0);
	assert_string_equal(j.fs, "xfs");
	assert_string_equal(j.mode, "reflink");
	assert_string_equal(j.mkfs_opts, "");
	assert_string_equal(j.mount_opts, "");
	assert_false(j.icount || j.virtio || j.tar);
	assert_int_equal(j.image_files, 64);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "workload canary\n", "no proto line" },
		{ "proto 1\n", "no workload" },
		{ "proto 2\nworkload canary\n", "line 1: proto 2" },
		{ "proto 1x\nworkload canary\n", "line 1: proto 1x" },
		{ "proto 1\nworkload canary\nflavour sweet\n", "line 3: unknown key flavour" },
		{ "proto 1\nworkload\n", "line 2: workload without a value" },
		{ "proto 1\nworkload canary\nlane fast\n", "line 3: lane cannot be \"fast\"" },
		/* A part of a word, and two words, are no word. */
		{ "proto 1\nworkload canary\nmode overlay-copy\n", "line 3: mode cannot be" },
		{ "proto 1\nworkload canary\nmode reflink snapshot\n", "line 3: mode cannot be" },
		{ "proto 1\nworkload canary\nfs \n", "line 3: fs without a value" },
		{ "proto 1\nworkload canary\nseed -1\n", "line 3: seed cannot be" },
		{ "proto 1\nworkload canary\nseed 12q\n", "line 3: seed cannot be" },
		{ "proto 1\nworkload canary\nparam\n", "line 3: param without a name" },
	};
	struct job j;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(bad[i].text, &j), -EINVAL);
		if (!strstr(why, bad[i].why))
			fail_msg("\"%s\" says \"%s\", not \"%s\"", bad[i].text, why, bad[i].why);
	}
}

static void test_too_many_params(void **state)
{
	char text[8192] = "proto 1\nworkload canary\n";
	struct job j;
	size_t len = strlen(text);

	(void)state;
	for (int i = 0; i < JOB_MAX_PARAMS; i++)
		len += (size_t)sprintf(text + len, "param p%d v\n", i);
	assert_int_equal(parse(text, &j), 0);
	assert_int_equal(j.nr_params, JOB_MAX_PARAMS);
	strcpy(text + len, "param one more\n");
	assert_int_equal(parse(text, &j), -EINVAL);
	assert_non_null(strstr(why, "more than"));
}

static void test_size(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t v;
	} t[] = {
		{ "0", true, 0 }, { "17", true, 17 }, { "4k", true, 4096 }, { "4K", true, 4096 }, { "3M", true, 3 << 20 },
		{ "2G", true, 2ull << 30 }, { "1T", true, 1ull << 40 }, { "18446744073709551615", true, UINT64_MAX },
		{ "18446744073709551616", false, 0 }, { "16777216T", false, 0 }, { "16777215T", true, 16777215ull << 40 },
		{ "", false, 0 }, { " 1", false, 0 }, { "-1", false, 0 }, { "+1", false, 0 }, { "0x10", false, 0 }, { "4kB", false, 0 },
		{ "k", false, 0 }, { "4m", false, 0 }, { "1.5G", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint64_t v = 0;

		if (job_size(t[i].text, &v) != t[i].ok || (t[i].ok && v != t[i].v))
			fail_msg("\"%s\": %llu", t[i].text, (unsigned long long)v);
	}
}

/* What the writer makes of a string must be JSON, and mean the string. */
static void check_string(const char *s, const char *meaning)
{
	struct jbuf b = {};
	json_t *v;

	jb_string(&b, s);
	v = json_loads(b.s, JSON_DECODE_ANY, NULL);
	if (!v)
		fail_msg("%s is not JSON", b.s);
	assert_string_equal(json_string_value(v), meaning);
	json_decref(v);
	jb_free(&b);
}

static void test_json_string(void **state)
{
	(void)state;
	check_string("", "");
	check_string("plain", "plain");
	check_string("\"\\/\b\n\t\x01\x1f\x7f", "\"\\/\b\n\t\x01\x1f\x7f");
	check_string("ä€𝄞", "ä€𝄞");
	/* Not UTF-8: a lone byte, a cut sequence, an overlong one, a surrogate, beyond the last code point. */
	check_string("a\xff", "a\xef\xbf\xbd");
	check_string("\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd");
	check_string("\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd");
	check_string("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	check_string("\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static void test_json_numbers_and_coords(void **state)
{
	struct jbuf b = {};
	json_t *v;

	(void)state;
	jb_printf(&b, "[");
	jb_double(&b, 0.1);
	jb_printf(&b, ",");
	jb_double(&b, 9007199254740993.0);
	jb_printf(&b, ",");
	jb_double(&b, NAN);
	jb_printf(&b, ",");
	jb_double(&b, -INFINITY);
	jb_printf(&b, ",");
	jb_coords(&b, " n=10  access=mmap flag empty=");
	jb_printf(&b, ",");
	jb_coords(&b, "");
	jb_printf(&b, "]");
	v = json_loads(b.s, 0, NULL);
	assert_non_null(v);
	assert_true(json_real_value(json_array_get(v, 0)) == 0.1);
	assert_true(json_number_value(json_array_get(v, 1)) == 9007199254740993.0);
	assert_true(json_is_null(json_array_get(v, 2)));
	assert_true(json_is_null(json_array_get(v, 3)));
	assert_int_equal(json_object_size(json_array_get(v, 4)), 4);
	assert_string_equal(json_string_value(json_object_get(json_array_get(v, 4), "n")), "10");
	assert_string_equal(json_string_value(json_object_get(json_array_get(v, 4), "access")), "mmap");
	assert_string_equal(json_string_value(json_object_get(json_array_get(v, 4), "flag")), "");
	assert_int_equal(json_object_size(json_array_get(v, 5)), 0);
	json_decref(v);
	jb_free(&b);
}

/* Every single bit of the content must reach the hash, wherever it is. */
static void test_hash(void **state)
{
	unsigned char data[21] = { 0 };
	uint64_t plain = fnv(FNV_BASIS, data, sizeof(data)), seen[sizeof(data) * 8];
	size_t n = 0;

	(void)state;
	for (size_t bit = 0; bit < sizeof(data) * 8; bit++) {
		data[bit / 8] ^= (unsigned char)(1 << (bit % 8));
		seen[n] = fnv(FNV_BASIS, data, sizeof(data));
		assert_true(seen[n] != plain);
		for (size_t i = 0; i < n; i++)
			assert_true(seen[i] != seen[n]);
		n++;
		data[bit / 8] ^= (unsigned char)(1 << (bit % 8));
	}
	/* In pieces of whole words it is the same. */
	assert_true(fnv(fnv(FNV_BASIS, data, 16), data + 16, 5) == plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_job),	 cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_refused),		 cmocka_unit_test(test_too_many_params),
		cmocka_unit_test(test_size),		 cmocka_unit_test(test_json_string),
		cmocka_unit_test(test_json_numbers_and_coords), cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
