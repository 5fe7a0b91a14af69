// SPDX-License-Identifier: GPL-2.0
/* The model: every file's bytes, and what each operation does to them. See clonex.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clonex.h"

/* nr 28 bits, file 8, index 20, check 8 */
#define NR_BITS		28
#define INDEX_BITS	20

static unsigned int check_of(uint64_t v)
{
	return (unsigned int)((v * 0x9e3779b97f4a7c15u) >> 57) | 0x80;
}

uint64_t cx_word(uint32_t nr, unsigned int file, uint32_t index)
{
	uint64_t v = ((uint64_t)nr & ((1u << NR_BITS) - 1)) << (8 + INDEX_BITS) | (uint64_t)(file & 0xff) << INDEX_BITS |
		     (index & ((1u << INDEX_BITS) - 1));

	return v << 8 | check_of(v);
}

bool cx_word_parse(uint64_t w, uint32_t *nr, unsigned int *file, uint32_t *index)
{
	uint64_t v = w >> 8;

	*nr = (uint32_t)(v >> (8 + INDEX_BITS));
	*file = (unsigned int)(v >> INDEX_BITS) & 0xff;
	*index = (uint32_t)v & ((1u << INDEX_BITS) - 1);
	return *nr && (w & 0xff) == check_of(v);
}

void cx_fill(uint8_t *dst, uint32_t nr, unsigned int file, uint32_t off, uint32_t len)
{
	uint32_t end = off + len, n, skip;

	for (; off < end; off += n, dst += n) {
		uint64_t w = cx_word(nr, file, off / 8);

		skip = off % 8;
		n = 8 - skip;
		if (n > end - off)
			n = end - off;
		memcpy(dst, (const uint8_t *)&w + skip, n);
	}
}

int cx_model_init(struct cx_model *m, unsigned int files, uint32_t cap)
{
	unsigned int i;

	memset(m, 0, sizeof(*m));
	if (!files || files > CX_MAX_FILES || !cap || cap % CX_BLOCK || cap > CX_MAX_BLOCKS * CX_BLOCK)
		return -EINVAL;
	m->nr_files = files;
	m->cap = cap;
	m->dio = CX_BLOCK;
	for (i = 0; i < files; i++) {
		/* Direct I/O is made from the model. */
		m->f[i].data = aligned_alloc(CX_BLOCK, cap);
		m->f[i].priv = aligned_alloc(CX_BLOCK, cap);
		if (!m->f[i].data || !m->f[i].priv) {
			cx_model_free(m);
			return -ENOMEM;
		}
		memset(m->f[i].data, 0, cap);
	}
	return 0;
}

void cx_model_free(struct cx_model *m)
{
	unsigned int i;

	for (i = 0; i < m->nr_files; i++) {
		free(m->f[i].data);
		free(m->f[i].priv);
	}
	memset(m, 0, sizeof(*m));
}

static void empty(struct cx_model *m, struct cx_file *f)
{
	memset(f->data, 0, m->cap);
	memset(f->cow, 0, sizeof(f->cow));
	f->size = 0;
	f->mapped = f->pmapped = false;
}

void cx_model_reset(struct cx_model *m)
{
	unsigned int i;

	for (i = 0; i < m->nr_files; i++)
		empty(m, &m->f[i]);
}

bool cx_cow(const struct cx_file *f, uint32_t page)
{
	return f->cow[page / 64] >> (page % 64) & 1;
}

static void drop_cow(struct cx_file *f, uint32_t from_page, uint32_t to_page)
{
	uint32_t p;

	for (p = from_page; p < to_page; p++)
		f->cow[p / 64] &= ~(1ull << (p % 64));
}

/* A file that gets shorter loses the private pages behind its new end, too. */
static void set_size(struct cx_model *m, struct cx_file *f, uint32_t size)
{
	if (size < f->size) {
		memset(f->data + size, 0, f->size - size);
		drop_cow(f, (size + CX_BLOCK - 1) / CX_BLOCK, m->cap / CX_BLOCK);
	}
	f->size = size;
}

static void grow(struct cx_file *f, uint32_t size)
{
	if (size > f->size)
		f->size = size;
}

static void apply_write(struct cx_model *m, const struct cx_op *op)
{
	struct cx_file *f = &m->f[op->file];

	cx_fill(f->data + op->off, op->nr, op->file, op->off, op->len);
	grow(f, op->off + op->len);
}

static void apply_pstore(struct cx_model *m, const struct cx_op *op)
{
	struct cx_file *f = &m->f[op->file];
	uint32_t p;

	for (p = op->off / CX_BLOCK; p <= (op->off + op->len - 1) / CX_BLOCK; p++) {
		if (cx_cow(f, p))
			continue;
		memcpy(f->priv + p * CX_BLOCK, f->data + p * CX_BLOCK, CX_BLOCK);
		f->cow[p / 64] |= 1ull << (p % 64);
	}
	cx_fill(f->priv + op->off, op->nr, op->file, op->off, op->len);
}

static void apply_map(struct cx_model *m, const struct cx_op *op)
{
	*(op->way ? &m->f[op->file].pmapped : &m->f[op->file].mapped) = true;
}

static void apply_unmap(struct cx_model *m, const struct cx_op *op)
{
	struct cx_file *f = &m->f[op->file];

	*(op->way ? &f->pmapped : &f->mapped) = false;
	if (op->way)
		memset(f->cow, 0, sizeof(f->cow));
}

static void apply_trunc(struct cx_model *m, const struct cx_op *op)
{
	set_size(m, &m->f[op->file], op->len);
}

static void apply_grow(struct cx_model *m, const struct cx_op *op)
{
	grow(&m->f[op->file], op->off + op->len);
}

static void apply_zero_keep(struct cx_model *m, const struct cx_op *op)
{
	memset(m->f[op->file].data + op->off, 0, op->len);
}

static void apply_zero(struct cx_model *m, const struct cx_op *op)
{
	apply_zero_keep(m, op);
	apply_grow(m, op);
}

/*
 * Whether the private pages of what moves stay where they are or go depends on the file system; so cx_exec_op() drops them. Nothing else
 * but a new size touches private pages.
 */
static void apply_collapse(struct cx_model *m, const struct cx_op *op)
{
	struct cx_file *f = &m->f[op->file];

	drop_cow(f, op->off / CX_BLOCK, m->cap / CX_BLOCK);
	memmove(f->data + op->off, f->data + op->off + op->len, f->size - op->off - op->len);
	set_size(m, f, f->size - op->len);
}

static void apply_insert(struct cx_model *m, const struct cx_op *op)
{
	struct cx_file *f = &m->f[op->file];

	drop_cow(f, op->off / CX_BLOCK, m->cap / CX_BLOCK);
	memmove(f->data + op->off + op->len, f->data + op->off, f->size - op->off);
	memset(f->data + op->off, 0, op->len);
	f->size += op->len;
}

/* Also when both are the same file: then the ranges are apart. */
static void apply_copy(struct cx_model *m, const struct cx_op *op)
{
	memcpy(m->f[op->file].data + op->off, m->f[op->src].data + op->at, op->len);
	grow(&m->f[op->file], op->off + op->len);
}

static void swap(uint8_t *a, uint8_t *b, uint32_t len)
{
	uint32_t i;

	for (i = 0; i < len; i++) {
		uint8_t t = a[i];

		a[i] = b[i];
		b[i] = t;
	}
}

static void apply_exchange(struct cx_model *m, const struct cx_op *op)
{
	swap(m->f[op->file].data + op->off, m->f[op->src].data + op->at, op->len);
}

static void apply_recreate(struct cx_model *m, const struct cx_op *op)
{
	empty(m, &m->f[op->file]);
}

static void unmap_all(struct cx_file *f)
{
	f->mapped = f->pmapped = false;
	memset(f->cow, 0, sizeof(f->cow));
}

static void apply_reopen(struct cx_model *m, const struct cx_op *op)
{
	unmap_all(&m->f[op->file]);
}

static void apply_remount(struct cx_model *m, const struct cx_op *op)
{
	unsigned int i;

	(void)op;
	for (i = 0; i < m->nr_files; i++)
		unmap_all(&m->f[i]);
}

/* Dropping a private mapping's pages brings the file's bytes back. */
static void apply_madvise(struct cx_model *m, const struct cx_op *op)
{
	if (op->at && op->way == CX_MADV_DONTNEED)
		drop_cow(&m->f[op->file], op->off / CX_BLOCK, (op->off + op->len) / CX_BLOCK);
}

static void (*const apply[CX_KINDS])(struct cx_model *m, const struct cx_op *op) = {
	[CX_WRITE] = apply_write, [CX_DWRITE] = apply_write, [CX_UWRITE] = apply_write, [CX_STORE] = apply_write, [CX_PSTORE] = apply_pstore,
	[CX_MAP] = apply_map, [CX_UNMAP] = apply_unmap, [CX_TRUNC] = apply_trunc, [CX_ALLOC] = apply_grow, [CX_PUNCH] = apply_zero_keep,
	[CX_ZERO] = apply_zero, [CX_ZERO_KEEP] = apply_zero_keep, [CX_COLLAPSE] = apply_collapse, [CX_INSERT] = apply_insert,
	[CX_CLONE] = apply_copy, [CX_CLONERANGE] = apply_copy, [CX_DEDUPE_SAME] = apply_copy, [CX_COPY] = apply_copy, [CX_MAPPED] = apply_copy,
	[CX_EXCHANGE] = apply_exchange, [CX_SWAPEXT] = apply_exchange, [CX_RECREATE] = apply_recreate, [CX_REOPEN] = apply_reopen,
	[CX_MADVISE] = apply_madvise, [CX_REMOUNT] = apply_remount,
};

void cx_apply(struct cx_model *m, const struct cx_op *op)
{
	if (apply[op->kind])
		apply[op->kind](m, op);
}
