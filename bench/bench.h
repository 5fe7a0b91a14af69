/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pure functions over results: statistics, comparison, verdicts, tables, plots. No VM, no network; the only files touched are
 * those whose paths are given. The data is a run document, run.json (schema "shcache-run/1", results/schema/run.schema.json):
 *
 * {"schema":"shcache-run/1","id":"20260102-030405-quick-1a2b","created":"2026-01-02T03:04:05Z","command":["shbench","run","quick"],
 *  "complete":true,
 *  "plan":{"name":"quick","hash":"<sha256>","seed":1,"text":"<the plan file>"},
 *  "host":{"cpu":"...","cores":2,"mem_kb":N,"os":"...","harness":"<git describe>","loadavg_before":[..],"loadavg_after":[..]},
 *  "qemu":{"version":"...","accel":"tcg","accel_why":"..."},
 *  "kernels":[{"label":"base","name":"base","id":"...","release":"...","source":"...","series_hash":"","config_hash":"...","compiler":"..."}],
 *  "baseline":"base",
 *  "workloads":[{"name":"fault","summary":"...","metrics":[{"name":"fault","unit":"ns","direction":"lower|higher|info",
 *                "rel_delta":0.02,"abs_floor":20,"wall_delta":0.3,"summary":"..."}],"params":[{"name","default","help"}]}],
 *  "cells":[{"id":"<12 hex>","section":"fault-xfs","kernel":"base","workload":"fault","lane":"wall|icount","fs":"xfs","mode":"reflink",
 *            "image":"synthetic","image_hash":"...","image_note":"","params":{"n":"1,2,5"},"mem_mb":2048,"cpus":2,
 *            "boot":0,"perturbation":0,"seed":42,
 *            "reproduce":"./shbench run quick --cell 1a2b...",
 *            "reproduce_row":"./shbench run quick --only fault-xfs/wall/xfs/reflink/synthetic","verdict":"passed","why":"","splat_id":null,"splat_seen":"",
 *            "argv":["qemu-system-x86_64",...],"cmdline":"...","console":"consoles/<id>.log","boot_s":2.1,"wall_s":9.0,
 *            "samples":[{"m":"unique_frames","v":123.0,"x":{"n":"10","access":"mmap"}}],
 *            "hists":[{"m":"fault","x":{"class":"first-touch"},"h":{hist.h's JSON form}}],
 *            "checks":[{"name":"content","ok":true,"detail":"..."}],
 *            "infos":{"image_files":"412"},"blobs":[{"k":"fio","x":{},"v":{}}]}]}
 *
 * Some documents have more: "shard" (a part of a plan, harness/shard.h), "parts" (of a merged run: index, id, created, host), "gates" and
 * "gate":true in kernels and cells (gate.h), "agent" (the guest agent's hash).
 *
 * A series is all values of one metric that differ only in boot and perturbation (and kernel, for a comparison): the same section's
 * workload, lane, fs, mode, image, params, metric and coordinates x. A histogram metric yields three derived series: NAME.p50, NAME.p99,
 * NAME.mean (p99.9 is shown, not judged). Within one boot several samples of one series are reduced to their median: the boot is the
 * unit of replication. Only cells with verdict "passed" count; a comparison that misses its counterpart is "invalid".
 *
 * A metric's "wall_delta" is optional: the smallest relevant change of a time in the wall lane. Without it that is rel_delta, but
 * at least 25 % under TCG and 5 % under KVM (the tail, .p99, twice that); counts (unit "pages" or "bytes") always use rel_delta.
 * docs/measuring.md says how verdicts come about.
 */
#ifndef SHCACHE_BENCH_H
#define SHCACHE_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* --- statistics (stats.c): each says its method's source -------------------------------------------------------------- */

double stat_median(const double *v, size_t n);
/* Exact two-sided p of Mann-Whitney's U for n,m <= 20 without ties (DP), normal approximation with tie correction otherwise. */
double stat_mann_whitney(const double *a, size_t n, const double *b, size_t m);
/* Exact two-sided p of Wilcoxon's signed-rank on paired differences (zeros dropped), n <= 25 exact. */
double stat_wilcoxon(const double *d, size_t n);
/*
 * Hodges-Lehmann shift b - a with a confidence interval of at least level conf from the U distribution; ci may be NULL, and is NaN
 * where so few values cannot give that level. Returns the estimate.
 */
double stat_hodges_lehmann(const double *a, size_t n, const double *b, size_t m, double conf, double ci[2]);
/* The same for paired differences: median of the Walsh averages, interval from the signed-rank distribution. */
double stat_hodges_lehmann_paired(const double *d, size_t n, double conf, double ci[2]);
/* Holm's step-down: adjusts p[0..n) in place. */
void stat_holm(double *p, size_t n);
/*
 * The interval of Clopper and Pearson (Biometrika 26, 1934) for the share of successes, k of n, at level conf: exact, never too narrow.
 */
void stat_binomial_interval(size_t k, size_t n, double conf, double ci[2]);
/* Slope and intercept by Theil-Sen with a confidence interval of the slope (Kendall/Sen 1968). -EINVAL if n < 2 or x is constant. */
int stat_theil_sen(const double *x, const double *y, size_t n, double conf, double *slope, double *icept, double ci[2]);
/* Smallest number of boots per side with which an exact two-sided U test can reach alpha. */
unsigned int stat_min_boots(double alpha);

/* Values from at on (until the next change) differ from those before; p is that of the split. */
struct change_point {
	size_t at;
	double p;
};
/*
 * Where the level of a series of values changes: binary segmentation, each split by the largest standardised rank-CUSUM and a
 * permutation test at level alpha with a fixed seed; no part is shorter than least. Returns their number; *out (ascending) is freed
 * by the caller.
 */
size_t stat_change_points(const double *v, size_t n, size_t least, double alpha, struct change_point **out);
/* Deterministic random numbers (splitmix64). */
uint64_t random64(uint64_t *state);

/* --- run documents (rundoc.c) ------------------------------------------------------------------------------------------ */

/* Loads and checks run.json (path may be its directory). NULL and a message that names file and place if it is truncated, of another
 * schema or inconsistent. */
json_t *rundoc_load(const char *path);
/* Checks a document; *why (malloced) says the first thing that is wrong. 0 or -EINVAL. */
int rundoc_check(const json_t *doc, char **why);
/* "new splat ID", "splat ID, known since 2026-01-08", or without a history "splat ID"; "" for a boot without one. Malloced. */
char *cell_splat(const json_t *cell);

/* --- comparison (compare.c) ---------------------------------------------------------------------------------------------- */

enum verdict { V_IMPROVED, V_REGRESSED, V_UNCHANGED, V_INCONCLUSIVE, V_INVALID, V_INFO };
const char *verdict_name(enum verdict v);

struct cmp_row {
	char *section, *workload, *lane, *fs, *mode, *image, *metric, *coords, *unit;
	bool family;			/* metric "(all)": a workload's (or, workload "(all)", the lane's) wall-lane times, pooled */
	double base, cand;		/* medians over boots */
	double rel;			/* (cand - base) / base; wall-lane times: the Hodges-Lehmann estimate of it */
	double ci[2];			/* of rel: 90 % interval, or lowest and highest where every pair is exact; NaN if there is none */
	double noise;			/* icount: spread of the baseline over perturbations, as a fraction, that pairing takes out; else NaN */
	double found_from;		/* icount, times: the smallest change for the worse, as a fraction, that would be found here; else NaN */
	double delta;			/* smallest relevant change that rel was held against */
	double p;			/* Holm-adjusted; NaN if not tested */
	unsigned int nb, nc;		/* boots */
	enum verdict verdict;
	char *why;			/* for inconclusive and invalid; "needs 6 boots" */
	char *reproduce;		/* command line */
};

struct comparison {
	char *base, *cand;		/* labels */
	struct cmp_row *rows;
	size_t nr;
	size_t count[6];		/* by verdict */
	size_t failed;			/* cells of the two kernels that failed, panicked, hung ... */
	char *refused;			/* not NULL: the two can't be compared (accelerator, config, QEMU, schema), and why */
};

/*
 * Compares two kernels of one document, or of two (doc_b != doc_a). Lane rules:
 *  wall      verdict needs Holm-adjusted p < 0.01 and a CI beyond the smallest relevant change; unchanged needs the CI inside it (an
 *            equivalence shown, not assumed); else inconclusive, with the number of boots that could decide. Two kinds of rows
 *            more pool times, to show equivalence from few boots: one for each workload (from 3 boots a kernel), and one for the
 *            whole lane, over all pairs of boots (from 5 pairs, which may be of different cells). Counts (unit "pages" or "bytes") are judged
 *            exactly: unchanged if no pair of boots differs relevantly, changed if all do, the same way; inconclusive when mixed
 *  icount    exact: paired by perturbation; regressed if the median relative change exceeds the metric's rel_delta and all agree in sign;
 *            unchanged if no perturbation's change does (an equivalence shown); else inconclusive; counts (unit "pages" or "bytes") in the icount lane: any difference above the metric's abs_floor counts
 * Different config hash, accelerator or QEMU version between two documents is refused unless force; within one document the configs
 * may differ (a series brings its own option) and the summary says so.
 * Returns 0, or -ENOENT (printed) if a document has no such kernel.
 */
int compare(const json_t *doc_a, const char *label_a, const json_t *doc_b, const char *label_b, bool force, struct comparison *out);
void comparison_free(struct comparison *c);
/*
 * One verdict for a whole lane: the worst of invalid, regressed, improved if there is any; unchanged if every row was shown to be,
 * where a time of the wall lane may instead be covered by its workload's or the lane's pooled row; else inconclusive. V_INFO if the
 * lane has no rows.
 */
enum verdict comparison_lane(const struct comparison *c, const char *lane);
/* 0, 1 (regressed or a cell failed), 3 (invalid), 4 (inconclusive, if strict) */
int comparison_exit(const struct comparison *c, bool strict);

/* --- reports (table.c, report.c, plot.c) ---------------------------------------------------------------------------------- */

/* At most 25 lines; changed rows only unless all. color: ANSI. */
void report_terminal(FILE *f, const json_t *doc, const struct comparison *c, size_t nr_cmp, bool all, bool color);
/* Markdown: provenance, headline tables (footprint and marginal MB per container with CI; savings "image | shared no/yes | MB | reduction %";
 * fault classes; COW break; copy-up; container start; pressure; fio), verdicts, invalid cells with reasons. */
int report_summary(const char *path, const json_t *doc, const struct comparison *c, size_t nr_cmp);
json_t *report_json(const json_t *doc, const struct comparison *c, size_t nr_cmp);
/*
 * For CI systems: JUnit XML (results/schema/junit.xsd), one suite per comparison and lane and one for the boots; regressed is a failure, invalid an
 * error, inconclusive skipped. KTAP, the same rows. Return 0 or -errno.
 */
int report_junit(const char *path, const json_t *doc, const struct comparison *c, size_t nr_cmp);
int report_ktap(const char *path, const json_t *doc, const struct comparison *c, size_t nr_cmp);
/*
 * One page that needs no other file: verdicts, rows with their intervals, provenance, and the plots (SVG) that are in the directories plots and
 * history, which may be NULL. Returns 0 or -errno.
 */
int report_html(const char *path, const json_t *doc, const struct comparison *c, size_t nr_cmp, const char *plots, const char *history);
/*
 * Draws all plots that the document has data for into dir/plots: NAME.tsv, NAME.gp, NAME.svg, NAME.png. templates: results/templates.
 * Returns the number of plots or a negative errno. gnuplot is run there by path search; its errors are printed.
 */
int plots_draw(const json_t *doc, const char *dir, const char *templates);

#endif
