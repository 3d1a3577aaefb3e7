# curl, by every version of HTTP that it speaks, in clear and by TLS.
. "$(dirname "$0")/checks.sh"
clear=http://$1:$2
tls=https://$1:$2
caches=/rest/v2/caches/default

ask() { # ARGUMENT...: curl by $how; leaves body, head and what -w tells
	# shellcheck disable=SC2086
	curl -sS --max-time 60 --cacert "$CA" $how -o body -D head -w '%{http_code} HTTP/%{http_version} %{num_connects}\n' "$@" >told 2>&1
}
is() { # STATUS ARGUMENT...: the answer has this status, by the version that is meant
	status=$1
	shift
	ask "$@"
	grep -q "^$status $version " told || { cat told; return 1; }
}
body() { # TEXT ARGUMENT...: 200 with this body
	want=$1
	shift
	is 200 "$@" && printf %s "$want" | cmp - body
}
field() { grep -qi "^$1" head || { cat head; return 1; }; }
same() { # FILE ARGUMENT...: 200 with this file
	file=$1
	shift
	is 200 "$@" && cmp "$file" body
}

seq 1 20000 >text
head -c 1000000 /dev/urandom >big
head -c 5000000 /dev/urandom >large
head -c 11000000 /dev/zero >toolarge

all() { # NAME HOW VERSION BASE
	name=$1 how=$2 version=$3
	k=$4$caches/$(printf %s "$1" | tr -c 'a-z0-9' _)
	check "$name: miss" is 404 "$k"
	check "$name: put" is 204 -X PUT -H 'Content-Type: text/plain' -d hello "$k"
	check "$name: get" body hello "$k"
	check "$name: type" field 'content-type: text/plain'
	check "$name: head" is 200 -I "$k"
	check "$name: length" field 'content-length: 5'
	check "$name: post of what is there" is 409 -d x "$k"
	check "$name: still the same" body hello "$k"
	ask --etag-save tag "$k"
	check "$name: valid by its tag" is 304 --etag-compare tag "$k"
	check "$name: lost update" is 412 -X PUT -H 'If-Match: "1"' -d other "$k"
	check "$name: update" is 204 -X PUT -H "If-Match: $(cat tag)" -d other "$k"
	check "$name: not valid any more" is 200 --etag-compare tag "$k"
	check "$name: create only" is 412 -X PUT -H 'If-None-Match: *' -d x "$k"
	check "$name: empty" is 204 -X PUT -H 'Content-Length: 0' "$k/../empty"
	check "$name: get empty" body '' "$k/../empty"
	check "$name: 1 MB" is 204 -T big "$k"
	check "$name: get 1 MB" same big "$k"
	if [ "$name" != 1.0 ]; then
		check "$name: 5 MB of unknown length" is 204 -T - "$k" <large
		check "$name: get 5 MB" same large "$k"
	fi
	check "$name: text" is 204 -T text "$k"
	check "$name: get compressed" same text "$k" --compressed
	check "$name: ranges are not cut out" same text "$k" -r 0-3
	check "$name: gzip" body '' "$k/../empty" -H 'Accept-Encoding: gzip'
	for coding in gzip deflate zstd; do
		is 200 "$k" -H "Accept-Encoding: $coding"
		check "$name: $coding" field "content-encoding: $coding"
	done
	gzip -c text >text.gz
	check "$name: put gzip" is 204 -X PUT -H 'Content-Encoding: gzip' --data-binary @text.gz "$k"
	check "$name: get what was gzip" same text "$k"
	check "$name: lives three seconds" is 204 -X PUT -H 'timeToLiveSeconds: 3' -d x "$k/../short"
	check "$name: is there" is 200 "$k/../short"
	check "$name: valid by its date" is 304 -z "$(date -u '+%a, %d %b %Y %H:%M:%S GMT')" "$k/../short"
	check "$name: delete" is 204 -X DELETE "$k"
	check "$name: deleted" is 404 "$k"
	check "$name: delete of a miss" is 404 -X DELETE "$k"
	check "$name: not allowed" is 405 -X POST "$4/health/live"
	check "$name: metrics" is 200 "$4/metrics"
	check "$name: page" is 200 "$4/"
	sleep 3
	check "$name: expired" is 404 "$k/../short"
	check "$name: foreign host" is 403 -H 'Host: stranger.example' "$k"
	check "$name: allowed host" is 404 -H 'Host: other.test' "$k"
	check "$name: foreign origin" is 403 -H 'Origin: https://stranger.example' "$k"
}
reuse() { # ARGUMENT...: a second request goes over the first's connection
	ask "$@"
	[ "$(grep -c ' HTTP/[0-9.]* 0$' told)" = 1 ] || { cat told; return 1; }
}

all 1.1 --http1.1 HTTP/1.1 "$clear"
check '1.1: kept alive' reuse "$clear/health/live" "$clear/health/ready"
check '1.1: too large' is 413 -T toolarge "$clear$caches/k"
check '1.1: too large, unannounced' is 413 -H Expect: -T toolarge "$clear$caches/k"
# Any server of HTTP/1.1 says so.
all 1.0 --http1.0 HTTP/1.1 "$clear"
all h2c --http2-prior-knowledge HTTP/2 "$clear"
check 'h2c: kept alive' reuse "$clear/health/live" "$clear/health/ready"
all 'TLS 1.3, 1.1' '--http1.1 --tlsv1.3' HTTP/1.1 "$tls"
all 'TLS 1.2, 1.1' '--http1.1 --tls-max 1.2' HTTP/1.1 "$tls"
all 'TLS 1.3, h2' '--http2 --tlsv1.3' HTTP/2 "$tls"
all 'TLS 1.2, h2' '--http2 --tls-max 1.2' HTTP/2 "$tls"

how=--http2 version=HTTP/2
check 'upgrade: get' is 404 "$clear$caches/up"
check 'upgrade: 101 before' grep -q '^HTTP/1.1 101' head
check 'upgrade: reuse' reuse "$clear/health/live" "$clear/health/ready"
version=HTTP/1.1
check 'upgrade: a body stays with 1.1' is 204 -T text "$clear$caches/up"
version=HTTP/2
check 'upgrade: get what was put' same text "$clear$caches/up"

how='--http1.1' version=HTTP/1.1
# Not by prior knowledge: this curl then fails against any server.
check 'HTTP/2: many at a time' curl -sS --cacert "$CA" -Z -f -o /dev/null "$tls$caches/up?[1-100]"
check '1.1: many at a time' curl -sS --http1.1 -Z -f -o /dev/null "$clear$caches/up?[1-100]"
check 'Unix socket' same text "http://localhost$caches/up" --unix-socket "$SOCKET"
refused() { # ARGUMENT...: no answer, though the server is there
	! curl -sS -o body "$@" && is 200 "$clear/health/live"
}
check 'no TLS without trust' refused "$tls/health/live"
check 'certificate by name' is 200 "https://other.test:$2/health/live" --connect-to "::$1:"
check 'no certificate for that name' refused --cacert "$CA" --connect-to "::$1:" "https://third.test:$2/health/live"
check 'client certificate' is 200 "https://$STRICT/health/live" --cert "$CERT" --key "$KEY"
check 'without it' refused --cacert "$CA" "https://$STRICT/health/live"
check 'with that of a stranger' refused --cacert "$CA" --cert "$STRANGER" --key "$STRANGER" "https://$STRICT/health/live"
