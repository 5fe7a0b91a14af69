// SPDX-License-Identifier: GPL-2.0
/*
 * stats.c against published examples and against SciPy 1.10.1. Reference numbers marked "SciPy" are the output of the function named
 * there for the data in the test; those marked "counted" were obtained by listing every arrangement of the ranks.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "bench.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static void near(double got, double want, double tolerance)
{
	if (!(fabs(got - want) <= tolerance))
		fail_msg("got %.15g, expected %.15g", got, want);
}

static void median(void **state)
{
	(void)state;
	near(stat_median((double[]){ 3 }, 1), 3, 0);
	near(stat_median((double[]){ 5, 1, 3 }, 3), 3, 0);
	near(stat_median((double[]){ 4, 1, 3, 10 }, 4), 3.5, 0);
	assert_true(isnan(stat_median(NULL, 0)));
}

/* SciPy mannwhitneyu(method="exact"). */
static void mann_whitney_exact(void **state)
{
	static const double a5[] = { 7.1, 3.2, 5.5, 9.9, 1.25 }, b5[] = { 8.0, 12.5, 10.1, 6.6, 11.0 };
	static const double a4[] = { 1.5, 2.5, 9.5, 4.5 }, b7[] = { 3, 5, 6, 7, 8, 10, 11 };
	static const double x[] = { 1.691, -0.466, 0.033, 0.408, -0.789, 0.002, -0.001, -1.755, 1.018, 0.6, -0.625, -0.172 };
	static const double y[] = { 1.405, 0.639, 0.657, -0.553, 1.455, 1.024, 1.174, -0.627, 2.551, 1.054, 0.513, 2.929, 0.855, -0.551,
				    0.495 };

	(void)state;
	near(stat_mann_whitney(a5, 5, b5, 5), 0.05555555555555555, 1e-12);
	near(stat_mann_whitney(b5, 5, a5, 5), 0.05555555555555555, 1e-12);
	near(stat_mann_whitney(a4, 4, b7, 7), 0.16363636363636364, 1e-12);
	near(stat_mann_whitney(x, N(x), y, N(y)), 0.0281412758731375, 1e-12);
	near(stat_mann_whitney((double[]){ 1, 2, 3 }, 3, (double[]){ 4, 5, 6 }, 3), 0.1, 1e-12);
	near(stat_mann_whitney((double[]){ 1 }, 1, (double[]){ 2 }, 1), 1, 0);
}

/*
 * The smallest two-sided p for n + n, the head of every table of U: 2 / C(2n, n). 0.0079 for 5 + 5 is also in Hollander, Wolfe and
 * Chicken's table of the rank sum (one-sided .004 at W = 15).
 */
static void mann_whitney_extremes(void **state)
{
	static const double want[] = { 1, 1.0 / 3, 0.1, 2.0 / 70, 2.0 / 252, 2.0 / 924, 2.0 / 3432, 2.0 / 12870 };
	double a[20], b[20];

	(void)state;
	for (int i = 0; i < 20; i++) {
		a[i] = i;
		b[i] = 100 + i;
	}
	for (size_t n = 1; n <= N(want); n++)
		near(stat_mann_whitney(a, n, b, n), want[n - 1], 1e-12);
	near(stat_mann_whitney(a, 20, b, 20), 2 / 137846528820.0, 1e-20);
}

/* Equal values, counted: every choice of the group's midranks. */
static void mann_whitney_ties(void **state)
{
	(void)state;
	near(stat_mann_whitney((double[]){ 1, 1, 2, 3 }, 4, (double[]){ 2, 3, 3, 5, 5 }, 5), 0.1111111111111111, 1e-12);
	near(stat_mann_whitney((double[]){ 1, 1, 1 }, 3, (double[]){ 2, 2, 2 }, 3), 0.1, 1e-12);
	near(stat_mann_whitney((double[]){ 1, 2, 2, 2, 7, 7 }, 6, (double[]){ 2, 7, 8, 8 }, 4), 0.1619047619047619, 1e-12);
	near(stat_mann_whitney((double[]){ 4, 4, 4 }, 3, (double[]){ 4, 4 }, 2), 1, 0);
}

/* SciPy mannwhitneyu(method="asymptotic"), with and without ties. */
static void mann_whitney_large(void **state)
{
	double a[25], b[24];

	(void)state;
	for (int i = 0; i < 25; i++)
		a[i] = i;
	for (int i = 0; i < 24; i++)
		b[i] = i + 7.5;
	near(stat_mann_whitney(a, 25, b, 24), 0.0033896200385545197, 1e-10);
	for (int i = 0; i < 25; i++)
		a[i] = i / 2;
	for (int i = 0; i < 24; i++)
		b[i] = i / 2 + 3;
	near(stat_mann_whitney(a, 25, b, 24), 0.017501072479107482, 1e-10);
}

/* Darwin's maize (Fisher 1935; SciPy's documentation) and the depression scale of HWC example 3.1 (two-sided 2 x .0195). */
static const double maize[] = { 6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75 };
static const double depression[] = { 0.952, -0.147, 1.022, 0.430, 0.620, 0.590, 0.490, -0.080, 0.010 };

static void wilcoxon(void **state)
{
	double d30[30];

	(void)state;
	near(stat_wilcoxon(maize, N(maize)), 0.041259765625, 1e-12);
	near(stat_wilcoxon(depression, N(depression)), 0.0390625, 1e-12);
	near(stat_wilcoxon((double[]){ 1, 2, 3, 4, 5, 6, 7, 8 }, 8), 0.0078125, 1e-12);
	/* Zeros and ties, counted. */
	near(stat_wilcoxon((double[]){ 1, 1, -1, 2, 3, 3, -2, 5, 0, 4 }, 10), 0.0703125, 1e-12);
	near(stat_wilcoxon((double[]){ 0, 0, 0 }, 3), 1, 0);
	/* SciPy wilcoxon(correction=True, mode="approx"). */
	for (int i = 0; i < 30; i++)
		d30[i] = (i * 37) % 61 - 22;
	near(stat_wilcoxon(d30, 30), 0.02999685138240413, 1e-10);
}

/* Counted: k from the distribution of U, then the k-th smallest and largest of all differences. */
static void hodges_lehmann(void **state)
{
	static const double a5[] = { 7.1, 3.2, 5.5, 9.9, 1.25 }, b5[] = { 8.0, 12.5, 10.1, 6.6, 11.0 };
	static const double a4[] = { 1.5, 2.5, 9.5, 4.5 }, b7[] = { 3, 5, 6, 7, 8, 10, 11 };
	double ci[2];

	(void)state;
	near(stat_hodges_lehmann(a5, 5, b5, 5, 0.90, ci), 4.6, 1e-12);
	near(ci[0], 0.9, 1e-12);
	near(ci[1], 7.8, 1e-12);
	stat_hodges_lehmann(a5, 5, b5, 5, 0.95, ci);
	near(ci[0], -0.5, 1e-12);
	near(ci[1], 9.3, 1e-12);
	near(stat_hodges_lehmann(a4, 4, b7, 7, 0.95, ci), 3, 1e-12);
	near(ci[0], -2.5, 1e-12);
	near(ci[1], 7.5, 1e-12);
	/* Three and three give 90 % with the whole range, but not 95 %; two and two give neither. */
	near(stat_hodges_lehmann((double[]){ 1, 2, 4 }, 3, (double[]){ 8, 16, 32 }, 3, 0.90, ci), 14, 1e-12);
	near(ci[0], 4, 0);
	near(ci[1], 31, 0);
	stat_hodges_lehmann((double[]){ 1, 2, 4 }, 3, (double[]){ 8, 16, 32 }, 3, 0.95, ci);
	assert_true(isnan(ci[0]) && isnan(ci[1]));
	near(stat_hodges_lehmann((double[]){ 1, 2 }, 2, (double[]){ 3, 4 }, 2, 0.90, ci), 2, 0);
	assert_true(isnan(ci[0]) && isnan(ci[1]));
	near(stat_hodges_lehmann(a5, 5, b5, 5, 0.90, NULL), 4.6, 1e-12);
}

/*
 * The interval must cover as often as it says: 2000 pairs of samples that differ by exactly 1, at 90 % from 4 + 4 (attained level
 * 94.3 %: P(U < 2) = 2/70 on each side).
 */
static void hodges_lehmann_coverage(void **state)
{
	uint64_t z = 1;
	int inside = 0;

	(void)state;
	for (int t = 0; t < 2000; t++) {
		double v[8], ci[2];

		for (int i = 0; i < 8; i++) {
			z = z * 6364136223846793005u + 1442695040888963407u;
			v[i] = (double)(z >> 11) * 0x1p-53 + (i >= 4);
		}
		stat_hodges_lehmann(v, 4, v + 4, 4, 0.90, ci);
		inside += ci[0] <= 1 && ci[1] >= 1;
	}
	near(inside / 2000.0, 1 - 2 * 2.0 / 70, 0.015);
}

/* HWC example 3.4: estimate .46; interval (.010, .786) at 96.1 % in absolute value (their differences have the other sign). */
static void hodges_lehmann_paired(void **state)
{
	double ci[2];

	(void)state;
	near(stat_hodges_lehmann_paired(depression, 9, 0.96, ci), 0.46, 1e-9);
	near(ci[0], 0.010, 1e-9);
	near(ci[1], 0.786, 1e-9);
	/* Five pairs give 90 % (2^-5 on each side), four do not. */
	stat_hodges_lehmann_paired(depression, 5, 0.90, ci);
	near(ci[0], -0.147, 1e-9);
	near(ci[1], 1.022, 1e-9);
	stat_hodges_lehmann_paired(depression, 4, 0.90, ci);
	assert_true(isnan(ci[0]));
}

/* Holm 1979, by hand: sorted .01 .02 .03 .04 times 4 3 2 1, made monotone. */
static void holm(void **state)
{
	double p[] = { 0.04, 0.01, 0.03, 0.02 }, q[] = { 0.5, 0.9 };

	(void)state;
	stat_holm(p, 4);
	near(p[1], 0.04, 1e-12);
	near(p[3], 0.06, 1e-12);
	near(p[2], 0.06, 1e-12);
	near(p[0], 0.06, 1e-12);
	stat_holm(q, 2);
	near(q[0], 1, 0);
	near(q[1], 1, 0);
	stat_holm(NULL, 0);
}

/* SciPy theilslopes(). */
static void theil_sen(void **state)
{
	static const double x[] = { 1, 2, 5, 10, 20, 50, 100 }, y[] = { 12.1, 13.9, 20.2, 29.7, 51.2, 108, 213 };
	static const double xt[] = { 1, 1, 2, 2, 5, 5, 10, 10 }, yt[] = { 3, 4, 5, 5, 11, 12, 22, 20.5 };
	static const double xm[] = { 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2 }, ym[] = { 1, 2, 2, 3, 3.5, 4.1, 4, 4.3, 4.7, 6, 6.2, 9 };
	static const struct {
		double conf, low, high;
	} levels[] = { { 0.99, 0.2, 7 }, { 0.95, 1, 5.2 }, { 0.90, 1.3, 4.9 }, { 0.80, 1.9, 4.2 }, { 0.60, 2.1, 3.7 }, { 0.50, 2.3, 3.3 } };
	double slope, icept, ci[2];

	(void)state;
	assert_int_equal(stat_theil_sen(x, y, 7, 0.95, &slope, &icept, ci), 0);
	near(slope, 2.025, 1e-12);
	near(icept, 9.45, 1e-12);
	near(ci[0], 1.951111111111111, 1e-12);
	near(ci[1], 2.0722222222222224, 1e-12);
	stat_theil_sen(x, y, 7, 0.90, &slope, &icept, ci);
	near(ci[0], 1.9555555555555557, 1e-12);
	near(ci[1], 2.066666666666667, 1e-12);
	assert_int_equal(stat_theil_sen(xt, yt, 8, 0.95, &slope, &icept, ci), 0);
	near(slope, 2, 1e-12);
	near(icept, 1, 1e-12);
	near(ci[0], 1.75, 1e-12);
	near(ci[1], 2.2, 1e-12);
	/* Many equal values narrow the variance, and with it the interval. */
	for (size_t i = 0; i < N(levels); i++) {
		assert_int_equal(stat_theil_sen(xm, ym, 12, levels[i].conf, &slope, &icept, ci), 0);
		near(ci[0], levels[i].low, 1e-12);
		near(ci[1], levels[i].high, 1e-12);
	}
	/* An exact line, a constant, too few points for an interval, and no line at all. */
	stat_theil_sen((double[]){ 1, 2, 5, 10 }, (double[]){ 5, 8, 17, 32 }, 4, 0.95, &slope, &icept, ci);
	near(slope, 3, 0);
	near(icept, 2, 0);
	near(ci[0], 3, 0);
	near(ci[1], 3, 0);
	stat_theil_sen((double[]){ 1, 2, 5, 10 }, (double[]){ 7, 7, 7, 7 }, 4, 0.95, &slope, &icept, ci);
	near(slope, 0, 0);
	near(ci[0], 0, 0);
	near(ci[1], 0, 0);
	stat_theil_sen((double[]){ 1, 2, 5 }, (double[]){ 5, 8, 17 }, 3, 0.95, &slope, &icept, ci);
	assert_true(isnan(ci[0]));
	assert_int_equal(stat_theil_sen(x, y, 1, 0.95, &slope, &icept, ci), -EINVAL);
	assert_int_equal(stat_theil_sen((double[]){ 2, 2 }, y, 2, 0.95, &slope, &icept, ci), -EINVAL);
}

/* From 2 / C(2n, n): 0.1, 0.029, 0.0079, 0.0022, 0.00058, 0.00016. */
/* Against bisection of exact sums of binomial coefficients (Python). */
static void binomial_interval(void **state)
{
	static const struct {
		size_t k, n;
		double lo, hi;
	} t[] = {
		{ 0, 20, 0, 0.168433470983085 }, { 20, 20, 0.831566529016915, 1 }, { 5, 10, 0.187086028447398, 0.812913971552602 },
		{ 1, 7, 0.00361029686190, 0.57872319704319 }, { 0, 0, 0, 1 },
	};
	double ci[2];

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		stat_binomial_interval(t[i].k, t[i].n, 0.95, ci);
		near(ci[0], t[i].lo, 1e-6);
		near(ci[1], t[i].hi, 1e-6);
	}
}

static void min_boots(void **state)
{
	(void)state;
	assert_int_equal(stat_min_boots(0.1), 3);
	assert_int_equal(stat_min_boots(0.05), 4);
	assert_int_equal(stat_min_boots(0.01), 5);
	assert_int_equal(stat_min_boots(0.005), 6);
	assert_int_equal(stat_min_boots(0.01 / 20), 8);
	assert_int_equal(stat_min_boots(1), 1);
}

/* Annual flow of the Nile at Aswan, 1871 to 1970 (Cobb, Biometrika 65 (1978)): it fell after 1898, the 28th year. */
static void change_points_nile(void **state)
{
	static const double nile[] = {
		1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180, 799, 958, 1140, 1100, 1210,
		1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969, 831, 726, 456, 824, 702,
		1120, 1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759, 781, 865, 845, 944, 984, 897, 822, 1010, 771,
		676, 649, 846, 812, 742, 801, 1040, 860, 874, 848, 890, 744, 749, 838, 1050, 918, 986, 797, 923, 975, 815, 1020, 906, 901,
		1170, 912, 746, 919, 718, 714, 740,
	};
	struct change_point *cp, *again;

	(void)state;
	assert_int_equal(N(nile), 100);
	assert_int_equal(stat_change_points(nile, N(nile), 3, 0.001, &cp), 1);
	assert_int_equal(cp[0].at, 28);
	near(cp[0].p, 0.0001, 0);
	assert_int_equal(stat_change_points(nile, N(nile), 3, 0.001, &again), 1);
	assert_int_equal(again[0].at, cp[0].at);
	assert_true(again[0].p == cp[0].p);
	free(cp);
	free(again);
}

static double noise(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (double)(*state >> 33) * 0x1p-31 - 0.5;
}

/* Exact counts: a step of one page; two steps; an outlier and an alternation, which are no change of level. */
static void change_points_exact(void **state)
{
	struct change_point *cp;
	double v[40];

	(void)state;
	for (size_t i = 0; i < N(v); i++)
		v[i] = i < 25 ? 512 : 513;
	assert_int_equal(stat_change_points(v, N(v), 3, 0.001, &cp), 1);
	assert_int_equal(cp[0].at, 25);
	free(cp);
	/* After 20 equal nights the fourth shows it, the third does not yet. */
	for (size_t i = 0; i < N(v); i++)
		v[i] = i < 20 ? 512 : 513;
	assert_int_equal(stat_change_points(v, 23, 3, 0.001, &cp), 0);
	assert_int_equal(stat_change_points(v, 24, 3, 0.001, &cp), 1);
	assert_int_equal(cp[0].at, 20);
	free(cp);
	for (size_t i = 0; i < N(v); i++)
		v[i] = i < 14 ? 100 : i < 27 ? 120 : 90;
	assert_int_equal(stat_change_points(v, N(v), 3, 0.001, &cp), 2);
	assert_int_equal(cp[0].at, 14);
	assert_int_equal(cp[1].at, 27);
	free(cp);
	for (size_t i = 0; i < N(v); i++)
		v[i] = i == 17 ? 1000 : 100;
	assert_int_equal(stat_change_points(v, N(v), 3, 0.001, &cp), 0);
	for (size_t i = 0; i < N(v); i++)
		v[i] = 391 + 994 * (double)(i % 2);
	assert_int_equal(stat_change_points(v, N(v), 3, 0.001, &cp), 0);
	assert_int_equal(stat_change_points(v, 0, 3, 0.001, &cp), 0);
	assert_int_equal(stat_change_points(v, 5, 3, 0.001, &cp), 0);
}

/* Stable series: at 1 % no more than 1 % are split (binomial: more than 11 of 400 has a chance below 1 in 1000); a shift of 2 sd is found. */
static void change_points_error(void **state)
{
	unsigned int false_alarms = 0, hits = 0;
	struct change_point *cp;
	uint64_t seed = 7;
	double v[60];

	(void)state;
	for (unsigned int k = 0; k < 400; k++) {
		for (size_t i = 0; i < N(v); i++)
			v[i] = noise(&seed);
		if (stat_change_points(v, N(v), 3, 0.01, &cp)) {
			false_alarms++;
			free(cp);
		}
	}
	assert_in_range(false_alarms, 1, 11);
	for (unsigned int k = 0; k < 50; k++) {
		for (size_t i = 0; i < N(v); i++)
			v[i] = noise(&seed) + (i >= 40 ? 0.58 : 0);
		if (stat_change_points(v, N(v), 3, 0.001, &cp) == 1)
			hits += cp[0].at >= 37 && cp[0].at <= 43;
		free(cp);
		cp = NULL;
	}
	assert_in_range(hits, 44, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(median),
		cmocka_unit_test(binomial_interval),
		cmocka_unit_test(mann_whitney_exact),
		cmocka_unit_test(mann_whitney_extremes),
		cmocka_unit_test(mann_whitney_ties),
		cmocka_unit_test(mann_whitney_large),
		cmocka_unit_test(wilcoxon),
		cmocka_unit_test(hodges_lehmann),
		cmocka_unit_test(hodges_lehmann_coverage),
		cmocka_unit_test(hodges_lehmann_paired),
		cmocka_unit_test(holm),
		cmocka_unit_test(theil_sen),
		cmocka_unit_test(min_boots),
		cmocka_unit_test(change_points_nile),
		cmocka_unit_test(change_points_exact),
		cmocka_unit_test(change_points_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
