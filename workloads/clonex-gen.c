// SPDX-License-Identifier: GPL-2.0
/* Random operations, what each needs to be possible, and their text. See clonex.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clonex.h"

#define TRIES	20u

uint64_t cx_rand(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint32_t below(uint64_t *rnd, uint32_t n)
{
	return n ? (uint32_t)(cx_rand(rnd) % n) : 0;
}

bool cx_has(const struct cx_model *m, enum cx_feature f)
{
	return f == CX_F_ALWAYS || (m->features >> f & 1);
}

bool cx_features(const char *list, uint64_t *set)
{
	while (*list) {
		size_t n = strcspn(list, ","), i;

		for (i = 1; i < CX_FEATURES && (strncmp(list, cx_feature_names[i], n) || cx_feature_names[i][n]); i++)
			;
		if (i == CX_FEATURES)
			return false;
		*set |= 1ull << i;
		list += n + (list[n] == ',');
	}
	return true;
}

/* --- choosing ------------------------------------------------------------------------------------------------------------ */

/* A length: mostly a few bytes or a few blocks, sometimes all there is. */
static uint32_t pick_len(uint64_t *rnd, uint32_t max)
{
	uint32_t n;

	switch (below(rnd, 8)) {
	case 0:
		n = 1 + below(rnd, 64);
		break;
	case 1:
		n = 1 + below(rnd, CX_BLOCK);
		break;
	case 2:
		n = 1 + below(rnd, max);
		break;
	case 3:
		n = max;
		break;
	default:
		n = 1 + below(rnd, 4 * CX_BLOCK);
		break;
	}
	return n > max ? max : n;
}

/* A range within [0, limit), its ends multiples of align. Empty (len 0) if there is none. */
static void pick_range(struct cx_op *op, uint64_t *rnd, uint32_t limit, uint32_t align)
{
	limit -= limit % align;
	op->off = op->len = 0;
	if (!limit)
		return;
	op->len = (pick_len(rnd, limit) + align - 1) / align * align;
	op->off = below(rnd, (limit - op->len) / align + 1) * align;
	/* Unaligned ends, but often at a block's. */
	if (align < CX_BLOCK && !below(rnd, 2))
		op->off -= op->off % CX_BLOCK;
}

static void pick_file(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	op->file = (uint8_t)below(rnd, m->nr_files);
}

/* The other file: one in eight times the same. */
static void pick_src(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_file(m, op, rnd);
	op->src = op->file;
	if (m->nr_files > 1 && below(rnd, 8))
		op->src = (uint8_t)((op->file + 1 + below(rnd, m->nr_files - 1)) % m->nr_files);
}

/* Somewhere in the file or a little behind its end, so that files do not all grow to their limit at once. */
static uint32_t reach(const struct cx_model *m, const struct cx_op *op, uint64_t *rnd)
{
	uint32_t r = m->f[op->file].size + below(rnd, 8 * CX_BLOCK);

	if (!below(rnd, 8) || r > m->cap)
		r = m->cap;
	return r;
}

static void make_write(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_file(m, op, rnd);
	pick_range(op, rnd, reach(m, op, rnd), 1);
}

static void make_dwrite(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_file(m, op, rnd);
	pick_range(op, rnd, reach(m, op, rnd), below(rnd, 4) ? CX_BLOCK : m->dio);
}

static void make_store(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_file(m, op, rnd);
	pick_range(op, rnd, m->f[op->file].size, 1);
	op->way = m->f[op->file].mapped ? CX_STORE_OLD : CX_STORE_NEW;
	if (!below(rnd, 3))
		op->way = (uint8_t)below(rnd, CX_STORE_WAYS);
}

static void make_pstore(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_file(m, op, rnd);
	pick_range(op, rnd, m->f[op->file].size, 1);
	op->way = below(rnd, 4) ? CX_STORE_OLD : CX_STORE_POKE;
}

static void make_read(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_file(m, op, rnd);
	op->way = (uint8_t)below(rnd, CX_WAYS);
	pick_range(op, rnd, m->f[op->file].size, 1);
	if (op->way == CX_BY_DIRECT) {
		op->off -= op->off % m->dio;
		op->len = (op->len + m->dio - 1) / m->dio * m->dio;
	}
}

static void make_map(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_file(m, op, rnd);
	op->way = below(rnd, 2);
}

static void make_trunc(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_file(m, op, rnd);
	op->len = below(rnd, reach(m, op, rnd) + 1);
	if (below(rnd, 2))
		op->len -= op->len % CX_BLOCK;
}

static void make_range(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_file(m, op, rnd);
	pick_range(op, rnd, reach(m, op, rnd), below(rnd, 2) ? CX_BLOCK : 1);
}

static void make_inside(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_file(m, op, rnd);
	pick_range(op, rnd, m->f[op->file].size, below(rnd, 2) ? CX_BLOCK : 1);
}

static void make_blocks(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_file(m, op, rnd);
	pick_range(op, rnd, m->f[op->file].size, CX_BLOCK);
}

static void make_clone(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_src(m, op, rnd);
	op->len = m->f[op->src].size;
}

/* at, len in src and off in file, all at blocks; the end may be that of src. */
static void make_clonerange(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	uint32_t size, room;

	pick_src(m, op, rnd);
	size = m->f[op->src].size;
	pick_range(op, rnd, size, CX_BLOCK);
	op->at = op->off;
	if (size % CX_BLOCK && !below(rnd, 4)) {
		op->at = below(rnd, size / CX_BLOCK + 1) * CX_BLOCK;
		op->len = size - op->at;
	}
	room = op->len < m->cap ? m->cap - op->len : 0;
	if (m->f[op->file].size + 4 * CX_BLOCK < room && below(rnd, 8))
		room = m->f[op->file].size + 4 * CX_BLOCK;
	/* The same place is the most usual one. */
	op->off = below(rnd, 3) ? below(rnd, room / CX_BLOCK + 1) * CX_BLOCK : op->at;
}

/* Both inside. */
static void make_pair(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	uint32_t a, b;

	pick_src(m, op, rnd);
	a = m->f[op->file].size;
	b = m->f[op->src].size;
	pick_range(op, rnd, a < b ? a : b, CX_BLOCK);
	op->at = op->off;
	if (!below(rnd, 3))
		op->at = below(rnd, (b - b % CX_BLOCK - op->len) / CX_BLOCK + 1) * CX_BLOCK;
}

static void make_copy(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	make_clonerange(m, op, rnd);
	if (!below(rnd, 2))
		return;
	/* Anywhere, but words stay words. */
	pick_range(op, rnd, m->f[op->src].size, 1);
	op->at = op->off;
	op->off = below(rnd, (m->cap - op->len) / 8 + 1) * 8 + op->at % 8;
}

static void make_mapped(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	uint8_t way = (uint8_t)below(rnd, CX_MAPPED_WAYS);

	(way == CX_WRITE_FROM ? make_copy : make_pair)(m, op, rnd);
	op->way = way;
}

/* The whole of both. */
static void make_swapext(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_src(m, op, rnd);
	op->len = m->f[op->file].size;
}

static void make_file(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	pick_file(m, op, rnd);
}

static void make_madvise(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	make_blocks(m, op, rnd);
	op->at = below(rnd, 2);
	op->way = (uint8_t)below(rnd, CX_ADVICES);
}

static void make_nothing(const struct cx_model *m, struct cx_op *op, uint64_t *rnd)
{
	(void)m;
	(void)op;
	(void)rnd;
}

/* --- what is possible ---------------------------------------------------------------------------------------------------- */

static bool aligned(uint32_t v)
{
	return !(v % CX_BLOCK);
}

static bool range_within(const struct cx_op *op, uint32_t limit)
{
	return op->len && op->len <= limit && op->off <= limit - op->len;
}

static bool valid_always(const struct cx_model *m, const struct cx_op *op)
{
	(void)m;
	(void)op;
	return true;
}

static bool valid_range(const struct cx_model *m, const struct cx_op *op)
{
	return range_within(op, m->cap);
}

static bool valid_dwrite(const struct cx_model *m, const struct cx_op *op)
{
	return range_within(op, m->cap) && !(op->off % m->dio) && !(op->len % m->dio);
}

static bool valid_inside(const struct cx_model *m, const struct cx_op *op)
{
	return range_within(op, m->f[op->file].size);
}

static bool valid_store(const struct cx_model *m, const struct cx_op *op)
{
	return valid_inside(m, op) && op->way < CX_STORE_WAYS && (op->way != CX_STORE_OLD || m->f[op->file].mapped);
}

static bool valid_pstore(const struct cx_model *m, const struct cx_op *op)
{
	return valid_inside(m, op) && m->f[op->file].pmapped && (op->way == CX_STORE_OLD || op->way == CX_STORE_POKE);
}

static bool valid_read(const struct cx_model *m, const struct cx_op *op)
{
	const struct cx_file *f = &m->f[op->file];

	if (op->way >= CX_WAYS || !cx_has(m, cx_way_needs[op->way]) || (op->way == CX_BY_MAP && !f->mapped) ||
	    (op->way == CX_BY_PMAP && !f->pmapped))
		return false;
	/* Direct reads may go over the end. */
	if (op->way == CX_BY_DIRECT)
		return valid_dwrite(m, op) && op->off < f->size;
	return valid_inside(m, op);
}

static bool valid_map(const struct cx_model *m, const struct cx_op *op)
{
	return !(op->way ? m->f[op->file].pmapped : m->f[op->file].mapped);
}

static bool valid_unmap(const struct cx_model *m, const struct cx_op *op)
{
	return op->way ? m->f[op->file].pmapped : m->f[op->file].mapped;
}

static bool valid_trunc(const struct cx_model *m, const struct cx_op *op)
{
	return op->len <= m->cap;
}

static bool valid_collapse(const struct cx_model *m, const struct cx_op *op)
{
	return range_within(op, m->f[op->file].size) && aligned(op->off) && aligned(op->len) && op->off + op->len < m->f[op->file].size;
}

static bool valid_insert(const struct cx_model *m, const struct cx_op *op)
{
	return aligned(op->off) && aligned(op->len) && op->len && op->len <= m->cap && op->off < m->f[op->file].size &&
	       m->f[op->file].size <= m->cap - op->len;
}

static bool two_ranges(const struct cx_model *m, const struct cx_op *op)
{
	if (!range_within(op, m->cap) || op->len > m->f[op->src].size || op->at > m->f[op->src].size - op->len)
		return false;
	return op->file != op->src || op->off + op->len <= op->at || op->at + op->len <= op->off;
}

static bool valid_clonerange(const struct cx_model *m, const struct cx_op *op)
{
	if (!two_ranges(m, op) || !aligned(op->off) || !aligned(op->at))
		return false;
	/* A part of a block only at the end of both. */
	return aligned(op->len) || (op->at + op->len == m->f[op->src].size && op->off + op->len >= m->f[op->file].size);
}

static bool valid_clone(const struct cx_model *m, const struct cx_op *op)
{
	return op->file != op->src && !op->off && !op->at && op->len == m->f[op->src].size && valid_clonerange(m, op);
}

static bool valid_pair(const struct cx_model *m, const struct cx_op *op)
{
	return two_ranges(m, op) && aligned(op->off) && aligned(op->at) && aligned(op->len) && valid_inside(m, op);
}

/* Never the same file: it would wait for itself. */
static bool valid_mapped(const struct cx_model *m, const struct cx_op *op)
{
	bool direct = op->way == CX_DWRITE_FROM || op->way == CX_DREAD_INTO;

	if (op->way >= CX_MAPPED_WAYS || op->file == op->src || !two_ranges(m, op) || (direct && !cx_has(m, CX_F_DIRECT)))
		return false;
	if (direct && (!aligned(op->off) || !aligned(op->at) || !aligned(op->len)))
		return false;
	return op->way == CX_WRITE_FROM || op->way == CX_DWRITE_FROM || valid_inside(m, op);
}

static bool valid_swapext(const struct cx_model *m, const struct cx_op *op)
{
	return op->file != op->src && !op->off && !op->at && op->len && op->len == m->f[op->file].size && op->len == m->f[op->src].size;
}

static bool valid_madvise(const struct cx_model *m, const struct cx_op *op)
{
	if (op->way >= CX_ADVICES || (op->way >= CX_MADV_POPULATE && !cx_has(m, CX_F_POPULATE)))
		return false;
	/* That would be a private store. */
	if (op->way == CX_MADV_POPULATE_WRITE && op->at)
		return false;
	return valid_inside(m, op) && aligned(op->off) && aligned(op->len) &&
	       (op->at ? m->f[op->file].pmapped : m->f[op->file].mapped);
}

/* --- the table ----------------------------------------------------------------------------------------------------------- */

const char *const cx_way_names[CX_WAYS] = {
	[CX_BY_PREAD] = "pread", [CX_BY_READ] = "read", [CX_BY_READV] = "preadv", [CX_BY_MAP] = "its shared mapping",
	[CX_BY_PMAP] = "its private mapping", [CX_BY_NEWMAP] = "a new shared mapping", [CX_BY_NEWPMAP] = "a new private mapping",
	[CX_BY_POPULATE] = "a populated mapping", [CX_BY_SPLICE] = "splice", [CX_BY_SENDFILE] = "sendfile", [CX_BY_DIRECT] = "a direct read",
	[CX_BY_URING] = "io_uring",
};

const enum cx_feature cx_way_needs[CX_WAYS] = { [CX_BY_DIRECT] = CX_F_DIRECT, [CX_BY_URING] = CX_F_URING };

const char *const cx_feature_names[CX_FEATURES] = {
	"always", "direct", "falloc", "punch", "zero", "collapse", "insert", "unshare", "clone", "dedupe",
	"copy", "exchange", "swapext", "populate", "uring", "drop", "compact", "reclaim", "freeze",
	"remount", "syncfs",
};

const struct cx_kind_info cx_kinds[CX_KINDS] = {
	[CX_WRITE]	 = { "write", 1200, CX_F_ALWAYS, make_write, valid_range },
	[CX_DWRITE]	 = { "direct-write", 400, CX_F_DIRECT, make_dwrite, valid_dwrite },
	[CX_UWRITE]	 = { "uring-write", 200, CX_F_URING, make_write, valid_range },
	[CX_STORE]	 = { "store", 700, CX_F_ALWAYS, make_store, valid_store },
	[CX_PSTORE]	 = { "private-store", 400, CX_F_ALWAYS, make_pstore, valid_pstore },
	[CX_READ]	 = { "read", 7000, CX_F_ALWAYS, make_read, valid_read },
	[CX_MAP]	 = { "map", 500, CX_F_ALWAYS, make_map, valid_map },
	[CX_UNMAP]	 = { "unmap", 60, CX_F_ALWAYS, make_map, valid_unmap },
	[CX_TRUNC]	 = { "truncate", 250, CX_F_ALWAYS, make_trunc, valid_trunc },
	[CX_ALLOC]	 = { "allocate", 60, CX_F_FALLOC, make_range, valid_range },
	[CX_ALLOC_KEEP]	 = { "allocate-keep", 60, CX_F_FALLOC, make_range, valid_range },
	[CX_PUNCH]	 = { "punch", 200, CX_F_PUNCH, make_range, valid_range },
	[CX_ZERO]	 = { "zero", 100, CX_F_ZERO, make_range, valid_range },
	[CX_ZERO_KEEP]	 = { "zero-keep", 100, CX_F_ZERO, make_range, valid_range },
	[CX_COLLAPSE]	 = { "collapse", 150, CX_F_COLLAPSE, make_blocks, valid_collapse },
	[CX_INSERT]	 = { "insert", 150, CX_F_INSERT, make_blocks, valid_insert },
	[CX_UNSHARE]	 = { "unshare", 150, CX_F_UNSHARE, make_inside, valid_inside },
	[CX_CLONE]	 = { "clone", 500, CX_F_CLONE, make_clone, valid_clone },
	[CX_CLONERANGE]	 = { "clone-range", 1000, CX_F_CLONE, make_clonerange, valid_clonerange },
	[CX_DEDUPE]	 = { "dedupe", 200, CX_F_DEDUPE, make_pair, valid_pair },
	[CX_DEDUPE_SAME] = { "dedupe-same", 200, CX_F_DEDUPE, make_pair, valid_pair },
	[CX_COPY]	 = { "copy", 200, CX_F_COPY, make_copy, two_ranges },
	[CX_MAPPED]	 = { "copy-mapped", 400, CX_F_ALWAYS, make_mapped, valid_mapped },
	[CX_EXCHANGE]	 = { "exchange", 200, CX_F_EXCHANGE, make_pair, valid_pair },
	[CX_SWAPEXT]	 = { "swapext", 100, CX_F_SWAPEXT, make_swapext, valid_swapext },
	[CX_FSYNC]	 = { "fsync", 120, CX_F_ALWAYS, make_file, valid_always },
	[CX_FDATASYNC]	 = { "fdatasync", 100, CX_F_ALWAYS, make_file, valid_always },
	[CX_SYNCRANGE]	 = { "sync-range", 400, CX_F_ALWAYS, make_inside, valid_inside },
	[CX_SYNCFS]	 = { "syncfs", 10, CX_F_SYNCFS, make_nothing, valid_always },
	[CX_RECREATE]	 = { "recreate", 120, CX_F_ALWAYS, make_file, valid_always },
	[CX_REOPEN]	 = { "reopen", 60, CX_F_ALWAYS, make_file, valid_always },
	[CX_SEEK]	 = { "seek", 200, CX_F_ALWAYS, make_file, valid_always },
	[CX_DONTNEED]	 = { "dontneed", 600, CX_F_ALWAYS, make_inside, valid_inside },
	[CX_WILLNEED]	 = { "willneed", 100, CX_F_ALWAYS, make_inside, valid_inside },
	[CX_MADVISE]	 = { "madvise", 500, CX_F_ALWAYS, make_madvise, valid_madvise },
	[CX_DROP]	 = { "drop-caches", 6, CX_F_DROP, make_nothing, valid_always },
	[CX_COMPACT]	 = { "compact", 3, CX_F_COMPACT, make_nothing, valid_always },
	[CX_RECLAIM]	 = { "reclaim", 6, CX_F_RECLAIM, make_nothing, valid_always },
	[CX_FREEZE]	 = { "freeze", 4, CX_F_FREEZE, make_file, valid_always },
	[CX_REMOUNT]	 = { "remount", 2, CX_F_REMOUNT, make_nothing, valid_always },
	[CX_CHECK]	 = { "check", 20, CX_F_ALWAYS, make_file, valid_always },
	[CX_CORRUPT]	 = { "corrupt", 0, CX_F_ALWAYS, make_file, valid_inside },
};

bool cx_valid(const struct cx_model *m, const struct cx_op *op)
{
	const struct cx_kind_info *k;

	if (op->kind >= CX_KINDS || op->file >= m->nr_files || op->src >= m->nr_files)
		return false;
	k = &cx_kinds[op->kind];
	return cx_has(m, k->needs) && k->valid(m, op);
}

void cx_generate(const struct cx_model *m, uint64_t seed, uint32_t nr, struct cx_op *op)
{
	uint64_t rnd = seed ^ nr * 0xd6e8feb86659fd93u;
	unsigned int total = 0, try, i;

	for (i = 0; i < CX_KINDS; i++)
		total += cx_has(m, cx_kinds[i].needs) ? cx_kinds[i].weight : 0;
	for (try = 0; try < TRIES; try++) {
		unsigned int r = below(&rnd, total);

		memset(op, 0, sizeof(*op));
		op->nr = nr;
		for (i = 0; i < CX_KINDS; i++) {
			unsigned int w = cx_has(m, cx_kinds[i].needs) ? cx_kinds[i].weight : 0;

			if (r < w)
				break;
			r -= w;
		}
		op->kind = (uint8_t)i;
		cx_kinds[i].make(m, op, &rnd);
		if (cx_valid(m, op))
			return;
	}
	/* Always possible. */
	memset(op, 0, sizeof(*op));
	op->nr = nr;
	op->kind = CX_WRITE;
	pick_file(m, op, &rnd);
	op->len = m->cap;
}

/* --- text ---------------------------------------------------------------------------------------------------------------- */

void cx_text(const struct cx_op *op, char dst[CX_TEXT])
{
	snprintf(dst, CX_TEXT, "%" PRIu32 " %s file=%u off=%#" PRIx32 " len=%#" PRIx32 " src=%u at=%#" PRIx32 " way=%u", op->nr,
		 cx_kinds[op->kind].name, op->file, op->off, op->len, op->src, op->at, op->way);
}

bool cx_parse(const char *text, struct cx_op *op)
{
	unsigned int nr, file, off, len, src, at, way, i;
	char name[32];

	if (sscanf(text, "%u %31s file=%u off=%x len=%x src=%u at=%x way=%u", &nr, name, &file, &off, &len, &src, &at, &way) != 8 ||
	    file >= CX_MAX_FILES || src >= CX_MAX_FILES || way > UINT8_MAX)
		return false;
	for (i = 0; i < CX_KINDS && strcmp(cx_kinds[i].name, name); i++)
		;
	if (i == CX_KINDS)
		return false;
	*op = (struct cx_op){ .nr = nr, .kind = (uint8_t)i, .file = (uint8_t)file, .src = (uint8_t)src, .way = (uint8_t)way, .off = off,
			      .len = len, .at = at };
	return true;
}
