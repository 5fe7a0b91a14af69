// SPDX-License-Identifier: GPL-2.0
/*
 * From a run document to series: every value of one metric that differs only in boot and perturbation.
 *
 * Reduction happens here and nowhere else: samples of one boot at the same coordinates become their median, histograms are added
 * up and yield NAME.p50, NAME.p99, NAME.mean and, for showing only, NAME.p99.9. So a series has one value per boot, the unit of
 * replication; ten thousand faults of one boot are one observation, not ten thousand.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench-util.h"

/*
 * Smallest relevant change of a time in the wall lane when the metric does not name one ("wall_delta"). Under TCG the time is
 * that of QEMU's translator on a shared host: boots of one and the same kernel differ by up to 15 %, so less than a quarter is
 * not a finding there. The tail is worse than the middle.
 */
#define WALL_DELTA_TCG	0.25
#define WALL_DELTA_KVM	0.05
#define WALL_TAIL	2.0
/* A percentile moves in steps of one bucket: smaller changes of it are no changes. */
#define QUANTILE_STEP	(1.0 / (1 << HIST_BITS))

struct derived {
	const char *suffix;
	double q;		/* quantile; negative: the mean */
	bool tail, judged;
};

static const struct derived derived[] = {
	{ ".p50", 0.5, false, true },
	{ ".p99", 0.99, true, true },
	{ ".mean", -1, false, true },
	{ ".p99.9", 0.999, true, false },
};

/* One value at one place of the document, before grouping. */
struct entry {
	char *key, *coords;
	const char *metric;
	const struct derived *d;
	const json_t *cell, *x;
	double v;
	size_t at;
};

struct entries {
	struct entry *e;
	size_t nr, cap;
};

static const struct {
	const char *verdict;
	enum cell_class class;
} classes[] = {
	{ "passed", CELL_PASSED },   { "skipped", CELL_SKIPPED }, { "failed", CELL_FAILED },  { "panic", CELL_FAILED },
	{ "splat", CELL_FAILED },    { "hang", CELL_FAILED },	  { "timeout", CELL_FAILED }, { "invalid", CELL_INVALID },
	{ "garbled", CELL_INVALID }, { "infra", CELL_INVALID },	  { "qemu-died", CELL_INVALID },
};

enum cell_class cell_class(const char *verdict)
{
	for (size_t i = 0; i < BENCH_SIZE(classes); i++)
		if (!strcmp(verdict, classes[i].verdict))
			return classes[i].class;
	return CELL_UNKNOWN;
}

char *cell_splat(const json_t *cell)
{
	const char *id = json_str(cell, "splat_id", ""), *seen = json_str(cell, "splat_seen", NULL);

	if (!*id)
		return bench_strdup("");
	if (!seen)
		return bench_printf("splat %s", id);
	return *seen ? bench_printf("splat %s, known since %.10s", id, seen) : bench_printf("new splat %s", id);
}

bool unit_is_exact(const char *unit)
{
	return !strcmp(unit, "pages") || !strcmp(unit, "bytes");
}

static int u64_from_json(const json_t *j, uint64_t *v)
{
	if (!json_is_integer(j) || json_integer_value(j) < 0)
		return -EINVAL;
	*v = (uint64_t)json_integer_value(j);
	return 0;
}

/* The sum may need more than 64 bits, so it travels as decimal digits. */
static int u128_from_text(const char *s, unsigned __int128 *v)
{
	*v = 0;
	if (!s || !*s || strlen(s) > 38)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		*v = *v * 10 + (unsigned int)(*s - '0');
	}
	return 0;
}

int hist_from_json(const json_t *j, struct hist *h, const char **why)
{
	const json_t *buckets = json_object_get(j, "b"), *pair;
	uint64_t n = 0;
	int64_t last = -1;
	size_t i;

	hist_init(h);
	*why = NULL;
	if (json_integer_value(json_object_get(j, "bits")) != HIST_BITS)
		*why = "its \"bits\" are not 6";
	else if (u64_from_json(json_object_get(j, "n"), &h->n) || u64_from_json(json_object_get(j, "min"), &h->min) ||
		 u64_from_json(json_object_get(j, "max"), &h->max))
		*why = "its \"n\", \"min\" and \"max\" are not all counts";
	else if (u128_from_text(json_string_value(json_object_get(j, "sum")), &h->sum))
		*why = "its \"sum\" is not a string of decimal digits";
	else if (!json_is_array(buckets))
		*why = "it has no list \"b\" of buckets";
	if (*why)
		return -EINVAL;
	json_array_foreach(buckets, i, pair) {
		uint64_t b, c;

		if (json_array_size(pair) != 2 || u64_from_json(json_array_get(pair, 0), &b) ||
		    u64_from_json(json_array_get(pair, 1), &c) || b >= HIST_BUCKETS || (int64_t)b <= last) {
			*why = "its buckets are not ascending pairs of bucket and count";
			return -EINVAL;
		}
		last = (int64_t)b;
		h->b[b] = c;
		n += c;
	}
	if (n != h->n)
		*why = "its counts do not add up to \"n\"";
	else if (n && (h->min > h->max || !h->b[hist_bucket(h->min)] || !h->b[hist_bucket(h->max)]))
		*why = "its \"min\" and \"max\" are not in its buckets";
	return *why ? -EINVAL : 0;
}

/* All coordinates but one (NULL: all) in sorted order: "access=mmap n=10". */
static char *coords_text(const json_t *x, const char *without)
{
	const char *names[32];
	size_t n = 0, len = 0;
	const json_t *v;
	const char *k;
	char *s;

	json_object_foreach((json_t *)x, k, v) {
		size_t at = n;

		if (n == BENCH_SIZE(names) || (without && !strcmp(k, without)))
			continue;
		for (; at && strcmp(names[at - 1], k) > 0; at--)
			names[at] = names[at - 1];
		names[at] = k;
		n++;
	}
	s = bench_strdup("");
	for (size_t i = 0; i < n; i++) {
		const char *val = json_string_value(json_object_get(x, names[i]));
		size_t more;

		val = val ? val : "?";
		more = strlen(names[i]) + strlen(val) + 2;
		s = bench_grow(s, len + more + 1);
		len += (size_t)sprintf(s + len, "%s%s=%s", i ? " " : "", names[i], val);
	}
	return s;
}

char *cell_group(const json_t *cell)
{
	char *params = json_dumps(json_object_get(cell, "params"), JSON_COMPACT | JSON_SORT_KEYS), *s;

	s = bench_printf("%s\x1f%s\x1f%s\x1f%s\x1f%s\x1f%s\x1f%.0f\x1f%s", json_str(cell, "section", ""),
			 json_str(cell, "workload", ""), json_str(cell, "lane", ""), json_str(cell, "fs", ""),
			 json_str(cell, "mode", ""), json_str(cell, "image", ""), json_num(cell, "cpus", 0), params ? params : "");
	free(params);
	return s;
}

/* Values of one cell under the same name and coordinates, while they are gathered. */
struct gather {
	const char *metric;
	const json_t *x;
	char *coords;
	struct hist *hist;
	double *v;
	size_t nr;
};

struct gathered {
	struct gather *g;
	size_t nr;
};

static struct gather *gather_find(struct gathered *all, const char *metric, const json_t *x, bool hist)
{
	char *coords = coords_text(x, NULL);
	struct gather *g;

	for (size_t i = 0; i < all->nr; i++) {
		g = &all->g[i];
		if (!strcmp(g->metric, metric) && !strcmp(g->coords, coords) && !g->hist == !hist) {
			free(coords);
			return g;
		}
	}
	all->g = bench_grow(all->g, (all->nr + 1) * sizeof(*all->g));
	g = &all->g[all->nr++];
	*g = (struct gather){ .metric = metric, .x = x, .coords = coords };
	if (hist) {
		g->hist = bench_alloc(sizeof(*g->hist));
		hist_init(g->hist);
	}
	return g;
}

static void add_entry(struct entries *all, const json_t *cell, const char *group, const struct gather *g, const struct derived *d,
		      double v)
{
	if (all->nr == all->cap) {
		all->cap = all->cap ? 2 * all->cap : 256;
		all->e = bench_grow(all->e, all->cap * sizeof(*all->e));
	}
	all->e[all->nr] = (struct entry){
		.key = bench_printf("%s\x1f%s%s\x1f%s", group, g->metric, d ? d->suffix : "", g->coords),
		.coords = bench_strdup(g->coords), .metric = g->metric, .d = d, .cell = cell, .x = g->x, .v = v, .at = all->nr,
	};
	all->nr++;
}

static void add_cell(struct entries *all, const json_t *cell)
{
	const json_t *samples = json_object_get(cell, "samples"), *hists = json_object_get(cell, "hists"), *rec;
	struct hist *h = bench_alloc(sizeof(*h));
	struct gathered found = {};
	char *group = cell_group(cell);
	const char *why;
	size_t i;

	json_array_foreach(samples, i, rec) {
		struct gather *g = gather_find(&found, json_str(rec, "m", ""), json_object_get(rec, "x"), false);

		g->v = bench_grow(g->v, (g->nr + 1) * sizeof(*g->v));
		g->v[g->nr++] = json_num(rec, "v", NAN);
	}
	json_array_foreach(hists, i, rec) {
		struct gather *g = gather_find(&found, json_str(rec, "m", ""), json_object_get(rec, "x"), true);

		if (!hist_from_json(json_object_get(rec, "h"), h, &why))
			hist_merge(g->hist, h);
	}
	for (i = 0; i < found.nr; i++) {
		struct gather *g = &found.g[i];

		if (!g->hist)
			add_entry(all, cell, group, g, NULL, stat_median(g->v, g->nr));
		else if (g->hist->n)
			for (size_t k = 0; k < BENCH_SIZE(derived); k++)
				add_entry(all, cell, group, g, &derived[k],
					  derived[k].q < 0 ? hist_mean(g->hist) : hist_quantile(g->hist, derived[k].q));
		free(g->hist);
		free(g->coords);
		free(g->v);
	}
	free(found.g);
	free(group);
	free(h);
}

static int cmp_entry(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r = strcmp(x->key, y->key);

	if (!r)
		r = strcmp(json_str(x->cell, "kernel", ""), json_str(y->cell, "kernel", ""));
	if (!r)
		r = (x->at > y->at) - (x->at < y->at);
	return r;
}

static int cmp_value(const void *a, const void *b)
{
	const struct value *x = a, *y = b;

	if (x->boot != y->boot)
		return x->boot < y->boot ? -1 : 1;
	return (x->perturbation > y->perturbation) - (x->perturbation < y->perturbation);
}

static int cmp_series(const void *a, const void *b)
{
	const struct series *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static const json_t *find_named(const json_t *list, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		if (!strcmp(json_str(v, "name", ""), name))
			return v;
	return NULL;
}

/* Unit, direction and smallest relevant change, from the workload's own description. */
static void series_define(struct series *s, const struct entry *e, const json_t *doc)
{
	const json_t *wl = find_named(json_object_get(doc, "workloads"), s->workload);
	const json_t *m = find_named(json_object_get(wl, "metrics"), e->metric);
	const char *dir = json_str(m, "direction", "info");
	bool tcg = !strcmp(json_str(json_object_get(doc, "qemu"), "accel", "tcg"), "tcg");

	s->unit = json_str(m, "unit", "");
	s->direction = !strcmp(dir, "lower") ? D_LOWER : !strcmp(dir, "higher") ? D_HIGHER : D_INFO;
	if (e->d && !e->d->judged)
		s->direction = D_INFO;
	s->rel_delta = json_num(m, "rel_delta", 0);
	s->abs_floor = json_num(m, "abs_floor", 0);
	if (!strcmp(s->lane, "wall") && !unit_is_exact(s->unit)) {
		double wall = json_num(m, "wall_delta", 0);

		s->rel_delta = wall > 0 ? wall : fmax(s->rel_delta, tcg ? WALL_DELTA_TCG : WALL_DELTA_KVM);
		if (e->d && e->d->tail)
			s->rel_delta *= WALL_TAIL;
	}
	if (e->d && e->d->q >= 0)
		s->rel_delta = fmax(s->rel_delta, QUANTILE_STEP);
}

/* A series from entries with equal key and kernel. Repetitions of one boot (self-checks) become one value. */
static struct series series_make(const json_t *doc, struct entry *e, size_t nr)
{
	const json_t *c = e->cell;
	struct series s = { .key = e->key, .kernel = json_str(c, "kernel", ""), .section = json_str(c, "section", ""),
			    .workload = json_str(c, "workload", ""), .lane = json_str(c, "lane", ""), .fs = json_str(c, "fs", ""),
			    .mode = json_str(c, "mode", ""), .image = json_str(c, "image", ""), .x = e->x, .coords = e->coords,
			    .first = e->at };
	size_t kept = 0;

	s.metric = bench_printf("%s%s", e->metric, e->d ? e->d->suffix : "");
	series_define(&s, e, doc);
	s.v = bench_alloc(nr * sizeof(*s.v));
	for (size_t i = 0; i < nr; i++) {
		s.v[i] = (struct value){ .boot = (unsigned int)json_num(e[i].cell, "boot", 0),
					 .perturbation = (unsigned int)json_num(e[i].cell, "perturbation", 0),
					 .seed = (uint64_t)json_integer_value(json_object_get(e[i].cell, "seed")),
					 .v = e[i].v, .cell = e[i].cell };
		if (i) {
			free(e[i].key);
			free(e[i].coords);
		}
	}
	qsort(s.v, nr, sizeof(*s.v), cmp_value);
	for (size_t i = 0; i < nr; i++)
		if (!kept || cmp_value(&s.v[kept - 1], &s.v[i]))
			s.v[kept++] = s.v[i];
	s.nr = kept;
	return s;
}

void series_collect(const json_t *doc, const char *label, struct series_set *set)
{
	const json_t *cells = json_object_get(doc, "cells"), *cell;
	struct entries all = {};
	size_t i, j;

	json_array_foreach(cells, i, cell)
		if (cell_class(json_str(cell, "verdict", "")) == CELL_PASSED &&
		    (!label || !strcmp(json_str(cell, "kernel", ""), label)))
			add_cell(&all, cell);
	if (all.nr)
		qsort(all.e, all.nr, sizeof(*all.e), cmp_entry);
	*set = (struct series_set){ .s = bench_alloc(all.nr * sizeof(*set->s)) };
	for (i = 0; i < all.nr; i = j) {
		for (j = i + 1; j < all.nr && !strcmp(all.e[i].key, all.e[j].key) &&
				!strcmp(json_str(all.e[i].cell, "kernel", ""), json_str(all.e[j].cell, "kernel", "")); j++)
			;
		set->s[set->nr++] = series_make(doc, &all.e[i], j - i);
	}
	free(all.e);
	if (set->nr)
		qsort(set->s, set->nr, sizeof(*set->s), cmp_series);
}

void series_free(struct series_set *set)
{
	for (size_t i = 0; i < set->nr; i++) {
		free(set->s[i].key);
		free(set->s[i].coords);
		free(set->s[i].metric);
		free(set->s[i].v);
	}
	free(set->s);
	*set = (struct series_set){};
}

double series_median(const struct series *s)
{
	double *v = bench_alloc((s->nr + 1) * sizeof(*v)), m;

	for (size_t i = 0; i < s->nr; i++)
		v[i] = s->v[i].v;
	m = stat_median(v, s->nr);
	free(v);
	return m;
}

bool series_is(const struct series *s, const char *workload, const char *metric)
{
	return (!workload || !strcmp(s->workload, workload)) && !strcmp(s->metric, metric);
}

const char *series_coord(const struct series *s, const char *name, const char *def)
{
	return json_str(s->x, name, def);
}

double coord_number(const char *s)
{
	static const char suffix[] = "kMG";
	const char *k;
	char *end;
	double v;

	if (!s || !*s)
		return NAN;
	v = strtod(s, &end);
	k = *end ? strchr(suffix, *end == 'K' ? 'k' : *end) : NULL;
	if (end == s || (*end && (!k || end[1])))
		return NAN;
	return k ? v * pow(1024, (double)(k - suffix) + 1) : v;
}

/* Do two series belong to one curve? */
static bool same_curve(const struct series *a, const struct series *b)
{
	return !strcmp(a->kernel, b->kernel) && !strcmp(a->section, b->section) && !strcmp(a->workload, b->workload) &&
	       !strcmp(a->lane, b->lane) && !strcmp(a->fs, b->fs) && !strcmp(a->mode, b->mode) && !strcmp(a->image, b->image);
}

static void curve_add(struct curve *c, const struct series *s, double x)
{
	size_t at = c->nr++;

	c->s = bench_grow(c->s, c->nr * sizeof(*c->s));
	c->x = bench_grow(c->x, c->nr * sizeof(*c->x));
	for (; at && c->x[at - 1] > x; at--) {
		c->s[at] = c->s[at - 1];
		c->x[at] = c->x[at - 1];
	}
	c->s[at] = s;
	c->x[at] = x;
}

void curves_collect(const struct series_set *set, const char *metric, const char *coord, struct curve_set *out)
{
	*out = (struct curve_set){};
	for (size_t i = 0; i < set->nr; i++) {
		const struct series *s = &set->s[i];
		double x = coord_number(series_coord(s, coord, NULL));
		struct curve *c = NULL;
		char *rest;

		if (!series_is(s, NULL, metric) || isnan(x))
			continue;
		rest = coords_text(s->x, coord);
		for (size_t k = 0; k < out->nr && !c; k++)
			if (same_curve(out->c[k].s[0], s) && !strcmp(out->c[k].rest, rest))
				c = &out->c[k];
		if (!c) {
			out->c = bench_grow(out->c, (out->nr + 1) * sizeof(*out->c));
			c = &out->c[out->nr++];
			*c = (struct curve){ .rest = bench_strdup(rest) };
		}
		curve_add(c, s, x);
		free(rest);
	}
}

void curves_free(struct curve_set *set)
{
	for (size_t i = 0; i < set->nr; i++) {
		free(set->c[i].s);
		free(set->c[i].x);
		free(set->c[i].rest);
	}
	free(set->c);
	*set = (struct curve_set){};
}

int curve_slope(const struct curve *c, double *slope, double ci[2])
{
	size_t n = 0, total = 0;
	double *x, *y, icept;
	int ret;

	for (size_t i = 0; i < c->nr; i++)
		total += c->s[i]->nr;
	x = bench_alloc(total * sizeof(*x));
	y = bench_alloc(total * sizeof(*y));
	for (size_t i = 0; i < c->nr; i++)
		for (size_t k = 0; k < c->s[i]->nr; k++) {
			x[n] = c->x[i];
			y[n++] = c->s[i]->v[k].v;
		}
	ret = stat_theil_sen(x, y, n, 0.95, slope, &icept, ci);
	free(x);
	free(y);
	return ret;
}

double series_ideal(const struct series_set *set, const struct series *like)
{
	double ideal = NAN;

	for (size_t i = 0; i < set->nr; i++) {
		const struct series *s = &set->s[i];
		bool copy = !strcmp(s->metric, "one_copy_pages"), overlay = series_is(s, NULL, "unique_frames") && !strcmp(s->mode, "overlay");

		if ((copy || overlay) && !strcmp(s->workload, like->workload) && !strcmp(s->lane, like->lane) && !strcmp(s->fs, like->fs) &&
		    !strcmp(s->image, like->image) && !strcmp(s->coords, like->coords))
			ideal = fmin(ideal, series_median(s));
	}
	return ideal;
}
