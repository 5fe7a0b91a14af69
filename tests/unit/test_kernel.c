// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel builder, end to end on a source tree of a few files whose Makefile speaks kbuild's interface: specifications
 * with every error, identity, strict patches, symbols that do not take, failing and interrupted builds, two builders at
 * once, and the way of a series into a git tree and back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel-internal.h"
#include "kernel.h"
#include "util.h"

static char top[] = "/tmp/shcache-kernel-XXXXXX";

/* What the last CALL() wrote to stderr. */
static char *said;
static int saved_stderr = -1, saved_stdout = -1;

static int capture_begin(void)
{
	char *path = xasprintf("%s/said", top);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	free(path);
	fflush(NULL);
	saved_stderr = dup(STDERR_FILENO);
	saved_stdout = dup(STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	dup2(fd, STDOUT_FILENO);
	return close(fd);
}

static int capture_end(int ret)
{
	char *path = xasprintf("%s/said", top);

	fflush(NULL);
	dup2(saved_stderr, STDERR_FILENO);
	dup2(saved_stdout, STDOUT_FILENO);
	close(saved_stderr);
	close(saved_stdout);
	free(said);
	said = NULL;
	if (read_file(path, &said, NULL))
		said = xstrdup("");
	free(path);
	return ret;
}
/* The comma keeps the order: capture, call, end. */
#define CALL(expr) (capture_begin(), capture_end(expr))

static void assert_said(const char *text)
{
	if (!strstr(said, text))
		fail_msg("\"%s\" is not in what was said:\n%s", text, said);
}

static char *at(const char *rel)
{
	static char path[4][512];
	static unsigned int i;

	i = (i + 1) % ARRAY_SIZE(path);
	snprintf(path[i], sizeof(path[i]), "%s/%s", top, rel);
	return path[i];
}

static void put(const char *rel, const char *text)
{
	char *path = at(rel), *slash = strrchr(path, '/');

	*slash = '\0';
	assert_int_equal(mkdir_p(path), 0);
	*slash = '/';
	assert_int_equal(write_file_atomic(path, text, strlen(text)), 0);
}

static char *got(const char *rel)
{
	char *text;

	assert_int_equal(read_file(at(rel), &text, NULL), 0);
	return text;
}

static void sh(const char *command)
{
	char *full = xasprintf("cd '%s' && { %s ; } >sh.log 2>&1", top, command);

	if (system(full)) {
		char *log = got("sh.log");

		fail_msg("%s: %s", command, log);
	}
	free(full);
}

/* A source tree that answers to what the builder asks of kbuild. */
static const char makefile[] =
	"allnoconfig:\n"
	"\t@mkdir -p $(O)\n"
	"\t@grep -v -e ABSENT $(KCONFIG_ALLCONFIG) >$(O)/.config || true\n"
	"\t@echo CONFIG_FORCED=y >>$(O)/.config\n"
	"bzImage:\n"
	"\t@echo built >>$(O)/../../../../../builds\n"
	"\t@test ! -e $(O)/../../../../../slow || { touch $(O)/../../../../../started; sleep 60; }\n"
	"\t@mkdir -p $(O)/arch/x86/boot $(O)/include/config\n"
	"\t@echo '  CC      mm/filemap.o'\n"
	"\t@$(CC) -c -o $(O)/filemap.o mm/filemap.c\n"
	"\t@cat mm/*.c $(O)/.config >$(O)/arch/x86/boot/bzImage; echo map >$(O)/System.map; touch $(O)/vmlinux\n"
	"\t@echo 6.12.0-fake >$(O)/include/config/kernel.release\n"
	".PHONY: allnoconfig bzImage\n";

static const char filemap[] =
	"int one;\nint two;\nint three;\nint four;\nint five;\nint six;\nint seven;\nint eight;\nint nine;\nint ten;\n"
	"int eleven;\nint twelve;\nint thirteen;\nint fourteen;\nint fifteen;\nint sixteen;\nint seventeen;\nint eighteen;\n";

/* Changes line 10; its context is lines 7 to 13. */
static const char patch_ten[] =
	"From: A Hacker <a@example.org>\n"
	"Date: Tue, 2 Jan 2024 10:00:00 +0200\n"
	"Subject: [PATCH] mm: make ten longer\n"
	"\n"
	"Because it is so short.\n"
	"\n"
	"Signed-off-by: A Hacker <a@example.org>\n"
	"---\n"
	"diff --git a/mm/filemap.c b/mm/filemap.c\n"
	"--- a/mm/filemap.c\n"
	"+++ b/mm/filemap.c\n"
	"@@ -7,7 +7,7 @@ int six;\n"
	" int seven;\n"
	" int eight;\n"
	" int nine;\n"
	"-int ten;\n"
	"+long ten;\n"
	" int eleven;\n"
	" int twelve;\n"
	" int thirteen;\n";

static const char patch_new_file[] =
	"From: \xc3\x84nna H\xc3\xa4\x63ker <a@example.org>\n"
	"Date: Wed, 3 Jan 2024 10:00:00 -0500\n"
	"Subject: [PATCH 2/2] mm: add a file whose name and whose reason to be need a subject of more than one line\n"
	"MIME-Version: 1.0\n"
	"Content-Type: text/plain; charset=UTF-8\n"
	"Content-Transfer-Encoding: 8bit\n"
	"\n"
	"Sch\xc3\xb6n.\n"
	"---\n"
	"diff --git a/mm/new.c b/mm/new.c\n"
	"new file mode 100644\n"
	"--- /dev/null\n"
	"+++ b/mm/new.c\n"
	"@@ -0,0 +1,2 @@\n"
	"+int new;\n"
	"+int newer;\n";

/* Everything as it was, except for the caches: these hold by their keys. */
static int reset(void **state)
{
	(void)state;
	sh("rm -rf top/kernels top/series top/fake top/extra.patch top/repo cache/kernels cache/work builds slow started");
	put("top/fake/Makefile", makefile);
	put("top/fake/mm/filemap.c", filemap);
	put("top/fake/mm/Kconfig", "config KNOWN\n\tbool\n");
	put("top/fake/.gitignore", "/*\n");	/* must not hide the source */
	put("top/kernels/a.config", "# comment\nCONFIG_A=y\nCONFIG_N=7\n# CONFIG_B is not set\n");
	put("top/kernels/d.config", "CONFIG_D=y\nCONFIG_N=8\n");
	put("top/kernels/base.kernel", "summary = plain\nsource = tree:fake\nconfig = a.config\nconfig.debug = a.config d.config\n");
	put("top/kernels/cand.kernel", "source = tree:fake\nseries = series\nconfig = a.config\n");
	put("top/series/series", "# the order\n0001-ten.patch\n0002-new.patch # second\n");
	put("top/series/0001-ten.patch", patch_ten);
	put("top/series/0002-new.patch", patch_new_file);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(top))
		return -1;
	setenv("SHBENCH_TOP", at("top"), 1);
	setenv("SHCACHE_CACHE", at("cache"), 1);
	unsetenv("CCACHE_DIR");
	/* As in a git hook. */
	setenv("GIT_DIR", "/nonexistent", 1);
	setenv("GIT_INDEX_FILE", "/nonexistent/index", 1);
	/* As below a "make -n". */
	setenv("MAKEFLAGS", "n", 1);
	interrupts_install();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(said);
	return remove_tree(top);
}

static unsigned int count_lines(const char *rel)
{
	unsigned int n = 0;
	char *text;

	if (read_file(at(rel), &text, NULL))
		return 0;
	for (char *p = text; (p = strchr(p, '\n')); p++)
		n++;
	free(text);
	return n;
}

/* Number of entries, hidden ones too. */
static unsigned int count_entries(const char *rel)
{
	DIR *d = opendir(at(rel));
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n > 2 ? n - 2 : 0;
}

static void test_spec_good(void **state)
{
	struct kernel_spec s;

	(void)state;
	put("top/kernels/x.kernel", "# a comment\n\n  summary=two words # and a comment\nsource = git:/some/where#v6.12~1\n"
	    "series\t=\tseries\nextra = series/0001-ten.patch\nextra = series/0002-new.patch\nconfig = a.config\n"
	    "config.debug = a.config  d.config\ncmdline = a=b c=#d\r\n");
	assert_int_equal(spec_load("x+debug", &s), 0);
	assert_string_equal(s.name, "x");
	assert_string_equal(s.set, "debug");
	assert_string_equal(s.summary, "two words");
	assert_int_equal(s.kind, SRC_GIT);
	assert_string_equal(s.source, "/some/where");
	assert_string_equal(s.ref, "v6.12~1");
	assert_string_equal(s.series, at("top/series"));
	assert_int_equal(s.extra.n, 2);
	assert_string_equal(s.extra.v[1], at("top/series/0002-new.patch"));
	assert_int_equal(s.config.n, 2);
	assert_string_equal(s.config.v[1], at("top/kernels/d.config"));
	assert_string_equal(s.cmdline, "a=b c=#d");
	spec_free(&s);
	put("top/kernels/x.kernel", "source = deb:linux-source-6.12\nseries = none\nconfig = a.config");
	assert_int_equal(spec_load("x", &s), 0);
	assert_string_equal(s.source, "linux-source-6.12");
	assert_null(s.series);
	assert_string_equal(s.summary, "");
	spec_free(&s);
}

static void test_spec_errors(void **state)
{
	static const struct {
		const char *text, *asked;
		int ret;
		const char *message;
	} cases[] = {
		{ "source = tree:fake\nnonsense\n", "x", -EINVAL, "kernels/x.kernel:2: \"nonsense\" is not \"key = value\"" },
		{ "= 1\n", "x", -EINVAL, "kernels/x.kernel:1: \"= 1\" is not" },
		{ "summary =\n", "x", -EINVAL, "kernels/x.kernel:1: \"summary\" has no value" },
		{ "summary = # gone\n", "x", -EINVAL, "kernels/x.kernel:1: \"summary\" has no value" },
		{ "\nsumary = a\n", "x", -EINVAL, "kernels/x.kernel:2: unknown key \"sumary\": did you mean summary" },
		{ "summary = a\nsummary = b\n", "x", -EINVAL, ":2: \"summary\" for the second time, first in line 1" },
		{ "source = deb:\n", "x", -EINVAL, ":1: source = deb:: nothing after \"deb:\"" },
		{ "source = dep:linux\n", "x", -EINVAL, "neither deb:PACKAGE, tree:PATH, git:PATH#REF nor bzimage:PATH: did you mean deb" },
		{ "source = /usr/src/linux\n", "x", -EINVAL, "neither deb:PACKAGE" },
		{ "source = git:/some/where\n", "x", -EINVAL, ":1: source = git:/some/where: no commit" },
		{ "source = git:/some/where#\n", "x", -EINVAL, "no commit" },
		{ "series = nowhere\n", "x", -EINVAL, ":1: no directory nowhere" },
		{ "extra = nowhere.patch\n", "x", -EINVAL, ":1: no patch nowhere.patch" },
		{ "config = a.config b.config\n", "x", -EINVAL, ":1: no fragment kernels/b.config" },
		{ "config.debug = b.config\n", "x", -EINVAL, ":1: no fragment kernels/b.config" },
		{ "config. = a.config\n", "x", -EINVAL, ":1: config. without the name of a set" },
		{ "config.a/b = a.config\n", "x", -EINVAL, ":1: config.a/b: a set's name has" },
		{ "config.a = a.config\nconfig.a = a.config\n", "x", -EINVAL, ":2: config set \"a\" for the second time" },
		{ "config = a.config\nconfig.default = a.config\n", "x", -EINVAL, ":2: config set \"default\" for the second time" },
		{ "config = a.config\n", "x", -EINVAL, "no \"source\"" },
		{ "", "x", -EINVAL, "no \"source\"" },
		{ "source = tree:fake\n", "x", -EINVAL, "no \"config\"" },
		{ "source = tree:fake\nconfig.debug = a.config\n", "x", -EINVAL, "no \"config\"" },
		{ "source = bzimage:b\nseries = series\n", "x", -EINVAL, ":2: \"series\" makes no sense with a ready-made bzimage" },
		{ "source = bzimage:b\nextra = extra\n", "x", -EINVAL, ":2: no patch extra" },
		{ "source = bzimage:b\nextra = series/0001-ten.patch\n", "x", -EINVAL, ":2: \"extra\" makes no sense" },
		{ "source = bzimage:b\n\nconfig = a.config\n", "x", -EINVAL, ":3: \"config\" makes no sense" },
		{ "source = bzimage:b\nconfig.debug = a.config\n", "x", -EINVAL, ":2: \"config\" makes no sense" },
		{ "source = tree:fake\nconfig = a.config\nconfig.debug = d.config\n", "x+debgu", -ENOENT,
		  "kernel x has no config set \"debgu\": did you mean debug" },
		{ "source = tree:fake\nconfig = a.config\n", "bsae", -ENOENT, "no kernel \"bsae\"" },
		{ "source = tree:fake\nconfig = a.config\n", "bsae", -ENOENT, "did you mean base" },
		{ "source = tree:fake\nconfig = a.config\n", "../kernels/x", -ENOENT, "no kernel" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kernel_spec s;

		put("top/kernels/x.kernel", cases[i].text);
		assert_int_equal(CALL(spec_load(cases[i].asked, &s)), cases[i].ret);
		assert_said(cases[i].message);
		/* One line, once. */
		assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
		spec_free(&s);
	}
}

static void test_config_fragments(void **state)
{
	static const struct {
		const char *text, *message;
	} bad[] = {
		{ "CONFIG_A=y\nCONFIG_B\n", "kernels/bad.config:2: \"CONFIG_B\" is neither" },
		{ "CONFIG_A=\n", "kernels/bad.config:1: \"CONFIG_A=\" is neither" },
		{ "A=y\n", "kernels/bad.config:1: \"A=y\" is neither" },
		{ "\n\n CONFIG_A=y\n", "kernels/bad.config:3: " },
	};
	struct config_wants w = {};
	struct strv files = {};

	(void)state;
	strv_add(&files, xstrdup(at("top/kernels/bad.config")));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		put("top/kernels/bad.config", bad[i].text);
		assert_int_equal(CALL(config_read(&files, &w)), -EINVAL);
		assert_said(bad[i].message);
		config_wants_free(&w);
	}
	strv_free(&files);
	/* The later fragment wins, and says where. */
	strv_add(&files, xstrdup(at("top/kernels/a.config")));
	strv_add(&files, xstrdup(at("top/kernels/d.config")));
	assert_int_equal(config_read(&files, &w), 0);
	assert_int_equal(w.n, 4);
	assert_string_equal(w.v[3].symbol, "CONFIG_N");
	assert_string_equal(w.v[3].value, "8");
	assert_string_equal(w.v[3].where, "kernels/d.config:2");
	assert_string_equal(w.v[1].symbol, "CONFIG_B");
	assert_string_equal(w.v[1].value, "n");
	config_wants_free(&w);
	strv_free(&files);
}

static void note_miss(const struct config_want *w, const char *has, void *arg)
{
	buf_printf(arg, "%s=%s:%s ", w->symbol, w->value, has);
}

static void test_config_check(void **state)
{
	static const struct {
		const char *final, *misses;
	} cases[] = {
		{ "CONFIG_Y=y\nCONFIG_S=\"a b\"\n# CONFIG_N is not set\nCONFIG_I=64\nCONFIG_OTHER=y\n", "" },
		{ "CONFIG_Y=y\nCONFIG_S=\"a b\"\nCONFIG_I=64\n", "" },		/* absent is not set */
		{ "CONFIG_S=\"a b\"\nCONFIG_I=64\n", "CONFIG_Y=y:n " },
		{ "# CONFIG_Y is not set\nCONFIG_S=\"a b\"\nCONFIG_I=64\n", "CONFIG_Y=y:n " },
		{ "CONFIG_Y=m\nCONFIG_S=\"a b\"\nCONFIG_I=64\n", "CONFIG_Y=y:m " },
		{ "CONFIG_Y=y\nCONFIG_S=\"a\"\nCONFIG_I=32\nCONFIG_N=y\n", "CONFIG_S=\"a b\":\"a\" CONFIG_I=64:32 CONFIG_N=n:y " },
		{ "CONFIG_YY=y\nCONFIG_S=\"a b\"\nCONFIG_I=64\n", "CONFIG_Y=y:n " },
		{ "", "CONFIG_Y=y:n CONFIG_S=\"a b\":n CONFIG_I=64:n " },
	};
	struct config_wants w = {};
	struct strv files = {};

	(void)state;
	put("top/kernels/w.config", "CONFIG_Y=y\nCONFIG_S=\"a b\"\nCONFIG_I=64\nCONFIG_N=n\n");
	strv_add(&files, xstrdup(at("top/kernels/w.config")));
	assert_int_equal(config_read(&files, &w), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf b = {};
		size_t n = 0;

		buf_str(&b, "");
		for (const char *p = cases[i].misses; (p = strchr(p, ':')); p++)
			n++;
		assert_int_equal(config_check(&w, cases[i].final, note_miss, &b), n);
		assert_string_equal(b.s, cases[i].misses);
		buf_free(&b);
	}
	config_wants_free(&w);
	strv_free(&files);
}

static void test_first_error(void **state)
{
	static const struct {
		const char *log, *first;
	} cases[] = {
		{ "  CC      mm/a.o\n../mm/a.c: In function 'f':\n../mm/a.c:7:2: error: 'x' undeclared\n../mm/a.c:9:2: error: later\n",
		  "mm/a.c:7:2: error: 'x' undeclared" },
		{ "../mm/a.c:7:2: warning: w\n../mm/b.c:1:10: fatal error: no.h: No such file or directory\n",
		  "mm/b.c:1:10: fatal error: no.h: No such file or directory" },
		/* make's own complaint comes first with -j, the compiler's is the cause. */
		{ "make[3]: *** [x] Error 1\nmm/a.c:7: error: real\n", "mm/a.c:7: error: real" },
		{ "  LD      vmlinux\nld: mm/a.o: in function `f':\na.c:(.text+0x5): undefined reference to `g'\nmake: *** [vmlinux] Error 1\n",
		  "ld: mm/a.o: in function `f':" },
		{ "/bin/sh: 1: flex: not found\nmake[1]: *** [lexer] Error 127\n", "/bin/sh: 1: flex: not found" },
		{ "make: *** No rule to make target 'x'.  Stop.\n", "make: *** No rule to make target 'x'.  Stop." },
		{ "mm/Kconfig:3: syntax error\n", "mm/Kconfig:3: syntax error" },
		{ "all is well\n", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *first;

		put("log", cases[i].log);
		first = build_first_error(at("log"));
		if (cases[i].first)
			assert_string_equal(first ? first : "(none)", cases[i].first);
		else
			assert_null(first);
		free(first);
	}
	assert_null(build_first_error(at("nosuchlog")));
}

static void test_id(void **state)
{
	struct config_want one[] = { { "CONFIG_A", "y", "f:1" } }, moved[] = { { "CONFIG_A", "y", "g:9" } };
	struct config_want other[] = { { "CONFIG_A", "n", "f:1" } }, two[] = { { "CONFIG_A", "y", "" }, { "CONFIG_B", "y", "" } };
	const struct config_wants a = { one, 1 }, same = { moved, 1 };
	const struct {
		const char *version, *series, *cc, *ld;
		struct config_wants w;
	} differ[] = {
		{ "2", "s", "gcc 12", "ld 2", a },
		{ "1", "", "gcc 12", "ld 2", a },
		{ "1", "s", "gcc 13", "ld 2", a },
		{ "1", "s", "gcc 12", "ld 3", a },
		{ "1s", "", "gcc 12", "ld 2", a },		/* parts do not flow into each other */
		{ "1", "s", "gcc 12", "ld 2", { other, 1 } },
		{ "1", "s", "gcc 12", "ld 2", { two, 2 } },
		{ "1", "s", "gcc 12", "ld 2", { NULL, 0 } },
	};
	char id[17], id2[17];

	(void)state;
	kernel_id("1", "s", &a, "gcc 12", "ld 2", id);
	assert_int_equal(strlen(id), 16);
	assert_int_equal(strspn(id, "0123456789abcdef"), 16);
	kernel_id("1", "s", &same, "gcc 12", "ld 2", id2);
	assert_string_equal(id, id2);
	for (size_t i = 0; i < ARRAY_SIZE(differ); i++) {
		kernel_id(differ[i].version, differ[i].series, &differ[i].w, differ[i].cc, differ[i].ld, id2);
		assert_string_not_equal(id, id2);
	}
}

static void id_of(const char *name, char id[17])
{
	struct kernel_build b;

	assert_int_equal(CALL(kernel_lookup(name, &b)), 0);
	assert_int_equal(strlen(b.id), 16);
	memcpy(id, b.id, 17);
	kernel_build_free(&b);
}

static void test_id_of_files(void **state)
{
	static const struct {
		const char *file, *text;
		bool same;
		const char *why;
	} steps[] = {
		{ "top/kernels/cand.kernel", "summary = other\nsource = tree:fake\nseries = series\nconfig = a.config\ncmdline = q\n",
		  true, "summary and command line are not in the kernel" },
		{ "top/kernels/a.config", "CONFIG_A=y\n\n# other comment\nCONFIG_N=7\nCONFIG_B=n\n", true, "the same symbols" },
		{ "top/kernels/d.config", "CONFIG_D=n\n", true, "a fragment of another set" },
		{ "top/fake/mm/filemap.o", "object", true, "build products are not source" },
		{ "top/series/series", "0001-ten.patch\n0002-new.patch\n", true, "comments of the list" },
		{ "top/kernels/a.config", "CONFIG_A=y\nCONFIG_N=9\nCONFIG_B=n\n", false, "a value" },
		{ "top/series/series", "0001-ten.patch\n", false, "a patch less" },
		{ "top/series/0001-ten.patch", "From: x\n", false, "a patch's content" },
		{ "top/fake/mm/filemap.c", "int x;\n", false, "the source" },
		{ "top/fake/include/new.h", "int x;\n", false, "a new file in the source" },
	};
	char id[17], now[17], base[17];

	(void)state;
	id_of("cand", id);
	id_of("base", base);
	assert_string_not_equal(id, base);
	id_of("base+debug", now);
	assert_string_not_equal(base, now);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		put(steps[i].file, steps[i].text);
		id_of("cand", now);
		if (steps[i].same != !strcmp(id, now))
			fail_msg("%s: id %s", steps[i].why, steps[i].same ? "changed" : "did not change");
		memcpy(id, now, 17);
	}
	sh("rm top/fake/mm/Kconfig");
	id_of("cand", now);
	assert_string_not_equal(id, now);
}

static void test_get(void **state)
{
	struct kernel_build b, again;
	json_t *j;
	char *text;

	(void)state;
	assert_int_equal(kernel_lookup("base", &b), 0);
	assert_null(b.bzimage);
	kernel_build_free(&b);
	assert_int_equal(CALL(kernel_get("base", &b)), 0);
	assert_false(b.cached);
	assert_string_equal(b.name, "base");
	assert_string_equal(b.summary, "plain");
	assert_string_equal(b.release, "6.12.0-fake");
	assert_string_equal(b.series_hash, "");
	assert_int_equal(strlen(b.config_hash), 64);
	assert_int_equal(strncmp(b.source, "tree:/", 6), 0);
	assert_true(file_exists(b.bzimage));
	/* The same name for the second time is the same kernel, and nothing is built. */
	assert_int_equal(kernel_get("base", &again), 0);
	assert_true(again.cached);
	assert_string_equal(again.id, b.id);
	assert_string_equal(again.bzimage, b.bzimage);
	assert_string_equal(again.release, b.release);
	assert_string_equal(again.config_hash, b.config_hash);
	assert_int_equal(count_lines("builds"), 1);
	j = kernel_provenance(&again);
	assert_string_equal(json_string_value(json_object_get(j, "id")), b.id);
	assert_string_equal(json_string_value(json_object_get(j, "config_hash")), b.config_hash);
	json_decref(j);
	/* A damaged entry is noticed and built again. */
	put("junk", "damaged");
	assert_int_equal(copy_file(at("junk"), b.bzimage), 0);
	kernel_build_free(&again);
	assert_int_equal(CALL(kernel_get("base", &again)), 0);
	assert_said("damaged");
	assert_false(again.cached);
	assert_int_equal(read_file(again.bzimage, &text, NULL), 0);
	assert_non_null(strstr(text, "int ten;"));
	free(text);
	assert_int_equal(count_entries("cache/kernels"), 1);
	kernel_build_free(&again);
	kernel_build_free(&b);
}

static void test_series_incremental(void **state)
{
	struct kernel_build b;
	struct stat filemap_before, filemap_after, new_before, new_after;
	char *text, *src, *key;
	struct kernel_spec s;

	(void)state;
	assert_int_equal(CALL(kernel_get("cand", &b)), 0);
	assert_int_equal(strlen(b.series_hash), 64);
	assert_int_equal(read_file(b.bzimage, &text, NULL), 0);
	assert_non_null(strstr(text, "long ten;"));
	assert_non_null(strstr(text, "int newer;"));
	free(text);
	kernel_build_free(&b);
	assert_int_equal(spec_load("cand", &s), 0);
	key = source_build_key(&s);
	src = xasprintf("cache/build/%s/src", key);
	spec_free(&s);
	text = xasprintf("%s/mm/filemap.c", src);
	assert_int_equal(stat(at(text), &filemap_before), 0);
	free(text);
	text = xasprintf("%s/mm/new.c", src);
	assert_int_equal(stat(at(text), &new_before), 0);
	free(text);
	/* The next revision of the series changes one of two files. */
	sh("sed -i 's/+int newer/+int newest/' top/series/0002-new.patch; sleep 0.02");
	assert_int_equal(CALL(kernel_get("cand", &b)), 0);
	assert_false(b.cached);
	assert_int_equal(read_file(b.bzimage, &text, NULL), 0);
	assert_non_null(strstr(text, "long ten;"));
	assert_non_null(strstr(text, "int newest;"));
	free(text);
	kernel_build_free(&b);
	text = xasprintf("%s/mm/filemap.c", src);
	assert_int_equal(stat(at(text), &filemap_after), 0);
	free(text);
	text = xasprintf("%s/mm/new.c", src);
	assert_int_equal(stat(at(text), &new_after), 0);
	assert_int_equal(filemap_before.st_mtim.tv_nsec, filemap_after.st_mtim.tv_nsec);
	assert_int_not_equal(new_before.st_mtim.tv_nsec, new_after.st_mtim.tv_nsec);
	/* Without the second patch its file goes. */
	put("top/series/series", "0001-ten.patch\n");
	assert_int_equal(CALL(kernel_get("cand", &b)), 0);
	assert_false(file_exists(at(text)));
	kernel_build_free(&b);
	free(text);
	free(src);
	free(key);
}

static void test_series_strict(void **state)
{
	struct kernel_build b;

	(void)state;
	/* Moved by three lines: an offset is fine. */
	sh("sed -i '1i int a;\\nint b;\\nint c;' top/fake/mm/filemap.c");
	assert_int_equal(CALL(kernel_get("cand", &b)), 0);
	kernel_build_free(&b);
	/* One line of context differs: patch(1) would apply it with fuzz 2. */
	sh("sed -i 's/^int twelve;$/int dozen;/' top/fake/mm/filemap.c");
	assert_int_equal(CALL(kernel_get("cand", &b)), -EINVAL);
	assert_said("top/series/0001-ten.patch: hunk @@ -7,7 +7,7 of mm/filemap.c (lines 7-13) does not apply: ");
	assert_said("line 15 of the tree is \"int dozen;\", the patch expects \"int twelve;\"");
	sh("rm top/fake/mm/filemap.c; echo x >top/fake/mm/x.c");
	assert_int_equal(CALL(kernel_get("cand", &b)), -EINVAL);
	assert_said("0001-ten.patch: does not apply: mm/filemap.c: does not exist");
	/* A second patch that needs what the first one took away. */
	put("top/fake/mm/filemap.c", filemap);
	put("top/series/0002-new.patch", patch_ten);
	assert_int_equal(CALL(kernel_get("cand", &b)), -EINVAL);
	assert_said("0002-new.patch: hunk");
	assert_said("line 10 of the tree is \"long ten;\", the patch expects \"int ten;\"");
	put("top/series/0002-new.patch", "no patch at all\n");
	assert_int_equal(CALL(kernel_get("cand", &b)), -EINVAL);
	assert_said("0002-new.patch: does not apply: ");
	sh("rm top/series/0002-new.patch");
	assert_int_equal(CALL(kernel_get("cand", &b)), -ENOENT);
	assert_said("0002-new.patch: No such file");
	sh("rm top/series/series");
	assert_int_equal(CALL(kernel_get("cand", &b)), -ENOENT);
	assert_said("kernels/cand.kernel:2: ");
}

static void test_extra(void **state)
{
	struct kernel_build b;
	char *text, id[17];

	(void)state;
	id_of("cand", id);
	put("top/extra.patch", "--- a/mm/new.c\n+++ b/mm/new.c\n@@ -1,2 +1,2 @@\n int new;\n-int newer;\n+int extra;\n");
	put("top/kernels/canary.kernel", "source = tree:fake\nseries = series\nextra = extra.patch\nconfig = a.config\n");
	assert_int_equal(CALL(kernel_get("canary", &b)), 0);
	assert_string_not_equal(b.id, id);
	assert_int_equal(read_file(b.bzimage, &text, NULL), 0);
	assert_non_null(strstr(text, "int extra;"));
	free(text);
	kernel_build_free(&b);
	assert_int_equal(CALL(cmd_kernel(2, (char *[]){ "export", "canary", NULL })), EXIT_USAGE);
	assert_said("extra patches");
}

static void test_missing_symbols(void **state)
{
	struct kernel_build b;

	(void)state;
	put("top/kernels/a.config", "CONFIG_A=y\nCONFIG_ABSENT=y\nCONFIG_KNOWN_ABSENT=y\nCONFIG_FORCED=n\n");
	sh("printf 'config KNOWN_ABSENT\\n\\tbool\\n' >top/fake/mm/Kconfig");
	assert_int_equal(CALL(kernel_get("base", &b)), -EINVAL);
	assert_said("kernels/a.config:2: CONFIG_ABSENT=y did not take in base: it is not set; this source has no such symbol");
	assert_said("kernels/a.config:3: CONFIG_KNOWN_ABSENT=y did not take in base: it is not set; what it depends on is not set");
	assert_said("kernels/a.config:4: CONFIG_FORCED=n did not take in base: it is y\n");
	assert_int_equal(count_lines("builds"), 0);
	assert_int_equal(count_entries("cache/kernels"), 0);
	assert_int_equal(CALL(cmd_kernel(2, (char *[]){ "config", "base", NULL })), EXIT_USAGE);
	assert_said("CONFIG_ABSENT=y did not take");
	/* A symbol that the series brings is one of this source. */
	put("top/series/series", "0001-kconfig.patch\n");
	put("top/series/0001-kconfig.patch", "--- a/mm/Kconfig\n+++ b/mm/Kconfig\n@@ -1,2 +1,4 @@\n config KNOWN_ABSENT\n \tbool\n"
	    "+config ABSENT\n+\tbool\n");
	assert_int_equal(CALL(kernel_get("cand", &b)), -EINVAL);
	assert_said("CONFIG_ABSENT=y did not take in cand: it is not set; what it depends on is not set");
	put("top/kernels/a.config", "CONFIG_A=y\nCONFIG_FORCED=y\n");
	assert_int_equal(CALL(cmd_kernel(2, (char *[]){ "config", "base", NULL })), EXIT_OK);
	assert_said("O-default/.config\n");
	assert_said("all 2 requested symbols took");
}

static void test_compile_error(void **state)
{
	struct kernel_build b;
	char *log;

	(void)state;
	sh("sed -i 's/^int four;/int four/' top/fake/mm/filemap.c");
	assert_int_equal(CALL(kernel_get("base", &b)), -EIO);
	assert_said("kernel base: build failed: mm/filemap.c:4:9: error: ");
	assert_said("whole log: ");
	log = strstr(said, "whole log: ") + strlen("whole log: ");
	log[strcspn(log, "\n")] = '\0';
	assert_true(file_exists(log));
	assert_int_equal(count_entries("cache/kernels"), 0);
	/* And the repaired tree builds, in the same build directory. */
	put("top/fake/mm/filemap.c", filemap);
	assert_int_equal(CALL(kernel_get("base", &b)), 0);
	kernel_build_free(&b);
}

/* Runs kernel_get() in a child with its output thrown away. */
static pid_t get_in_child(const char *name)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		struct kernel_build b;
		int null = open("/dev/null", O_WRONLY), ret;

		dup2(null, 1);
		dup2(null, 2);
		ret = kernel_get(name, &b);
		if (!ret)
			kernel_build_free(&b);
		_exit(ret == -EINTR ? 77 : ret ? 1 : 0);
	}
	return pid;
}

static int exit_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_interrupt(void **state)
{
	struct kernel_build b;
	pid_t pid;
	char *check;

	(void)state;
	put("slow", "");
	pid = get_in_child("base");
	for (int i = 0; i < 500 && !file_exists(at("started")); i++)
		usleep(10000);
	assert_true(file_exists(at("started")));
	kill(pid, SIGTERM);
	assert_int_equal(exit_of(pid), 77);
	assert_int_equal(count_entries("cache/kernels"), 0);
	/* No make is left that knows this directory. */
	check = xasprintf("! grep -l -a '%s.*[b]zImage' /proc/[0-9]*/cmdline 2>/dev/null | grep .", top);
	sh(check);
	free(check);
	/* What was cut off is not trusted, and nothing hinders the next build. */
	sh("rm slow");
	assert_int_equal(CALL(kernel_get("base", &b)), 0);
	assert_said("cut off");
	kernel_build_free(&b);
}

static void test_two_builders(void **state)
{
	pid_t a, b;

	(void)state;
	a = get_in_child("base");
	b = get_in_child("base");
	assert_int_equal(exit_of(a), 0);
	assert_int_equal(exit_of(b), 0);
	assert_int_equal(count_lines("builds"), 1);
}

static void test_sources(void **state)
{
	struct kernel_build b;
	char *text, id[17];

	(void)state;
	sh("unset GIT_DIR GIT_INDEX_FILE; cp -a top/fake top/repo && cd top/repo && rm .gitignore && git init -q . && git add -A && "
	   "git -c user.name=a -c user.email=a@b commit -q -m one && git tag one && echo 'int later;' >>mm/filemap.c && "
	   "echo junk >junk.o && echo '*.o' >.git/info/exclude");
	put("top/kernels/g.kernel", "source = git:repo#one\nconfig = a.config\n");
	put("top/kernels/t.kernel", "source = tree:repo\nconfig = a.config\n");
	/* The commit, not the files; and the user's repository stays as it is. */
	sh("unset GIT_DIR GIT_INDEX_FILE; cd top/repo && git status --porcelain && find . -type f | sort | xargs sha256sum >../../before");
	assert_int_equal(CALL(kernel_get("g", &b)), 0);
	assert_int_equal(strlen(b.source_version), 40);
	assert_int_equal(read_file(b.bzimage, &text, NULL), 0);
	assert_null(strstr(text, "int later;"));
	free(text);
	kernel_build_free(&b);
	/* The tree as it is, with what is not committed. */
	assert_int_equal(CALL(kernel_get("t", &b)), 0);
	assert_non_null(strstr(b.source, ", HEAD "));
	assert_int_equal(read_file(b.bzimage, &text, NULL), 0);
	assert_non_null(strstr(text, "int later;"));
	free(text);
	memcpy(id, b.id, 17);
	kernel_build_free(&b);
	sh("cd top/repo && find . -type f | sort | xargs sha256sum | cmp - ../../before");
	/* A file that its git ignores is not source. */
	sh("echo other >top/repo/junk.o");
	assert_int_equal(CALL(kernel_get("t", &b)), 0);
	assert_string_equal(b.id, id);
	assert_true(b.cached);
	kernel_build_free(&b);

	put("top/kernels/g.kernel", "\nsource = git:repo#nosuch\nconfig = a.config\n");
	assert_int_equal(CALL(kernel_get("g", &b)), -ENOENT);
	assert_said("kernels/g.kernel:2: no commit \"nosuch\"");
	put("top/kernels/g.kernel", "source = git:nowhere#one\nconfig = a.config\n");
	assert_int_equal(CALL(kernel_get("g", &b)), -ENOENT);
	assert_said("no git repository at ");
	put("top/kernels/t.kernel", "source = tree:nowhere\nconfig = a.config\n");
	assert_int_equal(CALL(kernel_get("t", &b)), -ENOENT);
	assert_said("no directory ");
	put("top/kernels/t.kernel", "source = deb:linux-source-0.01\nconfig = a.config\n");
	assert_int_equal(CALL(kernel_get("t", &b)), -ENOPKG);
	assert_said("package linux-source-0.01 is not installed: apt install linux-source-0.01");
}

static void test_bzimage(void **state)
{
	char image[0x400] = {};
	struct kernel_build b;

	(void)state;
	memcpy(image + 0x202, "HdrS", 4);
	image[0x20f] = 0x01;	/* the text is at 0x200 + 0x100 */
	strcpy(image + 0x300, "6.1.0-x (me@here) #1");
	assert_int_equal(write_file_atomic(at("top/vmlinuz"), image, sizeof(image)), 0);
	put("top/kernels/z.kernel", "source = bzimage:vmlinuz\ncmdline = quiet\n");
	assert_int_equal(CALL(kernel_get("z", &b)), 0);
	assert_string_equal(b.release, "6.1.0-x");
	assert_string_equal(b.cmdline, "quiet");
	assert_string_equal(b.config_hash, "");
	kernel_build_free(&b);
	put("top/vmlinuz", "no kernel");
	assert_int_equal(CALL(kernel_get("z", &b)), -EINVAL);
	assert_said("is no bzImage");
	sh("rm top/vmlinuz");
	assert_int_equal(CALL(kernel_get("z", &b)), -ENOENT);
}

/* Runs `shbench kernel ...`; arguments up to NULL. */
static int kernel_cmd(const char *a, const char *b, const char *c)
{
	char *argv[] = { (char *)a, (char *)b, (char *)c, NULL };
	int argc = 0;

	while (argv[argc])
		argc++;
	return CALL(cmd_kernel(argc, argv));
}

static void test_round_trip(void **state)
{
	char *tree = xstrdup(at("tree"));

	(void)state;
	sh("rm -rf tree");
	/* The first export brings hand-written patches into the one form; from then on it changes nothing. */
	assert_int_equal(kernel_cmd("tree", "cand", tree), EXIT_OK);
	sh("unset GIT_DIR GIT_INDEX_FILE; cd tree && test $(git rev-list shbench-base..HEAD | wc -l) = 2 && grep -q 'long ten' mm/filemap.c");
	assert_int_equal(kernel_cmd("export", "cand", tree), EXIT_OK);
	assert_said("2 patches, 2 written, 2 removed");
	sh("test ! -e top/series/0001-ten.patch && cat top/series/series && "
	   "grep -q '^0001-mm-make-ten-longer.patch$' top/series/series && grep -q '^From 0\\{40\\} ' top/series/0001-*.patch");
	sh("rm -rf saved && cp -a top/series saved && rm -rf tree");
	assert_int_equal(kernel_cmd("tree", "cand", tree), EXIT_OK);
	assert_int_equal(kernel_cmd("export", "cand", tree), EXIT_OK);
	assert_said("2 patches, 0 written, 0 removed");
	sh("diff -r top/series saved");
	/* A relative name means what it means to the user. */
	assert_int_equal(chdir(top), 0);
	assert_int_equal(kernel_cmd("export", "cand", "tree"), EXIT_OK);
	assert_said("2 patches, 0 written, 0 removed");
	assert_int_equal(kernel_cmd("tree", "cand", "tree2"), EXIT_OK);
	sh("grep -q 'long ten' tree2/mm/filemap.c");
	assert_int_equal(chdir("/"), 0);
	/* The user's git settings must not show. */
	sh("unset GIT_DIR GIT_INDEX_FILE; cd tree && git config diff.noprefix true && git config format.signature me && "
	   "git config diff.context 9 && git config format.signOff true && git config format.numbered true");
	assert_int_equal(kernel_cmd("export", "cand", tree), EXIT_OK);
	sh("diff -r top/series saved");

	/* What cannot be told in patches is refused, and the series stays. */
	sh("echo 'int dirty;' >>tree/mm/filemap.c");
	assert_int_equal(kernel_cmd("export", "cand", tree), EXIT_USAGE);
	assert_said("uncommitted changes");
	sh("unset GIT_DIR GIT_INDEX_FILE; cd tree && git config user.name a && git config user.email a@b && git commit -qam 'mm: third'");
	assert_int_equal(kernel_cmd("export", "cand", tree), EXIT_OK);
	assert_said("3 patches, 1 written, 0 removed");
	sh("unset GIT_DIR GIT_INDEX_FILE; cd tree && git reset -q --hard HEAD~2 && rm -rf ../three && cp -a ../top/series ../three");
	assert_int_equal(kernel_cmd("export", "cand", tree), EXIT_OK);
	assert_said("1 patches, 0 written, 2 removed");
	sh("test $(ls top/series | wc -l) = 2");
	sh("unset GIT_DIR GIT_INDEX_FILE; cd tree && git checkout -q -b side shbench-base && echo x >x && git add -f x && git commit -qm x && "
	   "git checkout -q cand && git merge -q --no-edit side");
	assert_int_equal(kernel_cmd("export", "cand", tree), EXIT_USAGE);
	assert_said("merge commit");
	sh("unset GIT_DIR GIT_INDEX_FILE; cd tree && git checkout -q --orphan alone && git commit -qm alone");
	assert_int_equal(kernel_cmd("export", "cand", tree), EXIT_USAGE);
	assert_said("does not descend from shbench-base");
	sh("unset GIT_DIR GIT_INDEX_FILE; cd tree && git tag -d shbench-base");
	assert_int_equal(kernel_cmd("export", "cand", tree), EXIT_USAGE);
	assert_said("no tag shbench-base");
	free(tree);
}

static void test_tree_refusals(void **state)
{
	(void)state;
	sh("rm -rf tree");
	put("tree/mine", "precious");
	assert_int_equal(kernel_cmd("tree", "cand", at("tree")), EXIT_USAGE);
	assert_said("exists and is not empty");
	sh("test -e tree/mine; rm -rf tree");
	assert_int_equal(kernel_cmd("export", "base", NULL), EXIT_USAGE);
	assert_said("no series to export to");
	assert_int_equal(kernel_cmd("export", "cand", at("tree")), EXIT_USAGE);
	assert_said("no such tree");
	/* A bare diff applies, but is no commit. Nothing stays behind. */
	put("top/series/0002-new.patch", strstr(patch_new_file, "diff --git"));
	assert_int_equal(kernel_cmd("tree", "cand", at("tree")), EXIT_INFRA);
	assert_said("0002-new.patch cannot be made a commit");
	assert_false(file_exists(at("tree")));
	sh("sed -i 's/int nine/int 9/' top/series/0001-ten.patch");
	assert_int_equal(kernel_cmd("tree", "cand", at("tree")), EXIT_USAGE);
	assert_said("0001-ten.patch: hunk");
	assert_false(file_exists(at("tree")));
}

static void test_commands(void **state)
{
	(void)state;
	assert_int_equal(kernel_cmd(NULL, NULL, NULL), EXIT_USAGE);
	assert_int_equal(kernel_cmd("--help", NULL, NULL), EXIT_OK);
	assert_said("tree NAME [DIR]");
	assert_int_equal(kernel_cmd("biuld", NULL, NULL), EXIT_USAGE);
	assert_said("did you mean build");
	assert_int_equal(kernel_cmd("build", NULL, NULL), EXIT_USAGE);
	assert_int_equal(kernel_cmd("build", "bsae", NULL), EXIT_USAGE);
	assert_said("did you mean base");
	assert_int_equal(kernel_cmd("build", "base", NULL), EXIT_OK);
	assert_said("/bzImage\n");
	assert_int_equal(kernel_cmd("config", "base", NULL), EXIT_OK);
	assert_int_equal(kernel_cmd("list", NULL, NULL), EXIT_OK);
	assert_said("base                 built");
	assert_said("base+debug           - ");
	assert_said("cand                 - ");
	/* One broken file does not hide the others. */
	put("top/kernels/aaa.kernel", "nonsense\n");
	assert_int_equal(kernel_cmd("list", NULL, NULL), EXIT_USAGE);
	assert_said("kernels/aaa.kernel:1");
	assert_said("base                 built");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_spec_good, reset),
		cmocka_unit_test_setup(test_spec_errors, reset),
		cmocka_unit_test_setup(test_config_fragments, reset),
		cmocka_unit_test_setup(test_config_check, reset),
		cmocka_unit_test_setup(test_first_error, reset),
		cmocka_unit_test_setup(test_id, reset),
		cmocka_unit_test_setup(test_id_of_files, reset),
		cmocka_unit_test_setup(test_get, reset),
		cmocka_unit_test_setup(test_series_incremental, reset),
		cmocka_unit_test_setup(test_series_strict, reset),
		cmocka_unit_test_setup(test_extra, reset),
		cmocka_unit_test_setup(test_missing_symbols, reset),
		cmocka_unit_test_setup(test_compile_error, reset),
		cmocka_unit_test_setup(test_interrupt, reset),
		cmocka_unit_test_setup(test_two_builders, reset),
		cmocka_unit_test_setup(test_sources, reset),
		cmocka_unit_test_setup(test_bzimage, reset),
		cmocka_unit_test_setup(test_round_trip, reset),
		cmocka_unit_test_setup(test_tree_refusals, reset),
		cmocka_unit_test_setup(test_commands, reset),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
