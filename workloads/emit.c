// SPDX-License-Identifier: GPL-2.0
/*
 * Records: makes the payloads that include/record.h describes and writes them to the port. Slow and allocating; never called
 * inside a measured region.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent.h"
#include "json.h"
#include "record.h"

#define COORDS_MAX 512

static void write_all(struct wl_ctx *ctx, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(ctx->port, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fprintf(stderr, "agent: cannot write to the record port: %s\n", strerror(errno));
			return;
		}
		p += n;
		len -= (size_t)n;
	}
}

static void lock(struct wl_ctx *ctx)
{
	/* Its holder was killed: at worst a line is cut short, which the host notices. */
	if (pthread_mutex_lock(&ctx->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&ctx->lock);
}

void emit_raw(struct wl_ctx *ctx, const char *bytes, size_t len)
{
	lock(ctx);
	write_all(ctx, bytes, len);
	pthread_mutex_unlock(&ctx->lock);
}

void emit(struct wl_ctx *ctx, const char *payload, size_t len)
{
	char *line = malloc(len + REC_OVERHEAD);
	int n;

	if (!line)
		abort();
	lock(ctx);
	n = rec_frame(line, len + REC_OVERHEAD, ctx->seq, payload, len);
	if (n > 0) {
		ctx->seq++;
		write_all(ctx, line, (size_t)n);
	}
	pthread_mutex_unlock(&ctx->lock);
	free(line);
	if (n < 0)
		wl_fail(ctx, n, "a record of %zu bytes cannot be framed: %s", len, strerror(-n));
}

static void emit_buf(struct wl_ctx *ctx, struct jbuf *b)
{
	emit(ctx, b->s, b->len);
	jb_free(b);
}

/* The beginning of a payload: type, name under the given key, coordinates if there are any. */
static void begin(struct jbuf *b, const char *type, const char *key, const char *name, const char *coords)
{
	jb_printf(b, "{\"t\":\"%s\",\"%s\":", type, key);
	jb_string(b, name);
	if (coords) {
		jb_printf(b, ",\"x\":");
		jb_coords(b, coords);
	}
}

static void text_member(struct jbuf *b, const char *key, const char *value)
{
	jb_printf(b, ",\"%s\":", key);
	jb_string(b, value);
}

void emit_hello(struct wl_ctx *ctx)
{
	struct jbuf b = {};
	struct utsname u = {};
	struct sysinfo si = {};
	char clock[64] = "";
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");

	if (f) {
		if (fgets(clock, sizeof(clock), f))
			clock[strcspn(clock, "\n")] = '\0';
		fclose(f);
	}
	uname(&u);
	sysinfo(&si);
	jb_printf(&b, "{\"t\":\"hello\",\"proto\":%d", REC_PROTO);
	text_member(&b, "release", u.release);
	text_member(&b, "version", u.version);
	jb_printf(&b, ",\"cpus\":%ld,\"mem_kb\":%llu", sysconf(_SC_NPROCESSORS_ONLN),
		  (unsigned long long)si.totalram * si.mem_unit / 1024);
	text_member(&b, "clocksource", clock);
	jb_printf(&b, "}");
	emit_buf(ctx, &b);
}

void emit_result(struct wl_ctx *ctx, const char *status, const char *why)
{
	struct jbuf b = {};

	if (ctx->concluded)
		return;
	ctx->concluded = true;
	begin(&b, "result", "status", status, NULL);
	text_member(&b, "why", why);
	jb_printf(&b, "}");
	emit_buf(ctx, &b);
}

void emit_done(struct wl_ctx *ctx)
{
	struct jbuf b = {};

	jb_printf(&b, "{\"t\":\"done\",\"records\":%lu}", ctx->seq);
	emit_buf(ctx, &b);
}

/* Formats `fmt, ...` into dst; for the functions below. */
#define FORMAT(dst, fmt)				\
	do {						\
		va_list ap_;				\
							\
		va_start(ap_, fmt);			\
		vsnprintf(dst, sizeof(dst), fmt, ap_);	\
		va_end(ap_);				\
	} while (0)

void wl_sample(struct wl_ctx *ctx, const char *metric, double value, const char *coords, ...)
{
	char x[COORDS_MAX];
	struct jbuf b = {};

	FORMAT(x, coords);
	if (!isfinite(value)) {
		wl_check(ctx, "finite", false, "%s %s is not a number", metric, x);
		return;
	}
	begin(&b, "sample", "m", metric, x);
	jb_printf(&b, ",\"v\":");
	jb_double(&b, value);
	jb_printf(&b, "}");
	emit_buf(ctx, &b);
}

void wl_hist(struct wl_ctx *ctx, const char *metric, const struct hist *h, const char *coords, ...)
{
	static char json[HIST_BUCKETS * 32];
	char x[COORDS_MAX];
	struct jbuf b = {};
	int n = hist_json(h, json, sizeof(json));

	FORMAT(x, coords);
	if (n < 0) {
		wl_fail(ctx, n, "histogram %s %s is too large for a record", metric, x);
		return;
	}
	begin(&b, "hist", "m", metric, x);
	jb_printf(&b, ",\"h\":%s}", json);
	emit_buf(ctx, &b);
}

static void emit_check(struct wl_ctx *ctx, const char *name, const char *verdict, const char *text)
{
	struct jbuf b = {};

	begin(&b, "check", "name", name, NULL);
	jb_printf(&b, "%s", verdict);
	text_member(&b, "detail", text);
	jb_printf(&b, "}");
	emit_buf(ctx, &b);
}

void wl_check(struct wl_ctx *ctx, const char *name, bool ok, const char *detail, ...)
{
	char text[COORDS_MAX];

	FORMAT(text, detail);
	emit_check(ctx, name, ok ? ",\"ok\":true" : ",\"ok\":false", text);
}

void wl_check_skipped(struct wl_ctx *ctx, const char *name, const char *why, ...)
{
	char text[COORDS_MAX];

	FORMAT(text, why);
	emit_check(ctx, name, ",\"ok\":true,\"skip\":true", text);
}

void wl_info(struct wl_ctx *ctx, const char *key, const char *value, ...)
{
	char text[COORDS_MAX];
	struct jbuf b = {};

	FORMAT(text, value);
	begin(&b, "info", "k", key, NULL);
	text_member(&b, "v", text);
	jb_printf(&b, "}");
	emit_buf(ctx, &b);
}

void wl_progress(struct wl_ctx *ctx, uint64_t done, uint64_t total, const char *what)
{
	struct jbuf b = {};

	jb_printf(&b, "{\"t\":\"progress\",\"done\":%llu,\"total\":%llu", (unsigned long long)done, (unsigned long long)total);
	text_member(&b, "what", what);
	jb_printf(&b, "}");
	emit_buf(ctx, &b);
}

void wl_blob(struct wl_ctx *ctx, const char *key, const char *json, const char *coords, ...)
{
	char x[COORDS_MAX];
	struct jbuf b = {};
	size_t i;

	FORMAT(x, coords);
	begin(&b, "blob", "k", key, x);
	jb_printf(&b, ",\"v\":%s}", json);
	/* A newline inside a JSON string is escaped already, so that those that are left are white space. */
	for (i = 0; i < b.len; i++)
		if (b.s[i] == '\n' || b.s[i] == '\r')
			b.s[i] = ' ';
	emit_buf(ctx, &b);
}

int wl_fail(struct wl_ctx *ctx, int err, const char *fmt, ...)
{
	char text[sizeof(ctx->why)];

	FORMAT(text, fmt);
	if (!ctx->failed && !ctx->skip) {
		ctx->failed = true;
		ctx->err = err;
		memcpy(ctx->why, text, sizeof(text));
		fprintf(stderr, "agent: %s\n", text);
	}
	return err;
}

int wl_skip(struct wl_ctx *ctx, const char *fmt, ...)
{
	char text[sizeof(ctx->why)];

	FORMAT(text, fmt);
	if (!ctx->failed && !ctx->skip) {
		ctx->skip = true;
		memcpy(ctx->why, text, sizeof(text));
	}
	return -ENOTSUP;
}
