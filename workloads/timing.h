/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every latency workload needs around its measured regions: a quiet process (pinned, nothing of its own to fault in),
 * the cost of the clock, and the kernel's counters before and after.
 */
#ifndef SHCACHE_TIMING_H
#define SHCACHE_TIMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "workload.h"

#define PAGE		4096u
#define AROUND_OFF	4096u		/* fault_around_bytes: one page, that is, no fault-around */
#define AROUND_DEFAULT	65536u		/* the kernel's default */
#define AROUND_PAGES	(AROUND_DEFAULT / PAGE)

/* Faults of the calling thread since its start. */
struct faults {
	uint64_t minor, major;
};

/* The whole machine; pgpgin and pgpgout also count metadata. */
struct vmcount {
	uint64_t file_pages;			/* nr_file_pages: now, per-cpu batches folded in */
	uint64_t read_bytes, written_bytes;	/* block I/O since boot, in steps of 1 KiB */
};

/*
 * To be called first: pins the process to CPU 0, makes its code, data and stack resident (a measured region must not fault
 * for the agent's own sake), measures the cost of wl_now() and reports it as info. Returns 0 or -errno.
 */
int timing_begin(struct wl_ctx *ctx);
/* Pins the calling thread to CPU cpu (modulo the number of CPUs). */
void timing_pin(unsigned int cpu);
/* As timing_begin() for a forked child, without records, on CPU cpu (modulo the number of CPUs). */
void timing_child(unsigned int cpu);

/*
 * Right before a measured region. In the icount lane: returns just after a timer tick, so that the next 4 ms (4 million
 * instructions) are free of ticks and of what they wake up. A tick costs as much as several faults; without this a short region
 * has one or has none depending on everything that happened before. In the wall lane: returns at once.
 */
void timing_quiet(struct wl_ctx *ctx);

/* Sets fault_around_bytes in debugfs, which is mounted if necessary. */
int fault_around_set(struct wl_ctx *ctx, unsigned int bytes);

void faults_now(struct faults *f);
/* b = b - a */
void faults_sub(struct faults *b, const struct faults *a);
void vmcount_now(struct vmcount *v);
void vmcount_sub(struct vmcount *b, const struct vmcount *a);

/* Zeroed, resident memory that is never freed; NULL if there is none. */
void *resident_alloc(size_t size);

/*
 * Waits for what the file system does behind one's back after files were unlinked (XFS inactivates inodes in a kworker,
 * btrfs has its cleaner), so that it does not run inside the next measured region.
 */
void settle(const char *path);

/* Is name one of a comma-separated list? "all" lists everything. */
bool listed(const char *list, const char *name);

#endif
