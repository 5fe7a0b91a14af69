// SPDX-License-Identifier: GPL-2.0
/* initrd.c: the archive as the kernel will read it, its determinism, tools with their libraries, and what goes wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "util.h"

static char top[] = "/tmp/shcache-initrd-XXXXXX";
static char *said;		/* what the last CALL() wrote to stderr */
static int saved_stderr;

static char *in(const char *name)
{
	static char *slots[16];
	static unsigned int next;
	char **s = &slots[next++ % ARRAY_SIZE(slots)];

	free(*s);
	return *s = xasprintf("%s/%s", top, name);
}

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

/* --- the archive, read as init/initramfs.c of the kernel does --------------------------------------------------------------- */

struct file {
	char *name;
	unsigned long ino, mode, uid, gid, nlink, mtime, size;
	const char *body;
};

struct cpio {
	char *data;
	size_t len;
	struct file *f;
	size_t n, archives;
};

static unsigned long field(const char *header, unsigned int i)
{
	char s[9] = {};

	memcpy(s, header + 6 + 8 * i, 8);
	return strtoul(s, NULL, 16);
}

static void load(const char *path, struct cpio *c)
{
	size_t at = 0;

	memset(c, 0, sizeof(*c));
	assert_int_equal(read_file(path, &c->data, &c->len), 0);
	while (at < c->len) {
		const char *h = c->data + at;
		struct file f = {};
		size_t name_len;

		/* Between archives zeros are skipped; a header must be aligned. */
		if (!*h) {
			at++;
			continue;
		}
		assert_int_equal(at % 4, 0);
		assert_true(at + 110 <= c->len);
		assert_memory_equal(h, "070701", 6);
		f.ino = field(h, 0);
		f.mode = field(h, 1);
		f.uid = field(h, 2);
		f.gid = field(h, 3);
		f.nlink = field(h, 4);
		f.mtime = field(h, 5);
		f.size = field(h, 6);
		name_len = field(h, 11);
		assert_true(at + 110 + name_len <= c->len);
		f.name = (char *)h + 110;
		assert_int_equal(strlen(f.name) + 1, name_len);
		f.body = c->data + (at + 110 + name_len + 3) / 4 * 4;
		at = (f.body - c->data + f.size + 3) / 4 * 4;
		assert_true(at <= c->len);
		if (!strcmp(f.name, "TRAILER!!!")) {
			c->archives++;
			continue;
		}
		c->f = xrealloc(c->f, (c->n + 1) * sizeof(*c->f));
		c->f[c->n++] = f;
	}
}

static void unload(struct cpio *c)
{
	free(c->data);
	free(c->f);
}

static const struct file *find(const struct cpio *c, const char *name)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->f[i].name, name))
			return &c->f[i];
	return NULL;
}

/* Follows symbolic links inside the archive: the file that the guest opens under an absolute path, or NULL. */
static const struct file *lookup(const struct cpio *c, const char *path, unsigned int depth)
{
	char *copy = xstrdup(path), *save = NULL, *at = xstrdup("");
	const struct file *f = NULL;

	for (char *p = strtok_r(copy, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
		char *next = xasprintf("%s%s%s", at, *at ? "/" : "", p);

		f = find(c, next);
		if (f && S_ISLNK(f->mode) && depth < 20) {
			char *target = xstrndup(f->body, f->size);
			char *full = xasprintf("%s/%s%s%s", *target == '/' ? "" : at, target, *save ? "/" : "", save);

			f = lookup(c, full, depth + 1);
			free(full);
			free(target);
			free(next);
			break;
		}
		free(at);
		at = next;
		if (!f)
			break;
	}
	free(copy);
	free(at);
	return f;
}

static void put(const char *path, const char *text)
{
	assert_int_equal(write_file_atomic(path, text, strlen(text)), 0);
}

static int build(const char *name, const char *job, const char *tools, const char *image)
{
	return initrd_build(in(name), in("agent"), job, tools, image);
}

static void test_contents(void **state)
{
	struct cpio c;
	const struct file *f;

	(void)state;
	assert_int_equal(build("a.cpio", "proto 1\nworkload canary\n", NULL, NULL), 0);
	load(in("a.cpio"), &c);
	assert_int_equal(c.archives, 2);
	f = find(&c, "init");
	assert_non_null(f);
	assert_int_equal(f->mode, S_IFREG | 0755);
	assert_int_equal(f->size, strlen("the agent"));
	assert_memory_equal(f->body, "the agent", f->size);
	f = find(&c, "job");
	assert_non_null(f);
	assert_int_equal(f->mode, S_IFREG | 0644);
	assert_int_equal(f->size, strlen("proto 1\nworkload canary\n"));
	assert_memory_equal(f->body, "proto 1\nworkload canary\n", f->size);
	assert_null(find(&c, "image.tar"));
	f = lookup(&c, "/bin/sh", 0);
	assert_non_null(f);
	assert_true(S_ISREG(f->mode));
	assert_memory_equal(f->body, "\177ELF", 4);
	assert_ptr_equal(f, lookup(&c, "/bin/busybox", 0));
	assert_ptr_equal(f, lookup(&c, "/bin/umount", 0));
	assert_int_equal(find(&c, "proc")->mode, S_IFDIR | 0755);
	assert_int_equal(find(&c, "tmp")->mode, S_IFDIR | 01777);
	for (size_t i = 0; i < c.n; i++) {
		char *slash = strrchr(c.f[i].name, '/');

		assert_int_equal(c.f[i].uid, 0);
		assert_int_equal(c.f[i].gid, 0);
		assert_int_equal(c.f[i].mtime, 0);
		/* More names than one would make the kernel look for hard links. */
		assert_true(c.f[i].nlink == 1);
		assert_true(c.f[i].name[0] != '/');
		/* The kernel makes no parents: they have to come before. */
		if (slash) {
			char *parent = xstrndup(c.f[i].name, slash - c.f[i].name);

			f = find(&c, parent);
			assert_non_null(f);
			assert_true(f < &c.f[i]);
			assert_true(S_ISDIR(f->mode));
			free(parent);
		}
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(c.f[i].name, c.f[j].name);
	}
	unload(&c);
}

static void test_tools(void **state)
{
	struct cpio c, all;

	(void)state;
	assert_int_equal(build("t.cpio", "proto 1\n", "mkfs.xfs mkfs.btrfs", NULL), 0);
	load(in("t.cpio"), &c);
	assert_non_null(lookup(&c, "/usr/sbin/mkfs.xfs", 0) ? lookup(&c, "/usr/sbin/mkfs.xfs", 0) : lookup(&c, "/sbin/mkfs.xfs", 0));
	assert_non_null(lookup(&c, "/lib64/ld-linux-x86-64.so.2", 0));
	/* What ldd names on the host is a regular file in the guest under the same path. */
	const char *const argv[] = { "sh", "-c", "ldd $(PATH=$PATH:/usr/sbin:/sbin command -v mkfs.btrfs) | grep -o '/[^ ]*'", NULL };
	struct buf out = {};
	struct run_opts ro = { .out = &out };
	char *save = NULL;
	unsigned int libraries = 0;

	assert_int_equal(run_cmd(argv, &ro), 0);
	for (char *p = strtok_r(out.s, "\n", &save); p; p = strtok_r(NULL, "\n", &save), libraries++) {
		const struct file *f = lookup(&c, p, 0);
		struct stat st;

		if (!f || !S_ISREG(f->mode))
			fail_msg("%s is not in the initramfs", p);
		assert_int_equal(stat(p, &st), 0);
		assert_int_equal(f->size, st.st_size);
	}
	assert_true(libraries >= 3);
	buf_free(&out);
	/* Without tools there are none of them. */
	assert_int_equal(build("n.cpio", "proto 1\n", "", NULL), 0);
	load(in("n.cpio"), &all);
	assert_true(all.n < c.n);
	assert_null(lookup(&all, "/usr/sbin/mkfs.btrfs", 0));
	unload(&all);
	unload(&c);
}

static void test_image(void **state)
{
	struct cpio c;
	const struct file *f;
	struct buf big = {};

	(void)state;
	for (unsigned int i = 0; i < 100000; i++)
		buf_printf(&big, "%u,", i);
	put(in("image.tar"), big.s);
	assert_int_equal(build("i.cpio", "", NULL, in("image.tar")), 0);
	load(in("i.cpio"), &c);
	f = find(&c, "image.tar");
	assert_non_null(f);
	assert_int_equal(f->size, big.len);
	assert_memory_equal(f->body, big.s, big.len);
	assert_int_equal(find(&c, "job")->size, 0);
	unload(&c);
	buf_free(&big);
}

static void test_deterministic(void **state)
{
	char a[65], b[65], other[65];

	(void)state;
	assert_int_equal(build("1.cpio", "proto 1\n", "mkfs.xfs", NULL), 0);
	assert_int_equal(sha256_file(in("1.cpio"), a), 0);
	/* From the cache, and made anew an hour later by the agent's clock. */
	assert_int_equal(build("2.cpio", "proto 1\n", "mkfs.xfs", NULL), 0);
	assert_int_equal(sha256_file(in("2.cpio"), b), 0);
	assert_string_equal(a, b);
	assert_int_equal(remove_tree(in("cache/initrd")), 0);
	put(in("agent"), "the agent");
	assert_int_equal(build("3.cpio", "proto 1\n", "mkfs.xfs", NULL), 0);
	assert_int_equal(sha256_file(in("3.cpio"), b), 0);
	assert_string_equal(a, b);
	assert_int_equal(build("4.cpio", "proto 1\nseed 2\n", "mkfs.xfs", NULL), 0);
	assert_int_equal(sha256_file(in("4.cpio"), other), 0);
	assert_string_not_equal(a, other);
}

/* The part that is kept follows what it is made of. */
static void test_changed_tool(void **state)
{
	struct cpio c;
	char *path = xasprintf("%s/bin:%s", top, getenv("PATH")), *old = xstrdup(getenv("PATH")), *name = xasprintf("%s/bin/tool", top + 1);
	int fd;

	(void)state;
	setenv("PATH", path, 1);
	assert_int_equal(mkdir_p(in("bin")), 0);
	put(in("bin/tool"), "#!/bin/sh\n");
	assert_int_equal(chmod(in("bin/tool"), 0755), 0);
	assert_int_equal(build("s.cpio", "", "tool", NULL), 0);
	load(in("s.cpio"), &c);
	assert_memory_equal(find(&c, name)->body, "#!/bin/sh\n", 10);
	unload(&c);
	/* The same inode and the same length: only the time of change tells. */
	fd = open(in("bin/tool"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "#!/bin/as\n", 10, 0), 10);
	close(fd);
	assert_int_equal(build("s.cpio", "", "tool", NULL), 0);
	load(in("s.cpio"), &c);
	assert_memory_equal(find(&c, name)->body, "#!/bin/as\n", 10);
	unload(&c);
	setenv("PATH", old, 1);
	free(name);
	free(old);
	free(path);
}

static void test_errors(void **state)
{
	(void)state;
	assert_int_equal(CALL(build("e.cpio", "", "mkfs.xfs no-such-tool", NULL)), -ENOENT);
	assert_non_null(strstr(said, "no-such-tool is needed in the guest"));
	assert_false(file_exists(in("e.cpio")));
	assert_int_equal(CALL(build("e.cpio", "", NULL, "/nonexistent.tar")), -ENOENT);
	assert_non_null(strstr(said, "/nonexistent.tar: cannot read"));
	assert_false(file_exists(in("e.cpio")));
	assert_int_equal(CALL(initrd_build(in("e.cpio"), "/nonexistent/agent", "", NULL, NULL)), -ENOENT);
	assert_non_null(strstr(said, "/nonexistent/agent: cannot read"));
	assert_int_equal(CALL(initrd_build("/nonexistent/e.cpio", in("agent"), "", NULL, NULL)), -ENOENT);
	assert_non_null(strstr(said, "/nonexistent/e.cpio"));
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(top));
	setenv("SHCACHE_CACHE", in("cache"), 1);
	put(in("agent"), "the agent");
	return mkdir_p(in("cache"));
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
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_tools),
		cmocka_unit_test(test_image),
		cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_changed_tool),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
