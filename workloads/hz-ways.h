/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ways to use blocks of a file, each of which may fail: for tests of errors. What is read is compared with the model; what goes through is
 * entered in it.
 */
#ifndef SHCACHE_HZ_WAYS_H
#define SHCACHE_HZ_WAYS_H

#include "hz.h"

struct hz_way {
	const char *name;
	/* Uses n blocks (at most HZ_WAY_BLOCKS) from first on. 0 or -errno; -EFAULT: SIGBUS. */
	int (*fn)(struct hz_file *f, unsigned int first, unsigned int n);
	int bad;		/* what it must return of a block that cannot be read */
	bool changes;
	bool undone;		/* when it fails the contents may be half of it */
};

#define HZ_WAY_BLOCKS	64u

enum {
	WAY_READ, WAY_DIRECT_READ, WAY_SPLICE, WAY_URING, WAY_ADVICE, WAY_MAP, WAY_PRIVATE_MAP, WAY_POPULATE, WAY_PRIVATE_STORE,
	WAY_STORE, WAY_STORE_AFTER_READ, WAY_SMALL_WRITE, WAY_WRITE, WAY_DIRECT_WRITE, WAY_TRUNCATE, WAY_PUNCH, WAY_UNSHARE, WAY_CLONE, WAY_DEDUPE, WAYS
};
extern const struct hz_way hz_ways[WAYS];

/* What is cloned from by WAY_CLONE, and compared with by WAY_DEDUPE: the tests make them. */
extern struct hz_file hz_other, hz_golden;

/* hz_ways[way] of f; a short hand. */
int hz_use(struct hz_file *f, unsigned int way, unsigned int first, unsigned int n);

#endif
