// SPDX-License-Identifier: GPL-2.0
/* Torture; see torture.h. A part is carried out as a run of its own, of which only failed ones are kept. */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "bench.h"
#include "kernel.h"
#include "plan.h"
#include "power.h"
#include "run.h"
#include "store.h"
#include "torture.h"

#define MAX_GROUPS	8u
#define MAX_CPUS	2u
#define KERNELS		"shcache-6.12/shcache shcache-6.12+debug/shcache"
#define INJECT		"shcache-6.12+inject/shcache"
/* A part's seed is a number that people can type. */
#define SEEDS		1000000u

enum kind { PART_PLAN, PART_POWER, PART_LIE };

struct part {
	enum kind kind;
	char *name;			/* of the section; or "power cut" */
	unsigned int cpus;
	bool done;			/* in this turn */
	/* So far: */
	unsigned int runs, failed, skipped;
	double seconds;
	unsigned long long ops, checks;
};

/* A kernel with its parts. */
struct group {
	char *kernel, *mount, *plan;
	struct kernel_build b;
	struct part *parts;
	size_t nr_parts;
	double spent;
	uint64_t rnd;			/* its own: whose turn it is depends on the time */
};

struct torture_options {
	const char *kernels;
	unsigned long long seed;
	double minutes;
	unsigned int parts;		/* at most so many; 0: as many as the time allows */
	enum vm_accel accel;
	const char *const *argv;
};

struct torture {
	const struct torture_options *o;
	struct group g[MAX_GROUPS];
	unsigned int nr_groups;
	struct run_dir rd;
	unsigned int nr, failed, skipped, infra;
	struct buf tap;
	json_t *results;
	double start;
};

/* --- what there is to do ------------------------------------------------------------------------------------------------- */

static void add_part(struct group *g, enum kind kind, const char *name)
{
	for (unsigned int cpus = 1; cpus <= MAX_CPUS; cpus++) {
		g->parts = xrealloc(g->parts, (g->nr_parts + 1) * sizeof(*g->parts));
		g->parts[g->nr_parts++] = (struct part){ .kind = kind, .name = xstrdup(name), .cpus = cpus };
	}
}

static char *plan_of(const char *kernel)
{
	const char *set = strchr(kernel, '+');

	if (!set)
		return xstrdup("torture");
	return strcmp(set, "+inject") ? xasprintf("torture-%s", set + 1) : xstrdup("faults");
}

static int add_group(struct torture *t, const char *word)
{
	struct group *g = &t->g[t->nr_groups];
	const char *slash = strchr(word, '/');
	struct plan *p;
	int ret;

	if (t->nr_groups == MAX_GROUPS) {
		err("torture: more than %u kernels", MAX_GROUPS);
		return -EINVAL;
	}
	*g = (struct group){ .kernel = slash ? xstrndup(word, (size_t)(slash - word)) : xstrdup(word), .mount = xstrdup(slash ? slash + 1 : "") };
	g->rnd = t->o->seed + (uint64_t)t->nr_groups++ * SEEDS;
	g->plan = plan_of(g->kernel);
	ret = plan_load(g->plan, &p);
	if (ret)
		return ret;
	for (unsigned int i = 0; i < p->nr_sections; i++)
		add_part(g, PART_PLAN, p->sections[i].name);
	plan_free(p);
	/* Errors that are injected are no power cuts. */
	if (strcmp(g->plan, "faults"))
		add_part(g, PART_POWER, "power cut");
	if (!strcmp(g->plan, "torture"))
		add_part(g, PART_LIE, "power cut of a disk that lies");
	return 0;
}

static int add_groups(struct torture *t)
{
	char *copy = xstrdup(t->o->kernels), *save = NULL;
	int ret = 0;

	for (char *w = strtok_r(copy, " ", &save); w && !ret; w = strtok_r(NULL, " ", &save))
		ret = add_group(t, w);
	if (!ret && !t->nr_groups) {
		err("torture: no kernel is named");
		ret = -EINVAL;
	}
	free(copy);
	return ret;
}

/* The kernel that had the least time, and one of its parts whose turn it is. */
static struct group *next_group(struct torture *t)
{
	struct group *g = &t->g[0];

	for (unsigned int i = 1; i < t->nr_groups; i++)
		if (t->g[i].spent < g->spent)
			g = &t->g[i];
	return g;
}

static struct part *next_part(struct group *g)
{
	size_t left = 0, n;

	for (size_t i = 0; i < g->nr_parts; i++)
		left += !g->parts[i].done;
	for (size_t i = 0; i < g->nr_parts && !left; i++)
		g->parts[i].done = false;
	left = left ? left : g->nr_parts;
	n = random64(&g->rnd) % left;
	for (size_t i = 0; ; i++)
		if (!g->parts[i].done && !n--) {
			g->parts[i].done = true;
			return &g->parts[i];
		}
}

/* --- parts --------------------------------------------------------------------------------------------------------------- */

/* What one run of a part came to. */
struct outcome {
	unsigned int failed, skipped;
	bool infra;
	unsigned long long ops, checks;
	struct buf why;			/* comment lines of TAP */
};

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

static void judge_cell(const json_t *c, const char *dir, struct outcome *o)
{
	const char *verdict = json_string_value(json_object_get(c, "verdict"));
	json_t *s;
	size_t i;

	o->checks += json_array_size(json_object_get(c, "checks"));
	json_array_foreach(json_object_get(c, "samples"), i, s) {
		const char *m = json_string_value(json_object_get(s, "m"));

		if (ends_with(m, "_ops") || ends_with(m, "_looks"))
			o->ops += (unsigned long long)json_number_value(json_object_get(s, "v"));
	}
	if (!strcmp(verdict, "passed"))
		return;
	if (!strcmp(verdict, "skipped")) {
		o->skipped++;
		return;
	}
	o->failed++;
	buf_printf(&o->why, "# %s: %s\n# reproduce: %s\n# console: %s/%s\n", verdict, json_string_value(json_object_get(c, "why")),
		   json_string_value(json_object_get(c, "reproduce")), dir, json_string_value(json_object_get(c, "console")));
}

static int run_plan_part(struct torture *t, const struct group *g, const struct part *p, unsigned int seed, struct outcome *o)
{
	const struct run_options ro = { .plan = g->plan, .kernels = g->kernel, .only = p->name, .accel = t->o->accel, .jobs = 1, .seed = seed,
					.cpus = p->cpus, .mount = g->mount, .measure_only = true, .argv = t->o->argv };
	char *dir = NULL, *path;
	json_t *doc, *cells, *c;
	size_t i;

	run_bench(&ro, &dir);
	if (interrupted() || !dir) {
		free(dir);
		return interrupted() ? -EINTR : -EIO;
	}
	path = xasprintf("%s/run.json", dir);
	doc = json_read(path);
	cells = json_object_get(doc, "cells");
	json_array_foreach(cells, i, c)
		judge_cell(c, dir, o);
	if (!json_array_size(cells))
		o->infra = true;
	else if (!o->failed)
		remove_tree(dir);
	json_decref(doc);
	free(path);
	free(dir);
	return 0;
}

static int run_power_part(struct torture *t, const struct group *g, const struct part *p, unsigned int seed, struct outcome *o)
{
	char *kernels = xasprintf("%s%s%s base", g->kernel, *g->mount ? "/" : "", g->mount);
	const struct power_options po = { .kernels = kernels, .fs = "xfs", .images = 6, .promises = 600, .cpus = p->cpus, .mem_mb = 1024,
					  .accel = t->o->accel, .lie = p->kind == PART_LIE };
	struct power_sum sum = {};
	struct power *pw = NULL;
	int ret = power_open(&po, t->rd.path, &pw);

	/* The same on the unpatched kernel, unless that would take the debug kernel's time. */
	for (unsigned int k = 0; !ret && k < (strcmp(g->plan, "torture") || po.lie ? 1 : power_kernels(pw)); k++)
		ret = power_round(pw, k, seed, &sum, &o->why);
	if (ret != -EINTR && ret)
		o->infra = true;
	if (pw)
		power_close(pw);
	o->ops = sum.promises;
	o->checks = sum.passed + sum.failed;
	o->failed = po.lie ? !sum.failed : sum.failed;
	if (po.lie && (sum.failed || !sum.passed)) {
		buf_free(&o->why);
		o->why = (struct buf){};
	} else if (po.lie) {
		buf_str(&o->why, "# no flush was carried out, and nobody noticed\n");
	}
	free(kernels);
	return ret == -EINTR ? ret : 0;
}

/* Of a power cut's lines only what failed; all as comments. */
static void comment(struct buf *dst, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		if (*text == '#' || !strncmp(text, "not ok", 6))
			buf_printf(dst, "%s%.*s\n", *text == '#' ? "" : "# ", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

static void say(struct torture *t, const struct group *g, struct part *p, unsigned int seed, double seconds, const struct outcome *o)
{
	bool ok = !o->failed && !o->infra, skip = ok && o->skipped;
	struct buf b = {};

	buf_printf(&b, "%s %u - %s, %s%s%s, %u CPU%s, seed %u: %llu checks, %llu operations, %.0f s%s\n", ok ? "ok" : "not ok", ++t->nr, p->name,
		   g->kernel, *g->mount ? " with " : "", g->mount, p->cpus, p->cpus > 1 ? "s" : "", seed, o->checks, o->ops, seconds,
		   skip ? " # SKIP" : "");
	if (o->infra)
		buf_str(&b, "# could not be carried out\n");
	if (!ok)
		comment(&b, o->why.s ? o->why.s : "");
	fputs(b.s, stdout);
	fflush(stdout);
	buf_str(&t->tap, b.s);
	buf_free(&b);
	p->runs++;
	p->failed += !ok;
	p->skipped += skip;
	p->seconds += seconds;
	p->ops += o->ops;
	p->checks += o->checks;
	t->failed += !ok && !o->infra;
	t->skipped += skip;
	t->infra += o->infra;
	json_array_append_new(t->results, json_pack("{s:s,s:s,s:s,s:i,s:I,s:b,s:b,s:I,s:I,s:f,s:s}", "part", p->name, "kernel", g->kernel, "mount",
						    g->mount, "cpus", p->cpus, "seed", (json_int_t)seed, "ok", ok, "infra", o->infra, "checks",
						    (json_int_t)o->checks, "operations", (json_int_t)o->ops, "seconds", seconds, "why",
						    ok || !o->why.s ? "" : o->why.s));
}

static int run_part(struct torture *t, struct group *g, struct part *p)
{
	static int (*const run[])(struct torture *t, const struct group *g, const struct part *p, unsigned int seed, struct outcome *o) = {
		[PART_PLAN] = run_plan_part, [PART_POWER] = run_power_part, [PART_LIE] = run_power_part,
	};
	unsigned int seed = 1 + random64(&g->rnd) % SEEDS;
	struct outcome o = {};
	double start = now_s();
	int ret = run[p->kind](t, g, p, seed, &o);

	if (ret == -EIO)
		o.infra = true;
	if (ret != -EINTR)
		say(t, g, p, seed, now_s() - start, &o);
	g->spent += now_s() - start;
	buf_free(&o.why);
	return ret;
}

/* --- the report ---------------------------------------------------------------------------------------------------------- */

static void add_row(struct buf *b, const struct group *g, const struct part *p)
{
	buf_printf(b, "| %s | %s | %u | %u | %u | %u | %.1f | %llu | %llu |\n", g->kernel, p->name, p->cpus, p->runs, p->failed, p->skipped,
		   p->seconds / 60, p->checks, p->ops);
}

static char *summary(const struct torture *t)
{
	struct buf b = {};

	buf_printf(&b, "# Torture: %s\n\nSeed %llu, %.1f of %.1f minutes, %u parts: %u failed, %u skipped, %u could not be carried out.\n\n",
		   t->failed ? "FAILED" : t->infra ? "incomplete" : t->nr ? "passed" : "nothing was run", t->o->seed, (now_s() - t->start) / 60,
		   t->o->minutes, t->nr, t->failed, t->skipped, t->infra);
	buf_printf(&b, "The same parts of each kernel in the same order, as far as the time goes: `./shbench torture --minutes %g --seed %llu --kernels '%s'`.\n\n",
		   t->o->minutes, t->o->seed, t->o->kernels);
	buf_str(&b, "| kernel | id | patches | minutes |\n|---|---|---|---|\n");
	for (unsigned int i = 0; i < t->nr_groups; i++) {
		const struct group *g = &t->g[i];

		buf_printf(&b, "| %s%s%s | %s | %.12s | %.1f |\n", g->kernel, *g->mount ? ", mounted with " : "", g->mount, g->b.id,
			   *g->b.series_hash ? g->b.series_hash : "none", g->spent / 60);
	}
	buf_str(&b, "\nOperations: of clonex, changes and looks; of power cuts, fsyncs that were promised. Checks: of power cuts, disks that were "
		"recovered; else the guest's.\n\n"
		"| kernel | part | CPUs | runs | failed | skipped | minutes | checks | operations |\n|---|---|---|---|---|---|---|---|---|\n");
	for (unsigned int i = 0; i < t->nr_groups; i++)
		for (size_t j = 0; j < t->g[i].nr_parts; j++)
			if (t->g[i].parts[j].runs)
				add_row(&b, &t->g[i], &t->g[i].parts[j]);
	buf_printf(&b, "\nEvery part with its seed, and how to repeat what failed:\n\n```\n%s```\n", t->tap.s ? t->tap.s : "");
	return b.s;
}

static int save(const struct torture *t, const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", t->rd.path, name);
	int ret = write_file_atomic(path, text, strlen(text));

	if (ret)
		err("%s: cannot write: %s", path, strerror(-ret));
	free(path);
	return ret;
}

static int report(const struct torture *t)
{
	char *text = summary(t), *tap = xasprintf("TAP version 13\n%s1..%u\n", t->tap.s ? t->tap.s : "", t->nr);
	char *path = xasprintf("%s/torture.json", t->rd.path);
	json_t *doc = json_pack("{s:s,s:I,s:f,s:s,s:O}", "schema", "shcache-torture/1", "seed", (json_int_t)t->o->seed, "minutes",
				(now_s() - t->start) / 60, "kernels", t->o->kernels, "parts", t->results);
	int ret = save(t, "summary.md", text);

	if (!ret)
		ret = save(t, "torture.tap", tap);
	if (!ret)
		ret = json_save(path, doc);
	json_decref(doc);
	free(path);
	free(text);
	free(tap);
	return ret;
}

/* --- the command --------------------------------------------------------------------------------------------------------- */

enum { OPT_MINUTES = 256, OPT_PARTS, OPT_SEED, OPT_ACCEL };

static const struct argp_option options[] = {
	{ "minutes", OPT_MINUTES, "N", 0, "For so long; the last part is brought to its end (default: 10)", 0 },
	{ "parts", OPT_PARTS, "N", 0, "At most so many parts (default: as many as the time allows)", 0 },
	{ "seed", OPT_SEED, "N", 0, "Of everything (default: a new one, which is said)", 0 },
	{ "kernels", 'k', "LIST", 0, "NAME or NAME/MOUNTOPTIONS (default: '" KERNELS "', and " INJECT " if there is a plan 'faults')", 0 },
	{ "accel", OPT_ACCEL, "kvm|tcg", 0, "Do not probe, use this accelerator", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct torture_options *o = state->input;
	char *end;

	switch (key) {
	case OPT_MINUTES:
		o->minutes = strtod(arg, &end);
		if (*arg < '0' || *arg > '9' || *end || o->minutes <= 0 || o->minutes > 100000)
			argp_error(state, "--minutes is '%s', must be a number above 0", arg);
		return 0;
	case OPT_PARTS:
		o->parts = arg_number(state, arg, 1, 1000000);
		return 0;
	case OPT_SEED:
		o->seed = arg_number(state, arg, 1, UINT32_MAX);
		return 0;
	case 'k':
		o->kernels = arg;
		return 0;
	case OPT_ACCEL:
		o->accel = arg_accel(state, arg);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s': no argument is wanted", arg);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static int carry_out(struct torture *t)
{
	double until;
	int ret = 0;

	/* All kernels are there before the clock starts. */
	for (unsigned int i = 0; i < t->nr_groups && !ret; i++)
		ret = kernel_get(t->g[i].kernel, &t->g[i].b);
	if (ret)
		return ret == -EINVAL || ret == -ENOENT ? EXIT_USAGE : EXIT_INFRA;
	opt.quiet = true;
	t->start = now_s();
	until = t->start + t->o->minutes * 60;
	printf("TAP version 13\n# seed %llu\n", t->o->seed);
	while (ret != -EINTR && now_s() < until && (!t->o->parts || t->nr < t->o->parts)) {
		struct group *g = next_group(t);

		ret = run_part(t, g, next_part(g));
		/* What there is so far, if the rest does not come to its end. */
		if (report(t))
			return EXIT_INFRA;
	}
	printf("1..%u\n# report: %s/summary.md\n", t->nr, t->rd.path);
	return t->failed ? EXIT_REGRESSION : t->infra || ret == -EINTR ? EXIT_INFRA : EXIT_OK;
}

int cmd_torture(int argc, char **argv)
{
	static const struct argp argp = { options, parse, NULL, "Runs all tests of the kernels, one at a time and in random order, with new seeds.", NULL,
					  NULL, NULL };
	struct torture_options o = { .minutes = 10, .argv = (const char *const *)argv };
	struct torture t = { .o = &o, .rd = { .lock = -1 }, .results = json_array() };
	char *faults;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!o.seed)
		o.seed = arg_fresh_seed();
	faults = xasprintf("%s/bench/faults.plan", top_dir());
	if (!o.kernels)
		o.kernels = file_exists(faults) ? KERNELS " " INJECT : KERNELS;
	free(faults);
	ret = add_groups(&t);
	if (ret)
		ret = ret == -EINVAL || ret == -ENOENT ? EXIT_USAGE : EXIT_INFRA;
	else
		ret = run_dir_create("torture", &t.rd) ? EXIT_INFRA : carry_out(&t);
	for (unsigned int i = 0; i < t.nr_groups; i++) {
		struct group *g = &t.g[i];

		for (size_t j = 0; j < g->nr_parts; j++)
			free(g->parts[j].name);
		free(g->parts);
		kernel_build_free(&g->b);
		free(g->kernel);
		free(g->mount);
		free(g->plan);
	}
	run_dir_close(&t.rd);
	buf_free(&t.tap);
	json_decref(t.results);
	return ret;
}
