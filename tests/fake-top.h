/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A checkout for tests of the whole command without a guest: fake kernels (texts that tests/fake-qemu.c plays), a tiny plan, and the command
 * that was built, in a directory below /tmp. Header only.
 */
#ifndef SHCACHE_FAKE_TOP_H
#define SHCACHE_FAKE_TOP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

#define FT_UNUSED __attribute__((unused))

static char ft_top[] = "/tmp/shcache-top-XXXXXX";
static char *ft_real;		/* the checkout under test */

FT_UNUSED static void ft_write(const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", ft_top, name), *dir = xstrdup(path);

	*strrchr(dir, '/') = '\0';
	if (mkdir_p(dir) || write_file_atomic(path, text, strlen(text)))
		abort();
	free(dir);
	free(path);
}

FT_UNUSED static char *ft_read(const char *name)
{
	char *path = *name == '/' ? xstrdup(name) : xasprintf("%s/%s", ft_top, name), *text = NULL;

	if (read_file(path, &text, NULL))
		text = NULL;
	free(path);
	return text;
}

FT_UNUSED static void ft_link(const char *name)
{
	char *from = xasprintf("%s/%s", ft_real, name), *to = xasprintf("%s/%s", ft_top, name), *dir = xstrdup(to);

	*strrchr(dir, '/') = '\0';
	if (mkdir_p(dir) || symlink(from, to))
		abort();
	free(dir);
	free(from);
	free(to);
}

/* A kernel whose guest records these lines (see fake-qemu.c), behind as much of a bzImage's head as the builder looks at. */
FT_UNUSED static void ft_kernel(const char *name, const char *script)
{
	char *file = xasprintf("kernels/%s.kernel", name), *image = xasprintf("%s/images/%s", ft_top, name);
	char *spec = xasprintf("summary = fake\nsource = bzimage:%s\n", image), head[0x300];
	struct buf b = {};

	ft_write(file, spec);
	memset(head, '\n', sizeof(head));
	memcpy(head + 0x202, "HdrS", 4);
	head[0x20e] = 0x40;
	head[0x20f] = 0;
	memcpy(head + 0x240, "6.12.0-fake ", 12);
	buf_add(&b, head, sizeof(head));
	buf_str(&b, script);
	*strrchr(image, '/') = '\0';
	if (mkdir_p(image))
		abort();
	image[strlen(image)] = '/';
	if (write_file_atomic(image, b.s, b.len))
		abort();
	buf_free(&b);
	free(file);
	free(image);
	free(spec);
}

/* Runs a script with `bash -eo pipefail`, as CI systems do; what it says goes to said (freed by the next call). */
static char *ft_said;
FT_UNUSED static int ft_bash(const char *script)
{
	char *path = xasprintf("%s/script", ft_top), *log = xasprintf("%s/log", ft_top), *cmd;
	int ret;

	if (write_file_atomic(path, script, strlen(script)))
		abort();
	cmd = xasprintf("cd %s && bash -eo pipefail script >log 2>&1", ft_top);
	ret = system(cmd);
	free(ft_said);
	ft_said = NULL;
	if (read_file(log, &ft_said, NULL))
		abort();
	free(path);
	free(log);
	free(cmd);
	return WIFEXITED(ret) ? WEXITSTATUS(ret) : -1;
}

/* 0, or -1 if the command or the fake QEMU are not built. */
FT_UNUSED static int ft_setup(void)
{
	char *fake, *cache, *shbench;

	/* Tests run at the checkout's top; top_dir() would remember it. */
	ft_real = getcwd(NULL, 0);
	fake = xasprintf("%s/build/fake-qemu", ft_real);
	shbench = xasprintf("%s/shbench", ft_real);
	if (!file_exists(fake) || !file_exists(shbench)) {
		fprintf(stderr, "run `make all tests` first: %s and %s are needed\n", fake, shbench);
		return -1;
	}
	if (!mkdtemp(ft_top))
		return -1;
	cache = xasprintf("%s/cache", ft_top);
	setenv("SHBENCH_TOP", ft_top, 1);
	setenv("SHBENCH_QEMU", fake, 1);
	setenv("SHBENCH_KVM", "/nonexistent/kvm", 1);
	setenv("SHCACHE_CACHE", cache, 1);
	setenv("FAKE_QEMU", "script", 1);
	unsetenv("SHCACHE_RESULTS");
	unsetenv("SHCACHE_HISTORY");
	ft_link("shbench");
	ft_link("build/agent");
	ft_link("results/templates");
	free(cache);
	free(fake);
	free(shbench);
	return 0;
}

FT_UNUSED static int ft_teardown(void)
{
	free(ft_said);
	free(ft_real);
	return remove_tree(ft_top);
}

#endif
