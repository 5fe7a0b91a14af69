/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The truth about memory: how many page frames hold file data, and who says so.
 *
 * Truth is a set of page frame numbers: each frame once, however many files or mappings show it. It is found in two ways, of
 * which each works where the other may not:
 *
 *  - by the processes' own mappings (frames_add_process): whatever a live container has mapped, read from its pagemap. Right on
 *    every kernel, also one whose clones share frames that belong to no clone's own page cache.
 *  - by mapping the files (frames_add_tree): either whatever mincore(2) calls resident, or everything, which is right
 *    where all of it is cached; that the walk itself brought nothing in is checked by the caller with oracle_level().
 *
 * Three witnesses do not know the set: the counter NR_FILE_PAGES, a scan of /proc/kpageflags for file pages, and
 * (end to end) MemAvailable. oracle_agree() fails the boot when counter, scan and truth do not fit within a slack that is
 * made of what is known to be counted and is no file data:
 *
 *  - btrfs keeps its metadata in the page cache of a hidden inode: 4 pages for each extent buffer, whose number comes from
 *    /proc/slabinfo, where it is exact but for the objects of each CPU's current slab;
 *  - super blocks in the block device's cache, pages in flight: a constant.
 *
 * Shared memory (tmpfs, the initramfs) is subtracted from all of them. Everything is in pages of 4 KiB unless it says bytes.
 */
#ifndef SHCACHE_ORACLE_H
#define SHCACHE_ORACLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tree.h"
#include "workload.h"

struct oracle_level {
	uint64_t file_pages;		/* NR_FILE_PAGES - NR_SHMEM, per-cpu parts folded in */
	uint64_t scanned;		/* file pages found in /proc/kpageflags */
	uint64_t metadata, metadata_slack; /* of the file system, in the page cache; how far off that may be */
	uint64_t free_bytes, available_bytes, slab_bytes, pagetable_bytes;
};

/* Takes the level now. The scan costs about 0.2 s per GiB of RAM under TCG. */
int oracle_level(struct wl_ctx *ctx, struct oracle_level *l);

struct frames {
	struct wl_ctx *ctx;
	uint64_t max;			/* page frame numbers are below */
	uint16_t *degree;		/* by frame: how many owners show it */
	uint16_t *last;			/* the owner that was counted last */
	uint64_t unique;		/* frames with a degree above 0 */
	uint64_t shown;			/* sum of the degrees */
};

int frames_begin(struct wl_ctx *ctx, struct frames *f);
void frames_end(struct frames *f);
/*
 * Adds the frames of all files below root. owner: a number from 1 on; an owner counts once for each frame.
 * resident: only what mincore(2) calls resident; else all, by touching it.
 */
int frames_add_tree(struct frames *f, struct tree *t, const char *root, unsigned int owner, bool resident);
/* Adds the file pages that a process has mapped, anonymous copies and shared memory excluded. */
int frames_add_process(struct frames *f, pid_t pid, unsigned int owner);
/* Adds all processes of a cgroup. */
int frames_add_cgroup(struct frames *f, const char *cgroup, unsigned int owner);
/* Emits the blob "sharing" with [[degree, frames], ...]. */
void frames_histogram(struct frames *f, const char *coords);

/*
 * Pages of a tree's files that cachestat(2) calls cached (mincore(2) on overlays, and where there is no cachestat): logical, a
 * shared page counts for each file.
 */
int oracle_logical(struct tree *t, const char *root, uint64_t *pages);

/*
 * Emits the check "oracles-agree" for unique frames, found as the truth, against the levels before anything was cached and
 * now.
 */
void oracle_agree(struct wl_ctx *ctx, const struct oracle_level *before, const struct oracle_level *now, uint64_t unique,
		  const char *coords);
/* Slack in pages of a comparison between two levels. */
uint64_t oracle_slack(const struct oracle_level *before, const struct oracle_level *now);

#endif
