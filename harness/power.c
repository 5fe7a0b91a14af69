// SPDX-License-Identifier: GPL-2.0
/*
 * Power cuts; see power.h. A round is two boots: the first one is cut, the second one recovers all disks that the first may have left.
 *
 * Of each cut come
 *	cut0	the disk as QEMU left it, that is, all writes that were acknowledged: the machine lost its memory, the disk kept its cache.
 *		Promised is what the guest was heard to say.
 *	cut1 .. disks made from the log, cut at some earlier place, with some of the writes lost that were not flushed by then. Promised is
 *		what the last mark before that place says.
 *
 * A failure leaves its files in the run's directory: kept/ROUND.log, the log of the first boot's disk, kept/ROUND-cutN.img, a disk as it was
 * before it was recovered, and the consoles.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "args.h"
#include "bench.h"
#include "image.h"
#include "kernel.h"
#include "power-mark.h"
#include "power.h"
#include "run.h"
#include "store.h"
#include "writelog.h"

#define MAX_KERNELS	8u
#define MAX_IMAGES	20u
#define BOOT_S		40
#define IDLE_S		90
#define WORK_S		120
#define CHECK_S		120
#define PAUSE_S		0.06	/* at most so much later than the last promise is the cut */

/* Small file systems: their logs wrap, and their blocks are used again soon. The mark's place is behind them. */
static const struct flavour {
	const char *fs, *mkfs_opts;
	unsigned long long size;
	const char *fsck[5];
} flavours[] = {
	{ "xfs", "-d size=176m -l size=10m", 192ull << 20, { "xfs_repair", "-n", "-f", NULL } },
	{ "btrfs", "-b 300m", 320ull << 20, { "btrfs", "check", "--readonly", NULL } },
};

struct kernel {
	struct kernel_build b;
	char *mount;
};

struct power {
	struct power_options o;
	const struct flavour *f;
	struct kernel k[MAX_KERNELS];
	unsigned int nr_kernels;
	struct accel_answer accel;
	char *dir, *agent;
	unsigned int rounds;
};

/* A disk after the cut. */
struct cut {
	struct wlog_cut c;		/* not of cut0 */
	uint64_t promised;
	char *path;
};

struct round {
	struct power *p;
	const struct kernel *k, *checker;
	uint64_t seed, rnd;
	char *name;			/* "003-base-7" */
	char *disk, *log;
	double cut_at;
	unsigned int promises, wanted;	/* heard so far; cut after so many */
	uint64_t heard;			/* the last one */
	uint64_t served;
	char *features, *dio;
	struct wlog writes;
	struct cut cuts[MAX_IMAGES + 1];
	unsigned int nr_cuts;
	struct power_sum *sum;
	struct buf *tap;
};

/* --- boots --------------------------------------------------------------------------------------------------------------- */

/* The kernel's counters: "pages 3;hit 40;...;map 5". */
static uint64_t counter(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoull(p + strlen(name), NULL, 10) : 0;
}

static void on_record(const json_t *rec, void *arg)
{
	const char *t = json_string_value(json_object_get(rec, "t")), *what = json_string_value(json_object_get(rec, "what"));
	const char *k = json_string_value(json_object_get(rec, "k")), *v = json_string_value(json_object_get(rec, "v"));
	struct round *r = arg;

	if (!t)
		return;
	if (!strcmp(t, "info") && k && v && !strcmp(k, "features") && !r->features)
		r->features = xstrdup(v);
	if (!strcmp(t, "info") && k && v && !strcmp(k, "dio") && !r->dio)
		r->dio = xstrdup(v);
	if (!strcmp(t, "info") && k && v && !strcmp(k, "shcache"))
		r->served = counter(v, ";hit ") + counter(v, ";map ");
	if (strcmp(t, "progress") || !what || strcmp(what, "promised"))
		return;
	r->heard = (uint64_t)json_number_value(json_object_get(rec, "done"));
	if (++r->promises == r->wanted)
		r->cut_at = now_s() + (double)(random64(&r->rnd) % 1000) * PAUSE_S / 1000;
}

static char *job_text(const struct round *r, const struct kernel *k, const char *params)
{
	struct buf b = {};

	buf_printf(&b, "proto 1\nworkload power\nlane wall\nseed %" PRIu64 "\nfs %s\nmode reflink\ndevice virtio\ndevice_mb %llu\nmkfs_opts %s\n"
		   "image synthetic\n", r->seed, r->p->f->fs, r->p->f->size >> 20, r->p->f->mkfs_opts);
	if (*k->mount)
		buf_printf(&b, "mount_opts %s\n", k->mount);
	buf_str(&b, params);
	return b.s;
}

static int boot(struct round *r, const struct kernel *k, const char *params, const struct vm_disk *disks, unsigned int nr, bool work,
		struct vm_result *res)
{
	const struct power *p = r->p;
	char *initrd = xasprintf("%s/tmp/%s.cpio", p->dir, r->name), *job = job_text(r, k, params), *common = run_cmdline(&k->b);
	/* The mark is written beside the mounted file system. */
	char *cmdline = xasprintf("%s bdev_allow_write_mounted=1", common);
	char *console = xasprintf("%s/consoles/%s-%s.log", p->dir, r->name, work ? "work" : "check"), *tmp = xasprintf("%s/tmp", p->dir);
	char *tools = work ? xasprintf("mkfs.%s", p->f->fs) : NULL;
	double slow = run_slowdown(p->accel.accel, k->b.name);
	struct vm_config cfg = { .accel = p->accel.accel, .bzimage = k->b.bzimage, .initrd = initrd, .cmdline = cmdline,
				 .mem_mb = p->o.mem_mb, .cpus = p->o.cpus, .disks = disks, .nr_disks = nr, .boot_s = BOOT_S * slow,
				 .idle_s = IDLE_S * slow, .total_s = (work ? WORK_S : CHECK_S) * slow, .dir = tmp, .console = console,
				 .record = work ? on_record : NULL, .cut_at = work ? &r->cut_at : NULL, .arg = r };
	int ret = initrd_build(initrd, p->agent, job, tools, NULL);

	if (!ret) {
		r->sum->boots++;
		ret = vm_run(&cfg, res);
	}
	unlink(initrd);
	free(initrd);
	free(job);
	free(common);
	free(cmdline);
	free(console);
	free(tmp);
	free(tools);
	return ret;
}

/* --- what is said -------------------------------------------------------------------------------------------------------- */

static void line(struct round *r, bool ok, const char *what, const char *why)
{
	buf_printf(r->tap, "%s - power cut, %s, %s%s%s, seed %" PRIu64 ": %s\n", ok ? "ok" : "not ok", r->p->f->fs, r->k->b.name,
		   *r->k->mount ? " with " : "", r->k->mount, r->seed, what);
	if (!ok)
		buf_printf(r->tap, "# %s\n# reproduce: ./shbench powercut -k %s%s%s --fs %s --cpus %u --seed %" PRIu64 " --rounds 5\n# %s/kept/%s*\n",
			   why, r->k->b.name, *r->k->mount ? "/" : "", r->k->mount, r->p->f->fs, r->p->o.cpus, r->seed, r->p->dir, r->name);
	if (ok)
		r->sum->passed++;
	else
		r->sum->failed++;
}

static char *kept_path(const struct round *r, const char *suffix)
{
	char *dir = xasprintf("%s/kept", r->p->dir), *path = xasprintf("%s/%s%s", dir, r->name, suffix);

	mkdir_p(dir);		/* what fails here fails at the file too */
	free(dir);
	return path;
}

/* The log; and the disk, made from it again. */
static void keep(struct round *r, unsigned int i)
{
	char *log = kept_path(r, ".log"), *suffix = xasprintf("-cut%u.img", i), *img = kept_path(r, suffix);
	struct wlog_cut c = i ? r->cuts[i].c : (struct wlog_cut){ .at = r->writes.n, .keep = 256, .honest = SIZE_MAX };
	int ret = 0;

	if (!file_exists(log))
		ret = copy_file(r->log, log);
	if (!ret)
		ret = wlog_disk(&r->writes, &c, img, r->p->f->size);
	if (ret)
		warn("%s: cannot keep what failed: %s", img, strerror(-ret));
	free(log);
	free(suffix);
	free(img);
}

/* --- the first boot: work until the cut ----------------------------------------------------------------------------------- */

static int make_empty(const char *path, unsigned long long size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), ret = 0;

	if (fd < 0 || ftruncate(fd, (off_t)size))
		ret = -errno;
	if (fd >= 0)
		close(fd);
	if (ret)
		err("%s: %s", path, strerror(-ret));
	return ret;
}

/* 0: it was cut. 1: it failed, which was said. */
static int work(struct round *r)
{
	const struct vm_disk disk = { .path = r->disk, .serial = "scratch", .size = r->p->f->size, .log = r->log };
	char *params = xasprintf("param do work\nparam seed %" PRIu64 "\n", r->seed);
	struct vm_result res = {};
	int ret = make_empty(r->disk, r->p->f->size);

	if (!ret)
		ret = make_empty(r->log, 0);
	if (!ret)
		ret = boot(r, r->k, params, &disk, 1, true, &res);
	free(params);
	if (!ret && res.verdict == VM_INFRA) {
		err("power cut: %s", res.why);
		ret = -EIO;
	} else if (!ret && (!res.cut || res.verdict != VM_PASSED)) {
		char *why = xasprintf("%s: %s", vm_verdict_name(res.verdict), res.why);

		line(r, false, "before the cut", why);
		free(why);
		ret = 1;
	}
	r->sum->promises += r->promises;
	r->sum->served += r->served;
	vm_result_free(&res);
	return ret;
}

/* --- disks --------------------------------------------------------------------------------------------------------------- */

struct marks {
	size_t *entry;			/* where in the log ... */
	uint64_t *nr;			/* ... is which promise */
	size_t n;
};

static void find_marks(const struct round *r, struct marks *m)
{
	const struct wlog *l = &r->writes;
	union {
		struct power_mark m;
		uint8_t sector[POWER_SECTOR];
	} u;

	*m = (struct marks){ .entry = xcalloc(l->n + 1, sizeof(*m->entry)), .nr = xcalloc(l->n + 1, sizeof(*m->nr)) };
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].off != r->p->f->size - POWER_MARK_BACK || l->v[i].len != POWER_SECTOR || wlog_data(l, i, &u) ||
		    u.m.magic != POWER_MAGIC || u.m.seed != r->seed)
			continue;
		m->entry[m->n] = i;
		m->nr[m->n++] = u.m.nr;
	}
}

/* Where, and how much is lost. One third: just behind a promise, all that is not safe is gone. */
static struct wlog_cut choose(struct round *r, const struct marks *m)
{
	static const unsigned int keeps[] = { 0, 32, 128, 224, 256 };
	struct wlog_cut c = { .seed = random64(&r->rnd), .honest = r->p->o.lie ? m->entry[0] : SIZE_MAX };
	size_t mark = m->entry[random64(&r->rnd) % m->n], first = m->entry[0] + 1;
	unsigned int how = random64(&r->rnd) % 3, keep = keeps[random64(&r->rnd) % ARRAY_SIZE(keeps)];

	if (how == 0) {
		c.at = mark + 1;
	} else if (how == 1) {
		c.at = first + random64(&r->rnd) % (r->writes.n - first + 1);
		c.keep = keep;
	} else {
		c.at = mark + 1 + random64(&r->rnd) % 30;
		c.keep = keep;
	}
	if (c.at > r->writes.n)
		c.at = r->writes.n;
	return c;
}

static int make_disks(struct round *r)
{
	struct marks m;
	const char *why;
	int ret = wlog_open(r->log, &r->writes, &why);

	if (ret) {
		err("power cut: %s: %s", r->log, why);
		return -EIO;
	}
	find_marks(r, &m);
	r->sum->writes += r->writes.n;
	r->sum->bytes += r->writes.bytes;
	r->cuts[r->nr_cuts++] = (struct cut){ .promised = r->heard, .path = xstrdup(r->disk) };
	if (!m.n) {
		err("power cut: %s: there is no mark in the log, but promise %" PRIu64 " was heard", r->log, r->heard);
		ret = -EIO;
	}
	while (!ret && r->nr_cuts <= r->p->o.images) {
		struct cut *c = &r->cuts[r->nr_cuts];

		c->c = choose(r, &m);
		for (size_t i = 0; i < m.n && m.entry[i] < c->c.at; i++)
			c->promised = m.nr[i];
		c->path = xasprintf("%s/tmp/%s-cut%u.img", r->p->dir, r->name, r->nr_cuts++);
		ret = wlog_disk(&r->writes, &c->c, c->path, r->p->f->size);
		if (ret)
			err("%s: %s", c->path, strerror(-ret));
	}
	free(m.entry);
	free(m.nr);
	return ret ? -EIO : 0;
}

/* --- the second boot: recovery ------------------------------------------------------------------------------------------- */

/* What the guest said of disk i; NULL: nothing. */
static const json_t *find_check(const struct vm_result *res, unsigned int i)
{
	char name[16];
	json_t *rec;
	size_t j;

	snprintf(name, sizeof(name), "cut%u", i);
	json_array_foreach(res->records, j, rec) {
		const char *t = json_string_value(json_object_get(rec, "t")), *n = json_string_value(json_object_get(rec, "name"));

		if (t && n && !strcmp(t, "check") && !strcmp(n, name))
			return rec;
	}
	return NULL;
}

/* NULL: the file system is consistent; else what the tool says (malloced). */
static char *fsck(struct round *r, const struct cut *c)
{
	const char *argv[8] = {};
	struct buf out = {};
	/* Where a user who is not root does not look. */
	char *env = xasprintf("PATH=%s:/usr/sbin:/sbin", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
	const char *envs[] = { env, NULL };
	char *log = xasprintf("%s/tmp/fsck.log", r->p->dir), *text = NULL, *why = NULL;
	struct run_opts ro = { .out = &out, .log = log, .env = envs };
	unsigned int n = 0;
	int ret;

	for (; r->p->f->fsck[n]; n++)
		argv[n] = r->p->f->fsck[n];
	argv[n] = c->path;
	unlink(log);
	ret = run_cmd(argv, &ro);
	if (read_file(log, &text, NULL))
		text = NULL;
	if (ret) {
		why = xasprintf("%s: %s %d: %.300s %.600s", argv[0], ret < 0 ? "cannot be run" : "status", ret < 0 ? -ret : ret,
				text ? text : "", out.s ? out.s : "");
		for (char *s = why; *s; s++)
			if ((unsigned char)*s < ' ')
				*s = ' ';
	}
	free(text);
	buf_free(&out);
	unlink(log);
	free(log);
	free(env);
	return why;
}

static void judge(struct round *r, unsigned int i, const struct vm_result *res)
{
	const struct cut *c = &r->cuts[i];
	const json_t *check = find_check(res, i);
	bool clean = res->verdict == VM_PASSED || res->verdict == VM_INVALID;
	char *what, *why = NULL;

	if (!check)
		why = xasprintf("%s: %s", vm_verdict_name(res->verdict), res->why);
	else if (!json_is_true(json_object_get(check, "ok")))
		why = xstrdup(json_string_value(json_object_get(check, "detail")));
	else if (!clean)
		why = xasprintf("the boot that recovered it: %s: %s", vm_verdict_name(res->verdict), res->why);
	else
		why = fsck(r, c);
	if (i)
		what = xasprintf("cut%u at write %zu of %zu, %u/256 of what was not flushed kept, promised %" PRIu64 ", recovered by %s", i, c->c.at,
				 r->writes.n, c->c.keep, c->promised, r->checker->b.name);
	else
		what = xasprintf("cut0, all writes kept, promised %" PRIu64 ", recovered by %s", c->promised, r->checker->b.name);
	/* Of a disk that lies it is known why. */
	if (why && !r->p->o.lie)
		keep(r, i);
	line(r, !why, what, why);
	free(what);
	free(why);
}

static int recover(struct round *r)
{
	struct vm_disk disks[MAX_IMAGES + 1] = {};
	char serials[MAX_IMAGES + 1][16];
	struct buf params = {};
	struct vm_result res = {};
	int ret;

	buf_printf(&params, "param do check\nparam seed %" PRIu64 "\nparam features %s\nparam dio %s\nparam promised ", r->seed,
		   r->features ? r->features : "0", r->dio ? r->dio : "512");
	for (unsigned int i = 0; i < r->nr_cuts; i++) {
		snprintf(serials[i], sizeof(serials[i]), "cut%u", i);
		disks[i] = (struct vm_disk){ .path = r->cuts[i].path, .serial = serials[i], .size = r->p->f->size };
		buf_printf(&params, "%s%" PRIu64, i ? "," : "", r->cuts[i].promised);
	}
	buf_str(&params, "\n");
	ret = boot(r, r->checker, params.s, disks, r->nr_cuts, false, &res);
	if (!ret && res.verdict == VM_INFRA) {
		err("power cut: %s", res.why);
		ret = -EIO;
	}
	for (unsigned int i = 0; !ret && i < r->nr_cuts; i++)
		judge(r, i, &res);
	vm_result_free(&res);
	buf_free(&params);
	return ret;
}

/* --- rounds -------------------------------------------------------------------------------------------------------------- */

static void tidy(struct round *r, bool failed)
{
	static const char *const boots[] = { "work", "check" };

	for (unsigned int i = 0; i < r->nr_cuts; i++) {
		unlink(r->cuts[i].path);
		free(r->cuts[i].path);
	}
	unlink(r->disk);
	unlink(r->log);
	/* Hours of rounds that were well leave nothing. */
	for (size_t i = 0; i < ARRAY_SIZE(boots) && !failed; i++) {
		char *console = xasprintf("%s/consoles/%s-%s.log", r->p->dir, r->name, boots[i]);

		unlink(console);
		free(console);
	}
	wlog_close(&r->writes);
	free(r->name);
	free(r->disk);
	free(r->log);
	free(r->features);
	free(r->dio);
}

int power_round(struct power *p, unsigned int k, unsigned long long seed, struct power_sum *sum, struct buf *tap)
{
	struct round r = { .p = p, .k = &p->k[k], .checker = &p->k[k], .seed = seed, .rnd = seed, .sum = sum, .tap = tap,
			   .writes.fd = -1 };
	unsigned int failed = sum->failed;
	int ret;

	r.name = xasprintf("%03u-%s-%llu", ++p->rounds, r.k->b.name, seed);
	r.disk = xasprintf("%s/tmp/%s.disk", p->dir, r.name);
	r.log = xasprintf("%s/tmp/%s.log", p->dir, r.name);
	r.wanted = 5 + random64(&r.rnd) % p->o.promises;
	if (!(random64(&r.rnd) & 3))
		r.checker = &p->k[(k + 1) % p->nr_kernels];
	ret = work(&r);
	if (!ret)
		ret = make_disks(&r);
	if (!ret)
		ret = recover(&r);
	tidy(&r, ret < 0 || (sum->failed > failed && !p->o.lie));
	if (ret < 0 && ret != -EINTR)
		sum->infra = true;
	return ret < 0 ? ret : 0;
}

static int add_kernels(struct power *p)
{
	char *copy = xstrdup(p->o.kernels), *save = NULL;
	int ret = 0;

	for (char *w = strtok_r(copy, " ", &save); w && !ret; w = strtok_r(NULL, " ", &save)) {
		struct kernel *k = &p->k[p->nr_kernels];
		char *slash = strchr(w, '/');

		if (p->nr_kernels == MAX_KERNELS) {
			err("powercut: more than %u kernels", MAX_KERNELS);
			ret = -EINVAL;
			break;
		}
		if (slash)
			*slash++ = '\0';
		ret = kernel_get(w, &k->b);
		if (!ret) {
			k->mount = xstrdup(slash ? slash : "");
			p->nr_kernels++;
		}
	}
	if (!ret && !p->nr_kernels) {
		err("powercut: no kernel is named");
		ret = -EINVAL;
	}
	free(copy);
	return ret;
}

int power_open(const struct power_options *o, const char *dir, struct power **out)
{
	struct power *p = xcalloc(1, sizeof(*p));
	char *initrd = xasprintf("%s/tmp/probe.cpio", dir);
	int ret = -EINVAL;

	p->o = *o;
	p->dir = xstrdup(dir);
	p->agent = agent_path();
	if (p->o.images > MAX_IMAGES)
		p->o.images = MAX_IMAGES;
	for (size_t i = 0; i < ARRAY_SIZE(flavours); i++)
		if (!strcmp(flavours[i].fs, o->fs))
			p->f = &flavours[i];
	if (p->f)
		ret = add_kernels(p);
	else
		err("powercut: file system '%s' is neither xfs nor btrfs", o->fs);
	if (!ret)
		ret = initrd_build(initrd, p->agent, "proto 1\nworkload canary\nlane wall\nseed 1\n", NULL, NULL);
	if (!ret)
		ret = accel_probe(NULL, p->k[0].b.bzimage, initrd, o->accel, &p->accel);
	unlink(initrd);
	free(initrd);
	if (ret) {
		power_close(p);
		return ret;
	}
	*out = p;
	return 0;
}

unsigned int power_kernels(const struct power *p)
{
	return p->nr_kernels;
}

void power_close(struct power *p)
{
	for (unsigned int i = 0; i < p->nr_kernels; i++) {
		kernel_build_free(&p->k[i].b);
		free(p->k[i].mount);
	}
	free(p->accel.why);
	free(p->dir);
	free(p->agent);
	free(p);
}

/* --- the command --------------------------------------------------------------------------------------------------------- */

enum { OPT_FS = 256, OPT_SEED, OPT_ROUNDS, OPT_IMAGES, OPT_PROMISES, OPT_CPUS, OPT_MEM, OPT_ACCEL, OPT_LIE };

struct args {
	struct power_options o;
	unsigned long long seed;
	unsigned int rounds;
};

static const struct argp_option options[] = {
	{ "kernels", 'k', "LIST", 0, "NAME or NAME/MOUNTOPTIONS (default: 'base shcache-6.12/shcache')", 0 },
	{ "fs", OPT_FS, "FS", 0, "xfs (default) or btrfs", 0 },
	{ "seed", OPT_SEED, "N", 0, "Of the first round; the next ones count on (default: a new one, which is said)", 0 },
	{ "rounds", OPT_ROUNDS, "N", 0, "Cuts with each kernel (default: 2)", 0 },
	{ "images", OPT_IMAGES, "N", 0, "Disks made of each cut, besides the one that was left (default: 6)", 0 },
	{ "promises", OPT_PROMISES, "N", 0, "Cut after at most so many fsyncs (default: 300)", 0 },
	{ "cpus", OPT_CPUS, "N", 0, "The guest's CPUs (default: 2)", 0 },
	{ "mem", OPT_MEM, "MIB", 0, "The guest's memory (default: 768)", 0 },
	{ "accel", OPT_ACCEL, "kvm|tcg", 0, "Do not probe, use this accelerator", 0 },
	{ "lie", OPT_LIE, NULL, 0, "The disk acknowledges flushes and does not do them: the tests must fail", 0 },
	{ "quiet", 'q', NULL, 0, "No progress, only results and errors", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;

	switch (key) {
	case 'k':
		a->o.kernels = arg;
		return 0;
	case OPT_FS:
		a->o.fs = arg;
		return 0;
	case OPT_SEED:
		a->seed = arg_number(state, arg, 1, UINT32_MAX);
		return 0;
	case OPT_ROUNDS:
		a->rounds = arg_number(state, arg, 1, 1000000);
		return 0;
	case OPT_IMAGES:
		a->o.images = arg_number(state, arg, 0, MAX_IMAGES);
		return 0;
	case OPT_PROMISES:
		a->o.promises = arg_number(state, arg, 1, 100000);
		return 0;
	case OPT_CPUS:
		a->o.cpus = arg_number(state, arg, 1, 64);
		return 0;
	case OPT_MEM:
		a->o.mem_mb = arg_number(state, arg, 256, 1 << 20);
		return 0;
	case OPT_ACCEL:
		a->o.accel = arg_accel(state, arg);
		return 0;
	case OPT_LIE:
		a->o.lie = true;
		return 0;
	case 'q':
		opt.quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s': no argument is wanted", arg);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* Lines without numbers get them. Returns how many there were. */
static unsigned int print_tap(const char *text, unsigned int nr)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		const char *sep = strstr(text, " - ");

		if (*text != '#' && sep && sep < text + len)
			printf("%.*s %u%.*s\n", (int)(sep - text), text, ++nr, (int)(len - (size_t)(sep - text)), sep);
		else
			printf("%.*s\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
	return nr;
}

static int run_rounds(const struct args *a, struct power *p)
{
	struct power_sum sum = {};
	unsigned int nr = 0;
	int ret = 0;

	printf("KTAP version 1\n# seed %llu\n", a->seed);
	for (unsigned int i = 0; i < a->rounds && ret != -EINTR; i++)
		for (unsigned int k = 0; k < power_kernels(p) && ret != -EINTR; k++) {
			struct buf tap = {};

			ret = power_round(p, k, a->seed + i, &sum, &tap);
			nr = print_tap(tap.s ? tap.s : "", nr);
			buf_free(&tap);
		}
	printf("1..%u\n# %u cuts, %llu promises, %llu writes (%llu MiB), %llu pages from the shared cache; %u disks passed, %u failed\n", nr,
	       sum.boots / 2, sum.promises, sum.writes, sum.bytes >> 20, sum.served, sum.passed, sum.failed);
	return sum.infra || ret == -EINTR ? EXIT_INFRA : sum.failed ? EXIT_REGRESSION : EXIT_OK;
}

int cmd_powercut(int argc, char **argv)
{
	static const struct argp argp = { options, parse, NULL,
					  "Cuts the power of guests that write to files which share extents, recovers their disks, and looks whether "
					  "what fsync promised is there.", NULL, NULL, NULL };
	struct args a = { .o = { .kernels = "base shcache-6.12/shcache", .fs = "xfs", .images = 6, .promises = 300, .cpus = 2, .mem_mb = 768 },
			  .rounds = 2 };
	struct run_dir rd = { .lock = -1 };
	struct power *p;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (!a.seed)
		a.seed = arg_fresh_seed();
	ret = run_dir_create("powercut", &rd);
	if (!ret)
		ret = power_open(&a.o, rd.path, &p);
	if (!ret) {
		ret = run_rounds(&a, p);
		power_close(p);
	} else {
		ret = ret == -EINVAL || ret == -ENOENT ? EXIT_USAGE : EXIT_INFRA;
	}
	run_dir_close(&rd);
	return ret;
}
