/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A JSON writer: text that grows, and the quoting of strings. Memory that runs out ends the process: there is nothing to
 * measure on such a machine.
 */
#ifndef SHCACHE_JSON_H
#define SHCACHE_JSON_H

#include <stdarg.h>
#include <stddef.h>

struct jbuf {
	char *s;	/* always NUL-terminated after the first call */
	size_t len, cap;
};

void jb_printf(struct jbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A string with its quotes. Bytes that are not UTF-8 become U+FFFD, so that the result is JSON whatever a file is called. */
void jb_string(struct jbuf *b, const char *s);
/* A number; JSON has no infinity and no NaN: these become null. */
void jb_double(struct jbuf *b, double v);
/* "a=1 b=x" as {"a":"1","b":"x"}. */
void jb_coords(struct jbuf *b, const char *coords);
void jb_free(struct jbuf *b);

#endif
