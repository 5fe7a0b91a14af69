// SPDX-License-Identifier: GPL-2.0
/* util.c: files whole or not at all, child processes, interrupts, names. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

static char *tmp_dir(void)
{
	char *d = xstrdup("/tmp/shcache-test-XXXXXX");

	assert_non_null(mkdtemp(d));
	return d;
}

static unsigned int entries(const char *dir)
{
	const char *argv[] = { "ls", "-A", dir, NULL };
	struct buf out = {};
	struct run_opts ro = { .out = &out };
	unsigned int n = 0;

	assert_int_equal(run_cmd(argv, &ro), 0);
	for (size_t i = 0; i < out.len; i++)
		n += out.s[i] == '\n';
	buf_free(&out);
	return n;
}

static void test_buf(void **state)
{
	struct buf b = {};

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
	assert_int_equal(strlen(b.s), b.len);
	assert_memory_equal(b.s + b.len - 4, "999,", 5);
	buf_free(&b);
	assert_null(b.s);
}

static void test_write_atomic(void **state)
{
	char *d = tmp_dir(), *p = xasprintf("%s/f", d), *s;
	struct rlimit old, small = { 100, 100 };
	size_t len;
	char big[1000] = {};

	(void)state;
	assert_int_equal(write_file_atomic(p, "one", 3), 0);
	assert_int_equal(read_file(p, &s, &len), 0);
	assert_string_equal(s, "one");
	assert_int_equal(len, 3);
	free(s);
	/* A write that fails in the middle, as on a full disk, leaves the old file and nothing else. */
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(write_file_atomic(p, big, sizeof(big)), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(read_file(p, &s, &len), 0);
	assert_string_equal(s, "one");
	free(s);
	assert_int_equal(entries(d), 1);
	assert_int_equal(read_file("/nonexistent/x", &s, NULL), -ENOENT);
	assert_int_equal(write_file_atomic("/nonexistent/x", "", 0), -ENOENT);
	remove_tree(d);
	free(p);
	free(d);
}

static void test_copy_and_remove(void **state)
{
	char *d = tmp_dir(), *a = xasprintf("%s/a", d), *b = xasprintf("%s/b", d), *sub = xasprintf("%s/x/y/z", d), *s;
	struct stat st;

	(void)state;
	assert_int_equal(write_file_atomic(a, "data", 4), 0);
	chmod(a, 0755);
	assert_int_equal(copy_file(a, b), 0);
	assert_int_equal(read_file(b, &s, NULL), 0);
	assert_string_equal(s, "data");
	free(s);
	assert_int_equal(stat(b, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_int_equal(copy_file("/nonexistent", b), -ENOENT);
	assert_int_equal(mkdir_p(sub), 0);
	assert_int_equal(mkdir_p(sub), 0);
	assert_int_equal(remove_tree(d), 0);
	assert_false(file_exists(d));
	assert_int_equal(remove_tree(d), 0);
	free(a);
	free(b);
	free(sub);
	free(d);
}

static void collect(const char *line, void *arg)
{
	buf_printf(arg, "<%s>", line);
}

static void test_run_cmd(void **state)
{
	const char *echo[] = { "sh", "-c", "echo out; echo err >&2; exit 3", NULL };
	const char *lines[] = { "sh", "-c", "printf 'a\\nbb\\n'; printf ccc", NULL };
	const char *env[] = { "SHCACHE_TEST_X=hello", NULL };
	const char *show[] = { "sh", "-c", "printf %s $SHCACHE_TEST_X; pwd", NULL };
	const char *missing[] = { "/nonexistent/command", NULL };
	const char *killed[] = { "sh", "-c", "kill -9 $$", NULL };
	char *d = tmp_dir(), *log = xasprintf("%s/log", d), *s;
	struct buf out = {};
	struct run_opts ro = { .out = &out, .log = log };

	(void)state;
	assert_int_equal(run_cmd(echo, &ro), 3);
	assert_string_equal(out.s, "out\n");
	assert_int_equal(read_file(log, &s, NULL), 0);
	assert_string_equal(s, "err\n");
	free(s);
	buf_free(&out);
	ro = (struct run_opts){ .line = collect, .arg = &out };
	assert_int_equal(run_cmd(lines, &ro), 0);
	assert_string_equal(out.s, "<a><bb><ccc>");
	buf_free(&out);
	ro = (struct run_opts){ .out = &out, .env = env, .cwd = "/" };
	assert_int_equal(run_cmd(show, &ro), 0);
	assert_string_equal(out.s, "hello/\n");
	buf_free(&out);
	ro = (struct run_opts){ .log = log };
	assert_int_equal(run_cmd(missing, &ro), 127);
	assert_int_equal(run_cmd(killed, NULL), 128 + 9);
	remove_tree(d);
	free(log);
	free(d);
}

/* An interrupt ends the child and its children; nothing is left. */
static void test_interrupt(void **state)
{
	char *d = tmp_dir(), *pidfile = xasprintf("%s/pid", d), *s;
	char *script = xasprintf("sleep 60 & echo $! > %s; wait", pidfile);
	const char *argv[] = { "sh", "-c", script, NULL };
	pid_t pid = fork();
	int status, child;
	double t = now_s();

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		interrupts_install();
		_exit(run_cmd(argv, NULL) == -EINTR && interrupted() == SIGTERM ? 0 : 1);
	}
	while (!file_exists(pidfile) && now_s() - t < 5)
		usleep(1000);
	usleep(20000);
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(now_s() - t < 5);
	assert_int_equal(read_file(pidfile, &s, NULL), 0);
	child = atoi(s);
	free(s);
	assert_true(child > 0);
	for (int i = 0; i < 100 && !kill(child, 0); i++)
		usleep(10000);
	s = xasprintf("/proc/%d/cmdline", child);
	/* The number may be a zombie that init has not reaped: then it has no command line. */
	char *cmdline = NULL;

	if (!read_file(s, &cmdline, NULL))
		assert_string_equal(cmdline, "");
	free(cmdline);
	free(s);
	remove_tree(d);
	free(script);
	free(pidfile);
	free(d);
}

static void test_near_misses(void **state)
{
	static const char *const names[] = { "quick", "full", "smoke", "shcache", NULL };
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "quikc", ": did you mean quick?" },
		{ "FULL", ": did you mean full?" },
		{ "smok", ": did you mean smoke?" },
		{ "nothing-like-it", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char *s = near_misses(t[i].in, names);

		assert_string_equal(s, t[i].out);
		free(s);
	}
}

static void test_sha256(void **state)
{
	char hex[65], *d = tmp_dir(), *p = xasprintf("%s/f", d);

	(void)state;
	/* FIPS 180-2, appendix B.1 */
	sha256_hex("abc", 3, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	write_file_atomic(p, "abc", 3);
	memset(hex, 0, sizeof(hex));
	assert_int_equal(sha256_file(p, hex), 0);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(sha256_file("/nonexistent", hex), -ENOENT);
	remove_tree(d);
	free(p);
	free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf),	  cmocka_unit_test(test_write_atomic), cmocka_unit_test(test_copy_and_remove),
		cmocka_unit_test(test_run_cmd),	  cmocka_unit_test(test_interrupt),    cmocka_unit_test(test_near_misses),
		cmocka_unit_test(test_sha256),
	};

	return cmocka_run_group_tests_name("util", tests, NULL, NULL);
}
