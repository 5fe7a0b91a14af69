// SPDX-License-Identifier: GPL-2.0
/*
 * rundoc.c: what is a run document and what is not, and that results/schema/run.schema.json says the same: each property that the
 * schema names is removed from a valid document, and set to a wrong type, and rundoc_check() must agree with the schema on the outcome.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "bench.h"
#include "rundoc-fixture.h"

#define SCHEMA "results/schema/run.schema.json"

static json_t *valid(void)
{
	json_t *doc = fx_doc(), *c;

	fx_kernel(doc, "base", "base", "", "aaaa1111");
	fx_metric(doc, "w", "lat", "ns", "lower", 0.02, 10, 0.1);
	c = fx_cell(doc, "base", "w", "wall", "xfs", "reflink", 0, 0);
	fx_sample(c, "lat", 5, "a=1");
	fx_hist(c, "lat", 1000, 0.1, 50, "a=1");
	json_object_set_new(c, "thrown_away", json_integer(1));
	json_object_set_new(doc, "cost", json_pack("{s:f,s:f,s:f,s:f,s:f}", "total_s", 100.0, "prepare_s", 2.0, "guests_s", 97.0, "qemu_cpu_s",
						   150.0, "harness_cpu_s", 3.0));
	json_array_append_new(json_object_get(c, "blobs"), json_pack("{s:s,s:{},s:i}", "k", "fio", "x", "v", 1));
	return doc;
}

static void check_says(const json_t *doc, const char *words)
{
	char *why = NULL;

	assert_int_equal(rundoc_check(doc, &why), -EINVAL);
	assert_non_null(why);
	if (!strstr(why, words))
		fail_msg("it says \"%s\", expected \"%s\" in it", why, words);
	assert_null(strchr(why, '\n'));
	free(why);
}

static void accepts(void **state)
{
	json_t *doc = valid(), *run = realistic_doc(1);
	char *why = NULL;

	(void)state;
	assert_int_equal(rundoc_check(doc, &why), 0);
	assert_null(why);
	assert_int_equal(rundoc_check(run, &why), 0);
	assert_null(why);
	json_decref(run);
	json_decref(doc);
}

static json_t *cell_of(json_t *doc)
{
	return json_array_get(json_object_get(doc, "cells"), 0);
}

static json_t *hist_of(json_t *doc)
{
	return json_object_get(json_array_get(json_object_get(cell_of(doc), "hists"), 0), "h");
}

/* What no type says. */
static void refuses(void **state)
{
	json_t *d;

	(void)state;
#define CASE(change, words) do { d = valid(); change; check_says(d, words); json_decref(d); } while (0)
	CASE(json_object_set_new(d, "schema", json_string("shcache-run/2")), "schema is \"shcache-run/2\"");
	CASE(json_object_del(d, "schema"), "no \"schema\"");
	CASE(json_object_set_new(d, "baseline", json_string("x")), "baseline \"x\" is not among");
	CASE(json_object_set_new(cell_of(d), "kernel", json_string("x")), "cells[0]: the kernel \"x\"");
	CASE(json_object_set_new(cell_of(d), "verdict", json_string("fine")), "cells[0]: \"verdict\" is \"fine\"");
	CASE(json_object_set_new(cell_of(d), "lane", json_string("fast")), "cells[0]: \"lane\" is \"fast\"");
	CASE(json_array_append_new(json_object_get(d, "cells"), json_deep_copy(cell_of(d))), "cells[1]: the id");
	CASE(fx_kernel(d, "base", "base", "", ""), "kernels[1]: the label \"base\" is there twice");
	CASE(json_object_set_new(json_array_get(json_object_get(cell_of(d), "samples"), 0), "x", json_pack("{s:i}", "n", 1)),
	     "cells[0].samples[0]: \"x\" is not an object of strings");
	CASE(json_object_set_new(hist_of(d), "n", json_integer(49)), "cells[0].hists[0].h is no histogram: its counts do not add up");
	CASE(json_object_set_new(hist_of(d), "max", json_integer(1)), "\"min\" and \"max\"");
	CASE(json_object_set_new(hist_of(d), "sum", json_string("1e5")), "decimal digits");
	CASE(json_object_set_new(hist_of(d), "bits", json_integer(5)), "bits");
	CASE(json_object_set_new(hist_of(d), "b", json_pack("[[i,i],[i,i]]", 600, 25, 600, 25)), "ascending");
	CASE(json_object_set_new(hist_of(d), "b", json_pack("[[i,i]]", 1 << 20, 50)), "ascending");
#undef CASE
	d = json_array();
	check_says(d, "not a JSON object");
	json_decref(d);
}

/* --- the schema ------------------------------------------------------------------------------------------------------------ */

static unsigned int properties;

static const char *const schema_types[] = { "string", "integer", "number", "boolean", "object", "array" };

/* A value that the schema's property does not allow. */
static json_t *wrong_value(const char *type)
{
	return !strcmp(type, "string") ? json_integer(7) : json_string("wrong");
}

static void expect(const json_t *whole, bool ok, const char *what, const char *place, const char *key)
{
	char *why = NULL;
	int ret = rundoc_check(whole, &why);

	if (ok != !ret)
		fail_msg("%s.%s %s: the schema says %s, rundoc_check() says %s", place, key, what, ok ? "valid" : "invalid",
			 why ? why : "valid");
	if (!ok && !strstr(why, key))
		fail_msg("%s.%s %s: the message does not name it: %s", place, key, what, why);
	free(why);
}

/* value is the place in `whole` that the schema describes; it is put back as it was. */
static void walk(json_t *whole, json_t *value, const json_t *schema, const char *place)
{
	const json_t *props = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");
	const char *key;
	json_t *prop;

	if (json_object_get(schema, "items") && json_array_size(value))
		walk(whole, json_array_get(value, 0), json_object_get(schema, "items"), place);
	json_object_foreach((json_t *)props, key, prop) {
		const char *type = json_string_value(json_object_get(prop, "type"));
		json_t *keep = json_incref(json_object_get(value, key)), *word;
		bool needed = false;
		size_t i;

		json_array_foreach(required, i, word)
			needed |= !strcmp(json_string_value(word), key);
		if (!keep) {
			if (needed)
				fail_msg("%s.%s is required, but the test's document does not have it", place, key);
			continue;
		}
		properties++;
		walk(whole, keep, prop, key);
		json_object_del(value, key);
		expect(whole, !needed, "removed", place, key);
		/* "type" may be missing or a list: anything goes, or rundoc_check() does not look. */
		for (i = 0; type && i < sizeof(schema_types) / sizeof(schema_types[0]); i++)
			if (!strcmp(type, schema_types[i])) {
				json_object_set_new(value, key, wrong_value(type));
				expect(whole, false, "of a wrong type", place, key);
			}
		json_object_set_new(value, key, keep);
	}
}

static void schema_agrees(void **state)
{
	json_t *schema = json_load_file(SCHEMA, 0, NULL), *doc = valid();

	(void)state;
	if (!schema)
		fail_msg(SCHEMA " cannot be read: run the test from the checkout's top");
	walk(doc, doc, schema, "document");
	/* As many as there are in the tables of rundoc.c, the histogram's six and `v` of a blob: nothing was passed over. */
	assert_true(properties >= 80);
	json_decref(doc);
	json_decref(schema);
}

/* --- files ------------------------------------------------------------------------------------------------------------------- */

static char dir[] = "/tmp/shcache-rundoc-XXXXXX";
static char path[64], said[1024];

/* rundoc_load() with stderr caught in said. */
static json_t *load(const char *what)
{
	FILE *tmp = tmpfile();
	int keep = dup(2);
	json_t *doc;
	size_t n;

	fflush(stderr);
	dup2(fileno(tmp), 2);
	doc = rundoc_load(what);
	fflush(stderr);
	dup2(keep, 2);
	close(keep);
	rewind(tmp);
	n = fread(said, 1, sizeof(said) - 1, tmp);
	said[n] = '\0';
	fclose(tmp);
	return doc;
}

/* One line that names the file and has these words. */
static void load_says(const char *words)
{
	json_t *doc = load(path);

	assert_null(doc);
	if (!strstr(said, words) || !strstr(said, path) || strchr(said, '\n') != said + strlen(said) - 1)
		fail_msg("it says \"%s\", expected one line with \"%s\"", said, words);
}

static void write_text(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fwrite(text, 1, len, f);
	fclose(f);
}

static void files(void **state)
{
	json_t *doc = valid(), *got;
	char *text = json_dumps(doc, JSON_INDENT(1));
	size_t len = strlen(text);

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/run.json", dir);
	load_says("cannot be read: No such file");
	write_text(text, len);
	got = load(path);
	assert_true(json_equal(got, doc));
	json_decref(got);
	got = load(dir);
	assert_true(json_equal(got, doc));
	json_decref(got);
	assert_string_equal(said, "");
	/* Cut off anywhere: never a document, always one line. */
	for (size_t cut = 0; cut < len; cut += 41) {
		write_text(text, cut);
		assert_null(load(path));
		if (strchr(said, '\n') != said + strlen(said) - 1 || !strstr(said, path))
			fail_msg("cut at %zu it says \"%s\"", cut, said);
	}
	write_text(text, len / 2);
	load_says("ends too early");
	write_text("", 0);
	load_says("ends too early");
	write_text("what?", 5);
	load_says("run.json:1:4: not JSON");
	text[len / 3] = '\x01';
	write_text(text, len);
	load_says("not");
	write_text("{\"schema\":\"other\"}", 18);
	load_says("schema is \"other\"");
	write_text("{\"a\":1,\"a\":2}", 13);
	load_says("duplicate");
	unlink(path);
	rmdir(dir);
	free(text);
	json_decref(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses),
		cmocka_unit_test(schema_agrees),
		cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
