// SPDX-License-Identifier: GPL-2.0
/*
 * The model checker: its pure parts, and that it finds what is wrong on a file system of this machine (which needs no clones for
 * that). Where the real kernel can do an operation it is the oracle of the model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../workloads/clonex-model.c"
#include "../../workloads/clonex-gen.c"
#include "../../workloads/clonex-min.c"
#include "../../workloads/ring.c"
#include "../../workloads/clonex-exec.c"
#include "../../workloads/clonex-seq.c"
#include "../../workloads/clonex-race.c"

#define CAP	(8 * CX_BLOCK)

static char tmp[200];
static char said[1 << 16];		/* all lines of a run */

static void keep(void *arg, bool progress, const char *line)
{
	size_t n = strlen(said);

	(void)arg;
	if (!progress)
		snprintf(said + n, sizeof(said) - n, "%s\n", line);
}

static struct cx_config config(void)
{
	said[0] = '\0';
	return (struct cx_config){ .dir = tmp, .seed = 7, .files = 4, .size = 32 * 1024, .epoch = 400, .say = keep,
				   /* Of the whole machine. */
				   .without = 1ull << CX_F_DROP | 1ull << CX_F_COMPACT | 1ull << CX_F_RECLAIM | 1ull << CX_F_FREEZE |
					      1ull << CX_F_REMOUNT | 1ull << CX_F_SYNCFS };
}

static int setup(void **state)
{
	const char *dir = getenv("TMPDIR");

	(void)state;
	snprintf(tmp, sizeof(tmp), "%s/test-clonex-XXXXXX", dir ? dir : "/tmp");
	return mkdtemp(tmp) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	/* Whatever a run made, it has removed. */
	return rmdir(tmp);
}

static void test_words(void **state)
{
	uint8_t whole[256], part[256];
	unsigned int file, i, bit;
	uint32_t nr, index;
	uint64_t w = cx_word(123456789, 63, 131071);

	(void)state;
	assert_true(cx_word_parse(w, &nr, &file, &index));
	assert_int_equal(nr, 123456789);
	assert_int_equal(file, 63);
	assert_int_equal(index, 131071);
	assert_false(cx_word_parse(0, &nr, &file, &index));
	for (bit = 0, i = 0; bit < 64; bit++)
		i += cx_word_parse(w ^ 1ull << bit, &nr, &file, &index);
	assert_true(i < 4);
	/* The same bytes, wherever a write begins and ends. */
	cx_fill(whole, 5, 2, 1000, sizeof(whole));
	for (i = 0; i < 20; i++) {
		cx_fill(part, 5, 2, 1000 + i, 256 - 2 * i);
		assert_memory_equal(part, whole + i, 256 - 2 * i);
	}
}

static void model(struct cx_model *m, unsigned int files)
{
	assert_int_equal(cx_model_init(m, files, CAP), 0);
	m->features = (1ull << CX_FEATURES) - 1;
}

static void do_op(struct cx_model *m, struct cx_op op)
{
	assert_true(cx_valid(m, &op));
	cx_apply(m, &op);
}

/* Are the bytes what operation nr wrote to file at offset `was`? */
static bool is(const struct cx_model *m, unsigned int file, uint32_t off, uint32_t len, uint32_t nr, unsigned int by, uint32_t was)
{
	uint8_t buf[CAP];

	cx_fill(buf, nr, by, was, len);
	return !memcmp(m->f[file].data + off, buf, len);
}

static bool zero(const struct cx_model *m, unsigned int file, uint32_t off, uint32_t len)
{
	uint32_t i;

	for (i = 0; i < len && !m->f[file].data[off + i]; i++)
		;
	return i == len;
}

#define B	CX_BLOCK
#define W(n, f, o, l)	do_op(&m, (struct cx_op){ .nr = n, .kind = CX_WRITE, .file = f, .off = o, .len = l })

static void test_model_sizes(void **state)
{
	struct cx_model m;

	(void)state;
	model(&m, 2);
	W(1, 0, 100, 50);
	assert_int_equal(m.f[0].size, 150);
	assert_true(zero(&m, 0, 0, 100) && is(&m, 0, 100, 50, 1, 0, 100));
	W(2, 0, B, 3 * B);
	do_op(&m, (struct cx_op){ .kind = CX_TRUNC, .len = B + 10 });
	assert_int_equal(m.f[0].size, B + 10);
	do_op(&m, (struct cx_op){ .kind = CX_TRUNC, .len = 3 * B });
	assert_true(is(&m, 0, B, 10, 2, 0, B) && zero(&m, 0, B + 10, 2 * B - 10));
	do_op(&m, (struct cx_op){ .kind = CX_ALLOC_KEEP, .off = 3 * B, .len = B });
	assert_int_equal(m.f[0].size, 3 * B);
	do_op(&m, (struct cx_op){ .kind = CX_ALLOC, .off = 3 * B, .len = B });
	assert_int_equal(m.f[0].size, 4 * B);
	W(3, 0, 0, 4 * B);
	do_op(&m, (struct cx_op){ .kind = CX_PUNCH, .off = 10, .len = B });
	assert_true(is(&m, 0, 0, 10, 3, 0, 0) && zero(&m, 0, 10, B) && is(&m, 0, B + 10, B, 3, 0, B + 10));
	do_op(&m, (struct cx_op){ .kind = CX_ZERO_KEEP, .off = 3 * B, .len = 2 * B });
	assert_int_equal(m.f[0].size, 4 * B);
	do_op(&m, (struct cx_op){ .kind = CX_ZERO, .off = 3 * B, .len = 2 * B });
	assert_int_equal(m.f[0].size, 5 * B);
	do_op(&m, (struct cx_op){ .kind = CX_RECREATE });
	assert_int_equal(m.f[0].size, 0);
	assert_true(zero(&m, 0, 0, CAP));
	cx_model_free(&m);
}

static void test_model_shifts(void **state)
{
	struct cx_model m;

	(void)state;
	model(&m, 1);
	W(1, 0, 0, 4 * B + 5);
	do_op(&m, (struct cx_op){ .kind = CX_COLLAPSE, .off = B, .len = 2 * B });
	assert_int_equal(m.f[0].size, 2 * B + 5);
	assert_true(is(&m, 0, 0, B, 1, 0, 0) && is(&m, 0, B, B + 5, 1, 0, 3 * B) && zero(&m, 0, 2 * B + 5, 2 * B));
	do_op(&m, (struct cx_op){ .kind = CX_INSERT, .off = B, .len = 3 * B });
	assert_int_equal(m.f[0].size, 5 * B + 5);
	assert_true(is(&m, 0, 0, B, 1, 0, 0) && zero(&m, 0, B, 3 * B) && is(&m, 0, 4 * B, B + 5, 1, 0, 3 * B));
	cx_model_free(&m);
}

static void test_model_two_files(void **state)
{
	struct cx_model m;

	(void)state;
	model(&m, 3);
	W(1, 0, 0, 3 * B + 7);
	W(2, 1, 0, 2 * B);
	do_op(&m, (struct cx_op){ .kind = CX_CLONE, .file = 1, .src = 0, .len = 3 * B + 7 });
	assert_true(m.f[1].size == 3 * B + 7 && is(&m, 1, 0, 3 * B + 7, 1, 0, 0));
	/* A clone is no link. */
	W(3, 0, 0, B);
	assert_true(is(&m, 1, 0, B, 1, 0, 0));
	do_op(&m, (struct cx_op){ .kind = CX_CLONERANGE, .file = 2, .src = 1, .off = 4 * B, .at = B, .len = 2 * B + 7 });
	assert_true(m.f[2].size == 6 * B + 7 && zero(&m, 2, 0, 4 * B) && is(&m, 2, 4 * B, 2 * B + 7, 1, 0, B));
	do_op(&m, (struct cx_op){ .kind = CX_COPY, .file = 2, .src = 0, .off = 8, .at = 16, .len = 100 });
	assert_true(is(&m, 2, 8, 100, 3, 0, 16) && zero(&m, 2, 108, 100));
	do_op(&m, (struct cx_op){ .kind = CX_MAPPED, .way = CX_DREAD_INTO, .file = 2, .src = 0, .off = B, .len = B });
	assert_true(is(&m, 2, B, B, 3, 0, 0));
	do_op(&m, (struct cx_op){ .kind = CX_DEDUPE, .file = 1, .src = 0, .len = B });
	assert_true(is(&m, 1, 0, B, 1, 0, 0));
	do_op(&m, (struct cx_op){ .kind = CX_DEDUPE_SAME, .file = 1, .src = 0, .len = B });
	assert_true(is(&m, 1, 0, B, 3, 0, 0));
	W(4, 0, 0, 2 * B);
	do_op(&m, (struct cx_op){ .kind = CX_EXCHANGE, .file = 0, .src = 1, .off = 0, .at = B, .len = B });
	assert_true(is(&m, 1, B, B, 4, 0, 0) && is(&m, 0, 0, B, 1, 0, B));
	W(5, 2, 0, 3 * B + 7);
	do_op(&m, (struct cx_op){ .kind = CX_TRUNC, .file = 2, .len = 3 * B + 7 });
	do_op(&m, (struct cx_op){ .kind = CX_SWAPEXT, .file = 0, .src = 2, .len = 3 * B + 7 });
	assert_true(is(&m, 0, 0, 3 * B + 7, 5, 2, 0) && is(&m, 2, 0, B, 1, 0, B));
	cx_model_free(&m);
}

static void test_model_private(void **state)
{
	struct cx_model m;
	uint8_t want[B];

	(void)state;
	model(&m, 1);
	W(1, 0, 0, 3 * B);
	do_op(&m, (struct cx_op){ .kind = CX_MAP, .way = 1 });
	do_op(&m, (struct cx_op){ .nr = 2, .kind = CX_PSTORE, .off = B - 8, .len = 16 });
	assert_true(cx_cow(&m.f[0], 0) && cx_cow(&m.f[0], 1) && !cx_cow(&m.f[0], 2));
	/* The file does not see it, and its later changes do not come through. */
	assert_true(is(&m, 0, 0, 3 * B, 1, 0, 0));
	W(3, 0, 0, 3 * B);
	cx_fill(want, 1, 0, B + 8, B - 8);
	assert_memory_equal(m.f[0].priv + B + 8, want, B - 8);
	do_op(&m, (struct cx_op){ .kind = CX_MADVISE, .at = 1, .way = CX_MADV_DONTNEED, .len = B });
	assert_true(!cx_cow(&m.f[0], 0) && cx_cow(&m.f[0], 1));
	do_op(&m, (struct cx_op){ .kind = CX_TRUNC, .len = B + 1 });
	assert_true(cx_cow(&m.f[0], 1));
	do_op(&m, (struct cx_op){ .kind = CX_TRUNC, .len = B });
	assert_false(cx_cow(&m.f[0], 1));
	/* What moves takes no private pages with it. */
	W(4, 0, 0, 3 * B);
	do_op(&m, (struct cx_op){ .nr = 5, .kind = CX_PSTORE, .len = 3 * B });
	do_op(&m, (struct cx_op){ .kind = CX_INSERT, .off = B, .len = B });
	assert_true(cx_cow(&m.f[0], 0) && !cx_cow(&m.f[0], 1) && !cx_cow(&m.f[0], 2));
	cx_model_free(&m);
}

static void test_valid(void **state)
{
	static const struct cx_op impossible[] = {
		{ .kind = CX_WRITE, .off = CAP, .len = 1 },
		{ .kind = CX_WRITE, .off = 1, .len = UINT32_MAX },
		{ .kind = CX_WRITE, .file = 2, .len = 1 },
		{ .kind = CX_STORE, .way = 1, .off = 3 * B, .len = B + 2 },
		{ .kind = CX_STORE, .way = 0, .len = 1 },
		{ .kind = CX_PSTORE, .len = 1 },
		{ .kind = CX_READ, .way = CX_WAYS, .len = 1 },
		{ .kind = CX_READ, .way = CX_BY_MAP, .len = 1 },
		{ .kind = CX_READ, .way = CX_BY_DIRECT, .off = 1, .len = B },
		{ .kind = CX_READ, .way = CX_BY_DIRECT, .off = 5 * B, .len = B },
		{ .kind = CX_COLLAPSE, .off = 0, .len = 5 * B },
		{ .kind = CX_COLLAPSE, .off = 1, .len = B },
		{ .kind = CX_INSERT, .off = 0, .len = 8 * B },
		{ .kind = CX_INSERT, .off = 5 * B, .len = B },
		{ .kind = CX_CLONE, .file = 0, .src = 1, .len = B + 1 },
		{ .kind = CX_CLONE, .file = 0, .src = 0, .len = 4 * B },
		{ .kind = CX_CLONERANGE, .file = 0, .src = 1, .off = B, .len = 2 * B },
		{ .kind = CX_CLONERANGE, .file = 1, .src = 0, .off = 1, .len = B },
		{ .kind = CX_CLONERANGE, .file = 0, .src = 0, .off = B, .at = 0, .len = 2 * B },
		{ .kind = CX_EXCHANGE, .file = 1, .src = 0, .off = 2 * B, .len = B },
		{ .kind = CX_SWAPEXT, .file = 1, .src = 0, .len = B },
		{ .kind = CX_MAPPED, .way = CX_READ_INTO, .file = 1, .src = 0, .off = B, .len = B },
		{ .kind = CX_MAPPED, .way = CX_DWRITE_FROM, .file = 1, .src = 0, .off = 1, .len = B },
		{ .kind = CX_MAPPED, .file = 1, .src = 1, .at = B, .len = 1 },
		{ .kind = CX_UNMAP },
		{ .kind = CX_KINDS },
	};
	struct cx_model m;
	struct cx_op op = { .kind = CX_CLONE, .file = 1, .src = 0 };
	size_t i;

	(void)state;
	model(&m, 2);
	W(1, 0, 0, 4 * B + 1);
	W(2, 1, 0, B + 1);
	for (i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++)
		if (cx_valid(&m, &impossible[i]))
			fail_msg("operation %zu is called possible", i);
	op.len = 4 * B + 1;
	assert_true(cx_valid(&m, &op));
	m.features &= ~(1ull << CX_F_CLONE);
	assert_false(cx_valid(&m, &op));
	cx_model_free(&m);
}

static void generate(struct cx_model *m, uint64_t seed, struct cx_op *ops, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		cx_generate(m, seed, (uint32_t)i + 1, &ops[i]);
		assert_true(cx_valid(m, &ops[i]));
		cx_apply(m, &ops[i]);
	}
}

#define MANY	20000u

static void test_generator(void **state)
{
	static struct cx_op a[MANY], b[MANY];
	unsigned int kinds[CX_KINDS] = {}, ways[CX_WAYS] = {}, i, same = 0, big = 0;
	struct cx_model m;
	char text[CX_TEXT];
	struct cx_op op;

	(void)state;
	model(&m, 4);
	generate(&m, 1, a, MANY);
	cx_model_reset(&m);
	generate(&m, 1, b, MANY);
	assert_memory_equal(a, b, sizeof(a));
	cx_model_reset(&m);
	generate(&m, 2, b, MANY);
	for (i = 0; i < MANY; i++)
		same += !memcmp(&a[i], &b[i], sizeof(a[i]));
	assert_true(same < MANY / 100);
	for (i = 0; i < MANY; i++) {
		kinds[a[i].kind]++;
		ways[a[i].way] += a[i].kind == CX_READ;
		big += a[i].len == CAP;
		cx_text(&a[i], text);
		assert_true(cx_parse(text, &op));
		assert_memory_equal(&op, &a[i], sizeof(op));
	}
	for (i = 0; i < CX_KINDS; i++)
		if (!kinds[i] != !cx_kinds[i].weight)
			fail_msg("%s: %u of %u", cx_kinds[i].name, kinds[i], MANY);
	for (i = 0; i < CX_WAYS; i++)
		if (!ways[i])
			fail_msg("never read by %s", cx_way_names[i]);
	assert_true(big > 10 && big < MANY / 4);
	/* Without clones, none. */
	m.features = 0;
	cx_model_reset(&m);
	generate(&m, 3, b, 1000);
	for (i = 0; i < 1000; i++)
		assert_true(b[i].kind != CX_CLONE && b[i].kind != CX_CLONERANGE && b[i].kind != CX_DWRITE);
	assert_false(cx_parse("17 no-such-thing file=0 off=0 len=0 src=0 at=0 way=0", &op));
	assert_false(cx_parse("17 write file=0 off=0 len=0", &op));
	assert_false(cx_parse("17 write file=64 off=0 len=0 src=0 at=0 way=0", &op));
	cx_model_free(&m);
}

/* --- fewer operations ---------------------------------------------------------------------------------------------------- */

struct needed {
	uint32_t nr[4];
	unsigned int n, calls, most;
};

static bool has_all(void *arg, const struct cx_op *ops, size_t n)
{
	struct needed *want = arg;
	unsigned int found = 0;
	size_t i;

	want->calls++;
	for (i = 0; i < n && found < want->n; i++)
		found += ops[i].nr == want->nr[found];
	return found == want->n;
}

static bool go_on_until(void *arg)
{
	const struct needed *want = arg;

	return want->calls < want->most;
}

static void test_minimize(void **state)
{
	struct needed want = { { 3, 170, 171, 400 }, 4, 0, 10000 };
	struct cx_op ops[400] = {};
	size_t n, i;

	(void)state;
	for (i = 0; i < 400; i++)
		ops[i].nr = (uint32_t)i + 1;
	n = cx_minimize(ops, 400, has_all, go_on_until, &want);
	assert_int_equal(n, 4);
	for (i = 0; i < 4; i++)
		assert_int_equal(ops[i].nr, want.nr[i]);
	assert_true(want.calls < 400);
	/* Nothing to take away. */
	assert_int_equal(cx_minimize(ops, 4, has_all, go_on_until, &want), 4);
	want.n = 1;
	assert_int_equal(cx_minimize(ops, 4, has_all, go_on_until, &want), 1);
	assert_int_equal(ops[0].nr, 3);
	/* Out of time: still a list that fails. */
	for (i = 0; i < 400; i++)
		ops[i].nr = (uint32_t)i + 1;
	want = (struct needed){ { 3, 170, 171, 400 }, 4, 0, 5 };
	n = cx_minimize(ops, 400, has_all, go_on_until, &want);
	assert_int_equal(want.calls, 5);
	assert_true(n < 400 && has_all(&want, ops, n));
}

/* --- on a file system ---------------------------------------------------------------------------------------------------- */

static void test_passes(void **state)
{
	struct cx_config c = config();
	struct cx_stats s;

	(void)state;
	c.ops = 1600;
	if (cx_sequential(&c, &s))
		fail_msg("%s", said);
	assert_int_equal(s.ops, 1600);
	assert_true(s.bytes > 1 << 20 && s.by_kind[CX_READ] > 100 && s.by_kind[CX_STORE] && s.by_kind[CX_CHECK] >= 16);
}

static unsigned int lines_with(const char *what)
{
	unsigned int n = 0;
	const char *at;

	for (at = said; (at = strstr(at, what)); at += strlen(what))
		n++;
	return n;
}

/* A byte changed behind its back is found, and the few operations that show it; these fail again from a file. */
static void test_finds(void **state)
{
	struct cx_config c = config();
	char path[256], *ops;
	struct cx_stats s;
	FILE *f;

	(void)state;
	c.ops = 400;
	c.epoch = 400;
	c.corrupt = 395;
	c.minimize = 5;
	assert_int_equal(cx_sequential(&c, &s), -EUCLEAN);
	assert_non_null(strstr(s.why, "seed 7 epoch 0 op "));
	assert_non_null(strstr(s.why, "bytes are wrong"));
	assert_non_null(strstr(said, "FAILED seed 7"));
	assert_non_null(strstr(said, "failed again in 3 of 3 runs"));
	assert_int_equal(lines_with("op: 395 corrupt"), 1);
	if (lines_with("op: ") > 6 || lines_with("op: ") < 3)
		fail_msg("%u operations are left\n%s", lines_with("op: "), said);

	snprintf(path, sizeof(path), "%s/list", tmp);
	f = fopen(path, "w");
	ops = strstr(said, "operations that fail");
	assert_true(f && ops && fputs(ops, f) >= 0);
	fclose(f);
	c.minimize = 0;
	said[0] = '\0';
	assert_int_equal(cx_replay(&c, path, &s), -EUCLEAN);
	assert_non_null(strstr(s.why, "bytes are wrong"));
	unlink(path);
	assert_int_equal(cx_replay(&c, path, &s), -ENOENT);
}

/* Old bytes, another file's, and lost ones are told apart. */
static void test_tells(void **state)
{
	static const struct cx_op ops[] = {
		{ .nr = 1001, .kind = CX_WRITE, .len = B },
		{ .nr = 1002, .kind = CX_WRITE, .file = 1, .len = B },
		{ .nr = 1003, .kind = CX_WRITE, .off = 8, .len = 16 },
	};
	static const struct {
		uint32_t nr;
		unsigned int file;
		const char *says;
	} cases[] = {
		{ 1001, 0, "OLD: that stood here from op 1001 to op 1003" },
		{ 1002, 1, "FOREIGN: that never stood here" },
		{ 17, 0, "FOREIGN: of a file that was deleted long ago" },
	};
	struct cx_config c = config();
	struct run r = { .c = &c };
	struct cx_failure bad = { .bytes = true, .off = 9, .want = cx_word(1003, 0, 1) };
	size_t i;

	(void)state;
	model(&r.m, 2);
	for (i = 0; i < 3; i++) {
		said[0] = '\0';
		bad.seen = cx_word(cases[i].nr, cases[i].file, 1);
		explain(&r, ops, 3, &bad);
		assert_non_null(strstr(said, cases[i].says));
		assert_non_null(strstr(said, "1003 write file=0"));
	}
	/* Zeroes did stand there, before the first write. */
	bad.seen = 0;
	explain(&r, ops, 3, &bad);
	assert_non_null(strstr(said, "OLD: that stood here from op 0 to op 1001"));
	bad.seen = 0x123;
	explain(&r, ops, 3, &bad);
	assert_non_null(strstr(said, "TORN"));
	cx_model_free(&r.m);
}

/* What is left of a failure that does not come again. */
static void test_slice(void **state)
{
	struct cx_op ops[] = {
		{ .nr = 1, .kind = CX_WRITE, .file = 3, .len = B },
		{ .nr = 2, .kind = CX_WRITE, .file = 2, .len = B },
		{ .nr = 3, .kind = CX_CLONE, .file = 1, .src = 2, .len = B },
		{ .nr = 4, .kind = CX_DROP },
		{ .nr = 5, .kind = CX_WRITE, .file = 0, .len = B },
		{ .nr = 6, .kind = CX_READ, .file = 1, .len = B },
	};
	static const uint32_t left[] = { 2, 3, 4, 6 };
	size_t n = slice(ops, 6, 1), i;

	(void)state;
	assert_int_equal(n, 4);
	for (i = 0; i < n; i++)
		assert_int_equal(ops[i].nr, left[i]);
}

/* --- several processes --------------------------------------------------------------------------------------------------- */

static void test_legal(void **state)
{
	uint64_t w11 = live_word(3, 5, 11);
	uint32_t v;

	(void)state;
	assert_true(legal(3, 5, w11, 11, 11, 0, &v) && v == 11);
	assert_true(legal(3, 5, w11, 10, 12, 0, &v));
	assert_false(legal(3, 5, w11, 12, 13, 0, &v));
	assert_false(legal(3, 5, w11, 9, 10, 0, &v));
	assert_false(legal(3, 5, live_word(4, 5, 11), 10, 12, 0, &v));
	assert_false(legal(3, 5, live_word(3, 6, 11), 10, 12, 0, &v));
	/* Zeroes at 8n only, and on the way there parts of a word. */
	assert_false(legal(3, 5, 0, 9, 15, 0, &v));
	assert_true(legal(3, 5, 0, 9, 16, 0, &v) && v == 16);
	assert_true(legal(3, 5, w11 & 0xffffffff, 15, 17, 0, &v));
	assert_false(legal(3, 5, w11 & 0xffffffff, 9, 15, 0, &v));
	assert_false(legal(3, 5, w11 & 0xffffffff, 16, 16, 0, &v));
	assert_false(legal(3, 5, (w11 & 0xffffffff) | 1ull << 40, 15, 17, 0, &v));
	/* Versions are modulo 256. */
	assert_true(legal(3, 5, live_word(3, 5, 300), 299, 301, 0, &v) && v == 300);
	/* Went back: legal by the window, but older than what was seen. */
	assert_true(legal(3, 5, w11, 10, 13, 12, &v) && v > 13);
	assert_int_equal(next_data(7), 9);
	assert_int_equal(next_zero(8), 16);
	assert_int_equal(over_zero(8), 17);
}

static struct cx_config concurrent(void)
{
	struct cx_config c = config();

	c.procs = 3;
	c.threads = 1;
	c.seconds = 1;
	c.size = 64 * 1024;
	return c;
}

static void test_concurrent(void **state)
{
	struct cx_config c = concurrent();
	struct cx_stats s;

	(void)state;
	if (cx_concurrent(&c, &s))
		fail_msg("%s", said);
	assert_true(s.looks > 100 && s.changes > 20);
}

/* Somebody else writes to a file: its readers, or its owner, must see that. */
static void test_concurrent_finds(void **state)
{
	struct cx_config c = concurrent();
	struct cx_stats s;
	char path[300];
	int fd = -1, i;
	pid_t pid;

	(void)state;
	c.seconds = 10;
	snprintf(path, sizeof(path), "%s/clonex.%d/live01", tmp, (int)getpid());
	pid = fork();
	if (!pid) {
		uint64_t w = live_word(2, 3, 1);

		while ((fd = open(path, O_RDWR)) < 0)
			usleep(1000);
		usleep(100000);
		for (i = 0; i < 2000 && !access(path, F_OK); i++) {
			if (pwrite(fd, &w, 8, 2 * B + 8 * (i % 512)) != 8)
				_exit(1);
			usleep(100);
		}
		_exit(0);
	}
	assert_int_equal(cx_concurrent(&c, &s), -EUCLEAN);
	assert_non_null(strstr(s.why, "live file 1 block 2"));
	assert_non_null(strstr(s.why, "file 2 block 3"));
	waitpid(pid, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_model_sizes),
		cmocka_unit_test(test_model_shifts),
		cmocka_unit_test(test_model_two_files),
		cmocka_unit_test(test_model_private),
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_generator),
		cmocka_unit_test(test_minimize),
		cmocka_unit_test(test_passes),
		cmocka_unit_test(test_finds),
		cmocka_unit_test(test_tells),
		cmocka_unit_test(test_slice),
		cmocka_unit_test(test_legal),
		cmocka_unit_test(test_concurrent),
		cmocka_unit_test(test_concurrent_finds),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
