/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tree.c (file system, clones) and tree-content.c (what is in a tree: making, listing, hashing it) share.
 */
#ifndef SHCACHE_TREE_INTERNAL_H
#define SHCACHE_TREE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "tree.h"
#include "workload.h"

struct tree_entry {
	char *path;		/* relative to the root */
	char *target;		/* of a symbolic link */
	struct stat st;
	int link_to;		/* index of an earlier entry that is the same inode, or -1 */
};

struct tree_list {
	struct tree_entry *v;	/* sorted by path, so that a directory precedes what is in it */
	unsigned int n, cap;
};

/* Everything below root (root itself excluded). Returns 0 or -errno after wl_fail(). */
int tree_list(struct wl_ctx *ctx, const char *root, struct tree_list *l);
void tree_list_free(struct tree_list *l);
/* Path of the virtio disk with this serial ("/dev/vdb"). Returns 0 or -errno after wl_fail(). */
int tree_disk(struct wl_ctx *ctx, const char *serial, char *path, size_t cap);
/* Mounts a file system that there is, with the job's options, at TREE_MNT. Returns 0 or -errno after wl_fail(). */
int tree_mount(struct wl_ctx *ctx, const char *dev);
/* Makes the job's image below root, which is an empty directory. Returns 0 or -errno after wl_fail(). */
int tree_fill(struct wl_ctx *ctx, const char *root);
/*
 * The hash that tree.h describes. direct: reads with O_DIRECT, what the device holds; else through the page cache, what a
 * program sees, and leaves it cached. Returns 0 or -errno after wl_fail().
 */
int tree_hash_list(struct wl_ctx *ctx, const char *root, const struct tree_list *l, bool direct, uint64_t *hash);

#endif
