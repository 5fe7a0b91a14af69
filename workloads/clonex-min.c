// SPDX-License-Identifier: GPL-2.0
/* Delta debugging: a shorter list of operations that still fails. See clonex.h. */
#include <stdlib.h>
#include <string.h>

#include "clonex.h"

/* The list without [from, to). */
static size_t without(struct cx_op *dst, const struct cx_op *ops, size_t n, size_t from, size_t to)
{
	memcpy(dst, ops, from * sizeof(*ops));
	memcpy(dst + from, ops + to, (n - to) * sizeof(*ops));
	return n - (to - from);
}

/*
 * Pieces of half the list, of a quarter, ..., of one operation are left out in turn, from the end on: what is far from the failure is
 * likely to go first, and what needs it later. When single operations go, others may have become superfluous: again.
 */
size_t cx_minimize(struct cx_op *ops, size_t n, bool (*fails)(void *arg, const struct cx_op *ops, size_t n), bool (*go_on)(void *arg),
		   void *arg)
{
	struct cx_op *try = malloc((n + 1) * sizeof(*try));
	size_t chunk = n / 2, to, from, left;
	bool removed = false;

	if (!try)
		return n;
	while (chunk && go_on(arg)) {
		for (to = n; to > 0 && go_on(arg); to = from) {
			from = to > chunk ? to - chunk : 0;
			left = without(try, ops, n, from, to);
			if (!fails(arg, try, left))
				continue;
			memcpy(ops, try, left * sizeof(*ops));
			n = left;
			removed = true;
		}
		if (chunk > 1)
			chunk /= 2;
		else if (removed)
			removed = false;
		else
			break;
		if (chunk > n && n)
			chunk = n;
	}
	free(try);
	return n;
}
