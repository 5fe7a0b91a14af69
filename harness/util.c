// SPDX-License-Identifier: GPL-2.0
/* Small things that every host module needs; see util.h. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <poll.h>
#include <sha256.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

struct options opt;

static void *must(void *p)
{
	if (!p) {
		fputs("shbench: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *xmalloc(size_t n)
{
	return must(malloc(n ? n : 1));
}

void *xcalloc(size_t n, size_t size)
{
	return must(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t n)
{
	return must(realloc(p, n ? n : 1));
}

char *xstrdup(const char *s)
{
	return must(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
	return must(strndup(s, n));
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return must(s);
}

static void buf_room(struct buf *b, size_t more)
{
	if (b->len + more + 1 <= b->cap)
		return;
	b->cap = (b->len + more + 1) * 2;
	b->s = xrealloc(b->s, b->cap);
}

void buf_add(struct buf *b, const char *data, size_t len)
{
	buf_room(b, len);
	if (len)
		memcpy(b->s + b->len, data, len);
	b->len += len;
	b->s[b->len] = '\0';
}

void buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	buf_room(b, n);
	va_start(ap, fmt);
	vsnprintf(b->s + b->len, n + 1, fmt, ap);
	va_end(ap);
	b->len += n;
}

void buf_free(struct buf *b)
{
	free(b->s);
	memset(b, 0, sizeof(*b));
}

/* Whether an unfinished progress line stands on the terminal. */
static bool bar_shown;

static void bar_clear(void)
{
	if (bar_shown)
		fputs("\r\033[K", stderr);
	bar_shown = false;
}

static void message(const char *prefix, const char *fmt, va_list ap)
{
	bar_clear();
	fprintf(stderr, "shbench: %s", prefix);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void err(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	message("", fmt, ap);
	va_end(ap);
}

void warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	message("warning: ", fmt, ap);
	va_end(ap);
}

void note(const char *fmt, ...)
{
	va_list ap;

	if (opt.quiet)
		return;
	va_start(ap, fmt);
	message("", fmt, ap);
	va_end(ap);
}

void progress(double done, double total, const char *what, ...)
{
	static double last;
	char text[256];
	va_list ap;
	double now = now_s();
	bool tty = isatty(STDERR_FILENO);

	if (opt.quiet)
		return;
	if (done < 0) {
		bar_clear();
		last = 0;
		return;
	}
	/* A terminal is redrawn ten times a second, a log gets a line every ten seconds. */
	if (last && now - last < (tty ? 0.1 : 10))
		return;
	last = now;
	va_start(ap, what);
	vsnprintf(text, sizeof(text), what, ap);
	va_end(ap);
	if (tty) {
		int width = 24, full = total > 0 ? (int)(width * done / total) : 0;

		if (full > width)
			full = width;
		fprintf(stderr, "\r\033[K[%.*s%.*s] %3.0f %% %s", full, "########################",
			width - full, "........................", total > 0 ? 100 * done / total : 0, text);
		fflush(stderr);
		bar_shown = true;
	} else {
		fprintf(stderr, "shbench: %3.0f %% %s\n", total > 0 ? 100 * done / total : 0, text);
	}
}

int mkdir_p(const char *path)
{
	char *p = xstrdup(path), *s;
	int ret;

	for (s = p + 1; *s; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		mkdir(p, 0777);		/* what fails here fails below too */
		*s = '/';
	}
	ret = mkdir(p, 0777) && errno != EEXIST ? -errno : 0;
	free(p);
	return ret;
}

int read_file(const char *path, char **data, size_t *len)
{
	struct buf b = {};
	char chunk[65536];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	buf_str(&b, "");
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		buf_add(&b, chunk, n);
	if (n < 0) {
		int ret = -errno;

		close(fd);
		buf_free(&b);
		return ret;
	}
	close(fd);
	*data = b.s;
	if (len)
		*len = b.len;
	return 0;
}

static int write_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= n;
	}
	return 0;
}

/* Ends an atomic write: syncs and renames tmp to path, or removes tmp. Closes fd. */
static int commit_file(int fd, int ret, const char *tmp, const char *path)
{
	if (!ret && fsync(fd))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	if (!ret && rename(tmp, path))
		ret = -errno;
	if (ret)
		unlink(tmp);
	return ret;
}

static int open_tmp(const char *path, char **tmp)
{
	int fd;

	*tmp = xasprintf("%s.tmp-XXXXXX", path);
	fd = mkostemp(*tmp, O_CLOEXEC);
	if (fd < 0) {
		int ret = -errno;

		free(*tmp);
		return ret;
	}
	fchmod(fd, 0644);
	return fd;
}

int write_file_atomic(const char *path, const char *data, size_t len)
{
	char *tmp;
	int fd = open_tmp(path, &tmp), ret;

	if (fd < 0)
		return fd;
	ret = commit_file(fd, write_all(fd, data, len), tmp, path);
	free(tmp);
	return ret;
}

int copy_file(const char *src, const char *dst)
{
	int in = open(src, O_RDONLY | O_CLOEXEC), fd, ret = 0;
	struct stat st;
	char *tmp;

	if (in < 0)
		return -errno;
	if (fstat(in, &st)) {
		ret = -errno;
		close(in);
		return ret;
	}
	fd = open_tmp(dst, &tmp);
	if (fd < 0) {
		close(in);
		return fd;
	}
	if (ioctl(fd, FICLONE, in)) {
		ssize_t n;

		while ((n = sendfile(fd, in, NULL, 1 << 30)) > 0)
			;
		if (n < 0)
			ret = -errno;
	}
	if (!ret && fchmod(fd, st.st_mode & 0777))
		ret = -errno;
	ret = commit_file(fd, ret, tmp, dst);
	free(tmp);
	close(in);
	return ret;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path) ? -errno : 0;
}

int remove_tree(const char *path)
{
	struct stat st;
	int ret;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	ret = nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
	return ret == -1 ? -errno : ret;
}

bool file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

double rusage_s(const struct rusage *r)
{
	return r->ru_utime.tv_sec + r->ru_stime.tv_sec + (r->ru_utime.tv_usec + r->ru_stime.tv_usec) / 1e6;
}

double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

void sha256_hex(const void *data, size_t len, char out[65])
{
	SHA256Data(data, len, out);
}

int sha256_file(const char *path, char out[65])
{
	errno = 0;
	return SHA256File(path, out) ? 0 : (errno ? -errno : -EIO);
}

static volatile sig_atomic_t signalled;
static int signal_pipe[2] = { -1, -1 };

static void on_signal(int sig)
{
	int saved = errno;

	signalled = sig;
	if (signal_pipe[1] >= 0 && write(signal_pipe[1], "", 1) < 0)
		errno = saved;	/* full: somebody has been told already */
	errno = saved;
}

void interrupts_install(void)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal };

	if (signal_pipe[0] < 0 && pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK))
		signal_pipe[0] = signal_pipe[1] = -1;
	for (size_t i = 0; i < ARRAY_SIZE(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int interrupted(void)
{
	return signalled;
}

int interrupt_fd(void)
{
	return signal_pipe[0];
}

/* Passes complete lines in b to the callback and keeps the rest. */
static void give_lines(struct buf *b, const struct run_opts *ro, bool last)
{
	char *p = b->s, *nl;

	while (p && (nl = memchr(p, '\n', b->s + b->len - p))) {
		*nl = '\0';
		ro->line(p, ro->arg);
		p = nl + 1;
	}
	if (p && last && *p)
		ro->line(p, ro->arg);
	if (p) {
		b->len -= p - b->s;
		memmove(b->s, p, b->len + 1);
	}
}

static void child(const char *const *argv, const struct run_opts *ro, int out, int log, pid_t parent)
{
	int null = open("/dev/null", O_RDWR);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	signal(SIGPIPE, SIG_DFL);
	dup2(null, 0);
	if (out >= 0)
		dup2(out, 1);
	else if (log >= 0)
		dup2(log, 1);
	if (ro->line)
		dup2(out, 2);
	else if (log >= 0)
		dup2(log, 2);
	if (ro->cwd && chdir(ro->cwd))
		_exit(127);
	for (size_t i = 0; ro->env && ro->env[i]; i++)
		putenv((char *)ro->env[i]);
	execvp(argv[0], (char *const *)argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int run_cmd(const char *const *argv, const struct run_opts *ro)
{
	static const struct run_opts none;
	int fds[2] = { -1, -1 }, log = -1, status, ret = 0;
	pid_t parent = getpid(), pid;
	struct buf lines = {};
	bool want;

	if (!ro)
		ro = &none;
	want = ro->out || ro->line;
	if (ro->log) {
		log = open(ro->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (log < 0)
			return -errno;
	}
	if (pipe2(fds, O_CLOEXEC)) {
		ret = -errno;
		if (log >= 0)
			close(log);
		return ret;
	}
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		ret = -errno;
		goto out;
	}
	/* Without a reader for the output the pipe only serves to learn that the child is gone. */
	if (!pid) {
		if (!want)
			fcntl(fds[1], F_SETFD, 0);
		child(argv, ro, want ? fds[1] : -1, log, parent);
	}
	setpgid(pid, pid);
	close(fds[1]);
	fds[1] = -1;
	for (;;) {
		struct pollfd pfd[2] = { { fds[0], POLLIN, 0 }, { interrupt_fd(), POLLIN, 0 } };
		char chunk[65536];
		ssize_t n;

		if (interrupted()) {
			kill(-pid, SIGTERM);
			for (int i = 0; i < 20 && waitpid(pid, &status, WNOHANG) == 0; i++)
				usleep(50000);
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			ret = -EINTR;
			goto out;
		}
		if (poll(pfd, 2, -1) < 0 && errno != EINTR)
			break;
		if (!(pfd[0].revents & (POLLIN | POLLHUP)))
			continue;
		n = read(fds[0], chunk, sizeof(chunk));
		if (n <= 0)
			break;
		if (ro->out)
			buf_add(ro->out, chunk, n);
		if (ro->line) {
			if (log >= 0)
				write_all(log, chunk, n);
			buf_add(&lines, chunk, n);
			give_lines(&lines, ro, false);
		}
	}
	if (ro->line)
		give_lines(&lines, ro, true);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	ret = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
out:
	buf_free(&lines);
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (log >= 0)
		close(log);
	return ret;
}

const char *cache_dir(void)
{
	static char *dir;

	if (!dir) {
		const char *s = getenv("SHCACHE_CACHE"), *x = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

		if (s && *s)
			dir = xstrdup(s);
		else if (x && *x)
			dir = xasprintf("%s/shcache", x);
		else
			dir = xasprintf("%s/.cache/shcache", home && *home ? home : "/tmp");
		mkdir_p(dir);
	}
	return dir;
}

/* The directory of the command itself: shbench stands at the top of the checkout. Tests set SHBENCH_TOP. */
const char *top_dir(void)
{
	static char *dir;
	char path[4096];
	ssize_t n;
	char *s;

	if (dir)
		return dir;
	s = getenv("SHBENCH_TOP");
	if (s && *s)
		return dir = xstrdup(s);
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	/* The unit tests lie deeper: go up until kernels/ is there. */
	while ((s = strrchr(path, '/'))) {
		char *k;
		bool found;

		*s = '\0';
		k = xasprintf("%s/kernels", path);
		found = file_exists(k);
		free(k);
		if (found)
			return dir = xstrdup(path);
	}
	return dir = xstrdup(".");
}

/* Damerau-Levenshtein distance (optimal string alignment), case-insensitive. */
static unsigned int distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), w = m + 1;
	unsigned int *d = xcalloc((n + 1) * w, sizeof(*d)), ret;

	for (size_t i = 0; i <= n; i++)
		for (size_t j = 0; j <= m; j++) {
			unsigned int best, cost;

			if (!i || !j) {
				d[i * w + j] = i + j;
				continue;
			}
			cost = tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]);
			best = d[(i - 1) * w + j - 1] + cost;
			if (d[(i - 1) * w + j] + 1 < best)
				best = d[(i - 1) * w + j] + 1;
			if (d[i * w + j - 1] + 1 < best)
				best = d[i * w + j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[(i - 2) * w + j - 2] + 1 < best)
				best = d[(i - 2) * w + j - 2] + 1;
			d[i * w + j] = best;
		}
	ret = d[n * w + m];
	free(d);
	return ret;
}

char *near_misses(const char *name, const char *const *names)
{
	struct buf b = {};
	unsigned int limit = strlen(name) / 3 + 1;

	buf_str(&b, "");
	for (unsigned int dist = 0; dist <= limit; dist++)
		for (size_t i = 0; names[i]; i++)
			if (distance(name, names[i]) == dist)
				buf_printf(&b, "%s%s", b.len ? ", " : ": did you mean ", names[i]);
	if (b.len)
		buf_str(&b, "?");
	return b.s;
}
