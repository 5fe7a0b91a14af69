// SPDX-License-Identifier: GPL-2.0
/* How often the gate finds what it must, over many runs, and the power curve; see gate.h. */
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "bench-util.h"
#include "gate.h"
#include "plot.h"

/* The entry of a list whose members `keys` are those of like; a new one if there is none. */
static json_t *entry(json_t *list, const json_t *like, const char *const *keys, size_t nr)
{
	json_t *e;
	size_t i;

	json_array_foreach(list, i, e) {
		bool same = true;

		for (size_t k = 0; k < nr; k++)
			same &= json_equal(json_object_get(e, keys[k]), json_object_get(like, keys[k]));
		if (same)
			return e;
	}
	e = json_object();
	for (size_t k = 0; k < nr; k++)
		json_object_set(e, keys[k], json_object_get(like, keys[k]));
	json_array_append_new(list, e);
	return e;
}

static void add(json_t *o, const char *key, bool one)
{
	json_object_set_new(o, key, json_integer(json_integer_value(json_object_get(o, key)) + one));
}

static void tally(json_t *gates, const json_t *judged)
{
	static const char *const keys[] = { "section", "label", "want" };
	const json_t *g;
	size_t i;

	json_array_foreach(json_object_get(judged, "gate_results"), i, g) {
		json_t *e = entry(gates, g, keys, BENCH_SIZE(keys));

		add(e, "ok", json_is_true(json_object_get(g, "ok")));
		add(e, "of", true);
	}
}

/* The rows of one metric in a comparison of one run: their changes are added to the entry's lists. */
static void add_rows(json_t *power, const struct comparison *c, const char *section, const char *label, const char *metric)
{
	static const char *const keys[] = { "section", "label", "metric" };
	json_t *like = json_pack("{s:s,s:s,s:s}", "section", section, "label", label, "metric", metric), *e = NULL;
	size_t rows = 0, regressed = 0;

	for (size_t i = 0; i < c->nr; i++) {
		const struct cmp_row *r = &c->rows[i];

		if (r->family || r->verdict == V_INFO || r->verdict == V_INVALID || fnmatch(metric, r->metric, 0))
			continue;
		if (!e) {
			e = entry(power, like, keys, BENCH_SIZE(keys));
			json_object_set_new(e, "lane", json_string(r->lane));
			json_object_set_new(e, "unit", json_string(r->unit));
			json_object_set_new(e, "delta", json_real(r->delta));
			if (!json_object_get(e, "changes"))
				json_object_set_new(e, "changes", json_array());
			if (!json_object_get(e, "differences"))
				json_object_set_new(e, "differences", json_array());
		}
		/* JSON has no infinity: of what was nothing before only the difference is known. */
		if (isfinite(r->rel))
			json_array_append_new(json_object_get(e, "changes"), json_real(r->rel));
		json_array_append_new(json_object_get(e, "differences"), json_real(r->cand - r->base));
		rows++;
		regressed += r->verdict == V_REGRESSED;
	}
	if (rows) {
		add(e, "all", regressed == rows);
		add(e, "any", regressed > 0);
		add(e, "of", true);
	}
	json_decref(like);
}

static void add_section(json_t *power, const json_t *doc, const json_t *gate)
{
	const char *section = json_str(gate, "section", ""), *base = json_str(gate, "base", ""), *metric = json_str(gate, "metric", "");
	json_t *sub = gate_section(doc, section, base), *labels = json_object(), *c;
	const char *label;
	size_t i;

	json_array_foreach(json_object_get(sub, "cells"), i, c)
		json_object_set_new(labels, json_str(c, "kernel", ""), json_true());
	json_object_foreach(labels, label, c) {
		struct comparison cmp;

		if (!strcmp(label, base) || compare(sub, base, sub, label, false, &cmp))
			continue;
		add_rows(power, &cmp, section, label, metric);
		comparison_free(&cmp);
	}
	json_decref(labels);
	json_decref(sub);
}

/* The lists of an entry become their medians and extremes. */
static void reduce(json_t *e)
{
	static const char *const lists[] = { "changes", "differences" };
	double ci[2];

	for (size_t l = 0; l < BENCH_SIZE(lists); l++) {
		const json_t *list = json_object_get(e, lists[l]);
		size_t n = json_array_size(list);
		double *v = bench_alloc((n + 1) * sizeof(*v)), lo = INFINITY, hi = -INFINITY;

		for (size_t i = 0; i < n; i++) {
			v[i] = json_number_value(json_array_get(list, i));
			lo = fmin(lo, v[i]);
			hi = fmax(hi, v[i]);
		}
		if (n && l)
			json_object_set_new(e, "difference", json_real(stat_median(v, n)));
		if (n && !l) {
			json_object_set_new(e, "change", json_real(stat_median(v, n)));
			json_object_set_new(e, "low", json_real(lo));
			json_object_set_new(e, "high", json_real(hi));
		}
		free(v);
		json_object_del(e, lists[l]);
	}
	stat_binomial_interval((size_t)json_num(e, "all", 0), (size_t)json_num(e, "of", 0), 0.95, ci);
	json_object_set_new(e, "ci", json_pack("[f,f]", ci[0], ci[1]));
}

json_t *gate_power(json_t *const *docs, size_t nr, char **why)
{
	json_t *gates = json_array(), *power = json_array(), *e;
	size_t i, k, alarms = 0, misses = 0;

	*why = NULL;
	for (i = 0; i < nr && !*why; i++) {
		json_t *judged = gate_judge(docs[i]), *seen = json_object(), *g;

		if (json_object_get(docs[i], "shard") || !json_is_true(json_object_get(docs[i], "complete")))
			*why = bench_printf("run %s is only a part of one", json_str(docs[i], "id", "?"));
		else if (!json_array_size(json_object_get(judged, "gate_results")))
			*why = bench_printf("run %s has no gate", json_str(docs[i], "id", "?"));
		tally(gates, judged);
		json_array_foreach(json_object_get(docs[i], "gates"), k, g) {
			char *key = bench_printf("%s %s", json_str(g, "section", ""), json_str(g, "metric", ""));

			if (*json_str(g, "metric", "") && !json_object_get(seen, key))
				add_section(power, docs[i], g);
			json_object_set_new(seen, key, json_true());
			free(key);
		}
		json_decref(seen);
		json_decref(judged);
	}
	json_array_foreach(power, i, e)
		reduce(e);
	json_array_foreach(gates, i, e) {
		size_t bad = (size_t)(json_num(e, "of", 0) - json_num(e, "ok", 0));

		*(strcmp(json_str(e, "want", ""), "unchanged") ? &misses : &alarms) += bad;
	}
	if (*why) {
		json_decref(gates);
		json_decref(power);
		return NULL;
	}
	return json_pack("{s:s,s:I,s:I,s:I,s:o,s:o}", "schema", "shcache-power/1", "runs", (json_int_t)nr, "false_alarms", (json_int_t)alarms,
			 "misses", (json_int_t)misses, "gates", gates, "power", power);
}

void gate_power_print(FILE *f, const json_t *power)
{
	struct table *gates = table_new("lllr", "section", "kernel", "must be", "so");
	struct table *found = table_new("llllrrrrr", "section", "kernel", "metric", "lane", "change", "from .. to", "difference",
					"regressed: all rows", "any row");
	const json_t *e;
	size_t i;

	json_array_foreach(json_object_get(power, "gates"), i, e) {
		table_cell(gates, "%s", json_str(e, "section", ""));
		table_cell(gates, "%s", json_str(e, "label", ""));
		table_cell(gates, "%s", json_str(e, "want", ""));
		table_cell(gates, "%.0f/%.0f", json_num(e, "ok", 0), json_num(e, "of", 0));
	}
	json_array_foreach(json_object_get(power, "power"), i, e) {
		double of = json_num(e, "of", 0);

		table_cell(found, "%s", json_str(e, "section", ""));
		table_cell(found, "%s", json_str(e, "label", ""));
		table_cell(found, "%s", json_str(e, "metric", ""));
		table_cell(found, "%s", json_str(e, "lane", ""));
		if (json_object_get(e, "change")) {
			table_cell(found, "%+.2f %%", 100 * json_num(e, "change", 0));
			table_cell(found, "%+.2f .. %+.2f %%", 100 * json_num(e, "low", 0), 100 * json_num(e, "high", 0));
		} else {
			table_cell(found, "from 0");
			table_cell(found, "-");
		}
		table_cell(found, "%s", show_value(json_num(e, "difference", 0), json_str(e, "unit", ""), json_str(e, "lane", "")));
		table_cell(found, "%.0f/%.0f", json_num(e, "all", 0), of);
		table_cell(found, "%.0f/%.0f", json_num(e, "any", 0), of);
	}
	table_print_text(f, gates, 0);
	fputc('\n', f);
	table_print_text(f, found, 0);
	fprintf(f, "\n%.0f runs: %.0f false alarms, %.0f misses\n", json_num(power, "runs", 0), json_num(power, "false_alarms", 0),
		json_num(power, "misses", 0));
	table_free(gates);
	table_free(found);
}

/* --- the curve ------------------------------------------------------------------------------------------------------------- */

static int cmp_change(const void *a, const void *b)
{
	double x = json_num(*(json_t *const *)a, "change", 0), y = json_num(*(json_t *const *)b, "change", 0);

	return (x > y) - (x < y);
}

static int write_points(const char *path, const json_t *const *p, size_t n)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -errno;
	fprintf(f, "no\tseries\tx\tgroup\tvalue\tlow\thigh\n");
	for (int any = 0; any < 2; any++)
		for (size_t i = 0; i < n; i++) {
			double of = json_num(p[i], "of", 1), k = json_num(p[i], any ? "any" : "all", 0), ci[2];

			stat_binomial_interval((size_t)k, (size_t)of, 0.95, ci);
			fprintf(f, "%d\t%s\t%.6g\t%s\t%.6g\t%.6g\t%.6g\n", any + 1, any ? "at least one row" : "every row",
				100 * json_num(p[i], "change", 0), json_str(p[i], "label", ""), 100 * k / of, 100 * ci[0], 100 * ci[1]);
		}
	return plot_close(f, 0);
}

static int write_program(const char *path, const char *name, const json_t *const *p, size_t n, const char *templates)
{
	FILE *f = fopen(path, "w");
	char *text;
	int ret;

	if (!f)
		return -errno;
	plot_put_setting(f, "name", name);
	text = bench_printf("%s: how often %s regressed", json_str(p[0], "section", ""), json_str(p[0], "metric", ""));
	plot_put_setting(f, "title", text);
	free(text);
	text = bench_printf("%.0f runs with different seeds; bars: 95 %% interval of Clopper and Pearson; dashed: the smallest relevant change, %.2g %%",
			    json_num(p[0], "of", 0), 100 * json_num(p[0], "delta", 0));
	plot_put_setting(f, "subtitle", text);
	free(text);
	plot_put_setting(f, "xlabel", "injected change, % (guest instructions)");
	plot_put_setting(f, "ylabel", "runs, %");
	plot_put_setting(f, "xformat", "%g");
	plot_put_setting(f, "yformat", "%g");
	fprintf(f, "series = 2\narray label[2] = [\"every row\", \"at least one row\"]\narray colour[2] = [1, 2]\narray kind[2] = [1, 2]\n");
	fprintf(f, "delta = %.6g\nxmax = %.6g\nticks = %zu\narray tick[%zu]\narray tickat[%zu]\n", 100 * json_num(p[0], "delta", 0),
		100 * json_num(p[n - 1], "change", 0), n, n, n);
	for (size_t i = 0; i < n; i++) {
		text = bench_printf("%.2f\n(%.0f)", 100 * json_num(p[i], "change", 0), json_num(p[i], "difference", 0));
		fprintf(f, "tickat[%zu] = %.6g\ntick[%zu] = ", i + 1, 100 * json_num(p[i], "change", 0), i + 1);
		plot_put_mark(f, text);
		fputc('\n', f);
		free(text);
	}
	ret = plot_copy_in(f, templates, "style.gp");
	if (!ret)
		ret = plot_copy_in(f, templates, "power.gp");
	return plot_close(f, ret);
}

/* Draws the curve of the section and metric of entry `at`, if that is their first. 1, 0 if there is nothing to draw, or -errno. */
static int draw(const json_t *list, size_t at, const char *dir, const char *templates)
{
	const json_t *first = json_array_get(list, at), **p = bench_alloc(json_array_size(list) * sizeof(*p)), *e;
	char *id = bench_printf("%s-%s", json_str(first, "section", ""), json_str(first, "metric", "")), *name = plot_file_name(id);
	char *tsv = bench_printf("%s/%s.tsv", dir, name), *gp = bench_printf("%s/%s.gp", dir, name);
	size_t i, n = 0;
	int ret = 0;

	json_array_foreach((json_t *)list, i, e) {
		if (strcmp(json_str(e, "section", ""), json_str(first, "section", "")) ||
		    strcmp(json_str(e, "metric", ""), json_str(first, "metric", "")) || !json_object_get(e, "change"))
			continue;
		if (i < at)
			break;
		p[n++] = e;
	}
	/* An A/A pair and two injected changes at least. */
	if (n >= 3 && !strcmp(json_str(first, "lane", ""), "icount")) {
		qsort(p, n, sizeof(*p), cmp_change);
		ret = write_points(tsv, p, n);
		if (!ret)
			ret = write_program(gp, name, p, n, templates);
		if (!ret)
			ret = plot_run_gnuplot(dir, name);
		if (!ret)
			ret = 1;
	}
	free(p);
	free(id);
	free(name);
	free(tsv);
	free(gp);
	return ret;
}

int gate_power_draw(const json_t *power, const char *dir, const char *templates)
{
	const json_t *list = json_object_get(power, "power");
	int drawn = 0;

	if (mkdir(dir, 0777) && errno != EEXIST) {
		int ret = -errno;

		fprintf(stderr, "shbench: %s: cannot be made: %s\n", dir, strerror(-ret));
		return ret;
	}
	for (size_t i = 0; i < json_array_size(list); i++) {
		int ret = draw(list, i, dir, templates);

		if (ret < 0) {
			fprintf(stderr, "shbench: %s: the power curve cannot be drawn: %s\n", dir, strerror(-ret));
			return ret;
		}
		drawn += ret;
	}
	return drawn;
}
