// SPDX-License-Identifier: GPL-2.0
/* See coverage.h. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "coverage.h"
#include "store.h"
#include "util.h"

/* --- adding up --------------------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

static unsigned int member_line(const json_t *j, const char *key)
{
	return (unsigned int)json_integer_value(json_object_get(j, key));
}

static double member_count(const json_t *j, const char *key)
{
	return json_number_value(json_object_get(j, key));
}

static const char *member_text(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "";
}

static int add_pieces(struct coverage *c, const json_t *lines)
{
	bool first = !c->pieces;
	json_t *line, *branch;
	size_t i, k;

	if (first) {
		c->nr_pieces = json_array_size(lines);
		c->pieces = xcalloc(c->nr_pieces + 1, sizeof(*c->pieces));
	}
	if (c->nr_pieces != json_array_size(lines))
		return -EINVAL;
	json_array_foreach(lines, i, line) {
		struct cov_piece *p = &c->pieces[i];
		const json_t *branches = json_object_get(line, "branches");

		if (first) {
			p->line = member_line(line, "line_number");
			p->function = xstrdup(member_text(line, "function_name"));
			p->nr_branches = json_array_size(branches);
			p->branches = xcalloc(p->nr_branches + 1, sizeof(*p->branches));
		}
		if (p->line != member_line(line, "line_number") || p->nr_branches != json_array_size(branches))
			return -EINVAL;
		p->count += member_count(line, "count");
		json_array_foreach(branches, k, branch)
			p->branches[k] += member_count(branch, "count");
	}
	return 0;
}

static int add_functions(struct coverage *c, const json_t *functions)
{
	bool first = !c->functions;
	json_t *f;
	size_t i;

	if (first) {
		c->nr_functions = json_array_size(functions);
		c->functions = xcalloc(c->nr_functions + 1, sizeof(*c->functions));
	}
	if (c->nr_functions != json_array_size(functions))
		return -EINVAL;
	json_array_foreach(functions, i, f) {
		if (first) {
			c->functions[i].name = xstrdup(member_text(f, "name"));
			c->functions[i].line = member_line(f, "start_line");
		}
		c->functions[i].count += member_count(f, "execution_count");
	}
	return 0;
}

int coverage_add(struct coverage *c, const json_t *gcov, const char *file)
{
	json_t *f;
	size_t i;
	int ret;

	json_array_foreach(json_object_get(gcov, "files"), i, f) {
		if (!ends_with(member_text(f, "file"), file))
			continue;
		if (!c->file)
			c->file = xstrdup(file);
		ret = add_pieces(c, json_object_get(f, "lines"));
		return ret ? ret : add_functions(c, json_object_get(f, "functions"));
	}
	return -EINVAL;
}

void coverage_free(struct coverage *c)
{
	size_t i;

	for (i = 0; i < c->nr_pieces; i++) {
		free(c->pieces[i].function);
		free(c->pieces[i].branches);
	}
	for (i = 0; i < c->nr_functions; i++)
		free(c->functions[i].name);
	free(c->pieces);
	free(c->functions);
	free(c->file);
	memset(c, 0, sizeof(*c));
}

/* Text of line nr, from its first character that is no blank; *len without the newline. */
static const char *line_text(const char *source, unsigned int nr, size_t *len)
{
	while (--nr && *source) {
		source += strcspn(source, "\n");
		source += *source == '\n';
	}
	source += strspn(source, " \t");
	*len = strcspn(source, "\n");
	return source;
}

bool coverage_left_out(const char *source, unsigned int nr)
{
	static const char *const words[] = { "WARN(", "WARN_ONCE(", "WARN_ON(", "WARN_ON_ONCE(", "WARN_ON_ONCE_FOLIO(", "WARN_ON_FOLIO(", "BUG_ON(",
					     "BUG(", "lockdep_assert", "might_sleep(", "this_cpu_add(", "ilog2(", "roundup_pow_of_two(",
					     "test_bit_acquire(", "INTERVAL_TREE_DEFINE(" };
	size_t len, i;
	const char *s = line_text(source, nr, &len);

	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (memmem(s, len, words[i], strlen(words[i])))
			return true;
	return false;
}

/* Pieces of one line are apart: is this the first one, and has any of them run? */
static bool line_once(const struct coverage *c, size_t at, bool *run)
{
	size_t i;

	*run = false;
	for (i = 0; i < c->nr_pieces; i++) {
		if (c->pieces[i].line != c->pieces[at].line)
			continue;
		if (i < at)
			return false;
		*run |= c->pieces[i].count > 0;
	}
	return true;
}

struct cov_sum coverage_sum(const struct coverage *c, const char *source)
{
	struct cov_sum s = {};
	size_t i, k;
	bool run;

	for (i = 0; i < c->nr_pieces; i++) {
		const struct cov_piece *p = &c->pieces[i];
		bool left_out = p->nr_branches && coverage_left_out(source, p->line);

		if (line_once(c, i, &run)) {
			s.lines++;
			s.lines_run += run;
		}
		if (left_out)
			s.left_out += (unsigned int)p->nr_branches;
		for (k = 0; k < p->nr_branches && !left_out; k++) {
			s.branches++;
			s.branches_taken += p->branches[k] > 0;
		}
	}
	for (i = 0; i < c->nr_functions; i++) {
		s.functions++;
		s.functions_run += c->functions[i].count > 0;
	}
	return s;
}

/* --- the command ------------------------------------------------------------------------------------------------------------- */

/* One file with counters, of the kernel that all runs are of. */
struct entry {
	char *stem;			/* "mm#shcache": of the files in the kernel's entry of the cache */
	char *file;			/* "mm/shcache.c" */
	char *source;
	struct coverage c;
};

struct job {
	char *kernel;			/* id */
	char *dir;			/* scratch */
	struct entry *entries;
	size_t nr_entries, nr_boots;
};

static int hex_value(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int write_hex(const char *path, const char *hex)
{
	size_t len = strlen(hex) / 2, i;
	char *bytes = xmalloc(len + 1);
	int ret = strlen(hex) % 2 ? -EINVAL : 0;

	for (i = 0; i < len && !ret; i++) {
		int hi = hex_value(hex[2 * i]), lo = hex_value(hex[2 * i + 1]);

		if (hi < 0 || lo < 0)
			ret = -EINVAL;
		bytes[i] = (char)(hi << 4 | lo);
	}
	if (!ret)
		ret = write_file_atomic(path, bytes, len);
	free(bytes);
	return ret;
}

/* The files that the kernel's entry in the cache has notes of. */
static int find_entries(struct job *j)
{
	char *dir = xasprintf("%s/kernels/%s", cache_dir(), j->kernel), *save, *name;
	struct buf found = {};
	int ret = run_cmd((const char *const[]){ "find", dir, "-maxdepth", "1", "-name", "*.gcno", "-printf", "%f\\n", NULL },
			  &(struct run_opts){ .out = &found, .log = "/dev/null" });

	for (name = ret ? NULL : strtok_r(found.s, "\n", &save); name; name = strtok_r(NULL, "\n", &save)) {
		struct entry *e;
		char *path;

		j->entries = xrealloc(j->entries, (j->nr_entries + 1) * sizeof(*j->entries));
		e = &j->entries[j->nr_entries++];
		memset(e, 0, sizeof(*e));
		e->stem = xstrndup(name, strlen(name) - strlen(".gcno"));
		e->file = xasprintf("%s.c", e->stem);
		for (char *c = e->file; *c; c++)
			if (*c == '#')
				*c = '/';
		path = xasprintf("%s/%s.c", dir, e->stem);
		ret = read_file(path, &e->source, NULL);
		free(path);
		if (ret)
			break;
	}
	if (!ret && !j->nr_entries)
		ret = -ENOENT;
	if (ret)
		err("kernel %s has no .gcno files in %s: it was built without gcov, or is not there any more", j->kernel, dir);
	buf_free(&found);
	free(dir);
	return ret;
}

/* Has gcov read one file's counters. */
static int add_counters(struct job *j, struct entry *e, const char *hex)
{
	char *data = xasprintf("%s/%s.gcda", j->dir, e->stem), *note_from = xasprintf("%s/kernels/%s/%s.gcno", cache_dir(), j->kernel, e->stem);
	char *note_to = xasprintf("%s/%s.gcno", j->dir, e->stem);
	json_error_t why = {};
	struct buf out = {};
	json_t *gcov = NULL;
	int ret;

	ret = write_hex(data, hex);
	if (!ret)
		ret = copy_file(note_from, note_to);
	if (ret) {
		err("%s: cannot be written: %s", data, strerror(-ret));
		goto out;
	}
	ret = run_cmd((const char *const[]){ "gcov", "--json-format", "--stdout", "--branch-probabilities", data, NULL },
		      &(struct run_opts){ .out = &out, .cwd = j->dir, .log = "/dev/null" });
	if (!ret)
		gcov = json_loads(out.s ? out.s : "", JSON_DISABLE_EOF_CHECK, &why);
	if (!gcov) {
		err("gcov cannot read the counters of %s (exit status %d) %s; is it that of the compiler?", e->file, ret, why.text);
		ret = -EIO;
		goto out;
	}
	ret = coverage_add(&e->c, gcov, e->file);
	if (ret)
		err("gcov says nothing of %s, or something else than for another boot", e->file);
out:
	json_decref(gcov);
	buf_free(&out);
	free(data);
	free(note_from);
	free(note_to);
	return ret;
}

static int add_boot(struct job *j, const json_t *cell, const char *run)
{
	const char *kernel = member_text(cell, "kernel_id");
	bool any = false;
	json_t *blob;
	size_t i, k;
	int ret = 0;

	json_array_foreach(json_object_get(cell, "blobs"), i, blob) {
		const char *path = member_text(json_object_get(blob, "x"), "path"), *hex = member_text(blob, "v");

		if (strcmp(member_text(blob, "k"), "gcov"))
			continue;
		if (!j->kernel) {
			j->kernel = xstrdup(kernel);
			ret = find_entries(j);
		} else if (strcmp(j->kernel, kernel)) {
			err("%s: kernel %s, and before it %s: only boots of one kernel can be added up", run, kernel, j->kernel);
			ret = -EINVAL;
		}
		for (k = 0; k < j->nr_entries && !ret; k++) {
			char *end = xasprintf("/%.*s.gcda", (int)strlen(j->entries[k].file) - 2, j->entries[k].file);

			if (ends_with(path, end))
				ret = add_counters(j, &j->entries[k], hex);
			free(end);
		}
		if (ret)
			return ret;
		any = true;
	}
	j->nr_boots += any;
	return 0;
}

static int add_run(struct job *j, const char *id)
{
	char *path = run_dir_find(id);
	json_t *doc = path ? rundoc_load(path) : NULL, *cell;
	int ret = doc ? 0 : -ENOENT;
	size_t i;

	json_array_foreach(json_object_get(doc, "cells"), i, cell)
		if (!ret)
			ret = add_boot(j, cell, id);
	json_decref(doc);
	free(path);
	return ret;
}

static double percent(unsigned int part, unsigned int whole)
{
	return whole ? 100.0 * part / whole : 100;
}

static void print_summary(const struct job *j)
{
	size_t i;

	printf("%zu boots of kernel %s\n", j->nr_boots, j->kernel);
	printf("%-28s %20s %20s %14s\n", "file", "lines", "branches", "functions");
	for (i = 0; i < j->nr_entries; i++) {
		const struct entry *e = &j->entries[i];
		struct cov_sum s = coverage_sum(&e->c, e->source);

		printf("%-28s %5u/%-5u %6.2f %% %5u/%-5u %6.2f %% %7u/%u\n", e->file, s.lines_run, s.lines, percent(s.lines_run, s.lines),
		       s.branches_taken, s.branches, percent(s.branches_taken, s.branches), s.functions_run, s.functions);
		if (s.left_out)
			printf("%-28s without %u branches of assertions, and of macros that choose when they are compiled\n", "", s.left_out);
	}
}

static void print_missing(const struct entry *e)
{
	const struct coverage *c = &e->c;
	size_t i, k, len;
	const char *s;
	bool run;

	printf("\n%s: never run\n", e->file);
	for (i = 0; i < c->nr_pieces; i++) {
		if (!line_once(c, i, &run) || run)
			continue;
		s = line_text(e->source, c->pieces[i].line, &len);
		printf("%6u  %-28s %.*s\n", c->pieces[i].line, c->pieces[i].function, (int)len, s);
	}
	if (!opt.verbose)
		return;
	printf("\n%s: run, with branches that were never taken\n", e->file);
	for (i = 0; i < c->nr_pieces; i++) {
		const struct cov_piece *p = &c->pieces[i];
		size_t taken = 0;

		for (k = 0; k < p->nr_branches; k++)
			taken += p->branches[k] > 0;
		if (!(p->count > 0) || taken == p->nr_branches || coverage_left_out(e->source, p->line))
			continue;
		s = line_text(e->source, p->line, &len);
		printf("%6u  %-28s %zu of %zu  %.*s\n", p->line, p->function, taken, p->nr_branches, (int)len, s);
	}
}

static json_t *summary_json(const struct job *j)
{
	json_t *all = json_object();
	size_t i;

	for (i = 0; i < j->nr_entries; i++) {
		struct cov_sum s = coverage_sum(&j->entries[i].c, j->entries[i].source);

		json_object_set_new(all, j->entries[i].file,
				    json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "lines", s.lines, "lines_run", s.lines_run, "branches",
					      s.branches, "branches_taken", s.branches_taken, "branches_left_out", s.left_out, "functions",
					      s.functions, "functions_run", s.functions_run));
	}
	return json_pack("{s:s, s:i, s:o}", "kernel", j->kernel, "boots", (int)j->nr_boots, "files", all);
}

int run_coverage(const char *const *runs, size_t n)
{
	char dir[] = "/tmp/shbench-gcov-XXXXXX";
	struct job j = { .dir = dir };
	int ret = 0;
	size_t i;

	if (!mkdtemp(dir)) {
		err("%s: %s", dir, strerror(errno));
		return EXIT_INFRA;
	}
	for (i = 0; i < n && !ret; i++)
		ret = add_run(&j, runs[i]);
	remove_tree(dir);
	if (!ret && !j.nr_boots) {
		err("no boot has gcov counters: carry out `shbench test coverage` first");
		ret = -ENOENT;
	}
	if (!ret && opt.json) {
		json_t *all = summary_json(&j);

		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(all);
	} else if (!ret) {
		print_summary(&j);
		for (i = 0; i < j.nr_entries; i++)
			print_missing(&j.entries[i]);
	}
	for (i = 0; i < j.nr_entries; i++) {
		coverage_free(&j.entries[i].c);
		free(j.entries[i].stem);
		free(j.entries[i].file);
		free(j.entries[i].source);
	}
	free(j.entries);
	free(j.kernel);
	return ret ? EXIT_INFRA : EXIT_OK;
}
