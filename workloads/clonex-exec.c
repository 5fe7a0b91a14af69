// SPDX-License-Identifier: GPL-2.0
/* Operations carried out on a directory; everything that is read is compared with the model. See clonex.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clonex.h"
#include "ring.h"
#include "xfs-ioctl.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif
#define DROP_CACHES	"/proc/sys/vm/drop_caches"
#define COMPACT		"/proc/sys/vm/compact_memory"
#define RECLAIM_BYTES	"16M"
#define NAME		24u
/* Stamps the files that are made to find out what is possible: no operation has this number. */
#define PROBE_NR	0xfffffffu

struct xfile {
	int fd, dfd;			/* dfd: O_DIRECT, -1 without */
	uint8_t *map, *priv;		/* of cap bytes, NULL: not mapped */
};

/* How to mount the file system again. */
struct mounted {
	char dir[256], source[256], type[32], opts[512];
	unsigned long flags;
};

struct cx_exec {
	struct cx_model *m;
	struct xfile f[CX_MAX_FILES];
	char dir[512];
	int dirfd, pipe[2], sink;
	int mem;			/* /proc/self/mem */
	uint8_t *buf;			/* cap bytes and a page */
	uint8_t *want;			/* likewise */
	struct ring ring;
	struct mounted mnt;
	char reclaim[300];		/* memory.reclaim of the own control group */
	struct cx_failure *bad;
	uint64_t compared;
};

/* --- failures ------------------------------------------------------------------------------------------------------------ */

/* -EUCLEAN: the file system did what it must not, be it an error. */
static int failed(struct cx_exec *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int failed(struct cx_exec *x, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(x->bad->what, sizeof(x->bad->what), fmt, ap);
	va_end(ap);
	return -EUCLEAN;
}

static int call_failed(struct cx_exec *x, const char *call)
{
	return failed(x, "%s: %s", call, strerror(errno));
}

/* The word around byte `at`; what of it lies outside of [from, end), where p begins and ends, is zero. */
static uint64_t word_at(const uint8_t *p, uint32_t at, uint32_t from, uint32_t end)
{
	uint64_t w = 0;
	uint32_t i;

	for (i = 0, at &= ~7u; i < 8; i++)
		if (at + i >= from && at + i < end)
			w |= (uint64_t)p[at + i - from] << (8 * i);
	return w;
}

/* seen, want: the bytes [off, off + len) of a file. */
static int compare(struct cx_exec *x, unsigned int file, const uint8_t *seen, const uint8_t *want, uint32_t off, uint32_t len,
		   const char *how, bool priv)
{
	uint32_t first = 0, last = 0, wrong = 0, end = off + len, i;

	x->compared += len;
	if (!memcmp(seen, want, len))
		return 0;
	for (i = 0; i < len; i++) {
		if (seen[i] == want[i])
			continue;
		if (!wrong++)
			first = off + i;
		last = off + i;
	}
	x->bad->bytes = true;
	x->bad->file = file;
	x->bad->off = first;
	x->bad->priv = priv;
	/* A whole word tells more. */
	for (i = (off + 7) & ~7u; i + 8 <= end; i += 8)
		if (memcmp(seen + (i - off), want + (i - off), 8)) {
			x->bad->off = i;
			break;
		}
	x->bad->seen = word_at(seen, x->bad->off, off, end);
	x->bad->want = word_at(want, x->bad->off, off, end);
	return failed(x, "file %u by %s of [%#x, %#x): %u bytes are wrong, from %#x (block %u) to %#x; size %#x", file, how, off, end,
		      wrong, first, first / CX_BLOCK, last + 1, x->m->f[file].size);
}

/* --- mappings ------------------------------------------------------------------------------------------------------------ */

static __thread sigjmp_buf bus_jmp;
static __thread volatile sig_atomic_t bus_armed;

static void on_bus(int sig)
{
	if (bus_armed)
		siglongjmp(bus_jmp, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

bool cx_guarded_copy(void *dst, const void *src, size_t len)
{
	if (sigsetjmp(bus_jmp, 0)) {
		bus_armed = 0;
		return false;
	}
	bus_armed = 1;
	memcpy(dst, src, len);
	bus_armed = 0;
	return true;
}

void cx_guard(void)
{
	struct sigaction sa = { .sa_handler = on_bus, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &sa, NULL);
}

static uint32_t page_up(uint32_t v)
{
	return (v + CX_BLOCK - 1) / CX_BLOCK * CX_BLOCK;
}

/* What the private mapping shows of [off, off + len). */
static const uint8_t *private_view(struct cx_exec *x, const struct cx_file *f, uint32_t off, uint32_t len)
{
	uint32_t p;

	memcpy(x->want, f->data + off, len);
	for (p = off / CX_BLOCK; p <= (off + len - 1) / CX_BLOCK; p++) {
		uint32_t from = p * CX_BLOCK, to = from + CX_BLOCK;

		if (!cx_cow(f, p))
			continue;
		if (from < off)
			from = off;
		if (to > off + len)
			to = off + len;
		memcpy(x->want + (from - off), f->priv + from, to - from);
	}
	return x->want;
}

/* map shows the file from page-aligned byte `from` on. The rest of the last page must be zeroes. */
static int read_mapping(struct cx_exec *x, unsigned int file, const uint8_t *map, uint32_t from, uint32_t off, uint32_t len,
			const char *how, bool priv)
{
	const struct cx_file *f = &x->m->f[file];

	if (off + len == f->size)
		len = page_up(f->size) - off;
	if (!cx_guarded_copy(x->buf, map + (off - from), len))
		return failed(x, "file %u by %s of [%#x, %#x): SIGBUS; size %#x", file, how, off, off + len, f->size);
	return compare(x, file, x->buf, priv ? private_view(x, f, off, len) : f->data + off, off, len, how, priv);
}

static int read_new_mapping(struct cx_exec *x, unsigned int file, uint32_t off, uint32_t len, enum cx_way way)
{
	uint32_t from = off - off % CX_BLOCK, size = page_up(off + len) - from;
	int flags = way == CX_BY_NEWPMAP ? MAP_PRIVATE : MAP_SHARED, err;
	uint8_t *map;

	if (way == CX_BY_POPULATE)
		flags |= MAP_POPULATE;
	map = mmap(NULL, size, PROT_READ, flags, x->f[file].fd, from);
	if (map == MAP_FAILED)
		return call_failed(x, "mmap");
	err = read_mapping(x, file, map, from, off, len, cx_way_names[way], false);
	munmap(map, size);
	return err;
}

/* --- reading ------------------------------------------------------------------------------------------------------------- */

static ssize_t by_pread(struct cx_exec *x, struct xfile *f, uint32_t off, uint32_t len)
{
	return pread(f->fd, x->buf, len, off);
}

static ssize_t by_read(struct cx_exec *x, struct xfile *f, uint32_t off, uint32_t len)
{
	if (lseek(f->fd, off, SEEK_SET) < 0)
		return -1;
	return read(f->fd, x->buf, len);
}

static ssize_t by_readv(struct cx_exec *x, struct xfile *f, uint32_t off, uint32_t len)
{
	uint32_t third = len / 3;
	const struct iovec iov[] = { { x->buf, third }, { x->buf + third, third }, { x->buf + 2 * third, len - 2 * third } };

	return preadv(f->fd, iov, 3, off);
}

static ssize_t by_splice(struct cx_exec *x, struct xfile *f, uint32_t off, uint32_t len)
{
	loff_t at = off;
	uint32_t done = 0;

	while (done < len) {
		ssize_t n = splice(f->fd, &at, x->pipe[1], NULL, len - done, 0), got;

		if (n <= 0)
			return n < 0 ? n : done;
		for (; n > 0; n -= got, done += (uint32_t)got) {
			got = read(x->pipe[0], x->buf + done, (size_t)n);
			if (got <= 0)
				return -1;
		}
	}
	return done;
}

static ssize_t by_sendfile(struct cx_exec *x, struct xfile *f, uint32_t off, uint32_t len)
{
	off_t at = off;
	uint32_t done = 0;

	if (lseek(x->sink, 0, SEEK_SET) < 0)
		return -1;
	while (done < len) {
		ssize_t n = sendfile(x->sink, f->fd, &at, len - done);

		if (n <= 0)
			return n < 0 ? n : done;
		done += (uint32_t)n;
	}
	return pread(x->sink, x->buf, len, 0);
}

static ssize_t by_direct(struct cx_exec *x, struct xfile *f, uint32_t off, uint32_t len)
{
	return pread(f->dfd, x->buf, len, off);
}

static ssize_t uring(struct cx_exec *x, int opcode, int fd, uint8_t *buf, uint32_t off, uint32_t len)
{
	uint32_t done = 0;

	while (done < len) {
		int n = ring_io(&x->ring, opcode, fd, buf + done, len - done, off + done, 0, -1);

		if (n < 0) {
			errno = -n;
			return -1;
		}
		if (!n)
			break;
		done += (uint32_t)n;
	}
	return done;
}

static ssize_t by_uring(struct cx_exec *x, struct xfile *f, uint32_t off, uint32_t len)
{
	return uring(x, IORING_OP_READ, f->fd, x->buf, off, len);
}

static ssize_t (*const readers[CX_WAYS])(struct cx_exec *x, struct xfile *f, uint32_t off, uint32_t len) = {
	[CX_BY_PREAD] = by_pread, [CX_BY_READ] = by_read, [CX_BY_READV] = by_readv, [CX_BY_SPLICE] = by_splice,
	[CX_BY_SENDFILE] = by_sendfile, [CX_BY_DIRECT] = by_direct, [CX_BY_URING] = by_uring,
};

static int read_by(struct cx_exec *x, unsigned int file, enum cx_way way, uint32_t off, uint32_t len)
{
	const struct cx_file *f = &x->m->f[file];
	uint32_t want = f->size - off < len ? f->size - off : len;
	ssize_t n;

	if (way == CX_BY_MAP || way == CX_BY_PMAP)
		return read_mapping(x, file, way == CX_BY_MAP ? x->f[file].map : x->f[file].priv, 0, off, len, cx_way_names[way],
				    way == CX_BY_PMAP);
	if (!readers[way])
		return read_new_mapping(x, file, off, len, way);
	n = readers[way](x, &x->f[file], off, len);
	if (n < 0)
		return failed(x, "file %u by %s of [%#x, %#x): %s", file, cx_way_names[way], off, off + len, strerror(errno));
	if (n != (ssize_t)want)
		return failed(x, "file %u by %s of [%#x, %#x): %zd bytes instead of %u; size %#x", file, cx_way_names[way], off, off + len, n, want,
			      f->size);
	return compare(x, file, x->buf, f->data + off, off, want, cx_way_names[way], false);
}

static int do_read(struct cx_exec *x, const struct cx_op *op)
{
	return read_by(x, op->file, op->way, op->off, op->len);
}

static int check_size(struct cx_exec *x, unsigned int file)
{
	struct stat st;

	if (fstat(x->f[file].fd, &st))
		return call_failed(x, "fstat");
	if (st.st_size != (off_t)x->m->f[file].size)
		return failed(x, "file %u has %lld bytes instead of %u", file, (long long)st.st_size, x->m->f[file].size);
	return 0;
}

/* Behind the page of the file's end. */
static int check_bus(struct cx_exec *x, unsigned int file, const uint8_t *map, const char *how)
{
	uint32_t off = page_up(x->m->f[file].size);
	uint8_t c;

	if (off < x->m->cap && cx_guarded_copy(&c, map + off, 1))
		return failed(x, "file %u by %s at %#x: no SIGBUS behind the end; size %#x", file, how, off, x->m->f[file].size);
	return 0;
}

/* The whole file by every way that looks at another place: the cache, existing and new page table entries, the device. */
static int do_check(struct cx_exec *x, const struct cx_op *op)
{
	static const enum cx_way ways[] = { CX_BY_MAP, CX_BY_PMAP, CX_BY_PREAD, CX_BY_NEWMAP, CX_BY_DIRECT };
	const struct cx_file *f = &x->m->f[op->file];
	int err = check_size(x, op->file);
	size_t i;

	for (i = 0; !err && f->size && i < sizeof(ways) / sizeof(ways[0]); i++) {
		if ((ways[i] == CX_BY_MAP && !f->mapped) || (ways[i] == CX_BY_PMAP && !f->pmapped) || !cx_has(x->m, cx_way_needs[ways[i]]))
			continue;
		err = read_by(x, op->file, ways[i], 0, ways[i] == CX_BY_DIRECT ? page_up(f->size) : f->size);
	}
	if (!err && f->mapped)
		err = check_bus(x, op->file, x->f[op->file].map, cx_way_names[CX_BY_MAP]);
	if (!err && f->pmapped)
		err = check_bus(x, op->file, x->f[op->file].priv, cx_way_names[CX_BY_PMAP]);
	return err;
}

/* What is called a hole must be zeroes. */
static int do_seek(struct cx_exec *x, const struct cx_op *op)
{
	const struct cx_file *f = &x->m->f[op->file];
	off_t pos = 0, data, i;

	while (pos < (off_t)f->size) {
		data = lseek(x->f[op->file].fd, pos, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return call_failed(x, "lseek(SEEK_DATA)");
		if (data < 0)
			data = f->size;
		if (data < pos || data > (off_t)f->size)
			return failed(x, "file %u: SEEK_DATA from %#llx gives %#llx", op->file, (long long)pos, (long long)data);
		for (i = pos; i < data; i++)
			if (f->data[i])
				return failed(x, "file %u: SEEK_DATA from %#llx gives %#llx, but there is data at %#llx", op->file, (long long)pos,
					      (long long)data, (long long)i);
		if (data == (off_t)f->size)
			return 0;
		pos = lseek(x->f[op->file].fd, data, SEEK_HOLE);
		if (pos <= data || pos > (off_t)f->size)
			return failed(x, "file %u: SEEK_HOLE from %#llx gives %#llx", op->file, (long long)data, (long long)pos);
	}
	return 0;
}

/* --- changes; the model has the new bytes -------------------------------------------------------------------------------- */

static int written(struct cx_exec *x, const struct cx_op *op, ssize_t n)
{
	if (n < 0)
		return call_failed(x, "write");
	return n == (ssize_t)op->len ? 0 : failed(x, "write: %zd bytes of %u", n, op->len);
}

static int do_write(struct cx_exec *x, const struct cx_op *op)
{
	return written(x, op, pwrite(x->f[op->file].fd, x->m->f[op->file].data + op->off, op->len, op->off));
}

static int do_dwrite(struct cx_exec *x, const struct cx_op *op)
{
	return written(x, op, pwrite(x->f[op->file].dfd, x->m->f[op->file].data + op->off, op->len, op->off));
}

static int do_uwrite(struct cx_exec *x, const struct cx_op *op)
{
	return written(x, op, uring(x, IORING_OP_WRITE, x->f[op->file].fd, x->m->f[op->file].data + op->off, op->off, op->len));
}

/* As a debugger writes: the kernel looks the page up for writing. Where that is not allowed, a store. */
static bool poke(struct cx_exec *x, uint8_t *to, const uint8_t *from, uint32_t len)
{
	if (x->mem < 0)
		return cx_guarded_copy(to, from, len);
	return pwrite(x->mem, from, len, (off_t)(uintptr_t)to) == (ssize_t)len;
}

static int do_store(struct cx_exec *x, const struct cx_op *op)
{
	uint32_t from = op->off - op->off % CX_BLOCK, size = page_up(op->off + op->len) - from;
	const uint8_t *data = x->m->f[op->file].data + op->off;
	uint8_t *map = x->f[op->file].map + from, *to;
	bool ok;

	if (op->way != CX_STORE_OLD) {
		map = mmap(NULL, size, op->way == CX_STORE_LOOKED ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, x->f[op->file].fd, from);
		if (map == MAP_FAILED)
			return call_failed(x, "mmap");
	}
	to = map + (op->off - from);
	/* What is there now is in the page table, and must not stay. */
	ok = op->way != CX_STORE_LOOKED || (cx_guarded_copy(x->buf, to, op->len) && !mprotect(map, size, PROT_READ | PROT_WRITE));
	ok = ok && (op->way == CX_STORE_POKE ? poke(x, to, data, op->len) : cx_guarded_copy(to, data, op->len));
	if (op->way != CX_STORE_OLD)
		munmap(map, size);
	return ok ? 0 : failed(x, "file %u: cannot store through a mapping; size %#x", op->file, x->m->f[op->file].size);
}

static int do_pstore(struct cx_exec *x, const struct cx_op *op)
{
	const uint8_t *data = x->m->f[op->file].priv + op->off;
	uint8_t *to = x->f[op->file].priv + op->off;

	if (op->way == CX_STORE_POKE ? poke(x, to, data, op->len) : cx_guarded_copy(to, data, op->len))
		return 0;
	return failed(x, "file %u: cannot store through its private mapping; size %#x", op->file, x->m->f[op->file].size);
}

static int do_map(struct cx_exec *x, const struct cx_op *op)
{
	uint8_t *map = mmap(NULL, x->m->cap, PROT_READ | PROT_WRITE, op->way ? MAP_PRIVATE : MAP_SHARED, x->f[op->file].fd, 0);

	if (map == MAP_FAILED)
		return call_failed(x, "mmap");
	*(op->way ? &x->f[op->file].priv : &x->f[op->file].map) = map;
	return 0;
}

static int do_unmap(struct cx_exec *x, const struct cx_op *op)
{
	uint8_t **map = op->way ? &x->f[op->file].priv : &x->f[op->file].map;

	munmap(*map, x->m->cap);
	*map = NULL;
	return 0;
}

static int do_trunc(struct cx_exec *x, const struct cx_op *op)
{
	return ftruncate(x->f[op->file].fd, op->len) ? call_failed(x, "ftruncate") : 0;
}

static int do_fallocate(struct cx_exec *x, const struct cx_op *op)
{
	static const int modes[CX_KINDS] = {
		[CX_ALLOC_KEEP] = FALLOC_FL_KEEP_SIZE,
		[CX_PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		[CX_ZERO] = FALLOC_FL_ZERO_RANGE,
		[CX_ZERO_KEEP] = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		[CX_COLLAPSE] = FALLOC_FL_COLLAPSE_RANGE,
		[CX_INSERT] = FALLOC_FL_INSERT_RANGE,
		[CX_UNSHARE] = FALLOC_FL_UNSHARE_RANGE,
	};

	return fallocate(x->f[op->file].fd, modes[op->kind], op->off, op->len) ? call_failed(x, "fallocate") : 0;
}

static int do_shift(struct cx_exec *x, const struct cx_op *op)
{
	int err = do_fallocate(x, op);

	if (!err && x->f[op->file].priv && madvise(x->f[op->file].priv + op->off, x->m->cap - op->off, MADV_DONTNEED))
		err = call_failed(x, "madvise");
	return err;
}

static int do_clone(struct cx_exec *x, const struct cx_op *op)
{
	return ioctl(x->f[op->file].fd, FICLONE, x->f[op->src].fd) ? call_failed(x, "FICLONE") : 0;
}

static int do_clonerange(struct cx_exec *x, const struct cx_op *op)
{
	struct file_clone_range r = { .src_fd = x->f[op->src].fd, .src_offset = op->at, .src_length = op->len, .dest_offset = op->off };

	return ioctl(x->f[op->file].fd, FICLONERANGE, &r) ? call_failed(x, "FICLONERANGE") : 0;
}

static int do_dedupe(struct cx_exec *x, const struct cx_op *op)
{
	struct {
		struct file_dedupe_range r;
		struct file_dedupe_range_info info;
	} d;
	bool same = !memcmp(x->m->f[op->file].data + op->off, x->m->f[op->src].data + op->at, op->len);
	uint32_t done = 0;

	if (op->kind == CX_DEDUPE_SAME) {
		int err = do_write(x, op);

		if (err)
			return err;
	}
	while (done < op->len) {
		memset(&d, 0, sizeof(d));
		d.r.src_offset = op->at + done;
		d.r.src_length = op->len - done;
		d.r.dest_count = 1;
		d.info.dest_fd = x->f[op->file].fd;
		d.info.dest_offset = op->off + done;
		if (ioctl(x->f[op->src].fd, FIDEDUPERANGE, &d))
			return call_failed(x, "FIDEDUPERANGE");
		if (d.info.status < 0)
			return failed(x, "FIDEDUPERANGE: %s", strerror(-d.info.status));
		if (d.info.status == FILE_DEDUPE_RANGE_DIFFERS)
			return same ? failed(x, "FIDEDUPERANGE: equal bytes are called different") : 0;
		if (!d.info.bytes_deduped || d.info.bytes_deduped > op->len - done)
			return failed(x, "FIDEDUPERANGE: %llu of %u bytes", (unsigned long long)d.info.bytes_deduped, op->len - done);
		done += (uint32_t)d.info.bytes_deduped;
	}
	return same ? 0 : failed(x, "FIDEDUPERANGE: different bytes are called equal");
}

static int do_copy(struct cx_exec *x, const struct cx_op *op)
{
	loff_t from = op->at, to = op->off;
	uint32_t left = op->len;

	while (left) {
		ssize_t n = copy_file_range(x->f[op->src].fd, &from, x->f[op->file].fd, &to, left, 0);

		if (n < 0)
			return call_failed(x, "copy_file_range");
		if (!n)
			return failed(x, "copy_file_range: end of file with %u of %u bytes to go", left, op->len);
		left -= (uint32_t)n;
	}
	return 0;
}

/*
 * write(2) whose data are a mapped page of another file, read(2) into one: the kernel takes pages that are shared by way of their
 * mapping, to read from and to write to.
 */
static int do_mapped(struct cx_exec *x, const struct cx_op *op)
{
	bool into = op->way == CX_READ_INTO || op->way == CX_DREAD_INTO, direct = op->way == CX_DWRITE_FROM || op->way == CX_DREAD_INTO;
	struct xfile *mapped = &x->f[into ? op->file : op->src], *other = &x->f[into ? op->src : op->file];
	uint32_t in_mapped = into ? op->off : op->at, in_other = into ? op->at : op->off;
	uint32_t from = in_mapped - in_mapped % CX_BLOCK, size = page_up(in_mapped + op->len) - from;
	int fd = direct ? other->dfd : other->fd;
	int prot = into ? PROT_READ | PROT_WRITE : PROT_READ, flags = into || op->nr % 2 ? MAP_SHARED : MAP_PRIVATE;
	uint8_t *map = mmap(NULL, size, prot, flags, mapped->fd, from), *at = map + (in_mapped - from);
	ssize_t n;

	if (map == MAP_FAILED)
		return call_failed(x, "mmap");
	n = into ? pread(fd, at, op->len, in_other) : pwrite(fd, at, op->len, in_other);
	munmap(map, size);
	if (n < 0)
		return call_failed(x, into ? "read into a mapping" : "write from a mapping");
	return n == (ssize_t)op->len ? 0 : failed(x, "%s a mapping: %zd bytes of %u", into ? "read into" : "write from", n, op->len);
}

static int do_exchange(struct cx_exec *x, const struct cx_op *op)
{
	struct xfs_exchange r = { .file1_fd = x->f[op->src].fd, .file1_offset = op->at, .file2_offset = op->off, .length = op->len };

	return ioctl(x->f[op->file].fd, XFS_EXCHANGE_RANGE, &r) ? call_failed(x, "XFS_IOC_EXCHANGE_RANGE") : 0;
}

static void unmap_file(struct cx_exec *x, struct xfile *f)
{
	if (f->map)
		munmap(f->map, x->m->cap);
	if (f->priv)
		munmap(f->priv, x->m->cap);
	f->map = f->priv = NULL;
}

/*
 * It refuses files that anything is cached of, and a file that would get more extents than it has. A refusal is no failure, but must be
 * taken back from the model; doing it again does that.
 */
static int do_swapext(struct cx_exec *x, const struct cx_op *op)
{
	struct xfs_swapext sx = { .target = x->f[op->file].fd, .tmp = x->f[op->src].fd, .length = op->len };
	struct xfs_bulkreq req = {};
	uint64_t ino;
	struct stat st;

	if (fsync(x->f[op->file].fd) || fsync(x->f[op->src].fd))
		return call_failed(x, "fsync");
	posix_fadvise(x->f[op->src].fd, 0, 0, POSIX_FADV_DONTNEED);
	if (fstat(x->f[op->file].fd, &st))
		return call_failed(x, "fstat");
	ino = st.st_ino;
	req.lastip = &ino;
	req.icount = 1;
	req.buffer = &sx.stat;
	if (ioctl(x->f[op->file].fd, XFS_BULKSTAT_SINGLE, &req))
		return call_failed(x, "XFS_IOC_FSBULKSTAT_SINGLE");
	if (!ioctl(x->f[op->file].fd, XFS_SWAPEXT, &sx))
		return 0;
	if (errno != EINVAL && errno != EBUSY)
		return call_failed(x, "XFS_IOC_SWAPEXT");
	cx_apply(x->m, op);
	return CX_REFUSED;
}

/* --- files as such ------------------------------------------------------------------------------------------------------- */

static void file_name(char dst[NAME], unsigned int file)
{
	snprintf(dst, NAME, "f%02u", file);
}

static void close_file(struct cx_exec *x, struct xfile *f)
{
	unmap_file(x, f);
	if (f->fd >= 0)
		close(f->fd);
	if (f->dfd >= 0)
		close(f->dfd);
	f->fd = f->dfd = -1;
}

static int open_file(struct cx_exec *x, unsigned int file, int flags)
{
	struct xfile *f = &x->f[file];
	char name[NAME];

	file_name(name, file);
	f->fd = openat(x->dirfd, name, O_RDWR | O_CLOEXEC | flags, 0600);
	f->dfd = f->fd >= 0 && cx_has(x->m, CX_F_DIRECT) ? openat(x->dirfd, name, O_RDWR | O_DIRECT | O_CLOEXEC) : -1;
	return f->fd < 0 || (cx_has(x->m, CX_F_DIRECT) && f->dfd < 0) ? -errno : 0;
}

static int do_recreate(struct cx_exec *x, const struct cx_op *op)
{
	char name[NAME];

	file_name(name, op->file);
	close_file(x, &x->f[op->file]);
	if (unlinkat(x->dirfd, name, 0))
		return call_failed(x, "unlink");
	return open_file(x, op->file, O_CREAT | O_EXCL) ? call_failed(x, "create") : 0;
}

static int do_reopen(struct cx_exec *x, const struct cx_op *op)
{
	close_file(x, &x->f[op->file]);
	return open_file(x, op->file, 0) ? call_failed(x, "open") : 0;
}

/* --- caches -------------------------------------------------------------------------------------------------------------- */

static int do_fsync(struct cx_exec *x, const struct cx_op *op)
{
	return fsync(x->f[op->file].fd) ? call_failed(x, "fsync") : 0;
}

static int do_fdatasync(struct cx_exec *x, const struct cx_op *op)
{
	return fdatasync(x->f[op->file].fd) ? call_failed(x, "fdatasync") : 0;
}

static int do_syncrange(struct cx_exec *x, const struct cx_op *op)
{
	const unsigned int flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

	return sync_file_range(x->f[op->file].fd, op->off, op->len, flags) ? call_failed(x, "sync_file_range") : 0;
}

static int do_syncfs(struct cx_exec *x, const struct cx_op *op)
{
	(void)op;
	return syncfs(x->dirfd) ? call_failed(x, "syncfs") : 0;
}

static int advise(struct cx_exec *x, const struct cx_op *op, int advice)
{
	int err = posix_fadvise(x->f[op->file].fd, op->off, op->len, advice);

	return err ? failed(x, "posix_fadvise(%d): %s", advice, strerror(err)) : 0;
}

static int do_dontneed(struct cx_exec *x, const struct cx_op *op)
{
	return advise(x, op, POSIX_FADV_DONTNEED);
}

static int do_willneed(struct cx_exec *x, const struct cx_op *op)
{
	return advise(x, op, POSIX_FADV_WILLNEED);
}

static int do_madvise(struct cx_exec *x, const struct cx_op *op)
{
	static const int advices[CX_ADVICES] = {
		[CX_MADV_DONTNEED] = MADV_DONTNEED, [CX_MADV_PAGEOUT] = MADV_PAGEOUT, [CX_MADV_COLD] = MADV_COLD,
		[CX_MADV_POPULATE] = MADV_POPULATE_READ, [CX_MADV_POPULATE_WRITE] = MADV_POPULATE_WRITE,
	};
	uint8_t *map = op->at ? x->f[op->file].priv : x->f[op->file].map;

	return madvise(map + op->off, op->len, advices[op->way]) ? call_failed(x, "madvise") : 0;
}

bool cx_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

static int do_drop(struct cx_exec *x, const struct cx_op *op)
{
	static const char *const what[] = { "1", "2", "3" };

	return cx_put(DROP_CACHES, what[op->nr % 3]) ? 0 : call_failed(x, "drop_caches");
}

static int do_compact(struct cx_exec *x, const struct cx_op *op)
{
	(void)op;
	return cx_put(COMPACT, "1") ? 0 : call_failed(x, "compact_memory");
}

/* Less than was asked for is an error of the call, and usual. */
static int do_reclaim(struct cx_exec *x, const struct cx_op *op)
{
	(void)op;
	return cx_put(x->reclaim, RECLAIM_BYTES) || errno == EAGAIN ? 0 : call_failed(x, "memory.reclaim");
}

static int do_freeze(struct cx_exec *x, const struct cx_op *op)
{
	int err = 0;

	if (ioctl(x->dirfd, FIFREEZE, 0))
		return call_failed(x, "FIFREEZE");
	if (x->m->f[op->file].size) {
		err = read_by(x, op->file, CX_BY_PREAD, 0, x->m->f[op->file].size);
		if (!err)
			err = read_by(x, op->file, CX_BY_NEWMAP, 0, x->m->f[op->file].size);
	}
	if (ioctl(x->dirfd, FITHAW, 0) && !err)
		err = call_failed(x, "FITHAW");
	return err;
}

static int do_remount(struct cx_exec *x, const struct cx_op *op)
{
	unsigned int i;

	(void)op;
	for (i = 0; i < x->m->nr_files; i++)
		close_file(x, &x->f[i]);
	close(x->dirfd);
	x->dirfd = -1;
	if (umount(x->mnt.dir))
		return call_failed(x, "umount");
	if (mount(x->mnt.source, x->mnt.dir, x->mnt.type, x->mnt.flags, x->mnt.opts))
		return call_failed(x, "mount");
	x->dirfd = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x->dirfd < 0)
		return call_failed(x, "open of the directory after mounting it again");
	for (i = 0; i < x->m->nr_files; i++)
		if (open_file(x, i, 0))
			return call_failed(x, "open after mounting again");
	return 0;
}

/* What no model knows of: a test that the rest works. */
static int do_corrupt(struct cx_exec *x, const struct cx_op *op)
{
	uint8_t c = x->m->f[op->file].data[op->off] ^ 0x55;

	return pwrite(x->f[op->file].fd, &c, 1, op->off) == 1 ? 0 : call_failed(x, "write");
}

static int (*const exec[CX_KINDS])(struct cx_exec *x, const struct cx_op *op) = {
	[CX_WRITE] = do_write, [CX_DWRITE] = do_dwrite, [CX_UWRITE] = do_uwrite, [CX_STORE] = do_store, [CX_PSTORE] = do_pstore,
	[CX_READ] = do_read, [CX_MAP] = do_map, [CX_UNMAP] = do_unmap, [CX_TRUNC] = do_trunc, [CX_ALLOC] = do_fallocate,
	[CX_ALLOC_KEEP] = do_fallocate, [CX_PUNCH] = do_fallocate, [CX_ZERO] = do_fallocate, [CX_ZERO_KEEP] = do_fallocate,
	[CX_COLLAPSE] = do_shift, [CX_INSERT] = do_shift, [CX_UNSHARE] = do_fallocate, [CX_CLONE] = do_clone,
	[CX_CLONERANGE] = do_clonerange, [CX_DEDUPE] = do_dedupe, [CX_DEDUPE_SAME] = do_dedupe, [CX_COPY] = do_copy,
	[CX_MAPPED] = do_mapped, [CX_EXCHANGE] = do_exchange, [CX_SWAPEXT] = do_swapext, [CX_FSYNC] = do_fsync,
	[CX_FDATASYNC] = do_fdatasync, [CX_SYNCRANGE] = do_syncrange, [CX_SYNCFS] = do_syncfs, [CX_RECREATE] = do_recreate,
	[CX_REOPEN] = do_reopen, [CX_SEEK] = do_seek, [CX_DONTNEED] = do_dontneed, [CX_WILLNEED] = do_willneed,
	[CX_MADVISE] = do_madvise, [CX_DROP] = do_drop, [CX_COMPACT] = do_compact, [CX_RECLAIM] = do_reclaim, [CX_FREEZE] = do_freeze,
	[CX_REMOUNT] = do_remount, [CX_CHECK] = do_check, [CX_CORRUPT] = do_corrupt,
};

int cx_exec_op(struct cx_exec *x, const struct cx_op *op, struct cx_failure *bad)
{
	x->bad = bad;
	bad->bytes = false;
	bad->what[0] = '\0';
	return exec[op->kind](x, op);
}

/* --- what is possible here ----------------------------------------------------------------------------------------------- */

/* The mount that dir is in. The last one whose directory it lies below is the topmost. */
static bool find_mount(const char *dir, struct mounted *mnt)
{
	static const struct {
		const char *name;
		unsigned long flag;
	} flags[] = { { "noatime", MS_NOATIME }, { "relatime", MS_RELATIME }, { "nodev", MS_NODEV }, { "nosuid", MS_NOSUID } };
	FILE *f = fopen("/proc/self/mounts", "re");
	char line[1500], real[512], *save, *word;
	struct mounted one;
	size_t best = 0, i;

	if (!f || !realpath(dir, real)) {
		if (f)
			fclose(f);
		return false;
	}
	while (fgets(line, sizeof(line), f)) {
		char opts[512];
		size_t len;

		memset(&one, 0, sizeof(one));
		if (sscanf(line, "%255s %255s %31s %511s", one.source, one.dir, one.type, opts) != 4)
			continue;
		len = strlen(one.dir);
		if (strncmp(real, one.dir, len) || (real[len] && real[len] != '/' && len > 1) || len < best)
			continue;
		for (word = strtok_r(opts, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
			for (i = 0; i < sizeof(flags) / sizeof(flags[0]) && strcmp(flags[i].name, word); i++)
				;
			if (i < sizeof(flags) / sizeof(flags[0])) {
				one.flags |= flags[i].flag;
			} else if (strcmp(word, "rw") && strlen(one.opts) + strlen(word) + 2 < sizeof(one.opts)) {
				if (one.opts[0])
					strcat(one.opts, ",");
				strcat(one.opts, word);
			}
		}
		*mnt = one;
		best = len;
	}
	fclose(f);
	return best > 1;
}

static bool find_reclaim(char *dst, size_t cap)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[256];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) || !line[4])
			continue;
		snprintf(dst, cap, "/sys/fs/cgroup%s/memory.reclaim", line + 3);
		found = !access(dst, W_OK);
	}
	if (f)
		fclose(f);
	return found;
}

struct probe {
	struct cx_exec *x;
	int a, b;			/* files of some blocks with the same bytes */
};

static bool probe_fallocate(const struct probe *p, int mode, uint32_t off, uint32_t len)
{
	return !fallocate(p->a, mode, off, len);
}

static bool probe_clone(const struct probe *p)
{
	return !ioctl(p->b, FICLONE, p->a);
}

static bool probe_dedupe(const struct probe *p)
{
	struct {
		struct file_dedupe_range r;
		struct file_dedupe_range_info info;
	} d = { .r = { .src_length = CX_BLOCK, .dest_count = 1 }, .info = { .dest_fd = p->b } };

	return !ioctl(p->a, FIDEDUPERANGE, &d) && !d.info.status;
}

static bool probe_copy(const struct probe *p)
{
	loff_t from = 0, to = 0;

	return copy_file_range(p->a, &from, p->b, &to, CX_BLOCK, 0) > 0;
}

static bool probe_exchange(const struct probe *p)
{
	struct xfs_exchange r = { .file1_fd = p->a, .length = CX_BLOCK };

	return !ioctl(p->b, XFS_EXCHANGE_RANGE, &r);
}

static bool probe_populate(const struct probe *p)
{
	void *map = mmap(NULL, CX_BLOCK, PROT_READ, MAP_SHARED, p->a, 0);
	bool ok = map != MAP_FAILED && !madvise(map, CX_BLOCK, MADV_POPULATE_READ);

	if (map != MAP_FAILED)
		munmap(map, CX_BLOCK);
	return ok;
}

/* Whether there is the ioctl at all: a length that is not the files' is refused when all else was looked at. */
static bool probe_swapext(const struct probe *p)
{
	struct xfs_swapext sx = { .target = p->a, .tmp = p->b, .length = 1 };

	return !geteuid() && ioctl(p->a, XFS_SWAPEXT, &sx) && errno == EFAULT;
}

static bool probe_direct(const struct probe *p)
{
	struct cx_model *m = p->x->m;
	struct statx sx;
	int fd = openat(p->x->dirfd, "probe-a", O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		return false;
#ifdef STATX_DIOALIGN
	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) && (sx.stx_mask & STATX_DIOALIGN) && sx.stx_dio_offset_align)
		m->dio = sx.stx_dio_offset_align < CX_BLOCK ? sx.stx_dio_offset_align : CX_BLOCK;
#endif
	/* Less would need buffers aligned otherwise than the words. */
	if (m->dio < 512)
		m->dio = 512;
	close(fd);
	return true;
}

static int probe(struct cx_exec *x, uint64_t mask)
{
	struct cx_model *m = x->m;
	struct probe p = { .x = x };
	uint64_t f = 0;
	bool root = !geteuid();

	p.a = openat(x->dirfd, "probe-a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	p.b = openat(x->dirfd, "probe-b", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cx_fill(x->buf, PROBE_NR, 0, 0, m->cap);
	if (p.a < 0 || p.b < 0 || pwrite(p.a, x->buf, 8 * CX_BLOCK, 0) != 8 * CX_BLOCK || pwrite(p.b, x->buf, 8 * CX_BLOCK, 0) != 8 * CX_BLOCK)
		return -errno;
#define HAS(feature, what)	f |= (uint64_t)!!(what) << (feature)
	HAS(CX_F_DIRECT, probe_direct(&p));
	HAS(CX_F_DEDUPE, probe_dedupe(&p));
	HAS(CX_F_CLONE, probe_clone(&p));
	HAS(CX_F_COPY, probe_copy(&p));
	HAS(CX_F_EXCHANGE, probe_exchange(&p));
	HAS(CX_F_SWAPEXT, probe_swapext(&p));
	HAS(CX_F_POPULATE, probe_populate(&p));
	HAS(CX_F_UNSHARE, probe_fallocate(&p, FALLOC_FL_UNSHARE_RANGE, 0, CX_BLOCK));
	HAS(CX_F_FALLOC, probe_fallocate(&p, FALLOC_FL_KEEP_SIZE, 0, 16 * CX_BLOCK));
	HAS(CX_F_PUNCH, probe_fallocate(&p, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, CX_BLOCK));
	HAS(CX_F_ZERO, probe_fallocate(&p, FALLOC_FL_ZERO_RANGE, 0, CX_BLOCK));
	HAS(CX_F_COLLAPSE, probe_fallocate(&p, FALLOC_FL_COLLAPSE_RANGE, 0, CX_BLOCK));
	HAS(CX_F_INSERT, probe_fallocate(&p, FALLOC_FL_INSERT_RANGE, 0, CX_BLOCK));
	HAS(CX_F_DROP, root && !access(DROP_CACHES, W_OK));
	HAS(CX_F_COMPACT, root && !access(COMPACT, W_OK));
	HAS(CX_F_RECLAIM, find_reclaim(x->reclaim, sizeof(x->reclaim)));
	HAS(CX_F_FREEZE, root);
	HAS(CX_F_REMOUNT, root && find_mount(x->dir, &x->mnt));
	HAS(CX_F_SYNCFS, true);
	HAS(CX_F_URING, ring_open(&x->ring));
#undef HAS
	m->features = f & mask;
	close(p.a);
	close(p.b);
	unlinkat(x->dirfd, "probe-a", 0);
	unlinkat(x->dirfd, "probe-b", 0);
	return 0;
}

int cx_exec_open(struct cx_exec **out, const char *dir, struct cx_model *m, uint64_t mask)
{
	struct cx_exec *x = calloc(1, sizeof(*x));
	unsigned int i;
	int err;

	if (!x)
		return -ENOMEM;
	for (i = 0; i < CX_MAX_FILES; i++)
		x->f[i].fd = x->f[i].dfd = -1;
	x->m = m;
	x->ring.fd = -1;
	x->mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	x->dirfd = x->sink = x->pipe[0] = x->pipe[1] = -1;
	snprintf(x->dir, sizeof(x->dir), "%s/clonex.%d", dir, (int)getpid());
	x->buf = aligned_alloc(CX_BLOCK, m->cap + CX_BLOCK);
	x->want = aligned_alloc(CX_BLOCK, m->cap + CX_BLOCK);
	if (!x->buf || !x->want) {
		cx_exec_close(x);
		return -ENOMEM;
	}
	if (!mkdir(x->dir, 0700))
		x->dirfd = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x->dirfd >= 0 && !pipe2(x->pipe, O_CLOEXEC))
		x->sink = memfd_create("clonex", MFD_CLOEXEC);
	err = x->sink < 0 ? -errno : probe(x, mask);
	if (err) {
		cx_exec_close(x);
		return err;
	}
	cx_guard();
	*out = x;
	return 0;
}

void cx_exec_close(struct cx_exec *x)
{
	char name[NAME];
	unsigned int i;

	for (i = 0; i < CX_MAX_FILES; i++) {
		close_file(x, &x->f[i]);
		file_name(name, i);
		if (x->dirfd >= 0)
			unlinkat(x->dirfd, name, 0);
	}
	if (x->dirfd >= 0)
		close(x->dirfd);
	rmdir(x->dir);
	if (x->sink >= 0)
		close(x->sink);
	if (x->pipe[0] >= 0)
		close(x->pipe[0]);
	if (x->pipe[1] >= 0)
		close(x->pipe[1]);
	if (x->mem >= 0)
		close(x->mem);
	ring_close(&x->ring);
	free(x->buf);
	free(x->want);
	free(x);
}

int cx_exec_reset(struct cx_exec *x)
{
	char name[NAME];
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < x->m->nr_files; i++) {
		file_name(name, i);
		close_file(x, &x->f[i]);
		if (unlinkat(x->dirfd, name, 0) && errno != ENOENT)
			err = -errno;
		else
			err = open_file(x, i, O_CREAT | O_EXCL);
	}
	return err;
}

uint64_t cx_exec_compared(const struct cx_exec *x)
{
	return x->compared;
}
