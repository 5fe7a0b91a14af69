// SPDX-License-Identifier: GPL-2.0
/* See dm.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dm.h"

#define CONTROL		"/dev/mapper/control"
#define NAME		"hazard"

struct request {
	struct dm_ioctl h;
	uint8_t table[4096];
};

static void prepare(struct request *r, uint32_t flags)
{
	memset(r, 0, sizeof(*r));
	r->h.version[0] = DM_VERSION_MAJOR;
	r->h.data_size = sizeof(*r);
	r->h.data_start = sizeof(r->h);
	r->h.flags = flags;
	snprintf(r->h.name, sizeof(r->h.name), NAME);
}

static int call(unsigned long cmd, struct request *r)
{
	int fd = open(CONTROL, O_RDWR | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -ENODEV;
	if (ioctl(fd, cmd, r))
		err = -errno;
	close(fd);
	return err;
}

/* One line of the table, of sectors [from, to), behind *at. */
static void add_target(struct request *r, size_t *at, const char *dev, uint64_t from, uint64_t to)
{
	struct dm_target_spec *t = (void *)(r->table + *at);
	char *params = (char *)(t + 1);
	size_t room = sizeof(r->table) - *at - sizeof(*t);
	int n = 0;

	if (from >= to)
		return;
	t->sector_start = from;
	t->length = to - from;
	snprintf(t->target_type, sizeof(t->target_type), "%s", dev ? "linear" : "error");
	if (dev)
		n = snprintf(params, room, "%s %llu", dev, (unsigned long long)from);
	t->next = (uint32_t)(sizeof(*t) + (((size_t)n + 1 + 7) & ~7ul));
	*at += t->next;
	r->h.target_count++;
}

static int load(const char *dev, const struct dm_range *bad, unsigned int n)
{
	int fd = open(dev, O_RDONLY | O_CLOEXEC), err;
	uint64_t size, done = 0;
	struct request r;
	size_t at = 0;
	unsigned int i;

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size)) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	close(fd);
	prepare(&r, 0);
	for (i = 0; i < n; i++) {
		uint64_t to = bad[i].to < size ? bad[i].to : size;

		add_target(&r, &at, dev, done, bad[i].from >> 9);
		add_target(&r, &at, NULL, bad[i].from >> 9, to >> 9);
		done = to >> 9;
	}
	add_target(&r, &at, dev, done, size >> 9);
	err = call(DM_TABLE_LOAD, &r);
	if (err)
		return err;
	/* What is under way ends with the old table. */
	err = dm_pause(true);
	return err ? err : dm_pause(false);
}

int dm_pause(bool pause)
{
	struct request r;

	/* The file system is not asked to be quiet. */
	prepare(&r, pause ? DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG : 0);
	return call(DM_DEV_SUSPEND, &r);
}

int dm_create(const char *dev, char path[32])
{
	struct request r;
	int err;

	dm_remove();
	prepare(&r, 0);
	err = call(DM_DEV_CREATE, &r);
	if (err)
		return err;
	snprintf(path, 32, "/dev/dm-%u", minor(r.h.dev));
	return load(dev, NULL, 0);
}

int dm_set_bad(const char *dev, const struct dm_range *bad, unsigned int n)
{
	return load(dev, bad, n);
}

void dm_remove(void)
{
	struct request r;

	prepare(&r, 0);
	call(DM_DEV_REMOVE, &r);
}
