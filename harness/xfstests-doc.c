// SPDX-License-Identifier: GPL-2.0
/*
 * The pure parts of `shbench xfstests` that are about a whole run; see xfstests.h. results.json is
 *
 *	{ "schema", "id", "complete",
 *	  "shard": { "index", "count" },		of a part only
 *	  "parts": [ "ID", ... ],			of what was joined from parts only
 *	  "inputs": { "kernel", "baseline", "suite", "fs", ... },
 *	  "tests": [ { "name", "groups" }, ... ],	what was chosen
 *	  "passes": [ { "name", "mount", "boots", "tests": [ { "name", "state", "seconds", "why", "text" }, ... ] }, ... ] }
 *
 * with "text" only of what went wrong.
 */
#include <stdlib.h>
#include <string.h>

#include "bench-util.h"
#include "shard.h"
#include "xfstests.h"

#define SCHEMA	"shcache-xfstests/2"

void xt_run_free(struct xt_run *run)
{
	for (size_t i = 0; i < run->nr; i++) {
		free(run->pass[i].name);
		free(run->pass[i].mount);
		xt_results_free(&run->pass[i].r);
	}
	free(run->pass);
	free(run->id);
	xt_results_free(&run->tests);
	json_decref(run->inputs);
	json_decref(run->parts);
	*run = (struct xt_run){};
}

const struct xt_pass *xt_base(const struct xt_run *run)
{
	return &run->pass[run->nr - 1];
}

void xt_hash(const struct xt_results *r, char out[65])
{
	struct buf b = {};

	buf_str(&b, "");
	for (size_t i = 0; i < r->n; i++)
		buf_printf(&b, "%s\n", r->v[i].name);
	sha256_hex(b.s, b.len, out);
	buf_free(&b);
}

/* --- to JSON and back ---------------------------------------------------------------------------------------------------- */

/* What tests write need not be UTF-8, or was cut in the middle of a character; JSON takes nothing else. */
static json_t *text_json(const char *s)
{
	json_t *v = json_string(s);
	char *ascii;

	if (v)
		return v;
	ascii = xstrdup(s);
	for (char *c = ascii; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	v = json_string(ascii);
	free(ascii);
	return v;
}

static json_t *result_json(const struct xt_result *t)
{
	json_t *o = json_pack("{s:s,s:s,s:i,s:o}", "name", t->name, "state", xt_state_name(t->state), "seconds", t->seconds, "why",
			      text_json(t->why));

	if (xt_bad(t->state) && *t->text)
		json_object_set_new(o, "text", text_json(t->text));
	return o;
}

static json_t *pass_json(const struct xt_pass *p)
{
	json_t *tests = json_array();

	for (size_t i = 0; i < p->r.n; i++)
		json_array_append_new(tests, result_json(&p->r.v[i]));
	return json_pack("{s:s,s:s,s:i,s:o}", "name", p->name, "mount", p->mount, "boots", p->boots, "tests", tests);
}

json_t *xt_doc(const struct xt_run *run)
{
	json_t *tests = json_array(), *passes = json_array();
	json_t *doc = json_pack("{s:s,s:s,s:b}", "schema", SCHEMA, "id", run->id, "complete", run->complete);

	if (run->shards)
		json_object_set_new(doc, "shard", json_pack("{s:i,s:i}", "index", run->shard, "count", run->shards));
	if (run->parts)
		json_object_set(doc, "parts", run->parts);
	json_object_set(doc, "inputs", run->inputs);
	for (size_t i = 0; i < run->tests.n; i++)
		json_array_append_new(tests, json_pack("{s:s,s:s}", "name", run->tests.v[i].name, "groups", run->tests.v[i].groups));
	for (size_t i = 0; i < run->nr; i++)
		json_array_append_new(passes, pass_json(&run->pass[i]));
	json_object_set_new(doc, "tests", tests);
	json_object_set_new(doc, "passes", passes);
	return doc;
}

/* The test that v names, new in r; NULL if it has no name or is there already. */
static struct xt_result *read_name(struct xt_results *r, const json_t *v)
{
	const char *name = json_str(v, "name", "");

	return *name && !xt_find(r, name) ? xt_add(r, name, strlen(name)) : NULL;
}

static bool read_result(struct xt_results *r, const json_t *v, const struct xt_results *chosen)
{
	const char *state = json_str(v, "state", "");
	struct xt_result *t = read_name(r, v);
	enum xt_state s = XT_NONE;

	while (s < XT_NR_STATES && strcmp(state, xt_state_name(s)))
		s++;
	if (!t || s == XT_NR_STATES || !xt_find(chosen, t->name))
		return false;
	xt_set(t, s, json_str(v, "why", ""));
	t->seconds = (int)json_integer_value(json_object_get(v, "seconds"));
	free(t->text);
	t->text = xstrdup(json_str(v, "text", ""));
	return true;
}

static char *read_pass(struct xt_pass *p, const json_t *v, const struct xt_results *chosen)
{
	json_t *t;
	size_t i;

	*p = (struct xt_pass){ .name = xstrdup(json_str(v, "name", "")), .mount = xstrdup(json_str(v, "mount", "")),
			       .boots = (unsigned int)json_integer_value(json_object_get(v, "boots")) };
	if (!*p->name || !json_is_array(json_object_get(v, "tests")))
		return xstrdup("a pass has no name or no tests");
	json_array_foreach(json_object_get(v, "tests"), i, t)
		if (!read_result(&p->r, t, chosen))
			return xasprintf("pass %s: test %zu is none of those chosen, is there twice or has no known result",
					 p->name, i + 1);
	return NULL;
}

char *xt_read(struct xt_run *run, const json_t *doc)
{
	json_t *inputs = json_object_get(doc, "inputs"), *tests = json_object_get(doc, "tests"), *v;
	json_t *passes = json_object_get(doc, "passes"), *shard = json_object_get(doc, "shard");
	char *why = NULL;
	size_t i;

	*run = (struct xt_run){};
	if (strcmp(json_str(doc, "schema", ""), SCHEMA))
		return xasprintf("its schema is \"%.60s\" and not \"" SCHEMA "\": it is of another version of the harness",
				 json_str(doc, "schema", ""));
	if (!json_is_object(inputs) || !json_is_array(tests) || !json_array_size(passes) ||
	    json_array_size(passes) != json_array_size(json_object_get(inputs, "mounts")) + 1)
		return xstrdup("it lacks inputs, tests or passes");
	run->id = xstrdup(json_str(doc, "id", ""));
	run->inputs = json_incref(inputs);
	run->complete = json_is_true(json_object_get(doc, "complete"));
	run->shard = (unsigned int)json_integer_value(json_object_get(shard, "index"));
	run->shards = (unsigned int)json_integer_value(json_object_get(shard, "count"));
	json_array_foreach(tests, i, v) {
		struct xt_result *t = read_name(&run->tests, v);

		if (!t)
			return xasprintf("chosen test %zu has no name or is there twice", i + 1);
		free(t->groups);
		t->groups = xstrdup(json_str(v, "groups", ""));
	}
	run->pass = xcalloc(json_array_size(passes), sizeof(*run->pass));
	json_array_foreach(passes, i, v) {
		why = read_pass(&run->pass[run->nr++], v, &run->tests);
		if (why)
			break;
	}
	return why;
}

/* --- what must be the same ------------------------------------------------------------------------------------------------ */

/* PATH.KEY of the document. Kernels' ids stand for source, series, configuration and compiler. */
static const struct {
	const char *in, *of, *key, *what;
	bool parts;		/* may differ in parts */
} facts[] = {
	{ "inputs", "kernel", "name", "kernels", false },
	{ "inputs", "kernel", "id", "builds of the kernel", false },
	{ "inputs", "kernel", "cmdline", "command lines of the kernel", false },
	{ "inputs", "baseline", "name", "baseline kernels", false },
	{ "inputs", "baseline", "id", "builds of the baseline kernel", false },
	{ "inputs", "baseline", "cmdline", "command lines of the baseline kernel", false },
	{ "inputs", NULL, "suite", "xfstests directories (--dir)", false },
	{ "inputs", NULL, "image", "images with the tests' programs", false },
	{ "inputs", NULL, "fs", "file systems", false },
	{ "inputs", NULL, "mkfs", "mkfs options", false },
	{ "inputs", NULL, "mounts", "mount options", false },
	{ "inputs", NULL, "groups", "groups", false },
	{ "inputs", NULL, "exclude", "excluded groups", false },
	{ "inputs", NULL, "tests", "tests", false },
	{ "inputs", NULL, "limit", "limits", false },
	{ "inputs", NULL, "cpus", "numbers of CPUs", false },
	{ "inputs", NULL, "mem_mb", "sizes of memory", false },
	{ "inputs", NULL, "test_mb", "sizes of TEST_DEV", false },
	{ "inputs", NULL, "scratch_mb", "sizes of SCRATCH_DEV", false },
	{ "inputs", NULL, "accel", "accelerators", false },
	{ "shard", NULL, "count", "numbers of parts", false },
	{ "shard", NULL, "index", "parts", true },
};

/* Strings as they are, the rest as JSON; what is not there is no value that a string can have. */
static char *fact_text(const json_t *doc, size_t i)
{
	const json_t *v = json_object_get(doc, facts[i].in);

	if (facts[i].of)
		v = json_object_get(v, facts[i].of);
	v = json_object_get(v, facts[i].key);
	if (json_is_string(v))
		return xasprintf("\"%s\"", json_string_value(v));
	return v ? json_dumps(v, JSON_ENCODE_ANY) : xstrdup("none");
}

char *xt_differ(const json_t *a, const char *name_a, const json_t *b, const char *name_b, bool parts)
{
	char *why = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(facts) && !why; i++) {
		char *x = fact_text(a, i), *y = fact_text(b, i);

		if (strcmp(x, y) && !(parts && facts[i].parts))
			why = xasprintf("different %s: %s has %.60s, %s has %.60s", facts[i].what, name_a, x, name_b, y);
		free(x);
		free(y);
	}
	return why;
}

void xt_resume(struct xt_run *run, const struct xt_run *old)
{
	for (size_t i = 0; i < run->nr; i++) {
		run->pass[i].boots = old->pass[i].boots;
		for (size_t k = 0; k < old->pass[i].r.n; k++)
			if (old->pass[i].r.v[k].state != XT_NONE)
				xt_add_copy(&run->pass[i].r, &old->pass[i].r.v[k]);
	}
}

/* --- parts ------------------------------------------------------------------------------------------------------------------ */

/* by[k] is part k + 1. Undoes xt_shard(). NULL or a reason. */
static char *join_tests(struct xt_results *tests, const struct xt_run *const *by, size_t nr, const char *want)
{
	char hash[65];
	bool more = true;

	for (size_t i = 0; more; i++) {
		more = false;
		for (size_t k = 0; k < nr; k++) {
			if (i >= by[k]->tests.n)
				continue;
			xt_add_copy(tests, &by[k]->tests.v[i]);
			more = true;
		}
	}
	xt_hash(tests, hash);
	return strcmp(hash, want) ? xasprintf("the tests of the parts, %zu, are not those that were chosen", tests->n) : NULL;
}

static void join_pass(struct xt_pass *p, const struct xt_results *tests, const struct xt_run *const *by, size_t nr, size_t pass)
{
	const struct xt_pass *first = &by[0]->pass[pass];

	*p = (struct xt_pass){ .name = xstrdup(first->name), .mount = xstrdup(first->mount) };
	for (size_t k = 0; k < nr; k++)
		p->boots += by[k]->pass[pass].boots;
	for (size_t i = 0; i < tests->n; i++) {
		/* The i-th test is part i % nr's. */
		const struct xt_result *t = xt_find(&by[i % nr]->pass[pass].r, tests->v[i].name);

		if (t)
			xt_add_copy(&p->r, t);
	}
}

char *xt_merge(struct xt_run *out, json_t *const *docs, const char *const *names, size_t nr)
{
	struct xt_run *runs = xcalloc(nr, sizeof(*runs));
	const struct xt_run **by = xcalloc(nr, sizeof(*by));
	char *why = NULL;

	*out = (struct xt_run){ .id = xstrdup(""), .complete = true };
	for (size_t i = 0; i < nr && !why; i++) {
		char *bad = xt_read(&runs[i], docs[i]);

		why = bad ? xasprintf("%s: %s", names[i], bad) : NULL;
		free(bad);
	}
	if (!why)
		why = shard_check(docs, names, nr);
	for (size_t i = 1; i < nr && !why; i++)
		why = xt_differ(docs[0], names[0], docs[i], names[i], true);
	for (size_t i = 0; i < nr && !why; i++)
		by[runs[i].shard - 1] = &runs[i];
	if (!why)
		why = join_tests(&out->tests, by, nr, json_str(runs[0].inputs, "tests", ""));
	if (!why) {
		out->inputs = json_incref(runs[0].inputs);
		out->parts = json_array();
		out->pass = xcalloc(runs[0].nr, sizeof(*out->pass));
		for (size_t k = 0; k < nr; k++)
			json_array_append_new(out->parts, json_string(by[k]->id));
		for (; out->nr < runs[0].nr; out->nr++)
			join_pass(&out->pass[out->nr], &out->tests, by, nr, out->nr);
	}
	for (size_t i = 0; i < nr; i++)
		xt_run_free(&runs[i]);
	free(runs);
	free(by);
	return why;
}

/* --- tables ------------------------------------------------------------------------------------------------------------------- */

/* One row: the tests of this group, of this length; of all if group is NULL. */
static void add_row(struct table *table, const struct xt_run *run, const struct xt_pass *p, const char *group, size_t len)
{
	size_t n = 0, count[XT_NR_STATES] = {}, bad = 0, fresh = 0;
	const struct xt_pass *base = xt_base(run);

	for (size_t i = 0; i < p->r.n; i++) {
		const struct xt_result *t = &p->r.v[i], *chosen = xt_find(&run->tests, t->name);

		if (group && !(chosen && xt_listed(chosen->groups, group, len)))
			continue;
		n++;
		count[t->state]++;
		bad += xt_bad(t->state);
		fresh += xt_new(t, xt_find(&base->r, t->name));
	}
	if (group)
		table_cell(table, "%.*s", (int)len, group);
	else
		table_cell(table, "all of these");
	table_cell(table, "%zu", n);
	table_cell(table, "%zu", count[XT_PASSED]);
	table_cell(table, "%zu", count[XT_REFUSED]);
	table_cell(table, "%zu", count[XT_NOTRUN]);
	table_cell(table, "%zu", bad);
	if (p == base)
		table_cell(table, "-");
	else
		table_cell(table, "%zu", fresh);
	table_cell(table, "%zu", count[XT_NONE]);
}

struct table *xt_table(const struct xt_run *run, const struct xt_pass *p)
{
	const char *groups = json_str(run->inputs, "groups", "");
	struct table *table = table_new("lrrrrrrr", "group", "tests", "passed", "refused", "not run", "failed", "new", "not carried out");

	for (size_t len; *groups; groups += len + (groups[len] == ',')) {
		len = strcspn(groups, ",");
		if (len)
			add_row(table, run, p, groups, len);
	}
	add_row(table, run, p, NULL, 0);
	return table;
}

/* All new failures, a row each. */
static struct table *new_failures(const struct xt_run *run)
{
	struct table *table = table_new("llll", "test", "pass", "is", "why");
	const struct xt_pass *base = xt_base(run);

	for (const struct xt_pass *p = run->pass; p < base; p++)
		for (size_t i = 0; i < p->r.n; i++) {
			const struct xt_result *t = &p->r.v[i];

			if (!xt_new(t, xt_find(&base->r, t->name)))
				continue;
			table_cell(table, "%s", t->name);
			table_cell(table, "%s", p->name);
			table_cell(table, "%s", xt_state_name(t->state));
			table_cell(table, "%s", t->why);
		}
	return table;
}

static void print_kernel(FILE *f, const struct xt_run *run, const char *key)
{
	const json_t *k = json_object_get(run->inputs, key);
	const char *series = json_str(k, "series_hash", "");

	fprintf(f, "* %s: %s, id %s, patches %.12s\n", key, json_str(k, "name", ""), json_str(k, "id", ""),
		*series ? series : "none");
}

void xt_summary(FILE *f, const struct xt_run *run)
{
	const json_t *in = run->inputs;
	const char *groups = json_str(in, "groups", ""), *exclude = json_str(in, "exclude", ""), *mkfs = json_str(in, "mkfs", "");
	struct table *table = new_failures(run);
	size_t fresh = table_rows(table);

	fprintf(f, "# xfstests: %zu new failure%s%s\n\n", fresh, fresh == 1 ? "" : "s", run->complete ? "" : " so far, not complete");
	print_kernel(f, run, "kernel");
	print_kernel(f, run, "baseline");
	fprintf(f, "* file system: %s%s%s\n", json_str(in, "fs", ""), *mkfs ? ", made with " : "", mkfs);
	fprintf(f, "* tests: %zu%s%s%s%s\n", run->tests.n, *groups ? ", groups " : "", groups, *groups && *exclude ? " without " : "",
		*groups ? exclude : "");
	fprintf(f, "* suite: %.12s\n", json_str(in, "suite", ""));
	fprintf(f, "* guest: %s, %.0f CPUs, %.0f MiB, at most %.0f s a test\n", json_str(in, "accel", ""), json_num(in, "cpus", 0),
		json_num(in, "mem_mb", 0), json_num(in, "limit", 0));
	if (run->shards)
		fprintf(f, "* part %u of %u\n", run->shard, run->shards);
	for (size_t i = 0; i < json_array_size(run->parts); i++)
		fprintf(f, "* part %zu: %s\n", i + 1, json_string_value(json_array_get(run->parts, i)));
	/* A table ends with an empty line. */
	fputs("\n", f);
	if (fresh) {
		fputs("## New failures\n\n", f);
		table_print_markdown(f, table);
	}
	table_free(table);
	for (size_t i = 0; i < run->nr; i++) {
		const struct xt_pass *p = &run->pass[i];

		fprintf(f, "## %s, %s%s\n\n", p->name, *p->mount ? "mounted with " : "no mount option", p->mount);
		table = xt_table(run, p);
		table_print_markdown(f, table);
		table_free(table);
	}
}
