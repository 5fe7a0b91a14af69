// SPDX-License-Identifier: GPL-2.0
/*
 * Runs hazard tests (hz.h), each in a process group and a directory of its own, and emits one check for each.
 *
 * A test that takes longer than `limit` has what blocked tasks wait for written to the console and is killed; if not even that
 * helps, the workload ends.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hz.h"
#include "timing.h"
#include "tree.h"

#define DELAYS	"/sys/module/shcache/parameters"

/* Bits of /proc/sys/kernel/tainted. */
#define TAINT_BAD_PAGE	(1ull << 5)
#define TAINT_DIE	(1ull << 7)
#define TAINT_WARN	(1ull << 9)
#define TAINT_SOFTLOCKUP (1ull << 14)

static const struct hz_test *const tables[] = {
	hz_share_tests, hz_cow_tests, hz_reuse_tests, hz_race_tests, hz_mm_tests, hz_fs_tests, hz_large_tests,
	hz_fault_tests, hz_alloc_tests, hz_press_tests, hz_btrfs_tests,
};

struct totals {
	unsigned int passed, failed, skipped;
};

/* "all", a name, or a subject (what comes before a '-'). */
static bool selected(const char *list, const char *name)
{
	while (*list) {
		size_t n = strcspn(list, ",");

		if ((n == 3 && !memcmp(list, "all", 3)) || (!strncmp(list, name, n) && (!name[n] || name[n] == '-')))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

static void remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[600];

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (unlink(path))
			remove_dir(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

/* What a failed test has left: mounts, delays, a breakpoint. */
static void tidy_up(void)
{
	char line[512], dir[256];
	FILE *f = fopen("/proc/mounts", "re");
	DIR *d = opendir(DELAYS);
	struct dirent *e;

	hz_put("/proc/sys/kernel/printk", "7");
	hz_put("/sys/kernel/tracing/events/uprobes/hazard/enable", "0");
	hz_put("/sys/kernel/tracing/uprobe_events", "-:hazard");
	while (d && (e = readdir(d))) {
		snprintf(line, sizeof(line), DELAYS "/%s", e->d_name);
		if (!strncmp(e->d_name, "delay_", 6))
			hz_put(line, "0");
	}
	if (d)
		closedir(d);
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %255s", dir) == 1 && (!strncmp(dir, "/mnt/extra", 10) || !strncmp(dir, TREE_MNT "/hz", strlen(TREE_MNT "/hz"))))
			umount2(dir, MNT_DETACH);
	if (f)
		fclose(f);
}

static void run_child(const struct hz_test *t)
{
	int open = HZ_OPEN;

	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	t->fn(t->arg);
	__atomic_compare_exchange_n(hz.verdict, &open, HZ_PASSED, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	_exit(0);
}

/* Waits up to ms for pid; false if it is still there. */
static bool wait_for(pid_t pid, uint64_t ms, int *status)
{
	uint64_t end = hz_ms() + ms;

	for (;;) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		if (hz_ms() >= end)
			return false;
		usleep(2000);
	}
}

/* Whether the kernel has complained since it was booted: the console has the text, this tells which test it was. */
static bool complained(void)
{
	char text[32] = "";
	int fd = open("/proc/sys/kernel/tainted", O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	if (fd >= 0)
		close(fd);
	return strtoull(text, NULL, 10) & (TAINT_BAD_PAGE | TAINT_DIE | TAINT_WARN | TAINT_SOFTLOCKUP);
}

/* What a test has left running, and was killed, has files open until it is gone, and somebody may want to unmount. */
static void wait_for_group(pid_t pid)
{
	unsigned int i;

	/* Orphans are init's, which may be us. */
	for (i = 0; i < 5000 && !kill(-pid, 0); i++)
		if (waitpid(-pid, NULL, WNOHANG) <= 0)
			usleep(2000);
}

static int run_one(struct wl_ctx *ctx, const struct hz_test *t, const char *name, struct totals *n)
{
	bool before = complained();
	uint64_t limit = wl_u64(ctx, "limit") * 1000, t0 = hz_ms();
	int status = 0, err = 0;
	bool ended;
	pid_t pid;

	if (((t->needs & HZ_SHARING) && !hz.sharing) || ((t->needs & HZ_XFS) && !hz.xfs) || ((t->needs & HZ_BTRFS) && hz.xfs)) {
		n->skipped++;
		return 0;
	}
	/* The test before may have changed it. */
	fault_around_set(ctx, AROUND_DEFAULT);
	*hz.verdict = HZ_OPEN;
	hz.why[0] = '\0';
	hz.rand = wl_seed(ctx);
	snprintf(hz.dir, sizeof(hz.dir), TREE_MNT "/hz%u", n->passed + n->failed + n->skipped);
	if (mkdir(hz.dir, 0755))
		return wl_fail(ctx, -errno, "mkdir %s: %s", hz.dir, strerror(errno));
	fprintf(stderr, "hazard: %s\n", name);
	pid = fork();
	if (!pid)
		run_child(t);
	if (pid < 0)
		return wl_fail(ctx, -errno, "fork: %s", strerror(errno));
	ended = wait_for(pid, limit, &status);
	if (!ended) {
		fprintf(stderr, "hazard: %s did not end in %llu s; blocked tasks:\n", name, (unsigned long long)limit / 1000);
		hz_put("/proc/sys/kernel/sysrq", "1");
		hz_put("/proc/sysrq-trigger", "w");
	}
	kill(-pid, SIGKILL);
	if (!ended && !wait_for(pid, 20000, &status))
		err = wl_fail(ctx, -EIO, "hazard test %s hangs and cannot be killed", name);
	else
		wait_for_group(pid);
	if (*hz.verdict == HZ_OPEN) {
		*hz.verdict = HZ_FAILED;
		if (!ended)
			snprintf(hz.why, HZ_WHY, "did not end in %llu s", (unsigned long long)limit / 1000);
		else if (WIFSIGNALED(status))
			snprintf(hz.why, HZ_WHY, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
		else
			snprintf(hz.why, HZ_WHY, "ended with status %#x and no word", status);
	}
	if (*hz.verdict != HZ_FAILED && !before && complained()) {
		*hz.verdict = HZ_FAILED;
		snprintf(hz.why, HZ_WHY, "the kernel has complained, see the console");
	}
	if (*hz.verdict == HZ_SKIPPED) {
		n->skipped++;
		wl_check_skipped(ctx, name, "%s", hz.why);
	} else {
		*(*hz.verdict == HZ_PASSED ? &n->passed : &n->failed) += 1;
		wl_check(ctx, name, *hz.verdict == HZ_PASSED, "%s",
			 *hz.verdict == HZ_PASSED ? t->proves : hz.why);
	}
	fprintf(stderr, "hazard: %s: %s (%llu ms) %s\n", name,
		*hz.verdict == HZ_PASSED ? "ok" : *hz.verdict == HZ_SKIPPED ? "skipped" : "FAILED",
		(unsigned long long)(hz_ms() - t0), hz.why);
	if (!err && *hz.verdict == HZ_FAILED)
		tidy_up();
	if (!err)
		remove_dir(hz.dir);
	return err;
}

/* With each delay in turn; the kernel says which there are. */
static int run_delayed(struct wl_ctx *ctx, const struct hz_test *t, unsigned int ms, struct totals *n)
{
	DIR *d = opendir(DELAYS);
	struct dirent *e;
	int err = 0;

	while (!err && d && (e = readdir(d))) {
		char path[300], text[16], name[300];

		if (strncmp(e->d_name, "delay_", 6))
			continue;
		snprintf(path, sizeof(path), DELAYS "/%s", e->d_name);
		snprintf(text, sizeof(text), "%u", ms);
		snprintf(name, sizeof(name), "%s+%s", t->name, e->d_name);
		if (!hz_put(path, text)) {
			err = wl_fail(ctx, -errno, "write to %s: %s", path, strerror(errno));
			break;
		}
		err = run_one(ctx, t, name, n);
		hz_put(path, "0");
	}
	if (d)
		closedir(d);
	return err;
}

static int run(struct wl_ctx *ctx)
{
	const char *want = wl_str(ctx, "test"), *not = wl_str(ctx, "skip");
	unsigned int ms = (unsigned int)wl_u64(ctx, "delay"), i, nr = 0, done = 0;
	bool stop = wl_flag(ctx, "stop");
	struct totals n = {};
	struct tree *t;
	int err;

	hz.ctx = ctx;
	hz.xfs = !strcmp(wl_fs(ctx), "xfs");
	hz.seconds = (unsigned int)wl_u64(ctx, "seconds");
	hz.why = hz_shared_memory(HZ_PAGE);
	hz.verdict = (int *)(void *)(hz.why + HZ_WHY);
	err = tree_create_empty(ctx, &t);
	if (err)
		return err;
	hz.sharing = hz_has_text("/proc/mounts", ",shcache");
	wl_info(ctx, "sharing", "%s", hz.sharing ? "yes" : "no");
	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct hz_test *h = tables[i]; h->name; h++)
			nr += selected(want, h->name) && !selected(not, h->name);
	if (!nr)
		return wl_fail(ctx, -EINVAL, "parameter test: \"%s\" selects no test", want);
	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		for (const struct hz_test *h = tables[i]; !err && h->name; h++) {
			if (!selected(want, h->name) || selected(not, h->name))
				continue;
			wl_progress(ctx, done++, nr, h->name);
			err = run_one(ctx, h, h->name, &n);
			if (stop && n.failed)
				goto out;
		}
	}
	hz.seconds = (unsigned int)wl_u64(ctx, "delay_seconds");
	for (const struct hz_test *h = hz_race_tests; !err && ms && h->name; h++) {
		if (!selected(want, h->name) || selected(not, h->name))
			continue;
		wl_progress(ctx, done, nr, h->name);
		err = run_delayed(ctx, h, ms, &n);
		if (stop && n.failed)
			goto out;
	}
out:
	wl_info(ctx, "tests", "%u passed, %u failed, %u skipped", n.passed, n.failed, n.skipped);
	wl_sample(ctx, "hazard_failed", n.failed, "");
	wl_sample(ctx, "hazard_passed", n.passed, "");
	if (!err && !n.passed && !n.failed)
		return wl_skip(ctx, "none of the %u tests can run here", nr);
	return err ? err : tree_destroy(t);
}

static const struct wl_param params[] = {
	{ "test", "all", "names or subjects (share, cow, reuse, race, mm, fs, large, fault, alloc, press, btrfs), comma separated, or all" },
	{ "skip", "none", "names or subjects to leave out" },
	{ "seconds", "2", "how long each race is kept up, s" },
	{ "delay", "0", "ms; not 0: in the end the races again, each once with each delay that the kernel can inject" },
	{ "delay_seconds", "1", "how long each of those is kept up, s" },
	{ "stop", "no", "yes: the first test that fails is the last one" },
	{ "limit", "90", "after how long a test has failed, s" },
	{ NULL, NULL, NULL }
};

static const struct wl_metric metrics[] = {
	{ "hazard_passed", "count", WL_INFO, 0, 0, "hazard tests passed" },
	{ "hazard_failed", "count", WL_LOWER, 0, 0, "hazard tests failed" },
	{ NULL, NULL, WL_INFO, 0, 0, NULL }
};

static const struct workload wl_hazard = {
	.name = "hazard",
	.summary = "what files that share blocks must never show: stale, foreign or torn data, by every path and race",
	.needs = WL_NEEDS_FS,
	.params = params,
	.tools = "btrfs",
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(wl_hazard);
