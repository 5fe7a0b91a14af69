/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interfaces of XFS that exchange the extents of two files. Its own headers are needed for nothing else, and the older ones have no
 * exchange-range (Linux 6.10, file systems made with "-i exchange=1").
 */
#ifndef SHCACHE_XFS_IOCTL_H
#define SHCACHE_XFS_IOCTL_H

#include <stdint.h>
#include <sys/ioctl.h>

struct xfs_bstat {
	uint64_t ino;
	uint16_t mode, nlink;
	uint32_t uid, gid, rdev;
	int32_t blksize;
	int64_t size;
	struct { long sec; int32_t nsec; } atime, mtime, ctime;
	int64_t blocks;
	uint32_t xflags;
	int32_t extsize, extents;
	uint32_t gen;
	uint16_t projid_lo, forkoff, projid_hi, sick, checked;
	unsigned char pad[2];
	uint32_t cowextsize, dmevmask;
	uint16_t dmstate, aextents;
};
struct xfs_bulkreq {
	uint64_t *lastip;
	int32_t icount;
	void *buffer;
	int32_t *ocount;
};
#define XFS_BULKSTAT_SINGLE	_IOWR('X', 102, struct xfs_bulkreq)
struct xfs_swapext {
	int64_t version, target, tmp, offset, length;
	char pad[16];
	struct xfs_bstat stat;
};
#define XFS_SWAPEXT		_IOWR('X', 109, struct xfs_swapext)
struct xfs_exchange {
	int32_t file1_fd;
	uint32_t pad;
	uint64_t file1_offset, file2_offset, length, flags;
};
#define XFS_EXCHANGE_RANGE	_IOW('X', 129, struct xfs_exchange)
#define XFS_EXCHANGE_DSYNC	(1ull << 1)

#endif
