/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the reports (report.c, report-ci.c, report-html.c) share.
 */
#ifndef SHCACHE_REPORT_H
#define SHCACHE_REPORT_H

#include "bench-util.h"
#include "gate.h"

/* The lanes in the order of reports. */
extern const char *const report_lanes[2];
/* How many rows of a lane have each verdict. */
void report_lane_counts(const struct comparison *c, const char *lane, size_t count[6]);
/* "3 unchanged, 1 regressed" */
void report_put_counts(FILE *f, const size_t count[6]);
/* ", times pooled" where "unchanged" rests on pooled rows, else "". */
const char *report_pooled_word(enum verdict v, const size_t count[6]);
/* Pointers to rows, the worst first; without all only what changed or is invalid, each histogram once. */
const struct cmp_row **report_rows(const struct comparison *c, bool all, size_t *nr);
/* "xfs/reflink/synthetic", malloced. */
char *report_place(const struct cmp_row *r);
/* Geometric mean of new / base over the judged rows of each workload and lane, with the extremes and the numbers of verdicts. */
struct table *report_workload_table(const struct comparison *c, bool changed_only);
size_t report_count_cells(const json_t *doc, enum cell_class class);
/*
 * Text of XML and HTML: markup is escaped, and what XML 1.0 cannot hold becomes a question mark. Strings of a document are valid UTF-8.
 */
void report_put_text(FILE *f, const char *s);
/*
 * What a run, or a part of one, has cost: "8 min 32 s, a guest was running in 97.7 % of it ...". Malloced; NULL if the document does not say.
 */
char *report_cost(const json_t *doc);
/* Boots that were thrown away because the host had no time for QEMU. */
size_t report_thrown_away(const json_t *doc);
/* What the gate's comparisons must be, and whether they are. */
struct table *report_gate(const json_t *doc);
/* The boots that gave no number, each with its reason and command. */
struct table *report_bad_cells(const json_t *doc);

#endif
