// SPDX-License-Identifier: GPL-2.0
/*
 * The numbers of the plan `smoke` that must be exact on an unmodified kernel, whatever the machine: how many frames N clones
 * hold in each clone mode, and that the icount lane repeats. Reads the newest run below $SHCACHE_RESULTS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "store.h"
#include "util.h"

static json_t *doc;

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* The value of a metric in a cell at n and access; fails the test if it is not there. */
static double value(const json_t *cell, const char *metric, const char *n, const char *access)
{
	json_t *s;
	size_t i;

	json_array_foreach(json_object_get(cell, "samples"), i, s) {
		const json_t *x = json_object_get(s, "x");

		if (!strcmp(str(s, "m"), metric) && !strcmp(str(x, "n"), n) && !strcmp(str(x, "access"), access))
			return json_number_value(json_object_get(s, "v"));
	}
	fail_msg("cell %s has no %s at n=%s access=%s", str(cell, "id"), metric, n, access);
	return 0;
}

static bool shares(const char *mode)
{
	return !strcmp(mode, "overlay");
}

/*
 * Today a clone's file has a page cache of its own, so N clones hold N copies, exactly; so do full copies, and overlay files
 * that were copied up. Plain overlayfs holds one. This is the baseline the whole project measures against.
 */
static void test_copies(void **state)
{
	static const char *const access[] = { "read", "mmap" };
	static const struct {
		const char *text;
		double v;
	} n[] = { { "1", 1 }, { "2", 2 }, { "8", 8 } };
	unsigned int cells = 0;
	json_t *c;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		if (strcmp(str(c, "section"), "footprint"))
			continue;
		assert_string_equal(str(c, "verdict"), "passed");
		cells++;
		for (size_t a = 0; a < ARRAY_SIZE(access); a++)
			for (size_t k = 0; k < ARRAY_SIZE(n); k++) {
				double one = value(c, "one_copy_pages", n[k].text, access[a]);
				double frames = value(c, "unique_frames", n[k].text, access[a]);
				double want = shares(str(c, "mode")) ? one : one * n[k].v;

				/* 4 MiB in 24 files: at least 1024 pages, at most one partly filled page more per file. */
				assert_in_range(one, 1024, 1048);
				if (frames != want)
					fail_msg("%s/%s %s n=%s: %.0f frames, must be %.0f", str(c, "fs"), str(c, "mode"), access[a],
						 n[k].text, frames, want);
			}
	}
	/* Two file systems x five modes, without snapshots on XFS. */
	assert_int_equal(cells, 9);
}

/* A first touch of what another clone has cached: a major fault with I/O on reflink, none on overlay. */
static void test_first_touch(void **state)
{
	unsigned int cells = 0;
	json_t *c, *s;
	size_t i, j;

	(void)state;
	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		unsigned int passes = 0;

		if (strcmp(str(c, "section"), "fault"))
			continue;
		cells++;
		json_array_foreach(json_object_get(c, "samples"), j, s) {
			const json_t *x = json_object_get(s, "x");
			double v = json_number_value(json_object_get(s, "v"));

			if (strcmp(str(s, "m"), "first_touch_major") || strcmp(str(x, "class"), "first-touch") ||
			    strcmp(str(x, "around"), "off"))
				continue;
			passes++;
			if (shares(str(c, "mode")))
				assert_true(v == 0);
			else
				assert_true(v == 128);	/* param.pages: every touch */
		}
		assert_true(passes > 0);
	}
	/* Two file systems x two modes, and the repeated boot. */
	assert_int_equal(cells, 5);
}

static void test_icount_repeats(void **state)
{
	(void)state;
	/* One repeated boot in each of the two icount sections; run_check_determinism() has compared them. */
	assert_int_equal(json_integer_value(json_object_get(doc, "determinism_pairs")), 2);
}

static int setup(void **state)
{
	char *path = run_dir_find("last");

	(void)state;
	doc = path ? rundoc_load(path) : NULL;
	free(path);
	return doc ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	json_decref(doc);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_first_touch),
		cmocka_unit_test(test_icount_repeats),
	};

	return cmocka_run_group_tests_name("smoke", tests, setup, teardown);
}
