# wget, which asks by HTTP/1.1 and keeps connections.
. "$(dirname "$0")/checks.sh"

ask() { wget -nv -T 60 -t 1 --ca-certificate="$CA" "$@"; }
fails() { # STATUS ARGUMENT...: wget says that the status was this
	want=$1
	shift
	wget -nv -T 60 -t 1 -S "$@" >said 2>&1
	grep -q "HTTP/1.1 $want" said || { cat said; return 1; }
}
same() { ask -O copy "$2" && cmp "$1" copy; }

head -c 3000000 /dev/urandom >big
seq 1 20000 >text
for base in "http://$1:$2" "https://$1:$2"; do
	k=$base/rest/v2/caches/default/wget${base%%:*}
	check "$base: miss" fails 404 --ca-certificate="$CA" "$k"
	check "$base: put" ask -O - --method=PUT --header='Content-Type: application/octet-stream' --body-file=big "$k"
	check "$base: get" same big "$k"
	check "$base: spider" ask --spider "$k"
	check "$base: put text" ask -O - --method=PUT --header='Content-Type: application/octet-stream' --body-file=text "$k"
	check "$base: get compressed" ask -O copy --compression=auto "$k"
	check "$base: the same" cmp text copy
	head -c 1000 text >part
	check "$base: continue" ask -c -O part "$k"
	check "$base: continued" cmp text part
	check "$base: post of what is there" fails 409 --ca-certificate="$CA" --post-data=x "$k"
	for i in 1 2 3 4 5; do echo "$k?$i"; done >list
	check "$base: kept alive" sh -c "wget -d -T 60 -t 1 --ca-certificate='$CA' -O /dev/null -i list 2>&1 | grep -c 'Reusing existing connection' | grep -q 4"
	check "$base: delete" ask -O - --method=DELETE "$k"
	check "$base: deleted" fails 404 --ca-certificate="$CA" "$k"
done
check 'the page with all it needs' ask -p -P site "http://$1:$2/"
check 'style and script came along' sh -c 'ls site/*/status.css site/*/status.js'
