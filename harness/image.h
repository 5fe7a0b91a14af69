/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Images (what a container's root holds) and the initramfs.
 */
#ifndef SHCACHE_IMAGE_H
#define SHCACHE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image {
	char *name;		/* as asked for */
	bool synthetic;		/* no tar: the agent makes it from image_files, image_bytes and the seed */
	unsigned int files;	/* synthetic: how many ...; tar: regular files in it */
	uint64_t bytes;		/* sum of the regular files' sizes */
	char *tar;		/* canonical tar (image-tar.h) in the cache; NULL for synthetic */
	char *hash;		/* sha256 of the tar, or of the synthetic parameters */
	char *note;		/* what people must know: "slimmed to the 212 files that the programs open" or "" */
	bool programs;		/* has python3, redis-server and nginx */
};

/*
 * Resolves an image: "synthetic[:files=N,bytes=SIZE]", "debian" (mmdebstrap, whole), "debian-slim" (only what the programs
 * open), "debian-xfstests" (the programs that xfstests calls), a tar file (any compression libarchive reads) or a directory. Builds or converts it into the cache if it is not
 * there. A user's tar is refused, with the entry's name, for absolute paths, "..", device nodes, or hard links that leave it;
 * sockets and fifos are dropped with a note. Errors have been printed. bzimage and agent are needed for debian-slim only
 * (it is traced in a VM), may be NULL otherwise.
 */
int image_get(const char *spec, const char *bzimage, struct image *out);
void image_free(struct image *img);

/*
 * Writes an initramfs (newc, uncompressed) to path: the agent as /init, /job with the text given, busybox, and the host programs
 * named in tools (space separated: "mkfs.xfs mkfs.btrfs fio") with the shared libraries they need; image, if not NULL, is
 * put in as /image.tar. Deterministic: same input, same bytes (fixed times, sorted names, owner root).
 * Common parts are cached; the job is appended as a second archive. Returns 0 or -errno, errors printed.
 */
int initrd_build(const char *path, const char *agent, const char *job, const char *tools, const char *image);

#endif
