/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Kernels: kernels/NAME.kernel says what can be booted; this module builds it, once.
 *
 * The file, INI style ("key = value", '#' comments):
 *
 *	summary  = Debian's 6.12 as it is
 *	source   = deb:linux-source-6.12		Debian package (its tarball in /usr/src)
 *	         | tree:/path/to/linux			a source tree as it is now (its state is hashed: git HEAD + diff, or all files)
 *	         | git:/path/to/linux#REF		a commit of a git tree
 *	         | bzimage:/path/to/bzImage		ready-made; no series, no config
 *	series   = patches/linux-6.12			directory with a `series` file, or none
 *	extra    = patches/canary/foo.patch		further patches on top of the series, may be repeated
 *	config   = measure.config shcache.config	fragments in kernels/, merged over allnoconfig in this order
 *	config.debug = measure.config debug.config shcache.config	the same for the config set `debug`
 *	cmdline  = ...					additions to the guest kernel's command line
 *
 * NAME@STEP is a kernel on the way to NAME: with a series the number of its patches that are applied (and no `extra`), with git:PATH#REF
 * another commit. Symbols of the fragments that such a source does not have yet are left out.
 *
 * `NAME+debug` names the debug config set of NAME. Relative paths are relative to the checkout's top.
 */
#ifndef SHCACHE_KERNEL_H
#define SHCACHE_KERNEL_H

#include <jansson.h>
#include <stdbool.h>

struct kernel_build {
	char *name;		/* as asked for, "base" or "base+debug" */
	char *summary;
	char *id;		/* 16 hex digits: source version, series, config, compiler */
	char *bzimage;		/* path in the cache */
	char *release;		/* of the running kernel, `make kernelrelease` */
	char *source;		/* "deb:linux-source-6.12 6.12.117-1", "git:... <sha>" */
	char *source_version;
	char *series_hash;	/* sha256 of the patches in order, "" for none */
	char *config_hash;	/* sha256 of the final .config */
	char *compiler;		/* first line of gcc --version */
	char *cmdline;
	bool cached;		/* nothing had to be built */
	double seconds;		/* of the build; 0 if cached */
};

/*
 * Makes sure that the kernel NAME exists in the cache and describes it. Shows a progress bar while building. Errors have been
 * printed (first error line of the build, path of the whole log). Returns 0, -EINVAL (spec: file:line said), -ENOENT (no
 * such kernel; near misses said), -ENOPKG (a package is missing; said which), -EIO (build failed), -EINTR, other -errno.
 * Two processes that build the same id at once: the second waits for the first (lock file).
 */
int kernel_get(const char *name, struct kernel_build *out);
/* The same without building: id and the rest, bzimage is NULL if it is not there yet. */
int kernel_lookup(const char *name, struct kernel_build *out);
void kernel_build_free(struct kernel_build *b);
/* Provenance: {"name","id","release","source","series_hash","config_hash","compiler","cmdline"} */
json_t *kernel_provenance(const struct kernel_build *b);
/*
 * The way from one kernel to another: name[0] is good, name[n - 1] is bad, what[i] says which patch or commit leads from name[i - 1] to
 * name[i] (what[0] is ""). Both must be of one source and either of one series (good may have none) or commits of one tree, good an ancestor.
 * Returns 0 or -errno, printed.
 */
struct kernel_steps {
	char **name, **what;
	size_t n;
};
int kernel_steps(const char *good, const char *bad, struct kernel_steps *out);
void kernel_steps_free(struct kernel_steps *s);

/* Names of all kernels/NAME.kernel, sorted, NULL-terminated; free each and the array. */
char **kernel_names(void);

/* The commands `shbench kernel build|list|config|tree|export ...`; argv[0] is the sub-command. Returns an exit code. */
int cmd_kernel(int argc, char **argv);

#endif
