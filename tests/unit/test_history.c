// SPDX-License-Identifier: GPL-2.0
/*
 * history.c and history-report.c: a file that only grows whatever happens to it, series and changes over many nights, splats that are
 * new or known.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench-util.h"
#include "history.h"
#include "rundoc-fixture.h"
#include "util.h"

static char dir[] = "/tmp/shcache-history-XXXXXX";
static char *path, *said;

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	path = xasprintf("%s/history.jsonl", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(path);
	free(said);
	return remove_tree(dir);
}

static int fresh(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

/* One night: faults of one kernel in the icount lane, a page count, and boots with splats. */
static json_t *night(unsigned int no, double insn, double pages, const char *splat)
{
	json_t *doc = fx_doc(), *c;
	char text[64];

	fx_kernel(doc, "base", "base", "", "aaaa1111");
	fx_kernel(doc, "shcache", "shcache", "5e71e5", "bbbb2222");
	fx_metrics(doc);
	snprintf(text, sizeof(text), "202601%02u-030405-nightly-%04x", 1 + no % 31, no);
	json_object_set_new(doc, "id", json_string(text));
	snprintf(text, sizeof(text), "2026-%02u-%02uT03:04:05Z", 1 + no / 28, 1 + no % 28);
	json_object_set_new(doc, "created", json_string(text));
	for (unsigned int pert = 0; pert < 3; pert++) {
		c = fx_cell(doc, "shcache", "fault", "icount", "xfs", "reflink", 0, pert);
		fx_sample(c, "fault_batch", insn * (1 + 0.02 * pert), "class=pte-only around=off");
		fx_sample(c, "fault_batch", 9674, "class=cold-major around=off");
		c = fx_cell(doc, "base", "fault", "icount", "xfs", "reflink", 0, pert);
		fx_sample(c, "fault_batch", 640, "class=pte-only around=off");
	}
	fx_sample(fx_cell(doc, "shcache", "footprint", "wall", "xfs", "reflink", 0, 0), "unique_frames", pages, "n=10 access=read");
	if (splat) {
		c = fx_cell(doc, "shcache", "cow", "wall", "xfs", "reflink", 0, 0);
		fx_fail(c, "splat", "WARNING");
		json_object_set_new(c, "splat_id", json_string(splat));
	}
	return doc;
}

static int add(unsigned int no, double insn, double pages, const char *splat, size_t *added)
{
	json_t *doc = night(no, insn, pages, splat), *lines = history_lines(doc);
	int ret = history_append(path, lines, added);

	json_decref(lines);
	json_decref(doc);
	return ret;
}

/* Reads with stderr caught in said. */
static json_t *read_back(size_t *bad)
{
	char *errs = xasprintf("%s/said", dir);
	int fd = open(errs, O_RDWR | O_CREAT | O_TRUNC, 0600), keep = dup(2);
	json_t *v;

	fflush(stderr);
	dup2(fd, 2);
	v = history_read(path, bad);
	fflush(stderr);
	dup2(keep, 2);
	close(keep);
	close(fd);
	free(said);
	assert_int_equal(read_file(errs, &said, NULL), 0);
	unlink(errs);
	free(errs);
	assert_non_null(v);
	return v;
}

static void put(const char *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, data, len), (ssize_t)len);
	close(fd);
}

/* What is written comes back, in order, and every line of the file is JSON of its own. */
static void round_trip(void **state)
{
	json_t *doc = night(0, 640, 9800, "WARNING_at_mm/x.c"), *lines = history_lines(doc), *back, *v;
	char *text, *save = NULL;
	size_t bad, added, n = 0;

	(void)state;
	assert_int_equal(history_append(path, lines, &added), 0);
	/* Faults of two kernels, one footprint, and the run. */
	assert_int_equal(added, 4);
	back = read_back(&bad);
	assert_int_equal(bad, 0);
	assert_true(json_equal(back, lines));
	v = json_array_get(back, 3);
	assert_string_equal(json_str(v, "t", ""), "run");
	assert_int_equal(json_num(v, "cells", 0), 8);
	assert_int_equal(json_num(v, "passed", 0), 7);
	assert_string_equal(json_str(json_array_get(json_object_get(v, "splats"), 0), "id", ""), "WARNING_at_mm/x.c");
	assert_int_equal(read_file(path, &text, NULL), 0);
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		v = json_loads(l, 0, NULL);
		assert_non_null(v);
		json_decref(v);
		n++;
	}
	assert_int_equal(n, 4);
	free(text);
	json_decref(back);
	json_decref(lines);
	json_decref(doc);
}

/* A missing file is an empty history; one that cannot be read is an error. */
static void no_file(void **state)
{
	json_t *v;
	size_t bad = 9;

	(void)state;
	v = read_back(&bad);
	assert_int_equal(json_array_size(v), 0);
	assert_int_equal(bad, 0);
	json_decref(v);
	assert_null(history_read("/proc/self/mem/x", NULL));
}

/* The same run again adds nothing. */
static void twice(void **state)
{
	size_t added;

	(void)state;
	assert_int_equal(add(0, 640, 9800, NULL, &added), 0);
	assert_int_equal(added, 4);
	assert_int_equal(add(0, 640, 9800, NULL, &added), 0);
	assert_int_equal(added, 0);
	assert_int_equal(add(1, 640, 9800, NULL, &added), 0);
	assert_int_equal(added, 4);
}

/*
 * A crash after any number of bytes of the second run's append: the first run stays as it is, byte for byte, adding the second again
 * completes it, and the line that was cut is reported and still there.
 */
static void crash_anywhere(void **state)
{
	char *one, *two, *now;
	size_t len1, len2, added, bad;
	json_t *back;

	(void)state;
	assert_int_equal(add(0, 640, 9800, NULL, &added), 0);
	assert_int_equal(read_file(path, &one, &len1), 0);
	assert_int_equal(add(1, 650, 9800, NULL, &added), 0);
	assert_int_equal(read_file(path, &two, &len2), 0);
	for (size_t cut = len1; cut <= len2; cut += cut < len1 + 64 || cut + 64 > len2 ? 1 : 37) {
		bool at_line_end = two[cut - 1] == '\n', whole = at_line_end || two[cut] == '\n';

		put(two, cut);
		back = read_back(&bad);
		assert_int_equal(bad, !whole);
		if (bad)
			assert_non_null(strstr(said, " at the file's end; skipped, the rest is used"));
		json_decref(back);
		assert_int_equal(add(1, 650, 9800, NULL, &added), 0);
		assert_int_equal(read_file(path, &now, NULL), 0);
		assert_memory_equal(now, two, cut);
		free(now);
		back = read_back(&bad);
		assert_int_equal(bad, !whole);
		assert_int_equal(json_array_size(back), 8);
		json_decref(back);
		/* The last line without its newline is whole: it is not added a second time. */
		if (whole && !at_line_end && cut > len2 - 2)
			assert_int_equal(added, 0);
	}
	free(one);
	free(two);
}

/* Whatever byte of a line is changed, this line is skipped, the others count, and the file stays as it is. */
static void damage_anywhere(void **state)
{
	char *text, *now;
	size_t len, line2, line3, bad, added, no_change = 0;
	json_t *back;

	(void)state;
	assert_int_equal(add(0, 640, 9800, NULL, &added), 0);
	assert_int_equal(read_file(path, &text, &len), 0);
	line2 = (size_t)(strchr(text, '\n') - text) + 1;
	line3 = (size_t)(strchr(text + line2, '\n') - text) + 1;
	for (size_t i = line2; i < line3 - 1; i++) {
		char keep = text[i];

		text[i] = keep == 'x' ? 'y' : 'x';
		put(text, len);
		back = read_back(&bad);
		assert_int_equal(bad, 1);
		assert_int_equal(json_array_size(back), 3);
		assert_non_null(strstr(said, "history.jsonl:2: "));
		assert_non_null(strstr(said, "skipped, the rest is used"));
		json_decref(back);
		text[i] = keep;
		no_change++;
	}
	assert_true(no_change > 100);
	text[line2 + 40] = '?';
	put(text, len);
	/* What is lost is added anew, at the end. */
	assert_int_equal(add(0, 640, 9800, NULL, &added), 0);
	assert_int_equal(added, 1);
	assert_int_equal(read_file(path, &now, NULL), 0);
	assert_memory_equal(now, text, len);
	free(now);
	free(text);
}

/* Two checkouts that append at once lose nothing and tear nothing. */
static void side_by_side(void **state)
{
	enum { CHILDREN = 4, NIGHTS = 8 };
	size_t bad;
	json_t *back;

	(void)state;
	for (unsigned int c = 0; c < CHILDREN; c++) {
		pid_t pid = fork();

		if (!pid) {
			int ret = 0;

			for (unsigned int i = 0; i < NIGHTS; i++)
				ret |= add(c * NIGHTS + i, 640, 9800, NULL, NULL);
			_exit(ret != 0);
		}
		assert_true(pid > 0);
	}
	for (unsigned int c = 0; c < CHILDREN; c++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	back = read_back(&bad);
	assert_int_equal(bad, 0);
	assert_int_equal(json_array_size(back), CHILDREN * NIGHTS * 4);
	json_decref(back);
}

/* No room in the middle of an append: the error is told, what was there is there, and with room again it goes on. */
static void no_room(void **state)
{
	struct rlimit limit, none;
	char *one, *now;
	size_t len, bad, added;
	json_t *back;

	(void)state;
	assert_int_equal(add(0, 640, 9800, NULL, NULL), 0);
	assert_int_equal(read_file(path, &one, &len), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &none), 0);
	limit = (struct rlimit){ len + 100, none.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(add(1, 640, 9800, NULL, &added), -EFBIG);
	assert_int_equal(added, 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(add(1, 640, 9800, NULL, &added), 0);
	assert_int_equal(added, 4);
	assert_int_equal(read_file(path, &now, NULL), 0);
	assert_memory_equal(now, one, len);
	back = read_back(&bad);
	assert_int_equal(bad, 1);
	assert_int_equal(json_array_size(back), 8);
	json_decref(back);
	free(now);
	free(one);
}

static void no_directory(void **state)
{
	json_t *doc = night(0, 640, 9800, NULL), *lines = history_lines(doc);

	(void)state;
	assert_int_equal(history_append("/nonexistent/history.jsonl", lines, NULL), -ENOENT);
	json_decref(lines);
	json_decref(doc);
}

static const struct history_series *series(const struct history *h, const char *kernel, const char *metric, const char *coords)
{
	for (size_t i = 0; i < h->nr; i++)
		if (!strcmp(h->s[i].kernel, kernel) && !strcmp(h->s[i].metric, metric) && strstr(h->s[i].coords, coords))
			return &h->s[i];
	fail_msg("no series %s %s %s", kernel, metric, coords);
	return NULL;
}

static char *shown(const struct history *h, const char *metric, bool all)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	history_terminal(f, h, metric, all, false);
	fclose(f);
	return text;
}

/* Forty nights: faults 3 % slower from the 21st, frames half of it from the 31st, a change below what is relevant, a splat twice. */
static json_t *forty_nights(struct history *h)
{
	json_t *all = json_array();

	fx_state = 5;
	for (unsigned int i = 0; i < 40; i++) {
		json_t *doc = night(i, i < 20 ? 640 : 660, i < 30 ? 9800 : 4900, i == 7 || i == 9 ? "WARNING_at_mm/x.c" : NULL), *lines;
		json_t *c = fx_cell(doc, "shcache", "start", "wall", "xfs", "reflink", 0, 0);

		fx_sample(c, "start_ns", 3e8 * (1 + 0.02 * fx_normal()) * (i < 25 ? 1 : 1.1), "program=python3 k=first");
		lines = history_lines(doc);
		json_array_extend(all, lines);
		json_decref(lines);
		json_decref(doc);
	}
	history_collect(all, h);
	return all;
}

static void changes(void **state)
{
	const struct history_series *s;
	struct history h;
	json_t *lines = forty_nights(&h), *v;
	const char *first;
	char *text;

	(void)state;
	assert_int_equal(h.runs, 40);
	assert_int_equal(h.nr, 5);
	s = series(&h, "shcache", "fault_batch", "pte-only");
	assert_int_equal(s->nr, 40);
	assert_int_equal(s->nr_changes, 1);
	assert_int_equal(s->change[0].point, 20);
	assert_true(s->change[0].relevant);
	assert_int_equal(s->change[0].verdict, V_REGRESSED);
	assert_true(s->change[0].before == 640 * 1.02 && s->change[0].after == 660 * 1.02);
	assert_int_equal(series(&h, "shcache", "fault_batch", "cold-major")->nr_changes, 0);
	assert_int_equal(series(&h, "base", "fault_batch", "pte-only")->nr_changes, 0);
	s = series(&h, "shcache", "unique_frames", "");
	assert_int_equal(s->nr_changes, 1);
	assert_int_equal(s->change[0].point, 30);
	assert_int_equal(s->change[0].verdict, V_IMPROVED);
	/* Ten percent under TCG is there, and is not relevant. */
	s = series(&h, "shcache", "start_ns", "");
	assert_int_equal(s->nr_changes, 1);
	assert_false(s->change[0].relevant);
	text = shown(&h, NULL, false);
	assert_non_null(strstr(text, "40 runs from 2026-01-01 to 2026-02-12, 5 series, 2 lasting changes (1 smaller than relevant)"));
	assert_non_null(strstr(text, "+3.1 %"));
	assert_non_null(strstr(text, "worse"));
	assert_non_null(strstr(text, "-50.0 %"));
	assert_null(strstr(text, "start_ns"));
	/* Newest first. */
	assert_true(strstr(text, "unique_frames") < strstr(text, "fault_batch"));
	free(text);
	text = shown(&h, "unique*", true);
	assert_null(strstr(text, "fault_batch"));
	assert_non_null(strstr(text, "WARNING_at_mm/x.c  2026-01-08  2026-01-10     2"));
	free(text);
	v = history_json(&h, NULL);
	assert_int_equal(json_array_size(json_object_get(v, "series")), 5);
	json_decref(v);
	assert_true(history_knows_splat(lines, "WARNING_at_mm/x.c", "20260110-030405-nightly-0009", &first));
	assert_string_equal(first, "2026-01-08T03:04:05Z");
	assert_false(history_knows_splat(lines, "WARNING_at_mm/y.c", "x", NULL));
	history_free(&h);
	json_decref(lines);
}

/* A splat is known only by other runs than the one that has it now. */
static void own_splat_is_new(void **state)
{
	json_t *doc = night(3, 640, 9800, "BUG_z"), *lines = history_lines(doc);

	(void)state;
	assert_false(history_knows_splat(lines, "BUG_z", json_str(doc, "id", ""), NULL));
	assert_true(history_knows_splat(lines, "BUG_z", "another", NULL));
	json_decref(lines);
	json_decref(doc);
}

/* The words that reports use, and that the comparison's row says them. */
static void splats_in_reports(void **state)
{
	json_t *old = night(3, 640, 9800, "BUG_z"), *lines = history_lines(old), *doc = night(4, 640, 9800, "BUG_z"), *c;
	struct comparison cmp;
	bool found = false;
	char *s;

	(void)state;
	c = json_array_get(json_object_get(doc, "cells"), 7);
	s = cell_splat(c);
	assert_string_equal(s, "splat BUG_z");
	free(s);
	/* The first run of all: nothing can be known. */
	history_mark_splats(old, lines);
	assert_null(json_object_get(json_array_get(json_object_get(old, "cells"), 7), "splat_seen"));
	history_mark_splats(doc, lines);
	s = cell_splat(c);
	assert_string_equal(s, "splat BUG_z, known since 2026-01-04");
	free(s);
	json_object_set_new(c, "splat_id", json_string("BUG_y"));
	history_mark_splats(doc, lines);
	s = cell_splat(c);
	assert_string_equal(s, "new splat BUG_y");
	free(s);
	s = cell_splat(json_array_get(json_object_get(doc, "cells"), 0));
	assert_string_equal(s, "");
	free(s);
	assert_int_equal(compare(doc, "base", doc, "shcache", false, &cmp), 0);
	for (size_t i = 0; i < cmp.nr; i++)
		found |= cmp.rows[i].why && strstr(cmp.rows[i].why, "splat: WARNING (new splat BUG_y)");
	assert_true(found);
	comparison_free(&cmp);
	json_decref(lines);
	json_decref(old);
	json_decref(doc);
}

/* Another QEMU: the step that comes with it is no change of the kernel. */
static void environments(void **state)
{
	json_t *all = json_array();
	struct history h;

	(void)state;
	for (unsigned int i = 0; i < 40; i++) {
		json_t *doc = night(i, i < 20 ? 640 : 700, 9800, NULL), *lines;

		if (i >= 20)
			json_object_set_new(json_object_get(doc, "qemu"), "version", json_string("QEMU emulator version 8.0.0"));
		/* The processor makes no difference to instructions and pages. */
		json_object_set_new(json_object_get(doc, "host"), "cpu", json_string(i & 1 ? "one" : "other"));
		lines = history_lines(doc);
		json_array_extend(all, lines);
		json_decref(lines);
		json_decref(doc);
	}
	history_collect(all, &h);
	assert_int_equal(series(&h, "shcache", "fault_batch", "pte-only")->nr_eras, 1);
	assert_int_equal(series(&h, "shcache", "fault_batch", "pte-only")->era[0], 20);
	assert_int_equal(series(&h, "shcache", "fault_batch", "pte-only")->nr_changes, 0);
	history_free(&h);
	json_decref(all);
}

/* However much changed: 25 lines, and each is there with all. */
static void short_table(void **state)
{
	json_t *all = json_array();
	struct history h;
	char *text;
	size_t n = 0;

	(void)state;
	for (unsigned int i = 0; i < 30; i++) {
		json_t *doc = night(i, 640, 9800, "BUG_z"), *lines, *c = fx_cell(doc, "shcache", "cow", "icount", "xfs", "reflink", 0, 0);

		for (unsigned int k = 0; k < 50; k++) {
			char x[32];

			snprintf(x, sizeof(x), "way=w%02u", k);
			fx_sample(c, "cow_footprint", i < 15 ? 500 : 600, x);
		}
		lines = history_lines(doc);
		json_array_extend(all, lines);
		json_decref(lines);
		json_decref(doc);
	}
	history_collect(all, &h);
	text = shown(&h, NULL, false);
	for (const char *p = text; *p; p++)
		n += *p == '\n';
	assert_in_range(n, 20, 25);
	assert_non_null(strstr(text, "older ones; all with -v all"));
	free(text);
	text = shown(&h, NULL, true);
	assert_non_null(strstr(text, "way=w00"));
	assert_non_null(strstr(text, "way=w49"));
	free(text);
	history_free(&h);
	json_decref(all);
}

static void plots(void **state)
{
	static const char *const want[] = { "fault-fault_batch-icount", "footprint-unique_frames-wall", "start-start_ns-wall" };
	struct history h;
	json_t *lines = forty_nights(&h);
	char *plot_dir = xasprintf("%s/history", dir), *templates = xasprintf("%s/results/templates", top_dir());

	(void)state;
	assert_int_equal(history_plots(&h, NULL, plot_dir, templates), 3);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		static const char *const ends[] = { "svg", "png", "tsv", "gp" };
		char *safe = xstrdup(want[i]);

		/* Underscores become dashes in file names. */
		for (char *p = safe; *p; p++)
			*p = *p == '_' ? '-' : *p;
		for (size_t k = 0; k < ARRAY_SIZE(ends); k++) {
			char *file = xasprintf("%s/%s.%s", plot_dir, safe, ends[k]), *text;

			assert_int_equal(read_file(file, &text, NULL), 0);
			assert_true(*text);
			if (!k && !i)
				assert_non_null(strstr(text, "shcache: fault-xfs xfs/reflink around=off class=pte-only"));
			free(text);
			free(file);
		}
		free(safe);
	}
	free(plot_dir);
	free(templates);
	history_free(&h);
	json_decref(lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(round_trip, fresh),
		cmocka_unit_test_setup(no_file, fresh),
		cmocka_unit_test_setup(twice, fresh),
		cmocka_unit_test_setup(crash_anywhere, fresh),
		cmocka_unit_test_setup(damage_anywhere, fresh),
		cmocka_unit_test_setup(side_by_side, fresh),
		cmocka_unit_test_setup(no_room, fresh),
		cmocka_unit_test(no_directory),
		cmocka_unit_test(changes),
		cmocka_unit_test(own_splat_is_new),
		cmocka_unit_test(splats_in_reports),
		cmocka_unit_test(environments),
		cmocka_unit_test(short_table),
		cmocka_unit_test(plots),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
