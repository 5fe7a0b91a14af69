/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a container uses its tree when no real program does: it reads or maps every file, and hashes what it sees.
 */
#ifndef SHCACHE_READER_H
#define SHCACHE_READER_H

#include <stdint.h>

#include "tree.h"

enum reader_what {
	READER_READ,	/* read(2) all files; v[0] = hash, v[1] = bytes */
	READER_MAP,	/* map all files (kept mapped until the end) and touch every page; v[0] = hash, v[1] = bytes */
	READER_REREAD,	/* hash the mappings again if there are any, else read(2) again */
};

/* To be given as container_spec.fn with the tree as argument: takes orders of enum reader_what until it is killed. */
int reader_main(void *tree);
/* What an undamaged tree's hash is, read from golden's device. Returns 0 or -errno after wl_fail(). */
int reader_expected(struct tree *t, uint64_t *hash);

#endif
