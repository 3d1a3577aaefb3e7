# openssl s_client: versions, suites, names, resumption, client certificates.
. "$(dirname "$0")/checks.sh"
at=$1:$2

# -ign_eof waits for the server's end: the request asks for it.
say() { # WHERE REQUEST ARGUMENT...
	where=$1 request=$2
	shift 2
	printf "$request" | timeout 120 openssl s_client -connect "$where" -CAfile "$CA" -verify_return_error -ign_eof "$@" 2>&1
}
http='GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
prints() { # WORDS ARGUMENT...: what is said has a line that matches
	words=$1
	shift
	say "$at" "$http" "$@" >said
	grep -qE -- "$words" said || { tail -c 500 said; return 1; }
}
# Not at the beginning of a line: it comes in the middle of what s_client tells of the session.
answers() { prints 'HTTP/1.1 200' "$@"; }
refuses() { ! answers "$@" && answers; }

check 'TLS 1.3' answers -tls1_3
check 'TLS 1.2' answers -tls1_2
check 'no TLS 1.1' refuses -tls1_1 -cipher DEFAULT@SECLEVEL=0
check 'no TLS 1.0' refuses -tls1 -cipher DEFAULT@SECLEVEL=0
for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
	check $suite prints "Cipher is $suite" -tls1_3 -ciphersuites $suite
done
for suite in ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305; do
	check $suite prints "Cipher is $suite" -tls1_2 -cipher $suite
done
for suite in NULL-SHA256 RC4-SHA ADH-AES128-SHA DES-CBC3-SHA; do
	check "no $suite" refuses -tls1_2 -cipher "$suite@SECLEVEL=0"
done
for group in X25519 P-256 P-384; do check "group $group" answers -groups $group; done
check 'ALPN h2' prints 'ALPN protocol: h2' -alpn h2,http/1.1
check 'ALPN http/1.1' prints 'ALPN protocol: http/1.1' -alpn http/1.1
check 'ALPN of a stranger is no reason to refuse' answers -alpn foo
check 'name' prints 'subject=.*CN = other.test' -servername other.test -verify_hostname other.test
check 'no name' prints 'subject=.*CN = localhost' -noservername
check 'another name' prints 'subject=.*CN = localhost' -servername third.test
check 'verified' prints 'Verify return code: 0 .ok.' -verify_ip "$1"
for version in 1_2 1_3; do
	check "session $version" answers -tls$version -sess_out session$version
	check "resumed $version" prints '^Reused' -tls$version -sess_in session$version
	check "request when resumed $version" answers -tls$version -sess_in session$version
done
memcached() { say "$at" 'set k 0 0 5\r\nhello\r\nget k\r\nquit\r\n' "$@" | tr -d '\r' >said && grep -q '^VALUE k 0 5' said && grep -q '^hello' said; }
check 'memcached' memcached
check 'memcached by TLS 1.2' memcached -tls1_2
check 'memcached in small records' memcached -max_send_frag 512 -split_send_frag 512
awaits() { # N WORDS: said has them N times, or a minute is over
	for _ in $(seq 1200); do
		[ "$(grep -o -- "$2" said | wc -l)" -ge "$1" ] && return
		sleep 0.05
	done
	return 1
}
key_update() { # s_client takes K for a command where it is read by itself, and ends with its input
	: >said
	{
		printf 'version\r\n'
		awaits 1 'VERSION '
		echo K
		awaits 1 KEYUPDATE
		printf 'version\r\n'
		awaits 2 'VERSION '
	} | timeout 120 openssl s_client -connect "$at" -CAfile "$CA" -tls1_3 >said 2>&1
	awaits 2 'VERSION '
}
check 'key update' key_update
strict() { say "$STRICT" "$http" "$@" >said && grep -q 'HTTP/1.1 200' said; }
lonely() { ! strict "$@" && answers; }
check 'client certificate' strict -cert "$CERT" -key "$KEY"
check 'client certificate by TLS 1.2' strict -tls1_2 -cert "$CERT" -key "$KEY"
check 'none' lonely
check 'none by TLS 1.2' lonely -tls1_2
check 'of a stranger' lonely -cert "$STRANGER" -key "$STRANGER"
check 'the stranger does no harm' strict -cert "$CERT" -key "$KEY"
check 'speed' sh -c "timeout 120 openssl s_time -connect $at -CAfile '$CA' -new -time 2 | grep -E '^[0-9]+ connections in [0-9]+ real'"
