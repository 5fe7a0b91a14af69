// SPDX-License-Identifier: GPL-2.0
/*
 * How long a container takes to start: from clone3() to the program's first useful answer, and what is read from the device
 * meanwhile. The first container of each program finds empty caches; the later ones find what the earlier ones, which stay
 * alive, have left: their own clone's blocks in a page cache that is shared, or not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "programs.h"
#include "timing.h"
#include "tree.h"
#include "workload.h"

#define MAX_N 500

static int start_one(struct wl_ctx *ctx, struct tree *t, const struct program *p, unsigned int k, struct container *c)
{
	const char *which = k ? "later" : "first";
	struct vmcount before, after;
	uint64_t t0, t1;
	int err;

	vmcount_now(&before);
	t0 = wl_now(ctx);
	err = program_start(t, k, p, NULL, c);
	if (!err)
		err = program_ready(p, c);
	t1 = wl_now(ctx);
	if (err)
		return err;
	vmcount_now(&after);
	vmcount_sub(&after, &before);
	wl_sample(ctx, "start_ns", (double)(t1 - t0), "program=%s k=%s", p->name, which);
	wl_sample(ctx, "start_read", (double)after.read_bytes, "program=%s k=%s", p->name, which);
	return 0;
}

static int run(struct wl_ctx *ctx)
{
	unsigned int n = (unsigned int)wl_u64(ctx, "n"), k, started;
	const struct program *programs[PROGRAMS_MAX];
	struct container *c;
	struct tree *t;
	int nr, i, err;

	if (n < 2 || n > MAX_N)
		return wl_fail(ctx, -EINVAL, "parameter n: 2..%d", MAX_N);
	err = tree_create(ctx, &t);
	if (err)
		return err;
	nr = programs_select(t, wl_str(ctx, "programs"), programs);
	if (nr < 0)
		return nr;
	err = tree_clone_to(t, n);
	c = calloc(n, sizeof(*c));
	if (!err && !c)
		err = wl_fail(ctx, -ENOMEM, "no memory for %u containers", n);
	for (i = 0; !err && i < nr; i++) {
		tree_drop_caches();
		for (k = started = 0; !err && k < n; k++) {
			started++;
			err = start_one(ctx, t, programs[i], k, &c[k]);
			wl_progress(ctx, (uint64_t)i * n + k + 1, (uint64_t)nr * n, programs[i]->name);
		}
		for (k = 0; k < started; k++)
			container_stop(&c[k]);
	}
	free(c);
	if (!err)
		err = tree_verify(t, "after all", n - 1, n);
	return err ? err : tree_destroy(t);
}

static const struct wl_param params[] = {
	{ "n", "5", "containers of each program, one after the other" },
	{ "programs", "all", "all, or names: python3,redis,nginx" },
	{ }
};

static const struct wl_metric metrics[] = {
	{ "start_ns", "ns", WL_LOWER, 0.05, 1e6, "from clone3() to the program's first useful answer" },
	{ "start_read", "bytes", WL_LOWER, 0.05, 256 << 10, "read from the device meanwhile, metadata included" },
	{ }
};

static const struct workload start = {
	.name = "start",
	.summary = "container start: the first one, and later ones with the same image",
	.needs = WL_NEEDS_FS | WL_NEEDS_PROGS,
	.params = params,
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(start);
