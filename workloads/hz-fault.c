// SPDX-License-Identifier: GPL-2.0
/*
 * Errors from below: sectors that cannot be read, requests that fail, a file system that is shut down, readers that are killed while they wait.
 * Who asks for what is broken gets the error that an unpatched kernel gives; nobody else does; and when it is over all is as before.
 *
 * Bad sectors are made with device mapper (dm.h) below a small file system of its own, which any kernel can. Failing requests need the
 * kernel's fault injection (kernels/inject.config).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dm.h"
#include "hz-ways.h"

#define DIR		"/mnt/extra"
#define GOINGDOWN	_IOR('X', 125, uint32_t)
#define PARAMETERS	"/sys/module/shcache/parameters/"

/* --- bad sectors ----------------------------------------------------------------------------------------------------------- */

#define BAD_BLOCKS	64u
#define BAD		20u
#define BAD_CLONES	4u

struct bad_fs {
	char loop[32], dev[32];
	struct hz_file clone[BAD_CLONES];
	struct hz_file *all[BAD_CLONES + 1];
	uint64_t where;			/* of the golden file's block BAD on the device */
};

static void bad_fs_mount(struct bad_fs *b)
{
	if (mount(b->dev, DIR, "xfs", MS_NOATIME, hz.sharing ? "shcache" : ""))
		hz_fail("mount %s: %m", b->dev);
}

static void bad_fs_begin(struct bad_fs *b)
{
	struct fiemap_extent e[HZ_EXTENTS];
	unsigned int i, n;
	char name[16];
	int err;

	err = hz_extra_fs(DIR, "-m reflink=1", "", b->loop);
	if (err)
		hz_fail("mount %s: %s", b->loop, strerror(-err));
	HZ_DO(umount(DIR));
	err = dm_create(b->loop, b->dev);
	if (err == -ENODEV)
		hz_skip("no device mapper here");
	if (err)
		hz_fail("device mapper on %s: %s", b->loop, strerror(-err));
	bad_fs_mount(b);
	snprintf(hz.dir, sizeof(hz.dir), DIR);
	hz_create(&hz_golden, "golden", 1, BAD_BLOCKS);
	hz_create(&hz_other, "other", 5, BAD_BLOCKS);
	b->all[0] = &hz_golden;
	for (i = 0; i < BAD_CLONES; i++) {
		snprintf(name, sizeof(name), "clone%u", i);
		hz_clone(&b->clone[i], &hz_golden, name);
		b->all[i + 1] = &b->clone[i];
	}
	n = hz_extents(hz_golden.fd, e);
	for (i = 0; i < n && e[i].fe_logical + e[i].fe_length <= BAD * HZ_PAGE; i++)
		;
	if (i == n)
		hz_fail("block %u of the golden file is nowhere", BAD);
	b->where = e[i].fe_physical + BAD * HZ_PAGE - e[i].fe_logical;
	hz_cold();
}

static void bad_fs_break(const struct bad_fs *b, bool broken)
{
	const struct dm_range r = { b->where, b->where + HZ_PAGE };
	int err = dm_set_bad(b->loop, &r, broken);

	if (err)
		hz_fail("device mapper: %s", strerror(-err));
}

/* All of the device. */
static void bad_fs_break_all(const struct bad_fs *b)
{
	const struct dm_range r = { 0, 1ull << 40 };
	int err = dm_set_bad(b->loop, &r, 1);

	if (err)
		hz_fail("device mapper: %s", strerror(-err));
}

static void bad_fs_check(const struct bad_fs *b, unsigned int which, const char *stage)
{
	unsigned int i;

	for (i = 0; i <= BAD_CLONES; i++)
		hz_check(b->all[i], which, stage);
}

static void bad_fs_end(struct bad_fs *b)
{
	unsigned int i;

	for (i = 0; i <= BAD_CLONES; i++)
		hz_close(b->all[i]);
	hz_close(&hz_other);
	HZ_DO(umount(DIR));
	dm_remove();
	hz_extra_fs_end(NULL, b->loop);
}

static void want_error(const char *what, const struct hz_way *w, int got, int want)
{
	if (got != want)
		hz_fail("%s: %s: %s, and should be %s", w->name, what, got ? strerror(-got) : "no error", want ? strerror(-want) : "no error");
}

/* Who reads the bad block gets the error, by each way; its neighbours can be read; afterwards everything can, through every clone. */
static void bad_block(const void *arg)
{
	struct hz_file *around[2];
	struct hz_file x;
	struct bad_fs b;
	unsigned int i, k;
	int err;

	(void)arg;
	bad_fs_begin(&b);
	for (i = 0; i < WAYS; i++) {
		const struct hz_way *w = &hz_ways[i];

		hz_clone(&x, &hz_golden, "x");
		bad_fs_break(&b, true);
		hz_cold();
		/* Twice: what the first one leaves behind is no answer. */
		for (k = 0; k < 2; k++) {
			err = w->fn(&x, BAD, 1);
			want_error("the bad block", w, err, w->bad);
			if (!w->bad)
				break;
		}
		around[0] = &b.clone[i % BAD_CLONES];
		around[1] = &b.clone[(i + 1) % BAD_CLONES];
		for (k = 0; k < 2; k++) {
			want_error("another clone's bad block", &hz_ways[WAY_READ], hz_use(around[k], WAY_READ, BAD, 1), -EIO);
			want_error("another clone's bad block", &hz_ways[WAY_MAP], hz_use(around[k], WAY_MAP, BAD, 1), -EFAULT);
			/* All of it in one: what is before and behind must come. */
			want_error("blocks before the bad one", &hz_ways[WAY_READ], hz_use(around[k], WAY_READ, 0, BAD), 0);
			want_error("blocks behind the bad one", &hz_ways[WAY_READ], hz_use(around[k], WAY_READ, BAD + 1, BAD_BLOCKS - BAD - 1), 0);
			want_error("blocks around the bad one", &hz_ways[WAY_MAP], hz_use(around[k], WAY_MAP, 0, BAD), 0);
			want_error("blocks around the bad one", &hz_ways[WAY_MAP], hz_use(around[k], WAY_MAP, BAD + 1, BAD_BLOCKS - BAD - 1), 0);
			want_error("all of the file", &hz_ways[WAY_READ], hz_use(around[k], WAY_READ, 0, BAD_BLOCKS), -EIO);
		}
		bad_fs_break(&b, false);
		if (!err || !w->undone)
			hz_check(&x, HZ_ALL, w->name);
		bad_fs_check(&b, HZ_ALL, w->name);
		hz_unlink(&x);
	}
	hz_cold();
	bad_fs_check(&b, HZ_ALL, "cold");
	hz_check_shared(b.all, BAD_CLONES + 1, "after all errors");
	bad_fs_end(&b);
}

/* What is in memory already can be read although the medium is bad, and stays right when it is written to. */
static void bad_but_cached(const void *arg)
{
	struct bad_fs b;
	unsigned int i;

	(void)arg;
	bad_fs_begin(&b);
	for (i = 0; i <= BAD_CLONES; i++) {
		hz_map(b.all[i]);
		hz_touch(b.all[i]);
		hz_cache(b.all[i]);
	}
	bad_fs_break(&b, true);
	bad_fs_check(&b, HZ_READ | HZ_OLD_MAP, "cached, then bad");
	want_error("a cached block", &hz_ways[WAY_SMALL_WRITE], hz_use(&b.clone[0], WAY_SMALL_WRITE, BAD, 1), 0);
	want_error("a cached block", &hz_ways[WAY_STORE], hz_use(&b.clone[1], WAY_STORE, BAD, 1), 0);
	bad_fs_check(&b, HZ_READ | HZ_OLD_MAP, "cached, bad, written");
	/* Their new blocks are elsewhere, and good. */
	HZ_DO(fsync(b.clone[0].fd));
	HZ_DO(fsync(b.clone[1].fd));
	for (i = 0; i <= BAD_CLONES; i++)
		hz_unmap(b.all[i]);
	hz_cold();
	hz_check(&b.clone[0], HZ_ALL, "written elsewhere");
	hz_check(&b.clone[1], HZ_ALL, "written elsewhere");
	want_error("the bad block", &hz_ways[WAY_READ], hz_use(&b.clone[2], WAY_READ, BAD, 1), -EIO);
	bad_fs_break(&b, false);
	bad_fs_check(&b, HZ_ALL, "good again");
	bad_fs_end(&b);
}

/*
 * A bad sector fails all of the request that it is in: read-ahead must not ask for it with each page before it. What is read into the cache, again and
 * again, is counted.
 */
static void bad_again(const void *arg)
{
	static const struct { unsigned int way; int error; } passes[] = { { WAY_READ, -EIO }, { WAY_MAP, -EFAULT } };
	long long before, pages;
	struct bad_fs b;
	unsigned int i;

	(void)arg;
	if (hz_stat("/proc/vmstat", "shcache_fill") < 0)
		hz_skip("no counters here");
	bad_fs_begin(&b);
	bad_fs_break(&b, true);
	for (i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
		hz_cold();
		before = hz_stat("/proc/vmstat", "shcache_fill");
		want_error("all of the file", &hz_ways[passes[i].way], hz_use(&b.clone[i], passes[i].way, 0, BAD_BLOCKS), passes[i].error);
		pages = hz_stat("/proc/vmstat", "shcache_fill") - before;
		if (pages < BAD || pages > 2 * BAD_BLOCKS)
			hz_fail("%s: %lld pages were read for %u, of which one is bad", hz_ways[passes[i].way].name, pages, BAD_BLOCKS);
	}
	bad_fs_break(&b, false);
	bad_fs_check(&b, HZ_ALL, "good again");
	bad_fs_end(&b);
}

/* While readers look, by all ways, sectors go bad and become good again, caches are dropped, and one clone is rewritten. */

struct tally {
	uint32_t stop, good, bad;
};

static struct tally *tally;
static struct bad_fs race_fs;

static bool going(void)
{
	return !__atomic_load_n(&tally->stop, __ATOMIC_RELAXED) && *hz.verdict == HZ_OPEN;
}

static void count(int err)
{
	__atomic_add_fetch(err ? &tally->bad : &tally->good, 1, __ATOMIC_RELAXED);
}

/*
 * Looks at random places of a clone; the ways that change nothing. Blocks beside the bad one may fail too: a large folio is read as a whole,
 * and has no data if a part of it cannot be read.
 */
static void look_around(void *arg)
{
	struct hz_file *f = arg;
	uint64_t rand = hz.rand + (uint64_t)(f - race_fs.clone);

	while (going()) {
		const struct hz_way *w = &hz_ways[wl_rand(&rand) % WAY_STORE];
		unsigned int n = (unsigned int)(wl_rand(&rand) % 8) + 1, at = (unsigned int)(wl_rand(&rand) % (BAD_BLOCKS - n));
		int err = w->fn(f, at, n);

		if (err && err != w->bad)
			hz_fail("%s: %s, and may only be %s", w->name, strerror(-err), strerror(-w->bad));
		count(err);
	}
}

static void rewrite(void *arg)
{
	unsigned int i;

	for (i = 0; going(); i++) {
		struct hz_file x;

		(void)arg;
		hz_clone(&x, &hz_other, "rewritten");
		if (hz_use(&x, WAY_WRITE, i % 50, 8) || hz_use(&x, WAY_SMALL_WRITE, 60, 2) || hz_use(&x, WAY_STORE, 58, 2))
			hz_fail("write of good blocks: %m");
		HZ_DO(fsync(x.fd));
		hz_check(&x, HZ_READ | HZ_NEW_MAP, "rewritten");
		hz_unlink(&x);
	}
}

static void bad_race(const void *arg)
{
	uint64_t end;
	pid_t pid[5];
	unsigned int i;

	(void)arg;
	bad_fs_begin(&race_fs);
	tally = hz_shared_memory(HZ_PAGE);
	for (i = 0; i < 4; i++)
		pid[i] = hz_fork(look_around, &race_fs.clone[i]);
	pid[4] = hz_fork(rewrite, NULL);
	for (end = hz_ms() + hz.seconds * 2000ull, i = 0; hz_ms() < end && going(); i++) {
		bad_fs_break(&race_fs, i % 3 < 2);
		hz_put("/proc/sys/vm/drop_caches", i % 4 ? "1" : "3");
		usleep(15000);
	}
	bad_fs_break(&race_fs, false);
	__atomic_store_n(&tally->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 5; i++)
		hz_join(pid[i]);
	if (!tally->good || !tally->bad)
		hz_fail("%u looks succeeded, %u failed: both must be seen", tally->good, tally->bad);
	bad_fs_check(&race_fs, HZ_ALL, "good again");
	hz_cold();
	bad_fs_check(&race_fs, HZ_ALL, "cold");
	bad_fs_end(&race_fs);
}

/* --- shut down, killed, late ------------------------------------------------------------------------------------------------- */

static void extra_begin(char dev[32])
{
	int err = hz_extra_fs(DIR, "-m reflink=1", hz.sharing ? "shcache" : "", dev);

	if (err)
		hz_fail("mount %s: %s", dev, strerror(-err));
	snprintf(hz.dir, sizeof(hz.dir), DIR);
	hz_create(&hz_golden, "golden", 1, BAD_BLOCKS);
	hz_create(&hz_other, "other", 5, BAD_BLOCKS);
}

static void shut_down(void)
{
	uint32_t how = 1;	/* flush the log */
	int root = HZ_DO(open(DIR, O_RDONLY | O_CLOEXEC));

	HZ_DO(ioctl(root, GOINGDOWN, &how));
	close(root);
}

static void extra_end(const char *dev)
{
	hz_close(&hz_golden);
	hz_close(&hz_other);
	HZ_DO(umount(DIR));
	hz_extra_fs_end(NULL, dev);
}

/* After a shutdown nothing can be read that is not in memory, by any way, and hints are hints. */
static void errors_of_shutdown(const void *arg)
{
	struct hz_file cold, warm;
	unsigned int i;
	char dev[32];
	int err;

	(void)arg;
	extra_begin(dev);
	hz_clone(&cold, &hz_golden, "cold");
	hz_clone(&warm, &hz_golden, "warm");
	hz_cold();
	/* The second half is in memory, through one clone. */
	hz_map(&warm);
	hz_use(&warm, WAY_MAP, BAD_BLOCKS / 2, BAD_BLOCKS / 2);
	hz_use(&warm, WAY_READ, BAD_BLOCKS / 2, BAD_BLOCKS / 2);
	shut_down();
	for (i = 0; i < WAYS; i++) {
		const struct hz_way *w = &hz_ways[i];

		err = w->fn(&cold, 4, 4);
		if (!w->changes)
			want_error("a file system that is shut down", w, err, w->bad);
		else if (!err)
			hz_fail("%s: a file system that is shut down was changed", w->name);
		/* Of the same, what is in memory: data that is right, or the error. */
		err = w->changes ? 0 : w->fn(i % 2 ? &cold : &warm, BAD_BLOCKS - 8, 4);
		if (err && err != w->bad)
			hz_fail("%s: %s after a shutdown, and may only be %s", w->name, strerror(-err), strerror(-w->bad));
	}
	/* What is mapped may be looked at, and not be changed. */
	if (hz_poke(warm.map + (BAD_BLOCKS - 20) * HZ_PAGE, 1))
		hz_fail("a store to a file system that is shut down went through");
	hz_close(&cold);
	hz_close(&warm);
	extra_end(dev);
}

/* The device does not answer: who waits for it can be killed, and who waits with him gets his data in the end. */
static void wait_for_data(void *arg)
{
	const unsigned int *what = arg;
	int err = hz_use(&race_fs.clone[what[1]], what[0], BAD - 10, 20);

	if (err)
		hz_fail("%s: %s when the device answers again", hz_ways[what[0]].name, strerror(-err));
}

static void killed(const void *arg)
{
	static const unsigned int looks[] = { WAY_READ, WAY_SPLICE, WAY_MAP, WAY_PRIVATE_MAP, WAY_POPULATE, WAY_PRIVATE_STORE, WAY_STORE };
	unsigned int i, k, ms;
	pid_t pid[4];
	int status;

	(void)arg;
	bad_fs_begin(&race_fs);
	for (i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
		hz_cold();
		HZ_DO(dm_pause(true));
		for (k = 0; k < 4; k++) {
			unsigned int what[2] = { looks[i], k };

			pid[k] = hz_fork(wait_for_data, what);
			usleep(30000);
		}
		/* The first one has begun the read that the others wait for. */
		for (k = 0; k < 4; k += 2) {
			kill(pid[k], SIGKILL);
			for (ms = 0; waitpid(pid[k], &status, WNOHANG) != pid[k]; ms += 5) {
				if (ms > 10000) {
					dm_pause(false);
					hz_fail("%s: cannot be killed while the device does not answer", hz_ways[looks[i]].name);
				}
				usleep(5000);
			}
			if (!WIFSIGNALED(status))
				hz_fail("%s: did not wait for a device that does not answer", hz_ways[looks[i]].name);
		}
		HZ_DO(dm_pause(false));
		hz_join(pid[1]);
		hz_join(pid[3]);
		for (k = 0; k < BAD_CLONES && hz_ways[looks[i]].changes; k++) {
			char name[16];

			/* The model has not what the processes have stored. */
			snprintf(name, sizeof(name), "again%u", k);
			hz_unlink(&race_fs.clone[k]);
			hz_clone(&race_fs.clone[k], &hz_golden, name);
		}
		bad_fs_check(&race_fs, HZ_ALL, "the device answers");
	}
	bad_fs_end(&race_fs);
}

/* The extent map changes between the look of a fault for what is cached and its insertion. */

enum late { LATE_PUNCH, LATE_TRUNCATE, LATE_CLONE, LATE_SHUTDOWN, LATE_READ };
static const enum late late_punch = LATE_PUNCH, late_truncate = LATE_TRUNCATE, late_clone = LATE_CLONE, late_shutdown = LATE_SHUTDOWN,
		       late_read = LATE_READ;

static struct hz_file late_file;

/* seen: whether there is data, and which. */
static void read_late(void *arg)
{
	uint64_t *seen = arg;

	seen[0] = pread(late_file.fd, &seen[1], 8, BAD * HZ_PAGE) == 8;
}

static void fault_late(void *arg)
{
	uint8_t *m = mmap(NULL, HZ_PAGE, PROT_READ, MAP_SHARED, late_file.fd, BAD * HZ_PAGE);
	uint64_t v, *seen = arg;

	if (m == MAP_FAILED)
		hz_fail("mmap: %m");
	seen[0] = hz_peek(m, &v);
	seen[1] = v;
}

/*
 * Returns whether it is certain that the change was over before the page was read: there, it is what the reader must see. ms: how long the
 * kernel waits before it reads, if it can be told to.
 */
static bool change_first(enum late how, unsigned int ms)
{
	static const char delay[] = PARAMETERS "delay_lookup_insert";
	uint64_t *seen = hz_shared_memory(HZ_PAGE), begun;
	char dev[32], text[64];
	bool certain;
	pid_t pid;
	int err = 0;

	extra_begin(dev);
	hz_clone(&late_file, &hz_golden, "late");
	hz_cold();
	snprintf(text, sizeof(text), "%u", ms);
	certain = hz_put(delay, text) && hz.sharing;
	begun = hz_ms();
	pid = hz_fork(how == LATE_READ ? read_late : fault_late, seen);
	usleep(ms * 1000 * 3 / 8);
	switch (how) {
	case LATE_PUNCH:
		err = fallocate(late_file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BAD_BLOCKS * HZ_PAGE);
		hz_want_zero(&late_file, 0, BAD_BLOCKS * HZ_PAGE);
		break;
	case LATE_TRUNCATE:
		err = ftruncate(late_file.fd, HZ_PAGE);
		hz_want_size(&late_file, HZ_PAGE);
		break;
	case LATE_CLONE:
		err = hz_use(&late_file, WAY_CLONE, 0, BAD_BLOCKS);
		break;
	case LATE_SHUTDOWN:
	case LATE_READ:
		shut_down();
		break;
	}
	certain = certain && hz_ms() - begun < ms;
	hz_put(delay, "0");
	if (err)
		hz_fail("the change: %m");
	hz_join(pid);
	if (certain && (how == LATE_PUNCH || how == LATE_CLONE) && (!seen[0] || seen[1] != (how == LATE_PUNCH ? 0 : hz_word(5, BAD, 1))))
		hz_fail("a fault that read after the change saw %s", seen[0] ? hz_word_text(seen[1], text, sizeof(text)) : "SIGBUS");
	if (certain && how != LATE_PUNCH && how != LATE_CLONE && seen[0])
		hz_fail("who read after the change saw %s", hz_word_text(seen[1], text, sizeof(text)));
	if (seen[0] && seen[1] != hz_word(1, BAD, 1) && (how != LATE_PUNCH || seen[1]) && (how != LATE_CLONE || seen[1] != hz_word(5, BAD, 1)))
		hz_fail("a fault in the middle of a change saw %s", hz_word_text(seen[1], text, sizeof(text)));
	if (!seen[0] && (how == LATE_PUNCH || how == LATE_CLONE))
		hz_fail("a fault in the middle of a change got SIGBUS");
	if (how < LATE_SHUTDOWN) {
		hz_check(&late_file, HZ_ALL, "changed");
		hz_check(&hz_golden, HZ_ALL, "changed");
	}
	hz_close(&late_file);
	extra_end(dev);
	return certain;
}

static void late(const void *arg)
{
	const enum late how = *(const enum late *)arg;
	unsigned int ms = 400;

	/* On a machine that is too slow for that, once more with more time. */
	while (!change_first(how, ms) && hz.sharing && ms < 8000 && !access(PARAMETERS "delay_lookup_insert", W_OK))
		ms *= 3;
}

/* A file in so many pieces that their list is not in the inode, and cannot be read: an error by each way, and no damage. */
static void bad_extents(const void *arg)
{
	struct hz_file x;
	struct bad_fs b;
	unsigned int i;
	int err;

	(void)arg;
	bad_fs_begin(&b);
	hz_clone(&x, &hz_golden, "x");
	for (i = 0; i < BAD_BLOCKS; i += 2)
		hz_use(&x, WAY_WRITE, i, 1);
	HZ_DO(fsync(x.fd));
	for (i = 0; i < WAY_STORE; i++) {
		const struct hz_way *w = &hz_ways[i];

		close(x.fd);
		hz_cold();
		x.fd = HZ_DO(open(x.path, O_RDWR | O_CLOEXEC));
		/* Frozen, it writes nothing: a write of its log that fails would shut it down. */
		HZ_DO(ioctl(x.fd, FIFREEZE, 0));
		bad_fs_break_all(&b);
		err = w->fn(&x, 9, 1);
		bad_fs_break(&b, false);
		HZ_DO(ioctl(x.fd, FITHAW, 0));
		want_error("a file whose extents cannot be read", w, err, w->bad);
		hz_check(&x, HZ_CACHED, w->name);
	}
	hz_check(&x, HZ_ALL, "in the end");
	bad_fs_check(&b, HZ_ALL, "in the end");
	hz_close(&x);
	bad_fs_end(&b);
}

/* A pipe with four pages of room gets as much as fits, from the middle of a page on. */
static void splice_little(struct hz_file *f)
{
	uint8_t *buf = hz_buffer(8 * HZ_PAGE);
	loff_t off = HZ_PAGE + 100, at;
	ssize_t n, got;
	int p[2];

	HZ_DO(pipe2(p, O_CLOEXEC));
	HZ_DO(fcntl(p[1], F_SETPIPE_SZ, 4 * HZ_PAGE));
	for (at = off; (uint64_t)off < f->size; at = off) {
		n = HZ_DO(splice(f->fd, &off, p[1], NULL, 16 * HZ_PAGE, 0));
		if (n <= 0 || n > (ssize_t)(4 * HZ_PAGE))
			hz_fail("splice into four pages of room: %zd bytes", n);
		for (got = 0; got < n;)
			got += HZ_DO(read(p[0], buf + got, (size_t)(n - got)));
		hz_compare(f, buf, (uint64_t)at, (uint64_t)n, "splice", "little room");
	}
	close(p[0]);
	close(p[1]);
}

/* A read into memory that is only there in part: what fits is right, the rest is EFAULT. */
static void bad_buffer(const void *arg)
{
	uint8_t *buf = hz_buffer(4 * HZ_PAGE);
	struct hz_file x;
	ssize_t n;

	(void)arg;
	hz_create(&hz_golden, "golden", 1, BAD_BLOCKS);
	hz_clone(&x, &hz_golden, "x");
	hz_cold();
	HZ_DO(mprotect(buf + 2 * HZ_PAGE, 2 * HZ_PAGE, PROT_NONE));
	n = pread(x.fd, buf + 100, 3 * HZ_PAGE, 5 * HZ_PAGE);
	if (n <= 0 || n > (ssize_t)(2 * HZ_PAGE - 100))
		hz_fail("read into a buffer of %u bytes: %zd (%m)", 2 * HZ_PAGE - 100, n);
	hz_compare(&x, buf + 100, 5 * HZ_PAGE, (uint64_t)n, "read", "into half a buffer");
	if (pread(x.fd, buf + 2 * HZ_PAGE, HZ_PAGE, 6 * HZ_PAGE) != -1 || errno != EFAULT)
		hz_fail("read into no buffer: %m, and not EFAULT");
	splice_little(&x);
	hz_check(&x, HZ_ALL, "in the end");
}

/* --- requests ---------------------------------------------------------------------------------------------------------------- */

/* Requests of readers fail at random, of any length and at any place; who is not marked is not hit. */

static void unlucky(void *arg)
{
	struct hz_file *f = arg;
	uint64_t rand = hz.rand + (uint64_t)f->fd;

	if (!hz_put("/proc/self/make-it-fail", "1"))
		hz_fail("/proc/self/make-it-fail: %m");
	while (going()) {
		const struct hz_way *w = &hz_ways[wl_rand(&rand) % WAY_STORE];
		unsigned int n = (unsigned int)(wl_rand(&rand) % 20) + 1, at = (unsigned int)(wl_rand(&rand) % (BAD_BLOCKS - n));
		int err = w->fn(f, at, n);

		if (err && err != w->bad && err != -EIO)
			hz_fail("%s: %s, and may only be %s", w->name, strerror(-err), strerror(-w->bad));
		count(err);
	}
}

static void lucky(void *arg)
{
	struct hz_file *f = arg;
	uint64_t rand = hz.rand + (uint64_t)f->fd;

	while (going()) {
		unsigned int n = (unsigned int)(wl_rand(&rand) % 20) + 1, at = (unsigned int)(wl_rand(&rand) % (BAD_BLOCKS - n));

		/* It may wait for the read of an unlucky one, and must then read itself. */
		if (wl_rand(&rand) % 2 ? hz_use(f, WAY_READ, at, n) : hz_use(f, WAY_MAP, at, n))
			hz_fail("a reader whose own requests do not fail got an error: %m");
	}
}

static void requests_fail(const void *arg)
{
	static const char *const odds[] = { "5", "30", "100" };
	struct hz_file clone[6];
	char path[64], name[16];
	unsigned int i, o;
	struct stat st;
	pid_t pid[6];

	(void)arg;
	tally = hz_shared_memory(HZ_PAGE);
	hz_create(&hz_golden, "golden", 1, BAD_BLOCKS);
	for (i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "clone%u", i);
		hz_clone(&clone[i], &hz_golden, name);
		/* What the file system knows of the file is in memory. */
		hz_cache(&clone[i]);
	}
	HZ_DO(stat(hz.dir, &st));
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/make-it-fail", major(st.st_dev), minor(st.st_dev));
	if (!hz_put(path, "1") || !hz_inject("fail_make_request", "task-filter", "Y") || !hz_inject("fail_make_request", "verbose", "0") ||
	    !hz_inject("fail_make_request", "times", "-1") || !hz_inject("fail_make_request", "interval", "1"))
		hz_skip("no fail_make_request here (kernels/inject.config)");
	for (o = 0; o < 3; o++) {
		uint64_t end = hz_ms() + hz.seconds * 1000ull;

		hz_inject("fail_make_request", "probability", odds[o]);
		tally->stop = tally->bad = 0;
		for (i = 0; i < 4; i++)
			pid[i] = hz_fork(unlucky, &clone[i]);
		for (; i < 6; i++)
			pid[i] = hz_fork(lucky, &clone[i]);
		while (hz_ms() < end && going()) {
			hz_put("/proc/sys/vm/drop_caches", "1");
			usleep(10000);
		}
		__atomic_store_n(&tally->stop, 1, __ATOMIC_RELAXED);
		for (i = 0; i < 6; i++)
			hz_join(pid[i]);
		hz_inject("fail_make_request", "probability", "0");
		if (!tally->bad && o == 2)
			hz_fail("no request failed: nothing was tested");
		for (i = 0; i < 6; i++)
			hz_check(&clone[i], HZ_ALL, "requests go through again");
	}
	hz_put(path, "0");
}

const struct hz_test hz_fault_tests[] = {
	{ "fault-bad-block", "a bad sector: its error by each way, its neighbours read, all as before when it is good again", .needs = HZ_XFS,
	  .fn = bad_block },
	{ "fault-bad-cached", "a sector that goes bad under what is cached", .needs = HZ_XFS, .fn = bad_but_cached },
	{ "fault-bad-again", "a bad sector is not read again with each page before it", .needs = HZ_XFS | HZ_SHARING, .fn = bad_again },
	{ "fault-bad-race", "sectors go bad and good under readers and writers", .needs = HZ_XFS, .fn = bad_race },
	{ "fault-shutdown", "after a shutdown an error by each way, hints are hints", .needs = HZ_XFS, .fn = errors_of_shutdown },
	{ "fault-killed", "who waits for a device that does not answer can be killed", .needs = HZ_XFS, .fn = killed },
	{ "fault-late-punch", "a hole is punched in the middle of a fault", .needs = HZ_XFS, .fn = late, .arg = &late_punch },
	{ "fault-late-truncate", "a truncation in the middle of a fault", .needs = HZ_XFS, .fn = late, .arg = &late_truncate },
	{ "fault-late-clone", "other data is cloned in the middle of a fault", .needs = HZ_XFS, .fn = late, .arg = &late_clone },
	{ "fault-late-shutdown", "a shutdown in the middle of a fault", .needs = HZ_XFS, .fn = late, .arg = &late_shutdown },
	{ "fault-late-read", "a shutdown in the middle of a read", .needs = HZ_XFS, .fn = late, .arg = &late_read },
	{ "fault-map", "a file whose extents cannot be read", .needs = HZ_XFS, .fn = bad_extents },
	{ "fault-buffer", "reads into memory that is there in part, and into a pipe with too little room", .fn = bad_buffer },
	{ "fault-requests", "requests fail at random", .fn = requests_fail },
	{ NULL, NULL, 0, NULL, NULL }
};
