/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trees: a golden tree and its clones ("containers' roots") on the file system under test.
 *
 * Layout below the mount point TREE_MNT: golden/ (a subvolume on btrfs), c0000/ c0001/ ... the clones; in the overlay
 * modes up/cNNNN, work/cNNNN and the merged view mounted on cNNNN/. Golden always has proc/, dev/ and tmp/, on which
 * containers mount.
 *
 *   mode            fs           how clone k is made
 *   reflink         xfs, btrfs   every regular file by FICLONE, everything else re-created
 *   snapshot        btrfs        BTRFS_IOC_SNAP_CREATE_V2 of golden
 *   overlay         xfs, btrfs   overlayfs with lower=golden
 *   overlay-copyup  xfs, btrfs   the same, then every regular file is opened for writing and closed (copy-up; on a
 *                                reflink file system overlayfs copies up by reflink, after which nothing is shared)
 *   copy            any          every byte copied
 */
#ifndef SHCACHE_TREE_H
#define SHCACHE_TREE_H

#include <stddef.h>
#include <stdint.h>

struct wl_ctx;

#define TREE_MNT "/mnt/t"

struct tree_file {
	char *path;		/* relative to the tree's root, "usr/bin/python3.11" */
	uint64_t size;
	uint64_t pages;		/* size in pages, rounded up */
};

struct tree {
	struct wl_ctx *ctx;
	unsigned int clones;		/* made so far */
	struct tree_file *files;	/* regular files of the golden tree, sorted by path */
	unsigned int nr_files;
	unsigned int nr_entries;	/* files, directories, symlinks, ... */
	uint64_t bytes, pages;		/* of all regular files */
	uint64_t hash;			/* of all paths and contents, see tree_hash() */
};

/*
 * Makes the file system that the job asks for (mkfs inside the guest), mounts it at TREE_MNT, fills golden/ from the job's
 * image, syncs, reads file list and hash, and drops the caches. Returns 0 or -errno (reason in wl_fail()).
 */
int tree_create(struct wl_ctx *ctx, struct tree **out);
/* The same file system and mount without a golden tree: for workloads that make their own files in it. */
int tree_create_empty(struct wl_ctx *ctx, struct tree **out);
/* Adds clones until there are n of them; progress is reported. Syncs, so that no delayed allocation is left. */
int tree_clone_to(struct tree *t, unsigned int n);
/* Root directory of clone k; the string lives as long as the tree. Golden itself: tree_golden(). */
const char *tree_root(struct tree *t, unsigned int k);
const char *tree_golden(struct tree *t);
/*
 * Hash (fnv.h) over sorted paths, sizes, contents and link targets of a tree. Reads with O_DIRECT, that is, what the device
 * holds, and leaves nothing cached.
 */
int tree_hash(struct tree *t, const char *root, uint64_t *hash);
/*
 * Checks that golden and every clone in [from, to) still hash to t->hash; emits the wl_check "content". Reads through the page
 * cache, that is, what a program sees now; then drops the caches and reads golden once more from the device.
 */
int tree_verify(struct tree *t, const char *phase, unsigned int from, unsigned int to);
/* sync; drop_caches=3 (twice); waits until per-cpu batches are folded in. */
void tree_drop_caches(void);
/* One file of `bytes` deterministic bytes from seed (contents differ by page); synced. */
int tree_make_file(const char *path, uint64_t bytes, uint64_t seed);
/* FICLONE src to a new file dst. */
int tree_reflink(const char *src, const char *dst);
/*
 * Whether anything was shared at all: the kernel's counters since the file system was mounted the last time, as info "shcache",
 * if it has any.
 */
void tree_say_counters(struct wl_ctx *ctx);
/* Unmounts everything; frees. Checks that unmount works (a leaked reference shows here). */
int tree_destroy(struct tree *t);

#endif
