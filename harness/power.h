/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Power cuts. A guest changes files that share extents and tells after which operation which fsync was done; QEMU is killed somewhere
 * in the middle. From the log of the disk's writes (writelog.h) several disks are made, each as it may be after a cut at some place of
 * the log. A second boot, of the same kernel or another one, recovers them and compares the files with what fsync promised
 * (workloads/promise.h); then xfs_repair or btrfs check looks at the file systems, on the host.
 */
#ifndef SHCACHE_POWER_H
#define SHCACHE_POWER_H

#include <stdbool.h>

#include "util.h"
#include "vm.h"

struct power_options {
	const char *kernels;		/* NAME or NAME/MOUNTOPTIONS, separated by blanks; the next one may recover what one has written */
	const char *fs;
	unsigned int images;		/* disks made of one cut, besides the one that QEMU left */
	unsigned int promises;		/* at most so many before the cut */
	unsigned int cpus, mem_mb;
	enum vm_accel accel;
	bool lie;			/* the disk acknowledges flushes that it does not do: must be found */
};

struct power_sum {
	unsigned int boots, passed, failed;	/* passed, failed: disks */
	unsigned long long promises, writes, bytes;
	unsigned long long served;	/* pages that the first boots got from the shared cache, as far as they told */
	bool infra;			/* something could not be carried out */
};

struct power;

/*
 * dir: an existing directory for consoles, and for what is kept of failures. Errors were printed. Returns 0 or -errno, as kernel_get().
 */
int power_open(const struct power_options *o, const char *dir, struct power **out);
unsigned int power_kernels(const struct power *p);
/*
 * One cut with kernel number k (from 0). Adds to *sum, and to tap a line for each disk, "ok - ..." without a number or "not ok - ..."
 * followed by comments. 0, -EINTR, or -EIO if the host is to blame (printed).
 */
int power_round(struct power *p, unsigned int k, unsigned long long seed, struct power_sum *sum, struct buf *tap);
void power_close(struct power *p);

/* The command `shbench powercut`. Returns an exit code. */
int cmd_powercut(int argc, char **argv);

#endif
