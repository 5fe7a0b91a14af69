// SPDX-License-Identifier: GPL-2.0
/*
 * A git tree to work on a series in, and the way back: `tree` makes it from the source and the patches, `export` writes its
 * commits as patches again. What is exported unchanged is the same to the byte, so a diff of the series shows real changes.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel-internal.h"

/* The commit that the series begins on. */
#define BASE_TAG "shbench-base"

/* A git command in the user's tree that must succeed; what names it in the message. */
static int tree_git(const char *dir, const char *who, const char *what, const char *const *argv)
{
	char *git_dir = xasprintf("%s/.git", dir);
	struct git g = { .dir = git_dir, .work = dir, .who = who };
	struct buf said = {};
	int ret = git_run(&g, NULL, &said, argv);

	if (ret > 0) {
		said.s[strcspn(said.s, "\n")] = '\0';
		err("%s: %s: %s", dir, what, *said.s ? said.s : "git failed");
		ret = -EIO;
	}
	buf_free(&said);
	free(git_dir);
	return ret;
}
#define TREE_GIT(dir, who, what, ...) tree_git(dir, who, what, (const char *const[]){ __VA_ARGS__, NULL })

static bool empty_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool empty = true;

	if (!d)
		return errno == ENOENT;
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			empty = false;
	closedir(d);
	return empty;
}

static int fill_tree(const struct kernel_spec *s, const struct source *src, const struct patchset *ser, const char *dir)
{
	const char *from = s->kind == SRC_GIT ? s->source : source_repo();
	struct buf said = {};
	int ret;

	if (!from)
		return -EIO;
	note("%s: writing the tree of %s", dir, s->name);
	/* Objects are hard-linked or copied: the tree does not depend on the cache. */
	ret = GIT(&(struct git){}, NULL, &said, "clone", "-q", "--local", "--no-checkout", "--no-tags", "--template=", from, dir);
	if (ret > 0) {
		said.s[strcspn(said.s, "\n")] = '\0';
		err("%s: cannot clone %s: %s", dir, from, said.s);
		ret = -EIO;
	}
	buf_free(&said);
	if (!ret)
		ret = TREE_GIT(dir, NULL, "cannot check out the source", "checkout", "-q", "-B", s->name, src->commit);
	if (!ret)
		ret = TREE_GIT(dir, NULL, "cannot mark the base", "tag", "-f", BASE_TAG, src->commit);
	if (!ret)
		ret = TREE_GIT(dir, NULL, "cannot drop the origin", "remote", "remove", "origin");
	for (size_t i = 0; i < ser->patch.n && !ret; i++) {
		char *what = xasprintf("%s cannot be made a commit (is it in git format-patch form?)", ser->patch.v[i]);

		progress(i, ser->patch.n, "git am %s", strrchr(ser->patch.v[i], '/') + 1);
		ret = TREE_GIT(dir, "shbench", what, "am", "-q", "--no-3way", "--keep-non-patch", "--keep-cr", "--no-scissors",
			       "--whitespace=nowarn", "--committer-date-is-author-date", ser->patch.v[i]);
		free(what);
	}
	progress(-1, 0, " ");
	return ret;
}

int kernel_tree(const struct kernel_spec *s, const char *dir)
{
	struct source src = {};
	struct patchset ser = {};
	bool existed = file_exists(dir);
	int ret;

	if (s->kind == SRC_BZIMAGE) {
		err("kernel %s is a ready-made bzImage: it has no source", s->name);
		return -EINVAL;
	}
	if (!empty_dir(dir)) {
		err("%s: exists and is not empty: remove it or name another directory", dir);
		return -EINVAL;
	}
	ret = patchset_load(s, &ser);
	if (!ret)
		ret = source_identify(s, &src);
	if (!ret)
		ret = source_import(s, &src);
	/* Says better than git am what is wrong with a patch, and before anything is written. */
	if (!ret)
		ret = patchset_apply(&ser, &src);
	if (!ret) {
		ret = fill_tree(s, &src, &ser, dir);
		if (ret) {
			remove_tree(dir);
			if (existed)
				mkdir_p(dir);
		}
	}
	if (!ret)
		note("%s: %zu patches on top of tag " BASE_TAG, dir, ser.patch.n);
	source_free(&src);
	patchset_free(&ser);
	return ret;
}

/* One line of a git command in the tree, or NULL. */
static char *tree_line(const char *dir, const char *const *argv)
{
	char *git_dir = xasprintf("%s/.git", dir), *line;

	line = git_line(&(struct git){ .dir = git_dir, .work = dir }, argv);
	free(git_dir);
	return line;
}
#define TREE_LINE(dir, ...) tree_line(dir, (const char *const[]){ __VA_ARGS__, NULL })

/* Whether the tree can be told in patches. */
static int check_tree(const struct kernel_spec *s, const char *dir)
{
	char *base = TREE_LINE(dir, "rev-parse", "-q", "--verify", BASE_TAG "^{commit}");
	char *on = base ? TREE_LINE(dir, "merge-base", BASE_TAG, "HEAD") : NULL;
	char *merges = base ? TREE_LINE(dir, "rev-list", "--merges", BASE_TAG "..HEAD") : NULL;
	char *dirty = TREE_LINE(dir, "status", "--porcelain", "--untracked-files=no");
	int ret = -EINVAL;

	if (interrupted())
		ret = -EINTR;
	else if (!base)
		err("%s: no tree of \"shbench kernel tree %s\" (no tag " BASE_TAG ")", dir, s->name);
	else if (!on || strcmp(base, on))
		err("%s: HEAD does not descend from " BASE_TAG ": rebase onto it, or move the tag", dir);
	else if (!merges || *merges)
		err("%s: merge commit %.12s: a series is a line of patches, rebase it", dir, merges ? merges : "?");
	else if (!dirty || *dirty)
		err("%s: uncommitted changes (%.*s): commit or drop them", dir, dirty ? (int)strcspn(dirty, "\n") : 1,
		    dirty ? dirty : "?");
	else
		ret = 0;
	free(base);
	free(on);
	free(merges);
	free(dirty);
	return ret;
}

/* The files of a directory, sorted; format-patch's numbers make that the order. */
static int patch_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void patch_files(const char *dir, struct strv *names)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			strv_add(names, xstrdup(e->d_name));
	if (d)
		closedir(d);
	if (names->n)
		qsort(names->v, names->n, sizeof(*names->v), patch_order);
}

static bool same_strv(const struct strv *a, const struct strv *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]))
			return false;
	return true;
}

static bool same_file(const char *path, const char *text, size_t len)
{
	char *has;
	size_t has_len;
	bool same;

	if (read_file(path, &has, &has_len))
		return false;
	same = has_len == len && !memcmp(has, text, len);
	free(has);
	return same;
}

/* Puts the new patches, their list, and only then removes what is no longer listed. */
static int replace_series(const struct kernel_spec *s, const char *from)
{
	struct strv new = {}, old = {};
	size_t changed = 0, removed = 0;
	char *list = xasprintf("%s/series", s->series);
	struct buf text = {};
	int ret;

	patch_files(from, &new);
	ret = patchset_read(s->series, &old);
	if (ret == -ENOENT)
		ret = 0;
	for (size_t i = 0; i < new.n && !ret; i++) {
		char *src = xasprintf("%s/%s", from, new.v[i]), *dst = xasprintf("%s/%s", s->series, new.v[i]), *patch;
		size_t len;

		ret = read_file(src, &patch, &len);
		if (!ret && !same_file(dst, patch, len)) {
			ret = write_file_atomic(dst, patch, len);
			changed++;
		}
		if (ret)
			err("%s: %s", dst, strerror(-ret));
		else
			free(patch);
		free(src);
		free(dst);
		buf_printf(&text, "%s\n", new.v[i]);
	}
	if (!ret && (!same_strv(&new, &old) || !file_exists(list))) {
		ret = write_file_atomic(list, text.s ? text.s : "", text.len);
		if (ret)
			err("%s: %s", list, strerror(-ret));
	}
	for (size_t i = 0; i < old.n && !ret; i++) {
		char *path = xasprintf("%s/%s", s->series, old.v[i]);
		bool kept = false;

		for (size_t j = 0; j < new.n; j++)
			kept |= !strcmp(new.v[j], old.v[i]);
		if (!kept && !strchr(old.v[i], '/') && !unlink(path))
			removed++;
		free(path);
	}
	if (!ret)
		note("%s: %zu patches, %zu written, %zu removed", s->series, new.n, changed, removed);
	strv_free(&new);
	strv_free(&old);
	buf_free(&text);
	free(list);
	return ret;
}

/*
 * Writes the commits as patches into the directory to. The objects are read through our own repository, so that no setting of
 * the user's shows; the work tree is there for its .gitattributes, which decide what function a hunk is said to be in.
 */
static int format_patches(const char *dir, const char *to)
{
	char *objects = TREE_LINE(dir, "rev-parse", "--path-format=absolute", "--git-path", "objects");
	char *base = TREE_LINE(dir, "rev-parse", BASE_TAG "^{commit}"), *head = TREE_LINE(dir, "rev-parse", "HEAD");
	char *range = base && head ? xasprintf("%s..%s", base, head) : NULL;
	struct git g = { .dir = source_repo(), .work = dir, .objects = objects };
	struct buf said = {};
	int ret = -EIO;

	if (g.dir && objects && range)
		ret = GIT(&g, NULL, &said, "format-patch", "-q", "--no-signature", "--zero-commit", "-N", "--no-cover-letter",
			  "--no-base", "--no-thread", "--diff-algorithm=histogram", "--abbrev=12", "--stat=72", "-M", "-o", to,
			  range);
	if (ret > 0)
		ret = -EIO;
	if (ret && ret != -EINTR)
		err("%s: git format-patch: %.*s", dir, said.s ? (int)strcspn(said.s, "\n") : 6, said.s ? said.s : "failed");
	buf_free(&said);
	free(objects);
	free(base);
	free(head);
	free(range);
	return ret;
}

int kernel_export(const struct kernel_spec *s, const char *dir)
{
	char *tmp;
	int ret;

	if (!s->series) {
		err("%s: no series to export to: add \"series = DIR\"", s->file);
		return -EINVAL;
	}
	if (s->extra.n) {
		err("%s: has extra patches, which are not of the series: export from the tree of a kernel without them", s->file);
		return -EINVAL;
	}
	if (!file_exists(dir)) {
		err("%s: no such tree: make it with \"shbench kernel tree %s\"", dir, s->name);
		return -ENOENT;
	}
	ret = check_tree(s, dir);
	if (ret)
		return ret;
	tmp = cache_path("work/export-XXXXXX");
	if (!mkdtemp(tmp)) {
		ret = -errno;
		err("%s: %s", tmp, strerror(-ret));
		free(tmp);
		return ret;
	}
	ret = format_patches(dir, tmp);
	if (!ret)
		ret = replace_series(s, tmp);
	remove_tree(tmp);
	free(tmp);
	return ret;
}
