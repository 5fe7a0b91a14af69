/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a file may hold after the power was cut, for the files of clonex's model (clonex.h). Pure.
 *
 * fsync(2) promises a file's bytes as they were then. What was done later may be there or not, each 8-byte word on its own, since pages
 * are written back in any order. So each word must be one that stood there at some time from the last promise on; the size, one between
 * the smallest and the largest since then. Words behind the end count as zeroes: a file that grows may show holes. A file that was
 * deleted and made anew is another file: its words do not mix with those of the older one, and the name may be missing.
 *
 * The operations follow from the seed alone, so the boot that looks after the cut need only be told how many of them were promised.
 */
#ifndef SHCACHE_PROMISE_H
#define SHCACHE_PROMISE_H

#include "clonex.h"

/* One of so many operations is an fsync or fdatasync. */
#define PR_SYNC_EVERY	6u

struct pr_state {
	unsigned int life;		/* how often the file was made anew until then */
	uint32_t size;
	uint8_t *data;			/* cap bytes, zeroes from size on */
};

struct pr_file {
	struct pr_state *v;		/* from the last promise on */
	unsigned int n;
};

struct promises {
	const struct cx_model *m;
	struct pr_file f[CX_MAX_FILES];
};

/* Features of clonex that are left out: what moves a file's extents in several steps, and what needs a quiet file system. */
uint64_t pr_without(void);
/* Operation nr (from 1 on), valid for the model as it is. */
void pr_generate(const struct cx_model *m, uint64_t seed, uint32_t nr, struct cx_op *op);
/* Does the operation promise anything? */
bool pr_is_promise(const struct cx_op *op);

/* All files of the model are empty and promised. 0 or -ENOMEM. */
int pr_init(struct promises *p, const struct cx_model *m);
void pr_free(struct promises *p);
/* After an operation was applied to the model. kept: it was carried out before the cut for sure, so what it promises holds. */
int pr_done(struct promises *p, const struct cx_op *op, bool kept);
/*
 * Is that what may be left of a file? data: `size` bytes; NULL: there is no such name. If not, says why.
 */
bool pr_legal(const struct promises *p, unsigned int file, const uint8_t *data, uint64_t size, char why[CX_WHY]);

#endif
