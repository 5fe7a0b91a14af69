// SPDX-License-Identifier: GPL-2.0
/*
 * The file system's own life: freeze, shutdown, remount, mounts that must be refused, unmount that leaves nothing. On a small file
 * system of its own on a loop device.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "hz.h"
#include "timing.h"

#define BLOCKS		64u
#define DIR		"/mnt/extra"
#define ZONED_MB	3072u		/* mkfs.btrfs emulates zones of 256 MiB, and wants some of them */
#define GOINGDOWN	_IOR('X', 125, uint32_t)
#define STATS		"/sys/kernel/debug/shcache"

static const char *opts(void)
{
	return hz.sharing ? "shcache" : "";
}

static void make(char dev[32])
{
	int err = hz_extra_fs(DIR, hz.xfs ? "-m reflink=1" : "", opts(), dev);

	if (err)
		hz_fail("mount %s: %s", dev, strerror(-err));
	/* Files of this test go there. */
	snprintf(hz.dir, sizeof(hz.dir), DIR);
}

struct trio {
	struct hz_file golden, a, b;
};

static void make_trio(struct trio *t)
{
	hz_create(&t->golden, "golden", 1, BLOCKS);
	hz_clone(&t->a, &t->golden, "a");
	hz_clone(&t->b, &t->golden, "b");
	hz_cold();
}

static void close_trio(struct trio *t)
{
	hz_close(&t->golden);
	hz_close(&t->a);
	hz_close(&t->b);
}

static void check_trio(const struct trio *t, unsigned int ways, const char *stage)
{
	hz_check(&t->golden, ways, stage);
	hz_check(&t->a, ways, stage);
	hz_check(&t->b, ways, stage);
}

/* Frozen, everything can still be read, also what is not cached; a writer waits, and goes on when thawed. */
static void freeze(const void *arg)
{
	struct trio t;
	char dev[32];
	pid_t pid;
	int root;

	(void)arg;
	make(dev);
	make_trio(&t);
	hz_map(&t.a);
	hz_map(&t.b);
	root = HZ_DO(open(DIR, O_RDONLY | O_CLOEXEC));
	HZ_DO(ioctl(root, FIFREEZE, 0));
	check_trio(&t, HZ_CACHED, "frozen");
	pid = HZ_DO(fork());
	if (!pid) {
		memset(t.a.map + 5 * HZ_PAGE, 0, HZ_PAGE);
		_exit(0);
	}
	usleep(300000);
	check_trio(&t, HZ_CACHED, "frozen, with a writer waiting");
	HZ_DO(ioctl(root, FITHAW, 0));
	hz_join(pid);
	hz_want_zero(&t.a, 5 * HZ_PAGE, HZ_PAGE);
	check_trio(&t, HZ_CACHED, "thawed");
	hz_cold();
	check_trio(&t, HZ_ALL, "thawed, cold");
	close(root);
	close_trio(&t);
	hz_extra_fs_end(DIR, dev);
}

/* After a shutdown: errors where the data is not there, old mappings stay, nothing hangs, it can be unmounted and is sound. */
static void shutdown_fs(const void *arg)
{
	uint32_t how = 1;		/* flush the log */
	struct trio t;
	char dev[32], buf[HZ_PAGE];
	uint64_t v;
	int root;

	(void)arg;
	make(dev);
	make_trio(&t);
	hz_map(&t.a);
	hz_touch(&t.a);
	root = HZ_DO(open(DIR, O_RDONLY | O_CLOEXEC));
	HZ_DO(ioctl(root, GOINGDOWN, &how));
	close(root);
	if (hz_peek(t.a.map + 3 * HZ_PAGE, &v) && v != hz_word(1, 3, 1))
		hz_fail("a mapping changed with the shutdown");
	if (pread(t.b.fd, buf, sizeof(buf), 9 * HZ_PAGE) == sizeof(buf) && memcmp(buf, t.b.want + 9 * HZ_PAGE, sizeof(buf)))
		hz_fail("a read after the shutdown returned wrong data");
	if (pwrite(t.b.fd, "x", 1, 9 * HZ_PAGE) >= 0 && !fsync(t.b.fd))
		hz_fail("a write after the shutdown went through");
	hz_unmap(&t.a);
	close_trio(&t);
	HZ_DO(umount(DIR));
	if (mount(dev, DIR, "xfs", MS_NOATIME, opts()))
		hz_fail("mount after the shutdown: %m");
	hz_extra_fs_end(DIR, dev);
}

/* As long as a file is open for writing, nothing can be made read-only. */
static void reopen(struct hz_file *f, int flags)
{
	close(f->fd);
	f->fd = HZ_DO(open(f->path, flags | O_CLOEXEC));
}

static void reopen_trio(struct trio *t, int flags)
{
	reopen(&t->golden, flags);
	reopen(&t->a, flags);
	reopen(&t->b, flags);
}

static void remount(const void *arg)
{
	struct trio t;
	char dev[32];

	(void)arg;
	make(dev);
	make_trio(&t);
	check_trio(&t, HZ_CACHED, "before");
	reopen_trio(&t, O_RDONLY);
	HZ_DO(mount(NULL, DIR, NULL, MS_REMOUNT | MS_RDONLY | MS_NOATIME, opts()));
	check_trio(&t, HZ_CACHED, "read-only");
	if (hz.sharing && !hz_has_text("/proc/mounts", hz.xfs ? " " DIR " xfs ro" : " " DIR " btrfs ro"))
		hz_fail("/proc/mounts does not show the remount");
	HZ_DO(mount(NULL, DIR, NULL, MS_REMOUNT | MS_NOATIME, opts()));
	reopen_trio(&t, O_RDWR);
	check_trio(&t, HZ_CACHED, "read-write again");
	/* Off is no option; what counts is that it still works, and still says what it does. */
	if (hz.sharing) {
		HZ_DO(mount(NULL, DIR, NULL, MS_REMOUNT | MS_NOATIME, ""));
		check_trio(&t, HZ_CACHED, "remounted without naming it");
		if (!hz_has_text("/proc/mounts", ",shcache"))
			hz_fail("/proc/mounts lost the option");
	}
	close_trio(&t);
	hz_extra_fs_end(DIR, dev);
}

/* A mount without sharing cannot be switched to it. */
static void remount_refused(const void *arg)
{
	char dev[32];

	(void)arg;
	if (hz_extra_fs(DIR, hz.xfs ? "-m reflink=1" : "", "", dev))
		hz_fail("mount: %m");
	if (!mount(NULL, DIR, NULL, MS_REMOUNT | MS_NOATIME, "shcache"))
		hz_fail("remount with shcache was accepted");
	hz_extra_fs_end(DIR, dev);
}

/* Since the log was cleared. */
static bool log_says(const char *what)
{
	static char buf[1 << 18];
	int n = klogctl(3, buf, sizeof(buf) - 1);

	if (n < 0)
		return false;
	buf[n] = '\0';
	return strstr(buf, what);
}

struct refused {
	const char *mkfs;
	unsigned int mb;
};

static void mount_refused(const void *arg)
{
	const struct refused *r = arg;
	char dev[32];
	int err;

	/* Of what was said before, nothing counts. */
	HZ_DO(klogctl(5, NULL, 0));
	err = hz_extra_fs_mb(DIR, r->mb, r->mkfs, "shcache", dev);
	if (!err)
		hz_fail("mounted with shcache although made with %s", r->mkfs);
	if (err != -EINVAL)
		hz_fail("mount failed with %s, not EINVAL", strerror(-err));
	hz_extra_fs_end(NULL, dev);
	if (!log_says("shcache: "))
		hz_fail("refused without a word about shcache in the kernel's log");
}

/* A file could get DAX, and be written to without a request that purges: on a device with DAX, only mounts without it are accepted. */
static void dax_refused(const void *arg)
{
	static const char dev[] = "/dev/pmem0";
	const char *const mkfs[] = { "mkfs.xfs", "-q", "-f", "--unsupported", dev, NULL };
	static const char *const modes[] = { "shcache", "shcache,dax=inode", "shcache,dax=always" };
	unsigned int i;

	(void)arg;
	if (access(dev, F_OK))
		hz_skip("no %s here", dev);
	if (agent_run(hz.ctx, mkfs))
		hz_fail("mkfs.xfs %s failed", dev);
	mkdir(DIR, 0755);
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		HZ_DO(klogctl(5, NULL, 0));
		if (!mount(dev, DIR, "xfs", MS_NOATIME, modes[i]))
			hz_fail("mounted with %s on a device with DAX", modes[i]);
		if (errno != EINVAL)
			hz_fail("mount with %s failed with %m, not EINVAL", modes[i]);
		if (!log_says("shcache: DAX"))
			hz_fail("%s is refused without a word about DAX in the kernel's log", modes[i]);
	}
	if (mount(dev, DIR, "xfs", MS_NOATIME, "shcache,dax=never"))
		hz_fail("mount with dax=never: %m");
	HZ_DO(umount(DIR));
}

/* KASAN keeps up to a 32nd of memory of freed objects: then the number of slab pages says nothing of leaks. */
static bool has_quarantine(void)
{
	FILE *f = fopen("/proc/kallsyms", "r");
	char line[512];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, " kasan_quarantine_put\n") != NULL;
	if (f)
		fclose(f);
	return found;
}

/* Mounted, used by every path, unmounted, again and again: nothing stays behind. */
static void unmount_leaves_nothing(const void *arg)
{
	long long slab[4], pages[4], lost[4];
	unsigned int round, i;
	struct trio t;
	char dev[32];

	(void)arg;
	for (round = 0; round < 4; round++) {
		char name[32];
		struct hz_file c;

		make(dev);
		make_trio(&t);
		hz_map(&t.a);
		hz_map(&t.b);
		hz_touch(&t.a);
		hz_touch(&t.b);
		check_trio(&t, HZ_CACHED, "used");
		for (i = 0; i < 30; i++) {
			snprintf(name, sizeof(name), "c%u", i);
			hz_clone(&c, &t.golden, name);
			hz_map(&c);
			hz_touch(&c);
			hz_close(&c);
		}
		hz_want_block(&t.a, 5, 9, 5, 2);
		memcpy(t.a.map + 5 * HZ_PAGE, t.a.want + 5 * HZ_PAGE, HZ_PAGE);
		check_trio(&t, HZ_CACHED, "changed");
		close_trio(&t);
		/* No dropping of caches before: unmount has to get rid of what is cached. */
		hz_extra_fs_end(DIR, dev);
		hz_cold();
		pages[round] = hz_file_pages();
		/* A folio that nobody has and nobody freed is still in a list. */
		lost[round] = hz_stat("/proc/vmstat", "nr_inactive_file") + hz_stat("/proc/vmstat", "nr_active_file") - pages[round];
		slab[round] = hz_stat("/proc/vmstat", "nr_slab_unreclaimable");
	}
	if (pages[3] > pages[1] + 24)
		hz_fail("file pages after unmount: %lld, %lld, %lld, %lld", pages[0], pages[1], pages[2], pages[3]);
	if (lost[3] > lost[1] + 24)
		hz_fail("file pages in the LRU lists and in no file after unmount: %lld, %lld, %lld, %lld", lost[0], lost[1], lost[2], lost[3]);
	if (slab[3] > slab[1] + 200 && !has_quarantine())
		hz_fail("unreclaimable slab pages after unmount: %lld, %lld, %lld, %lld", slab[0], slab[1], slab[2], slab[3]);
}

/* Live refs of a mount. */
static long long live_refs(const char *path)
{
	long long made = hz_stat(path, "ref"), dropped = hz_stat(path, "unref");

	if (made < 0 || dropped < 0)
		hz_fail("%s has no line ref or unref", path);
	return made - dropped;
}

/*
 * What the kernel counts for this mount must go up with use, and its folios and refs down to nothing with the last file; what it counts for
 * the machine goes up likewise.
 */
static void counters(const void *arg)
{
	static const char vmstat[] = "/proc/vmstat";
	static const char *const up[] = { "shcache_miss", "shcache_fill", "shcache_map", "shcache_ref", "shcache_hit", "shcache_break",
					  "shcache_unref", "shcache_doom", "shcache_reap" };
	long long before[sizeof(up) / sizeof(up[0])];
	char dev[32], path[128];
	unsigned int i;
	struct trio t;

	(void)arg;
	make(dev);
	snprintf(path, sizeof(path), STATS "/%s/stats", dev + 5);
	if (access(path, R_OK))
		hz_skip("no %s", path);
	for (i = 0; i < sizeof(up) / sizeof(up[0]); i++) {
		before[i] = hz_stat(vmstat, up[i]);
		if (before[i] < 0)
			hz_fail("%s has no line %s", vmstat, up[i]);
	}
	make_trio(&t);
	/* A fault that finds a lock busy, or the extent map not in memory, does not know whether it misses. */
	hz_cache(&t.golden);
	hz_map(&t.a);
	hz_map(&t.b);
	hz_touch(&t.a);
	hz_touch(&t.b);
	hz_cache(&t.a);
	if (hz_stat(path, "pages") < (long long)BLOCKS)
		hz_fail("%lld pages counted where %u are shared", hz_stat(path, "pages"), BLOCKS);
	if (live_refs(path) < 2)
		hz_fail("%lld refs where two files are mapped", live_refs(path));
	HZ_DO(pwrite(t.b.fd, "x", 1, 0));
	HZ_DO(fsync(t.b.fd));
	hz_unlink(&t.a);
	hz_unlink(&t.b);
	hz_unlink(&t.golden);
	for (i = 0; i < 50; i++) {
		settle(DIR);
		if (!hz_stat(path, "pages") && !live_refs(path))
			break;
	}
	if (hz_stat(path, "pages"))
		hz_fail("all files are deleted, and %lld pages are left", hz_stat(path, "pages"));
	if (live_refs(path))
		hz_fail("all files are deleted, and %lld refs are left", live_refs(path));
	for (i = 0; i < sizeof(up) / sizeof(up[0]); i++)
		if (hz_stat(vmstat, up[i]) <= before[i])
			hz_fail("%s of %s did not go up", up[i], vmstat);
	hz_extra_fs_end(DIR, dev);
}

/* Eviction and re-use of inodes: a file that is cached again after its inode was dropped goes on as before. */
static void evict(const void *arg)
{
	struct trio t;
	unsigned int round;

	(void)arg;
	make_trio(&t);
	for (round = 0; round < 5; round++) {
		hz_map(&t.a);
		hz_touch(&t.a);
		hz_check(&t.a, HZ_CACHED, "opened");
		hz_want_block(&t.a, round, 9, round, 2);
		memcpy(t.a.map + round * HZ_PAGE, t.a.want + round * HZ_PAGE, HZ_PAGE);
		hz_unmap(&t.a);
		close(t.a.fd);
		hz_check(&t.b, HZ_CACHED, "the other one");
		/* The inode goes, and comes back. */
		hz_cold();
		t.a.fd = HZ_DO(open(t.a.path, O_RDWR | O_CLOEXEC));
		hz_check(&t.a, HZ_ALL, "opened again");
	}
	check_trio(&t, HZ_ALL, "in the end");
}

const struct hz_test hz_fs_tests[] = {
	{ "fs-freeze", "reads of a frozen file system, a store that waits", .fn = freeze },
	{ "fs-shutdown", "a shutdown, unmount, recovery", .needs = HZ_XFS, .fn = shutdown_fs },
	{ "fs-remount", "read-only and back", .fn = remount },
	{ "fs-remount-refused", "sharing cannot be switched on by a remount", .needs = HZ_SHARING, .fn = remount_refused },
	{ "fs-refused-1k", "blocks smaller than a page are refused, with a message", .needs = HZ_XFS | HZ_SHARING, .fn = mount_refused,
	  .arg = &(const struct refused){ "-b size=1024", HZ_EXTRA_MB } },
	{ "fs-refused-reflink", "a file system without reflink is refused, with a message", .needs = HZ_XFS | HZ_SHARING, .fn = mount_refused,
	  .arg = &(const struct refused){ "-m reflink=0", HZ_EXTRA_MB } },
	{ "fs-refused-dax", "per-file DAX is refused, with a message", .needs = HZ_XFS | HZ_SHARING, .fn = dax_refused },
	{ "fs-refused-zoned", "zones, also emulated ones, are refused, with a message", .needs = HZ_BTRFS | HZ_SHARING, .fn = mount_refused,
	  .arg = &(const struct refused){ "-O zoned -d single -m single", ZONED_MB } },
	{ "fs-unmount", "unmount leaves nothing behind", .fn = unmount_leaves_nothing },
	{ "fs-counters", "the counters go up, and down to nothing", .needs = HZ_SHARING, .fn = counters },
	{ "fs-evict", "inodes dropped and read again", .fn = evict },
	{ NULL, NULL, 0, NULL, NULL }
};
