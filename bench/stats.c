// SPDX-License-Identifier: GPL-2.0
/*
 * Statistics for few, expensive replications (boots of a virtual machine).
 *
 * All tests are rank tests: nothing is assumed about the shape of a distribution except, for intervals, that one side is the
 * other shifted. Null distributions are counted exactly for the sizes that occur; counts are kept as doubles, which hold every
 * integer up to C(40,20) = 1.4e11 and 2^25 exactly. Nothing here allocates more than a few hundred KiB.
 *
 * Sources: Hollander, Wolfe, Chicken, "Nonparametric Statistical Methods", 3rd ed. (below: HWC); Lehmann, "Nonparametrics:
 * Statistical Methods Based on Ranks"; Holm, Scand. J. Statist. 6 (1979); Sen, JASA 63 (1968).
 *
 * Change points: Pettitt's rank-CUSUM (Appl. Statist. 28 (1979) 126) in its standardised form (Csorgo and Horvath, "Limit Theorems in
 * Change-Point Analysis", 1997, 2.1), binary segmentation (Vostrikova, Soviet Math. Dokl. 24 (1981) 55), and a permutation test of each
 * split as Matteson and James have it (JASA 109 (2014) 334).
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bench-util.h"
#include "bench.h"

/* Largest sizes whose null distribution is counted; beyond, the normal approximation is good to three digits. */
#define EXACT_U	20
#define EXACT_W	25

/* Probabilities are ratios of exactly counted numbers: the slack is for the division only. */
#define EPS	1e-9

static int cmp_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void sort(double *v, size_t n)
{
	if (n)
		qsort(v, n, sizeof(*v), cmp_double);
}

static double median_sorted(const double *v, size_t n)
{
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double stat_median(const double *v, size_t n)
{
	double *s, m;

	if (!n)
		return NAN;
	s = bench_alloc(n * sizeof(*s));
	memcpy(s, v, n * sizeof(*s));
	sort(s, n);
	m = median_sorted(s, n);
	free(s);
	return m;
}

/* Two-sided p of a standard normal z. */
static double normal_p(double z)
{
	return erfc(fabs(z) / M_SQRT2);
}

/* z with P(|Z| <= z) = conf, by bisection. */
static double normal_z(double conf)
{
	double lo = 0, hi = 40;

	for (int i = 0; i < 200; i++) {
		double mid = (lo + hi) / 2;

		if (1 - normal_p(mid) < conf)
			lo = mid;
		else
			hi = mid;
	}
	return (lo + hi) / 2;
}

/*
 * Twice the midranks (so that they are integers) of v in rank2, in v's order; returns the sum of t^3 - t over the groups of
 * equal values, the tie correction of HWC (4.13).
 */
static double midranks2(const double *v, size_t n, unsigned int *rank2)
{
	double *s = bench_alloc((n + 1) * sizeof(*s)), ties = 0;

	memcpy(s, v, n * sizeof(*s));
	sort(s, n);
	for (size_t i = 0, j; i < n; i = j) {
		for (j = i; j < n && s[j] == s[i]; j++)
			;
		for (size_t k = 0; k < n; k++)
			if (v[k] == s[i])
				rank2[k] = (unsigned int)(i + 1 + j);
		ties += pow((double)(j - i), 3) - (double)(j - i);
	}
	free(s);
	return ties;
}

/*
 * How many of the subsets of size n of rank2[0..total) have each sum: cnt[s], s <= max. The classical dynamic programme over the
 * items; with midranks it is the exact conditional (permutation) distribution, so ties need no approximation.
 */
static double *subset_sums(const unsigned int *rank2, size_t total, size_t n, size_t max)
{
	double *t = bench_alloc((n + 1) * (max + 1) * sizeof(*t)), *cnt = bench_alloc((max + 1) * sizeof(*cnt));

	t[0] = 1;
	for (size_t i = 0; i < total; i++)
		for (size_t k = (i + 1 < n ? i + 1 : n); k >= 1; k--)
			for (size_t s = max + 1; s-- > rank2[i];)
				t[k * (max + 1) + s] += t[(k - 1) * (max + 1) + s - rank2[i]];
	memcpy(cnt, t + n * (max + 1), (max + 1) * sizeof(*cnt));
	free(t);
	return cnt;
}

/* Two-sided p of an observed sum: twice the smaller tail, at most 1. */
static double two_sided(const double *cnt, size_t max, size_t obs)
{
	double lo = 0, hi = 0, all = 0;

	for (size_t s = 0; s <= max; s++) {
		all += cnt[s];
		if (s <= obs)
			lo += cnt[s];
		if (s >= obs)
			hi += cnt[s];
	}
	return fmin(1, 2 * fmin(lo, hi) / all);
}

/* HWC 4.1; in its rank-sum form, whose exact distribution with ties is the permutation distribution of midranks. */
double stat_mann_whitney(const double *a, size_t n, const double *b, size_t m)
{
	size_t total = n + m, max = total * (total + 1), obs = 0;
	unsigned int *rank2;
	double *v, ties, p;

	if (!n || !m)
		return NAN;
	v = bench_alloc(total * sizeof(*v));
	rank2 = bench_alloc(total * sizeof(*rank2));
	memcpy(v, a, n * sizeof(*v));
	memcpy(v + n, b, m * sizeof(*v));
	ties = midranks2(v, total, rank2);
	for (size_t i = 0; i < n; i++)
		obs += rank2[i];
	if (n <= EXACT_U && m <= EXACT_U) {
		double *cnt = subset_sums(rank2, total, n, max);

		p = two_sided(cnt, max, obs);
		free(cnt);
	} else {
		double nd = (double)n, md = (double)m, nm = nd + md, u = (double)obs / 2 - nd * (nd + 1) / 2;
		double var = nd * md / 12 * (nm + 1 - ties / (nm * (nm - 1)));
		double dev = fmax(0, fabs(u - nd * md / 2) - 0.5);

		p = var > 0 ? normal_p(dev / sqrt(var)) : 1;
	}
	free(v);
	free(rank2);
	return p;
}

/* HWC 3.1; zeros are dropped (Wilcoxon's own way), equal sizes get midranks. */
double stat_wilcoxon(const double *d, size_t n)
{
	unsigned int *rank2;
	double *v, ties, p;
	size_t nz = 0, obs = 0, max;

	v = bench_alloc((n + 1) * sizeof(*v));
	rank2 = bench_alloc((n + 1) * sizeof(*rank2));
	for (size_t i = 0; i < n; i++)
		if (d[i] != 0)
			v[nz++] = fabs(d[i]);
	ties = midranks2(v, nz, rank2);
	for (size_t i = 0, k = 0; i < n; i++) {
		if (d[i] > 0)
			obs += rank2[k];
		k += d[i] != 0;
	}
	max = nz * (nz + 1);
	if (!nz) {
		p = 1;
	} else if (nz <= EXACT_W) {
		double *cnt = bench_alloc((max + 1) * sizeof(*cnt));

		cnt[0] = 1;
		for (size_t i = 0; i < nz; i++)
			for (size_t s = max + 1; s-- > rank2[i];)
				cnt[s] += cnt[s - rank2[i]];
		p = two_sided(cnt, max, obs);
		free(cnt);
	} else {
		double k = (double)nz, var = k * (k + 1) * (2 * k + 1) / 24 - ties / 48;
		double dev = fmax(0, fabs((double)obs / 2 - k * (k + 1) / 4) - 0.5);

		p = normal_p(dev / sqrt(var));
	}
	free(v);
	free(rank2);
	return p;
}

/*
 * Given how often each value of a symmetric rank statistic occurs (cnt[0..max]), the largest k with P(statistic < k) no more than
 * (1 - conf) / 2: the k-th smallest and k-th largest pairwise difference (or average) bound an interval of at least that level.
 * 0 if even the whole range does not reach it.
 */
static size_t order_k(const double *cnt, size_t max, double conf)
{
	double all = 0, cum = 0;
	size_t k;

	for (size_t s = 0; s <= max; s++)
		all += cnt[s];
	for (k = 0; k <= max; k++) {
		cum += cnt[k];
		if (2 * cum > (1 - conf) * all * (1 + EPS))
			break;
	}
	return k;
}

/* The interval between the k-th smallest and the k-th largest of sorted v; NaN for k of 0. */
static void order_ci(const double *v, size_t n, size_t k, double ci[2])
{
	if (!ci)
		return;
	if (k > (n + 1) / 2)
		k = (n + 1) / 2;
	ci[0] = k ? v[k - 1] : NAN;
	ci[1] = k ? v[n - k] : NAN;
}

/* HWC 4.2 (estimate) and 4.3 (interval, Moses): the median of all differences and order statistics of them. */
double stat_hodges_lehmann(const double *a, size_t n, const double *b, size_t m, double conf, double ci[2])
{
	double *d, est;
	size_t k, nd = n * m;

	if (!nd) {
		order_ci(NULL, 0, 0, ci);
		return NAN;
	}
	d = bench_alloc(nd * sizeof(*d));
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < m; j++)
			d[i * m + j] = b[j] - a[i];
	sort(d, nd);
	est = median_sorted(d, nd);
	if (n <= EXACT_U && m <= EXACT_U) {
		/* U is the rank sum less its smallest value n(n+1)/2. */
		size_t least = n * (n + 1) / 2, max = least + nd;
		unsigned int *rank = bench_alloc((n + m) * sizeof(*rank));
		double *cnt;

		for (size_t i = 0; i < n + m; i++)
			rank[i] = (unsigned int)i + 1;
		cnt = subset_sums(rank, n + m, n, max);
		k = order_k(cnt + least, nd, conf);
		free(cnt);
		free(rank);
	} else {
		double x = (double)nd / 2 - normal_z(conf) * sqrt((double)nd * (double)(n + m + 1) / 12);

		k = x < 1 ? 0 : (size_t)x;
	}
	order_ci(d, nd, k, ci);
	free(d);
	return est;
}

/* HWC 3.2 (estimate) and 3.3 (interval, Tukey): the median of all Walsh averages and order statistics of them. */
double stat_hodges_lehmann_paired(const double *d, size_t n, double conf, double ci[2])
{
	size_t nw = n * (n + 1) / 2, k = 0;
	double *w, est;

	if (!n) {
		order_ci(NULL, 0, 0, ci);
		return NAN;
	}
	w = bench_alloc(nw * sizeof(*w));
	for (size_t i = 0, at = 0; i < n; i++)
		for (size_t j = i; j < n; j++)
			w[at++] = (d[i] + d[j]) / 2;
	sort(w, nw);
	est = median_sorted(w, nw);
	if (n <= EXACT_W) {
		double *cnt = bench_alloc((nw + 1) * sizeof(*cnt));

		cnt[0] = 1;
		for (size_t i = 1; i <= n; i++)
			for (size_t s = nw + 1; s-- > i;)
				cnt[s] += cnt[s - i];
		k = order_k(cnt, nw, conf);
		free(cnt);
	} else {
		double nd = (double)n, x = nd * (nd + 1) / 4 - normal_z(conf) * sqrt(nd * (nd + 1) * (2 * nd + 1) / 24);

		k = x < 1 ? 0 : (size_t)x;
	}
	order_ci(w, nw, k, ci);
	free(w);
	return est;
}

struct ranked_p {
	double p;
	size_t at;
};

static int cmp_ranked_p(const void *a, const void *b)
{
	return cmp_double(&((const struct ranked_p *)a)->p, &((const struct ranked_p *)b)->p);
}

/* Holm 1979: the k-th smallest p (from 0) times n - k, made monotone. */
void stat_holm(double *p, size_t n)
{
	struct ranked_p *r = bench_alloc((n + 1) * sizeof(*r));
	double least = 0;

	for (size_t i = 0; i < n; i++)
		r[i] = (struct ranked_p){ p[i], i };
	if (n)
		qsort(r, n, sizeof(*r), cmp_ranked_p);
	for (size_t i = 0; i < n; i++) {
		least = fmax(least, fmin(1, r[i].p * (double)(n - i)));
		p[r[i].at] = least;
	}
	free(r);
}

/* Sum of t(t-1)(2t+5) over the groups of equal values: what ties take from the variance of Kendall's S. */
static double kendall_ties(const double *v, size_t n)
{
	double *s = bench_alloc((n + 1) * sizeof(*s)), sum = 0;

	memcpy(s, v, n * sizeof(*s));
	sort(s, n);
	for (size_t i = 0, j; i < n; i = j) {
		double t;

		for (j = i; j < n && s[j] == s[i]; j++)
			;
		t = (double)(j - i);
		sum += t * (t - 1) * (2 * t + 5);
	}
	free(s);
	return sum;
}

/* Sen 1968: the median of the slopes of all pairs; its interval from the normal approximation of Kendall's S, with ties. */
int stat_theil_sen(const double *x, const double *y, size_t n, double conf, double *slope, double *icept, double ci[2])
{
	double *s, nd = (double)n, half;
	size_t ns = 0;

	if (n < 2)
		return -EINVAL;
	s = bench_alloc(n * (n - 1) / 2 * sizeof(*s));
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			if (x[i] != x[j])
				s[ns++] = (y[j] - y[i]) / (x[j] - x[i]);
	if (!ns) {
		free(s);
		return -EINVAL;
	}
	sort(s, ns);
	*slope = median_sorted(s, ns);
	*icept = stat_median(y, n) - *slope * stat_median(x, n);
	half = normal_z(conf) * sqrt(fmax(0, nd * (nd - 1) * (2 * nd + 5) - kendall_ties(x, n) - kendall_ties(y, n)) / 18);
	if (half < (double)ns) {
		/* The M1-th and the (M2 + 1)-th smallest, counted from 1. */
		size_t lo = (size_t)rint(((double)ns - half) / 2), hi = (size_t)rint(((double)ns + half) / 2);

		ci[0] = s[lo ? lo - 1 : 0];
		ci[1] = s[hi < ns ? hi : ns - 1];
	} else {
		ci[0] = ci[1] = NAN;
	}
	free(s);
	return 0;
}

/* The most extreme of the C(2n,n) equally likely arrangements has the two-sided p of 2 / C(2n,n). */
unsigned int stat_min_boots(double alpha)
{
	double arrangements = 1;
	unsigned int n = 0;

	do {
		n++;
		arrangements *= (double)(2 * n) * (2 * n - 1) / ((double)n * n);
	} while (2 / arrangements > alpha * (1 + EPS));
	return n;
}

/* --- change points ------------------------------------------------------------------------------------------------------------ */

#define PERMUTATIONS	9999

struct segmentation {
	const double *v;
	size_t least, nr;
	double alpha;
	struct change_point *found;
	uint64_t seed;
};

uint64_t random64(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/*
 * The largest of S(k)^2 / (k (n - k)) over splits k, where S(k) is the sum of the first k centred ranks: but for a constant the square of the
 * standardised rank sum of each two-sample problem. Weighting so finds changes near the ends too.
 */
static double largest_cusum(const double *rank, size_t n, size_t least, size_t *at)
{
	double sum = 0, most = 0;

	for (size_t k = 1; k + least <= n; k++) {
		double t;

		sum += rank[k - 1];
		if (k < least)
			continue;
		t = sum * sum / ((double)k * (double)(n - k));
		if (t > most * (1 + EPS)) {
			most = t;
			*at = k;
		}
	}
	return most;
}

/*
 * p of the largest CUSUM by permutation. It stops as soon as p is above alpha for certain (Besag and Clifford, Biometrika 78 (1991)), so that
 * the many series without a change cost little.
 */
static double cusum_p(struct segmentation *s, double *rank, size_t n, double most)
{
	size_t larger = 0, at;

	for (size_t i = 1; i <= PERMUTATIONS; i++) {
		for (size_t k = n - 1; k; k--) {
			size_t j = random64(&s->seed) % (k + 1);
			double keep = rank[k];

			rank[k] = rank[j];
			rank[j] = keep;
		}
		larger += largest_cusum(rank, n, s->least, &at) >= most * (1 - EPS);
		if ((double)(larger + 1) > s->alpha * (PERMUTATIONS + 1))
			return (double)(larger + 1) / (double)(i + 1);
	}
	return (double)(larger + 1) / (PERMUTATIONS + 1);
}

static void split(struct segmentation *s, size_t from, size_t to)
{
	size_t n = to - from, at = 0;
	unsigned int *rank2;
	double *rank, most, p;

	if (n < 2 * s->least)
		return;
	rank2 = bench_alloc(n * sizeof(*rank2));
	rank = bench_alloc(n * sizeof(*rank));
	midranks2(s->v + from, n, rank2);
	for (size_t i = 0; i < n; i++)
		rank[i] = (double)rank2[i] - (double)(n + 1);
	most = largest_cusum(rank, n, s->least, &at);
	p = most > 0 ? cusum_p(s, rank, n, most) : 1;
	free(rank2);
	free(rank);
	if (p > s->alpha)
		return;
	split(s, from, from + at);
	s->found = bench_grow(s->found, (s->nr + 1) * sizeof(*s->found));
	s->found[s->nr++] = (struct change_point){ from + at, p };
	split(s, from + at, to);
}

size_t stat_change_points(const double *v, size_t n, size_t least, double alpha, struct change_point **out)
{
	struct segmentation s = { .v = v, .least = least ? least : 1, .alpha = alpha, .seed = 1 };

	split(&s, 0, n);
	*out = s.found;
	return s.nr;
}

/* P(X >= k) of a binomial distribution. */
static double binomial_tail(size_t k, size_t n, double p)
{
	double sum = 0;

	if (p <= 0 || p >= 1)
		return p >= 1 || !k;
	for (size_t i = k; i <= n; i++)
		sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) + (double)i * log(p) +
			   (double)(n - i) * log1p(-p));
	return fmin(sum, 1);
}

/* The share for which P(X >= k) is the level; it grows with the share. */
static double binomial_share(size_t k, size_t n, double level)
{
	double lo = 0, hi = 1;

	for (int i = 0; i < 60; i++) {
		double mid = (lo + hi) / 2;

		*(binomial_tail(k, n, mid) < level ? &lo : &hi) = mid;
	}
	return (lo + hi) / 2;
}

void stat_binomial_interval(size_t k, size_t n, double conf, double ci[2])
{
	ci[0] = k ? binomial_share(k, n, (1 - conf) / 2) : 0;
	ci[1] = k < n ? binomial_share(k + 1, n, (1 + conf) / 2) : 1;
}
