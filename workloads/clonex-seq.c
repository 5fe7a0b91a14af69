// SPDX-License-Identifier: GPL-2.0
/* Sequential runs: epochs of operations, and what is said when one fails. See clonex.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clonex.h"

#define PROGRESS_MS	5000u
#define REPEATS		3u		/* to see a failure again */
#define HISTORY		12u		/* changes that are shown */
#define LONGEST_LIST	150u		/* operations that are shown if they could not be made fewer */

struct run {
	const struct cx_config *c;
	struct cx_stats *s;
	struct cx_model m;
	struct cx_exec *x;
	struct cx_op *ops;
	struct cx_failure bad;
	uint64_t start, said, deadline;	/* ms; deadline: of the search for a shorter list */
	unsigned int tries;		/* of each list in that search */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t cx_ms(void)
{
	return now_ns() / 1000000;
}

static void say(const struct cx_config *c, bool progress, const char *fmt, va_list ap)
{
	char line[CX_WHY + CX_TEXT];

	vsnprintf(line, sizeof(line), fmt, ap);
	c->say(c->arg, progress, line);
}

void cx_say(const struct cx_config *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, false, fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 2, 3))) progress_line(const struct cx_config *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, true, fmt, ap);
	va_end(ap);
}

static int step(struct run *r, const struct cx_op *op)
{
	cx_apply(&r->m, op);
	return cx_exec_op(r->x, op, &r->bad);
}

static int fresh(struct run *r)
{
	int err;

	cx_model_reset(&r->m);
	err = cx_exec_reset(r->x);
	if (err)
		snprintf(r->bad.what, sizeof(r->bad.what), "cannot make new files: %s", strerror(-err));
	return err;
}

/* A list of operations from the start; what is impossible is left out. *at: the one that failed. */
static int run_list(struct run *r, const struct cx_op *ops, size_t n, size_t *at)
{
	int err = fresh(r);
	size_t i;

	for (i = 0; err >= 0 && i < n; i++) {
		*at = i;
		if (cx_valid(&r->m, &ops[i]))
			err = step(r, &ops[i]);
	}
	return err < 0 ? err : 0;
}

/* --- what is said about a failure ---------------------------------------------------------------------------------------- */

struct change {
	size_t op;
	uint64_t word;
};

static uint64_t word_of(const struct cx_model *m, const struct cx_failure *bad)
{
	const struct cx_file *f = &m->f[bad->file];
	uint32_t at = bad->off & ~7u;
	uint64_t w;

	memcpy(&w, (bad->priv && cx_cow(f, at / CX_BLOCK) ? f->priv : f->data) + at, sizeof(w));
	return w;
}

/* Changes of the word that was wrong, from the model alone. Returns how many; the first is the state before all. */
static size_t history(struct cx_model *m, const struct cx_op *ops, size_t n, const struct cx_failure *bad, struct change *c)
{
	size_t nr = 0, i;

	cx_model_reset(m);
	c[nr++] = (struct change){ 0, 0 };
	for (i = 0; i < n; i++) {
		uint64_t w;

		if (!cx_valid(m, &ops[i]))
			continue;
		cx_apply(m, &ops[i]);
		w = word_of(m, bad);
		if (w != c[nr - 1].word)
			c[nr++] = (struct change){ i, w };
	}
	return nr;
}

static void word_text(uint64_t w, uint32_t first_nr, char *dst, size_t cap)
{
	unsigned int file;
	uint32_t nr, index;

	if (!w)
		snprintf(dst, cap, "zeroes");
	else if (!cx_word_parse(w, &nr, &file, &index))
		snprintf(dst, cap, "%016" PRIx64, w);
	else
		snprintf(dst, cap, "what op %" PRIu32 " wrote to file %u at %#x%s", nr, file, index * 8, nr < first_nr ? " (a file that is gone)" : "");
}

/* Was that ever here, or does it belong to somebody else? */
static void classify(const struct cx_op *ops, size_t n, const struct change *c, size_t nr, uint64_t seen, char *dst, size_t cap)
{
	unsigned int file;
	uint32_t op, index;
	size_t i;

	for (i = nr - 1; i-- > 0;)
		if (c[i].word == seen) {
			snprintf(dst, cap, "OLD: that stood here from op %" PRIu32 " to op %" PRIu32, i ? ops[c[i].op].nr : 0,
				 ops[c[i + 1].op].nr);
			return;
		}
	if (!seen)
		snprintf(dst, cap, "LOST: zeroes never stood here");
	else if (!cx_word_parse(seen, &op, &file, &index))
		snprintf(dst, cap, "TORN or unknown: no stamp");
	else if (op < ops[0].nr || op > ops[n - 1].nr)
		snprintf(dst, cap, "FOREIGN: of a file that was deleted long ago");
	else
		snprintf(dst, cap, "FOREIGN: that never stood here");
}

static void explain(struct run *r, const struct cx_op *ops, size_t n, const struct cx_failure *bad)
{
	struct change *c = malloc((n + 1) * sizeof(*c));
	char seen[128], want[128], what[128], text[CX_TEXT];
	size_t nr, i;

	if (!c || !bad->bytes) {
		free(c);
		return;
	}
	nr = history(&r->m, ops, n, bad, c);
	word_text(bad->seen, ops[0].nr, seen, sizeof(seen));
	word_text(bad->want, ops[0].nr, want, sizeof(want));
	classify(ops, n, c, nr, bad->seen, what, sizeof(what));
	cx_say(r->c, "at %#x: seen %s, must be %s. %s", bad->off, seen, want, what);
	cx_say(r->c, "history of these bytes%s:", nr > HISTORY + 1 ? ", the latest" : "");
	for (i = nr > HISTORY + 1 ? nr - HISTORY : 1; i < nr; i++) {
		cx_text(&ops[c[i].op], text);
		word_text(c[i].word, ops[0].nr, seen, sizeof(seen));
		cx_say(r->c, "  %s: %s", text, seen);
	}
	free(c);
}

static bool still_fails(void *arg, const struct cx_op *ops, size_t n)
{
	struct run *r = arg;
	unsigned int i;
	size_t at;

	for (i = 0; i < r->tries; i++)
		if (run_list(r, ops, n, &at))
			return true;
	return false;
}

static bool time_left(void *arg)
{
	const struct run *r = arg;

	return cx_ms() < r->deadline;
}

static bool two_files(const struct cx_op *op)
{
	return op->kind >= CX_CLONE && op->kind <= CX_SWAPEXT;
}

static bool machine_wide(const struct cx_op *op)
{
	return op->kind == CX_SYNCFS || (op->kind >= CX_DROP && op->kind <= CX_REMOUNT);
}

/* Those that can have to do with a file: its own, those of the files that it has, or had, bytes in common with, and everybody's. */
static size_t slice(struct cx_op *ops, size_t n, unsigned int file)
{
	uint64_t set = 1ull << file, both;
	size_t i, to = n;

	for (i = n; i-- > 0;) {
		both = 1ull << ops[i].file | (two_files(&ops[i]) ? 1ull << ops[i].src : 0);
		if (!(set & both) && !machine_wide(&ops[i]))
			continue;
		if (set & both)
			set |= both;
		ops[--to] = ops[i];
	}
	memmove(ops, ops + to, (n - to) * sizeof(*ops));
	return n - to;
}

static void show(struct run *r, const struct cx_op *ops, size_t n)
{
	char text[CX_TEXT];
	size_t i = 0;

	if (n > LONGEST_LIST) {
		cx_say(r->c, "(%zu operations before these)", n - LONGEST_LIST);
		i = n - LONGEST_LIST;
	}
	for (; i < n; i++) {
		cx_text(&ops[i], text);
		cx_say(r->c, "op: %s", text);
	}
}

/* ops[n - 1] failed. Destroys the list. */
static void shorten(struct run *r, struct cx_op *ops, size_t n)
{
	struct cx_failure first = r->bad;
	unsigned int again = 0, i;
	size_t left, at;

	if (!r->c->minimize)
		return;
	r->deadline = cx_ms() + r->c->minimize * 1000ull;
	for (i = 0; i < REPEATS; i++)
		again += !!run_list(r, ops, n, &at);
	cx_say(r->c, "these %zu operations alone failed again in %u of %u runs", n, again, REPEATS);
	if (!again) {
		left = slice(ops, n, first.file);
		cx_say(r->c, "the operations on file %u and on what it got bytes from:", first.file);
		show(r, ops, left);
		return;
	}
	r->tries = again == REPEATS ? 1 : REPEATS;
	left = cx_minimize(ops, n, still_fails, time_left, r);
	cx_say(r->c, "%zu operations that fail%s:", left, cx_ms() < r->deadline ? "" : " (out of time for fewer)");
	show(r, ops, left);
	for (i = 0; i < REPEATS * 4; i++)
		if (run_list(r, ops, left, &at)) {
			cx_say(r->c, "they fail with: %s", r->bad.what);
			explain(r, ops, at + 1, &r->bad);
			break;
		}
	r->bad = first;
}

static void report(struct run *r, struct cx_op *ops, size_t n, uint64_t epoch, const char *where)
{
	struct cx_failure bad = r->bad;
	char text[CX_TEXT];

	cx_text(&ops[n - 1], text);
	snprintf(r->s->why, sizeof(r->s->why), "seed %" PRIu64 " epoch %" PRIu64 "%s op %.120s: %.600s", r->c->seed, epoch, where, text, bad.what);
	cx_say(r->c, "FAILED %s", r->s->why);
	explain(r, ops, n, &bad);
	shorten(r, ops, n);
}

/* --- runs ---------------------------------------------------------------------------------------------------------------- */

static void count(struct run *r, const struct cx_op *op, uint64_t ns)
{
	uint64_t now;

	r->s->ops++;
	r->s->by_kind[op->kind]++;
	r->s->ns_by_kind[op->kind] += ns;
	if (r->s->ops % 64)
		return;
	now = cx_ms();
	if (now - r->said < PROGRESS_MS)
		return;
	r->said = now;
	progress_line(r->c, "%" PRIu64 " operations, %" PRIu64 " MiB compared, %.0f operations/s", r->s->ops, cx_exec_compared(r->x) >> 20,
		      (double)r->s->ops * 1000 / (double)(now - r->start));
}

/* The last ones of an epoch look at every file once more. */
static void next_op(struct run *r, uint32_t first_nr, unsigned int i, struct cx_op *op)
{
	uint32_t nr = first_nr + i, at;

	if (i + r->m.nr_files >= r->c->epoch) {
		*op = (struct cx_op){ .nr = nr, .kind = CX_CHECK, .file = (uint8_t)(r->c->epoch - 1 - i) };
		return;
	}
	cx_generate(&r->m, r->c->seed, nr, op);
	if (r->c->corrupt != i + 1)
		return;
	/* A byte of the first file that has any. */
	for (at = 0; at < r->m.nr_files; at++) {
		if (r->m.f[at].size) {
			*op = (struct cx_op){ .nr = nr, .kind = CX_CORRUPT, .file = (uint8_t)at, .off = r->m.f[at].size / 2, .len = 1 };
			return;
		}
	}
}

static int run_epoch(struct run *r, uint64_t epoch)
{
	uint32_t first_nr = (uint32_t)(epoch * r->c->epoch + 1);
	int err = fresh(r);
	unsigned int i;
	uint64_t t0;

	if (err) {
		cx_say(r->c, "FAILED %s", r->bad.what);
		return err;
	}
	for (i = 0; i < r->c->epoch; i++) {
		next_op(r, first_nr, i, &r->ops[i]);
		t0 = now_ns();
		err = step(r, &r->ops[i]);
		/* Out of the list, for the model to be the same when it is gone through again. */
		if (err == CX_REFUSED)
			r->ops[i].len = 0;
		if (err < 0) {
			report(r, r->ops, i + 1, epoch, "");
			return err;
		}
		count(r, &r->ops[i], now_ns() - t0);
	}
	return 0;
}

static void say_features(struct run *r)
{
	char has[400] = "", not[400] = "";
	unsigned int i;

	for (i = 1; i < CX_FEATURES; i++) {
		char *list = cx_has(&r->m, i) ? has : not;

		snprintf(list + strlen(list), sizeof(has) - strlen(list), " %s", cx_feature_names[i]);
	}
	cx_say(r->c, "seed %" PRIu64 ", %u files of up to %u bytes; uses%s%s%s", r->c->seed, r->c->files, r->c->size, has,
	       not[0] ? "; without" : "", not);
}

static int begin(struct run *r, const struct cx_config *c, struct cx_stats *s)
{
	int err;

	memset(r, 0, sizeof(*r));
	memset(s, 0, sizeof(*s));
	r->c = c;
	r->s = s;
	err = cx_model_init(&r->m, c->files, c->size);
	if (err) {
		cx_say(c, "%s", err == -EINVAL ? "files: 1 to 64; size: a multiple of 4096, up to 1 MiB" : "no memory for the model");
		return err;
	}
	err = cx_exec_open(&r->x, c->dir, &r->m, ~c->without);
	if (err) {
		cx_say(c, "cannot work in %s: %s", c->dir, strerror(-err));
		cx_model_free(&r->m);
		return err;
	}
	say_features(r);
	r->start = r->said = cx_ms();
	return 0;
}

void cx_say_kinds(const struct cx_config *c, const struct cx_stats *s)
{
	char line[CX_WHY] = "";
	unsigned int i;

	for (i = 0; i < CX_KINDS; i++)
		if (s->by_kind[i])
			snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%s %" PRIu64 " (%" PRIu64 " us)", line[0] ? ", " : "",
				 cx_kinds[i].name, s->by_kind[i], s->ns_by_kind[i] / s->by_kind[i] / 1000);
	cx_say(c, "%s", line);
}

static bool time_over(const struct run *r)
{
	return r->c->seconds && cx_ms() - r->start >= r->c->seconds * 1000ull;
}

static void end(struct run *r)
{
	r->s->seconds = (double)(cx_ms() - r->start) / 1000;
	r->s->bytes = cx_exec_compared(r->x);
	cx_exec_close(r->x);
	cx_model_free(&r->m);
	free(r->ops);
}

int cx_sequential(const struct cx_config *c, struct cx_stats *s)
{
	struct run r;
	uint64_t epoch;
	int err = begin(&r, c, s);

	if (err)
		return err;
	r.ops = malloc(c->epoch * sizeof(*r.ops));
	if (!r.ops || c->epoch <= c->files) {
		cx_say(c, "an epoch must have more operations than there are files, and memory for them");
		err = -EINVAL;
	}
	for (epoch = c->first_epoch; !err && !time_over(&r) && (!c->ops || s->ops < c->ops); epoch++)
		err = run_epoch(&r, epoch);
	end(&r);
	return err;
}

/* Lines as clonex prints them, with or without "op: " before the operation; others are left out. */
static int load(struct run *r, const char *path, size_t *n)
{
	FILE *f = fopen(path, "re");
	size_t room = 0;
	char line[400];

	if (!f) {
		cx_say(r->c, "cannot read %s: %s", path, strerror(errno));
		return -errno;
	}
	while (fgets(line, sizeof(line), f)) {
		const char *text = strstr(line, "op: ");
		struct cx_op op;

		if (!cx_parse(text ? text + 4 : line, &op))
			continue;
		if (*n == room) {
			struct cx_op *more = realloc(r->ops, (room = room * 2 + 64) * sizeof(*more));

			if (!more) {
				fclose(f);
				return -ENOMEM;
			}
			r->ops = more;
		}
		r->ops[(*n)++] = op;
	}
	fclose(f);
	if (!*n)
		cx_say(r->c, "%s holds no operations", path);
	return *n ? 0 : -EINVAL;
}

int cx_replay(const struct cx_config *c, const char *path, struct cx_stats *s)
{
	struct run r;
	size_t n = 0, at = 0;
	uint64_t turn = 0;
	int err = begin(&r, c, s);

	if (err)
		return err;
	err = load(&r, path, &n);
	if (err) {
		end(&r);
		return err;
	}
	do {
		err = run_list(&r, r.ops, n, &at);
		s->ops += at + 1;
		turn++;
	} while (!err && c->seconds && !time_over(&r));
	if (err)
		report(&r, r.ops, at + 1, turn, " (repetition)");
	end(&r);
	return err;
}
