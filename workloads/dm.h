/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A block device with bad sectors: device mapper's targets `linear` and `error`, without its library. One device at a time.
 */
#ifndef SHCACHE_DM_H
#define SHCACHE_DM_H

#include <stdbool.h>
#include <stdint.h>

struct dm_range {
	uint64_t from, to;	/* bytes of the device, multiples of 512; to: behind the last one, or anything behind the end */
};

/* Makes the device over the block device dev, all good. path: "/dev/dm-N". Returns 0 or -errno (-ENODEV: the kernel has none). */
int dm_create(const char *dev, char path[32]);
/* From now on these ranges (sorted, apart) cannot be read or written; n = 0: all is good again. Returns 0 or -errno. */
int dm_set_bad(const char *dev, const struct dm_range *bad, unsigned int n);
/* From now on requests wait until it is called with false. Returns 0 or -errno. */
int dm_pause(bool pause);
/* Removes the device; harmless if there is none. */
void dm_remove(void);

#endif
