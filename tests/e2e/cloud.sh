# cloud.sh - a double of tests/cloud and the provider's driver; sourced after lib.sh
# shellcheck shell=bash disable=SC2034 # what is set here is for the tests

drive=$here/build/tests/dns_drive
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
