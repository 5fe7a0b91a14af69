// SPDX-License-Identifier: GPL-2.0
/*
 * Power cuts and torture as a whole: the command with fake kernels. tests/fake-qemu.c plays a guest that writes, flushes and promises until it is
 * killed, with a log of its writes as QEMU makes it, and one that looks at the disks; xfs_repair is a stand-in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <jansson.h>

#include "fake-top.h"

#define PASS "{\"t\":\"check\",\"name\":\"content\",\"ok\":true,\"detail\":\"\"}\n" \
	     "{\"t\":\"sample\",\"m\":\"clonex_ops\",\"v\":1000,\"x\":{}}\n"
#define BAD "{\"t\":\"check\",\"name\":\"content\",\"ok\":false,\"detail\":\"old bytes\"}\n"

static int setup(void **state)
{
	char *path;

	(void)state;
	if (ft_setup())
		return -1;
	ft_kernel("good", PASS);
	ft_kernel("other", PASS);
	ft_kernel("bad", BAD);
	ft_write("bench/torture.plan", "[plan]\nkernels = good\n[one]\nworkload = clonex\n[two]\nworkload = clonex\n");
	ft_write("bin/xfs_repair", "#!/bin/sh\n[ -z \"$FAKE_FSCK\" ] || { echo bad agf; exit 1; }\n");
	path = xasprintf("%s/bin/xfs_repair", ft_top);
	if (chmod(path, 0755))
		return -1;
	free(path);
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

static unsigned int count(const char *what)
{
	unsigned int n = 0;

	for (const char *p = ft_said; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

static void says(const char *what)
{
	if (!strstr(ft_said, what))
		fail_msg("\"%s\" is not in:\n%s", what, ft_said);
}

/* The only run's directory, relative to the top; runs is emptied. */
static void no_runs(void)
{
	char *runs = xasprintf("%s/results/runs", ft_top);

	assert_int_equal(remove_tree(runs), 0);
	free(runs);
}

static unsigned int files_in(const char *what)
{
	char *cmd = xasprintf("find results/runs -path '%s' | wc -l\n", what);
	unsigned int n;

	ft_bash(cmd);
	n = (unsigned int)atoi(ft_said);
	free(cmd);
	return n;
}

static void test_promises_kept(void **state)
{
	(void)state;
	no_runs();
	if (ft_bash("./shbench powercut -q -k 'good other' --seed 5 --rounds 2 --images 4 --promises 40\n"))
		fail_msg("%s", ft_said);
	assert_int_equal(count("\nok "), 20);
	assert_int_equal(count("not ok"), 0);
	says("# seed 5\n");
	says("1..20\n# 4 cuts, ");
	says("168 pages from the shared cache; 20 disks passed, 0 failed");
	says("cut4 at write ");
	/* Now and then the other kernel recovers. */
	says("xfs, good, seed");
	assert_true(count("recovered by good") > 0 && count("recovered by other") > 0);
	assert_int_equal(files_in("*/kept/*"), 0);
	assert_int_equal(files_in("*/tmp/*"), 0);
	assert_int_equal(files_in("*/consoles/*"), 0);
}

/* A disk that lies about flushes loses what was promised. */
static void test_lie(void **state)
{
	(void)state;
	no_runs();
	assert_int_equal(ft_bash("./shbench powercut -q -k good --seed 5 --rounds 1 --images 8 --promises 200 --lie\n"), 1);
	assert_true(count("not ok") > 0);
	/* As it was left it is whole. */
	assert_int_equal(count("not ok 1 "), 0);
	says("# promised ");
	says("# reproduce: ./shbench powercut -k good --fs xfs --cpus 2 --seed ");
	assert_int_equal(files_in("*/kept/*"), 0);
	assert_int_equal(files_in("*/consoles/*"), 0);
	assert_int_equal(files_in("*/tmp/*"), 0);
}

/* A kernel that promises before it flushes. The log and the disks are kept, as they were before recovery, and the consoles. */
static void test_early(void **state)
{
	(void)state;
	no_runs();
	assert_int_equal(ft_bash("FAKE_POWER=early ./shbench powercut -q -k good --seed 5 --rounds 2 --images 8\n"), 1);
	assert_true(count("not ok") > 0);
	says("disks passed, ");
	assert_true(files_in("*/kept/*.log") > 0);
	assert_true(files_in("*/kept/*.img") > 0);
	assert_true(files_in("*/consoles/*-work.log") > 0);
	assert_true(files_in("*/consoles/*-check.log") > 0);
	assert_int_equal(files_in("*/tmp/*"), 0);
}

static void test_fsck(void **state)
{
	(void)state;
	assert_int_equal(ft_bash("FAKE_FSCK=1 ./shbench powercut -q -k good --seed 5 --rounds 1 --images 2 --promises 20\n"), 1);
	assert_int_equal(count("not ok"), 3);
	says("# xfs_repair: status 1: ");
	says("bad agf");
}

static void test_second_boot_fails(void **state)
{
	(void)state;
	assert_int_equal(ft_bash("FAKE_POWER=panic ./shbench powercut -q -k good --seed 5 --rounds 1 --images 2 --promises 20\n"), 1);
	assert_int_equal(count("not ok"), 3);
	says("# panic: Kernel panic - not syncing: log recovery");
}

/* A guest that ends before its cut has failed, and there is nothing to recover. */
static void test_first_boot_fails(void **state)
{
	(void)state;
	assert_int_equal(ft_bash("FAKE_QEMU=panic ./shbench powercut -q --accel tcg -k good --seed 5 --rounds 1 --images 2 --promises 20\n"), 1);
	assert_int_equal(count("not ok"), 1);
	says("before the cut\n# panic: ");
}

static void test_usage(void **state)
{
	(void)state;
	assert_int_equal(ft_bash("./shbench powercut -k good --fs ext4\n"), 2);
	says("neither xfs nor btrfs");
	assert_int_equal(ft_bash("./shbench powercut -k nosuch\n"), 2);
	assert_int_equal(ft_bash("./shbench powercut --seed 0\n"), 2);
	assert_int_equal(ft_bash("./shbench powercut --rounds -1\n"), 2);
	assert_int_equal(ft_bash("./shbench powercut what\n"), 2);
}

/* --- torture --------------------------------------------------------------------------------------------------------------- */

/* The lines of parts without how long they took. */
static char *parts(void)
{
	struct buf b = {};
	char *save = NULL, *copy = xstrdup(ft_said);

	buf_str(&b, "");
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!strncmp(line, "ok ", 3) || !strncmp(line, "not ok ", 7))
			buf_printf(&b, "%.*s\n", (int)(strstr(line, ": ") - line), line);
	free(copy);
	return b.s;
}

/* How many parts with opt two lists begin with alike; numbers do not count. */
static unsigned int same_parts(const char *a, const char *b)
{
	static const char option[] = "with opt";
	unsigned int n = 0;

	for (;; n++) {
		a = strstr(a, " - ");
		for (b = strstr(b, " - "); b && memmem(b, strcspn(b, "\n"), option, strlen(option)) == NULL; )
			b = strstr(b + 1, " - ");
		if (!a || !b || strncmp(a, b, strcspn(a, "\n") + 1))
			return n;
		a++;
		b++;
	}
}

static void test_torture(void **state)
{
	char *first, *again;

	(void)state;
	ft_kernel("base", PASS);
	no_runs();
	if (ft_bash("./shbench torture -k 'good/opt' --parts 5 --seed 3\n"))
		fail_msg("%s", ft_said);
	says("# seed 3\n");
	says("one, good with opt, 1 CPU, seed ");
	says(", 2 CPUs, seed ");
	assert_int_equal(count("\nok "), 5);
	says("1..5\n");
	first = parts();
	/* Runs that passed are not kept, the report is. */
	assert_int_equal(files_in("*/run.json"), 0);
	assert_int_equal(files_in("*/torture.tap"), 1);
	assert_int_equal(files_in("*/torture.json"), 1);
	assert_int_equal(ft_bash("cat results/runs/*/summary.md\n"), 0);
	says("# Torture: passed");
	says("./shbench torture --minutes 10 --seed 3 --kernels 'good/opt'");
	says("| good | one | ");
	assert_int_equal(ft_bash("./shbench torture -k 'good/opt other' --parts 4 --seed 3\n"), 0);
	again = parts();
	/* Another kernel in between changes nothing for this one. */
	assert_true(same_parts(first, again) >= 2);
	free(again);
	assert_int_equal(ft_bash("./shbench torture -k 'good/opt' --parts 2 --seed 4\n"), 0);
	again = parts();
	assert_int_equal(same_parts(first, again), 0);
	free(first);
	free(again);
}

static void test_torture_fails(void **state)
{
	(void)state;
	no_runs();
	ft_write("bench/torture.plan", "[plan]\nkernels = good\n[one]\nworkload = clonex\n");
	/* Every kernel gets its share of the time. */
	assert_int_equal(ft_bash("FAKE_FSCK=1 ./shbench torture -k 'good bad' --parts 6 --seed 3\n"), 1);
	says("not ok");
	says("# invalid: check failed: content: old bytes\n# reproduce: ./shbench run torture --seed ");
	says("-k bad --cell ");
	says("# console: ");
	assert_true(files_in("*/run.json") > 0);
	assert_int_equal(ft_bash("cat results/runs/*torture*/summary.md\n"), 0);
	says("# Torture: FAILED");
	assert_int_equal(ft_bash("python3 -c 'import json,glob; json.load(open(glob.glob(\"results/runs/*torture*/torture.json\")[0]))'\n"), 0);
}

static void test_torture_usage(void **state)
{
	(void)state;
	assert_int_equal(ft_bash("./shbench torture -k 'good+nosuch' --minutes 1\n"), 2);
	assert_int_equal(ft_bash("./shbench torture --minutes 0\n"), 2);
	assert_int_equal(ft_bash("./shbench torture --seed x\n"), 2);
	assert_int_equal(ft_bash("./shbench torture 5\n"), 2);
	assert_int_equal(ft_bash("./shbench torture -k ''\n"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_promises_kept),
		cmocka_unit_test(test_lie),
		cmocka_unit_test(test_early),
		cmocka_unit_test(test_fsck),
		cmocka_unit_test(test_second_boot_fails),
		cmocka_unit_test(test_first_boot_fails),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_torture),
		cmocka_unit_test(test_torture_fails),
		cmocka_unit_test(test_torture_usage),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
