// SPDX-License-Identifier: GPL-2.0
/* xfstests-check.c: which tests, what check says, what is new. The texts are what xfstests of 2025 writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "xfstests.h"

static const char group_list[] =
	"# QA groups control file, automatically generated.\n"
	"\n"
	"001 rw dir udf auto quick\n"
	"002 metadata auto\n"
	"003 clone auto quick dangerous_fuzzers\n"
	"019 aio dangerous rw stress\n"
	"1234 quick clone\n"
	"junk quick\n"
	"777quick quick\n";

static void names(const struct xt_results *r, const char *want)
{
	struct buf b = {};

	buf_str(&b, "");
	for (size_t i = 0; i < r->n; i++)
		buf_printf(&b, "%s%s", i ? " " : "", r->v[i].name);
	assert_string_equal(b.s, want);
	buf_free(&b);
}

static void test_select(void **state)
{
	static const struct {
		const char *groups, *exclude, *want;
	} cases[] = {
		{ "quick", NULL, "generic/001 generic/003 generic/1234" },
		{ "quick,rw", NULL, "generic/001 generic/003 generic/019 generic/1234" },
		{ "rw", "dangerous", "generic/001" },
		{ "quick", "clone,dir", "" },
		{ "all", "dangerous", "generic/001 generic/002 generic/003 generic/1234" },
		/* Whole words: "dangerous" is not "dangerous_fuzzers", "qui" is nothing. */
		{ "qui,ick,quickly", NULL, "" },
		{ "", NULL, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct xt_results r = {};
		size_t n = xt_select(&r, "generic", group_list, cases[i].groups, cases[i].exclude);

		assert_int_equal(n, r.n);
		names(&r, cases[i].want);
		xt_results_free(&r);
	}
}

static void test_select_twice(void **state)
{
	struct xt_results r = {};

	(void)state;
	xt_add(&r, "generic/003", strlen("generic/003"));
	assert_int_equal(xt_select(&r, "generic", group_list, "clone", NULL), 1);
	names(&r, "generic/003 generic/1234");
	assert_int_equal(xt_select(&r, "xfs", "003 clone", "clone", NULL), 1);
	names(&r, "generic/003 generic/1234 xfs/003");
	xt_results_free(&r);
}

#define HEAD "FSTYP         -- xfs (non-debug)\nPLATFORM      -- Linux/x86_64 xfstests 6.12.117 #1 SMP\n" \
	     "MKFS_OPTIONS  -- -f /dev/vdd\nMOUNT_OPTIONS -- -o shcache /dev/vdd /mnt/scratch\n\n"
#define MISMATCH(n) "- output mismatch (see /var/results/generic/" n ".out.bad)\n" \
	     "    --- tests/generic/" n ".out\t2026-11-23 07:42:41.000000000 +0000\n" \
	     "    +++ /var/results/generic/" n ".out.bad\t2026-11-23 08:04:43.275894282 +0000\n" \
	     "    @@ -1,2 +1,2 @@\n     QA output created by " n "\n    -Silence is golden\n    +generic/001 5s\n    ...\n" \
	     "    (Run 'diff -u ...'  to see the entire diff)\n"

static void start(struct xt_results *r)
{
	static const char *const list[] = { "generic/001", "generic/002", "generic/003", "generic/004", "generic/005", "xfs/1006" };

	*r = (struct xt_results){};
	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		xt_add(r, list[i], strlen(list[i]));
}

static void check(const struct xt_results *r, const char *name, enum xt_state st, int seconds, const char *why)
{
	const struct xt_result *t = xt_find(r, name);

	assert_non_null(t);
	assert_string_equal(xt_state_name(t->state), xt_state_name(st));
	assert_int_equal(t->seconds, seconds);
	assert_string_equal(t->why, why);
}

static void test_parse(void **state)
{
	struct xt_results r;
	char running[64];

	(void)state;
	start(&r);
	xt_parse(&r, HEAD
		 "generic/001        49s\n"
		 "generic/002 49s ...  48s\n"
		 "generic/003        [not run] this test requires a valid $LOGWRITES_DEV\n"
		 "generic/004       [failed, exit status 1]" MISMATCH("004")
		 "generic/005       _check_dmesg: something found in dmesg (see /var/results/generic/005.dmesg)\n\n"
		 "xfs/1006 3s ... - output mismatch (see /var/results/xfs/1006.out.bad)\n    --- x\n"
		 "Ran: generic/001 generic/002 generic/004 generic/005 xfs/1006\nNot run: generic/003\n"
		 "Failures: generic/004 generic/005 xfs/1006\nFailed 3 of 5 tests\n\n", running, sizeof(running));
	assert_string_equal(running, "");
	check(&r, "generic/001", XT_PASSED, 49, "");
	check(&r, "generic/002", XT_PASSED, 48, "");
	check(&r, "generic/003", XT_NOTRUN, -1, "this test requires a valid $LOGWRITES_DEV");
	check(&r, "generic/004", XT_FAILED, -1, "[failed, exit status 1]- output mismatch (see /var/results/generic/004.out.bad)");
	check(&r, "generic/005", XT_FAILED, -1, "_check_dmesg: something found in dmesg (see /var/results/generic/005.dmesg)");
	check(&r, "xfs/1006", XT_FAILED, -1, "3s ... - output mismatch (see /var/results/xfs/1006.out.bad)");
	assert_non_null(strstr(xt_find(&r, "generic/004")->text, "-Silence is golden"));
	xt_results_free(&r);
}

/* However far check has come: a test is judged when it is over, and never as passed before. */
static void test_parse_cut(void **state)
{
	static const char whole[] = HEAD "generic/001        49s\ngeneric/002        [failed, exit status 1]" MISMATCH("002")
				    "generic/003        [not run] no\ngeneric/004        7s\n"
				    "Ran: generic/001 generic/002 generic/004\nFailures: generic/002\n";
	static const enum xt_state want[] = { XT_PASSED, XT_FAILED, XT_NOTRUN, XT_PASSED };

	(void)state;
	for (size_t n = 0; n <= strlen(whole); n++) {
		char *text = xstrndup(whole, n), running[64];
		struct xt_results r;

		start(&r);
		xt_parse(&r, text, running, sizeof(running));
		for (size_t i = 0; i < r.n; i++) {
			if (r.v[i].state != XT_NONE)
				assert_int_equal(r.v[i].state, i < ARRAY_SIZE(want) ? want[i] : XT_NONE);
			if (!strcmp(running, r.v[i].name))
				assert_int_equal(r.v[i].state, XT_NONE);
		}
		xt_results_free(&r);
		free(text);
	}
}

static void test_parse_died(void **state)
{
	struct xt_results r;
	char running[64];

	(void)state;
	/* The guest panicked in 002; its whole output so far is the name. */
	start(&r);
	xt_parse(&r, HEAD "generic/001        49s\ngeneric/002        ", running, sizeof(running));
	assert_string_equal(running, "generic/002");
	check(&r, "generic/001", XT_PASSED, 49, "");
	check(&r, "generic/002", XT_NONE, -1, "");
	/* The next boot begins behind it and knows nothing of the ones before. */
	xt_parse(&r, HEAD "generic/003        5s\n", running, sizeof(running));
	assert_string_equal(running, "");
	check(&r, "generic/001", XT_PASSED, 49, "");
	check(&r, "generic/003", XT_PASSED, 5, "");
	/* A failure is judged when something follows it. */
	xt_parse(&r, HEAD "generic/004       " MISMATCH("004"), running, sizeof(running));
	assert_string_equal(running, "generic/004");
	check(&r, "generic/004", XT_NONE, -1, "");
	xt_parse(&r, "", running, sizeof(running));
	assert_string_equal(running, "");
	xt_results_free(&r);
}

/* Nothing but a time means passed. */
static void test_parse_strange(void **state)
{
	static const char *const bad[] = { "", "5", "s", "...", "5s ...", "5s x", "5sx", "passed", "5 s", "-5s", "5s\n    x" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *text = xasprintf("generic/001 %s\ngeneric/002 1s\n", bad[i]), running[8];
		struct xt_results r;

		start(&r);
		xt_parse(&r, text, running, sizeof(running));
		assert_int_equal(xt_find(&r, "generic/001")->state, XT_FAILED);
		assert_int_equal(xt_find(&r, "generic/002")->state, XT_PASSED);
		assert_true(*xt_find(&r, "generic/001")->why != '\0');
		xt_results_free(&r);
		free(text);
	}
}

static void test_console(void **state)
{
	static const char console[] =
		"[    1.0] WARNING: CPU: 1 PID: 7 at mm/before.c:1 before+0x1/0x2\n"
		"[    7.0] run fstests generic/001 at 2026-11-23 07:46:48\r\n"
		"[    7.1] XFS (vdd): Mounting V5 Filesystem\r\n"
		"[    8.0] run fstests generic/002 at 2026-11-23 07:46:49\n"
		"[    8.1] XFS (vdd): Internal error xfs_trans_cancel at line 1 of file fs/xfs/xfs_trans.c.\n"
		"[    8.2] XFS (vdd): Metadata CRC error detected at x+0x1/0x2\n"
		"[    9.0] run fstests generic/003 at 2026-11-23 07:46:50\n"
		"[    9.1] XFS (vdd): Metadata CRC error detected at x+0x1/0x2\n"
		"[    9.2] WARNING: CPU: 1 PID: 77 at mm/shcache.c:998 shcache_insert+0x1a/0x220\n"
		"[   10.0] run fstests generic/004 at 2026-11-23 07:46:51\n"
		"[   10.1] XFS (vdd): shcache: blocks of 1024 bytes are smaller than a page (4096 bytes).\n"
		"[   11.0] run fstests generic/005 at 2026-11-23 07:46:51\n"
		"[   11.1] XFS (vdd): shcache: the filesystem has no reflink.\n"
		"[   11.2] kernel BUG at mm/shcache.c:12!\n"
		"[   12.0] run fstests xfs/1006 at 2026-11-23 07:46:51\n"
		"[   12.1] XFS (vdd): shcache: the filesystem has no reflink.\n"
		"[   13.0] run fstests xfs/999 at 2026-11-23 07:46:51\n"
		"[   13.1] kernel BUG at mm/unknown.c:12!\n";
	struct xt_results r;

	(void)state;
	start(&r);
	for (size_t i = 0; i < r.n; i++)
		xt_set(&r.v[i], XT_PASSED, "");
	xt_set(xt_find(&r, "generic/004"), XT_FAILED, "mismatch");
	xt_set(xt_find(&r, "generic/005"), XT_FAILED, "mismatch");
	xt_console(&r, console);
	check(&r, "generic/001", XT_PASSED, -1, "");
	check(&r, "generic/002", XT_PASSED, -1, "");
	check(&r, "generic/003", XT_SPLAT, -1, "WARNING:at_mm/shcache.c:#_shcache_insert");
	check(&r, "generic/004", XT_REFUSED, -1, "shcache: blocks of 1024 bytes are smaller than a page (4096 bytes).");
	/* A splat is never a refusal. */
	check(&r, "generic/005", XT_FAILED, -1, "mismatch; kernel_BUG_at_mm/shcache.c:#");
	check(&r, "xfs/1006", XT_PASSED, -1, "");
	xt_results_free(&r);
}

static void test_new(void **state)
{
	static const struct {
		enum xt_state t, base;	/* XT_NR_STATES: the baseline has no such test */
		bool want;
	} cases[] = {
		{ XT_FAILED, XT_PASSED, true }, { XT_FAILED, XT_FAILED, false }, { XT_FAILED, XT_NOTRUN, true },
		{ XT_FAILED, XT_NR_STATES, true }, { XT_PANIC, XT_HANG, false }, { XT_SPLAT, XT_PASSED, true },
		{ XT_TIMEOUT, XT_NONE, true }, { XT_PASSED, XT_FAILED, false }, { XT_NOTRUN, XT_PASSED, false },
		{ XT_REFUSED, XT_PASSED, false }, { XT_NONE, XT_PASSED, false }, { XT_DIED, XT_PASSED, true },
		{ XT_HANG, XT_PASSED, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct xt_result t = { .state = cases[i].t }, base = { .state = cases[i].base };

		assert_int_equal(xt_new(&t, cases[i].base == XT_NR_STATES ? NULL : &base), cases[i].want);
	}
}

static void test_reports(void **state)
{
	struct xt_results r, base = {};
	struct buf tap = {}, xml = {};

	(void)state;
	start(&r);
	xt_set(&r.v[0], XT_PASSED, "");
	r.v[0].seconds = 5;
	xt_set(&r.v[1], XT_NOTRUN, "no <device> & \"no\" time");
	xt_set(&r.v[2], XT_FAILED, "old");
	xt_set(&r.v[3], XT_FAILED, "new <1>");
	free(r.v[3].text);
	r.v[3].text = xstrdup("-a\n+b\x01\xff&\n");
	xt_set(&r.v[4], XT_REFUSED, "shcache: the filesystem has no reflink.");
	xt_set(xt_add(&base, "generic/003", 11), XT_TIMEOUT, "");
	xt_set(xt_add(&base, "generic/004", 11), XT_PASSED, "");
	xt_ktap(&tap, &r, &base);
	assert_string_equal(tap.s, "KTAP version 1\n1..6\nok 1 generic/001\n"
			    "ok 2 generic/002 # SKIP no <device> & \"no\" time\n"
			    "not ok 3 generic/003 # TODO the baseline fails as well (timeout)\n# failed: old\n"
			    "not ok 4 generic/004\n# failed: new <1>\n"
			    "ok 5 generic/005 # SKIP shcache: the filesystem has no reflink.\n"
			    "not ok 6 xfs/1006\n# was not carried out\n");
	xt_junit(&xml, "a&b", &r, &base);
	assert_string_equal(xml.s, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			    "<testsuite name=\"a&amp;b\" tests=\"6\" failures=\"2\" skipped=\"3\">\n"
			    " <testcase classname=\"generic\" name=\"generic/001\" time=\"5\"/>\n"
			    " <testcase classname=\"generic\" name=\"generic/002\" time=\"0\">\n"
			    "  <skipped message=\"no &lt;device&gt; &amp; &quot;no&quot; time\"/>\n </testcase>\n"
			    " <testcase classname=\"generic\" name=\"generic/003\" time=\"0\">\n"
			    "  <skipped message=\"the baseline fails as well: old\"/>\n </testcase>\n"
			    " <testcase classname=\"generic\" name=\"generic/004\" time=\"0\">\n"
			    "  <failure message=\"failed: new &lt;1&gt;\">-a\n+b??&amp;\n</failure>\n </testcase>\n"
			    " <testcase classname=\"generic\" name=\"generic/005\" time=\"0\">\n"
			    "  <skipped message=\"shcache: the filesystem has no reflink.\"/>\n </testcase>\n"
			    " <testcase classname=\"xfs\" name=\"xfs/1006\" time=\"0\">\n"
			    "  <failure message=\"none: \"></failure>\n </testcase>\n"
			    "</testsuite>\n");
	buf_free(&tap);
	buf_free(&xml);
	xt_results_free(&r);
	xt_results_free(&base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_select_twice),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_cut),
		cmocka_unit_test(test_parse_died),
		cmocka_unit_test(test_parse_strange),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_new),
		cmocka_unit_test(test_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
