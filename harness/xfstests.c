// SPDX-License-Identifier: GPL-2.0
/*
 * The command `shbench xfstests`; see xfstests.h.
 *
 * A pass is a kernel with mount options; its tests run in one boot. When the guest dies, the test that was running gets the
 * boot's verdict and a new boot goes on behind it. The baseline runs last, and only what failed before, unless --full.
 *
 * Left in the run's directory, for each pass: NAME.tap, NAME.junit.xml, NAME.out (what check wrote), consoles/NAME-BOOT.log, and
 * files/NAME/ with what the suite has to say of failed tests; and results.json.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "image.h"
#include "kernel.h"
#include "run.h"
#include "store.h"
#include "vm.h"
#include "xfstests.h"

#define IMAGE		"debian-xfstests"
#define MAX_MOUNTS	8
/* Without one finished test so many boots in a row mean that there is no getting further. */
#define MAX_EMPTY	2
/* A debug kernel is about this much slower than the lean one. */
#define DEBUG_SLOWDOWN	4
/* Until the agent has said hello; until the suite is unpacked and its first test begins. */
#define BOOT_S		60
#define START_S		300

struct opts {
	const char *dir, *kernel, *base, *fs, *groups, *exclude, *mkfs;
	const char *mount[MAX_MOUNTS];
	unsigned int nr_mounts, limit, cpus;
	unsigned long mem_mb, test_mb, scratch_mb;
	enum vm_accel accel;
	bool full;
	char **tests;
	unsigned int nr_tests;
};

struct pass {
	const struct kernel_build *kernel;
	const char *mount;
	char *name;			/* "shcache-6.12", "shcache-6.12-shcache", "baseline-base" */
	struct xt_results r;
	unsigned int boots;
	struct buf out;			/* all of check's */
};

struct suite {
	const struct opts *o;
	struct run_dir rd;
	struct image image, dir;
	struct accel_answer accel;
	struct kernel_build kernel, base;
	struct xt_results tests;
};

/* One boot, as its records come. */
struct boot {
	struct pass *p;
	const char *files;
	struct buf out;
	char timeout[4096];		/* names of tests that were ended, each with a blank after it */
	double done;
	size_t left;
};

/* --- which tests ---------------------------------------------------------------------------------------------------------- */

static int check_dir(const char *dir)
{
	static const char *const files[] = { "check", "ltp/fsstress", "tests/generic/group.list" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char *path = xasprintf("%s/%s", dir, files[i]);
		bool there = file_exists(path);

		if (!there)
			err("%s: not there: --dir must name an xfstests directory in which `make` has been run", path);
		free(path);
		if (!there)
			return -ENOENT;
	}
	return 0;
}

static int choose(struct suite *s)
{
	const char *const dirs[] = { "generic", "shared", s->o->fs };

	for (unsigned int i = 0; i < s->o->nr_tests; i++)
		xt_add(&s->tests, s->o->tests[i], strlen(s->o->tests[i]));
	for (size_t i = 0; i < ARRAY_SIZE(dirs) && s->o->groups; i++) {
		char *path = xasprintf("%s/tests/%s/group.list", s->o->dir, dirs[i]), *text;

		/* Older suites have no directory for each file system, newer ones no "shared". */
		if (!read_file(path, &text, NULL)) {
			xt_select(&s->tests, dirs[i], text, s->o->groups, s->o->exclude);
			free(text);
		}
		free(path);
	}
	if (s->tests.n)
		return 0;
	err("xfstests: no test is in the groups '%s' for %s%s%s", s->o->groups, s->o->fs, s->o->exclude ? " and not in " : "",
	    s->o->exclude ? s->o->exclude : "");
	return -EINVAL;
}

/* --- one boot ---------------------------------------------------------------------------------------------------------------- */

/* "generic/001.out.bad" -> FILES/generic-001.out.bad; anything else that the guest may say is no path. */
static void save_file(const struct boot *b, const char *name, const char *text)
{
	char *flat = xstrdup(name), *path, *slash = strchr(flat, '/');

	if (slash)
		*slash = '-';
	if (slash && !strchr(flat, '/') && *flat != '.') {
		path = xasprintf("%s/%s", b->files, flat);
		if (write_file_atomic(path, text, strlen(text)))
			warn("%s: cannot write", path);
		free(path);
	}
	free(flat);
}

static void on_record(const json_t *rec, void *arg)
{
	struct boot *b = arg;
	const char *t = json_string_value(json_object_get(rec, "t")), *k = json_string_value(json_object_get(rec, "k"));
	const char *v = json_string_value(json_object_get(rec, "v")), *what = json_string_value(json_object_get(rec, "what"));
	size_t len;

	if (!t)
		return;
	if (!strcmp(t, "progress")) {
		b->done = json_number_value(json_object_get(rec, "done"));
		progress(b->p->r.n - b->left + b->done, b->p->r.n, "%s: %s", b->p->name, what ? what : "");
	}
	if (strcmp(t, "blob") || !k || !v)
		return;
	if (!strcmp(k, "check")) {
		buf_str(&b->out, v);
	} else if (!strcmp(k, "timeout")) {
		len = strlen(b->timeout);
		snprintf(b->timeout + len, sizeof(b->timeout) - len, "%s ", v);
	} else if (!strcmp(k, "file")) {
		const char *name = json_string_value(json_object_get(json_object_get(rec, "x"), "name"));

		if (name)
			save_file(b, name, v);
	}
}

static char *job_text(const struct suite *s, const struct pass *p)
{
	struct buf b = {};
	const char *sep = "";

	buf_printf(&b, "proto 1\nworkload xfstests\nlane wall\nseed 1\nfs %s\nmode reflink\ndevice virtio\nimage tar\nparam limit %u\n",
		   s->o->fs, s->o->limit);
	if (*p->mount)
		buf_printf(&b, "mount_opts %s\n", p->mount);
	if (s->o->mkfs)
		buf_printf(&b, "mkfs_opts %s\n", s->o->mkfs);
	buf_str(&b, "param tests ");
	for (size_t i = 0; i < p->r.n; i++)
		if (p->r.v[i].state == XT_NONE) {
			buf_printf(&b, "%s%s", sep, p->r.v[i].name);
			sep = " ";
		}
	buf_str(&b, "\n");
	return b.s;
}

static size_t nr_left(const struct xt_results *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->v[i].state == XT_NONE;
	return n;
}

/* What a boot that did not come to its end means for the test that was running. */
static enum xt_state state_of(enum vm_verdict v)
{
	return v == VM_PANIC || v == VM_SPLAT ? XT_PANIC : v == VM_HANG ? XT_HANG : v == VM_TIMEOUT ? XT_TIMEOUT : XT_DIED;
}

/* The boot's records are in; judges its tests. Returns how many more have a result now. */
static size_t digest(struct pass *p, struct boot *b, const struct vm_result *res, const char *console)
{
	size_t before = nr_left(&p->r);
	char running[64], *text, *save = NULL;
	struct xt_result *t;

	xt_parse(&p->r, b->out.s ? b->out.s : "", running, sizeof(running));
	for (char *name = strtok_r(b->timeout, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		t = xt_find(&p->r, name);
		if (t)
			xt_set(t, XT_TIMEOUT, "took longer than --limit and was killed");
	}
	/* Where the host was to blame, it is another boot's. */
	t = *running && res->verdict != VM_INFRA ? xt_find(&p->r, running) : NULL;
	if (t && t->state == XT_NONE)
		xt_set(t, state_of(res->verdict), res->why);
	if (!read_file(console, &text, NULL)) {
		xt_console(&p->r, text);
		free(text);
	}
	buf_str(&p->out, b->out.s ? b->out.s : "");
	return before - nr_left(&p->r);
}

static int boot(struct suite *s, struct pass *p)
{
	const struct opts *o = s->o;
	char *initrd = xasprintf("%s/tmp/initrd.cpio", s->rd.path), *test = xasprintf("%s/tmp/test.disk", s->rd.path);
	char *scratch = xasprintf("%s/tmp/scratch.disk", s->rd.path), *tmp = xasprintf("%s/tmp", s->rd.path);
	char *console = xasprintf("%s/consoles/%s-%u.log", s->rd.path, p->name, ++p->boots);
	char *files = xasprintf("%s/files/%s", s->rd.path, p->name), *agent = agent_path(), *job = job_text(s, p);
	/* A test may wait long for a slow machine's disk; it hangs when it cannot be killed at its limit. */
	char *cmdline = xasprintf("%s sysctl.kernel.hung_task_timeout_secs=%u", p->kernel->cmdline ? p->kernel->cmdline : "", o->limit);
	const struct vm_disk disks[] = {
		{ .path = s->image.tar, .serial = "image", .readonly = true },
		{ .path = s->dir.tar, .serial = "xfstests", .readonly = true },
		{ .path = test, .serial = "test", .raw_sparse = true, .size = (unsigned long long)o->test_mb << 20 },
		{ .path = scratch, .serial = "scratch", .raw_sparse = true, .size = (unsigned long long)o->scratch_mb << 20 },
	};
	struct boot b = { .p = p, .files = files, .left = nr_left(&p->r) };
	double slow = strstr(p->kernel->name, "+debug") ? DEBUG_SLOWDOWN : 1;
	/* A test is silent while it runs, and so is the check of its file systems afterwards. */
	struct vm_config cfg = { .accel = s->accel.accel, .bzimage = p->kernel->bzimage, .initrd = initrd,
				 .cmdline = cmdline, .mem_mb = o->mem_mb, .cpus = o->cpus, .disks = disks,
				 .nr_disks = ARRAY_SIZE(disks), .boot_s = BOOT_S * slow, .idle_s = START_S * slow + o->limit,
				 .total_s = START_S * slow + (double)b.left * (o->limit + START_S), .dir = tmp, .console = console,
				 .record = on_record, .arg = &b };
	struct vm_result res = {};
	int ret = mkdir_p(files);

	if (ret)
		err("%s: cannot make the directory: %s", files, strerror(-ret));
	else
		ret = initrd_build(initrd, agent, job, NULL, NULL);
	if (!ret)
		ret = vm_run(&cfg, &res);
	unlink(initrd);
	progress(-1, 0, " ");
	if ((!ret || ret == -EINTR) && !digest(p, &b, &res, console) && !ret) {
		err("xfstests: %s, boot %u: %s: %s; console: %s", p->name, p->boots, vm_verdict_name(res.verdict), res.why, console);
		ret = -EIO;
	}
	vm_result_free(&res);
	buf_free(&b.out);
	free(initrd);
	free(test);
	free(scratch);
	free(tmp);
	free(console);
	free(files);
	free(agent);
	free(job);
	free(cmdline);
	return ret;
}

/* --- passes ------------------------------------------------------------------------------------------------------------------ */

static void pass_init(struct pass *p, const char *prefix, const struct kernel_build *k, const char *mount)
{
	*p = (struct pass){ .kernel = k, .mount = mount };
	p->name = xasprintf("%s%s%s%s", prefix, k->name, *mount ? "-" : "", mount);
	/* It names files: a mount option may have '=' and ',' in it, which are harmless, and "/", which is not. */
	for (char *c = p->name; *c; c++)
		if (*c == '/')
			*c = '_';
}

static void pass_free(struct pass *p)
{
	xt_results_free(&p->r);
	buf_free(&p->out);
	free(p->name);
}

static int save(const struct suite *s, const struct pass *p, const char *suffix, const struct buf *b)
{
	char *path = xasprintf("%s/%s.%s", s->rd.path, p->name, suffix);
	int ret = write_file_atomic(path, b->s ? b->s : "", b->len);

	if (ret)
		err("%s: cannot write: %s", path, strerror(-ret));
	free(path);
	return ret;
}

static int pass_save(const struct suite *s, const struct pass *p, const struct pass *base)
{
	const struct xt_results *known = base == p ? NULL : &base->r;
	struct buf tap = {}, xml = {};
	int ret;

	xt_ktap(&tap, &p->r, known);
	xt_junit(&xml, p->name, &p->r, known);
	ret = save(s, p, "tap", &tap);
	if (!ret)
		ret = save(s, p, "junit.xml", &xml);
	if (!ret)
		ret = save(s, p, "out", &p->out);
	buf_free(&tap);
	buf_free(&xml);
	return ret;
}

/* Runs what has no result yet. */
static int pass_run(struct suite *s, struct pass *p)
{
	unsigned int empty = 0;
	int ret = 0;

	note("xfstests: %s: %zu tests; results: %s", p->name, nr_left(&p->r), s->rd.path);
	while (nr_left(&p->r) && !interrupted()) {
		ret = boot(s, p);
		/* A boot that came to nothing may be the host's fault; a second one is not. */
		empty = ret ? empty + 1 : 0;
		if (ret && (ret != -EIO || empty == MAX_EMPTY))
			return ret;
	}
	if (interrupted())
		err("xfstests: interrupted; what there is is in %s", s->rd.path);
	return interrupted() ? -EINTR : 0;
}

static json_t *pass_json(const struct pass *p)
{
	json_t *tests = json_array();

	for (size_t i = 0; i < p->r.n; i++) {
		const struct xt_result *t = &p->r.v[i];

		json_array_append_new(tests, json_pack("{s:s,s:s,s:i,s:s}", "name", t->name, "state", xt_state_name(t->state), "seconds",
						       t->seconds, "why", t->why));
	}
	return json_pack("{s:s,s:s,s:o,s:i,s:o}", "name", p->name, "mount", p->mount, "kernel", kernel_provenance(p->kernel), "boots",
			 p->boots, "tests", tests);
}

/* Only what is new; with --verbose all. Returns how many are new. */
static size_t tell(const struct suite *s, const struct pass *p, const struct pass *base)
{
	size_t count[XT_NR_STATES] = {}, bad = 0, fresh = 0;

	for (size_t i = 0; i < p->r.n; i++) {
		const struct xt_result *t = &p->r.v[i], *o = xt_find(&base->r, t->name);
		bool is_new = p != base && xt_new(t, o);

		count[t->state]++;
		bad += xt_bad(t->state);
		fresh += is_new;
		if (is_new)
			printf("not ok %s on %s: %s: %s\n", t->name, p->name, xt_state_name(t->state), t->why);
		else if (opt.verbose)
			printf("%s %s on %s%s%s\n", xt_bad(t->state) ? "known failure" : xt_state_name(t->state), t->name, p->name,
			       *t->why ? ": " : "", t->why);
		if (is_new)
			for (const char *line = t->text + strcspn(t->text, "\n"), *next; *line; line = next) {
				line += *line == '\n';
				next = line + strcspn(line, "\n");
				printf("# %.*s\n", (int)(next - line), line);
			}
	}
	printf("# %s: %zu tests: %zu passed, %zu failed, %zu not run by the suite", p->name, p->r.n, count[XT_PASSED], bad,
	       count[XT_NOTRUN]);
	if (count[XT_REFUSED])
		printf(", %zu on file systems that the mount option is refused for", count[XT_REFUSED]);
	if (count[XT_NONE])
		printf(", %zu not carried out", count[XT_NONE]);
	if (p != base)
		printf("; new failures: %zu", fresh);
	printf("; %s/%s.tap\n", s->rd.path, p->name);
	return fresh;
}

static void add_tests(struct pass *p, const struct xt_results *from, bool failed_only)
{
	for (size_t i = 0; i < from->n; i++)
		if (!failed_only || xt_bad(from->v[i].state))
			xt_add(&p->r, from->v[i].name, strlen(from->v[i].name));
}

static int run_all(struct suite *s)
{
	const struct opts *o = s->o;
	struct pass passes[MAX_MOUNTS + 1], *base = &passes[o->nr_mounts];
	json_t *list = json_array(), *doc;
	size_t fresh = 0;
	char *path;
	int ret = 0;

	for (unsigned int i = 0; i < o->nr_mounts; i++) {
		pass_init(&passes[i], "", &s->kernel, o->mount[i]);
		add_tests(&passes[i], &s->tests, false);
	}
	pass_init(base, "baseline-", &s->base, "");
	for (unsigned int i = 0; !ret && i < o->nr_mounts; i++)
		ret = pass_run(s, &passes[i]);
	for (unsigned int i = 0; i < o->nr_mounts; i++)
		add_tests(base, &passes[i].r, !o->full);
	if (!ret && base->r.n)
		ret = pass_run(s, base);
	for (unsigned int i = 0; i <= o->nr_mounts; i++) {
		if (passes[i].r.n) {
			if (pass_save(s, &passes[i], base) && !ret)
				ret = -EIO;
			fresh += tell(s, &passes[i], base);
		}
		json_array_append_new(list, pass_json(&passes[i]));
		pass_free(&passes[i]);
	}
	doc = json_pack("{s:s,s:s,s:s,s:s,s:b,s:o}", "schema", "shcache-xfstests/1", "fs", o->fs, "groups", o->groups ? o->groups : "",
			"suite_hash", s->dir.hash, "complete", !ret, "passes", list);
	path = xasprintf("%s/results.json", s->rd.path);
	if (json_save(path, doc) && !ret)
		ret = -EIO;
	free(path);
	json_decref(doc);
	return ret ? EXIT_INFRA : fresh ? EXIT_REGRESSION : EXIT_OK;
}

static int prepare(struct suite *s)
{
	const struct opts *o = s->o;
	char *initrd = xasprintf("%s/probe-%d.cpio", cache_dir(), getpid()), *agent = agent_path();
	int ret = check_dir(o->dir);

	if (!ret)
		ret = choose(s);
	if (!ret)
		ret = kernel_get(o->kernel, &s->kernel);
	if (!ret)
		ret = kernel_get(o->base, &s->base);
	if (!ret)
		ret = image_get(IMAGE, NULL, &s->image);
	if (!ret)
		ret = image_get(o->dir, NULL, &s->dir);
	if (!ret)
		ret = initrd_build(initrd, agent, "proto 1\nworkload canary\nlane wall\nseed 1\n", NULL, NULL);
	if (!ret)
		ret = accel_probe(NULL, s->kernel.bzimage, initrd, o->accel, &s->accel);
	unlink(initrd);
	if (!ret)
		ret = run_dir_create("xfstests", &s->rd);
	free(initrd);
	free(agent);
	return ret;
}

/* --- the command ------------------------------------------------------------------------------------------------------------- */

enum { OPT_DIR = 256, OPT_FS, OPT_MOUNT, OPT_MKFS, OPT_LIMIT, OPT_MEM, OPT_CPUS, OPT_TEST, OPT_SCRATCH, OPT_ACCEL, OPT_FULL };

static const struct argp_option options[] = {
	{ "dir", OPT_DIR, "DIR", 0, "The installed xfstests directory, compiled on this system", 0 },
	{ "kernel", 'k', "KERNEL", 0, "What is tested (default: shcache-6.12)", 0 },
	{ "baseline", 'b', "KERNEL", 0, "What it is compared with (default: base)", 0 },
	{ "fs", OPT_FS, "FS", 0, "xfs (default) or btrfs", 0 },
	{ "group", 'g', "LIST", 0, "Tests of these groups, separated by commas (default: quick, if no test is named)", 0 },
	{ "exclude", 'x', "LIST", 0, "But not those of these groups (default: dangerous)", 0 },
	{ "mount", OPT_MOUNT, "OPTIONS", 0, "Mount with these; may be repeated: one pass each (default: '' and shcache)", 0 },
	{ "mkfs", OPT_MKFS, "OPTIONS", 0, "For mkfs, as in MKFS_OPTIONS", 0 },
	{ "limit", OPT_LIMIT, "S", 0, "A test that takes longer is killed and has failed (default: 300)", 0 },
	{ "mem", OPT_MEM, "MIB", 0, "The guest's memory (default: 3072)", 0 },
	{ "cpus", OPT_CPUS, "N", 0, "The guest's CPUs (default: 2)", 0 },
	{ "test-size", OPT_TEST, "MIB", 0, "Size of TEST_DEV, a sparse file (default: 4096)", 0 },
	{ "scratch-size", OPT_SCRATCH, "MIB", 0, "Size of SCRATCH_DEV (default: 8192)", 0 },
	{ "accel", OPT_ACCEL, "kvm|tcg", 0, "Do not probe, use this accelerator", 0 },
	{ "full", OPT_FULL, NULL, 0, "The baseline runs all tests, not only those that failed", 0 },
	{ "quiet", 'q', NULL, 0, "No progress, only results and errors", 0 },
	{ "verbose", 'v', NULL, 0, "Tells of every test, not only of new failures", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct opts *o = state->input;

	switch (key) {
	case OPT_DIR:
		o->dir = arg;
		return 0;
	case 'k':
		o->kernel = arg;
		return 0;
	case 'b':
		o->base = arg;
		return 0;
	case OPT_FS:
		if (strcmp(arg, "xfs") && strcmp(arg, "btrfs"))
			argp_error(state, "--fs is '%s', must be xfs or btrfs", arg);
		o->fs = arg;
		return 0;
	case 'g':
		o->groups = arg;
		return 0;
	case 'x':
		o->exclude = arg;
		return 0;
	case OPT_MOUNT:
		if (o->nr_mounts == MAX_MOUNTS)
			argp_error(state, "more than %d times --mount", MAX_MOUNTS);
		o->mount[o->nr_mounts++] = arg;
		return 0;
	case OPT_MKFS:
		o->mkfs = arg;
		return 0;
	case OPT_LIMIT:
		o->limit = arg_number(state, arg, 10, 86400);
		return 0;
	case OPT_MEM:
		o->mem_mb = arg_number(state, arg, 1024, 1 << 20);
		return 0;
	case OPT_CPUS:
		o->cpus = arg_number(state, arg, 1, 64);
		return 0;
	case OPT_TEST:
		o->test_mb = arg_number(state, arg, 512, 1 << 24);
		return 0;
	case OPT_SCRATCH:
		o->scratch_mb = arg_number(state, arg, 512, 1 << 24);
		return 0;
	case OPT_ACCEL:
		o->accel = arg_accel(state, arg);
		return 0;
	case OPT_FULL:
		o->full = true;
		return 0;
	case 'q':
		opt.quiet = true;
		return 0;
	case 'v':
		opt.verbose = true;
		return 0;
	case ARGP_KEY_ARGS:
		o->tests = state->argv + state->next;
		o->nr_tests = state->argc - state->next;
		return 0;
	case ARGP_KEY_END:
		if (!o->dir)
			argp_error(state, "--dir is missing: an xfstests directory in which `make` has been run");
		if (!o->groups && !o->nr_tests)
			o->groups = "quick";
		if (!o->nr_mounts) {
			o->mount[o->nr_mounts++] = "";
			o->mount[o->nr_mounts++] = "shcache";
		}
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

int cmd_xfstests(int argc, char **argv)
{
	static const struct argp argp = { options, parse, "[TEST...]",
					  "Runs an installed xfstests directory in guests, and says what fails that does not fail on the "
					  "baseline kernel. TEST is a name as generic/001.", NULL, NULL, NULL };
	struct opts o = { .kernel = "shcache-6.12", .base = "base", .fs = "xfs", .exclude = "dangerous", .limit = 300, .cpus = 2,
			  .mem_mb = 3072, .test_mb = 4096, .scratch_mb = 8192 };
	struct suite s = { .o = &o, .rd = { .lock = -1 } };
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	ret = prepare(&s);
	if (!ret)
		ret = run_all(&s);
	else
		ret = ret == -EINVAL || ret == -ENOENT ? EXIT_USAGE : EXIT_INFRA;
	run_dir_close(&s.rd);
	xt_results_free(&s.tests);
	kernel_build_free(&s.kernel);
	kernel_build_free(&s.base);
	image_free(&s.image);
	image_free(&s.dir);
	free(s.accel.why);
	return ret;
}
