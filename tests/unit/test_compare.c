// SPDX-License-Identifier: GPL-2.0
/* compare.c: matching of series and every way to every verdict. Documents are made here; no number is random unless said. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "bench.h"
#include "rundoc-fixture.h"

static json_t *doc;
static struct comparison c;

/* One workload "w" with a metric of each kind; kernels base and cand. */
static int setup(void **state)
{
	(void)state;
	doc = fx_doc();
	fx_kernel(doc, "base", "base", "", "aaaa1111");
	fx_kernel(doc, "cand", "cand", "5e1e5", "bbbb2222");
	fx_metric(doc, "w", "lat", "ns", "lower", 0.02, 10, 0.10);
	fx_metric(doc, "w", "lat2", "ns", "lower", 0.02, 10, 0.10);
	fx_metric(doc, "w", "rate", "bytes/s", "higher", 0.02, 0, 0.10);
	fx_metric(doc, "w", "frames", "pages", "lower", 0.01, 8, 0);
	fx_metric(doc, "w", "fact", "pages", "info", 0, 0, 0);
	fx_metric(doc, "w", "plain", "ns", "lower", 0.02, 10, 0);
	memset(&c, 0, sizeof(c));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	comparison_free(&c);
	json_decref(doc);
	return 0;
}

static json_t *cell(const char *kernel, const char *lane, unsigned int boot, unsigned int perturbation)
{
	return fx_cell(doc, kernel, "w", lane, "xfs", "reflink", boot, perturbation);
}

/* One sample per boot (wall) or perturbation (icount). */
static void values(const char *kernel, const char *lane, const char *metric, const double *v, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		fx_sample(cell(kernel, lane, strcmp(lane, "wall") ? 0 : i, strcmp(lane, "wall") ? i : 0), metric, v[i], "a=1");
}

#define VALUES(kernel, lane, metric, ...) \
	values(kernel, lane, metric, (double[]){ __VA_ARGS__ }, sizeof((double[]){ __VA_ARGS__ }) / sizeof(double))

static void go(void)
{
	assert_int_equal(compare(doc, "base", doc, "cand", false, &c), 0);
	assert_null(c.refused);
}

static const struct cmp_row *row(const char *workload, const char *metric)
{
	for (size_t i = 0; i < c.nr; i++)
		if (!strcmp(c.rows[i].workload, workload) && !strcmp(c.rows[i].metric, metric))
			return &c.rows[i];
	fail_msg("no row %s %s", workload, metric);
	return NULL;
}

static void is(const char *metric, enum verdict v)
{
	if (row("w", metric)->verdict != v)
		fail_msg("%s is %s (%s), expected %s", metric, verdict_name(row("w", metric)->verdict),
			 row("w", metric)->why ? row("w", metric)->why : "", verdict_name(v));
}

static void says(const char *metric, const char *words)
{
	const char *why = row("w", metric)->why;

	if (!why || !strstr(why, words))
		fail_msg("%s says \"%s\", expected \"%s\" in it", metric, why ? why : "(nothing)", words);
}

/* --- icount -------------------------------------------------------------------------------------------------------------- */

static void icount_same(void **state)
{
	(void)state;
	VALUES("base", "icount", "lat", 1000, 1020, 990);
	VALUES("cand", "icount", "lat", 1000, 1020, 990);
	go();
	is("lat", V_UNCHANGED);
	assert_true(row("w", "lat")->rel == 0 && row("w", "lat")->ci[0] == 0 && row("w", "lat")->ci[1] == 0);
	assert_int_equal(comparison_lane(&c, "icount"), V_UNCHANGED);
	assert_int_equal(comparison_lane(&c, "wall"), V_INFO);
	assert_int_equal(comparison_exit(&c, true), 0);
}

static void icount_worse(void **state)
{
	(void)state;
	VALUES("base", "icount", "lat", 1000, 1100, 900);
	VALUES("cand", "icount", "lat", 1030, 1133, 927);
	VALUES("base", "icount", "rate", 1000, 1100, 900);
	VALUES("cand", "icount", "rate", 1030, 1133, 927);
	go();
	is("lat", V_REGRESSED);
	is("rate", V_IMPROVED);
	assert_true(fabs(row("w", "lat")->rel - 0.03) < 1e-9);
	assert_int_equal(c.count[V_REGRESSED], 1);
	assert_int_equal(comparison_lane(&c, "icount"), V_REGRESSED);
	assert_int_equal(comparison_exit(&c, false), 1);
}

/* Under the fraction, or over it but under the floor: no change. */
static void icount_irrelevant(void **state)
{
	(void)state;
	VALUES("base", "icount", "lat", 1000, 1000);
	VALUES("cand", "icount", "lat", 1019, 1019);
	VALUES("base", "icount", "lat2", 100, 100);
	VALUES("cand", "icount", "lat2", 109, 109);
	go();
	is("lat", V_UNCHANGED);
	is("lat2", V_UNCHANGED);
}

static void icount_disagree(void **state)
{
	(void)state;
	VALUES("base", "icount", "lat", 1000, 1000, 1000);
	VALUES("cand", "icount", "lat", 1100, 1100, 980);
	go();
	is("lat", V_INCONCLUSIVE);
	says("lat", "2 up, 1 down");
	/* A slow-down must lift the third layout too, which lies 12 % below the median. */
	assert_true(fabs(row("w", "lat")->found_from - 0.12) < 1e-12);
	assert_int_equal(comparison_exit(&c, false), 0);
	assert_int_equal(comparison_exit(&c, true), 4);
}

/* "Unchanged" must be shown by every perturbation, a change by most of them. */
static void icount_some(void **state)
{
	(void)state;
	VALUES("base", "icount", "lat", 1000, 1000, 1000);
	VALUES("cand", "icount", "lat", 1000, 1000, 1100);
	VALUES("base", "icount", "rate", 1000, 1050, 1100);
	VALUES("cand", "icount", "rate", 1000, 1155, 1210);
	go();
	is("lat", V_INCONCLUSIVE);
	says("lat", "1 of 3 perturbations changed relevantly; needs about 7 of them");
	is("rate", V_IMPROVED);
	/* Layouts alone move it by 100 of 1050. */
	assert_true(fabs(row("w", "rate")->noise - 100.0 / 1050) < 1e-12);
	assert_true(row("w", "lat")->noise == 0);
	/* One layout of three that stands out for the worse hides nothing; one that is better for a metric where more is better neither. */
	assert_true(fabs(row("w", "lat")->found_from - 0.02) < 1e-12);
	assert_true(fabs(row("w", "rate")->found_from - row("w", "rate")->delta) < 1e-12);
}

/* Counts: any difference above the floor in any perturbation, whatever its fraction. */
static void icount_counts(void **state)
{
	(void)state;
	VALUES("base", "icount", "frames", 100000, 100000);
	VALUES("cand", "icount", "frames", 100000, 100009);
	VALUES("base", "icount", "fact", 5, 5);
	VALUES("cand", "icount", "fact", 50, 50);
	go();
	is("frames", V_REGRESSED);
	is("fact", V_INFO);
	comparison_free(&c);
	json_object_set_new(json_array_get(json_object_get(json_array_get(json_object_get(doc, "workloads"), 0), "metrics"), 3), "abs_floor",
			    json_real(9));
	go();
	is("frames", V_UNCHANGED);
}

static void icount_pairing(void **state)
{
	json_t *cells;

	(void)state;
	VALUES("base", "icount", "lat", 1000, 1000, 1000);
	VALUES("cand", "icount", "lat", 1000, 1000);
	go();
	is("lat", V_INVALID);
	says("lat", "3 and 2");
	assert_int_equal(comparison_exit(&c, false), 3);
	comparison_free(&c);
	VALUES("base", "icount", "plain", 1000, 1000);
	VALUES("cand", "icount", "plain", 1000, 1000, 1000);
	go();
	is("plain", V_INVALID);
	says("plain", "2 and 3");
	comparison_free(&c);
	VALUES("cand", "icount", "lat2", 1000, 1000, 1000);
	VALUES("base", "icount", "lat2", 1000, 1000, 1000);
	cells = json_object_get(doc, "cells");
	json_object_set_new(json_array_get(cells, json_array_size(cells) - 1), "seed", json_integer(43));
	go();
	is("lat2", V_INVALID);
	says("lat2", "seeds");
}

/* A repeated boot (the lane's check of itself) is the same observation, not one more. */
static void icount_selfcheck(void **state)
{
	(void)state;
	VALUES("base", "icount", "lat", 1000);
	VALUES("base", "icount", "lat", 1000);
	VALUES("cand", "icount", "lat", 1000);
	go();
	is("lat", V_UNCHANGED);
	assert_int_equal(row("w", "lat")->nb, 1);
}

/* A percentile of a histogram moves in steps of a bucket: 1 % up is no finding there, but is one in the mean. */
static void icount_quantile_step(void **state)
{
	static const char *const label[] = { "base", "cand" };

	(void)state;
	fx_metric(doc, "w", "h", "ns", "lower", 0.005, 0, 0);
	for (unsigned int k = 0; k < 2; k++) {
		struct hist *h = malloc(sizeof(*h));

		hist_init(h);
		for (unsigned int i = 0; i < 100; i++)
			hist_add(h, k ? 8064 + i / 50 : 7984 + i / 50);
		fx_hist_add(cell(label[k], "icount", 0, 0), "h", h, "class=x");
		free(h);
	}
	go();
	is("h.p50", V_UNCHANGED);
	is("h.mean", V_REGRESSED);
	is("h.p99.9", V_INFO);
}

/* --- wall, counts ---------------------------------------------------------------------------------------------------------- */

static void wall_counts_one_boot(void **state)
{
	(void)state;
	VALUES("base", "wall", "frames", 10000);
	VALUES("cand", "wall", "frames", 10003);
	go();
	is("frames", V_UNCHANGED);
	assert_int_equal(comparison_lane(&c, "wall"), V_UNCHANGED);
}

static void wall_counts(void **state)
{
	(void)state;
	/* All pairs beyond 1 %. */
	VALUES("base", "wall", "frames", 10000, 10010);
	VALUES("cand", "wall", "frames", 10200, 10150);
	go();
	is("frames", V_REGRESSED);
	comparison_free(&c);
	/* Some are, some are not. */
	json_array_clear(json_object_get(doc, "cells"));
	VALUES("base", "wall", "frames", 10000, 10010);
	VALUES("cand", "wall", "frames", 10050, 9000);
	go();
	is("frames", V_INCONCLUSIVE);
	says("frames", "2 of 4");
	assert_int_equal(comparison_lane(&c, "wall"), V_INCONCLUSIVE);
	comparison_free(&c);
	/* All are, but not the same way. */
	json_array_clear(json_object_get(doc, "cells"));
	VALUES("base", "wall", "frames", 10000);
	VALUES("cand", "wall", "frames", 12000, 8000);
	go();
	is("frames", V_INCONCLUSIVE);
	comparison_free(&c);
	/* Beyond the fraction, under the floor. */
	json_array_clear(json_object_get(doc, "cells"));
	VALUES("base", "wall", "frames", 100);
	VALUES("cand", "wall", "frames", 106);
	go();
	is("frames", V_UNCHANGED);
}

static void wall_counts_from_nothing(void **state)
{
	(void)state;
	VALUES("base", "wall", "frames", 0);
	VALUES("cand", "wall", "frames", 300);
	go();
	is("frames", V_REGRESSED);
	assert_true(isinf(row("w", "frames")->rel));
}

/* --- wall, times ----------------------------------------------------------------------------------------------------------- */

static void wall_one_boot(void **state)
{
	(void)state;
	VALUES("base", "wall", "lat", 1000);
	VALUES("cand", "wall", "lat", 1000);
	go();
	is("lat", V_INCONCLUSIVE);
	says("lat", "needs 3 boots");
	assert_true(isnan(row("w", "lat")->p));
	assert_int_equal(comparison_lane(&c, "wall"), V_INCONCLUSIVE);
	assert_int_equal(comparison_exit(&c, false), 0);
	assert_int_equal(comparison_exit(&c, true), 4);
}

static void wall_equivalent(void **state)
{
	(void)state;
	VALUES("base", "wall", "lat", 1000, 1020, 1040);
	VALUES("cand", "wall", "lat", 1010, 1030, 1050);
	go();
	is("lat", V_UNCHANGED);
	assert_int_equal(comparison_lane(&c, "wall"), V_UNCHANGED);
	assert_true(row("w", "lat")->ci[0] > -0.10 && row("w", "lat")->ci[1] < 0.10);
	assert_true(fabs(row("w", "lat")->ci[0] - (1010.0 / 1040 - 1)) < 1e-9);
}

/* The same data are not "unchanged" against a smaller bound: it is shown, not assumed. */
static void wall_not_equivalent(void **state)
{
	json_t *m = json_array_get(json_object_get(json_array_get(json_object_get(doc, "workloads"), 0), "metrics"), 0);

	(void)state;
	json_object_set_new(m, "wall_delta", json_real(0.03));
	VALUES("base", "wall", "lat", 1000, 1020, 1040);
	VALUES("cand", "wall", "lat", 1010, 1030, 1050);
	go();
	is("lat", V_INCONCLUSIVE);
	says("lat", "needs about");
}

/* Five and five that do not overlap: p = 0.0079, and the interval beyond 10 %. */
static void wall_regressed(void **state)
{
	(void)state;
	VALUES("base", "wall", "lat", 1000, 1010, 1020, 1030, 1040);
	VALUES("cand", "wall", "lat", 1300, 1310, 1320, 1330, 1340);
	go();
	is("lat", V_REGRESSED);
	assert_true(row("w", "lat")->p < 0.01);
	/* The pooled rows of one series are that series again, so there is only the lane's. */
	assert_int_equal(comparison_exit(&c, false), 1);
}

/* Significant, but not relevant: inside the bound. Relevant at first sight, but four boots cannot be significant. */
static void wall_small_or_few(void **state)
{
	(void)state;
	VALUES("base", "wall", "lat", 1000, 1001, 1002, 1003, 1004);
	VALUES("cand", "wall", "lat", 1040, 1041, 1042, 1043, 1044);
	go();
	is("lat", V_UNCHANGED);
	assert_true(row("w", "lat")->p < 0.02);
	comparison_free(&c);
	/* Significant, and 10 % is inside the interval: neither relevant nor irrelevant. */
	json_array_clear(json_object_get(doc, "cells"));
	VALUES("base", "wall", "lat", 1000, 1010, 1020, 1030, 1040);
	VALUES("cand", "wall", "lat", 1080, 1100, 1120, 1140, 1160);
	go();
	is("lat", V_INCONCLUSIVE);
	assert_true(row("w", "lat")->p < 0.01);
	comparison_free(&c);
	json_array_clear(json_object_get(doc, "cells"));
	VALUES("base", "wall", "lat", 1000, 1010, 1020, 1030);
	VALUES("cand", "wall", "lat", 1300, 1310, 1320, 1330);
	go();
	is("lat", V_INCONCLUSIVE);
	says("lat", "looks changed");
	assert_int_equal(comparison_lane(&c, "wall"), V_INCONCLUSIVE);
}

/* Holm: what is significant alone is not among many others. */
static void wall_many_tests(void **state)
{
	(void)state;
	VALUES("base", "wall", "lat", 1000, 1010, 1020, 1030, 1040);
	VALUES("cand", "wall", "lat", 1300, 1310, 1320, 1330, 1340);
	for (unsigned int m = 0; m < 8; m++) {
		char name[16];

		snprintf(name, sizeof(name), "other%u", m);
		fx_metric(doc, "w", name, "ns", "lower", 0.02, 0, 0.10);
		VALUES("base", "wall", name, 1000, 1010, 1020, 1030, 1040);
		VALUES("cand", "wall", name, 1000, 1010, 1020, 1030, 1040);
	}
	go();
	is("lat", V_INCONCLUSIVE);
	is("other3", V_UNCHANGED);
	assert_true(row("w", "lat")->p > 0.05);
}

/*
 * Blocks: a drift of the host that hits both kernels alike cancels when enough boots are paired, while the plain U test drowns in it.
 */
static void wall_blocks(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 12; i++) {
		double drift = pow(1.3, i);

		fx_sample(cell("base", "wall", i, 0), "lat", 1000 * drift, "a=1");
		fx_sample(cell("cand", "wall", i, 0), "lat", (1300 + 2 * i) * drift, "a=1");
	}
	go();
	is("lat", V_REGRESSED);
	assert_true(fabs(row("w", "lat")->rel - 0.31) < 0.01);
}

/* A higher rate is better. */
static void wall_direction(void **state)
{
	(void)state;
	VALUES("base", "wall", "rate", 1300, 1310, 1320, 1330, 1340, 1350);
	VALUES("cand", "wall", "rate", 1000, 1010, 1020, 1030, 1040, 1050);
	go();
	is("rate", V_REGRESSED);
}

/* Without wall_delta the bound is 25 % under TCG and 5 % under KVM; a tail has twice that. */
static void wall_default_bounds(void **state)
{
	json_t *qemu = json_object_get(doc, "qemu");

	(void)state;
	fx_metric(doc, "w", "h", "ns", "lower", 0.01, 0, 0);
	VALUES("base", "wall", "plain", 1000, 1000, 1000);
	VALUES("cand", "wall", "plain", 1200, 1200, 1200);
	fx_hist(cell("base", "wall", 0, 0), "h", 1000, 0.1, 100, "a=1");
	fx_hist(cell("cand", "wall", 0, 0), "h", 1000, 0.1, 100, "a=1");
	go();
	is("plain", V_UNCHANGED);
	assert_true(row("w", "plain")->delta == 0.25 && row("w", "h.p50")->delta == 0.25 && row("w", "h.p99")->delta == 0.5);
	comparison_free(&c);
	json_object_set_new(qemu, "accel", json_string("kvm"));
	go();
	is("plain", V_INCONCLUSIVE);
	assert_true(row("w", "plain")->delta == 0.05);
}

/* --- pooled rows ----------------------------------------------------------------------------------------------------------- */

/* n series of a workload in `boots` boots a kernel; noise of each value, noise of each boot, and a factor for the candidate. */
static void many_series(const char *workload, const char *fs, unsigned int boots, unsigned int n, double own, double common, double factor)
{
	static const char *const label[] = { "base", "cand" };

	for (unsigned int b = 0; b < boots; b++)
		for (unsigned int k = 0; k < 2; k++) {
			json_t *cl = fx_cell(doc, label[k], workload, "wall", fs, "reflink", b, 0);
			double boot = exp(common * fx_normal());

			for (unsigned int i = 0; i < n; i++) {
				char x[32];

				snprintf(x, sizeof(x), "a=%u", i);
				fx_sample(cl, "lat", 1000.0 * (i + 1) * boot * exp(own * fx_normal()) * (k ? factor : 1), x);
			}
		}
}

/* Each series is too noisy for a verdict of its own from three boots; all of them together are not. */
static void pooled_workload(void **state)
{
	size_t open = 0;

	(void)state;
	fx_state = 11;
	many_series("w", "xfs", 3, 40, 0.12, 0.01, 1);
	go();
	for (size_t i = 0; i < c.nr; i++)
		open += !c.rows[i].family && c.rows[i].verdict == V_INCONCLUSIVE;
	assert_true(open > 10);
	is("(all)", V_UNCHANGED);
	assert_true(row("w", "(all)")->family);
	assert_int_equal(comparison_lane(&c, "wall"), V_UNCHANGED);
	assert_int_equal(comparison_exit(&c, true), 0);
}

/* Boots are what counts: noise that whole boots share does not average out over series. */
static void pooled_boot_noise(void **state)
{
	(void)state;
	fx_state = 5;
	many_series("w", "xfs", 3, 40, 0.01, 0.25, 1);
	go();
	is("(all)", V_INCONCLUSIVE);
	assert_int_equal(comparison_lane(&c, "wall"), V_INCONCLUSIVE);
}

/* A series that one boot did not measure cannot take part in the scores. */
static void pooled_gaps(void **state)
{
	(void)state;
	fx_state = 11;
	many_series("w", "xfs", 3, 10, 0.01, 0.01, 1);
	VALUES("base", "wall", "lat2", 1000, 1001);
	VALUES("cand", "wall", "lat2", 5000, 5001, 5002);
	go();
	is("(all)", V_UNCHANGED);
	assert_string_equal(row("w", "(all)")->coords, "10 series");
}

static void pooled_regression(void **state)
{
	(void)state;
	fx_state = 11;
	many_series("w", "xfs", 8, 40, 0.12, 0.01, 1.3);
	go();
	is("(all)", V_REGRESSED);
	assert_true(fabs(row("w", "(all)")->rel - 0.3) < 0.05);
	assert_int_equal(comparison_exit(&c, false), 1);
}

/* Slower is worse and less throughput is worse: in the pool they add up and do not cancel. */
static void pooled_direction(void **state)
{
	static const char *const label[] = { "base", "cand" };

	(void)state;
	for (unsigned int b = 0; b < 8; b++)
		for (unsigned int k = 0; k < 2; k++) {
			json_t *cl = cell(label[k], "wall", b, 0);

			for (unsigned int i = 0; i < 4; i++) {
				char x[16];

				snprintf(x, sizeof(x), "a=%u", i);
				fx_sample(cl, "lat", (1000 + b) * (k ? 1.3 : 1), x);
				fx_sample(cl, "rate", (1000 - b) / (k ? 1.3 : 1), x);
			}
		}
	go();
	is("(all)", V_REGRESSED);
	assert_int_equal(row("(all)", "(all)")->verdict, V_INCONCLUSIVE);
	assert_true(fabs(row("(all)", "(all)")->rel - 0.3) < 0.01);
}

/* One series that looks changed in all boots keeps the lane open although the pool is unchanged. */
static void pooled_suspect(void **state)
{
	(void)state;
	fx_state = 11;
	many_series("w", "xfs", 3, 40, 0.12, 0.01, 1);
	VALUES("base", "wall", "lat2", 1000, 1001, 1002);
	VALUES("cand", "wall", "lat2", 1500, 1501, 1502);
	go();
	is("(all)", V_UNCHANGED);
	is("lat2", V_INCONCLUSIVE);
	says("lat2", "looks changed");
	assert_int_equal(comparison_lane(&c, "wall"), V_INCONCLUSIVE);
}

/* One boot for each of six cells: no workload can be judged, the lane can. With four there are too few pairs. */
static void pooled_lane(void **state)
{
	static const char *const fs[] = { "xfs", "btrfs", "ext4" };

	(void)state;
	fx_state = 3;
	fx_metric(doc, "v", "lat", "ns", "lower", 0.02, 10, 0.10);
	for (unsigned int i = 0; i < 4; i++)
		many_series(i % 2 ? "v" : "w", fs[i / 2], 1, 20, 0.08, 0.01, 1);
	go();
	assert_int_equal(row("(all)", "(all)")->verdict, V_INCONCLUSIVE);
	assert_non_null(strstr(row("(all)", "(all)")->why, "needs 5 pairs"));
	assert_int_equal(comparison_lane(&c, "wall"), V_INCONCLUSIVE);
	comparison_free(&c);
	for (unsigned int i = 4; i < 6; i++)
		many_series(i % 2 ? "v" : "w", fs[i / 2], 1, 20, 0.08, 0.01, 1);
	go();
	assert_int_equal(row("(all)", "(all)")->verdict, V_UNCHANGED);
	assert_int_equal(row("(all)", "(all)")->nb, 6);
	is("(all)", V_INCONCLUSIVE);
	assert_int_equal(comparison_lane(&c, "wall"), V_UNCHANGED);
	comparison_free(&c);
	/* One more pair, half as slow again, must not hide among many (their bound is 10 %), although the interval is inside. */
	fx_metric(doc, "z", "lat", "ns", "lower", 0.02, 10, 0.10);
	for (unsigned int i = 0; i < 3; i++)
		many_series("z", fs[i], 1, 20, 0.02, 0.01, 1);
	many_series("z", "zfs", 1, 20, 0.02, 0.01, 1.5);
	go();
	assert_true(row("(all)", "(all)")->ci[0] > -0.09 && row("(all)", "(all)")->ci[1] < 0.1);
	assert_int_equal(row("(all)", "(all)")->verdict, V_INCONCLUSIVE);
	assert_int_equal(comparison_lane(&c, "wall"), V_INCONCLUSIVE);
}

/* --- what is missing or wrong ------------------------------------------------------------------------------------------------ */

static void failed_boot(void **state)
{
	(void)state;
	VALUES("base", "icount", "lat", 1000);
	fx_fail(cell("cand", "icount", 0, 0), "panic", "Kernel panic - not syncing");
	go();
	is("-", V_INVALID);
	says("-", "panic: Kernel panic");
	assert_int_equal(c.failed, 1);
	assert_int_equal(c.count[V_INVALID], 1);
	assert_int_equal(comparison_lane(&c, "icount"), V_INVALID);
	assert_int_equal(comparison_exit(&c, false), 1);
}

static void invalid_boot(void **state)
{
	(void)state;
	VALUES("base", "icount", "lat", 1000);
	fx_fail(cell("cand", "icount", 0, 0), "invalid", "check content failed");
	go();
	is("-", V_INVALID);
	assert_int_equal(c.failed, 0);
	assert_int_equal(comparison_exit(&c, false), 3);
}

/* The numbers of a boot that did not pass are never used. */
static void failed_numbers(void **state)
{
	json_t *bad;

	(void)state;
	VALUES("base", "wall", "frames", 10000, 10000);
	VALUES("cand", "wall", "frames", 10000);
	bad = cell("cand", "wall", 1, 0);
	fx_sample(bad, "frames", 50000, "a=1");
	fx_fail(bad, "splat", "WARNING: mm/filemap.c:142");
	go();
	is("frames", V_UNCHANGED);
	assert_int_equal(row("w", "frames")->nc, 1);
	assert_int_equal(comparison_exit(&c, false), 1);
}

static void missing(void **state)
{
	(void)state;
	VALUES("base", "icount", "lat", 1000);
	VALUES("cand", "icount", "lat2", 1000);
	go();
	is("lat", V_INVALID);
	says("lat", "not measured with cand");
	is("lat2", V_INVALID);
	says("lat2", "not measured with base");
	comparison_free(&c);
	json_array_clear(json_object_get(doc, "cells"));
	VALUES("base", "icount", "lat", 1000);
	VALUES("base", "icount", "lat2", 1000);
	go();
	assert_int_equal(c.nr, 1);
	says("-", "not run with cand");
	/* Unless nobody wanted it run. */
	comparison_free(&c);
	json_object_set_new(json_array_get(json_object_get(doc, "cells"), 0), "peer", json_true());
	json_object_set_new(json_array_get(json_object_get(doc, "cells"), 1), "peer", json_true());
	go();
	assert_int_equal(c.nr, 0);
}

static void skipped(void **state)
{
	(void)state;
	fx_fail(cell("base", "icount", 0, 0), "skipped", "no overlay");
	fx_fail(cell("cand", "icount", 0, 0), "skipped", "no overlay");
	go();
	assert_int_equal(c.nr, 0);
	comparison_free(&c);
	VALUES("base", "icount", "lat", 1000);
	go();
	assert_int_equal(c.nr, 1);
	says("-", "skipped with cand: no overlay");
	assert_int_equal(comparison_exit(&c, false), 3);
}

static void other_image(void **state)
{
	json_t *cells = json_object_get(doc, "cells");

	(void)state;
	VALUES("base", "icount", "lat", 1000);
	VALUES("cand", "icount", "lat", 1000);
	json_object_set_new(json_array_get(cells, 1), "image_hash", json_string("07he2"));
	go();
	is("lat", V_INVALID);
	says("lat", "not the same in both");
}

/* Different places are different series. */
static void places(void **state)
{
	static const char *const label[] = { "base", "cand" };

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		fx_sample(fx_cell(doc, label[k], "w", "icount", "xfs", "reflink", 0, 0), "lat", k ? 2000 : 1000, "a=1");
		fx_sample(fx_cell(doc, label[k], "w", "icount", "btrfs", "reflink", 0, 0), "lat", 1000, "a=1");
		fx_sample(fx_cell(doc, label[k], "w", "icount", "xfs", "overlay", 0, 0), "lat", 1000, "a=1 b=2");
	}
	go();
	assert_int_equal(c.nr, 3);
	assert_int_equal(c.count[V_REGRESSED], 1);
	assert_int_equal(c.count[V_UNCHANGED], 2);
	assert_string_equal(c.rows[2].coords, "a=1 b=2");
}

/* Several samples of one boot are one value, their median. */
static void one_value_per_boot(void **state)
{
	static const char *const label[] = { "base", "cand" };

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		json_t *cl = cell(label[k], "icount", 0, 0);

		fx_sample(cl, "lat", 1000, "a=1");
		fx_sample(cl, "lat", k ? 1004 : 1002, "a=1");
		fx_sample(cl, "lat", 9000, "a=1");
	}
	go();
	is("lat", V_UNCHANGED);
	assert_true(row("w", "lat")->base == 1002 && row("w", "lat")->cand == 1004);
	assert_int_equal(row("w", "lat")->nb, 1);
	comparison_free(&c);
	/* Several histograms are one, their sum. */
	fx_metric(doc, "w", "h", "ns", "lower", 0.005, 0, 0);
	for (unsigned int k = 0; k < 2; k++)
		for (unsigned int part = 0; part < 2; part++) {
			struct hist *h = malloc(sizeof(*h));

			hist_init(h);
			hist_add(h, part ? 40 : 20);
			fx_hist_add(json_array_get(json_object_get(doc, "cells"), k), "h", h, "class=x");
			free(h);
		}
	go();
	assert_true(row("w", "h.mean")->base == 30 && row("w", "h.mean")->cand == 30);
}

static void refused(void **state)
{
	static const struct {
		const char *object, *key, *word;
	} cases[] = { { "qemu", "accel", "accelerators" }, { "qemu", "version", "QEMU" }, { "kernel", "config_hash", "configs" } };

	(void)state;
	VALUES("base", "icount", "lat", 1000);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *other = json_deep_copy(doc);
		json_t *o = strcmp(cases[i].object, "kernel") ? json_object_get(other, cases[i].object) :
								json_array_get(json_object_get(other, "kernels"), 0);

		json_object_set_new(o, cases[i].key, json_string("different"));
		assert_int_equal(compare(doc, "base", other, "base", false, &c), 0);
		assert_non_null(c.refused);
		assert_non_null(strstr(c.refused, cases[i].word));
		assert_int_equal(c.nr, 0);
		assert_int_equal(comparison_exit(&c, false), 3);
		comparison_free(&c);
		assert_int_equal(compare(doc, "base", other, "base", true, &c), 0);
		assert_null(c.refused);
		assert_int_equal(c.count[V_UNCHANGED], 1);
		comparison_free(&c);
		json_decref(other);
	}
}

static void no_such_kernel(void **state)
{
	int keep = dup(2);

	(void)state;
	assert_non_null(freopen("/dev/null", "w", stderr));
	assert_int_equal(compare(doc, "base", doc, "nobody", false, &c), -ENOENT);
	fflush(stderr);
	dup2(keep, 2);
	close(keep);
}

/* --- a whole run -------------------------------------------------------------------------------------------------------------- */

static void whole_run(void **state)
{
	json_t *run = realistic_doc(1);

	(void)state;
	assert_int_equal(compare(run, "base", run, "again", false, &c), 0);
	assert_int_equal(comparison_lane(&c, "icount"), V_UNCHANGED);
	assert_int_equal(comparison_lane(&c, "wall"), V_UNCHANGED);
	assert_int_equal(c.count[V_REGRESSED] + c.count[V_IMPROVED] + c.count[V_INVALID], 0);
	comparison_free(&c);
	assert_int_equal(compare(run, "base", run, "shcache", false, &c), 0);
	assert_int_equal(comparison_lane(&c, "icount"), V_REGRESSED);
	assert_true(c.count[V_IMPROVED] > 0);
	assert_int_equal(comparison_exit(&c, false), 1);
	json_decref(run);
}

/* How often does an A/A pair change? 200 runs of three boots with realistic noise: never may a row be called changed. */
static void false_alarms(void **state)
{
	(void)state;
	fx_state = 99;
	for (unsigned int t = 0; t < 200; t++) {
		json_array_clear(json_object_get(doc, "cells"));
		many_series("w", "xfs", 5, 6, 0.05, 0.08, 1);
		go();
		assert_int_equal(c.count[V_REGRESSED] + c.count[V_IMPROVED], 0);
		comparison_free(&c);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(icount_same), TEST(icount_worse), TEST(icount_irrelevant), TEST(icount_disagree), TEST(icount_some), TEST(icount_counts),
		TEST(icount_pairing), TEST(icount_selfcheck), TEST(icount_quantile_step), TEST(wall_counts_one_boot), TEST(wall_counts),
		TEST(wall_counts_from_nothing), TEST(wall_one_boot), TEST(wall_equivalent), TEST(wall_not_equivalent),
		TEST(wall_regressed), TEST(wall_small_or_few), TEST(wall_many_tests), TEST(wall_blocks), TEST(wall_direction),
		TEST(wall_default_bounds), TEST(pooled_workload), TEST(pooled_boot_noise), TEST(pooled_gaps), TEST(pooled_regression), TEST(pooled_direction), TEST(pooled_suspect),
		TEST(pooled_lane), TEST(failed_boot), TEST(invalid_boot), TEST(failed_numbers), TEST(missing), TEST(skipped),
		TEST(other_image), TEST(places), TEST(one_value_per_boot), TEST(refused), TEST(no_such_kernel), TEST(whole_run),
		TEST(false_alarms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
