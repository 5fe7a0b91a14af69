// SPDX-License-Identifier: GPL-2.0
/*
 * Containers with the same image and too little memory for a copy each.
 *
 * All containers use their whole tree once; then the memory of all together is limited to a percentage of what a copy each
 * needs, and each one goes through its tree `passes` times, all at the same time. The work is fixed, and everything that is
 * read is hashed: nothing may be lost (check "content-seen"), and nobody may be killed (check "oom").
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "reader.h"
#include "timing.h"
#include "tree.h"
#include "workload.h"

#define MAX_N	500
/* A reader's own memory: stack, buffer, page tables, what the kernel keeps for it. Charged, and not under test. */
#define OWN	(768u << 10)

struct state {
	struct wl_ctx *ctx;
	struct tree *t;
	unsigned int n, passes, percent;
	uint64_t expected;
	struct container *c;
	unsigned int started, wrong;
};

struct events {
	uint64_t refaults, faults, scanned, kills;
};

static void events_now(struct events *e)
{
	e->refaults = cgroup_value(CONTAINER_CGROUP, "memory.stat", "workingset_refault_file");
	e->faults = cgroup_value(CONTAINER_CGROUP, "memory.stat", "pgmajfault");
	e->scanned = cgroup_value(CONTAINER_CGROUP, "memory.stat", "pgscan");
	e->kills = cgroup_value(CONTAINER_CGROUP, "memory.events", "oom_kill");
}

/* Sends an order to all, then waits for all. */
static int pass(struct state *s, uint32_t what)
{
	struct answer a;
	unsigned int k;
	int err = 0;

	for (k = 0; !err && k < s->n; k++)
		err = container_send(&s->c[k], what, 0);
	for (k = 0; !err && k < s->n; k++) {
		err = container_receive(&s->c[k], &a);
		if (!err)
			s->wrong += a.v[0] != s->expected;
	}
	return err;
}

static int limit(struct state *s, uint64_t bytes)
{
	char text[32] = "max";

	if (bytes)
		snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	return cgroup_write(s->ctx, CONTAINER_CGROUP, "memory.max", text);
}

static int measure(struct state *s, uint32_t what, const char *access)
{
	uint64_t bytes = (uint64_t)s->n * s->t->bytes * s->passes, t0, ns;
	const struct container_spec spec = { .fn = reader_main, .arg = s->t };
	struct events before, after;
	unsigned int i;
	int err = 0;

	tree_drop_caches();
	s->wrong = 0;
	while (!err && s->started < s->n) {
		err = container_start(s->t, s->started, &spec, &s->c[s->started]);
		s->started++;
	}
	if (!err)
		err = pass(s, what);
	if (!err)
		err = limit(s, (uint64_t)s->n * (s->t->pages * PAGE * s->percent / 100 + OWN));
	if (err)
		return err;
	events_now(&before);
	t0 = wl_now(s->ctx);
	for (i = 0; !err && i < s->passes; i++)
		err = pass(s, READER_REREAD);
	ns = wl_now(s->ctx) - t0;
	events_now(&after);
	if (err)
		return err;
	wl_sample(s->ctx, "throughput", (double)bytes * 1e9 / (double)(ns ? ns : 1), "access=%s percent=%u", access, s->percent);
	wl_sample(s->ctx, "refaults", (double)(after.refaults - before.refaults), "access=%s percent=%u", access, s->percent);
	wl_sample(s->ctx, "major_faults", (double)(after.faults - before.faults), "access=%s percent=%u", access, s->percent);
	wl_sample(s->ctx, "scanned", (double)(after.scanned - before.scanned), "access=%s percent=%u", access, s->percent);
	wl_check(s->ctx, "oom", after.kills == before.kills, "access=%s percent=%u: %llu killed", access, s->percent,
		 (unsigned long long)(after.kills - before.kills));
	wl_check(s->ctx, "content-seen", !s->wrong, "access=%s percent=%u: %u of %u passes saw wrong data", access, s->percent,
		 s->wrong, s->n * (s->passes + 1));
	return 0;
}

static int run(struct wl_ctx *ctx)
{
	static const struct {
		const char *name;
		uint32_t what;
	} accesses[] = { { "read", READER_READ }, { "mmap", READER_MAP } };
	struct state s = { .ctx = ctx, .n = (unsigned int)wl_u64(ctx, "n"), .passes = (unsigned int)wl_u64(ctx, "passes") };
	uint64_t percent[8];
	unsigned int nr = wl_list(ctx, "percent", percent, 8), i, j;
	int err;

	if (!s.n || s.n > MAX_N || !s.passes)
		return wl_fail(ctx, -EINVAL, "parameters n and passes: n in 1..%d, passes from 1 on", MAX_N);
	err = tree_create(ctx, &s.t);
	if (!err)
		err = tree_clone_to(s.t, s.n);
	if (!err)
		err = reader_expected(s.t, &s.expected);
	if (!err)
		err = cgroup_parent(ctx);
	s.c = calloc(s.n, sizeof(*s.c));
	if (!err && !s.c)
		err = wl_fail(ctx, -ENOMEM, "no memory for %u containers", s.n);
	for (i = 0; !err && i < nr * 2; i++) {
		s.percent = (unsigned int)percent[i / 2];
		wl_progress(ctx, i, nr * 2, accesses[i % 2].name);
		err = measure(&s, accesses[i % 2].what, accesses[i % 2].name);
		for (j = 0; j < s.started; j++)
			container_stop(&s.c[j]);
		s.started = 0;
		if (!err)
			err = limit(&s, 0);
	}
	free(s.c);
	if (!err)
		err = tree_verify(s.t, "after all", s.n - 1, s.n);
	return err ? err : tree_destroy(s.t);
}

static const struct wl_param params[] = {
	{ "n", "8", "containers" },
	{ "passes", "3", "how often each goes through its tree under the limit" },
	{ "percent", "50", "limits: a list of percentages of what a copy for each container needs" },
	{ }
};

static const struct wl_metric metrics[] = {
	{ "throughput", "bytes/s", WL_HIGHER, 0.05, 0, "read by all containers together under the limit" },
	{ "refaults", "count", WL_LOWER, 0.05, 256, "pages read again that reclaim had taken" },
	{ "major_faults", "count", WL_LOWER, 0.05, 64, "faults that waited for the device" },
	{ "scanned", "count", WL_INFO, 0, 0, "pages that reclaim looked at" },
	{ }
};

static const struct workload pressure = {
	.name = "pressure",
	.summary = "containers with the same image under a common memory limit",
	.needs = WL_NEEDS_FS,
	.params = params,
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(pressure);
