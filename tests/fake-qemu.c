// SPDX-License-Identifier: GPL-2.0
/*
 * A QEMU that runs no guest: it takes QEMU's command line, speaks as much QMP as the runner needs, and writes a console and
 * records like a guest would, or misbehaves in the way that $FAKE_QEMU names. With it every verdict and failure path of the runner
 * is tested in milliseconds. It does not check that real QEMU would take the command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "power-mark.h"
#include "record.h"

static int console_fd = -1, record_fd = -1, qmp_fd = -1;
static unsigned long seq;
static const char *state = "running";
static bool greeted;		/* the runner has answered the greeting */
static const char *kernel_file, *initrd_file;
static char counts_file[256];	/* of the plugin that counts instructions */
static char disk_file[256], log_file[256];	/* of a disk with a log (blklogwrites) */
static char cut_files[32][256];		/* disks cut0, cut1 ... */
static unsigned int nr_cuts;
static bool deaf;		/* to everything but SIGKILL */

static void die(const char *what)
{
	fprintf(stderr, "fake-qemu: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put(int fd, const char *s, size_t len)
{
	while (len) {
		ssize_t n = write(fd, s, len);

		if (n < 0)
			die("write");
		s += n;
		len -= n;
	}
}

static void console(const char *text)
{
	put(console_fd, text, strlen(text));
}

static size_t frame(char *dst, size_t cap, const char *payload)
{
	int n = rec_frame(dst, cap, seq, payload, strlen(payload));

	if (n < 0)
		die("rec_frame");
	seq++;
	return n;
}

static void rec(const char *payload)
{
	char line[4096];

	put(record_fd, line, frame(line, sizeof(line), payload));
}

/* --- QMP ------------------------------------------------------------------------------------------------------------------ */

static void qmp(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void qmp(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* The runner may have hung up. */
	if (qmp_fd >= 0 && write(qmp_fd, line, n) < 0)
		qmp_fd = -1;
}

static void event(const char *name, const char *data)
{
	qmp("{\"timestamp\":{\"seconds\":1,\"microseconds\":2},\"event\":\"%s\",\"data\":%s}\r\n", name, data);
}

static void nmi(void)
{
	console("[    9.000000] Uhhuh. NMI received for unknown reason 31 on CPU 0.\n"
		"[    9.000100] Kernel panic - not syncing: NMI: Not continuing\n"
		"[    9.000200] Call Trace:\n[    9.000300]  fake_hang+0x1/0x2\n");
	event("SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-reset\"}");
	exit(0);
}

static void command(const char *line)
{
	const char *id = strstr(line, "\"id\":\"");
	char name[64] = "";

	if (id)
		sscanf(id + 6, "%63[^\"]", name);
	if (strstr(line, "\"qmp_capabilities\""))
		greeted = true;
	else if (deaf)
		return;
	if (strstr(line, "\"query-status\""))
		qmp("{\"return\":{\"status\":\"%s\",\"running\":false},\"id\":\"%s\"}\r\n", state, name);
	else
		qmp("{\"return\":{},\"id\":\"%s\"}\r\n", name);
	if (strstr(line, "\"inject-nmi\""))
		nmi();
	if (strstr(line, "\"quit\""))
		exit(0);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Serves the monitor for so long; < 0: for ever. */
static void serve(double seconds)
{
	static char in[4096];
	static size_t len;
	double end = now() + seconds;

	while (seconds < 0 || now() < end) {
		struct pollfd p = { qmp_fd, POLLIN, 0 };
		ssize_t n;
		char *nl;

		if (poll(&p, 1, seconds < 0 ? 1000 : (int)((end - now()) * 1000) + 1) <= 0)
			continue;
		n = read(qmp_fd, in + len, sizeof(in) - 1 - len);
		if (n <= 0) {
			qmp_fd = -1;
			continue;
		}
		len += n;
		in[len] = '\0';
		while ((nl = strchr(in, '\n'))) {
			*nl = '\0';
			command(in);
			len -= nl + 1 - in;
			memmove(in, nl + 1, len + 1);
		}
	}
}

/* --- what it can play -------------------------------------------------------------------------------------------------------- */

static void hello(void)
{
	rec("{\"t\":\"hello\",\"proto\":1,\"release\":\"6.12.0\",\"version\":\"#1 fake\",\"cpus\":2,\"mem_kb\":1,\"clocksource\":\"tsc\"}");
}

static void work(void)
{
	hello();
	rec("{\"t\":\"progress\",\"done\":1,\"total\":2,\"what\":\"working\"}");
	rec("{\"t\":\"info\",\"k\":\"a\",\"v\":\"tab\\tand \xc3\xa4\"}");
	rec("{\"t\":\"sample\",\"m\":\"unique_frames\",\"v\":123.5,\"x\":{\"n\":\"10\"}}");
	rec("{\"t\":\"check\",\"name\":\"content\",\"ok\":true,\"detail\":\"\"}");
}

static void done(void)
{
	char text[64];

	snprintf(text, sizeof(text), "{\"t\":\"done\",\"records\":%lu}", seq);
	rec(text);
}

static void result(const char *status, const char *why)
{
	char text[256];

	snprintf(text, sizeof(text), "{\"t\":\"result\",\"status\":\"%s\",\"why\":\"%s\"}", status, why);
	rec(text);
}

static void poweroff(void)
{
	console("[    2.000000] reboot: Power down\n");
	event("SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-shutdown\"}");
	exit(0);
}

static void finish(const char *status, const char *why)
{
	result(status, why);
	done();
	poweroff();
}

static void ok(void)
{
	work();
	finish("pass", "");
}

/* What stands behind this in the job, which is in the initramfs as it is; NULL if it is not there. */
static char *job_value(const char *name)
{
	static char *text;
	static size_t len;
	char *p;

	if (!text) {
		FILE *f = fopen(initrd_file, "r");

		if (!f || fseek(f, 0, SEEK_END))
			die("-initrd");
		len = (size_t)ftell(f);
		text = malloc(len + 1);
		rewind(f);
		if (!text || fread(text, 1, len, f) != len)
			die("-initrd");
		text[len] = '\0';
		fclose(f);
	}
	p = memmem(text, len, name, strlen(name));
	return p ? p + strlen(name) : NULL;
}

static unsigned long long job_number(const char *name, unsigned int nr)
{
	char *p = job_value(name);

	if (!p)
		die(name);
	for (; nr; nr--)
		p = strchr(p, ',') + 1;
	return strtoull(p, NULL, 10);
}

/* --- power cuts ------------------------------------------------------------------------------------------------------------- */

static void log_entry(int log, uint64_t off, const void *data, size_t size, uint64_t flags)
{
	uint64_t head[64] = { off / 512, size / 512, flags };

	put(log, (const char *)head, sizeof(head));
	put(log, data, size);
}

/*
 * What the guest of a power cut does, on a "file system" of one block, which holds the number of the last promise. "early": it promises
 * before it flushes.
 */
static void power_work(void)
{
	const uint64_t head[64] = { 0x6a736677736872ull, 1, 0, 512 };
	bool early = !strcmp(getenv("FAKE_POWER") ? getenv("FAKE_POWER") : "", "early");
	int log = open(log_file, O_WRONLY), disk = open(disk_file, O_RDWR);
	unsigned long long seed = job_number("param seed ", 0);
	off_t size = lseek(disk, 0, SEEK_END);
	char text[128];

	if (log < 0 || disk < 0)
		die("disk");
	put(log, (const char *)head, sizeof(head));
	hello();
	rec("{\"t\":\"info\",\"k\":\"features\",\"v\":\"77\"}");
	rec("{\"t\":\"info\",\"k\":\"dio\",\"v\":\"512\"}");
	rec("{\"t\":\"info\",\"k\":\"shcache\",\"v\":\"pages 3;hit 40;miss 9;map 2;retry 0\"}");
	for (uint64_t nr = 0; nr < 100000; nr++) {
		uint64_t block[512] = { nr };
		const struct power_mark mark = { POWER_MAGIC, seed, nr };
		char sector[512] = "";

		memcpy(sector, &mark, sizeof(mark));
		if (pwrite(disk, block, sizeof(block), 0) < 0)
			die("pwrite");
		log_entry(log, 0, block, sizeof(block), 0);
		if (!early)
			log_entry(log, 0, NULL, 0, 1);
		log_entry(log, (uint64_t)size - POWER_MARK_BACK, sector, sizeof(sector), 0);
		if (early)
			log_entry(log, 0, NULL, 0, 1);
		snprintf(text, sizeof(text), "{\"t\":\"progress\",\"done\":%llu,\"total\":100000,\"what\":\"promised\"}", (unsigned long long)nr);
		rec(text);
		serve(0.001);
	}
	finish("fail", "nobody cut the power");
}

static void power_check(void)
{
	const char *lost = getenv("FAKE_POWER");
	char text[256];

	hello();
	if (lost && !strcmp(lost, "panic")) {
		console("[    1.000000] Kernel panic - not syncing: log recovery\n");
		serve(-1);
	}
	for (unsigned int i = 0; i < nr_cuts; i++) {
		unsigned long long want = job_number("param promised ", i);
		int fd = open(cut_files[i], O_RDWR);
		uint64_t have = 0;

		if (fd < 0 || pread(fd, &have, sizeof(have), 0) != sizeof(have))
			die(cut_files[i]);
		close(fd);
		snprintf(text, sizeof(text), "{\"t\":\"check\",\"name\":\"cut%u\",\"ok\":%s,\"detail\":\"promised %llu, is %llu\"}", i,
			 have >= want ? "true" : "false", want, (unsigned long long)have);
		rec(text);
	}
	finish("pass", "");
}

static const char warning[] = "[    1.000000] ------------[ cut here ]------------\n"
	"[    1.000001] WARNING: CPU: 1 PID: 77 at mm/filemap.c:1234 filemap_fault+0x12/0x340\n"
	"[    1.000002] RIP: 0010:filemap_fault+0x12/0x340\n"
	"[    1.000003] ---[ end trace 0000000000000000 ]---\n";

static void panic_text(void)
{
	console("[    1.000000] Kernel panic - not syncing: Fatal exception\n[    1.000001] Call Trace:\n");
	event("GUEST_PANICKED", "{\"action\":\"run\"}");
	serve(0.01);
	console("[    1.000002] ---[ end Kernel panic - not syncing: Fatal exception ]---\n");
}

/* --- xfstests --------------------------------------------------------------------------------------------------------------- */

static void say(const char *name, const char *what)
{
	char text[512];

	snprintf(text, sizeof(text), "{\"t\":\"blob\",\"k\":\"check\",\"v\":\"%s%s\",\"x\":{}}", name, what);
	rec(text);
}

/*
 * `check` with the job's tests: each passes, unless the kernel's text has a line "test NAME WHAT", WHAT being what check writes,
 * "splat" or "panic". In the test $FAKE_HANG, or before the first one if that is "boot", it waits for ever.
 */
static void suite_work(FILE *kernel, char *tests)
{
	const char *hang = getenv("FAKE_HANG");
	char *line = NULL, *save = NULL, text[128], *what;
	unsigned int begun = 0;
	size_t cap = 0;

	hello();
	if (hang && !strcmp(hang, "boot"))
		serve(-1);
	tests[strcspn(tests, "\n")] = '\0';
	say("FSTYP         -- xfs\\n\\n", "");
	for (char *name = strtok_r(tests, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		snprintf(text, sizeof(text), "[    1.0] run fstests %s at\n", name);
		console(text);
		say(name, " ");
		snprintf(text, sizeof(text), "{\"t\":\"progress\",\"done\":%u,\"total\":9,\"what\":\"%s\"}", begun++, name);
		rec(text);
		if (hang && !strcmp(name, hang))
			serve(-1);
		rewind(kernel);
		what = NULL;
		snprintf(text, sizeof(text), "test %s ", name);
		while (!what && getline(&line, &cap, kernel) > 0)
			if (!strncmp(line, text, strlen(text)))
				what = line + strlen(text);
		if (what)
			what[strcspn(what, "\n")] = '\0';
		if (what && !strcmp(what, "panic")) {
			panic_text();
			event("SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-reset\"}");
			exit(0);
		}
		if (what && !strcmp(what, "splat")) {
			console(warning);
			what = NULL;
		}
		say(what ? what : " 1s", "\\n");
	}
	free(line);
	say("Ran: these\\n", "");
	finish("pass", "");
}

/*
 * The "kernel" is a text: lines that begin with { are what the guest records, lines that begin with [ what its console shows;
 * "sleep SECONDS" lets time pass; "count LINE" is a line of what a plugin counts. So kernels can differ, and in exactly known
 * numbers.
 */
static void script(void)
{
	FILE *f = kernel_file ? fopen(kernel_file, "r") : NULL, *counts = *counts_file ? fopen(counts_file, "w") : NULL;
	char *line = NULL;
	size_t cap = 0;

	if (!f)
		die("-kernel");
	if (*log_file)
		power_work();
	if (nr_cuts)
		power_check();
	if (job_value("workload xfstests\n"))
		suite_work(f, job_value("param tests "));
	hello();
	while (getline(&line, &cap, f) > 0) {
		if (*line == '[')
			console(line);
		if (!strncmp(line, "sleep ", 6))
			serve(strtod(line + 6, NULL));
		if (!strncmp(line, "count ", 6) && counts)
			fputs(line + 6, counts);
		if (*line != '{')
			continue;
		line[strcspn(line, "\n")] = '\0';
		rec(line);
	}
	fclose(f);
	if (counts)
		fclose(counts);
	free(line);
	finish("pass", "");
}

static void fail(void)
{
	work();
	finish("fail", "mkfs.xfs: exit status 1");
}

static void skip(void)
{
	work();
	finish("skip", "no\\noverlay");
}

static void check(void)
{
	work();
	rec("{\"t\":\"check\",\"name\":\"oracles-agree\",\"ok\":false,\"detail\":\"8192 != 1024\"}");
	rec("{\"t\":\"check\",\"name\":\"other\",\"ok\":false,\"detail\":\"\"}");
	finish("pass", "");
}

static void check_hang(void)
{
	work();
	rec("{\"t\":\"check\",\"name\":\"oracles-agree\",\"ok\":false,\"detail\":\"8192 != 1024\"}");
	rec("{\"t\":\"check\",\"name\":\"other\",\"ok\":false,\"detail\":\"\"}");
	serve(-1);
}

static void splat(void)
{
	work();
	/* A NUL, as a break on the line leaves it, hides nothing. */
	put(console_fd, "\0", 1);
	console(warning);
	finish("pass", "");
}

static void splat_fail(void)
{
	work();
	console(warning);
	finish("fail", "read: EIO");
}

static void splat_hang(void)
{
	hello();
	console(warning);
	serve(-1);
}

static void oops(void)
{
	work();
	console("[    1.000000] BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
		"[    1.000001] Oops: Oops: 0000 [#1] SMP\n[    1.000002] RIP: 0010:shc_lookup+0x12/0x340\n");
	serve(-1);
}

static void panic(void)
{
	work();
	panic_text();
	event("SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-reset\"}");
	exit(0);
}

static void panic_stuck(void)
{
	work();
	panic_text();
	serve(-1);
}

static void panic_silent(void)
{
	work();
	event("GUEST_PANICKED", "{\"action\":\"run\"}");
	serve(-1);
}

/* The console says so, although the records are all there. */
static void panic_late(void)
{
	work();
	result("pass", "");
	done();
	console("[    1.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000\n");
	exit(0);
}

static void hang(void)
{
	work();
	serve(-1);
}

static void hang_deaf(void)
{
	deaf = true;
	signal(SIGTERM, SIG_IGN);
	work();
	serve(-1);
}

static void hung_task(void)
{
	work();
	console("[   61.000000] INFO: task agent:77 blocked for more than 60 seconds.\n");
	serve(-1);
}

static void noise(void)
{
	work();
	for (;;) {
		console("[    1.000000] still here\n");
		serve(0.005);
	}
}

static void busy(void)
{
	hello();
	for (;;) {
		rec("{\"t\":\"progress\",\"done\":1,\"total\":2,\"what\":\"x\"}");
		serve(0.005);
	}
}

static void watchdog(void)
{
	work();
	event("WATCHDOG", "{\"action\":\"none\"}");
	serve(-1);
}

static void garble(void)
{
	work();
	put(record_fd, "SHC1 what is this\n", 18);
	finish("pass", "");
}

static void bad_crc(void)
{
	char line[256];
	size_t n = frame(line, sizeof(line), "{\"t\":\"hello\",\"proto\":1,\"cpus\":1}");

	line[n - 3] ^= 1;
	put(record_fd, line, n);
	serve(-1);
}

static void lost(void)
{
	work();
	seq++;
	finish("pass", "");
}

static void cut(void)
{
	char line[256];
	size_t n;

	work();
	result("pass", "");
	n = frame(line, sizeof(line), "{\"t\":\"done\",\"records\":6}");
	put(record_fd, line, n / 2);
}

static void truncated(void)
{
	cut();
	poweroff();
}

static void cut_and_die(void)
{
	cut();
	raise(SIGSEGV);
}

static void no_newline(void)
{
	char line[256];

	work();
	result("pass", "");
	put(record_fd, line, frame(line, sizeof(line), "{\"t\":\"done\",\"records\":6}") - 1);
	poweroff();
}

static void more_after_done(void)
{
	work();
	result("pass", "");
	done();
	rec("{\"t\":\"info\",\"k\":\"a\",\"v\":\"b\"}");
	poweroff();
}

static void bytewise(void)
{
	char line[256];
	size_t n = frame(line, sizeof(line), "{\"t\":\"hello\",\"proto\":1,\"cpus\":1}");

	for (size_t i = 0; i < n; i++) {
		put(record_fd, line + i, 1);
		serve(0.001);
	}
	finish("pass", "");
}

static void many(void)
{
	hello();
	for (int i = 0; i < 3000; i++)
		rec("{\"t\":\"sample\",\"m\":\"x\",\"v\":1,\"x\":{}}");
	finish("pass", "");
}

static void flood_console(void)
{
	static char block[1 << 20];

	work();
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = i % 80 == 79 ? '\n' : 'x';
	for (int i = 0; i < 20; i++)
		put(console_fd, block, sizeof(block));
	serve(-1);
}

static void flood_records(void)
{
	size_t len = REC_MAX - 64, room = REC_MAX + REC_OVERHEAD;
	char *payload = malloc(len + 64), *line = malloc(room);

	if (!payload || !line)
		die("malloc");
	hello();
	strcpy(payload, "{\"t\":\"info\",\"k\":\"x\",\"v\":\"");
	memset(payload + strlen(payload), 'x', len);
	strcpy(payload + len, "\"}");
	for (int i = 0; i < 9; i++)
		put(record_fd, line, frame(line, room, payload));
	serve(-1);
}

static void exit_zero(void)
{
	exit(0);
}

static void power_cut(void)
{
	work();
	poweroff();
}

static void reset(void)
{
	hello();
	event("SHUTDOWN", "{\"guest\":true,\"reason\":\"guest-reset\"}");
	exit(0);
}

static void exit_one(void)
{
	work();
	fprintf(stderr, "fake-qemu: warning: never mind\nfake-qemu: terminating on a whim\n");
	exit(1);
}

static void by_signal(void)
{
	work();
	raise(SIGKILL);
}

static void no_poweroff(void)
{
	work();
	result("pass", "");
	done();
	serve(-1);
}

static void internal_error(void)
{
	fprintf(stderr, "KVM internal error. Suberror: 1\n");
	state = "internal-error";
	event("STOP", "{}");
	serve(-1);
}

static void io_error(void)
{
	work();
	state = "io-error";
	event("STOP", "{}");
	serve(-1);
}

static void slow_boot(void)
{
	serve(0.15);
	ok();
}

static void boot_noise(void)
{
	for (;;) {
		console("[    1.000000] probing\n");
		serve(0.005);
	}
}

static void boot_silent(void)
{
	serve(-1);
}

static void qmp_garbage(void)
{
	qmp("this is no JSON\r\n");
	serve(-1);
}

static const struct {
	const char *name;
	void (*play)(void);
	bool raw;		/* without the monitor having worked first */
} modes[] = {
	{ "ok", ok, false },
	{ "script", script, false },
	{ "fail", fail, false },
	{ "skip", skip, false },
	{ "check", check, false },
	{ "check-hang", check_hang, false },
	{ "splat", splat, false },
	{ "splat-fail", splat_fail, false },
	{ "splat-hang", splat_hang, false },
	{ "oops", oops, false },
	{ "panic", panic, false },
	{ "panic-stuck", panic_stuck, false },
	{ "panic-silent", panic_silent, false },
	{ "panic-late", panic_late, false },
	{ "hang", hang, false },
	{ "hang-deaf", hang_deaf, false },
	{ "hung-task", hung_task, false },
	{ "noise", noise, false },
	{ "busy", busy, false },
	{ "watchdog", watchdog, false },
	{ "garble", garble, false },
	{ "crc", bad_crc, false },
	{ "lost", lost, false },
	{ "truncate", truncated, false },
	{ "cut-and-die", cut_and_die, false },
	{ "no-newline", no_newline, false },
	{ "more-after-done", more_after_done, false },
	{ "bytewise", bytewise, false },
	{ "many", many, false },
	{ "flood-console", flood_console, false },
	{ "flood-records", flood_records, false },
	{ "exit0", exit_zero, true },
	{ "exit1", exit_one, true },
	{ "no-qmp", boot_silent, true },
	{ "power-cut", power_cut, false },
	{ "reset", reset, false },
	{ "die1", exit_one, false },
	{ "signal", by_signal, false },
	{ "no-poweroff", no_poweroff, false },
	{ "internal-error", internal_error, false },
	{ "stopped-early", boot_silent, false },
	{ "io-error", io_error, false },
	{ "slow-boot", slow_boot, false },
	{ "boot-noise", boot_noise, false },
	{ "boot-silent", boot_silent, false },
	{ "qmp-garbage", qmp_garbage, false },
};

static int open_chardev(const char *spec)
{
	const char *path = strstr(spec, ",path=");
	int fd = open(path + 6, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		die(path + 6);
	return fd;
}

/* The value of a key in an option's text, up to a comma. */
static void value_of(const char *option, const char *key, char dst[256])
{
	const char *p = strstr(option, key);

	if (p)
		snprintf(dst, 256, "%.*s", (int)strcspn(p + strlen(key), ","), p + strlen(key));
}

static void look_at_disk(const char *option, const char *arg)
{
	static char last[256];

	if (!strcmp(option, "-blockdev") && strstr(arg, "node-name=disk0-file"))
		value_of(arg, ",filename=", disk_file);
	if (!strcmp(option, "-blockdev") && strstr(arg, "node-name=disk0-log"))
		value_of(arg, ",filename=", log_file);
	if (!strcmp(option, "-drive"))
		value_of(arg, ",file=", last);
	if (!strcmp(option, "-device") && strstr(arg, ",serial=cut") && nr_cuts < 32)
		memcpy(cut_files[nr_cuts++], last, sizeof(last));
}

int main(int argc, char **argv)
{
	const char *mode = getenv("FAKE_QEMU");

	if (argc > 1 && !strcmp(argv[1], "--version")) {
		puts("QEMU emulator version 0.1 (fake)\nsecond line");
		return 0;
	}
	for (int i = 1; i + 1 < argc; i++) {
		if (!strcmp(argv[i], "-kernel"))
			kernel_file = argv[i + 1];
		if (!strcmp(argv[i], "-initrd"))
			initrd_file = argv[i + 1];
		if (!strcmp(argv[i], "-plugin") && strstr(argv[i + 1], ",out="))
			snprintf(counts_file, sizeof(counts_file), "%s", strstr(argv[i + 1], ",out=") + 5);
		look_at_disk(argv[i], argv[i + 1]);
		if (strcmp(argv[i], "-chardev"))
			continue;
		if (!strncmp(argv[i + 1], "file,id=console,", 16))
			console_fd = open_chardev(argv[i + 1]);
		else if (!strncmp(argv[i + 1], "file,id=records,", 16))
			record_fd = open_chardev(argv[i + 1]);
		else if (!strncmp(argv[i + 1], "socket,id=qmp,fd=", 17))
			qmp_fd = atoi(argv[i + 1] + 17);
	}
	/* Interactive: the console is the terminal. */
	if (console_fd < 0)
		console_fd = STDOUT_FILENO;
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; mode && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, mode))
			continue;
		/* Before the monitor is ready, so that no event tells it. */
		if (!strcmp(mode, "stopped-early"))
			state = "internal-error";
		if (!modes[i].raw && qmp_fd >= 0) {
			qmp("{\"QMP\":{\"version\":{\"package\":\"fake\"},\"capabilities\":[]}}\r\n");
			while (!greeted && qmp_fd >= 0)
				serve(0.001);
		}
		if (!modes[i].raw)
			console("[    0.000000] Linux version 6.12.0 (fake)\n[    0.500000] Run /init as init process\n");
		modes[i].play();
		return 0;
	}
	fprintf(stderr, "fake-qemu: $FAKE_QEMU is %s\n", mode ? mode : "not set");
	return 1;
}
