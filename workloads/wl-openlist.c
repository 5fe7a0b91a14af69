// SPDX-License-Identifier: GPL-2.0
/*
 * Which files of an image its programs use, so that a small image can be made of them.
 *
 * The tree is mounted with strict access times, which are set to the distant past; then all programs run once. Whatever has
 * another access time afterwards was read, mapped, executed or followed. Emitted as blobs "openlist": arrays of absolute paths.
 *
 * Python looks at a module's source even when it only reads the compiled file; so a compiled file brings its source along.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "container.h"
#include "json.h"
#include "programs.h"
#include "tree-internal.h"

#define PAST		1000000000	/* September 2001 */
#define BLOB_BYTES	(256u << 10)	/* well below REC_MAX */
#define CACHE_DIR	"/__pycache__/"

struct out {
	struct wl_ctx *ctx;
	struct jbuf b;
	unsigned int files;
};

static void flush(struct out *o)
{
	if (!o->b.len)
		return;
	jb_printf(&o->b, "]");
	wl_blob(o->ctx, "openlist", o->b.s, "");
	jb_free(&o->b);
}

static void add(struct out *o, const char *path)
{
	char absolute[4096];

	snprintf(absolute, sizeof(absolute), "/%s", path);
	jb_printf(&o->b, "%s", o->b.len ? "," : "[");
	jb_string(&o->b, absolute);
	o->files++;
	if (o->b.len > BLOB_BYTES)
		flush(o);
}

/* "lib/__pycache__/re.cpython-311.pyc" -> "lib/re.py" */
static void add_source(struct out *o, const char *path)
{
	const char *dir = strstr(path, CACHE_DIR), *name, *dot;
	char source[4096];

	if (!dir)
		return;
	name = dir + strlen(CACHE_DIR);
	dot = strchr(name, '.');
	if (!dot)
		return;
	snprintf(source, sizeof(source), "%.*s/%.*s.py", (int)(dir - path), path, (int)(dot - name), name);
	add(o, source);
}

static int age(struct wl_ctx *ctx, const char *root, const struct tree_list *l)
{
	const struct timespec times[2] = { { .tv_sec = PAST }, { .tv_nsec = UTIME_OMIT } };
	char path[4096];
	unsigned int i;

	for (i = 0; i < l->n; i++) {
		snprintf(path, sizeof(path), "%s/%s", root, l->v[i].path);
		if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW))
			return wl_fail(ctx, -errno, "utimensat %s: %s", path, strerror(errno));
	}
	return 0;
}

static int report(struct wl_ctx *ctx, const char *root, const struct tree_list *l)
{
	struct out o = { .ctx = ctx };
	char path[4096];
	unsigned int i;

	for (i = 0; i < l->n; i++) {
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", root, l->v[i].path);
		if (lstat(path, &st))
			return wl_fail(ctx, -errno, "stat %s: %s", path, strerror(errno));
		if (st.st_atim.tv_sec == PAST || !(S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)))
			continue;
		add(&o, l->v[i].path);
		add_source(&o, l->v[i].path);
	}
	flush(&o);
	wl_info(ctx, "openlist_files", "%u", o.files);
	return o.files ? 0 : wl_fail(ctx, -ENOENT, "no access time changed although programs ran");
}

static int run_programs(struct tree *t, const struct program *const *programs, int nr)
{
	struct container c;
	int i, err = 0;

	for (i = 0; !err && i < nr; i++) {
		wl_progress(t->ctx, (uint64_t)i, (uint64_t)nr, programs[i]->name);
		err = program_start(t, 0, programs[i], NULL, &c);
		if (!err)
			err = program_ready(programs[i], &c);
		container_stop(&c);
	}
	return err;
}

static int run(struct wl_ctx *ctx)
{
	const struct program *programs[PROGRAMS_MAX];
	struct tree_list l = {};
	struct tree *t;
	int err, nr;

	err = tree_create(ctx, &t);
	if (err)
		return err;
	nr = programs_select(t, "all", programs);
	if (nr < 0)
		return nr;
	err = tree_clone_to(t, 1);
	if (!err && mount(NULL, TREE_MNT, NULL, MS_REMOUNT | MS_BIND | MS_STRICTATIME, NULL))
		err = wl_fail(ctx, -errno, "cannot mount with strictatime: %s", strerror(errno));
	if (!err)
		err = tree_list(ctx, tree_root(t, 0), &l);
	if (!err)
		err = age(ctx, tree_root(t, 0), &l);
	if (!err)
		err = run_programs(t, programs, nr);
	if (!err)
		err = report(ctx, tree_root(t, 0), &l);
	tree_list_free(&l);
	return err ? err : tree_destroy(t);
}

static const struct workload openlist = {
	.name = "openlist",
	.summary = "which files of the image its programs use; for making a small image",
	.needs = WL_NEEDS_FS | WL_NEEDS_PROGS,
	.run = run,
};
DEFINE_WORKLOAD(openlist);
