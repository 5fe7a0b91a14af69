// SPDX-License-Identifier: GPL-2.0
/*
 * Canonical tars; see image-tar.h.
 *
 * A source is read twice. The first pass makes an index of all entries; after it everything can be judged that needs to know
 * all (which of several entries with one name is the last, what a hard link points to, what lies below a link). The second
 * pass copies. So memory grows with the number of entries (about 200 bytes each), not with their contents.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image-tar.h"
#include "util.h"

#define MAX_LINKS 40	/* like the kernel's ELOOP limit */

struct ent {
	char *path, *link;	/* link: target of a symbolic link, or of a hard link if mode is S_IFREG */
	mode_t mode;
	int64_t uid, gid, mtime;
	uint64_t size;
	size_t order;		/* place in the source */
	bool written, wanted;
};

struct index {
	struct ent *v;		/* sorted by path after index_finish() */
	size_t n, cap;
	struct tar_info info;
};

static struct ent *index_add(struct index *ix)
{
	if (ix->n == ix->cap) {
		ix->cap = ix->cap ? ix->cap * 2 : 1024;
		ix->v = xrealloc(ix->v, ix->cap * sizeof(*ix->v));
	}
	memset(&ix->v[ix->n], 0, sizeof(*ix->v));
	return &ix->v[ix->n++];
}

static void index_free(struct index *ix)
{
	for (size_t i = 0; i < ix->n; i++) {
		free(ix->v[i].path);
		free(ix->v[i].link);
	}
	free(ix->v);
}

static int cmp_ent(const void *a, const void *b)
{
	const struct ent *x = a, *y = b;
	int c = strcmp(x->path, y->path);

	return c ? c : (x->order > y->order) - (x->order < y->order);
}

static struct ent *find(const struct index *ix, const char *path, size_t len)
{
	size_t lo = 0, hi = ix->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strncmp(ix->v[mid].path, path, len);

		if (!c && !ix->v[mid].path[len])
			return &ix->v[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/*
 * Brings a path into canonical form. Returns "" for the root itself, NULL if it is absolute or has "..", with *why set.
 */
static char *normal_path(const char *s, const char **why)
{
	struct buf b = {};

	if (*s == '/') {
		*why = "has an absolute path";
		return NULL;
	}
	buf_str(&b, "");
	while (*s) {
		size_t len = strcspn(s, "/");

		if (len == 2 && !strncmp(s, "..", 2)) {
			*why = "has '..' in its path";
			buf_free(&b);
			return NULL;
		}
		if (len && !(len == 1 && *s == '.')) {
			if (b.len)
				buf_str(&b, "/");
			buf_add(&b, s, len);
		}
		s += len + (s[len] == '/');
	}
	return b.s;
}

/*
 * Follows path (absolute, or relative to the root) through symbolic links inside the index. Marks what it passes as wanted if
 * mark is set. Returns the entry or NULL.
 */
static struct ent *resolve(struct index *ix, const char *path, bool mark)
{
	char *rest = xstrdup(path);
	struct buf at = {};		/* canonical path so far */
	struct ent *e = NULL;
	unsigned int links = 0;
	char *s;

	buf_str(&at, "");
	for (s = rest; *s;) {
		size_t len = strcspn(s, "/"), back = at.len;
		char *next;

		if (!len || (len == 1 && *s == '.')) {
			s += len + (s[len] == '/');
			continue;
		}
		if (len == 2 && !strncmp(s, "..", 2)) {
			char *slash = strrchr(at.s, '/');

			at.len = slash ? (size_t)(slash - at.s) : 0;
			at.s[at.len] = '\0';
			s += len + (s[len] == '/');
			continue;
		}
		if (at.len)
			buf_str(&at, "/");
		buf_add(&at, s, len);
		s += len + (s[len] == '/');
		e = find(ix, at.s, at.len);
		if (!e)
			break;
		if (mark)
			e->wanted = true;
		if (!S_ISLNK(e->mode))
			continue;
		if (++links > MAX_LINKS) {
			e = NULL;
			break;
		}
		at.len = *e->link == '/' ? 0 : back;
		at.s[at.len] = '\0';
		next = xasprintf("%s/%s", e->link, s);
		free(rest);
		s = rest = next;
	}
	/* A path that ended in ".." names a directory that is in `at`, not the last entry looked at. */
	if (e && strcmp(e->path, at.s))
		e = find(ix, at.s, at.len);
	free(rest);
	buf_free(&at);
	return e;
}

static void count(struct tar_info *info, const struct ent *e)
{
	info->entries++;
	if (S_ISREG(e->mode) && !e->link) {
		info->files++;
		info->bytes += e->size;
	}
}

static bool has_program(struct index *ix, const char *name)
{
	static const char *const dirs[] = { "usr/local/bin", "usr/local/sbin", "usr/bin", "usr/sbin", "bin", "sbin" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		char *path = xasprintf("%s/%s", dirs[i], name);
		const struct ent *e = resolve(ix, path, false);

		free(path);
		if (e && S_ISREG(e->mode))
			return true;
	}
	return false;
}

/* What makes sense only for the whole: the tar of a registry's image holds layers, not a root. */
static bool is_layered(const struct index *ix)
{
	const struct ent *e;

	if (find(ix, "oci-layout", strlen("oci-layout")))
		return true;
	if (!find(ix, "manifest.json", strlen("manifest.json")))
		return false;
	for (size_t i = 0; i < ix->n; i++) {
		const char *slash;

		e = &ix->v[i];
		slash = strrchr(e->path, '/');
		if (!strncmp(e->path, "blobs/sha256", strlen("blobs/sha256")) || (slash && !strcmp(slash, "/layer.tar")))
			return true;
	}
	return false;
}

/* The last entry of each name counts, as for every program that unpacks. */
static void drop_older(struct index *ix)
{
	size_t n = 0;

	if (ix->n)
		qsort(ix->v, ix->n, sizeof(*ix->v), cmp_ent);
	for (size_t i = 0; i < ix->n; i++) {
		if (i + 1 < ix->n && !strcmp(ix->v[i].path, ix->v[i + 1].path)) {
			free(ix->v[i].path);
			free(ix->v[i].link);
			continue;
		}
		ix->v[n++] = ix->v[i];
	}
	ix->n = n;
}

/* The nearest ancestor that is in the index. */
static const struct ent *ancestor(const struct index *ix, const char *path)
{
	size_t len = strlen(path);

	while (len) {
		const struct ent *e;

		while (len && path[--len] != '/')
			;
		e = len ? find(ix, path, len) : NULL;
		if (e)
			return e;
	}
	return NULL;
}

/* Directories that the source does not mention, but has something in. They belong to root. */
static void add_parents(struct index *ix)
{
	struct index made = {};

	for (size_t i = 0; i < ix->n; i++)
		for (const char *path = ix->v[i].path, *s = strchr(path, '/'); s; s = strchr(s + 1, '/')) {
			struct ent *e;

			if (find(ix, path, s - path))
				continue;
			e = index_add(&made);
			e->path = xstrndup(path, s - path);
			e->mode = S_IFDIR | 0755;
			e->order = SIZE_MAX;
		}
	if (!made.n)
		return;
	for (size_t i = 0; i < made.n; i++)
		*index_add(ix) = made.v[i];
	free(made.v);
	drop_older(ix);
}

/* The entry that holds a hard link's content, or NULL if that is not an earlier file. */
static struct ent *hard_target(const struct index *ix, const struct ent *e)
{
	while (S_ISREG(e->mode) && e->link) {
		struct ent *t = find(ix, e->link, strlen(e->link));

		if (!t || t->order >= e->order || !(S_ISREG(t->mode) || S_ISLNK(t->mode)))
			return NULL;
		e = t;
	}
	return (struct ent *)e;
}

/* Sorts, checks what needs to know all entries, and counts. */
static int index_finish(struct index *ix, const char *src)
{
	drop_older(ix);
	if (is_layered(ix)) {
		err("%s: is a saved container image (layers), not a root file system: make one with "
		    "`podman create --name x IMAGE && podman export x >root.tar`", src);
		return -EINVAL;
	}
	for (size_t i = 0; i < ix->n; i++) {
		struct ent *e = &ix->v[i], *target;
		const struct ent *up = ancestor(ix, e->path);

		if (up && !S_ISDIR(up->mode)) {
			err("%s: entry '%s' lies below '%s', which is no directory: pack the tree again with "
			    "`tar -C ROOT -cf root.tar .`", src, e->path, up->path);
			return -EINVAL;
		}
		if (!S_ISREG(e->mode) || !e->link)
			continue;
		target = hard_target(ix, e);
		if (!target) {
			err("%s: entry '%s' is a hard link to '%s', which is no earlier file in it: pack the whole tree, not a part "
			    "of it", src, e->path, e->link);
			return -EINVAL;
		}
		/* A second name of a symbolic link becomes one itself. */
		e->mode = target->mode;
		free(e->link);
		e->link = xstrdup(S_ISLNK(target->mode) ? target->link : target->path);
	}
	add_parents(ix);
	for (size_t i = 0; i < ix->n; i++)
		count(&ix->info, &ix->v[i]);
	if (!ix->info.files) {
		err("%s: there is no file in it", src);
		return -EINVAL;
	}
	ix->info.programs = has_program(ix, "python3") && has_program(ix, "redis-server") && has_program(ix, "nginx");
	return 0;
}

/* --- writing ---------------------------------------------------------------------------------------------------------- */

struct writer {
	struct archive *a;
	struct archive_entry *entry;
	const char *dst;
	char *tmp;
	int fd;
};

static int write_error(const struct writer *w, int e, const char *text)
{
	err("%s: cannot write: %s%s", w->dst, text, e == ENOSPC ? ": free some space or let SHCACHE_CACHE name a directory elsewhere" : "");
	return e > 0 ? -e : -EIO;
}

static int writer_error(const struct writer *w)
{
	int e = archive_errno(w->a);

	return write_error(w, e, e > 0 ? strerror(e) : archive_error_string(w->a));
}

static int file_error(const struct writer *w)
{
	return write_error(w, errno, strerror(errno));
}

static int writer_open(struct writer *w, const char *dst)
{
	memset(w, 0, sizeof(*w));
	w->dst = dst;
	w->tmp = xasprintf("%s.tmp-XXXXXX", dst);
	w->fd = mkostemp(w->tmp, O_CLOEXEC);
	if (w->fd < 0)
		return file_error(w);
	fchmod(w->fd, 0644);
	w->entry = archive_entry_new();
	w->a = archive_write_new();
	archive_write_set_format_gnutar(w->a);
	archive_write_add_filter_none(w->a);
	archive_write_set_bytes_per_block(w->a, 1 << 20);
	archive_write_set_bytes_in_last_block(w->a, 512);
	if (archive_write_open_fd(w->a, w->fd) != ARCHIVE_OK)
		return writer_error(w);
	return 0;
}

static int put_header(struct writer *w, const struct ent *e)
{
	struct archive_entry *x = archive_entry_clear(w->entry);

	archive_entry_set_pathname(x, e->path);
	archive_entry_set_mode(x, e->mode);
	archive_entry_set_uid(x, e->uid);
	archive_entry_set_gid(x, e->gid);
	archive_entry_set_mtime(x, e->mtime, 0);
	archive_entry_set_size(x, S_ISREG(e->mode) && !e->link ? e->size : 0);
	if (S_ISLNK(e->mode))
		archive_entry_set_symlink(x, e->link);
	else if (e->link)
		archive_entry_set_hardlink(x, e->link);
	return archive_write_header(w->a, x) < ARCHIVE_WARN ? writer_error(w) : 0;
}

/* Writes the directories above path that were not written yet. */
static int put_parents(struct writer *w, const struct index *ix, const char *path)
{
	for (const char *s = strchr(path, '/'); s; s = strchr(s + 1, '/')) {
		struct ent *e = find(ix, path, s - path);
		int ret;

		if (e->written)
			continue;
		e->written = true;
		ret = put_header(w, e);
		if (ret)
			return ret;
	}
	return 0;
}

/* Ends the archive and puts it in place, or removes it if ret is an error. */
static int writer_close(struct writer *w, int ret)
{
	if (!ret && archive_write_close(w->a) != ARCHIVE_OK)
		ret = writer_error(w);
	if (w->fd >= 0) {
		if (!ret && fsync(w->fd))
			ret = file_error(w);
		/* Before the archive is freed, which would fill up an unfinished entry with zeros. */
		if (close(w->fd) && !ret)
			ret = file_error(w);
		if (!ret && rename(w->tmp, w->dst))
			ret = file_error(w);
		if (ret)
			unlink(w->tmp);
	}
	if (w->a)
		archive_write_free(w->a);
	archive_entry_free(w->entry);
	free(w->tmp);
	return ret;
}

/* --- from a tar ------------------------------------------------------------------------------------------------------- */

static struct archive *reader_open(const char *src, int *ret)
{
	struct archive *a = archive_read_new();

	archive_read_support_format_tar(a);
	/* Those that libarchive does itself; it would run programs for others. */
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_compress(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_lzma(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_filter_zstd(a);
	if (archive_read_open_filename(a, src, 1 << 20) == ARCHIVE_OK)
		return a;
	*ret = archive_errno(a) > 0 && archive_errno(a) != EILSEQ ? -archive_errno(a) : -EINVAL;
	err("%s: cannot read it as a tar archive: %s", src, archive_error_string(a));
	archive_read_free(a);
	return NULL;
}

/* 1: an entry, 0: the end, -errno. Warnings (about names in other character sets) do not matter here. */
static int reader_next(struct archive *a, const char *src, struct archive_entry **x)
{
	int r;

	if (interrupted())
		return -EINTR;
	r = archive_read_next_header(a, x);
	if (r == ARCHIVE_EOF)
		return 0;
	if (r >= ARCHIVE_WARN)
		return 1;
	err("%s: not a tar archive, or damaged: %s", src, archive_error_string(a));
	return -EINVAL;
}

static int refuse(const char *src, const char *entry, const char *what, const char *todo)
{
	err("%s: entry '%s' %s: %s", src, entry, what, todo);
	return -EINVAL;
}

/* Adds one entry of a tar to the index. Returns 0 or -EINVAL. */
static int index_entry(struct index *ix, const char *src, struct archive_entry *x, size_t order, unsigned int flags)
{
	static const char repack[] = "pack the tree again with `tar -C ROOT -cf root.tar .`";
	const char *raw = archive_entry_pathname(x), *hard = archive_entry_hardlink(x), *why;
	mode_t mode = archive_entry_mode(x);
	struct ent *e;
	char *path;

	if (!raw)
		return refuse(src, "?", "has a name that cannot be read", repack);
	path = normal_path(raw, &why);
	if (!path)
		return refuse(src, raw, why, repack);
	if (!hard && (S_ISFIFO(mode) || S_ISSOCK(mode))) {
		ix->info.dropped++;
		free(path);
		return 0;
	}
	if (!hard && (S_ISBLK(mode) || S_ISCHR(mode)) && !(flags & TAR_DROP_DEVICES)) {
		free(path);
		return refuse(src, raw, "is a device node",
			      "leave them out (`tar --exclude='./dev/*'`); the guest has its own /dev");
	}
	if (!*path || (!hard && !S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode))) {
		free(path);	/* the root itself, or a device node that is to be dropped */
		return 0;
	}
	e = index_add(ix);
	e->path = path;
	e->order = order;
	e->mode = hard ? S_IFREG | (mode & 07777) : mode;
	e->uid = archive_entry_uid(x);
	e->gid = archive_entry_gid(x);
	e->mtime = archive_entry_mtime(x);
	e->size = S_ISREG(mode) && !hard ? archive_entry_size(x) : 0;
	if (hard) {
		e->link = normal_path(hard, &why);
		if (!e->link) {
			err("%s: entry '%s' is a hard link to '%s', which leaves the archive: %s", src, raw, hard, repack);
			return -EINVAL;
		}
	} else if (S_ISLNK(mode)) {
		e->link = xstrdup(archive_entry_symlink(x) ? archive_entry_symlink(x) : "");
	}
	if (archive_entry_xattr_count(x) || archive_entry_acl_types(x))
		ix->info.dropped_attrs++;
	return 0;
}

static int index_tar(struct index *ix, const char *src, unsigned int flags)
{
	struct archive_entry *x;
	size_t order = 0;
	int ret;
	struct archive *a = reader_open(src, &ret);

	if (!a)
		return ret;
	while ((ret = reader_next(a, src, &x)) > 0) {
		ret = index_entry(ix, src, x, order++, flags);
		if (ret)
			break;
	}
	archive_read_free(a);
	return ret ? ret : index_finish(ix, src);
}

static int copy_data(struct writer *w, struct archive *a, const char *src, const struct ent *e)
{
	static char chunk[1 << 18];
	uint64_t left = e->size;

	while (left) {
		ssize_t n = archive_read_data(a, chunk, left < sizeof(chunk) ? left : sizeof(chunk));

		if (interrupted())
			return -EINTR;
		if (n <= 0) {
			err("%s: entry '%s': %s", src, e->path, n ? archive_error_string(a) : "is shorter than it says");
			return -EINVAL;
		}
		if (archive_write_data(w->a, chunk, n) != n)
			return writer_error(w);
		left -= n;
	}
	return 0;
}

/* Copies what the index has (and wants, if only wanted entries are asked for) in the source's order. */
static int copy_tar(struct index *ix, const char *src, const char *dst, bool only_wanted)
{
	struct archive_entry *x;
	struct writer w;
	size_t order = 0;
	int ret = writer_open(&w, dst);
	struct archive *a;

	if (ret)
		return writer_close(&w, ret);
	a = reader_open(src, &ret);
	if (!a)
		return writer_close(&w, ret);
	while ((ret = reader_next(a, src, &x)) > 0) {
		const char *raw = archive_entry_pathname(x), *why;
		char *path = raw ? normal_path(raw, &why) : NULL;
		struct ent *e = path ? find(ix, path, strlen(path)) : NULL;

		order++;
		free(path);
		if (!e || e->order != order - 1 || e->written || (only_wanted && !e->wanted))
			continue;
		ret = put_parents(&w, ix, e->path);
		if (ret)
			break;
		e->written = true;
		ret = put_header(&w, e);
		if (!ret && e->size)
			ret = copy_data(&w, a, src, e);
		if (ret)
			break;
	}
	archive_read_free(a);
	return writer_close(&w, ret);
}

int tar_from_tar(const char *src, const char *dst, unsigned int flags, struct tar_info *info)
{
	struct index ix = {};
	int ret = index_tar(&ix, src, flags);

	if (!ret)
		ret = copy_tar(&ix, src, dst, false);
	*info = ix.info;
	index_free(&ix);
	return ret;
}

int tar_inspect(const char *canonical, struct tar_info *info)
{
	struct index ix = {};
	int ret = index_tar(&ix, canonical, 0);

	*info = ix.info;
	index_free(&ix);
	return ret;
}

/* --- slimming ----------------------------------------------------------------------------------------------------------- */

/* Programs make files below these; they are kept although nothing in them was opened. */
static const char *const state_dirs[] = { "run", "tmp", "var/lib/nginx", "var/lib/redis", "var/log", "var/tmp", "var/cache/nginx" };

static bool is_state_dir(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(state_dirs); i++) {
		size_t len = strlen(state_dirs[i]);

		if (!strncmp(path, state_dirs[i], len) && (!path[len] || path[len] == '/'))
			return true;
	}
	return false;
}

int tar_slim(const char *src, const char *dst, const char *const *paths, size_t nr, struct tar_info *info)
{
	struct index ix = {};
	size_t found = 0;
	int ret = index_tar(&ix, src, 0);

	if (ret)
		goto out;
	for (size_t i = 0; i < nr; i++) {
		struct ent *e = resolve(&ix, paths[i], true);

		if (!e || !S_ISREG(e->mode))
			continue;
		found++;
		/* The content of a hard link stands under its first name. */
		if (e->link)
			resolve(&ix, e->link, true);
	}
	if (!found) {
		err("%s: none of the %zu files that were opened is in it", src, nr);
		ret = -ENOENT;
		goto out;
	}
	for (size_t i = 0; i < ix.n; i++) {
		struct ent *e = &ix.v[i];

		if ((S_ISDIR(e->mode) && is_state_dir(e->path)) || (!S_ISREG(e->mode) && !strchr(e->path, '/')))
			e->wanted = true;
	}
	memset(&ix.info, 0, sizeof(ix.info));
	for (size_t i = 0; i < ix.n; i++)
		if (ix.v[i].wanted)
			count(&ix.info, &ix.v[i]);
	ix.info.programs = has_program(&ix, "python3") && has_program(&ix, "redis-server") && has_program(&ix, "nginx");
	ret = copy_tar(&ix, src, dst, true);
out:
	*info = ix.info;
	index_free(&ix);
	return ret;
}

/* --- from a directory --------------------------------------------------------------------------------------------------- */

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int unreadable(const char *path, int e)
{
	err("%s: cannot read: %s%s", path, strerror(e),
	    e == EACCES || e == EPERM ? ": run as a user who may, or pack it with `fakeroot tar` or `podman export`" : "");
	return -e;
}

/* One name of a file that has several. */
struct seen {
	dev_t dev;
	ino_t ino;
	char *path;
};

static int cmp_seen(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return strcmp(x->path, y->path);
}

/* Of all names of a file the first one keeps the content. */
static void find_hard_links(struct index *ix, struct seen *seen, size_t nr)
{
	if (nr)
		qsort(seen, nr, sizeof(*seen), cmp_seen);
	for (size_t i = 1, first = 0; i < nr; i++) {
		struct ent *e;

		if (seen[i].dev != seen[first].dev || seen[i].ino != seen[first].ino) {
			first = i;
			continue;
		}
		e = find(ix, seen[i].path, strlen(seen[i].path));
		ix->info.files--;
		ix->info.bytes -= e->size;
		e->size = 0;
		e->link = xstrdup(seen[first].path);
	}
}

static int index_dir(struct index *ix, const char *src)
{
	char *const roots[] = { (char *)src, NULL };
	struct seen *many = NULL;
	size_t nr_many = 0, skip = strlen(src), order = 0;
	FTSENT *f;
	FTS *fts;
	int ret = 0;

	fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
	if (!fts)
		return unreadable(src, errno);
	while (!ret && (errno = 0, f = fts_read(fts))) {
		const struct stat *st = f->fts_statp;
		struct ent *e;

		if (interrupted()) {
			ret = -EINTR;
			break;
		}
		if (f->fts_info == FTS_DP || (f->fts_level == 0 && f->fts_info == FTS_D))
			continue;
		if (f->fts_info == FTS_DNR || f->fts_info == FTS_ERR || f->fts_info == FTS_NS) {
			ret = unreadable(f->fts_path, f->fts_errno);
			break;
		}
		if (S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode)) {
			ix->info.dropped++;
			continue;
		}
		if (S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode)) {
			err("%s: is a device node: remove it, the guest has its own /dev", f->fts_path);
			ret = -EINVAL;
			break;
		}
		if (S_ISREG(st->st_mode) && access(f->fts_path, R_OK)) {
			ret = unreadable(f->fts_path, errno);
			break;
		}
		e = index_add(ix);
		e->path = xstrdup(f->fts_path + skip + strspn(f->fts_path + skip, "/"));
		e->mode = st->st_mode;
		e->uid = st->st_uid;
		e->gid = st->st_gid;
		e->mtime = st->st_mtim.tv_sec;
		e->size = S_ISREG(st->st_mode) ? st->st_size : 0;
		e->order = order++;
		if (S_ISLNK(st->st_mode)) {
			char target[4096];
			ssize_t n = readlink(f->fts_path, target, sizeof(target) - 1);

			if (n < 0)
				ret = unreadable(f->fts_path, errno);
			else
				e->link = xstrndup(target, n);
		} else if (S_ISREG(st->st_mode) && st->st_nlink > 1) {
			many = xrealloc(many, (nr_many + 1) * sizeof(*many));
			many[nr_many++] = (struct seen){ st->st_dev, st->st_ino, xstrdup(e->path) };
		}
	}
	if (!ret && errno)
		ret = unreadable(src, errno);
	fts_close(fts);
	if (!ret)
		ret = index_finish(ix, src);
	if (!ret)
		find_hard_links(ix, many, nr_many);
	for (size_t i = 0; i < nr_many; i++)
		free(many[i].path);
	free(many);
	return ret;
}

static int put_file(struct writer *w, const char *src, const struct ent *e)
{
	static char chunk[1 << 18];
	char *path = xasprintf("%s/%s", src, e->path);
	uint64_t left = e->size;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), ret = 0;

	if (fd < 0)
		ret = unreadable(path, errno);
	while (!ret && left) {
		ssize_t n = read(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk));

		if (interrupted()) {
			ret = -EINTR;
		} else if (n < 0) {
			ret = unreadable(path, errno);
		} else if (!n) {
			err("%s: became shorter while it was read: nothing may change the tree meanwhile", path);
			ret = -EIO;
		} else if (archive_write_data(w->a, chunk, n) != n) {
			ret = writer_error(w);
		}
		left -= n > 0 ? n : 0;
	}
	if (fd >= 0)
		close(fd);
	free(path);
	return ret;
}

int tar_from_dir(const char *src, const char *dst, struct tar_info *info)
{
	struct index ix = {};
	struct writer w;
	int ret = index_dir(&ix, src);

	if (!ret) {
		ret = writer_open(&w, dst);
		/* Sorted by path: a directory's name is a prefix of what is in it, so it comes first. */
		for (size_t i = 0; !ret && i < ix.n; i++) {
			ret = put_header(&w, &ix.v[i]);
			if (!ret && ix.v[i].size)
				ret = put_file(&w, src, &ix.v[i]);
		}
		ret = writer_close(&w, ret);
	}
	*info = ix.info;
	index_free(&ix);
	return ret;
}
