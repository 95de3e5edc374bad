# dns_lab.sh - real DNS servers in one network namespace of the test; sourced after lib.sh
#
# Every server has an address of its own on the namespace's loopback device and a folder of its own
# under $work, answers on port 53, and is a child of the test: all end on every way out, also when
# the test is killed. The namespace has no name and goes with the last of them.
#
#   parent     .1   NSD       the root and test.: delegates the three zones
#   bind       .11  BIND      primary of example.test; its NOTIFYs are blocked
#   slow       .12  NSD       secondary of example.test that asks once a day, or when dns_kick says so
#   knot       .13  Knot      primary of knot.test
#   lame       .14  odd       named by example.test's delegation, and refuses
#   powerdns   .15  PowerDNS  primary of powerdns.test
#   default floor cap stale prefetch original   .21 – .26  unbounds of six cache policies
#   dnsmasq    .27  dnsmasq   forwards to `default`
#   kresd      .28  Knot Resolver
#   pool       .29  dnsdist   in front of pool1 – pool3, unbounds of .31 – .33 that say their NSID
#   secure     .34  unbound   over TLS, port 853, and HTTPS, port 443; port 53, too; the same of
#                             2001:db8:53::34, the namespace's only IPv6 address
#   .41 – .59       odd servers of dns_odd.py: what each does is in dns_odd
#
# Records: api.ZONE A, TTL 6 s, as $DNS_OLD or $DNS_NEW; long.knot.test, TTL 42 s; and
# weighted.knot.test, which is answered by $DNS_WEIGHTS. The three primaries take updates signed with
# the key `shift.`, in $dns_key as BIND writes it and in $work/tsig.secret in base64 alone.
# shellcheck shell=bash disable=SC2016,SC2034 # zone files have dollars; what is set here is for the tests

declare -A dns_at=(
	[parent]=198.18.53.1 [bind]=198.18.53.11 [slow]=198.18.53.12 [knot]=198.18.53.13
	[lame]=198.18.53.14 [powerdns]=198.18.53.15
	[default]=198.18.53.21 [floor]=198.18.53.22 [cap]=198.18.53.23 [stale]=198.18.53.24
	[prefetch]=198.18.53.25 [original]=198.18.53.26 [dnsmasq]=198.18.53.27 [kresd]=198.18.53.28
	[pool]=198.18.53.29 [pool1]=198.18.53.31 [pool2]=198.18.53.32 [pool3]=198.18.53.33
	[secure]=198.18.53.34
)
dns_secure6=2001:db8:53::34
declare -A dns_primary=([example.test]=bind [knot.test]=knot [powerdns.test]=powerdns)
declare -A dns_odd=() # address → mode and what it is about, for dns_odd.py
declare -A dns_pid=() # by name
dns_zones=(example.test knot.test powerdns.test)
DNS_OLD=(203.0.113.10)
DNS_NEW=(198.51.100.1 198.51.100.2 198.51.100.3)
DNS_WEIGHTS=(40 30 30)
DNS_TTL=6 DNS_LONG=42 DNS_FLOOR=9 DNS_CAP=3
DNS_PATIENCE=15 # s, until a server answers
dns_secret=c2hpZnRjdGwncyBsYWIgb25seSwgbm90IGEgc2VjcmV0IQ==
dns_key=$work/tsig.key
dns_holder=
dns_resolv_conf=${dns_at[default]} # of the namespace

in_dns() { # COMMAND...: where the servers are
	nsenter --net="/proc/$dns_holder/ns/net" --mount="/proc/$dns_holder/ns/mnt" \
		--wd="$PWD" -- "$@"
}

# shellcheck disable=SC2317 # called by the trap
finish() {
	local code=$? i pids=("${background[@]}" "${dns_pid[@]}")
	trap '' INT TERM HUP
	trap - EXIT
	((${#pids[@]} == 0)) || kill -TERM "${pids[@]}" 2>/dev/null
	for ((i = 0; i < 30 && ${#pids[@]}; i++)); do
		kill -0 "${pids[@]}" 2>/dev/null || break
		pause 0.1
	done
	[[ -z $dns_holder ]] || pids+=("$dns_holder")
	((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null
	wait 2>/dev/null
	rm -rf -- "$work"
	((code == 0 && failed == 0)) || exit 1
	exit 0
}

dns_start() { # NAME COMMAND...: in the lab, ended with the test
	local server=$1
	shift
	nsenter --net="/proc/$dns_holder/ns/net" -- setpriv --pdeathsig TERM -- setsid -- "$@" \
		>"$work/$server/log" 2>&1 </dev/null &
	dns_pid[$server]=$!
}

dns_namespace() {
	printf 'nameserver %s\n' "${dns_resolv_conf:-192.0.2.1}" >"$work/resolv.conf"
	setpriv --pdeathsig KILL unshare --net --mount --propagation private -- sleep infinity &
	dns_holder=$!
	becomes 5 sleep cat "/proc/$dns_holder/comm" || return
	{
		echo link set lo up
		echo "addr add $dns_secure6/128 dev lo nodad"
		printf '%s\n' "${dns_at[@]}" "${!dns_odd[@]}" | sort -u |
			sed 's,.*,addr add &/32 dev lo,'
	} | in_dns ip -batch - &&
		in_dns mount --bind "$work/resolv.conf" /etc/resolv.conf
}

# ---- zones ----

dns_soa() { # ZONE PRIMARY
	printf '@ 3600 IN SOA %s hostmaster.%s 1 86400 86400 604800 %d\n' "$2" "$1" "$DNS_TTL"
}

dns_zone_text() { # ZONE: as a zone file
	local zone=$1 address
	printf '$ORIGIN %s.\n$TTL 3600\n' "$zone"
	dns_soa "$zone." "ns1.$zone."
	printf '@ NS ns1\nns1 A %s\n' "${dns_at[${dns_primary[$zone]}]}"
	if [[ $zone == example.test ]]; then
		printf '@ NS ns2\nns2 A %s\n@ NS ns3\nns3 A %s\n' "${dns_at[slow]}" "${dns_at[lame]}"
		printf 'ns1 AAAA 2001:db8:53::11\n'
	fi
	# long enough for a cache that renews in the last tenth to be seen doing so
	[[ $zone != knot.test ]] || printf 'long %d A %s\nweighted %d A %s\n' "$DNS_LONG" "${DNS_OLD[0]}" \
		"$DNS_TTL" "${DNS_NEW[0]}"
	for address in "${DNS_OLD[@]}"; do printf 'api %d A %s\n' "$DNS_TTL" "$address"; done
}

dns_delegations() {
	local zone
	printf '$ORIGIN test.\n$TTL 3600\n'
	dns_soa test. ns.parent.test.
	printf '@ NS ns.parent\nns.parent A %s\n' "${dns_at[parent]}"
	for zone in "${dns_zones[@]}"; do
		printf '%s NS ns1.%s\nns1.%s A %s\n' "${zone%.test}" "${zone%.test}" "${zone%.test}" \
			"${dns_at[${dns_primary[$zone]}]}"
	done
	printf 'example NS ns2.example\nns2.example A %s\n' "${dns_at[slow]}"
	printf 'example NS ns3.example\nns3.example A %s\n' "${dns_at[lame]}"
	printf 'ns1.example AAAA 2001:db8:53::11\n'
}

dns_root() {
	printf '$ORIGIN .\n$TTL 3600\n'
	dns_soa root. a.servers.root.
	printf '@ NS a.servers.root.\na.servers.root. A %s\n' "${dns_at[parent]}"
	printf 'test. NS ns.parent.test.\nns.parent.test. A %s\n' "${dns_at[parent]}"
}

# ---- authorities ----

dns_nsd() { # NAME, then lines of zones on stdin
	local dir=$work/$1
	mkdir -p "$dir"
	cat >"$dir/conf" <<-END
		server:
		  ip-address: ${dns_at[$1]}
		  username: ""
		  chroot: ""
		  zonesdir: "$dir"
		  pidfile: "$dir/pid"
		  database: ""
		  xfrdfile: "$dir/xfrd"
		  xfrdir: "$dir"
		  zonelistfile: "$dir/zones"
		  server-count: 1
		  tcp-count: 20
		  hide-version: yes
		  rrl-ratelimit: 0
		  rrl-whitelist-ratelimit: 0
		remote-control:
		  control-enable: yes
		  control-interface: $dir/control
	END
	cat >>"$dir/conf"
	dns_start "$1" nsd -d -c "$dir/conf"
}

dns_parent() {
	mkdir -p "$work/parent"
	dns_root >"$work/parent/root.zone"
	dns_delegations >"$work/parent/test.zone"
	dns_nsd parent <<-END
		zone:
		  name: "."
		  zonefile: root.zone
		zone:
		  name: "test"
		  zonefile: test.zone
	END
}

dns_slow() { # it begins with what the primary has, and does not ask again by itself
	mkdir -p "$work/slow"
	dns_zone_text example.test >"$work/slow/example.test.zone"
	dns_nsd slow <<-END
		zone:
		  name: "example.test"
		  zonefile: example.test.zone
		  request-xfr: AXFR ${dns_at[bind]} NOKEY
		  outgoing-interface: ${dns_at[slow]}
		  allow-notify: 192.0.2.1 NOKEY
		  min-refresh-time: 86400
		  min-retry-time: 86400
	END
}

dns_kick() { # the slow secondary fetches the zone now
	nsd-control -c "$work/slow/conf" force_transfer example.test >/dev/null
}

dns_bind() {
	local dir=$work/bind
	mkdir -p "$dir"
	dns_zone_text example.test >"$dir/example.test.zone"
	cat >"$dir/conf" <<-END
		include "$dns_key";
		options {
			directory "$dir"; pid-file "$dir/pid"; session-keyfile "$dir/session.key";
			managed-keys-directory "$dir"; lock-file none;
			listen-on { ${dns_at[bind]}; }; listen-on-v6 { none; };
			recursion no; notify no; dnssec-validation no; minimal-responses yes;
			max-cache-size 2M;
		};
		controls { };
		logging { category default { default_stderr; }; };
		zone "example.test" {
			type primary; file "$dir/example.test.zone"; allow-update { key shift.; };
			allow-transfer { ${dns_at[slow]}; };
		};
	END
	dns_start bind named -f -n 1 -c "$dir/conf"
}

dns_knot() {
	local dir=$work/knot i
	mkdir -p "$dir"
	dns_zone_text knot.test >"$dir/knot.test.zone"
	printf 'weighted.knot.test:\n' >"$dir/weights"
	for ((i = 0; i < ${#DNS_NEW[@]}; i++)); do
		printf -- '  - weight: %d\n    A: %s\n' "${DNS_WEIGHTS[i]}" "${DNS_NEW[i]}" >>"$dir/weights"
	done
	cat >"$dir/conf" <<-END
		server:
		  rundir: "$dir"
		  listen: ${dns_at[knot]}@53
		  udp-workers: 1
		  tcp-workers: 1
		  background-workers: 1
		database:
		  storage: "$dir"
		  journal-db-max-size: 64M
		log:
		  - target: stderr
		    any: warning
		key:
		  - id: shift.
		    algorithm: hmac-sha256
		    secret: $dns_secret
		acl:
		  - id: update
		    key: shift.
		    action: update
		mod-geoip:
		  - id: weighted
		    config-file: "$dir/weights"
		    ttl: $DNS_TTL
		    mode: weighted
		zone:
		  - domain: knot.test
		    module: mod-geoip/weighted
		    storage: "$dir"
		    file: knot.test.zone
		    acl: update
		    zonefile-sync: -1
		    journal-content: all
	END
	dns_start knot knotd -c "$dir/conf"
}

dns_powerdns() {
	local dir=$work/powerdns
	mkdir -p "$dir"
	{
		echo 'PRAGMA synchronous = OFF; BEGIN;'
		cat /usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql
		echo "INSERT INTO domains (id, name, type) VALUES (1, 'powerdns.test', 'NATIVE');"
		echo "INSERT INTO tsigkeys (name, algorithm, secret)
			VALUES ('shift', 'hmac-sha256', '$dns_secret');"
		echo "INSERT INTO domainmetadata (domain_id, kind, content) VALUES
			(1, 'TSIG-ALLOW-DNSUPDATE', 'shift'), (1, 'SOA-EDIT-DNSUPDATE', 'INCREASE');"
		dns_zone_text powerdns.test | awk -v zone=powerdns.test '
			/^\$/ { next }
			{
				name = $1 == "@" ? zone : $1 "." zone
				i = $2 ~ /^[0-9]+$/ ? 3 : 2
				ttl = i == 3 ? $2 : 3600
				type = $i == "IN" ? $(++i) : $i
				data = $(++i)
				while (i < NF) data = data " " $(++i)
				if (type == "NS") data = data "." zone
				if (type == "SOA") gsub(/\. /, " ", data)
				printf "INSERT INTO records (domain_id, name, type, content, ttl, prio, auth)" \
					" VALUES (1, \047%s\047, \047%s\047, \047%s\047, %d, 0, 1);\n", name, type,
					data, ttl
			}'
		echo 'COMMIT;'
	} | sqlite3 "$dir/db" >"$dir/log" || return
	cat >"$dir/pdns.conf" <<-END
		launch=gsqlite3
		gsqlite3-database=$dir/db
		gsqlite3-pragma-synchronous=0
		local-address=${dns_at[powerdns]}
		socket-dir=$dir
		daemon=no
		guardian=no
		setuid=
		setgid=
		dnsupdate=yes
		allow-dnsupdate-from=198.18.53.0/24
		cache-ttl=0
		query-cache-ttl=0
		negquery-cache-ttl=0
		receiver-threads=1
		distributor-threads=1
		security-poll-suffix=
		version-string=anonymous
		loglevel=3
	END
	dns_start powerdns pdns_server --config-dir="$dir"
}

# ---- resolvers ----

dns_unbound() { # NAME, then lines of its own on stdin
	local dir=$work/$1
	mkdir -p "$dir"
	cat >"$dir/conf" <<-END
		server:
		  interface: ${dns_at[$1]}@53
		  outgoing-interface: ${dns_at[$1]}
		  access-control: 198.18.0.0/15 allow
		  username: ""
		  chroot: ""
		  directory: "$dir"
		  pidfile: "$dir/pid"
		  use-syslog: no
		  do-ip6: no
		  module-config: "iterator"
		  root-hints: "$work/root.hints"
		  local-zone: "test." nodefault
		  target-fetch-policy: "0 0 0 0 0"
		  msg-cache-size: 1m
		  rrset-cache-size: 1m
		  outgoing-range: 128
		  num-queries-per-thread: 64
	END
	sed 's/^/  /' >>"$dir/conf"
	dns_start "$1" unbound -d -c "$dir/conf"
}

dns_unbounds() {
	printf '. 3600 NS a.servers.root.\na.servers.root. 3600 A %s\n' "${dns_at[parent]}" \
		>"$work/root.hints"
	dns_unbound default </dev/null
	dns_unbound floor <<<"cache-min-ttl: $DNS_FLOOR"
	dns_unbound cap <<<"cache-max-ttl: $DNS_CAP"
	dns_unbound stale <<<$'serve-expired: yes\nede: yes\nede-serve-expired: yes'
	dns_unbound prefetch <<<'prefetch: yes'
	dns_unbound original <<<'serve-original-ttl: yes'
	dns_unbound pool1 <<<'nsid: ascii_pool1'
	dns_unbound pool2 <<<'nsid: ascii_pool2'
	dns_unbound pool3 <<<'nsid: ascii_pool3'
}

dns_authority_of_trust() { # a CA of the lab, and the secure resolver's certificate for its address
	local options=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2)
	openssl req -x509 "${options[@]}" -keyout "$work/ca.key" -out "$work/ca.pem" -subj '/CN=lab' \
		-addext basicConstraints=critical,CA:TRUE 2>/dev/null &&
		openssl req -x509 "${options[@]}" -keyout "$work/secure.key" -out "$work/secure.pem" \
			-CA "$work/ca.pem" -CAkey "$work/ca.key" -subj '/CN=secure' \
			-addext "subjectAltName=IP:${dns_at[secure]},IP:$dns_secure6,DNS:secure.test" \
			-addext basicConstraints=critical,CA:FALSE 2>/dev/null
}

dns_secure() {
	dns_authority_of_trust || return
	dns_unbound secure <<-END
		interface: ${dns_at[secure]}@853
		interface: ${dns_at[secure]}@443
		interface: $dns_secure6@53
		interface: $dns_secure6@853
		interface: $dns_secure6@443
		access-control: 2001:db8:53::/48 allow
		do-ip6: yes
		tls-service-key: "$work/secure.key"
		tls-service-pem: "$work/secure.pem"
	END
}

dns_dnsmasq() {
	local dir=$work/dnsmasq
	mkdir -p "$dir"
	dns_start dnsmasq dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts \
		--bind-interfaces --listen-address="${dns_at[dnsmasq]}" --no-dhcp-interface=lo \
		--server="${dns_at[default]}" --pid-file="$dir/pid" --user=root --group=root --log-facility=-
}

dns_kresd() {
	local dir=$work/kresd
	mkdir -p "$dir"
	cat >"$dir/conf" <<-END
		net.listen('${dns_at[kresd]}', 53, { kind = 'dns' })
		net.outgoing_v4('${dns_at[kresd]}')
		net.ipv6 = false
		modules = { 'hints' }
		hints.root({ ['a.servers.root.'] = { '${dns_at[parent]}' } })
		trust_anchors.remove('.')
		modules.unload('ta_update')
		policy.add(policy.suffix(policy.PASS, { todname('test.') }))
		cache.open(10 * MB, 'lmdb://$dir/cache')
	END
	dns_start kresd kresd -n -c "$dir/conf" "$dir"
}

dns_dnsdist() {
	local dir=$work/pool
	mkdir -p "$dir"
	{
		echo "setLocal('${dns_at[pool]}:53')"
		echo "setACL({'198.18.0.0/15'})"
		echo "setServerPolicy(roundrobin)"
		echo "setSecurityPollSuffix('')"
		for server in pool1 pool2 pool3; do
			# a health check would fill the caches that are watched
			echo "newServer({address='${dns_at[$server]}:53'}):setUp()"
		done
	} >"$dir/conf"
	dns_start pool dnsdist --supervised --disable-syslog -C "$dir/conf"
}

dns_odd_servers() {
	local address arguments=()
	mkdir -p "$work/odd"
	for address in "${!dns_odd[@]}"; do arguments+=("$address=${dns_odd[$address]}"); done
	dns_start odd /usr/bin/python3 "$here/tests/e2e/dns_odd.py" "${arguments[@]}"
}

# ---- the whole ----

dns_needs() {
	local program missing=
	for program in named knotd pdns_server nsd nsd-control unbound dnsmasq kresd dnsdist dig \
		nsupdate sqlite3 openssl; do
		[[ -n $(type -P "$program") ]] || missing+=" $program"
	done
	[[ -z $missing ]] || give_up "what the test needs is there" "missing:$missing"
}

dns_answers() { # ADDRESS NAME: how it ended
	in_dns dig +tries=1 +time=1 "@$1" "$2" SOA 2>&1 | sed -n 's/.*status: \([A-Z]*\),.*/\1/p'
}

dns_mute() { # SERVER=ZONE...: those that do not answer for it yet; one dig is much cheaper than many
	local pair questions=()
	for pair; do
		questions+=(-q "${pair#*=}" -t SOA "@${dns_at[${pair%=*}]}" +tries=1 +time=1 +noall +comments +stats)
	done
	in_dns dig "${questions[@]}" 2>/dev/null | awk -v pairs="$(
		for pair; do printf '%s %s ' "${pair%=*}" "${dns_at[${pair%=*}]}"; done
	)" '
		/status: / { good = /status: NOERROR,/ }
		/^;; SERVER: / { sub(/#.*/, "", $3); if (good) answered[$3] = 1; good = 0 }
		END {
			n = split(pairs, p, " ")
			for (i = 1; i < n; i += 2) if (!(p[i + 1] in answered)) printf "%s ", p[i]
		}'
}

dns_lab_up() { # all of it, in less than 5 s
	local server began=$EPOCHREALTIME zone asked=()
	dns_needs
	dns_odd[${dns_at[lame]}]=refused
	printf 'key "shift." { algorithm hmac-sha256; secret "%s"; };\n' "$dns_secret" >"$dns_key"
	(umask 077 && printf '%s\n' "$dns_secret" >"$work/tsig.secret")
	dns_namespace || give_up "the lab's network namespace"
	dns_parent
	dns_bind
	dns_slow
	dns_knot
	dns_powerdns || give_up "PowerDNS's database" "$(<"$work/powerdns/log")"
	dns_odd_servers
	dns_unbounds
	dns_secure || give_up "the lab's certificates"
	dns_dnsmasq
	dns_kresd
	dns_dnsdist
	for zone in "${dns_zones[@]}"; do asked+=("${dns_primary[$zone]}=$zone"); done
	asked+=(slow=example.test)
	# the parent's zone is what resolvers are asked for, so that no watched record enters a cache
	for server in parent default floor cap stale prefetch original dnsmasq kresd pool1 pool2 pool3 \
		pool secure; do
		asked+=("$server=test.")
	done
	becomes "$DNS_PATIENCE" '' dns_mute "${asked[@]}" || dns_no_lab "${seen%% *}"
	becomes "$DNS_PATIENCE" REFUSED dns_answers "${dns_at[lame]}" example.test || dns_no_lab odd
	dns_took=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
	ok "the lab of ${#dns_pid[@]} servers stands ($dns_took s)"
}

dns_no_lab() { # NAME
	give_up "the lab stands" "$1 does not answer:"$'\n'"$(tail -n 20 "$work/$1/log")"
}

dns_ask() { # SERVER NAME [TYPE]: the answer's addresses, one a line, sorted
	in_dns dig +short +tries=1 +time=2 "@${dns_at[$1]:-$1}" "$2" "${3:-A}" | sort
}

dns_ttls() { # NAME SERVER...: "SERVER TTL" lines, by one dig, which is over in a moment
	local name=$1 server questions=()
	shift
	for server; do questions+=(-q "$name" -t A "@${dns_at[$server]}" +tries=1 +time=2 +noall +answer); done
	in_dns dig "${questions[@]}" | awk -v servers="$*" '
		BEGIN { split(servers, s, " ") }
		$4 == "A" { print s[++n], $2 }'
}

dns_flip() { # ZONE old|new: by nsupdate, where shiftctl shall not do it
	local zone=$1 address to="DNS_OLD[@]"
	[[ $2 == old ]] || to="DNS_NEW[@]"
	{
		echo "server ${dns_at[${dns_primary[$zone]}]}"
		echo "zone $zone"
		echo "update delete api.$zone. A"
		for address in "${!to}"; do echo "update add api.$zone. $DNS_TTL A $address"; done
		echo send
	} | in_dns nsupdate -k "$dns_key"
}

dns_config() { # FILE, then lines of the section `dns` on stdin
	{
		cat <<-END
			service: api
			role: leader
			listen: [203.0.113.10:80/tcp]
			interfaces: [lo]
			nat: {addresses: [203.0.113.10], ports: 20000-59999}
			backends:
			  - {name: aws, target: "198.51.100.1:80", client_address: hidden}
			dns:
		END
		sed 's/^/  /'
	} >"$1"
}

joined() { # WORDS...: as a list of YAML
	local IFS=,
	echo "[$*]"
}
