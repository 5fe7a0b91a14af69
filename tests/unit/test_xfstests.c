// SPDX-License-Identifier: GPL-2.0
/*
 * xfstests-check.c and xfstests-doc.c: which tests, what check says, what is new; what is stored, gone on with and joined from
 * parts. The texts are what xfstests of 2025 writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "bench-util.h"
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

static void test_groups(void **state)
{
	static const struct {
		const char *groups, *first, *third;
	} cases[] = {
		{ "quick", "quick", "quick" }, { "quick,rw,clone", "rw,quick", "clone,quick" }, { "all", "all", "all" },
		{ "all,dir", "dir,all", "all" }, { "auto,auto", "auto", "auto" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct xt_results r = {};

		/* One that is named as well is in its groups all the same. */
		xt_add(&r, "generic/003", strlen("generic/003"));
		xt_add(&r, "generic/500", strlen("generic/500"));
		xt_select(&r, "generic", group_list, cases[i].groups, "dangerous");
		assert_string_equal(xt_find(&r, "generic/001")->groups, cases[i].first);
		assert_string_equal(xt_find(&r, "generic/003")->groups, cases[i].third);
		assert_string_equal(xt_find(&r, "generic/500")->groups, "");
		xt_results_free(&r);
	}
	assert_true(xt_listed("clone,quick", "quick", 5));
	assert_false(xt_listed("clone,quick", "quic", 4));
	assert_false(xt_listed("", "", 0));
	assert_false(xt_listed(NULL, "a", 1));
}

/* Each test is in one part, neighbours are in different ones, and no part has two more than another. */
static void test_shard(void **state)
{
	(void)state;
	for (unsigned int n = 0; n < 20; n++)
		for (unsigned int count = 1; count < 8; count++) {
			unsigned int in[20] = {}, last[20] = {}, least = 20, most = 0;

			for (unsigned int part = 1; part <= count; part++) {
				struct xt_results r = {};

				for (unsigned int i = 0; i < n; i++) {
					char *name = xasprintf("generic/%03u", i);

					free(xt_add(&r, name, strlen(name))->groups);
					r.v[i].groups = xstrdup("quick");
					free(name);
				}
				xt_shard(&r, part, count);
				least = r.n < least ? r.n : least;
				most = r.n > most ? r.n : most;
				for (size_t i = 0; i < r.n; i++) {
					unsigned int nr = (unsigned int)atoi(r.v[i].name + strlen("generic/"));

					assert_string_equal(r.v[i].groups, "quick");
					in[nr]++;
					last[nr] = part;
				}
				xt_results_free(&r);
			}
			assert_true(most - least <= 1);
			for (unsigned int i = 0; i < n; i++) {
				assert_int_equal(in[i], 1);
				assert_true(!i || count == 1 || last[i] != last[i - 1]);
			}
		}
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

/* --- what is stored --------------------------------------------------------------------------------------------------------- */

#define INPUTS \
	"{\"kernel\": {\"name\": \"k\", \"id\": \"k1\", \"series_hash\": \"0123456789abcdef\", \"cmdline\": \"\"}," \
	" \"baseline\": {\"name\": \"b\", \"id\": \"b1\", \"series_hash\": \"\", \"cmdline\": \"\"}," \
	" \"suite\": \"53170123456789\", \"image\": \"1\", \"accel\": \"tcg\", \"fs\": \"xfs\", \"mkfs\": \"\"," \
	" \"mounts\": [\"\", \"shcache\"], \"groups\": \"clone,quick\", \"exclude\": \"dangerous\"," \
	" \"limit\": 300, \"cpus\": 2, \"mem_mb\": 3072, \"test_mb\": 4096, \"scratch_mb\": 8192}"

/* A run of the tests of start(), with two passes and the baseline's, in which nothing has a result yet. */
static void start_run(struct xt_run *run, unsigned int shard, unsigned int shards)
{
	static const char *const groups[] = { "clone,quick", "quick", "clone", "", "quick", "clone,quick" };
	char hash[65];

	*run = (struct xt_run){ .id = xasprintf("run%u", shard), .shard = shard, .shards = shards, .nr = 3 };
	start(&run->tests);
	for (size_t i = 0; i < run->tests.n; i++) {
		free(run->tests.v[i].groups);
		run->tests.v[i].groups = xstrdup(groups[i]);
	}
	xt_hash(&run->tests, hash);
	if (shards)
		xt_shard(&run->tests, shard, shards);
	run->inputs = json_loads(INPUTS, 0, NULL);
	assert_non_null(run->inputs);
	json_object_set_new(run->inputs, "tests", json_string(hash));
	run->pass = xcalloc(run->nr, sizeof(*run->pass));
	run->pass[0] = (struct xt_pass){ .name = xstrdup("k"), .mount = xstrdup("") };
	run->pass[1] = (struct xt_pass){ .name = xstrdup("k-shcache"), .mount = xstrdup("shcache") };
	run->pass[2] = (struct xt_pass){ .name = xstrdup("baseline-b"), .mount = xstrdup("") };
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < run->tests.n; k++)
			xt_add(&run->pass[i].r, run->tests.v[k].name, strlen(run->tests.v[k].name));
}

static void set(struct xt_pass *p, const char *name, enum xt_state st, const char *why)
{
	struct xt_result *t = xt_find(&p->r, name);

	/* Part of another run's. */
	if (!t)
		return;
	xt_set(t, st, why);
	free(t->text);
	t->text = xasprintf("text of %s", name);
	t->seconds = st == XT_PASSED ? 7 : -1;
}

/* All results: one failure is new, one is not, one test's file system is refused. */
static void end_run(struct xt_run *run)
{
	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; k < run->pass[i].r.n; k++)
			set(&run->pass[i], run->pass[i].r.v[k].name, XT_PASSED, "");
		set(&run->pass[i], "generic/002", XT_FAILED, "[failed, exit status 1]");
		set(&run->pass[i], "generic/003", XT_NOTRUN, "no");
		run->pass[i].boots = i + 1;
	}
	set(&run->pass[1], "generic/005", XT_REFUSED, "shcache: the filesystem has no reflink.");
	set(&run->pass[1], "xfs/1006", XT_SPLAT, "a | b");
	for (size_t k = 0; k < run->tests.n; k++) {
		const char *name = run->tests.v[k].name;

		if (strcmp(name, "generic/002") && strcmp(name, "xfs/1006"))
			continue;
		xt_add(&run->pass[2].r, name, strlen(name));
		set(&run->pass[2], name, strcmp(name, "xfs/1006") ? XT_TIMEOUT : XT_PASSED, "");
	}
	run->pass[2].boots = 1;
	run->complete = true;
}

/* As it comes from the disk. */
static json_t *stored(const struct xt_run *run)
{
	json_t *doc = xt_doc(run), *back;
	char *text = json_dumps(doc, 0);

	back = json_loads(text, 0, NULL);
	assert_non_null(back);
	json_decref(doc);
	free(text);
	return back;
}

static void test_stored(void **state)
{
	struct xt_run run, back;
	json_t *doc, *again;

	(void)state;
	start_run(&run, 2, 3);
	end_run(&run);
	run.complete = false;
	/* Cut in the middle of a character, or none. */
	set(&run.pass[0], "generic/002", XT_FAILED, "na\xc3\xaf" "ve \xc3");
	free(run.pass[0].r.v[0].text);
	run.pass[0].r.v[0].text = xstrdup("\xff\n");
	doc = stored(&run);
	assert_null(xt_read(&back, doc));
	assert_string_equal(back.id, "run2");
	assert_int_equal(back.shard, 2);
	assert_int_equal(back.shards, 3);
	assert_false(back.complete);
	assert_int_equal(back.nr, 3);
	names(&back.tests, "generic/002 generic/005");
	assert_string_equal(back.tests.v[0].groups, "quick");
	assert_string_equal(back.pass[1].name, "k-shcache");
	assert_string_equal(back.pass[1].mount, "shcache");
	assert_int_equal(back.pass[1].boots, 2);
	check(&back.pass[0].r, "generic/002", XT_FAILED, -1, "na??ve ?");
	assert_string_equal(xt_find(&back.pass[0].r, "generic/002")->text, "?\n");
	check(&back.pass[1].r, "generic/002", XT_FAILED, -1, "[failed, exit status 1]");
	assert_string_equal(xt_find(&back.pass[1].r, "generic/002")->text, "text of generic/002");
	/* What is said of tests that went well is not kept. */
	check(&back.pass[0].r, "generic/005", XT_PASSED, 7, "");
	assert_string_equal(xt_find(&back.pass[0].r, "generic/005")->text, "");
	check(&back.pass[2].r, "generic/002", XT_TIMEOUT, -1, "");
	again = xt_doc(&back);
	assert_true(json_equal(doc, again));
	json_decref(doc);
	json_decref(again);
	xt_run_free(&run);
	xt_run_free(&back);
}

static void spoil_schema(json_t *d) { json_object_set_new(d, "schema", json_string("shcache-xfstests/1")); }
static void spoil_inputs(json_t *d) { json_object_del(d, "inputs"); }
static void spoil_tests(json_t *d) { json_object_del(d, "tests"); }
static void spoil_all_inputs(json_t *d)
{
	json_object_del(d, "inputs");
	while (json_array_size(json_object_get(d, "passes")) > 1)
		json_array_remove(json_object_get(d, "passes"), 1);
}
static void spoil_passes(json_t *d) { json_array_remove(json_object_get(d, "passes"), 2); }
static void spoil_no_passes(json_t *d) { json_object_del(d, "passes"); }
static json_t *chosen(json_t *d) { return json_object_get(d, "tests"); }
static void spoil_choice(json_t *d) { json_array_append(chosen(d), json_array_get(chosen(d), 0)); }
static json_t *first_pass(json_t *d) { return json_array_get(json_object_get(d, "passes"), 0); }
static json_t *first(json_t *d) { return json_array_get(json_object_get(first_pass(d), "tests"), 0); }
static void spoil_pass(json_t *d) { json_object_del(first_pass(d), "name"); }
static void spoil_results(json_t *d) { json_object_del(first_pass(d), "tests"); }
static void spoil_state(json_t *d) { json_object_set_new(first(d), "state", json_string("fine")); }
static void spoil_no_state(json_t *d) { json_object_del(first(d), "state"); }
static void spoil_name(json_t *d) { json_object_set_new(first(d), "name", json_string("generic/999")); }
static void spoil_twice(json_t *d) { json_object_set_new(first(d), "name", json_string("generic/002")); }

static void test_stored_bad(void **state)
{
	static const struct {
		void (*spoil)(json_t *d);
		const char *why;
	} cases[] = {
		{ spoil_schema, "its schema is \"shcache-xfstests/1\" and not" },
		{ spoil_inputs, "it lacks inputs, tests or passes" },
		{ spoil_all_inputs, "it lacks" }, { spoil_tests, "it lacks" },
		{ spoil_passes, "it lacks" }, { spoil_no_passes, "it lacks" },
		{ spoil_choice, "chosen test 7 has no name or is there twice" }, { spoil_pass, "a pass has no name or no tests" },
		{ spoil_results, "a pass has no name or no tests" }, { spoil_state, "pass k: test 1 is none" },
		{ spoil_no_state, "pass k: test 1 is none" }, { spoil_name, "pass k: test 1 is none" },
		{ spoil_twice, "pass k: test 2 is none" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct xt_run run, back;
		json_t *doc;
		char *why;

		start_run(&run, 0, 0);
		end_run(&run);
		doc = stored(&run);
		cases[i].spoil(doc);
		why = xt_read(&back, doc);
		assert_non_null(why);
		if (!strstr(why, cases[i].why))
			fail_msg("\"%s\" does not say \"%s\"", why, cases[i].why);
		free(why);
		xt_run_free(&back);
		xt_run_free(&run);
		json_decref(doc);
	}
}

#define BOOT_1 HEAD "generic/001        49s\ngeneric/002        [failed, exit status 1]" MISMATCH("002") \
	       "generic/003        [not run] no\n"
#define BOOT_2 "generic/004        7s\ngeneric/005       - output mismatch\n    -a\nxfs/1006   5s\nRan: generic/001\n"

/* Killed when check had written so much, then gone on with: as if nothing had been. */
static void killed_at(size_t n, const json_t *want)
{
	struct xt_run run, old, again;
	char *text = xstrndup(BOOT_1 BOOT_2, n), *rest, running[64];
	size_t left = 0;
	json_t *doc, *end;

	start_run(&run, 0, 0);
	xt_parse(&run.pass[0].r, text, running, sizeof(running));
	doc = stored(&run);
	assert_null(xt_read(&old, doc));
	start_run(&again, 0, 0);
	end = stored(&again);
	assert_null(xt_differ(doc, "old", end, "this command", false));
	json_decref(end);
	xt_resume(&again, &old);
	/* The next boot begins with the first test that has no result. */
	while (left < again.pass[0].r.n && again.pass[0].r.v[left].state != XT_NONE)
		left++;
	for (size_t i = left; i < again.pass[0].r.n; i++)
		assert_int_equal(again.pass[0].r.v[i].state, XT_NONE);
	if (left < again.pass[0].r.n) {
		rest = strstr(BOOT_1 BOOT_2, again.pass[0].r.v[left].name);
		rest = xasprintf("%s%s", HEAD, rest);
		xt_parse(&again.pass[0].r, rest, running, sizeof(running));
		free(rest);
	}
	end = stored(&again);
	assert_true(json_equal(end, want));
	json_decref(end);
	json_decref(doc);
	xt_run_free(&run);
	xt_run_free(&old);
	xt_run_free(&again);
	free(text);
}

static void test_killed(void **state)
{
	struct xt_run run;
	char running[64];
	json_t *want;

	(void)state;
	start_run(&run, 0, 0);
	xt_parse(&run.pass[0].r, BOOT_1 BOOT_2, running, sizeof(running));
	want = stored(&run);
	for (size_t n = 0; n <= strlen(BOOT_1 BOOT_2); n++)
		killed_at(n, want);
	json_decref(want);
	xt_run_free(&run);
}

static void test_resume(void **state)
{
	struct xt_run old, run;

	(void)state;
	start_run(&old, 0, 0);
	end_run(&old);
	set(&old.pass[1], "generic/001", XT_NONE, "");
	xt_add(&old.pass[2].r, "generic/001", strlen("generic/001"));
	start_run(&run, 0, 0);
	xt_resume(&run, &old);
	names(&run.pass[1].r, "generic/001 generic/002 generic/003 generic/004 generic/005 xfs/1006");
	check(&run.pass[0].r, "generic/001", XT_PASSED, 7, "");
	check(&run.pass[1].r, "generic/001", XT_NONE, -1, "");
	check(&run.pass[1].r, "generic/002", XT_FAILED, -1, "[failed, exit status 1]");
	assert_string_equal(xt_find(&run.pass[1].r, "generic/002")->text, "text of generic/002");
	assert_int_equal(run.pass[1].boots, 2);
	/* Of the baseline what was run: whether the rest has to be is not known yet. */
	names(&run.pass[2].r, "generic/002 xfs/1006");
	xt_run_free(&old);
	xt_run_free(&run);
}

/* Changes inputs[key], or inputs[of][key]. */
static void test_differ(void **state)
{
	static const struct {
		const char *of, *key, *why;
	} cases[] = {
		{ "kernel", "name", "different kernels: old has \"k\", new has \"x\"" },
		{ "kernel", "id", "different builds of the kernel: old has \"k1\", new has \"x\"" },
		{ "kernel", "cmdline", "different command lines of the kernel: old has \"\", new has \"x\"" },
		{ "baseline", "name", "different baseline kernels: old has \"b\", new has \"x\"" },
		{ "baseline", "id", "different builds of the baseline kernel: old has \"b1\", new has \"x\"" },
		{ "baseline", "cmdline", "different command lines of the baseline kernel" },
		{ NULL, "suite", "different xfstests directories (--dir): old has \"53170123456789\", new has \"x\"" },
		{ NULL, "image", "different images with the tests' programs" },
		{ NULL, "fs", "different file systems: old has \"xfs\", new has \"x\"" },
		{ NULL, "mkfs", "different mkfs options: old has \"\", new has \"x\"" },
		{ NULL, "mounts", "different mount options: old has [\"\", \"shcache\"], new has \"x\"" },
		{ NULL, "groups", "different groups: old has \"clone,quick\", new has \"x\"" },
		{ NULL, "exclude", "different excluded groups: old has \"dangerous\", new has \"x\"" },
		{ NULL, "tests", "different tests: " },
		{ NULL, "limit", "different limits: old has 300, new has \"x\"" },
		{ NULL, "cpus", "different numbers of CPUs: old has 2, new has \"x\"" },
		{ NULL, "mem_mb", "different sizes of memory: old has 3072, new has \"x\"" },
		{ NULL, "test_mb", "different sizes of TEST_DEV" }, { NULL, "scratch_mb", "different sizes of SCRATCH_DEV" },
		{ NULL, "accel", "different accelerators: old has \"tcg\", new has \"x\"" },
	};
	struct xt_run run, part;
	json_t *a, *b;
	char *why;

	(void)state;
	start_run(&run, 0, 0);
	a = stored(&run);
	/* What became of the tests is no difference. */
	end_run(&run);
	b = stored(&run);
	assert_null(xt_differ(a, "old", b, "new", false));
	json_decref(b);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *in;

		b = json_deep_copy(a);
		in = json_object_get(b, "inputs");
		json_object_set_new(cases[i].of ? json_object_get(in, cases[i].of) : in, cases[i].key, json_string("x"));
		why = xt_differ(a, "old", b, "new", false);
		assert_non_null(why);
		if (strncmp(why, cases[i].why, strlen(cases[i].why)))
			fail_msg("\"%s\" is not \"%s\"", why, cases[i].why);
		assert_null(strchr(why, '\n'));
		free(why);
		json_decref(b);
	}
	start_run(&part, 2, 3);
	b = stored(&part);
	why = xt_differ(a, "old", b, "new", false);
	assert_string_equal(why, "different numbers of parts: old has none, new has 3");
	free(why);
	json_decref(a);
	a = json_deep_copy(b);
	assert_null(xt_differ(a, "old", b, "new", false));
	json_object_set_new(json_object_get(b, "shard"), "index", json_integer(1));
	why = xt_differ(a, "old", b, "new", false);
	assert_string_equal(why, "different parts: old has 2, new has 1");
	free(why);
	assert_null(xt_differ(a, "old", b, "new", true));
	json_decref(a);
	json_decref(b);
	xt_run_free(&run);
	xt_run_free(&part);
}

/* --- parts ------------------------------------------------------------------------------------------------------------------ */

#define MAX_PARTS 4

static void parts(json_t **docs, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct xt_run run;

		/* Whatever the order in which they are named. */
		start_run(&run, count - i, count);
		end_run(&run);
		docs[i] = stored(&run);
		xt_run_free(&run);
	}
}

static const char *const part_names[] = { "p1", "p2", "p3", "p4" };

/* The results of all parts together are those of the whole. */
static void test_merge(void **state)
{
	struct xt_run whole;

	(void)state;
	start_run(&whole, 0, 0);
	end_run(&whole);
	for (unsigned int count = 1; count <= MAX_PARTS; count++) {
		json_t *docs[MAX_PARTS], *a, *b;
		struct xt_run all;

		parts(docs, count);
		assert_null(xt_merge(&all, docs, part_names, count));
		assert_int_equal(json_array_size(all.parts), count);
		assert_string_equal(json_string_value(json_array_get(all.parts, 0)), "run1");
		for (size_t i = 0; i < whole.nr; i++) {
			/* At least one boot each. */
			assert_int_equal(all.pass[i].boots, whole.pass[i].boots * count);
			all.pass[i].boots = whole.pass[i].boots;
		}
		a = stored(&all);
		assert_true(json_equal(json_object_get(a, "parts"), all.parts));
		assert_null(json_object_get(a, "shard"));
		json_decref(a);
		json_decref(all.parts);
		all.parts = NULL;
		free(all.id);
		all.id = xstrdup(whole.id);
		a = stored(&whole);
		b = stored(&all);
		assert_true(json_equal(a, b));
		json_decref(a);
		json_decref(b);
		xt_run_free(&all);
		for (unsigned int i = 0; i < count; i++)
			json_decref(docs[i]);
	}
	xt_run_free(&whole);
}

static void part_incomplete(json_t *d) { json_object_set_new(d, "complete", json_false()); }
static void part_whole(json_t *d) { json_object_del(d, "shard"); }
static void part_twice(json_t *d) { json_object_set_new(json_object_get(d, "shard"), "index", json_integer(3)); }
static void part_of(json_t *d) { json_object_set_new(json_object_get(d, "shard"), "count", json_integer(4)); }
static void part_fs(json_t *d) { json_object_set_new(json_object_get(d, "inputs"), "fs", json_string("btrfs")); }
static void part_short(json_t *d)
{
	json_t *p;
	size_t i;

	json_array_remove(chosen(d), 1);
	json_array_foreach(json_object_get(d, "passes"), i, p)
		for (size_t k = json_array_size(json_object_get(p, "tests")); k--;)
			if (!strcmp(json_str(json_array_get(json_object_get(p, "tests"), k), "name", ""), "generic/005"))
				json_array_remove(json_object_get(p, "tests"), k);
}

static void test_merge_refused(void **state)
{
	static const struct {
		void (*spoil)(json_t *d);
		const char *why;
	} cases[] = {
		{ part_incomplete, "p2 is not complete" }, { part_whole, "p2 is no part" },
		{ part_twice, "part 3/3 is there twice" }, { part_of, "p1 is a part of 3, p2 a part of 4" },
		{ spoil_schema, "p2: its schema is" },
		{ part_fs, "different file systems: p1 has \"xfs\", p2 has \"btrfs\"" },
		{ part_short, "the tests of the parts, 5, are not those that were chosen" },
	};

	(void)state;
	for (size_t i = 0; i <= ARRAY_SIZE(cases); i++) {
		json_t *docs[3];
		struct xt_run all;
		char *why;

		parts(docs, 3);
		if (i < ARRAY_SIZE(cases))
			cases[i].spoil(docs[1]);
		why = xt_merge(&all, docs, part_names, i < ARRAY_SIZE(cases) ? 3 : 2);
		assert_non_null(why);
		if (!strstr(why, i < ARRAY_SIZE(cases) ? cases[i].why : "part 1/3 is missing"))
			fail_msg("case %zu: %s", i, why);
		free(why);
		xt_run_free(&all);
		for (size_t k = 0; k < 3; k++)
			json_decref(docs[k]);
	}
}

/* --- the summary ------------------------------------------------------------------------------------------------------------ */

static char *summary(const struct xt_run *run)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	xt_summary(f, run);
	fclose(f);
	return text;
}

#define COLUMNS "| group | tests | passed | refused | not run | failed | new | not carried out |\n" \
		"|---|---:|---:|---:|---:|---:|---:|---:|\n"

static void test_summary(void **state)
{
	struct xt_run run;
	char *text;

	(void)state;
	start_run(&run, 0, 0);
	end_run(&run);
	text = summary(&run);
	assert_string_equal(text, "# xfstests: 1 new failure\n\n"
			    "* kernel: k, id k1, patches 0123456789ab\n"
			    "* baseline: b, id b1, patches none\n"
			    "* file system: xfs\n"
			    "* tests: 6, groups clone,quick without dangerous\n"
			    "* suite: 531701234567\n"
			    "* guest: tcg, 2 CPUs, 3072 MiB, at most 300 s a test\n"
			    "\n## New failures\n\n"
			    "| test | pass | is | why |\n|---|---|---|---|\n"
			    "| xfs/1006 | k-shcache | splat | a \\| b |\n"
			    "\n## k, no mount option\n\n" COLUMNS
			    "| clone | 3 | 2 | 0 | 1 | 0 | 0 | 0 |\n"
			    "| quick | 4 | 3 | 0 | 0 | 1 | 0 | 0 |\n"
			    "| all of these | 6 | 4 | 0 | 1 | 1 | 0 | 0 |\n"
			    "\n## k-shcache, mounted with shcache\n\n" COLUMNS
			    "| clone | 3 | 1 | 0 | 1 | 1 | 1 | 0 |\n"
			    "| quick | 4 | 1 | 1 | 0 | 2 | 1 | 0 |\n"
			    "| all of these | 6 | 2 | 1 | 1 | 2 | 1 | 0 |\n"
			    "\n## baseline-b, no mount option\n\n" COLUMNS
			    "| clone | 1 | 1 | 0 | 0 | 0 | - | 0 |\n"
			    "| quick | 2 | 1 | 0 | 0 | 1 | - | 0 |\n"
			    "| all of these | 2 | 1 | 0 | 0 | 1 | - | 0 |\n\n");
	free(text);
	xt_run_free(&run);
	/* A part that was interrupted, of tests that were named. */
	start_run(&run, 1, 2);
	json_object_set_new(run.inputs, "groups", json_string(""));
	json_object_set_new(run.inputs, "mkfs", json_string("-m rmapbt=1"));
	run.pass[0].r.v[0].state = XT_PASSED;
	text = summary(&run);
	assert_non_null(strstr(text, "# xfstests: 0 new failures so far, not complete\n"));
	assert_non_null(strstr(text, "* file system: xfs, made with -m rmapbt=1\n* tests: 3\n"));
	assert_non_null(strstr(text, "* part 1 of 2\n\n## k, no mount option\n\n" COLUMNS
				     "| all of these | 3 | 1 | 0 | 0 | 0 | 0 | 2 |\n\n"));
	assert_non_null(strstr(text, "## baseline-b, no mount option\n\n" COLUMNS
				     "| all of these | 0 | 0 | 0 | 0 | 0 | - | 0 |\n"));
	free(text);
	run.shards = 0;
	run.parts = json_pack("[s,s]", "run1", "run2");
	text = summary(&run);
	assert_non_null(strstr(text, "a test\n* part 1: run1\n* part 2: run2\n"));
	free(text);
	xt_run_free(&run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_select_twice),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_shard),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_cut),
		cmocka_unit_test(test_parse_died),
		cmocka_unit_test(test_parse_strange),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_new),
		cmocka_unit_test(test_reports),
		cmocka_unit_test(test_stored),
		cmocka_unit_test(test_stored_bad),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_differ),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_merge_refused),
		cmocka_unit_test(test_summary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
