// SPDX-License-Identifier: GPL-2.0
/* Takes the counters of a kernel with CONFIG_GCOV_KERNEL out of the guest, see agent.h. */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "json.h"

#define GCOV	"/sys/kernel/debug/gcov"

/* nftw() has no argument for it. */
static struct wl_ctx *the_ctx;

static int emit_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	size_t len = strlen(path);
	struct jbuf b = {};
	uint8_t buf[4096];
	ssize_t n = 0, i;
	int fd;

	(void)st;
	(void)ftw;
	if (type != FTW_F || len < 5 || strcmp(path + len - 5, ".gcda"))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	jb_printf(&b, "\"");
	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < n; i++)
			jb_printf(&b, "%02x", buf[i]);
	jb_printf(&b, "\"");
	if (fd < 0 || n < 0)
		fprintf(stderr, "agent: cannot read %s: %m\n", path);
	else
		wl_blob(the_ctx, "gcov", b.s, "path=%s", path + strlen(GCOV));
	jb_free(&b);
	if (fd >= 0)
		close(fd);
	return 0;
}

void emit_gcov(struct wl_ctx *ctx)
{
	the_ctx = ctx;
	nftw(GCOV, emit_one, 16, FTW_PHYS);
}
