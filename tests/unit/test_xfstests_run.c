// SPDX-License-Identifier: GPL-2.0
/*
 * `shbench xfstests` as a whole: the command with fake kernels, killed, gone on with, in parts, joined. tests/fake-qemu.c plays
 * `check`; the suite is a few empty files, the Debian root a stand-in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "fake-top.h"

#define SUITE "./shbench xfstests -q --dir suite -k k -b b -g quick "

static void script(const char *name, const char *text)
{
	char *path = xasprintf("%s/bin/%s", ft_top, name);

	ft_write(path + strlen(ft_top) + 1, text);
	if (chmod(path, 0755))
		abort();
	free(path);
}

static int setup(void **state)
{
	char *path;

	(void)state;
	if (ft_setup())
		return -1;
	/* 004 takes the guest along, with the option only; 003 fails on the baseline too. */
	ft_kernel("k", "test generic/003 - output mismatch\\n    -a\ntest generic/004 panic\n");
	ft_kernel("b", "test generic/003 - output mismatch\\n    -a\n");
	ft_kernel("k2", "test generic/001 [not run] no\n");
	ft_kernel("splat", "test generic/002 splat\n");
	ft_write("suite/check", "");
	ft_write("suite/ltp/fsstress", "");
	ft_write("suite/tests/generic/group.list",
		 "001 auto quick\n002 auto quick clone\n003 quick\n004 quick clone\n005 quick\n006 auto\n");
	script("apt-get", "#!/bin/sh\n. /etc/os-release\n"
	       "echo \"Debian|$VERSION_CODENAME|$VERSION_CODENAME|http://mirror.example/|main\"\n");
	script("apt-config", "#!/bin/sh\n");
	script("mmdebstrap", "#!/bin/sh\nfor a; do case $a in *.raw-*) tar -cf \"$a\" suite/check ;; esac; done\n");
	path = xasprintf("%s/bin:%s", ft_top, getenv("PATH"));
	setenv("PATH", path, 1);
	free(path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return ft_teardown();
}

static void no_runs(void)
{
	char *runs = xasprintf("%s/results/runs", ft_top);

	assert_int_equal(remove_tree(runs), 0);
	free(runs);
}

static void says(const char *what)
{
	if (!strstr(ft_said, what))
		fail_msg("\"%s\" is not in:\n%s", what, ft_said);
}

static void run(const char *cmd, int want)
{
	int ret = ft_bash(cmd);

	if (ret != want)
		fail_msg("%s\nended with %d:\n%s", cmd, ret, ft_said);
}

/* Of the newest run: "NAME STATE" of all tests, passes apart by "; ". */
static char *results(void)
{
	struct buf b = {};
	json_t *doc, *p, *t;
	size_t i, k;

	run("cat $(ls -d results/runs/*-xfstests-* | tail -n 1)/results.json\n", 0);
	doc = json_loads(ft_said, 0, NULL);
	assert_non_null(doc);
	buf_str(&b, json_is_true(json_object_get(doc, "complete")) ? "complete" : "not complete");
	json_array_foreach(json_object_get(doc, "passes"), i, p) {
		buf_str(&b, ";");
		json_array_foreach(json_object_get(p, "tests"), k, t)
			buf_printf(&b, " %s %s", json_string_value(json_object_get(t, "name")) + strlen("generic/"),
				   json_string_value(json_object_get(t, "state")));
	}
	json_decref(doc);
	return b.s;
}

static void results_are(const char *want)
{
	char *have = results();

	assert_string_equal(have, want);
	free(have);
}

#define ALL "; 001 passed 002 passed 003 failed 004 panic 005 passed"
#define NOTHING "; 001 none 002 none 003 none 004 none 005 none"
#define BASE "; 003 failed 004 passed"

static void test_whole(void **state)
{
	(void)state;
	no_runs();
	run(SUITE "-v\n", 1);
	says("not ok generic/004 on k: panic: ");
	says("known failure generic/003 on k-shcache: - output mismatch");
	says("\nk-shcache:\n"
	     "group         tests  passed  refused  not run  failed  new  not carried out\n"
	     "quick             5       3        0        0       2    1                0\n"
	     "all of these      5       3        0        0       2    1                0\n");
	results_are("complete" ALL ALL BASE);
	run("cat results/runs/*/summary.md\n", 0);
	says("# xfstests: 2 new failures\n");
	says("\n| quick | 5 | 3 | 0 | 0 | 2 | 1 | 0 |\n");
	run("ls results/runs/*/k.tap results/runs/*/k-shcache.junit.xml results/runs/*/baseline-b.out\n", 0);
}

/* A test that follows is reason to judge all before it again. */
static void test_splat(void **state)
{
	(void)state;
	no_runs();
	run("./shbench xfstests -q --dir suite -k splat -b b -g quick --mount ''\n", 1);
	says("not ok generic/002 on splat: splat: WARNING:at_mm/filemap.c:#_filemap_fault\n");
	results_are("complete; 001 passed 002 splat 003 passed 004 passed 005 passed; 002 passed");
}

/* Goes on with the run, or starts it, and kills the command when the condition is true in the run's directory. */
static void kill_when(const char *hang, const char *options, const char *condition)
{
	char *cmd = xasprintf("FAKE_HANG=%s " SUITE "%s & pid=$!\n"
			      "for i in {1..200}; do (cd results/runs/2* && %s) >/dev/null 2>&1 && break; sleep 0.05; done\n"
			      "kill -KILL $pid\nwait $pid || true\n", hang, options, condition);

	run(cmd, 0);
	free(cmd);
}

/* SIGKILL in a test: it alone has to be run again. */
static void test_killed(void **state)
{
	(void)state;
	no_runs();
	kill_when("generic/002", "", "grep 'generic/002 $' k.out && grep passed results.json");
	results_are("not complete; 001 passed 002 none 003 none 004 none 005 none" NOTHING ";");
	/* In the boot that follows on 004's panic. */
	kill_when("generic/005", "--resume last", "grep 'generic/005 $' k.out && grep panic results.json");
	results_are("not complete; 001 passed 002 passed 003 failed 004 panic 005 none" NOTHING ";");
	run(SUITE "--resume last\n", 1);
	/* Known from before, with the diff. */
	says("not ok generic/004 on k: panic: ");
	results_are("complete" ALL ALL BASE);
	/* What had a result was not run again, and each boot has a console of its own. */
	run("cd results/runs/*/; grep -c generic/001 k.out; grep -c generic/004 k.out; grep -o generic/005 k.out\n", 0);
	assert_string_equal(ft_said, "1\n1\ngeneric/005\ngeneric/005\n");
	run("grep '<failure' results/runs/*/k.junit.xml; ls results/runs/*/consoles\n", 0);
	says("<failure message=\"panic: ");
	says("k-1.log\nk-2.log\nk-3.log\nk-4.log\n");
	run("ls results/runs/*/tmp\n", 0);
	assert_string_equal(ft_said, "");
	/* Nothing is left to do: it says the same again. */
	run(SUITE "--resume last\n", 1);
	says("not ok generic/004 on k: panic: ");
	run("ls results/runs/*/consoles\n", 0);
	assert_null(strstr(ft_said, "k-5.log"));
	run("ls -d results/runs/* | wc -l\n", 0);
	says("1\n");
	/* Before anything was done. */
	no_runs();
	kill_when("boot", "", "ls consoles/k-1.log");
	run(SUITE "--resume last\n", 1);
	results_are("complete" ALL ALL BASE);
	run("ls results/runs/*/consoles\n", 0);
	says("k-1.log\nk-2.log\nk-3.log\n");
}

/* The same with SIGINT, and with other runs beside it. */
static void test_interrupted(void **state)
{
	(void)state;
	no_runs();
	run("set -m\nFAKE_HANG=generic/002 " SUITE "& pid=$!\n"
	    "for i in {1..200}; do grep -q 'generic/002 $' results/runs/*/k.out 2>/dev/null && break; sleep 0.05; done\n"
	    "kill -INT $pid\nwait $pid || [ $? = 3 ]\n", 0);
	says("interrupted; what there is is kept: the same command with `--resume 2");
	results_are("not complete; 001 passed 002 none 003 none 004 none 005 none" NOTHING ";");
	run("cat results/runs/*/summary.md\n", 0);
	says("# xfstests: 0 new failures so far, not complete\n");
	says("\n| quick | 5 | 1 | 0 | 0 | 0 | 0 | 4 |\n");
	run("mkdir results/runs/29990101-000000-torture-0000\n", 0);
	run(SUITE "--resume last\n", 1);
	results_are("complete" ALL ALL BASE);
}

static void test_refused(void **state)
{
	static const struct {
		const char *cmd, *why;
	} cases[] = {
		{ SUITE "--fs btrfs", "different file systems: 2" },
		{ SUITE "--mkfs '-m rmapbt=1'", "different mkfs options: 2" },
		{ SUITE "--mount shcache", "different mount options: 2" }, { SUITE "--limit 301", "different limits: 2" },
		{ SUITE "--cpus 3", "different numbers of CPUs: 2" }, { SUITE "-k k2", "different kernels: 2" },
		{ SUITE "-b k2", "different baseline kernels: 2" }, { SUITE "-g quick,auto", "different groups: 2" },
		{ SUITE "-x clone", "different excluded groups: 2" }, { SUITE "generic/006", "different tests: 2" },
		{ SUITE "--shard 1/2", "different numbers of parts: 2" },
		{ "echo >suite/more; " SUITE, "different xfstests directories (--dir): 2" },
		{ "rm suite/more; cp images/b images/k; " SUITE, "different builds of the kernel: 2" },
	};

	(void)state;
	no_runs();
	run("cp images/k images/k.old\n" SUITE "-x none --mount ''\n", 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* Those that are about other things are given what the run was made with. */
		char *cmd = xasprintf("cp results/runs/*/results.json before\n%s %s %s --resume last && exit 1; ret=$?\n"
				      "cmp before results/runs/*/results.json || exit 100; exit $ret\n", cases[i].cmd,
				      strstr(cases[i].cmd, "-x") ? "" : "-x none",
				      strstr(cases[i].cmd, "--mount") ? "" : "--mount ''");

		run(cmd, 2);
		says("cannot be resumed: different ");
		says(cases[i].why);
		says("; give what it was made with, or start a new run\n");
		free(cmd);
	}
	run("mv images/k.old images/k\n" SUITE "-x none --mount '' --resume last\n", 1);
	/* No run, and one that was cut. */
	run("echo '{' >results/runs/*/results.json; " SUITE "-x none --mount '' --resume last\n", 2);
	no_runs();
	run(SUITE "--resume last\n", 2);
	says("no run 'last' of xfstests");
}

static void test_parts(void **state)
{
	(void)state;
	no_runs();
	run(SUITE "--shard 2/2\n", 1);
	results_are("complete; 002 passed 004 panic; 002 passed 004 panic; 004 passed");
	run("mv results/runs/* part2\n" SUITE "--shard 1/2\n", 0);
	results_are("complete; 001 passed 003 failed 005 passed; 001 passed 003 failed 005 passed; 003 failed");
	run("mv results/runs/* part1\n", 0);
	run("./shbench merge ./part1\n", 3);
	says("cannot merge: part 2/2 is missing; parts must come from the same kernels");
	run("ls results/runs | wc -l\n", 0);
	says("0\n");
	run("./shbench merge -v ./part2 ./part1\n", 1);
	says("not ok generic/004 on k-shcache: panic: ");
	says("\nall of these      5       3        0        0       2    1                0\n");
	results_are("complete" ALL ALL BASE);
	run("cat results/runs/*/summary.md; ls results/runs/*\n", 0);
	says("* part 1: 2");
	says("k-shcache.junit.xml");
	/* Parts of other tests do not fit. */
	run("rm -rf part1 results/runs/*\n./shbench xfstests -q --dir suite -k k -b b -g auto --shard 1/2\n"
	    "mv results/runs/* part1\n"
	    "./shbench merge part1/ part2/\n", 3);
	says("cannot merge: different groups: part1/ has \"auto\", part2/ has \"quick\"");
	run(SUITE "--shard 1/6\n", 2);
	says("5 tests cannot be split into 6 parts");
	run(SUITE "--shard 3/2\n", 2);
	says("--shard is '3/2', must be I/N");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_splat),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_parts),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
