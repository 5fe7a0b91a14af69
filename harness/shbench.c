// SPDX-License-Identifier: GPL-2.0
/*
 * The command line: one table of commands, each with its own argp. `shbench --help` lists them.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "bench.h"
#include "bisect.h"
#include "coverage.h"
#include "doctor.h"
#include "gate.h"
#include "history.h"
#include "kernel.h"
#include "plan.h"
#include "power.h"
#include "profile-run.h"
#include "run.h"
#include "shard.h"
#include "torture.h"
#include "store.h"
#include "util.h"
#include "xfstests.h"

static const char exit_codes[] =
	"Exit codes: 0 ok; 1 regression or failed test; 2 usage; 3 infrastructure or invalid result; "
	"4 inconclusive (with --strict); 77 skipped.";

/* Options that several commands know; each command takes the ones it needs. */
struct args {
	struct run_options run;
	const char *fs, *mode, *image, *metric, *output;
	unsigned int n;
	char *pos[256];
	unsigned int nr_pos, max_pos, min_pos;
	const char *what;	/* the positional arguments, for messages */
};

enum { OPT_CELL = 256, OPT_RESUME, OPT_STRICT, OPT_FORCE, OPT_ACCEL, OPT_FS, OPT_MODE, OPT_IMAGE, OPT_N, OPT_METRIC, OPT_ONLY, OPT_SHARD, OPT_DURATIONS, OPT_PLAN, OPT_SEED, OPT_CPUS, OPT_MOUNT, OPT_OUTPUT };

static const struct argp_option common_options[] = {
	{ "quiet", 'q', NULL, 0, "No progress, only results and errors", 0 },
	{ "json", 'J', NULL, 0, "Results as JSON on standard output", 0 },
	{ "verbose", 'v', "WHAT", OPTION_ARG_OPTIONAL, "More detail; -v all shows unchanged rows too", 0 },
	{ 0 }
};

static const struct argp_option run_argp_options[] = {
	{ "kernels", 'k', "LIST", 0, "Kernels instead of the plan's: NAME or NAME:LABEL, the first is the baseline", 0 },
	{ "cell", OPT_CELL, "ID", 0, "Only the cells whose id starts so", 0 },
	{ "only", OPT_ONLY, "PLACE", 0, "Only SECTION[/LANE[/FS[/MODE[/IMAGE]]]], with all kernels", 0 },
	{ "seed", OPT_SEED, "N", 0, "Another seed than the plan's, from 1", 0 },
	{ "cpus", OPT_CPUS, "N", 0, "The guest's CPUs, in all sections", 0 },
	{ "mount", OPT_MOUNT, "OPTIONS", 0, "Mount options in all sections, for all kernels", 0 },
	{ "shard", OPT_SHARD, "I/N", 0, "Only part I of N; `shbench merge` joins the parts", 0 },
	{ "durations", OPT_DURATIONS, "FILE", 0, "Known durations for an even split, the same file for all parts", 0 },
	{ "resume", OPT_RESUME, "RUN", 0, "Go on with an interrupted run (id or 'last')", 0 },
	{ "accel", OPT_ACCEL, "kvm|tcg", 0, "Do not probe, use this accelerator", 0 },
	{ "jobs", 'j', "N", 0, "VMs at once (default: one per core)", 0 },
	{ "strict", OPT_STRICT, NULL, 0, "Inconclusive comparisons end with exit code 4", 0 },
	{ 0 }
};

static const struct argp_option list_argp_options[] = {
	{ "shard", OPT_SHARD, "I/N", 0, "Only the cells of part I of N", 0 },
	{ "durations", OPT_DURATIONS, "FILE", 0, "Known durations for an even split", 0 },
	{ 0 }
};

static const struct argp_option compare_argp_options[] = {
	{ "force", OPT_FORCE, NULL, 0, "Compare although accelerator, config or QEMU differ", 0 },
	{ "strict", OPT_STRICT, NULL, 0, "Inconclusive comparisons end with exit code 4", 0 },
	{ 0 }
};

static const struct argp_option shell_argp_options[] = {
	{ "fs", OPT_FS, "FS", 0, "xfs (default) or btrfs", 0 },
	{ "mode", OPT_MODE, "MODE", 0, "reflink (default), snapshot, overlay, overlay-copyup, copy", 0 },
	{ "image", OPT_IMAGE, "IMAGE", 0, "synthetic (default), debian, debian-slim, a tar or a directory", 0 },
	{ "clones", OPT_N, "N", 0, "How many trees to make (default 4)", 0 },
	{ "accel", OPT_ACCEL, "kvm|tcg", 0, "Do not probe, use this accelerator", 0 },
	{ 0 }
};

static const struct argp_option bisect_argp_options[] = {
	{ "metric", OPT_METRIC, "NAME", 0, "What moved, for instance fault.mean or unique_frames", 0 },
	{ "plan", OPT_PLAN, "PLAN", 0, "Whose sections are measured (default: nightly)", 0 },
	{ "only", OPT_ONLY, "PLACE", 0, "SECTION[/LANE[/FS[/MODE[/IMAGE]]]] of the plan", 0 },
	{ "jobs", 'j', "N", 0, "VMs at once (default: one per core)", 0 },
	{ 0 }
};

static const struct argp_option profile_argp_options[] = {
	{ "kernels", 'k', "LIST", 0, "Kernels instead of the plan's: NAME or NAME:LABEL, the first is the baseline", 0 },
	{ "only", OPT_ONLY, "PLACE", 0, "Only SECTION[/LANE[/FS[/MODE[/IMAGE]]]]", 0 },
	{ "mount", OPT_MOUNT, "OPTIONS", 0, "Mount options in all sections, for all kernels", 0 },
	{ "jobs", 'j', "N", 0, "VMs at once (default: one per core)", 0 },
	{ 0 }
};

static const struct argp_option gate_argp_options[] = {
	{ "output", OPT_OUTPUT, "DIR", 0, "Draw the power curve there", 0 },
	{ 0 }
};

static const struct argp_option history_argp_options[] = {
	{ "metric", OPT_METRIC, "GLOB", 0, "Only metrics of this name, for instance 'fault*'", 0 },
	{ 0 }
};

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;

	switch (key) {
	case 'q':
		opt.quiet = true;
		return 0;
	case 'J':
		opt.json = true;
		return 0;
	case 'v':
		opt.verbose = true;
		a->run.all |= arg && !strcmp(arg, "all");
		return 0;
	case ARGP_KEY_ARG:
		/* "-v all": the optional argument of an option must be glued to it, people write it apart. */
		if (opt.verbose && !strcmp(arg, "all") && a->nr_pos >= a->min_pos) {
			a->run.all = true;
			return 0;
		}
		if (a->nr_pos == a->max_pos)
			argp_error(state, "'%s' is one argument too many; wanted: %s", arg, a->what);
		a->pos[a->nr_pos++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (a->nr_pos < a->min_pos)
			argp_error(state, "an argument is missing; wanted: %s", a->what);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	char *end;

	switch (key) {
	case 'k':
		a->run.kernels = arg;
		return 0;
	case OPT_CELL:
		a->run.cell = arg;
		return 0;
	case OPT_PLAN:
		a->run.plan = arg;
		return 0;
	case OPT_ONLY:
		a->run.only = arg;
		return 0;
	case OPT_SEED:
		a->run.seed = strtoull(arg, &end, 10);
		if (!*arg || *end || !a->run.seed)
			argp_error(state, "--seed is '%s', must be a number from 1", arg);
		return 0;
	case OPT_SHARD:
		if (shard_parse(arg, &a->run.shard, &a->run.shards))
			argp_error(state, "--shard is '%s', must be I/N with I from 1 to N, N at most 1000", arg);
		return 0;
	case OPT_DURATIONS:
		a->run.durations = arg;
		return 0;
	case OPT_CPUS:
		a->run.cpus = arg_number(state, arg, 1, 64);
		return 0;
	case OPT_MOUNT:
		a->run.mount = arg;
		return 0;
	case OPT_RESUME:
		a->run.resume = arg;
		return 0;
	case OPT_STRICT:
		a->run.strict = true;
		return 0;
	case OPT_FORCE:
		a->run.force = true;
		return 0;
	case OPT_ACCEL:
		a->run.accel = arg_accel(state, arg);
		return 0;
	case OPT_OUTPUT:
		a->output = arg;
		return 0;
	case OPT_METRIC:
		a->metric = arg;
		return 0;
	case OPT_FS:
		a->fs = arg;
		return 0;
	case OPT_MODE:
		a->mode = arg;
		return 0;
	case OPT_IMAGE:
		a->image = arg;
		return 0;
	case 'j':
	case OPT_N: {
		unsigned long v = strtoul(arg, &end, 10);

		if (!*arg || *end || v < 1 || v > 10000)
			argp_error(state, "'%s' is not a number from 1 to 10000", arg);
		*(key == 'j' ? &a->run.jobs : &a->n) = v;
		return 0;
	}
	case ARGP_KEY_END:
		if (a->run.shards && (a->run.cell || a->run.only))
			argp_error(state, "--shard goes with neither --cell nor --only: parts must add up to the plan");
		if (a->run.durations && !a->run.shards)
			argp_error(state, "--durations is for --shard");
		return ARGP_ERR_UNKNOWN;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = a;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp common_argp = { common_options, parse_common, NULL, NULL, NULL, NULL, NULL };
static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };

/* Parses a command's line; argp prints errors and help itself and exits with EXIT_USAGE or 0. */
static void parse(int argc, char **argv, const struct argp_option *options, const char *args_doc, const char *doc,
		  unsigned int min_pos, unsigned int max_pos, struct args *a)
{
	struct argp argp = { options, parse_option, args_doc, doc, children, NULL, NULL };

	a->what = args_doc;
	a->min_pos = min_pos;
	a->max_pos = max_pos;
	argp_parse(&argp, argc, argv, 0, NULL, a);
}

static int cmd_run(int argc, char **argv)
{
	struct args a = {};

	parse(argc, argv, run_argp_options, "PLAN", "Carries out a plan and writes table, summary and plots.", 1, 1, &a);
	a.run.plan = a.pos[0];
	a.run.argv = (const char *const *)argv;
	return run_bench(&a.run, NULL);
}

static int cmd_test(int argc, char **argv)
{
	struct args a = {};

	parse(argc, argv, run_argp_options, "PLAN", "Carries out a plan as a test (KTAP): every cell must end as its section expects.",
	      1, 1, &a);
	a.run.plan = a.pos[0];
	a.run.argv = (const char *const *)argv;
	return run_as_test(&a.run);
}

static json_t *load_run(const char *id, char **path)
{
	json_t *doc;

	*path = run_dir_find(id);
	if (!*path)
		return NULL;
	doc = rundoc_load(*path);
	if (!doc)
		free(*path);
	return doc;
}

/* The same without the gate. */
static json_t *load_judged(const char *id, char **path)
{
	json_t *doc = load_run(id, path), *judged = doc ? gate_judge(doc) : NULL;

	json_decref(doc);
	return judged;
}

static int cmd_report(int argc, char **argv)
{
	struct args a = {};
	char *path;
	json_t *doc, *past;
	int ret;

	parse(argc, argv, compare_argp_options, "[RUN]", "Makes table, summary and plots again from a stored run (default: last).", 0, 1,
	      &a);
	doc = load_run(a.nr_pos ? a.pos[0] : "last", &path);
	if (!doc)
		return EXIT_INFRA;
	past = file_exists(history_path()) ? history_read(history_path(), NULL) : NULL;
	history_mark_splats(doc, past);
	json_decref(past);
	ret = report_run(path, doc, &a.run);
	json_decref(doc);
	free(path);
	return ret;
}

static int cmd_plots(int argc, char **argv)
{
	struct args a = {};
	char *path, *templates = xasprintf("%s/results/templates", top_dir());
	json_t *doc;
	int ret;

	parse(argc, argv, NULL, "[RUN]", "Draws the plots of a stored run again (default: last), without a VM.", 0, 1, &a);
	doc = load_judged(a.nr_pos ? a.pos[0] : "last", &path);
	if (!doc) {
		free(templates);
		return EXIT_INFRA;
	}
	ret = plots_draw(doc, path, templates);
	if (ret < 0)
		err("%s/plots: %s", path, strerror(-ret));
	else
		note("%d plots in %s/plots", ret, path);
	json_decref(doc);
	free(path);
	free(templates);
	return ret < 0 ? EXIT_INFRA : EXIT_OK;
}

/* "RUN" or "RUN:LABEL"; the label is cut off. */
static char *split_label(char *arg)
{
	char *colon = strrchr(arg, ':');

	if (!colon)
		return NULL;
	*colon = '\0';
	return colon + 1;
}

static const char *other_label(const json_t *doc)
{
	const char *base = json_string_value(json_object_get(doc, "baseline"));
	json_t *k;
	size_t i;

	json_array_foreach(json_object_get(doc, "kernels"), i, k) {
		const char *label = json_string_value(json_object_get(k, "label"));

		if (strcmp(label, base))
			return label;
	}
	return base;
}

static int cmd_compare(int argc, char **argv)
{
	struct args a = {};
	char *path_a, *path_b = NULL, *label_a, *label_b;
	json_t *doc_a, *doc_b;
	struct comparison c = {};
	int ret;

	parse(argc, argv, compare_argp_options, "A[:LABEL] B[:LABEL]",
	      "Compares two stored runs, or two kernels of one. Without a label A stands for its baseline, B for its candidate "
	      "(its baseline if it has no other).", 2, 2, &a);
	label_a = split_label(a.pos[0]);
	label_b = split_label(a.pos[1]);
	doc_a = load_judged(a.pos[0], &path_a);
	if (!doc_a)
		return EXIT_INFRA;
	doc_b = strcmp(a.pos[0], a.pos[1]) ? load_judged(a.pos[1], &path_b) : json_incref(doc_a);
	if (!doc_b) {
		json_decref(doc_a);
		free(path_a);
		return EXIT_INFRA;
	}
	ret = compare(doc_a, label_a ? label_a : json_string_value(json_object_get(doc_a, "baseline")), doc_b,
		      label_b ? label_b : other_label(doc_b), a.run.force, &c);
	if (ret) {
		err("cannot compare %s with %s: %s", a.pos[0], a.pos[1], strerror(-ret));
		ret = ret == -ENOENT ? EXIT_USAGE : EXIT_INFRA;
	} else {
		if (opt.json) {
			json_t *v = report_json(doc_b, &c, 1);

			json_dumpf(v, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
			putchar('\n');
			json_decref(v);
		} else {
			report_terminal(stdout, doc_b, &c, 1, a.run.all, isatty(STDOUT_FILENO));
		}
		ret = comparison_exit(&c, a.run.strict);
		comparison_free(&c);
	}
	json_decref(doc_a);
	json_decref(doc_b);
	free(path_a);
	free(path_b);
	return ret;
}

static int cmd_gate(int argc, char **argv)
{
	char *templates = xasprintf("%s/results/templates", top_dir()), *why = NULL;
	struct args a = {};
	json_t *docs[ARRAY_SIZE(a.pos)], *power = NULL;
	unsigned int nr = 0;
	int status = EXIT_INFRA;

	parse(argc, argv, gate_argp_options, "RUN...",
	      "Over several runs of a plan with a gate, with different seeds: how often each comparison whose outcome is known came out as it "
	      "must, and from which size on a change is found. Ends with 1 if one came out otherwise.", 1, ARRAY_SIZE(a.pos), &a);
	for (; nr < a.nr_pos; nr++) {
		char *path;

		docs[nr] = load_run(a.pos[nr], &path);
		if (!docs[nr])
			goto out;
		free(path);
	}
	power = gate_power(docs, nr, &why);
	if (!power) {
		err("%s; take complete runs of plans with `gate =`, such as power and nightly", why);
		goto out;
	}
	if (opt.json) {
		json_dumpf(power, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
		putchar('\n');
	} else {
		gate_power_print(stdout, power);
	}
	if (a.output && gate_power_draw(power, a.output, templates) < 0)
		goto out;
	status = json_integer_value(json_object_get(power, "false_alarms")) || json_integer_value(json_object_get(power, "misses"))
			 ? EXIT_REGRESSION : EXIT_OK;
out:
	while (nr)
		json_decref(docs[--nr]);
	json_decref(power);
	free(why);
	free(templates);
	return status;
}

static int cmd_merge(int argc, char **argv)
{
	struct args a = {};
	char *dir, *results;
	bool of_xfstests;

	parse(argc, argv, compare_argp_options, "RUN...",
	      "Joins the runs of all parts of a plan, or of xfstests (--shard I/N), into a new run, and reports on it. RUN is an id "
	      "or a directory with a run.json or results.json.", 1, ARRAY_SIZE(a.pos), &a);
	a.run.argv = (const char *const *)argv;
	dir = run_dir_find(a.pos[0]);
	if (!dir)
		return EXIT_INFRA;
	results = xasprintf("%s/results.json", dir);
	of_xfstests = file_exists(results);
	free(results);
	free(dir);
	if (of_xfstests)
		return xfstests_merge((const char *const *)a.pos, a.nr_pos);
	return run_merge((const char *const *)a.pos, a.nr_pos, &a.run);
}

static int cmd_bisect(int argc, char **argv)
{
	struct args a = { .run.plan = "nightly" };
	struct bisect_options bo;

	parse(argc, argv, bisect_argp_options, "GOOD BAD",
	      "Finds the patch of a series, or the commit of a tree, that moved a metric, in the icount lane. GOOD and BAD are kernels of one "
	      "source: base and a series, NAME@PATCHES, or commits NAME@REF of a git: kernel.", 2, 2, &a);
	if (!a.metric) {
		err("bisect: which metric? Say --metric NAME");
		return EXIT_USAGE;
	}
	a.run.argv = (const char *const *)argv;
	bo = (struct bisect_options){ a.pos[0], a.pos[1], a.metric, a.run };
	return run_bisect(&bo);
}

static int cmd_profile(int argc, char **argv)
{
	struct args a = {};

	parse(argc, argv, profile_argp_options, "PLAN",
	      "In which kernel functions the guest instructions of an operation are, per operation, for the baseline and each other "
	      "kernel: all of them counted, in the icount lane. Each section must measure one kind of operation, as those of the plan "
	      "'profile' do.", 1, 1, &a);
	a.run.plan = a.pos[0];
	a.run.argv = (const char *const *)argv;
	return run_profile(&a.run);
}

static int cmd_coverage(int argc, char **argv)
{
	static const char *const last[] = { "last" };
	struct args a = {};

	parse(argc, argv, NULL, "[RUN...]",
	      "Lines and branches of the series' own files that the boots of some runs (default: last) have reached; -v tells of branches.", 0,
	      ARRAY_SIZE(a.pos), &a);
	return a.nr_pos ? run_coverage((const char *const *)a.pos, a.nr_pos) : run_coverage(last, 1);
}

static int cmd_durations(int argc, char **argv)
{
	struct args a = {};
	json_t *doc, *v;
	char *path;

	parse(argc, argv, NULL, "[RUN]", "Prints how long boots of each place took (default: last): for --durations, or to be kept as "
	      "bench/PLAN.durations.json.", 0, 1, &a);
	doc = load_run(a.nr_pos ? a.pos[0] : "last", &path);
	if (!doc)
		return EXIT_INFRA;
	v = durations_of(doc);
	json_dumpf(v, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(v);
	json_decref(doc);
	free(path);
	return EXIT_OK;
}

/* The rest of `shbench history add RUN...`. */
static int add_to_history(char *const *runs, unsigned int nr)
{
	int ret = 0;

	for (unsigned int i = 0; i < nr && !ret; i++) {
		char *path;
		json_t *doc = load_run(runs[i], &path);

		if (!doc)
			return EXIT_INFRA;
		if (json_object_get(doc, "complete") != json_true()) {
			err("run %s is not complete: go on with it (--resume), then add it", runs[i]);
			ret = -EINVAL;
		} else {
			ret = history_add(doc);
		}
		json_decref(doc);
		free(path);
	}
	return ret ? EXIT_INFRA : EXIT_OK;
}

static int cmd_history(int argc, char **argv)
{
	struct args a = {};
	struct history h;
	json_t *lines, *v;
	char *dir, *templates;
	size_t bad;
	int ret;

	parse(argc, argv, history_argp_options, "[add RUN...]",
	      "Shows where metrics changed for good over all runs of the history, and draws each over time; or adds runs to it.", 0, 8, &a);
	if (a.nr_pos && !strcmp(a.pos[0], "add"))
		return add_to_history(a.pos + 1, a.nr_pos - 1);
	if (a.nr_pos) {
		err("history: '%s' is not a thing it does; nothing, or: add RUN...", a.pos[0]);
		return EXIT_USAGE;
	}
	lines = history_read(history_path(), &bad);
	if (!lines)
		return EXIT_INFRA;
	history_collect(lines, &h);
	h.bad = bad;
	if (opt.json) {
		v = history_json(&h, a.metric);
		json_dumpf(v, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
		putchar('\n');
		json_decref(v);
	} else {
		history_terminal(stdout, &h, a.metric, a.run.all, isatty(STDOUT_FILENO));
	}
	dir = history_plots_dir();
	templates = xasprintf("%s/results/templates", top_dir());
	ret = h.nr ? history_plots(&h, a.metric, dir, templates) : 0;
	if (ret > 0)
		note("%d plots in %s", ret, dir);
	free(dir);
	free(templates);
	history_free(&h);
	json_decref(lines);
	return ret < 0 ? EXIT_INFRA : EXIT_OK;
}

static int cmd_shell(int argc, char **argv)
{
	struct args a = { .fs = "xfs", .mode = "reflink", .image = "synthetic", .n = 4 };

	parse(argc, argv, shell_argp_options, "KERNEL", "An interactive shell in a guest, with the trees mounted at /mnt/t.", 1, 1, &a);
	return run_shell(a.pos[0], a.fs, a.mode, a.image, a.n, a.run.accel);
}

static void print_cell(const struct cell *c)
{
	printf("%s  %-20s %-8s %-6s %-5s %-14s %-12s boot %u layout %u%s\n", c->id, c->s->name, c->label,
	       c->lane == LANE_ICOUNT ? "icount" : "wall", c->fs, c->mode, c->image, c->boot, c->perturbation,
	       c->selfcheck ? " selfcheck" : "");
}

static int list_cells(const struct run_options *ro)
{
	unsigned int *part;
	char hash[65];
	json_t *durations = NULL;
	struct cell *cells;
	struct plan *p;
	double seconds = 0;
	size_t nr, n = 0;
	int ret;

	if (plan_load(ro->plan, &p))
		return EXIT_USAGE;
	if (plan_expand(p, NULL, &cells, &nr)) {
		plan_free(p);
		return EXIT_USAGE;
	}
	part = xcalloc(nr, sizeof(*part));
	ret = ro->shards ? durations_load(ro->durations, p, &durations, hash) : 0;
	if (!ret && ro->shards)
		shard_split(cells, nr, durations, ro->shards, part);
	for (size_t i = 0; i < nr && !ret; i++) {
		if (ro->shards && part[i] != ro->shard)
			continue;
		print_cell(&cells[i]);
		seconds += durations_seconds(durations, &cells[i]);
		n++;
	}
	if (!ret && ro->shards)
		printf("# part %u/%u: %zu of %zu boots, %.0f s of boots%s\n", ro->shard, ro->shards, n, nr, seconds,
		       durations ? "" : " (no durations known: 10 s each)");
	json_decref(durations);
	free(part);
	cells_free(cells, nr);
	plan_free(p);
	return ret ? EXIT_USAGE : EXIT_OK;
}

static int cmd_list(int argc, char **argv)
{
	struct args a = {};
	json_t *describe, *w;
	char **names;
	size_t i;

	parse(argc, argv, list_argp_options, "[PLAN]", "Shows plans, kernels and workloads, or the cells of a plan.", 0, 1, &a);
	if (a.nr_pos) {
		a.run.plan = a.pos[0];
		return list_cells(&a.run);
	}
	names = plan_names();
	puts("plans (shbench run PLAN):");
	for (i = 0; names[i]; i++) {
		struct plan *p;

		if (!plan_load(names[i], &p)) {
			printf("  %-16s %s\n", names[i], p->summary ? p->summary : "");
			plan_free(p);
		}
		free(names[i]);
	}
	free(names);
	names = kernel_names();
	puts("kernels (add +debug for the debug configuration; `shbench kernel list` says which are built):");
	for (i = 0; names && names[i]; i++) {
		printf("  %s\n", names[i]);
		free(names[i]);
	}
	free(names);
	describe = agent_describe();
	if (!describe)
		return EXIT_INFRA;
	puts("workloads:");
	json_array_foreach(json_object_get(describe, "workloads"), i, w) {
		json_t *q;
		size_t j;

		printf("  %-16s %s\n", json_string_value(json_object_get(w, "name")), json_string_value(json_object_get(w, "summary")));
		if (!opt.verbose)
			continue;
		json_array_foreach(json_object_get(w, "params"), j, q)
			printf("    param.%-14s %s (default %s)\n", json_string_value(json_object_get(q, "name")),
			       json_string_value(json_object_get(q, "help")), json_string_value(json_object_get(q, "default")));
		json_array_foreach(json_object_get(w, "metrics"), j, q)
			printf("    %-20s %s [%s, %s is better]\n", json_string_value(json_object_get(q, "name")),
			       json_string_value(json_object_get(q, "summary")), json_string_value(json_object_get(q, "unit")),
			       json_string_value(json_object_get(q, "direction")));
	}
	json_decref(describe);
	return EXIT_OK;
}

/* It has sub-commands of its own and parses from there. */
static int cmd_kernel_sub(int argc, char **argv)
{
	return cmd_kernel(argc - 1, argv + 1);
}

static const struct command {
	const char *name, *args, *summary;
	int (*fn)(int argc, char **argv);
} commands[] = {
	{ "run", "PLAN", "carry out a plan: build, boot, measure, report", cmd_run },
	{ "test", "PLAN", "carry out a plan as a test (KTAP)", cmd_test },
	{ "report", "[RUN]", "table, summary and plots of a stored run", cmd_report },
	{ "plots", "[RUN]", "draw a stored run's plots again", cmd_plots },
	{ "compare", "A B", "compare two runs, or two kernels of one", cmd_compare },
	{ "bisect", "GOOD BAD", "which patch or commit moved a metric", cmd_bisect },
	{ "profile", "PLAN", "in which functions an operation's instructions are, for two kernels", cmd_profile },
	{ "merge", "RUN...", "join the runs of the parts of a plan or of xfstests (--shard I/N)", cmd_merge },
	{ "gate", "RUN...", "how often the gate of several runs found what it must, and how small a change", cmd_gate },
	{ "coverage", "[RUN...]", "lines and branches of the series that tests have reached (plan coverage)", cmd_coverage },
	{ "durations", "[RUN]", "how long boots took, for an even split into parts", cmd_durations },
	{ "history", "[add RUN]", "what changed over all nights, with plots", cmd_history },
	{ "kernel", "...", "list, build, config, tree, export: see `shbench kernel --help`", cmd_kernel_sub },
	{ "list", "[PLAN]", "plans, kernels, workloads, or the cells of a plan", cmd_list },
	{ "shell", "KERNEL", "interactive shell in a guest with the trees mounted", cmd_shell },
	{ "xfstests", "--dir DIR", "the user's xfstests on several kernels: what fails that did not before", cmd_xfstests },
	{ "powercut", "", "power cuts: what fsync has promised is there afterwards", cmd_powercut },
	{ "torture", "", "all tests of the kernels, in turn and with new seeds, for some minutes", cmd_torture },
	{ "doctor", "", "what is there, what is missing, what a run will take", cmd_doctor },
};

static void usage(FILE *f)
{
	fputs("Usage: shbench COMMAND [OPTION...]\n"
	      "Measures what reflinked containers cost in page cache, on real kernels, in virtual machines.\n\n", f);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(f, "  %-9s %-11s %s\n", commands[i].name, commands[i].args, commands[i].summary);
	fprintf(f, "\n`shbench COMMAND --help` tells the options; all know -q and --json.\n%s\n", exit_codes);
}

int main(int argc, char **argv)
{
	const char *names[ARRAY_SIZE(commands) + 1] = {};
	char *near, *title;
	int ret;

	argp_err_exit_status = EXIT_USAGE;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return EXIT_OK;
	}
	interrupts_install();
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		names[i] = commands[i].name;
		if (strcmp(argv[1], commands[i].name))
			continue;
		/* argp names the program in its messages. */
		title = xasprintf("shbench %s", argv[1]);
		argv[1] = title;
		ret = commands[i].fn(argc - 1, argv + 1);
		free(title);
		return ret;
	}
	near = near_misses(argv[1], names);
	err("no command '%s'%s; `shbench --help` lists them", argv[1], near);
	free(near);
	return EXIT_USAGE;
}
