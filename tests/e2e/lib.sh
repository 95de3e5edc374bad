# lib.sh - what the end-to-end tests share: the lab, the commands, the counting; sourced.
#
# Each tests/e2e/NN-name is a script of its own: it builds a lab of its own name, prints "ok - NAME" or
# "not ok - NAME" with what was seen on lines of "#", takes its lab down on every way out, and exits
# 0 only when nothing failed.
# shellcheck shell=bash
set -uo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
name=${0##*/}
export SHIFT_LAB=${SHIFT_LAB:-t}-${name//[^a-z0-9-]/}
lab=$here/tools/lab
shiftctl=${SHIFTCTL:-$here/build/shiftctl}
traffic=${SHIFT_TRAFFIC:-$here/build/traffic}
work=$(mktemp -d "${TMPDIR:-/tmp}/shift-test.XXXXXXXX")
config=$work/shift.yaml
host=old # the node that `ctl` runs on
failed=0
background=() # process ids to end at the end
ours=         # set when the lab of this name is ours to take down

# shellcheck disable=SC2317 # called by the trap
finish() {
	local code=$? pid
	trap '' INT TERM HUP
	trap - EXIT
	for pid in "${background[@]}"; do
		kill -TERM "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	done
	if [[ -n $ours ]]; then
		on "$host" "$shiftctl" -c "$config" detach --force --override-lock \
			--lose-state >/dev/null 2>&1
		"$lab" down 2>/dev/null
	fi
	[[ -z ${SHIFT_LOGS:-} ]] || cat "$work"/*.log "$work"/*.errors >>"$SHIFT_LOGS" 2>/dev/null
	rm -rf -- "$work"
	((code == 0 && failed == 0)) || exit 1
	exit 0
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

ok() {
	echo "ok - $name: $1"
}

not_ok() { # NAME [SEEN]
	echo "not ok - $name: $1"
	[[ -z ${2:-} ]] || tail -n 25 <<<"$2" | sed 's/^/#   /'
	((++failed))
}

is() { # NAME GOT WANT
	if [[ $2 == "$3" ]]; then ok "$1"; else not_ok "$1" "is '$2', should be '$3'"; fi
}

has() { # NAME TEXT PATTERN: an extended regular expression
	if grep -qE -- "$3" <<<"$2"; then ok "$1"; else not_ok "$1" "no match of '$3' in:"$'\n'"$2"; fi
}

true_that() { # NAME COMMAND...
	local said what=$1
	shift
	if said=$("$@" 2>&1); then ok "$what"; else not_ok "$what" "$*"$'\n'"$said"; fi
}

exits() { # CODE NAME COMMAND...: leaves what it said in $said
	local want=$1 what=$2 got=0
	shift 2
	"$@" >"$work/said" 2>&1 || got=$?
	said=$(<"$work/said")
	if ((got == want)); then
		ok "$what"
	else
		not_ok "$what" "exit code $got, should be $want: $*"$'\n'"$said"
	fi
}

give_up() {
	not_ok "$1" "${2:-}"
	exit 1
}

# ---- the lab ----

lab_up() {
	local said
	[[ -x $shiftctl && -x $traffic ]] || give_up "build" "run make"
	[[ ! -d /run/$SHIFT_LAB ]] || give_up "the lab stands" "$SHIFT_LAB is up already: lab down"
	ours=1
	said=$("$lab" up "$@" 2>&1) || give_up "the lab stands" "$said"
	eval "$("$lab" env)"
}

on() { # NODE COMMAND...
	local node=NS_${1^^}
	shift
	nsenter --net="${!node}" -- "$@"
}

ctl() {
	timeout 60 nsenter --net="/run/netns/$SHIFT_LAB-$host" -- "$shiftctl" -c "$config" "$@"
}

status() { # FILTER: of status --json
	ctl status --json 2>/dev/null | jq -r "$1"
}

client() { # traffic verb and options
	nsenter --net="$NS_CLIENT" -- "$traffic" "$@"
}

# New connections from the whole client range; leaves $work/NAME.json and NAME.log.
http() { # NAME OPTIONS...
	local run=$1
	shift
	client http --to "$OLD4:80,[$OLD6]:80" --from "$CLIENT4NET,$CLIENT6WIDE" --timeout 8 \
		--log "$work/$run.log" "$@" >"$work/$run.json" 2>"$work/$run.errors"
}

got() { # NAME FILTER: of the last line of a run's report
	tail -n 1 "$work/$1.json" | jq -r "$2"
}

no_errors() { # NAME WHAT
	local seen
	seen=$(got "$1" '"\(.errors) errors, \(.completed > 0)"')
	if [[ $seen == "0 errors, true" ]]; then
		ok "$2"
	else
		not_ok "$2" "$(tail -n 1 "$work/$1.json")"$'\n'"$(tail -n 5 "$work/$1.errors")"
	fi
}

# The two-sided p-value of seeing $1 of $2 where the share is $3, by the normal approximation with
# continuity correction; used with n p > 100 only.
binomial_p() { # SEEN TOTAL SHARE
	awk -v k="$1" -v n="$2" -v p="$3" 'BEGIN {
		z = (k > n * p ? k - n * p : n * p - k) - 0.5
		if (z < 0) z = 0
		z /= sqrt(n * p * (1 - p))
		# 2 * (1 - Phi(z)), Abramowitz and Stegun 7.1.26
		x = z / sqrt(2); t = 1 / (1 + 0.3275911 * x)
		y = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
		printf "%.6f\n", y * exp(-x * x)
	}'
}

plausible() { # NAME SEEN TOTAL SHARE: p > 0.001
	local p
	p=$(binomial_p "$2" "$3" "$4")
	if awk -v p="$p" 'BEGIN { exit !(p > 0.001) }'; then
		ok "$1 ($2 of $3, p = $p)"
	else
		not_ok "$1" "$2 of $3, expected share $4, p = $p"
	fi
}

# ---- configurations ----

# The usual one; settings of the environment: AFFINITY, PORTS, ONE_NAT=1, EXTRA (lines of YAML)
write_config() {
	local nat=$OLD4 a
	[[ -n ${ONE_NAT:-} ]] || for a in $OLD_NAT4S; do nat+=", $a"; done
	nat+=", \"$OLD6\""
	[[ -n ${ONE_NAT:-} ]] || for a in $OLD_NAT6S; do nat+=", \"$a\""; done
	cat >"$config" <<-END
		service: api
		listen: [$OLD4:80/tcp, "[$OLD6]:80/tcp", $OLD4:7000/tcp, "[$OLD6]:7000/tcp"]
		interfaces: [eth0]
		affinity: ${AFFINITY:-connection}
		bypass: []
		authority: shared
		nat:
		  addresses: [$nat]
		  ports: ${PORTS:-20000-59999}
		backends:
		  - {name: aws, target: "$AWS4:80", weight: 40, client_address: hidden}
		  - {name: azure, target: "$AZURE4:80", weight: 30, client_address: hidden}
		  - {name: gcp, target: "$GCP4:80", weight: 30, client_address: hidden}
		  - {name: aws6, target: "[$AWS6]:80", weight: 40, client_address: hidden}
		  - {name: azure6, target: "[$AZURE6]:80", weight: 30, client_address: hidden}
		  - {name: gcp6, target: "[$GCP6]:80", weight: 30, client_address: hidden}
		${EXTRA:-}
	END
}

# The same for the checked protocol on port 7000 (traffic hold).
write_hold_config() {
	write_config
	sed -i "s/:80\"/:7000\"/; s/^listen:.*/listen: [$OLD4:7000\/tcp, \"[$OLD6]:7000\/tcp\"]/" "$config"
}

attach() { # OPTIONS...
	exits 0 "apply" ctl apply "$@"
	# shellcheck disable=SC2154 # set by exits
	((failed == 0)) || give_up "attached" "$said"
}

# ---- traffic that goes on meanwhile ----

declare -A pid_of # process ids by the name of the run

begin() { # RUN VERB OPTIONS...: reports into $work/RUN.json four times a second; RUN_FOR at most
	local run=$1
	shift
	nsenter --net="$NS_CLIENT" -- "$traffic" "$@" --report 250ms --duration "${RUN_FOR:-10m}" --details 30 \
		>"$work/$run.json" 2>"$work/$run.errors" &
	pid_of[$run]=$!
	background+=($!)
}

end() { # RUN: what is under way finishes; the exit code of the traffic
	local pid=${pid_of[$1]} other code=0 left=()
	kill -TERM "$pid" 2>/dev/null
	wait "$pid" || code=$?
	for other in "${background[@]}"; do
		[[ $other == "$pid" ]] || left+=("$other")
	done
	background=("${left[@]}")
	return $code
}

pause() { # SECONDS, without starting a process
	[[ -p $work/never ]] || mkfifo "$work/never"
	read -rt "$1" <>"$work/never" || :
}

becomes() { # SECONDS WANT COMMAND...: what it prints is that in time; leaves it in $seen
	local until=$((${EPOCHREALTIME/./} + $1 * 1000000)) want=$2
	shift 2
	while
		seen=$("$@" 2>&1)
		[[ $seen != "$want" ]]
	do
		((${EPOCHREALTIME/./} < until)) || return 1
		pause 0.05
	done
}

eventually() { # NAME SECONDS WANT COMMAND...
	local what=$1 seen
	shift
	if becomes "$@"; then ok "$what"; else not_ok "$what" "is '$seen' after $1 s, should be '$2'"; fi
}

await() { # RUN: that ends by itself; the exit code of the traffic
	local pid=${pid_of[$1]} other code=0 left=()
	wait "$pid" || code=$?
	for other in "${background[@]}"; do
		[[ $other == "$pid" ]] || left+=("$other")
	done
	background=("${left[@]}")
	return $code
}

stop_background() {
	local pid
	for pid in "${background[@]}"; do
		kill -TERM "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	done
	background=()
}

spawn() { # NODE COMMAND...: in the background until the test, or stop_background, ends it
	local node=NS_${1^^}
	shift
	nsenter --net="${!node}" -- "$@" &
	background+=($!)
}

# ---- what is changed on a host, and what is not ----

holder= # a process whose mount namespace has a bpffs, once mount_bpffs was called

mount_bpffs() { # of this test alone; gone with it
	unshare --mount --propagation private -- sleep 1000 &
	holder=$!
	background+=("$holder")
	becomes 5 sleep cat "/proc/$holder/comm"
	nsenter --mount="/proc/$holder/ns/mnt" -- mount -t bpf shift-test /sys/fs/bpf
}

# `ctl` where the bpffs is seen.
pinned() { # COMMAND... of shiftctl
	timeout 60 nsenter --net="/run/netns/$SHIFT_LAB-$host" --mount="/proc/$holder/ns/mnt" -- \
		"$shiftctl" -c "$config" "$@"
}

# bpftool 7.1 lists no tcx: this is BPF_PROG_QUERY of linux/bpf.h.
tcx_programs() { # NODE DEVICE: "ingress ID..." and "egress ID...", in the order they run
	on "$1" /usr/bin/python3 - "$2" <<-'END'
		import ctypes, platform, socket, struct, sys
		call = {"x86_64": 321, "aarch64": 280}[platform.machine()]
		for name, kind in ("ingress", 46), ("egress", 47):
		    ids = (ctypes.c_uint32 * 64)()
		    query = ctypes.create_string_buffer(struct.pack(
		        "=IIIIQII32x", socket.if_nametoindex(sys.argv[1]), kind, 0, 0, ctypes.addressof(ids), 64, 0))
		    if ctypes.CDLL(None).syscall(call, 16, query, len(query) - 1) == 0:
		        print(name, *ids[:struct.unpack_from("=I", query, 24)[0]])
	END
}

# Everything that a program beside shiftctl could miss or find changed.
host_state() { # NODE
	local device node=$1
	on "$node" ip -d addr
	on "$node" ip route show table all
	on "$node" ip -6 route show table all
	on "$node" ip rule
	on "$node" nft -s list ruleset
	on "$node" tc qdisc show
	for device in $(on "$node" ls /proc/sys/net/ipv4/conf); do
		case $device in all | default) continue ;; esac
		echo "$device:"
		on "$node" tc filter show dev "$device" ingress
		on "$node" tc filter show dev "$device" egress
		tcx_programs "$node" "$device"
	done
	on "$node" sysctl -a 2>/dev/null | grep '^net\.' | grep -v 'conntrack_count\|nf_conntrack_events'
	[[ -z $holder ]] || nsenter --mount="/proc/$holder/ns/mnt" -- find /sys/fs/bpf ! -name '*.debug'
}

# The tables in the kernel that say what is to be done, by their ids and contents; no counters.
plane_state() { # NODE
	local id name
	id=$(tcx_programs "$1" eth0 | sed -n 's/^ingress //p')
	[[ -n $id ]] || return 0
	bpftool -j prog show id "${id##* }" | jq -c '{id, tag, map_ids}'
	for id in $(bpftool -j prog show id "${id##* }" | jq -r '.map_ids[]'); do
		name=$(bpftool -j map show id "$id" | jq -r .name)
		case $name in
		shift_control | shift_globals | shift_ports | shift_services | shift_entry | shift_listens | \
			shift_clients | shift_tables | shift_backends | shift_targets | shift_replies | shift_slots)
			echo "map $id $name $(bpftool map dump id "$id" 2>&1 | md5sum)"
			;;
		esac
	done
}
