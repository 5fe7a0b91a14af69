// SPDX-License-Identifier: GPL-2.0
/*
 * read(2) of clones, and the cost of not sharing.
 *
 * Part one, the files of clones: pread() of 4 KiB and of 1 MiB, warm (this clone's data is cached), cold (nothing is), and
 * first-touch (the data is cached because another clone was read). 4 KiB reads are made with POSIX_FADV_RANDOM, so that each
 * uncached one is one page of I/O; 1 MiB reads as any program makes them.
 *
 * Part two, controls: one plain file that shares nothing with any other. Whatever makes clones share, these must not become
 * more expensive: reads, resident faults with and without fault-around, overwriting, insertion into the page cache by reading
 * and by writing new pages, stores through MAP_SHARED.
 *
 *   "read", "control"              histogram, ns per call or fault
 *   "read_batch", "control_batch"  ns per page of a whole pass without a clock inside (per fault for faults)
 *   "read_io"                      bytes read from the device by a pass
 *
 * What was read is kept in a resident buffer and compared with golden's content after each pass (check "content"); the
 * number of faults is checked where there must be one per touch, and none elsewhere (check "fault-count").
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pick.h"
#include "timing.h"
#include "tree.h"
#include "workload.h"

#define MIB		(1u << 20)
#define MIB_PAGES	(MIB / PAGE)
#define PLAIN		TREE_MNT "/plain"
#define FRESH		TREE_MNT "/fresh"
#define MAX_REPS	64

struct state {
	struct wl_ctx *ctx;
	struct tree *t;
	struct hist *h;
	unsigned char *buf;		/* as large as the longest pass */
	unsigned int reps;
	uint64_t done, total;
};

/*
 * One pass of pread() or pwrite() calls of bs bytes over [0, bytes) of fd; the data at offset o is at buf + o. h: NULL for a
 * batch. Returns the time; *bad is set if a call was short.
 */
static __attribute__((noinline)) uint64_t io_pass(struct wl_ctx *ctx, int fd, unsigned char *buf, uint64_t bytes, uint64_t bs,
						  bool wr, struct hist *h, bool *bad)
{
	uint64_t off, t0, t1, first = wl_now(ctx);
	ssize_t n;

	for (off = 0; off + bs <= bytes; off += bs) {
		t0 = h ? wl_begin(ctx) : 0;
		n = wr ? pwrite(fd, buf + off, bs, off) : pread(fd, buf + off, bs, off);
		if (h) {
			t1 = wl_end(ctx);
			hist_add(h, t1 - t0);
		}
		if (n != (ssize_t)bs)
			*bad = true;
	}
	return wl_now(ctx) - first;
}

/* --- part one: clones ---------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	bool own, other;		/* who is read before */
} temps[] = {
	{ "warm", true, false },
	{ "cold", false, false },
	{ "first-touch", false, true },
};

static const struct {
	const char *name;
	unsigned int bytes;
	int advice;
} sizes[] = {
	{ "4k", PAGE, POSIX_FADV_RANDOM },
	{ "1m", MIB, POSIX_FADV_NORMAL },
};

static int read_pass(struct state *s, struct pick *p, const char *root, unsigned int size, struct hist *h, double *per_page,
		     uint64_t *io, bool *counted)
{
	struct vmcount v0, v1;
	struct faults f0, f1;
	uint64_t ns = 0;
	bool bad = false;
	unsigned int i;
	int err;

	err = pick_open(p, root, O_RDONLY);
	if (err)
		return err;
	for (i = 0; i < p->nr; i++)
		posix_fadvise(p->files[i].fd, 0, 0, sizes[size].advice);
	memset(s->buf, 0, p->pages * PAGE);
	vmcount_now(&v0);
	faults_now(&f0);
	timing_quiet(s->ctx);
	for (i = 0; i < p->nr; i++) {
		const struct pick_file *f = &p->files[i];

		ns += io_pass(s->ctx, f->fd, s->buf + f->first * PAGE, f->pages * PAGE, sizes[size].bytes, false, h, &bad);
	}
	faults_now(&f1);
	vmcount_now(&v1);
	faults_sub(&f1, &f0);
	vmcount_sub(&v1, &v0);
	pick_close(p);
	if (bad)
		return wl_fail(s->ctx, -EIO, "short read below %s", root);
	*per_page = (double)ns / (double)p->pages;
	*io = v1.read_bytes;
	*counted &= !f1.minor && !f1.major;
	return 0;
}

static int run_reads(struct state *s, struct pick *p, unsigned int temp, unsigned int size)
{
	const char *root = tree_root(s->t, 1);
	bool same = true, counted = true;
	uint64_t io[2 * MAX_REPS];
	double ns[2 * MAX_REPS];
	unsigned int i;
	int err = 0;

	hist_init(s->h);
	for (i = 0; i < 2 * s->reps && !err; i++) {
		tree_drop_caches();
		if (temps[temp].other)
			err = pick_cache(p, tree_root(s->t, 0));
		if (temps[temp].own && !err)
			err = pick_cache(p, root);
		if (!err)
			err = read_pass(s, p, root, size, i % 2 ? NULL : s->h, &ns[i], &io[i], &counted);
		same &= pick_same(p, s->buf);
		wl_progress(s->ctx, ++s->done, s->total, "reading clones");
	}
	if (err)
		return err;
	wl_hist(s->ctx, "read", s->h, "class=%s bs=%s", temps[temp].name, sizes[size].name);
	for (i = 0; i < 2 * s->reps; i++) {
		if (i % 2)
			wl_sample(s->ctx, "read_batch", ns[i], "class=%s bs=%s", temps[temp].name, sizes[size].name);
		wl_sample(s->ctx, "read_io", (double)io[i], "class=%s bs=%s", temps[temp].name, sizes[size].name);
	}
	wl_check(s->ctx, "fault-count", counted, "no fault while reading, class=%s bs=%s", temps[temp].name, sizes[size].name);
	wl_check(s->ctx, "content", same, "read class=%s bs=%s", temps[temp].name, sizes[size].name);
	return 0;
}

static int clones_part(struct state *s, uint64_t pages)
{
	unsigned int temp, size;
	struct pick p[2];
	int err;

	err = pick_make(s->ctx, s->t, pages, AROUND_PAGES, &p[0]);
	/* Whole MiBs, from files that have them: an image without is no error. */
	if (!err && p[0].files[0].pages >= MIB_PAGES)
		err = pick_make(s->ctx, s->t, pages, MIB_PAGES, &p[1]);
	else
		p[1].nr = 0;
	for (temp = 0; temp < sizeof(temps) / sizeof(temps[0]) && !err; temp++) {
		for (size = 0; size < 2 && !err; size++) {
			if (p[size].nr)
				err = run_reads(s, &p[size], temp, size);
		}
	}
	return err;
}

/* --- part two: controls -------------------------------------------------------------------------------------------------- */

enum how { READ, WRITE, LOAD, STORE };

static const struct control {
	const char *name;
	enum how how;
	bool cached;			/* the file is read before; else the caches are dropped */
	bool fresh;			/* into a new file */
	unsigned int bs;		/* of read and write; of faults the distance of touches */
	unsigned int around;
} controls[] = {
	{ "read-4k",		READ,  true,  false, PAGE, AROUND_DEFAULT },
	{ "read-1m",		READ,  true,  false, MIB, AROUND_DEFAULT },
	{ "insert-read-4k",	READ,  false, false, PAGE, AROUND_DEFAULT },
	{ "insert-read-1m",	READ,  false, false, MIB, AROUND_DEFAULT },
	{ "fault",		LOAD,  true,  false, PAGE, AROUND_OFF },
	{ "fault-around",	LOAD,  true,  false, AROUND_DEFAULT, AROUND_DEFAULT },
	{ "store",		STORE, true,  false, PAGE, AROUND_OFF },
	{ "overwrite-4k",	WRITE, true,  false, PAGE, AROUND_DEFAULT },
	{ "overwrite-1m",	WRITE, true,  false, MIB, AROUND_DEFAULT },
	/* Last: the reference content moves on with each pass, past what the plain file holds. */
	{ "insert-write-4k",	WRITE, false, true,  PAGE, AROUND_DEFAULT },
	{ "insert-write-1m",	WRITE, false, true,  MIB, AROUND_DEFAULT },
};

static __attribute__((noinline)) uint64_t touch_pass(struct wl_ctx *ctx, volatile unsigned char *m, uint64_t bytes, unsigned int step,
						     bool store, struct hist *h)
{
	uint64_t off, t0, t1, first = wl_now(ctx);

	for (off = 0; off < bytes; off += step) {
		t0 = h ? wl_begin(ctx) : 0;
		if (store)
			m[off] = 0x5a;
		else
			(void)m[off];
		if (h) {
			t1 = wl_end(ctx);
			hist_add(h, t1 - t0);
		}
	}
	return wl_now(ctx) - first;
}

/* One measured pass of one control; ref is what the file must hold, and is kept up to date. Returns 0 or -errno. */
static int control_pass(struct state *s, const struct control *c, unsigned char *ref, uint64_t bytes, struct hist *h, double *per,
			bool *counted, bool *same)
{
	const char *path = c->fresh ? FRESH : PLAIN;
	bool mapped = c->how == LOAD || c->how == STORE, bad = false;
	struct faults f0, f1;
	unsigned char *m = NULL;
	uint64_t i, ns, want;
	int fd, err = 0;

	fd = open(path, O_RDWR | O_CLOEXEC | (c->fresh ? O_CREAT | O_TRUNC : 0), 0644);
	if (fd < 0)
		return wl_fail(s->ctx, -errno, "open %s: %s", path, strerror(errno));
	tree_drop_caches();
	if (c->cached && (posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL) || pread(fd, s->buf, bytes, 0) != (ssize_t)bytes)) {
		err = wl_fail(s->ctx, -EIO, "read %s: %s", path, strerror(errno));
		goto out;
	}
	posix_fadvise(fd, 0, 0, c->bs == PAGE ? POSIX_FADV_RANDOM : POSIX_FADV_NORMAL);
	if (c->how == WRITE)
		for (i = 0; i < bytes; i += PAGE)
			ref[i]++;
	if (mapped) {
		m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (m == MAP_FAILED) {
			m = NULL;
			err = wl_fail(s->ctx, -errno, "mmap %s: %s", path, strerror(errno));
			goto out;
		}
	}
	faults_now(&f0);
	timing_quiet(s->ctx);
	if (mapped)
		ns = touch_pass(s->ctx, m, bytes, c->bs, c->how == STORE, h);
	else
		ns = io_pass(s->ctx, fd, c->how == WRITE ? ref : s->buf, bytes, c->bs, c->how == WRITE, h, &bad);
	faults_now(&f1);
	faults_sub(&f1, &f0);
	want = mapped ? bytes / c->bs : 0;
	*counted &= f1.minor == want && !f1.major;
	*per = (double)ns / (double)(mapped ? want : bytes / PAGE);
	if (bad) {
		err = wl_fail(s->ctx, -EIO, "short read or write of %s", path);
		goto out;
	}
	if (c->how == STORE)
		for (i = 0; i < bytes; i += PAGE)
			ref[i] = 0x5a;
	/* What was read is in the buffer already; what was written or mapped is read now, through the cache. */
	if (c->how != READ && pread(fd, s->buf, bytes, 0) != (ssize_t)bytes)
		*same = false;
	*same &= !memcmp(s->buf, ref, bytes) && (!m || !memcmp(m, ref, bytes));
	/* Writeback is paid here and not in the next measured region; then once more from the device. */
	if (c->how == WRITE || c->how == STORE) {
		if (fsync(fd))
			err = wl_fail(s->ctx, -errno, "fsync %s: %s", path, strerror(errno));
		tree_drop_caches();
		*same &= pread(fd, s->buf, bytes, 0) == (ssize_t)bytes && !memcmp(s->buf, ref, bytes);
	}
out:
	if (m)
		munmap(m, bytes);
	close(fd);
	if (c->fresh) {
		unlink(path);
		settle(TREE_MNT);
	}
	return err;
}

static int run_control(struct state *s, const struct control *c, unsigned char *ref, uint64_t bytes)
{
	bool counted = true, same = true;
	double per[2 * MAX_REPS];
	unsigned int i;
	int err;

	err = fault_around_set(s->ctx, c->around);
	hist_init(s->h);
	for (i = 0; i < 2 * s->reps && !err; i++) {
		err = control_pass(s, c, ref, bytes, i % 2 ? NULL : s->h, &per[i], &counted, &same);
		wl_progress(s->ctx, ++s->done, s->total, "controls");
	}
	if (err)
		return err;
	wl_hist(s->ctx, "control", s->h, "op=%s", c->name);
	for (i = 1; i < 2 * s->reps; i += 2)
		wl_sample(s->ctx, "control_batch", per[i], "op=%s", c->name);
	wl_check(s->ctx, "fault-count", counted, "control op=%s", c->name);
	wl_check(s->ctx, "content", same, "control op=%s", c->name);
	return 0;
}

static int controls_part(struct state *s, uint64_t pages)
{
	uint64_t bytes = pages * PAGE;
	unsigned char *ref = resident_alloc(bytes);
	const char *ops = wl_str(s->ctx, "ops");
	unsigned int i;
	int fd, err;

	if (!ref)
		return wl_fail(s->ctx, -ENOMEM, "no memory for %llu pages", (unsigned long long)pages);
	err = tree_make_file(PLAIN, bytes, wl_seed(s->ctx) + 1);
	if (err)
		return wl_fail(s->ctx, err, "cannot make " PLAIN);
	fd = open(PLAIN, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || pread(fd, ref, bytes, 0) != (ssize_t)bytes)
		return wl_fail(s->ctx, -EIO, "read " PLAIN ": %s", strerror(errno));
	close(fd);
	for (i = 0; i < sizeof(controls) / sizeof(controls[0]) && !err; i++)
		if (listed(ops, controls[i].name))
			err = run_control(s, &controls[i], ref, bytes);
	if (!err)
		err = fault_around_set(s->ctx, AROUND_DEFAULT);
	munmap(ref, bytes);
	return err;
}

static int run(struct wl_ctx *ctx)
{
	static struct hist h;
	uint64_t pages = wl_u64(ctx, "pages");
	bool clones = wl_flag(ctx, "clones"), control = wl_flag(ctx, "controls");
	struct state s = { .ctx = ctx, .h = &h, .reps = wl_u64(ctx, "reps") };
	unsigned int i, ops = 0;
	int err;

	if (!s.reps || s.reps > MAX_REPS || !pages || pages % MIB_PAGES)
		return wl_fail(ctx, -EINVAL, "param: reps is 1..%u, pages a multiple of %u", MAX_REPS, MIB_PAGES);
	err = clones ? tree_create(ctx, &s.t) : tree_create_empty(ctx, &s.t);
	if (err)
		return err;
	if (clones)
		err = tree_clone_to(s.t, 2);
	if (!err)
		err = timing_begin(ctx);
	s.buf = resident_alloc(pages * PAGE);
	if (!s.buf && !err)
		err = wl_fail(ctx, -ENOMEM, "no memory for %llu pages", (unsigned long long)pages);
	for (i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
		ops += control && listed(wl_str(ctx, "ops"), controls[i].name);
	s.total = 2 * s.reps * (clones * 6 + ops);
	if (clones && !err)
		err = clones_part(&s, pages);
	if (control && !err)
		err = controls_part(&s, pages);
	return err ? err : tree_destroy(s.t);
}

static const struct wl_param params[] = {
	{ "pages", "512", "pages to read, taken from the image's largest files; size of the controls' file; multiple of 256" },
	{ "reps", "2", "repetitions, each once with a clock around every call and once without" },
	{ "clones", "yes", "read clones" },
	{ "controls", "yes", "measure what must not change: a file that shares nothing" },
	{ "ops", "all", "which controls, comma separated" },
	{ NULL, NULL, NULL }
};

static const struct wl_metric metrics[] = {
	{ "read", "ns", WL_LOWER, 0.004, 3, "one pread() of a clone, by class and size" },
	{ "read_batch", "ns", WL_LOWER, 0.004, 1, "reading a clone, per page, without a clock inside" },
	{ "read_io", "bytes", WL_LOWER, 0.01, 65536, "bytes read from the device by a pass" },
	{ "control", "ns", WL_LOWER, 0.002, 3, "one operation on a file that shares nothing" },
	{ "control_batch", "ns", WL_LOWER, 0.002, 1, "the same per page (per fault for faults), without a clock inside" },
	{ NULL, NULL, WL_INFO, 0, 0, NULL }
};

static const struct workload wl_read = {
	.name = "read",
	.summary = "read(2) of clones, warm, cold and cached by another clone; controls on files that share nothing",
	.needs = WL_NEEDS_FS,
	.params = params,
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(wl_read);
