# cloud.sh - a double of tests/cloud and the provider's driver; sourced after lib.sh
# shellcheck shell=bash disable=SC2034,SC2154 # what is set here is for the tests, or is of lib.sh

drive=${DRIVE:-$here/build/tests/dns_drive}
double=$work/double # its folder
all=$work/all       # all that was ever printed

double_up() { # NAME
	local i
	[[ -x $drive ]] || give_up "build" "run make tests"
	command -v node >/dev/null || give_up "node is installed"
	mkdir -p "$double"
	setpriv --pdeathsig TERM node "$here/tests/cloud/$1.mjs" --dir "$double" --tls \
		>"$double/log" 2>&1 &
	background+=($!)
	for ((i = 0; i < 200; i++)); do
		[[ -s $double/port ]] && break
		sleep 0.1
	done
	[[ -s $double/port ]] || give_up "the double starts" "$(<"$double/log")"
	url=https://127.0.0.1:$(<"$double/port")
	dns=127.0.0.1:$(<"$double/dns_port")
}

steer() { # WHAT [JSON]
	if (($# > 1)); then
		curl -sS --cacert "$double/ca.pem" --fail -X POST --data "$2" "$url/_test/$1" >/dev/null
	else
		curl -sS --cacert "$double/ca.pem" --fail "$url/_test/$1"
	fi
}

faults() { # JSON: a list; the log begins anew
	steer faults "$1"
	curl -sS --cacert "$double/ca.pem" -X DELETE "$url/_test/log" >/dev/null
}

sent() { # FILTER: of what came since
	steer log | jq -c "$1"
}

provider() { # VERB...: leaves what it said in $said, and its outcome in $outcome and $why
	said=$(timeout 60 "$drive" "$config" "$@" 2>&1)
	printf '%s\n' "$said" >>"$all"
	outcome=$(jq -r '.outcome // empty' <<<"$said" 2>/dev/null)
	why=$(jq -r '.why // empty' <<<"$said" 2>/dev/null)
}

ends() { # OUTCOME PATTERN NAME VERB...: PATTERN of the words; "": any
	local want=$1 pattern=$2 what=$3
	shift 3
	provider "$@"
	if [[ $outcome != "$want" ]]; then
		not_ok "$what" "$outcome instead of $want: $said"
	elif [[ -n $pattern ]] && ! grep -qE -- "$pattern" <<<"$why"; then
		not_ok "$what" "no match of '$pattern' in: $why"
	else
		ok "$what"
	fi
}

# The change that came, as the dry run would show it, but for the headers that it did not show.
came_as() { # SHOWN
	local came line key
	came=$(sent '[.[] | select(.on == "change")][0]')
	jq -r '"\(.method) \(.url) HTTP/1.1"' <<<"$came"
	while IFS= read -r line; do
		[[ -n $line ]] || break
		key=${line%%: *}
		case $key in
		Authorization) echo "$line" ;;
		*) echo "$key: $(jq -r --arg k "${key,,}" '.headers[$k]' <<<"$came")" ;;
		esac
	done < <(tail -n +2 <<<"$1")
	printf '\n%s\n' "$(jq -r .body <<<"$came")"
}

ctl() { # as the operator
	SHIFT_STATE=$work/state timeout 60 "$shiftctl" -c "$config" "$@" | tee -a "$all"
	return "${PIPESTATUS[0]}"
}

answered() { # what the authority says of NAME
	dig +norecurse +noall +answer +time=2 +tries=1 "@${dns%:*}" -p "${dns#*:}" "$1" A |
		awk '{print $2, $5}' | sort | paste -sd' '
}

# The commands, from the record as it was seeded to dns.new and back.
by_command() { # NAME OLD NEW: as `there` has them
	local name=$1 was=$2 becomes=$3
	faults '[]'
	exits 0 "cutover --dry-run" ctl dns cutover --dry-run --no-way-back
	has "it shows the change and its inverse" "$(grep -cE '^(POST|PUT) ' <<<"$said")" '^2$'
	is "and changes nothing" "$(there)" "$was"
	exits 3 "cutover without a way back is refused" ctl dns cutover --yes
	exits 0 "cutover" ctl dns cutover --no-way-back --yes
	has "it was read back" "$said" "changed, and read back"
	has "and the authority answers it" "$said" "1 of 1 authorities answer it"
	is "it is as wanted" "$(there)" "$becomes"
	exits 0 "cutover again has nothing to do" ctl dns cutover --no-way-back --yes
	has "and says so" "$said" "is the new set already"
	exits 0 "rollback" ctl dns rollback --yes
	is "and what was there is there" "$(there)" "$was"
	has "and is answered" "$(answered "$name")" "^60 192.0.2.10$"
	faults '[{"on": "change", "kind": "lost", "after": true}]'
	exits 0 "a lost answer is no failed cutover" ctl dns cutover --no-way-back --yes
	is "of one change" "$(sent '[.[] | select(.on == "change")] | length')" 1
	faults '[{"on": "change", "kind": "status", "status": 429, "headers": {"retry-after": "600"}}]'
	exits 1 "a rollback that is throttled for too long fails" ctl dns rollback --yes
	is "and leaves the new set" "$(there)" "$becomes"
	faults '[]'
	exits 0 "and can be made again" ctl dns rollback --yes
	is "as before" "$(there)" "$was"
}

# The provider's own client against a double of its own: each of its tests is one of ours.
proof() { # FILE
	local line seen=0 said
	if [[ ! -d $here/tests/cloud/node_modules ]]; then
		echo "skip - $name: the provider's own client: not installed (npm ci in tests/cloud)"
		return
	fi
	said=$(timeout 120 node "$here/tests/cloud/$1" 2>&1)
	while IFS= read -r line; do
		case $line in
		"ok - "*) ok "the provider's own client: ${line#ok - }" ;;
		"not ok - "*) not_ok "the provider's own client: ${line#not ok - }" "$said" ;;
		*) continue ;;
		esac
		((++seen))
	done <<<"$said"
	((seen)) || not_ok "the provider's own client ran" "$said"
}
