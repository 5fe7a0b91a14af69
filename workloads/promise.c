// SPDX-License-Identifier: GPL-2.0
/* What files may hold after the power was cut; see promise.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "promise.h"

uint64_t pr_without(void)
{
	return 1ull << CX_F_COLLAPSE | 1ull << CX_F_INSERT | 1ull << CX_F_EXCHANGE | 1ull << CX_F_SWAPEXT | 1ull << CX_F_COMPACT |
	       1ull << CX_F_FREEZE | 1ull << CX_F_REMOUNT;
}

void pr_generate(const struct cx_model *m, uint64_t seed, uint32_t nr, struct cx_op *op)
{
	uint64_t rnd = ~seed ^ nr * 0x9e6c63d0676a9a99u, r = cx_rand(&rnd);

	if (r % PR_SYNC_EVERY) {
		cx_generate(m, seed, nr, op);
		return;
	}
	r = cx_rand(&rnd);
	*op = (struct cx_op){ .nr = nr, .kind = r & 1 ? CX_FSYNC : CX_FDATASYNC, .file = (uint8_t)((r >> 1) % m->nr_files) };
}

bool pr_is_promise(const struct cx_op *op)
{
	return op->kind == CX_FSYNC || op->kind == CX_FDATASYNC || op->kind == CX_SYNCFS;
}

/* The file as the model has it now is a new state of it. */
static int push(struct promises *p, unsigned int file, unsigned int life)
{
	const struct cx_file *f = &p->m->f[file];
	struct pr_file *h = &p->f[file];
	struct pr_state *v = realloc(h->v, (h->n + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	h->v = v;
	v += h->n;
	*v = (struct pr_state){ .life = life, .size = f->size, .data = malloc(p->m->cap) };
	if (!v->data)
		return -ENOMEM;
	memcpy(v->data, f->data, p->m->cap);
	h->n++;
	return 0;
}

int pr_init(struct promises *p, const struct cx_model *m)
{
	unsigned int i;
	int err = 0;

	memset(p, 0, sizeof(*p));
	p->m = m;
	for (i = 0; !err && i < m->nr_files; i++)
		err = push(p, i, 0);
	if (err)
		pr_free(p);
	return err;
}

void pr_free(struct promises *p)
{
	unsigned int i;

	for (i = 0; i < CX_MAX_FILES; i++) {
		while (p->f[i].n)
			free(p->f[i].v[--p->f[i].n].data);
		free(p->f[i].v);
	}
	memset(p, 0, sizeof(*p));
}

/* What was before does not count any more. */
static void promise(struct pr_file *h)
{
	struct pr_state last = h->v[h->n - 1];

	while (h->n > 1)
		free(h->v[--h->n - 1].data);
	h->v[0] = last;
}

int pr_done(struct promises *p, const struct cx_op *op, bool kept)
{
	const struct pr_file *h = &p->f[op->file];
	const struct pr_state *last = &h->v[h->n - 1];
	const struct cx_file *f = &p->m->f[op->file];
	unsigned int i;

	if (op->kind == CX_RECREATE)
		return push(p, op->file, last->life + 1);
	if (last->size != f->size || memcmp(last->data, f->data, p->m->cap))
		return push(p, op->file, last->life);
	if (!kept || !pr_is_promise(op))
		return 0;
	for (i = 0; i < p->m->nr_files; i++)
		if (op->kind == CX_SYNCFS || i == op->file)
			promise(&p->f[i]);
	return 0;
}

/* Are the bytes from `at` to the word's end, or to the file's, any of those that this life of the file had there? */
static bool word_known(const struct pr_file *h, unsigned int life, const uint8_t *data, uint64_t size, uint32_t at)
{
	size_t len = size - at < 8 ? (size_t)(size - at) : 8;
	unsigned int i;

	for (i = 0; i < h->n; i++)
		if (h->v[i].life == life && !memcmp(h->v[i].data + at, data + at, len))
			return true;
	return false;
}

static bool legal_life(const struct pr_file *h, unsigned int life, const uint8_t *data, uint64_t size, char why[CX_WHY])
{
	uint32_t min = UINT32_MAX, max = 0, at;
	const struct pr_state *first = NULL;
	unsigned int i, nr = 0;

	for (i = 0; i < h->n; i++) {
		const struct pr_state *s = &h->v[i];

		if (s->life != life)
			continue;
		first = first ? first : s;
		min = s->size < min ? s->size : min;
		max = s->size > max ? s->size : max;
		nr++;
	}
	if (size < min || size > max) {
		snprintf(why, CX_WHY, "the size is %#" PRIx64 ", must be from %#" PRIx32 " to %#" PRIx32, size, min, max);
		return false;
	}
	for (at = 0; at < size; at += 8) {
		uint64_t seen = 0, promised;
		uint32_t op, index;
		unsigned int file;

		if (word_known(h, life, data, size, at))
			continue;
		memcpy(&seen, data + at, size - at < 8 ? (size_t)(size - at) : 8);
		memcpy(&promised, first->data + at, 8);
		snprintf(why, CX_WHY, "at %#" PRIx32 " (block %" PRIu32 ") is %016" PRIx64 ", which never stood there in the %u states since the last "
			 "promise, when it was %016" PRIx64, at, at / CX_BLOCK, seen, nr, promised);
		if (seen && cx_word_parse(seen, &op, &file, &index))
			snprintf(why + strlen(why), CX_WHY - strlen(why), "; op %" PRIu32 " wrote it to file %u at %#" PRIx32, op, file, index * 8);
		return false;
	}
	return true;
}

bool pr_legal(const struct promises *p, unsigned int file, const uint8_t *data, uint64_t size, char why[CX_WHY])
{
	const struct pr_file *h = &p->f[file];
	unsigned int first = h->v[0].life, last = h->v[h->n - 1].life, life;

	if (!data) {
		snprintf(why, CX_WHY, "it is missing, and was not deleted since the last promise");
		return first != last;
	}
	for (life = first; life <= last; life++)
		if (legal_life(h, life, data, size, why))
			return true;
	return false;
}
