# crafted.sh - TCP by hand in a test: crafted.py's client without a kernel, its servers, and what gets
# lost on the way; sourced after lib.sh.
# shellcheck shell=bash

python=/usr/bin/python3 # Debian's, whatever else is in the path
# shellcheck disable=SC2154 # lib.sh's
crafted=$here/tests/e2e/crafted.py
port=7100
source_port=20000
isn=1000000

share() { # WEIGHT [OPTIONS...]
	ctl weight "$@" >"$work/said" 2>&1 || not_ok "weight $1" "$(<"$work/said")"
}

counter() { # NODE NAME: as nstat calls it
	on "$1" nstat -asz "$2" | awk -v want="$2" '$1 == want { print $2 }'
}

dropped() { # NODE: by what `lose` made there
	on "$1" nft -j list counters table inet crafted |
		jq '.nftables[] | .counter // empty | .packets'
}

at_least() { # COUNT COMMAND...: "yes" once what it prints is that much
	local seen
	seen=$("${@:2}")
	((seen >= $1)) && echo yes
}

lose() { # NODE HOOK MATCH [accept]: drops what matches, and counts it
	on "$1" nft -f - <<-END
		table inet crafted {
			counter dropped { }
			chain lose {
				type filter hook $2 priority -300;
				$3 counter name dropped ${4:-drop}
			}
		}
	END
}

find_again() { # NODE
	on "$1" nft delete table inet crafted
}

SYN='tcp flags & (syn | ack) == syn'
SYN_ACK='tcp flags & (syn | ack) == syn | ack'

# ---- the client without a kernel ----

# Its own kernel knows nothing of these addresses' connections and would reset them.
start_client() {
	local mac
	on client nft -f - <<-END
		table inet mute {
			chain input {
				type filter hook input priority 0;
				ip daddr 198.18.15.0/24 meta l4proto tcp drop
				ip6 daddr 2001:db8:c:f000::/52 meta l4proto tcp drop
			}
		}
	END
	mac=$(ip -n "$SHIFT_LAB-router" -j link show client | jq -r '.[0].address')
	coproc CLIENT { exec nsenter --net="$NS_CLIENT" -- $python "$crafted" client eth0 "$mac" 2>&1; }
	background+=("$CLIENT_PID")
	exec {to_client}>&"${CLIENT[1]}" {from_client}<&"${CLIENT[0]}"
}

raw() { # COMMAND...: prints the answer
	local answer=
	echo "$*" >&"$to_client"
	read -r -t 15 answer <&"$from_client" || answer="no answer of the client"
	echo "$answer"
}

fresh() { # NAME FAMILY [KEY=VALUE...]: a connection from a port of its own
	((++source_port))
	again "$@"
}

again() { # NAME FAMILY [KEY=VALUE...]: from the port of the last one, with another ISN
	local name=$1 family=$2
	shift 2
	((isn += 5000011))
	if ((family == 4)); then
		raw new "$name" 198.18.15.1 $source_port "$OLD4" $port isn=$isn "$@"
	else
		raw new "$name" 2001:db8:c:f001::1 $source_port "$OLD6" $port isn=$isn "$@"
	fi >/dev/null
}

shake() { # NAME: the handshake; prints who answers, or what came instead
	local answer
	raw syn "$1" >/dev/null
	answer=$(raw wait "$1" SA)
	[[ $answer == SA* ]] || {
		echo "$answer"
		return
	}
	raw send "$1" A >/dev/null
	raw ask "$1" who
}

close_by() { # NAME WHO: client, server, client-reset, server-reset; prints the last packet's flags
	local name=$1
	case $2 in
	client)
		raw send "$name" AF >/dev/null
		raw wait "$name" AF | cut -d ' ' -f 1
		raw send "$name" A >/dev/null
		;;
	server)
		raw send "$name" AP bye >/dev/null
		raw wait "$name" AF | cut -d ' ' -f 1
		raw send "$name" AF >/dev/null
		raw wait "$name" A >/dev/null
		;;
	client-reset)
		raw send "$name" R >/dev/null
		raw quiet "$name"
		;;
	server-reset)
		raw send "$name" AP reset >/dev/null
		raw wait "$name" AR | cut -d ' ' -f 1
		;;
	esac
}

# One cloud, and a server that does what the client says, here and there.
crafted_config() {
	ONE_NAT=${ONE_NAT:-} write_config
	sed -i "/azure\|gcp/d; s/^listen:.*/listen: [$OLD4:$port\/tcp, \"[$OLD6]:$port\/tcp\"]/
		s/:80\"/:$port\"/" "$config"
}

start_servers() {
	local node
	for node in old aws; do
		spawn $node $python "$crafted" serve $node $port
	done
	spawn aws $python "$crafted" record eth0 $port >"$work/aws.packets"
	for node in old aws; do
		becomes 10 1 sockets $node listening "sport = :$port" ||
			give_up "the crafted server of $node listens" "$seen"
	done
}

sockets() { # NODE STATE FILTER: how many
	on "$1" ss -Htn state "$2" "$3" | wc -l
}
