# ramp.sh - what the tests of shiftd's ramp share: starting and ending it, asking it, loading the service; sourced
# after lib.sh.
# shellcheck shell=bash disable=SC2154 # work, config, shiftctl: lib.sh's

export SHIFT_STATE=$work/state
shiftd=${SHIFTD:-${shiftctl%/*}/shiftd}
log=$work/shiftd.log
daemon=  # its process id
started= # that of what it was started with

# An exec gate prints what a file says.
value() { # GATE NUMBER
	echo "$2" >"$work/gate-$1.new" && mv "$work/gate-$1.new" "$work/gate-$1"
}

gate() { # NAME BOUNDS: in YAML's flow style
	value "$1" 0
	echo "{name: $1, source: {exec: [/bin/cat, $work/gate-$1], user: root, interval: 500ms, timeout: 400ms}, $2}"
}

# CHECKED: the health check of each backend.
write_ramp() { # STAGES GATES [MORE]: in YAML's flow style
	write_config
	[[ -z ${CHECKED:-} ]] || sed -i "s|client_address: hidden}|client_address: hidden, $CHECKED}|" "$config"
	cat >>"$config" <<-END
		role: leader
		ramp: {stages: [$1], window: 10s, min_connections: 20, max_step: 50, lease: 3s${3:-}}
		gates: [$2]
		metrics: {}
	END
	chmod 600 "$config"
}

answers() { # does shiftd?
	ctl ramp status >/dev/null 2>&1 && echo yes
}

# What it is started with does not end by a signal, but with it.
start_daemon() { # [COMMAND... to start it with]
	nsenter --net="$NS_OLD" -- "$@" "$shiftd" -c "$config" >>"$log" 2>&1 &
	started=$! daemon=$!
	if (($#)); then
		becomes 5 shiftd child_of "$started" || give_up "it is started" "$(tail -n 5 "$log")"
		daemon=$(pgrep -P "$started")
		background+=("$daemon")
	fi
	background+=("$started")
	becomes 10 yes answers || give_up "shiftd answers" "$(tail -n 20 "$log")"
}

child_of() {
	cat "/proc/$(pgrep -P "$1")/comm" 2>/dev/null
}

forget() { # it has ended
	local pid left=()
	wait "$started" 2>/dev/null
	for pid in "${background[@]}"; do
		[[ $pid == "$started" || $pid == "$daemon" ]] || left+=("$pid")
	done
	background=("${left[@]}")
	daemon=
}

stop_daemon() { # SIGNAL
	kill -"$1" "$daemon"
	forget
}

ramp() { # FILTER: of ramp status --json
	ctl ramp status --json 2>/dev/null | jq -r "$1"
}

as() { # OPERATOR COMMAND...
	SHIFT_OPERATOR=$1 ctl "${@:2}"
}

weight() {
	ctl weight 2>/dev/null
}

# From a new state, so that no test sees what another left.
afresh() { # STAGES GATES [MORE]
	[[ -z $daemon ]] || stop_daemon TERM
	ctl detach --force --override-lock --lose-state >/dev/null 2>&1
	rm -rf "$SHIFT_STATE"
	write_ramp "$@"
	exits 0 "apply" ctl apply
	start_daemon
}

begin_load() { # RUN [OPTIONS...]
	local run=$1
	shift
	begin "$run" http --to "$OLD4:80,[$OLD6]:80" --from "$CLIENT4NET,$CLIENT6WIDE" --timeout 8 "$@"
}

# How long until the share is that; in ms.
took() { # SECONDS WEIGHT
	local from=${EPOCHREALTIME/./}
	becomes "$1" "$2" weight || return 1
	echo $(((${EPOCHREALTIME/./} - from) / 1000))
}

within() { # NAME MS SECONDS WEIGHT: printed with the time
	local ms
	if ! ms=$(took "$3" "$4"); then
		not_ok "$1" "the share is $(weight) after $3 s"$'\n'"$(ctl ramp status; tail -n 5 "$log")"
	elif ((ms > $2)); then
		not_ok "$1" "after $ms ms, should be $2"
	else
		ok "$1 (after $ms ms)"
	fi
}
