/* SPDX-License-Identifier: GPL-2.0 */
/*
 * xfstests, the file systems' own test suite, in guests: the user's installed directory on several kernels, with and without
 * mount options; what fails that does not fail on the baseline kernel is the answer. The project ships no part of the suite.
 *
 * The pure parts are in xfstests-check.c (which tests, what `check` said, what is new, KTAP and JUnit) and xfstests-doc.c (what
 * is stored of a run, and joined from parts; tables), the boots in xfstests.c.
 */
#ifndef SHCACHE_XFSTESTS_H
#define SHCACHE_XFSTESTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

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
	char *groups;		/* in a list of chosen tests: those of the wanted groups that it is in, "clone,quick"; else "" */
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
/* Adds a test that is not there yet, with all that is known of it. */
struct xt_result *xt_add_copy(struct xt_results *r, const struct xt_result *t);

/* Is the word, of this length, one of those in the list, which are separated by commas? list may be NULL. */
bool xt_listed(const char *list, const char *word, size_t len);

/*
 * Adds the tests of tests/DIR/group.list (its text: "001 auto quick rw" a line) that are in one of the groups and in none of
 * those excluded; exclude may be NULL. Group "all" is every test. Those that are there already only get their groups.
 * Returns how many were added.
 */
size_t xt_select(struct xt_results *r, const char *dir, const char *group_list, const char *groups, const char *exclude);

/* Leaves only part index, from 1, of count: every count-th test, since neighbours are often of one kind and take equally long. */
void xt_shard(struct xt_results *r, unsigned int index, unsigned int count);

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

/* --- a whole run ----------------------------------------------------------------------------------------------------------- */

/* A kernel with mount options, and what became of the tests there. */
struct xt_pass {
	char *name;		/* "shcache-6.12", "shcache-6.12-shcache", "baseline-base" */
	char *mount;
	unsigned int boots;
	struct xt_results r;
};

/* What results.json holds. */
struct xt_run {
	char *id;
	json_t *inputs;			/* what it was made with; see xt_differ() */
	json_t *parts;			/* ids of the runs that it was joined from, or NULL */
	struct xt_results tests;	/* those chosen; in a part, those of the part */
	struct xt_pass *pass;		/* one for each mount option, and the baseline's */
	size_t nr;
	unsigned int shard, shards;	/* part `shard` of `shards`, from 1; 0: all */
	bool complete;
};
void xt_run_free(struct xt_run *run);
/* The baseline's pass. */
const struct xt_pass *xt_base(const struct xt_run *run);
/* SHA-256 of the tests' names in their order, as 64 hex digits plus NUL. */
void xt_hash(const struct xt_results *r, char out[65]);

json_t *xt_doc(const struct xt_run *run);
/* The other way. NULL, or a malloced reason why it is no such document; run must be freed in any case. */
char *xt_read(struct xt_run *run, const json_t *doc);
/*
 * What tells two runs' documents apart that must be the same for one to go on with the other, or both to be parts of one:
 * "different kernels: A has ..., B has ...", malloced. NULL: nothing. Parts may be different ones.
 */
char *xt_differ(const json_t *a, const char *name_a, const json_t *b, const char *name_b, bool parts);
/* Takes over those results of an interrupted run that are final. */
void xt_resume(struct xt_run *run, const struct xt_run *old);
/*
 * One run, without an id, from the documents of all parts. NULL, or a malloced reason why they do not fit together; out must be
 * freed in any case.
 */
char *xt_merge(struct xt_run *out, json_t *const *docs, const char *const *names, size_t nr);

struct table;
/* What became of the pass's tests, by group: a test counts in each of its groups. */
struct table *xt_table(const struct xt_run *run, const struct xt_pass *p);
/* summary.md. */
void xt_summary(FILE *f, const struct xt_run *run);

/* The command `shbench xfstests`. Returns an exit code. */
int cmd_xfstests(int argc, char **argv);
/* `shbench merge` of runs of xfstests' parts. Returns an exit code. */
int xfstests_merge(const char *const *ids, size_t nr);

#endif
