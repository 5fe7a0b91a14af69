// SPDX-License-Identifier: GPL-2.0
/* Finding splats in console text, and their ids. The texts are what Linux 6.12 prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "util.h"
#include "vm.h"

static const struct {
	const char *text, *kind, *id;	/* kind NULL: no splat */
} cases[] = {
	{ "[   12.345678] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\r\n", "panic",
	  "Kernel_panic_-_not_syncing:_Attempted_to_kill_init_exitcode_#" },
	{ "[    1.0][    C1] BUG: kernel NULL pointer dereference, address: 0000000000000008\r\n"
	  "[    1.1][    C1] #PF: supervisor read access in kernel mode\n"
	  "[    1.2][    C1] RIP: 0010:shc_lookup.isra.0+0x12/0x340\n", "oops",
	  "BUG:_kernel_NULL_pointer_dereference_address:_#_in_shc_lookup" },
	{ "[    1.0] BUG: unable to handle page fault for address: ffffea0001234567\n[    1.0] RIP: 0010:xas_load+0x5/0x60 [mod]\n",
	  "oops", "BUG:_unable_to_handle_page_fault_for_address:_#_in_xas_load" },
	{ "[    1.0] Oops: general protection fault, probably for non-canonical address 0xdead000000000122: 0000 [#1] SMP NOPTI\n",
	  "oops", NULL },
	{ "[    1.0] kernel BUG at mm/filemap.c:153!\n[    1.0] RIP: 0010:filemap_unaccount_folio+0x1/0x2\n", "oops",
	  "kernel_BUG_at_mm/filemap.c:#_in_filemap_unaccount_folio" },
	{ "[    1.0] ------------[ cut here ]------------\n"
	  "[    1.0] WARNING: CPU: 1 PID: 77 at fs/iomap/buffered-io.c:998 iomap_read_folio+0x1a/0x220\n", "WARNING",
	  "WARNING:at_fs/iomap/buffered-io.c:#_iomap_read_folio" },
	{ "[    1.0] WARNING: mm/memory.c:123 at do_fault+0x1a/0x220, CPU#3: agent/77\n", "WARNING",
	  "WARNING:_mm/memory.c:#_at_do_fault" },
	{ "[    1.0] WARNING: possible circular locking dependency detected\n[    1.0] 6.12.0 #1 Not tainted\n"
	  "[    1.0] agent/77 is trying to acquire lock:\n"
	  "[    1.0] ffff8880012345 (&mm->mmap_lock){++++}-{3:3}, at: do_user_addr_fault+0x12/0x34\n", "lockdep",
	  "WARNING:_possible_circular_locking_dependency_detected_in_do_user_addr_fault" },
	{ "[    1.0] WARNING: suspicious RCU usage\n", "lockdep", "WARNING:_suspicious_RCU_usage" },
	{ "[    1.0] [ BUG: Invalid wait context ]\n", "lockdep", NULL },
	{ "[    1.0] BUG: KASAN: slab-use-after-free in shc_put+0x4f/0x90\n[    1.0] Read of size 8 at addr ffff888001 by task a/1\n",
	  "KASAN", "BUG:_KASAN:_slab-use-after-free_in_shc_put" },
	{ "[    1.0] UBSAN: array-index-out-of-bounds in mm/x.c:12:3\n", "UBSAN", "UBSAN:_array-index-out-of-bounds_in_mm/x.c:#:#" },
	{ "[  121.0] INFO: task agent:77 blocked for more than 60 seconds.\n[  121.0]       Not tainted 6.12.0 #1\n"
	  "[  121.0] Call Trace:\n[  121.0]  <TASK>\n[  121.0]  __schedule+0x1/0x2\n[  121.0]  schedule+0x1/0x2\n"
	  "[  121.0]  io_schedule+0x1/0x2\n[  121.0]  folio_wait_bit_common+0x12a/0x2b0\n", "hung task",
	  "INFO:_task_agent:#_blocked_for_more_than_#_seconds._in_folio_wait_bit_common" },
	{ "[   30.0] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [agent:77]\n", "lockup", NULL },
	{ "[   30.0] rcu: INFO: rcu_sched self-detected stall on CPU\n", "RCU stall", "rcu:_INFO:_rcu_sched_self-detected_stall_on_CPU" },
	{ "[    1.0] BUG: sleeping function called from invalid context at mm/x.c:12\n", "BUG", NULL },
	{ "[    1.0] BUG: Bad page state in process agent  pfn:12345\n", "BUG", NULL },
	{ "[    1.0] BUG kmalloc-64 (Not tainted): Right Redzone overwritten\n", "BUG", NULL },
	{ "[    1.0] BUG: Dentry 00000000abcdef01{i=83,n=x}  still in use (1) [unmount of xfs ram0]\n", "BUG", NULL },
	{ "[    1.0] list_del corruption. prev->next should be ffff88800, but was dead\n", "BUG", NULL },
	{ "[    1.0] XFS (ram0): Metadata corruption detected at xfs_agi_verify+0x1/0x2, xfs_agi block 0x2\n", "file system", NULL },
	{ "[    1.0] XFS: Assertion failed: 0, file: fs/xfs/xfs_icache.c, line: 1839\n", "file system", NULL },
	{ "[    1.0] assertion failed: folio_test_locked(folio), in fs/btrfs/extent_io.c:12\n", "file system", NULL },
	{ "[    1.0] BTRFS: Transaction aborted (error -28)\n", "file system", NULL },
	/* Behind what a program left on the line. */
	{ "agent: hello [    1.0] kernel BUG at mm/x.c:1!\n", "oops", NULL },
	/* The first one counts. */
	{ "[    1.0] all is well\n[    2.0] WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n[    3.0] Kernel panic - not syncing: x\n", "WARNING",
	  "WARNING:at_a.c:#_f" },
	/* Without time stamps. */
	{ "Kernel panic - not syncing: VFS", "panic", "Kernel_panic_-_not_syncing:_VFS" },

	{ "", NULL, NULL },
	{ "\n\n\n", NULL, NULL },
	{ "[    0.0] This is a DEBUG BUILD: expect BUG: lines\n", NULL, NULL },
	{ "[    1.0] traps: python3[12] general protection fault ip:7f00 sp:7ffd error:0 in libc.so.6\n", NULL, NULL },
	{ "[    1.0] agent[77]: segfault at 8 ip 0000000000401 sp 00007ffd error 4 in agent\n", NULL, NULL },
	{ "[    0.0] Kernel command line: oops=panic panic_on_warn=1 panic=-1\n", NULL, NULL },
	{ "[    1.0] Memory cgroup out of memory: Killed process 77 (agent)\n", NULL, NULL },
	{ "[    1.0] sysrq: Show Blocked State\n", NULL, NULL },
	{ "[    1.0] XFS (ram0): Mounting V5 Filesystem 0123-4567\n", NULL, NULL },
	{ "[    1.0] BTRFS info (device ram0): first mount of filesystem 01234567-89ab\n", NULL, NULL },
	{ "[    1.0] Memory failure: 0x1234: recovery action for clean LRU page: Recovered\n", NULL, NULL },
	{ "[    1.0] rcu: Hierarchical RCU implementation.\n", NULL, NULL },
	{ "[    1.0] WARNING: Spectre v2 mitigation leaves CPU vulnerable\n", NULL, NULL },
	{ "[    1.0] list_lru: initialised\n", NULL, NULL },
	{ "[", NULL, NULL },
	{ "[    1.0]", NULL, NULL },
	{ "[ 1", NULL, NULL },
};

static void test_cases(void **arg)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* Exactly as long as needed, so that a read beyond it is seen. */
		char *text = xstrdup(cases[i].text), *id;
		const char *at = NULL, *kind = console_splat(text, &at);

		if (cases[i].kind ? !kind || strcmp(kind, cases[i].kind) : !!kind)
			fail_msg("\"%s\": %s, but expected %s", text, kind ? kind : "nothing", cases[i].kind ? cases[i].kind : "nothing");
		id = console_splat_id(text);
		assert_int_equal(!!id, !!kind);
		if (cases[i].id && strcmp(id, cases[i].id))
			fail_msg("id \"%s\", but expected \"%s\"", id, cases[i].id);
		if (kind)
			assert_true(at >= text && at < text + strlen(text));
		free(id);
		free(text);
	}
}

/* The same bug on another CPU, in another process, at another time and place in memory has the same id; another bug has not. */
static void test_id_is_stable(void **arg)
{
	static const char *const same[][2] = {
		{ "[    1.000000] WARNING: CPU: 0 PID: 1 at mm/filemap.c:10 filemap_fault+0x10/0x200\n",
		  "[  999.123456] WARNING: CPU: 17 PID: 31337 at mm/filemap.c:99 filemap_fault+0x2f/0x2a0 [xfs]\n" },
		{ "[    1.0] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [agent:77]\n",
		  "[   71.0] watchdog: BUG: soft lockup - CPU#0 stuck for 45s! [agent:12345]\n" },
		{ "[    1.0] BUG: unable to handle page fault for address: ffffea0001234567\n[    1.0] RIP: 0010:f+0x5/0x60\n",
		  "[    1.0] BUG: unable to handle page fault for address: 0000000000000010\n[    1.0] RIP: 0010:f+0x9/0x70\n" },
	};
	static const char *const differ[][2] = {
		{ "[    1.0] WARNING: CPU: 0 PID: 1 at mm/filemap.c:10 filemap_fault+0x10/0x200\n",
		  "[    1.0] WARNING: CPU: 0 PID: 1 at mm/filemap.c:10 filemap_map_pages+0x10/0x200\n" },
		{ "[    1.0] kernel BUG at mm/filemap.c:1!\n[    1.0] RIP: 0010:f+0x5/0x60\n",
		  "[    1.0] kernel BUG at mm/filemap.c:1!\n[    1.0] RIP: 0010:g+0x5/0x60\n" },
	};

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		char *a = console_splat_id(same[i][0]), *b = console_splat_id(same[i][1]);

		assert_string_equal(a, b);
		free(a);
		free(b);
	}
	for (size_t i = 0; i < ARRAY_SIZE(differ); i++) {
		char *a = console_splat_id(differ[i][0]), *b = console_splat_id(differ[i][1]);

		assert_string_not_equal(a, b);
		free(a);
		free(b);
	}
}

static void test_classes(void **arg)
{
	(void)arg;
	assert_int_equal(console_splat_class("panic"), SPLAT_PANIC);
	assert_int_equal(console_splat_class("hung task"), SPLAT_HANG);
	assert_int_equal(console_splat_class("oops"), SPLAT_FATAL);
	assert_int_equal(console_splat_class("WARNING"), SPLAT_NOTED);
	assert_int_equal(console_splat_class("lockdep"), SPLAT_NOTED);
}

static void test_excerpt(void **arg)
{
	char *s;

	(void)arg;
	s = console_excerpt("a\nb\n[ 1.0] ---[ end trace 0 ]---\nc\n", 10);
	assert_string_equal(s, "a\nb\n[ 1.0] ---[ end trace 0 ]---\n");
	free(s);
	s = console_excerpt("a\nb\nc\nd", 3);
	assert_string_equal(s, "a\nb\nc\n");
	free(s);
	s = console_excerpt("a\nb", 10);
	assert_string_equal(s, "a\nb");
	free(s);
}

static void test_last_line(void **arg)
{
	static const char *const table[][2] = {
		{ "", "" },
		{ "\r\n \n", "" },
		{ "[    1.0] one\r\n[    2.0] two\r\n\r\n", "two" },
		{ "no stamp\n", "no stamp" },
		{ "[    2.0] a\tb\033[0m", "ab[0m" },
	};

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char *s = console_last_line(table[i][0]);

		assert_string_equal(s, table[i][1]);
		free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_id_is_stable),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_excerpt),
		cmocka_unit_test(test_last_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
