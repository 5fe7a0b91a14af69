// SPDX-License-Identifier: GPL-2.0
/* plan.c: what a plan may say, what is refused with which words, and the order of cells. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan.h"
#include "util.h"

static char path[64];
static char *said;	/* what went to stderr */

/* Loads a plan from text, with stderr caught in said. */
static int load(const char *text, struct plan **p)
{
	char errs[] = "/tmp/shcache-plan-err-XXXXXX";
	int fd = mkstemp(errs), keep = dup(2), ret;

	strcpy(path, "/tmp/shcache-plan-XXXXXX.plan");
	close(mkstemps(path, 5));
	assert_int_equal(write_file_atomic(path, text, strlen(text)), 0);
	fflush(stderr);
	dup2(fd, 2);
	ret = plan_load(path, p);
	fflush(stderr);
	dup2(keep, 2);
	close(keep);
	close(fd);
	free(said);
	assert_int_equal(read_file(errs, &said, NULL), 0);
	unlink(errs);
	unlink(path);
	return ret;
}

#define HEAD "[plan]\nkernels = base base:again\n"

static void test_sizes(void **state)
{
	static const struct {
		const char *s;
		int ret;
		uint64_t v;
	} t[] = {
		{ "0", 0, 0 }, { "4096", 0, 4096 }, { "4k", 0, 4096 }, { "4K", 0, 4096 }, { "3M", 0, 3 << 20 },
		{ "2G", 0, 2ull << 30 }, { "1T", 0, 1ull << 40 }, { "", -EINVAL, 0 }, { "-1", -EINVAL, 0 }, { "4q", -EINVAL, 0 },
		{ "4kk", -EINVAL, 0 }, { "99999999999999999999", -EINVAL, 0 }, { "18446744073709551615k", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint64_t v = 0;

		assert_int_equal(parse_size(t[i].s, &v), t[i].ret);
		assert_true(v == t[i].v);
	}
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *want;
	} t[] = {
		{ HEAD, "has no section" },
		{ "[a]\nworkload = x\n", "names no kernels" },
		{ HEAD "[a]\nfs = xfs\n", "names no workload" },
		{ HEAD "[a]\nworkload = x\nlanes = wall\n", ":5: unknown key 'lanes': did you mean lane" },
		{ HEAD "[a]\nworkload = x\nfs = xsf\n", "'xsf' is none of: xfs btrfs: did you mean xfs" },
		{ HEAD "[a]\nworkload = x\nmem = lots\n", ":5: mem is 'lots', must be a number, with k, M or G" },
		{ HEAD "[a]\nworkload = x\nboots = 0\n", ":5: boots is '0'" },
		{ HEAD "[a]\nworkload = x\nshared = maybe\n", ":5: shared is 'maybe', must be yes or no" },
		{ HEAD "[a]\nworkload = x\nmode =\n", ":5: mode has no value" },
		{ HEAD "[a]\nworkload = x\n[b]\nworkload = y\n[a]\nfs = xfs\n", ":8: section [a] stands twice" },
		{ HEAD "[a]\nworkload = x\nfs = xfs\n[a]\nfs = xfs\n", "[a] fs: 'xfs' stands twice" },
		{ HEAD "[a]\nworkload = x\ngarbage\n", ":5: neither [section] nor key = value" },
		{ "summary = x\n", ":1: 'summary' stands before the first [section]" },
		{ HEAD "[a]\nworkload = x\nexpect = pass\n", "'pass' is not a verdict" },
		{ HEAD "[a]\nworkload = x\nlane = icount\ndevice = virtio\n", "must keep all storage in guest memory" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct plan *p;

		assert_int_equal(load(t[i].text, &p), -EINVAL);
		if (!strstr(said, t[i].want))
			fail_msg("for plan %zu '%s' is not in '%s'", i, t[i].want, said);
		if (!strstr(said, path))
			fail_msg("'%s' does not name the file", said);
		/* One line. */
		assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	}
}

static void test_check(void **state)
{
	json_t *d = json_loads("{\"workloads\":[{\"name\":\"fault\",\"params\":[{\"name\":\"pages\"}]}]}", 0, NULL);
	struct plan *p;

	(void)state;
	assert_int_equal(load(HEAD "[a]\nworkload = fault\nparam.pages = 4\n", &p), 0);
	assert_int_equal(plan_check(p, d), 0);
	plan_free(p);
	assert_int_equal(load(HEAD "[a]\nworkload = falt\n", &p), 0);
	assert_int_equal(plan_check(p, d), -EINVAL);
	plan_free(p);
	assert_int_equal(load(HEAD "[a]\nworkload = fault\nparam.page = 4\n", &p), 0);
	assert_int_equal(plan_check(p, d), -EINVAL);
	plan_free(p);
	json_decref(d);
}

static void test_expand(void **state)
{
	struct plan *p;
	struct cell *c;
	size_t nr;

	(void)state;
	assert_int_equal(load(HEAD "seed = 7\n[a]\nworkload = x\nfs = xfs btrfs\nmode = reflink snapshot\nboots = 2\n", &p), 0);
	assert_int_equal(plan_expand(p, NULL, &c, &nr), 0);
	/* 3 combinations (no snapshot on xfs) x 2 boots x 2 kernels, the kernels in ABBA order. */
	assert_int_equal(nr, 12);
	assert_string_equal(c[0].label, "base");
	assert_string_equal(c[1].label, "again");
	assert_string_equal(c[1].kernel, "base");
	assert_string_equal(c[6].label, "again");
	assert_string_equal(c[7].label, "base");
	assert_int_equal(c[0].seed, 7);
	assert_int_equal(c[6].seed, 8);
	for (size_t i = 0; i < nr; i++) {
		assert_false(!strcmp(c[i].fs, "xfs") && !strcmp(c[i].mode, "snapshot"));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(c[i].id, c[j].id);
	}
	cells_free(c, nr);
	/* Different kernels: each icount section repeats one boot to check the lane. */
	plan_free(p);
	assert_int_equal(load(HEAD "[a]\nworkload = x\nlane = icount\nperturb = 3\nboots = 4\n", &p), 0);
	assert_int_equal(plan_expand(p, "base patched", &c, &nr), 0);
	assert_int_equal(nr, 3 * 2 + 1);
	assert_true(c[6].selfcheck);
	assert_string_equal(c[6].label, "base");
	cells_free(c, nr);
	/* The same kernel twice is its own check. */
	assert_int_equal(plan_expand(p, NULL, &c, &nr), 0);
	assert_int_equal(nr, 6);
	cells_free(c, nr);
	assert_int_equal(plan_expand(p, "base base", &c, &nr), -EINVAL);
	plan_free(p);
	/* A peer is booted with the baseline only; then nothing but a repetition can check its icount lane. */
	assert_int_equal(load(HEAD "[a]\nworkload = x\npeer = yes\nlane = wall icount\nboots = 2\n", &p), 0);
	assert_int_equal(plan_expand(p, NULL, &c, &nr), 0);
	assert_int_equal(nr, 2 + 1 + 1);
	for (size_t i = 0; i < nr; i++) {
		assert_string_equal(c[i].label, "base");
		assert_int_equal(c[i].selfcheck, i == 2);
	}
	cells_free(c, nr);
	plan_free(p);
	assert_int_equal(load(HEAD "[a]\nworkload = x\nmode = snapshot\n", &p), 0);
	assert_int_equal(plan_expand(p, NULL, &c, &nr), -EINVAL);
	plan_free(p);
}

static void test_override(void **state)
{
	static const char text[] = HEAD "[a]\nworkload = x\nmount = dax\nmount.base = sync\n[b]\nworkload = x\ncpus = 4\n";
	struct plan *p;
	struct cell *before, *after;
	size_t nr, n;

	(void)state;
	assert_int_equal(load(text, &p), 0);
	assert_int_equal(plan_expand(p, NULL, &before, &nr), 0);
	plan_override(p, 0, NULL);
	assert_int_equal(p->sections[1].cpus, 4);
	assert_string_equal(p->sections[0].mount, "dax");
	assert_int_equal(p->sections[0].nr_mounts, 1);
	plan_override(p, 1, "shcache");
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(p->sections[i].cpus, 1);
		assert_string_equal(p->sections[i].mount, "shcache");
		assert_int_equal(p->sections[i].nr_mounts, 0);
	}
	/* Another boot has another name. */
	assert_int_equal(plan_expand(p, NULL, &after, &n), 0);
	assert_int_equal(n, nr);
	for (size_t i = 0; i < nr; i++)
		assert_string_not_equal(before[i].id, after[i].id);
	cells_free(before, nr);
	cells_free(after, nr);
	plan_override(p, 0, "");
	assert_null(p->sections[0].mount);
	plan_free(p);
}

/* Whatever stands in bench/ must load. */
static void test_shipped(void **state)
{
	char **names = plan_names();

	(void)state;
	assert_non_null(names[0]);
	for (size_t i = 0; names[i]; i++) {
		struct plan *p;
		struct cell *c;
		size_t nr;

		assert_int_equal(plan_load(names[i], &p), 0);
		assert_non_null(p->summary);
		assert_int_equal(plan_expand(p, NULL, &c, &nr), 0);
		assert_true(nr > 0);
		cells_free(c, nr);
		plan_free(p);
		free(names[i]);
	}
	free(names);
}

static int clean(void **state)
{
	(void)state;
	free(said);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),  cmocka_unit_test(test_mistakes), cmocka_unit_test(test_check),
		cmocka_unit_test(test_expand), cmocka_unit_test(test_override), cmocka_unit_test(test_shipped),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, clean);
}
