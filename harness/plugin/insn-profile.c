// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin for QEMU's TCG: counts, by address, the guest instructions of measured operations. What it writes: bench/profile.h.
 *
 *	-plugin build/insn-profile.so,begin=ADDR,end=ADDR,fault=ADDR,out=FILE
 *
 * begin and end are instructions that read the clock (wl_begin_tsc and wl_end_tsc of the agent): an operation is what is executed
 * after the one up to and including the other, which is what the two readings differ by when QEMU counts instructions (-icount).
 * All is counted between them, whoever executes it. One virtual CPU.
 *
 * QEMU calls before an instruction is executed. One that faults is called for twice, and executes once; so the first instruction
 * of the kernel's page fault handler (fault) takes the one before it back. Each iteration of a string instruction is called for, as
 * it is counted by -icount.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what is used of QEMU's plugin API; its header is in QEMU's sources and in no package -------------------------------- */

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
enum { QEMU_PLUGIN_CB_NO_REGS };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*cb)(unsigned int vcpu, void *arg), int flags,
					    void *arg);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t id, void *arg), void *arg);

/* Since version 2 of the API, from QEMU 9.0 on, which refuses plugins of the first one. What is used here did not change. */
extern void *qemu_plugin_scoreboard_new(size_t size) __attribute__((weak));

extern int qemu_plugin_version;
EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv);

__attribute__((constructor)) static void choose_version(void)
{
	if (qemu_plugin_scoreboard_new)
		qemu_plugin_version = 2;
}

/* --- counting ------------------------------------------------------------------------------------------------------------ */

/* One address of an instruction. Entries are never moved: translated code points to them. */
struct place {
	uint64_t addr, count;
	struct place *next;
};

#define BUCKETS (1u << 16)

static struct place *table[BUCKETS];
static uint64_t begin, end, fault, regions, unbalanced;
static char *out;
static bool inside;
static struct place *last;		/* executed while inside */

static struct place *place(uint64_t addr)
{
	struct place **head = &table[(addr ^ addr >> 16) % BUCKETS], *p;

	for (p = *head; p; p = p->next)
		if (p->addr == addr)
			return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->addr = addr;
	p->next = *head;
	*head = p;
	return p;
}

static void on_insn(unsigned int vcpu, void *arg)
{
	struct place *p = arg;

	(void)vcpu;
	if (!inside)
		return;
	p->count++;
	last = p;
}

static void on_begin(unsigned int vcpu, void *arg)
{
	(void)vcpu;
	(void)arg;
	unbalanced += inside;
	inside = true;
	last = NULL;
}

static void on_end(unsigned int vcpu, void *arg)
{
	on_insn(vcpu, arg);
	unbalanced += !inside;
	regions += inside;
	inside = false;
}

static void on_fault(unsigned int vcpu, void *arg)
{
	if (inside && last)
		last->count--;
	on_insn(vcpu, arg);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb), i;

	(void)id;
	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t addr = qemu_plugin_insn_vaddr(insn);
		void (*cb)(unsigned int vcpu, void *arg) = on_insn;

		if (addr == begin)
			cb = on_begin;
		else if (addr == end)
			cb = on_end;
		else if (addr == fault)
			cb = on_fault;
		qemu_plugin_register_vcpu_insn_exec_cb(insn, cb, QEMU_PLUGIN_CB_NO_REGS, place(addr));
	}
}

/* The last line tells a whole file from one that the disk had no room for. */
static void on_exit_write(qemu_plugin_id_t id, void *arg)
{
	FILE *f = fopen(out, "we");
	size_t i;

	(void)id;
	(void)arg;
	if (!f) {
		fprintf(stderr, "insn-profile: %s cannot be written\n", out);
		return;
	}
	fprintf(f, "insn-profile 1\nregions %llu\nunbalanced %llu\n", (unsigned long long)regions,
		(unsigned long long)(unbalanced + inside));
	for (i = 0; i < BUCKETS; i++)
		for (const struct place *p = table[i]; p; p = p->next)
			if (p->count)
				fprintf(f, "%llx %llu\n", (unsigned long long)p->addr, (unsigned long long)p->count);
	fprintf(f, "end\n");
	fclose(f);
}

static int refuse(const char *what)
{
	fprintf(stderr, "insn-profile: %s; wanted: begin=ADDR,end=ADDR,fault=ADDR,out=FILE\n", what);
	return -1;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t *to;
	} addresses[] = { { "begin=", &begin }, { "end=", &end }, { "fault=", &fault } };
	int i;

	(void)info;
	for (i = 0; i < argc; i++) {
		bool known = !strncmp(argv[i], "out=", 4);
		size_t k;

		if (known)
			out = strdup(argv[i] + 4);
		for (k = 0; k < sizeof(addresses) / sizeof(addresses[0]); k++) {
			size_t len = strlen(addresses[k].name);

			if (strncmp(argv[i], addresses[k].name, len))
				continue;
			*addresses[k].to = strtoull(argv[i] + len, NULL, 16);
			known = true;
		}
		if (!known)
			return refuse(argv[i]);
	}
	if (!begin || !end || !fault || !out)
		return refuse("an argument is missing");
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, on_exit_write, NULL);
	return 0;
}
