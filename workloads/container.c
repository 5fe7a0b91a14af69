// SPDX-License-Identifier: GPL-2.0
/* Containers, see container.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "container.h"

#define NAMESPACES	(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)
#define STATUS_FD	3	/* in the child: how it reports what went wrong before the program ran */

/* --- cgroups ------------------------------------------------------------------------------------------------------------- */

int cgroup_write(struct wl_ctx *ctx, const char *cgroup, const char *file, const char *text)
{
	char path[192];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", cgroup, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err = wl_fail(ctx, -errno, "write \"%s\" to %s: %s", text, path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

uint64_t cgroup_value(const char *cgroup, const char *file, const char *key)
{
	char path[192], line[256];
	size_t len = key ? strlen(key) : 0;
	uint64_t v = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", cgroup, file);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (key && (strncmp(line, key, len) || line[len] != ' '))
			continue;
		v = strtoull(line + len, NULL, 10);
		break;
	}
	fclose(f);
	return v;
}

int cgroup_parent(struct wl_ctx *ctx)
{
	static bool made;

	if (made)
		return 0;
	if (mkdir(CONTAINER_CGROUP, 0755) && errno != EEXIST)
		return wl_fail(ctx, -errno, "mkdir " CONTAINER_CGROUP ": %s", strerror(errno));
	made = true;
	return cgroup_write(ctx, CONTAINER_CGROUP, "cgroup.subtree_control", "+memory +pids +cpu +io");
}

/* --- inside -------------------------------------------------------------------------------------------------------------- */

/* Tells the agent and ends. */
static void __attribute__((noreturn)) give_up(const char *what)
{
	dprintf(STATUS_FD, "%s: %s", what, strerror(errno));
	_exit(126);
}

/* Descriptors 0, 1, 2 and STATUS_FD as given; nothing else of the agent's stays open. */
static void child_files(int in, int out, int err, int status)
{
	int in2 = fcntl(in, F_DUPFD, 16), out2 = fcntl(out, F_DUPFD, 16), status2 = fcntl(status, F_DUPFD, 16);

	/* A function's complaints go to the console, a program's to the memory file. */
	if (err >= 0)
		dup2(err, 2);
	dup2(in2, 0);
	dup2(out2, 1);
	dup3(status2, STATUS_FD, O_CLOEXEC);
	close_range(STATUS_FD + 1, ~0u, 0);
}

static void child_root(const char *root, unsigned int k)
{
	static const struct {
		const char *name;
		unsigned int minor;
	} devices[] = { { "/dev/null", 3 }, { "/dev/zero", 5 }, { "/dev/full", 7 }, { "/dev/random", 8 }, { "/dev/urandom", 9 } };
	char name[32];
	size_t i;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount(root, root, NULL, MS_BIND | MS_REC, NULL) || chdir(root))
		give_up(root);
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		give_up("pivot_root");
	if (mount("proc", "/proc", "proc", 0, NULL))
		give_up("mount /proc");
	if (mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777"))
		give_up("mount /tmp");
	if (mount("tmpfs", "/dev", "tmpfs", 0, "mode=755"))
		give_up("mount /dev");
	for (i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		if (mknod(devices[i].name, S_IFCHR | 0666, makedev(1, devices[i].minor)))
			give_up(devices[i].name);
	mkdir("/dev/shm", 01777);
	snprintf(name, sizeof(name), "c%04u", k);
	if (sethostname(name, strlen(name)))
		give_up("sethostname");
}

static void __attribute__((noreturn)) child_run(const struct container_spec *spec)
{
	static char *const env[] = {
		(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"HOME=/tmp", (char *)"LANG=C.UTF-8",
		(char *)"PYTHONDONTWRITEBYTECODE=1", (char *)"PYTHONHASHSEED=0", NULL
	};
	const struct container_file *f;

	for (f = spec->files; f && f->path; f++) {
		int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

		if (fd < 0 || write(fd, f->text, strlen(f->text)) < 0)
			give_up(f->path);
		close(fd);
	}
	if (spec->fn) {
		close(STATUS_FD);
		_exit(spec->fn(spec->arg));
	}
	signal(SIGPIPE, SIG_DFL);
	execve(spec->argv[0], (char *const *)spec->argv, env);
	give_up(spec->argv[0]);
}

bool container_next(struct order *o)
{
	return read(0, o, sizeof(*o)) == sizeof(*o);
}

void container_answer(const struct answer *a)
{
	if (write(1, a, sizeof(*a)) != sizeof(*a))
		_exit(125);
}

/* --- outside ------------------------------------------------------------------------------------------------------------- */

static pid_t clone_into(int cgroup, uint64_t flags)
{
	struct clone_args args = { .flags = flags | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup };

	/* A sibling gets its parent's signal. */
	if (flags & CLONE_PARENT)
		args.exit_signal = 0;
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

struct pipes {
	int in[2], out[2], status[2];
};

static int make_pipes(struct wl_ctx *ctx, struct pipes *p, struct container *c, bool program)
{
	if (pipe2(p->in, O_CLOEXEC) || pipe2(p->out, O_CLOEXEC) || pipe2(p->status, O_CLOEXEC))
		return wl_fail(ctx, -errno, "pipe: %s", strerror(errno));
	c->in = p->in[1];
	c->out = p->out[0];
	c->err = program ? memfd_create("stderr", MFD_CLOEXEC) : -1;
	if (program && c->err < 0)
		return wl_fail(ctx, -errno, "memfd_create: %s", strerror(errno));
	return 0;
}

/* Closes the child's ends, and waits until it runs its program or says why it does not. */
static int await_start(struct container *c, struct pipes *p)
{
	char why[256];
	ssize_t n, len = 0;

	close(p->in[0]);
	close(p->out[1]);
	close(p->status[1]);
	while (len < (ssize_t)sizeof(why) - 1 && (n = read(p->status[0], why + len, sizeof(why) - 1 - (size_t)len)) > 0)
		len += n;
	close(p->status[0]);
	why[len] = '\0';
	return len ? wl_fail(c->ctx, -EIO, "container %u: %s", c->k, why) : 0;
}

int container_start(struct tree *t, unsigned int k, const struct container_spec *spec, struct container *c)
{
	const char *root = tree_root(t, k);
	struct pipes p;
	int dir, err;

	memset(c, 0, sizeof(*c));
	c->ctx = t->ctx;
	c->k = k;
	snprintf(c->cgroup, sizeof(c->cgroup), CONTAINER_CGROUP "/c%04u", k);
	err = cgroup_parent(t->ctx);
	if (err)
		return err;
	if (mkdir(c->cgroup, 0755))
		return wl_fail(t->ctx, -errno, "mkdir %s: %s", c->cgroup, strerror(errno));
	dir = open(c->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return wl_fail(t->ctx, -errno, "open %s: %s", c->cgroup, strerror(errno));
	err = make_pipes(t->ctx, &p, c, !spec->fn);
	if (err) {
		close(dir);
		return err;
	}
	c->pid = clone_into(dir, NAMESPACES);
	if (!c->pid) {
		child_files(p.in[0], p.out[1], c->err, p.status[1]);
		child_root(root, k);
		child_run(spec);
	}
	err = c->pid < 0 ? wl_fail(t->ctx, -errno, "clone3 for container %u: %s", k, strerror(errno)) : 0;
	close(dir);
	if (err)
		c->pid = 0;
	return await_start(c, &p) ? -EIO : err;
}

/* In a helper process: joins the container and leaves a child of the agent there, whose PID is told. */
static void __attribute__((noreturn)) join(struct container *in, const struct container_spec *spec, const struct container *c,
					   const struct pipes *p, int cgroup, int pidpipe)
{
	int pidfd = (int)syscall(SYS_pidfd_open, in->pid, 0);
	pid_t pid;

	if (pidfd < 0 || setns(pidfd, NAMESPACES)) {
		dprintf(p->status[1], "join container %u: %s", in->k, strerror(errno));
		_exit(126);
	}
	pid = clone_into(cgroup, CLONE_PARENT);
	if (!pid) {
		child_files(p->in[0], p->out[1], c->err, p->status[1]);
		child_run(spec);
	}
	if (pid < 0)
		dprintf(p->status[1], "clone3: %s", strerror(errno));
	_exit(write(pidpipe, &pid, sizeof(pid)) == sizeof(pid) ? 0 : 126);
}

int container_exec(struct container *in, const struct container_spec *spec, struct container *c)
{
	struct wl_ctx *ctx = in->ctx;
	int dir, pidpipe[2], err, status;
	struct pipes p;
	pid_t helper;

	memset(c, 0, sizeof(*c));
	c->ctx = ctx;
	c->k = in->k;
	c->joined = true;
	memcpy(c->cgroup, in->cgroup, sizeof(c->cgroup));
	err = make_pipes(ctx, &p, c, !spec->fn);
	if (err)
		return err;
	dir = open(c->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || pipe2(pidpipe, O_CLOEXEC))
		return wl_fail(ctx, -errno, "open %s: %s", c->cgroup, strerror(errno));
	helper = fork();
	if (!helper)
		join(in, spec, c, &p, dir, pidpipe[1]);
	if (helper < 0)
		err = wl_fail(ctx, -errno, "fork: %s", strerror(errno));
	close(dir);
	close(pidpipe[1]);
	if (await_start(c, &p))
		err = -EIO;
	if (helper > 0)
		while (waitpid(helper, &status, 0) < 0 && errno == EINTR)
			;
	if (read(pidpipe[0], &c->pid, sizeof(c->pid)) != sizeof(c->pid) || c->pid < 0)
		c->pid = 0;
	close(pidpipe[0]);
	return err;
}

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void close_files(struct container *c)
{
	close(c->in);
	close(c->out);
	if (c->err >= 0)
		close(c->err);
	c->pid = 0;
}

int container_wait(struct container *c, unsigned int timeout_ms, int *status)
{
	uint64_t end = clock_ms() + timeout_ms;
	pid_t p;

	/* A process that container_exec() made has no exit signal, hence __WALL. */
	while (!(p = waitpid(c->pid, status, __WALL | WNOHANG))) {
		if (clock_ms() >= end)
			return -ETIMEDOUT;
		usleep(2000);
	}
	if (p < 0)
		return -errno;
	close_files(c);
	return 0;
}

void container_stop(struct container *c)
{
	unsigned int i;
	int status;

	if (c->pid > 0) {
		kill(c->pid, SIGKILL);
		while (waitpid(c->pid, &status, __WALL) < 0 && errno == EINTR)
			;
		close_files(c);
	}
	if (c->joined || !c->cgroup[0])
		return;
	/* The name space's other processes die with its first one, but a little later. */
	for (i = 0; rmdir(c->cgroup) && errno == EBUSY && i < 2000; i++)
		usleep(2000);
	if (!access(c->cgroup, F_OK))
		wl_check(c->ctx, "container-stops", false, "container %u: %s is still busy", c->k, c->cgroup);
	c->cgroup[0] = '\0';
}

const char *container_complaint(struct container *c)
{
	static char text[512];
	off_t size = c->err >= 0 ? lseek(c->err, 0, SEEK_END) : 0;
	ssize_t n = 0;
	char *line;

	if (size > 0)
		n = pread(c->err, text, sizeof(text) - 1, size > (off_t)sizeof(text) - 1 ? size - (off_t)sizeof(text) + 1 : 0);
	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[n > 0 ? n : 0] = '\0';
	line = strrchr(text, '\n');
	return line ? line + 1 : text;
}

int container_send(struct container *c, uint32_t what, uint32_t arg)
{
	const struct order o = { what, arg };

	if (write(c->in, &o, sizeof(o)) != sizeof(o))
		return wl_fail(c->ctx, -EPIPE, "container %u takes no orders: %s", c->k, strerror(errno));
	return 0;
}

int container_receive(struct container *c, struct answer *a)
{
	size_t len = 0;
	int status;

	while (len < sizeof(*a)) {
		ssize_t n = read(c->out, (char *)a + len, sizeof(*a) - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (len == sizeof(*a))
		return a->err ? wl_fail(c->ctx, a->err, "container %u: %s", c->k, strerror(-a->err)) : 0;
	if (!container_wait(c, 1000, &status) && WIFSIGNALED(status))
		return wl_fail(c->ctx, -EIO, "container %u was killed by signal %d (%s)", c->k, WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	return wl_fail(c->ctx, -EIO, "container %u ended without an answer", c->k);
}
