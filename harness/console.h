/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the console's text says; console_splat() and console_splat_id() are in vm.h.
 */
#ifndef SHCACHE_CONSOLE_H
#define SHCACHE_CONSOLE_H

#include <stddef.h>

/* What a splat means for the boot it is found in. */
enum splat_class {
	SPLAT_NOTED,	/* the guest goes on, and so does the runner */
	SPLAT_FATAL,	/* the kernel is no longer sane: stop soon instead of waiting for the hang that follows */
	SPLAT_HANG,	/* the kernel itself says that something hangs */
	SPLAT_PANIC,
};
enum splat_class console_splat_class(const char *kind);

/* A splat's text, malloced: from the line that at points into to its end marker, at most max_lines lines. */
char *console_excerpt(const char *at, unsigned int max_lines);
/* The last line with something in it, malloced, without time stamp and control characters; "" if there is none. */
char *console_last_line(const char *text);

#endif
