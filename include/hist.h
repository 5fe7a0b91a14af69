/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Log-linear histogram of unsigned 64-bit values (nanoseconds or guest instructions).
 *
 * Values below 2^HIST_BITS have a bucket each; above, every power of two is cut into 2^HIST_BITS equal buckets, found
 * from the most significant bit (the design of fio's stat.c and of HdrHistogram). A percentile is reported as the
 * middle of its bucket, so its relative error is at most 1 / 2^(HIST_BITS + 1) = 0.78 %. All of 64 bits is covered:
 * nothing is ever clamped. Fixed size, no allocation: it may be filled inside a measured region.
 *
 * JSON form (sparse): {"bits":6,"n":N,"min":a,"max":b,"sum":"<decimal>","b":[[bucket,count],...]} with ascending buckets.
 */
#ifndef SHCACHE_HIST_H
#define SHCACHE_HIST_H

#include <stddef.h>
#include <stdint.h>

#define HIST_BITS	6
#define HIST_BUCKETS	((64 - HIST_BITS + 1) << HIST_BITS)

struct hist {
	uint64_t n, min, max;
	unsigned __int128 sum;
	uint64_t b[HIST_BUCKETS];
};

void hist_init(struct hist *h);
void hist_add(struct hist *h, uint64_t v);
/* dst += src */
void hist_merge(struct hist *dst, const struct hist *src);
unsigned hist_bucket(uint64_t v);
/* Smallest and largest value that falls into a bucket. */
uint64_t hist_low(unsigned bucket);
uint64_t hist_high(unsigned bucket);
/* The value at quantile q in [0,1] (nearest rank), clipped to [min,max]; 0 for an empty histogram. */
double hist_quantile(const struct hist *h, double q);
double hist_mean(const struct hist *h);
/* Writes the JSON form. Returns its length or -ENOSPC. */
int hist_json(const struct hist *h, char *dst, size_t cap);

#endif
