// SPDX-License-Identifier: GPL-2.0
/*
 * The concurrent mode, see clonex.h. Each process owns files that it alone changes; all processes look at all files, by every path,
 * and clone from them.
 *
 * Live files change all the time. Every block goes from version to version; its owner publishes in shared memory which version it has
 * begun to make and which one is done. A reader takes down "done" before its look and "begun" after it: what it saw must be of a
 * version in between. What is one version too old fails, and so do other files' bytes at any time. Through the cache, a reader must
 * also never see a word go back.
 *
 *   version 8n is zeroes (a hole, or never written); an operation that may show a hole for a moment skips over one of these
 *   a word is file, block and version; versions of a block differ in one byte, so that no copy can tear them. Only where zeroes
 *   turn into something, or back, may a word be partly zero.
 *
 * Snapshots are cloned from live files while those are being changed, or from snapshots. Their owner reads back what it got, which
 * must be of versions that were there meanwhile, and publishes a hash of each block: from then on nobody may see anything else, until
 * the owner changes the file. A reader whose look was overtaken by that forgets it.
 *
 * A process may have more threads, which only look: through the same page tables that the first one drops pages from.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clonex.h"
#include "fnv.h"

#define MAX_PROCS	16u
#define MAX_FILES	64u		/* of all processes */
#define MAX_BLOCKS	64u
#define MAX_THREADS	8u
#define WORDS		(CX_BLOCK / 8)
#define ZERO_EVERY	8u
#define WINDOW		200u		/* a look that lasted for more versions proves nothing */
#define EIO_TRIES	100u
#define MAGIC		0xc10eull
/* File numbers in words that belong to no live file. */
#define ID_SNAP		64u
#define ID_TENANT	250u
#define END_MS		120000u		/* in which all processes must end when they are told to */

struct live {
	uint32_t done[MAX_BLOCKS], begun[MAX_BLOCKS];
};

struct snap {
	uint32_t gen;			/* odd: being changed */
	uint64_t hash[MAX_BLOCKS];	/* of what the block holds */
};

struct shared {
	uint32_t stop, failed;
	uint64_t looks, changes;
	char why[CX_WHY];
	struct live live[MAX_FILES];
	struct snap snap[MAX_FILES];
};

struct pfile {
	int fd, dfd;
	uint8_t *map, *priv;
};

/* Of one thread. Those of a process have the files and mappings in common. */
struct proc {
	const struct cx_config *c;
	struct shared *sh;
	unsigned int me, live, snaps;	/* live, snaps: files of each process */
	bool child;
	unsigned int blocks;
	uint64_t features, rnd;
	char dir[400];
	struct pfile f[2 * MAX_FILES];	/* the live ones, then the snapshots */
	int staging;			/* what is cloned into live files */
	int pipe[2], sink;
	uint8_t *buf;
	uint32_t tenants;
	/* The latest version seen of the first and the last word, through the cache. */
	uint32_t seen[MAX_FILES][MAX_BLOCKS][2];
};

static void give_up(struct proc *p, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));
static void give_up(struct proc *p, const char *fmt, ...)
{
	uint32_t none = 0;
	va_list ap;

	if (__atomic_compare_exchange_n(&p->sh->failed, &none, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		int n = snprintf(p->sh->why, sizeof(p->sh->why), "process %u: ", p->me);

		va_start(ap, fmt);
		vsnprintf(p->sh->why + n, sizeof(p->sh->why) - (size_t)n, fmt, ap);
		va_end(ap);
		/* Before there are processes nobody reads it. */
		if (!p->child)
			fprintf(stderr, "clonex: %s\n", p->sh->why);
	}
	__atomic_store_n(&p->sh->stop, 1, __ATOMIC_SEQ_CST);
	_exit(1);
}

#define DO(p, call)								\
	do {									\
		if ((call) < 0)							\
			give_up(p, "%s: %s", #call, strerror(errno));		\
	} while (0)

static uint32_t pick(struct proc *p, uint32_t n)
{
	return n ? (uint32_t)(cx_rand(&p->rnd) % n) : 0;
}

static bool has(const struct proc *p, enum cx_feature f)
{
	return p->features >> f & 1;
}

/* --- words --------------------------------------------------------------------------------------------------------------- */

static uint64_t live_word(unsigned int file, unsigned int block, uint32_t version)
{
	return MAGIC << 48 | (uint64_t)(file & 0xff) << 40 | (uint64_t)(block & 0xffff) << 24 |
	       (uint64_t)((file * 7 + block * 13) & 0xffff) << 8 | (version & 0xff);
}

static uint64_t content(unsigned int file, unsigned int block, uint32_t version)
{
	return version % ZERO_EVERY ? live_word(file, block, version) : 0;
}

static void fill(uint8_t *dst, uint64_t w)
{
	uint64_t *to = (uint64_t *)(void *)dst;
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		to[i] = w;
}

static const char *text_of(uint64_t w, char dst[80])
{
	unsigned int file = (unsigned int)(w >> 40) & 0xff, block = (unsigned int)(w >> 24) & 0xffff, version = (unsigned int)w & 0xff;

	if (!w)
		strcpy(dst, "zeroes");
	else if (w != live_word(file, block, version))
		snprintf(dst, 80, "%016" PRIx64, w);
	else
		snprintf(dst, 80, "file %u block %u version %u (modulo 256)", file, block, version);
	return dst;
}

/*
 * Is w legal for a block that was at versions [lo, hi]? *v: the earliest version from `from` on that it can be; more than hi if
 * there is only an earlier one.
 */
static bool legal(unsigned int file, unsigned int block, uint64_t w, uint32_t lo, uint32_t hi, uint32_t from, uint32_t *v)
{
	uint64_t base = live_word(file, block, 0);
	bool found = false, zero = false;
	unsigned int i;
	uint32_t k;

	*v = from;
	if (hi - lo > WINDOW)
		return w == 0 || (w & ~0xffull) == base;
	for (k = hi + 1; k-- > lo;) {
		zero |= !(k % ZERO_EVERY);
		if (content(file, block, k) != w)
			continue;
		if (!found || k >= from)
			*v = k;
		found = true;
	}
	if (found) {
		if (*v < from)
			*v = hi + 1;
		return true;
	}
	/* On the way from or to zeroes. */
	for (i = 1; zero && i < 8; i++) {
		uint8_t b = (uint8_t)(w >> (8 * i));

		if (b && b != (uint8_t)(base >> (8 * i)))
			return false;
	}
	return zero && lo != hi;
}

/* --- looking ------------------------------------------------------------------------------------------------------------- */

enum look_way { LOOK_MAP, LOOK_PMAP, LOOK_NEWMAP, LOOK_NEWPMAP, LOOK_READ, LOOK_SPLICE, LOOK_SENDFILE, LOOK_LONG, LOOK_DIRECT, LOOK_WAYS };

static const char *const look_names[LOOK_WAYS] = {
	"its shared mapping", "its private mapping", "a new shared mapping", "a new private mapping", "pread", "splice", "sendfile",
	"a long read", "a direct read",
};

/* len bytes at off into p->buf; they do not cross a block. false: behind the end. */
static bool look(struct proc *p, struct pfile *f, enum look_way way, uint32_t off, uint32_t len)
{
	uint32_t from = off - off % CX_BLOCK, total = p->blocks * CX_BLOCK;
	unsigned int tries;
	loff_t at = off;
	uint8_t *map;
	ssize_t n;
	bool ok;

	switch (way) {
	case LOOK_MAP:
	case LOOK_PMAP:
		return cx_guarded_copy(p->buf, (way == LOOK_MAP ? f->map : f->priv) + off, len);
	case LOOK_NEWMAP:
	case LOOK_NEWPMAP:
		map = mmap(NULL, CX_BLOCK, PROT_READ, way == LOOK_NEWMAP ? MAP_SHARED : MAP_PRIVATE, f->fd, from);
		if (map == MAP_FAILED)
			give_up(p, "mmap: %s", strerror(errno));
		ok = cx_guarded_copy(p->buf, map + (off - from), len);
		munmap(map, CX_BLOCK);
		return ok;
	case LOOK_SPLICE:
		n = splice(f->fd, &at, p->pipe[1], NULL, len, 0);
		if (n > 0 && read(p->pipe[0], p->buf, (size_t)n) != n)
			give_up(p, "read from a pipe: %s", strerror(errno));
		break;
	case LOOK_SENDFILE:
		DO(p, lseek(p->sink, 0, SEEK_SET));
		n = sendfile(p->sink, f->fd, &at, len);
		if (n > 0 && pread(p->sink, p->buf, (size_t)n, 0) != n)
			give_up(p, "read of a memfd: %s", strerror(errno));
		break;
	case LOOK_LONG:
		n = pread(f->fd, p->buf, total, 0);
		if (n >= (ssize_t)(off + len)) {
			memmove(p->buf, p->buf + off, len);
			n = (ssize_t)len;
		} else if (n >= 0) {
			n = 0;
		}
		break;
	case LOOK_DIRECT:
		/* Linux says EIO if somebody stores into a hole of the block between its writeback and its mapping. */
		for (n = -1, tries = 0; n < 0 && tries < EIO_TRIES; tries++) {
			n = pread(f->dfd, p->buf, CX_BLOCK, from);
			if (n < 0 && errno != EIO)
				break;
		}
		memmove(p->buf, p->buf + (off - from), len);
		n = n == CX_BLOCK ? (ssize_t)len : n < 0 ? n : 0;
		break;
	default:
		n = pread(f->fd, p->buf, len, off);
		break;
	}
	if (n < 0)
		give_up(p, "%s: %s", look_names[way], strerror(errno));
	return n == (ssize_t)len;
}

static enum look_way pick_way(struct proc *p)
{
	enum look_way way = pick(p, LOOK_WAYS);

	return way == LOOK_DIRECT && !has(p, CX_F_DIRECT) ? LOOK_READ : way;
}

static void looked(struct proc *p)
{
	__atomic_add_fetch(&p->sh->looks, 1, __ATOMIC_RELAXED);
}

static void look_live(struct proc *p)
{
	static const unsigned int slots[] = { 0, WORDS - 1 };
	unsigned int file = pick(p, p->live * p->c->procs), b = pick(p, p->blocks), slot = pick(p, 3);
	unsigned int word = slot < 2 ? slots[slot] : pick(p, WORDS);
	struct live *l = &p->sh->live[file];
	enum look_way way = pick_way(p);
	uint32_t lo, hi, v, from, seen = 0;
	char text[80];
	uint64_t w = 0;
	bool there;

	if (slot < 2 && way != LOOK_DIRECT)
		seen = p->seen[file][b][slot];
	lo = __atomic_load_n(&l->done[b], __ATOMIC_SEQ_CST);
	there = look(p, &p->f[file], way, b * CX_BLOCK + word * 8, 8);
	hi = __atomic_load_n(&l->begun[b], __ATOMIC_SEQ_CST);
	if (there)
		memcpy(&w, p->buf, 8);
	looked(p);
	/* The end of a file that is being cut and grown again: zeroes that are on the way. */
	if (!there && lo == hi)
		give_up(p, "live file %u block %u by %s: behind the end, at version %u", file, b, look_names[way], lo);
	from = seen > lo ? seen : lo;
	if (!legal(file, b, w, lo, hi, from, &v))
		give_up(p, "live file %u block %u word %u by %s: seen %s; it was at version %u before the look and at %u after it (%016" PRIx64
		     " is the latter)", file, b, word, look_names[way], text_of(w, text), lo, hi, content(file, b, hi));
	if (v > hi)
		give_up(p, "live file %u block %u word %u by %s: went back to %s, after version %u was seen; versions %u to %u", file, b, word,
		     look_names[way], text_of(w, text), seen, lo, hi);
	if (slot < 2 && way != LOOK_DIRECT && there && hi - lo <= WINDOW && content(file, b, v) == w)
		p->seen[file][b][slot] = v;
}

static void look_snap(struct proc *p)
{
	unsigned int s = pick(p, p->snaps * p->c->procs), b = pick(p, p->blocks);
	struct snap *snap = &p->sh->snap[s];
	enum look_way way = pick_way(p);
	uint32_t gen = __atomic_load_n(&snap->gen, __ATOMIC_SEQ_CST);
	uint64_t want = __atomic_load_n(&snap->hash[b], __ATOMIC_SEQ_CST), first;
	char text[80];
	bool there;

	if (gen & 1)
		return;
	there = look(p, &p->f[MAX_FILES + s], way, b * CX_BLOCK, CX_BLOCK);
	if (__atomic_load_n(&snap->gen, __ATOMIC_SEQ_CST) != gen)
		return;
	looked(p);
	if (!there)
		give_up(p, "snapshot %u block %u by %s: behind the end, and nobody has changed it", s, b, look_names[way]);
	if (fnv(FNV_BASIS, p->buf, CX_BLOCK) == want)
		return;
	memcpy(&first, p->buf, 8);
	give_up(p, "snapshot %u block %u by %s: changed, and not by its owner: begins with %s; state %u", s, b, look_names[way],
	     text_of(first, text), gen / 2);
}

/* --- changing live files ------------------------------------------------------------------------------------------------- */

struct edit {
	unsigned int file, from, to;	/* blocks [from, to) */
	uint32_t version[MAX_BLOCKS];
};

static uint32_t next_data(uint32_t v)
{
	return (v + 1) % ZERO_EVERY ? v + 1 : v + 2;
}

static uint32_t next_zero(uint32_t v)
{
	return v - v % ZERO_EVERY + ZERO_EVERY;
}

static uint32_t over_zero(uint32_t v)
{
	return next_data(next_zero(v));
}

/* Says which versions come. */
static void edit_begin(struct proc *p, struct edit *c, uint32_t (*next)(uint32_t v))
{
	struct live *l = &p->sh->live[c->file];
	unsigned int b;

	for (b = c->from; b < c->to; b++) {
		c->version[b] = next(l->done[b]);
		__atomic_store_n(&l->begun[b], c->version[b], __ATOMIC_SEQ_CST);
	}
}

static void edit_end(struct proc *p, const struct edit *c)
{
	struct live *l = &p->sh->live[c->file];
	unsigned int b;

	for (b = c->from; b < c->to; b++)
		__atomic_store_n(&l->done[b], c->version[b], __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&p->sh->changes, 1, __ATOMIC_RELAXED);
}

/* The blocks as they are to become, at p->buf. */
static void fill_edit(struct proc *p, const struct edit *c)
{
	unsigned int b;

	for (b = c->from; b < c->to; b++)
		fill(p->buf + (b - c->from) * CX_BLOCK, content(c->file, b, c->version[b]));
}

static uint32_t edit_bytes(const struct edit *c)
{
	return (c->to - c->from) * CX_BLOCK;
}

static void put_all(struct proc *p, int fd, const struct edit *c)
{
	if (pwrite(fd, p->buf, edit_bytes(c), (off_t)c->from * CX_BLOCK) != (ssize_t)edit_bytes(c))
		give_up(p, "write: %s", strerror(errno));
}

static void step_write(struct proc *p, struct edit *c)
{
	edit_begin(p, c, next_data);
	fill_edit(p, c);
	put_all(p, p->f[c->file].fd, c);
}

static void step_direct(struct proc *p, struct edit *c)
{
	edit_begin(p, c, next_data);
	fill_edit(p, c);
	put_all(p, p->f[c->file].dfd, c);
}

static void step_store(struct proc *p, struct edit *c)
{
	uint64_t *to = (uint64_t *)(void *)(p->f[c->file].map + c->from * CX_BLOCK);
	uint32_t i;

	edit_begin(p, c, next_data);
	fill_edit(p, c);
	for (i = 0; i < edit_bytes(c) / 8; i++)
		__atomic_store_n(to + i, ((const uint64_t *)(const void *)p->buf)[i], __ATOMIC_RELAXED);
}

static void step_clone(struct proc *p, struct edit *c)
{
	struct file_clone_range r = { .src_fd = p->staging, .src_offset = (uint64_t)c->from * CX_BLOCK, .src_length = edit_bytes(c),
				      .dest_offset = (uint64_t)c->from * CX_BLOCK };

	edit_begin(p, c, over_zero);
	fill_edit(p, c);
	put_all(p, p->staging, c);
	DO(p, ioctl(p->f[c->file].fd, FICLONERANGE, &r));
}

static void step_punch(struct proc *p, struct edit *c)
{
	edit_begin(p, c, next_zero);
	DO(p, fallocate(p->f[c->file].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)c->from * CX_BLOCK, edit_bytes(c)));
}

static void step_zero(struct proc *p, struct edit *c)
{
	edit_begin(p, c, next_zero);
	DO(p, fallocate(p->f[c->file].fd, FALLOC_FL_ZERO_RANGE, (off_t)c->from * CX_BLOCK, edit_bytes(c)));
}

static void step_trunc(struct proc *p, struct edit *c)
{
	c->to = p->blocks;
	edit_begin(p, c, next_zero);
	DO(p, ftruncate(p->f[c->file].fd, (off_t)c->from * CX_BLOCK));
	DO(p, ftruncate(p->f[c->file].fd, (off_t)p->blocks * CX_BLOCK));
}

/* Same bytes, other blocks. */
static void step_unshare(struct proc *p, struct edit *c)
{
	unsigned int b;

	for (b = c->from; b < c->to; b++)
		c->version[b] = p->sh->live[c->file].done[b];
	DO(p, fallocate(p->f[c->file].fd, FALLOC_FL_UNSHARE_RANGE, (off_t)c->from * CX_BLOCK, edit_bytes(c)));
}

static const struct step {
	void (*fn)(struct proc *p, struct edit *c);
	enum cx_feature needs;
	unsigned int weight;
} steps[] = {
	{ step_write, CX_F_ALWAYS, 6 },
	{ step_store, CX_F_ALWAYS, 5 },
	{ step_direct, CX_F_DIRECT, 4 },
	{ step_clone, CX_F_CLONE, 4 },
	{ step_punch, CX_F_PUNCH, 1 },
	{ step_zero, CX_F_ZERO, 1 },
	{ step_trunc, CX_F_ALWAYS, 1 },
	{ step_unshare, CX_F_UNSHARE, 2 },
};

static unsigned int own_live(struct proc *p)
{
	return p->me * p->live + pick(p, p->live);
}

static void change_live(struct proc *p)
{
	struct edit c = { .file = own_live(p) };
	const struct step *s;
	unsigned int total = 0, r;

	for (s = steps; s < steps + sizeof(steps) / sizeof(steps[0]); s++)
		total += s->weight;
	r = pick(p, total);
	for (s = steps; r >= s->weight; s++)
		r -= s->weight;
	if (s->needs != CX_F_ALWAYS && !has(p, s->needs))
		return;
	c.from = pick(p, p->blocks);
	c.to = c.from + 1 + pick(p, pick(p, 4) ? 3 : p->blocks);
	if (c.to > p->blocks)
		c.to = p->blocks;
	s->fn(p, &c);
	edit_end(p, &c);
}

/* --- snapshots ----------------------------------------------------------------------------------------------------------- */

static void snap_begin(struct snap *s)
{
	__atomic_add_fetch(&s->gen, 1, __ATOMIC_SEQ_CST);
}

/* Hashes of blocks [from, to), read back. */
static void snap_end(struct proc *p, unsigned int s, unsigned int from, unsigned int to)
{
	struct snap *snap = &p->sh->snap[s];
	unsigned int b;

	if (pread(p->f[MAX_FILES + s].fd, p->buf, (to - from) * CX_BLOCK, (off_t)from * CX_BLOCK) != (ssize_t)((to - from) * CX_BLOCK))
		give_up(p, "snapshot %u: short read: %s", s, strerror(errno));
	for (b = from; b < to; b++)
		__atomic_store_n(&snap->hash[b], fnv(FNV_BASIS, p->buf + (b - from) * CX_BLOCK, CX_BLOCK), __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&snap->gen, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&p->sh->changes, 1, __ATOMIC_RELAXED);
}

/* false: the source is being cut, and was too short at the moment. */
static bool clone_blocks(struct proc *p, int dst, int src, unsigned int to, unsigned int from, unsigned int n)
{
	struct file_clone_range r = { .src_fd = src, .src_offset = (uint64_t)from * CX_BLOCK, .src_length = (uint64_t)n * CX_BLOCK,
				      .dest_offset = (uint64_t)to * CX_BLOCK };

	if (!ioctl(dst, FICLONERANGE, &r))
		return true;
	if (errno != EINVAL)
		give_up(p, "FICLONERANGE: %s", strerror(errno));
	return false;
}

/* Of blocks [from, from + n) of a live file, which goes on changing. */
static void snap_live(struct proc *p, unsigned int s, unsigned int to, unsigned int from, unsigned int n)
{
	unsigned int file = pick(p, p->live * p->c->procs), b, i;
	uint32_t lo[MAX_BLOCKS], hi[MAX_BLOCKS], v;
	struct live *l = &p->sh->live[file];
	struct pfile *f = &p->f[MAX_FILES + s];
	char text[80];

	for (b = 0; b < n; b++)
		lo[b] = __atomic_load_n(&l->done[from + b], __ATOMIC_SEQ_CST);
	if (!clone_blocks(p, f->fd, p->f[file].fd, to, from, n))
		return;
	for (b = 0; b < n; b++)
		hi[b] = __atomic_load_n(&l->begun[from + b], __ATOMIC_SEQ_CST);
	for (b = 0; b < n; b++) {
		enum look_way way = pick_way(p);

		if (!look(p, f, way, (to + b) * CX_BLOCK, CX_BLOCK))
			give_up(p, "snapshot %u block %u by %s: behind the end after it was cloned", s, to + b, look_names[way]);
		for (i = 0; i < WORDS; i++) {
			uint64_t w;

			memcpy(&w, p->buf + i * 8, 8);
			if (!legal(file, from + b, w, lo[b], hi[b], lo[b], &v))
				give_up(p, "snapshot %u block %u, cloned from live file %u block %u, by %s: word %u is %s; the source was at version "
				     "%u before and at %u after", s, to + b, file, from + b, look_names[way], i, text_of(w, text), lo[b], hi[b]);
		}
	}
}

/* Of another snapshot; exactly that if it was not changed meanwhile. */
static void snap_snap(struct proc *p, unsigned int s, unsigned int to, unsigned int from, unsigned int n)
{
	unsigned int src = pick(p, p->snaps * p->c->procs), b;
	struct snap *other = &p->sh->snap[src];
	struct pfile *f = &p->f[MAX_FILES + s];
	uint64_t want[MAX_BLOCKS];
	uint32_t gen;

	if (src == s)
		return;
	gen = __atomic_load_n(&other->gen, __ATOMIC_SEQ_CST);
	for (b = 0; b < n; b++)
		want[b] = __atomic_load_n(&other->hash[from + b], __ATOMIC_SEQ_CST);
	if (!clone_blocks(p, f->fd, p->f[MAX_FILES + src].fd, to, from, n))
		give_up(p, "FICLONERANGE between two snapshots: %s", strerror(errno));
	if ((gen & 1) || __atomic_load_n(&other->gen, __ATOMIC_SEQ_CST) != gen)
		return;
	for (b = 0; b < n; b++) {
		enum look_way way = pick_way(p);

		if (!look(p, f, way, (to + b) * CX_BLOCK, CX_BLOCK) || fnv(FNV_BASIS, p->buf, CX_BLOCK) != want[b])
			give_up(p, "snapshot %u block %u, cloned from snapshot %u block %u, by %s: differs", s, to + b, src, from + b,
			     look_names[way]);
	}
}

/* A write of the owner's. */
static void snap_write(struct proc *p, unsigned int s, unsigned int to, unsigned int from, unsigned int n)
{
	struct pfile *f = &p->f[MAX_FILES + s];
	uint8_t salt = (uint8_t)cx_rand(&p->rnd);
	unsigned int b;

	(void)from;
	for (b = 0; b < n; b++)
		fill(p->buf + b * CX_BLOCK, live_word(ID_SNAP + s, to + b, salt));
	switch (pick(p, 3)) {
	case 0:
		memcpy(f->map + to * CX_BLOCK, p->buf, n * CX_BLOCK);
		break;
	case 1:
		if (has(p, CX_F_DIRECT)) {
			if (pwrite(f->dfd, p->buf, n * CX_BLOCK, (off_t)to * CX_BLOCK) != (ssize_t)(n * CX_BLOCK))
				give_up(p, "direct write: %s", strerror(errno));
			break;
		}
		/* fall through */
	default:
		if (pwrite(f->fd, p->buf, n * CX_BLOCK, (off_t)to * CX_BLOCK) != (ssize_t)(n * CX_BLOCK))
			give_up(p, "write: %s", strerror(errno));
	}
	for (b = 0; b < n; b++) {
		enum look_way way = pick_way(p);
		uint64_t first = 0;
		char text[80];

		if (look(p, f, way, (to + b) * CX_BLOCK, 8))
			memcpy(&first, p->buf, 8);
		if (first != live_word(ID_SNAP + s, to + b, salt))
			give_up(p, "snapshot %u block %u by %s, after its owner has written it: %s", s, to + b, look_names[way], text_of(first, text));
	}
}

static void change_snap(struct proc *p)
{
	static void (*const ways[])(struct proc *p, unsigned int s, unsigned int to, unsigned int from, unsigned int n) = {
		snap_live, snap_live, snap_live, snap_snap, snap_snap, snap_write,
	};
	unsigned int s = p->me * p->snaps + pick(p, p->snaps), n = 1 + pick(p, pick(p, 3) ? 4 : p->blocks), to, from, i;

	if (!has(p, CX_F_CLONE))
		return;
	if (n > p->blocks)
		n = p->blocks;
	from = pick(p, p->blocks - n + 1);
	to = pick(p, 2) ? from : pick(p, p->blocks - n + 1);
	i = pick(p, sizeof(ways) / sizeof(ways[0]));
	snap_begin(&p->sh->snap[s]);
	ways[i](p, s, to, from, n);
	snap_end(p, s, to, to + n);
}

/* --- the rest ------------------------------------------------------------------------------------------------------------ */

/* Short-lived files, whose blocks were others' and will be. */
static void tenant(struct proc *p)
{
	unsigned int n = 1 + pick(p, p->blocks), b;
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/tenant%u", p->dir, p->me);
	DO(p, fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
	if (p->tenants++ % 3 == 2 && has(p, CX_F_CLONE)) {
		clone_blocks(p, fd, p->f[pick(p, p->live * p->c->procs)].fd, 0, 0, n);
	} else {
		for (b = 0; b < n; b++)
			fill(p->buf + b * CX_BLOCK, live_word(ID_TENANT + p->me % 6, b, p->tenants));
		if (pwrite(fd, p->buf, n * CX_BLOCK, 0) != (ssize_t)(n * CX_BLOCK))
			give_up(p, "write: %s", strerror(errno));
		if (pick(p, 2))
			DO(p, fdatasync(fd));
	}
	close(fd);
	DO(p, unlink(path));
}

static struct pfile *any_file(struct proc *p)
{
	return pick(p, 2) ? &p->f[pick(p, p->live * p->c->procs)] : &p->f[MAX_FILES + pick(p, p->snaps * p->c->procs)];
}

static void advise_any(struct proc *p)
{
	static const int advices[] = { MADV_DONTNEED, MADV_DONTNEED, MADV_PAGEOUT, MADV_COLD };
	unsigned int from = pick(p, p->blocks), n = 1 + pick(p, p->blocks - from);
	struct pfile *f = any_file(p);

	if (pick(p, 2))
		posix_fadvise(f->fd, (off_t)from * CX_BLOCK, (off_t)n * CX_BLOCK, POSIX_FADV_DONTNEED);
	else
		madvise((pick(p, 2) ? f->map : f->priv) + from * CX_BLOCK, n * CX_BLOCK, advices[pick(p, 4)]);
}

static void write_back(struct proc *p)
{
	struct pfile *f = any_file(p);

	if (pick(p, 4))
		DO(p, sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE | (pick(p, 2) ? SYNC_FILE_RANGE_WAIT_AFTER : 0)));
	else
		DO(p, fdatasync(f->fd));
}

static void machine(struct proc *p)
{
	if (has(p, CX_F_DROP) && pick(p, 2))
		cx_put("/proc/sys/vm/drop_caches", pick(p, 4) ? "1" : "3");
	else if (has(p, CX_F_COMPACT))
		cx_put("/proc/sys/vm/compact_memory", "1");
}

static const struct {
	void (*fn)(struct proc *p);
	unsigned int weight;
} actions[] = {
	{ look_live, 2000 }, { look_snap, 700 }, { change_live, 200 }, { change_snap, 60 }, { advise_any, 60 }, { write_back, 30 },
	{ tenant, 15 }, { machine, 1 },
};

static void open_one(struct proc *p, struct pfile *f, const char *kind, unsigned int nr, bool create)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s%02u", p->dir, kind, nr);
	DO(p, f->fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0), 0600));
	if (create)
		DO(p, ftruncate(f->fd, (off_t)p->blocks * CX_BLOCK));
	f->dfd = -1;
	if (has(p, CX_F_DIRECT))
		DO(p, f->dfd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC));
	if (create)
		return;
	f->map = mmap(NULL, p->blocks * CX_BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	f->priv = mmap(NULL, p->blocks * CX_BLOCK, PROT_READ, MAP_PRIVATE, f->fd, 0);
	if (f->map == MAP_FAILED || f->priv == MAP_FAILED)
		give_up(p, "mmap: %s", strerror(errno));
}

static void close_one(struct pfile *f)
{
	close(f->fd);
	if (f->dfd >= 0)
		close(f->dfd);
}

static void begin_thread(struct proc *p, unsigned int nr)
{
	p->rnd = p->c->seed * 1000003 + p->me * MAX_THREADS + nr;
	p->buf = aligned_alloc(CX_BLOCK, p->blocks * CX_BLOCK);
	if (!p->buf)
		give_up(p, "no memory for a buffer");
	DO(p, pipe2(p->pipe, O_CLOEXEC));
	DO(p, p->sink = memfd_create("clonex", MFD_CLOEXEC));
}

static void *looker(void *arg)
{
	struct proc *p = arg;

	while (!__atomic_load_n(&p->sh->stop, __ATOMIC_RELAXED)) {
		look_live(p);
		if (!pick(p, 3))
			look_snap(p);
		/* Those that change something shall come to it, too. */
		if (!pick(p, 16))
			usleep(1000);
	}
	return NULL;
}

static void run_process(struct proc *p)
{
	unsigned int i, total = 0, r;
	pthread_t threads[MAX_THREADS];
	char path[512];

	p->child = true;
	cx_guard();
	for (i = 0; i < p->live * p->c->procs; i++)
		open_one(p, &p->f[i], "live", i, false);
	for (i = 0; i < p->snaps * p->c->procs; i++)
		open_one(p, &p->f[MAX_FILES + i], "snap", i, false);
	snprintf(path, sizeof(path), "%s/staging%u", p->dir, p->me);
	DO(p, p->staging = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	begin_thread(p, 0);
	for (i = 0; i < p->c->threads; i++) {
		struct proc *t = malloc(sizeof(*t));

		if (!t)
			give_up(p, "no memory for a thread");
		*t = *p;
		begin_thread(t, i + 1);
		if (pthread_create(&threads[i], NULL, looker, t))
			give_up(p, "cannot start a thread");
	}
	for (i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		total += actions[i].weight;
	while (!__atomic_load_n(&p->sh->stop, __ATOMIC_RELAXED)) {
		r = pick(p, total);
		for (i = 0; r >= actions[i].weight; i++)
			r -= actions[i].weight;
		actions[i].fn(p);
	}
	for (i = 0; i < p->c->threads; i++)
		pthread_join(threads[i], NULL);
	_exit(0);
}

/* Waits for one of the processes, up to ms. 0: none has ended. */
static pid_t wait_any(const pid_t *pids, unsigned int n, uint64_t ms, int *status, unsigned int *which)
{
	uint64_t end = cx_ms() + ms;

	for (;;) {
		for (*which = 0; *which < n; (*which)++)
			if (pids[*which] > 0 && waitpid(pids[*which], status, WNOHANG) == pids[*which])
				return pids[*which];
		if (cx_ms() >= end)
			return 0;
		usleep(10000);
	}
}

static void why(struct shared *sh, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void why(struct shared *sh, const char *fmt, ...)
{
	uint32_t none = 0;
	va_list ap;

	if (!__atomic_compare_exchange_n(&sh->failed, &none, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	va_start(ap, fmt);
	vsnprintf(sh->why, sizeof(sh->why), fmt, ap);
	va_end(ap);
}

static void supervise(struct proc *p, pid_t *pids)
{
	uint64_t start = cx_ms(), said = start, end = start + p->c->seconds * 1000ull;
	unsigned int left = p->c->procs, which;
	char line[160];
	int status;

	while (left) {
		if (wait_any(pids, p->c->procs, 100, &status, &which)) {
			pids[which] = 0;
			left--;
			if (status)
				why(p->sh, "process %u ended with status %#x", which, status);
			/* One that has failed says so to all; one that was killed does not. */
			__atomic_store_n(&p->sh->stop, status ? 1 : p->sh->stop, __ATOMIC_SEQ_CST);
			continue;
		}
		if (cx_ms() >= end)
			__atomic_store_n(&p->sh->stop, 1, __ATOMIC_SEQ_CST);
		if (cx_ms() >= end + END_MS) {
			why(p->sh, "%u of the processes did not end when they were told to", left);
			for (which = 0; which < p->c->procs; which++)
				if (pids[which] > 0)
					kill(pids[which], SIGKILL);
			break;
		}
		if (cx_ms() - said < 5000)
			continue;
		said = cx_ms();
		snprintf(line, sizeof(line), "%" PRIu64 " changes, %" PRIu64 " looks", p->sh->changes, p->sh->looks);
		p->c->say(p->c->arg, true, line);
	}
}

/* What can be done here, as in the sequential mode. */
static int find_features(const struct cx_config *c, uint64_t *features)
{
	struct cx_model m;
	struct cx_exec *x;
	int err = cx_model_init(&m, 1, 16 * CX_BLOCK);

	if (err)
		return err;
	err = cx_exec_open(&x, c->dir, &m, ~c->without);
	if (!err) {
		*features = m.features;
		cx_exec_close(x);
	}
	cx_model_free(&m);
	return err;
}

static void remove_files(struct proc *p)
{
	static const char *const kinds[] = { "live", "snap", "staging", "tenant" };
	unsigned int k, i;
	char path[512];

	for (k = 0; k < 4; k++)
		for (i = 0; i < MAX_FILES; i++) {
			snprintf(path, sizeof(path), k < 2 ? "%s/%s%02u" : "%s/%s%u", p->dir, kinds[k], i);
			unlink(path);
		}
	rmdir(p->dir);
}

int cx_concurrent(const struct cx_config *c, struct cx_stats *s)
{
	struct proc *p = calloc(1, sizeof(*p));
	pid_t pids[MAX_PROCS] = {};
	unsigned int i, b;
	uint64_t start;
	int err;

	memset(s, 0, sizeof(*s));
	if (!p)
		return -ENOMEM;
	p->c = c;
	p->live = (c->files + 1) / 2;
	p->snaps = c->files / 2;
	p->blocks = c->size / CX_BLOCK < MAX_BLOCKS ? c->size / CX_BLOCK : MAX_BLOCKS;
	if (c->procs > MAX_PROCS || c->threads > MAX_THREADS || c->files < 2 || p->live * c->procs > MAX_FILES || !c->seconds) {
		cx_say(c, "several processes: up to %u of them, with up to %u more threads, 2 or more files each, %u in all; and for how many seconds",
		       MAX_PROCS, MAX_THREADS, MAX_FILES * 2);
		free(p);
		return -EINVAL;
	}
	err = find_features(c, &p->features);
	if (err) {
		cx_say(c, "cannot work in %s: %s", c->dir, strerror(-err));
		free(p);
		return err;
	}
	p->sh = mmap(NULL, sizeof(*p->sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->sh == MAP_FAILED) {
		free(p);
		return -ENOMEM;
	}
	snprintf(p->dir, sizeof(p->dir), "%s/clonex.%d", c->dir, (int)getpid());
	if (mkdir(p->dir, 0700)) {
		err = -errno;
		cx_say(c, "cannot make %s: %s", p->dir, strerror(errno));
		goto out;
	}
	p->buf = calloc(1, CX_BLOCK);
	for (i = 0; i < p->live * c->procs; i++) {
		struct pfile f;

		open_one(p, &f, "live", i, true);
		close_one(&f);
	}
	for (i = 0; i < p->snaps * c->procs; i++) {
		struct pfile f;

		open_one(p, &f, "snap", i, true);
		close_one(&f);
		for (b = 0; b < p->blocks; b++)
			p->sh->snap[i].hash[b] = fnv(FNV_BASIS, p->buf, CX_BLOCK);
	}
	free(p->buf);
	cx_say(c, "seed %" PRIu64 ", %u processes, each of %u threads and with %u live files and %u snapshots of %u blocks", c->seed, c->procs,
	       1 + c->threads, p->live, p->snaps, p->blocks);
	start = cx_ms();
	for (i = 0; i < c->procs; i++) {
		p->me = i;
		pids[i] = fork();
		if (!pids[i])
			run_process(p);
		if (pids[i] < 0)
			why(p->sh, "fork: %s", strerror(errno));
	}
	supervise(p, pids);
	s->seconds = (double)(cx_ms() - start) / 1000;
	s->looks = p->sh->looks;
	s->changes = p->sh->changes;
	remove_files(p);
	if (p->sh->failed) {
		snprintf(s->why, sizeof(s->why), "seed %" PRIu64 ": %.900s", c->seed, p->sh->why);
		cx_say(c, "FAILED %s", s->why);
		err = -EUCLEAN;
	}
out:
	munmap(p->sh, sizeof(*p->sh));
	free(p);
	return err;
}
