/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where runs are kept: results/runs/ID/ with
 *
 *	inputs.json		what the run was started with; a run is resumed only with the same
 *	cells/CELL.json		one finished boot each
 *	consoles/CELL.log
 *	run.json		all of it (bench.h), written when the run ends or is interrupted
 *	report.html, summary.md, junit.xml, ktap.txt, plots/
 *	tmp/			initramfs and scratch disks of running boots; emptied
 *
 * and beside the runs history.jsonl, which only grows, and its plots, history/.
 *
 * A lock (flock on ID/lock) keeps two processes out of one run.
 */
#ifndef SHCACHE_STORE_H
#define SHCACHE_STORE_H

#include <jansson.h>

/* results/runs below the checkout, or $SHCACHE_RESULTS. */
const char *runs_dir(void);

/* The history of all runs (history.h): $SHCACHE_HISTORY, else history.jsonl in runs_dir(). */
const char *history_path(void);
/* Where its plots are, history/ beside it. Malloced. */
char *history_plots_dir(void);

struct run_dir {
	char *id, *path;
	int lock;
};

/* Makes a new run directory named after time, plan and a random suffix, and locks it. Errors were printed. */
int run_dir_create(const char *plan, struct run_dir *rd);
/* Opens an existing one (an id, "last", or a path) and locks it; -EBUSY (printed) if somebody works in it. */
int run_dir_open(const char *id, struct run_dir *rd);
void run_dir_close(struct run_dir *rd);
/* Path of a run for reading, by id, unique prefix, "last", "last-N" or path; NULL with a message. Free it. */
char *run_dir_find(const char *id);
/* The same, but "last" is the last run of this plan. */
char *run_dir_find_of(const char *plan, const char *id);

/* JSON files, whole or not at all. Errors were printed with the path. */
int json_save(const char *path, const json_t *v);
json_t *json_read(const char *path);

#endif
