// SPDX-License-Identifier: GPL-2.0
/*
 * image.c and image-tar.c: what is refused, what the canonical tar looks like, slimming, the cache. The Debian image is
 * made with stand-ins for apt and mmdebstrap.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image-tar.h"
#include "image.h"
#include "util.h"

static char top[] = "/tmp/shcache-image-XXXXXX";
static char *said;		/* what the last CALL() wrote to stderr */

static char *in(const char *name)
{
	static char *slots[16];
	static unsigned int next;
	char **s = &slots[next++ % ARRAY_SIZE(slots)];

	free(*s);
	return *s = xasprintf("%s/%s", top, name);
}

static int saved_stderr;

static void capture_begin(void)
{
	int fd = open(in("said"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	fflush(NULL);
	saved_stderr = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static int capture_end(int ret)
{
	fflush(NULL);
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	free(said);
	if (read_file(in("said"), &said, NULL))
		said = xstrdup("");
	return ret;
}

#define CALL(x) (capture_begin(), capture_end(x))

static void assert_said(const char *what)
{
	if (!strstr(said, what))
		fail_msg("'%s' is not in: %s", what, said);
}

/* --- making and reading tars -------------------------------------------------------------------------------------------- */

struct want {
	const char *path;
	char type;		/* f, d, l, h (hard link), c, b, p */
	const char *text;	/* content or target */
	unsigned int perm;
};

static const mode_t types[128] = { ['f'] = S_IFREG, ['d'] = S_IFDIR, ['l'] = S_IFLNK, ['h'] = S_IFREG, ['c'] = S_IFCHR, ['b'] = S_IFBLK,
				   ['p'] = S_IFIFO };

static void make_tar_as(const char *path, const struct want *w, size_t n, int (*filter)(struct archive *))
{
	struct archive *a = archive_write_new();

	archive_write_set_format_pax(a);
	filter(a);
	assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
	for (size_t i = 0; i < n; i++) {
		struct archive_entry *e = archive_entry_new();

		archive_entry_set_pathname(e, w[i].path);
		archive_entry_set_mode(e, types[(int)w[i].type] | (w[i].perm ? w[i].perm : w[i].type == 'd' ? 0755 : 0644));
		archive_entry_set_mtime(e, 1000000 + i, 500);
		archive_entry_set_uid(e, 33);
		archive_entry_set_uname(e, "www-data");
		if (w[i].type == 'f')
			archive_entry_set_size(e, strlen(w[i].text));
		if (w[i].type == 'l')
			archive_entry_set_symlink(e, w[i].text);
		if (w[i].type == 'h')
			archive_entry_set_hardlink(e, w[i].text);
		if (w[i].type == 'c' || w[i].type == 'b')
			archive_entry_set_rdevmajor(e, 1);
		if (strstr(w[i].path, "xattr"))
			archive_entry_xattr_add_entry(e, "user.a", "b", 1);
		assert_true(archive_write_header(a, e) >= ARCHIVE_WARN);
		if (w[i].type == 'f')
			assert_int_equal(archive_write_data(a, w[i].text, strlen(w[i].text)), strlen(w[i].text));
		archive_entry_free(e);
	}
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
}

#define make_tar(path, ...) make_tar_as(path, (const struct want[]){ __VA_ARGS__ },						\
	sizeof((const struct want[]){ __VA_ARGS__ }) / sizeof(struct want), archive_write_add_filter_none)

/*
 * A reader of its own, as small as the guest's: ustar headers, 'L' and 'K'. Returns lines "TYPE PERM PATH[ -> TARGET][ = TEXT]".
 */
static char *list_tar(const char *path)
{
	struct buf b = {};
	char *data, *p, *longname = NULL, *longlink = NULL;
	size_t len;

	assert_int_equal(read_file(path, &data, &len), 0);
	buf_str(&b, "");
	for (p = data; p + 512 <= data + len && *p;) {
		char name[101] = {}, link[101] = {};
		unsigned long size = strtoul(p + 124, NULL, 8), perm = strtoul(p + 100, NULL, 8);
		char type = p[156], *content = p + 512;

		assert_memory_equal(p + 257, "ustar", 5);
		memcpy(name, p, 100);
		memcpy(link, p + 157, 100);
		p = content + (size + 511) / 512 * 512;
		assert_true(p <= data + len);
		if (type == 'L' || type == 'K') {
			*(type == 'L' ? &longname : &longlink) = content;
			continue;
		}
		buf_printf(&b, "%c %lo %s", type, perm & 07777, longname ? longname : name);
		if (type == '1' || type == '2')
			buf_printf(&b, " -> %s", longlink ? longlink : link);
		if (type == '0')
			buf_printf(&b, " = %.*s", (int)size, content);
		buf_str(&b, "\n");
		longname = longlink = NULL;
	}
	free(data);
	return b.s;
}

static void assert_tar(const char *path, const char *want)
{
	char *have = list_tar(path);

	assert_string_equal(have, want);
	free(have);
}

/* Entries of a directory whose name has part in it. */
static unsigned int entries(const char *dir, const char *part)
{
	const char *argv[] = { "ls", "-A", dir, NULL };
	struct buf out = {};
	struct run_opts ro = { .out = &out };
	unsigned int n = 0;
	char *save = NULL;

	buf_str(&out, "");
	assert_int_equal(run_cmd(argv, &ro), 0);
	for (char *p = strtok_r(out.s, "\n", &save); p; p = strtok_r(NULL, "\n", &save))
		n += strstr(p, part) != NULL;
	buf_free(&out);
	return n;
}

/* --- synthetic ---------------------------------------------------------------------------------------------------------- */

static void test_synthetic(void **state)
{
	static const struct {
		const char *spec;
		unsigned int files;
		uint64_t bytes;
	} good[] = {
		{ "synthetic", 64, 16 << 20 },
		{ "synthetic:files=2,bytes=8M", 2, 8 << 20 },
		{ "synthetic:bytes=100k", 64, 100 << 10 },
		{ "synthetic:bytes=64", 64, 64 },
	};
	static const char *const bad[] = {
		"synthetic:files=0", "synthetic:file=3", "synthetic:files", "synthetic:files=x", "synthetic:bytes=-1", "synthetic:bytes=63",
		"synthetic:files=1000001", "synthetic:bytes=2000G", "synthetic:files=",
	};
	char *hashes[ARRAY_SIZE(good)];
	struct image img;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(image_get(good[i].spec, NULL, &img), 0);
		assert_true(img.synthetic);
		assert_null(img.tar);
		assert_int_equal(img.files, good[i].files);
		assert_int_equal(img.bytes, good[i].bytes);
		assert_string_equal(img.name, good[i].spec);
		assert_string_equal(img.note, "");
		hashes[i] = xstrdup(img.hash);
		image_free(&img);
	}
	assert_string_not_equal(hashes[0], hashes[1]);
	/* The hash is of the meaning, not of the text. */
	assert_int_equal(image_get("synthetic:bytes=16M,files=64", NULL, &img), 0);
	assert_string_equal(img.hash, hashes[0]);
	image_free(&img);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		free(hashes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(CALL(image_get(bad[i], NULL, &img)), -EINVAL);
		assert_said("image synthetic: ");
		assert_null(img.name);
	}
}

static void test_unknown(void **state)
{
	struct image img;

	(void)state;
	assert_int_equal(CALL(image_get("debain-slim", NULL, &img)), -ENOENT);
	assert_said("did you mean debian-slim");
	assert_int_equal(CALL(image_get("/nonexistent/root.tar", NULL, &img)), -ENOENT);
	assert_said("/nonexistent/root.tar: No such file");
	assert_int_equal(CALL(image_get("/dev/null", NULL, &img)), -EINVAL);
	assert_said("neither a tar file nor a directory");
}

/* --- a user's tar --------------------------------------------------------------------------------------------------------- */

static void test_canonical(void **state)
{
	char longname[161], *line, *want;
	struct tar_info info;

	(void)state;
	memset(longname, 'n', 160);
	longname[160] = '\0';
	make_tar(in("t.tar"), { "./", 'd', NULL, 0700 }, { "./usr/", 'd', NULL, 0 }, { "./usr/./bin//a", 'f', "one", 04755 },
		 { "usr/b", 'h', "./usr/bin/a", 0 }, { "usr/c", 'h', "usr/b", 0 }, { "lib", 'l', "usr/lib", 0777 },
		 { "lib2", 'h', "lib", 0 }, { "dup", 'f', "old", 0 }, { "xattr", 'f', "x", 0 }, { longname, 'f', "", 0 },
		 { "dup", 'f', "new", 0 }, { "late/f", 'f', "y", 0 }, { "late", 'd', NULL, 0700 }, { "fifo", 'p', NULL, 0 });
	assert_int_equal(tar_from_tar(in("t.tar"), in("c.tar"), 0, &info), 0);
	line = xasprintf("0 644 %s = \n", longname);
	/* A directory that comes late, or not at all, stands before what is in it; of two entries the last counts. */
	want = xasprintf("5 755 usr/\n5 755 usr/bin/\n0 4755 usr/bin/a = one\n1 4755 usr/b -> usr/bin/a\n1 4755 usr/c -> usr/bin/a\n"
			 "2 777 lib -> usr/lib\n2 777 lib2 -> usr/lib\n0 644 xattr = x\n%s0 644 dup = new\n5 700 late/\n"
			 "0 644 late/f = y\n", line);
	assert_tar(in("c.tar"), want);
	assert_int_equal(info.entries, 12);
	assert_int_equal(info.files, 5);
	assert_int_equal(info.bytes, 3 + 1 + 3 + 1);
	assert_int_equal(info.dropped, 1);
	assert_int_equal(info.dropped_attrs, 1);
	assert_false(info.programs);
	free(line);
	free(want);
	/* The first header, usr/: owner by number only, whole seconds. */
	assert_int_equal(read_file(in("c.tar"), &line, NULL), 0);
	assert_int_equal(strtoul(line + 108, NULL, 8), 33);
	assert_int_equal(strtoul(line + 136, NULL, 8), 1000001);
	assert_int_equal(line[265], '\0');
	free(line);
	/* The canonical form of the canonical form is itself. */
	assert_int_equal(tar_from_tar(in("c.tar"), in("c2.tar"), 0, &info), 0);
	assert_int_equal(info.entries, 12);
	char a[65], b[65];

	assert_int_equal(sha256_file(in("c.tar"), a), 0);
	assert_int_equal(sha256_file(in("c2.tar"), b), 0);
	assert_string_equal(a, b);
}

static void test_refused(void **state)
{
	static const struct {
		struct want w[3];
		const char *why;
	} cases[] = {
		{ { { "ok", 'f', "x", 0 }, { "/etc/passwd", 'f', "x", 0 } }, "entry '/etc/passwd' has an absolute path" },
		{ { { "a/../../b", 'f', "x", 0 } }, "entry 'a/../../b' has '..' in its path" },
		{ { { "..", 'd', NULL, 0 } }, "entry '../' has '..'" },
		{ { { "dev/sda", 'b', NULL, 0 } }, "entry 'dev/sda' is a device node" },
		{ { { "dev/null", 'c', NULL, 0 } }, "entry 'dev/null' is a device node" },
		{ { { "h", 'h', "/etc/shadow", 0 } }, "hard link to '/etc/shadow', which leaves the archive" },
		{ { { "h", 'h', "../x", 0 } }, "hard link to '../x', which leaves the archive" },
		{ { { "h", 'h', "nowhere", 0 }, { "f", 'f', "x", 0 } }, "entry 'h' is a hard link to 'nowhere', which is no earlier file" },
		{ { { "h", 'h', "later", 0 }, { "later", 'f', "x", 0 } }, "entry 'h' is a hard link to 'later'" },
		{ { { "h", 'h', "h", 0 }, { "f", 'f', "x", 0 } }, "entry 'h' is a hard link to 'h'" },
		{ { { "d", 'd', NULL, 0 }, { "h", 'h', "d", 0 }, { "f", 'f', "x", 0 } }, "entry 'h' is a hard link to 'd'" },
		{ { { "l", 'l', "/etc", 0 }, { "l/passwd", 'f', "x", 0 } }, "entry 'l/passwd' lies below 'l', which is no directory" },
		{ { { "f", 'f', "x", 0 }, { "f/g/h", 'f', "x", 0 } }, "entry 'f/g/h' lies below 'f'" },
		{ { { "manifest.json", 'f', "[]", 0 }, { "0a/layer.tar", 'f', "x", 0 } }, "podman export" },
		{ { { "manifest.json", 'f', "[]", 0 }, { "blobs/sha256/0a", 'f', "x", 0 } }, "podman export" },
		{ { { "oci-layout", 'f', "{}", 0 } }, "podman export" },
		{ { { "only", 'd', NULL, 0 } }, "there is no file in it" },
	};
	struct image img;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = 0;

		while (n < 3 && cases[i].w[n].path)
			n++;
		make_tar_as(in("bad.tar"), cases[i].w, n, archive_write_add_filter_none);
		assert_int_equal(CALL(image_get(in("bad.tar"), NULL, &img)), -EINVAL);
		assert_said(cases[i].why);
		assert_said("bad.tar");
	}
	/* Nothing of that is left in the cache. A manifest.json of an application is none of an image. */
	assert_int_equal(entries(in("cache/images"), ""), 0);
	make_tar(in("t.tar"), { "manifest.json", 'f', "[]", 0 });
	assert_int_equal(image_get(in("t.tar"), NULL, &img), 0);
	image_free(&img);
}

static void test_damaged(void **state)
{
	char *data, text[5000];
	struct image img;
	size_t len;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	make_tar(in("whole.tar"), { "a", 'f', "x", 0 }, { "b", 'f', text, 0 });
	assert_int_equal(read_file(in("whole.tar"), &data, &len), 0);
	/* Cut in the middle of b's content, then a flipped bit in a header. */
	assert_int_equal(write_file_atomic(in("cut.tar"), data, 3 * 1024 + 2000), 0);
	assert_int_equal(CALL(image_get(in("cut.tar"), NULL, &img)), -EINVAL);
	assert_said("cut.tar");
	data[1] ^= 1;
	assert_int_equal(write_file_atomic(in("flip.tar"), data, len), 0);
	assert_int_equal(CALL(image_get(in("flip.tar"), NULL, &img)), -EINVAL);
	assert_said("flip.tar");
	free(data);
	assert_int_equal(write_file_atomic(in("text.tar"), "this is not a tar\n", 18), 0);
	assert_int_equal(CALL(image_get(in("text.tar"), NULL, &img)), -EINVAL);
	assert_said("text.tar");
	assert_int_equal(entries(in("cache/images"), ".tmp"), 0);
}

static void test_cached(void **state)
{
	static const struct want w[] = { { "usr/bin/python3.11", 'f', "p", 0 }, { "usr/bin/python3", 'l', "python3.11", 0 },
					 { "usr/sbin/nginx", 'f', "n", 0 }, { "bin", 'l', "usr/bin", 0 },
					 { "usr/bin/redis-server", 'l', "../lib/redis", 0 }, { "usr/lib/redis", 'f', "r", 0 },
					 { "tmp/s", 'p', NULL, 0 } };
	struct image img, again;
	struct stat st, st2;

	(void)state;
	make_tar_as(in("p.tar.xz"), w, ARRAY_SIZE(w), archive_write_add_filter_xz);
	assert_int_equal(image_get(in("p.tar.xz"), NULL, &img), 0);
	assert_false(img.synthetic);
	assert_true(img.programs);
	assert_int_equal(img.files, 3);
	assert_int_equal(img.bytes, 3);
	assert_string_equal(img.note, "without 1 sockets and fifos");
	assert_int_equal(strlen(img.hash), 64);
	assert_int_equal(stat(img.tar, &st), 0);
	assert_int_equal(st.st_size % 512, 0);
	assert_int_equal(image_get(in("p.tar.xz"), NULL, &again), 0);
	assert_string_equal(again.tar, img.tar);
	assert_string_equal(again.hash, img.hash);
	assert_string_equal(again.note, img.note);
	assert_true(again.programs);
	assert_int_equal(stat(again.tar, &st2), 0);
	assert_int_equal(st.st_ino, st2.st_ino);
	image_free(&again);
	/* A tar in the cache that was cut does not count: it is made again. */
	assert_int_equal(truncate(img.tar, 100), 0);
	assert_int_equal(image_get(in("p.tar.xz"), NULL, &again), 0);
	assert_int_equal(stat(again.tar, &st2), 0);
	assert_int_equal(st2.st_size, st.st_size);
	assert_string_equal(again.hash, img.hash);
	image_free(&again);
	image_free(&img);
}

/* A write that fails in the middle, as on a full disk, says so and leaves nothing. */
static void test_full_disk(void **state)
{
	char text[100000];
	struct rlimit old, small;
	struct tar_info info;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	make_tar(in("big.tar"), { "big", 'f', text, 0 });
	assert_int_equal(mkdir_p(in("full")), 0);
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){ 50000, old.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	capture_begin();
	setrlimit(RLIMIT_FSIZE, &small);
	int ret = tar_from_tar(in("big.tar"), in("full/out.tar"), 0, &info);

	setrlimit(RLIMIT_FSIZE, &old);
	capture_end(0);
	assert_int_equal(ret, -EFBIG);
	assert_said("full/out.tar: cannot write");
	assert_int_equal(entries(in("full"), ""), 0);
	assert_int_equal(CALL(tar_from_tar(in("big.tar"), "/nonexistent/out.tar", 0, &info)), -ENOENT);
	assert_said("/nonexistent/out.tar: cannot write: No such file");
}

/* --- a directory ---------------------------------------------------------------------------------------------------------- */

static void put(const char *path, const char *text)
{
	assert_int_equal(write_file_atomic(path, text, strlen(text)), 0);
}

static void test_dir(void **state)
{
	struct image img, again;

	(void)state;
	assert_int_equal(mkdir_p(in("root/usr/bin")), 0);
	put(in("root/usr/bin/tool"), "tool");
	put(in("root/usr-x"), "after usr in bytes, before usr/bin in none");
	assert_int_equal(chmod(in("root/usr/bin/tool"), 04711), 0);
	assert_int_equal(link(in("root/usr/bin/tool"), in("root/usr/bin/also")), 0);
	assert_int_equal(symlink("/etc", in("root/etc")), 0);
	assert_int_equal(symlink(".", in("root/usr/loop")), 0);
	assert_int_equal(mkfifo(in("root/pipe"), 0600), 0);
	/* With and without a slash at the end it is the same. */
	assert_int_equal(image_get(in("root/"), NULL, &img), 0);
	assert_tar(img.tar, "2 777 etc -> /etc\n5 755 usr/\n0 644 usr-x = after usr in bytes, before usr/bin in none\n5 755 usr/bin/\n"
		   "0 4711 usr/bin/also = tool\n1 4711 usr/bin/tool -> usr/bin/also\n2 777 usr/loop -> .\n");
	assert_int_equal(img.files, 2);
	assert_int_equal(img.bytes, 4 + 42);
	assert_string_equal(img.note, "without 1 sockets and fifos");
	assert_int_equal(image_get(in("root"), NULL, &again), 0);
	assert_string_equal(again.tar, img.tar);
	image_free(&again);
	put(in("root/usr/new"), "x");
	assert_int_equal(image_get(in("root"), NULL, &again), 0);
	assert_string_not_equal(again.tar, img.tar);
	image_free(&again);
	image_free(&img);
	assert_int_equal(entries(in("cache/images"), "dir-new"), 0);
	assert_int_equal(entries(in("cache/images"), ".tmp"), 0);
	/* Neither an empty tree nor an unpacked image of a registry. */
	assert_int_equal(mkdir_p(in("empty")), 0);
	assert_int_equal(CALL(image_get(in("empty"), NULL, &img)), -EINVAL);
	assert_said("there is no file in it");
	put(in("empty/oci-layout"), "{}");
	assert_int_equal(CALL(image_get(in("empty"), NULL, &img)), -EINVAL);
	assert_said("podman export");
}

static void test_dir_unreadable(void **state)
{
	struct tar_info info;
	int ret;

	(void)state;
	assert_int_equal(mkdir_p(in("locked/d")), 0);
	put(in("locked/f"), "x");
	put(in("locked/secret"), "x");
	assert_int_equal(chmod(in("locked/secret"), 0), 0);
	/* Root may read all, so be somebody else for a moment; access() asks for the real user. */
	assert_int_equal(chmod(top, 0777), 0);
	capture_begin();
	if (getuid() == 0)
		assert_int_equal(setresuid(65534, 65534, 0), 0);
	ret = tar_from_dir(in("locked"), in("locked.tar"), &info);
	if (getuid() == 65534)
		assert_int_equal(setresuid(0, 0, 0), 0);
	capture_end(ret);
	assert_int_equal(ret, -EACCES);
	assert_said("locked/secret: cannot read: Permission denied: run as a user who may");
	assert_false(file_exists(in("locked.tar")));
}

/* --- slimming ------------------------------------------------------------------------------------------------------------- */

static void test_slim(void **state)
{
	static const char *const paths[] = {
		"/lib/libc.so", "/usr/bin/python3", "/usr/share/doc/../zone", "/run/made-later", "/etc/alt/x", "/usr/bin/second", "/loop/a",
	};
	static const char *const nothing[] = { "/run/made-later", "/usr" };
	struct tar_info info;

	(void)state;
	make_tar(in("whole.tar"), { "usr/bin/python3.11", 'f', "py", 0755 }, { "usr/bin/python3", 'l', "python3.11", 0 },
		 { "usr/bin/unused", 'f', "no", 0 }, { "usr/bin/first", 'f', "both", 0 }, { "usr/bin/second", 'h', "usr/bin/first", 0 },
		 { "lib", 'l', "usr/lib", 0 }, { "usr/lib/libc.so", 'l', "libc-2.so", 0 }, { "usr/lib/libc-2.so", 'f', "c", 0 },
		 { "usr/lib/libm.so", 'f', "no", 0 }, { "usr/share/doc/readme", 'f', "no", 0 }, { "usr/share/zone", 'f', "utc", 0 },
		 { "etc/alt", 'l', "/usr/share", 0 }, { "usr/share/x", 'l', "/../etc/real", 0 }, { "etc/real", 'f', "r", 0 },
		 { "loop", 'l', "loop", 0 }, { "tmp", 'd', NULL, 01777 }, { "opt/x", 'd', NULL, 0 }, { "sbin", 'l', "usr/sbin", 0 },
		 { "var/lib/redis", 'd', NULL, 0750 },
		 { "var/lib/nginx/body", 'd', NULL, 0 }, { "var/lib/dpkg/status", 'f', "no", 0 });
	assert_int_equal(tar_from_tar(in("whole.tar"), in("wc.tar"), 0, &info), 0);
	assert_int_equal(tar_slim(in("wc.tar"), in("slim.tar"), paths, ARRAY_SIZE(paths), &info), 0);
	assert_tar(in("slim.tar"), "5 755 usr/\n5 755 usr/bin/\n0 755 usr/bin/python3.11 = py\n2 644 usr/bin/python3 -> python3.11\n"
		   "0 644 usr/bin/first = both\n1 644 usr/bin/second -> usr/bin/first\n2 644 lib -> usr/lib\n5 755 usr/lib/\n"
		   "2 644 usr/lib/libc.so -> libc-2.so\n0 644 usr/lib/libc-2.so = c\n5 755 usr/share/\n5 755 usr/share/doc/\n"
		   "0 644 usr/share/zone = utc\n5 755 etc/\n2 644 etc/alt -> /usr/share\n2 644 usr/share/x -> /../etc/real\n"
		   "0 644 etc/real = r\n2 644 loop -> loop\n5 1777 tmp/\n5 755 opt/\n2 644 sbin -> usr/sbin\n5 755 var/\n"
		   "5 755 var/lib/\n5 750 var/lib/redis/\n"
		   "5 755 var/lib/nginx/\n5 755 var/lib/nginx/body/\n");
	assert_int_equal(info.files, 5);
	assert_int_equal(info.bytes, 2 + 4 + 1 + 3 + 1);
	assert_int_equal(CALL(tar_slim(in("wc.tar"), in("none.tar"), nothing, ARRAY_SIZE(nothing), &info)), -ENOENT);
	assert_said("none of the 2 files that were opened is in it");
	assert_false(file_exists(in("none.tar")));
}

/* --- debian --------------------------------------------------------------------------------------------------------------- */

static void script(const char *name, const char *text)
{
	char *path = xasprintf("%s/bin/%s", top, name);

	put(path, text);
	assert_int_equal(chmod(path, 0755), 0);
	free(path);
}

static void test_debian(void **state)
{
	struct image img, again;
	char *path = xasprintf("%s/bin:%s", top, getenv("PATH")), *old = xstrdup(getenv("PATH")), *args, *conf;

	(void)state;
	setenv("PATH", path, 1);
	assert_int_equal(mkdir_p(in("bin")), 0);
	setenv("IMAGE_TEST", top, 1);
	make_tar(in("deb.tar"), { "./usr/bin/python3", 'f', "p", 0 }, { "./usr/sbin/nginx", 'f', "n", 0 },
		 { "./usr/bin/redis-server", 'f', "r", 0 }, { "./dev/null", 'c', NULL, 0 });
	script("apt-config", "#!/bin/sh\necho 'Acquire::http::Proxy \"http://user:secret@proxy.example:3128\";'\n");
	script("mmdebstrap", "#!/bin/sh\nprintf '%s\\n' \"$@\" \"epoch=$SOURCE_DATE_EPOCH\" >$IMAGE_TEST/args\n"
	       "echo 'I: working' >&2\necho 'E: the mirror is on fire' >&2\necho 'E: and so on' >&2\nexit 25\n");
	/* Without package lists nothing is started. */
	script("apt-get", "#!/bin/sh\nexit 0\n");
	assert_int_equal(CALL(image_get("debian", NULL, &img)), -ENOENT);
	assert_said("apt-get update");
	assert_false(file_exists(in("args")));
	script("apt-get", "#!/bin/sh\n. /etc/os-release\nc=$VERSION_CODENAME\n"
	       "echo \"Debian|$c|$c|http://mirror.example/debian/|main\"\n"
	       "echo \"Debian|$c|$c|http://mirror.example/debian/|contrib\"\n"
	       "echo \"Debian|$c-security|$c-security|http://mirror.example/sec/|main\"\n"
	       "echo \"Debian Backports|$c-backports|$c-backports|http://mirror.example/bpo/|main\"\n"
	       "echo \"Debian|other|other|http://mirror.example/other/|main\"\n"
	       "echo \"Corp|$c|$c|http://corp.example/|main\"\n");
	/* What went wrong first is said, with the log; nothing is left. */
	assert_int_equal(CALL(image_get("debian", NULL, &img)), -EIO);
	assert_said("E: the mirror is on fire");
	assert_said("log/image-debian.log");
	assert_int_equal(entries(in("cache/images"), "debian"), 0);
	/* A root that lacks a program is not taken. */
	script("mmdebstrap", "#!/bin/sh\nfor a; do case $a in *.raw-*) cp $IMAGE_TEST/t.tar \"$a\" ;; esac; done\n");
	make_tar(in("t.tar"), { "./usr/bin/python3", 'f', "p", 0 });
	assert_int_equal(CALL(image_get("debian", NULL, &img)), -EIO);
	assert_said("has not all programs");
	assert_int_equal(entries(in("cache/images"), "raw"), 0);
	/* Now it works. */
	script("mmdebstrap", "#!/bin/sh\nprintf '%s\\n' \"$@\" \"epoch=$SOURCE_DATE_EPOCH\" >$IMAGE_TEST/args\n"
	       "for a; do case $a in --aptopt=*) cat \"${a#--aptopt=}\" >$IMAGE_TEST/conf ;;\n"
	       "*.raw-*) cp $IMAGE_TEST/deb.tar \"$a\" ;; esac; done\n");
	assert_int_equal(CALL(image_get("debian", NULL, &img)), 0);
	assert_true(img.programs);
	assert_int_equal(img.files, 3);
	assert_string_equal(img.note, "");
	assert_int_equal(read_file(in("args"), &args, NULL), 0);
	assert_non_null(strstr(args, "\n--include=python3,nginx,redis-server\n"));
	assert_non_null(strstr(args, "\nepoch=1672531200\n"));
	assert_non_null(strstr(args, "deb http://mirror.example/debian/ "));
	assert_non_null(strstr(args, "deb http://mirror.example/sec/ "));
	assert_null(strstr(args, "/bpo/"));
	assert_null(strstr(args, "/other/"));
	assert_null(strstr(args, "corp.example"));
	/* One line for main, not another for contrib. The password is in no argument. */
	assert_null(strstr(strstr(args, "mirror.example/debian/") + 1, "mirror.example/debian/"));
	assert_null(strstr(args, "secret"));
	free(args);
	assert_int_equal(read_file(in("conf"), &conf, NULL), 0);
	assert_non_null(strstr(conf, "proxy.example:3128"));
	free(conf);
	/* The second time nothing is asked. */
	script("mmdebstrap", "#!/bin/sh\nexit 1\n");
	script("apt-get", "#!/bin/sh\nexit 1\n");
	assert_int_equal(image_get("debian", NULL, &again), 0);
	assert_string_equal(again.hash, img.hash);
	image_free(&again);
	/* The slim one has to be traced in a guest. */
	assert_int_equal(CALL(image_get("debian-slim", NULL, &again)), -EINVAL);
	assert_said("needs a kernel");
	image_free(&img);
	setenv("PATH", old, 1);
	free(old);
	free(path);
}

static int setup(void **state)
{
	(void)state;
	umask(022);
	assert_non_null(mkdtemp(top));
	setenv("SHCACHE_CACHE", in("cache"), 1);
	return mkdir_p(in("cache/images"));
}

static int teardown(void **state)
{
	(void)state;
	free(said);
	return remove_tree(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_synthetic),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_cached),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_dir),
		cmocka_unit_test(test_dir_unreadable),
		cmocka_unit_test(test_slim),
		cmocka_unit_test(test_debian),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
