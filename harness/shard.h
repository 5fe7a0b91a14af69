/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Parts of a plan, for many machines: `--shard i/n` carries out part i of n, `shbench merge` joins the runs.
 *
 * The parts share nothing while they run. Each computes the same split from the plan and, if there is one, a file of known durations; what
 * decides is in every part's document, and the merge refuses parts that do not fit together.
 */
#ifndef SHCACHE_SHARD_H
#define SHCACHE_SHARD_H

#include <jansson.h>
#include <stddef.h>

#include "plan.h"
#include "run.h"

/* "2/5", counted from 1. 0 or -EINVAL. */
int shard_parse(const char *s, unsigned int *index, unsigned int *count);

/*
 * How long a boot takes: "cells" of a run document, or a list of the same form with nothing else in it (shbench durations). path NULL:
 * bench/PLAN.durations.json if there is one. *out is NULL without any; hash ("" without any) tells two files apart. 0 or -errno, printed.
 */
int durations_load(const char *path, const struct plan *p, json_t **out, char hash[65]);
/* Reduces a run document to what durations_load() wants. */
json_t *durations_of(const json_t *doc);
/* Seconds that a boot of this cell will take: what is known of its place, else of its section, else of all, else 10. */
double durations_seconds(const json_t *durations, const struct cell *c);

/*
 * Splits cells into count parts: part[k], from 1, is cell k's. Cells that are compared with each other stay together: all boots of a
 * place (section, lane, fs, mode, image) where times of the wall lane are measured; else the kernels' boots of the same number and layout.
 * Longest first, each to the part that has least (Graham's rule: at most 4/3 of the best split).
 */
void shard_split(const struct cell *cells, size_t nr, const json_t *durations, unsigned int count, unsigned int *part);

/*
 * Are these documents ("shard": {"index", "count"}, "complete") those of parts 1 to count, each once and complete? NULL, or a
 * malloced reason why not.
 */
char *shard_check(json_t *const *docs, const char *const *names, size_t nr);

/* `shbench merge`: joins runs of parts into a new run and reports on it. Returns an exit code. */
int run_merge(const char *const *ids, size_t nr, const struct run_options *ro);
/*
 * The pure part of it: one document from those of all parts, named id. NULL, with a message in *why, if they do not fit together: other
 * kernels, configs, QEMU, accelerator, lanes, plan, or parts that are missing or there twice.
 */
json_t *merge_docs(json_t *const *docs, const char *const *names, size_t nr, const char *id, char **why);

#endif
