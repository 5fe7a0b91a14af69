#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs test programs (cmocka, TAP output) and commands that print KTAP, adds up their results, and closes with one line:
# N passed, N failed, N skipped. A program that crashes or prints no plan counts as one failure.
#
#   run.sh [--totals FILE] PROGRAM...       each PROGRAM is a path, or a quoted command
#   run.sh --sum FILE                       prints the sum of all that was added to FILE; exit 1 if anything failed or nothing ran
set -u

totals=
if [ "${1:-}" = --sum ]; then
	awk '{ p += $1; f += $2; s += $3 }
	     END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' "$2"
	exit
fi
if [ "${1:-}" = --totals ]; then
	totals=$2
	shift 2
fi
passed=0 failed=0 skipped=0
out=$(mktemp) || exit 3
trap 'rm -f "$out"' EXIT
for t in "$@"; do
	start=$(date +%s)
	CMOCKA_MESSAGE_OUTPUT=TAP sh -c "exec $t" >"$out" 2>&1
	status=$?
	p=$(grep -c '^ok ' "$out") s=$(grep -Eci '^ok .*# *SKIP' "$out") f=$(grep -c '^not ok ' "$out")
	p=$((p - s))
	if [ "$f" -eq 0 ] && { [ "$status" -ne 0 ] && [ "$status" -ne 77 ] || [ $((p + s)) -eq 0 ]; }; then
		f=1
		echo "not ok - $t: exit status $status, no failed test reported"
	fi
	[ "$f" -gt 0 ] && sed 's/^/    /' "$out"
	# The table of what was caught by what is what `make canaries` is for.
	sed -n '/^# canary /,/^# run:/{/^# run:/d;s/^#/   /p}' "$out"
	printf '%-4s %s: %d passed, %d failed, %d skipped (%d s)\n' "$([ "$f" -gt 0 ] && echo FAIL || echo ok)" "$t" \
		"$p" "$f" "$s" $(($(date +%s) - start))
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
if [ -n "$totals" ]; then
	echo "$passed $failed $skipped" >>"$totals"
else
	echo "$passed passed, $failed failed, $skipped skipped"
fi
[ "$failed" -eq 0 ]
