/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a workload is, and what the agent gives it.
 *
 * A workload is one file, workloads/wl-NAME.c, that ends in DEFINE_WORKLOAD(...). The table entry describes itself:
 * `agent --describe` prints all of them as JSON (on any machine: the agent is static), which is how the host learns
 * names, parameters, units, directions and smallest relevant changes. Nothing about a workload is written twice.
 *
 * In the guest the agent is init: it mounts what is needed, reads the job (see job.h), runs the one workload that the job
 * names, writes records (include/record.h) and powers off.
 */
#ifndef SHCACHE_WORKLOAD_H
#define SHCACHE_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "hist.h"

enum wl_direction {
	WL_LOWER,	/* lower is better */
	WL_HIGHER,
	WL_INFO,	/* shown, never judged */
};

struct wl_param {
	const char *name;
	const char *def;	/* default, as text */
	const char *help;	/* with the unit */
};

struct wl_metric {
	const char *name;
	const char *unit;	/* "pages", "bytes", "ns" (an instruction in the icount lane), "count", "bytes/s" ... */
	enum wl_direction direction;
	double rel_delta;	/* smallest relevant change, as a fraction of the baseline (0.01 = 1 %) ... */
	double abs_floor;	/* ... and in the metric's own unit; a change is relevant if it exceeds both */
	const char *summary;	/* what it counts, one line */
};

/* What a workload needs to be runnable; the agent skips (status "skip") with a clear reason when it is not there. */
#define WL_NEEDS_FS	(1u << 0)	/* a file system and a golden tree */
#define WL_NEEDS_OVERLAY (1u << 1)	/* only meaningful in an overlay mode */
#define WL_NEEDS_PROGS	(1u << 2)	/* an image with real programs */
#define WL_NEEDS_TOOL(n) /* documented in .tools */

struct wl_ctx;

struct workload {
	const char *name;
	const char *summary;
	unsigned int needs;
	const char *tools;			/* host programs the initramfs must carry, space separated, or NULL */
	const struct wl_param *params;		/* ends with a NULL name */
	const struct wl_metric *metrics;	/* ends with a NULL name */
	/* Returns 0 or a negative errno (after wl_fail() said what happened). */
	int (*run)(struct wl_ctx *ctx);
};

#define DEFINE_WORKLOAD(w)						\
	static const struct workload *const w##_entry			\
	__attribute__((used, section("workloads"))) = &(w)

/* Parameters: the job's value or the table's default. A value that does not parse ends the workload with status fail. */
const char *wl_str(struct wl_ctx *ctx, const char *name);
uint64_t wl_u64(struct wl_ctx *ctx, const char *name);		/* accepts k, M, G (powers of 1024) */
bool wl_flag(struct wl_ctx *ctx, const char *name);		/* 0/1/yes/no */
/* A comma-separated list of numbers; returns how many were stored, at most max. */
unsigned int wl_list(struct wl_ctx *ctx, const char *name, uint64_t *dst, unsigned int max);

uint64_t wl_seed(struct wl_ctx *ctx);
bool wl_icount(struct wl_ctx *ctx);		/* instruction-counting lane? */
const char *wl_fs(struct wl_ctx *ctx);		/* "xfs", "btrfs" */
const char *wl_mode(struct wl_ctx *ctx);	/* "reflink", "snapshot", "overlay", "overlay-copyup", "copy" */

/*
 * Time in ns. In the icount lane it is rdtsc, which QEMU derives from the instruction counter: one unit is one guest
 * instruction. In the wall lane CLOCK_MONOTONIC.
 */
uint64_t wl_now(struct wl_ctx *ctx);
/*
 * The same before and after one operation of a histogram. They differ from wl_now() only in that their rdtsc have names,
 * wl_begin_tsc and wl_end_tsc, by which `shbench profile` knows the operation's instructions: exactly those that the two readings
 * differ by. A wl_begin() is followed by a wl_end().
 */
uint64_t wl_begin(struct wl_ctx *ctx);
uint64_t wl_end(struct wl_ctx *ctx);

/* "" is a good format here: a record without coordinates, a check without detail. */
#pragma GCC diagnostic ignored "-Wformat-zero-length"

/*
 * Records. coords is a printf format that makes "key=value key=value" (may be ""); none of these may be called inside a
 * measured region.
 */
void wl_sample(struct wl_ctx *ctx, const char *metric, double value, const char *coords, ...)
	__attribute__((format(printf, 4, 5)));
void wl_hist(struct wl_ctx *ctx, const char *metric, const struct hist *h, const char *coords, ...)
	__attribute__((format(printf, 4, 5)));
void wl_check(struct wl_ctx *ctx, const char *name, bool ok, const char *detail, ...)
	__attribute__((format(printf, 4, 5)));
/* A check that cannot be carried out here, and why. */
void wl_check_skipped(struct wl_ctx *ctx, const char *name, const char *why, ...)
	__attribute__((format(printf, 3, 4)));
void wl_info(struct wl_ctx *ctx, const char *key, const char *value, ...)
	__attribute__((format(printf, 3, 4)));
void wl_progress(struct wl_ctx *ctx, uint64_t done, uint64_t total, const char *what);
/* json: one JSON value; newlines in it are folded. */
void wl_blob(struct wl_ctx *ctx, const char *key, const char *json, const char *coords, ...)
	__attribute__((format(printf, 4, 5)));
/* Remembers the reason of a failure (the first one wins) and returns err, so that: return wl_fail(ctx, -errno, "open %s", p); */
int wl_fail(struct wl_ctx *ctx, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The workload cannot run here: status "skip". Returns -ENOTSUP. */
int wl_skip(struct wl_ctx *ctx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Deterministic pseudo-random numbers (splitmix64) from a state that the caller seeds. */
uint64_t wl_rand(uint64_t *state);

#endif
