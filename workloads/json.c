// SPDX-License-Identifier: GPL-2.0
/* The JSON writer, see json.h. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static void reserve(struct jbuf *b, size_t more)
{
	if (b->len + more + 1 <= b->cap)
		return;
	b->cap = (b->len + more + 1) * 2;
	b->s = realloc(b->s, b->cap);
	if (!b->s) {
		fprintf(stderr, "agent: out of memory for a record of %zu bytes\n", b->cap);
		abort();
	}
}

void jb_printf(struct jbuf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	reserve(b, (size_t)n);
	va_start(ap, fmt);
	vsnprintf(b->s + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

/* Length of the well-formed UTF-8 sequence at s (Unicode 15, table 3-7), 0 if there is none. */
static size_t utf8_len(const unsigned char *s)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t n, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		lo = 0xa0;
	else if (s[0] == 0xed)
		hi = 0x9f;
	else if (s[0] == 0xf0)
		lo = 0x90;
	else if (s[0] == 0xf4)
		hi = 0x8f;
	for (i = 1; i < n; i++) {
		if (s[i] < lo || s[i] > hi)
			return 0;
		lo = 0x80;
		hi = 0xbf;
	}
	return n;
}

void jb_string(struct jbuf *b, const char *str)
{
	const unsigned char *s = (const unsigned char *)str;

	jb_printf(b, "\"");
	while (*s) {
		size_t n = utf8_len(s);

		if (!n) {
			jb_printf(b, "\\ufffd");
			n = 1;
		} else if (*s == '"' || *s == '\\') {
			jb_printf(b, "\\%c", *s);
		} else if (*s < 0x20 || *s == 0x7f) {
			jb_printf(b, "\\u%04x", *s);
		} else {
			reserve(b, n);
			memcpy(b->s + b->len, s, n);
			b->len += n;
			b->s[b->len] = '\0';
		}
		s += n;
	}
	jb_printf(b, "\"");
}

void jb_double(struct jbuf *b, double v)
{
	if (isfinite(v))
		jb_printf(b, "%.17g", v);
	else
		jb_printf(b, "null");
}

void jb_coords(struct jbuf *b, const char *coords)
{
	char part[256];
	bool first = true;

	jb_printf(b, "{");
	for (coords += strspn(coords, " "); *coords; coords += strspn(coords, " ")) {
		size_t n = strcspn(coords, " ");
		char *eq;

		snprintf(part, sizeof(part), "%.*s", (int)n, coords);
		eq = strchr(part, '=');
		if (eq)
			*eq++ = '\0';
		jb_printf(b, "%s", first ? "" : ",");
		jb_string(b, part);
		jb_printf(b, ":");
		jb_string(b, eq ? eq : "");
		first = false;
		coords += n;
	}
	jb_printf(b, "}");
}

void jb_free(struct jbuf *b)
{
	free(b->s);
	b->s = NULL;
	b->len = b->cap = 0;
}
