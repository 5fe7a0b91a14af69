// SPDX-License-Identifier: GPL-2.0
/*
 * A shell on the serial console, with the golden tree and n clones mounted at /mnt/t. Ends when the shell ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tree.h"
#include "workload.h"

#define CONSOLE "/dev/ttyS0"

static void __attribute__((noreturn)) shell(void)
{
	int fd;

	setsid();
	signal(SIGPIPE, SIG_DFL);
	fd = open(CONSOLE, O_RDWR);
	if (fd >= 0) {
		/* Job control and ^C need a controlling terminal. */
		ioctl(fd, TIOCSCTTY, 1);
		dup2(fd, 0);
		dup2(fd, 1);
		dup2(fd, 2);
	}
	if (chdir(TREE_MNT))
		perror(TREE_MNT);
	setenv("PS1", "guest:\\w# ", 1);
	/* The applets have no links in the initramfs; the shell knows them all the same. */
	execlp("busybox", "sh", "-i", (char *)NULL);
	perror("busybox");
	_exit(127);
}

static int run(struct wl_ctx *ctx)
{
	unsigned int n = (unsigned int)wl_u64(ctx, "n");
	struct tree *t;
	int status, err;
	pid_t pid;

	err = tree_create(ctx, &t);
	if (!err)
		err = tree_clone_to(t, n);
	if (err)
		return err;
	tree_drop_caches();
	dprintf(1, "\n%s, %s: golden tree in " TREE_MNT "/golden, %u clones in " TREE_MNT "/c*. `exit` or ^D powers off.\n", wl_fs(ctx),
		wl_mode(ctx), n);
	pid = fork();
	if (!pid)
		shell();
	if (pid < 0)
		return wl_fail(ctx, -errno, "fork: %s", strerror(errno));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return 0;
}

static const struct wl_param params[] = {
	{ "n", "3", "clones" },
	{ }
};

static const struct workload shell_workload = {
	.name = "shell",
	.summary = "interactive shell with the trees mounted",
	.needs = WL_NEEDS_FS,
	.params = params,
	.run = run,
};
DEFINE_WORKLOAD(shell_workload);
