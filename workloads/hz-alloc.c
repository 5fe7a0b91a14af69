// SPDX-License-Identifier: GPL-2.0
/*
 * Allocations that fail, one at a time, until there is none more to fail: an error or none, but no wrong byte, no hang, nothing lost. Needs
 * the kernel's fault injection (kernels/inject.config).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hz-ways.h"
#include "timing.h"

#define DIR		"/mnt/extra"
#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define SMALL		12u
#define NTH_MAX		4000u

static int nth_fd = -1;

static void injection_ready(void)
{
	static const char *const kinds[] = { "failslab", "fail_page_alloc" };
	unsigned int i;

	nth_fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	for (i = 0; i < 2; i++)
		if (nth_fd < 0 || !hz_inject(kinds[i], "ignore-gfp-wait", "N") || !hz_inject(kinds[i], "verbose", "0"))
			hz_skip("no %s here (kernels/inject.config)", kinds[i]);
	if (!hz_inject("fail_page_alloc", "min-order", "0") || !hz_inject("fail_page_alloc", "ignore-gfp-highmem", "N"))
		hz_fail("fail_page_alloc cannot be set up: %m");
}

/* From now on the n-th allocation of this task fails; 0: none. */
static void arm(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	HZ_DO(pwrite(nth_fd, text, (size_t)len, 0));
}

/* Whether it has failed; then nothing is armed any more. */
static bool fired(void)
{
	char text[16] = "";

	HZ_DO(pread(nth_fd, text, sizeof(text) - 1, 0));
	arm(0);
	return !strtoul(text, NULL, 10);
}

/* ALONE: as WARM, and faults map one page. */
enum state { COLD, WARM, MAPPED, ALONE, STATES };

/*
 * One way with each of its allocations failing, one at a time, until there is none more to fail: with nothing in memory, with all of it there
 * through another clone, and mapped.
 */
static void alloc_fails(const void *arg)
{
	static const char *const stage[] = { "cold", "warm", "mapped", "alone" };
	const struct hz_way *w = arg;
	struct hz_file x, y;
	unsigned int n, s, total = 0;
	int err;

	injection_ready();
	hz_create(&hz_golden, "golden", 1, SMALL);
	hz_create(&hz_other, "other", 5, SMALL);
	hz_clone(&y, &hz_golden, "y");
	for (s = COLD; s < STATES; s++) {
		if (s == ALONE && fault_around_set(hz.ctx, HZ_PAGE))
			hz_fail("fault-around cannot be set");
		for (n = 1;; n++) {
			bool hit;

			hz_clone(&x, &hz_golden, "x");
			if (s == COLD)
				hz_cold();
			else
				hz_cache(&y);
			if (s == MAPPED) {
				hz_map(&x);
				hz_touch(&x);
			}
			/*
			 * XFS shuts down when it cannot read the inode's buffer in the middle of a transaction, patched or not: so it
			 * has to have it.
			 */
			HZ_DO(futimens(x.fd, NULL));
			arm(n);
			err = w->fn(&x, 2, SMALL - 4);
			hit = fired();
			if (err && (!hit || (err != -ENOMEM && err != -EIO && err != -EFAULT && err != -ENFILE)))
				hz_fail("%s, %s, allocation %u %s: %s", w->name, stage[s], n, hit ? "fails" : "does not fail", strerror(-err));
			if (!err || !w->undone)
				hz_check(&x, HZ_CACHED, w->name);
			hz_check(&y, HZ_READ | HZ_NEW_MAP, w->name);
			hz_check(&hz_golden, HZ_READ | HZ_NEW_MAP, w->name);
			hz_unlink(&x);
			if (!hit)
				break;
			if (n == NTH_MAX)
				hz_fail("%s, %s: still failing after %u allocations", w->name, stage[s], n);
			total++;
		}
		fprintf(stderr, "hazard: %s %s: %u allocations\n", w->name, stage[s], n - 1);
	}
	if (!total)
		hz_fail("no allocation failed: nothing was tested");
	hz_check(&y, HZ_ALL, "in the end");
	hz_check(&hz_golden, HZ_ALL, "in the end");
	hz_unlink(&y);
	hz_unlink(&hz_golden);
	hz_unlink(&hz_other);
	hz_check_gone();
}

/* A mount with each of its allocations failing: refused with an error, or right. */
static void mount_fails(const void *arg)
{
	unsigned int n, mounted = 0;
	char dev[32];
	bool hit;
	int err;

	(void)arg;
	injection_ready();
	err = hz_extra_fs(DIR, "-m reflink=1", hz.sharing ? "shcache" : "", dev);
	if (err)
		hz_fail("mount %s: %s", dev, strerror(-err));
	snprintf(hz.dir, sizeof(hz.dir), DIR);
	hz_create(&hz_golden, "golden", 1, SMALL);
	hz_clone(&hz_other, &hz_golden, "other");
	close(hz_golden.fd);
	close(hz_other.fd);
	HZ_DO(umount(DIR));
	for (n = 1; n < NTH_MAX; n++) {
		arm(n);
		err = mount(dev, DIR, "xfs", MS_NOATIME, hz.sharing ? "shcache" : "") ? -errno : 0;
		hit = fired();
		if (err && !hit)
			hz_fail("mount: %s although nothing failed", strerror(-err));
		if (!err) {
			mounted++;
			hz_golden.fd = HZ_DO(open(hz_golden.path, O_RDWR | O_CLOEXEC));
			hz_other.fd = HZ_DO(open(hz_other.path, O_RDWR | O_CLOEXEC));
			hz_check(&hz_golden, HZ_READ | HZ_NEW_MAP, "mounted");
			hz_check(&hz_other, HZ_READ | HZ_NEW_MAP, "mounted");
			close(hz_golden.fd);
			close(hz_other.fd);
			HZ_DO(umount(DIR));
		}
		if (!hit)
			break;
	}
	fprintf(stderr, "hazard: mount: %u allocations, mounted %u times\n", n - 1, mounted);
	if (hit || n == 1)
		hz_fail("%u allocations of a mount failed, and there %s", n - 1, hit ? "are more" : "was none");
	hz_extra_fs_end(NULL, dev);
}

/* What the tests before have lost, by the kernel's own search. */
static void no_leaks(const void *arg)
{
	unsigned int i;

	(void)arg;
	if (access(KMEMLEAK, W_OK))
		hz_skip("no kmemleak here (kernels/inject.config)");
	hz_cold();
	/* It tells only of what has been unreachable in two scans, and is older than 5 s. */
	for (i = 0; i < 3; i++) {
		sleep(6);
		if (!hz_put(KMEMLEAK, "scan"))
			hz_fail("kmemleak does not scan: %m");
	}
	if (hz_has_text(KMEMLEAK, "shcache"))
		hz_fail("memory was lost, see the console");
}

#define ALLOC(n, what, way)	{ "alloc-" n, what " with each allocation failing", .fn = alloc_fails, .arg = &hz_ways[way] }

const struct hz_test hz_alloc_tests[] = {
	ALLOC("read", "read(2)", WAY_READ),
	ALLOC("direct-read", "O_DIRECT reads", WAY_DIRECT_READ),
	ALLOC("splice", "splice", WAY_SPLICE),
	ALLOC("io_uring", "io_uring", WAY_URING),
	ALLOC("fadvise", "fadvise", WAY_ADVICE),
	ALLOC("map", "faults", WAY_MAP),
	ALLOC("private-map", "faults of MAP_PRIVATE", WAY_PRIVATE_MAP),
	ALLOC("populate", "MADV_POPULATE_READ", WAY_POPULATE),
	ALLOC("private-store", "stores to MAP_PRIVATE", WAY_PRIVATE_STORE),
	ALLOC("store", "stores to MAP_SHARED", WAY_STORE),
	ALLOC("store-after-read", "stores to MAP_SHARED where it was read before", WAY_STORE_AFTER_READ),
	ALLOC("small-write", "writes of a few bytes", WAY_SMALL_WRITE),
	ALLOC("write", "writes of blocks", WAY_WRITE),
	ALLOC("direct-write", "O_DIRECT writes", WAY_DIRECT_WRITE),
	ALLOC("truncate", "truncate", WAY_TRUNCATE),
	ALLOC("punch", "hole punching", WAY_PUNCH),
	ALLOC("unshare", "unshare", WAY_UNSHARE),
	ALLOC("clone", "clone", WAY_CLONE),
	ALLOC("dedupe", "dedupe", WAY_DEDUPE),
	{ "alloc-mount", "a mount with each allocation failing", .needs = HZ_XFS, .fn = mount_fails },
	{ "alloc-leaks", "the tests of failing allocations have lost no memory", .fn = no_leaks },
	{ NULL, NULL, 0, NULL, NULL }
};
