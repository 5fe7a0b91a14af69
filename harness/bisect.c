// SPDX-License-Identifier: GPL-2.0
/* Which step between two kernels moved a metric; see bisect.h. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench-util.h"
#include "bisect.h"
#include "kernel.h"
#include "plan.h"
#include "util.h"

/* The step nearest to the middle that was not given up on; n if there is none. */
static size_t middle(const bool *given_up, size_t from, size_t first)
{
	size_t mid = from + (first - from) / 2;

	for (size_t d = 0; d < first - from; d++) {
		if (mid + d < first && !given_up[mid + d])
			return mid + d;
		if (mid >= from + d && !given_up[mid - d])
			return mid - d;
	}
	return first;
}

int bisect_search(size_t n, int (*probe)(size_t step, void *arg), void *arg, size_t *from, size_t *first)
{
	bool *given_up = xcalloc(n + 1, sizeof(*given_up));
	size_t step;
	int ret = 0;

	*from = 0;
	*first = n;
	while ((step = middle(given_up, *from + 1, *first)) < *first) {
		ret = probe(step, arg);
		if (ret == -EAGAIN)
			given_up[step] = true;
		else if (ret < 0)
			break;
		else
			*(ret ? first : from) = step;
	}
	free(given_up);
	return ret < 0 && ret != -EAGAIN ? ret : 0;
}

struct bisection {
	const struct bisect_options *bo;
	struct kernel_steps steps;
	char *place;		/* of the series that is followed */
	char *key;		/* the series' key, equal for all kernels */
	char *what;		/* and its name for people */
	char *unit;
	double *value;		/* by step; NaN: not measured */
	unsigned int measured;
};

/* Runs the plan's cells of a place with some kernels and returns the document. */
static json_t *measure(const struct bisection *b, const char *kernels, const char *place)
{
	struct run_options ro = b->bo->run;
	char *dir = NULL;
	json_t *doc = NULL;

	ro.kernels = kernels;
	ro.only = place;
	ro.measure_only = true;
	if (run_bench(&ro, &dir) != EXIT_USAGE && dir)
		doc = rundoc_load(dir);
	free(dir);
	return doc;
}

static const struct series *series_by_key(const struct series_set *set, const char *key)
{
	for (size_t i = 0; i < set->nr; i++)
		if (!strcmp(set->s[i].key, key))
			return &set->s[i];
	return NULL;
}

/* The series of the metric that moved most, relevantly. Sets key, place, what and the ends' values. */
static int choose_series(struct bisection *b, const json_t *doc)
{
	const char *metric = b->bo->metric;
	struct series_set good, bad;
	double most = 0;
	size_t n = 0;

	series_collect(doc, b->bo->good, &good);
	series_collect(doc, b->bo->bad, &bad);
	for (size_t i = 0; i < good.nr; i++) {
		const struct series *g = &good.s[i], *x = strcmp(g->metric, metric) ? NULL : series_by_key(&bad, g->key);
		double a = series_median(g), diff, size;

		if (!x || strcmp(g->lane, "icount"))
			continue;
		n++;
		diff = fabs(series_median(x) - a);
		size = a != 0 ? diff / fabs(a) : diff > 0 ? INFINITY : 0;
		if (diff <= g->abs_floor || size <= g->rel_delta || size <= most)
			continue;
		most = size;
		free(b->key);
		free(b->place);
		free(b->what);
		free(b->unit);
		b->key = xstrdup(g->key);
		b->unit = xstrdup(g->unit);
		b->place = xasprintf("%s/icount/%s/%s/%s", g->section, g->fs, g->mode, g->image);
		b->what = xasprintf("%s%s%s, %s", g->metric, *g->coords ? " " : "", g->coords, b->place);
		b->value[0] = a;
		b->value[b->steps.n - 1] = series_median(x);
	}
	series_free(&good);
	series_free(&bad);
	if (!n)
		err("the boots of %s and %s gave no %s; `shbench list -v` shows the metrics", b->bo->good, b->bo->bad, metric);
	else if (!b->key)
		err("%s did not move between %s and %s: %zu series, none beyond its smallest relevant change", metric, b->bo->good,
		    b->bo->bad, n);
	return b->key ? 0 : -ENODATA;
}

static int probe(size_t step, void *arg)
{
	struct bisection *b = arg;
	size_t last = b->steps.n - 1;
	const struct series *s;
	struct series_set set;
	json_t *doc;

	note("bisect: %s", b->steps.what[step]);
	doc = measure(b, b->steps.name[step], b->place);
	if (interrupted()) {
		json_decref(doc);
		return -EINTR;
	}
	if (!doc) {
		warn("%s cannot be measured; another step is tried", b->steps.name[step]);
		return -EAGAIN;
	}
	series_collect(doc, b->steps.name[step], &set);
	s = series_by_key(&set, b->key);
	if (s)
		b->value[step] = series_median(s);
	series_free(&set);
	json_decref(doc);
	if (!s) {
		warn("%s gave no valid number; another step is tried", b->steps.name[step]);
		return -EAGAIN;
	}
	b->measured++;
	note("bisect: %s: %s", b->steps.name[step], show_value(b->value[step], b->unit, "icount"));
	return fabs(b->value[step] - b->value[last]) < fabs(b->value[step] - b->value[0]);
}

static void print_table(const struct bisection *b, size_t first)
{
	struct table *t = table_new("lrrll", "kernel", "value", "against good", "", "patch or commit");

	for (size_t i = 0; i < b->steps.n; i++) {
		if (isnan(b->value[i]) && i != first)
			continue;
		table_cell(t, "%s", b->steps.name[i]);
		table_cell(t, "%s", show_value(b->value[i], b->unit, "icount"));
		table_cell(t, "%s", show_percent(b->value[0] != 0 ? b->value[i] / b->value[0] - 1 : NAN));
		table_cell(t, "%s", i == first ? "<-" : "");
		table_cell(t, "%s", b->steps.what[i]);
	}
	table_print_text(stdout, t, 0);
	table_free(t);
}

static void print_json(const struct bisection *b, size_t from, size_t first)
{
	json_t *values = json_array(), *o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "schema", "shcache-bisect/1", "metric", b->what,
						      "unit", b->unit, "last_good", b->steps.name[from], "first_bad",
						      b->steps.name[first], "what", b->steps.what[first], "place", b->place);

	for (size_t i = 0; i < b->steps.n; i++)
		if (!isnan(b->value[i]))
			json_array_append_new(values, json_pack("{s:s,s:s,s:f}", "kernel", b->steps.name[i], "what", b->steps.what[i],
								"value", b->value[i]));
	json_object_set_new(o, "values", values);
	json_dumpf(o, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(o);
}

static void say_found(const struct bisection *b, size_t from, size_t first)
{
	double total = b->value[b->steps.n - 1] - b->value[0], share = (b->value[first] - b->value[from]) / total;

	if (opt.json) {
		print_json(b, from, first);
		return;
	}
	print_table(b, first);
	if (first - from == 1)
		printf("%s: moved by %s (%.0f %% of the whole change)\n", b->what, b->steps.what[first], 100 * share);
	else
		printf("%s: moved between %s and %s; what lies between cannot be measured\n", b->what, b->steps.name[from],
		       b->steps.name[first]);
	if (first - from == 1 && share < 0.5)
		printf("no single step makes up half of the change: bisect %s %s and %s %s for the rest\n", b->bo->good, b->steps.name[from],
		       b->steps.name[first], b->bo->bad);
	printf("%zu steps, %u of them measured\n", b->steps.n - 2, b->measured);
}

/* "fault.mean" of the plan's first section in the icount lane, but for gates, whose workload has such a metric, as SECTION/icount. */
static char *find_place(const struct bisect_options *bo)
{
	json_t *describe = agent_describe(), *w, *m;
	char *base = xstrndup(bo->metric, strcspn(bo->metric, ".")), *place = NULL;
	struct plan *p;
	size_t i, k;

	if (!describe || plan_load(bo->run.plan, &p)) {
		json_decref(describe);
		free(base);
		return NULL;
	}
	for (unsigned int s = 0; s < p->nr_sections; s++) {
		const struct section *sec = &p->sections[s];

		if (place || !sec->lanes || !strstr(sec->lanes, "icount") || sec->peer || sec->gate)
			continue;
		json_array_foreach(json_object_get(describe, "workloads"), i, w)
			json_array_foreach(json_object_get(w, "metrics"), k, m)
				if (!place && !strcmp(json_str(w, "name", ""), sec->workload) && !strcmp(json_str(m, "name", ""), base))
					place = xasprintf("%s/icount", sec->name);
	}
	if (!place)
		err("plan %s measures no '%s' in the icount lane; see `shbench list -v`, or take another plan with --plan", p->name,
		    bo->metric);
	else
		note("bisect: %s in %s; another place with --only", bo->metric, place);
	plan_free(p);
	json_decref(describe);
	free(base);
	return place;
}

int run_bisect(const struct bisect_options *bo)
{
	struct bisection b = { .bo = bo };
	size_t from = 0, first = 0;
	int ret = kernel_steps(bo->good, bo->bad, &b.steps);
	char *place, *kernels;
	json_t *doc;

	if (ret)
		return EXIT_USAGE;
	place = bo->run.only ? xstrdup(bo->run.only) : find_place(bo);
	if (!place) {
		kernel_steps_free(&b.steps);
		return EXIT_USAGE;
	}
	b.value = xmalloc(b.steps.n * sizeof(*b.value));
	for (size_t i = 0; i < b.steps.n; i++)
		b.value[i] = NAN;
	/* Under their own names, as the plan's mount options are for these. */
	kernels = xasprintf("%s,%s", bo->good, bo->bad);
	doc = measure(&b, kernels, place);
	ret = doc ? choose_series(&b, doc) : -EIO;
	json_decref(doc);
	if (!ret) {
		note("bisect: following %s: %s to %s over %zu steps", b.what, show_value(b.value[0], b.unit, "icount"),
		     show_value(b.value[b.steps.n - 1], b.unit, "icount"), b.steps.n - 1);
		ret = bisect_search(b.steps.n - 1, probe, &b, &from, &first);
	}
	if (!ret)
		say_found(&b, from, first);
	kernel_steps_free(&b.steps);
	free(b.value);
	free(b.key);
	free(b.place);
	free(b.what);
	free(b.unit);
	free(kernels);
	free(place);
	return ret ? EXIT_INFRA : EXIT_OK;
}
