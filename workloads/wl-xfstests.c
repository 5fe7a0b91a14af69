// SPDX-License-Identifier: GPL-2.0
/*
 * xfstests, the file systems' own test suite, as the user has installed it. The host sends two tars: a Debian root with the
 * programs that the tests call (disk "image") and the user's directory (disk "xfstests"). Both are unpacked into a tmpfs,
 * so that the suite's own programs do not depend on the file system under test; TEST_DEV and SCRATCH_DEV are the disks "test"
 * and "scratch".
 *
 * `check` runs all tests that the job names. What it writes goes to the host as it comes, in blobs "check"; the host judges it. Files
 * that say more of a test which went wrong follow in blobs "file". So a test that takes the kernel with it costs only itself.
 *
 * A test that takes longer than `limit` seconds is asked to end, which blob "timeout" tells, and then killed with all that it started. Either way it may
 * leave processes and mounts behind that other tests would stumble over: this boot is over, and the host starts another one for the rest. What cannot
 * be killed is left to the kernel's hung-task detector.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "json.h"
#include "tree-internal.h"

#define ROOT		"/mnt/x"
#define SUITE		"/opt/xfstests"
#define RESULTS		"/var/results"
/* Serials of the disks beside JOB_DISK_IMAGE and JOB_DISK_SCRATCH. */
#define DISK_SUITE	"xfstests"
#define DISK_TEST	"test"
#define DISK_POOL	"pool%u"	/* from 1 */
#define MAX_POOL	15u
/* Most of a file that is sent: its end. */
#define FILE_MAX	(64u << 10)
#define MAX_TASKS	1024
/* Between the friendly signal, on which a test cleans up, and the other one. */
#define KILL_AFTER_S	10

/* Users that the tests want, as the suite's README says. */
static const struct {
	const char *path, *text;
} users[] = {
	{ ROOT "/etc/passwd", "fsgqa:x:1000:1000::/home/fsgqa:/bin/bash\n123456-fsgqa:x:1001:1001::/tmp:/bin/bash\n"
			      "fsgqa2:x:1002:1002::/tmp:/bin/bash\n" },
	/* Without these `su` finds no account behind the user. */
	{ ROOT "/etc/shadow", "fsgqa:*:19000:0:99999:7:::\n123456-fsgqa:*:19000:0:99999:7:::\nfsgqa2:*:19000:0:99999:7:::\n" },
	{ ROOT "/etc/group", "fsgqa:x:1000:\n123456-fsgqa:x:1001:\nfsgqa2:x:1002:\n" },
	/* Tests of locks talk to themselves. */
	{ ROOT "/etc/hosts", "127.0.0.1 localhost\n" },
};

/*
 * There is no udev in the guest. libdevmapper then makes device nodes itself, where the tests expect udev's symbolic links: by
 * them they find a device below /sys.
 */
#define DMSETUP		ROOT "/usr/local/sbin/dmsetup"
static const char dmsetup[] =
	"#!/bin/sh\n"
	"DM_DISABLE_UDEV=1 /usr/sbin/dmsetup \"$@\"\n"
	"ret=$?\n"
	"for n in /dev/mapper/*; do\n"
	"\t[ -b \"$n\" ] && [ ! -L \"$n\" ] && ln -sf ../dm-$((0x$(stat -c %T \"$n\"))) \"$n\"\n"
	"done\n"
	"exit $ret\n";

static const struct {
	const char *type, *dir, *opts;
} mounts[] = {
	{ "proc", ROOT "/proc", NULL },
	{ "sysfs", ROOT "/sys", NULL },
	{ "debugfs", ROOT "/sys/kernel/debug", NULL },
	{ "tracefs", ROOT "/sys/kernel/tracing", NULL },
	{ "cgroup2", ROOT "/sys/fs/cgroup", NULL },
	{ "devtmpfs", ROOT "/dev", NULL },
	{ "devpts", ROOT "/dev/pts", NULL },
	{ "tmpfs", ROOT "/dev/shm", "mode=1777" },
	{ "tmpfs", ROOT "/tmp", "mode=1777" },
	{ "tmpfs", ROOT "/run", "mode=755" },
};

struct suite {
	struct wl_ctx *ctx;
	char test[64], scratch[64];	/* devices */
	char pool[(MAX_POOL + 1) * 64];	/* empty, or the scratch device and those of the pool, with blanks between */
	char current[32];		/* the test that runs, "generic/001" */
	unsigned int begun, total;
	time_t since;
	bool terminated, over, killed;	/* what became of the current test, when it took too long */
	char *line;			/* what has come of the current line */
	size_t len, cap;
};

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static int unpack(struct wl_ctx *ctx, const char *serial, const char *dir)
{
	char disk[64];
	const char *argv[] = { "busybox", "tar", "-xpf", disk, "-C", dir, NULL };
	int err = tree_disk(ctx, serial, disk, sizeof(disk));

	wl_progress(ctx, 0, 1, serial);
	return err ? err : agent_run(ctx, argv);
}

static int append(struct wl_ctx *ctx, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644), err = 0;

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err = wl_fail(ctx, -errno, "write %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

static int make_root(struct wl_ctx *ctx)
{
	static const char *const dirs[] = { ROOT "/opt", ROOT SUITE, ROOT "/mnt/test", ROOT "/mnt/scratch", ROOT RESULTS };
	size_t i;
	int err;

	mkdir("/mnt", 0755);
	mkdir(ROOT, 0755);
	if (mount("tmpfs", ROOT, "tmpfs", 0, "mode=755"))
		return wl_fail(ctx, -errno, "mount a tmpfs on " ROOT ": %s", strerror(errno));
	err = unpack(ctx, JOB_DISK_IMAGE, ROOT);
	for (i = 0; !err && i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (mkdir(dirs[i], 0755) && errno != EEXIST)
			err = wl_fail(ctx, -errno, "mkdir %s: %s", dirs[i], strerror(errno));
	if (!err)
		err = unpack(ctx, DISK_SUITE, ROOT SUITE);
	for (i = 0; !err && i < sizeof(users) / sizeof(users[0]); i++)
		err = append(ctx, users[i].path, users[i].text);
	if (!err)
		err = append(ctx, DMSETUP, dmsetup);
	if (err)
		return err;
	chmod(DMSETUP, 0755);
	mkdir(ROOT "/home/fsgqa", 0755);
	if (chown(ROOT "/home/fsgqa", 1000, 1000))
		return wl_fail(ctx, -errno, "chown " ROOT "/home/fsgqa: %s", strerror(errno));
	/* Those that this kernel lacks are missed by few tests, which say so. */
	for (i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].dir, 0755);
		if (mount(mounts[i].type, mounts[i].dir, mounts[i].type, 0, mounts[i].opts))
			fprintf(stderr, "agent: cannot mount %s: %s\n", mounts[i].dir, strerror(errno));
	}
	if (symlink("/proc/self/fd", ROOT "/dev/fd") || sethostname("xfstests", 8))
		return wl_fail(ctx, -errno, "prepare " ROOT ": %s", strerror(errno));
	return 0;
}

/* The file system on TEST_DEV is the user's affair, says the suite. */
static int make_test_fs(struct suite *s)
{
	char opts[512], cmd[1024];
	const char *argv[] = { "busybox", "chroot", ROOT, "/bin/bash", "-c", cmd, NULL };

	snprintf(opts, sizeof(opts), "%s", s->ctx->job.mkfs_opts);
	snprintf(cmd, sizeof(cmd), "mkfs.%s -f %s %s", s->ctx->job.fs, opts, s->test);
	return agent_run(s->ctx, argv);
}

/* --- check -------------------------------------------------------------------------------------------------------------- */

static void __attribute__((noreturn)) exec_check(struct suite *s, int out)
{
	const struct job *j = &s->ctx->job;
	char mount_opts[600], cmd[256];
	int null;

	if (chroot(ROOT) || chdir(SUITE)) {
		dprintf(out, "chroot: %s\n", strerror(errno));
		_exit(127);
	}
	setsid();
	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	signal(SIGPIPE, SIG_DFL);
	umask(022);
	snprintf(mount_opts, sizeof(mount_opts), "-o %s", j->mount_opts);
	clearenv();
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "dumb", 1);
	setenv("FSTYP", j->fs, 1);
	setenv("TEST_DEV", s->test, 1);
	setenv("TEST_DIR", "/mnt/test", 1);
	/* The suite takes the first of the pool for SCRATCH_DEV, and wants that to be unset. */
	if (*s->pool)
		setenv("SCRATCH_DEV_POOL", s->pool, 1);
	else
		setenv("SCRATCH_DEV", s->scratch, 1);
	setenv("SCRATCH_MNT", "/mnt/scratch", 1);
	setenv("RESULT_BASE", RESULTS, 1);
	setenv("SOAK_DURATION", wl_str(s->ctx, "soak"), 1);
	if (*j->mkfs_opts)
		setenv("MKFS_OPTIONS", j->mkfs_opts, 1);
	if (*j->mount_opts) {
		setenv("MOUNT_OPTIONS", mount_opts, 1);
		setenv("TEST_FS_MOUNT_OPTS", mount_opts, 1);
	}
	/* From a file, since one argument may not be longer than 128 KiB. The names hold nothing that the shell would expand. */
	snprintf(cmd, sizeof(cmd), "read -r -d '' list < " RESULTS "/list; exec ./check $list");
	execl("/bin/bash", "bash", "-c", cmd, (char *)NULL);
	_exit(127);
}

/* The last bytes of a file, as text. Static. */
static const char *tail_of(const char *path)
{
	static char text[FILE_MAX + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = -1;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st))
		n = pread(fd, text, FILE_MAX, st.st_size > FILE_MAX ? st.st_size - FILE_MAX : 0);
	close(fd);
	if (n <= 0)
		return NULL;
	for (ssize_t i = 0; i < n; i++)
		if (!text[i])
			text[i] = '.';
	text[n] = '\0';
	return text;
}

/* What is known of a test that is over and went wrong: the suite leaves one of the first two then. */
static void send_files(struct suite *s)
{
	static const char *const kinds[] = { ".out.bad", ".dmesg", ".full" };
	char path[256];
	bool bad = s->killed;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const char *text;
		struct jbuf b = {};

		snprintf(path, sizeof(path), ROOT RESULTS "/%s%s", s->current, kinds[i]);
		text = i < 2 || bad ? tail_of(path) : NULL;
		if (!text)
			continue;
		bad = true;
		jb_string(&b, text);
		wl_blob(s->ctx, "file", b.s, "name=%s%s", s->current, kinds[i]);
		jb_free(&b);
	}
}

/* "generic/001" at the beginning of a line, followed by a blank. */
static size_t test_name(const char *line)
{
	size_t n = strcspn(line, "/"), digits;

	if (!n || n > 10 || line[n] != '/')
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)line[i]))
			return 0;
	digits = strspn(line + n + 1, "0123456789");
	return digits >= 3 && digits <= 5 && line[n + 1 + digits] == ' ' ? n + 1 + digits : 0;
}

static void look_at_line(struct suite *s)
{
	size_t n = test_name(s->line);

	if (!n || (strlen(s->current) == n && !strncmp(s->current, s->line, n)))
		return;
	if (*s->current)
		send_files(s);
	snprintf(s->current, sizeof(s->current), "%.*s", (int)n, s->line);
	wl_progress(s->ctx, s->begun++, s->total, s->current);
	s->since = now();
}

/* text, of n bytes, ends with '\0'. */
static void take(struct suite *s, char *text, size_t n)
{
	struct jbuf b = {};
	char *end;

	if (s->over)
		return;
	if (s->terminated) {
		/* Its line is the last: what check does from here on, it does in vain. */
		end = memchr(text, '\n', n);
		if (end) {
			s->over = true;
			n = (size_t)(end + 1 - text);
			text[n] = '\0';
		}
	}
	jb_string(&b, text);
	wl_blob(s->ctx, "check", b.s, "");
	jb_free(&b);
	for (size_t i = 0; i < n; i++) {
		if (s->len + 2 > s->cap) {
			s->cap = s->cap ? 2 * s->cap : 256;
			s->line = realloc(s->line, s->cap);
			if (!s->line)
				abort();
		}
		if (text[i] == '\n') {
			s->len = 0;
		} else {
			s->line[s->len++] = text[i];
			s->line[s->len] = '\0';
			if (text[i] == ' ')
				look_at_line(s);
		}
	}
}

/* --- tests that take too long -------------------------------------------------------------------------------------------- */

static pid_t parent_of(pid_t pid)
{
	char path[64], text[512], *p;
	FILE *f;
	int parent = -1;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	/* The name may hold anything; the last parenthesis ends it. */
	if (fgets(text, sizeof(text), f) && (p = strrchr(text, ')')) && sscanf(p + 1, " %*c %d", &parent) != 1)
		parent = -1;
	fclose(f);
	return parent;
}

/* Signals all that descend from top, which itself is spared; only its children if deep is not set. */
static void signal_below(pid_t top, int sig, bool deep)
{
	pid_t pid[MAX_TASKS], parent[MAX_TASKS];
	bool below[MAX_TASKS] = {}, more = true;
	unsigned int n = 0, i, j;
	struct dirent *e;
	DIR *d = opendir("/proc");

	while (d && n < MAX_TASKS && (e = readdir(d))) {
		pid[n] = atoi(e->d_name);
		parent[n] = pid[n] > 0 ? parent_of(pid[n]) : -1;
		if (parent[n] > 0)
			n++;
	}
	if (d)
		closedir(d);
	while (more) {
		more = false;
		for (i = 0; i < n; i++) {
			bool is = parent[i] == top;

			for (j = 0; deep && !is && j < n; j++)
				is = below[j] && pid[j] == parent[i];
			more |= is && !below[i];
			below[i] |= is;
		}
	}
	for (i = 0; i < n; i++)
		if (below[i])
			kill(pid[i], sig);
}

static void check_limit(struct suite *s, pid_t check)
{
	time_t age = now() - s->since, limit = (time_t)wl_u64(s->ctx, "limit");

	if (!*s->current || age < limit)
		return;
	if (!s->terminated) {
		struct jbuf b = {};

		jb_string(&b, s->current);
		wl_blob(s->ctx, "timeout", b.s, "");
		jb_free(&b);
		signal_below(check, SIGTERM, false);
		s->terminated = true;
	} else if ((s->over || age > limit + KILL_AFTER_S) && !s->killed) {
		/* It must not go on with the next test; nor end before its children are found. */
		kill(check, SIGSTOP);
		signal_below(check, SIGKILL, true);
		kill(check, SIGKILL);
		s->killed = true;
	}
}

static int run_check(struct suite *s)
{
	int fds[2], status = 0;
	char text[4097];
	bool over = false;
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return wl_fail(s->ctx, -errno, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return wl_fail(s->ctx, -errno, "fork: %s", strerror(errno));
	if (!pid)
		exec_check(s, fds[1]);
	close(fds[1]);
	while (!over) {
		struct pollfd p = { fds[0], POLLIN, 0 };

		/* What a test has left running keeps the pipe open; check's end is what counts. */
		over = waitpid(pid, &status, WNOHANG) == pid;
		while (poll(&p, 1, over ? 0 : 1000) > 0) {
			n = read(fds[0], text, sizeof(text) - 1);
			if (n <= 0)
				break;
			for (ssize_t i = 0; i < n; i++)
				if (!text[i])
					text[i] = '?';
			text[n] = '\0';
			take(s, text, (size_t)n);
		}
		check_limit(s, pid);
	}
	close(fds[0]);
	if (*s->current)
		send_files(s);
	/* Status 1 says that tests have failed, which is the host's to judge. */
	if (s->killed)
		return 0;
	if (WIFSIGNALED(status) || WEXITSTATUS(status) > 1 || !s->begun)
		return wl_fail(s->ctx, -EIO, "check ended with %s %d after %u tests", WIFSIGNALED(status) ? "signal" : "status",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), s->begun);
	return 0;
}

static int find_pool(struct suite *s)
{
	unsigned int i, n = (unsigned int)wl_u64(s->ctx, "pool");
	char serial[16], dev[64];
	int err = 0;

	if (n > MAX_POOL)
		return wl_fail(s->ctx, -EINVAL, "pool: %u devices, at most %u", n, MAX_POOL);
	if (n)
		snprintf(s->pool, sizeof(s->pool), "%s", s->scratch);
	for (i = 1; i <= n && !err; i++) {
		size_t len = strlen(s->pool);

		snprintf(serial, sizeof(serial), DISK_POOL, i);
		err = tree_disk(s->ctx, serial, dev, sizeof(dev));
		if (!err)
			snprintf(s->pool + len, sizeof(s->pool) - len, " %s", dev);
	}
	return err;
}

static int run(struct wl_ctx *ctx)
{
	struct suite s = { .ctx = ctx };
	const char *tests = wl_str(ctx, "tests");
	int err;

	for (const char *p = tests; *p; p++)
		s.total += *p == '/';
	err = tree_disk(ctx, DISK_TEST, s.test, sizeof(s.test));
	if (!err)
		err = tree_disk(ctx, JOB_DISK_SCRATCH, s.scratch, sizeof(s.scratch));
	if (!err)
		err = find_pool(&s);
	if (!err)
		err = make_root(ctx);
	if (!err)
		err = append(ctx, ROOT RESULTS "/list", tests);
	if (!err)
		err = make_test_fs(&s);
	if (!err)
		err = run_check(&s);
	free(s.line);
	return err;
}

static const struct wl_param params[] = {
	{ "tests", "", "names of the tests, separated by blanks" },
	{ "limit", "300", "s; a test that takes longer is killed and has failed" },
	{ "pool", "0", "devices of SCRATCH_DEV_POOL beside the scratch device" },
	{ "soak", "10", "s that tests take which run as long as they are told to" },
	{ NULL, NULL, NULL }
};

static const struct workload xfstests = {
	.name = "xfstests",
	.summary = "the user's xfstests; started by `shbench xfstests`",
	.params = params,
	.run = run,
};
DEFINE_WORKLOAD(xfstests);
