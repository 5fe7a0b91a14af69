/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The record stream, host side: cuts it into lines, checks framing, order and shape of every record (include/record.h), and
 * keeps what the verdict needs. Pure: bytes in, facts out.
 */
#ifndef SHCACHE_CHANNEL_H
#define SHCACHE_CHANNEL_H

#include <jansson.h>
#include <stdbool.h>

#include "util.h"

/* A boot that sends more than this is broken; it bounds the memory that a guest can take from the host. */
#define CHANNEL_MAX	(32u << 20)

struct channel {
	struct buf partial;		/* an incomplete last line */
	unsigned long seq;		/* number of good records so far */
	unsigned long long bytes;
	json_t *records;		/* array of the payloads */
	bool hello, done;
	char *status;			/* of the "result" record, or NULL */
	char *status_why;
	char *failed_check;		/* "name: detail" of the first check that was not ok, or NULL */
	unsigned int failed_checks;
	char *error;			/* what is wrong with the stream, or NULL; once set, nothing more is read */
	void (*record)(const json_t *rec, void *arg);
	void *arg;
};

void channel_init(struct channel *c);
/* Takes bytes as they come. Returns the number of records completed by them, or -EPROTO with c->error set. */
int channel_feed(struct channel *c, const char *data, size_t len);
/* The stream is over: a line without an end is an error now. Returns 0 or -EPROTO. */
int channel_end(struct channel *c);
void channel_free(struct channel *c);

#endif
