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

/*
 * A document as the reports and the history want it: without the gate's kernels and cells, with "gate_results" instead:
 *
 *	[{"section":..,"label":..,"want":"regressed","metric":"","ok":false,"why":"no row regressed; ...","reproduce":".."}]
 *
 * "why" of one that is ok says what was found. A document without a gate is returned as it is. The caller owns a reference.
 */
json_t *gate_judge(json_t *doc);

/* Of a judged document: how many gates there are, and how many did not come out as they must. */
size_t gate_count(const json_t *judged, size_t *failed);

#endif
