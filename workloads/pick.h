/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A pick: whole, aligned ranges of a tree's largest files, seen as one linear range of pages, the same in golden and in every
 * clone. It carries golden's content, so that what was read, mapped or written can be compared on the spot.
 */
#ifndef SHCACHE_PICK_H
#define SHCACHE_PICK_H

#include <stdbool.h>
#include <stdint.h>

#include "tree.h"
#include "workload.h"

struct pick_file {
	const char *path;		/* relative to a root */
	uint64_t first, pages;		/* place in the linear range; the file's pages [0, pages) are used */
	int fd;				/* between pick_open() and pick_close() */
};

struct pick {
	struct wl_ctx *ctx;
	struct pick_file *files;
	unsigned int nr;
	uint64_t pages;
	unsigned char *data;		/* golden's content, resident */
	unsigned char *area;		/* where pick_map() maps: 2 MiB aligned, so that page tables are laid out alike */
};

/*
 * Takes from the largest files on until there are `pages` pages; each file gives a multiple of `align` pages. Fewer pages
 * than asked for are reported as info; none at all is -ENODATA (after wl_fail()). Reads the content with O_DIRECT.
 */
int pick_make(struct wl_ctx *ctx, struct tree *t, uint64_t pages, uint64_t align, struct pick *p);
/* Opens the files below root. */
int pick_open(struct pick *p, const char *root, int flags);
void pick_close(struct pick *p);
/* Maps the open files at p->area, one after the other; advice is for madvise(). */
int pick_map(struct pick *p, int prot, int flags, int advice);
void pick_unmap(struct pick *p);
/* Reads everything below root into the page cache with read(2) in pieces of 64 KiB. */
int pick_cache(struct pick *p, const char *root);
/* Is this memory golden's content? */
bool pick_same(const struct pick *p, const unsigned char *mem);

#endif
