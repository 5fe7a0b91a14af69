#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# How often the gate's comparisons come out as they must, and how small a change is found: the plan `power`, with another seed each time, and
# `shbench gate` over these runs. Best on a host that has other things to do: neither lane may care. Exit code 1 if any comparison came out
# otherwise.
#
#	power.sh [REPETITIONS [FIRST SEED [DIRECTORY]]]	20 from 1 on, if not said; the power curve is drawn in DIRECTORY
#
# Needs the kernels base and perf-*, which it builds; nothing else may be running in the results directory ($SHCACHE_RESULTS).
set -u

n=${1:-20}
first=${2:-1}
top=$(cd "$(dirname "$0")/.." && pwd) || exit 3
runs=

for seed in $(seq "$first" $((first + n - 1))); do
	said=$("$top/shbench" run power --seed "$seed" --json -q 2>/dev/null)
	status=$?
	# 3: a gate failed, which is counted below.
	if [ $status -ne 0 ] && [ $status -ne 3 ]; then
		echo "power.sh: shbench run power --seed $seed ended with $status" >&2
	fi
	run=$(printf '%s\n' "$said" | sed -n 's/^ "run": "\(.*\)",$/\1/p')
	[ -n "$run" ] || { echo "power.sh: shbench run power --seed $seed left no run" >&2; exit 3; }
	runs="$runs $run"
done
# shellcheck disable=SC2086 # a list of words
exec "$top/shbench" gate ${3:+--output "$3"} $runs
