// SPDX-License-Identifier: GPL-2.0
/*
 * Log-linear histogram, see hist.h for the method and its error bound.
 *
 * Bucket numbers: the upper bits are the power of two (0 and 1 share the width 1), the lower HIST_BITS bits are the bits
 * of the value below its most significant one:
 *
 *	v                     shift = msb(v) - HIST_BITS        bucket                              width
 *	[0, 2^6)              -                                 v                                   1
 *	[2^6, 2^7)            0                                 1 << 6 | (v & 63)                   1
 *	[2^k, 2^(k+1))        k - 6                             (shift + 1) << 6 | (v >> shift & 63) 2^shift
 *
 * Shared by host and guest: no library beyond libc (the guest does not link libm).
 */
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hist.h"

#define SUB_MASK ((1u << HIST_BITS) - 1)

void hist_init(struct hist *h)
{
	memset(h, 0, sizeof(*h));
}

unsigned hist_bucket(uint64_t v)
{
	unsigned int shift;

	if (v <= SUB_MASK)
		return v;
	shift = 63 - __builtin_clzll(v) - HIST_BITS;
	return (shift + 1) << HIST_BITS | (v >> shift & SUB_MASK);
}

uint64_t hist_low(unsigned bucket)
{
	unsigned int group = bucket >> HIST_BITS;

	if (!group)
		return bucket;
	return ((uint64_t)(bucket & SUB_MASK) | 1u << HIST_BITS) << (group - 1);
}

uint64_t hist_high(unsigned bucket)
{
	unsigned int group = bucket >> HIST_BITS;

	if (!group)
		return bucket;
	return hist_low(bucket) + (((uint64_t)1 << (group - 1)) - 1);
}

void hist_add(struct hist *h, uint64_t v)
{
	if (!h->n || v < h->min)
		h->min = v;
	if (v > h->max)
		h->max = v;
	h->n++;
	h->sum += v;
	h->b[hist_bucket(v)]++;
}

void hist_merge(struct hist *dst, const struct hist *src)
{
	unsigned int i;

	if (!src->n)
		return;
	if (!dst->n || src->min < dst->min)
		dst->min = src->min;
	if (src->max > dst->max)
		dst->max = src->max;
	dst->n += src->n;
	dst->sum += src->sum;
	for (i = 0; i < HIST_BUCKETS; i++)
		dst->b[i] += src->b[i];
}

double hist_quantile(const struct hist *h, double q)
{
	uint64_t rank, seen = 0;
	unsigned int i;
	double x, mid;

	if (!h->n)
		return 0;
	/* Nearest rank: the smallest rank >= q n. The product may exceed an integer by rounding only: 0.07 * 100 > 7. */
	x = q * (double)h->n * (1 - 4 * DBL_EPSILON);
	if (!(x > 1))
		rank = 1;
	else if (x >= (double)h->n)
		rank = h->n;
	else
		rank = (uint64_t)x + ((double)(uint64_t)x < x);
	for (i = 0; i < HIST_BUCKETS - 1; i++) {
		seen += h->b[i];
		if (seen >= rank)
			break;
	}
	mid = (double)hist_low(i) + (double)(hist_high(i) - hist_low(i)) / 2;
	if (mid < (double)h->min)
		return (double)h->min;
	if (mid > (double)h->max)
		return (double)h->max;
	return mid;
}

double hist_mean(const struct hist *h)
{
	return h->n ? (double)h->sum / (double)h->n : 0;
}

static int put(char *dst, size_t cap, size_t *len, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static int put(char *dst, size_t cap, size_t *len, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(dst + *len, cap - *len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= cap - *len)
		return -ENOSPC;
	*len += n;
	return 0;
}

/* printf knows no 128-bit integers. */
static const char *u128_str(unsigned __int128 v, char buf[40])
{
	char *p = buf + 39;

	*p = '\0';
	do {
		*--p = '0' + (int)(v % 10);
		v /= 10;
	} while (v);
	return p;
}

int hist_json(const struct hist *h, char *dst, size_t cap)
{
	const char *sep = "";
	size_t len = 0;
	unsigned int i;
	char sum[40];

	if (!cap)
		return -ENOSPC;
	if (put(dst, cap, &len, "{\"bits\":%d,\"n\":%" PRIu64 ",\"min\":%" PRIu64 ",\"max\":%" PRIu64 ",\"sum\":\"%s\",\"b\":[",
		HIST_BITS, h->n, h->min, h->max, u128_str(h->sum, sum)))
		return -ENOSPC;
	for (i = 0; i < HIST_BUCKETS; i++) {
		if (!h->b[i])
			continue;
		if (put(dst, cap, &len, "%s[%u,%" PRIu64 "]", sep, i, h->b[i]))
			return -ENOSPC;
		sep = ",";
	}
	if (put(dst, cap, &len, "]}"))
		return -ENOSPC;
	return (int)len;
}
