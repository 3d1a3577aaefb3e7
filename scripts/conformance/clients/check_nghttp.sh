# nghttp and h2load of nghttp2.
. "$(dirname "$0")/checks.sh"

prints() { # WORDS COMMAND...: the command succeeds and its output has a line that matches
	words=$1
	shift
	timeout 300 "$@" >printed 2>&1 && grep -qE -- "$words" printed || { tail -c 500 printed; return 1; }
}
all() { # COUNT ARGUMENT...: h2load has all its requests succeed
	n=$1
	shift
	prints "$n succeeded, 0 failed, 0 errored, 0 timeout" h2load -n "$n" "$@"
}
head -c 100 /dev/urandom >small
head -c 400000 /dev/urandom >big
head -c 11000000 /dev/zero >toolarge
for base in "http://$1:$2" "https://$1:$2"; do
	k=$base/rest/v2/caches/default/nghttp
	check "$base: put" prints ':status: 204' nghttp -v -H ':method: PUT' -d big "$k"
	check "$base: get" sh -c "nghttp '$k' | cmp - big"
	check "$base: a small window" sh -c "nghttp -w 10 -W 10 '$k' | cmp - big"
	check "$base: padding" prints ':status: 204' nghttp -v -b 200 -H ':method: PUT' -d big "$k"
	# Its header section is longer than we take; what is checked is that the connection stays in step.
	check "$base: continuation" prints ':status: 431' nghttp -v --continuation "$k"
	check "$base: trailer" prints ':status: 204' nghttp -v -H ':method: PUT' --trailer 'x-a: b' -d big "$k"
	check "$base: expect" prints ':status: 204' nghttp -v --expect-continue -H ':method: PUT' -d big "$k"
	check "$base: no priorities" prints ':status: 200' nghttp -v --no-dep "$k"
	check "$base: several" prints ':status: 200' nghttp -v -m 50 "$k"
	check "$base: small tables" prints ':status: 200' nghttp -v -c 0 "$k"
	check "$base: tables that change" prints ':status: 200' nghttp -v -c 4096 -c 100 -c 1000 "$k"
	check "$base: too large" prints ':status: 413' nghttp -v -d toolarge "$k"
	check "$base: miss" prints ':status: 404' nghttp -v "${k}none"
	check "$base: small" prints ':status: 204' nghttp -v -H ':method: PUT' -d small "$k"
	check "$base: load" all 20000 -c 8 -m 32 "$k"
	check "$base: load of puts" all 20000 -c 8 -m 32 -H ':method: PUT' -d small "$k"
	check "$base: load by HTTP/1.1" all 20000 --h1 -c 8 "$k"
	check "$base: pipelined" all 20000 --h1 -c 8 -m 16 "$k"
	check "$base: load of 400 kB" prints ':status: 204' nghttp -v -H ':method: PUT' -d big "$k"
	check "$base: read by 32 at a time" all 1000 -c 4 -m 32 -w 16 -W 18 "$k"
	check "$base: written by 32 at a time" all 500 -c 4 -m 32 -H ':method: PUT' -d big "$k"
	check "$base: many connections" all 2000 -c 200 -m 2 "$base/health/live"
done
check 'upgrade' prints ':status: 404' nghttp -u -v "http://$1:$2/rest/v2/caches/default/none"
check 'ALPN of HTTP/1.1 alone' all 2000 -c 4 --npn-list=http/1.1 "https://$1:$2/health/live"
