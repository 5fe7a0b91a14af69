/* SPDX-License-Identifier: GPL-2.0 */
/*
 * `shbench coverage [RUN...]`: which lines and branches of the kernel's files the boots of some runs have reached.
 *
 * The kernel counts (CONFIG_GCOV_KERNEL), the agent sends the counters as blobs "gcov", the kernel's entry in the cache has what gcov(1) needs to
 * read them. The counts of all boots are added up; they must be of the same build. A boot that ended without its last records adds nothing.
 *
 * A line is covered if it has run, a branch if it has been taken. Not counted are branches of assertions (WARN_ON() and the like), which are never
 * taken in a kernel that is right, and of macros that choose by the size of a type or the like when they are compiled, of which gcov knows nothing.
 * What the compiler has inlined from headers belongs to the headers.
 */
#ifndef SHCACHE_COVERAGE_H
#define SHCACHE_COVERAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* One piece of a line, as gcov tells it: a line that is in several functions has several. */
struct cov_piece {
	unsigned int line;
	char *function;
	double count;
	double *branches;
	size_t nr_branches;
};

struct cov_function {
	char *name;
	unsigned int line;
	double count;
};

struct coverage {
	char *file;			/* as gcov names it */
	struct cov_piece *pieces;
	size_t nr_pieces;
	struct cov_function *functions;
	size_t nr_functions;
};

struct cov_sum {
	unsigned int lines, lines_run, branches, branches_taken, left_out, functions, functions_run;
};

/*
 * Adds what gcov --json-format says of the file whose name ends with `file`. Returns 0; -EINVAL: it says nothing of it, or not the same pieces
 * as before.
 */
int coverage_add(struct coverage *c, const json_t *gcov, const char *file);
void coverage_free(struct coverage *c);
/* source: text of the file, for what is left out. */
struct cov_sum coverage_sum(const struct coverage *c, const char *source);
/* Whether the branches of line `nr` (from 1) of a text are not counted. */
bool coverage_left_out(const char *source, unsigned int nr);

/* The command; exit code. runs: n ids or paths. Prints a table, functions and lines that never ran; verbose: branches as well. */
int run_coverage(const char *const *runs, size_t n);

#endif
