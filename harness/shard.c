// SPDX-License-Identifier: GPL-2.0
/* The split of a plan into parts; see shard.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench-util.h"
#include "shard.h"
#include "store.h"
#include "util.h"

#define MAX_PARTS	1000
/* A boot of which nothing is known. */
#define ANY_SECONDS	10
/* Boots that need not be alone run about two at a time. */
#define SIDE_BY_SIDE	2

int shard_parse(const char *s, unsigned int *index, unsigned int *count)
{
	int end = 0;

	if (sscanf(s, "%u/%u%n", index, count, &end) != 2 || s[end] || !*index || *index > *count || *count > MAX_PARTS)
		return -EINVAL;
	return 0;
}

int durations_load(const char *path, const struct plan *p, json_t **out, char hash[65])
{
	char *file = path ? xstrdup(path) : xasprintf("%s/bench/%s.durations.json", top_dir(), p->name), *text;
	json_error_t e;
	size_t len;
	int ret;

	*out = NULL;
	hash[0] = '\0';
	ret = read_file(file, &text, &len);
	if (ret == -ENOENT && !path) {
		free(file);
		return 0;
	}
	if (ret) {
		err("%s: %s", file, strerror(-ret));
		free(file);
		return ret;
	}
	*out = json_loadb(text, len, 0, &e);
	if (!*out || !json_is_array(json_object_get(*out, "cells"))) {
		err("%s: %s; a run.json is wanted, or what `shbench durations` prints", file, *out ? "it has no list of cells" : e.text);
		json_decref(*out);
		*out = NULL;
		ret = -EINVAL;
	} else {
		sha256_hex(text, len, hash);
	}
	free(text);
	free(file);
	return ret;
}

static const char *const place_keys[] = { "section", "lane", "fs", "mode", "image" };

/* What a boot takes where nothing else runs: under TCG guests hardly wait, so that no more than QEMU's processor time is theirs on a busy host. */
static double quiet_seconds(const json_t *cell)
{
	double wall = json_num(cell, "wall_s", 0), cpu = json_num(cell, "cpu_s", 0);

	return cpu > 0 && cpu < wall ? cpu : wall;
}

json_t *durations_of(const json_t *doc)
{
	json_t *cells = json_array(), *c, *e;
	struct sum {
		double seconds;
		size_t n;
	} *sum = NULL;
	size_t i, k, nr = 0;

	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		for (k = 0; k < nr; k++) {
			bool same = true;

			e = json_array_get(cells, k);
			for (size_t j = 0; j < ARRAY_SIZE(place_keys); j++)
				same &= json_equal(json_object_get(e, place_keys[j]), json_object_get(c, place_keys[j]));
			if (same)
				break;
		}
		if (k == nr) {
			e = json_object();
			for (size_t j = 0; j < ARRAY_SIZE(place_keys); j++)
				json_object_set(e, place_keys[j], json_object_get(c, place_keys[j]));
			json_array_append_new(cells, e);
			sum = xrealloc(sum, ++nr * sizeof(*sum));
			sum[k] = (struct sum){ 0 };
		}
		sum[k].seconds += quiet_seconds(c);
		sum[k].n++;
		/* Tenths: the file is kept under version control. */
		json_object_set_new(json_array_get(cells, k), "wall_s",
				    json_real((double)(long)(sum[k].seconds / (double)sum[k].n * 10 + 0.5) / 10));
	}
	free(sum);
	return json_pack("{s:o}", "cells", cells);
}

double durations_seconds(const json_t *durations, const struct cell *c)
{
	const char *const mine[] = { c->s->name, c->lane == LANE_ICOUNT ? "icount" : "wall", c->fs, c->mode, c->image };
	double sum[ARRAY_SIZE(place_keys) + 1] = { 0 };
	size_t n[ARRAY_SIZE(place_keys) + 1] = { 0 }, i;
	json_t *e;

	/* sum[k] is of all whose first k keys are the same. */
	json_array_foreach(json_object_get(durations, "cells"), i, e)
		for (size_t k = 0; k <= ARRAY_SIZE(place_keys); k++) {
			sum[k] += json_number_value(json_object_get(e, "wall_s"));
			n[k]++;
			if (k == ARRAY_SIZE(place_keys) || strcmp(json_str(e, place_keys[k], ""), mine[k]))
				break;
		}
	for (size_t k = ARRAY_SIZE(place_keys) + 1; k--;)
		if (n[k])
			return sum[k] / (double)n[k];
	return ANY_SECONDS;
}

struct unit {
	char *key;
	double seconds;
	size_t first;		/* its first cell */
	unsigned int part;
};

static char *unit_key(const struct cell *c)
{
	char *place = xasprintf("%s|%d|%s|%s|%s", c->s->name, c->lane, c->fs, c->mode, c->image), *key;

	if (c->lane == LANE_WALL && !c->s->shared)
		return place;
	key = xasprintf("%s|%u|%u", place, c->boot, c->perturbation);
	free(place);
	return key;
}

static int cmp_unit(const void *a, const void *b)
{
	const struct unit *x = a, *y = b;

	if (x->seconds != y->seconds)
		return x->seconds > y->seconds ? -1 : 1;
	return (x->first > y->first) - (x->first < y->first);
}

void shard_split(const struct cell *cells, size_t nr, const json_t *durations, unsigned int count, unsigned int *part)
{
	struct unit *u = xcalloc(nr, sizeof(*u));
	double *load = xcalloc(count, sizeof(*load));
	size_t *of = xcalloc(nr, sizeof(*of)), units = 0;

	for (size_t i = 0; i < nr; i++) {
		const struct cell *c = &cells[i];
		char *key = unit_key(c);
		size_t k;

		for (k = 0; k < units && strcmp(u[k].key, key); k++)
			;
		if (k == units)
			u[units++] = (struct unit){ .key = xstrdup(key), .first = i };
		/* Whole milliseconds, so that sums do not depend on the order of additions. */
		u[k].seconds += (double)(long)(1000 * durations_seconds(durations, c) /
					       (c->lane == LANE_WALL && !c->s->shared ? 1 : SIDE_BY_SIDE));
		of[i] = u[k].first;
		free(key);
	}
	if (units)
		qsort(u, units, sizeof(*u), cmp_unit);
	for (size_t k = 0; k < units; k++) {
		unsigned int least = 0;

		for (unsigned int i = 1; i < count; i++)
			if (load[i] < load[least])
				least = i;
		load[least] += u[k].seconds;
		u[k].part = least + 1;
		for (size_t i = 0; i < nr; i++)
			if (of[i] == u[k].first)
				part[i] = u[k].part;
		free(u[k].key);
	}
	free(u);
	free(of);
	free(load);
}
