/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hazard tests: behaviour that must be the same whether or not files that share blocks also share page-cache folios.
 *
 * A test is an entry { name, what it proves, needs, function } of a table in hz-SUBJECT.c. Each one runs in a process of its own in
 * an empty directory of the file system under test; it passes by returning and fails by hz_fail(), which ends the process (so no
 * test passes errors up). What a test leaves running is killed. A test that does not end in time fails by its name.
 *
 * The oracle is content. Every block holds one 64-bit word, repeated: file id, block number, version (hz_word()). A file's expected
 * bytes are in hz_file.want; hz_check() compares them with what read(2), old and new mappings and O_DIRECT show. Nothing in it
 * knows about sharing, so every test must pass on any kernel; what asserts that frames are in fact shared is marked HZ_SHARING or asks
 * hz.sharing, and is left out unless the file system is mounted with "shcache".
 */
#ifndef SHCACHE_HZ_H
#define SHCACHE_HZ_H

#include <linux/fiemap.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ring.h"
#include "workload.h"

#define HZ_PAGE		4096u
#define HZ_WORDS	(HZ_PAGE / 8)

/* needs */
#define HZ_SHARING	(1u << 0)	/* asserts sharing: only with the mount option */
#define HZ_XFS		(1u << 1)	/* uses something that only XFS has */
#define HZ_BTRFS	(1u << 2)	/* likewise */

struct hz_test {
	const char *name;	/* SUBJECT-WHAT */
	const char *proves;	/* one line */
	unsigned int needs;
	void (*fn)(const void *arg);
	const void *arg;
};

/* Ends with a NULL name. */
extern const struct hz_test hz_share_tests[], hz_cow_tests[], hz_reuse_tests[], hz_race_tests[], hz_mm_tests[], hz_fs_tests[],
	hz_large_tests[], hz_fault_tests[], hz_alloc_tests[], hz_press_tests[], hz_btrfs_tests[];

/* Of the running test. */
struct hz_state {
	struct wl_ctx *ctx;
	char dir[128];		/* its directory */
	bool sharing;		/* mounted with shcache */
	bool xfs;
	unsigned int seconds;	/* how long a race is kept up */
	uint64_t rand;		/* for wl_rand() */
	char *why;		/* shared with all processes of the test; HZ_WHY bytes, the first failure wins */
	int *verdict;		/* likewise: enum hz_verdict */
};

enum hz_verdict { HZ_OPEN, HZ_PASSED, HZ_FAILED, HZ_SKIPPED };
#define HZ_WHY	400

extern struct hz_state hz;

void hz_fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void hz_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* A call that must not fail; evaluates to its result. */
#define HZ_DO(call)								\
	({									\
		__typeof__(call) r_ = (call);					\
		if (r_ < 0)							\
			hz_fail("%s:%d: %s: %m", __FILE__, __LINE__, #call);	\
		r_;								\
	})

/* --- files --------------------------------------------------------------------------------------------------------------- */

struct hz_file {
	char path[160];
	int fd;			/* O_RDWR */
	uint8_t *want;		/* expected bytes; room for cap */
	uint64_t size, cap;
	/* Mappings of the whole file that stay: MAP_SHARED (readable and writable) and MAP_PRIVATE. NULL: not mapped. */
	uint8_t *map, *priv;
	uint64_t maplen;
};

/* The word that fills a block. Versions are modulo 256: two versions differ in one byte, so that no copy can tear them. */
uint64_t hz_word(unsigned int id, unsigned int block, unsigned int version);
void hz_fill(void *dst, unsigned int id, unsigned int block, unsigned int version);
/* "file 3 block 7 version 1", "zeroes", or the bytes. */
const char *hz_word_text(uint64_t w, char *dst, size_t cap);

/* Absolute path of a name in the test's directory. */
void hz_path(char *dst, size_t cap, const char *name);
/* A new file of so many blocks of version 1, on disk. Room for twice the blocks (1 MiB if there are none). */
void hz_create(struct hz_file *f, const char *name, unsigned int id, unsigned int blocks);
/* dst becomes a clone (FICLONE) of src under a new name. */
void hz_clone(struct hz_file *dst, const struct hz_file *src, const char *name);
/* FICLONERANGE of n blocks. */
void hz_clone_range(const struct hz_file *src, unsigned int from, unsigned int n, struct hz_file *dst, unsigned int to);
void hz_map(struct hz_file *f);
void hz_unmap(struct hz_file *f);
/* Reads one byte of each page through both mappings. */
void hz_touch(const struct hz_file *f);
/* read(2) of everything, result ignored. */
void hz_cache(const struct hz_file *f);
void hz_close(struct hz_file *f);
void hz_unlink(struct hz_file *f);

/* Changes the model only. */
void hz_want_block(struct hz_file *f, unsigned int block, unsigned int id, unsigned int as_block, unsigned int version);
void hz_want_zero(struct hz_file *f, uint64_t from, uint64_t len);
void hz_want_size(struct hz_file *f, uint64_t size);

#define HZ_READ		(1u << 0)
#define HZ_OLD_MAP	(1u << 1)	/* both existing mappings, where there are any */
#define HZ_NEW_MAP	(1u << 2)
#define HZ_DIRECT	(1u << 3)
#define HZ_ALL		(HZ_READ | HZ_OLD_MAP | HZ_NEW_MAP | HZ_DIRECT)
#define HZ_CACHED	(HZ_READ | HZ_OLD_MAP | HZ_NEW_MAP)

/* Does everyone see f->want? stage: for the message. */
void hz_check(const struct hz_file *f, unsigned int ways, const char *stage);
/* Compares len bytes that were seen at off with the model. */
void hz_compare(const struct hz_file *f, const void *seen, uint64_t off, uint64_t len, const char *how, const char *stage);

/* sync and drop_caches, until nothing more goes. What is mapped stays. */
void hz_cold(void);
/* The same for files that are mapped: they are unmapped meanwhile. Fails if folios are left that files share. */
void hz_cold_mapped(struct hz_file *const *files, unsigned int n);
/* Reclaim of the whole machine, some MiB of it, mapped or not; false: the kernel has no memory.reclaim. */
bool hz_reclaim(unsigned int mb);
/* Writes a text to a file of the kernel's; false if that fails. */
bool hz_put(const char *path, const char *text);
bool hz_has_text(const char *path, const char *text);
/* A value from a "name value" file, or (name NULL) from one that has nothing else; -1: it is not there. */
long long hz_stat(const char *path, const char *name);

/* Frame that addr is mapped to; touches it. 0: none. */
uint64_t hz_pfn(const void *addr);
/* The same without touching it. */
uint64_t hz_mapped(const void *addr);
/* Different frames that n whole files show, each through a new mapping. */
unsigned int hz_unique(struct hz_file *const *files, unsigned int n);
/* Fails if none of the file's pages is in a folio of several. Nothing without hz.sharing. */
void hz_check_large(const struct hz_file *f, const char *stage);
/* Pages in the shared caches of all mounts; 0 if there are none. */
long long hz_shared_pages(void);
/* Fails unless all blocks of the files (all of them the same) are in one set of frames. Nothing without hz.sharing. */
void hz_check_shared(struct hz_file *const *files, unsigned int n, const char *stage);
/* The extents of a file, at most HZ_EXTENTS, after its data was written; returns how many. */
#define HZ_EXTENTS	64
unsigned int hz_extents(int fd, struct fiemap_extent *out);
/* How many blocks of a's extents lie where b's are, or were. */
unsigned int hz_overlap(const struct fiemap_extent *a, unsigned int na, const struct fiemap_extent *b, unsigned int nb);
/*
 * Takes almost all that is free, but for some KiB, so that what is freed next is what is given out next. Returns the descriptor of the file
 * that has it, or -1 where being full is no way to steer the allocator.
 */
int hz_take_space(unsigned int leave_kb);
/*
 * Fails if the cache of hz.dir's file system has folios or refs, once all files that shared are gone: an error path has lost them. Nothing without
 * hz.sharing.
 */
void hz_check_gone(void);
/* An attribute of the kernel's fault injection, "failslab" and the like; false: it has none. */
bool hz_inject(const char *who, const char *name, const char *value);
/* File pages cached now, the machine over. */
long long hz_file_pages(void);

/* A load of a word through a mapping; false: SIGBUS. */
bool hz_peek(const void *addr, uint64_t *v);
/* The same for a store. */
bool hz_poke(void *addr, uint64_t v);

/* A process of the test's. It passes by returning. */
pid_t hz_fork(void (*fn)(void *arg), void *arg);
/* Waits for it, fails if it failed. */
void hz_join(pid_t pid);
/* Kills it; not an error. */
void hz_kill(pid_t pid);
/* Memory that all processes of the test share. */
void *hz_shared_memory(size_t size);
void *hz_buffer(size_t size);		/* page aligned, for O_DIRECT */
int hz_open_direct(const struct hz_file *f);
uint64_t hz_ms(void);

/* O_DIRECT write as AIO; waits for it. */
void hz_aio_write(int fd, const void *buf, size_t len, uint64_t off);

/*
 * A file system of its own on a loop device over tmpfs, for what would take the main one down: makes (with more mkfs options)
 * and mounts it at dir with the options given. Returns what mount(2) did: 0 or -errno. *dev: "/dev/loopN".
 */
#define HZ_EXTRA_MB	320u
#define HZ_EXTRA_IMAGE	"/tmp/hz-extra.img"
int hz_extra_fs(const char *dir, const char *mkfs, const char *mount_opts, char dev[32]);
/* The same on an image of mb MiB, which is sparse. */
int hz_extra_fs_mb(const char *dir, unsigned int mb, const char *mkfs, const char *mount_opts, char dev[32]);
void hz_extra_fs_end(const char *dir, const char *dev);
/* Its parts: an empty image on tmpfs, of the size of hz_extra_fs()'s or of mb MiB; a loop device for it, and its end and that of the image. */
void hz_image(const char *image, unsigned int mb);
void hz_loop(const char *image, char dev[32]);
void hz_loop_end(const char *image, const char *dev);

#endif
