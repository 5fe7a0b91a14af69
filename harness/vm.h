/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One boot: start QEMU, collect records, decide what happened, leave nothing behind.
 */
#ifndef SHCACHE_VM_H
#define SHCACHE_VM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum vm_accel { ACCEL_AUTO, ACCEL_KVM, ACCEL_TCG };
enum vm_lane { LANE_WALL, LANE_ICOUNT };

enum vm_verdict {
	VM_PASSED,		/* a "result" of pass, a "done" with the right count, no failed check, no splat */
	VM_FAILED,		/* the workload said "fail" */
	VM_INVALID,		/* a failed check (wrong data, oracles disagree, unexpected fault counts) */
	VM_SKIPPED,		/* the workload said "skip" */
	VM_PANIC,		/* kernel panic (console text or pvpanic) */
	VM_SPLAT,		/* oops, WARN, BUG, lockdep, KASAN, RCU stall ... although the guest went on */
	VM_HANG,		/* no record and no console output for idle_s, or the watchdog fired, or hung_task spoke */
	VM_TIMEOUT,		/* total_s is over although the guest was alive */
	VM_QEMU_DIED,		/* QEMU ended without the guest's "done" and without a panic */
	VM_GARBLED,		/* the record stream was not well-formed: invalid */
	VM_INFRA,		/* QEMU could not be started, disk full, interrupted ... */
	VM_NR_VERDICTS,
};
const char *vm_verdict_name(enum vm_verdict v);
/* The inverse; VM_NR_VERDICTS if there is no such verdict. */
enum vm_verdict vm_verdict_by_name(const char *name);

struct vm_disk {
	const char *path;
	const char *serial;
	bool readonly, raw_sparse;	/* raw_sparse: create as an empty sparse file of size bytes and remove afterwards */
	unsigned long long size;
	/*
	 * An existing file that receives all writes and flushes in order (writelog.h), NULL: none. The disk can't discard then.
	 */
	const char *log;
};

struct vm_config {
	const char *qemu;		/* NULL: qemu-system-x86_64, or $SHBENCH_QEMU */
	enum vm_accel accel;		/* ACCEL_AUTO is resolved by accel_probe() before */
	enum vm_lane lane;		/* LANE_ICOUNT: -icount shift=0,sleep=off, one vCPU, no disks at all */
	const char *bzimage, *initrd;
	const char *cmdline;		/* additions to the kernel command line, may be NULL */
	unsigned int mem_mb, cpus;
	const struct vm_disk *disks;
	unsigned int nr_disks;
	double boot_s, idle_s, total_s;	/* deadlines in host seconds, already scaled for accelerator and config */
	const char *dir;		/* existing directory for console.log */
	const char *console;		/* console file's path; NULL: dir/console.log */
	const char *plugin;		/* value of QEMU's option -plugin, NULL: none */
	bool interactive;		/* shell: console on the terminal, no records, no deadlines; "passed" if QEMU ended well */
	/*
	 * A power cut: QEMU is killed as soon as now_s() is beyond *cut_at, unless that is 0; record() may set it. The verdict of a boot that
	 * came to its cut is "passed" if nothing was wrong until then. NULL: none.
	 */
	const double *cut_at;
	/* Called for each well-formed record as it comes; may be NULL. */
	void (*record)(const json_t *rec, void *arg);
	void *arg;
};

struct vm_result {
	enum vm_verdict verdict;
	char *why;			/* one line; never NULL */
	json_t *records;		/* array of payloads in order, also of a boot that failed later */
	json_t *argv;			/* QEMU's command line, array of strings */
	char *cmdline;			/* the kernel's */
	double boot_s, wall_s;		/* until "hello"; in total */
	double cpu_s;			/* processor time that QEMU used */
	char *splat;			/* first splat's text (a few lines) or NULL */
	bool cut;			/* ended by cut_at */
};

/*
 * Boots once. Always fills *res (free with vm_result_free()). Returns 0 when the boot was carried out, whatever its verdict;
 * -EINTR when interrupted (the verdict is VM_INFRA then). No process, socket or scratch disk is left in any case.
 * When a guest hangs or panics, the runner first gives the console a moment to finish its trace, asks for a back-trace (NMI
 * over QMP), then quits QEMU by QMP, SIGTERM, SIGKILL.
 */
int vm_run(const struct vm_config *cfg, struct vm_result *res);
void vm_result_free(struct vm_result *res);
/* A value as QEMU's options take it: commas doubled. Malloced. */
char *vm_escape(const char *s);
/* QEMU's version line ("QEMU emulator version 7.2.22 ..."), or NULL with errno. */
char *vm_qemu_version(const char *qemu);

/* Finds the first splat in console text; returns its kind ("KASAN", "WARNING", "lockdep", "oops", "panic", "hung task" ...) or NULL. */
const char *console_splat(const char *text, const char **at);
/* A stable id of a splat: addresses, pids, cpu numbers and times replaced, so that "new" and "known" differ. */
char *console_splat_id(const char *text);

/*
 * Which accelerator really boots a guest: starts a canary guest (bzimage, initrd with the agent and the job "canary") under
 * KVM with a deadline, looks for its records; falls back to TCG and says why. The answer is cached under cache_dir(), keyed by
 * QEMU's version, the host's boot id and the bzImage's hash. force (ACCEL_KVM or ACCEL_TCG, from --accel) is obeyed, but
 * a forced KVM that does not boot is an error. why is one line for people and for provenance.
 */
struct accel_answer {
	enum vm_accel accel;
	char *why;
	bool cached;
};
int accel_probe(const char *qemu, const char *bzimage, const char *initrd, enum vm_accel force, struct accel_answer *out);
const char *accel_name(enum vm_accel a);

#endif
