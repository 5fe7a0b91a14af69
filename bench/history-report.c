// SPDX-License-Identifier: GPL-2.0
/* What the history says: a short table, JSON, and a plot per metric. See history.h. */
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "bench-util.h"
#include "history.h"
#include "plot.h"

#define TERMINAL_LINES	25
/* With as many runs, half of them new, the permutation test can reach its level. */
#define ENOUGH_RUNS	14
/* Series with a colour of their own in a plot; the others are grey. */
#define NAMED		6

static bool wanted(const struct history_series *s, const char *metric)
{
	return !metric || !fnmatch(metric, s->metric, 0);
}

/* A change and its series, for sorting. */
struct found {
	const struct history_series *s;
	const struct history_change *c;
};

static double when(const struct found *f)
{
	return f->s->p[f->c->point].at;
}

static int cmp_found(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (when(x) != when(y))
		return when(x) > when(y) ? -1 : 1;
	return strcmp(x->s->key, y->s->key);
}

static double change_rel(const struct history_change *c)
{
	return c->before == 0 ? copysign(INFINITY, c->after) : (c->after - c->before) / fabs(c->before);
}

static const char *date_of(const struct history_series *s, size_t point)
{
	return json_str(s->p[point].line, "at", "?");
}

static char *place_of(const struct history_series *s)
{
	return bench_printf("%s %s/%s/%s", s->section, s->fs, s->mode, s->image);
}

static void print_changes(FILE *f, const struct found *c, size_t nr, bool color)
{
	struct table *t = table_new("llllrrrrrll", "since", "workload/lane", "where", "metric", "kernel", "before", "after", "change", "p",
				    "is", "build, harness");

	for (size_t i = 0; i < nr; i++) {
		const struct history_series *s = c[i].s;
		const struct history_change *g = c[i].c;
		bool worse = g->verdict == V_REGRESSED;
		char *place = place_of(s);

		table_cell(t, "%.10s", date_of(s, g->point));
		table_cell(t, "%s/%s", s->workload, s->lane);
		table_cell(t, "%s", place);
		table_cell(t, "%s%s%s", s->metric, *s->coords ? " " : "", s->coords);
		table_cell(t, "%s", s->kernel);
		table_cell(t, "%s", show_value(g->before, s->unit, s->lane));
		table_cell(t, "%s", show_value(g->after, s->unit, s->lane));
		table_cell(t, "%s", show_percent(change_rel(g)));
		table_cell(t, "%.2g", g->p);
		table_cell(t, "%s%s%s", color ? (worse ? "\033[1;31m" : "\033[32m") : "",
			   worse ? "worse" : g->verdict == V_IMPROVED ? "better" : "other", color ? "\033[0m" : "");
		table_cell(t, "%.8s, %s", json_str(s->p[g->point].line, "build", "?"), json_str(s->p[g->point].line, "harness", "?"));
		free(place);
	}
	table_print_text(f, t, 0);
	table_free(t);
}

static void print_series(FILE *f, const struct history *h, const char *metric)
{
	struct table *t = table_new("llllrrrr", "workload/lane", "where", "metric", "kernel", "runs", "last", "changes", "environments");

	for (size_t i = 0; i < h->nr; i++) {
		const struct history_series *s = &h->s[i];
		char *place;

		if (!wanted(s, metric))
			continue;
		place = place_of(s);
		table_cell(t, "%s/%s", s->workload, s->lane);
		table_cell(t, "%s", place);
		table_cell(t, "%s%s%s", s->metric, *s->coords ? " " : "", s->coords);
		table_cell(t, "%s", s->kernel);
		table_cell(t, "%zu", s->nr);
		table_cell(t, "%s", show_value(s->p[s->nr - 1].v, s->unit, s->lane));
		table_cell(t, "%zu", s->nr_changes);
		table_cell(t, "%zu", s->nr_eras + 1);
		free(place);
	}
	table_print_text(f, t, 0);
	table_free(t);
}

static void print_splats(FILE *f, const struct history *h)
{
	struct table *t = table_new("lllr", "splat", "first seen", "last seen", "runs");
	const char *id;
	json_t *s;

	json_object_foreach(h->splats, id, s) {
		table_cell(t, "%s", id);
		table_cell(t, "%.10s", json_str(s, "first", "?"));
		table_cell(t, "%.10s", json_str(s, "last", "?"));
		table_cell(t, "%.0f", json_num(s, "runs", 0));
	}
	if (table_rows(t))
		table_print_text(f, t, 0);
	table_free(t);
}

void history_terminal(FILE *f, const struct history *h, const char *metric, bool all, bool color)
{
	size_t nr = 0, series = 0, small = 0, young = 0, left = TERMINAL_LINES - 1, show;
	struct found *c = NULL;

	for (size_t i = 0; i < h->nr; i++) {
		const struct history_series *s = &h->s[i];

		if (!wanted(s, metric))
			continue;
		series++;
		young += s->nr < ENOUGH_RUNS;
		for (size_t k = 0; k < s->nr_changes; k++) {
			if (!s->change[k].relevant && !all) {
				small++;
				continue;
			}
			c = bench_grow(c, (nr + 1) * sizeof(*c));
			c[nr++] = (struct found){ s, &s->change[k] };
		}
	}
	fprintf(f, "%zu runs from %.10s to %.10s, %zu series, %zu lasting changes", h->runs, *h->first ? h->first : "-",
		*h->last ? h->last : "-", series, nr);
	if (small)
		fprintf(f, " (%zu smaller than relevant)", small);
	if (h->bad)
		fprintf(f, "; %zu damaged lines left out", h->bad);
	fputc('\n', f);
	if (young) {
		fprintf(f, "%zu series have fewer than %d runs: no change can be shown in them yet\n", young, ENOUGH_RUNS);
		left--;
	}
	if (json_object_size(h->splats) && !all) {
		fprintf(f, "%zu kinds of splats have been seen; -v all lists them\n", json_object_size(h->splats));
		left--;
	}
	show = all || nr + 1 <= left ? nr : left - 2;
	if (nr) {
		qsort(c, nr, sizeof(*c), cmp_found);
		print_changes(f, c, show, color);
	}
	if (show < nr)
		fprintf(f, "  ... and %zu older ones; all with -v all (at the end of the command)\n", nr - show);
	if (all) {
		print_series(f, h, metric);
		print_splats(f, h);
	}
	free(c);
}

json_t *history_json(const struct history *h, const char *metric)
{
	json_t *list = json_array(), *out = json_pack("{s:s,s:I,s:I,s:s,s:s}", "schema", "shcache-history/1", "runs", (json_int_t)h->runs,
						      "damaged", (json_int_t)h->bad, "first", h->first, "last", h->last);

	for (size_t i = 0; i < h->nr; i++) {
		const struct history_series *s = &h->s[i];
		json_t *o, *points = json_array(), *changes = json_array();

		if (!wanted(s, metric)) {
			json_decref(points);
			json_decref(changes);
			continue;
		}
		o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "kernel", s->kernel, "section", s->section, "workload", s->workload,
			      "lane", s->lane, "fs", s->fs, "mode", s->mode, "image", s->image, "metric", s->metric, "coords", s->coords,
			      "unit", s->unit);
		for (size_t k = 0; k < s->nr; k++)
			json_array_append_new(points, json_pack("{s:s,s:s,s:f}", "run", json_str(s->p[k].line, "run", ""), "at",
								 date_of(s, k), "v", s->p[k].v));
		for (size_t k = 0; k < s->nr_changes; k++) {
			const struct history_change *c = &s->change[k];

			json_array_append_new(changes, json_pack("{s:s,s:s,s:f,s:f,s:f,s:b,s:s}", "run",
								 json_str(s->p[c->point].line, "run", ""), "at", date_of(s, c->point),
								 "before", c->before, "after", c->after, "p", c->p, "relevant", c->relevant,
								 "verdict", verdict_name((enum verdict)c->verdict)));
		}
		json_object_set_new(o, "points", points);
		json_object_set_new(o, "changes", changes);
		json_array_append_new(list, o);
	}
	json_object_set_new(out, "series", list);
	json_object_set(out, "splats", h->splats);
	return out;
}

/* --- plots ---------------------------------------------------------------------------------------------------------------- */

/* The level that 100 % of a series means: the median of what was before its first change or new environment. */
static double reference(const struct history_series *s)
{
	size_t n = s->nr_changes ? s->change[0].point : s->nr;
	double *v = bench_alloc(s->nr * sizeof(*v)), m;

	if (s->nr_eras && s->era[0] < n)
		n = s->era[0];
	for (size_t i = 0; i < n; i++)
		v[i] = s->p[i].v;
	m = stat_median(v, n);
	free(v);
	return m;
}

static bool same_plot(const struct history_series *a, const struct history_series *b)
{
	return !strcmp(a->workload, b->workload) && !strcmp(a->lane, b->lane) && !strcmp(a->metric, b->metric);
}

static bool has_relevant(const struct history_series *s)
{
	for (size_t k = 0; k < s->nr_changes; k++)
		if (s->change[k].relevant)
			return true;
	return false;
}

/* Series of a plot, those with a change first. */
static size_t members(const struct history *h, size_t at, const struct history_series **m, size_t *changed_ones)
{
	size_t n = 0;

	*changed_ones = 0;
	for (int changed = 1; changed >= 0; changed--)
		for (size_t i = at; i < h->nr; i++) {
			const struct history_series *s = &h->s[i];

			if (!same_plot(s, &h->s[at]) || has_relevant(s) != changed || s->nr < 2 || !(reference(s) > 0))
				continue;
			m[n++] = s;
			*changed_ones += changed;
		}
	return n;
}

static int write_points(const char *path, const struct history_series *const *m, size_t nr, double x[2], double y[2])
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -errno;
	fprintf(f, "no\tseries\tseconds\tpercent\tvalue\trun\n");
	for (size_t i = 0; i < nr; i++) {
		double ref = reference(m[i]);

		for (size_t k = 0; k < m[i]->nr; k++) {
			const struct history_point *p = &m[i]->p[k];
			double percent = 100 * (p->v / ref - 1);

			fprintf(f, "%zu\t%s %s/%s/%s %s %s\t%.0f\t%.6g\t%.10g\t%s\n", i + 1, m[i]->section, m[i]->fs, m[i]->mode, m[i]->image,
				m[i]->coords, m[i]->kernel, p->at, percent, p->v, json_str(p->line, "run", ""));
			x[0] = fmin(x[0], p->at);
			x[1] = fmax(x[1], p->at);
			y[0] = fmin(y[0], percent);
			y[1] = fmax(y[1], percent);
		}
		/* An empty line, so that no line is drawn from one series to the next. */
		fputc('\n', f);
	}
	return plot_close(f, 0);
}

static int write_program(const char *path, const char *name, const struct history_series *const *m, size_t nr, size_t changed,
			 const double x[2], const double y[2], const char *templates)
{
	size_t named = changed < NAMED ? changed : NAMED, marks = 0;
	FILE *f = fopen(path, "w");
	char *text;
	int ret;

	if (!f)
		return -errno;
	plot_put_setting(f, "name", name);
	text = bench_printf("%s, %s lane: %s over time", m[0]->workload, m[0]->lane, m[0]->metric);
	plot_put_setting(f, "title", text);
	free(text);
	text = bench_printf("in percent of each series' first level; %zu of %zu series have changed for good%s", changed, nr,
			    changed > named ? ", some of them are in colour" : changed ? ": those in colour" : "");
	plot_put_setting(f, "subtitle", text);
	free(text);
	plot_put_setting(f, "xlabel", "date of the run (UTC)");
	plot_put_setting(f, "ylabel", "change, %");
	plot_put_setting(f, "xformat", "%Y-%m-%d");
	plot_put_setting(f, "yformat", "%+g");
	fprintf(f, "series = %zu\nnamed = %zu\nxmin = %.0f\nxmax = %.0f\nymin = %.6g\nymax = %.6g\n", nr, named, x[0], x[1], y[0], y[1]);
	/* The common style knows no more of these than their size. */
	fprintf(f, "array label[%zu]\narray colour[%zu]\narray kind[%zu]\n", nr, nr, nr);
	for (size_t i = 0; i < nr; i++) {
		fprintf(f, "label[%zu] = \"", i + 1);
		text = bench_printf("%s: %s %s/%s%s%s", m[i]->kernel, m[i]->section, m[i]->fs, m[i]->mode, *m[i]->coords ? " " : "",
				    m[i]->coords);
		for (const char *s = text; *s; s++)
			fprintf(f, "%s%c", *s == '"' || *s == '\\' ? "\\" : "", *s);
		free(text);
		fprintf(f, "\"\ncolour[%zu] = %zu\nkind[%zu] = 1\n", i + 1, i + 1, i + 1);
		for (size_t k = 0; i < named && k < m[i]->nr_changes; k++)
			marks += m[i]->change[k].relevant;
	}
	fprintf(f, "marks = %zu\n", marks);
	if (marks)
		fprintf(f, "array markat[%zu]\narray markcolour[%zu]\n", marks, marks);
	for (size_t i = 0, n = 0; i < named; i++)
		for (size_t k = 0; k < m[i]->nr_changes; k++)
			if (m[i]->change[k].relevant) {
				n++;
				fprintf(f, "markat[%zu] = %.0f\nmarkcolour[%zu] = %zu\n", n, m[i]->p[m[i]->change[k].point].at, n, i + 1);
			}
	ret = plot_copy_in(f, templates, "style.gp");
	if (!ret)
		ret = plot_copy_in(f, templates, "history.gp");
	return plot_close(f, ret);
}

/* Draws the plot that series `at` is the first of. 1, 0 if there is nothing to draw, or -errno. */
static int draw(const struct history *h, size_t at, const char *dir, const char *templates)
{
	const struct history_series **m = bench_alloc(h->nr * sizeof(*m)), *s = &h->s[at];
	double x[2] = { INFINITY, -INFINITY }, y[2] = { 0, 0 };
	size_t changed, nr = members(h, at, m, &changed);
	char *id = bench_printf("%s-%s-%s", s->workload, s->metric, s->lane), *name = plot_file_name(id);
	char *tsv = bench_printf("%s/%s.tsv", dir, name), *gp = bench_printf("%s/%s.gp", dir, name);
	int ret = 0;

	if (nr) {
		ret = write_points(tsv, m, nr, x, y);
		if (!ret && x[1] > x[0]) {
			ret = write_program(gp, name, m, nr, changed, x, y, templates);
			if (!ret)
				ret = plot_run_gnuplot(dir, name);
			if (!ret)
				ret = 1;
		}
	}
	free(m);
	free(id);
	free(name);
	free(tsv);
	free(gp);
	return ret;
}

int history_plots(const struct history *h, const char *metric, const char *dir, const char *templates)
{
	int drawn = 0;

	if (mkdir(dir, 0777) && errno != EEXIST) {
		int ret = -errno;

		fprintf(stderr, "shbench: %s: cannot be made: %s\n", dir, strerror(-ret));
		return ret;
	}
	plot_remove_old(dir);
	for (size_t i = 0; i < h->nr; i++) {
		bool first = wanted(&h->s[i], metric);
		int ret;

		for (size_t k = 0; k < i && first; k++)
			first = !same_plot(&h->s[k], &h->s[i]);
		if (!first)
			continue;
		ret = draw(h, i, dir, templates);
		if (ret < 0)
			return ret;
		drawn += ret;
	}
	return drawn;
}
