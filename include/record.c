// SPDX-License-Identifier: GPL-2.0
/* Framing of records; see record.h. Used on both sides, so that they cannot disagree. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "record.h"

static unsigned long rec_crc(const char *p, size_t len)
{
	return crc32(crc32(0, NULL, 0), (const unsigned char *)p, len);
}

int rec_frame(char *dst, size_t cap, unsigned long seq, const char *payload, size_t len)
{
	int n;

	if (len > REC_MAX || memchr(payload, '\n', len) || memchr(payload, '\0', len))
		return -EINVAL;
	if (cap < len + REC_OVERHEAD)
		return -ENOSPC;
	n = snprintf(dst, REC_OVERHEAD, REC_MAGIC " %lu %zu %08lx ", seq, len, rec_crc(payload, len));
	memcpy(dst + n, payload, len);
	dst[n + len] = '\n';
	return n + len + 1;
}

/* Decimal number that ends in a blank; advances *p past the blank. */
static int field(const char **p, const char *end, int base, unsigned long *v)
{
	char *stop;

	if (*p >= end || **p == ' ' || **p == '-' || **p == '+')
		return -EPROTO;
	errno = 0;
	*v = strtoul(*p, &stop, base);
	if (errno || stop == *p || stop >= end || *stop != ' ')
		return -EPROTO;
	*p = stop + 1;
	return 0;
}

int rec_parse(const char *line, size_t len, unsigned long seq, const char **payload, size_t *plen, const char **why)
{
	const char *p = line, *end = line + len;
	/* The three numbers are looked at in a copy: strtoul() needs an end. */
	char head[REC_OVERHEAD];
	size_t hlen = len < sizeof(head) - 1 ? len : sizeof(head) - 1;
	unsigned long s, l, crc;
	const char *h;
	const char *dummy;

	if (!why)
		why = &dummy;
	memcpy(head, line, hlen);
	head[hlen] = '\0';
	h = head;
	if (strncmp(h, REC_MAGIC " ", sizeof(REC_MAGIC)) != 0) {
		*why = "does not start with " REC_MAGIC;
		return -EPROTO;
	}
	h += sizeof(REC_MAGIC);
	if (field(&h, head + hlen, 10, &s) || field(&h, head + hlen, 10, &l) || field(&h, head + hlen, 16, &crc)) {
		*why = "malformed header";
		return -EPROTO;
	}
	p += h - head;
	if (l != (size_t)(end - p)) {
		*why = "length differs: line truncated or interleaved";
		return -EBADMSG;
	}
	if (rec_crc(p, l) != crc) {
		*why = "checksum differs";
		return -EBADMSG;
	}
	if (s != seq) {
		*why = "sequence number: a record was lost or repeated";
		return -EILSEQ;
	}
	*payload = p;
	*plen = l;
	return 0;
}
