// SPDX-License-Identifier: GPL-2.0
/* store.c and the driver's pure part: run directories, locks, the icount lane's check of itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"
#include "store.h"
#include "util.h"

static char dir[] = "/tmp/shcache-store-XXXXXX";

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) && !setenv("SHCACHE_RESULTS", dir, 1) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return remove_tree(dir);
}

static void test_create_find(void **state)
{
	struct run_dir a, b, c, d;
	char *p;

	(void)state;
	p = run_dir_find("last");
	assert_null(p);
	assert_int_equal(run_dir_create("quick", &a), 0);
	assert_non_null(strstr(a.id, "-quick-"));
	/* A second process must not get in; the lock is per open file, so this one stands for it. */
	assert_int_equal(run_dir_open(a.id, &b), -EBUSY);
	p = run_dir_find("last");
	assert_string_equal(p, a.path);
	free(p);
	p = xstrdup(a.id);
	run_dir_close(&a);
	assert_int_equal(run_dir_open(p, &b), 0);
	assert_string_equal(b.id, p);
	free(p);
	sleep(1);
	assert_int_equal(run_dir_create("quick", &c), 0);
	p = run_dir_find("last-1");
	assert_string_equal(p, b.path);
	free(p);
	p = run_dir_find("20");
	assert_null(p);		/* not unique */
	p = run_dir_find_of("quick", "last");
	assert_string_equal(p, c.path);
	free(p);
	/* Neither a part of the name nor a longer one. */
	assert_null(run_dir_find_of("qui", "last"));
	assert_null(run_dir_find_of("ick", "last"));
	assert_null(run_dir_find_of("quicker", "last"));
	assert_int_equal(run_dir_create("quick-debug", &d), 0);
	p = run_dir_find_of("quick", "last-1");
	assert_string_equal(p, b.path);
	free(p);
	p = run_dir_find_of("quick", d.id);
	assert_string_equal(p, d.path);
	free(p);
	run_dir_close(&d);
	run_dir_close(&b);
	run_dir_close(&c);
}

static void test_json(void **state)
{
	char *p = xasprintf("%s/x.json", dir);
	json_t *v = json_pack("{s:i}", "a", 1), *w;

	(void)state;
	assert_int_equal(json_save(p, v), 0);
	w = json_read(p);
	assert_true(json_equal(v, w));
	json_decref(w);
	assert_int_equal(write_file_atomic(p, "{\"a\":", 5), 0);
	assert_null(json_read(p));
	assert_int_equal(json_save("/nonexistent/x.json", v), -ENOENT);
	json_decref(v);
	free(p);
}

static json_t *cell(const char *label, const char *section, const char *lane, int perturbation, double value)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:{},s:s,s:i,s:i,s:s,s:[{s:s,s:f}],s:[],s:s}", "id", label, "kernel", label,
			 "kernel_id", "k1", "section", section, "workload", "w", "lane", lane, "fs", "xfs", "mode", "reflink", "image",
			 "synthetic", "params", "mount", "", "perturbation", perturbation, "seed", 1, "verdict", "passed", "samples", "m",
			 "x", "v", value, "hists", "cmdline", "quiet");
}

static const char *verdict(json_t *cells, size_t i)
{
	return json_string_value(json_object_get(json_array_get(cells, i), "verdict"));
}

static void test_determinism(void **state)
{
	json_t *c = json_array();
	double worst = 0;

	(void)state;
	json_array_append_new(c, cell("a", "s", "icount", 0, 1));
	json_array_append_new(c, cell("b", "s", "icount", 0, 1));
	json_array_append_new(c, cell("a2", "s", "icount", 1, 5));
	json_array_append_new(c, cell("b2", "s", "icount", 1, 5));
	json_array_append_new(c, cell("w1", "s", "wall", 0, 1));
	json_array_append_new(c, cell("w2", "s", "wall", 0, 2));
	assert_int_equal(run_check_determinism(c, &worst), 2);
	for (size_t i = 0; i < 6; i++)
		assert_string_equal(verdict(c, i), "passed");
	/* Another command line: another boot, whose numbers may be others. */
	json_array_append_new(c, cell("p", "param", "icount", 0, 1));
	json_array_append_new(c, cell("q", "param", "icount", 0, 2));
	json_object_set_new(json_array_get(c, 7), "cmdline", json_string("quiet perf_canary=1"));
	assert_int_equal(run_check_determinism(c, &worst), 2);
	assert_string_equal(verdict(c, 6), "passed");
	json_array_remove(c, 7);
	json_array_remove(c, 6);
	/* One number differs in one pair: the section's icount cells fall, other sections and lanes stand. */
	json_array_append_new(c, cell("o1", "other", "icount", 0, 1));
	json_array_append_new(c, cell("o2", "other", "icount", 0, 1));
	json_object_set_new(json_array_get(json_object_get(json_array_get(c, 3), "samples"), 0), "v", json_real(5.00004));
	run_check_determinism(c, &worst);
	assert_string_equal(verdict(c, 3), "passed");
	assert_true(worst > 7.9e-6 && worst < 8.1e-6);
	json_object_set_new(json_array_get(json_object_get(json_array_get(c, 3), "samples"), 0), "v", json_real(5.00006));
	run_check_determinism(c, &worst);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(verdict(c, i), "invalid");
	for (size_t i = 4; i < 8; i++)
		assert_string_equal(verdict(c, i), "passed");
	json_decref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_find),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_determinism),
	};

	return cmocka_run_group_tests_name("store", tests, setup, teardown);
}
