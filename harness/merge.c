// SPDX-License-Identifier: GPL-2.0
/* Joins the runs of a plan's parts; see shard.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench-util.h"
#include "shard.h"
#include "store.h"
#include "util.h"

/* What must be the same in all parts, as PATH.KEY from the document; what people should do about it is the same for all. */
static const struct {
	const char *in, *key, *what;
} facts[] = {
	{ "plan", "name", "plans" },
	{ "plan", "hash", "texts of the plan" },
	{ "qemu", "version", "versions of QEMU" },
	{ "qemu", "accel", "accelerators" },
	{ "host", "harness", "versions of the harness" },
	{ NULL, "agent", "guest agents" },
	{ "shard", "durations", "files of durations" },
};

static const char *const kernel_facts[] = { "name", "id", "release", "source", "series_hash", "config_hash", "compiler", "cmdline" };

static char *differ(const char *what, const char *a, const char *x, const char *b, const char *y)
{
	return xasprintf("different %s: %s has \"%.60s\", %s has \"%.60s\"", what, a, x, b, y);
}

static char *kernels_differ(const json_t *a, const char *name_a, const json_t *b, const char *name_b)
{
	const json_t *ka = json_object_get(a, "kernels"), *kb = json_object_get(b, "kernels");

	if (json_array_size(ka) != json_array_size(kb))
		return xasprintf("%s has %zu kernels, %s has %zu", name_a, json_array_size(ka), name_b, json_array_size(kb));
	for (size_t i = 0; i < json_array_size(ka); i++) {
		const json_t *x = json_array_get(ka, i), *y = json_array_get(kb, i);

		if (strcmp(json_str(x, "label", ""), json_str(y, "label", "")))
			return differ("kernels", name_a, json_str(x, "label", ""), name_b, json_str(y, "label", ""));
		for (size_t k = 0; k < ARRAY_SIZE(kernel_facts); k++)
			if (strcmp(json_str(x, kernel_facts[k], ""), json_str(y, kernel_facts[k], ""))) {
				char *what = xasprintf("kernels \"%s\" (%s)", json_str(x, "label", ""), kernel_facts[k]), *why;

				why = differ(what, name_a, json_str(x, kernel_facts[k], ""), name_b, json_str(y, kernel_facts[k], ""));
				free(what);
				return why;
			}
	}
	return NULL;
}

static char *docs_differ(const json_t *a, const char *name_a, const json_t *b, const char *name_b)
{
	for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
		const json_t *x = facts[i].in ? json_object_get(a, facts[i].in) : a, *y = facts[i].in ? json_object_get(b, facts[i].in) : b;

		if (strcmp(json_str(x, facts[i].key, ""), json_str(y, facts[i].key, "")))
			return differ(facts[i].what, name_a, json_str(x, facts[i].key, ""), name_b, json_str(y, facts[i].key, ""));
	}
	if (!json_equal(json_object_get(json_object_get(a, "plan"), "seed"), json_object_get(json_object_get(b, "plan"), "seed")))
		return xasprintf("different seeds in %s and %s", name_a, name_b);
	if (!json_equal(json_object_get(a, "workloads"), json_object_get(b, "workloads")))
		return xasprintf("different workloads in %s and %s: the guest agents are not of one build", name_a, name_b);
	return kernels_differ(a, name_a, b, name_b);
}

/* Adds the images that are not there yet. */
static char *add_images(json_t *images, const json_t *doc, const char *name)
{
	json_t *img, *have;
	size_t i, k;

	json_array_foreach(json_object_get(doc, "images"), i, img) {
		bool there = false;

		json_array_foreach(images, k, have) {
			if (strcmp(json_str(have, "name", ""), json_str(img, "name", "")))
				continue;
			there = true;
			if (strcmp(json_str(have, "hash", ""), json_str(img, "hash", "")))
				return xasprintf("different images \"%s\" (in %s)", json_str(img, "name", ""), name);
		}
		if (!there)
			json_array_append(images, img);
	}
	return NULL;
}

char *shard_check(json_t *const *docs, const char *const *names, size_t nr)
{
	unsigned int count = 0;
	const char **by;
	char *why = NULL;

	for (size_t i = 0; i < nr && !why; i++) {
		const json_t *s = json_object_get(docs[i], "shard");
		unsigned int n = (unsigned int)json_integer_value(json_object_get(s, "count"));

		if (!n)
			why = xasprintf("%s is no part: it was not made with --shard", names[i]);
		else if (json_object_get(docs[i], "complete") != json_true())
			why = xasprintf("%s is not complete: go on with it (--resume) first", names[i]);
		else if (count && n != count)
			why = xasprintf("%s is a part of %u, %s a part of %u", names[0], count, names[i], n);
		count = n;
	}
	if (why)
		return why;
	by = xcalloc(count + 1, sizeof(*by));
	for (size_t i = 0; i < nr && !why; i++) {
		size_t k = (size_t)json_integer_value(json_object_get(json_object_get(docs[i], "shard"), "index"));

		if (!k || k > count)
			why = xasprintf("%s is part %zu of %u", names[i], k, count);
		else if (by[k])
			why = xasprintf("part %zu/%u is there twice: %s and %s", k, count, by[k], names[i]);
		else
			by[k] = names[i];
	}
	for (size_t k = 1; k <= count && !why; k++)
		if (!by[k])
			why = xasprintf("part %zu/%u is missing", k, count);
	free(by);
	return why;
}

static const json_t *find_cell(json_t *const *docs, size_t nr, const char *id, size_t *in, unsigned int *hits)
{
	const json_t *found = NULL;
	json_t *c;
	size_t k;

	*hits = 0;
	for (size_t i = 0; i < nr; i++)
		json_array_foreach(json_object_get(docs[i], "cells"), k, c)
			if (!strcmp(json_str(c, "id", ""), id)) {
				found = c;
				*in = i;
				(*hits)++;
			}
	return found;
}

/* "NAME:LABEL NAME:LABEL": the list that the parts were made with. */
static char *kernel_list(const json_t *doc)
{
	struct buf b = {};
	json_t *k;
	size_t i;

	json_array_foreach(json_object_get(doc, "kernels"), i, k)
		if (!json_is_true(json_object_get(k, "gate")))
			buf_printf(&b, "%s%s:%s", i ? " " : "", json_str(k, "name", ""), json_str(k, "label", ""));
	return b.s;
}

/*
 * All cells of the plan, in its order, each from the part that has it. The plan is expanded anew, so that no cell can be missing, doubled,
 * invented or of another lane.
 */
static json_t *gather_cells(json_t *const *docs, const char *const *names, size_t nr, char **why)
{
	const json_t *plan = json_object_get(docs[0], "plan");
	char *kernels = kernel_list(docs[0]);
	json_t *list = json_array();
	struct cell *cells = NULL;
	size_t n = 0, total = 0, in = 0;
	struct plan *p = NULL;
	unsigned int hits;

	if (!plan_parse(json_str(plan, "name", ""), json_str(plan, "text", ""), &p))
		p->seed = (uint64_t)json_integer_value(json_object_get(plan, "seed"));
	if (!p || plan_expand(p, kernels, &cells, &n))
		*why = xasprintf("the plan that %s carries cannot be read", names[0]);
	for (size_t i = 0; i < n && !*why; i++) {
		const json_t *c = find_cell(docs, nr, cells[i].id, &in, &hits);
		const char *lane = cells[i].lane == LANE_ICOUNT ? "icount" : "wall";

		if (hits != 1)
			*why = xasprintf("cell %s (%s, %s) is in %u parts", cells[i].id, cells[i].s->name, cells[i].label, hits);
		else if (strcmp(json_str(c, "lane", ""), lane))
			*why = xasprintf("different lanes: cell %s of %s is \"%s\", the plan says \"%s\"", cells[i].id, names[in],
					 json_str(c, "lane", ""), lane);
		else if (strcmp(json_str(c, "section", ""), cells[i].s->name) || strcmp(json_str(c, "kernel", ""), cells[i].label))
			*why = xasprintf("cell %s of %s is not what the plan says", cells[i].id, names[in]);
		else
			json_array_append_new(list, json_deep_copy(c));
	}
	for (size_t i = 0; i < nr; i++)
		total += json_array_size(json_object_get(docs[i], "cells"));
	if (!*why && total != n)
		*why = xasprintf("the parts have %zu cells, the plan has %zu", total, n);
	cells_free(cells, n);
	plan_free(p);
	free(kernels);
	if (!*why)
		return list;
	json_decref(list);
	return NULL;
}

json_t *merge_docs(json_t *const *docs, const char *const *names, size_t nr, const char *id, char **why)
{
	json_t *out, *cells = NULL, *images = json_array(), *parts = json_array();
	double worst = 0;

	*why = nr ? shard_check(docs, names, nr) : xstrdup("no parts");
	for (size_t i = 1; i < nr && !*why; i++)
		*why = docs_differ(docs[0], names[0], docs[i], names[i]);
	for (size_t i = 0; i < nr && !*why; i++)
		*why = add_images(images, docs[i], names[i]);
	if (!*why)
		cells = gather_cells(docs, names, nr, why);
	if (!cells) {
		json_decref(images);
		json_decref(parts);
		return NULL;
	}
	for (size_t i = 0; i < nr; i++)
		json_array_append_new(parts, json_pack("{s:O,s:O,s:O,s:O,s:O*}", "index",
						       json_object_get(json_object_get(docs[i], "shard"), "index"), "id",
						       json_object_get(docs[i], "id"), "created", json_object_get(docs[i], "created"),
						       "host", json_object_get(docs[i], "host"), "cost",
						       json_object_get(docs[i], "cost")));
	out = json_deep_copy(docs[0]);
	json_object_del(out, "shard");
	json_object_del(out, "cost");
	json_object_set_new(out, "id", json_string(id));
	json_object_set_new(out, "parts", parts);
	json_object_set_new(out, "images", images);
	json_object_set_new(out, "cells", cells);
	/* The parts did not judge their own cells: what one part finds holds for the section's cells in all. */
	json_object_set_new(out, "determinism_pairs", json_integer(run_check_determinism(cells, &worst)));
	json_object_set_new(out, "determinism_worst", json_real(worst));
	return out;
}

/* Consoles are good to have and no part of the result. */
static void copy_consoles(const json_t *doc, const char *from, const char *to)
{
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(doc, "cells"), i, c) {
		char *src = xasprintf("%s/%s", from, json_str(c, "console", "")), *dst = xasprintf("%s/%s", to, json_str(c, "console", ""));

		if (*json_str(c, "console", "") && file_exists(src) && copy_file(src, dst))
			warn("%s: could not be copied", src);
		free(src);
		free(dst);
	}
}

int run_merge(const char *const *ids, size_t nr, const struct run_options *ro)
{
	json_t **docs = xcalloc(nr, sizeof(*docs)), *out = NULL, *cmd;
	char **paths = xcalloc(nr, sizeof(*paths)), *why = NULL, *file = NULL;
	struct run_dir rd = { .lock = -1 };
	struct plan *p = NULL;
	int status = EXIT_INFRA;
	size_t i;

	for (i = 0; i < nr; i++) {
		paths[i] = run_dir_find(ids[i]);
		docs[i] = paths[i] ? rundoc_load(paths[i]) : NULL;
		if (!docs[i])
			goto out;
	}
	if (run_dir_create(json_str(json_object_get(docs[0], "plan"), "name", ""), &rd))
		goto out;
	out = merge_docs(docs, ids, nr, rd.id, &why);
	if (!out) {
		err("cannot merge: %s; parts must come from one plan, with the same kernels, QEMU and accelerator", why);
		remove_tree(rd.path);
		goto out;
	}
	cmd = json_array();
	for (const char *const *a = ro->argv; a && *a; a++)
		json_array_append_new(cmd, json_string(*a));
	json_object_set_new(out, "command", cmd);
	for (i = 0; i < nr; i++)
		copy_consoles(docs[i], paths[i], rd.path);
	file = xasprintf("%s/run.json", rd.path);
	if (json_save(file, out) || plan_parse(json_str(json_object_get(out, "plan"), "name", ""),
					       json_str(json_object_get(out, "plan"), "text", ""), &p))
		goto out;
	status = run_conclude(rd.path, out, p->history, ro);
out:
	for (i = 0; i < nr; i++) {
		json_decref(docs[i]);
		free(paths[i]);
	}
	free(docs);
	free(paths);
	free(file);
	free(why);
	json_decref(out);
	plan_free(p);
	run_dir_close(&rd);
	return status;
}
