// SPDX-License-Identifier: GPL-2.0
/*
 * The histogram's promises: the buckets tile all of 64 bits without gap or overlap, a reported value is within
 * 1 / 2^(HIST_BITS + 1) of the true one anywhere, merging equals adding everything to one, the JSON form is whole.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "hist.h"

static struct hist h1, h2, h3;		/* 30 KiB each: not on the stack */

static uint64_t rnd(uint64_t *s)
{
	uint64_t z = (*s += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Random values with every magnitude equally likely. */
static uint64_t rnd_log(uint64_t *s)
{
	uint64_t v = rnd(s);

	return v >> (rnd(s) & 63);
}

/* By induction over the buckets: the first begins at 0, each begins where the one before ends, the last ends at 2^64-1. */
static void test_tiling(void **state)
{
	uint64_t next = 0;
	unsigned int i;

	(void)state;
	for (i = 0; i < HIST_BUCKETS; i++) {
		assert_int_equal(hist_low(i), next);
		assert_true(hist_high(i) >= hist_low(i));
		assert_int_equal(hist_bucket(hist_low(i)), i);
		assert_int_equal(hist_bucket(hist_high(i)), i);
		next = hist_high(i) + 1;
	}
	assert_int_equal(next, 0);	/* wrapped around: 2^64 */
}

/*
 * The error of the middle is largest, relative to the value, at the bucket's low end; as the buckets tile the range, checking
 * both ends of every bucket proves the bound for every value. In integers, doubled so that the middle is exact:
 * |2v - (low + high)| * 2^HIST_BITS <= v
 */
static void test_error_bound(void **state)
{
	unsigned int i, k;

	(void)state;
	for (i = 0; i < HIST_BUCKETS; i++) {
		const unsigned __int128 lo = hist_low(i), hi = hist_high(i);
		const unsigned __int128 ends[2] = { lo, hi };

		for (k = 0; k < 2; k++) {
			unsigned __int128 v2 = ends[k] * 2, mid2 = lo + hi;
			unsigned __int128 err2 = v2 > mid2 ? v2 - mid2 : mid2 - v2;

			/* err2 / 2 / v <= 1 / 2^(HIST_BITS + 1) */
			assert_true(err2 << HIST_BITS <= ends[k]);
		}
		/* Exact where a value has a bucket of its own. */
		if (lo < 2u << HIST_BITS)
			assert_true(lo == hi);
	}
}

static void test_bucket_contains(void **state)
{
	uint64_t s = 1, v;
	unsigned int i, b;

	(void)state;
	for (i = 0; i < 200000; i++) {
		v = rnd_log(&s);
		b = hist_bucket(v);
		assert_true(b < HIST_BUCKETS);
		assert_true(hist_low(b) <= v && v <= hist_high(b));
	}
	assert_int_equal(hist_bucket(0), 0);
	assert_int_equal(hist_bucket(UINT64_MAX), HIST_BUCKETS - 1);
}

static void test_empty(void **state)
{
	char buf[128];

	(void)state;
	hist_init(&h1);
	assert_int_equal(h1.n, 0);
	assert_true(hist_quantile(&h1, 0.5) == 0);
	assert_true(hist_mean(&h1) == 0);
	assert_true(hist_json(&h1, buf, sizeof(buf)) > 0);
	assert_string_equal(buf, "{\"bits\":6,\"n\":0,\"min\":0,\"max\":0,\"sum\":\"0\",\"b\":[]}");
}

static void test_one_value(void **state)
{
	static const uint64_t values[] = { 0, 1, 63, 64, 127, 128, 129, 1000003, UINT64_MAX };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		hist_init(&h1);
		hist_add(&h1, values[i]);
		/* Clipping to [min, max] makes a single value exact. */
		assert_true(hist_quantile(&h1, 0) == (double)values[i]);
		assert_true(hist_quantile(&h1, 0.5) == (double)values[i]);
		assert_true(hist_quantile(&h1, 1) == (double)values[i]);
		assert_true(hist_mean(&h1) == (double)values[i]);
		assert_true(h1.min == values[i] && h1.max == values[i]);
	}
}

/* 1..100: small enough for exact buckets, so that nearest rank is exact: the q-quantile is 100 q. */
static void test_nearest_rank(void **state)
{
	unsigned int i;

	(void)state;
	hist_init(&h1);
	for (i = 100; i; i--)
		hist_add(&h1, i);
	for (i = 1; i <= 100; i++)
		assert_true(hist_quantile(&h1, i / 100.0) == i);
	assert_true(hist_quantile(&h1, 0) == 1);
	assert_true(hist_quantile(&h1, 0.005) == 1);
	assert_true(hist_quantile(&h1, 0.501) == 51);
	assert_true(hist_quantile(&h1, 0.999) == 100);
	assert_true(hist_quantile(&h1, 2) == 100);
	assert_true(hist_quantile(&h1, -1) == 1);
	assert_true(hist_mean(&h1) == 50.5);
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void test_quantile_error(void **state)
{
	enum { N = 20000 };
	static const double qs[] = { 0, 0.001, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1 };
	static uint64_t v[N];
	uint64_t s = 7;
	unsigned int i;

	(void)state;
	hist_init(&h1);
	for (i = 0; i < N; i++) {
		v[i] = rnd_log(&s);
		hist_add(&h1, v[i]);
	}
	qsort(v, N, sizeof(v[0]), cmp_u64);
	for (i = 0; i < sizeof(qs) / sizeof(qs[0]); i++) {
		uint64_t rank = (uint64_t)(qs[i] * N + 0.999999);
		double want = (double)v[rank ? rank - 1 : 0], got = hist_quantile(&h1, qs[i]);
		double err = got > want ? got - want : want - got;

		/* The one-in-10^12 is for doubles' own rounding above 2^53. */
		assert_true(err <= want * (1.0 / (2 << HIST_BITS)) * (1 + 1e-12));
	}
}

static void test_merge(void **state)
{
	uint64_t s = 3, v;
	unsigned int i;

	(void)state;
	hist_init(&h1);
	hist_init(&h2);
	hist_init(&h3);
	for (i = 0; i < 10000; i++) {
		v = rnd_log(&s);
		hist_add(i % 3 ? &h1 : &h2, v);
		hist_add(&h3, v);
	}
	hist_merge(&h1, &h2);
	assert_memory_equal(&h1, &h3, sizeof(h1));
	/* An empty histogram changes nothing, in either direction (its min of 0 is not a value). */
	hist_init(&h2);
	hist_merge(&h1, &h2);
	assert_memory_equal(&h1, &h3, sizeof(h1));
	hist_merge(&h2, &h3);
	assert_memory_equal(&h2, &h3, sizeof(h2));
}

static void test_sum_exceeds_64_bits(void **state)
{
	char buf[256];

	(void)state;
	hist_init(&h1);
	hist_add(&h1, UINT64_MAX);
	hist_add(&h1, UINT64_MAX);
	assert_true(hist_json(&h1, buf, sizeof(buf)) > 0);
	assert_non_null(strstr(buf, "\"sum\":\"36893488147419103230\""));
	assert_true(hist_mean(&h1) == (double)UINT64_MAX);
}

static void test_json(void **state)
{
	static char buf[1 << 17];
	json_t *j, *b, *pair;
	uint64_t s = 11;
	json_int_t last = -1;
	unsigned int i;
	size_t k;
	int len;

	(void)state;
	hist_init(&h1);
	for (i = 0; i < 5000; i++)
		hist_add(&h1, rnd_log(&s) >> 1);	/* jansson's integers are signed */
	len = hist_json(&h1, buf, sizeof(buf));
	assert_int_equal(len, strlen(buf));
	j = json_loads(buf, 0, NULL);
	assert_non_null(j);
	assert_int_equal(json_integer_value(json_object_get(j, "bits")), HIST_BITS);
	assert_int_equal(json_integer_value(json_object_get(j, "n")), h1.n);
	assert_int_equal(json_integer_value(json_object_get(j, "min")), h1.min);
	assert_int_equal(json_integer_value(json_object_get(j, "max")), h1.max);
	hist_init(&h2);
	b = json_object_get(j, "b");
	json_array_foreach(b, k, pair) {
		json_int_t bucket = json_integer_value(json_array_get(pair, 0));

		assert_int_equal(json_array_size(pair), 2);
		assert_true(bucket > last && bucket < HIST_BUCKETS);
		last = bucket;
		h2.b[bucket] = json_integer_value(json_array_get(pair, 1));
		assert_true(h2.b[bucket] > 0);
	}
	assert_memory_equal(h1.b, h2.b, sizeof(h1.b));
	json_decref(j);
}

/* Every capacity that is too small is refused and nothing is written beyond it; the exact one (with the NUL) is enough. */
static void test_json_cap(void **state)
{
	char buf[512];
	size_t cap;
	int len;

	(void)state;
	hist_init(&h1);
	hist_add(&h1, 5);
	hist_add(&h1, 1000);
	hist_add(&h1, 1u << 20);
	len = hist_json(&h1, buf, sizeof(buf));
	assert_true(len > 0);
	for (cap = 0; cap <= (size_t)len; cap++) {
		memset(buf, 0x55, sizeof(buf));
		assert_int_equal(hist_json(&h1, buf, cap), -ENOSPC);
		assert_int_equal(buf[cap], 0x55);
	}
	assert_int_equal(hist_json(&h1, buf, len + 1), len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tiling),
		cmocka_unit_test(test_error_bound),
		cmocka_unit_test(test_bucket_contains),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_one_value),
		cmocka_unit_test(test_nearest_rank),
		cmocka_unit_test(test_quantile_error),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_sum_exceeds_64_bits),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
