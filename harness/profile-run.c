// SPDX-License-Identifier: GPL-2.0
/* See profile-run.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench-util.h"
#include "plan.h"
#include "profile-run.h"
#include "profile.h"
#include "store.h"
#include "util.h"

/* Rows of a table. */
#define ROWS		25
/* Where the kernel begins to handle a page fault. */
#define FAULT_ENTRY	"asm_exc_page_fault"

/* --- what a boot needs --------------------------------------------------------------------------------------------------- */

static char *plugin_path(void)
{
	return xasprintf("%s/build/insn-profile.so", top_dir());
}

/* The functions of a kernel in the cache. 0 or -errno, printed. */
static int kernel_symbols(const char *id, struct symbols *out)
{
	char *path = xasprintf("%s/kernels/%s/System.map", cache_dir(), id), *text;
	int ret = read_file(path, &text, NULL);

	if (ret) {
		err("%s: %s: without it what was counted has no names; only kernels that shbench has built have one", path, strerror(-ret));
	} else {
		ret = symbols_parse(text, out);
		if (ret)
			err("%s: is no System.map; remove the directory, and the kernel is built again", path);
		free(text);
	}
	free(path);
	return ret;
}

static int agent_symbols(const char *agent, struct symbols *out)
{
	struct buf text = {};
	int ret = run_cmd((const char *const[]){ "nm", agent, NULL }, &(struct run_opts){ .out = &text, .log = "/dev/null" });

	if (!ret)
		ret = symbols_parse(text.s ? text.s : "", out);
	if (ret)
		err("`nm %s` does not tell its symbols (%d); apt install binutils, then make", agent, ret);
	buf_free(&text);
	return ret ? -EIO : 0;
}

char *profile_plugin(const char *agent, const char *kernel_id, const char *out)
{
	char *plugin = plugin_path(), *lib = vm_escape(plugin), *file = vm_escape(out), *value = NULL;
	struct symbols user = {}, kernel = {};
	uint64_t begin, end, fault;

	if (agent_symbols(agent, &user) || kernel_symbols(kernel_id, &kernel))
		goto done;
	begin = symbols_find(&user, "wl_begin_tsc");
	end = symbols_find(&user, "wl_end_tsc");
	fault = symbols_find(&kernel, FAULT_ENTRY);
	if (!begin || !end)
		err("%s has no symbols wl_begin_tsc and wl_end_tsc: it is stripped or older than this command; run make", agent);
	else if (!fault)
		err("kernel %s has no function " FAULT_ENTRY ", which the plugin must know", kernel_id);
	else
		value = xasprintf("%s,begin=%" PRIx64 ",end=%" PRIx64 ",fault=%" PRIx64 ",out=%s", lib, begin, end, fault, file);
done:
	symbols_free(&user);
	symbols_free(&kernel);
	free(plugin);
	free(lib);
	free(file);
	return value;
}

/* --- one boot's profile -------------------------------------------------------------------------------------------------- */

struct boot {
	const json_t *cell;
	struct profile p;
	double measured, ops;	/* of the boot without the plugin: instructions of an operation, and how many there were */
};

/* The one histogram that a boot has. 0 or -EINVAL, printed. */
static int measured(const json_t *cell, struct boot *b)
{
	const json_t *hists = json_object_get(cell, "hists"), *h = json_object_get(json_array_get(hists, 0), "h");
	size_t n = json_array_size(hists);

	b->ops = json_num(h, "n", 0);
	if (n != 1 || b->ops < 1) {
		err("[%s] measures %zu kinds of operations, a profile is of one: narrow the section down by its params, as "
		    "bench/profile.plan does", json_str(cell, "section", ""), n);
		return -EINVAL;
	}
	b->measured = strtod(json_str(h, "sum", "0"), NULL) / b->ops;
	return 0;
}

/* 0 or -errno, printed. */
static int boot_load(const char *dir, const json_t *cell, struct boot *out)
{
	const json_t *p = json_object_get(cell, "profile");
	const char *section = json_str(cell, "section", ""), *label = json_str(cell, "kernel", "");
	char *path = xasprintf("%s/%s", dir, json_str(p, "counts", "")), *text = NULL, *why = NULL;
	struct symbols symbols = {};
	int ret = -EIO;

	*out = (struct boot){ .cell = cell };
	/* Of a boot that did not pass, and of a plugin that could not be started, was told before. */
	if (strcmp(json_str(cell, "verdict", ""), "passed") || !p)
		goto done;
	if (strcmp(json_str(p, "verdict", ""), "passed")) {
		err("[%s] kernel %s: the boot with the plugin ended with %s: %s", section, label, json_str(p, "verdict", ""),
		    json_str(p, "why", ""));
		goto done;
	}
	if (measured(cell, out) || kernel_symbols(json_str(cell, "kernel_id", ""), &symbols))
		goto done;
	ret = read_file(path, &text, NULL);
	if (ret) {
		err("%s: %s: the plugin has left no counts; see %s/consoles", path, strerror(-ret), dir);
		goto done;
	}
	ret = profile_parse(text, &symbols, &out->p, &why);
	if (ret) {
		err("%s: no profile: %s", path, why);
	} else if (out->p.regions != out->ops || !profile_agrees(profile_mean(&out->p), out->measured)) {
		err("[%s] kernel %s: the profile has %.1f instructions per operation, %" PRIu64 " times, an ordinary boot %.1f, %.0f "
		    "times: it is of something else; see %s/consoles", section, label, profile_mean(&out->p), out->p.regions,
		    out->measured, out->ops, dir);
		profile_free(&out->p);
		ret = -ERANGE;
	}
done:
	symbols_free(&symbols);
	free(text);
	free(path);
	free(why);
	return ret;
}

/* --- tables -------------------------------------------------------------------------------------------------------------- */

static char *title(const json_t *cell)
{
	const json_t *h = json_array_get(json_object_get(cell, "hists"), 0), *v;
	struct buf b = {};
	const char *k;

	buf_printf(&b, "%s (%s/%s): %s", json_str(cell, "section", ""), json_str(cell, "fs", ""), json_str(cell, "mode", ""),
		   json_str(h, "m", ""));
	json_object_foreach(json_object_get(h, "x"), k, v)
		buf_printf(&b, " %s=%s", k, json_string_value(v));
	return b.s;
}

static char *account(const struct boot *b)
{
	return xasprintf("%s: %.1f instructions per operation in %" PRIu64 " operations; an ordinary boot measures %.1f",
			 json_str(b->cell, "kernel", ""), profile_mean(&b->p), b->p.regions, b->measured);
}

static json_t *show(FILE *md, const struct boot *a, const struct boot *b)
{
	const char *labels[2] = { json_str(a->cell, "kernel", ""), json_str(b->cell, "kernel", "") };
	char *what = title(a->cell), *sums[2] = { account(a), account(b) };
	struct profile_row *rows;
	size_t nr = profile_compare(&a->p, &b->p, &rows);
	struct table *t = profile_table(rows, nr, ROWS, labels[0], labels[1]);
	json_t *o;

	if (!opt.json) {
		printf("%s\n%s\n%s\n\n", what, sums[0], sums[1]);
		table_print_text(stdout, t, 0);
		putchar('\n');
	}
	fprintf(md, "## %s\n\n%s.\n%s.\n\n", what, sums[0], sums[1]);
	table_print_markdown(md, t);
	o = json_pack("{s:s,s:s,s:[s,s],s:[I,I],s:[f,f],s:[f,f],s:o}", "section", json_str(a->cell, "section", ""), "what", what,
		      "kernels", labels[0], labels[1], "operations", (json_int_t)a->p.regions, (json_int_t)b->p.regions,
		      "insns", profile_mean(&a->p), profile_mean(&b->p), "measured", a->measured, b->measured,
		      "functions", profile_json(rows, nr));
	table_free(t);
	free(rows);
	free(what);
	free(sums[0]);
	free(sums[1]);
	return o;
}

static bool same_place(const json_t *a, const json_t *b)
{
	static const char *const keys[] = { "section", "fs", "mode", "image" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i])))
			return false;
	return true;
}

/* The baseline's boots, each with those of the other kernels at its place. Returns an exit code. */
static int show_all(const char *dir, const json_t *doc, FILE *md, json_t *all)
{
	const json_t *cells = json_object_get(doc, "cells");
	const char *base = json_str(doc, "baseline", "");
	int status = EXIT_OK;
	json_t *x, *y;
	size_t i, k;

	json_array_foreach((json_t *)cells, i, x) {
		struct boot a, b;

		if (strcmp(json_str(x, "kernel", ""), base))
			continue;
		if (boot_load(dir, x, &a)) {
			status = EXIT_INFRA;
			continue;
		}
		json_array_foreach((json_t *)cells, k, y) {
			if (y == x || !same_place(x, y))
				continue;
			if (boot_load(dir, y, &b)) {
				status = EXIT_INFRA;
				continue;
			}
			json_array_append_new(all, show(md, &a, &b));
			profile_free(&b.p);
		}
		profile_free(&a.p);
	}
	return status;
}

static int report(const char *dir, const json_t *doc)
{
	char *path = xasprintf("%s/profile.md", dir), *text = NULL;
	json_t *all = json_array();
	size_t len = 0;
	FILE *md = open_memstream(&text, &len);
	int status = EXIT_INFRA, ret;

	if (!md) {
		err("%s: %s", path, strerror(errno));
		goto out;
	}
	fprintf(md, "# Profile of %s\n\n", json_str(doc, "id", ""));
	fprintf(md, "Guest instructions per operation, by function, all of them counted; the largest differences first.\n\n");
	status = show_all(dir, doc, md, all);
	fclose(md);
	ret = write_file_atomic(path, text, len);
	if (ret) {
		err("%s: %s", path, strerror(-ret));
		status = EXIT_INFRA;
	} else {
		note("profile: %s", path);
	}
	if (opt.json) {
		json_dumpf(all, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
		putchar('\n');
	}
out:
	json_decref(all);
	free(text);
	free(path);
	return status;
}

static int count_kernel(const char *name, const char *label, void *arg)
{
	(void)name;
	(void)label;
	++*(unsigned int *)arg;
	return 0;
}

/* What would be found out only after all boots. Returns an exit code. */
static int check(const struct run_options *ro)
{
	char *plugin = plugin_path();
	bool there = file_exists(plugin);
	unsigned int kernels = 0;
	struct plan *p;

	if (!there)
		err("%s is not there: run make", plugin);
	free(plugin);
	if (!there)
		return EXIT_INFRA;
	if (plan_load(ro->plan, &p))
		return EXIT_USAGE;
	plan_each_kernel(ro->kernels ? ro->kernels : p->kernels, count_kernel, &kernels);
	plan_free(p);
	if (kernels > 1)
		return EXIT_OK;
	err("profile: one kernel can't be compared; name two, the baseline first: -k \"base shcache-6.12\"");
	return EXIT_USAGE;
}

int run_profile(const struct run_options *ro)
{
	struct run_options own = *ro;
	int status = check(ro), ret;
	char *dir = NULL;
	json_t *doc;

	if (status)
		return status;
	own.measure_only = true;
	own.profile = true;
	status = run_bench(&own, &dir);
	if (dir && status != EXIT_USAGE && !interrupted()) {
		doc = rundoc_load(dir);
		ret = doc ? report(dir, doc) : EXIT_INFRA;
		status = status ? status : ret;
		json_decref(doc);
	}
	free(dir);
	return status;
}
