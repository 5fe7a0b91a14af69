/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A log of all that was written to a disk, in the format of Linux's dm-log-writes, as QEMU's driver blklogwrites writes it; and what the
 * disk may hold if the power is cut at some place of it.
 *
 * A disk with a volatile cache keeps what it has acknowledged before a flush that it has acknowledged too; of what came later it keeps
 * any part. So a disk after the cut is: all writes up to the last flush, and each block of the later ones or not, by chance. The log's
 * order is that in which requests were completed.
 *
 * Sizes in bytes; functions return 0 or -errno.
 */
#ifndef SHCACHE_WRITELOG_H
#define SHCACHE_WRITELOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a disk writes whole or not at all. */
#define WLOG_ATOMIC	4096u

struct wlog_entry {
	uint64_t off, len;		/* where on the disk; len 0: no data */
	uint64_t data;			/* where in the log */
	bool flush;			/* of all before it */
};

struct wlog {
	int fd;
	struct wlog_entry *v;
	size_t n;
	uint64_t bytes;			/* of all writes */
};

/*
 * Reads a log's entries; a last one that is cut short is left out. -EINVAL: not such a log, or one with requests that can't be repeated
 * (*why says which).
 */
int wlog_open(const char *path, struct wlog *l, const char **why);
void wlog_close(struct wlog *l);
/* The data of a write, all of it. buf has room for len bytes. */
int wlog_data(const struct wlog *l, size_t i, void *buf);

struct wlog_cut {
	size_t at;			/* the power is cut before this entry */
	unsigned int keep;		/* of 256 blocks that were not flushed so many are kept; 256: all */
	size_t honest;			/* flushes from this entry on are acknowledged and not done; SIZE_MAX: none is */
	uint64_t seed;
};

/* Makes the disk as a new sparse file of so many bytes, on which nothing was written before the log began. */
int wlog_disk(const struct wlog *l, const struct wlog_cut *c, const char *path, uint64_t size);

#endif
