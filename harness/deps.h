/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which packages are missing. The table, the checks and the installation are harness/deps.sh's: it has to run before anything
 * is compiled.
 */
#ifndef SHCACHE_DEPS_H
#define SHCACHE_DEPS_H

#include <stddef.h>

struct dep {
	char *package;	/* Debian's name */
	char *proof;	/* what is not there: "cmd:fio" */
	char *purpose;
};

/* Asks top_dir()/harness/deps.sh what is missing. Returns 0 (list may be empty) or -errno, printed. */
int deps_missing(struct dep **list, size_t *nr);
void deps_free(struct dep *list, size_t nr);

#endif
