# tunnels_ipsec.sh - IPsec with static keys and with strongSwan: the scenarios of tests/vm/tunnels;
# sourced.
# shellcheck shell=bash disable=SC2154 # set in tunnels.sh

ike_child=() # lines of west's ike that a scenario adds

# ---- static keys ----

static_tunnel() { # HOST N NAME: lines for `configure`
	local near=198.18.$2.1 far=198.18.$2.2 local=192.0.2.1 remote=198.51.100.1
	[[ $1 != east ]] || { near=198.18.$2.2 far=198.18.$2.1 local=198.51.100.1 remote=192.0.2.1; }
	cat <<-END
		  - name: $3
		    ipsec:
		      interface: xf$2
		      if_id: $2
		      addresses: [$near/30]
		      static: {local: $local, remote: $remote, key_file: $work/$1/$run.keys}
		    probe: {address: $far, interval: ${INTERVAL:-500ms}, max_rtt: 250ms, max_loss: 100%, rise: 2, fall: 3, hold: ${HOLD:-4s}}
	END
}

# The same generations for both hosts, by ourselves: SEND-AFTER as `date` knows it.
write_generations() { # SEND-AFTER...
	local at id=0 enc auth enc2 auth2
	{
		echo "shift-static 1"
		for at; do
			((++id))
			enc=$(openssl rand -hex 32) auth=$(openssl rand -hex 32)
			enc2=$(openssl rand -hex 32) auth2=$(openssl rand -hex 32)
			echo "generation $id send-after $(date -u -d "$at" +%Y-%m-%dT%H:%M:%SZ)"
			echo "from 192.0.2.1 to 198.51.100.1 spi 0x$(openssl rand -hex 3)0$id enc $enc auth $auth"
			echo "from 198.51.100.1 to 192.0.2.1 spi 0x$(openssl rand -hex 3)0$id enc $enc2 auth $auth2"
		done
	} | private_file "$work/west/$run.keys"
	share_keys
}

share_keys() {
	private_file "$work/east/$run.keys" <"$work/west/$run.keys"
	sed -nE 's/.* enc ([0-9a-f]+) auth ([0-9a-f]+)/\1\n\2/p' "$work/west/$run.keys" >>"$secrets"
}

xfrm_link() { # HOST N
	ip -n "$1" link add "xf$2" type xfrm dev eth0 if_id "$2"
	ip -n "$1" addr add "198.18.$2.2/30" dev "xf$2"
	ip -n "$1" link set "xf$2" mtu 1400 up
}

# East's end with what is in the key file, by `ip xfrm`.
static_east_by_ip() { # N
	local n=$1 from to spi enc auth
	xfrm_link east "$n"
	while read -r _ from _ to _ spi _ enc _ auth; do
		ip -n east xfrm state add src "$from" dst "$to" proto esp spi "$spi" reqid "$n" mode tunnel \
			if_id "$n" replay-window 128 flag esn auth-trunc 'hmac(sha256)' "0x$auth" 128 enc 'cbc(aes)' "0x$enc"
	done < <(grep '^from' "$work/west/$run.keys" | head -n 2)
	from=192.0.2.1 to=198.51.100.1
	ip -n east xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir out if_id "$n" \
		tmpl src $to dst $from proto esp reqid "$n" mode tunnel
	ip -n east xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir in if_id "$n" \
		tmpl src $from dst $to proto esp reqid "$n" mode tunnel
}

end_static() { # N
	tunnel down >/dev/null 2>&1
	ctl east tunnel down >/dev/null 2>&1
	local host
	for host in west east; do
		ip -n $host link del "xf$1" 2>/dev/null
		ip -n $host xfrm state flush
		ip -n $host xfrm policy flush
	done
}

static_works() { # N
	local n=$1 before
	before=$(picture west)
	configure west < <(static_tunnel west "$n" vpn)
	exits 0 "keys: makes the key file" tunnel keys vpn --count 1 --lead 0s
	is "the key file is root's alone" "$(stat -c '%a %u' "$work/west/$run.keys")" "600 0"
	share_keys
	static_east_by_ip "$n"
	exits 0 "apply" tunnel apply
	is "pings through SAs that ip made of the same keys" "$(pings west 5 "198.18.$n.2")" 5
	exits 0 "apply again" tunnel apply
	has "apply again: nothing to do" "$said" "nothing"
	is "tunnel list: the SPIs are those of ip xfrm" \
		"$(listed vpn '[.sas[] | "0x" + .spi] | sort | join(" ")')" \
		"$(ip -n west xfrm state | grep -oE 'spi 0x[0-9a-f]+' | cut -d ' ' -f 2 | sort | xargs)"
	has "three policies of each family are there" "$(ip -n west xfrm policy | grep -c 'dir ')" '^6$'
	exits 0 "check" tunnel check
	exits 0 "down" tunnel down
	is "down leaves nothing: links, routes, rules, SAs, policies" "$(picture west)" "$before"
	exits 1 "apply again: keys that were used are used no more" tunnel apply
	has "and it says so" "$said" "key"
	exits 0 "new keys" tunnel keys vpn --count 1 --lead 0s
	exits 0 "apply with them" tunnel apply
	is "it sends with the new ones" "$(spi_sending)" "$(spi_of 2)"
	end_static "$n"
}

spi_of() { # N: west's sending in the N-th generation of the file
	awk -v g="$1" '$1 == "generation" { n++ } $1 == "from" && $2 == "192.0.2.1" && n == g { print $6 }' \
		"$work/west/$run.keys"
}

spi_sending() { # the SPI that the policy names, or else the one SA outwards
	local spi
	spi=$(ip -n west xfrm policy | awk '/dir out/ { o = 1 } /dir (in|fwd)/ { o = 0 } o && match($0, /spi 0x[0-9a-f]+/) { print substr($0, RSTART + 4, RLENGTH - 4); exit }')
	[[ -n $spi ]] || spi=$(ip -n west xfrm state | awk '/^src 192.0.2.1/ { o = 1 } /^src 198/ { o = 0 } o && match($0, /spi 0x[0-9a-f]+/) { print substr($0, RSTART + 4, RLENGTH - 4) }' | tail -n 1)
	echo "$spi"
}

# Both ends ours: the next keys come into use while pings go on.
static_rekey() { # N
	local n=$1 sent lost longest
	write_generations "1 minute ago" "12 seconds"
	configure west < <(static_tunnel west "$n" vpn | sed 's/static: {/&overlap: 2s, /')
	configure east < <(static_tunnel east "$n" vpn | sed 's/static: {/&overlap: 2s, /')
	ctl east tunnel apply --wait 0s >"$work/said" 2>&1
	exits 0 "both ends ours: apply" tunnel apply
	is "pings go through" "$(pings west 3 "198.18.$n.2")" 3
	begin_shiftd west
	begin_shiftd east
	begin_pings rekey west 0.02 "198.18.$n.2"
	will_be "the next keys are sent with when their time comes" 30 "$(spi_of 2)" spi_sending
	sleep 4
	read -r sent lost longest < <(lost_of rekey)
	is "no ping was lost meanwhile" "$lost of $((sent > 100))" "0 of 1"
	note "$sent pings"
	will_be "the old keys are gone after the overlap" 15 2 eval \
		"ip -n west xfrm state | grep -c 'proto esp'"
	end_shiftd west
	end_shiftd east
	end_static "$n"
}

# ---- charon on both ends ----

ike_tunnel() { # N NAME
	cat <<-END
		  - name: $2
		    ipsec:
		      interface: xf$1
		      if_id: $1
		      addresses: [198.18.$1.1/30]
		      ike:
		        local: 192.0.2.1
		        remote: 198.51.100.1
		        local_id: west.example
		        remote_id: east.example
		        psk_file: $work/west/ike.psk
		        proposals: [aes128gcm16-prfsha256-x25519, aes128-sha256-x25519]
		        esp_proposals: [aes128gcm16, aes128-sha256]
		        dpd: 2s
		        vici: $work/west/vici
		$(lines "${ike_child[@]}")
		    probe: {address: 198.18.$1.2, interval: ${INTERVAL:-500ms}, max_rtt: 250ms, max_loss: 100%, rise: 2, fall: 3, hold: ${HOLD:-4s}}
	END
}

ike_east_conf() { # N NAME
	cat >"$work/east/swanctl.conf" <<-END
		connections {
			$2 {
				version = 2
				local_addrs = 198.51.100.1
				remote_addrs = %any
				proposals = aes128gcm16-prfsha256-x25519,aes128-sha256-x25519
				dpd_delay = 2s
				local { auth = psk
					id = east.example }
				remote { auth = psk
					id = west.example }
				children { $2 {
					local_ts = 0.0.0.0/0,::/0
					remote_ts = 0.0.0.0/0,::/0
					if_id_in = $1
					if_id_out = $1
					esp_proposals = aes128gcm16,aes128-sha256
					start_action = none
				} }
			}
		}
		secrets { ike-one { id-1 = east.example
			id-2 = west.example
			secret = "$(<"$work/west/ike.psk")" } }
	END
}

ike_up() { # N NAME: both charons, east's end
	local n=$1
	openssl rand -hex 20 | private_file "$work/west/ike.psk"
	secret "$(<"$work/west/ike.psk")"
	ike_east_conf "$n" "$2"
	begin_charon west || { not_ok "west's charon runs" "$(tail "$work/west/charon.out")" && return 1; }
	begin_charon east || { not_ok "east's charon runs" "$(tail "$work/east/charon.out")" && return 1; }
	sas east --load-all --file "$work/east/swanctl.conf" >"$work/said" ||
		{ not_ok "east's charon has its connection" "$(<"$work/said")" && return 1; }
	xfrm_link east "$n"
}

ike_down() { # N
	tunnel down >/dev/null 2>&1
	local host
	for host in west east; do
		end "${charon_pid[$host]}"
		ip -n $host link del "xf$1" 2>/dev/null
		ip -n $host xfrm state flush
		ip -n $host xfrm policy flush
	done
}

ike_works() { # N
	local n=$1 before
	before=$(picture west)
	configure west < <(ike_tunnel "$n" cloud)
	exits 1 "charon does not run: apply fails" tunnel apply --wait 2s
	has "and says so" "$said" "charon"
	is "and leaves nothing half made" "$(picture west | grep -c "xf$n")" 0
	ike_up "$n" cloud || return
	exits 0 "IKE comes up through apply" tunnel apply
	is "swanctl: one IKE SA, one child" "$(established west cloud)" "1 1"
	is "pings go through" "$(pings west 5 "198.18.$n.2")" 5
	exits 0 "apply again" tunnel apply
	has "apply again: nothing to do" "$said" "nothing"
	is "still one IKE SA, one child" "$(established west cloud)" "1 1"
	is "tunnel list: the SPIs are those of swanctl" \
		"$(listed cloud '[.ike[].children[] | "0x" + .spi_in, "0x" + .spi_out] | sort | join(" ")')" \
		"$(sas west --list-sas --ike cloud | sed -nE 's/^ +(in|out) +([0-9a-f]+),?.*/0x\2/p' | sort | xargs)"
	is "tunnel list: the SPIs are those of ip xfrm" \
		"$(listed cloud '[.sas[] | "0x" + .spi] | sort | join(" ")')" \
		"$(ip -n west xfrm state | grep -oE 'spi 0x[0-9a-f]+' | cut -d ' ' -f 2 | sort | xargs)"
	exits 0 "check" tunnel check
}

ike_ends() { # N, after ike_works
	exits 0 "down" tunnel down
	is "swanctl: no SA is left" "$(established west cloud)" "0 0"
	is "swanctl: the connection is unloaded" "$(sas west --list-conns | grep -c cloud)" 0
	is "down leaves no interface, SA or policy" \
		"$(ip -n west link show "xf$1" 2>/dev/null)$(ip -n west xfrm state)$(ip -n west xfrm policy | grep -c "if_id")" 0
	ike_down "$1"
}

ike_rekey() { # N
	local n=$1 sent lost longest before
	before=$(ip -n west xfrm state | grep -oE 'spi 0x[0-9a-f]+' | sort)
	begin_pings ikerekey west 0.02 "198.18.$n.2"
	sleep 1
	sas west --rekey --child cloud >"$work/said"
	sleep 2
	sas west --rekey --ike cloud >>"$work/said"
	sleep 2
	read -r sent lost longest < <(lost_of ikerekey)
	is "rekey of the child and of the IKE SA under traffic: pings lost" "$lost" 0
	note "$sent pings"
	[[ $(ip -n west xfrm state | grep -oE 'spi 0x[0-9a-f]+' | sort) != "$before" ]]
	is "the keys are others" $? 0
	exits 0 "check, after the rekey" tunnel check
}

# The peer's charon is killed and its kernel forgets; shiftd on west brings the tunnel back.
ike_peer_dies() { # N
	local n=$1
	begin_shiftd west
	end "${charon_pid[east]}" KILL
	ip -n east xfrm state flush
	ip -n east xfrm policy flush
	will_be "the peer's charon was killed: the tunnel is down" 20 down checked cloud .state
	begin_charon east
	sas east --load-all --file "$work/east/swanctl.conf" >"$work/said"
	will_be "it runs again: the tunnel is up" 45 up checked cloud .state
	is "pings go through" "$(pings west 5 "198.18.$n.2")" 5
	is "one IKE SA, one child" "$(established west cloud)" "1 1"
	end_shiftd west
}
