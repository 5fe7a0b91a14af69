#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Nightly comparison on a Slurm cluster: an array job measures the parts, a second job joins them and judges. Run it from the checkout's top
# on a file system that all nodes see (for instance from scrontab):
#
#	docs/ci/slurm-submit.sh [PARTS] [DIRECTORY FOR THE PARTS]
#
# The nodes must have the same QEMU and accelerator: choose a partition, or a --constraint. The packages must be there (`make deps` says
# which); everything else runs as an ordinary user.
set -eu

parts=${1:-4}
dir=${2:-parts-$(date +%Y%m%d-%H%M%S)}

# Once, before the nodes would do it all at the same time.
make all
mkdir -p "$dir"
array=$(sbatch --parsable --array="1-$parts" --export="ALL,PARTS=$parts,SHCACHE_RESULTS=$dir" docs/ci/slurm-part.sbatch)
sbatch --dependency="afterany:${array%%;*}" --export="ALL,PARTS_DIR=$dir" docs/ci/slurm-judge.sbatch
