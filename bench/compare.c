// SPDX-License-Identifier: GPL-2.0
/*
 * Comparison of two kernels, row by row, and the verdicts. docs/measuring.md explains the rules and why they are so.
 *
 * Relative changes of times are computed on logarithms: a change of +25 % and the change that undoes it are then equally far
 * from none, and "inside delta" means within a factor of 1 + delta either way.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench-util.h"

#define ALPHA		0.01	/* Holm-adjusted p of a change must be below */
#define CONF		0.90	/* an interval inside the bounds is then two one-sided tests at 5 % each */
#define MIN_PAIRS	5	/* smallest number of pairs with a signed-rank interval of that level: 2^-5 <= 5 % */
#define MAX_BOOTS	100	/* beyond this "more boots" is no advice */

const char *verdict_name(enum verdict v)
{
	static const char *const names[] = { "improved", "regressed", "unchanged", "inconclusive", "invalid", "info" };

	return names[v];
}

/* A wall-lane row of times that waits for the Holm correction, which needs all of them. */
struct draft {
	size_t row;
	enum direction direction;
	double *a, *b;		/* one value per boot, logarithms if log */
	size_t n, m;
	bool log, blocks;	/* blocks: boot k of one side ran next to boot k of the other */
	bool pairs;		/* b holds differences of pairs of boots, a nothing */
	double bound;		/* smallest relevant change in the same terms */
	double est, ci[2], p;
};

struct work {
	struct comparison *c;
	const json_t *doc_a, *doc_b;
	struct series_set a, b;
	struct draft *drafts;
	size_t nr_drafts;
};

static struct cmp_row *add_row(struct comparison *c)
{
	c->rows = bench_grow(c->rows, (c->nr + 1) * sizeof(*c->rows));
	c->rows[c->nr] = (struct cmp_row){ .base = NAN, .cand = NAN, .rel = NAN, .ci = { NAN, NAN }, .noise = NAN, .found_from = NAN, .delta = NAN,
					  .p = NAN };
	return &c->rows[c->nr++];
}

static void name_row(struct cmp_row *r, const char *section, const char *workload, const char *lane, const char *fs, const char *mode,
		     const char *image, const char *metric, const char *coords, const char *unit)
{
	r->section = bench_strdup(section);
	r->workload = bench_strdup(workload);
	r->lane = bench_strdup(lane);
	r->fs = bench_strdup(fs);
	r->mode = bench_strdup(mode);
	r->image = bench_strdup(image);
	r->metric = bench_strdup(metric);
	r->coords = bench_strdup(coords);
	r->unit = bench_strdup(unit);
}

static struct cmp_row *add_series_row(struct comparison *c, const struct series *s)
{
	struct cmp_row *r = add_row(c);

	name_row(r, s->section, s->workload, s->lane, s->fs, s->mode, s->image, s->metric, s->coords, s->unit);
	r->reproduce = bench_strdup(json_str(s->v[0].cell, "reproduce_row", json_str(s->v[0].cell, "reproduce", "")));
	return r;
}

/* What repeats a pooled row: the whole plan. */
static char *whole_plan(const json_t *cell)
{
	const char *command = json_str(cell, "reproduce", ""), *end = strstr(command, " --cell ");

	return bench_printf("%.*s", end ? (int)(end - command) : (int)strlen(command), command);
}

static double rel_change(double a, double b)
{
	if (a == b)
		return 0;
	return a == 0 ? copysign(INFINITY, b) : (b - a) / fabs(a);
}

/* A change of sign `sign` of a metric is an improvement or a regression. */
static enum verdict changed(enum direction d, double sign)
{
	return (sign > 0) == (d == D_HIGHER) ? V_IMPROVED : V_REGRESSED;
}

/* --- counts in the wall lane: every pair of boots ---------------------------------------------------------------------- */

static bool relevant(const struct series *s, double a, double b)
{
	return fabs(b - a) > s->abs_floor && fabs(b - a) > s->rel_delta * fabs(a);
}

static void judge_counts(struct cmp_row *r, const struct series *a, const struct series *b)
{
	size_t up = 0, down = 0, pairs = a->nr * b->nr;

	r->ci[0] = INFINITY;
	r->ci[1] = -INFINITY;
	for (size_t i = 0; i < a->nr; i++)
		for (size_t j = 0; j < b->nr; j++) {
			double x = a->v[i].v, y = b->v[j].v, rel = rel_change(x, y);

			up += relevant(a, x, y) && y > x;
			down += relevant(a, x, y) && y < x;
			r->ci[0] = fmin(r->ci[0], rel);
			r->ci[1] = fmax(r->ci[1], rel);
		}
	if (pairs < 2)
		r->ci[0] = r->ci[1] = NAN;
	if (!up && !down) {
		r->verdict = V_UNCHANGED;
	} else if (up == pairs || down == pairs) {
		r->verdict = changed(a->direction, up ? 1 : -1);
	} else {
		r->verdict = V_INCONCLUSIVE;
		r->why = bench_printf("%zu of %zu pairs of boots differ relevantly, the others do not", up + down, pairs);
	}
}

/* --- the icount lane: every perturbation with its counterpart ----------------------------------------------------------- */

static const struct value *find_value(const struct series *s, const struct value *like)
{
	for (size_t i = 0; i < s->nr; i++)
		if (s->v[i].boot == like->boot && s->v[i].perturbation == like->perturbation)
			return &s->v[i];
	return NULL;
}

static void invalid_row(struct cmp_row *r, char *why)
{
	r->verdict = V_INVALID;
	r->why = why;
}

/* How much layouts alone move a series: what an unpaired comparison could not see below. */
static double layout_noise(const struct series *s)
{
	double lo = INFINITY, hi = -INFINITY, m = series_median(s);

	for (size_t i = 0; i < s->nr; i++) {
		lo = fmin(lo, s->v[i].v);
		hi = fmax(hi, s->v[i].v);
	}
	return s->nr > 1 && m != 0 ? (hi - lo) / fabs(m) : NAN;
}

static int cmp_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/*
 * The smallest change for the worse that would be found, by the rules of judge_icount(), in a candidate that is slower by it under every layout:
 * it must stand out from the spread of the differences over layouts, and from what is too small to matter.
 */
static double found_from(const struct series *a, const double *rel)
{
	double *z = bench_alloc(a->nr * sizeof(*z)), centre = stat_median(rel, a->nr), base = fabs(series_median(a)), least;
	double delta = base > 0 ? fmax(a->rel_delta, a->abs_floor / base) : NAN;

	for (size_t i = 0; i < a->nr; i++)
		z[i] = (rel[i] - centre) * (a->direction == D_HIGHER ? -1 : 1);
	qsort(z, a->nr, sizeof(*z), cmp_double);
	/* None may say the opposite, and most must be beyond delta. */
	least = fmax(-z[0], delta - z[a->nr - a->nr / 2 - 1]);
	free(z);
	return least;
}

static void judge_icount(struct cmp_row *r, const struct series *a, const struct series *b)
{
	bool exact = unit_is_exact(a->unit);
	double *rel = bench_alloc(a->nr * sizeof(*rel)), *diff = bench_alloc(a->nr * sizeof(*diff)), lo = INFINITY, hi = -INFINITY;
	size_t up = 0, down = 0, beyond = 0;

	for (size_t i = 0; i < a->nr; i++) {
		const struct value *x = &a->v[i], *y = find_value(b, x);

		if (!y || a->nr != b->nr) {
			invalid_row(r, bench_printf("the kernels do not have the same perturbations (%zu and %zu valid ones)", a->nr, b->nr));
			goto out;
		}
		if (x->seed != y->seed) {
			invalid_row(r, bench_printf("different seeds: not the same work, so not exactly comparable"));
			goto out;
		}
		rel[i] = rel_change(x->v, y->v);
		diff[i] = fabs(y->v - x->v);
		up += y->v > x->v;
		down += y->v < x->v;
		beyond += diff[i] > a->abs_floor && (exact || fabs(rel[i]) > a->rel_delta);
		lo = fmin(lo, rel[i]);
		hi = fmax(hi, rel[i]);
	}
	r->rel = stat_median(rel, a->nr);
	r->noise = layout_noise(a);
	if (!exact)
		r->found_from = found_from(a, rel);
	if (a->nr > 1) {
		r->ci[0] = lo;
		r->ci[1] = hi;
	}
	/* beyond: perturbations whose change matters. No change is shown by all, a change by most and by none that says the opposite. */
	if (!beyond) {
		r->verdict = V_UNCHANGED;
	} else if (up && down) {
		r->verdict = V_INCONCLUSIVE;
		r->why = bench_printf("perturbations disagree: %zu up, %zu down; needs more of them", up, down);
	} else if (exact || 2 * beyond > a->nr) {
		r->verdict = changed(a->direction, up ? 1 : -1);
	} else {
		r->verdict = V_INCONCLUSIVE;
		r->why = bench_printf("%zu of %zu perturbations changed relevantly; needs about %zu of them", beyond, a->nr, 2 * a->nr + 1);
	}
out:
	free(rel);
	free(diff);
}

/* --- times in the wall lane ------------------------------------------------------------------------------------------------ */

static struct draft *add_draft(struct work *w, size_t n, size_t m)
{
	struct draft *d;

	w->drafts = bench_grow(w->drafts, (w->nr_drafts + 1) * sizeof(*w->drafts));
	d = &w->drafts[w->nr_drafts++];
	*d = (struct draft){ .row = w->c->nr - 1, .a = bench_alloc(n * sizeof(*d->a)), .b = bench_alloc(m * sizeof(*d->b)), .n = n,
			     .m = m };
	return d;
}

static void draft_times(struct work *w, const struct series *a, const struct series *b)
{
	struct draft *d = add_draft(w, a->nr, b->nr);
	double base = fabs(series_median(a));

	d->direction = a->direction;
	d->log = true;
	d->blocks = w->doc_a == w->doc_b && a->nr == b->nr;
	for (size_t i = 0; i < a->nr; i++) {
		d->log &= a->v[i].v > 0;
		d->blocks &= find_value(b, &a->v[i]) != NULL;
	}
	for (size_t j = 0; j < b->nr; j++)
		d->log &= b->v[j].v > 0;
	for (size_t i = 0; i < a->nr; i++)
		d->a[i] = d->log ? log(a->v[i].v) : a->v[i].v;
	for (size_t j = 0; j < b->nr; j++)
		d->b[j] = d->log ? log(b->v[j].v) : b->v[j].v;
	d->bound = d->log ? log1p(fmax(a->rel_delta, a->abs_floor / base)) : fmax(a->rel_delta * base, a->abs_floor);
}

/* From the terms of a draft to a relative change. */
static double draft_rel(const struct draft *d, double shift)
{
	return d->log ? expm1(shift) : rel_change(stat_median(d->a, d->n), stat_median(d->a, d->n) + shift);
}

/* How many boots per kernel would decide, if the spread stays and the interval narrows with the root of their number. */
static void say_needed(struct cmp_row *r, const struct draft *d, unsigned int least)
{
	double half = (d->ci[1] - d->ci[0]) / 2, margin = fabs(fabs(d->est) - d->bound), n = (double)(d->n < d->m ? d->n : d->m);
	bool beyond = d->ci[0] > d->bound || d->ci[1] < -d->bound;
	double need = ceil(n * pow(half / margin, 2));

	if (isnan(half) && d->pairs) {
		r->why = bench_printf("needs %d pairs of boots to show no change (has %.0f)", MIN_PAIRS, n);
		return;
	}
	if (isnan(half)) {
		r->why = bench_printf("needs %u boots to show no change, %u to show one (has %.0f)", stat_min_boots(1 - CONF), least, n);
		return;
	}
	if (d->pairs) {
		r->why = bench_printf("the %.0f pairs of boots do not all agree within that", n);
		return;
	}
	need = fmax(need, n + 1);
	if (fabs(d->est) >= d->bound)
		need = fmax(need, least);
	if (need > MAX_BOOTS)
		r->why = bench_printf("needs more than %d boots: too noisy here (has %.0f)", MAX_BOOTS, n);
	else
		r->why = bench_printf("%sneeds about %.0f boots (has %.0f)", beyond ? "looks changed; " : "", need, n);
}

/*
 * Among pairs of unlike boots (other workloads, other file systems) one that changed could hide: none may be beyond twice the bound,
 * which boots of one kernel, each with its own luck, practically never are.
 */
static bool all_inside(const struct draft *d)
{
	for (size_t i = 0; d->pairs && i < d->m; i++)
		if (fabs(d->b[i]) > 2 * d->bound)
			return false;
	return true;
}

/* The lane's row is there to show "no change" and is not one of the tests for a change. */
static bool is_tested(const struct draft *d)
{
	return !isnan(d->ci[0]) && !d->pairs;
}

static void judge_drafts(struct work *w)
{
	double *p = bench_alloc((w->nr_drafts + 1) * sizeof(*p));
	unsigned int least;
	size_t tests = 0, k = 0;

	for (size_t i = 0; i < w->nr_drafts; i++) {
		struct draft *d = &w->drafts[i];

		d->est = d->pairs ? stat_hodges_lehmann_paired(d->b, d->m, CONF, d->ci) :
				    stat_hodges_lehmann(d->a, d->n, d->b, d->m, CONF, d->ci);
		tests += is_tested(d);
	}
	least = stat_min_boots(ALPHA / (double)(w->nr_drafts ? w->nr_drafts : 1));
	for (size_t i = 0; i < w->nr_drafts; i++) {
		struct draft *d = &w->drafts[i];

		if (!is_tested(d))
			continue;
		/* Blocks cancel the host's drift, but need more boots: used as soon as they could reach the corrected level. */
		if (d->blocks && ldexp(2, -(int)d->n) < ALPHA / (double)tests) {
			double *diff = bench_alloc(d->n * sizeof(*diff));

			for (size_t b = 0; b < d->n; b++)
				diff[b] = d->b[b] - d->a[b];
			d->est = stat_hodges_lehmann_paired(diff, d->n, CONF, d->ci);
			d->p = stat_wilcoxon(diff, d->n);
			free(diff);
		} else {
			d->p = stat_mann_whitney(d->a, d->n, d->b, d->m);
		}
		p[k++] = d->p;
	}
	stat_holm(p, tests);
	k = 0;
	for (size_t i = 0; i < w->nr_drafts; i++) {
		struct draft *d = &w->drafts[i];
		struct cmp_row *r = &w->c->rows[d->row];
		bool beyond = d->ci[0] > d->bound || d->ci[1] < -d->bound;

		r->rel = draft_rel(d, d->est);
		if (is_tested(d))
			r->p = p[k++];
		if (!isnan(d->ci[0])) {
			r->ci[0] = draft_rel(d, d->ci[0]);
			r->ci[1] = draft_rel(d, d->ci[1]);
		}
		if (d->ci[0] >= -d->bound && d->ci[1] <= d->bound && all_inside(d)) {
			r->verdict = V_UNCHANGED;
		} else if (beyond && r->p < ALPHA) {
			r->verdict = changed(d->direction, d->est);
		} else {
			r->verdict = V_INCONCLUSIVE;
			say_needed(r, d, least);
		}
		free(d->a);
		free(d->b);
	}
	free(w->drafts);
	free(p);
}

/* --- families: all times of one workload in the wall lane ------------------------------------------------------------------ */

struct member {
	const struct series *a, *b;
};

/*
 * A boot's score is the median, over the workload's series, of log(its value / the series' median over all boots), turned so that
 * more is worse. Series of one boot share that boot's luck, so it is boots that are counted, not series; but what differs between the
 * series of a boot averages out, and the score is steadier than any one of them. Only series measured in every boot take part.
 */
static void draft_family(struct work *w, const struct member *m, size_t nr)
{
	const struct series *first = m[0].a;
	size_t na = 0, nb = 0, used = 0;
	double *centre, *delta, *score;
	bool *in, blocks = w->doc_a == w->doc_b;
	struct cmp_row *r;
	struct draft *d;

	for (size_t i = 0; i < nr; i++) {
		na = m[i].a->nr > na ? m[i].a->nr : na;
		nb = m[i].b->nr > nb ? m[i].b->nr : nb;
	}
	centre = bench_alloc(nr * sizeof(*centre));
	delta = bench_alloc(nr * sizeof(*delta));
	score = bench_alloc((nr + na + nb) * sizeof(*score));
	in = bench_alloc(nr * sizeof(*in));
	for (size_t i = 0; i < nr; i++) {
		const struct series *s[2] = { m[i].a, m[i].b };
		size_t n = 0;

		in[i] = s[0]->nr == na && s[1]->nr == nb;
		for (size_t side = 0; side < 2; side++)
			for (size_t k = 0; k < s[side]->nr; k++) {
				in[i] &= s[side]->v[k].v > 0;
				score[n++] = log(s[side]->v[k].v);
			}
		if (!in[i])
			continue;
		centre[i] = stat_median(score, n);
		delta[used++] = fmax(m[i].a->rel_delta, m[i].a->abs_floor / series_median(m[i].a));
		for (size_t k = 0; k < na && na == nb; k++)
			blocks &= s[0]->v[k].boot == s[1]->v[k].boot && s[0]->v[k].perturbation == s[1]->v[k].perturbation;
	}
	if (used < 2)
		goto out;
	r = add_row(w->c);
	name_row(r, "", first->workload, first->lane, "", "", "", "(all)", "", "x");
	free(r->coords);
	r->coords = bench_printf("%zu series", used);
	r->reproduce = whole_plan(first->v[0].cell);
	r->family = true;
	r->nb = (unsigned int)na;
	r->nc = (unsigned int)nb;
	r->delta = stat_median(delta, used);
	d = add_draft(w, na, nb);
	d->direction = D_LOWER;
	d->log = true;
	d->blocks = blocks && na == nb;
	d->bound = log1p(r->delta);
	for (size_t k = 0; k < na + nb; k++) {
		size_t n = 0;

		for (size_t i = 0; i < nr; i++) {
			double sign = m[i].a->direction == D_HIGHER ? -1 : 1;

			if (in[i])
				score[n++] = sign * (log(k < na ? m[i].a->v[k].v : m[i].b->v[k - na].v) - centre[i]);
		}
		*(k < na ? &d->a[k] : &d->b[k - na]) = stat_median(score, n);
	}
	r->base = exp(stat_median(d->a, na));
	r->cand = exp(stat_median(d->b, nb));
out:
	free(centre);
	free(delta);
	free(score);
	free(in);
}

struct log_ratio {
	const json_t *boot;	/* the baseline's */
	double v;
};

static int cmp_ratio(const void *a, const void *b)
{
	const struct log_ratio *x = a, *y = b;

	return (x->boot > y->boot) - (x->boot < y->boot);
}

/*
 * The whole lane in one row: a pair of boots (one of each kernel, otherwise alike, run next to each other) gives one number, the median
 * of log(new / base) over all that both timed, turned so that more is worse; the pairs of all workloads, file systems and modes together
 * are the sample. It shows "no change" where each cell was booted once only, if there are enough cells.
 */
static void draft_lane(struct work *w, const struct member *m, size_t nr)
{
	double *delta = bench_alloc((nr + 1) * sizeof(*delta)), *v;
	struct log_ratio *l = NULL;
	size_t n = 0, pairs = 0;
	struct cmp_row *r;
	struct draft *d;

	for (size_t i = 0; i < nr; i++) {
		double sign = m[i].a->direction == D_HIGHER ? -1 : 1;

		delta[i] = fmax(m[i].a->rel_delta, m[i].a->abs_floor / fabs(series_median(m[i].a)));
		for (size_t k = 0; k < m[i].a->nr; k++) {
			const struct value *x = &m[i].a->v[k], *y = find_value(m[i].b, x);

			if (!y || x->v <= 0 || y->v <= 0)
				continue;
			l = bench_grow(l, (n + 1) * sizeof(*l));
			l[n++] = (struct log_ratio){ x->cell, sign * log(y->v / x->v) };
		}
	}
	if (!n || w->doc_a != w->doc_b)
		goto out;
	qsort(l, n, sizeof(*l), cmp_ratio);
	r = add_row(w->c);
	d = add_draft(w, 0, n);
	v = bench_alloc(n * sizeof(*v));
	for (size_t i = 0, j; i < n; i = j) {
		for (j = i; j < n && l[j].boot == l[i].boot; j++)
			v[j - i] = l[j].v;
		d->b[pairs++] = stat_median(v, j - i);
	}
	free(v);
	name_row(r, "", "(all)", "wall", "", "", "", "(all)", "", "x");
	free(r->coords);
	r->coords = bench_printf("%zu pairs of boots", pairs);
	r->reproduce = whole_plan(m[0].a->v[0].cell);
	r->family = true;
	r->nb = r->nc = (unsigned int)pairs;
	r->base = 1;
	r->cand = exp(stat_median(d->b, pairs));
	r->delta = stat_median(delta, nr);
	d->n = d->m = pairs;
	d->direction = D_LOWER;
	d->log = d->pairs = true;
	d->bound = log1p(r->delta);
out:
	free(delta);
	free(l);
}

static bool is_wall_time(const struct series *s)
{
	return s->direction != D_INFO && !strcmp(s->lane, "wall") && !unit_is_exact(s->unit);
}

static void draft_families(struct work *w, const struct member *all, size_t nr)
{
	struct member *m = bench_alloc((nr + 1) * sizeof(*m));
	bool *done = bench_alloc((nr + 1) * sizeof(*done));
	size_t times = 0;

	for (size_t i = 0; i < nr; i++) {
		size_t n = 0;

		for (size_t j = i; j < nr; j++)
			if (!done[j] && is_wall_time(all[j].a) && !strcmp(all[i].a->workload, all[j].a->workload)) {
				m[n++] = all[j];
				done[j] = true;
			}
		if (n)
			draft_family(w, m, n);
	}
	for (size_t i = 0; i < nr; i++)
		if (done[i])
			m[times++] = all[i];
	draft_lane(w, m, times);
	free(m);
	free(done);
}

/* --- matching ---------------------------------------------------------------------------------------------------------------- */

static int cmp_key(const void *a, const void *b)
{
	return strcmp((*(const struct series *const *)a)->key, (*(const struct series *const *)b)->key);
}

/* Pointers to the series of a set, by key. */
static const struct series **index_of(const struct series_set *set)
{
	const struct series **idx = bench_alloc((set->nr + 1) * sizeof(*idx));

	for (size_t i = 0; i < set->nr; i++)
		idx[i] = &set->s[i];
	if (set->nr)
		qsort(idx, set->nr, sizeof(*idx), cmp_key);
	return idx;
}

static const struct series *look_up(const struct series **idx, size_t nr, const struct series *s)
{
	const struct series **hit = nr ? bsearch(&s, idx, nr, sizeof(*idx), cmp_key) : NULL;

	return hit ? *hit : NULL;
}

static void judge_pair(struct work *w, const struct series *a, const struct series *b)
{
	const char *img_a = json_str(a->v[0].cell, "image_hash", ""), *img_b = json_str(b->v[0].cell, "image_hash", "");
	struct cmp_row *r = add_series_row(w->c, b);

	/* What a metric means is said by the baseline's document. */
	free(r->unit);
	r->unit = bench_strdup(a->unit);
	r->nb = (unsigned int)a->nr;
	r->nc = (unsigned int)b->nr;
	r->base = series_median(a);
	r->cand = series_median(b);
	r->rel = rel_change(r->base, r->cand);
	r->delta = a->rel_delta;
	if (*img_a && *img_b && strcmp(img_a, img_b))
		invalid_row(r, bench_printf("the image \"%s\" is not the same in both", a->image));
	else if (a->direction == D_INFO)
		r->verdict = V_INFO;
	else if (!strcmp(a->lane, "icount"))
		judge_icount(r, a, b);
	else if (unit_is_exact(a->unit))
		judge_counts(r, a, b);
	else
		draft_times(w, a, b);
}

/* The cells of one kernel that belong to the same group as this one: is there any, and did one pass? */
static bool group_has(const json_t *doc, const char *label, const char *group, bool passed)
{
	const json_t *cells = json_object_get(doc, "cells"), *c;
	size_t i;

	json_array_foreach(cells, i, c) {
		char *g;
		bool same;

		if (strcmp(json_str(c, "kernel", ""), label) ||
		    (passed && cell_class(json_str(c, "verdict", "")) != CELL_PASSED))
			continue;
		g = cell_group(c);
		same = !strcmp(g, group);
		free(g);
		if (same)
			return true;
	}
	return false;
}

static void add_cell_row(struct comparison *c, const json_t *cell, char *coords, char *why)
{
	struct cmp_row *r = add_row(c);

	name_row(r, json_str(cell, "section", ""), json_str(cell, "workload", ""), json_str(cell, "lane", ""), json_str(cell, "fs", ""),
		 json_str(cell, "mode", ""), json_str(cell, "image", ""), "-", coords, "");
	free(coords);
	r->reproduce = bench_strdup(json_str(cell, "reproduce", ""));
	invalid_row(r, why);
}

/*
 * Rows for boots that did not pass. A skipped boot is as good as none: it matters only if the other kernel was not skipped. What is
 * wrong with a whole group of cells is said once, not for each of its metrics.
 */
static void add_cell_rows(struct comparison *c, const json_t *doc, const char *label, const json_t *other, const char *other_label)
{
	const json_t *cells = json_object_get(doc, "cells"), *cell;
	json_t *said = json_object();
	size_t i;

	json_array_foreach(cells, i, cell) {
		const char *verdict = json_str(cell, "verdict", ""), *why = json_str(cell, "why", "");
		enum cell_class class = cell_class(verdict);
		char *group;

		if (strcmp(json_str(cell, "kernel", ""), label))
			continue;
		if (class == CELL_FAILED || class == CELL_INVALID) {
			char *splat = cell_splat(cell);

			c->failed += class == CELL_FAILED;
			add_cell_row(c, cell, bench_printf("%s boot %.0f.%.0f", label, json_num(cell, "boot", 0), json_num(cell, "perturbation", 0)),
				     bench_printf("%s%s%s%s%s%s", verdict, *why ? ": " : "", why, *splat ? " (" : "", splat, *splat ? ")" : ""));
			free(splat);
			continue;
		}
		group = cell_group(cell);
		if (json_object_get(said, group)) {
			free(group);
			continue;
		}
		json_object_set_new(said, group, json_true());
		if (class == CELL_SKIPPED && group_has(other, other_label, group, true))
			add_cell_row(c, cell, bench_strdup(label), bench_printf("skipped with %s: %s", label, why));
		else if (class == CELL_PASSED && !json_is_true(json_object_get(cell, "peer")) &&
			 !group_has(other, other_label, group, false))
			add_cell_row(c, cell, bench_strdup(other_label), bench_printf("not run with %s", other_label));
		free(group);
	}
	json_decref(said);
}

/* A series that only one side has although the other side's boots passed. */
static void add_missing(struct comparison *c, const struct series *s, const json_t *other, const char *other_label)
{
	char *group = cell_group(s->v[0].cell);

	if (group_has(other, other_label, group, true))
		invalid_row(add_series_row(c, s), bench_printf("not measured with %s", other_label));
	free(group);
}

static const json_t *find_kernel(const json_t *doc, const char *label)
{
	const json_t *kernels = json_object_get(doc, "kernels"), *k;
	size_t i;

	json_array_foreach(kernels, i, k)
		if (!strcmp(json_str(k, "label", ""), label))
			return k;
	fprintf(stderr, "shbench: run %s: it has no kernel \"%s\"; it has:", json_str(doc, "id", "?"), label);
	json_array_foreach(kernels, i, k)
		fprintf(stderr, " %s", json_str(k, "label", ""));
	fputc('\n', stderr);
	return NULL;
}

/* Why two documents cannot be compared, or NULL. */
static char *refusal(const json_t *doc_a, const json_t *ka, const json_t *doc_b, const json_t *kb)
{
	const json_t *qa = json_object_get(doc_a, "qemu"), *qb = json_object_get(doc_b, "qemu");
	const struct {
		const char *what, *a, *b;
	} facts[] = {
		{ "accelerators", json_str(qa, "accel", ""), json_str(qb, "accel", "") },
		{ "versions of QEMU", json_str(qa, "version", ""), json_str(qb, "version", "") },
		{ "kernel configs", json_str(ka, "config_hash", ""), json_str(kb, "config_hash", "") },
	};

	for (size_t i = 0; i < BENCH_SIZE(facts); i++)
		if (strcmp(facts[i].a, facts[i].b))
			return bench_printf("different %s: \"%.60s\" and \"%.60s\"; --force compares all the same", facts[i].what, facts[i].a,
					    facts[i].b);
	return NULL;
}

int compare(const json_t *doc_a, const char *label_a, const json_t *doc_b, const char *label_b, bool force, struct comparison *out)
{
	struct work w = { .c = out, .doc_a = doc_a, .doc_b = doc_b };
	const json_t *ka = find_kernel(doc_a, label_a), *kb = find_kernel(doc_b, label_b);
	const struct series **idx_a, **idx_b;
	struct member *pairs;
	size_t nr = 0;

	*out = (struct comparison){};
	if (!ka || !kb)
		return -ENOENT;
	out->base = bench_strdup(label_a);
	out->cand = bench_strdup(label_b);
	if (doc_a != doc_b && !force) {
		out->refused = refusal(doc_a, ka, doc_b, kb);
		if (out->refused)
			return 0;
	}
	series_collect(doc_a, label_a, &w.a);
	series_collect(doc_b, label_b, &w.b);
	idx_a = index_of(&w.a);
	idx_b = index_of(&w.b);
	pairs = bench_alloc((w.a.nr + 1) * sizeof(*pairs));
	for (size_t i = 0; i < w.a.nr; i++) {
		const struct series *b = look_up(idx_b, w.b.nr, &w.a.s[i]);

		if (b) {
			judge_pair(&w, &w.a.s[i], b);
			pairs[nr++] = (struct member){ &w.a.s[i], b };
		} else {
			add_missing(out, &w.a.s[i], doc_b, label_b);
		}
	}
	for (size_t i = 0; i < w.b.nr; i++)
		if (!look_up(idx_a, w.a.nr, &w.b.s[i]))
			add_missing(out, &w.b.s[i], doc_a, label_a);
	draft_families(&w, pairs, nr);
	judge_drafts(&w);
	add_cell_rows(out, doc_a, label_a, doc_b, label_b);
	if (doc_a != doc_b || strcmp(label_a, label_b))
		add_cell_rows(out, doc_b, label_b, doc_a, label_a);
	for (size_t i = 0; i < out->nr; i++)
		out->count[out->rows[i].verdict]++;
	free(pairs);
	free(idx_a);
	free(idx_b);
	series_free(&w.a);
	series_free(&w.b);
	return 0;
}

void comparison_free(struct comparison *c)
{
	for (size_t i = 0; i < c->nr; i++) {
		struct cmp_row *r = &c->rows[i];
		char *const texts[] = { r->section, r->workload, r->lane, r->fs, r->mode, r->image, r->metric, r->coords, r->unit, r->why,
					r->reproduce };

		for (size_t k = 0; k < BENCH_SIZE(texts); k++)
			free(texts[k]);
	}
	free(c->rows);
	free(c->base);
	free(c->cand);
	free(c->refused);
	*c = (struct comparison){};
}

static const struct cmp_row *family_row(const struct comparison *c, const char *lane, const char *workload)
{
	for (size_t i = 0; i < c->nr; i++)
		if (c->rows[i].family && !strcmp(c->rows[i].lane, lane) && !strcmp(c->rows[i].workload, workload))
			return &c->rows[i];
	return NULL;
}

/*
 * Does an inconclusive row leave its lane open? A row of few boots does not if its workload, or else the whole lane, was shown
 * unchanged with it in the pool; one that has an interval and looks changed does.
 */
static bool leaves_open(const struct comparison *c, const struct cmp_row *r)
{
	const struct cmp_row *family = r->family ? r : family_row(c, r->lane, r->workload), *all = family_row(c, r->lane, "(all)");
	bool changed_looks = r->ci[0] > r->delta || r->ci[1] < -r->delta / (1 + r->delta);

	/* The lane's own row is a help for others, never a doubt of its own. */
	if (r == all)
		return false;
	if (strcmp(r->lane, "wall") || unit_is_exact(r->unit) || changed_looks)
		return true;
	if (family && family->verdict == V_UNCHANGED)
		return false;
	return !isnan(family ? family->ci[0] : r->ci[0]) || !all || all->verdict != V_UNCHANGED;
}

enum verdict comparison_lane(const struct comparison *c, const char *lane)
{
	size_t count[BENCH_SIZE(c->count)] = {}, open = 0;

	for (size_t i = 0; i < c->nr; i++)
		if (!strcmp(c->rows[i].lane, lane)) {
			count[c->rows[i].verdict]++;
			open += c->rows[i].verdict == V_INCONCLUSIVE && leaves_open(c, &c->rows[i]);
		}
	if (count[V_INVALID])
		return V_INVALID;
	if (count[V_REGRESSED])
		return V_REGRESSED;
	if (count[V_IMPROVED])
		return V_IMPROVED;
	if (open)
		return V_INCONCLUSIVE;
	return count[V_UNCHANGED] ? V_UNCHANGED : V_INFO;
}

int comparison_exit(const struct comparison *c, bool strict)
{
	if (c->refused)
		return 3;
	if (c->failed || c->count[V_REGRESSED])
		return 1;
	if (c->count[V_INVALID])
		return 3;
	if (strict && (comparison_lane(c, "wall") == V_INCONCLUSIVE || comparison_lane(c, "icount") == V_INCONCLUSIVE))
		return 4;
	return 0;
}
