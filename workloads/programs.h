/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The real programs that containers run: python3, redis-server and nginx of a Debian image. One table says how each is
 * started and how to see that it is ready, that is, does its work; then it stays, waiting, until it is killed.
 */
#ifndef SHCACHE_PROGRAMS_H
#define SHCACHE_PROGRAMS_H

#include "container.h"

#define PROGRAMS_MAX 3

struct program {
	const char *name;
	const char *const *argv;
	const struct container_file *files;
	const char *socket;		/* in the container; NULL: ready when it prints "ready" */
	const char *request, *answer;	/* what is sent to the socket; what the answer starts with */
};

/*
 * Selects by parameter: "all" or "rotate" for all that the image has, or names separated by commas. Skips the workload if the
 * image lacks one that is named, or has none. Returns how many, or a negative errno.
 */
int programs_select(struct tree *t, const char *which, const struct program **out);
/* Starts it in a new container on clone k, or in `in` if that is not NULL. */
int program_start(struct tree *t, unsigned int k, const struct program *p, struct container *in, struct container *c);
/* Waits until it does its work. Returns 0 or -errno after wl_fail(). */
int program_ready(const struct program *p, struct container *c);

#endif
