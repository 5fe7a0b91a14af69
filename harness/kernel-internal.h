/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the kernel builder share; nobody else includes this.
 *
 *	kernel-spec.c	kernels/NAME.kernel -> struct kernel_spec
 *	kernel-source.c	where the source comes from; one git repository in the cache holds them all
 *	kernel-series.c	patches, applied strictly, and what is wrong when they do not
 *	kernel-build.c	configuration and compilation
 *	kernel-steps.c	what lies between two kernels, patch by patch or commit by commit
 *	kernel-tree.c	a git tree to work on a series in, and the way back
 *	kernel.c	the public face: identity, cache entries, commands
 *
 * Below cache_dir():
 *
 *	sources.git/		pristine sources, each a parentless commit
 *	trees/HASH.index	git's index of a `tree:` source, so that only what changed is read again
 *	build/KEY/		src/: a source tree with the series applied, src/O-SET/: the build directory, index: src's index;
 *				one per (source, series directory), updated in place, so that only what changed is compiled
 *	kernels/ID/		bzImage, config, System.map, build.json, vmlinux if it has debug information, and where there are gcov
 *				counters DIR#FILE.gcno and DIR#FILE.c
 *	log/kernel-ID.log	what make said
 *	lock/			lock files
 *	ccache/			unless $CCACHE_DIR says otherwise
 */
#ifndef SHCACHE_KERNEL_INTERNAL_H
#define SHCACHE_KERNEL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

enum source_kind { SRC_DEB, SRC_TREE, SRC_GIT, SRC_BZIMAGE };

/* A growing list of strings, always NULL-terminated once something was added. */
struct strv {
	char **v;
	size_t n;
};
void strv_add(struct strv *l, char *s);		/* takes s */
void strv_free(struct strv *l);
/* Splits at blanks. */
void strv_words(struct strv *l, const char *s);

struct kernel_spec {
	char *file;		/* for messages: path below the checkout's top */
	char *asked;		/* "base+debug" */
	char *name, *set;	/* "base", "debug"; set is "default" when none is named */
	char *step;		/* "3" of "shcache@3", or NULL */
	char *summary;
	enum source_kind kind;
	char *source;		/* package, or absolute path */
	char *ref;		/* SRC_GIT */
	char *series;		/* absolute directory, or NULL */
	struct strv extra;	/* absolute paths */
	struct strv config;	/* fragments of the set asked for, absolute paths */
	struct strv sets;	/* all config sets, "default" first */
	char *cmdline;		/* "" if none */
	unsigned int source_line, series_line;
};

/*
 * Reads kernels/NAME.kernel for NAME, NAME+SET, NAME@STEP or NAME@STEP+SET. Returns 0, -ENOENT (no such kernel or set), -EINVAL (file:line said).
 * *s needs spec_free() in any case.
 */
int spec_load(const char *asked, struct kernel_spec *s);
void spec_free(struct kernel_spec *s);

/* One git call: which repository, work tree and index. All may be NULL. */
struct git {
	const char *dir;	/* --git-dir */
	const char *work;	/* --work-tree, also the working directory */
	const char *index;
	const char *objects;	/* a further object store to read from */
	const char *who;	/* author and committer, also fixes the dates */
	const char *cwd;	/* if there is no work */
	const char *input;	/* file that becomes stdin */
};
/*
 * Runs git free of the user's settings. argv without "git", NULL-terminated. One of out and said may be given: out receives
 * stdout (stderr is lost), said both. Returns the exit status or -errno; prints nothing.
 */
int git_run(const struct git *g, struct buf *out, struct buf *said, const char *const *argv);
#define GIT(g, out, said, ...) git_run(g, out, said, (const char *const[]){ __VA_ARGS__, NULL })

/* A git command's output without the newline at its end (malloc'd), or NULL if it failed; what it complains about is lost. */
char *git_line(const struct git *g, const char *const *argv);
#define GIT_LINE(g, ...) git_line(g, (const char *const[]){ __VA_ARGS__, NULL })

/* Removes the newlines at the end. */
void chomp(char *s);
/* path, or path below the current directory. */
char *absolute_path(const char *path);
/* A file in the cache whose directory is made; fmt is relative to cache_dir(). */
char *cache_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/*
 * Takes the lock lock/NAME.lock; says so once if it has to wait, for what. Returns a file descriptor whose close() releases
 * it, or -errno (-EINTR).
 */
int lock_take(const char *name, const char *what);

struct source {
	char *label;		/* "deb:linux-source-6.12 6.12.117-1" */
	char *version;		/* says exactly which: enters the kernel's id */
	char *tarball;		/* SRC_DEB */
	char *commit;		/* after source_import(), or if known before */
	char *tree;		/* after patchset_apply(): the git tree with the patches */
	char *objects;		/* SRC_GIT: its object store */
};
/* Finds out which source it is, without unpacking. Returns 0, -ENOENT (not there; message says how to get it), -errno. */
int source_identify(const struct kernel_spec *s, struct source *src);
/* Makes sure that the source is a commit in sources.git (or readable from there) and sets commit. */
int source_import(const struct kernel_spec *s, struct source *src);
void source_free(struct source *src);
/* The repository of all sources; makes it if needed. NULL if that fails, with a message. */
const char *source_repo(void);
/* Key of the build tree. */
char *source_build_key(const struct kernel_spec *s);

struct patchset {
	struct strv patch;	/* absolute paths in order, the `extra` ones last */
	char hash[65];		/* sha256 of the contents, "" if there is none */
};
int patchset_load(const struct kernel_spec *s, struct patchset *ser);
void patchset_free(struct patchset *ser);
/* Names in DIR/series; -ENOENT without one. */
int patchset_read(const char *dir, struct strv *names);
/*
 * Applies the series to the source's commit, without fuzz and without touching a file. Sets src->tree to the outcome.
 * Returns 0 or -EINVAL: said which patch, which hunk, what the tree has there.
 */
int patchset_apply(const struct patchset *ser, struct source *src);

/* One requested symbol of the merged fragments. */
struct config_want {
	char *symbol, *value;	/* "CONFIG_SMP", "y"; value "n" for "is not set" */
	char *where;		/* "kernels/measure.config:12" */
};
struct config_wants {
	struct config_want *v;
	size_t n;
};
/* Reads fragments in order; a later one overrides. Returns 0 or -EINVAL (file:line said), -ENOENT. */
int config_read(const struct strv *files, struct config_wants *w);
void config_wants_free(struct config_wants *w);
/*
 * Compares with a final .config's text. Calls miss for each symbol that did not take, with the value it has ("n" if not
 * set); returns how many.
 */
size_t config_check(const struct config_wants *w, const char *final,
		    void (*miss)(const struct config_want *w, const char *has, void *arg), void *arg);

/* What the build tree looks like to a build. */
struct build_dirs {
	char *key, *base, *src, *obj, *index;
	int lock;
};
void build_dirs_init(const struct kernel_spec *s, struct build_dirs *d);
void build_dirs_free(struct build_dirs *d);
/* Takes the build tree, brings it to the git tree, configures. wants are checked. Returns 0 or -errno, errors printed. */
int build_configure(const struct kernel_spec *s, struct source *src, const struct patchset *ser,
		    const struct config_wants *w, const char *log, struct build_dirs *d);
/* Compiles. Returns 0, -EIO, -EINTR; errors printed. */
int build_compile(const struct kernel_spec *s, const char *log, const struct build_dirs *d);
/* Prints the symbols that did not take; returns how many. */
size_t build_report_misses(const struct kernel_spec *s, const struct source *src, const struct config_wants *w,
			   const char *final);
/* First line of "TOOL --version" (malloc'd), or NULL if it cannot be run. */
char *tool_version(const char *tool);
/* The first line of a build log that says what is wrong (malloc'd), or NULL. */
char *build_first_error(const char *log);

/* The id: everything that decides about the outcome, hashed to 16 hex digits. */
void kernel_id(const char *source_version, const char *series_hash, const struct config_wants *w, const char *compiler,
	       const char *linker, char id[17]);

/* `kernel tree` and `kernel export`; dir is absolute. Return 0 or -errno, errors printed. */
int kernel_tree(const struct kernel_spec *s, const char *dir);
int kernel_export(const struct kernel_spec *s, const char *dir);

#endif
