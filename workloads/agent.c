// SPDX-License-Identifier: GPL-2.0
/*
 * The agent: /init of the guest.
 *
 * Process 1 mounts what is needed, opens the record port, reads the job, starts one child that runs the workload, reaps
 * whatever ends, and powers off. The workload runs in a child so that its death, whatever kills it, becomes a result with a
 * reason and not a kernel panic.
 *
 * `agent --describe` prints the table of workloads as JSON; this works on any machine.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "json.h"
#include "record.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define PORT_WAIT_MS	10000
#define CGROUP_ROOT	"/sys/fs/cgroup"

extern const struct workload *const __start_workloads[];
extern const struct workload *const __stop_workloads[];

static const struct {
	unsigned int bit;
	const char *name;
} needs[] = {
	{ WL_NEEDS_FS, "fs" },
	{ WL_NEEDS_OVERLAY, "overlay" },
	{ WL_NEEDS_PROGS, "programs" },
};

static int cmp_workload(const void *a, const void *b)
{
	return strcmp((*(const struct workload *const *)a)->name, (*(const struct workload *const *)b)->name);
}

static void describe_workload(struct jbuf *b, const struct workload *w)
{
	static const char *const directions[] = { [WL_LOWER] = "lower", [WL_HIGHER] = "higher", [WL_INFO] = "info" };
	const char *sep = "";
	size_t i;

	jb_printf(b, "{\"name\":");
	jb_string(b, w->name);
	jb_printf(b, ",\"summary\":");
	jb_string(b, w->summary);
	jb_printf(b, ",\"needs\":[");
	for (i = 0; i < ARRAY_SIZE(needs); i++) {
		if (w->needs & needs[i].bit) {
			jb_printf(b, "%s\"%s\"", sep, needs[i].name);
			sep = ",";
		}
	}
	jb_printf(b, "],\"tools\":");
	jb_string(b, w->tools ? w->tools : "");
	jb_printf(b, ",\"params\":[");
	for (i = 0; w->params && w->params[i].name; i++) {
		jb_printf(b, "%s{\"name\":", i ? "," : "");
		jb_string(b, w->params[i].name);
		jb_printf(b, ",\"default\":");
		jb_string(b, w->params[i].def);
		jb_printf(b, ",\"help\":");
		jb_string(b, w->params[i].help);
		jb_printf(b, "}");
	}
	jb_printf(b, "],\"metrics\":[");
	for (i = 0; w->metrics && w->metrics[i].name; i++) {
		const struct wl_metric *m = &w->metrics[i];

		jb_printf(b, "%s{\"name\":", i ? "," : "");
		jb_string(b, m->name);
		jb_printf(b, ",\"unit\":");
		jb_string(b, m->unit);
		jb_printf(b, ",\"direction\":\"%s\",\"rel_delta\":", directions[m->direction]);
		jb_double(b, m->rel_delta);
		jb_printf(b, ",\"abs_floor\":");
		jb_double(b, m->abs_floor);
		jb_printf(b, ",\"summary\":");
		jb_string(b, m->summary);
		jb_printf(b, "}");
	}
	jb_printf(b, "]}");
}

static int describe(void)
{
	size_t n = (size_t)(__stop_workloads - __start_workloads), i;
	const struct workload **w = malloc((n + 1) * sizeof(*w));
	struct jbuf b = {};
	bool ok;

	if (!w)
		return 1;
	memcpy(w, __start_workloads, n * sizeof(*w));
	qsort(w, n, sizeof(*w), cmp_workload);
	jb_printf(&b, "{\"workloads\":[");
	for (i = 0; i < n; i++) {
		jb_printf(&b, "%s", i ? "," : "");
		describe_workload(&b, w[i]);
	}
	jb_printf(&b, "]}\n");
	ok = fwrite(b.s, 1, b.len, stdout) == b.len && !fflush(stdout);
	jb_free(&b);
	free(w);
	return ok ? 0 : 1;
}

static const struct workload *find_workload(const char *name)
{
	const struct workload *const *w;

	for (w = __start_workloads; w < __stop_workloads; w++)
		if (!strcmp((*w)->name, name))
			return *w;
	return NULL;
}

/* --- the guest's ground -------------------------------------------------------------------------------------------------- */

static void say(const char *what, const char *where)
{
	fprintf(stderr, "agent: %s %s: %s\n", what, where, strerror(errno));
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		say("cannot write to", path);
	if (fd >= 0)
		close(fd);
}

/*
 * The initramfs is the root of all mounts, which pivot_root() refuses to move away. A bind mount of it on top can be: so
 * containers can leave everything but their own tree behind.
 */
static void raise_root(void)
{
	mkdir("/.root", 0700);
	if (mount("/", "/.root", NULL, MS_BIND, NULL) || chdir("/.root") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") ||
	    chdir("/"))
		say("cannot bind", "/");
}

static void mount_all(void)
{
	static const struct {
		const char *type, *dir, *opts;
	} mounts[] = {
		{ "proc", "/proc", NULL },
		{ "sysfs", "/sys", NULL },
		{ "devtmpfs", "/dev", NULL },
		{ "tmpfs", "/tmp", "mode=1777" },
		{ "tmpfs", "/run", "mode=755" },
		{ "cgroup2", CGROUP_ROOT, NULL },
		{ "debugfs", "/sys/kernel/debug", NULL },
		{ "tracefs", "/sys/kernel/tracing", NULL },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(mounts); i++) {
		mkdir(mounts[i].dir, 0755);
		if (mount(mounts[i].type, mounts[i].dir, mounts[i].type, 0, mounts[i].opts))
			say("cannot mount", mounts[i].dir);
	}
	write_text(CGROUP_ROOT "/cgroup.subtree_control", "+memory +pids +cpu +io");
}

/* The kernel opens no console for an initramfs without /dev/console. */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	if (fd < 0)
		return;
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	if (fd > 2)
		close(fd);
	setvbuf(stderr, NULL, _IOLBF, 0);
}

/* The port's name comes with a control message some time after the device; so look until it is there. */
static int find_port(void)
{
	char path[300], name[128];
	unsigned int ms;

	for (ms = 0; ms < PORT_WAIT_MS; ms += 20) {
		DIR *d = opendir("/sys/class/virtio-ports");
		struct dirent *e;

		while (d && (e = readdir(d))) {
			FILE *f;
			bool found;

			snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
			f = fopen(path, "re");
			if (!f)
				continue;
			found = fgets(name, sizeof(name), f) && !strncmp(name, REC_PORT "\n", sizeof(REC_PORT));
			fclose(f);
			if (!found)
				continue;
			snprintf(path, sizeof(path), "/dev/%s", e->d_name);
			closedir(d);
			return open(path, O_WRONLY | O_CLOEXEC);
		}
		if (d)
			closedir(d);
		usleep(20000);
	}
	errno = ENODEV;
	return -1;
}

static char *read_job(void)
{
	char *text = calloc(1, 65536);
	int fd = open(JOB_PATH, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (fd >= 0 && text)
		n = read(fd, text, 65535);
	if (fd >= 0)
		close(fd);
	if (n < 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* SIGSEGV and its kind in process 1 would panic the kernel; ending without "done" is the truth, and quicker. */
static void on_fatal(int sig)
{
	static const char msg[] = "agent: process 1 received a fatal signal\n";

	(void)sig;
	if (write(2, msg, sizeof(msg) - 1) < 0)
		_exit(1);
	reboot(RB_POWER_OFF);
}

static void fatal_signals(void (*handler)(int))
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], handler);
}

/* --- running the workload ------------------------------------------------------------------------------------------------ */

static void conclude(struct wl_ctx *ctx, int err)
{
	if (ctx->skip)
		emit_result(ctx, "skip", ctx->why);
	else if (ctx->failed || err)
		emit_result(ctx, "fail", ctx->failed ? ctx->why : strerror(err < 0 ? -err : err));
	else
		emit_result(ctx, "pass", "");
}

void agent_fail(struct wl_ctx *ctx, const char *fmt, ...)
{
	char text[sizeof(ctx->why)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	wl_fail(ctx, -EINVAL, "%s", text);
	_exit(1);
}

static bool in_path(const char *tool)
{
	static const char *const dirs[] = { "/usr/sbin", "/usr/bin", "/sbin", "/bin" };
	char path[256];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], tool);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

/* Parameters that the workload does not know are an error, and so are tools that are not there. */
static int check_needs(struct wl_ctx *ctx)
{
	const struct workload *w = ctx->w;
	char tools[256], *tool, *save;
	unsigned int i, j;

	for (i = 0; i < ctx->job.nr_params; i++) {
		for (j = 0; w->params && w->params[j].name; j++)
			if (!strcmp(w->params[j].name, ctx->job.params[i].name))
				break;
		if (!w->params || !w->params[j].name)
			return wl_fail(ctx, -EINVAL, "workload %s has no parameter %s", w->name, ctx->job.params[i].name);
	}
	if ((w->needs & WL_NEEDS_OVERLAY) && strncmp(ctx->job.mode, "overlay", 7))
		return wl_skip(ctx, "%s needs an overlay mode, not %s", w->name, ctx->job.mode);
	if ((w->needs & WL_NEEDS_PROGS) && !ctx->job.tar)
		return wl_skip(ctx, "%s needs an image with programs, not a synthetic one", w->name);
	snprintf(tools, sizeof(tools), "%s", w->tools ? w->tools : "");
	for (tool = strtok_r(tools, " ", &save); tool; tool = strtok_r(NULL, " ", &save))
		if (!in_path(tool))
			return wl_fail(ctx, -ENOENT, "the initramfs has no %s", tool);
	return 0;
}

static void run_workload(struct wl_ctx *ctx)
{
	int err;

	fatal_signals(SIG_DFL);
	/* A container that died shows as an error of write(2). */
	signal(SIGPIPE, SIG_IGN);
	err = check_needs(ctx);
	if (!err)
		err = ctx->w->run(ctx);
	conclude(ctx, err);
	exit(0);
}

/* Reaps until pid has ended; returns its wait status. */
static int reap_until(pid_t pid)
{
	for (;;) {
		int status;
		pid_t p = wait(&status);

		if (p == pid)
			return status;
		if (p < 0 && errno != EINTR)
			return -1;
	}
}

static void supervise(struct wl_ctx *ctx)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		run_workload(ctx);
	if (pid < 0) {
		wl_fail(ctx, -errno, "fork: %s", strerror(errno));
	} else {
		status = reap_until(pid);
		if (ctx->abandon)
			_exit(0);
		if (WIFSIGNALED(status))
			wl_fail(ctx, -EIO, "workload %s was killed by signal %d (%s)", ctx->w->name, WTERMSIG(status),
				strsignal(WTERMSIG(status)));
		else if (!ctx->concluded)
			wl_fail(ctx, -EIO, "workload %s ended without a result", ctx->w->name);
	}
	conclude(ctx, 0);
}

static struct wl_ctx *new_context(void)
{
	struct wl_ctx *ctx = mmap(NULL, sizeof(*ctx), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	pthread_mutexattr_t attr;

	if (ctx == MAP_FAILED)
		return NULL;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&ctx->lock, &attr);
	ctx->port = -1;
	return ctx;
}

/* Everything between the first mount and the last record. */
static void serve(void)
{
	const struct rlimit files = { 1u << 20, 1u << 20 };
	struct wl_ctx *ctx = new_context();
	char *text, why[256];

	if (!ctx) {
		say("cannot map", "the context");
		return;
	}
	write_text("/proc/sys/fs/nr_open", "1048576");
	setrlimit(RLIMIT_NOFILE, &files);
	ctx->port = find_port();
	if (ctx->port < 0) {
		say("no virtio-serial port", REC_PORT);
		return;
	}
	emit_hello(ctx);
	text = read_job();
	if (!text) {
		emit_result(ctx, "fail", "cannot read " JOB_PATH);
	} else if (job_parse(text, &ctx->job, why, sizeof(why))) {
		emit_result(ctx, "fail", why);
	} else {
		ctx->w = find_workload(ctx->job.workload);
		if (ctx->w) {
			supervise(ctx);
			emit_gcov(ctx);
		} else {
			wl_fail(ctx, -ENOENT, "the agent has no workload %s", ctx->job.workload);
			conclude(ctx, 0);
		}
	}
	emit_done(ctx);
	/* The port is drained by the host; closing waits for nothing, but an exit without it may lose the last buffer. */
	close(ctx->port);
}

int agent_run(struct wl_ctx *ctx, const char *const *argv)
{
	char out[4096];
	size_t len = 0;
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return wl_fail(ctx, -errno, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0) {
		close(fds[0]);
		close(fds[1]);
		return wl_fail(ctx, -errno, "fork: %s", strerror(errno));
	}
	if (!pid) {
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		execvp(argv[0], (char *const *)argv);
		dprintf(2, "%s: %s", argv[0], strerror(errno));
		_exit(127);
	}
	close(fds[1]);
	/* Keeps the end of what the program says. */
	while ((n = read(fds[0], out + len, sizeof(out) - 1 - len)) > 0) {
		len += (size_t)n;
		if (len > sizeof(out) / 2) {
			memmove(out, out + len - sizeof(out) / 2, sizeof(out) / 2);
			len = sizeof(out) / 2;
		}
	}
	close(fds[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	while (len && out[len - 1] == '\n')
		len--;
	out[len] = '\0';
	fprintf(stderr, "%s\n", out);
	/* What is wrong comes first, how to use the program after it. */
	out[strcspn(out, "\n")] = '\0';
	return wl_fail(ctx, -EIO, "%s failed (%s %d): %s", argv[0], WIFSIGNALED(status) ? "signal" : "status",
		       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), out);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--describe"))
		return describe();
	if (getpid() != 1) {
		fprintf(stderr, "usage: agent --describe (or as /init of a guest)\n");
		return 2;
	}
	umask(0);
	raise_root();
	mount_all();
	open_console();
	fatal_signals(on_fatal);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	/* mkfs.xfs makes small file systems only for fstests, which it knows by these. */
	setenv("TEST_DIR", "/", 1);
	setenv("TEST_DEV", "/", 1);
	setenv("QA_CHECK_FS", "/", 1);
	serve();
	sync();
	reboot(RB_POWER_OFF);
	/* Without ACPI; QEMU runs with -no-reboot, so this ends it too. */
	reboot(RB_AUTOBOOT);
	return 1;
}
