# tunnels.sh - what tests/vm/tunnels stands on: counting, the network, the ends of tunnels made by `wg`,
# `ip` and charon, and what is asked of the kernel; sourced.
#
#     west ---------------- net ---------------- east ---- 10.10.1.10, 2001:db8:10::10 (on its lo)
#     192.0.2.1             routes, loses,       198.51.100.1, .2
#     2001:db8:1::1         delays, drops        2001:db8:2::1
#     198.18.1.1 (on lo)       |
#                            client 203.0.113.1
#
# west is ours in every scenario; east is made by others' tools wherever that proves more. Each scenario
# has a configuration and a state directory of its own: $work/HOST/NAME.yaml, $work/HOST/NAME.state.
# shellcheck shell=bash disable=SC2034 # what is set here is used by the scenarios

set -uo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
shiftctl=${SHIFTCTL:-$here/build/shiftctl}
shiftd=${SHIFTD:-$here/build/shiftd}
traffic=${SHIFT_TRAFFIC:-$here/build/traffic}
work=/run/tunnels
log=$work/everything # every word that our commands said
secrets=$work/secrets

passed=0 failed=0 skipped=0
scenario=
background=()

# ---- counting ----

ok() {
	echo "ok - $scenario: $1"
	((++passed))
}

not_ok() { # NAME [SEEN]
	echo "not ok - $scenario: $1"
	[[ -z ${2:-} ]] || tail -n 25 <<<"$2" | sed 's/^/#   /'
	((++failed))
}

skip() { # NAME WHY
	echo "skip - $scenario: $1: $2"
	((++skipped))
}

note() {
	echo "#   $1"
}

is() { # NAME GOT WANT
	if [[ $2 == "$3" ]]; then ok "$1"; else not_ok "$1" "is '$2', should be '$3'"; fi
}

has() { # NAME TEXT PATTERN: an extended regular expression, whatever the case
	if grep -qiE -- "$3" <<<"$2"; then ok "$1"; else not_ok "$1" "no match of '$3' in:"$'\n'"$2"; fi
}

holds() { # NAME SEEN EXPRESSION: arithmetic
	if (($3)); then ok "$1 ($2)"; else not_ok "$1" "$2; should be $3"; fi
}

exits() { # CODE NAME COMMAND...: leaves what it said in $said
	local want=$1 what=$2 got=0
	shift 2
	"$@" >"$work/said" 2>&1 || got=$? # not $(...), which would wait for what it leaves running
	said=$(<"$work/said")
	if ((got == want)); then
		ok "$what"
	else
		not_ok "$what" "exit code $got, should be $want: $*"$'\n'"$said"
		return 1
	fi
}

# Until COMMAND's output is WANT, for so many seconds; the last output is in $seen.
becomes() { # SECONDS WANT COMMAND...
	local end=$((SECONDS + $1 + 1)) want=$2
	shift 2
	while :; do
		seen=$("$@" 2>/dev/null)
		[[ $seen != "$want" ]] || return 0
		((SECONDS < end)) || return 1
		sleep 0.1
	done
}

will_be() { # NAME SECONDS WANT COMMAND...
	becomes "${@:2}" || :
	is "$1" "$seen" "$3"
}

lines() { # LINE...: none for none
	(($# == 0)) || printf '%s\n' "$@"
}

now_ms() {
	local now=${EPOCHREALTIME/./}
	echo $((now / 1000))
}

begin() { # COMMAND...: in the background; its process id is in $pid
	"$@" &
	pid=$!
	background+=("$pid")
}

end() { # PID [SIGNAL]: its exit code
	local code=0
	kill -"${2:-TERM}" "$1" 2>/dev/null || :
	wait "$1" 2>/dev/null || code=$?
	return $code
}

finish() {
	local p
	trap '' INT TERM
	for p in "${background[@]}"; do kill -KILL "$p" 2>/dev/null; done
	echo "$passed passed, $failed failed, $skipped skipped"
	((failed == 0 && passed > 0))
	exit
}

give_up() { # WHY [SEEN]
	not_ok "$@"
	finish
}

# ---- the network ----

on() { # HOST COMMAND...
	local host=$1
	shift
	nsenter --net="/run/netns/$host" -- "$@"
}

# Few processes, since each costs its time in an emulated machine.
build_network() {
	local ns host
	for ns in west net east client; do
		ip netns add $ns
		echo "link set lo up" | ip -n $ns -batch -
	done
	for ns in west east client; do
		echo "link add eth0 netns $ns type veth peer name $ns netns net"
	done | ip -batch -
	# rp_filter as systemd sets it
	on net sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	for host in west east; do
		on $host sysctl -qw net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.default.rp_filter=2
	done
	ip -n west -batch - <<-END
		link set eth0 up
		addr add 192.0.2.1/24 dev eth0
		addr add 2001:db8:1::1/64 dev eth0 nodad
		addr add 198.18.1.1/32 dev lo
		addr add 2001:db8:18::1/128 dev lo
		route add default via 192.0.2.254
		route add default via 2001:db8:1::fe
	END
	ip -n east -batch - <<-END
		link set eth0 up
		addr add 198.51.100.1/24 dev eth0
		addr add 198.51.100.2/24 dev eth0
		addr add 2001:db8:2::1/64 dev eth0 nodad
		addr add 10.10.1.10/32 dev lo
		addr add 2001:db8:10::10/128 dev lo
		route add default via 198.51.100.254
		route add default via 2001:db8:2::fe
	END
	ip -n client -batch - <<-END
		link set eth0 up
		addr add 203.0.113.1/24 dev eth0
		route add default via 203.0.113.254
	END
	ip -n net -batch - <<-END
		link set west up
		link set east up
		link set client up
		addr add 192.0.2.254/24 dev west
		addr add 2001:db8:1::fe/64 dev west nodad
		addr add 198.51.100.254/24 dev east
		addr add 2001:db8:2::fe/64 dev east nodad
		addr add 203.0.113.254/24 dev client
	END
}

# The first SA of a kind loads modules, which takes seconds in an emulated machine and is not what is
# measured here.
warm_up() {
	modprobe -qa wireguard esp4 xfrm_user xfrm_interface nf_tables || :
	ip -n net xfrm state add src 192.0.2.254 dst 192.0.2.253 proto esp spi 0x1000 mode tunnel \
		aead 'rfc4106(gcm(aes))' 0x0102030405060708091011121314151617181920 128
	ip -n net xfrm state add src 192.0.2.254 dst 192.0.2.253 proto esp spi 0x1001 mode tunnel \
		auth-trunc 'hmac(sha256)' 0x0102 128 enc 'cbc(aes)' 0x01020304050607080910111213141516
	ip -n net xfrm state flush
}

# The middle of the network: each way so late, and so much is lost.
weather() { # clear | DELAY LOSS
	local dev
	for dev in west east; do
		if [[ $1 == clear ]]; then
			tc -n net qdisc del dev $dev root 2>/dev/null || :
		else
			tc -n net qdisc replace dev $dev root netem delay "$1" loss "$2"
		fi
	done
}

# What is dropped on the way, silently: an nftables condition, or nothing.
drops() { # CONDITION...
	on net nft 'table inet storm; delete table inet storm'
	(($# == 0)) || on net nft "table inet storm {
		chain c { type filter hook forward priority 0; $* counter drop; }
	}"
}

# The answers to COUNT pings.
pings() { # HOST COUNT ADDRESS OPTIONS...
	local host=$1 count=$2 to=$3
	shift 3
	on "$host" timeout $((count + 20)) busybox ping -q -c "$count" -W 2 -i 0.1 "$@" "$to" 2>&1 |
		awk '/packets received/ { print $4; seen = 1 } END { if (!seen) print "none" }'
}

# Pings without an end into $work/RUN.pings; lost_of ends them.
begin_pings() { # RUN HOST SECONDS-BETWEEN ADDRESS OPTIONS...
	begin nsenter --net="/run/netns/$2" -- busybox ping -i "$3" "${@:5}" "$4" >"$work/$1.pings" 2>&1
	ping_pid[$1]=$pid
}
declare -A ping_pid

# "sent lost longest", the longest row of lost ones. The last second does not count.
lost_of() { # RUN
	local run=$1
	sleep 1
	end "${ping_pid[$run]}" INT
	awk '
		match($0, /seq=[0-9]+/) {
			s = substr($0, RSTART + 4, RLENGTH - 4) + 0
			if (/DUP/) next
			if (n++ && s > last + 1 && s - last - 1 > longest) longest = s - last - 1
			if (s > last) last = s
			first = first == "" ? s : first
			got[s] = 1
		}
		/packets transmitted/ { sent = $1 }
		END {
			for (i = 0; i <= last; i++) if (!(i in got)) lost++
			if (sent - 1 > last + 60) { lost += sent - 1 - last; longest = sent - 1 - last }
			print sent + 0, lost + 0, longest + 0
		}' "$work/$run.pings"
}

# Everything of the network of a host that a tunnel may leave behind.
picture() { # HOST
	ip -n "$1" -o link show | sed -E 's/^[0-9]+: //' | cut -d ' ' -f 1-5 | sort
	ip -n "$1" -o addr show | sed -E 's/^[0-9]+: //; s/(valid|preferred)_lft.*//' | sort
	local family
	for family in 4 6; do
		ip -n "$1" -$family rule show
		ip -n "$1" -$family route show table all | sed -E 's/ expires [0-9a-z]+//' | sort
	done
	ip -n "$1" xfrm state
	ip -n "$1" xfrm policy
}

# ---- our commands ----

run=default # the scenario's configuration

configure() { # HOST [NAME]: the tunnels are on stdin, from "  - name:"
	local address=192.0.2.1
	[[ $1 != east ]] || address=198.51.100.1
	{
		cat <<-END
			service: api
			listen: [$address:7000/tcp]
			interfaces: [eth0]
			nat: {addresses: [$address], ports: 20000-29999}
			backends:
			  - {name: aws, target: "203.0.113.80:7000", weight: 100, client_address: hidden}
			tunnels:
		END
		cat
	} >"$work/$1/${2:-$run}.yaml"
}

as() { # HOST PROGRAM ARGUMENTS...
	local host=$1 program=$2 code=0 said=$work/said.$BASHPID
	shift 2
	SHIFT_STATE=$work/$host/$run.state timeout "${LIMIT:-60}" nsenter --net="/run/netns/$host" -- \
		"$program" -c "$work/$host/$run.yaml" "$@" >"$said.out" 2>"$said.err" || code=$?
	tee -a "$log" <"$said.out"
	tee -a "$log" <"$said.err" >&2
	rm -f "$said.out" "$said.err"
	return $code
}

ctl() { # HOST ARGUMENTS...
	local host=$1
	shift
	as "$host" "$shiftctl" "$@"
}

tunnel() { # ARGUMENTS...: on west
	ctl west tunnel "$@"
}

begin_shiftd() { # HOST
	SHIFT_STATE=$work/$1/$run.state begin nsenter --net="/run/netns/$1" -- \
		"$shiftd" -c "$work/$1/$run.yaml" >>"$work/$1/$run.shiftd" 2>&1
	shiftd_pid[$1]=$pid
}
declare -A shiftd_pid

end_shiftd() { # HOST
	cat "$work/$1/$run.shiftd" >>"$log"
	end "${shiftd_pid[$1]}"
}

# Fields of the tunnel of that name in what `tunnel check` and `tunnel list` say.
checked() { # NAME FILTER [HOST]
	ctl "${3:-west}" tunnel check --json 2>/dev/null |
		jq -r --arg name "$1" ".tunnels[] | select(.name == \$name) | $2" 2>/dev/null
}

listed() { # NAME FILTER [HOST]
	ctl "${3:-west}" tunnel list --json 2>/dev/null |
		jq -r --arg name "$1" ".tunnels[] | select(.name == \$name or .interface == \$name) | $2" 2>&1
}

# ---- keys ----

secret() { # TEXT: is to be found nowhere
	echo "$1" >>"$secrets"
}

private_file() { # FILE: what is on stdin, for root alone
	(umask 077 && cat >"$1")
}

new_key() { # HOST NAME: $work/HOST/NAME.key; prints the public key
	local key
	key=$(wg genkey)
	secret "$key"
	private_file "$work/$1/$2.key" <<<"$key"
	wg pubkey <<<"$key"
}

new_psk() { # FILE...: the same in each
	local key file
	key=$(wg genpsk)
	secret "$key"
	for file; do private_file "$file" <<<"$key"; done
}

# Any 32 bytes are a public key.
random_keys() { # COUNT
	head -c $(($1 * 33)) /dev/urandom | base64 -w 44 | cut -c 1-42 | head -n "$1" | sed 's/$/A=/'
}

# ---- WireGuard by other tools ----

make_wg() { # HOST DEVICE PORT KEY-NAME MTU ADDRESS...
	local host=$1 dev=$2 port=$3 key=$4 mtu=$5 a
	shift 5
	ip -n "$host" link add "$dev" type wireguard || return
	on "$host" wg set "$dev" listen-port "$port" private-key "$work/$host/$key.key"
	for a; do ip -n "$host" addr add "$a" dev "$dev" nodad 2>/dev/null || ip -n "$host" addr add "$a" dev "$dev"; done
	ip -n "$host" link set "$dev" mtu "$mtu" up
}

transfer() { # HOST DEVICE: "rx tx" of its first peer
	on "$1" wg show "$2" transfer | awk 'NR == 1 { print $2, $3 }'
}

handshake_of() { # HOST DEVICE: when, in seconds
	on "$1" wg show "$2" latest-handshakes | awk 'NR == 1 { print $2 }'
}

# ---- charon ----

charon_conf() { # HOST
	cat >"$work/$1/strongswan.conf" <<-END
		charon-systemd {
			load = random drbg nonce aes sha1 sha2 hmac kdf gcm cmac curve25519 gmp openssl pem pubkey pkcs1 x509 kernel-netlink socket-default vici
			install_routes = no
			install_virtual_ip = no
			retransmit_timeout = 2
			retransmit_base = 1.3
			retransmit_tries = 3
			journal { default = -1 }
			filelog { one { path = $work/$1/charon.log
				default = 1
				flush_line = yes } }
			plugins { vici { socket = unix://$work/$1/vici } }
		}
		swanctl { load = random drbg nonce aes sha1 sha2 hmac pem pubkey pkcs1 x509 openssl }
	END
}

begin_charon() { # HOST
	charon_conf "$1"
	rm -f "$work/$1/vici"
	STRONGSWAN_CONF=$work/$1/strongswan.conf begin unshare -m -- sh -c \
		"mount -t tmpfs tmpfs /var/run/sshd 2>/dev/null; exec nsenter --net=/run/netns/$1 charon-systemd" \
		>>"$work/$1/charon.out" 2>&1
	charon_pid[$1]=$pid
	becomes 15 yes test_socket "$work/$1/vici" || return 1
}
declare -A charon_pid

test_socket() {
	[[ -S $1 ]] && echo yes
}

sas() { # HOST swanctl arguments
	local host=$1
	shift
	STRONGSWAN_CONF=$work/$host/strongswan.conf timeout 30 nsenter --net="/run/netns/$host" -- \
		swanctl "$@" --uri "unix://$work/$host/vici" 2>&1
}

established() { # HOST CONNECTION: how many IKE SAs and children of that name
	sas "$1" --list-sas --ike "$2" | awk '
		/ESTABLISHED/ { ike++ } /INSTALLED/ { child++ } END { print ike + 0, child + 0 }'
}
