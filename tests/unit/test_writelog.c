// SPDX-License-Identifier: GPL-2.0
/* Logs of writes: how they are read, also when they are cut short, and what a disk may hold after a cut. */
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

#include "util.h"
#include "writelog.h"

#define SECTOR	512u
#define BLOCK	WLOG_ATOMIC
#define DISK	(64u * BLOCK)
#define FLUSH	1u
#define DISCARD	4u
#define MARK	8u

static char dir[] = "/tmp/test-writelog-XXXXXX";
static char *path, *disk;
static struct buf raw;

static void sector(const void *data, size_t len)
{
	static const char zero[SECTOR];

	buf_add(&raw, data, len);
	buf_add(&raw, zero, SECTOR - len);
}

static void super(uint64_t magic, uint64_t version, uint32_t size)
{
	struct {
		uint64_t magic, version, nr;
		uint32_t sectorsize;
	} s = { magic, version, 0, size };

	raw.len = 0;
	sector(&s, sizeof(s));
}

static void entry(uint64_t off, uint64_t len, uint64_t flags, int fill)
{
	const uint64_t e[4] = { off / SECTOR, len / SECTOR, flags, 0 };

	sector(e, sizeof(e));
	for (uint64_t i = 0; i < len && !(flags & DISCARD); i++)
		buf_add(&raw, &(const char){ (char)fill }, 1);
}

static void begin(void)
{
	super(0x6a736677736872ull, 1, SECTOR);
}

static int open_log(struct wlog *l)
{
	const char *why;

	assert_int_equal(write_file_atomic(path, raw.s, raw.len), 0);
	return wlog_open(path, l, &why);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	path = xasprintf("%s/log", dir);
	disk = xasprintf("%s/disk", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_free(&raw);
	free(path);
	free(disk);
	return remove_tree(dir);
}

static void test_read(void **state)
{
	struct wlog l;
	char data[3 * SECTOR];

	(void)state;
	begin();
	entry(7 * SECTOR, 3 * SECTOR, 0, 'a');
	entry(0, 0, MARK, 0);
	entry(0, 0, FLUSH, 0);
	entry(0, SECTOR, 0, 'b');
	assert_int_equal(open_log(&l), 0);
	assert_int_equal(l.n, 3);
	assert_int_equal(l.v[0].off, 7 * SECTOR);
	assert_int_equal(l.v[0].len, 3 * SECTOR);
	assert_false(l.v[0].flush);
	assert_true(l.v[1].flush);
	assert_int_equal(l.v[1].len, 0);
	assert_int_equal(l.v[2].off, 0);
	assert_int_equal(l.bytes, 4 * SECTOR);
	assert_int_equal(wlog_data(&l, 0, data), 0);
	assert_int_equal(data[0], 'a');
	assert_int_equal(data[sizeof(data) - 1], 'a');
	wlog_close(&l);
}

/* Whatever it was cut at, only whole entries are left, in order. */
static void test_cut_short(void **state)
{
	struct wlog l;
	size_t whole, ends[4];

	(void)state;
	begin();
	ends[0] = raw.len;
	for (int i = 0; i < 3; i++) {
		entry(0, 2 * SECTOR, 0, 'a' + i);
		ends[i + 1] = raw.len;
	}
	whole = raw.len;
	for (size_t len = SECTOR; len <= whole; len += 100) {
		size_t want = 0;

		raw.len = len;
		while (want < 3 && ends[want + 1] <= len)
			want++;
		assert_int_equal(open_log(&l), 0);
		assert_int_equal(l.n, want);
		wlog_close(&l);
	}
	/* Room that was taken and not filled ends it too, whatever stands behind. */
	raw.len = whole;
	memset(raw.s + ends[1], 0, SECTOR);
	assert_int_equal(open_log(&l), 0);
	assert_int_equal(l.n, 1);
	wlog_close(&l);
}

static void test_refused(void **state)
{
	struct wlog l;

	(void)state;
	super(0x6a736677736873ull, 1, SECTOR);
	assert_int_equal(open_log(&l), -EINVAL);
	super(0x6a736677736872ull, 2, SECTOR);
	assert_int_equal(open_log(&l), -EINVAL);
	super(0x6a736677736872ull, 1, 0);
	assert_int_equal(open_log(&l), -EINVAL);
	raw.len = 10;
	assert_int_equal(open_log(&l), -EINVAL);
	begin();
	entry(0, SECTOR, DISCARD, 0);
	assert_int_equal(open_log(&l), -EINVAL);
	begin();
	entry(0, SECTOR, 64, 0);
	assert_int_equal(open_log(&l), -EINVAL);
	unlink(path);
	assert_int_equal(wlog_open(path, &l, &(const char *){ NULL }), -ENOENT);
}

/* The blocks of the disk, each by the byte that it is full of: '.' for 0, '?' for a mixture. */
static const char *blocks(const struct wlog *l, struct wlog_cut c)
{
	static char text[DISK / BLOCK + 1];
	size_t len;
	char *data;

	assert_int_equal(wlog_disk(l, &c, disk, DISK), 0);
	assert_int_equal(read_file(disk, &data, &len), 0);
	assert_int_equal(len, DISK);
	for (size_t i = 0; i < DISK / BLOCK; i++) {
		const char *b = data + i * BLOCK;
		bool same = !memcmp(b, b + 1, BLOCK - 1);

		text[i] = !same ? '?' : *b ? *b : '.';
	}
	free(data);
	/* Only the first ones are written to here. */
	text[8] = '\0';
	return text;
}

#define SAFE(n)	(struct wlog_cut){ .at = n, .keep = 0, .honest = SIZE_MAX }
#define ALL(n)	(struct wlog_cut){ .at = n, .keep = 256, .honest = SIZE_MAX }

static void test_flush(void **state)
{
	struct wlog l;

	(void)state;
	begin();
	entry(0, 4 * BLOCK, 0, 'a');		/* 0 */
	entry(BLOCK, BLOCK, 0, 'b');		/* 1 */
	entry(0, 0, FLUSH, 0);			/* 2 */
	entry(2 * BLOCK, 2 * BLOCK, 0, 'c');	/* 3 */
	entry(0, 0, FLUSH, 0);			/* 4 */
	entry(0, BLOCK, 0, 'd');		/* 5 */
	assert_int_equal(open_log(&l), 0);
	assert_string_equal(blocks(&l, SAFE(0)), "........");
	assert_string_equal(blocks(&l, SAFE(2)), "........");
	assert_string_equal(blocks(&l, SAFE(3)), "abaa....");
	assert_string_equal(blocks(&l, SAFE(4)), "abaa....");
	assert_string_equal(blocks(&l, SAFE(5)), "abcc....");
	assert_string_equal(blocks(&l, SAFE(6)), "abcc....");
	assert_string_equal(blocks(&l, ALL(1)), "aaaa....");
	assert_string_equal(blocks(&l, ALL(4)), "abcc....");
	assert_string_equal(blocks(&l, ALL(6)), "dbcc....");
	assert_string_equal(blocks(&l, ALL(100)), "dbcc....");
	/* A disk that lies from some flush on. */
	assert_string_equal(blocks(&l, (struct wlog_cut){ .at = 6, .honest = 4 }), "abaa....");
	assert_string_equal(blocks(&l, (struct wlog_cut){ .at = 6, .honest = 5 }), "abcc....");
	assert_string_equal(blocks(&l, (struct wlog_cut){ .at = 6, .honest = 0 }), "........");
	wlog_close(&l);
}

/* Each block by itself is kept or not; the same seed keeps the same. */
static void test_some(void **state)
{
	unsigned int kept = 0, n = 0;
	bool differ = false;
	char first[16];
	struct wlog l;

	(void)state;
	begin();
	entry(0, 8 * BLOCK, 0, 'a');
	entry(0, 0, FLUSH, 0);
	entry(0, 8 * BLOCK, 0, 'b');
	assert_int_equal(open_log(&l), 0);
	for (uint64_t seed = 0; seed < 64; seed++) {
		struct wlog_cut c = { .at = 3, .keep = 64, .honest = SIZE_MAX, .seed = seed };
		const char *s;

		snprintf(first, sizeof(first), "%s", blocks(&l, c));
		s = blocks(&l, c);
		assert_string_equal(s, first);
		for (; *s; s++, n++) {
			assert_true(*s == 'a' || *s == 'b');
			kept += *s == 'b';
			differ |= *s != first[0];
		}
	}
	assert_true(differ);
	/* A quarter. */
	assert_in_range(kept, n / 6, n / 3);
	wlog_close(&l);
}

/* A write that begins within a block is torn at blocks' borders. */
static void test_unaligned(void **state)
{
	struct wlog l;
	struct wlog_cut c = { .at = 1, .keep = 128, .honest = SIZE_MAX };

	(void)state;
	begin();
	entry(BLOCK / 2, 2 * BLOCK, 0, 'a');
	assert_int_equal(open_log(&l), 0);
	for (c.seed = 0; c.seed < 32; c.seed++) {
		const char *s = blocks(&l, c);

		assert_true(s[0] == '?' || s[0] == '.');
		assert_true(s[1] == 'a' || s[1] == '.');
		assert_true(s[2] == '?' || s[2] == '.');
	}
	assert_string_equal(blocks(&l, ALL(1)), "?a?.....");
	wlog_close(&l);
}

static void test_outside(void **state)
{
	struct wlog_cut c = ALL(1);
	struct wlog l;

	(void)state;
	begin();
	entry(DISK - BLOCK, 2 * BLOCK, 0, 'a');
	assert_int_equal(open_log(&l), 0);
	assert_int_equal(wlog_disk(&l, &c, disk, DISK), -ERANGE);
	wlog_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_flush),
		cmocka_unit_test(test_some),
		cmocka_unit_test(test_unaligned),
		cmocka_unit_test(test_outside),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
