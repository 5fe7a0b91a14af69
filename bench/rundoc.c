// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and checking run documents. A document that passed rundoc_check() can be read by everything else in bench/ without
 * further checks. The same rules are written as a JSON schema in results/schema/run.schema.json, for people and other programs;
 * a test holds the two together.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "bench-util.h"

#define SCHEMA "shcache-run/1"

enum type { T_STRING, T_INTEGER, T_NUMBER, T_BOOL, T_OBJECT, T_ARRAY, T_STRINGS };

struct field {
	const char *key;
	enum type type;
	bool required;
};

static const char *const type_names[] = { "a string", "an integer", "a number", "true or false", "an object", "a list",
					  "an object of strings" };

/* What each kind of object must and may hold; other members are let pass. Each list ends with a NULL key. */
static const struct field document_fields[] = {
	{ "schema", T_STRING, true },  { "id", T_STRING, true },       { "created", T_STRING, true },  { "command", T_ARRAY, true },
	{ "complete", T_BOOL, true },  { "plan", T_OBJECT, true },     { "host", T_OBJECT, true },     { "qemu", T_OBJECT, true },
	{ "kernels", T_ARRAY, true },  { "baseline", T_STRING, true }, { "workloads", T_ARRAY, true }, { "cells", T_ARRAY, true },
	{ "cost", T_OBJECT, false },   { NULL },
};
static const struct field cost_fields[] = {
	{ "total_s", T_NUMBER, true },	  { "prepare_s", T_NUMBER, true }, { "guests_s", T_NUMBER, true },
	{ "qemu_cpu_s", T_NUMBER, true }, { "harness_cpu_s", T_NUMBER, true }, { NULL },
};
static const struct field plan_fields[] = {
	{ "name", T_STRING, true }, { "hash", T_STRING, true }, { "seed", T_INTEGER, true }, { "text", T_STRING, true },
	{ "note", T_STRING, false }, { NULL },
};
static const struct field host_fields[] = {
	{ "cpu", T_STRING, true }, { "cores", T_INTEGER, true }, { "mem_kb", T_INTEGER, true }, { "os", T_STRING, true },
	{ "harness", T_STRING, true }, { "loadavg_before", T_ARRAY, false }, { "loadavg_after", T_ARRAY, false }, { NULL },
};
static const struct field qemu_fields[] = {
	{ "version", T_STRING, true }, { "accel", T_STRING, true }, { "accel_why", T_STRING, true }, { NULL },
};
static const struct field kernel_fields[] = {
	{ "label", T_STRING, true },	  { "name", T_STRING, true },	     { "id", T_STRING, true },
	{ "release", T_STRING, true },	  { "source", T_STRING, true },	     { "series_hash", T_STRING, true },
	{ "config_hash", T_STRING, true }, { "compiler", T_STRING, true }, { NULL },
};
static const struct field workload_fields[] = {
	{ "name", T_STRING, true }, { "summary", T_STRING, false }, { "metrics", T_ARRAY, true }, { "params", T_ARRAY, false }, { NULL },
};
static const struct field metric_fields[] = {
	{ "name", T_STRING, true },	 { "unit", T_STRING, true },	  { "direction", T_STRING, true },  { "rel_delta", T_NUMBER, true },
	{ "abs_floor", T_NUMBER, true }, { "wall_delta", T_NUMBER, false }, { "summary", T_STRING, false }, { NULL },
};
static const struct field cell_fields[] = {
	{ "id", T_STRING, true },	    { "section", T_STRING, true },  { "kernel", T_STRING, true },   { "workload", T_STRING, true },
	{ "lane", T_STRING, true },	    { "fs", T_STRING, true },	    { "mode", T_STRING, true },	    { "image", T_STRING, true },
	{ "image_hash", T_STRING, false },  { "image_note", T_STRING, false }, { "params", T_STRINGS, true }, { "mem_mb", T_INTEGER, true },
	{ "cpus", T_INTEGER, true },	    { "boot", T_INTEGER, true },    { "perturbation", T_INTEGER, true }, { "seed", T_INTEGER, true },
	{ "reproduce", T_STRING, true },    { "reproduce_row", T_STRING, false }, { "splat_seen", T_STRING, false },
	{ "verdict", T_STRING, true },  { "why", T_STRING, true },	    { "argv", T_ARRAY, false },
	{ "cmdline", T_STRING, false },	    { "console", T_STRING, false }, { "boot_s", T_NUMBER, false },  { "wall_s", T_NUMBER, false },
	{ "cpu_s", T_NUMBER, false },	    { "date_s", T_NUMBER, false },  { "thrown_away", T_INTEGER, false },
	{ "samples", T_ARRAY, true },	    { "hists", T_ARRAY, true },	    { "checks", T_ARRAY, true },    { "infos", T_STRINGS, true },
	{ "blobs", T_ARRAY, true },	    { NULL },
};
static const struct field sample_fields[] = {
	{ "m", T_STRING, true }, { "v", T_NUMBER, true }, { "x", T_STRINGS, false }, { NULL },
};
static const struct field hist_fields[] = {
	{ "m", T_STRING, true }, { "h", T_OBJECT, true }, { "x", T_STRINGS, false }, { NULL },
};
static const struct field check_fields[] = {
	{ "name", T_STRING, true }, { "ok", T_BOOL, true }, { "detail", T_STRING, false }, { "skip", T_BOOL, false }, { NULL },
};
static const struct field blob_fields[] = {
	{ "k", T_STRING, true }, { "x", T_STRINGS, false }, { NULL },
};

static const char *const directions[] = { "lower", "higher", "info", NULL };
static const char *const lanes[] = { "wall", "icount", NULL };

/* Says what is wrong, once; always returns -EINVAL. */
static int bad(char **why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int bad(char **why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(why, fmt, ap) < 0)
		*why = bench_strdup("out of memory");
	va_end(ap);
	return -EINVAL;
}

static bool all_strings(const json_t *o)
{
	const char *k;
	json_t *v;

	json_object_foreach((json_t *)o, k, v)
		if (!json_is_string(v))
			return false;
	return json_is_object(o);
}

static bool has_type(const json_t *v, enum type t)
{
	switch (t) {
	case T_STRING:
		return json_is_string(v);
	case T_INTEGER:
		return json_is_integer(v);
	case T_NUMBER:
		return json_is_number(v);
	case T_BOOL:
		return json_is_boolean(v);
	case T_OBJECT:
		return json_is_object(v);
	case T_ARRAY:
		return json_is_array(v);
	case T_STRINGS:
		return all_strings(v);
	}
	return false;
}

static int check_fields_of(const json_t *o, const struct field *f, const char *where, char **why)
{
	if (!json_is_object(o))
		return bad(why, "%s is not an object", where);
	for (; f->key; f++) {
		const json_t *v = json_object_get(o, f->key);

		if (!v && f->required)
			return bad(why, "%s has no \"%s\"", where, f->key);
		if (v && !has_type(v, f->type))
			return bad(why, "%s: \"%s\" is not %s", where, f->key, type_names[f->type]);
	}
	return 0;
}

static int check_one_of(const json_t *o, const char *key, const char *const *words, const char *where, char **why)
{
	const char *s = json_str(o, key, "");

	for (; *words; words++)
		if (!strcmp(s, *words))
			return 0;
	return bad(why, "%s: \"%s\" is \"%s\", which means nothing here", where, key, s);
}

/* Checks every element of list "key" of o, each with fn if it is not NULL. */
static int check_list(const json_t *o, const char *key, const struct field *f, const char *where, char **why,
		      int (*fn)(const json_t *v, const char *where, char **why))
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(o, key), i, v) {
		char *place = bench_printf("%s%s%s[%zu]", where, *where ? "." : "", key, i);
		int ret = check_fields_of(v, f, place, why);

		if (!ret && fn)
			ret = fn(v, place, why);
		free(place);
		if (ret)
			return ret;
	}
	return 0;
}

static int check_hist(const json_t *rec, const char *where, char **why)
{
	struct hist *h = bench_alloc(sizeof(*h));
	const char *what;
	int ret = hist_from_json(json_object_get(rec, "h"), h, &what);

	free(h);
	return ret ? bad(why, "%s.h is no histogram: %s", where, what) : 0;
}

static int check_metric(const json_t *m, const char *where, char **why)
{
	return check_one_of(m, "direction", directions, where, why);
}

static int check_workload(const json_t *w, const char *where, char **why)
{
	return check_list(w, "metrics", metric_fields, where, why, check_metric);
}

static int check_cell(const json_t *c, const char *where, char **why)
{
	int ret = check_one_of(c, "lane", lanes, where, why);

	if (!ret && cell_class(json_str(c, "verdict", "")) == CELL_UNKNOWN)
		ret = bad(why, "%s: \"verdict\" is \"%s\", which means nothing here", where, json_str(c, "verdict", ""));
	if (!ret)
		ret = check_list(c, "samples", sample_fields, where, why, NULL);
	if (!ret)
		ret = check_list(c, "hists", hist_fields, where, why, check_hist);
	if (!ret)
		ret = check_list(c, "checks", check_fields, where, why, NULL);
	if (!ret)
		ret = check_list(c, "blobs", blob_fields, where, why, NULL);
	return ret;
}

/* Remembers names in an object; false if it was there already. */
static bool fresh(json_t *seen, const char *name)
{
	if (json_object_get(seen, name))
		return false;
	json_object_set_new(seen, name, json_true());
	return true;
}

/* What no type says: labels and ids are unique, and what is referred to is there. */
static int check_references(const json_t *doc, char **why)
{
	json_t *labels = json_object(), *ids = json_object(), *v;
	int ret = 0;
	size_t i;

	json_array_foreach(json_object_get(doc, "kernels"), i, v)
		if (!ret && !fresh(labels, json_str(v, "label", "")))
			ret = bad(why, "kernels[%zu]: the label \"%s\" is there twice", i, json_str(v, "label", ""));
	if (!ret && !json_object_get(labels, json_str(doc, "baseline", "")))
		ret = bad(why, "the baseline \"%s\" is not among the kernels", json_str(doc, "baseline", ""));
	json_array_foreach(json_object_get(doc, "cells"), i, v) {
		if (!ret && !json_object_get(labels, json_str(v, "kernel", "")))
			ret = bad(why, "cells[%zu]: the kernel \"%s\" is not among the kernels", i, json_str(v, "kernel", ""));
		if (!ret && !fresh(ids, json_str(v, "id", "")))
			ret = bad(why, "cells[%zu]: the id \"%s\" is there twice", i, json_str(v, "id", ""));
	}
	json_decref(labels);
	json_decref(ids);
	return ret;
}

int rundoc_check(const json_t *doc, char **why)
{
	const char *schema = json_str(doc, "schema", NULL);
	int ret;

	*why = NULL;
	if (!json_is_object(doc))
		return bad(why, "it is not a JSON object");
	if (!schema)
		return bad(why, "it has no \"schema\": not a run document");
	if (strcmp(schema, SCHEMA))
		return bad(why, "its schema is \"%s\", this program reads \"%s\"", schema, SCHEMA);
	ret = check_fields_of(doc, document_fields, "the document", why);
	if (!ret)
		ret = check_fields_of(json_object_get(doc, "plan"), plan_fields, "plan", why);
	if (!ret)
		ret = check_fields_of(json_object_get(doc, "host"), host_fields, "host", why);
	if (!ret)
		ret = check_fields_of(json_object_get(doc, "qemu"), qemu_fields, "qemu", why);
	if (!ret && json_object_get(doc, "cost"))
		ret = check_fields_of(json_object_get(doc, "cost"), cost_fields, "cost", why);
	if (!ret)
		ret = check_list(doc, "kernels", kernel_fields, "", why, NULL);
	if (!ret)
		ret = check_list(doc, "workloads", workload_fields, "", why, check_workload);
	if (!ret)
		ret = check_list(doc, "cells", cell_fields, "", why, check_cell);
	return ret ? ret : check_references(doc, why);
}

json_t *rundoc_load(const char *path)
{
	char *file = bench_strdup(path), *why = NULL;
	json_error_t e;
	struct stat st;
	json_t *doc;

	if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
		free(file);
		file = bench_printf("%s/run.json", path);
	}
	doc = json_load_file(file, JSON_REJECT_DUPLICATES, &e);
	if (!doc) {
		if (json_error_code(&e) == json_error_cannot_open_file)
			fprintf(stderr, "shbench: %s: cannot be read: %s\n", file, strerror(errno));
		else if (json_error_code(&e) == json_error_premature_end_of_input)
			fprintf(stderr, "shbench: %s:%d:%d: the file ends too early; it was cut off, make it again with `shbench run --resume`\n",
				file, e.line, e.column);
		else
			fprintf(stderr, "shbench: %s:%d:%d: not JSON: %s\n", file, e.line, e.column, e.text);
	} else if (rundoc_check(doc, &why)) {
		fprintf(stderr, "shbench: %s: not a usable run document: %s\n", file, why);
		json_decref(doc);
		doc = NULL;
	}
	free(why);
	free(file);
	return doc;
}
