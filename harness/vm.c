// SPDX-License-Identifier: GPL-2.0
/*
 * One boot: start QEMU, collect records, decide what happened, leave nothing behind. See vm.h.
 *
 * Console and records go to two memory files that QEMU writes like any file, so the guest never waits for the runner: a socket
 * that is full makes the guest's driver spin, which shows in the instruction counts of the icount lane. The runner copies the
 * console to its file on disk and checks the records as they come. QEMU's monitor (QMP) is a socket pair. None of these has
 * a name, and scratch disks lose theirs as soon as QEMU has opened them: from then on not even a SIGKILL of the runner leaves
 * anything, since QEMU dies with its parent (PR_SET_PDEATHSIG).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "channel.h"
#include "console.h"
#include "qmp.h"
#include "record.h"
#include "util.h"
#include "vm.h"

/* How often the memory files are looked at. */
#define TICK_MS		20
/* A guest that prints more is broken; it bounds what it can take of the host's memory and disk. */
#define CONSOLE_MAX	(16u << 20)
#define CONSOLE_MAX_TEXT "16 MiB"
/* Free disk that a boot needs beside its scratch disks, and memory beside the guest's: QEMU's own, and a rest for the host. */
#define DISK_RESERVE_MB	64
#define MEM_RESERVE_MB	256
/* QEMU opens its monitor within a fraction of a second; a host that is very busy needs some. */
#define QMP_S		30.0
/* Longest wait for a trace to be finished; a tenth of idle_s if that is less. */
#define MOMENT_S	2.0
#define SPLAT_LINES	40

static const char *const verdict_names[VM_NR_VERDICTS] = {
	[VM_PASSED] = "passed", [VM_FAILED] = "failed", [VM_INVALID] = "invalid", [VM_SKIPPED] = "skipped",
	[VM_PANIC] = "panic", [VM_SPLAT] = "splat", [VM_HANG] = "hang", [VM_TIMEOUT] = "timeout",
	[VM_QEMU_DIED] = "qemu-died", [VM_GARBLED] = "garbled", [VM_INFRA] = "infra",
};

const char *vm_verdict_name(enum vm_verdict v)
{
	return v < VM_NR_VERDICTS ? verdict_names[v] : "?";
}

enum vm_verdict vm_verdict_by_name(const char *name)
{
	int v;

	for (v = 0; v < VM_NR_VERDICTS; v++)
		if (!strcmp(verdict_names[v], name))
			break;
	return v;
}

/* What a memory file that QEMU writes holds, as far as it has been read. */
struct tap {
	int fd;
	off_t at;
};

struct vm {
	const struct vm_config *cfg;
	struct vm_result *res;
	const char *qemu;
	char **argv;
	size_t argc;

	bool scratch_made;
	bool was_ready;			/* the monitor has worked */
	int qemu_end;			/* of the monitor's socket pair; -1 once QEMU has it */
	pid_t pid;
	int pid_fd, status;
	bool gone;
	struct tap console, records, errors;
	int log_fd;
	struct buf text;		/* the console's */
	size_t scanned;			/* complete lines of it that have been looked at for splats */
	size_t splat;			/* where the first one begins in it, plus 1; 0: none */
	struct qmp qmp;
	struct channel ch;

	double start, alive, hello_at, done_at;
	char *reason;			/* why QEMU said it stopped ("guest-reset"), or NULL */
	bool stopping, interrupted;
	enum vm_verdict verdict;	/* valid if stopping */
	char *why;
	const struct rung *rung;	/* of the ladder that ends QEMU */
	double rung_until;
};

/* --- starting ---------------------------------------------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3))) add(struct vm *v, const char *fmt, ...)
{
	va_list ap;

	v->argv = xrealloc(v->argv, (v->argc + 2) * sizeof(*v->argv));
	va_start(ap, fmt);
	if (vasprintf(&v->argv[v->argc], fmt, ap) < 0)
		abort();
	va_end(ap);
	v->argv[++v->argc] = NULL;
}

static void add2(struct vm *v, const char *option, const char *value)
{
	add(v, "%s", option);
	add(v, "%s", value);
}

char *vm_escape(const char *s)
{
	struct buf b = {};

	buf_str(&b, "");
	for (; *s; s++)
		buf_add(&b, *s == ',' ? ",," : s, *s == ',' ? 2 : 1);
	return b.s;
}

/*
 * What each way of running a guest adds. qemu64 in the icount lane: few features, the same in all versions of QEMU. `max` in the
 * wall lane under TCG: importing Python modules took 1.0 s instead of qemu64's 2.6 s, but copying files twice as long; without
 * the bits that are off here copying is faster than with plain max. Which of them matter was not measured one by one.
 * no_timer_check: on a busy host the guest may see too few timer ticks while it looks whether the timer works, and panics.
 */
static const struct flavour {
	const char *accel, *cpu, *cmdline;
} flavours[] = {
	{ "kvm", "host", "" },
	{ "tcg,thread=multi", "max,la57=off,erms=off,smap=off,smep=off,pku=off,mpx=off", " tsc=reliable no_timer_check" },
	{ "tcg,thread=single", "qemu64", " nokaslr norandmaps random.trust_cpu=off clocksource=tsc tsc=reliable" },
};

static const struct flavour *flavour(const struct vm_config *cfg)
{
	return &flavours[cfg->lane == LANE_ICOUNT ? 2 : cfg->accel == ACCEL_KVM ? 0 : 1];
}

/*
 * The kernel's command line. loglevel=7: the whole boot is on the console, which costs a tenth of a second. unknown_nmi_panic,
 * panic_print: an NMI comes only from the runner, and then the back-traces of all CPUs and of blocked tasks are wanted. Splats
 * are found in the text: nothing panics on them.
 */
static char *kernel_cmdline(const struct vm_config *cfg)
{
	return xasprintf("console=ttyS0 printk.time=1 loglevel=7 panic=-1 unknown_nmi_panic panic_print=0xc0 init=/init%s%s%s",
			 flavour(cfg)->cmdline, cfg->cmdline && *cfg->cmdline ? " " : "", cfg->cmdline ? cfg->cmdline : "");
}

/*
 * What the guest flushes must reach the log, so the node on top keeps QEMU's default of caching. On the host itself nothing need be
 * durable. The log knows neither discards nor writes of zeroes. Merged requests may be of as many pieces as the host takes at once, and the
 * log adds two: such a write would fail.
 */
static void add_logged_disk(struct vm *v, unsigned int i, const struct vm_disk *d)
{
	char *path = vm_escape(d->path), *log = vm_escape(d->log);

	add(v, "-blockdev");
	add(v, "driver=file,node-name=disk%u-file,filename=%s,cache.no-flush=on", i, path);
	add(v, "-blockdev");
	add(v, "driver=file,node-name=disk%u-log,filename=%s,cache.no-flush=on", i, log);
	add(v, "-blockdev");
	add(v, "driver=blklogwrites,node-name=disk%u,file=disk%u-file,log=disk%u-log,log-sector-size=512", i, i, i);
	add(v, "-device");
	add(v, "virtio-blk-pci,drive=disk%u,serial=%s,discard=off,write-zeroes=off,request-merging=off", i, d->serial);
	free(path);
	free(log);
}

static void add_disks(struct vm *v)
{
	for (unsigned int i = 0; i < v->cfg->nr_disks; i++) {
		const struct vm_disk *d = &v->cfg->disks[i];
		char *path;

		if (d->log) {
			add_logged_disk(v, i, d);
			continue;
		}
		path = vm_escape(d->path);
		add(v, "-drive");
		add(v, "if=none,id=disk%u,file=%s,format=raw,cache=unsafe,aio=threads,discard=unmap,detect-zeroes=off,readonly=%s", i,
		    path, d->readonly ? "on" : "off");
		add(v, "-device");
		add(v, "virtio-blk-pci,drive=disk%u,serial=%s", i, d->serial);
		free(path);
	}
}

static void build_argv(struct vm *v)
{
	const struct vm_config *cfg = v->cfg;
	bool icount = cfg->lane == LANE_ICOUNT;

	add(v, "%s", v->qemu);
	add2(v, "-nodefaults", "-no-user-config");
	add2(v, "-display", "none");
	add(v, "-no-reboot");
	add2(v, "-machine", "pc");
	add2(v, "-accel", flavour(cfg)->accel);
	add2(v, "-cpu", flavour(cfg)->cpu);
	add(v, "-smp");
	add(v, "%u", icount ? 1 : cfg->cpus);
	add(v, "-m");
	add(v, "%uM", cfg->mem_mb);
	if (icount) {
		add2(v, "-icount", "shift=0,sleep=off");
		add2(v, "-rtc", "base=2024-01-01T00:00:00,clock=vm");
		/* The seed that QEMU hands to the guest's random number generator. */
		add2(v, "-seed", "1");
	}
	if (cfg->plugin)
		add2(v, "-plugin", cfg->plugin);
	add2(v, "-kernel", cfg->bzimage);
	add2(v, "-initrd", cfg->initrd);
	add2(v, "-append", v->res->cmdline);
	/* The guest goes on after pvpanic's event, prints the rest of its trace, and reboots (panic=-1), which ends QEMU. */
	add2(v, "-action", "panic=none,watchdog=none");
	add2(v, "-device", "pvpanic-pci");
	if (cfg->interactive) {
		add2(v, "-serial", "mon:stdio");
	} else {
		add(v, "-chardev");
		add(v, "file,id=console,path=/proc/self/fd/%d", v->console.fd);
		add2(v, "-serial", "chardev:console");
		add(v, "-chardev");
		add(v, "socket,id=qmp,fd=%d", v->qemu_end);
		add2(v, "-mon", "chardev=qmp,mode=control");
	}
	/*
	 * Without ioeventfd the port's device works inside the guest's write: with it, the main loop does at some later time, and
	 * no two boots of the icount lane are alike.
	 */
	add2(v, "-device", "virtio-serial-pci,ioeventfd=off");
	add(v, "-chardev");
	add(v, "file,id=records,path=/proc/self/fd/%d", v->records.fd);
	add2(v, "-device", "virtserialport,chardev=records,name=" REC_PORT);
	if (icount)
		return;
	add2(v, "-device", "i6300esb");
	add2(v, "-object", "rng-random,id=rng,filename=/dev/urandom");
	add2(v, "-device", "virtio-rng-pci,rng=rng");
	add_disks(v);
}

static void infra(struct vm *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void infra(struct vm *v, const char *fmt, ...)
{
	va_list ap;

	if (v->why)
		return;
	va_start(ap, fmt);
	if (vasprintf(&v->why, fmt, ap) < 0)
		abort();
	va_end(ap);
	v->verdict = VM_INFRA;
}

static unsigned long long mem_available_mb(void)
{
	unsigned long long kb = 0;
	char *text, *p;

	if (read_file("/proc/meminfo", &text, NULL))
		return 0;
	p = strstr(text, "MemAvailable:");
	if (p)
		kb = strtoull(p + strlen("MemAvailable:"), NULL, 10);
	free(text);
	return kb >> 10;
}

/* Free MiB of the file system that path (or its directory, if it does not exist) is on. */
static unsigned long long disk_free_mb(const char *path)
{
	struct statvfs st;
	char *dir = xstrdup(path), *slash;
	int ret;

	while ((ret = statvfs(dir, &st)) && (slash = strrchr(dir, '/')) && slash != dir)
		*slash = '\0';
	free(dir);
	/* What can't be asked, or has no blocks, is not refused: the write will tell. */
	return ret || !st.f_blocks ? ~0ull : (unsigned long long)st.f_bavail * st.f_frsize >> 20;
}

static int check_host(struct vm *v)
{
	const struct vm_config *cfg = v->cfg;
	unsigned long long have = mem_available_mb();
	const char *const files[] = { cfg->bzimage, cfg->initrd };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (!files[i] || access(files[i], R_OK)) {
			infra(v, "%s: %s", files[i] ? files[i] : i ? "initrd" : "bzimage",
			      files[i] ? strerror(errno) : "not given");
			return -ENOENT;
		}
	if (cfg->lane == LANE_WALL && cfg->accel == ACCEL_AUTO) {
		infra(v, "no accelerator was chosen; probe for one first");
		return -EINVAL;
	}
	if (cfg->lane == LANE_ICOUNT && cfg->nr_disks) {
		infra(v, "the icount lane has no disks: a host's disk has no place in virtual time");
		return -EINVAL;
	}
	if (have && have < cfg->mem_mb + MEM_RESERVE_MB) {
		infra(v, "not enough memory: the guest wants %u MiB, the host has %llu MiB available; lower mem= in the plan or run fewer VMs at once",
		      cfg->mem_mb, have);
		return -ENOMEM;
	}
	if (!cfg->interactive && disk_free_mb(cfg->dir) < DISK_RESERVE_MB) {
		infra(v, "%s: less than %d MiB free for the console; free some space", cfg->dir, DISK_RESERVE_MB);
		return -ENOSPC;
	}
	for (unsigned int i = 0; i < cfg->nr_disks; i++) {
		const struct vm_disk *d = &cfg->disks[i];

		if (d->raw_sparse && disk_free_mb(d->path) < (d->size >> 20) + DISK_RESERVE_MB) {
			infra(v, "%s: no room for a scratch disk of %llu MiB; free some space or lower device_size in the plan", d->path,
			      d->size >> 20);
			return -ENOSPC;
		}
	}
	return 0;
}

static int make_scratch(struct vm *v)
{
	for (unsigned int i = 0; i < v->cfg->nr_disks; i++) {
		const struct vm_disk *d = &v->cfg->disks[i];
		int fd;

		if (!d->raw_sparse)
			continue;
		v->scratch_made = true;
		/* Truncated first: a signature of the run before must not be found in it. */
		fd = open(d->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0 || ftruncate(fd, d->size)) {
			int ret = -errno;

			infra(v, "scratch disk %s: %s", d->path, strerror(errno));
			if (fd >= 0)
				close(fd);
			return ret;
		}
		close(fd);
	}
	return 0;
}

/* QEMU has them open, nobody else needs them. */
static void remove_scratch(struct vm *v)
{
	for (unsigned int i = 0; v->scratch_made && i < v->cfg->nr_disks; i++)
		if (v->cfg->disks[i].raw_sparse)
			unlink(v->cfg->disks[i].path);
	v->scratch_made = false;
}

static int open_tap(struct vm *v, struct tap *t, const char *name)
{
	t->fd = memfd_create(name, MFD_CLOEXEC);
	if (t->fd < 0)
		infra(v, "memfd_create: %s", strerror(errno));
	return t->fd < 0 ? -errno : 0;
}

static int open_all(struct vm *v)
{
	const struct vm_config *cfg = v->cfg;
	int ret, pair[2];
	char *path;

	ret = open_tap(v, &v->console, "console");
	if (!ret)
		ret = open_tap(v, &v->records, "records");
	if (!ret)
		ret = open_tap(v, &v->errors, "qemu-stderr");
	if (ret || cfg->interactive)
		return ret;
	path = cfg->console ? xstrdup(cfg->console) : xasprintf("%s/console.log", cfg->dir);
	v->log_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (v->log_fd < 0) {
		ret = -errno;
		infra(v, "console %s: %s", path, strerror(errno));
	}
	free(path);
	if (ret)
		return ret;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		ret = -errno;
		infra(v, "socketpair: %s", strerror(errno));
		return ret;
	}
	v->qmp.fd = pair[0];
	v->qemu_end = pair[1];
	return 0;
}

/* In the child; only what is safe after a fork. */
static void exec_qemu(struct vm *v, pid_t parent, int fail_fd)
{
	const int keep[] = { v->console.fd, v->records.fd, v->qemu_end };
	int null, oom, error;

	if (!v->cfg->interactive) {
		/* Ctrl-C on the terminal is for the runner, which then ends QEMU in order. */
		setpgid(0, 0);
		null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(v->errors.fd, 1);
		dup2(v->errors.fd, 2);
	}
	for (size_t i = 0; i < ARRAY_SIZE(keep); i++)
		fcntl(keep[i], F_SETFD, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	/* If memory runs out, the guest goes first: a boot can be repeated. */
	oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (oom >= 0 && write(oom, "800", 3) < 0)
		close(oom);
	signal(SIGPIPE, SIG_DFL);
	execvp(v->argv[0], v->argv);
	error = errno;
	if (write(fail_fd, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

static int start(struct vm *v)
{
	pid_t parent = getpid();
	int fail[2], error = 0;

	if (pipe2(fail, O_CLOEXEC)) {
		infra(v, "pipe: %s", strerror(errno));
		return -EIO;
	}
	fflush(NULL);
	v->pid = fork();
	if (!v->pid)
		exec_qemu(v, parent, fail[1]);
	if (v->pid < 0)
		infra(v, "fork: %s", strerror(errno));
	close(fail[1]);
	if (v->pid > 0 && read(fail[0], &error, sizeof(error)) == sizeof(error)) {
		waitpid(v->pid, &v->status, 0);
		v->pid = -1;
		infra(v, "%s: %s%s", v->qemu, strerror(error), error == ENOENT ? "; apt install qemu-system-x86" : "");
	}
	close(fail[0]);
	if (v->qemu_end >= 0)
		close(v->qemu_end);
	v->qemu_end = -1;
	if (v->pid < 0)
		return -EIO;
	v->pid_fd = pidfd_open(v->pid, 0);
	return 0;
}

/* --- ending ------------------------------------------------------------------------------------------------------------- */

/*
 * One step towards QEMU's end: does something, then the next one follows after this many moments (see MOMENT_S); a patient one
 * waits longer, but not for ever, while the guest is still printing.
 */
struct rung {
	double moments;
	void (*act)(struct vm *v);
	bool patient;
};
#define PATIENCE	8		/* moments */

static void act_wait(struct vm *v)
{
	(void)v;
}

static void act_nmi(struct vm *v)
{
	qmp_send(&v->qmp, "inject-nmi", NULL);
}

static void act_quit(struct vm *v)
{
	qmp_send(&v->qmp, "quit", NULL);
}

static void act_term(struct vm *v)
{
	kill(v->pid, SIGTERM);
}

static void act_kill(struct vm *v)
{
	kill(v->pid, SIGKILL);
}

#define LADDER_END { 1, act_quit, false }, { 1, act_term, false }, { 1e9, act_kill, false }
/* A hung guest gets an NMI: it prints what each CPU does and who is blocked (see kernel_cmdline()), and ends in a panic. */
static const struct rung ladder_hang[] = { { 2, act_nmi, true }, LADDER_END };
/* A guest in panic prints its trace and ends itself. */
static const struct rung ladder_trace[] = { { 2, act_wait, true }, LADDER_END };
static const struct rung ladder_quit[] = { LADDER_END };
static const struct rung ladder_cut[] = { { 1e9, act_kill, false } };

static double moment(const struct vm *v)
{
	return v->cfg->idle_s > 0 && v->cfg->idle_s / 10 < MOMENT_S ? v->cfg->idle_s / 10 : MOMENT_S;
}

static void climb(struct vm *v, const struct rung *r)
{
	v->rung = r;
	v->rung_until = now_s() + r->moments * moment(v);
	r->act(v);
}

/* The first reason to stop is the one that counts; what it causes (a panic after the runner's own NMI) does not. */
static void stop(struct vm *v, const struct rung *ladder, enum vm_verdict verdict, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void stop(struct vm *v, const struct rung *ladder, enum vm_verdict verdict, const char *fmt, ...)
{
	va_list ap;

	if (v->stopping)
		return;
	v->stopping = true;
	v->verdict = verdict;
	va_start(ap, fmt);
	if (vasprintf(&v->why, fmt, ap) < 0)
		abort();
	va_end(ap);
	if (!v->gone)
		climb(v, ladder);
}

/* --- what comes from the guest ------------------------------------------------------------------------------------------- */

/* What QEMU says on stderr: its first line that is no warning, as what follows is but a consequence; "" if there is none. */
static char *qemu_says(struct vm *v)
{
	char text[4096], *line, *save;
	ssize_t n = pread(v->errors.fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	for (line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
		if (!strstr(line, "warning:"))
			return xstrdup(line);
	return xstrdup("");
}

static char *console_says(struct vm *v)
{
	char *line = console_last_line(v->text.s ? v->text.s : ""), *s;

	s = *line ? xasprintf("the console's last line: %s", line) : xstrdup("the console is empty");
	free(line);
	return s;
}

/* Looks at the complete lines that are new (all, if QEMU is gone). */
static void scan(struct vm *v)
{
	const char *from, *end, *at, *kind;

	if (v->text.len == v->scanned)
		return;
	from = v->text.s + v->scanned;
	end = v->gone ? v->text.s + v->text.len : memrchr(from, '\n', v->text.len - v->scanned);
	if (!end)
		return;
	while ((kind = console_splat(from, &at)) && at < end) {
		enum splat_class class = console_splat_class(kind);
		char *line = xstrndup(at, strcspn(at, "\r\n"));

		/* What comes after the decision to stop may be our own doing. */
		if (!v->splat && !v->stopping)
			v->splat = at - v->text.s + 1;
		if (class == SPLAT_PANIC)
			stop(v, ladder_trace, VM_PANIC, "%s", line);
		else if (class == SPLAT_FATAL)
			stop(v, ladder_trace, VM_SPLAT, "%s: %s", kind, line);
		else if (class == SPLAT_HANG)
			stop(v, ladder_hang, VM_HANG, "%s: %s", kind, line);
		free(line);
		from = at + strcspn(at, "\n");
	}
	v->scanned = end - v->text.s;
}

static void pull_console(struct vm *v)
{
	char chunk[65536];
	ssize_t n;

	while ((n = pread(v->console.fd, chunk, sizeof(chunk), v->console.at)) > 0) {
		ssize_t w = 0;

		if (v->console.at + n > CONSOLE_MAX) {
			stop(v, ladder_quit, VM_INVALID, "the guest flooded the console: more than " CONSOLE_MAX_TEXT);
			break;
		}
		v->console.at += n;
		v->alive = now_s();
		for (ssize_t done = 0; done < n && w >= 0; done += w) {
			w = write(v->log_fd, chunk + done, n - done);
			if (w < 0 && errno == EINTR)
				w = 0;
		}
		if (w < 0)
			stop(v, ladder_quit, VM_INFRA, "writing the console: %s%s", strerror(errno),
			     errno == ENOSPC ? "; free some space" : "");
		/* The file gets what was said; here a NUL would hide the rest. */
		for (char *p = chunk; (p = memchr(p, '\0', chunk + n - p)); )
			*p = ' ';
		buf_add(&v->text, chunk, n);
	}
	scan(v);
}

static void pull_records(struct vm *v)
{
	char chunk[65536];
	ssize_t n;

	while (!v->ch.error && (n = pread(v->records.fd, chunk, sizeof(chunk), v->records.at)) > 0) {
		v->records.at += n;
		v->alive = now_s();
		channel_feed(&v->ch, chunk, n);
	}
	if (v->gone)
		channel_end(&v->ch);
	if (v->ch.hello && !v->hello_at)
		v->hello_at = now_s();
	if (v->ch.done && !v->done_at)
		v->done_at = now_s();
	/* Whatever QEMU's end does to its last line is judged there. */
	if (v->ch.error && !v->gone)
		stop(v, ladder_quit, VM_GARBLED, "%s", v->ch.error);
}

static void on_event(const char *name, const json_t *data, void *arg)
{
	struct vm *v = arg;

	if (!strcmp(name, "GUEST_PANICKED")) {
		/* The text, if there is any, says more: let it come first. */
		pull_console(v);
		stop(v, ladder_trace, VM_PANIC, "kernel panic, told by pvpanic");
	} else if (!strcmp(name, "WATCHDOG")) {
		char *says = console_says(v);

		stop(v, ladder_hang, VM_HANG, "the guest's watchdog fired; %s", says);
		free(says);
	} else if (!strcmp(name, "SHUTDOWN")) {
		const char *r = json_string_value(json_object_get(data, "reason"));

		free(v->reason);
		v->reason = r ? xstrdup(r) : NULL;
	} else if (!strcmp(name, "STOP")) {
		qmp_send(&v->qmp, "query-status", NULL);
	}
}

static void on_status(const char *status, void *arg)
{
	struct vm *v = arg;

	if (!strcmp(status, "internal-error"))
		stop(v, ladder_quit, VM_INFRA, "%s internal error: this host can't run the guest that way; use --accel tcg",
		     v->cfg->accel == ACCEL_KVM ? "KVM" : "QEMU");
	else if (!strcmp(status, "io-error"))
		stop(v, ladder_quit, VM_INFRA, "the host could not write a guest's disk; free some space");
}

static void pull_qmp(struct vm *v)
{
	int ret;

	if (v->qmp.fd < 0)
		return;
	ret = qmp_read(&v->qmp);
	if (v->qmp.ready && !v->was_ready) {
		v->was_ready = true;
		remove_scratch(v);
		/* It may have stopped already: events from before this are lost. */
		qmp_send(&v->qmp, "query-status", NULL);
	}
	if (ret) {
		qmp_close(&v->qmp);
		if (ret != -EPIPE)
			stop(v, ladder_quit, VM_INFRA, "QEMU's monitor: %s", strerror(-ret));
	}
}

static void reap(struct vm *v)
{
	struct rusage used;

	if (v->gone || wait4(v->pid, &v->status, WNOHANG, &used) != v->pid)
		return;
	v->gone = true;
	v->res->cpu_s = rusage_s(&used);
}

/* --- the loop -------------------------------------------------------------------------------------------------------------- */

static void check_deadlines(struct vm *v)
{
	const struct vm_config *cfg = v->cfg;
	double now = now_s(), t = now - v->start, silent = now - v->alive;
	char *says;

	if (v->stopping) {
		if (now >= v->rung_until &&
		    (!v->rung->patient || silent > moment(v) || now >= v->rung_until + PATIENCE * moment(v)))
			climb(v, v->rung + 1);
		return;
	}
	if (!v->was_ready && t > (cfg->boot_s < QMP_S ? cfg->boot_s : QMP_S)) {
		says = qemu_says(v);
		stop(v, ladder_quit, VM_INFRA, "QEMU did not open its monitor within %.3g s%s%s", t, *says ? ": " : "", says);
		free(says);
		return;
	}
	if (cfg->cut_at && *cfg->cut_at > 0 && now >= *cfg->cut_at) {
		v->res->cut = true;
		stop(v, ladder_cut, VM_PASSED, "power cut");
		return;
	}
	says = console_says(v);
	if (v->done_at) {
		if (now - v->done_at > cfg->idle_s)
			stop(v, ladder_hang, VM_HANG, "the guest was done but did not power off within %.3g s; %s", cfg->idle_s, says);
	} else if (!v->hello_at && t > cfg->boot_s) {
		/* A kernel that still prints is slow, not hung. */
		stop(v, ladder_hang, silent > cfg->boot_s / 4 || !v->text.len ? VM_HANG : VM_TIMEOUT,
		     "no sign of the agent within %.3g s of the start; %s", cfg->boot_s, says);
	} else if (v->hello_at && silent > cfg->idle_s) {
		stop(v, ladder_hang, VM_HANG, "no record and no console output for %.3g s; %s", cfg->idle_s, says);
	} else if (t > cfg->total_s) {
		stop(v, ladder_hang, VM_TIMEOUT, "not done within %.3g s, although alive; %s", cfg->total_s, says);
	}
	free(says);
}

static void watch(struct vm *v)
{
	while (!v->gone) {
		struct pollfd p[] = {
			{ interrupt_fd(), POLLIN, 0 },
			{ v->pid_fd, POLLIN, 0 },
			{ v->qmp.fd, POLLIN, 0 },
		};

		/* Once told, the pipe stays readable. */
		if (v->interrupted)
			p[0].fd = -1;
		poll(p, ARRAY_SIZE(p), TICK_MS);
		if (interrupted() && !v->interrupted) {
			v->interrupted = true;
			/* Whatever else was under way: now it has to be quick. */
			v->stopping = false;
			free(v->why);
			stop(v, ladder_quit, VM_INFRA, "interrupted");
		}
		reap(v);
		pull_qmp(v);
		pull_console(v);
		pull_records(v);
		if (!v->gone)
			check_deadlines(v);
	}
}

/* QEMU ended by itself; nothing was wrong until then. */
static void judge_death(struct vm *v)
{
	char *says = qemu_says(v), *console = console_says(v);

	v->verdict = VM_QEMU_DIED;
	if (WIFSIGNALED(v->status)) {
		v->why = xasprintf("QEMU was killed by signal %d (%s)%s%s%s", WTERMSIG(v->status), strsignal(WTERMSIG(v->status)),
				   WTERMSIG(v->status) == SIGKILL ? "; by the host's OOM killer? See dmesg" : "",
				   *says ? ": " : "", says);
	} else if (WEXITSTATUS(v->status)) {
		/* Before its monitor works QEMU says what it does not like about host or command line. */
		if (!v->was_ready)
			v->verdict = VM_INFRA;
		v->why = xasprintf("QEMU exited with status %d%s%s", WEXITSTATUS(v->status), *says ? ": " : "", says);
	} else if (!v->was_ready) {
		v->why = xasprintf("QEMU exited with status 0 before it opened its monitor%s%s", *says ? ": " : "", says);
	} else if (v->ch.error) {
		v->verdict = VM_GARBLED;
		v->why = xstrdup(v->ch.error);
	} else if (v->reason && !strcmp(v->reason, "guest-reset")) {
		v->why = xasprintf("the guest reset itself without a panic (triple fault?); %s", console);
	} else {
		v->why = xasprintf("the guest powered off before it was done; %s", console);
	}
	free(says);
	free(console);
}

/* A failed check counts, whatever the guest's end. */
static void judge_check(struct vm *v)
{
	char *why = v->why;

	if (!v->ch.failed_check)
		return;
	v->why = xasprintf("check failed: %s%s%s", v->ch.failed_check, *why ? "; " : "", why);
	if (v->ch.failed_checks > 1) {
		free(why);
		why = v->why;
		v->why = xasprintf("%s (and %u more)", why, v->ch.failed_checks - 1);
	}
	v->verdict = VM_INVALID;
	free(why);
}

/* The guest ended in order: its own word counts, unless the console says otherwise. */
static void judge_done(struct vm *v)
{
	static const struct {
		const char *status;
		enum vm_verdict verdict;
	} map[] = { { "pass", VM_PASSED }, { "fail", VM_FAILED }, { "skip", VM_SKIPPED } };

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (!strcmp(map[i].status, v->ch.status))
			v->verdict = map[i].verdict;
	v->why = xstrdup(v->ch.status_why);
	judge_check(v);
}

static void judge(struct vm *v)
{
	char *splat, *id, *why;

	if (v->res->cut)
		judge_check(v);
	if (!v->stopping) {
		if (v->ch.done && !v->ch.error)
			judge_done(v);
		else
			judge_death(v);
	}
	if (!v->splat)
		return;
	splat = v->text.s + v->splat - 1;
	v->res->splat = console_excerpt(splat, SPLAT_LINES);
	id = console_splat_id(splat);
	why = v->why;
	if (v->res->cut || (!v->stopping && v->ch.done && !v->ch.error)) {
		v->verdict = VM_SPLAT;
		v->why = xasprintf("%s%s%s", id, *why ? "; the workload says: " : "", why);
		free(why);
	} else if (console_splat_class(console_splat(splat, NULL)) == SPLAT_NOTED) {
		v->why = xasprintf("%s; before that: %s", why, id);
		free(why);
	}
	free(id);
}

/* --- all of it ---------------------------------------------------------------------------------------------------------------- */

static void run_batch(struct vm *v)
{
	v->start = v->alive = now_s();
	if (start(v))
		return;
	watch(v);
	v->res->wall_s = now_s() - v->start;
	v->res->boot_s = v->hello_at ? v->hello_at - v->start : 0;
	judge(v);
}

/* A person sits at the console: QEMU has the terminal, and its end is all there is to know. */
static void run_interactive(struct vm *v)
{
	struct termios tio;
	bool tty = !tcgetattr(STDIN_FILENO, &tio);

	v->start = now_s();
	if (start(v))
		return;
	while (waitpid(v->pid, &v->status, 0) < 0 && errno == EINTR)
		if (interrupted())
			kill(v->pid, SIGTERM);
	v->gone = true;
	v->res->wall_s = now_s() - v->start;
	/* A QEMU that was killed leaves the terminal raw. */
	if (tty)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &tio);
	if (interrupted())
		infra(v, "interrupted");
	else if (WIFEXITED(v->status) && !WEXITSTATUS(v->status))
		v->verdict = VM_PASSED;
	else
		infra(v, "QEMU ended with %s %d", WIFEXITED(v->status) ? "status" : "signal",
		      WIFEXITED(v->status) ? WEXITSTATUS(v->status) : WTERMSIG(v->status));
}

static void close_all(struct vm *v)
{
	const int fds[] = { v->qemu_end, v->pid_fd, v->console.fd, v->records.fd, v->errors.fd, v->log_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	qmp_close(&v->qmp);
	remove_scratch(v);
	buf_free(&v->text);
	channel_free(&v->ch);
	for (size_t i = 0; i < v->argc; i++)
		free(v->argv[i]);
	free(v->argv);
	free(v->reason);
}

static const char *qemu_or_default(const char *qemu)
{
	const char *env = getenv("SHBENCH_QEMU");

	return qemu ? qemu : env && *env ? env : "qemu-system-x86_64";
}

int vm_run(const struct vm_config *cfg, struct vm_result *res)
{
	struct vm v = { .cfg = cfg, .res = res, .qemu = qemu_or_default(cfg->qemu), .qemu_end = -1, .pid = -1, .pid_fd = -1,
			.console.fd = -1, .records.fd = -1, .errors.fd = -1, .log_fd = -1, .verdict = VM_INFRA,
			.qmp = { .fd = -1, .event = on_event, .status = on_status } };

	memset(res, 0, sizeof(*res));
	v.qmp.arg = &v;
	channel_init(&v.ch);
	v.ch.record = cfg->record;
	v.ch.arg = cfg->arg;
	res->argv = json_array();
	res->cmdline = kernel_cmdline(cfg);
	if (!interrupted() && !check_host(&v) && !open_all(&v) && !make_scratch(&v)) {
		build_argv(&v);
		for (size_t i = 0; i < v.argc; i++)
			json_array_append_new(res->argv, json_string(v.argv[i]));
		if (cfg->interactive)
			run_interactive(&v);
		else
			run_batch(&v);
	}
	if (interrupted())
		infra(&v, "interrupted");
	res->verdict = v.verdict;
	res->why = v.why ? v.why : xstrdup("");
	for (char *p = res->why; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	res->records = json_incref(v.ch.records);
	if (cfg->interactive && res->verdict != VM_PASSED)
		err("%s", res->why);
	close_all(&v);
	return interrupted() && res->verdict == VM_INFRA ? -EINTR : 0;
}

void vm_result_free(struct vm_result *res)
{
	free(res->why);
	free(res->cmdline);
	free(res->splat);
	json_decref(res->records);
	json_decref(res->argv);
	memset(res, 0, sizeof(*res));
}

char *vm_qemu_version(const char *qemu)
{
	const char *argv[] = { qemu_or_default(qemu), "--version", NULL };
	struct buf out = {};
	struct run_opts ro = { .out = &out };
	int ret = run_cmd(argv, &ro);
	char *line = NULL;

	if (!ret && out.len)
		line = xstrndup(out.s, strcspn(out.s, "\n"));
	buf_free(&out);
	if (!line)
		errno = ret < 0 ? -ret : ret == 127 ? ENOENT : EIO;
	return line;
}
