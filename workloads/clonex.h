/* SPDX-License-Identifier: GPL-2.0 */
/*
 * clonex: a model-based checker of files that share extents. What fsx is for one file, for many files that are cloned from each other.
 *
 * A few small files, random operations from a seed, and a model of every file's bytes in memory. Each read, by whatever path, is
 * compared with the model byte for byte. All bytes that are ever written are stamped with the operation that wrote them, the
 * file and the place, so that what is wrong says where it came from: an older version, another file, a file that was deleted.
 *
 *   clonex-model.c  the files' bytes, and what each operation does to them    pure
 *   clonex-gen.c    random operations; their text                             pure
 *   clonex-min.c    fewer operations that still fail                          pure
 *   clonex-exec.c   operations carried out on a directory, reads compared
 *   clonex-seq.c    runs: epochs, and what is said about a failure
 *   clonex-race.c   several processes at once
 *   clonex-main.c   the program; wl-clonex.c is the workload of the guest's agent
 *
 * A run is cut into epochs of some thousand operations, each of which starts without files. An epoch depends on the seed, its
 * number and what the file system can do, on nothing else; so one epoch alone is what has to be repeated.
 *
 * Sizes and offsets are bytes. Functions return 0 or -errno, -EUCLEAN where bytes were wrong.
 */
#ifndef SHCACHE_CLONEX_H
#define SHCACHE_CLONEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CX_BLOCK	4096u
#define CX_MAX_FILES	64u
#define CX_MAX_BLOCKS	256u		/* of a file */
#define CX_TEXT		160u		/* room for an operation's text */
#define CX_WHY		1024u

/* --- model --------------------------------------------------------------------------------------------------------------- */

struct cx_file {
	uint8_t *data;			/* cap bytes; zero from size on */
	uint8_t *priv;			/* what stores through the private mapping have made of the pages in cow */
	uint32_t size;
	bool mapped, pmapped;		/* there is a shared, a private mapping of cap bytes */
	uint64_t cow[CX_MAX_BLOCKS / 64];
};

struct cx_model {
	unsigned int nr_files;
	uint32_t cap;			/* largest size of a file; a multiple of CX_BLOCK */
	uint32_t dio;			/* alignment of direct I/O */
	uint64_t features;		/* 1 << enum cx_feature */
	struct cx_file f[CX_MAX_FILES];
};

int cx_model_init(struct cx_model *m, unsigned int files, uint32_t cap);
void cx_model_free(struct cx_model *m);
/* No file has any bytes. */
void cx_model_reset(struct cx_model *m);
bool cx_cow(const struct cx_file *f, uint32_t page);

/* A stamp: operation, file it was written to, index of the 8-byte word in it. */
uint64_t cx_word(uint32_t nr, unsigned int file, uint32_t index);
/* false: not a stamp */
bool cx_word_parse(uint64_t w, uint32_t *nr, unsigned int *file, uint32_t *index);
/* The bytes [off, off + len) of a file as operation nr writes them. */
void cx_fill(uint8_t *dst, uint32_t nr, unsigned int file, uint32_t off, uint32_t len);

/* --- operations ---------------------------------------------------------------------------------------------------------- */

/* What not every file system, kernel or user can do. */
enum cx_feature {
	CX_F_ALWAYS, CX_F_DIRECT, CX_F_FALLOC, CX_F_PUNCH, CX_F_ZERO, CX_F_COLLAPSE, CX_F_INSERT, CX_F_UNSHARE, CX_F_CLONE, CX_F_DEDUPE,
	CX_F_COPY, CX_F_EXCHANGE, CX_F_SWAPEXT, CX_F_POPULATE, CX_F_URING, CX_F_DROP, CX_F_COMPACT, CX_F_RECLAIM, CX_F_FREEZE,
	CX_F_REMOUNT, CX_F_SYNCFS, CX_FEATURES
};

enum cx_kind {
	CX_WRITE, CX_DWRITE, CX_UWRITE, CX_STORE, CX_PSTORE, CX_READ, CX_MAP, CX_UNMAP,
	CX_TRUNC, CX_ALLOC, CX_ALLOC_KEEP, CX_PUNCH, CX_ZERO, CX_ZERO_KEEP, CX_COLLAPSE, CX_INSERT, CX_UNSHARE,
	CX_CLONE, CX_CLONERANGE, CX_DEDUPE, CX_DEDUPE_SAME, CX_COPY, CX_MAPPED, CX_EXCHANGE, CX_SWAPEXT,
	CX_FSYNC, CX_FDATASYNC, CX_SYNCRANGE, CX_SYNCFS, CX_RECREATE, CX_REOPEN, CX_SEEK,
	CX_DONTNEED, CX_WILLNEED, CX_MADVISE, CX_DROP, CX_COMPACT, CX_RECLAIM, CX_FREEZE, CX_REMOUNT, CX_CHECK, CX_CORRUPT,
	CX_KINDS
};

/* Ways to read (cx_op.way of CX_READ). */
enum cx_way {
	CX_BY_PREAD, CX_BY_READ, CX_BY_READV, CX_BY_MAP, CX_BY_PMAP, CX_BY_NEWMAP, CX_BY_NEWPMAP, CX_BY_POPULATE, CX_BY_SPLICE,
	CX_BY_SENDFILE, CX_BY_DIRECT, CX_BY_URING, CX_WAYS
};

enum cx_advice { CX_MADV_DONTNEED, CX_MADV_PAGEOUT, CX_MADV_COLD, CX_MADV_POPULATE, CX_MADV_POPULATE_WRITE, CX_ADVICES };

/*
 * Stores (cx_op.way of CX_STORE): through the file's mapping, a new one, a new one that was read before it became writable, by way of
 * /proc/self/mem. CX_PSTORE knows the first and the last.
 */
enum cx_store { CX_STORE_OLD, CX_STORE_NEW, CX_STORE_LOOKED, CX_STORE_POKE, CX_STORE_WAYS };

/* How src gets into file through a mapping of one of them (cx_op.way of CX_MAPPED). */
enum cx_mapped { CX_WRITE_FROM, CX_READ_INTO, CX_DWRITE_FROM, CX_DREAD_INTO, CX_MAPPED_WAYS };

struct cx_op {
	uint32_t nr;			/* stamps what it writes; from 1 on, ascending, unique in a run */
	uint8_t kind, file;		/* file: the one that changes or is looked at */
	uint8_t src;			/* the other file */
	uint8_t way;			/* read: enum cx_way; madvise: enum cx_advice; mapped: enum cx_mapped; store: enum cx_store;
					 * map: 1 = private */
	uint32_t off, len;		/* truncate: len is the size */
	uint32_t at;			/* offset in src; madvise: 1 = the private mapping */
};

struct cx_kind_info {
	const char *name;
	unsigned int weight;		/* how often, relative to the others; 0: only when it is asked for */
	enum cx_feature needs;
	/* Chooses everything but nr and kind. What it chooses may be impossible: cx_valid() decides. */
	void (*make)(const struct cx_model *m, struct cx_op *op, uint64_t *rnd);
	bool (*valid)(const struct cx_model *m, const struct cx_op *op);
};

extern const struct cx_kind_info cx_kinds[CX_KINDS];
extern const char *const cx_way_names[CX_WAYS];
extern const char *const cx_feature_names[CX_FEATURES];
extern const enum cx_feature cx_way_needs[CX_WAYS];

bool cx_has(const struct cx_model *m, enum cx_feature f);
/* Adds the features of a comma-separated list of names to a set; false: one is not known. */
bool cx_features(const char *list, uint64_t *set);
/* May it be carried out on the files as they are? Any operation may be asked about, also one read from a text. */
bool cx_valid(const struct cx_model *m, const struct cx_op *op);
/* Does it to the model. Only for valid ones. */
void cx_apply(struct cx_model *m, const struct cx_op *op);

/* Deterministic random numbers (splitmix64). */
uint64_t cx_rand(uint64_t *state);
/* Operation nr of a run with this seed, valid for the model as it is. */
void cx_generate(const struct cx_model *m, uint64_t seed, uint32_t nr, struct cx_op *op);
/* One line without its end, that cx_parse() reads back. */
void cx_text(const struct cx_op *op, char dst[CX_TEXT]);
bool cx_parse(const char *text, struct cx_op *op);

/*
 * Takes operations out of the list, as long as fails() says that what is left still fails (delta debugging). go_on() ends the search
 * when it says no. Returns how many are left, in ops[0..].
 */
size_t cx_minimize(struct cx_op *ops, size_t n, bool (*fails)(void *arg, const struct cx_op *ops, size_t n), bool (*go_on)(void *arg),
		   void *arg);

/* --- on a file system ---------------------------------------------------------------------------------------------------- */

/* What was wrong. */
struct cx_failure {
	char what[CX_WHY];		/* one line */
	bool bytes;			/* bytes differ (else a call failed): then these hold */
	unsigned int file;
	uint32_t off;			/* of a wrong word, or of a byte in it */
	uint64_t seen, want;		/* the aligned words there */
	bool priv;			/* in the private mapping's own pages */
};

struct cx_exec;

/*
 * Makes a working directory "clonex.PID" in dir and finds out what can be done there; sets m's features and dio, from which mask
 * takes away.
 */
int cx_exec_open(struct cx_exec **out, const char *dir, struct cx_model *m, uint64_t mask);
void cx_exec_close(struct cx_exec *x);
/* New, empty files for m after cx_model_reset(). */
int cx_exec_reset(struct cx_exec *x);
#define CX_REFUSED	1
/*
 * Carries out an operation that was already applied to the model. -EUCLEAN: see the failure. CX_REFUSED: nothing was done, which is
 * legal, and the model is as it was before.
 */
int cx_exec_op(struct cx_exec *x, const struct cx_op *op, struct cx_failure *bad);
/* After this once, cx_guarded_copy() says false where memcpy() would end in SIGBUS. */
void cx_guard(void);
bool cx_guarded_copy(void *dst, const void *src, size_t len);
bool cx_put(const char *path, const char *text);
/* Bytes compared so far. */
uint64_t cx_exec_compared(const struct cx_exec *x);

/* --- runs ---------------------------------------------------------------------------------------------------------------- */

struct cx_config {
	const char *dir;
	uint64_t seed;
	unsigned int files;		/* of each process in the concurrent mode */
	uint32_t size;			/* largest file */
	uint64_t ops;			/* how many in all; 0: as many as fit in the time */
	unsigned int epoch;		/* operations in one */
	uint64_t first_epoch;		/* where to begin */
	unsigned int seconds;		/* 0: until ops are done */
	unsigned int minimize;		/* seconds for making a failing list shorter; 0: not at all */
	unsigned int procs;		/* concurrent mode */
	unsigned int threads;		/* of each process there that only look, besides the one that does everything */
	uint64_t without;		/* features that are not to be used */
	unsigned int corrupt;		/* 1..: this operation of each epoch changes a byte behind the model's back */
	/* Each line that is to be seen; progress: it says only how far it is. */
	void (*say)(void *arg, bool progress, const char *line);
	void *arg;
};

struct cx_stats {
	uint64_t ops, bytes, by_kind[CX_KINDS], ns_by_kind[CX_KINDS], looks, changes;
	double seconds;
	char why[CX_WHY];		/* what was wrong, in one line */
};

/* One process. 0, -EUCLEAN when something was wrong, or another error; said. */
int cx_sequential(const struct cx_config *c, struct cx_stats *s);
/* The operations of a text file, repeated until the time is over (once if there is none). */
int cx_replay(const struct cx_config *c, const char *path, struct cx_stats *s);
/* c->procs processes for c->seconds. */
int cx_concurrent(const struct cx_config *c, struct cx_stats *s);

void cx_say(const struct cx_config *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What a sequential run did, by kind: number, and time each in us. */
void cx_say_kinds(const struct cx_config *c, const struct cx_stats *s);
uint64_t cx_ms(void);

#endif
