// SPDX-License-Identifier: GPL-2.0
/* coverage.c: counts of several boots are added up, assertions are not counted; and the whole command with the real compiler and gcov. */
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
#include <unistd.h>

#include "coverage.h"
#include "rundoc-fixture.h"
#include "util.h"

static const char source[] =
	"int f(int a)\n"
	"{\n"
	"	if (a)\n"
	"		return 1;\n"
	"	VM_WARN_ON_ONCE(a > 3);\n"
	"	return 0;\n"
	"}\n";

/* Line 3 is in two functions. */
#define GCOV(n3, n3b, n4, b0, b1, calls)										\
	"{\"files\":[{\"file\":\"include/x.h\",\"lines\":[{\"line_number\":9,\"count\":0,\"branches\":[]}],\"functions\":[]},"	\
	"{\"file\":\"/src/mm/f.c\",\"functions\":[{\"name\":\"f\",\"start_line\":1,\"execution_count\":" calls "},"	\
	"{\"name\":\"g\",\"start_line\":7,\"execution_count\":0}],\"lines\":["						\
	"{\"line_number\":3,\"function_name\":\"f\",\"count\":" n3 ",\"branches\":[{\"count\":" b0 "},{\"count\":" b1 "}]},"	\
	"{\"line_number\":3,\"function_name\":\"g\",\"count\":" n3b ",\"branches\":[]},"				\
	"{\"line_number\":4,\"function_name\":\"f\",\"count\":" n4 ",\"branches\":[]},"				\
	"{\"line_number\":5,\"function_name\":\"f\",\"count\":0,\"branches\":[{\"count\":0},{\"count\":0},{\"count\":0}]}]}]}"

static void add(struct coverage *c, const char *text, int want)
{
	json_t *j = json_loads(text, 0, NULL);

	assert_non_null(j);
	assert_int_equal(coverage_add(c, j, "mm/f.c"), want);
	json_decref(j);
}

static void adds_up(void **state)
{
	struct coverage c = {};
	struct cov_sum s;

	(void)state;
	add(&c, GCOV("0", "0", "0", "0", "0", "0"), 0);
	s = coverage_sum(&c, source);
	assert_int_equal(s.lines, 3);
	assert_int_equal(s.lines_run, 0);
	assert_int_equal(s.functions, 2);
	assert_int_equal(s.functions_run, 0);
	/* One boot takes the one branch, another one the other. */
	add(&c, GCOV("0", "4", "0", "0", "2", "2"), 0);
	s = coverage_sum(&c, source);
	assert_int_equal(s.lines_run, 1);
	assert_int_equal(s.branches, 2);
	assert_int_equal(s.branches_taken, 1);
	assert_int_equal(s.left_out, 3);
	assert_int_equal(s.functions_run, 1);
	add(&c, GCOV("1", "0", "1", "1", "0", "1"), 0);
	s = coverage_sum(&c, source);
	assert_int_equal(s.lines_run, 2);
	assert_int_equal(s.branches_taken, 2);
	coverage_free(&c);
}

/* Another build, or another file, is refused. */
static void refuses(void **state)
{
	struct coverage c = {};

	(void)state;
	add(&c, "{\"files\":[]}", -EINVAL);
	add(&c, GCOV("0", "0", "0", "0", "0", "0"), 0);
	add(&c, "{\"files\":[{\"file\":\"mm/f.c\",\"functions\":[],\"lines\":[]}]}", -EINVAL);
	coverage_free(&c);
}

static void left_out(void **state)
{
	static const struct {
		const char *line;
		bool is;
	} t[] = {
		{ "	WARN_ON_ONCE(1);", true },		 { "	if (WARN_ON_ONCE(a))", true },
		{ "	VM_WARN_ON_ONCE_FOLIO(x,", true },	 { "	lockdep_assert_held(&l);", true },
		{ "	might_sleep();", true },		 { "	if (a && b)", false },
		{ "	this_cpu_add(a->b, n);", true },
		{ "	/* no warning here */", false },	 { "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char *text = xasprintf("first\n%s\nlast\n", t[i].line);

		assert_int_equal(coverage_left_out(text, 2), t[i].is);
		free(text);
	}
}

/* --- the command ------------------------------------------------------------------------------------------------------------- */

static void put(const char *dir, const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", dir, name);

	assert_int_equal(write_file_atomic(path, text, strlen(text)), 0);
	free(path);
}

static void sh(const char *dir, const char *cmd)
{
	assert_int_equal(run_cmd((const char *const[]){ "sh", "-c", cmd, NULL }, &(struct run_opts){ .cwd = dir, .log = "/dev/null" }), 0);
}

/* A run with one boot for each argument of the program, whose counters are its blobs. */
static void make_run(const char *dir, const char *name, const char *kernel, const char *const *args, size_t n)
{
	json_t *doc = fx_doc();
	char *run = xasprintf("%s/%s", dir, name), *data = xasprintf("%s/src/mm/f.gcda", dir), *text;
	size_t i, k, len;

	fx_kernel(doc, "base", "base", "", "");
	for (i = 0; i < n; i++) {
		char *bytes, *hex, *cmd = xasprintf("rm -f src/mm/f.gcda; src/prog %s", args[i]);
		json_t *cell = fx_cell(doc, "base", "hazard", "wall", "xfs", "reflink", (unsigned int)i, 0);
		json_t *x = fx_coords("path=/build/O/mm/f.gcda");

		sh(dir, cmd);
		assert_int_equal(read_file(data, &bytes, &len), 0);
		hex = xmalloc(2 * len + 1);
		for (k = 0; k < len; k++)
			sprintf(hex + 2 * k, "%02x", (unsigned char)bytes[k]);
		json_object_set_new(cell, "kernel_id", json_string(kernel));
		json_object_set_new(cell, "blobs", json_pack("[{s:s,s:o,s:s}]", "k", "gcov", "x", x, "v", hex));
		free(cmd);
		free(bytes);
		free(hex);
	}
	assert_int_equal(mkdir_p(run), 0);
	text = json_dumps(doc, 0);
	put(run, "run.json", text);
	free(text);
	free(run);
	free(data);
	json_decref(doc);
}

/* What the command prints for one or two runs. */
static char *captured(const char *dir, const char *first, const char *second, int want)
{
	char *path = xasprintf("%s/out", dir), *text, *a = xasprintf("%s/runs/%s", dir, first), *b = xasprintf("%s/runs/%s", dir, second);
	int out = dup(1), fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), status;

	fflush(stdout);
	dup2(fd, 1);
	status = run_coverage((const char *const[]){ a, b }, *second ? 2 : 1);
	fflush(stdout);
	dup2(out, 1);
	close(out);
	close(fd);
	assert_int_equal(status, want);
	assert_int_equal(read_file(path, &text, NULL), 0);
	free(path);
	free(a);
	free(b);
	return text;
}

static void command(void **state)
{
	static const char *const never[] = { "0" }, *const both[] = { "0", "1" };
	char dir[] = "/tmp/test-coverage-XXXXXX", *cache, *text;

	(void)state;
	assert_non_null(mkdtemp(dir));
	cache = xasprintf("%s/cache", dir);
	setenv("SHCACHE_CACHE", cache, 1);
	sh(dir, "mkdir -p src/mm cache/kernels/k1 cache/kernels/k2 runs");
	put(dir, "src/mm/f.c",
	    "int f(int a)\n{\n\tif (a)\n\t\treturn 1;\n\treturn 0;\n}\n\nint g(void)\n{\n\treturn 2;\n}\n");
	put(dir, "src/main.c", "#include <stdlib.h>\nint f(int a);\nint main(int c, char **v)\n{\n\treturn c < 2 || f(atoi(v[1])) > 1;\n}\n");
	sh(dir, "cd src && gcc -O0 -fprofile-arcs -ftest-coverage -c -o mm/f.o mm/f.c && gcc --coverage -o prog main.c mm/f.o");
	sh(dir, "cp src/mm/f.gcno 'cache/kernels/k1/mm#f.gcno' && cp src/mm/f.c 'cache/kernels/k1/mm#f.c'");
	make_run(dir, "runs/never", "k1", never, 1);
	make_run(dir, "runs/both", "k1", both, 2);
	make_run(dir, "runs/other", "k2", never, 1);
	make_run(dir, "runs/none", "k1", never, 0);

	text = captured(dir, "never", "", EXIT_OK);
	assert_non_null(strstr(text, "1 boots of kernel k1"));
	assert_non_null(strstr(text, "mm/f.c"));
	assert_non_null(strstr(text, "     4  f                            return 1;\n"));
	assert_non_null(strstr(text, "    10  g                            return 2;\n"));
	assert_null(strstr(text, "return 0;"));
	free(text);
	text = captured(dir, "never", "both", EXIT_OK);
	assert_non_null(strstr(text, "3 boots of kernel k1"));
	assert_null(strstr(text, "return 1;"));
	assert_non_null(strstr(text, "return 2;"));
	free(text);
	/* Another kernel, whose notes are gone; a run without counters. */
	free(captured(dir, "other", "", EXIT_INFRA));
	free(captured(dir, "never", "other", EXIT_INFRA));
	free(captured(dir, "none", "", EXIT_INFRA));
	remove_tree(dir);
	free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adds_up),
		cmocka_unit_test(refuses),
		cmocka_unit_test(left_out),
		cmocka_unit_test(command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
