# lib.sh - one script on every kernel of tools/vm, one after the other, and the sum of their counts;
# sourced by run-all and matrix.
#
# What runs in the machine prints "ok - ", "not ok - " and "skip - " lines and at last its counts.
# A machine that did not come to that line counts as one failure: nothing that did not run is green.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
passed=0 failed=0 skipped=0
machine=

die() {
	echo "${0##*/}: $*" >&2
	exit 2
}

# The packet tables to run: those named, else those that were built.
tables=()
find_tables() { # BINARY...
	local binary
	for binary; do
		[[ -f $binary && -x $binary ]] || die "$binary is missing: run make"
		tables+=("$(realpath "$binary")")
	done
	(($#)) || for binary in "$here"/build/tests/bpf*; do
		[[ ! -f $binary || ! -x $binary ]] || tables+=("$binary")
	done
}

stop_machine() {
	[[ -z $machine ]] || kill -TERM "$machine" 2>/dev/null || true
	[[ -z $machine ]] || wait "$machine" 2>/dev/null || true
	[[ -z ${logs:-} ]] || rm -rf -- "$logs"
}

on_kernel() { # KERNEL SECONDS COMMAND...
	local kernel=$1 limit=$2 began=$SECONDS code=0 env=() name counts
	local log=$logs/$kernel
	shift 2
	for name in SHIFTCTL SHIFTD SHIFT_TRAFFIC SMOKE_TABLE_LIMIT; do
		[[ -z ${!name:-} ]] || env+=(--env "$name=${!name}")
	done
	[[ ! -t 2 ]] || printf 'Linux %s: running\r' "$kernel" >&2
	"$here/tools/vm" run --timeout "$limit" "${env[@]}" "$kernel" -- "$@" >"$log" 2>"$log.talk" &
	machine=$!
	wait "$machine" || code=$?
	machine=
	counts=$(tail -n 1 "$log")
	if [[ $counts =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]] &&
		((code == (BASH_REMATCH[2] > 0))); then
		((passed += BASH_REMATCH[1], failed += BASH_REMATCH[2], skipped += BASH_REMATCH[3])) || true
	else
		counts="did not come to its end (exit code $code)"
		((++failed))
	fi
	echo "Linux $kernel: $counts, $((SECONDS - began)) s"
	if ((code)); then
		awk '/^not ok - / { p = 1 } !/^(not ok - |#)/ { p = 0 } p { print "  " $0 }' "$log"
		tail -n 50 "$log.talk" | sed 's/^/  /'
	fi
	grep -E '^skip - ' "$log" | sed 's/^/  /' || true
}

conclude() {
	echo "$passed passed, $failed failed, $skipped skipped"
	((failed == 0 && passed > 0))
}

logs=$(mktemp -d "${TMPDIR:-/tmp}/shift-kernels.XXXXXXXX")
trap stop_machine EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
