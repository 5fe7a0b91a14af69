// SPDX-License-Identifier: GPL-2.0
/*
 * The initramfs; see initrd_build() in image.h.
 *
 * Two newc archives one after the other; the kernel unpacks both. The first holds busybox, the host's tools and their
 * libraries under the paths that they have on the host (symbolic links on the way included). It is the larger part, the same
 * for many boots, and therefore kept in cache_dir()/initrd, named by its inputs. The second holds the agent, the job and the
 * image.
 *
 * fio as Debian builds it needs 64 libraries, 84 MB; they are all DT_NEEDED, so none can be left out. Only boots that
 * ask for fio carry it.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "util.h"

#define BUSYBOX "/bin/busybox"
#define MAX_LINKS 40

/* busybox's applets that get a name of their own: what a person at the guest's shell, or a tool's script, expects. */
static const char *const applets[] = {
	"[", "ash", "awk", "cat", "chmod", "chown", "chroot", "cmp", "cp", "cut", "date", "dd", "df", "dmesg", "du", "echo",
	"env", "false", "find", "free", "grep", "gunzip", "gzip", "head", "hexdump", "id", "ip", "kill", "less", "ln", "losetup", "ls",
	"lsof", "md5sum", "mkdir", "mknod", "more", "mount", "mv", "od", "pidof", "poweroff", "ps", "pwd", "readlink", "reboot",
	"rm", "rmdir", "sed", "seq", "sh", "sha256sum", "sleep", "sort", "stat", "stty", "sync", "tail", "tar", "tee", "test", "time",
	"timeout", "top", "touch", "tr", "true", "truncate", "umount", "uname", "uniq", "uptime", "vi", "wc", "which", "xargs",
	"xxd",
};

static const char *const dirs[] = { "dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp" };

/* --- what is in it ------------------------------------------------------------------------------------------------------ */

struct item {
	char *path;	/* in the initramfs, without a leading slash */
	char *from;	/* a file: where it is on the host */
	char *link;	/* a symbolic link: its target */
	mode_t mode;
};

struct items {
	struct item *v;	/* sorted by path: parents come first */
	size_t n;
};

static int cmp_item(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->path, ((const struct item *)b)->path);
}

static struct item *item_find(const struct items *l, const char *path)
{
	const struct item key = { .path = (char *)path };

	return l->n ? bsearch(&key, l->v, l->n, sizeof(*l->v), cmp_item) : NULL;
}

/* Adds an item unless its path is there already. */
static void item_add(struct items *l, const char *path, mode_t mode, const char *from, const char *link)
{
	if (item_find(l, path))
		return;
	l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] = (struct item){ xstrdup(path), from ? xstrdup(from) : NULL, link ? xstrdup(link) : NULL, mode };
	qsort(l->v, l->n, sizeof(*l->v), cmp_item);
}

static void items_free(struct items *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].path);
		free(l->v[i].from);
		free(l->v[i].link);
	}
	free(l->v);
}

/*
 * Adds a file or directory of the host with all directories and symbolic links on the way to it. real, if not NULL, receives
 * its path without links. Returns 0 or -errno; prints nothing.
 */
static int add_host(struct items *l, const char *path, char **real)
{
	char *rest = xstrdup(path), *s = rest;
	struct buf at = {};		/* resolved so far, without a leading slash */
	unsigned int links = 0;
	int ret = 0;

	buf_str(&at, "");
	while (!ret && *s) {
		size_t len = strcspn(s, "/"), back = at.len;
		char target[4096], *host, *next;
		struct stat st;
		ssize_t n;

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
		buf_printf(&at, "%s%.*s", at.len ? "/" : "", (int)len, s);
		s += len + (s[len] == '/');
		host = xasprintf("/%s", at.s);
		if (lstat(host, &st)) {
			ret = -errno;
		} else if (S_ISDIR(st.st_mode)) {
			item_add(l, at.s, S_IFDIR | 0755, NULL, NULL);
		} else if (S_ISREG(st.st_mode)) {
			item_add(l, at.s, S_IFREG | (st.st_mode & 0111 ? 0755 : 0644), host, NULL);
		} else if (!S_ISLNK(st.st_mode)) {
			ret = -EINVAL;
		} else if ((n = readlink(host, target, sizeof(target) - 1)) < 0) {
			ret = -errno;
		} else if (++links > MAX_LINKS) {
			ret = -ELOOP;
		} else {
			target[n] = '\0';
			item_add(l, at.s, S_IFLNK | 0777, NULL, target);
			at.len = *target == '/' ? 0 : back;
			at.s[at.len] = '\0';
			next = xasprintf("%s/%s", target, s);
			free(rest);
			s = rest = next;
		}
		free(host);
	}
	free(rest);
	if (real && !ret)
		*real = at.s;
	else
		buf_free(&at);
	return ret;
}

/*
 * Adds the shared libraries and the loader that a program needs, as ldd reports them. A static program or a script needs none.
 */
static int add_libraries(struct items *l, const char *program)
{
	const char *const argv[] = { "ldd", program, NULL };
	static const char *const env[] = { "LC_ALL=C", NULL };
	struct buf out = {};
	struct run_opts ro = { .out = &out, .log = "/dev/null", .env = env };
	char *save = NULL;
	int ret;

	buf_str(&out, "");
	ret = run_cmd(argv, &ro);
	if (ret < 0 || ret > 1) {
		err("%s: cannot find its shared libraries: ldd: %s", program, ret < 0 ? strerror(-ret) : "failed");
		buf_free(&out);
		return ret < 0 ? ret : -EIO;
	}
	ret = 0;
	/* "\tNAME => /PATH (0x...)", "\t/LOADER (0x...)", "\tNAME => not found", "\tlinux-vdso.so.1 (0x...)" */
	for (char *p = strtok_r(out.s, "\n", &save); p && !ret; p = strtok_r(NULL, "\n", &save)) {
		char *path = strchr(p, '/'), *end;

		if (strstr(p, "=> not found")) {
			err("%s: its library %s is not installed: reinstall the package that it comes from", program,
			    strtok(p, " \t"));
			ret = -ENOENT;
			break;
		}
		if (!path || !(end = strstr(path, " (0x")))
			continue;
		*end = '\0';
		ret = add_host(l, path, NULL);
		if (ret)
			err("%s: its library %s: %s", program, path, strerror(-ret));
	}
	buf_free(&out);
	return ret;
}

/* Path of a program, in PATH or where administrators' programs are, or NULL. */
static char *find_program(const char *name)
{
	const char *path = getenv("PATH");
	char *all = xasprintf("%s:/usr/sbin:/sbin:/usr/bin:/bin", path ? path : ""), *save = NULL, *found = NULL;

	if (*name == '/')
		found = access(name, X_OK) ? NULL : xstrdup(name);
	else
		for (char *d = strtok_r(all, ":", &save); d && !found; d = strtok_r(NULL, ":", &save)) {
			found = xasprintf("%s/%s", d, name);
			if (*d != '/' || access(found, X_OK)) {
				free(found);
				found = NULL;
			}
		}
	free(all);
	return found;
}

static int add_program(struct items *l, const char *name)
{
	char *path = find_program(name), *real = NULL;
	int ret;

	if (!path) {
		err("%s is needed in the guest and not installed here: `make deps`", name);
		return -ENOENT;
	}
	ret = add_host(l, path, &real);
	if (ret)
		err("%s: %s", path, strerror(-ret));
	else
		ret = add_libraries(l, path);
	free(real);
	free(path);
	return ret;
}

static int list_common(struct items *l, const char *tools)
{
	char *words = xstrdup(tools ? tools : ""), *save = NULL, *bin = NULL;
	int ret = add_program(l, BUSYBOX);

	for (char *p = strtok_r(words, " ", &save); p && !ret; p = strtok_r(NULL, " ", &save))
		ret = add_program(l, p);
	free(words);
	if (!ret)
		ret = add_host(l, "/bin", &bin);
	if (ret)
		return ret;
	for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
		char *path = xasprintf("%s/%s", bin, applets[i]);

		item_add(l, path, S_IFLNK | 0777, NULL, BUSYBOX);
		free(path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		item_add(l, dirs[i], S_IFDIR | (strcmp(dirs[i], "tmp") ? 0755 : 01777), NULL, NULL);
	free(bin);
	return 0;
}

/* --- writing ------------------------------------------------------------------------------------------------------------ */

static int write_error(const char *path, struct archive *a)
{
	int e = a ? archive_errno(a) : errno;

	err("%s: cannot write: %s%s", path, e > 0 ? strerror(e) : archive_error_string(a), e == ENOSPC ? ": free some space" : "");
	return e > 0 ? -e : -EIO;
}

static int put_file(struct archive *a, const char *path, const struct item *it, int fd, uint64_t left)
{
	static char chunk[1 << 18];

	while (left) {
		ssize_t n = read(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk));

		if (interrupted())
			return -EINTR;
		if (n <= 0) {
			err("%s: cannot read: %s", it->from, n ? strerror(errno) : "became shorter meanwhile");
			return -EIO;
		}
		if (archive_write_data(a, chunk, n) != n)
			return write_error(path, a);
		left -= n;
	}
	return 0;
}

/* One entry; text, if not NULL, is a file's content. ino only has to differ between entries. */
static int put_item(struct archive *a, const char *path, const struct item *it, const char *text, unsigned int ino)
{
	struct archive_entry *x = archive_entry_new();
	struct stat st = {};
	int fd = -1, ret = 0;

	if (it->from) {
		fd = open(it->from, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st)) {
			ret = -errno;
			err("%s: cannot read: %s", it->from, strerror(errno));
			goto out;
		}
	}
	archive_entry_set_pathname(x, it->path);
	archive_entry_set_mode(x, it->mode);
	archive_entry_set_ino(x, ino);
	archive_entry_set_nlink(x, 1);
	archive_entry_set_mtime(x, 0, 0);
	archive_entry_set_size(x, text ? strlen(text) : (size_t)st.st_size);
	if (it->link)
		archive_entry_set_symlink(x, it->link);
	if (archive_write_header(a, x) < ARCHIVE_WARN)
		ret = write_error(path, a);
	else if (fd >= 0)
		ret = put_file(a, path, it, fd, st.st_size);
	else if (text && *text && archive_write_data(a, text, strlen(text)) != (ssize_t)strlen(text))
		ret = write_error(path, a);
out:
	if (fd >= 0)
		close(fd);
	archive_entry_free(x);
	return ret;
}

/*
 * Writes one whole archive to fd and closes that. Its length is a multiple of 512, so that another may follow. text[i], a file's
 * content, may be NULL.
 */
static int put_archive(int fd, const char *path, const struct item *items, const char *const *text, size_t n)
{
	struct archive *a = archive_write_new();
	int ret = 0;

	archive_write_set_format_cpio_newc(a);
	archive_write_add_filter_none(a);
	archive_write_set_bytes_per_block(a, 1 << 20);
	archive_write_set_bytes_in_last_block(a, 512);
	if (archive_write_open_fd(a, fd) != ARCHIVE_OK)
		ret = write_error(path, a);
	for (size_t i = 0; i < n && !ret; i++)
		ret = put_item(a, path, &items[i], text ? text[i] : NULL, i + 1);
	if (!ret && archive_write_close(a) != ARCHIVE_OK)
		ret = write_error(path, a);
	/* Freeing an archive in the middle of an entry would fill it up with zeros: there is nothing to write to any more. */
	if (close(fd) && !ret)
		ret = write_error(path, NULL);
	archive_write_free(a);
	return ret;
}

static int make_common(const char *path, const struct items *l)
{
	char *tmp = xasprintf("%s.tmp-XXXXXX", path);
	int fd = mkostemp(tmp, O_CLOEXEC), ret;

	if (fd < 0) {
		ret = write_error(path, NULL);
		free(tmp);
		return ret;
	}
	fchmod(fd, 0644);
	ret = put_archive(fd, path, l->v, NULL, l->n);
	if (!ret && rename(tmp, path))
		ret = write_error(path, NULL);
	if (ret)
		unlink(tmp);
	free(tmp);
	return ret;
}

/* The name of the common part: everything that its bytes depend on. */
static void common_key(const struct items *l, char key[65])
{
	struct buf b = {};

	for (size_t i = 0; i < l->n; i++) {
		const struct item *it = &l->v[i];
		struct stat st = {};

		if (it->from)
			stat(it->from, &st);
		buf_printf(&b, "%s|%o|%s|%llu|%llu|%lld.%09ld\n", it->path, it->mode, it->link ? it->link : "",
			   (unsigned long long)st.st_size, (unsigned long long)st.st_ino, (long long)st.st_ctim.tv_sec,
			   st.st_ctim.tv_nsec);
	}
	sha256_hex(b.s, b.len, key);
	buf_free(&b);
}

/* Path of the common part, made if need be; NULL with *ret set. */
static char *get_common(const char *tools, int *ret)
{
	char *dir = xasprintf("%s/initrd", cache_dir()), *path = NULL, key[65];
	struct items l = {};

	*ret = mkdir_p(dir);
	if (*ret)
		err("%s: cannot make the directory: %s", dir, strerror(-*ret));
	else
		*ret = list_common(&l, tools);
	if (!*ret) {
		common_key(&l, key);
		path = xasprintf("%s/%.16s.cpio", dir, key);
		if (!file_exists(path))
			*ret = make_common(path, &l);
	}
	if (*ret) {
		free(path);
		path = NULL;
	}
	items_free(&l);
	free(dir);
	return path;
}

int initrd_build(const char *path, const char *agent, const char *job, const char *tools, const char *image)
{
	const struct item own[] = {
		{ .path = (char *)"init", .from = (char *)agent, .mode = S_IFREG | 0755 },
		{ .path = (char *)"job", .mode = S_IFREG | 0644 },
		{ .path = (char *)"image.tar", .from = (char *)image, .mode = S_IFREG | 0644 },
	};
	const char *const text[] = { NULL, job, NULL };
	int ret, fd;
	char *common = get_common(tools, &ret);

	if (!common)
		return ret;
	ret = copy_file(common, path);
	if (ret) {
		err("%s: cannot copy to %s: %s%s", common, path, strerror(-ret), ret == -ENOSPC ? ": free some space" : "");
		free(common);
		return ret;
	}
	free(common);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	ret = fd < 0 ? write_error(path, NULL) : put_archive(fd, path, own, text, image ? 3 : 2);
	if (ret)
		unlink(path);
	return ret;
}
