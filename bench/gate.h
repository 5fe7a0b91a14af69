/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The gate: comparisons whose outcome is known, made in every run to show that the others can be trusted. An A/A pair must come out
 * unchanged, kernels with an injected regression must come out regressed; if one does not, the whole run is invalid.
 *
 * In a run document the gate's kernels and cells have "gate":true, and "gates" says what they want:
 *
 *	"gates":[{"section":"gate-fault","base":"gate-base","label":"gate-slow","want":"regressed","metric":"fault_batch"}]
 */
#ifndef SHCACHE_GATE_H
#define SHCACHE_GATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * A document as the reports and the history want it: without the gate's kernels and cells, with "gate_results" instead:
 *
 *	[{"section":..,"label":..,"want":"regressed","metric":"","ok":false,"why":"no row regressed; ...","reproduce":".."}]
 *
 * "why" of one that is ok says what was found. A document without a gate is returned as it is. The caller owns a reference.
 */
json_t *gate_judge(json_t *doc);

/* One section of the gate as a document of its own, with the kernel `base` as its baseline. The caller owns it. */
json_t *gate_section(const json_t *doc, const char *section, const char *base);

/* Of a judged document: how many gates there are, and how many did not come out as they must. */
size_t gate_count(const json_t *judged, size_t *failed);

/*
 * How often the gate finds what it must: several runs of one plan with different seeds, for instance of bench/power.plan (not judged yet).
 *
 *	{"schema":"shcache-power/1","runs":20,"false_alarms":0,"misses":0,
 *	 "gates":[{"section":"power-fault","label":"gate-slow","want":"regressed","ok":20,"of":20}],
 *	 "power":[{"section":"power-fault","label":"gate-slow","metric":"fault_batch","lane":"icount","unit":"ns","change":0.0053,"low":0.0053,
 *		   "high":0.0054,"difference":9,"delta":0.004,"all":20,"any":20,"of":20,"ci":[0.83,1]}]}
 *
 * "power" has each kernel of each section and each metric that a gate of the section names: the change of its rows (median, extremes and, in the
 * metric's unit, median difference over all runs and rows), in how many runs all and any of them regressed, and for "all" as a share the 95 %
 * interval. false_alarms: gates that must be unchanged and are not; misses: the others that did not come out. NULL if a document has no gate or is no
 * complete run; why (malloced) names it.
 */
json_t *gate_power(json_t *const *docs, size_t nr, char **why);
/* Tables for people, and a last line with the sum. */
void gate_power_print(FILE *f, const json_t *power);
/*
 * The power curve of each section in the icount lane with two injected changes or more: DIR/SECTION-METRIC.tsv, .gp, .svg, .png. Returns their
 * number or -errno, printed.
 */
int gate_power_draw(const json_t *power, const char *dir, const char *templates);

#endif
