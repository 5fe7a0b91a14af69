// SPDX-License-Identifier: GPL-2.0
/*
 * The command `shbench xfstests`; see xfstests.h.
 *
 * A pass is a kernel with mount options; its tests run in one boot. When the guest dies, the test that was running gets the
 * boot's verdict and a new boot goes on behind it. The baseline runs last, and only what failed before, unless --full.
 *
 * Left in the run's directory, for each pass: NAME.tap, NAME.junit.xml, NAME.out (what check wrote), consoles/NAME-BOOT.log, and
 * files/NAME/ with what the suite has to say of failed tests; and results.json and summary.md. NAME.out grows as check writes,
 * and results.json is written anew whenever a test is over, so that no more is lost with this process than the test that runs.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "bench-util.h"
#include "image.h"
#include "kernel.h"
#include "run.h"
#include "shard.h"
#include "store.h"
#include "vm.h"
#include "xfstests.h"

#define IMAGE		"debian-xfstests"
/* What its runs are named after. */
#define PLAN		"xfstests"
#define MAX_MOUNTS	8
/* Without one finished test so many boots in a row mean that there is no getting further. */
#define MAX_EMPTY	2
/* A debug kernel is about this much slower than the lean one. */
#define DEBUG_SLOWDOWN	4
/* Until the agent has said hello; until the suite is unpacked and its first test begins. */
#define BOOT_S		60
#define START_S		300
/* On btrfs: SCRATCH_DEV_POOL has so many devices beside the first. Profiles and the replacement of a device need five. */
#define POOL		4u

struct opts {
	const char *dir, *kernel, *base, *fs, *groups, *exclude, *mkfs, *resume;
	const char *mount[MAX_MOUNTS];
	unsigned int nr_mounts, limit, cpus, shard, shards;
	unsigned long mem_mb, test_mb, scratch_mb;
	enum vm_accel accel;
	bool full;
	char **tests;
	unsigned int nr_tests;
};

struct suite {
	const struct opts *o;
	struct run_dir rd;
	struct image image, dir;
	struct accel_answer accel;
	struct kernel_build kernel, base;
	struct xt_run run;
};

/* One boot, as its records come. */
struct boot {
	const struct suite *s;
	struct xt_pass *p;
	const char *files, *console;
	struct xt_results before;	/* the pass's, when the boot began */
	struct buf out;			/* what check wrote */
	char timeout[4096];		/* names of tests that were ended, each with a blank after it */
	int ret;			/* of storing what came */
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

static int choose(struct suite *s, char hash[65])
{
	struct xt_results *tests = &s->run.tests;
	const char *const dirs[] = { "generic", "shared", s->o->fs };

	for (unsigned int i = 0; i < s->o->nr_tests; i++)
		xt_add(tests, s->o->tests[i], strlen(s->o->tests[i]));
	for (size_t i = 0; i < ARRAY_SIZE(dirs) && s->o->groups; i++) {
		char *path = xasprintf("%s/tests/%s/group.list", s->o->dir, dirs[i]), *text;

		/* Older suites have no directory for each file system, newer ones no "shared". */
		if (!read_file(path, &text, NULL)) {
			xt_select(tests, dirs[i], text, s->o->groups, s->o->exclude);
			free(text);
		}
		free(path);
	}
	xt_hash(tests, hash);
	if (s->o->shards && tests->n && tests->n < s->o->shards) {
		err("xfstests: %zu tests cannot be split into %u parts: choose more of them or fewer parts", tests->n,
		    s->o->shards);
		return -EINVAL;
	}
	if (s->o->shards)
		xt_shard(tests, s->o->shard, s->o->shards);
	if (tests->n)
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

static size_t nr_left(const struct xt_results *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->v[i].state == XT_NONE;
	return n;
}

static int store(const struct suite *s)
{
	char *path = xasprintf("%s/results.json", s->rd.path);
	json_t *doc = xt_doc(&s->run);
	int ret = json_save(path, doc);

	json_decref(doc);
	free(path);
	return ret;
}

/* Adds to NAME.out. */
static int append(const struct suite *s, const struct xt_pass *p, const char *text)
{
	char *path = xasprintf("%s/%s.out", s->rd.path, p->name);
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666), ret;
	ssize_t len = strlen(text), n = fd < 0 ? -1 : write(fd, text, len);

	ret = n == len ? 0 : n < 0 ? -errno : -EIO;
	if (ret)
		err("%s: cannot write: %s", path, strerror(-ret));
	if (fd >= 0)
		close(fd);
	free(path);
	return ret;
}

/* What a boot that did not come to its end means for the test that was running. */
static enum xt_state state_of(enum vm_verdict v)
{
	return v == VM_PANIC || v == VM_SPLAT ? XT_PANIC : v == VM_HANG ? XT_HANG : v == VM_TIMEOUT ? XT_TIMEOUT : XT_DIED;
}

/*
 * Judges the boot's tests by what has come of it so far; res is NULL while it runs. Each time from the beginning, since a
 * test's splats may be seen after its end.
 */
static void judge(struct boot *b, const struct vm_result *res)
{
	struct xt_results *r = &b->p->r;
	char running[64], *text, *names = xstrdup(b->timeout), *save = NULL;
	struct xt_result *t;

	xt_results_free(r);
	for (size_t i = 0; i < b->before.n; i++)
		xt_add_copy(r, &b->before.v[i]);
	xt_parse(r, b->out.s ? b->out.s : "", running, sizeof(running));
	for (char *name = strtok_r(names, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		t = xt_find(r, name);
		if (t)
			xt_set(t, XT_TIMEOUT, "took longer than --limit and was killed");
	}
	/* Where the host was to blame, it is another boot's. */
	t = *running && res && res->verdict != VM_INFRA ? xt_find(r, running) : NULL;
	if (t && t->state == XT_NONE)
		xt_set(t, state_of(res->verdict), res->why);
	if (!read_file(b->console, &text, NULL)) {
		xt_console(r, text);
		free(text);
	}
	free(names);
}

static void on_record(const json_t *rec, void *arg)
{
	struct boot *b = arg;
	const char *t = json_string_value(json_object_get(rec, "t")), *k = json_string_value(json_object_get(rec, "k"));
	const char *v = json_string_value(json_object_get(rec, "v")), *what = json_string_value(json_object_get(rec, "what"));
	double done;
	size_t len;

	if (!t)
		return;
	/* A test begins: those before it are over. */
	if (!strcmp(t, "progress")) {
		done = json_number_value(json_object_get(rec, "done"));
		progress(b->before.n - nr_left(&b->before) + done, b->before.n, "%s: %s", b->p->name, what ? what : "");
		judge(b, NULL);
		if (!b->ret)
			b->ret = store(b->s);
	}
	if (strcmp(t, "blob") || !k || !v)
		return;
	if (!strcmp(k, "check")) {
		buf_str(&b->out, v);
		if (!b->ret)
			b->ret = append(b->s, b->p, v);
	} else if (!strcmp(k, "timeout")) {
		len = strlen(b->timeout);
		snprintf(b->timeout + len, sizeof(b->timeout) - len, "%s ", v);
	} else if (!strcmp(k, "file")) {
		const char *name = json_string_value(json_object_get(json_object_get(rec, "x"), "name"));

		if (name)
			save_file(b, name, v);
	}
}

static unsigned int pool_devices(const struct opts *o)
{
	return strcmp(o->fs, "btrfs") ? 0 : POOL;
}

static char *job_text(const struct suite *s, const struct xt_pass *p)
{
	struct buf b = {};
	const char *sep = "";

	buf_printf(&b, "proto 1\nworkload xfstests\nlane wall\nseed 1\nfs %s\nmode reflink\ndevice virtio\nimage tar\nparam limit %u\n",
		   s->o->fs, s->o->limit);
	if (*p->mount)
		buf_printf(&b, "mount_opts %s\n", p->mount);
	buf_printf(&b, "param pool %u\n", pool_devices(s->o));
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

static int boot(const struct suite *s, struct xt_pass *p)
{
	const struct opts *o = s->o;
	const struct kernel_build *k = p == xt_base(&s->run) ? &s->base : &s->kernel;
	char *initrd = xasprintf("%s/tmp/initrd.cpio", s->rd.path), *test = xasprintf("%s/tmp/test.disk", s->rd.path);
	char *scratch = xasprintf("%s/tmp/scratch.disk", s->rd.path), *tmp = xasprintf("%s/tmp", s->rd.path);
	char *console = xasprintf("%s/consoles/%s-%u.log", s->rd.path, p->name, ++p->boots);
	char *files = xasprintf("%s/files/%s", s->rd.path, p->name), *agent = agent_path(), *job = job_text(s, p);
	/* A test may wait long for a slow machine's disk; it hangs when it cannot be killed at its limit. */
	/* TCG translates code for the address where it runs; the suite starts the same few programs over and over. */
	char *cmdline = xasprintf("%s sysctl.kernel.hung_task_timeout_secs=%u%s", k->cmdline ? k->cmdline : "", o->limit,
				  s->accel.accel == ACCEL_TCG ? " norandmaps" : "");
	struct vm_disk disks[4 + POOL] = {
		{ .path = s->image.tar, .serial = "image", .readonly = true },
		{ .path = s->dir.tar, .serial = "xfstests", .readonly = true },
		{ .path = test, .serial = "test", .raw_sparse = true, .size = (unsigned long long)o->test_mb << 20 },
		{ .path = scratch, .serial = "scratch", .raw_sparse = true, .size = (unsigned long long)o->scratch_mb << 20 },
	};
	char *pool[POOL], *serial[POOL];
	unsigned int nr_pool = pool_devices(o);
	struct boot b = { .s = s, .p = p, .files = files, .console = console };
	double slow = strstr(k->name, "+debug") ? DEBUG_SLOWDOWN : 1;
	/* A test is silent while it runs, and so is the check of its file systems afterwards. */
	struct vm_config cfg = { .accel = s->accel.accel, .bzimage = k->bzimage, .initrd = initrd,
				 .cmdline = cmdline, .mem_mb = o->mem_mb, .cpus = o->cpus, .disks = disks,
				 .nr_disks = 4 + nr_pool, .boot_s = BOOT_S * slow, .idle_s = START_S * slow + o->limit,
				 .total_s = START_S * slow + (double)nr_left(&p->r) * (o->limit + START_S), .dir = tmp,
				 .console = console, .record = on_record, .arg = &b };
	struct vm_result res = {};
	int ret = mkdir_p(files);

	for (unsigned int i = 0; i < nr_pool; i++) {
		pool[i] = xasprintf("%s/tmp/pool%u.disk", s->rd.path, i + 1);
		serial[i] = xasprintf("pool%u", i + 1);
		disks[4 + i] = (struct vm_disk){ .path = pool[i], .serial = serial[i], .raw_sparse = true,
						 .size = (unsigned long long)o->scratch_mb << 20 };
	}
	for (size_t i = 0; i < p->r.n; i++)
		xt_add_copy(&b.before, &p->r.v[i]);
	if (ret)
		err("%s: cannot make the directory: %s", files, strerror(-ret));
	else
		ret = initrd_build(initrd, agent, job, NULL, NULL);
	/* So that a run which is killed in its first test is one to go on with, and the next boot gets a console of its own. */
	if (!ret)
		ret = store(s);
	if (!ret)
		ret = vm_run(&cfg, &res);
	unlink(initrd);
	progress(-1, 0, " ");
	if (!ret || ret == -EINTR) {
		judge(&b, &res);
		if (!b.ret)
			b.ret = store(s);
	}
	if (!ret)
		ret = b.ret;
	if (!ret && nr_left(&p->r) == nr_left(&b.before)) {
		err("xfstests: %s, boot %u: %s: %s; console: %s", p->name, p->boots, vm_verdict_name(res.verdict), res.why, console);
		ret = -EIO;
	}
	vm_result_free(&res);
	xt_results_free(&b.before);
	buf_free(&b.out);
	for (unsigned int i = 0; i < nr_pool; i++) {
		free(pool[i]);
		free(serial[i]);
	}
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

static void pass_init(struct xt_pass *p, const char *prefix, const char *kernel, const char *mount)
{
	*p = (struct xt_pass){ .name = xasprintf("%s%s%s%s", prefix, kernel, *mount ? "-" : "", mount), .mount = xstrdup(mount) };
	/* It names files: a mount option may have '=' and ',' in it, which are harmless, and "/", which is not. */
	for (char *c = p->name; *c; c++)
		if (*c == '/')
			*c = '_';
}

static int save(const char *dir, const char *name, const char *suffix, const char *text, size_t len)
{
	char *path = xasprintf("%s/%s.%s", dir, name, suffix);
	int ret = write_file_atomic(path, text, len);

	if (ret)
		err("%s: cannot write: %s", path, strerror(-ret));
	free(path);
	return ret;
}

static int pass_save(const char *dir, const struct xt_run *run, const struct xt_pass *p)
{
	const struct xt_results *known = p == xt_base(run) ? NULL : &xt_base(run)->r;
	struct buf tap = {}, xml = {};
	int ret;

	xt_ktap(&tap, &p->r, known);
	xt_junit(&xml, p->name, &p->r, known);
	ret = save(dir, p->name, "tap", tap.s, tap.len);
	if (!ret)
		ret = save(dir, p->name, "junit.xml", xml.s, xml.len);
	buf_free(&tap);
	buf_free(&xml);
	return ret;
}

static int summary_save(const char *dir, const struct xt_run *run)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int ret;

	if (!f)
		return -errno;
	xt_summary(f, run);
	fclose(f);
	ret = save(dir, "summary", "md", text, len);
	free(text);
	return ret;
}

/* Runs what has no result yet. */
static int pass_run(const struct suite *s, struct xt_pass *p)
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
	return interrupted() ? -EINTR : 0;
}

/* Only what is new; with --verbose all. Returns how many are new. */
static size_t tell(const char *dir, const struct xt_run *run, const struct xt_pass *p)
{
	size_t count[XT_NR_STATES] = {}, bad = 0, fresh = 0;
	const struct xt_pass *base = xt_base(run);

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
	printf("; %s/%s.tap\n", dir, p->name);
	return fresh;
}

/* Writes and tells all that there is to say of a run but results.json. 0 or -errno, printed; *fresh: how many failures are new */
static int report(const char *dir, const struct xt_run *run, size_t *fresh)
{
	int ret = summary_save(dir, run);

	*fresh = 0;
	for (size_t i = 0; i < run->nr; i++) {
		const struct xt_pass *p = &run->pass[i];

		if (!p->r.n)
			continue;
		if (!ret)
			ret = pass_save(dir, run, p);
		*fresh += tell(dir, run, p);
	}
	for (size_t i = 0; i < run->nr && opt.verbose; i++) {
		struct table *table = xt_table(run, &run->pass[i]);

		printf("\n%s:\n", run->pass[i].name);
		table_print_text(stdout, table, 0);
		table_free(table);
	}
	return ret;
}

static void add_tests(struct xt_pass *p, const struct xt_results *from, bool failed_only)
{
	for (size_t i = 0; i < from->n; i++)
		if (!failed_only || xt_bad(from->v[i].state))
			xt_add(&p->r, from->v[i].name, strlen(from->v[i].name));
}

static int run_all(struct suite *s)
{
	struct xt_run *run = &s->run;
	struct xt_pass *base = &run->pass[run->nr - 1];
	size_t fresh;
	int ret = 0;

	for (struct xt_pass *p = run->pass; !ret && p < base; p++)
		ret = pass_run(s, p);
	for (struct xt_pass *p = run->pass; p < base; p++)
		add_tests(base, &p->r, !s->o->full);
	if (!ret && base->r.n)
		ret = pass_run(s, base);
	run->complete = !ret;
	if (ret == -EINTR)
		err("xfstests: interrupted; what there is is kept: the same command with `--resume %s` goes on", s->rd.id);
	if (report(s->rd.path, run, &fresh) && !ret)
		ret = -EIO;
	if (store(s) && !ret)
		ret = -EIO;
	return ret ? EXIT_INFRA : fresh ? EXIT_REGRESSION : EXIT_OK;
}

static json_t *inputs(const struct suite *s, const char *tests)
{
	const struct opts *o = s->o;
	json_t *mounts = json_array();

	for (unsigned int i = 0; i < o->nr_mounts; i++)
		json_array_append_new(mounts, json_string(o->mount[i]));
	return json_pack("{s:o,s:o,s:s,s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:i,s:i,s:I,s:I,s:I}", "kernel",
			 kernel_provenance(&s->kernel), "baseline", kernel_provenance(&s->base), "suite", s->dir.hash, "image",
			 s->image.hash, "accel", accel_name(s->accel.accel), "fs", o->fs, "mkfs", o->mkfs ? o->mkfs : "",
			 "mounts", mounts, "groups", o->groups ? o->groups : "", "exclude", o->exclude, "tests", tests,
			 "limit", o->limit, "cpus", o->cpus, "mem_mb", (json_int_t)o->mem_mb, "test_mb", (json_int_t)o->test_mb,
			 "scratch_mb", (json_int_t)o->scratch_mb);
}

/* Opens the run to go on with and takes over what it has. */
static int resume(struct suite *s)
{
	char *dir = run_dir_find_of(PLAN, s->o->resume), *path = NULL, *why = NULL;
	json_t *doc = NULL, *old = NULL;
	struct xt_run was = {};
	int ret = dir ? run_dir_open(dir, &s->rd) : -ENOENT;

	if (ret)
		goto out;
	path = xasprintf("%s/results.json", s->rd.path);
	old = json_read(path);
	ret = -EINVAL;
	if (!old)
		goto out;
	free(s->run.id);
	s->run.id = xstrdup(s->rd.id);
	doc = xt_doc(&s->run);
	why = xt_read(&was, old);
	if (why) {
		err("%s cannot be gone on with: %s; start a new run", path, why);
		goto out;
	}
	why = xt_differ(old, s->rd.id, doc, "this command", false);
	if (why) {
		err("run %s cannot be resumed: %s; give what it was made with, or start a new run", s->rd.id, why);
		goto out;
	}
	xt_resume(&s->run, &was);
	ret = 0;
out:
	json_decref(old);
	json_decref(doc);
	xt_run_free(&was);
	free(path);
	free(why);
	free(dir);
	return ret;
}

static int prepare(struct suite *s)
{
	const struct opts *o = s->o;
	struct xt_run *run = &s->run;
	char *initrd = xasprintf("%s/probe-%d.cpio", cache_dir(), getpid()), *agent = agent_path(), tests[65];
	int ret = check_dir(o->dir);

	if (!ret)
		ret = choose(s, tests);
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
	free(initrd);
	free(agent);
	if (ret)
		return ret;
	run->shard = o->shard;
	run->shards = o->shards;
	run->inputs = inputs(s, tests);
	run->pass = xcalloc(o->nr_mounts + 1, sizeof(*run->pass));
	for (; run->nr < o->nr_mounts; run->nr++) {
		pass_init(&run->pass[run->nr], "", s->kernel.name, o->mount[run->nr]);
		add_tests(&run->pass[run->nr], &run->tests, false);
	}
	pass_init(&run->pass[run->nr++], "baseline-", s->base.name, "");
	if (o->resume)
		return resume(s);
	ret = run_dir_create(PLAN, &s->rd);
	if (!ret)
		run->id = xstrdup(s->rd.id);
	return ret;
}

int xfstests_merge(const char *const *ids, size_t nr)
{
	json_t **docs = xcalloc(nr, sizeof(*docs)), *doc = NULL;
	struct run_dir rd = { .lock = -1 };
	struct xt_run run = {};
	char *path, *why = NULL;
	size_t fresh = 0;
	int ret = 0;

	for (size_t i = 0; i < nr && !ret; i++) {
		char *dir = run_dir_find(ids[i]);

		path = dir ? xasprintf("%s/results.json", dir) : NULL;
		docs[i] = path ? json_read(path) : NULL;
		ret = docs[i] ? 0 : -ENOENT;
		free(path);
		free(dir);
	}
	if (!ret) {
		why = xt_merge(&run, docs, ids, nr);
		if (why) {
			err("cannot merge: %s; parts must come from the same kernels, xfstests directory and options", why);
			ret = -EINVAL;
		}
	}
	if (!ret)
		ret = run_dir_create(PLAN, &rd);
	if (!ret) {
		free(run.id);
		run.id = xstrdup(rd.id);
		doc = xt_doc(&run);
		path = xasprintf("%s/results.json", rd.path);
		ret = json_save(path, doc);
		free(path);
	}
	if (!ret)
		ret = report(rd.path, &run, &fresh);
	for (size_t i = 0; i < nr; i++)
		json_decref(docs[i]);
	free(docs);
	json_decref(doc);
	free(why);
	xt_run_free(&run);
	run_dir_close(&rd);
	return ret ? EXIT_INFRA : fresh ? EXIT_REGRESSION : EXIT_OK;
}

/* --- the command ------------------------------------------------------------------------------------------------------------- */

enum { OPT_DIR = 256, OPT_FS, OPT_MOUNT, OPT_MKFS, OPT_LIMIT, OPT_MEM, OPT_CPUS, OPT_TEST, OPT_SCRATCH, OPT_ACCEL, OPT_FULL,
       OPT_SHARD, OPT_RESUME };

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
	{ "scratch-size", OPT_SCRATCH, "MIB", 0, "Size of SCRATCH_DEV (default: 8192); on btrfs, of each of five", 0 },
	{ "accel", OPT_ACCEL, "kvm|tcg", 0, "Do not probe, use this accelerator", 0 },
	{ "full", OPT_FULL, NULL, 0, "The baseline runs all tests, not only those that failed", 0 },
	{ "shard", OPT_SHARD, "I/N", 0, "Only part I of N; `shbench merge` joins the parts", 0 },
	{ "resume", OPT_RESUME, "RUN", 0, "Go on with an interrupted run (id or 'last'), with the same options", 0 },
	{ "quiet", 'q', NULL, 0, "No progress, only results and errors", 0 },
	{ "verbose", 'v', NULL, 0, "Tells of every test, not only of new failures, and counts by group", 0 },
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
	case OPT_SHARD:
		if (shard_parse(arg, &o->shard, &o->shards))
			argp_error(state, "--shard is '%s', must be I/N with I from 1 to N, N at most 1000", arg);
		return 0;
	case OPT_RESUME:
		o->resume = arg;
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
	xt_run_free(&s.run);
	kernel_build_free(&s.kernel);
	kernel_build_free(&s.base);
	image_free(&s.image);
	image_free(&s.dir);
	free(s.accel.why);
	return ret;
}
