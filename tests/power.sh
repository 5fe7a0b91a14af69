#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# How often the gate's comparisons come out as they must: the plan `power`, with another seed each time. Best on a host that has other things to
# do: neither lane may care. Prints a table and a closing line; exit code 1 if any comparison came out otherwise.
#
#	power.sh [REPETITIONS [FIRST SEED]]	20 from 1 on, if not said
#
# Needs the kernels base and perf-*, which it builds; nothing else may be running in the results directory ($SHCACHE_RESULTS).
set -u

n=${1:-20}
first=${2:-1}
top=$(cd "$(dirname "$0")/.." && pwd) || exit 3
tally=$(mktemp) || exit 3
trap 'rm -f "$tally"' EXIT

for seed in $(seq "$first" $((first + n - 1))); do
	# 3: a gate failed, which is counted below.
	"$top/shbench" run power --seed "$seed" --json -q >"$tally.json" 2>/dev/null
	status=$?
	if [ $status -ne 0 ] && [ $status -ne 3 ]; then
		echo "power.sh: shbench run power --seed $seed ended with $status" >&2
	fi
	awk -v host="$(cut -d' ' -f1 /proc/loadavg)" '
		/"section":/ { gsub(/[",]/, "", $2); section = $2 }
		/"label":/ { gsub(/[",]/, "", $2); label = $2 }
		/"want":/ { gsub(/[",]/, "", $2); want = $2 }
		/"ok":/ { gsub(/,/, "", $2); print section, label, want, $2, host }' "$tally.json" >>"$tally"
	rm -f "$tally.json"
done
awk -v runs="$n" '
	{ key = sprintf("%-13s %-20s %-10s", $1, $2, $3); all[key]++; ok[key] += $4 == "true"; sum += $5; lines++
	  if ($4 != "true") $3 == "unchanged" ? alarms++ : misses++ }
	END {
		print "section       kernel               must be    so"
		fflush()
		for (k in all) print k, ok[k] "/" all[k] | "sort"
		close("sort")
		printf "%d runs, load %.1f: %d false alarms, %d misses\n", runs, lines ? sum / lines : 0, alarms, misses
		exit alarms + misses > 0 || lines == 0
	}' "$tally"
