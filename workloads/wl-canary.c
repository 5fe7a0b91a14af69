// SPDX-License-Identifier: GPL-2.0
/*
 * The canary: does this accelerator boot a guest, do records arrive? One sample, nothing else.
 */
#include "workload.h"

static int run(struct wl_ctx *ctx)
{
	uint64_t t0 = wl_now(ctx), t1 = wl_now(ctx);

	wl_sample(ctx, "clock_cost", (double)(t1 - t0), "");
	wl_check(ctx, "clock-monotonic", t1 >= t0, "%llu then %llu", (unsigned long long)t0, (unsigned long long)t1);
	return 0;
}

static const struct wl_metric metrics[] = {
	{ "clock_cost", "ns", WL_INFO, 0, 0, "time between two readings of the clock" },
	{ }
};

static const struct workload canary = {
	.name = "canary",
	.summary = "boots, emits one sample, ends: shows that an accelerator works",
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(canary);
