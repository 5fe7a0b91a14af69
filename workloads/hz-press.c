// SPDX-License-Identifier: GPL-2.0
/*
 * Too much of something: containers in too little memory, poison under many clones, more clones than a page may have refs, and the kernel's own
 * comparison of what is cached with the medium.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hz-ways.h"
#include "timing.h"
#include "tree.h"

#define POISON		"/sys/kernel/debug/hwpoison/corrupt-pfn"
#define UNPOISON	"/sys/kernel/debug/hwpoison/unpoison-pfn"
#define CGROUP		"/sys/fs/cgroup/hazard"
#define TENANT_GROUP	"/sys/fs/cgroup/tenants"
#define CHECK_MEDIA	"/sys/module/shcache/parameters/check_media"

/* A clone of the golden file that has its model: for many files, or for processes that each have the part of it that they change. */
static void clone_bare(struct hz_file *f, const char *name)
{
	*f = hz_golden;
	f->map = f->priv = NULL;
	hz_path(f->path, sizeof(f->path), name);
	f->fd = HZ_DO(open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644));
	HZ_DO(ioctl(f->fd, FICLONE, hz_golden.fd));
}

/* --- too little memory ----------------------------------------------------------------------------------------------------- */

#define TENANTS		32u
#define TENANT_BLOCKS	4096u
#define VICTIM		7u

struct tenants {
	struct hz_file f[TENANTS];
	int go[2];
};

static struct tenants tenants;

/* Each maps, reads and changes its clone, which alone is larger than a share of the memory. */
static void tenant(void *arg)
{
	unsigned int k = (unsigned int)((struct hz_file *)arg - tenants.f);
	struct hz_file *f = arg;
	char c;

	HZ_DO(read(tenants.go[0], &c, 1));
	hz_map(f);
	hz_touch(f);
	if (hz_use(f, WAY_WRITE, k * 8, 4) || hz_use(f, WAY_STORE, k * 8 + 4, 2) || hz_use(f, WAY_SMALL_WRITE, k * 8 + 6, 2))
		hz_fail("a container with too little memory: write: %m");
	hz_check(f, HZ_READ | HZ_OLD_MAP, "a container with too little memory");
}

/* Has all of its clone mapped, and takes memory until it is killed. */
static void victim(void *arg)
{
	struct hz_file *f = arg;
	char c;

	HZ_DO(read(tenants.go[0], &c, 1));
	hz_map(f);
	for (;;) {
		uint8_t *m = hz_buffer(1u << 20);

		hz_touch(f);
		memset(m, 1, 1u << 20);
	}
}

static void cgroup_path(char *dst, size_t cap, unsigned int k, const char *file)
{
	snprintf(dst, cap, TENANT_GROUP "/c%u%s%s", k, *file ? "/" : "", file);
}

/*
 * A set of containers below one limit that all of them together hit all the time; one takes too much and is killed. The others must not
 * notice.
 */
static void tenants_starve(const void *arg)
{
	char path[128], text[32];
	pid_t pid[TENANTS];
	unsigned int k;
	int status;

	(void)arg;
	hz_create(&hz_golden, "golden", 1, TENANT_BLOCKS);
	for (k = 0; k < TENANTS; k++) {
		snprintf(text, sizeof(text), "tenant%u", k);
		clone_bare(&tenants.f[k], text);
	}
	hz_cold();
	if ((mkdir(TENANT_GROUP, 0755) && errno != EEXIST) || !hz_put(TENANT_GROUP "/cgroup.subtree_control", "+memory"))
		hz_skip("no memory cgroups: %m");
	/* What 32 processes need for themselves, and less than one copy of the file. */
	if (!hz_put(TENANT_GROUP "/memory.max", "40M"))
		hz_fail("memory.max: %m");
	HZ_DO(pipe(tenants.go));
	for (k = 0; k < TENANTS; k++) {
		pid[k] = hz_fork(k == VICTIM ? victim : tenant, &tenants.f[k]);
		cgroup_path(path, sizeof(path), k, "");
		HZ_DO(mkdir(path, 0755));
		cgroup_path(path, sizeof(path), k, "memory.max");
		if (!hz_put(path, k == VICTIM ? "8M" : "max"))
			hz_fail("%s: %m", path);
		cgroup_path(path, sizeof(path), k, "cgroup.procs");
		snprintf(text, sizeof(text), "%d", (int)pid[k]);
		if (!hz_put(path, text))
			hz_fail("%s: %m", path);
	}
	for (k = 0; k < TENANTS; k++)
		HZ_DO(write(tenants.go[1], "x", 1));
	for (k = 0; k < TENANTS; k++) {
		if (k != VICTIM) {
			hz_join(pid[k]);
		} else if (waitpid(pid[k], &status, 0) != pid[k] || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
			hz_fail("the container that takes too much was not killed: status %#x", status);
		}
	}
	if (hz_stat(TENANT_GROUP "/memory.events", "max") <= 0)
		hz_fail("the limit was never hit: nothing was tested");
	for (k = 0; k < TENANTS; k++) {
		cgroup_path(path, sizeof(path), k, "memory.events");
		if (!hz_stat(path, "oom_kill") == (k == VICTIM))
			hz_fail("container %u of %u: %lld killed for want of memory; it was %u that took too much", k, TENANTS,
				hz_stat(path, "oom_kill"), VICTIM);
		cgroup_path(path, sizeof(path), k, "");
		HZ_DO(rmdir(path));
	}
	HZ_DO(rmdir(TENANT_GROUP));
	hz_check(&hz_golden, HZ_ALL, "in the end");
	hz_check(&tenants.f[VICTIM], HZ_ALL, "what the killed one has left");
}

/* --- poison ---------------------------------------------------------------------------------------------------------------- */

#define POISON_CLONES	30u
#define POISON_BLOCKS	32u

static struct hz_file many[POISON_CLONES];

struct tally {
	uint32_t stop, good;
};

static struct tally *tally;

static bool going(void)
{
	return !__atomic_load_n(&tally->stop, __ATOMIC_RELAXED) && *hz.verdict == HZ_OPEN;
}

static void keep_looking(void *arg)
{
	struct hz_file *f = arg;
	uint64_t rand = hz.rand + (uint64_t)f->fd;

	hz_map(f);
	while (going()) {
		unsigned int at = (unsigned int)(wl_rand(&rand) % (POISON_BLOCKS - 4));

		hz_touch(f);
		if (hz_use(f, WAY_READ, at, 4) || hz_use(f, WAY_MAP, at, 4) || hz_use(f, WAY_PRIVATE_STORE, at, 4) || hz_use(f, WAY_SPLICE, at, 4))
			hz_fail("an error of a page that is clean and can be read again: %m");
		__atomic_add_fetch(&tally->good, 1, __ATOMIC_RELAXED);
	}
}

/* Pages go bad under many clones that look at them all the time, by address and by frame; nobody gets an error or wrong data. */
static void poison_many(const void *arg)
{
	unsigned int k, i, hits = 0;
	char name[32], text[32];
	pid_t pid[4];

	(void)arg;
	if (access(POISON, W_OK))
		hz_skip("no %s here", POISON);
	tally = hz_shared_memory(HZ_PAGE);
	hz_create(&hz_golden, "golden", 1, POISON_BLOCKS);
	for (k = 0; k < POISON_CLONES; k++) {
		snprintf(name, sizeof(name), "clone%u", k);
		hz_clone(&many[k], &hz_golden, name);
		if (k >= 4)
			hz_map(&many[k]);
	}
	hz_cold();
	for (k = 0; k < 4; k++)
		pid[k] = hz_fork(keep_looking, &many[k]);
	for (i = 0; i < 24 && going(); i++) {
		struct hz_file *f = &many[4 + i % (POISON_CLONES - 4)];
		uint64_t pfn;

		for (k = 4; k < POISON_CLONES; k++)
			hz_touch(&many[k]);
		pfn = hz_pfn(f->map + (uint64_t)(i % POISON_BLOCKS) * HZ_PAGE);
		if (!pfn)
			continue;
		snprintf(text, sizeof(text), "%#llx", (unsigned long long)pfn);
		/* Busy, gone or isolated meanwhile: the next one. */
		hits += hz_put(POISON, text);
		for (k = 4; k < POISON_CLONES; k++)
			hz_check(&many[k], HZ_OLD_MAP, "poisoned");
		hz_put(UNPOISON, text);
	}
	__atomic_store_n(&tally->stop, 1, __ATOMIC_RELAXED);
	for (k = 0; k < 4; k++)
		hz_join(pid[k]);
	if (!hits || !tally->good)
		hz_fail("%u pages were poisoned, %u looks: nothing was tested", hits, tally->good);
	for (k = 0; k < POISON_CLONES; k++)
		hz_check(&many[k], HZ_ALL, "in the end");
}

/* --- more clones than refs --------------------------------------------------------------------------------------------------- */

#define CROWD		1100u
#define CROWD_BLOCKS	4u

static struct hz_file crowd[CROWD];

static void check_crowd(unsigned int step, const char *stage)
{
	unsigned int k;

	for (k = 0; k < CROWD; k += step)
		hz_check(&crowd[k], HZ_READ | HZ_OLD_MAP, stage);
}

/* One page has a limit of the files that it is mapped for; who comes later has a page of his own, and all see the same. */
static void crowded(const void *arg)
{
	struct hz_file changed[3];
	unsigned int k, same = 0;
	uint64_t pfn;
	char name[16];

	(void)arg;
	hz_create(&hz_golden, "golden", 1, CROWD_BLOCKS);
	for (k = 0; k < CROWD; k++) {
		snprintf(name, sizeof(name), "crowd%u", k);
		clone_bare(&crowd[k], name);
	}
	hz_cold();
	for (k = 0; k < CROWD; k++) {
		/* Reads leave half of the limit to mappings. */
		hz_cache(&crowd[k]);
		hz_map(&crowd[k]);
		hz_touch(&crowd[k]);
	}
	check_crowd(7, "all mapped");
	pfn = hz_pfn(crowd[0].map);
	for (k = 0; k < CROWD; k++)
		same += hz_pfn(crowd[k].map) == pfn;
	if (hz.sharing && same < 500)
		hz_fail("%u of %u clones have one frame", same, CROWD);
	for (k = 0; k < 3; k++) {
		struct hz_file *f = &crowd[k * (CROWD / 2 - 1)];

		/* From here on it has a model of its own. */
		f->want = memcpy(hz_buffer(f->cap), f->want, f->size);
		if (hz_use(f, k % 2 ? WAY_STORE : WAY_WRITE, 0, 2))
			hz_fail("a change of clone %u of %u: %m", k * (CROWD / 2 - 1), CROWD);
		changed[k] = *f;
		check_crowd(97, "one is changed");
	}
	for (k = 0; k < 3; k++)
		hz_check(&changed[k], HZ_ALL, "changed");
	for (k = 0; k < CROWD; k++) {
		hz_unmap(&crowd[k]);
		close(crowd[k].fd);
		HZ_DO(unlink(crowd[k].path));
	}
	hz_check(&hz_golden, HZ_ALL, "the last one");
	hz_unlink(&hz_golden);
	hz_check_gone();
}

/* --- a file of many parts ---------------------------------------------------------------------------------------------------- */

#define LONG_BLOCKS	20000u

/* Longer than what the cache keeps together (64 MiB of the device): read, mapped one by one and many at a time, changed at its seams. */
static void long_file(const void *arg)
{
	struct hz_file a, b;
	unsigned int i;

	(void)arg;
	hz_create(&hz_golden, "golden", 1, LONG_BLOCKS);
	clone_bare(&a, "a");
	clone_bare(&b, "b");
	/* Its own model from here on: the changes below are b's alone. */
	b.want = memcpy(hz_buffer(b.cap), b.want, b.size);
	hz_cold();
	hz_check(&a, HZ_READ, "cold");
	if (fault_around_set(hz.ctx, 256 * 1024))
		hz_fail("fault-around cannot be set");
	hz_check(&b, HZ_NEW_MAP, "mapped, many at a time");
	HZ_DO(posix_fadvise(a.fd, 0, 0, POSIX_FADV_RANDOM));
	hz_cold();
	hz_check(&a, HZ_NEW_MAP, "mapped cold");
	for (i = 100; i < LONG_BLOCKS - 64; i += 1021)
		if (hz_use(&b, i % 2 ? WAY_WRITE : WAY_STORE, i, 3))
			hz_fail("write: %m");
	hz_check(&a, HZ_READ, "the other one is changed");
	hz_check(&b, HZ_READ, "changed");
	HZ_DO(fsync(b.fd));
	/* Random reads of what is in part its own. */
	HZ_DO(posix_fadvise(b.fd, 0, 0, POSIX_FADV_RANDOM));
	hz_cold();
	for (i = 90; i < LONG_BLOCKS - 64; i += 337)
		if (hz_use(&b, WAY_READ, i, 20))
			hz_fail("read: %m");
	hz_check(&b, HZ_ALL, "in the end");
}

/* --- no room for read-ahead -------------------------------------------------------------------------------------------------- */

struct full {
	struct hz_file *f;
	unsigned int gap;		/* pages that are left */
	int go[2];
};

static void read_when_full(void *arg)
{
	struct full *full = arg;
	long long max = 16 << 20, now;
	char c;

	HZ_DO(read(full->go[0], &c, 1));
	do {
		*(volatile uint8_t *)hz_buffer(HZ_PAGE) = 1;
		now = hz_stat(CGROUP "/memory.current", NULL);
	} while (now >= 0 && now < max - (long long)(full->gap + 1) * HZ_PAGE);
	hz_use(full->f, WAY_READ, 0, 48);
	hz_use(full->f, WAY_MAP, 0, 48);
}

/* A tenant whose limit leaves room for the page that he asks for, and not for read-ahead, or for neither: data, or he is killed. */
static void full(const void *arg)
{
	struct full full;
	struct hz_file a;
	char text[32];
	int status;
	pid_t pid;

	(void)arg;
	hz_create(&hz_golden, "golden", 1, 64);
	hz_clone(&a, &hz_golden, "a");
	if ((mkdir(CGROUP, 0755) && errno != EEXIST) || !hz_put(CGROUP "/memory.max", "16M"))
		hz_skip("no memory cgroups: %m");
	full.f = &a;
	for (full.gap = 0; full.gap < 24; full.gap += 2) {
		hz_cold();
		HZ_DO(pipe(full.go));
		pid = hz_fork(read_when_full, &full);
		snprintf(text, sizeof(text), "%d", (int)pid);
		if (!hz_put(CGROUP "/cgroup.procs", text))
			hz_fail("move to the cgroup: %m");
		HZ_DO(write(full.go[1], "x", 1));
		if (waitpid(pid, &status, 0) != pid || (status && (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)))
			hz_fail("a tenant at his limit ended with status %#x", status);
		close(full.go[0]);
		close(full.go[1]);
		hz_check(&a, HZ_CACHED, "after a tenant at his limit");
	}
	HZ_DO(rmdir(CGROUP));
}

/* --- the medium -------------------------------------------------------------------------------------------------------------- */

/* The kernel compares each folio that a read finds with the medium, and warns; which fails the test. */
static void media(const void *arg)
{
	uint64_t end = hz_ms() + hz.seconds * 1000ull;
	struct hz_file alone;
	pid_t pid[3];
	char name[16];
	unsigned int k, round;

	(void)arg;
	if (!hz_put(CHECK_MEDIA, "1"))
		hz_skip("no %s here (CONFIG_SHCACHE_DEBUG)", CHECK_MEDIA);
	tally = hz_shared_memory(HZ_PAGE);
	hz_create(&hz_golden, "golden", 1, POISON_BLOCKS);
	hz_create(&alone, "alone", 2, POISON_BLOCKS);
	for (k = 0; k < 3; k++) {
		snprintf(name, sizeof(name), "clone%u", k);
		hz_clone(&many[k], &hz_golden, name);
		pid[k] = hz_fork(keep_looking, &many[k]);
	}
	for (round = 0; hz_ms() < end && going(); round++) {
		struct hz_file x;

		hz_clone(&x, &hz_golden, "x");
		hz_use(&x, WAY_READ, 0, 20);
		hz_use(&x, round % 2 ? WAY_DIRECT_WRITE : WAY_WRITE, 3, 9);
		hz_use(&x, WAY_READ, 0, 20);
		HZ_DO(fsync(x.fd));
		hz_check(&x, HZ_READ, "changed");
		hz_unlink(&x);
		/* In place, once the other owner has gone. */
		hz_clone(&x, &alone, "x");
		hz_use(&x, WAY_READ, 0, 20);
		hz_unlink(&x);
		settle(TREE_MNT);
		hz_use(&alone, WAY_DIRECT_WRITE, 3, 9);
		hz_clone(&x, &alone, "x");
		hz_use(&x, WAY_READ, 0, 20);
		hz_unlink(&x);
		if (!(round % 4))
			hz_put("/proc/sys/vm/drop_caches", "1");
	}
	__atomic_store_n(&tally->stop, 1, __ATOMIC_RELAXED);
	for (k = 0; k < 3; k++)
		hz_join(pid[k]);
	hz_put(CHECK_MEDIA, "0");
}

const struct hz_test hz_press_tests[] = {
	{ "press-tenants", "32 containers in too little memory, one is killed", .fn = tenants_starve },
	{ "press-poison", "pages go bad under 30 clones", .fn = poison_many },
	{ "press-refs", "more clones than a page may be mapped for", .fn = crowded },
	{ "press-long", "a file of 78 MiB", .fn = long_file },
	{ "press-full", "a tenant with no room for read-ahead", .fn = full },
	{ "press-media", "what is cached is what is on the medium", .needs = HZ_SHARING, .fn = media },
	{ NULL, NULL, 0, NULL, NULL }
};
