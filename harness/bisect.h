/* SPDX-License-Identifier: GPL-2.0 */
/*
 * `shbench bisect GOOD BAD --metric M`: which patch of a series, or which commit of a tree, moved a metric.
 *
 * Measured in the icount lane, where a boot is as good as a hundred; kernels that were built before are not built again. GOOD and BAD are
 * measured first, and of all series of the metric the one that moved most is followed. A step counts as moved if its value is nearer
 * to BAD's than to GOOD's, so what is found is the step that crosses the middle.
 */
#ifndef SHCACHE_BISECT_H
#define SHCACHE_BISECT_H

#include <stddef.h>

#include "run.h"

struct bisect_options {
	const char *good, *bad, *metric;
	struct run_options run;		/* plan (NULL: nightly), only, accel, jobs, argv */
};
/* Returns an exit code: 0 if the step was found, 3 if the metric did not move or steps cannot be measured. */
int run_bisect(const struct bisect_options *bo);

/*
 * The search alone. Steps are 0 (good) to n (bad). probe() returns 1 if step has moved, 0 if not, -EAGAIN if it cannot be told (does not build,
 * does not boot: another is tried), other -errno to give up. *first is the first step that has moved; *from the last that has not: more
 * than one apart if what is between cannot be told. Returns 0 or probe()'s error.
 */
int bisect_search(size_t n, int (*probe)(size_t step, void *arg), void *arg, size_t *from, size_t *first);

#endif
