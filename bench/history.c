// SPDX-License-Identifier: GPL-2.0
/* The history of results: its file, and series over time; see history.h. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "bench-util.h"
#include "history.h"

#define HEAD		"{\"crc\":\""
#define MIDDLE		"\",\"r\":"
#define HEAD_LEN	(sizeof(HEAD) - 1 + 8 + sizeof(MIDDLE) - 1)

/* A split needs that many values on either side: less than three nights are no level. */
#define LEAST		3
/*
 * One stable series in a thousand is split by chance, and then the change must be a relevant one too. After 20 stable nights a lasting change
 * is seen in the fourth.
 */
#define ALPHA		0.001

/* --- the file -------------------------------------------------------------------------------------------------------------- */

static uLong checksum(const char *s, size_t len)
{
	return crc32(crc32(0, NULL, 0), (const Bytef *)s, (uInt)len);
}

char *history_frame(const json_t *line)
{
	char *s = json_dumps(line, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15)), *framed;

	if (!s)
		return NULL;
	framed = bench_printf(HEAD "%08lx" MIDDLE "%s}\n", checksum(s, strlen(s)), s);
	free(s);
	return framed;
}

/* What a line holds, or NULL with a constant text that says what is wrong. line has no newline. */
static json_t *unframe(const char *line, size_t len, const char **why)
{
	char want[9];
	json_t *v;

	if (len < HEAD_LEN + 2 || memcmp(line, HEAD, sizeof(HEAD) - 1) ||
	    memcmp(line + sizeof(HEAD) - 1 + 8, MIDDLE, sizeof(MIDDLE) - 1)) {
		*why = "is not a line of a history";
		return NULL;
	}
	snprintf(want, sizeof(want), "%08lx", checksum(line + HEAD_LEN, len - HEAD_LEN - 1));
	if (line[len - 1] != '}' || memcmp(want, line + sizeof(HEAD) - 1, 8)) {
		*why = "is cut off or damaged (checksum)";
		return NULL;
	}
	v = json_loadb(line + HEAD_LEN, len - HEAD_LEN - 1, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(v) || !*json_str(v, "run", "") || !*json_str(v, "t", "")) {
		json_decref(v);
		*why = "says of no run";
		return NULL;
	}
	return v;
}

static json_t *read_lines(FILE *f, const char *path, size_t *bad)
{
	json_t *list = json_array(), *v;
	char *line = NULL;
	const char *why;
	size_t cap = 0;
	ssize_t len;

	*bad = 0;
	for (size_t no = 1; (len = getline(&line, &cap, f)) > 0; no++) {
		bool whole = line[len - 1] == '\n';

		len -= whole;
		/* An append that follows a crash may have ended a line that was whole already. */
		if (!len)
			continue;
		v = unframe(line, (size_t)len, &why);
		if (v) {
			json_array_append_new(list, v);
			continue;
		}
		(*bad)++;
		fprintf(stderr, "shbench: %s:%zu: %s%s; skipped, the rest is used\n", path, no, why, whole ? "" : " at the file's end");
	}
	free(line);
	return list;
}

json_t *history_read(const char *path, size_t *bad)
{
	FILE *f = fopen(path, "re");
	size_t damaged = 0;
	json_t *list;

	if (!f && errno == ENOENT) {
		list = json_array();
	} else if (!f) {
		fprintf(stderr, "shbench: %s: cannot be read: %s\n", path, strerror(errno));
		return NULL;
	} else {
		list = read_lines(f, path, &damaged);
		fclose(f);
	}
	if (bad)
		*bad = damaged;
	return list;
}

/* What tells a line from all others. */
static char *line_key(const json_t *l)
{
	char *group = cell_group(l), *key;

	key = bench_printf("%s\x1f%s\x1f%s\x1f%s", json_str(l, "t", ""), json_str(l, "run", ""), json_str(l, "kernel", ""), group);
	free(group);
	return key;
}

static int append_text(int fd, const char *path, char *text, size_t len)
{
	struct stat st;
	char last = '\n';
	int ret = 0;

	if (fstat(fd, &st) || (st.st_size && pread(fd, &last, 1, st.st_size - 1) != 1))
		return -errno;
	/* Someone crashed here: end his line. */
	if (last != '\n' && write(fd, "\n", 1) != 1)
		return -EIO;
	while (len && !ret) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ret = -errno;
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	if (!ret && fsync(fd))
		ret = -errno;
	/* A new file is there for good once its directory says so. */
	if (!ret && !st.st_size) {
		char *copy = bench_strdup(path);
		int dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (dir < 0 || fsync(dir))
			ret = -errno;
		if (dir >= 0)
			close(dir);
		free(copy);
	}
	return ret;
}

int history_append(const char *path, const json_t *lines, size_t *added)
{
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644), ret = 0;
	json_t *there, *known = json_object(), *l;
	char *text = NULL;
	size_t i, len = 0, bad, n = 0;
	FILE *f;

	if (fd < 0 || flock(fd, LOCK_EX)) {
		ret = -errno;
		goto out;
	}
	there = history_read(path, &bad);
	if (!there) {
		ret = -EIO;
		goto out;
	}
	json_array_foreach(there, i, l) {
		char *key = line_key(l);

		json_object_set_new(known, key, json_true());
		free(key);
	}
	json_decref(there);
	f = open_memstream(&text, &len);
	json_array_foreach((json_t *)lines, i, l) {
		char *key = line_key(l), *framed = json_object_get(known, key) ? NULL : history_frame(l);

		if (framed) {
			fputs(framed, f);
			n++;
		}
		free(framed);
		free(key);
	}
	fclose(f);
	if (n)
		ret = append_text(fd, path, text, len);
out:
	if (ret)
		fprintf(stderr, "shbench: %s: cannot be added to: %s\n", path, strerror(-ret));
	if (added)
		*added = ret ? 0 : n;
	if (fd >= 0)
		close(fd);
	json_decref(known);
	free(text);
	return ret;
}

/* --- from a run to lines --------------------------------------------------------------------------------------------------- */

static const json_t *kernel_of(const json_t *doc, const char *label)
{
	const json_t *k;
	size_t i;

	json_array_foreach(json_object_get(doc, "kernels"), i, k)
		if (!strcmp(json_str(k, "label", ""), label))
			return k;
	return NULL;
}

static json_t *line_head(const json_t *doc, const char *type)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s}", "t", type, "run", json_str(doc, "id", ""), "at", json_str(doc, "created", ""), "plan",
			 json_str(json_object_get(doc, "plan"), "name", ""), "harness",
			 json_str(json_object_get(doc, "host"), "harness", ""));
}

static json_t *values_line(const json_t *doc, const struct series *s)
{
	static const char *const copied[] = { "section", "workload", "lane", "fs", "mode", "image", "params", "cpus" };
	const json_t *q = json_object_get(doc, "qemu"), *k = kernel_of(doc, s->kernel), *cell = s->v[0].cell;
	bool times = !strcmp(s->lane, "wall");
	json_t *l = line_head(doc, "values");

	json_object_set_new(l, "kernel", json_string(s->kernel));
	json_object_set_new(l, "build", json_string(json_str(k, "id", "")));
	json_object_set_new(l, "env", json_sprintf("%s|%s|%.12s|%.12s|%s", times ? json_str(q, "accel", "") : "icount",
						    json_str(q, "version", ""), json_str(k, "config_hash", ""),
						    json_str(cell, "image_hash", ""),
						    times ? json_str(json_object_get(doc, "host"), "cpu", "") : ""));
	for (size_t i = 0; i < BENCH_SIZE(copied); i++)
		json_object_set(l, copied[i], json_object_get(cell, copied[i]));
	json_object_set_new(l, "values", json_array());
	return l;
}

static json_t *value_json(const struct series *s)
{
	static const char *const words[] = { [D_LOWER] = "lower", [D_HIGHER] = "higher", [D_INFO] = "info" };

	return json_pack("{s:s,s:s,s:s,s:s,s:f,s:i,s:f,s:f}", "m", s->metric, "x", s->coords, "u", s->unit, "d", words[s->direction], "v",
			 series_median(s), "n", (int)s->nr, "delta", s->rel_delta, "floor", s->abs_floor);
}

/* {"ID KERNEL":{"id","kernel","n"}} as a list. */
static json_t *splat_list(const json_t *doc)
{
	json_t *by = json_object(), *list = json_array(), *c, *e;
	const char *k;
	size_t i;

	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		const char *id = json_str(c, "splat_id", "");
		char *key;

		if (!*id)
			continue;
		key = bench_printf("%s %s", id, json_str(c, "kernel", ""));
		e = json_object_get(by, key);
		if (e)
			json_object_set_new(e, "n", json_integer(1 + json_integer_value(json_object_get(e, "n"))));
		else
			json_object_set_new(by, key, json_pack("{s:s,s:s,s:i}", "id", id, "kernel", json_str(c, "kernel", ""), "n", 1));
		free(key);
	}
	json_object_foreach(by, k, e)
		json_array_append(list, e);
	json_decref(by);
	return list;
}

json_t *history_lines(const json_t *doc)
{
	json_t *list = json_array(), *by = json_object(), *run = line_head(doc, "run"), *c;
	struct series_set set;
	size_t passed = 0, i;

	series_collect(doc, NULL, &set);
	for (i = 0; i < set.nr; i++) {
		const struct series *s = &set.s[i];
		char *group = cell_group(s->v[0].cell), *key = bench_printf("%s\x1f%s", s->kernel, group);
		json_t *l = json_object_get(by, key);

		if (!l) {
			l = values_line(doc, s);
			json_object_set(by, key, l);
			json_array_append_new(list, l);
		}
		if (isfinite(series_median(s)))
			json_array_append_new(json_object_get(l, "values"), value_json(s));
		free(group);
		free(key);
	}
	series_free(&set);
	json_array_foreach(json_object_get(doc, "cells"), i, c)
		passed += cell_class(json_str(c, "verdict", "")) == CELL_PASSED;
	json_object_set_new(run, "cells", json_integer((json_int_t)json_array_size(json_object_get(doc, "cells"))));
	json_object_set_new(run, "passed", json_integer((json_int_t)passed));
	json_object_set_new(run, "groups", json_integer((json_int_t)json_array_size(list)));
	json_object_set_new(run, "splats", splat_list(doc));
	json_array_append_new(list, run);
	json_decref(by);
	return list;
}

/* --- from lines to series -------------------------------------------------------------------------------------------------- */

/* One value before grouping. */
struct entry {
	char *key;
	const json_t *line, *value;
	double at;
	size_t no;
};

static double seconds(const char *at)
{
	struct tm tm = {};

	return strptime(at, "%Y-%m-%dT%H:%M:%SZ", &tm) ? (double)timegm(&tm) : 0;
}

static int cmp_entry(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r = strcmp(x->key, y->key);

	if (r)
		return r;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->no > y->no) - (x->no < y->no);
}

/* The level of a part of a series. */
static double level(const struct history_series *s, size_t from, size_t to)
{
	double *v = bench_alloc((to - from + 1) * sizeof(*v)), m;

	for (size_t i = from; i < to; i++)
		v[i - from] = s->p[i].v;
	m = stat_median(v, to - from);
	free(v);
	return m;
}

static void find_changes(struct history_series *s, size_t from, size_t to)
{
	double *v = bench_alloc((to - from + 1) * sizeof(*v));
	struct change_point *cp;
	size_t nr;

	for (size_t i = from; i < to; i++)
		v[i - from] = s->p[i].v;
	nr = stat_change_points(v, to - from, LEAST, ALPHA, &cp);
	free(v);
	for (size_t i = 0; i < nr; i++) {
		size_t at = from + cp[i].at;
		struct history_change c = { .point = at, .p = cp[i].p, .before = level(s, i ? from + cp[i - 1].at : from, at),
					    .after = level(s, at, i + 1 < nr ? from + cp[i + 1].at : to), .verdict = V_INFO };
		double diff = fabs(c.after - c.before);

		c.relevant = diff > s->floor && diff > s->delta * fabs(c.before);
		if (strcmp(s->direction, "info"))
			c.verdict = (c.after > c.before) == !strcmp(s->direction, "higher") ? V_IMPROVED : V_REGRESSED;
		s->change = bench_grow(s->change, (s->nr_changes + 1) * sizeof(*s->change));
		s->change[s->nr_changes++] = c;
	}
	free(cp);
}

static void add_series(struct history *h, struct entry *e, size_t nr)
{
	/* What a metric means is said by the newest run. */
	const json_t *l = e[nr - 1].line, *value = e[nr - 1].value;
	struct history_series *s;
	size_t from = 0;

	h->s = bench_grow(h->s, (h->nr + 1) * sizeof(*h->s));
	s = &h->s[h->nr++];
	*s = (struct history_series){
		.key = e[0].key, .kernel = json_str(l, "kernel", ""), .section = json_str(l, "section", ""),
		.workload = json_str(l, "workload", ""), .lane = json_str(l, "lane", ""), .fs = json_str(l, "fs", ""),
		.mode = json_str(l, "mode", ""), .image = json_str(l, "image", ""), .metric = json_str(value, "m", ""),
		.coords = json_str(value, "x", ""), .unit = json_str(value, "u", ""), .direction = json_str(value, "d", "info"),
		.delta = json_num(value, "delta", 0), .floor = json_num(value, "floor", 0), .nr = nr,
		.p = bench_alloc(nr * sizeof(*s->p)), .era = bench_alloc(nr * sizeof(*s->era)),
	};
	for (size_t i = 0; i < nr; i++) {
		s->p[i] = (struct history_point){ e[i].at, json_num(e[i].value, "v", NAN), e[i].line };
		if (i && strcmp(json_str(e[i].line, "env", ""), json_str(e[i - 1].line, "env", "")))
			s->era[s->nr_eras++] = i;
		if (i)
			free(e[i].key);
	}
	for (size_t i = 0; i <= s->nr_eras; i++) {
		size_t to = i < s->nr_eras ? s->era[i] : nr;

		find_changes(s, from, to);
		from = to;
	}
}

static void note_splats(struct history *h, const json_t *line)
{
	const json_t *e, *list = json_object_get(line, "splats");
	const char *at = json_str(line, "at", "");
	size_t i;

	json_array_foreach((json_t *)list, i, e) {
		const char *id = json_str(e, "id", "?");
		json_t *s = json_object_get(h->splats, id);

		if (!s) {
			s = json_pack("{s:s,s:s,s:i}", "first", at, "last", at, "runs", 0);
			json_object_set_new(h->splats, id, s);
		}
		if (strcmp(at, json_str(s, "first", "")) < 0)
			json_object_set_new(s, "first", json_string(at));
		if (strcmp(at, json_str(s, "last", "")) > 0)
			json_object_set_new(s, "last", json_string(at));
		json_object_set_new(s, "runs", json_integer(1 + json_integer_value(json_object_get(s, "runs"))));
	}
}

void history_collect(const json_t *lines, struct history *h)
{
	struct entry *e = NULL;
	json_t *runs = json_object(), *l, *v;
	size_t nr = 0, i, j;

	*h = (struct history){ .first = "", .last = "", .splats = json_object() };
	json_array_foreach((json_t *)lines, i, l) {
		const char *at = json_str(l, "at", "");
		char *group = cell_group(l);

		json_object_set_new(runs, json_str(l, "run", ""), json_true());
		if (!*h->first || strcmp(at, h->first) < 0)
			h->first = at;
		if (strcmp(at, h->last) > 0)
			h->last = at;
		if (!strcmp(json_str(l, "t", ""), "run"))
			note_splats(h, l);
		json_array_foreach(json_object_get(l, "values"), j, v) {
			e = bench_grow(e, (nr + 1) * sizeof(*e));
			e[nr] = (struct entry){ bench_printf("%s\x1f%s\x1f%s\x1f%s", group, json_str(v, "m", ""), json_str(v, "x", ""),
							     json_str(l, "kernel", "")),
						l, v, seconds(at), nr };
			nr++;
		}
		free(group);
	}
	h->runs = json_object_size(runs);
	json_decref(runs);
	if (nr)
		qsort(e, nr, sizeof(*e), cmp_entry);
	for (i = 0; i < nr; i = j) {
		for (j = i + 1; j < nr && !strcmp(e[i].key, e[j].key); j++)
			;
		add_series(h, &e[i], j - i);
	}
	free(e);
}

void history_free(struct history *h)
{
	for (size_t i = 0; i < h->nr; i++) {
		free(h->s[i].key);
		free(h->s[i].p);
		free(h->s[i].era);
		free(h->s[i].change);
	}
	free(h->s);
	json_decref(h->splats);
	*h = (struct history){};
}

bool history_knows_splat(const json_t *lines, const char *id, const char *but_run, const char **first)
{
	const char *found = NULL;
	json_t *l, *e;
	size_t i, j;

	json_array_foreach((json_t *)lines, i, l) {
		if (!strcmp(json_str(l, "run", ""), but_run))
			continue;
		json_array_foreach(json_object_get(l, "splats"), j, e)
			if (!strcmp(json_str(e, "id", ""), id) && (!found || strcmp(json_str(l, "at", ""), found) < 0))
				found = json_str(l, "at", "");
	}
	if (first)
		*first = found;
	return found != NULL;
}

void history_mark_splats(json_t *doc, const json_t *lines)
{
	const char *run = json_str(doc, "id", ""), *first;
	bool others = false;
	json_t *c, *l;
	size_t i;

	json_array_foreach((json_t *)lines, i, l)
		others |= !strcmp(json_str(l, "t", ""), "run") && strcmp(json_str(l, "run", ""), run);
	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		const char *id = json_str(c, "splat_id", "");

		if (others && *id)
			json_object_set_new(c, "splat_seen", json_string(history_knows_splat(lines, id, run, &first) ? first : ""));
	}
}
