# libmemcached's tools, by text.
export MEMCACHED_SERVERS="$1:$2"
. "$(dirname "$0")/checks.sh"

fails() { ! timeout 60 "$@"; }
prints() { # WORDS COMMAND...: the command succeeds and its output has a line that matches
	words=$1
	shift
	"$@" >printed 2>&1 && grep -qE -- "$words" printed || { cat printed; return 1; }
}
same() { # KEY FILE: the entry is the file
	memccat --file=copy "$1" && cmp copy "$2"
}
gone() { sleep 2.1; fails memcexist "$1"; }

printf 'hello' >greeting
printf 'other' >second
head -c 1000000 /dev/urandom >big
head -c 2000000 /dev/urandom >toobig
check memcping memcping
check memcflush memcflush
check 'memccp two files' memccp greeting second
check memccat prints '^hello$' memccat greeting
check 'memccat two' prints '^other$' memccat greeting second
check 'memccat of a miss fails' fails memccat absent
check memcexist memcexist greeting
check 'memcexist of a miss fails' fails memcexist absent
check 'memccp --flags' memccp --flags=42 second
check 'memccat --flags' prints '42' memccat --flags second
check 'memccp --add refuses' fails memccp --add greeting
check 'memccp --replace' memccp --replace greeting
check 'memccp big' memccp big
check 'memccat big' same big big
check 'memccp too big fails' fails memccp toobig
check 'memccp after that' memccp greeting
# memcached itself lists the cold entries alone, so there this one fails.
check memcdump prints '^big$' memcdump
check memctouch memctouch --expire=100 greeting
check 'memctouch of a miss fails' fails memctouch --expire=100 absent
check 'memctouch in the past' memctouch --expire=1 second
check 'expired' gone second
check 'memccp --expire' memccp --expire=1 second
check 'expired too' gone second
check memcrm memcrm greeting
check 'memcrm of a miss fails' fails memcrm greeting
check 'removed' fails memccat greeting
check 'memcstat' prints 'curr_items: *[0-9]' memcstat
check 'memcstat settings' prints 'item_size_max: *1048576' memcstat settings
check 'memcstat items' memcstat items
check 'memcstat --server-version' prints '1\.6\.' memcstat --server-version
check 'memcstat --analyze' memcstat --analyze
check 'memcstat --analyze=latency' memcstat --analyze=latency --iterations=100
check 'memcslap set' memcslap --flush --test=set --concurrency=4 --execute-number=500
check 'memcslap get' memcslap --test=get --concurrency=4 --execute-number=500
check 'memcslap mget' memcslap --test=mget --concurrency=4 --execute-number=500
check 'memcslap noreply' memcslap --noreply --test=set --concurrency=4 --execute-number=500
printf 'cmd\n0 0.2\n1 0.8\nkey\n16 100 1\nvalue\n100 1024 0.9\n10000 50000 0.1\n' >load
check 'memcaslap verifies' prints 'verify_misses: 0$' memcaslap -s "$MEMCACHED_SERVERS" -F load -T 2 -c 16 -x 20000 -w 1k -v 1.0
check 'and finds no other value' grep -q 'verify_failed: 0$' printed
check 'and gets many at a time' prints 'verify_failed: 0$' memcaslap -s "$MEMCACHED_SERVERS" -F load -T 2 -c 16 -x 20000 -w 1k -v 1.0 -d 50
check 'memcflush again' memcflush
check 'nothing left' fails memcexist greeting
