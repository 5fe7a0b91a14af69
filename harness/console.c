// SPDX-License-Identifier: GPL-2.0
/*
 * Splats in console text: finding them, and giving each a stable id, so that a report can tell a new one from a known one
 * (the idea of lkp-tests' dmesg.rb).
 *
 * A line counts only if the kernel's message begins with one of the patterns below, after the time stamp: "DEBUG BUILD" in the
 * middle of a line is no BUG, and a program that crashes ("traps: x[12] general protection fault") is no oops.
 * Patterns follow Linux 6.1 to 6.18. Limit: texts that were translated or cut by the 8250 driver's overrun are not repaired.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "util.h"
#include "vm.h"

/* '*' stands for any text within the line. The first row that matches wins, so the special ones come first. */
static const struct pattern {
	const char *text, *kind;
} patterns[] = {
	{ "Kernel panic - not syncing", "panic" },
	{ "PANIC: ", "panic" },

	{ "BUG: KASAN: ", "KASAN" },
	{ "BUG: KFENCE: ", "KFENCE" },
	{ "BUG: KMSAN: ", "KMSAN" },
	{ "BUG: KCSAN: ", "KCSAN" },
	{ "UBSAN: ", "UBSAN" },

	{ "Oops: ", "oops" },
	{ "Oops[", "oops" },
	{ "BUG: kernel NULL pointer dereference", "oops" },
	{ "BUG: unable to handle", "oops" },
	{ "BUG: stack guard page was hit", "oops" },
	{ "BUG: TASK stack guard page was hit", "oops" },
	{ "BUG: IRQ stack guard page was hit", "oops" },
	{ "kernel BUG at ", "oops" },
	{ "general protection fault", "oops" },
	{ "invalid opcode: ", "oops" },
	{ "divide error: ", "oops" },
	{ "stack segment: ", "oops" },
	{ "double fault: ", "oops" },
	{ "traps: PANIC: ", "oops" },

	{ "INFO: task *blocked for more than", "hung task" },
	{ "INFO: task *blocked in I/O wait for more than", "hung task" },

	{ "watchdog: BUG: soft lockup", "lockup" },
	{ "BUG: soft lockup", "lockup" },
	{ "watchdog: *hard LOCKUP", "lockup" },
	{ "NMI watchdog: *hard LOCKUP", "lockup" },
	{ "Watchdog detected hard LOCKUP", "lockup" },
	{ "BUG: workqueue lockup", "lockup" },
	{ "BUG: spinlock lockup", "lockup" },

	{ "rcu: INFO: *self-detected stall", "RCU stall" },
	{ "rcu: INFO: *detected stalls", "RCU stall" },
	{ "rcu: INFO: *detected expedited stalls", "RCU stall" },
	{ "INFO: rcu_*stall", "RCU stall" },
	{ "rcu: *kthread starved for", "RCU stall" },

	{ "WARNING: possible ", "lockdep" },
	{ "WARNING: inconsistent lock state", "lockdep" },
	{ "WARNING: suspicious RCU usage", "lockdep" },
	{ "WARNING: bad unlock balance", "lockdep" },
	{ "WARNING: bad contention", "lockdep" },
	{ "WARNING: held lock freed", "lockdep" },
	{ "WARNING: lock held when returning", "lockdep" },
	{ "WARNING: Nested lock was not taken", "lockdep" },
	{ "WARNING: *lock order detected", "lockdep" },
	{ "WARNING: *still has locks held", "lockdep" },
	{ "[ BUG: ", "lockdep" },
	{ "BUG: MAX_LOCK", "lockdep" },
	{ "DEBUG_LOCKS_WARN_ON", "lockdep" },
	{ "INFO: trying to register non-static key", "lockdep" },

	{ "WARNING: CPU: ", "WARNING" },
	{ "WARNING: *.c:", "WARNING" },
	{ "WARNING: *.h:", "WARNING" },
	{ "WARNING: stack recursion", "WARNING" },
	{ "WARNING: kernel stack", "WARNING" },

	{ "BUG: ", "BUG" },
	{ "BUG *Tainted", "BUG" },		/* SLUB: "BUG kmalloc-64 (Not tainted): Redzone overwritten" */
	{ "BUG *tainted", "BUG" },
	{ "list_add corruption", "BUG" },
	{ "list_del corruption", "BUG" },
	{ "VFS: Busy inodes after unmount", "BUG" },
	{ "kmemleak: *new suspected memory leaks", "kmemleak" },

	{ "XFS*Assertion failed", "file system" },
	{ "XFS*Internal error", "file system" },
	{ "XFS*orruption detected", "file system" },
	{ "XFS*Metadata CRC error", "file system" },
	{ "assertion failed: *fs/btrfs/", "file system" },
	{ "BTRFS*assertion failed", "file system" },
	{ "BTRFS*Transaction aborted", "file system" },
	{ "BTRFS*corrupt leaf", "file system" },
	{ "BTRFS*csum failed", "file system" },
};

static const struct {
	const char *kind;
	enum splat_class class;
} classes[] = {
	{ "panic",	SPLAT_PANIC },
	{ "hung task",	SPLAT_HANG },
	{ "lockup",	SPLAT_HANG },
	{ "oops",	SPLAT_FATAL },
};

enum splat_class console_splat_class(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (!strcmp(classes[i].kind, kind))
			return classes[i].class;
	return SPLAT_NOTED;
}

static const char *line_end(const char *p)
{
	return p + strcspn(p, "\n");
}

/* Skips "[   12.345678]" with an optional caller "[  T123]" or "[    C0]" behind; NULL if there is no time stamp at p. */
static const char *skip_stamp(const char *p, const char *end)
{
	const char *q = p + 1, *digits;

	if (p >= end || *p != '[')
		return NULL;
	while (q < end && *q == ' ')
		q++;
	digits = q;
	while (q < end && isdigit((unsigned char)*q))
		q++;
	/* "python3[12]" has no point. */
	if (q == digits || q >= end || *q++ != '.')
		return NULL;
	while (q < end && isdigit((unsigned char)*q))
		q++;
	if (q >= end || *q++ != ']')
		return NULL;
	if (q < end && *q == '[') {
		const char *close = memchr(q, ']', end - q);

		if (close && close - q < 12)
			q = close + 1;
	}
	while (q < end && *q == ' ')
		q++;
	return q;
}

/* The kernel's message in a line: behind the last time stamp, as a program may have left an unfinished line before it. */
static const char *message(const char *line, const char *end)
{
	const char *msg = line;

	for (const char *p = line; (p = memchr(p, '[', end - p)); p++) {
		const char *q = skip_stamp(p, end);

		if (q)
			msg = q;
	}
	return msg;
}

static bool matches(const char *msg, const char *end, const char *pat)
{
	const char *star = strchr(pat, '*');
	size_t head = star ? (size_t)(star - pat) : strlen(pat);

	if ((size_t)(end - msg) < head || memcmp(msg, pat, head))
		return false;
	return !star || memmem(msg + head, end - msg - head, star + 1, strlen(star + 1));
}

const char *console_splat(const char *text, const char **at)
{
	for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
		const char *msg;

		end = line_end(line);
		msg = message(line, end);
		for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
			if (matches(msg, end, patterns[i].text)) {
				if (at)
					*at = msg;
				return patterns[i].kind;
			}
	}
	return NULL;
}

/* "folio_wait_bit_common.isra.0+0x12a/0x2b0" -> "folio_wait_bit_common"; NULL if p is no symbol with an offset. */
static char *symbol_at(const char *p, const char *end)
{
	const char *q = p, *plus;

	while (q < end && (isalnum((unsigned char)*q) || *q == '_' || *q == '.'))
		q++;
	plus = q;
	if (q == p || end - plus < 4 || strncmp(plus, "+0x", 3))
		return NULL;
	return xstrndup(p, strcspn(p, ".+"));
}

/* Waiting functions say nothing about who waits for what. */
static bool is_scheduler(const char *sym)
{
	static const char *const names[] = {
		"__schedule", "schedule", "io_schedule", "schedule_timeout", "schedule_preempt_disabled", "__switch_to",
		"dump_stack", "dump_stack_lvl", "print_report", "kasan_report", "show_stack", "__warn", "report_bug",
		"handle_bug", "exc_invalid_op", "asm_exc_invalid_op", "context_switch", "panic", "vpanic",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(sym, names[i]))
			return true;
	return false;
}

/*
 * The function that a splat is about, where its first line does not name one: of RIP, of the first lock, or the first of the
 * call trace that is not part of waiting or reporting.
 */
static char *culprit(const char *text)
{
	bool trace = false;

	for (const char *line = line_end(text), *end; *line; line = end) {
		const char *msg, *p;
		char *sym = NULL;

		line++;
		end = line_end(line);
		msg = message(line, end);
		if ((p = memmem(msg, end - msg, "RIP: 0010:", 10)))
			sym = symbol_at(p + 10, end);
		else if ((p = memmem(msg, end - msg, ", at: ", 6)))
			sym = symbol_at(p + 6, end);
		else if (trace && end > msg)
			sym = symbol_at(msg + strspn(msg, " "), end);
		if (matches(msg, end, "Call Trace:"))
			trace = true;
		if (sym && !is_scheduler(sym))
			return sym;
		free(sym);
		if (!*end)
			break;
	}
	return NULL;
}

/* Whether a word is a number of any kind: an address, a pid, a count. Letters only from a hexadecimal that is long enough. */
static size_t number_len(const char *p, const char *end)
{
	size_t n = 0;
	bool digit = false;

	if (end - p > 2 && p[0] == '0' && p[1] == 'x') {
		for (n = 2; p + n < end && isxdigit((unsigned char)p[n]); n++)
			;
		return n;
	}
	while (p + n < end && isxdigit((unsigned char)p[n])) {
		digit |= isdigit((unsigned char)p[n]);
		n++;
	}
	if (n >= 8 && digit && (p + n == end || !isalnum((unsigned char)p[n])))
		return n;
	for (n = 0; p + n < end && isdigit((unsigned char)p[n]); n++)
		;
	return n;
}

char *console_splat_id(const char *text)
{
	const char *at, *kind = console_splat(text, &at), *end, *p;
	bool named = false;
	struct buf b = {};
	char *sym;

	if (!kind)
		return NULL;
	end = line_end(at);
	/* A WARNING names its place behind the CPU and the pid, both of which change; since 6.19 before them. */
	if (matches(at, end, "WARNING: CPU: ") && (p = memmem(at, end - at, " at ", 4))) {
		buf_str(&b, "WARNING:");
		at = p + 1;
	} else if (!strcmp(kind, "WARNING") && (p = memmem(at, end - at, ", CPU#", 6))) {
		end = p;
	}
	for (p = at; p < end && b.len < 120;) {
		bool inside = p > at && (isalnum((unsigned char)p[-1]) || p[-1] == '_');
		size_t n = inside ? 0 : number_len(p, end);
		char *s;

		if (!n && !inside && (s = symbol_at(p, end))) {
			buf_str(&b, s);
			free(s);
			named = true;
			/* Past the offset, size and module. */
			p += strcspn(p, "+");
			p += strcspn(p, " ,\n\r");
			if (!strncmp(p, " [", 2) && memchr(p, ']', end - p))
				p += strcspn(p, "]") + 1;
		} else if (n || *p == '#') {
			if (!b.len || b.s[b.len - 1] != '#')
				buf_str(&b, "#");
			p += n ? n : 1;
		} else if (isalnum((unsigned char)*p) || (*p && strchr("_:./+-()", *p))) {
			buf_add(&b, p++, 1);
		} else {
			/* Blanks, commas, quotes: one underscore for any run of them. */
			if (b.len && b.s[b.len - 1] != '_')
				buf_str(&b, "_");
			p++;
		}
	}
	while (b.len && strchr("_:,", b.s[b.len - 1]))
		b.s[--b.len] = '\0';
	sym = named ? NULL : culprit(at);
	if (sym)
		buf_printf(&b, "_in_%s", sym);
	free(sym);
	return b.s;
}

char *console_excerpt(const char *at, unsigned int max_lines)
{
	const char *p = at;

	for (unsigned int n = 0; *p && n < max_lines; n++) {
		const char *end = line_end(p);
		bool last = memmem(p, end - p, "---[ end ", 9);

		p = *end ? end + 1 : end;
		if (last)
			break;
	}
	return xstrndup(at, p - at);
}

char *console_last_line(const char *text)
{
	const char *end = text + strlen(text), *line, *msg;
	char *s;
	size_t n = 0;

	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	for (line = end; line > text && line[-1] != '\n'; line--)
		;
	msg = message(line, end);
	s = xstrndup(msg, end - msg > 160 ? 160 : end - msg);
	for (char *p = s; *p; p++)
		if (isprint((unsigned char)*p))
			s[n++] = *p;
	s[n] = '\0';
	return s;
}
