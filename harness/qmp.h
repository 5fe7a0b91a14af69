/* SPDX-License-Identifier: GPL-2.0 */
/*
 * QEMU's machine protocol (docs/interop/qmp-spec.txt), client side, as far as the VM runner needs it: events, and commands
 * without waiting. Nothing here blocks: the caller polls the socket and calls qmp_read().
 */
#ifndef SHCACHE_QMP_H
#define SHCACHE_QMP_H

#include <jansson.h>
#include <stdbool.h>

#include "util.h"

struct qmp {
	int fd;			/* connected, non-blocking; -1: none. qmp_close() closes it */
	struct buf in;
	/* Commands are accepted. QEMU's main loop runs by then, so all files are open; it greets before that. */
	bool ready;
	/* An event, with its "data" (may be NULL). */
	void (*event)(const char *name, const json_t *data, void *arg);
	/* The answer to query-status. */
	void (*status)(const char *status, void *arg);
	void *arg;
};

/*
 * Reads and handles all that has come; answers the greeting by itself. Returns 0, -EPIPE (QEMU closed the connection), -EPROTO
 * (not QMP, or a line beyond all reason) or another negative errno.
 */
int qmp_read(struct qmp *q);
/* Sends a command; args is a JSON object as text, or NULL. Returns 0, -ENOTCONN (not ready) or a negative errno. */
int qmp_send(struct qmp *q, const char *command, const char *args);
void qmp_close(struct qmp *q);

#endif
