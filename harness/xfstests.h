/* SPDX-License-Identifier: GPL-2.0 */
/*
 * xfstests, the file systems' own test suite, in guests: the user's installed directory on several kernels, with and without
 * mount options; what fails that does not fail on the baseline kernel is the answer. The project ships no part of the suite.
 *
 * The pure parts (which tests, what `check` said, what is new, KTAP and JUnit) are in xfstests-check.c, the boots in xfstests.c.
 */
#ifndef SHCACHE_XFSTESTS_H
#define SHCACHE_XFSTESTS_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

enum xt_state {
	XT_NONE,		/* has not been run, or was not finished */
	XT_PASSED,
	XT_NOTRUN,		/* the suite says that it cannot run here, and why */
	XT_REFUSED,		/* failed after the kernel had refused the mount option for the file system that the test made */
	XT_FAILED,
	XT_TIMEOUT,		/* ended by the guest's agent */
	XT_SPLAT,		/* the kernel complained during it, although the test itself passed */
	XT_HANG, XT_PANIC, XT_DIED,	/* took the guest along */
	XT_NR_STATES,
};
const char *xt_state_name(enum xt_state s);
/* Worse than passed, not run and refused. */
bool xt_bad(enum xt_state s);

struct xt_result {
	char *name;		/* "generic/001" */
	enum xt_state state;
	int seconds;		/* in the guest; -1 if not known */
	char *why;		/* one line; "" if there is nothing to say */
	char *text;		/* what check wrote of it, "" if nothing */
};

struct xt_results {
	struct xt_result *v;
	size_t n;
};
void xt_results_free(struct xt_results *r);
/* A test by its name, or NULL. */
struct xt_result *xt_find(const struct xt_results *r, const char *name);
/* Adds a test in the state XT_NONE, unless it is there already. */
struct xt_result *xt_add(struct xt_results *r, const char *name, size_t len);
void xt_set(struct xt_result *t, enum xt_state state, const char *why);

/*
 * Adds the tests of tests/DIR/group.list (its text: "001 auto quick rw" a line) that are in one of the groups and in none of those
 * excluded; both are lists separated by commas, exclude may be NULL. Group "all" is every test. Returns how many were added.
 */
size_t xt_select(struct xt_results *r, const char *dir, const char *group_list, const char *groups, const char *exclude);

/*
 * Reads what `check` wrote and fills in those tests of r that it is about. What is not clearly passed or not run has failed. A
 * test that was begun and not finished stays XT_NONE; its name goes to *running, cut to cap ("" if there is none, or if
 * check has come to its end).
 */
void xt_parse(struct xt_results *r, const char *out, char *running, size_t cap);

/*
 * Finds splats in console text and the test each belongs to, from the suite's own lines "run fstests NAME at". A test that passed
 * becomes XT_SPLAT; one that failed has it added to why. What a file system says of a device that is damaged on purpose
 * does not count: the suite looks for that itself where it is not wanted. A test that failed becomes XT_REFUSED if the kernel
 * said that the option "shcache" does not go with this file system: some tests make one with blocks smaller than a page, or
 * without reflink, and take it for granted that it can be mounted.
 */
void xt_console(struct xt_results *r, const char *console);

/* Bad, and not bad on the baseline (NULL: not run there). */
bool xt_new(const struct xt_result *t, const struct xt_result *base);

/* Everything as KTAP; failures that the baseline has too are marked TODO, which is not counted. base may be NULL. */
void xt_ktap(struct buf *b, const struct xt_results *r, const struct xt_results *base);
/* The same as JUnit's XML, the way CI servers read it: known failures are skipped tests. */
void xt_junit(struct buf *b, const char *suite, const struct xt_results *r, const struct xt_results *base);

/* The command `shbench xfstests`. Returns an exit code. */
int cmd_xfstests(int argc, char **argv);

#endif
