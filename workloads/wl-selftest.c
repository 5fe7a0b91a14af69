// SPDX-License-Identifier: GPL-2.0
/*
 * Misbehaves on demand, so that the harness can be seen to notice. One table entry for each thing that can go wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "agent.h"
#include "tree.h"

static int write_file(struct wl_ctx *ctx, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err = wl_fail(ctx, -errno, "write to %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

static int do_pass(struct wl_ctx *ctx)
{
	wl_check(ctx, "selftest", true, "nothing was done");
	return 0;
}

static int do_fail(struct wl_ctx *ctx)
{
	return wl_fail(ctx, -EIO, "failed as asked");
}

static int do_skip(struct wl_ctx *ctx)
{
	return wl_skip(ctx, "skipped as asked");
}

static int do_check(struct wl_ctx *ctx)
{
	wl_check(ctx, "selftest", false, "wrong as asked");
	return 0;
}

/* One byte of one file of a clone changes; the content check must see it. */
static int do_corrupt(struct wl_ctx *ctx)
{
	char path[4096];
	struct tree *t;
	int fd, err;

	err = tree_create(ctx, &t);
	if (!err)
		err = tree_clone_to(t, 2);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/%s", tree_root(t, 1), t->files[0].path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, "\xa5", 1, (off_t)(t->files[0].size / 2)) != 1)
		err = wl_fail(ctx, -errno, "write to %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (!err)
		err = tree_verify(t, "selftest", 0, 2);
	return err ? err : tree_destroy(t);
}

/* A reference to the file system is kept; unmounting it must be seen to fail. */
static int do_leak(struct wl_ctx *ctx)
{
	struct tree *t;
	int err = tree_create_empty(ctx, &t);

	if (err)
		return err;
	if (open(TREE_MNT, O_RDONLY | O_CLOEXEC) < 0)
		return wl_fail(ctx, -errno, "open " TREE_MNT ": %s", strerror(errno));
	return tree_destroy(t);
}

static int do_panic(struct wl_ctx *ctx)
{
	int err = write_file(ctx, "/proc/sys/kernel/sysrq", "1");

	return err ? err : write_file(ctx, "/proc/sysrq-trigger", "c");
}

/* No kernel offers a warning on demand; so this is the text of one, and only the reader of the console is tested. */
static int do_warn(struct wl_ctx *ctx)
{
	return write_file(ctx, "/dev/kmsg",
			  "<4>WARNING: CPU: 0 PID: 1 at selftest/warn.c:1 not_a_real_warning+0x1/0x2\n");
}

static int __attribute__((noreturn)) do_hang(struct wl_ctx *ctx)
{
	(void)ctx;
	for (;;)
		pause();
}

/* Alive, but never done. */
static int __attribute__((noreturn)) do_slow(struct wl_ctx *ctx)
{
	uint64_t i;

	for (i = 0;; i++) {
		wl_progress(ctx, i, 0, "never done");
		sleep(1);
	}
}

static int do_garble(struct wl_ctx *ctx)
{
	emit_raw(ctx, "SHC1 this is no record\n", 23);
	return 0;
}

/* A record is missing. */
static int do_gap(struct wl_ctx *ctx)
{
	ctx->seq++;
	return 0;
}

/* Process 1 ends: the kernel panics. */
static int __attribute__((noreturn)) do_exit(struct wl_ctx *ctx)
{
	ctx->abandon = true;
	_exit(0);
}

/* The workload's process dies: init says so. */
static int do_segv(struct wl_ctx *ctx)
{
	(void)ctx;
	raise(SIGSEGV);
	return 0;
}

/* Power is off before anything was concluded. */
static int do_poweroff(struct wl_ctx *ctx)
{
	reboot(RB_POWER_OFF);
	return wl_fail(ctx, -errno, "reboot: %s", strerror(errno));
}

static const struct {
	const char *name;
	int (*fn)(struct wl_ctx *ctx);
} things[] = {
	{ "pass", do_pass },   { "fail", do_fail }, { "skip", do_skip },     { "check", do_check }, { "corrupt", do_corrupt },
	{ "leak", do_leak },   { "panic", do_panic }, { "warn", do_warn },   { "hang", do_hang },   { "slow", do_slow },
	{ "garble", do_garble }, { "gap", do_gap }, { "exit", do_exit },     { "segv", do_segv },   { "poweroff", do_poweroff },
};

static int run(struct wl_ctx *ctx)
{
	const char *what = wl_str(ctx, "do");
	size_t i;

	wl_sample(ctx, "selftest", 1, "do=%s", what);
	for (i = 0; i < sizeof(things) / sizeof(things[0]); i++)
		if (!strcmp(things[i].name, what))
			return things[i].fn(ctx);
	return wl_fail(ctx, -EINVAL, "parameter do: \"%s\" is nothing that this can do", what);
}

static const struct wl_param params[] = {
	{ "do", "pass", "pass, fail, skip, check, corrupt, leak, panic, warn, hang, slow, garble, gap, exit, segv, poweroff" },
	{ }
};

static const struct wl_metric metrics[] = {
	{ "selftest", "count", WL_INFO, 0, 0, "always 1" },
	{ }
};

static const struct workload selftest = {
	.name = "selftest",
	.summary = "misbehaves on demand, to test the harness",
	.params = params,
	.metrics = metrics,
	.run = run,
};
DEFINE_WORKLOAD(selftest);
