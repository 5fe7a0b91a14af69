/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The history: results of many runs in one file that only grows.
 *
 * One line is one JSON object with a checksum (zlib's CRC-32, 8 hex digits) over the exact bytes of what it holds:
 *
 *	{"crc":"1c291ca3","r":{"t":"values","run":"20260102-030405-nightly-1a2b", ...}}
 *
 * "values", one for each kernel and group of cells (section, workload, lane, file system, mode, image, parameters) of a run:
 *
 *	{"t":"values","run":ID,"at":"2026-01-02T03:04:05Z","plan":"nightly","harness":"<git describe>",
 *	 "kernel":LABEL,"build":ID,"env":"tcg|QEMU ...|<config>|<image>|<processor>",
 *	 "section":..,"workload":..,"lane":..,"fs":..,"mode":..,"image":..,"params":{..},"cpus":2,
 *	 "values":[{"m":"fault.mean","x":"class=pte-only","u":"ns","d":"lower","v":951.5,"n":3,"delta":0.01,"floor":10}]}
 *
 * "run", one for each run, after its values: it says that the run is here in full, and which splats its consoles had.
 *
 *	{"t":"run","run":ID,"at":..,"plan":..,"harness":..,"cells":120,"passed":120,"groups":18,"splats":[{"id":..,"kernel":..,"n":2}]}
 *
 * env is what must be equal for values to be comparable over time; the processor counts for times of the wall lane only.
 *
 * A line is never changed and never removed. Lines are appended under a lock with O_APPEND, and synced. A crash in the middle leaves a
 * line without end, which the next append ends; such a line, and any other that is damaged, is reported by number and skipped. A
 * run whose lines are there in part is completed by adding it again.
 */
#ifndef SHCACHE_HISTORY_H
#define SHCACHE_HISTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * Reads a history into a list of what its lines hold, in the file's order. *bad, if not NULL, is the number of damaged lines, each of which
 * was reported on stderr as FILE:LINE. A file that is not there is an empty history. NULL with errno (printed) if it cannot be read.
 */
json_t *history_read(const char *path, size_t *bad);

/* What a run document adds: its lines in order, "run" last. */
json_t *history_lines(const json_t *doc);

/* A line as it is in the file, with its newline. */
char *history_frame(const json_t *line);

/* Appends what the file does not have yet of these lines; *added, if not NULL, is their number. 0 or -errno, printed. */
int history_append(const char *path, const json_t *lines, size_t *added);

/* One point of a series over time. */
struct history_point {
	double at;			/* seconds since 1970 */
	double v;
	const json_t *line;
};
/* A place where the level changed. */
struct history_change {
	size_t point;			/* the first one of the new level */
	double before, after;		/* medians of the levels on either side */
	double p;
	bool relevant;			/* more than the smallest relevant change of the metric */
	int verdict;			/* enum verdict: improved, regressed, or info */
};
struct history_series {
	char *key;
	const char *kernel, *section, *workload, *lane, *fs, *mode, *image, *metric, *coords, *unit, *direction;
	double delta, floor;
	struct history_point *p;	/* by time */
	size_t nr;
	size_t *era;			/* points from which on the environment is another one; changes are sought within an era */
	size_t nr_eras;
	struct history_change *change;
	size_t nr_changes;
};
struct history {
	struct history_series *s;
	size_t nr;
	size_t runs, bad;
	const char *first, *last;	/* dates of the runs, "" if there are none */
	json_t *splats;			/* {"ID":{"first":AT,"last":AT,"runs":N}} */
};
/* Series and their changes from lines (which must live as long). */
void history_collect(const json_t *lines, struct history *h);
void history_free(struct history *h);

/* Was this splat seen in any run but this one? Then *first, if not NULL, is the date of the first. */
bool history_knows_splat(const json_t *lines, const char *id, const char *but_run, const char **first);

/*
 * Says of each boot of a document that had a splat whether it is known: "splat_seen" becomes the date of the first run in the history
 * (but for this one) that had it, "" if none had. Without any other run in the history nothing is said.
 */
void history_mark_splats(json_t *doc, const json_t *lines);

/* --- reports (history-report.c) ------------------------------------------------------------------------------------------- */

/* At most 25 lines: relevant changes, newest first; with all each series. metric, if not NULL, is a glob for the metric's name. */
void history_terminal(FILE *f, const struct history *h, const char *metric, bool all, bool color);
json_t *history_json(const struct history *h, const char *metric);
/* One plot per metric into DIR (made): NAME.tsv, .gp, .svg, .png. Returns their number or -errno, printed. */
int history_plots(const struct history *h, const char *metric, const char *dir, const char *templates);

#endif
