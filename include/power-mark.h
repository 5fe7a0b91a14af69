/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mark by which a guest tells, on the disk itself, how far it has come: one sector near the disk's end, behind the file system. In a
 * log of the disk's writes it stands behind everything that was durable when it was written. Numbers are little-endian, as both sides are.
 */
#ifndef SHCACHE_POWER_MARK_H
#define SHCACHE_POWER_MARK_H

#include <stdint.h>

#define POWER_SECTOR	512u
#define POWER_MARK_BACK	4096u			/* bytes before the end of the disk */
#define POWER_MAGIC	0x314b52414d434853ull	/* "SHCMARK1" */

struct power_mark {
	uint64_t magic, seed, nr;		/* nr: of the last operation that was promised */
};

#endif
