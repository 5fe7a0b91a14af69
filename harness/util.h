/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Small things that every host module needs. Functions return 0 or a negative errno unless said otherwise; x*() abort on
 * memory exhaustion, as the command has nothing better to do then.
 */
#ifndef SHCACHE_UTIL_H
#define SHCACHE_UTIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Exit codes of shbench; documented in its --help and in the README. */
enum {
	EXIT_OK = 0,
	EXIT_REGRESSION = 1,	/* a regression or a failed test */
	EXIT_USAGE = 2,
	EXIT_INFRA = 3,		/* infrastructure, or an invalid result */
	EXIT_INCONCLUSIVE = 4,	/* only with --strict */
	EXIT_SKIPPED = 77,
};

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A growing, always NUL-terminated buffer. */
struct buf {
	char *s;
	size_t len, cap;
};
void buf_add(struct buf *b, const char *data, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_free(struct buf *b);

/*
 * Messages, one line on stderr: "shbench: what: where: what to do". err() prints always, warn() too, note() unless -q.
 * They first clear a progress bar.
 */
void err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Progress: a bar on a terminal, a line every few seconds elsewhere, nothing with -q. done < 0 ends it. */
void progress(double done, double total, const char *what, ...) __attribute__((format(printf, 3, 4)));

struct options {
	bool quiet, json, verbose;
};
extern struct options opt;	/* set by the command line only */

int mkdir_p(const char *path);
int read_file(const char *path, char **data, size_t *len);		/* NUL-terminated; len may be NULL */
/* Writes to a temporary file in the same directory, fsyncs, renames: whole or not at all, also on a full disk. */
int write_file_atomic(const char *path, const char *data, size_t len);
int copy_file(const char *src, const char *dst);			/* reflinks where it can */
int remove_tree(const char *path);					/* rm -rf; 0 if it is not there */
bool file_exists(const char *path);
double rusage_s(const struct rusage *r);					/* processor time, user and system, seconds */
double now_s(void);							/* CLOCK_MONOTONIC, seconds */

/* SHA-256 as 64 hex digits plus NUL. */
void sha256_hex(const void *data, size_t len, char out[65]);
int sha256_file(const char *path, char out[65]);

/*
 * Runs argv[0] (searched in PATH) with no shell; stdin is /dev/null. out, if not NULL, receives stdout; log, if not NULL,
 * is a file that stdout (unless out) and stderr are appended to; cwd may be NULL. line, if not NULL, is called for each line
 * of output as it comes. The child dies with us (PR_SET_PDEATHSIG) and its process group is killed when interrupted() turns
 * true (-EINTR). Returns the exit status (>= 0), 128+signal, or a negative errno if it could not be started.
 */
struct run_opts {
	const char *cwd, *log;
	const char *const *env;		/* "NAME=value" additions, NULL-terminated */
	struct buf *out;
	void (*line)(const char *line, void *arg);
	void *arg;
};
int run_cmd(const char *const *argv, const struct run_opts *ro);

/* SIGINT, SIGTERM, SIGHUP set a flag; long loops look at it and unwind. */
void interrupts_install(void);
int interrupted(void);			/* 0 or the signal's number */
int interrupt_fd(void);			/* a pipe's end that becomes readable on interruption, for poll() */

/* Directories: the cache ($SHCACHE_CACHE, else $XDG_CACHE_HOME/shcache, else ~/.cache/shcache), and the checkout's top. */
const char *cache_dir(void);
const char *top_dir(void);

/* The candidates nearest to a mistyped name (Damerau-Levenshtein), for "did you mean"; "" or ": did you mean a, b?". */
char *near_misses(const char *name, const char *const *names);

#endif
