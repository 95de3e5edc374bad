# tunnels_wg.sh - WireGuard: the scenarios of tests/vm/tunnels; sourced.
# shellcheck shell=bash disable=SC2154 # set in tunnels.sh

# West's tunnel "aws" of the scenario $run, east's end made by `wg`: device, numbers and names follow
# from N, which is unlike for every scenario.
wg_west=() # lines of west's tunnel that a scenario adds
pair() { # N ENDPOINT-OF-EAST ENDPOINT-OF-WEST
	local n=$1 east=$2 west=$3
	dev=wg$n port=$((51800 + n))
	west_key=$(new_key west "$run") east_key=$(new_key east "$run")
	near=198.18.$n.1 far=198.18.$n.2 near6=2001:db8:$n::1 far6=2001:db8:$n::2
	make_wg east $dev $port "$run" 1420 $far/30 $far6/64
	on east wg set $dev peer "$west_key" allowed-ips "$near/32,$near6/128,198.18.1.1/32"
	[[ -z $west ]] || on east wg set $dev peer "$west_key" endpoint "$west:$port"
	west_tunnel "${east:+$east:$port}"
}

west_tunnel() { # ENDPOINT
	local endpoint=
	[[ -z $1 ]] || endpoint="endpoint: \"$1\""
	configure west <<-END
		  - name: aws
		    wireguard:
		      interface: $dev
		      private_key_file: $work/west/$run.key
		      listen_port: $port
		      addresses: [$near/30, "$near6/64"]
		      peers:
		        - public_key: "$east_key"
		          allowed_ips: [$far/32, "$far6/128"]
		          $endpoint
		$(lines "${wg_west[@]}")
	END
}

key_pattern() { # the beginning of east's key; its + is no operator
	echo "${east_key:0:8}" | tr '+' .
}

end_pair() {
	tunnel down >/dev/null 2>&1
	ip -n west link del "$dev" 2>/dev/null
	ip -n east link del "$dev" 2>/dev/null
	wg_west=()
}

handshakes() { # HOST DEVICE: is there one?
	local at
	at=$(handshake_of "$1" "$2")
	((at > 0)) && echo yes
}

# ---- the scenarios ----

wg_apply() { # N EAST WEST: one after the other over both families
	local before said_first
	before=$(picture west)
	pair "$@"
	exits 0 "apply --dry-run" tunnel apply --dry-run
	has "the plan names the peer" "$said" "peer $(key_pattern)"
	is "the plan changed nothing" "$(picture west)" "$before"
	exits 0 "apply, with a handshake" tunnel apply
	is "a handshake was made" "$(handshakes west $dev)" yes
	is "pings over IPv4" "$(pings west 5 $far)" 5
	is "pings over IPv6" "$(pings west 5 $far6)" 5
	before=$(as_it_is)
	exits 0 "apply again" tunnel apply
	has "apply again: nothing to do" "$said" "nothing"
	is "apply again: nothing changed but counters" "$(as_it_is)" "$before"
}

as_it_is() {
	on west wg show "$dev" dump | cut -f 1-4
	ip -n west addr show "$dev"
}

wg_leaves_nothing() { # after wg_apply
	exits 0 "down" tunnel down
	ip -n east link del "$dev"
	is "down leaves nothing" "$(picture west)" "$west_before"
	exits 0 "down again" tunnel down
}

# As the kernel's own netns.sh: an inner packet is padded to 16 bytes, 32 are put before and after it;
# what stands in `wg show` is without the outer headers.
wg_counters() {
	local size try before answered wg list after count=20 want padded
	weather clear
	for size in 0 56 1000; do
		padded=$(((28 + size + 15) / 16 * 16))
		want=$((count * (padded + 32)))
		for try in 1 2 3; do # a keepalive after 10 s of silence is no packet of ours
			pings west 1 "$far" >/dev/null
			before=$(transfer west "$dev")
			answered=$(pings west $count "$far" -s "$size")
			wg=$(transfer west "$dev")
			[[ "$((${wg% *} - ${before% *})) $((${wg#* } - ${before#* }))" != "$want $want" ]] || break
		done
		is "$count pings of $size bytes: answered" "$answered" $count
		is "pings of $size bytes: each $((padded + 32)) bytes, not one more" \
			"$((${wg% *} - ${before% *})) $((${wg#* } - ${before#* }))" "$want $want"
	done
	for try in 1 2 3; do
		wg=$(transfer west "$dev")
		list=$(listed aws '.device.peers[0] | "\(.rx_bytes) \(.tx_bytes)"')
		after=$(transfer west "$dev")
		[[ $wg != "$after" ]] || break
	done
	is "tunnel list: the bytes are those of wg show" "$list" "$wg"
	is "tunnel list: endpoint, listen port, handshake" "$(listed aws \
		'"\(.device.peers[0].endpoint) \(.device.listen_port) \(.device.peers[0].handshake_at)"')" \
		"$(on west wg show $dev endpoints | cut -f 2) $(on west wg show $dev listen-port) $(handshake_of west $dev)"
}

wg_foreign() {
	local a b
	a=$(new_key west foreign) b=$(new_key east foreign)
	make_wg west theirs 40001 foreign 1400 198.18.77.1/30
	make_wg east theirs 40002 foreign 1400 198.18.77.2/30
	on east wg set theirs peer "$a" allowed-ips 198.18.77.1/32
	on west wg set theirs fwmark 0x7 peer "$b" endpoint 198.51.100.1:40002 \
		allowed-ips 198.18.77.2/32,10.77.0.0/16 persistent-keepalive 25
	is "a tunnel made by wg: it works" "$(pings west 3 198.18.77.2)" 3
	is "tunnel list: its peer is wg's" "$(listed theirs \
		'.device.peers[0] | "\(.public_key) \(.endpoint) \(.rx_bytes) \(.tx_bytes)"')" \
		"$(on west wg show theirs dump | awk 'NR == 2 { print $1, $3, $6, $7 }')"
	is "tunnel list: its allowed IPs are wg's" "$(listed theirs '.device.peers[0].allowed_ips | sort | join(",")')" \
		"10.77.0.0/16,198.18.77.2/32"
	has "tunnel list without --json names it" "$(tunnel list)" "theirs"
	exits 0 "down takes nothing that is not ours" tunnel down
	is "the other's tunnel is still there" "$(pings west 2 198.18.77.2)" 2
	ip -n west link del theirs
	ip -n east link del theirs
}

wg_lossy() {
	local sent
	wg_west=("    routes: [10.10.0.0/16]" "    source: 198.18.1.1")
	pair 20 198.51.100.1 ""
	sed -i "s,allowed_ips: \[,&10.10.0.0/16\, ," "$work/west/$run.yaml"
	weather 20ms 1%
	exits 0 "20 ms and 1 % loss each way: apply" tunnel apply
	has "the route has our protocol, metric and source" "$(ip -n west route show 10.10.0.0/16)" \
		"dev $dev proto 83 (scope link )?src 198.18.1.1 metric 50"
	begin nsenter --net=/run/netns/east -- iperf3 -s -1 -B 10.10.1.10 >"$work/iperf-server" 2>&1
	sent=$pid
	sleep 1
	exits 0 "iperf3 over it" timeout 60 nsenter --net=/run/netns/west -- \
		iperf3 -c 10.10.1.10 -t 5 -J --connect-timeout 10000
	note "$(jq -r '.end | "\(.sum_received.bits_per_second / 1000 | floor) kbit/s, \(.sum_sent.retransmits) sent again"' <<<"$said")"
	holds "iperf3: something arrived" \
		"$(jq -r '.end.sum_received.bytes' <<<"$said") bytes" \
		"$(jq -r '.end.sum_received.bytes // 0' <<<"$said") > 100000"
	end "$sent" KILL
	weather clear
	end_pair
}

wg_roaming() {
	pair 21 "" 192.0.2.1
	exits 0 "a peer without an endpoint needs no handshake" tunnel apply
	is "east, who knows the way, reaches west" "$(pings east 3 $near)" 3
	ip -n east -batch - <<-END
		addr del 198.51.100.1/24 dev eth0
		addr replace 198.51.100.2/24 dev eth0
		route replace default via 198.51.100.254
	END
	is "east from another address" "$(pings east 3 $near)" 3
	is "west follows" "$(on west wg show $dev endpoints | cut -f 2)" "198.51.100.2:$port"
	exits 0 "apply again" tunnel apply
	is "apply does not set the endpoint back" "$(on west wg show $dev endpoints | cut -f 2)" \
		"198.51.100.2:$port"
	is "west reaches east" "$(pings west 3 $far)" 3
	back_to_first
	end_pair
}

back_to_first() {
	ip -n east addr flush dev eth0 scope global
	ip -n east -batch - <<-END
		addr add 198.51.100.1/24 dev eth0
		addr add 198.51.100.2/24 dev eth0
		addr add 2001:db8:2::1/64 dev eth0 nodad
		route replace default via 198.51.100.254
		route replace default via 2001:db8:2::fe
	END
}

wg_new_key() {
	local old began at new
	pair 22 198.51.100.1 192.0.2.1
	exits 0 "apply" tunnel apply
	old=$west_key
	new=$(new_key west "$run") # replaces the file
	on east wg set $dev peer "$old" remove peer "$new" endpoint 192.0.2.1:$port \
		allowed-ips "$near/32,$near6/128"
	began=$(date +%s)
	exits 0 "the private key is another: apply" tunnel apply
	at=$(handshake_of west $dev)
	holds "a handshake within 2 s" "$((at - began)) s" "$at - $began >= 0 && $at - $began <= 2"
	is "west's key is the new one" "$(on west wg show $dev public-key)" "$new"
	is "pings go through" "$(pings west 3 $far)" 3
	end_pair
}

wg_psk() {
	wg_west=("          preshared_key_file: $work/west/psk")
	pair 23 198.51.100.1 ""
	new_psk "$work/west/psk"
	new_psk "$work/east/psk"
	on east wg set $dev peer "$west_key" preshared-key "$work/east/psk"
	exits 5 "another preshared key at each end: apply fails" tunnel apply --wait 4s
	has "it names the preshared key" "$said" "pre-?shared"
	has "it names the peer" "$said" "$(key_pattern)"
	cp -p "$work/west/psk" "$work/east/psk"
	on east wg set $dev peer "$west_key" preshared-key "$work/east/psk"
	exits 0 "the same at both: apply" tunnel apply
	new_psk "$work/west/psk"
	exits 5 "one side's is another while the session lives: apply fails" tunnel apply --wait 4s
	end_pair
}

wg_many() {
	local i began read
	pair 24 198.51.100.1 ""
	{
		sed '/^          allowed_ips/q' "$work/west/$run.yaml"
		random_keys 999 | awk '{
			i++; a = int(i / 250); b = i % 250
			printf "        - {public_key: \"%s\", allowed_ips: [10.%d.%d.0/26, 10.%d.%d.64/26, 10.%d.%d.128/26, 10.%d.%d.192/26, \"2001:db8:%x::/64\"]}\n", \
				$0, 100 + a, b, 100 + a, b, 100 + a, b, 100 + a, b, 4096 + i }'
		sed '1,/^          allowed_ips/d' "$work/west/$run.yaml" | grep -v '^$'
	} >"$work/west/many"
	arrange_many
	began=$(now_ms)
	exits 0 "1,000 peers: apply" tunnel apply
	note "it took $(($(now_ms) - began)) ms"
	read=$(on west wg show $dev allowed-ips)
	is "wg reads 1,000 peers, 4,997 allowed IPs" \
		"$(awk '{ n += NF - 1 } END { print NR, n }' <<<"$read")" "1000 4997"
	is "every peer has the allowed IPs of the file" \
		"$(sort <<<"$read" | awk '{ print $1; for (i = 2; i <= NF; i++) print "  " $i }' | sort | sha256sum)" \
		"$(wanted_many | sort | sha256sum)"
	began=$(now_ms)
	is "tunnel list reads as many" "$(listed aws \
		'"\(.device.peers | length) \([.device.peers[].allowed_ips | length] | add)"')" "1000 4997"
	note "it took $(($(now_ms) - began)) ms"
	began=$(now_ms)
	exits 0 "apply again" tunnel apply
	note "it took $(($(now_ms) - began)) ms"
	has "nothing to do" "$said" "nothing"
	end_pair
}

# The endpoint's line of the first peer comes before the others.
arrange_many() {
	local endpoint
	endpoint=$(grep -E '^          endpoint' "$work/west/many")
	grep -vE '^          endpoint' "$work/west/many" |
		awk -v line="$endpoint" '{ print } /^          allowed_ips/ { print line }' >"$work/west/$run.yaml"
}

wanted_many() {
	sed -nE 's/^        - public_key: "(.*)"/\1/p; s/^          allowed_ips: //p; s/^        - \{public_key: "([^"]*)", allowed_ips: (.*)\}/\1\n\2/p' \
		"$work/west/$run.yaml" | awk '/^\[/ { gsub(/[][", ]+/, "\n  "); sub(/^\n/, ""); sub(/\n *$/, "") } { print }'
}

# Pings as fast as the machine gives while the same is applied again and again: by us, then by
# `wg syncconf`. 201 allowed IPs, as many as a network of some size has.
wg_flood() {
	local i nets="" began applies lost_ours lost_theirs lost_base sent budget=${FLOOD_BUDGET:-60}
	pair 25 198.51.100.1 ""
	for ((i = 0; i < 200; i++)); do nets+=", 10.200.$i.0/24"; done
	sed -i "s|allowed_ips: \[$far/32.*|allowed_ips: [$far/32$nets]|" "$work/west/$run.yaml"
	weather clear
	exits 0 "apply of 201 allowed IPs" tunnel apply
	is "201 are there" "$(on west wg show $dev allowed-ips | awk '{ print NF - 1 }')" 201

	flood
	sleep 5
	read -r sent lost_base < <(flood_lost)
	note "without an apply: $sent pings, $lost_base lost"

	flood
	began=$SECONDS
	for ((applies = 0; applies < 200 && (applies < 50 || SECONDS - began < budget); applies++)); do
		tunnel apply >"$work/said" 2>&1 || break
	done
	read -r sent lost_ours < <(flood_lost)
	note "during $applies applies in $((SECONDS - began)) s: $sent pings, $lost_ours lost"
	holds "applies that were made" "$applies" "$applies >= 50"
	holds "nothing is lost beyond the baseline" "$lost_ours lost" "$lost_ours <= $lost_base"

	on west wg showconf $dev | private_file "$work/west/flood.conf"
	flood
	for ((i = 0; i < 50; i++)); do
		on west wg syncconf $dev "$work/west/flood.conf"
	done
	read -r sent lost_theirs < <(flood_lost)
	note "during 50 of wg syncconf: $sent pings, $lost_theirs lost"
	holds "wg syncconf loses some" "$lost_theirs lost" "$lost_theirs > 0"
	rm -f "$work/west/flood.conf"
	end_pair
}

# Counted by the kernel: what the host wanted to send into the tunnel, and the answers that came out.
flood() {
	local i
	on west nft -f - <<-END
		table ip flood
		delete table ip flood
		table ip flood {
			counter asked {}
			counter answered {}
			chain o { type filter hook output priority 0; oifname $dev icmp type echo-request counter name asked; }
			chain i { type filter hook input priority 0; iifname $dev icmp type echo-reply counter name answered; }
		}
	END
	for i in 1 2; do begin_pings flood$i west 0.004 "$far" -q; done
}

# "sent lost", when no answer comes any more
flood_lost() {
	local i now before=none
	for i in 1 2; do end "${ping_pid[flood$i]}" KILL; done
	while now=$(flood_count) && [[ $now != "$before" ]]; do
		before=$now
		sleep 0.5
	done
	echo "$now"
}

flood_count() {
	on west nft -j list counters table ip flood | jq -r '[.nftables[].counter // empty | {(.name): .packets}]
		| add | "\(.asked) \(.asked - .answered)"'
}

wg_black_hole() {
	wg_west=("    probe: {address: 198.18.26.2, interval: 200ms, max_rtt: 1s, max_loss: 50%}")
	pair 26 198.51.100.1 ""
	exits 0 "apply" tunnel apply
	exits 0 "check" tunnel check
	has "one line for the monitoring" "$said" '^SHIFT TUNNEL OK - .*\|'
	# 1328 bytes of IP pass: 20 + 8 + 32 around an inner packet padded to 16, so 1264
	drops meta l4proto udp ip length '>' 1328
	LIMIT=90 tunnel check >"$work/said" 2>&1
	said=$(<"$work/said")
	has "packets too big to pass vanish: check says what passes" "$said" '\b1264\b'
	has "and it is a warning" "$said" '^SHIFT TUNNEL WARNING - '
	drops
	end_pair
}

# Begun early, since a handshake takes 135 s to be stale.
renumber_begin() {
	run=renumber
	echo "198.51.100.1 vpn.aws.example" >>/etc/hosts
	wg_west=("    probe: {address: 198.18.27.2, interval: 200ms, max_rtt: 1s, max_loss: 50%}")
	pair 27 vpn.aws.example ""
	exits 0 "an endpoint by name: apply" tunnel apply
	is "it is the name's address" "$(on west wg show $dev endpoints | cut -f 2)" "198.51.100.1:$port"
	sed -i 's/^198.51.100.1 vpn/198.51.100.2 vpn/' /etc/hosts
	# the old address answers no more
	on east nft "table ip renumber { chain c { type filter hook input priority 0
		ip daddr 198.51.100.1 udp dport $port drop; }; }"
	renumber_at=$SECONDS
	renumber_pair=("$dev" "$port" "$far")
	wg_west=()
}

renumber_end() {
	run=renumber
	local left=$((renumber_at + 150 - SECONDS))
	dev=${renumber_pair[0]} port=${renumber_pair[1]} far=${renumber_pair[2]}
	((left <= 0)) || {
		note "$left s until the handshake is stale"
		sleep $left
	}
	on west busybox ping -c 1 -W 1 "$far" >/dev/null 2>&1
	tunnel check --fix >"$work/said" 2>&1
	note "check --fix: $(head -n 1 "$work/said")"
	is "the name is looked up again when the handshake is stale" \
		"$(on west wg show "$dev" endpoints | cut -f 2)" "198.51.100.2:$port"
	is "and pings go through" "$(pings west 5 "$far")" 5
	on east nft delete table ip renumber
	end_pair
}
