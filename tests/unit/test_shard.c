// SPDX-License-Identifier: GPL-2.0
/* shard.c and merge.c: parts add up to the plan, keep together what is compared, are even; what does not fit together is refused. */
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

#include "bench.h"
#include "rundoc-fixture.h"
#include "shard.h"
#include "util.h"

static const char text[] =
	"[plan]\nkernels = base base:again shc\n"
	"[count]\nworkload = footprint\nfs = xfs btrfs\nmode = reflink overlay\nboots = 3\nshared = yes\n"
	"[time]\nworkload = start\nfs = xfs btrfs\nboots = 5\n"
	"[exact]\nworkload = fault\nlane = icount\nfs = xfs btrfs\nperturb = 3\n";

static struct plan *plan;
static struct cell *cells;
static size_t nr;

static int setup(void **state)
{
	(void)state;
	return plan_parse("bench/p.plan", text, &plan) || plan_expand(plan, NULL, &cells, &nr);
}

static int teardown(void **state)
{
	(void)state;
	cells_free(cells, nr);
	plan_free(plan);
	return 0;
}

static void parse(void **state)
{
	static const struct {
		const char *s;
		int ret;
		unsigned int i, n;
	} t[] = {
		{ "1/1", 0, 1, 1 }, { "2/5", 0, 2, 5 }, { "1000/1000", 0, 1000, 1000 }, { "0/5", -EINVAL, 0, 0 }, { "6/5", -EINVAL, 0, 0 },
		{ "1/1001", -EINVAL, 0, 0 }, { "1", -EINVAL, 0, 0 }, { "1/", -EINVAL, 0, 0 }, { "1/2x", -EINVAL, 0, 0 }, { "", -EINVAL, 0, 0 },
		{ "a/b", -EINVAL, 0, 0 }, { "-1/2", -EINVAL, 0, 0 },
	};
	unsigned int i, n;

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(t); k++) {
		assert_int_equal(shard_parse(t[k].s, &i, &n), t[k].ret);
		if (!t[k].ret) {
			assert_int_equal(i, t[k].i);
			assert_int_equal(n, t[k].n);
		}
	}
}

/* Must these two be carried out by one machine? */
static bool together(const struct cell *a, const struct cell *b)
{
	bool place = a->s == b->s && a->lane == b->lane && !strcmp(a->fs, b->fs) && !strcmp(a->mode, b->mode) && !strcmp(a->image, b->image);
	bool timed = a->lane == LANE_WALL && !a->s->shared;

	return place && (timed || (a->boot == b->boot && a->perturbation == b->perturbation));
}

static void split_keeps_together(void **state)
{
	unsigned int *part = xcalloc(nr, sizeof(*part));

	(void)state;
	assert_int_equal(nr, 3 * (4 * 3 + 2 * 5 + 2 * 3));
	for (unsigned int count = 1; count <= 40; count++) {
		unsigned int used = 0;

		memset(part, 0, nr * sizeof(*part));
		shard_split(cells, nr, NULL, count, part);
		for (size_t i = 0; i < nr; i++) {
			assert_in_range(part[i], 1, count);
			used = part[i] > used ? part[i] : used;
			for (size_t k = 0; k < i; k++)
				if (together(&cells[i], &cells[k]))
					assert_int_equal(part[i], part[k]);
		}
		/* 12 counts, 2 places that are timed, 6 layouts. */
		assert_int_equal(used, count < 20 ? count : 20);
	}
	free(part);
}

/* A self-check runs where the boot runs that it repeats. */
static void split_selfcheck(void **state)
{
	struct plan *p;
	struct cell *c;
	unsigned int part[64];
	size_t n, check = 64;

	(void)state;
	assert_int_equal(plan_parse("p", "[plan]\nkernels = a b\n[x]\nworkload = fault\nlane = icount\nfs = xfs btrfs\nperturb = 4\n", &p), 0);
	assert_int_equal(plan_expand(p, NULL, &c, &n), 0);
	for (size_t i = 0; i < n; i++)
		check = c[i].selfcheck ? i : check;
	assert_true(check < n);
	for (unsigned int count = 2; count < 9; count++) {
		shard_split(c, n, NULL, count, part);
		for (size_t i = 0; i < n; i++)
			if (!strcmp(c[i].fs, c[check].fs) && !c[i].perturbation)
				assert_int_equal(part[i], part[check]);
	}
	cells_free(c, n);
	plan_free(p);
}

static json_t *known(void)
{
	return json_pack("{s:[{s:s,s:s,s:s,s:s,s:s,s:f},{s:s,s:s,s:s,s:s,s:s,s:f},{s:s,s:s,s:s,s:s,s:s,s:f}]}", "cells",
			 "section", "time", "lane", "wall", "fs", "xfs", "mode", "reflink", "image", "synthetic", "wall_s", 60.0,
			 "section", "time", "lane", "wall", "fs", "btrfs", "mode", "reflink", "image", "synthetic", "wall_s", 30.0,
			 "section", "exact", "lane", "icount", "fs", "xfs", "mode", "reflink", "image", "synthetic", "wall_s", 20.0);
}

static const struct cell *cell_of(const char *section, const char *fs)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(cells[i].s->name, section) && !strcmp(cells[i].fs, fs))
			return &cells[i];
	return NULL;
}

/* The place's own duration, else the section's, else that of all. */
static void durations(void **state)
{
	json_t *d = known();

	(void)state;
	assert_true(durations_seconds(d, cell_of("time", "xfs")) == 60);
	assert_true(durations_seconds(d, cell_of("time", "btrfs")) == 30);
	assert_true(durations_seconds(d, cell_of("exact", "btrfs")) == 20);
	assert_true(durations_seconds(d, cell_of("count", "xfs")) == 110.0 / 3);
	assert_true(durations_seconds(NULL, cell_of("count", "xfs")) == 10);
	json_decref(d);
}

/* Graham's bound against the least that any split must have, with all parts computed alike on "other machines". */
static void split_is_even(void **state)
{
	unsigned int *part = xcalloc(nr, sizeof(*part)), *again = xcalloc(nr, sizeof(*again));
	json_t *d = known();

	(void)state;
	for (unsigned int count = 2; count <= 6; count++) {
		double load[7] = { 0 }, total = 0, longest = 3 * 5 * 60, most = 0;

		shard_split(cells, nr, d, count, part);
		shard_split(cells, nr, d, count, again);
		assert_memory_equal(part, again, nr * sizeof(*part));
		for (size_t i = 0; i < nr; i++) {
			double s = durations_seconds(d, &cells[i]) / (cells[i].lane == LANE_WALL && !cells[i].s->shared ? 1 : 2);

			load[part[i]] += s;
			total += s;
		}
		for (unsigned int i = 1; i <= count; i++)
			most = fmax(most, load[i]);
		assert_true(most <= 4.0 / 3 * fmax(total / count, longest) + 1);
	}
	json_decref(d);
	free(part);
	free(again);
}

static void durations_files(void **state)
{
	char path[] = "/tmp/shcache-durations-XXXXXX", hash[65];
	json_t *doc = fx_doc(), *d, *c;

	(void)state;
	close(mkstemp(path));
	for (unsigned int i = 0; i < 5; i++) {
		c = fx_cell(doc, "base", i < 3 ? "start" : "fault", i < 4 ? "wall" : "icount", "xfs", "reflink", i, 0);
		json_object_set_new(c, "wall_s", json_real(1 + i));
		json_object_set_new(c, "cpu_s", json_real(i < 4 ? 9 : 0.5));
	}
	d = durations_of(doc);
	assert_int_equal(json_array_size(json_object_get(d, "cells")), 3);
	/* On a busy host. */
	assert_true(json_number_value(json_object_get(json_array_get(json_object_get(d, "cells"), 2), "wall_s")) == 0.5);
	assert_true(json_number_value(json_object_get(json_array_get(json_object_get(d, "cells"), 0), "wall_s")) == 2);
	assert_true(json_number_value(json_object_get(json_array_get(json_object_get(d, "cells"), 1), "wall_s")) == 4);
	assert_int_equal(json_dump_file(d, path, 0), 0);
	json_decref(d);
	assert_int_equal(durations_load(path, plan, &d, hash), 0);
	assert_int_equal(strlen(hash), 64);
	json_decref(d);
	assert_int_equal(write_file_atomic(path, "{\"cells\":3}", 11), 0);
	assert_int_equal(durations_load(path, plan, &d, hash), -EINVAL);
	assert_int_equal(write_file_atomic(path, "[", 1), 0);
	assert_int_equal(durations_load(path, plan, &d, hash), -EINVAL);
	unlink(path);
	assert_int_equal(durations_load(path, plan, &d, hash), -ENOENT);
	/* The plan "p" has no file of its own. */
	assert_int_equal(durations_load(NULL, plan, &d, hash), 0);
	assert_null(d);
	assert_string_equal(hash, "");
	json_decref(doc);
}

static void places(void **state)
{
	(void)state;
	assert_true(run_place_matches("a", "a/wall/xfs/reflink/i"));
	assert_true(run_place_matches("a/wall/xfs", "a/wall/xfs/reflink/i"));
	assert_true(run_place_matches("a/wall/xfs/reflink//home/x.tar", "a/wall/xfs/reflink//home/x.tar"));
	assert_false(run_place_matches("a/wall/x", "a/wall/xfs/reflink/i"));
	assert_false(run_place_matches("b", "a/wall/xfs/reflink/i"));
	assert_false(run_place_matches("a/wall/xfs/reflink/i/j", "a/wall/xfs/reflink/i"));
}

/* --- merging -------------------------------------------------------------------------------------------------------------------- */

enum { PARTS = 3 };
static const char *const names[PARTS] = { "p1", "p2", "p3" };

/* The documents that the parts leave. */
static void make_parts(json_t *docs[PARTS])
{
	unsigned int *part = xcalloc(nr, sizeof(*part));

	shard_split(cells, nr, NULL, PARTS, part);
	for (unsigned int k = 0; k < PARTS; k++) {
		json_t *d = docs[k] = fx_doc();

		fx_kernel(d, "base", "base", "", "aaaa1111");
		fx_kernel(d, "again", "base", "", "aaaa1111");
		fx_kernel(d, "shc", "shc", "5e71e5", "bbbb2222");
		fx_metrics(d);
		json_object_set_new(d, "id", json_string(names[k]));
		json_object_set_new(d, "agent", json_string("a9e27"));
		json_object_set_new(json_object_get(d, "plan"), "text", json_string(text));
		json_object_set_new(json_object_get(d, "plan"), "name", json_string("p"));
		json_object_set_new(json_object_get(d, "host"), "cpu", json_sprintf("processor %u", k));
		json_object_set_new(d, "shard", json_pack("{s:i,s:i,s:s}", "index", k + 1, "count", PARTS, "durations", ""));
		json_object_set_new(d, "images", json_pack("[{s:s,s:s}]", "name", "synthetic", "hash", "5eed"));
		for (size_t i = 0; i < nr; i++) {
			json_t *c;

			if (part[i] != k + 1)
				continue;
			c = fx_cell(d, cells[i].label, cells[i].s->workload, cells[i].lane == LANE_ICOUNT ? "icount" : "wall",
				    cells[i].fs, cells[i].mode, cells[i].boot, cells[i].perturbation);
			json_object_set_new(c, "id", json_string(cells[i].id));
			json_object_set_new(c, "section", json_string(cells[i].s->name));
			json_object_set_new(c, "image", json_string(cells[i].image));
			json_object_set_new(c, "kernel_id", json_string(strcmp(cells[i].label, "shc") ? "0" : "1"));
			json_object_set_new(c, "mount", json_string(""));
			fx_sample(c, "fault_batch", 640, "class=pte-only");
		}
	}
	free(part);
}

static void drop_parts(json_t *docs[PARTS])
{
	for (unsigned int k = 0; k < PARTS; k++)
		json_decref(docs[k]);
}

static void merge(void **state)
{
	json_t *docs[PARTS], *out, *c;
	char *why;
	size_t i;

	(void)state;
	make_parts(docs);
	/* The order in which they are given means nothing. */
	out = merge_docs((json_t *[]){ docs[2], docs[0], docs[1] }, (const char *[]){ "p3", "p1", "p2" }, PARTS, "whole", &why);
	if (!out)
		fail_msg("%s", why);
	assert_int_equal(rundoc_check(out, &why), 0);
	assert_string_equal(json_string_value(json_object_get(out, "id")), "whole");
	assert_int_equal(json_array_size(json_object_get(out, "cells")), nr);
	json_array_foreach(json_object_get(out, "cells"), i, c)
		assert_string_equal(json_string_value(json_object_get(c, "id")), cells[i].id);
	assert_int_equal(json_array_size(json_object_get(out, "parts")), PARTS);
	assert_null(json_object_get(out, "shard"));
	/* base and again in 2 file systems and 3 layouts. */
	assert_int_equal(json_integer_value(json_object_get(out, "determinism_pairs")), 6);
	json_decref(out);
	drop_parts(docs);
}

/* One part finds that the icount lane is not deterministic: the section's cells of the others are invalid too. */
static void merge_judges_determinism(void **state)
{
	json_t *docs[PARTS], *out, *c;
	unsigned int invalid = 0;
	bool done = false;
	char *why;
	size_t i;

	(void)state;
	make_parts(docs);
	for (unsigned int k = 0; k < PARTS; k++)
		json_array_foreach(json_object_get(docs[k], "cells"), i, c)
			if (!done && !strcmp(json_string_value(json_object_get(c, "section")), "exact") &&
			    !strcmp(json_string_value(json_object_get(c, "kernel")), "again")) {
				fx_sample(c, "fault_batch", 641, "class=cold-major");
				done = true;
			}
	out = merge_docs(docs, names, PARTS, "whole", &why);
	assert_non_null(out);
	json_array_foreach(json_object_get(out, "cells"), i, c)
		invalid += !strcmp(json_string_value(json_object_get(c, "verdict")), "invalid");
	assert_int_equal(invalid, 3 * 2 * 3);
	json_decref(out);
	drop_parts(docs);
}

/* What is done to part 2, or to the list of parts, and what must be said. */
static void spoil_kernel_id(json_t *d)
{
	json_object_set_new(json_array_get(json_object_get(d, "kernels"), 2), "id", json_string("f00"));
}
static void spoil_config(json_t *d)
{
	json_object_set_new(json_array_get(json_object_get(d, "kernels"), 0), "config_hash", json_string("f00"));
}
static void spoil_compiler(json_t *d)
{
	json_object_set_new(json_array_get(json_object_get(d, "kernels"), 0), "compiler", json_string("clang"));
}
static void spoil_label(json_t *d)
{
	json_object_set_new(json_array_get(json_object_get(d, "kernels"), 0), "label", json_string("f00"));
}
static void spoil_count(json_t *d)
{
	json_array_remove(json_object_get(d, "kernels"), 2);
}
static void spoil_qemu(json_t *d)
{
	json_object_set_new(json_object_get(d, "qemu"), "version", json_string("QEMU 9"));
}
static void spoil_accel(json_t *d)
{
	json_object_set_new(json_object_get(d, "qemu"), "accel", json_string("kvm"));
}
static void spoil_plan(json_t *d)
{
	json_object_set_new(json_object_get(d, "plan"), "hash", json_string("f00"));
}
static void spoil_seed(json_t *d)
{
	json_object_set_new(json_object_get(d, "plan"), "seed", json_integer(2));
}
static void spoil_harness(json_t *d)
{
	json_object_set_new(json_object_get(d, "host"), "harness", json_string("v2-dirty"));
}
static void spoil_agent(json_t *d)
{
	json_object_set_new(d, "agent", json_string("f00"));
}
static void spoil_workloads(json_t *d)
{
	json_array_clear(json_object_get(d, "workloads"));
}
static void spoil_image(json_t *d)
{
	json_object_set_new(json_array_get(json_object_get(d, "images"), 0), "hash", json_string("f00"));
}
static void spoil_durations(json_t *d)
{
	json_object_set_new(json_object_get(d, "shard"), "durations", json_string("f00"));
}
static void spoil_whole(json_t *d)
{
	json_object_del(d, "shard");
}
static void spoil_of(json_t *d)
{
	json_object_set_new(json_object_get(d, "shard"), "count", json_integer(4));
}
static void spoil_index(json_t *d)
{
	json_object_set_new(json_object_get(d, "shard"), "index", json_integer(3));
}
static void spoil_complete(json_t *d)
{
	json_object_set_new(d, "complete", json_false());
}
static void spoil_missing(json_t *d)
{
	json_array_remove(json_object_get(d, "cells"), 1);
}
static void spoil_lane(json_t *d)
{
	json_object_set_new(json_array_get(json_object_get(d, "cells"), 0), "lane", json_string("icount"));
}
static void spoil_section(json_t *d)
{
	json_object_set_new(json_array_get(json_object_get(d, "cells"), 0), "section", json_string("f00"));
}
static void spoil_twice(json_t *d)
{
	json_array_append(json_object_get(d, "cells"), json_array_get(json_object_get(d, "cells"), 0));
}
static void spoil_invented(json_t *d)
{
	json_t *c = json_deep_copy(json_array_get(json_object_get(d, "cells"), 0));

	json_object_set_new(c, "id", json_string("0123456789ab"));
	json_array_append_new(json_object_get(d, "cells"), c);
}

static void merge_refuses(void **state)
{
	static const struct {
		void (*spoil)(json_t *doc);
		const char *say;
	} t[] = {
		{ spoil_kernel_id, "different kernels \"shc\" (id): p1 has \"c0ffee00c0ffee00\", p2 has \"f00\"" },
		{ spoil_config, "different kernels \"base\" (config_hash)" },
		{ spoil_compiler, "different kernels \"base\" (compiler)" },
		{ spoil_label, "different kernels: p1 has \"base\", p2 has \"f00\"" },
		{ spoil_count, "p1 has 3 kernels, p2 has 2" },
		{ spoil_qemu, "different versions of QEMU" },
		{ spoil_accel, "different accelerators: p1 has \"tcg\", p2 has \"kvm\"" },
		{ spoil_plan, "different texts of the plan" },
		{ spoil_seed, "different seeds in p1 and p2" },
		{ spoil_harness, "different versions of the harness" },
		{ spoil_agent, "different guest agents" },
		{ spoil_workloads, "different workloads" },
		{ spoil_image, "different images \"synthetic\" (in p2)" },
		{ spoil_durations, "different files of durations" },
		{ spoil_whole, "p2 is no part: it was not made with --shard" },
		{ spoil_of, "p1 is a part of 3, p2 a part of 4" },
		{ spoil_index, "part 3/3 is there twice: p2 and p3" },
		{ spoil_complete, "p2 is not complete" },
		{ spoil_missing, "is in 0 parts" },
		{ spoil_lane, "different lanes: cell " },
		{ spoil_section, "is not what the plan says" },
		{ spoil_twice, "is in 2 parts" },
		{ spoil_invented, "the parts have 85 cells, the plan has 84" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		json_t *docs[PARTS], *out;
		char *why = NULL;

		make_parts(docs);
		t[i].spoil(docs[1]);
		out = merge_docs(docs, names, PARTS, "whole", &why);
		if (out || !why || !strstr(why, t[i].say))
			fail_msg("%zu: wanted \"%s\", got \"%s\"", i, t[i].say, why ? why : "a merged document");
		free(why);
		drop_parts(docs);
	}
}

static void merge_wants_all(void **state)
{
	json_t *docs[PARTS];
	char *why;

	(void)state;
	make_parts(docs);
	assert_null(merge_docs((json_t *[]){ docs[0], docs[2] }, (const char *[]){ "p1", "p3" }, 2, "whole", &why));
	assert_string_equal(why, "part 2/3 is missing");
	free(why);
	assert_null(merge_docs(docs, names, 0, "whole", &why));
	free(why);
	drop_parts(docs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse),
		cmocka_unit_test(split_keeps_together),
		cmocka_unit_test(split_selfcheck),
		cmocka_unit_test(durations),
		cmocka_unit_test(split_is_even),
		cmocka_unit_test(durations_files),
		cmocka_unit_test(places),
		cmocka_unit_test(merge),
		cmocka_unit_test(merge_judges_determinism),
		cmocka_unit_test(merge_refuses),
		cmocka_unit_test(merge_wants_all),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
