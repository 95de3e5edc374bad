# tunnels_failover.sh - from WireGuard to IPsec and back, a backend behind both, and bad input: the
# scenarios of tests/vm/tunnels; sourced.
# shellcheck shell=bash disable=SC2154 # set in tunnels.sh

# ---- a group of two on both hosts ----

# Tunnel "aws" over WireGuard wgN, its backup "aws-ipsec" over xf(N+1), static keys or ike.
group() { # N static|ike
	local n=$1 host near far own peer route
	local -A end_of=([west]=192.0.2.1 [east]=198.51.100.1)
	west_key=$(new_key west "$run") east_key=$(new_key east "$run")
	[[ $2 != static ]] || write_generations "1 minute ago" "1 hour"
	for host in west east; do
		if [[ $host == west ]]; then
			near=198.18.$n.1 far=198.18.$n.2 peer=$east_key route=10.10.0.0/16
			own="source: 198.18.1.1" there=${end_of[east]}
		else
			near=198.18.$n.2 far=198.18.$n.1 peer=$west_key route=198.18.1.1/32
			own="source: 10.10.1.10" there=${end_of[west]}
		fi
		{
			cat <<-END
				  - name: aws
				    wireguard:
				      interface: wg$n
				      private_key_file: $work/$host/$run.key
				      listen_port: 518$n
				      addresses: [$near/30]
				      peers:
				        - {public_key: "$peer", endpoint: "$there:518$n", allowed_ips: [$far/32, $route]}
				    routes: [$route]
				    $own
				    probe: {address: $far, interval: ${INTERVAL:-500ms}, max_rtt: 250ms, max_loss: 100%, rise: 2, fall: 3, hold: ${HOLD:-4s}, mtu: false}
				    backup: aws-ipsec
			END
			if [[ $2 == static ]]; then
				static_tunnel "$host" $((n + 1)) aws-ipsec
			elif [[ $host == west ]]; then
				ike_tunnel $((n + 1)) aws-ipsec
			else # charon has the connection already, and ours only watches it
				ike_tunnel $((n + 1)) aws-ipsec | sed -E "
					/ (remote|local_id|remote_id|psk_file|proposals|esp_proposals|dpd|local):/d
					s,$work/west/vici,$work/east/vici,
					s/198\.18\.$((n + 1))\.1\/30/198.18.$((n + 1)).2\/30/
					s/address: 198\.18\.$((n + 1))\.2/address: 198.18.$((n + 1)).1/"
			fi
		} | configure $host
	done
	wg_port=518$n wg_dev=wg$n ipsec_dev=xf$((n + 1)) ipsec_n=$((n + 1))
}

group_up() {
	LIMIT=30 ctl east tunnel apply --wait 0s >"$work/said" 2>&1
	exits 0 "apply on west" tunnel apply
	exits 0 "apply on east" ctl east tunnel apply
	is "the tunnel in use carries the route" "$(carrier west)" "$wg_dev"
	is "and east's" "$(carrier east)" "$wg_dev"
}

# Which device has the route at the metric that counts?
carrier() { # HOST
	local to=10.10.0.0/16
	[[ $1 == west ]] || to=198.18.1.1
	ip -n "$1" route show "$to" proto 83 metric 50 | sed -nE 's/.* dev ([^ ]+) .*/\1/p' | xargs
}

# Every route replaced at metric 50 is a switch.
watch_routes() {
	begin ip -n west -ts monitor route >"$work/routes" 2>&1
	monitor_pid=$pid
}

# ms from then to the last switch
switched_after() { # MS
	local at
	at=$(grep -E '\] 10\.10\.0\.0/16 .*metric 50\b' "$work/routes" | tail -n 1 | sed 's/^\[//; s/\].*//')
	echo $(($(date -d "$at" +%s%3N) - $1))
}

switches() {
	grep -cE '\] 10\.10\.0\.0/16 .*metric 50\b' "$work/routes"
}

down_group() { # N
	end_shiftd west
	end_shiftd east
	end "$monitor_pid"
	tunnel down >/dev/null 2>&1
	ctl east tunnel down >/dev/null 2>&1
}

# A transfer whose every byte is checked, and pings, from 198.18.1.1 to 10.10.1.10.
begin_transfer() {
	begin nsenter --net=/run/netns/east -- "$traffic" serve --arm east --port 7000 >"$work/serve" 2>&1
	serve_pid=$pid
	sleep 0.5
	begin nsenter --net=/run/netns/west -- "$traffic" hold --to 10.10.1.10:7000 \
		--from 198.18.1.1/32 --connections 3 --rate 10 --interval 100ms --timeout 30 --duration 600 \
		>"$work/hold.json" 2>"$work/hold.errors"
	hold_pid=$pid
	begin_pings over west 0.05 10.10.1.10 -I 198.18.1.1
	sleep 1
}

# Ends it: "errors answered", and sets $longest.
end_transfer() {
	local code=0 sent lost
	read -r sent lost longest < <(lost_of over)
	end "$hold_pid" || code=$?
	end "$serve_pid" KILL || :
	note "$sent pings, $lost lost, at most $longest in a row"
	is "the TCP transfers went on, every byte right" \
		"$code $(tail -n 1 "$work/hold.json" | jq -r '"\(.errors) \(.requests > 20)"')" "0 0 true"
}

fails_over() { # N static|ike: away, the outage, back, no flapping
	local n=$1 fall=3 dropped_at
	group "$n" "$2"
	group_up
	watch_routes
	begin_shiftd west
	begin_shiftd east
	will_be "shiftd: both tunnels are up" 20 "up up" eval \
		'echo $(checked aws .state) $(checked aws-ipsec .state)'
	begin_transfer
	drops udp dport "$wg_port"
	dropped_at=$(now_ms)
	will_be "WireGuard is dropped on the way: west goes over IPsec" 10 "$ipsec_dev" carrier west
	will_be "and east" 10 "$ipsec_dev" carrier east
	note "west switched $(switched_after $dropped_at) ms after the drop"
	sleep 1
	is "check: on the backup is a warning" "$(tunnel check >"$work/said" 2>&1; echo $?)" 1
	has "and is said" "$(<"$work/said")" "^SHIFT TUNNEL WARNING - .*backup"
	drops
	will_be "it is back: after the hold over WireGuard again" 30 "$wg_dev" carrier west
	will_be "and east" 10 "$wg_dev" carrier east
	sleep 3
	end_transfer
	holds "the outage is within fall * interval + 1 s" "$((longest * 50)) ms" \
		"$longest * 50 <= $fall * ${INTERVAL_MS:-500} + 1000"
	is "two switches in all, none of them flapping" "$(switches)" 2
}

flaps() { # after fails_over
	local i began=0
	began=$(switches)
	for i in 1 2 3 4 5 6; do
		drops udp dport "$wg_port"
		sleep 3
		drops
		sleep 5.5
	done
	holds "a link that flaps six times: switches" "$(($(switches) - began)) of 12" \
		"$(switches) - began <= 6 && $(switches) - began >= 1"
	will_be "in calm it goes back" 60 "$wg_dev" carrier west
}

by_hand() { # on a group that is up, with shiftd
	exits 0 "failover aws-ipsec, by hand" tunnel failover aws-ipsec
	is "the route goes through it" "$(carrier west)" "$ipsec_dev"
	exits 0 "failover --pin aws" tunnel failover --pin aws
	is "pinned: the route goes through it" "$(carrier west)" "$wg_dev"
	drops udp dport "$wg_port"
	sleep 4
	is "pinned, and it is dead: it stays" "$(carrier west)" "$wg_dev"
	is "check: critical" "$(tunnel check >"$work/said" 2>&1; echo $?)" 2
	has "and says that it is pinned" "$(<"$work/said")" "pin"
	exits 0 "failover --unpin" tunnel failover --unpin
	will_be "unpinned: the other carries" 10 "$ipsec_dev" carrier west
	drops
	will_be "and back after the hold" 60 "$wg_dev" carrier west
}

# ---- a backend behind the tunnels ----

behind_tunnel() { # on a group that is up
	local conf=$work/west/$run.yaml wg_before ipsec_before now
	sed -i "s/^interfaces:.*/interfaces: [eth0, $wg_dev, $ipsec_dev]\naffinity: connection/
		s/^nat:.*/nat: {addresses: [198.18.1.1], ports: 20000-59999}/
		s/target: \"203.0.113.80:7000\"/target: \"10.10.1.10:7000\"/" "$conf"
	begin nsenter --net=/run/netns/east -- "$traffic" serve --arm aws --port 7000 >"$work/serve" 2>&1
	serve_pid=$pid
	begin nsenter --net=/run/netns/west -- "$traffic" serve --arm old --port 7000 >"$work/serve-old" 2>&1
	local old_pid=$pid
	sleep 0.5
	exits 0 "the data plane: apply" ctl west apply || return
	arms "weight 0" "old 8"
	exits 0 "weight 100" ctl west weight 100
	wg_before=$(tx_of $wg_dev) ipsec_before=$(tx_of "$ipsec_dev")
	arms "weight 100, over WireGuard" "aws 8"
	holds "it went through WireGuard" "$(($(tx_of $wg_dev) - wg_before)) bytes" \
		"$(tx_of $wg_dev) - wg_before > 8 * 2000"
	# connections that stay while the routes move
	begin nsenter --net=/run/netns/client -- "$traffic" hold --to 192.0.2.1:7000 --connections 4 \
		--rate 10 --interval 100ms --timeout 30 --duration 600 >"$work/stay.json" 2>"$work/stay.errors"
	local stay_pid=$pid
	sleep 2
	exits 0 "failover to IPsec, west" tunnel failover aws-ipsec
	exits 0 "failover to IPsec, east" ctl east tunnel failover aws-ipsec
	ipsec_before=$(tx_of "$ipsec_dev")
	arms "weight 100, over IPsec" "aws 8"
	[[ $arms_seen == "aws 8" ]] || note "$(ctl west status --json | jq -c '[.drops, .fallback_local]') $(
		ip -n west -s -j link show "$ipsec_dev" | jq -c '.[0].stats64.tx') $(
		on west grep -v ' 0$' /proc/net/xfrm_stat | xargs)"
	holds "it went through IPsec" "$(($(tx_of "$ipsec_dev") - ipsec_before)) bytes" \
		"$(tx_of "$ipsec_dev") - ipsec_before > 8 * 2000"
	exits 0 "weight 50" ctl west weight 50
	arms "weight 50: both answer" "" 40
	has "weight 50: both answer" "$arms_seen" '(aws [0-9]+ old|old [0-9]+ aws) [0-9]+'
	local code=0
	end "$stay_pid" || code=$?
	is "connections that lived through the failover: no error" \
		"$code $(tail -n 1 "$work/stay.json" | jq -r '"\(.errors) \(.requests > 20)"')" "0 0 true"
	exits 0 "detach" ctl west detach --force
	end "$serve_pid" KILL
	end "$old_pid" KILL
}

tx_of() { # DEVICE
	ip -n west -s -j link show "$1" | jq '.[0].stats64.tx.bytes'
}

arms() { # WHAT WANT [COUNT]: which arms answered the client's connections; WANT "" is not looked at
	on client timeout 60 "$traffic" hold --to 192.0.2.1:7000 --connections "${3:-8}" --count "${3:-8}" \
		--rate 10 --interval 100ms --timeout 20 --duration 5 >"$work/arms.json" 2>"$work/arms.errors"
	arms_seen=$(tail -n 1 "$work/arms.json" | jq -r '.arms | to_entries | map("\(.key) \(.value)") | join(" ")')
	[[ -z $2 ]] || is "$1: who answered" "$arms_seen" "$2"
	is "$1: no error" "$(tail -n 1 "$work/arms.json" | jq -r .errors)" 0
}

# ---- bad input ----

refused() { # CODE WHAT PATTERN: apply says PATTERN and leaves everything as it was
	local before
	before=$(picture west)
	exits "$1" "$2: apply fails" tunnel apply --wait 2s
	has "$2: it says why" "$said" "$3"
	is "$2: nothing was made" "$(picture west)" "$before"
}

bad_input() {
	local key=$work/west/$run.key good
	pair 40 198.51.100.1 ""
	cp -p "$key" "$work/west/good"
	good=$(<"$work/west/$run.yaml")

	private_file "$key" <<<"not a key"
	refused 1 "a malformed private key" "$run.key"
	rm "$key"
	refused 1 "no key file" "$run.key.*no such file|no such file.*$run.key"
	cp -p "$work/west/good" "$key"
	chmod 644 "$key"
	refused 1 "a key file that others can read" "$run.key.*(read|mode|0600|perm)"
	chmod 600 "$key"
	mkdir -m 0777 "$work/west/open"
	cp -p "$key" "$work/west/open/key"
	sed -i "s,private_key_file: .*,private_key_file: $work/west/open/key," "$work/west/$run.yaml"
	refused 1 "a folder on the way that others can write to" "$work/west/open\b.*writ"
	chmod 755 "$work/west/open"
	ln -s "$key" "$work/west/link"
	chown -h 65534 "$work/west/link"
	sed -i "s,private_key_file: .*,private_key_file: $work/west/link," "$work/west/$run.yaml"
	refused 1 "a symbolic link of somebody else in the place of a key" "west/link"

	echo "$good" >"$work/west/$run.yaml"
	sed -i "s,public_key: \".*\",public_key: \"${east_key:0:20}\"," "$work/west/$run.yaml"
	refused 2 "a malformed public key" "$run.yaml:[0-9]+:[0-9]+: .*public_key"
	echo "$good" >"$work/west/$run.yaml"
	sed -i "s,^        - public_key.*,        - {public_key: \"$(random_keys 1)\"\, allowed_ips: [$far/32]}\n&," \
		"$work/west/$run.yaml"
	refused 2 "an allowed IP of two peers" "$run.yaml:[0-9]+:[0-9]+: .*allowed_ips"
	echo "$good" >"$work/west/$run.yaml"

	west_tunnel "203.0.113.77:9"
	exits 5 "an endpoint that nobody answers: apply" tunnel apply --wait 2s
	has "it names the peer" "$said" "$(key_pattern)"
	tunnel down >/dev/null 2>&1
	west_tunnel "no-such-name.example:9"
	exits 1 "an endpoint whose name there is not: apply" tunnel apply --wait 2s
	has "it names the name" "$said" "no-such-name.example"
	end_pair
}

vanished() {
	wg_west=("    probe: {address: 198.18.41.2, interval: 200ms, max_rtt: 1s, max_loss: 100%}")
	pair 41 198.51.100.1 ""
	exits 0 "apply" tunnel apply
	begin_shiftd west
	will_be "shiftd: up" 15 up checked aws .state
	ip -n west link del $dev
	will_be "its interface was deleted: down" 15 down checked aws .state
	is "shiftd lives" "$(kill -0 "${shiftd_pid[west]}" && echo yes)" yes
	has "shiftd says so" "$(cat "$work/west/$run.shiftd")" "$dev|aws"
	exits 0 "apply makes it again" tunnel apply
	will_be "and shiftd sees it" 15 up checked aws .state
	end_shiftd west
	end_pair
}

keeps_secrets() {
	local found
	sort -u "$secrets" >"$secrets.sorted"
	for run in "$work"/*/*.shiftd; do cat "$run" >>"$log"; done
	is "no key and no psk is in what was said" "$(grep -cFf "$secrets.sorted" "$log")" 0
	found=$(find "$work"/*/*.state -type f -print0 | xargs -0r grep -lFf "$secrets.sorted")
	is "no key and no psk is in a state file" "$found" ""
	holds "there were secrets to look for" "$(wc -l <"$secrets.sorted")" "$(wc -l <"$secrets.sorted") > 5"
}
