// SPDX-License-Identifier: GPL-2.0
/* What files may hold after a power cut: what was promised, what came later, in any mixture, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "../../workloads/clonex-model.c"
#include "../../workloads/clonex-gen.c"
#include "../../workloads/promise.c"

#define CAP	(4 * CX_BLOCK)
#define FILES	3u

static struct cx_model m;
static struct promises p;
static uint8_t disk[CAP + 8];
static char why[CX_WHY];

static int setup(void **state)
{
	(void)state;
	return cx_model_init(&m, FILES, CAP) || pr_init(&p, &m);
}

static int teardown(void **state)
{
	(void)state;
	pr_free(&p);
	cx_model_free(&m);
	return 0;
}

static void done(struct cx_op op, bool kept)
{
	static uint32_t nr;

	op.nr = ++nr;
	assert_true(cx_valid(&m, &op));
	cx_apply(&m, &op);
	assert_int_equal(pr_done(&p, &op, kept), 0);
}

#define DO(...)		done((struct cx_op){ __VA_ARGS__ }, true)
#define MAYBE(...)	done((struct cx_op){ __VA_ARGS__ }, false)

/* The file as the model has it now. */
static void take(unsigned int file)
{
	memcpy(disk, m.f[file].data, CAP);
}

static void legal(unsigned int file, uint64_t size)
{
	if (!pr_legal(&p, file, disk, size, why))
		fail_msg("%s", why);
}

static void illegal(unsigned int file, uint64_t size, const char *part)
{
	assert_false(pr_legal(&p, file, disk, size, why));
	if (!strstr(why, part))
		fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static void test_promised(void **state)
{
	(void)state;
	/* Not promised: may be there, in part, or not. */
	DO(.kind = CX_WRITE, .len = 2 * CX_BLOCK);
	take(0);
	legal(0, 2 * CX_BLOCK);
	legal(0, CX_BLOCK + 100);
	legal(0, 0);
	memset(disk, 0, CX_BLOCK);
	legal(0, 2 * CX_BLOCK);
	illegal(0, 2 * CX_BLOCK + 1, "the size is 0x2001, must be from 0 to 0x2000");
	/* Promised: all of it. */
	DO(.kind = CX_FSYNC);
	illegal(0, 2 * CX_BLOCK, "at 0 (block 0) is 0000000000000000");
	take(0);
	legal(0, 2 * CX_BLOCK);
	illegal(0, 2 * CX_BLOCK - 1, "the size is 0x1fff");
	illegal(0, 0, "the size is 0");
	disk[CX_BLOCK + 17] ^= 1;
	illegal(0, 2 * CX_BLOCK, "at 0x1010 (block 1)");
	assert_false(pr_legal(&p, 0, NULL, 0, why));
	assert_non_null(strstr(why, "missing"));
}

/* What was written later may stand beside what was promised, word by word; nothing that is older may. */
static void test_later(void **state)
{
	uint8_t old[CAP], promised[CAP];

	(void)state;
	m.features |= 1ull << CX_F_PUNCH;
	DO(.kind = CX_WRITE, .len = CAP);
	memcpy(old, m.f[0].data, CAP);
	DO(.kind = CX_WRITE, .len = CAP);
	DO(.kind = CX_FDATASYNC);
	memcpy(promised, m.f[0].data, CAP);
	DO(.kind = CX_WRITE, .len = CAP);
	DO(.kind = CX_PUNCH, .off = CX_BLOCK, .len = CX_BLOCK);
	take(0);
	legal(0, CAP);
	memcpy(disk + 8, promised + 8, 800);
	memcpy(disk + CX_BLOCK, promised + CX_BLOCK, 2 * CX_BLOCK);
	legal(0, CAP);
	memcpy(disk + 2 * CX_BLOCK + 64, old + 2 * CX_BLOCK + 64, 8);
	illegal(0, CAP, "at 0x2040 (block 2)");
	assert_non_null(strstr(why, "wrote it to file 0 at 0x2040"));
}

/* An fsync that may not have been carried out promises nothing. */
static void test_not_kept(void **state)
{
	(void)state;
	DO(.kind = CX_WRITE, .len = CX_BLOCK);
	MAYBE(.kind = CX_FSYNC);
	take(0);
	legal(0, 0);
	legal(0, CX_BLOCK);
}

/* Another file's promise is none; syncfs is everybody's. */
static void test_whose(void **state)
{
	(void)state;
	DO(.kind = CX_WRITE, .file = 0, .len = CX_BLOCK);
	DO(.kind = CX_WRITE, .file = 1, .len = CX_BLOCK);
	DO(.kind = CX_FSYNC, .file = 1);
	take(0);
	legal(0, 0);
	illegal(1, 0, "the size");
	m.features |= 1ull << CX_F_SYNCFS;
	DO(.kind = CX_SYNCFS);
	illegal(0, 0, "the size");
	take(2);
	legal(2, 0);
}

/* A clone is as it was made, whatever becomes of the file that it was made from. */
static void test_clone(void **state)
{
	uint8_t first[CAP];

	(void)state;
	m.features |= 1ull << CX_F_CLONE;
	DO(.kind = CX_WRITE, .file = 0, .len = CAP);
	memcpy(first, m.f[0].data, CAP);
	DO(.kind = CX_CLONE, .file = 1, .src = 0, .len = CAP);
	DO(.kind = CX_FSYNC, .file = 1);
	DO(.kind = CX_WRITE, .file = 0, .len = CAP);
	take(1);
	assert_memory_equal(disk, first, CAP);
	legal(1, CAP);
	legal(0, CAP);
	take(0);
	legal(0, CAP);
	illegal(1, CAP, "wrote it to file 0 at 0");
}

static void test_recreate(void **state)
{
	uint8_t old[CAP];

	(void)state;
	DO(.kind = CX_WRITE, .len = CAP);
	DO(.kind = CX_FSYNC);
	take(0);
	memcpy(old, disk, CAP);
	DO(.kind = CX_RECREATE);
	/* Still the old one, none, or the new one; */
	legal(0, CAP);
	assert_true(pr_legal(&p, 0, NULL, 0, why));
	legal(0, 0);
	/* but the old one whole, */
	illegal(0, CX_BLOCK, "the size");
	DO(.kind = CX_WRITE, .len = 2 * CX_BLOCK);
	take(0);
	legal(0, 2 * CX_BLOCK);
	legal(0, CX_BLOCK);
	/* not in the new one, */
	memcpy(disk, old, 8);
	illegal(0, 2 * CX_BLOCK, "at 0 (block 0)");
	/* and not for ever. */
	DO(.kind = CX_FSYNC);
	memcpy(disk, old, CAP);
	illegal(0, CAP, "the size");
	assert_false(pr_legal(&p, 0, NULL, 0, why));
}

/* The last bytes are no whole word. */
static void test_tail(void **state)
{
	(void)state;
	DO(.kind = CX_WRITE, .len = 13);
	DO(.kind = CX_FSYNC);
	take(0);
	legal(0, 13);
	/* Behind the end anything may stand: nobody sees it. */
	disk[13] ^= 0xff;
	legal(0, 13);
	disk[12] ^= 0xff;
	illegal(0, 13, "at 0x8");
}

/* Disks that are made up of what stood there since the last promise are legal, in any mixture; with one older word they are not. */
static void test_random(void **state)
{
	uint64_t rnd = 5;
	unsigned int older = 0;

	(void)state;
	m.features = ~pr_without();
	m.dio = 512;
	for (uint32_t nr = 1; nr <= 3000; nr++) {
		uint8_t before[FILES][CAP];
		uint64_t size[FILES];
		unsigned int f, s;
		struct cx_op op;
		bool promise;

		for (f = 0; f < FILES; f++) {
			memcpy(before[f], p.f[f].v[0].data, CAP);
			size[f] = p.f[f].v[0].size;
		}
		pr_generate(&m, 9, nr, &op);
		assert_true(cx_valid(&m, &op));
		cx_apply(&m, &op);
		assert_int_equal(pr_done(&p, &op, true), 0);
		promise = pr_is_promise(&op);
		f = op.file;
		s = (unsigned int)(cx_rand(&rnd) % p.f[f].n);
		/* Sizes and words of one life. */
		for (uint32_t at = 0; at < CAP; at += 8) {
			unsigned int i = (unsigned int)(cx_rand(&rnd) % p.f[f].n);

			if (p.f[f].v[i].life != p.f[f].v[s].life)
				i = s;
			memcpy(disk + at, p.f[f].v[i].data + at, 8);
		}
		legal(f, p.f[f].v[s].size);
		if (!promise || !size[f] || p.f[f].n != 1)
			continue;
		memcpy(disk, before[f], CAP);
		if (size[f] == m.f[f].size && memcmp(disk, m.f[f].data, size[f])) {
			illegal(f, size[f], "never stood there");
			older++;
		}
	}
	assert_true(older > 20);
}

/* The second boot goes through the same operations as the first one. */
static void test_same_operations(void **state)
{
	unsigned int promises = 0;

	(void)state;
	m.features = ~pr_without();
	m.dio = 512;
	for (uint32_t nr = 1; nr < 2000; nr++) {
		struct cx_op a, b;

		pr_generate(&m, 3, nr, &a);
		pr_generate(&m, 3, nr, &b);
		assert_memory_equal(&a, &b, sizeof(a));
		assert_int_equal(a.nr, nr);
		/* Neither of them can be done in one step. */
		assert_true(a.kind != CX_COLLAPSE && a.kind != CX_INSERT && a.kind != CX_SWAPEXT && a.kind != CX_EXCHANGE);
		promises += pr_is_promise(&a);
		cx_apply(&m, &a);
	}
	assert_in_range(promises, 2000 / PR_SYNC_EVERY * 3 / 4, 2000 / PR_SYNC_EVERY * 3 / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_promised, setup, teardown),
		cmocka_unit_test_setup_teardown(test_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whose, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recreate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_operations, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
