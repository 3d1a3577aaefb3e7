# Cache::Memcached::Fast.
use strict;
use warnings;
use Cache::Memcached::Fast;

sub check {
    my ($what, $good) = @_;
    print $good ? "ok" : "not ok", " $what\n";
}

my $server = "$ARGV[0]:$ARGV[1]";
my $c = Cache::Memcached::Fast->new({ servers => [$server], connect_timeout => 60, io_timeout => 60, max_failures => 0 });
check("flush", $c->flush_all->{$server});
check("set", $c->set("k", "v", 60));
check("get", ($c->get("k") // "") eq "v");
check("miss", !defined $c->get("absent") && $c->set("k", "v"));
check("object", $c->set("o", { a => [1, 2] }) && ($c->get("o") // {})->{a}[1] == 2);
check("bytes", $c->set("b", "\r\nEND\r\n\0\xff") && ($c->get("b") // "") eq "\r\nEND\r\n\0\xff");
check("empty", $c->set("empty", "") && ($c->get("empty") // "x") eq "");
my $no = $c->add("k", "x");
check("add", defined $no && !$no && $c->add("fresh", "x"));
$no = $c->replace("absent", "x");
check("replace", $c->replace("k", "v2") && defined $no && !$no);
check("append", $c->append("k", "w") && $c->prepend("k", "u") && $c->get("k") eq "uv2w");
my $got = $c->gets("k") // [0, ""];
check("gets", $got->[1] eq "uv2w" && $got->[0] > 0);
check("cas", $c->cas("k", $got->[0], "v3"));
$no = $c->cas("k", $got->[0], "v4");
check("cas conflict", defined $no && !$no);
check("number", $c->set("n", 9) && $c->incr("n", 2) == 11);
my $zero = $c->decr("n", 20);
check("decr", defined $zero && $zero == 0 && $c->get("n") == 0);
$no = $c->incr("absent");
check("incr absent", defined $no && !$no);
$no = $c->touch("absent", 10);
check("touch", $c->touch("n", 100) && defined $no && !$no);
$no = $c->delete("absent");
check("delete", $c->delete("n") && defined $no && !$no);
my %many = map { ("multi$_" => "v$_") } 0 .. 49;
my $set = $c->set_multi(map { [ $_, $many{$_}, 60 ] } keys %many);
check("set_multi", 50 == grep { $_ } values %$set);
my $all = $c->get_multi(keys %many, "absent");
check("get_multi", 50 == keys %$all && 50 == grep { $all->{$_} eq $many{$_} } keys %$all);
my $tokens = $c->gets_multi(keys %many);
my $swapped = $c->cas_multi(map { [ $_, $tokens->{$_}[0], "new" ] } keys %$tokens);
check("cas_multi", 50 == grep { $_ } values %$swapped);
my $touched = $c->touch_multi(map { [ $_, 100 ] } keys %many);
check("touch_multi", 50 == grep { $_ } values %$touched);
$all = $c->gat_multi(100, keys %many);
check("gat_multi", 50 == grep { $_ eq "new" } values %$all);
my $gone = $c->delete_multi(keys %many);
check("delete_multi", 50 == grep { $_ } values %$gone);
for my $size (1, 100000, 1000000, 1048500) {
    my $value = substr("0123456789" x ($size / 10 + 1), 0, $size);
    check("$size bytes", $c->set("big", $value) && ($c->get("big") // "") eq $value);
}
my $wide = Cache::Memcached::Fast->new({ servers => [$server], connect_timeout => 60, io_timeout => 60, max_size => 4 << 20, max_failures => 0 });
check("too large", $wide->set("k", "v") && !$wide->set("big", "x" x 2000000));
check("still in step", $wide->set("k", "v") && $wide->get("k") eq "v");
check("lifetime", $c->set("e", "1", 3) && ($c->get("e") // "") eq "1");
select(undef, undef, undef, 4.1);
check("expired", $c->set("k", "v") && !defined $c->get("e"));
my $quiet = Cache::Memcached::Fast->new({ servers => [ { address => $server, noreply => 1 } ], connect_timeout => 60, io_timeout => 60 });
$quiet->set("q$_", "v$_") for 0 .. 99;
check("noreply", ($quiet->get("q0") // "") eq "v0" && ($quiet->get("q99") // "") eq "v99");
my $nowait = Cache::Memcached::Fast->new({ servers => [$server], connect_timeout => 60, io_timeout => 60, nowait => 1 });
$nowait->set("w$_", "v" x 1000) for 0 .. 99;
$nowait->nowait_push;
check("nowait", length($c->get("w0") // "") == 1000 && length($c->get("w99") // "") == 1000);
my $utf8 = Cache::Memcached::Fast->new({ servers => [$server], connect_timeout => 60, io_timeout => 60, utf8 => 1, namespace => "ns:" });
check("utf8", $utf8->set("k", "\x{263a}") && $utf8->get("k") eq "\x{263a}");
check("version", ($c->server_versions->{$server} // "") =~ /^1\.6\./);
check("flushed", $c->flush_all->{$server} && !defined $c->get("k"));
