// SPDX-License-Identifier: GPL-2.0
/*
 * The VM runner against a fake QEMU (build/fake-qemu) that plays every way in which a boot can end. After each boot: no child, no open
 * file and no scratch disk may be left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"
#include "vm.h"

static char *fake, *dir, *kernel, *console, *scratch;

static unsigned int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void assert_nothing_left(void)
{
	errno = 0;
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_false(file_exists(scratch));
}

/* Deadlines that are never met on a machine that works. */
#define LONG_S 30

static struct vm_config config(void)
{
	return (struct vm_config){ .qemu = fake, .accel = ACCEL_TCG, .lane = LANE_WALL, .bzimage = kernel, .initrd = kernel,
				   .mem_mb = 64, .cpus = 2, .boot_s = LONG_S, .idle_s = LONG_S, .total_s = LONG_S, .dir = dir };
}

static int boot(const struct vm_config *cfg, const char *mode, struct vm_result *res)
{
	unsigned int before = open_files();
	int ret;

	setenv("FAKE_QEMU", mode, 1);
	ret = vm_run(cfg, res);
	assert_int_equal(open_files(), before);
	assert_nothing_left();
	assert_non_null(res->why);
	assert_null(strchr(res->why, '\n'));
	return ret;
}

static const struct scenario {
	const char *mode;
	enum vm_verdict verdict;
	const char *why;		/* part of it */
	double boot_s, idle_s, total_s;	/* 0: long */
	int records;			/* -1: any number */
} scenarios[] = {
	{ "ok",			VM_PASSED,	"", .records = 7 },
	{ "slow-boot",		VM_PASSED,	"", .records = 7 },
	{ "bytewise",		VM_PASSED,	"", .records = 3 },
	{ "many",		VM_PASSED,	"", .records = 3003 },
	{ "fail",		VM_FAILED,	"mkfs.xfs: exit status 1", .records = 7 },
	{ "skip",		VM_SKIPPED,	"no overlay", .records = 7 },
	{ "check",		VM_INVALID,	"check failed: oracles-agree: 8192 != 1024 (and 1 more)", .records = 9 },
	{ "splat",		VM_SPLAT,	"WARNING:at_mm/filemap.c:#_filemap_fault", .records = 7 },
	{ "splat-fail",		VM_SPLAT,	"the workload says: read: EIO", .records = 7 },
	{ "splat-hang",		VM_HANG,	"before that: WARNING:at_mm/filemap.c", .idle_s = 0.2, .records = 1 },
	{ "oops",		VM_SPLAT,	"oops: BUG: kernel NULL pointer dereference", .idle_s = 1, .records = 5 },
	{ "panic",		VM_PANIC,	"Kernel panic - not syncing: Fatal exception", .records = 5 },
	{ "panic-stuck",	VM_PANIC,	"Kernel panic - not syncing: Fatal exception", .idle_s = 1, .records = 5 },
	{ "panic-silent",	VM_PANIC,	"pvpanic", .idle_s = 1, .records = 5 },
	{ "panic-late",		VM_PANIC,	"Attempted to kill init", .records = 7 },
	{ "hang",		VM_HANG,	"no record and no console output for 0.2 s; the console's last line: Run /init", .idle_s = 0.2,
	  .records = 5 },
	{ "hang-deaf",		VM_HANG,	"no record and no console output", .idle_s = 0.2, .records = 5 },
	{ "hung-task",		VM_HANG,	"hung task: INFO: task agent:77", .idle_s = 1, .records = 5 },
	{ "watchdog",		VM_HANG,	"watchdog", .idle_s = 1, .records = 5 },
	{ "no-poweroff",	VM_HANG,	"did not power off", .idle_s = 0.2, .records = 7 },
	{ "boot-silent",	VM_HANG,	"no sign of the agent within 0.2 s", .boot_s = 0.2, .idle_s = 1, .records = 0 },
	{ "boot-noise",		VM_TIMEOUT,	"no sign of the agent within 0.3 s", .boot_s = 0.3, .idle_s = 1, .records = 0 },
	{ "noise",		VM_TIMEOUT,	"not done within 0.3 s", .idle_s = 1, .total_s = 0.3, .records = 5 },
	{ "busy",		VM_TIMEOUT,	"not done within 0.3 s", .idle_s = 1, .total_s = 0.3, .records = -1 },
	{ "garble",		VM_GARBLED,	"record 5: ", .records = 5 },
	{ "crc",		VM_GARBLED,	"record 0: checksum differs", .idle_s = 1, .records = 0 },
	{ "lost",		VM_GARBLED,	"a record was lost", .records = 5 },
	{ "truncate",		VM_GARBLED,	"truncated", .records = 6 },
	{ "no-newline",		VM_GARBLED,	"truncated", .records = 6 },
	{ "more-after-done",	VM_GARBLED,	"after done", .records = 7 },
	{ "flood-records",	VM_GARBLED,	"flood", .idle_s = 20, .records = -1 },
	{ "flood-console",	VM_INVALID,	"flooded the console", .idle_s = 20, .records = -1 },
	{ "cut-and-die",	VM_QEMU_DIED,	"killed by signal 11", .records = 6 },
	{ "signal",		VM_QEMU_DIED,	"killed by signal 9", .records = 5 },
	{ "die1",		VM_QEMU_DIED,	"status 1: fake-qemu: terminating on a whim", .records = 5 },
	{ "power-cut",		VM_QEMU_DIED,	"powered off before it was done; the console's last line: reboot: Power down", .records = 5 },
	{ "reset",		VM_QEMU_DIED,	"triple fault", .records = 1 },
	{ "exit0",		VM_QEMU_DIED,	"status 0 before", .records = 0 },
	{ "exit1",		VM_INFRA,	"status 1: fake-qemu: terminating on a whim", .records = 5 },
	{ "no-qmp",		VM_INFRA,	"did not open its monitor", .boot_s = 0.2, .idle_s = 1, .records = 0 },
	{ "qmp-garbage",	VM_INFRA,	"monitor: Protocol error", .idle_s = 1, .records = 0 },
	{ "internal-error",	VM_INFRA,	"internal error", .idle_s = 1, .records = 0 },
	{ "stopped-early",	VM_INFRA,	"internal error", .idle_s = 1, .records = 0 },
	{ "io-error",		VM_INFRA,	"could not write a guest's disk", .idle_s = 1, .records = 5 },
	{ "unknown mode",	VM_INFRA,	"status 1: fake-qemu: $FAKE_QEMU is", .records = 0 },
};

static void test_scenario(void **arg)
{
	const struct scenario *s = *arg;
	const struct vm_disk disk = { .path = scratch, .serial = "scratch", .raw_sparse = true, .size = 1 << 20 };
	struct vm_config cfg = config();
	struct vm_result res;
	double t = now_s();

	cfg.disks = &disk;
	cfg.nr_disks = 1;
	if (s->boot_s > 0)
		cfg.boot_s = s->boot_s;
	if (s->idle_s > 0)
		cfg.idle_s = s->idle_s;
	if (s->total_s > 0)
		cfg.total_s = s->total_s;
	assert_int_equal(boot(&cfg, s->mode, &res), 0);
	t = now_s() - t;
	if (res.verdict != s->verdict || !strstr(res.why, s->why))
		fail_msg("%s: %s: %s, but expected %s: %s", s->mode, vm_verdict_name(res.verdict), res.why, vm_verdict_name(s->verdict),
			 s->why);
	if (s->records >= 0)
		assert_int_equal(json_array_size(res.records), s->records);
	assert_true(res.wall_s > 0 && res.wall_s <= t);
	/* Nothing waits for a deadline that is not its own. */
	assert_true(t < LONG_S / 2);
	if (json_array_size(res.records))
		assert_true(res.boot_s > 0 && res.boot_s <= res.wall_s);
	assert_true(json_array_size(res.argv) > 20);
	vm_result_free(&res);
}

/* Only what a guest says in full is success: no verdict but these may be "passed". */
static void test_only_records_pass(void **arg)
{
	unsigned int passed = 0;

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++)
		passed += scenarios[i].verdict == VM_PASSED;
	assert_int_equal(passed, 4);
}

static void test_traces(void **arg)
{
	struct vm_config cfg = config();
	struct vm_result res;
	char *text;

	(void)arg;
	/* The rest of a panic's text is waited for. */
	boot(&cfg, "panic", &res);
	assert_int_equal(read_file(console, &text, NULL), 0);
	assert_non_null(strstr(text, "---[ end Kernel panic"));
	assert_non_null(strstr(res.splat, "Kernel panic - not syncing: Fatal exception"));
	assert_non_null(strstr(res.splat, "Call Trace:"));
	free(text);
	vm_result_free(&res);
	/* A hung guest is asked for a back-trace; its panic, which is our doing, is no splat of the guest. */
	cfg.idle_s = 0.2;
	boot(&cfg, "hang", &res);
	assert_int_equal(read_file(console, &text, NULL), 0);
	assert_non_null(strstr(text, "fake_hang+0x1/0x2"));
	assert_null(res.splat);
	free(text);
	vm_result_free(&res);
}

static void on_record(const json_t *rec, void *arg)
{
	struct buf *b = arg;

	buf_printf(b, "%s ", json_string_value(json_object_get(rec, "t")));
}

static void test_record_callback(void **arg)
{
	struct vm_config cfg = config();
	struct buf seen = {};
	struct vm_result res;

	(void)arg;
	cfg.record = on_record;
	cfg.arg = &seen;
	boot(&cfg, "ok", &res);
	assert_string_equal(seen.s, "hello progress info sample check result done ");
	assert_string_equal(json_string_value(json_object_get(json_array_get(res.records, 2), "v")), "tab\tand \xc3\xa4");
	buf_free(&seen);
	vm_result_free(&res);
}

/* The whole command line in one string, with blanks around each argument. */
static char *argv_text(const struct vm_result *res)
{
	struct buf b = {};
	size_t i;
	json_t *v;

	buf_str(&b, " ");
	json_array_foreach(res->argv, i, v)
		buf_printf(&b, "%s ", json_string_value(v));
	return b.s;
}

static void test_command_line(void **arg)
{
	const struct vm_disk disk = { .path = "/no,such,image.tar", .serial = "image", .readonly = true };
	struct vm_config cfg = config();
	struct vm_result res;
	char *text;

	(void)arg;
	cfg.disks = &disk;
	cfg.nr_disks = 1;
	cfg.cmdline = "shcache=on";
	boot(&cfg, "ok", &res);
	text = argv_text(&res);
	assert_non_null(strstr(text, " -accel tcg,thread=multi "));
	assert_non_null(strstr(text, " -smp 2 -m 64M "));
	assert_non_null(strstr(text, "file=/no,,such,,image.tar,format=raw,cache=unsafe,aio=threads,discard=unmap"));
	assert_non_null(strstr(text, "readonly=on"));
	assert_non_null(strstr(text, "serial=image"));
	assert_non_null(strstr(text, "virtio-rng-pci"));
	assert_null(strstr(text, "-icount"));
	assert_non_null(strstr(res.cmdline, "console=ttyS0 "));
	assert_non_null(strstr(res.cmdline, " shcache=on"));
	free(text);
	vm_result_free(&res);

	cfg.nr_disks = 0;
	cfg.lane = LANE_ICOUNT;
	cfg.accel = ACCEL_AUTO;		/* there is only one for this lane */
	boot(&cfg, "ok", &res);
	assert_int_equal(res.verdict, VM_PASSED);
	text = argv_text(&res);
	assert_non_null(strstr(text, " -icount shift=0,sleep=off "));
	assert_non_null(strstr(text, " -smp 1 "));
	assert_non_null(strstr(text, "virtio-serial-pci,ioeventfd=off"));
	assert_non_null(strstr(text, "clock=vm"));
	assert_null(strstr(text, "virtio-rng"));
	assert_null(strstr(text, "virtio-blk"));
	assert_non_null(strstr(res.cmdline, "nokaslr norandmaps"));
	free(text);
	vm_result_free(&res);
}

/* What is refused or fails before QEMU runs, and the words that tell the user what to do. */
static void test_refusals(void **arg)
{
	const struct vm_disk huge = { .path = scratch, .serial = "scratch", .raw_sparse = true, .size = 1ull << 60 };
	const struct vm_disk nowhere = { .path = "/proc/no/such", .serial = "scratch", .raw_sparse = true, .size = 1 };
	const struct {
		const char *why;
		struct vm_config set;
	} cases[] = {
		{ "not enough memory", { .mem_mb = 1u << 30 } },
		{ "no room for a scratch disk", { .disks = &huge, .nr_disks = 1 } },
		{ "scratch disk /proc/no/such", { .disks = &nowhere, .nr_disks = 1 } },
		{ "apt install qemu-system-x86", { .qemu = "/no/such/qemu" } },
		{ "/no/such/kernel: No such file", { .bzimage = "/no/such/kernel" } },
		{ "/no/such/initrd: No such file", { .initrd = "/no/such/initrd" } },
		{ "writing the console: No space left on device; free some space", { .console = "/dev/full" } },
		{ "console /no/such/dir/log: No such file", { .console = "/no/such/dir/log" } },
	};

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_config cfg = config();
		const struct vm_config *s = &cases[i].set;
		struct vm_result res;

		cfg.mem_mb = s->mem_mb ? s->mem_mb : cfg.mem_mb;
		cfg.qemu = s->qemu ? s->qemu : cfg.qemu;
		cfg.bzimage = s->bzimage ? s->bzimage : cfg.bzimage;
		cfg.initrd = s->initrd ? s->initrd : cfg.initrd;
		cfg.console = s->console;
		cfg.disks = s->disks;
		cfg.nr_disks = s->nr_disks;
		cfg.idle_s = 1;
		assert_int_equal(boot(&cfg, "ok", &res), 0);
		if (res.verdict != VM_INFRA || !strstr(res.why, cases[i].why))
			fail_msg("%s: %s, but expected: %s", vm_verdict_name(res.verdict), res.why, cases[i].why);
		vm_result_free(&res);
	}
}

static void test_wrong_use(void **arg)
{
	const struct vm_disk disk = { .path = scratch, .serial = "scratch", .raw_sparse = true, .size = 1 };
	struct vm_config cfg = config();
	struct vm_result res;

	(void)arg;
	cfg.accel = ACCEL_AUTO;
	boot(&cfg, "ok", &res);
	assert_int_equal(res.verdict, VM_INFRA);
	vm_result_free(&res);
	cfg.lane = LANE_ICOUNT;
	cfg.disks = &disk;
	cfg.nr_disks = 1;
	boot(&cfg, "ok", &res);
	assert_int_equal(res.verdict, VM_INFRA);
	assert_non_null(strstr(res.why, "no disks"));
	vm_result_free(&res);
}

/* A console of the boot before must not be read as this one's. */
static void test_stale_console(void **arg)
{
	struct vm_config cfg = config();
	struct vm_result res;
	char *text;

	(void)arg;
	assert_int_equal(write_file_atomic(console, "[    1.0] Kernel panic - not syncing: old\n", 42), 0);
	boot(&cfg, "ok", &res);
	assert_int_equal(res.verdict, VM_PASSED);
	assert_int_equal(read_file(console, &text, NULL), 0);
	assert_null(strstr(text, "old"));
	assert_non_null(strstr(text, "Power down"));
	free(text);
	vm_result_free(&res);
}

/* Runs one boot in a child of its own, waits until the guest is up, sends the signal; returns the child's wait status. */
static int boot_and_signal(const char *mode, int sig)
{
	const struct vm_disk disk = { .path = scratch, .serial = "scratch", .raw_sparse = true, .size = 1 << 20 };
	struct vm_config cfg = config();
	struct vm_result res;
	int status, tries;
	char *text = NULL;
	pid_t pid;

	unlink(console);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		bool good;
		int ret;

		cfg.disks = &disk;
		cfg.nr_disks = 1;
		interrupts_install();
		setenv("FAKE_QEMU", mode, 1);
		ret = vm_run(&cfg, &res);
		good = ret == -EINTR && res.verdict == VM_INFRA && !strcmp(res.why, "interrupted");
		vm_result_free(&res);
		_exit(good ? 0 : 1);
	}
	for (tries = 0; tries < 2000 && (!text || !strstr(text, "Run /init") || file_exists(scratch)); tries++) {
		free(text);
		text = NULL;
		usleep(5000);
		if (read_file(console, &text, NULL))
			text = NULL;
	}
	assert_true(tries < 2000);
	free(text);
	kill(pid, sig);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_interrupted(void **arg)
{
	int status;

	(void)arg;
	status = boot_and_signal("hang", SIGINT);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_nothing_left();
	status = boot_and_signal("noise", SIGTERM);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_nothing_left();
}

/* Not even a SIGKILL of the runner leaves a QEMU. As the subreaper we inherit what it leaves behind. */
static void test_runner_killed(void **arg)
{
	int status, tries;
	pid_t pid = 0;

	(void)arg;
	status = boot_and_signal("hang-deaf", SIGKILL);
	assert_true(WIFSIGNALED(status));
	for (tries = 0; tries < 2000 && pid >= 0; tries++) {
		pid = waitpid(-1, &status, WNOHANG);
		usleep(2000);
	}
	assert_true(tries < 2000);
	assert_nothing_left();
}

/* Power cuts: at a record, soon after it. What was wrong before it counts. */
static double cut_at;

static void cut_now(const json_t *rec, void *arg)
{
	(void)rec;
	(void)arg;
	if (cut_at <= 0)
		cut_at = now_s() + 0.01;
}

static void test_cut(void **arg)
{
	static const struct {
		const char *mode;
		enum vm_verdict verdict;
		const char *why;
		bool cut;
	} cases[] = {
		{ "busy",	VM_PASSED,	"power cut", true },
		{ "hang-deaf",	VM_PASSED,	"power cut", true },
		{ "check-hang",	VM_INVALID,	"oracles-agree: 8192 != 1024; power cut (and 1 more)", true },
		{ "splat-hang",	VM_SPLAT,	"WARNING:at_mm/filemap.c", true },
		/* Nothing was cut: it ended before. */
		{ "exit1",	VM_INFRA,	"status 1", false },
		{ "panic",	VM_PANIC,	"Fatal exception", false },
	};

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_config cfg = config();
		struct vm_result res;

		cut_at = 0;
		cfg.cut_at = &cut_at;
		cfg.record = cases[i].cut ? cut_now : NULL;
		assert_int_equal(boot(&cfg, cases[i].mode, &res), 0);
		if (res.verdict != cases[i].verdict || !strstr(res.why, cases[i].why) || res.cut != cases[i].cut)
			fail_msg("%s: %s: %s", cases[i].mode, vm_verdict_name(res.verdict), res.why);
		vm_result_free(&res);
	}
}

/* A disk with a log: flushes are kept, and what the log can't hold is switched off. */
static void test_logged_disk(void **arg)
{
	struct vm_disk disk = { .path = scratch, .serial = "scratch", .log = "/tmp/a,b" };
	struct vm_config cfg = config();
	struct vm_result res;
	char *argv;

	(void)arg;
	cfg.disks = &disk;
	cfg.nr_disks = 1;
	boot(&cfg, "ok", &res);
	argv = json_dumps(res.argv, 0);
	assert_non_null(strstr(argv, "driver=blklogwrites,node-name=disk0,file=disk0-file,log=disk0-log"));
	assert_non_null(strstr(argv, "filename=/tmp/a,,b,"));
	assert_non_null(strstr(argv, "drive=disk0,serial=scratch,discard=off,write-zeroes=off,request-merging=off"));
	assert_null(strstr(argv, "cache=unsafe"));
	free(argv);
	vm_result_free(&res);
}

static void test_verdict_names(void **arg)
{
	(void)arg;
	for (int v = 0; v < VM_NR_VERDICTS; v++)
		assert_int_equal(vm_verdict_by_name(vm_verdict_name(v)), v);
	assert_int_equal(vm_verdict_by_name("success"), VM_NR_VERDICTS);
}

static void test_version(void **arg)
{
	char *s = vm_qemu_version(fake);

	(void)arg;
	assert_string_equal(s, "QEMU emulator version 0.1 (fake)");
	free(s);
	assert_null(vm_qemu_version("/no/such/qemu"));
	assert_int_equal(errno, ENOENT);
}

static void test_interactive(void **arg)
{
	struct vm_config cfg = config();
	struct vm_result res;
	char *text;

	(void)arg;
	cfg.interactive = true;
	cfg.boot_s = cfg.idle_s = cfg.total_s = 0;
	boot(&cfg, "slow-boot", &res);
	assert_int_equal(res.verdict, VM_PASSED);
	assert_int_equal(json_array_size(res.records), 0);
	text = argv_text(&res);
	assert_non_null(strstr(text, " -serial mon:stdio "));
	free(text);
	vm_result_free(&res);
	boot(&cfg, "exit1", &res);
	assert_int_equal(res.verdict, VM_INFRA);
	vm_result_free(&res);
}

static void test_accel_forced(void **arg)
{
	struct accel_answer a;

	(void)arg;
	assert_int_equal(accel_probe(fake, kernel, kernel, ACCEL_TCG, &a), 0);
	assert_int_equal(a.accel, ACCEL_TCG);
	assert_false(a.cached);
	free(a.why);
	assert_string_equal(accel_name(ACCEL_KVM), "kvm");
	assert_string_equal(accel_name(ACCEL_TCG), "tcg");
}

static void test_accel_no_kvm(void **arg)
{
	struct accel_answer a;

	(void)arg;
	setenv("SHBENCH_KVM", "/no/such/kvm", 1);
	assert_int_equal(accel_probe(fake, kernel, kernel, ACCEL_AUTO, &a), 0);
	assert_int_equal(a.accel, ACCEL_TCG);
	assert_string_equal(a.why, "no /no/such/kvm on this host");
	assert_false(a.cached);
	free(a.why);
	/* The answer is kept ... */
	assert_int_equal(accel_probe(fake, kernel, kernel, ACCEL_AUTO, &a), 0);
	assert_int_equal(a.accel, ACCEL_TCG);
	assert_true(a.cached);
	free(a.why);
	/* ... and a KVM that was asked for and is not there is an error, not a silent TCG. */
	assert_int_equal(accel_probe(fake, kernel, kernel, ACCEL_KVM, &a), -ENODEV);
	assert_null(a.why);
	/* Another kernel, another question. */
	setenv("SHBENCH_KVM", "/dev/null", 1);
	assert_int_equal(accel_probe(fake, fake, kernel, ACCEL_AUTO, &a), 0);
	assert_false(a.cached);
	assert_string_equal(a.why, "/dev/null is there, but has no KVM behind it");
	free(a.why);
	unsetenv("SHBENCH_KVM");
}

static void test_accel_canary(void **arg)
{
	char *cache = xasprintf("%s/cache/accel", dir);
	struct accel_answer a;

	(void)arg;
	if (access("/dev/kvm", R_OK | W_OK)) {
		free(cache);
		skip();
	}
	assert_int_equal(remove_tree(cache), 0);
	setenv("FAKE_QEMU", "internal-error", 1);
	assert_int_equal(accel_probe(fake, kernel, kernel, ACCEL_AUTO, &a), 0);
	assert_int_equal(a.accel, ACCEL_TCG);
	assert_non_null(strstr(a.why, "boots no kernel"));
	assert_non_null(strstr(a.why, "KVM internal error"));
	free(a.why);
	assert_int_equal(remove_tree(cache), 0);
	setenv("FAKE_QEMU", "ok", 1);
	assert_int_equal(accel_probe(fake, kernel, kernel, ACCEL_KVM, &a), 0);
	assert_int_equal(a.accel, ACCEL_KVM);
	assert_non_null(strstr(a.why, "canary guest was up"));
	free(a.why);
	free(cache);
	assert_nothing_left();
}

static int set_up(void **arg)
{
	char template[] = "/tmp/test-vm-XXXXXX", *cache;

	(void)arg;
	fake = xasprintf("%s/build/fake-qemu", top_dir());
	if (!file_exists(fake)) {
		print_error("%s is not there: make build/fake-qemu\n", fake);
		return -1;
	}
	if (!mkdtemp(template))
		return -1;
	dir = xstrdup(template);
	kernel = xasprintf("%s/kernel", dir);
	console = xasprintf("%s/console.log", dir);
	scratch = xasprintf("%s/scratch.disk", dir);
	cache = xasprintf("%s/cache", dir);
	setenv("SHCACHE_CACHE", cache, 1);
	free(cache);
	opt.quiet = true;
	/* A QEMU that loses its runner becomes our child, and is seen. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return write_file_atomic(kernel, "kernel", 6);
}

static int tear_down(void **arg)
{
	int ret = remove_tree(dir);

	(void)arg;
	free(fake);
	free(dir);
	free(kernel);
	free(console);
	free(scratch);
	return ret;
}

int main(void)
{
	static const struct CMUnitTest fixed[] = {
		cmocka_unit_test(test_only_records_pass),
		cmocka_unit_test(test_traces),
		cmocka_unit_test(test_record_callback),
		cmocka_unit_test(test_command_line),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_wrong_use),
		cmocka_unit_test(test_stale_console),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_runner_killed),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_logged_disk),
		cmocka_unit_test(test_verdict_names),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_interactive),
		cmocka_unit_test(test_accel_forced),
		cmocka_unit_test(test_accel_no_kvm),
		cmocka_unit_test(test_accel_canary),
	};
	struct CMUnitTest vm_tests[ARRAY_SIZE(scenarios) + ARRAY_SIZE(fixed)];
	size_t n = 0;

	for (; n < ARRAY_SIZE(scenarios); n++)
		vm_tests[n] = (struct CMUnitTest){ scenarios[n].mode, test_scenario, NULL, NULL, (void *)&scenarios[n] };
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		vm_tests[n++] = fixed[i];
	return cmocka_run_group_tests(vm_tests, set_up, tear_down);
}
