# wrk: many connections at once, none of whose requests may fail.
clean() { # ARGUMENT...: all answers came and were as they should be
	wrk -t 2 -d 2 --timeout 60 "$@" >said.wrk 2>&1
	cat said.wrk
	grep -q 'requests in' said.wrk && ! grep -qE 'Socket errors|Non-2xx' said.wrk
}
. "$(dirname "$0")/checks.sh"
printf 'wrk.method = "PUT"\nwrk.body = string.rep("v", 100)\n' >put.lua
printf 'local r = {}\nfor i = 1, 16 do r[i] = wrk.format("GET") end\nlocal all = nil\ninit = function() all = "" for i = 1, 16 do all = all .. wrk.format("GET") end end\nrequest = function() return all end\n' >pipeline.lua
for base in "http://$1:$2" "https://$1:$2"; do
	k=$base/rest/v2/caches/default/wrk
	check "$base: PUT" clean -c 64 -s put.lua "$k"
	check "$base: GET" clean -c 64 "$k"
	check "$base: pipelined" clean -c 16 -s pipeline.lua "$k"
	check "$base: 500 connections" clean -c 500 "$k"
	check "$base: metrics" clean -c 4 "$base/metrics"
done
