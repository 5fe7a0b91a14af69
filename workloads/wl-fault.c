// SPDX-License-Identifier: GPL-2.0
/*
 * Page-fault latency by class, on clones of one file or several.
 *
 * A pass brings the page cache into a known state, maps the files and touches one byte per page (per 64 KiB with fault-around,
 * so that every touch is a fault). Each class is measured twice per repetition: with a clock around each touch (histogram
 * "fault") and with a clock around all of them (sample "fault_batch", in which the clock costs nothing).
 *
 *   class                   cache before                    expected faults  what it is
 *   cold-major              empty                           major            one page of I/O per touch (MADV_RANDOM)
 *   cold-readahead          empty                           one per touch    what a program sees that walks through a file
 *   first-touch             another clone holds the data    one per touch    what sharing is about: I/O or none
 *   first-touch-readahead   another clone holds the data    one per touch    the same with readahead
 *   resident-minor          this clone holds the data       minor            page table entry (and page table) missing
 *   pte-only                this clone holds the data       minor            after MADV_DONTNEED: the entry alone is missing
 *   private-store           this clone holds the data       minor            store to an unmapped MAP_PRIVATE page: copy
 *   private-break           held and mapped                 minor            store to a MAP_PRIVATE page mapped read-only: copy
 *
 * Every touch must be exactly one fault, of the expected kind where the class fixes it (check "fault-count"); a first touch may
 * be major (the clone has to read the data) or minor (it finds what another clone read), which is reported, not expected. After
 * each pass the mapping is compared with golden's content (check "content").
 *
 * Storms: n processes, each with a clone of its own, touch the same pages at once; the time is from the common start to the
 * last one's end. Only in the wall lane: one CPU has no contention.
 *
 * Limits: the touches go through the pages in ascending order; the first touch of a file after dropping the caches also reads
 * the file system's metadata.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pick.h"
#include "timing.h"
#include "tree.h"
#include "workload.h"

#define MAX_CLONES 512

enum cache { CACHE_NONE, CACHE_OTHER, CACHE_OWN };
enum before { NOTHING, TOUCH, TOUCH_ZAP };
enum expect { ANY, MAJOR, MINOR };

struct fault_class {
	const char *name;
	enum cache cache;
	enum before before;		/* done to the mapping before the measured touches */
	enum expect expect;
	int advice;
	bool store;			/* MAP_PRIVATE and stores; else MAP_SHARED and loads */
	bool around;			/* fault-around matters: it maps neighbours on read faults only */
};

static const struct fault_class classes[] = {
	{ "cold-major",			CACHE_NONE,  NOTHING,   MAJOR, MADV_RANDOM, false, true },
	{ "cold-readahead",		CACHE_NONE,  NOTHING,   ANY,   MADV_NORMAL, false, true },
	{ "first-touch",		CACHE_OTHER, NOTHING,   ANY,   MADV_RANDOM, false, true },
	{ "first-touch-readahead",	CACHE_OTHER, NOTHING,   ANY,   MADV_NORMAL, false, true },
	{ "resident-minor",		CACHE_OWN,   NOTHING,   MINOR, MADV_NORMAL, false, true },
	{ "pte-only",			CACHE_OWN,   TOUCH_ZAP, MINOR, MADV_NORMAL, false, true },
	{ "private-store",		CACHE_OWN,   NOTHING,   MINOR, MADV_NORMAL, true,  false },
	{ "private-break",		CACHE_OWN,   TOUCH,     MINOR, MADV_NORMAL, true,  false },
};

struct state {
	struct wl_ctx *ctx;
	struct tree *t;
	struct pick p;
	struct hist *h;
	unsigned int n, reps;
	uint64_t done, total;		/* passes, for progress */
};

/* What one pass saw. */
struct pass {
	uint64_t touches, ns;
	struct faults f;
	uint64_t io_bytes;
	bool same;
};

static inline void touch(unsigned char *p, bool store)
{
	volatile unsigned char *v = p;

	if (store)
		*v = 0x5a;
	else
		(void)*v;
}

static __attribute__((noinline)) uint64_t touch_timed(struct wl_ctx *ctx, unsigned char *base, uint64_t pages, unsigned int step,
						      bool store, struct hist *h)
{
	uint64_t i, t0, t1, first = wl_now(ctx);

	for (i = 0; i < pages; i += step) {
		t0 = wl_begin(ctx);
		touch(base + i * PAGE, store);
		t1 = wl_end(ctx);
		hist_add(h, t1 - t0);
	}
	return wl_now(ctx) - first;
}

static __attribute__((noinline)) uint64_t touch_batch(struct wl_ctx *ctx, unsigned char *base, uint64_t pages, unsigned int step,
						      bool store)
{
	uint64_t i, first = wl_now(ctx);

	for (i = 0; i < pages; i += step)
		touch(base + i * PAGE, store);
	return wl_now(ctx) - first;
}

/* The mapping must show golden's content, except for the bytes that were stored. */
static bool mapping_same(const struct pick *p, unsigned int step, bool stored)
{
	uint64_t i;

	if (!stored)
		return pick_same(p, p->area);
	for (i = 0; i < p->pages; i++) {
		const unsigned char *m = p->area + i * PAGE, *d = p->data + i * PAGE;
		bool hit = i % step == 0;

		if ((hit ? m[0] != 0x5a : m[0] != d[0]) || memcmp(m + 1, d + 1, PAGE - 1))
			return false;
	}
	return true;
}

static int prepare_cache(struct state *s, enum cache cache, const char *root, const char *other)
{
	tree_drop_caches();
	if (cache == CACHE_NONE)
		return 0;
	return pick_cache(&s->p, cache == CACHE_OWN ? root : other);
}

/* One pass of one class over the files below root. h: NULL for a batch. */
static int run_pass(struct state *s, const struct fault_class *c, const char *root, unsigned int step, struct hist *h,
		    struct pass *out)
{
	int prot = c->store ? PROT_READ | PROT_WRITE : PROT_READ;
	int flags = c->store ? MAP_PRIVATE : MAP_SHARED;
	struct vmcount v0, v1;
	struct faults f0;
	int err;

	err = pick_open(&s->p, root, O_RDONLY);
	if (!err)
		err = pick_map(&s->p, prot, flags, c->advice);
	if (err)
		goto out;
	if (c->before != NOTHING)
		touch_batch(s->ctx, s->p.area, s->p.pages, 1, false);
	if (c->before == TOUCH_ZAP && madvise(s->p.area, s->p.pages * PAGE, MADV_DONTNEED)) {
		err = wl_fail(s->ctx, -errno, "MADV_DONTNEED: %s", strerror(errno));
		goto out;
	}
	vmcount_now(&v0);
	faults_now(&f0);
	timing_quiet(s->ctx);
	if (h)
		out->ns = touch_timed(s->ctx, s->p.area, s->p.pages, step, c->store, h);
	else
		out->ns = touch_batch(s->ctx, s->p.area, s->p.pages, step, c->store);
	faults_now(&out->f);
	vmcount_now(&v1);
	faults_sub(&out->f, &f0);
	vmcount_sub(&v1, &v0);
	out->io_bytes = v1.read_bytes;
	out->touches = (s->p.pages + step - 1) / step;
	out->same = mapping_same(&s->p, step, c->store);
out:
	pick_unmap(&s->p);
	pick_close(&s->p);
	return err;
}

static bool count_ok(const struct fault_class *c, const struct pass *p)
{
	if (p->f.minor + p->f.major != p->touches)
		return false;
	return c->expect == ANY || (c->expect == MAJOR ? !p->f.minor : !p->f.major);
}

/* All passes of one class with one setting of fault-around, then its records. */
static int run_class(struct state *s, const struct fault_class *c, bool around)
{
	unsigned int step = around ? AROUND_PAGES : 1, rep, mode, k, nr = 0;
	/* A first touch is possible once on each clone but the first, which holds the data. */
	unsigned int first = c->cache == CACHE_OTHER, last = c->cache == CACHE_OTHER ? s->n : 1;
	struct { double batch; struct pass p; } *r = calloc(2u * s->reps * (last - first), sizeof(*r));
	bool counted = true, same = true;
	struct pass bad = { 0 };
	const char *on = around ? "on" : "off";
	unsigned int i;
	int err;

	if (!r)
		return wl_fail(s->ctx, -ENOMEM, "no memory for results");
	err = fault_around_set(s->ctx, around ? AROUND_DEFAULT : AROUND_OFF);
	hist_init(s->h);
	for (rep = 0; rep < s->reps && !err; rep++) {
		for (mode = 0; mode < 2 && !err; mode++) {
			err = prepare_cache(s, c->cache, tree_root(s->t, 0), tree_root(s->t, 0));
			for (k = first; k < last && !err; k++) {
				struct pass *p = &r[nr].p;

				err = run_pass(s, c, tree_root(s->t, k), step, mode ? NULL : s->h, p);
				if (err)
					break;
				r[nr++].batch = mode ? (double)p->ns / (double)p->touches : 0;
				same &= p->same;
				if (counted && !count_ok(c, p)) {
					counted = false;
					bad = *p;
				}
			}
			wl_progress(s->ctx, ++s->done, s->total, c->name);
		}
	}
	if (err)
		goto out;

	wl_hist(s->ctx, "fault", s->h, "class=%s around=%s", c->name, on);
	for (i = 0; i < nr; i++) {
		if (r[i].batch > 0)
			wl_sample(s->ctx, "fault_batch", r[i].batch, "class=%s around=%s", c->name, on);
		if (c->cache != CACHE_OTHER)
			continue;
		wl_sample(s->ctx, "first_touch_major", (double)r[i].p.f.major, "class=%s around=%s", c->name, on);
		wl_sample(s->ctx, "first_touch_io", (double)r[i].p.io_bytes, "class=%s around=%s", c->name, on);
	}
	wl_check(s->ctx, "fault-count", counted, "class=%s around=%s: %llu touches, %llu minor, %llu major", c->name, on,
		 (unsigned long long)(counted ? r[0].p.touches : bad.touches),
		 (unsigned long long)(counted ? r[0].p.f.minor : bad.f.minor),
		 (unsigned long long)(counted ? r[0].p.f.major : bad.f.major));
	wl_check(s->ctx, "content", same, "mapped pages after class=%s around=%s", c->name, on);
out:
	free(r);
	return err;
}

/* --- storms ------------------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	enum cache cache;
} storms[] = {
	{ "cold", CACHE_NONE },
	{ "shared", CACHE_OTHER },	/* clone 0 holds the data and does not take part */
	{ "resident", CACHE_OWN },
};

struct storm_child {
	uint64_t end;
	struct faults f;
	bool ready, same, failed;
	char pad[64];			/* no false sharing */
};

static void storm_child(struct state *s, const char *root, unsigned int cpu, int start, volatile struct storm_child *me)
{
	struct faults f0, f1;
	char c;

	/* Before the files are mapped: mlockall() would fault them in. */
	timing_child(cpu);
	if (pick_open(&s->p, root, O_RDONLY) || pick_map(&s->p, PROT_READ, MAP_SHARED, MADV_NORMAL)) {
		me->failed = true;
		me->ready = true;
		_exit(1);
	}
	me->ready = true;
	/* Ends when the parent closes the other end. */
	while (read(start, &c, 1) > 0)
		;
	faults_now(&f0);
	touch_batch(s->ctx, s->p.area, s->p.pages, 1, false);
	me->end = wl_now(s->ctx);
	faults_now(&f1);
	me->f.minor = f1.minor - f0.minor;
	me->f.major = f1.major - f0.major;
	me->same = pick_same(&s->p, s->p.area);
	_exit(0);
}

/* One storm; children are clones [first, first + n). */
static int run_storm(struct state *s, unsigned int which, volatile struct storm_child *kids)
{
	unsigned int first = storms[which].cache == CACHE_OTHER, n = s->n - 1, k, started = 0;
	bool counted = true, same = true, failed = false;
	uint64_t t0 = 0, end = 0, majors = 0;
	int start[2], err = 0;
	pid_t pid[MAX_CLONES];

	tree_drop_caches();
	for (k = 0; k < n && !err && storms[which].cache == CACHE_OWN; k++)
		err = pick_cache(&s->p, tree_root(s->t, first + k));
	if (storms[which].cache == CACHE_OTHER)
		err = pick_cache(&s->p, tree_root(s->t, 0));
	if (err)
		return err;
	memset((void *)kids, 0, n * sizeof(*kids));
	if (pipe2(start, O_CLOEXEC))
		return wl_fail(s->ctx, -errno, "pipe: %s", strerror(errno));
	for (k = 0; k < n; k++) {
		pid[k] = fork();
		if (!pid[k]) {
			close(start[1]);
			storm_child(s, tree_root(s->t, first + k), k, start[0], &kids[k]);
		}
		if (pid[k] < 0) {
			err = wl_fail(s->ctx, -errno, "fork: %s", strerror(errno));
			break;
		}
		started++;
	}
	for (k = 0; k < started; k++)
		while (!kids[k].ready)
			usleep(1000);
	usleep(20000);		/* all of them sleep in read() by now */
	t0 = wl_now(s->ctx);
	close(start[1]);
	for (k = 0; k < started; k++) {
		waitpid(pid[k], NULL, 0);
		failed |= kids[k].failed || !kids[k].end;
		same &= kids[k].same;
		counted &= kids[k].f.minor + kids[k].f.major == s->p.pages;
		majors += kids[k].f.major;
		if (kids[k].end > end)
			end = kids[k].end;
	}
	close(start[0]);
	if (err)
		return err;
	if (failed)
		return wl_fail(s->ctx, -EIO, "a process of the storm \"%s\" could not map its files or died", storms[which].name);
	wl_sample(s->ctx, "storm", (double)(end - t0) / (double)(s->p.pages * n), "state=%s procs=%u", storms[which].name, n);
	wl_sample(s->ctx, "storm_major", (double)majors, "state=%s procs=%u", storms[which].name, n);
	wl_check(s->ctx, "fault-count", counted, "storm state=%s procs=%u: %llu touches each", storms[which].name, n,
		 (unsigned long long)s->p.pages);
	wl_check(s->ctx, "content", same, "mapped pages after storm state=%s", storms[which].name);
	return 0;
}

static int run_storms(struct state *s)
{
	struct storm_child *kids;
	unsigned int which, rep;
	int err;

	kids = mmap(NULL, s->n * sizeof(*kids), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (kids == MAP_FAILED)
		return wl_fail(s->ctx, -errno, "mmap: %s", strerror(errno));
	err = fault_around_set(s->ctx, AROUND_OFF);
	for (which = 0; which < sizeof(storms) / sizeof(storms[0]) && !err; which++) {
		for (rep = 0; rep < s->reps && !err; rep++) {
			err = run_storm(s, which, kids);
			wl_progress(s->ctx, ++s->done, s->total, "storm");
		}
	}
	munmap(kids, s->n * sizeof(*kids));
	return err;
}

/* --- the workload --------------------------------------------------------------------------------------------------------- */

static int run(struct wl_ctx *ctx)
{
	static struct hist h;
	struct state s = { .ctx = ctx, .h = &h };
	const char *list = wl_str(ctx, "classes");
	bool storm = wl_flag(ctx, "storm") && !wl_icount(ctx), off, on;
	unsigned int i;
	int err;

	s.n = wl_u64(ctx, "n");
	s.reps = wl_u64(ctx, "reps");
	off = listed(wl_str(ctx, "around"), "off");
	on = listed(wl_str(ctx, "around"), "on");
	if (s.n < 2 || s.n > MAX_CLONES || !s.reps || !(off || on))
		return wl_fail(ctx, -EINVAL, "param: n is 2..%u, reps at least 1, around off, on or both", MAX_CLONES);
	err = tree_create(ctx, &s.t);
	if (err)
		return err;
	err = tree_clone_to(s.t, s.n);
	if (!err)
		err = timing_begin(ctx);
	if (!err)
		err = pick_make(ctx, s.t, wl_u64(ctx, "pages"), AROUND_PAGES, &s.p);
	for (i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		s.total += listed(list, classes[i].name) ? 2 * s.reps * (off + (on && classes[i].around)) : 0;
	s.total += storm ? s.reps * (sizeof(storms) / sizeof(storms[0])) : 0;

	for (i = 0; i < sizeof(classes) / sizeof(classes[0]) && !err; i++) {
		if (!listed(list, classes[i].name))
			continue;
		if (off)
			err = run_class(&s, &classes[i], false);
		if (on && classes[i].around && !err)
			err = run_class(&s, &classes[i], true);
	}
	/* Last: fork() write-protects this process's memory, which would add faults to the measured regions. */
	if (storm && !err)
		err = run_storms(&s);
	if (!err)
		err = fault_around_set(ctx, AROUND_DEFAULT);
	return err ? err : tree_destroy(s.t);
}

static const struct wl_param params[] = {
	{ "pages", "512", "pages to touch, taken from the image's largest files" },
	{ "reps", "2", "repetitions of each class" },
	{ "n", "3", "clones; first touches are measured on each but the first, which holds the data" },
	{ "around", "off,on", "fault-around: off (every page), on (the kernel's default, every 64 KiB)" },
	{ "classes", "all", "fault classes, comma separated" },
	{ "storm", "yes", "n-1 processes fault the same pages at once (wall lane only)" },
	{ NULL, NULL, NULL }
};

static const struct wl_metric metrics[] = {
	{ "fault", "ns", WL_LOWER, 0.004, 3, "one page fault, by class" },
	{ "fault_batch", "ns", WL_LOWER, 0.004, 2, "time of a whole pass per fault, without a clock inside" },
	{ "first_touch_major", "count", WL_LOWER, 0.01, 1, "major faults when a clone is touched whose data another clone holds" },
	{ "first_touch_io", "bytes", WL_LOWER, 0.01, 65536, "bytes read from the device by those touches" },
	{ "storm", "ns", WL_LOWER, 0.05, 50, "time per fault when n processes fault the same pages at once" },
	{ "storm_major", "count", WL_INFO, 0, 0, "major faults of all processes of a storm" },
	{ NULL, NULL, WL_INFO, 0, 0, NULL }
};

static const struct workload wl_fault = {
	.name = "fault",
	.summary = "page-fault latency by class: cold, first touch of a clone, resident, private copy; storms",
	.needs = WL_NEEDS_FS,
	.params = params,
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(wl_fault);
