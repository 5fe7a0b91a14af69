// SPDX-License-Identifier: GPL-2.0
/*
 * Profiles: names of addresses, what the plugin writes, the comparison of two (bench/profile.c); the plugin itself, which finds a
 * QEMU's functions here; and the whole command, with kernels whose counts are known.
 */
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench-util.h"
#include "fake-top.h"
#include "kernel.h"
#include "profile.h"

/* --- symbols ------------------------------------------------------------------------------------------------------------- */

/* As of a kernel: not sorted, data among it, several names for one address, what the compiler has made of functions. */
static const char map[] =
	"0000000000000000 A fixed_percpu_data\n"
	"ffffffff81000400 t walk.constprop.0\n"
	"ffffffff81000000 T _stext\n"
	"ffffffff81000000 T _text\n"
	"ffffffff81000080 t walk.part.0\n"
	"ffffffff81000100 T fault\n"
	"ffffffff81000200 t walk\n"
	"ffffffff81000300 W __memcpy\n"
	"ffffffff81000300 T memcpy\n"
	"ffffffff81000300 t __pi_memcpy\n"
	"ffffffff81000500 t fault.cold\n"
	"ffffffff81000600 t fault.part.0.isra.0\n"
	"ffffffff81000700 t read.isra.0\n"
	"ffffffff81001000 D data\n"
	"ffffffff81002000 B _end\n";

static const char *at(const struct symbols *s, uint64_t addr)
{
	const struct symbol *x = symbol_at(s, addr);

	return x ? x->name : "";
}

static void symbols(void **state)
{
	struct symbols s;

	(void)state;
	assert_int_equal(symbols_parse(map, &s), 0);
	assert_int_equal(s.nr, 9);
	assert_string_equal(at(&s, 0xffffffff80ffffff), "");
	assert_string_equal(at(&s, 0xffffffff81000000), "_text");
	assert_string_equal(at(&s, 0xffffffff8100007f), "_text");
	assert_string_equal(at(&s, 0xffffffff81000100), "fault");
	assert_string_equal(at(&s, 0xffffffff810001ff), "fault");
	assert_string_equal(at(&s, 0xffffffff81000200), "walk");
	assert_string_equal(at(&s, 0xffffffff810003f0), "memcpy");
	assert_string_equal(at(&s, 0xffffffff81000401), "walk");
	assert_string_equal(at(&s, 0xffffffff81000500), "fault");
	assert_string_equal(at(&s, 0xffffffff81000600), "fault");
	assert_string_equal(at(&s, 0xffffffff81000700), "read");
	assert_string_equal(at(&s, 0xffffffff81002000), "read");
	assert_string_equal(at(&s, 0xffffffff81002001), "");
	/* A function begins once, whatever the compiler has made of it; a part of it begins elsewhere. */
	assert_true(symbol_at(&s, 0xffffffff81000400)->entry);
	assert_true(symbol_at(&s, 0xffffffff81000700)->entry);
	assert_false(symbol_at(&s, 0xffffffff81000500)->entry);
	assert_false(symbol_at(&s, 0xffffffff81000600)->entry);
	assert_true(symbols_find(&s, "fault") == 0xffffffff81000100);
	assert_true(symbols_find(&s, "walk") == 0xffffffff81000200);
	assert_true(symbols_find(&s, "fixed_percpu_data") == 0);
	assert_true(symbols_find(&s, "faul") == 0);
	symbols_free(&s);
}

static void symbols_odd(void **state)
{
	static const char *const bad[] = { "hello\n", "12 T\n", "12 T \n", "T name\n", "12T name\n", "12 TT name\n",
					   "\n12 T name\n" };
	struct symbols s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(symbols_parse(bad[i], &s), -EINVAL);
	assert_int_equal(symbols_parse("", &s), 0);
	assert_null(symbol_at(&s, 0));
	symbols_free(&s);
	/* nm: symbols that are defined elsewhere; a last line without an end. */
	assert_int_equal(symbols_parse("                 w __gmon_start__\n0000000000401000 t wl_begin_tsc", &s), 0);
	assert_true(symbols_find(&s, "wl_begin_tsc") == 0x401000);
	symbols_free(&s);
}

/* --- profiles ------------------------------------------------------------------------------------------------------------ */

static const char counts[] =
	"insn-profile 1\nregions 10\nunbalanced 0\n"
	"401000 20\n"
	"ffffffff81000100 10\n"		/* fault, its first instruction */
	"ffffffff81000104 30\n"
	"ffffffff81000500 5\n"		/* its cold part */
	"ffffffff81000204 40\n"
	"ffffffff81000400 20\n"		/* a copy of walk */
	"ffffffffa0000000 7\n"
	"end\n";

static const struct profile_function *function(const struct profile *p, const char *name)
{
	for (size_t i = 0; i < p->nr; i++)
		if (!strcmp(p->f[i].name, name))
			return &p->f[i];
	fail_msg("no %s", name);
	return NULL;
}

static void counted(void **state)
{
	struct symbols s;
	struct profile p;
	char *why;

	(void)state;
	assert_int_equal(symbols_parse(map, &s), 0);
	assert_int_equal(profile_parse(counts, &s, &p, &why), 0);
	assert_null(why);
	assert_int_equal(p.regions, 10);
	assert_int_equal(p.insns, 132);
	assert_int_equal(p.nr, 4);
	assert_int_equal(function(&p, "fault")->insns, 45);
	assert_int_equal(function(&p, "fault")->calls, 10);
	assert_int_equal(function(&p, "walk")->insns, 60);
	assert_int_equal(function(&p, "walk")->calls, 20);
	assert_int_equal(function(&p, PROFILE_USER)->insns, 20);
	assert_int_equal(function(&p, PROFILE_USER)->calls, 0);
	assert_int_equal(function(&p, PROFILE_UNKNOWN)->insns, 7);
	assert_true(fabs(profile_mean(&p) - 13.2) < 1e-9);
	profile_free(&p);
	symbols_free(&s);
}

static void agreement(void **state)
{
	(void)state;
	assert_true(profile_agrees(1000, 1000));
	assert_true(profile_agrees(1000.9, 1000));
	assert_true(profile_agrees(999.1, 1000));
	assert_false(profile_agrees(1001.1, 1000));
	assert_false(profile_agrees(998.9, 1000));
	assert_false(profile_agrees(0, 1000));
}

/* Cut at any place, it is no profile. */
static void damaged(void **state)
{
	static const struct {
		const char *text, *say;
	} t[] = {
		{ "", "does not begin" },
		{ "insn-profile 2\nregions 1\nunbalanced 0\nend\n", "does not begin" },
		{ "insn-profile 1\nregions 0\nunbalanced 0\nend\n", "no operation" },
		{ "insn-profile 1\nregions 5\nunbalanced 2\nend\n", "2 operations have a beginning or an end only" },
		{ "insn-profile 1\nregions 5\nunbalanced 0\n401000 5\nsurprise 1\nend\n", "line 5" },
		{ "insn-profile 1\nregions 5\nunbalanced 0\nend\nmore\n", "line 4" },
	};
	struct symbols s;
	struct profile p;
	char *why;

	(void)state;
	assert_int_equal(symbols_parse(map, &s), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(profile_parse(t[i].text, &s, &p, &why), -EINVAL);
		if (!strstr(why, t[i].say))
			fail_msg("%s", why);
		free(why);
	}
	for (size_t n = 0; n < sizeof(counts) - 1; n++) {
		char *text = xstrndup(counts, n);

		assert_int_equal(profile_parse(text, &s, &p, &why), -EINVAL);
		free(why);
		free(text);
	}
	symbols_free(&s);
}

static struct profile make(uint64_t regions, const char *text)
{
	static const char abc[] = "ffffffff81000000 T a\nffffffff81000010 T b\nffffffff81000020 T c\nffffffff81000030 T d\n"
				  "ffffffff81000040 B e\n";
	char *whole = xasprintf("insn-profile 1\nregions %d\nunbalanced 0\n%send\n", (int)regions, text), *why;
	struct symbols s;
	struct profile p;

	assert_int_equal(symbols_parse(abc, &s), 0);
	assert_int_equal(profile_parse(whole, &s, &p, &why), 0);
	symbols_free(&s);
	free(whole);
	return p;
}

static char *table_text(const struct profile_row *rows, size_t nr, size_t max)
{
	struct table *t = profile_table(rows, nr, max, "base", "new");
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	table_print_markdown(f, t);
	fclose(f);
	table_free(t);
	return text;
}

#define TABLE_HEAD "| function | base | new | difference | calls, base | calls, new |\n|---|---:|---:|---:|---:|---:|\n"

/* Per operation, of which the two have not the same number; what got cheaper counts as much as what got dearer. */
static void compared(void **state)
{
	struct profile a = make(10, "ffffffff81000000 100\nffffffff81000010 50\nffffffff81000014 50\nffffffff81000030 10\n");
	struct profile b = make(20, "ffffffff81000000 200\nffffffff81000014 60\nffffffff81000020 100\nffffffff81000034 20\n"
				    "401000 4\n");
	struct profile_row *r;
	json_t *j, *first;
	char *text;

	(void)state;
	assert_int_equal(profile_compare(&a, &b, &r), 5);
	text = table_text(r, 5, 25);
	assert_string_equal(text, TABLE_HEAD
				  "| b | 10.0 | 3.0 | -7.0 | 5.00 |  |\n"
				  "| c | 0.0 | 5.0 | +5.0 |  | 5.00 |\n"
				  "| [user] | 0.0 | 0.2 | +0.2 |  |  |\n"
				  "| a | 10.0 | 10.0 | +0.0 | 10.00 | 10.00 |\n"
				  "| d | 1.0 | 1.0 | +0.0 | 1.00 |  |\n"
				  "| total | 21.0 | 19.2 | -1.8 |  |  |\n\n");
	free(text);
	text = table_text(r, 5, 2);
	assert_string_equal(text, TABLE_HEAD
				  "| b | 10.0 | 3.0 | -7.0 | 5.00 |  |\n"
				  "| c | 0.0 | 5.0 | +5.0 |  | 5.00 |\n"
				  "| 3 other functions | 11.0 | 11.2 | +0.2 |  |  |\n"
				  "| total | 21.0 | 19.2 | -1.8 |  |  |\n\n");
	free(text);
	j = profile_json(r, 5);
	assert_int_equal(json_array_size(j), 5);
	first = json_array_get(j, 0);
	assert_string_equal(json_str(first, "function", ""), "b");
	assert_true(json_real_value(json_array_get(json_object_get(first, "insns"), 1)) == 3);
	assert_true(json_real_value(json_array_get(json_object_get(first, "calls"), 0)) == 5);
	json_decref(j);
	free(r);
	profile_free(&a);
	profile_free(&b);
}

/* --- the plugin: here is the QEMU that it finds -------------------------------------------------------------------------- */

struct qemu_plugin_tb {
	const uint64_t *addr;
	size_t n;
};

struct qemu_plugin_insn {
	uint64_t addr;
};

typedef void (*exec_fn)(unsigned int vcpu, void *arg);

/* What was registered for each instruction, in order of translation. */
static struct {
	struct qemu_plugin_insn insn;
	exec_fn fn;
	void *arg;
} code[64];
static size_t nr_code;
static void (*on_tb)(uint64_t id, struct qemu_plugin_tb *tb);
static void (*on_exit_fn)(uint64_t id, void *arg);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_fn cb, int flags, void *arg);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*cb)(uint64_t id, void *arg), void *arg);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(uint64_t id, struct qemu_plugin_tb *tb))
{
	(void)id;
	on_tb = cb;
}

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb)
{
	return tb->n;
}

struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx)
{
	code[nr_code + idx].insn.addr = tb->addr[idx];
	return &code[nr_code + idx].insn;
}

uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn)
{
	return insn->addr;
}

void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_fn cb, int flags, void *arg)
{
	(void)flags;
	for (size_t i = 0; i < ARRAY_SIZE(code); i++) {
		if (&code[i].insn != insn)
			continue;
		code[i].fn = cb;
		code[i].arg = arg;
	}
}

void qemu_plugin_register_atexit_cb(uint64_t id, void (*cb)(uint64_t id, void *arg), void *arg)
{
	(void)id;
	(void)arg;
	on_exit_fn = cb;
}

static void translate(const uint64_t *addr, size_t n)
{
	struct qemu_plugin_tb tb = { addr, n };

	on_tb(1, &tb);
	nr_code += n;
}

/* Executes the instructions of a string in turn: 'a' is the first one that was translated. */
static void execute(const char *s)
{
	for (; *s; s++)
		code[*s - 'a'].fn(0, code[*s - 'a'].arg);
}

#define FAULT 0xffffffff81000000
/* a, b: before; c: begin; d, e: the operation; f: end; g, h: the fault's handler; i: d once more, in another block */
static const uint64_t first[] = { 0x401000, 0x401004, 0x401010, 0x401020, 0x401024, 0x401030 };
static const uint64_t second[] = { FAULT, FAULT + 4, 0x401020 };

/*
 * In a child, as the plugin has state. Returns what it writes after these instructions; NULL if it refuses its arguments.
 */
static char *plugin(const char *args, const char *insns)
{
	char path[] = "/tmp/shcache-profile-XXXXXX", *text = NULL;
	int fd = mkstemp(path), status;
	pid_t pid;

	assert_true(fd >= 0);
	close(fd);
	pid = fork();
	if (!pid) {
		char *out = xasprintf("out=%s", path), *argv[8], *copy = xstrdup(args), *save = NULL;
		void *lib = dlopen("build/insn-profile.so", RTLD_NOW | RTLD_LOCAL);
		int (*install)(uint64_t id, const void *info, int argc, char **argv), argc = 0;

		if (!lib || *(int *)dlsym(lib, "qemu_plugin_version") != 1)
			_exit(3);
		*(void **)&install = dlsym(lib, "qemu_plugin_install");
		for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
			argv[argc++] = strcmp(w, "OUT") ? w : out;
		if (install(1, NULL, argc, argv))
			_exit(2);
		translate(first, ARRAY_SIZE(first));
		translate(second, ARRAY_SIZE(second));
		execute(insns);
		on_exit_fn(1, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 3)
		fail_msg("build/insn-profile.so cannot be loaded: `make all` first");
	if (!WEXITSTATUS(status))
		assert_int_equal(read_file(path, &text, NULL), 0);
	unlink(path);
	return text;
}

#define ARGS "begin=401010 end=401030 fault=ffffffff81000000 OUT"

/* How often an address was counted; -1: it is not in the file. */
static long count_of(const char *text, uint64_t addr)
{
	char *line = xasprintf("\n%llx ", (unsigned long long)addr), *p = strstr(text, line);
	long n = p ? strtol(p + strlen(line), NULL, 10) : -1;

	free(line);
	return n;
}

static void plugin_counts(void **state)
{
	char *text;

	(void)state;
	/* Twice; what is outside does not count, the last reading does, the first does not; an address in two blocks is one. */
	text = plugin(ARGS, "abcdefab" "cieeef" "dgh");
	assert_int_equal(strncmp(text, "insn-profile 1\nregions 2\nunbalanced 0\n", 38), 0);
	assert_int_equal(count_of(text, 0x401000), -1);
	assert_int_equal(count_of(text, 0x401010), -1);
	assert_int_equal(count_of(text, 0x401020), 2);
	assert_int_equal(count_of(text, 0x401024), 4);
	assert_int_equal(count_of(text, 0x401030), 2);
	assert_int_equal(count_of(text, FAULT), -1);
	assert_string_equal(text + strlen(text) - 5, "\nend\n");
	free(text);
	/* d faults: it is called for before and after the handler, and executes once. */
	text = plugin(ARGS, "cdghdef");
	assert_int_equal(count_of(text, 0x401020), 1);
	assert_int_equal(count_of(text, FAULT), 1);
	assert_int_equal(count_of(text, FAULT + 4), 1);
	assert_int_equal(count_of(text, 0x401024), 1);
	free(text);
	/* Nothing of the operation was executed yet: what came before is not taken back. */
	text = plugin(ARGS, "cdefcghdef");
	assert_int_equal(count_of(text, FAULT), 1);
	assert_int_equal(count_of(text, 0x401020), 2);
	assert_int_equal(count_of(text, 0x401030), 2);
	free(text);
}

static void plugin_unbalanced(void **state)
{
	static const struct {
		const char *insns, *head;
	} t[] = {
		{ "cd", "insn-profile 1\nregions 0\nunbalanced 1\n" },
		{ "df", "insn-profile 1\nregions 0\nunbalanced 1\n" },
		{ "ccdf", "insn-profile 1\nregions 1\nunbalanced 1\n" },
		{ "", "insn-profile 1\nregions 0\nunbalanced 0\nend\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char *text = plugin(ARGS, t[i].insns);

		assert_int_equal(strncmp(text, t[i].head, strlen(t[i].head)), 0);
		free(text);
	}
}

static void plugin_arguments(void **state)
{
	static const char *const bad[] = { "", "begin=1 end=2 fault=3", "end=2 fault=3 OUT", "begin=1 fault=3 OUT",
					   "begin=1 end=2 OUT", ARGS " x=1", "begin=zz end=2 fault=3 OUT" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_null(plugin(bad[i], ""));
}

/* --- the command --------------------------------------------------------------------------------------------------------- */

#define HIST(n, v, sum, class)								\
	"{\"t\":\"hist\",\"m\":\"fault\",\"x\":{\"class\":\"" class "\"},\"h\":{\"bits\":6,\"n\":" #n ",\"min\":" #v "," \
	"\"max\":" #v ",\"sum\":\"" #sum "\",\"b\":[[" #v "," #n "]]}}\n"
#define COUNTS(regions, n)								\
	"count insn-profile 1\ncount regions " #regions "\ncount unbalanced 0\ncount 401000 20\n"	\
	"count ffffffff81000100 " #n "\ncount end\n"

static void must(const char *script, int want, const char *say)
{
	int got = ft_bash(script);

	if (got != want || !strstr(ft_said, say))
		fail_msg("exit status %d, wanted %d and \"%s\": %s\n%s", got, want, say, script, ft_said);
}

/* The System.map that a kernel which was built would have. */
static void put_map(const char *kernel, const char *text)
{
	struct kernel_build b;
	char *name;

	assert_int_equal(kernel_get(kernel, &b), 0);
	name = xasprintf("cache/kernels/%s/System.map", b.id);
	ft_write(name, text);
	free(name);
	kernel_build_free(&b);
}

static void command(void **state)
{
	static const char plan[] = "[plan]\nkernels = base new\n[wall]\nworkload = fault\n"
				   "[one]\nworkload = fault\nlane = icount\nfs = xfs\nmode = reflink\n"
				   "mem = 64M\ndevice_size = 64M\n";
	static const char with_fault[] = "ffffffff81000000 T asm_exc_page_fault\nffffffff81000100 T work\n"
					 "ffffffff81001000 B _end\n";
	static const char *const kernels[] = { "base", "new", "two", "off", "more", "none" };
	json_t *j, *functions;

	(void)state;
	ft_kernel("base", HIST(10, 12, 120, "a") COUNTS(10, 100));
	ft_kernel("new", HIST(10, 17, 170, "a") COUNTS(10, 150));
	ft_kernel("two", HIST(10, 12, 120, "a") HIST(10, 12, 120, "b") COUNTS(10, 100));
	ft_kernel("off", HIST(10, 17, 170, "a") COUNTS(10, 149));
	ft_kernel("more", HIST(20, 12, 240, "a") COUNTS(10, 100));
	ft_kernel("none", HIST(10, 12, 120, "a"));
	ft_kernel("strange", HIST(10, 12, 120, "s") COUNTS(10, 100));
	for (size_t i = 0; i < ARRAY_SIZE(kernels); i++)
		put_map(kernels[i], with_fault);
	put_map("strange", map);
	ft_kernel("bare", HIST(10, 12, 120, "b") COUNTS(10, 100));
	ft_write("bench/p.plan", plan);

	must("./shbench profile p", 3, "insn-profile.so is not there: run make");
	ft_link("build/insn-profile.so");
	must("./shbench profile p", 0, "base: 12.0 instructions per operation in 10 operations; an ordinary boot measures 12.0");
	assert_non_null(strstr(ft_said, "work      10.0  15.0        +5.0        10.00       15.00"));
	assert_non_null(strstr(ft_said, "total     12.0  17.0        +5.0"));
	must("cat results/runs/*/profile.md", 0, "| work | 10.0 | 15.0 | +5.0 | 10.00 | 15.00 |");
	must("./shbench profile p -q --json", 0, "[");
	j = json_loads(ft_said, 0, NULL);
	assert_int_equal(json_array_size(j), 1);
	functions = json_object_get(json_array_get(j, 0), "functions");
	assert_string_equal(json_str(json_array_get(functions, 0), "function", ""), "work");
	json_decref(j);

	must("./shbench profile p -k base", 2, "one kernel can't be compared");
	must("./shbench profile q", 2, "no plan 'q'");
	must("./shbench profile p --only wall", 2, "has no cell of the icount lane at 'wall'");
	must("./shbench profile p -k 'base two'", 3, "[one] measures 2 kinds of operations");
	must("./shbench profile p -k 'base off'", 3,
	     "the profile has 16.9 instructions per operation, 10 times, an ordinary boot 17.0, 10 times");
	must("./shbench profile p -k 'base more'", 3,
	     "the profile has 12.0 instructions per operation, 10 times, an ordinary boot 12.0, 20 times");
	must("./shbench profile p -k 'base none'", 3, "no profile: it does not begin as a profile does");
	must("./shbench profile p -k 'base strange'", 3, "has no function asm_exc_page_fault");
	must("./shbench profile p -k 'base bare'", 3, "System.map: No such file or directory");
}

static int setup(void **state)
{
	(void)state;
	return ft_setup();
}

static int teardown(void **state)
{
	(void)state;
	return ft_teardown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(symbols),	  cmocka_unit_test(symbols_odd),       cmocka_unit_test(counted),
		cmocka_unit_test(agreement),	  cmocka_unit_test(damaged),	       cmocka_unit_test(compared),
		cmocka_unit_test(plugin_counts),  cmocka_unit_test(plugin_unbalanced), cmocka_unit_test(plugin_arguments),
		cmocka_unit_test_setup_teardown(command, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
