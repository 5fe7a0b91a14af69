/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The hash of contents: FNV-1a, 64 bit, taken a word at a time (the last one filled up with zeroes), with a shift after each
 * word so that high bits reach low ones. Fast enough to hash all that is read; no protection against an adversary.
 */
#ifndef SHCACHE_FNV_H
#define SHCACHE_FNV_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FNV_BASIS 0xcbf29ce484222325u

static inline uint64_t fnv(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t w;

	for (; len >= sizeof(w); p += sizeof(w), len -= sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		h = (h ^ w) * 0x100000001b3u;
		h ^= h >> 32;
	}
	if (len) {
		w = 0;
		memcpy(&w, p, len);
		h = (h ^ w) * 0x100000001b3u;
		h ^= h >> 32;
	}
	return h;
}

#endif
