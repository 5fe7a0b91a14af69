/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the agent's own parts share; workloads see workload.h only.
 */
#ifndef SHCACHE_AGENT_H
#define SHCACHE_AGENT_H

#include <pthread.h>
#include <stdbool.h>

#include "job.h"
#include "workload.h"

/*
 * The context lies in memory that all of the agent's processes share: a helper process may fail or emit a record, and when the
 * process that runs the workload is killed, init goes on with the right sequence number.
 */
struct wl_ctx {
	struct job job;
	const struct workload *w;
	int port;			/* file descriptor of the record port */
	pthread_mutex_t lock;		/* of port and seq; robust, shared between processes */
	unsigned long seq;
	bool concluded;			/* a result was emitted */
	bool abandon;			/* process 1 shall end without a word (selftest) */
	bool skip, failed;
	int err;
	char why[512];
};

/* Emits one payload. A port that cannot be written to is said once on the console. */
void emit(struct wl_ctx *ctx, const char *payload, size_t len);
void emit_hello(struct wl_ctx *ctx);
/* status: "pass", "fail", "skip". Only the first one counts. */
void emit_result(struct wl_ctx *ctx, const char *status, const char *why);
void emit_done(struct wl_ctx *ctx);
/*
 * The counters of a kernel that counts which lines run, a blob "gcov" for each file: x.path is where it was compiled, v the .gcda file in hexadecimal
 * digits. Nothing on other kernels.
 */
void emit_gcov(struct wl_ctx *ctx);
/* Writes bytes that are no record: how the harness's own tests garble the stream. */
void emit_raw(struct wl_ctx *ctx, const char *bytes, size_t len);

/* Ends the workload at once with status fail and the given reason. */
void agent_fail(struct wl_ctx *ctx, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));

/*
 * Runs a program from the initramfs to its end. argv[0] is searched in PATH. Its output goes to the console if it fails.
 * Returns 0, or -errno after wl_fail() with the first line of what the program said.
 */
int agent_run(struct wl_ctx *ctx, const char *const *argv);

#endif
