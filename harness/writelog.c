// SPDX-License-Identifier: GPL-2.0
/* Logs of writes, and disks after a power cut; see writelog.h. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "util.h"
#include "writelog.h"

#define MAGIC		0x6a736677736872ull
#define VERSION		1
#define FLAG_FLUSH	1u
#define FLAG_FUA	2u
#define FLAG_DISCARD	4u
#define FLAG_MARK	8u
#define KNOWN_FLAGS	(FLAG_FLUSH | FLAG_FUA | FLAG_DISCARD | FLAG_MARK)
/* A request that is larger is none. */
#define MAX_REQUEST	(1ull << 30)

struct super {
	uint64_t magic, version, nr_entries;
	uint32_t sectorsize;
};

struct raw_entry {
	uint64_t sector, nr_sectors, flags, data_len;
};

static int read_all(int fd, void *buf, size_t len, uint64_t at)
{
	ssize_t n = pread(fd, buf, len, (off_t)at);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -ENODATA;
}

static void add(struct wlog *l, const struct wlog_entry *e)
{
	/* Doubled: there may be a hundred thousand. */
	if (!(l->n & (l->n - 1)))
		l->v = xrealloc(l->v, (l->n ? 2 * l->n : 1) * sizeof(*l->v));
	l->v[l->n++] = *e;
	l->bytes += e->len;
}

static int read_entries(struct wlog *l, uint32_t sector, uint64_t size, const char **why)
{
	struct raw_entry r;
	uint64_t at;

	for (at = sector; at + sector <= size; ) {
		struct wlog_entry e;
		int ret = read_all(l->fd, &r, sizeof(r), at);

		if (ret)
			return ret;
		e = (struct wlog_entry){ .off = le64toh(r.sector) * sector, .len = le64toh(r.nr_sectors) * sector, .data = at + sector,
				       .flush = le64toh(r.flags) & FLAG_FLUSH };
		/* Room that was taken for an entry which was never written. */
		if (!e.len && !r.flags)
			return 0;
		if (le64toh(r.flags) & ~(uint64_t)KNOWN_FLAGS || e.len > MAX_REQUEST) {
			*why = "an entry of the log makes no sense";
			return -EINVAL;
		}
		if (le64toh(r.flags) & FLAG_DISCARD) {
			*why = "the log has a discard, which was not allowed";
			return -EINVAL;
		}
		if (le64toh(r.flags) & FLAG_MARK) {
			at += sector;
			continue;
		}
		/* The header says how much there should be; what is not in the file was never acknowledged. */
		if (e.data + e.len > size)
			return 0;
		add(l, &e);
		at = e.data + e.len;
	}
	return 0;
}

int wlog_open(const char *path, struct wlog *l, const char **why)
{
	struct super s;
	struct stat st;
	uint32_t sector;
	int ret;

	*l = (struct wlog){ .fd = open(path, O_RDONLY | O_CLOEXEC) };
	*why = "";
	if (l->fd < 0 || fstat(l->fd, &st)) {
		*why = strerror(errno);
		return -errno;
	}
	ret = read_all(l->fd, &s, sizeof(s), 0);
	sector = ret ? 0 : le32toh(s.sectorsize);
	if (ret || le64toh(s.magic) != MAGIC || le64toh(s.version) != VERSION || sector < sizeof(struct raw_entry) ||
	    sector > WLOG_ATOMIC) {
		*why = "it is no log of writes";
		ret = -EINVAL;
	}
	if (!ret)
		ret = read_entries(l, sector, (uint64_t)st.st_size, why);
	if (ret) {
		if (!**why)
			*why = strerror(-ret);
		wlog_close(l);
	}
	return ret;
}

void wlog_close(struct wlog *l)
{
	if (l->fd >= 0)
		close(l->fd);
	free(l->v);
	*l = (struct wlog){ .fd = -1 };
}

int wlog_data(const struct wlog *l, size_t i, void *buf)
{
	return read_all(l->fd, buf, l->v[i].len, l->v[i].data);
}

/* Where what is safe ends: behind the last flush before the cut. */
static size_t safe_end(const struct wlog *l, const struct wlog_cut *c)
{
	size_t i;

	for (i = c->at < l->n ? c->at : l->n; i > 0; i--)
		if (l->v[i - 1].flush && i <= c->honest)
			return i;
	return 0;
}

static int write_part(int fd, const uint8_t *buf, uint64_t off, uint64_t len)
{
	ssize_t n = pwrite(fd, buf, len, (off_t)off);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -ENOSPC;
}

int wlog_disk(const struct wlog *l, const struct wlog_cut *c, const char *path, uint64_t size)
{
	uint64_t rnd = c->seed, cap = 0, part;
	size_t safe = safe_end(l, c), i;
	uint8_t *buf = NULL;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), ret = 0;

	if (fd < 0 || ftruncate(fd, (off_t)size))
		ret = -errno;
	for (i = 0; !ret && i < c->at && i < l->n; i++) {
		const struct wlog_entry *e = &l->v[i];

		if (e->len > cap)
			buf = xrealloc(buf, cap = e->len);
		if (e->off + e->len > size)
			ret = -ERANGE;
		else if (e->len)
			ret = wlog_data(l, i, buf);
		for (uint64_t at = 0; !ret && at < e->len; at += part) {
			/* Up to the next block's border; all at once if it is safe. */
			part = i < safe ? e->len : WLOG_ATOMIC - (e->off + at) % WLOG_ATOMIC;
			if (part > e->len - at)
				part = e->len - at;
			if (i < safe || (random64(&rnd) & 255) < c->keep)
				ret = write_part(fd, buf + at, e->off + at, part);
		}
	}
	if (fd >= 0 && close(fd) && !ret)
		ret = -errno;
	free(buf);
	return ret;
}
