/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Canonical tars: whatever an image comes from, the guest gets this form, which a small reader can unpack.
 *
 * Uncompressed GNU tar (ustar headers; names longer than 100 bytes in 'L' and 'K' entries; no pax headers). Only regular files,
 * directories, symbolic links and hard links to an earlier regular file. Paths are relative, without "./", "..", "//" or a
 * slash at the end (libarchive writes one after a directory's name), each once, and every directory comes before what is in
 * it. No entry lies below a symbolic link. Numeric owners, permissions and set-id bits are kept, times are whole seconds,
 * extended attributes and ACLs are dropped. The same input gives the same bytes.
 *
 * All functions write dst whole or not at all, print their errors (naming the entry that is refused and what to do) and
 * return 0 or -errno; -EINVAL means that the input was refused, -EINTR that a signal came.
 */
#ifndef SHCACHE_IMAGE_TAR_H
#define SHCACHE_IMAGE_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tar_info {
	unsigned int entries;
	unsigned int files;		/* regular files; a hard link is none */
	uint64_t bytes;			/* sum of their sizes */
	unsigned int dropped;		/* sockets and fifos */
	unsigned int dropped_attrs;	/* entries that lost extended attributes or ACLs */
	bool programs;			/* python3, redis-server and nginx are there */
};

enum { TAR_DROP_DEVICES = 1 };		/* device nodes are dropped without a word instead of refused */

/* From a tar of any format and compression that libarchive reads without helper programs. */
int tar_from_tar(const char *src, const char *dst, unsigned int flags, struct tar_info *info);
/* From a directory; links are not followed. */
int tar_from_dir(const char *src, const char *dst, struct tar_info *info);
/*
 * From a canonical tar only what paths name: absolute paths as programs give them to open(), resolved inside the tar; every
 * symbolic link on the way is kept too, as are all parent directories, the top directories, and the directories that programs
 * write to (/tmp, /run, /var/log ...). Paths that are not there (made at run time) are ignored. -ENOENT if nothing is left.
 */
int tar_slim(const char *src, const char *dst, const char *const *paths, size_t nr, struct tar_info *info);
/* Only reads. */
int tar_inspect(const char *canonical, struct tar_info *info);

#endif
