// SPDX-License-Identifier: GPL-2.0
/*
 * deps.sh and deps.c, against a made-up root directory (DEPS_ROOT) and with stand-ins for id and apt-get, so that neither the
 * machine's packages nor the user matter.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deps.h"
#include "util.h"

static char top[] = "/tmp/shcache-deps-XXXXXX";

static char *in(const char *name)
{
	static char *slots[16];
	static unsigned int next;
	char **s = &slots[next++ % ARRAY_SIZE(slots)];

	free(*s);
	return *s = xasprintf("%s/%s", top, name);
}

static void put(const char *path, const char *text)
{
	char *dir = xstrndup(path, strrchr(path, '/') - path);

	assert_int_equal(mkdir_p(dir), 0);
	assert_int_equal(write_file_atomic(path, text, strlen(text)), 0);
	assert_int_equal(chmod(path, 0755), 0);
	free(dir);
}

/* Runs deps.sh; *text receives stdout and stderr. */
static int script(const char *arg, char **text)
{
	char *sh = xasprintf("%s/harness/deps.sh", top_dir()), *log = in("log");
	const char *const argv[] = { "sh", sh, arg, NULL };
	struct run_opts ro = { .log = log };
	int ret;

	unlink(log);
	ret = run_cmd(argv, &ro);
	assert_int_equal(read_file(log, text, NULL), 0);
	free(sh);
	return ret;
}

static unsigned int lines(const char *s)
{
	unsigned int n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

/* Puts what proves each package into the root. */
static void install_all(void)
{
	char *table, *save = NULL;

	assert_int_equal(remove_tree(in("root")), 0);
	assert_int_equal(script("--list", &table), 0);
	for (char *p = strtok_r(table, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
		char *proof = strchr(p, '\t') + 1, *path, *colon = strchr(proof, ':');

		*strchr(proof, '\t') = '\0';
		path = xasprintf("%s/root%s%s", top, !strncmp(proof, "cmd:", 4) || !strncmp(proof, "user:", 5) ? "/usr/sbin/" :
				 !strncmp(proof, "hdr:", 4) ? "/usr/include/" : "", colon + 1);
		put(path, "");
		free(path);
	}
	free(table);
}

static void test_table(void **state)
{
	char *table, *missing, *save = NULL, *names = xstrdup("");

	(void)state;
	assert_int_equal(script("--list", &table), 0);
	assert_true(lines(table) > 20);
	/* An empty machine misses all of it. */
	assert_int_equal(remove_tree(in("root")), 0);
	assert_int_equal(script("--list-missing", &missing), 0);
	assert_string_equal(missing, table);
	for (char *p = strtok_r(table, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
		size_t a = strcspn(p, "\t"), b = strcspn(p + a + 1, "\t");
		const char *proof = p + a + 1, *purpose = proof + b + 1;
		char *more, *name = xasprintf("|%.*s|", (int)a, p);

		assert_true(a > 0 && p[a] && proof[b] && *purpose);
		assert_null(strchr(purpose, '\t'));
		assert_true(!strncmp(proof, "cmd:", 4) || !strncmp(proof, "hdr:", 4) || !strncmp(proof, "file:/", 6) ||
			    !strncmp(proof, "user:", 5));
		/* Each package once. */
		assert_null(strstr(names, name));
		more = xasprintf("%s%s", names, name);
		free(names);
		free(name);
		names = more;
	}
	free(names);
	free(table);
	free(missing);
}

static void test_missing(void **state)
{
	struct dep *d;
	size_t nr;

	(void)state;
	install_all();
	assert_int_equal(deps_missing(&d, &nr), 0);
	assert_int_equal(nr, 0);
	deps_free(d, nr);
	/* A program elsewhere in the path, a header for one architecture, a program that only users need. */
	assert_int_equal(unlink(in("root/usr/sbin/fio")), 0);
	assert_int_equal(unlink(in("root/usr/include/jansson.h")), 0);
	assert_int_equal(unlink(in("root/usr/include/zlib.h")), 0);
	assert_int_equal(unlink(in("root/usr/src/linux-source-6.12.tar.xz")), 0);
	assert_int_equal(unlink(in("root/usr/sbin/newuidmap")), 0);
	put(in("root/usr/bin/fio"), "");
	put(in("root/usr/include/x86_64-linux-gnu/jansson.h"), "");
	assert_int_equal(deps_missing(&d, &nr), 0);
	assert_int_equal(nr, 3);
	assert_string_equal(d[0].package, "zlib1g-dev");
	assert_string_equal(d[0].proof, "hdr:zlib.h");
	assert_string_equal(d[0].purpose, "checksums");
	assert_string_equal(d[1].package, "linux-source-6.12");
	assert_string_equal(d[2].package, "uidmap");
	deps_free(d, nr);
	/* A file that cannot be executed is no program. */
	assert_int_equal(chmod(in("root/usr/sbin/bc"), 0644), 0);
	assert_int_equal(deps_missing(&d, &nr), 0);
	assert_int_equal(nr, 4);
	deps_free(d, nr);
	put(in("bin/id"), "#!/bin/sh\necho 0\n");
	assert_int_equal(deps_missing(&d, &nr), 0);
	assert_int_equal(nr, 3);
	deps_free(d, nr);
	put(in("bin/id"), "#!/bin/sh\necho 1000\n");
}

static void test_user(void **state)
{
	char *text;

	(void)state;
	install_all();
	put(in("bin/apt-get"), "#!/bin/sh\necho called >>$DEPS_TEST/called\n");
	assert_int_equal(script(NULL, &text), 0);
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(unlink(in("root/usr/sbin/fio")), 0);
	assert_int_equal(unlink(in("root/usr/sbin/git")), 0);
	assert_int_equal(script(NULL, &text), 3);
	assert_non_null(strstr(text, "apt-get update && apt-get install --no-install-recommends git fio\n"));
	free(text);
	assert_false(file_exists(in("called")));
	assert_int_equal(script("--nonsense", &text), 2);
	assert_non_null(strstr(text, "usage: deps.sh"));
	free(text);
}

static void test_root(void **state)
{
	char *text;

	(void)state;
	install_all();
	put(in("bin/id"), "#!/bin/sh\necho 0\n");
	/* Installs, and is looked at again. */
	put(in("bin/apt-get"), "#!/bin/sh\necho \"$DEBIAN_FRONTEND $*\" >>$DEPS_TEST/called\n"
	    "case $* in *' install '*) : >$DEPS_ROOT/usr/sbin/fio; chmod +x $DEPS_ROOT/usr/sbin/fio ;; esac\n");
	assert_int_equal(unlink(in("root/usr/sbin/fio")), 0);
	assert_int_equal(script(NULL, &text), 0);
	assert_non_null(strstr(text, "installing 1 packages with apt-get: fio"));
	free(text);
	assert_int_equal(read_file(in("called"), &text, NULL), 0);
	assert_string_equal(text, " -q update\nnoninteractive -q -y install --no-install-recommends fio\n");
	free(text);
	assert_int_equal(unlink(in("called")), 0);
	/* Nothing missing: nothing is called. */
	assert_int_equal(script(NULL, &text), 0);
	assert_false(file_exists(in("called")));
	free(text);
	/* apt-get fails: its first error is said. An update that fails in part is only a warning. */
	assert_int_equal(unlink(in("root/usr/sbin/fio")), 0);
	put(in("bin/apt-get"), "#!/bin/sh\necho 'Reading package lists'\necho \"E: cannot $2\"\necho 'E: more'\nexit 100\n");
	assert_int_equal(script(NULL, &text), 3);
	assert_non_null(strstr(text, "warning: apt-get update: E: cannot update\n"));
	assert_non_null(strstr(text, "apt-get install failed: E: cannot -y\n"));
	free(text);
	/* apt-get says that all is well, but it is not. */
	put(in("bin/apt-get"), "#!/bin/sh\nexit 0\n");
	assert_int_equal(script(NULL, &text), 3);
	assert_non_null(strstr(text, "still missing after the installation:\n  fio\tcmd:fio"));
	free(text);
	put(in("bin/id"), "#!/bin/sh\necho 1000\n");
}

static int setup(void **state)
{
	char *path;

	(void)state;
	assert_non_null(mkdtemp(top));
	path = xasprintf("%s/bin:%s", top, getenv("PATH"));
	setenv("PATH", path, 1);
	setenv("DEPS_ROOT", in("root"), 1);
	setenv("DEPS_TEST", top, 1);
	unsetenv("DEBIAN_FRONTEND");
	put(in("bin/id"), "#!/bin/sh\necho 1000\n");
	put(in("bin/apt-get"), "#!/bin/sh\nexit 1\n");
	free(path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return remove_tree(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_root),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
