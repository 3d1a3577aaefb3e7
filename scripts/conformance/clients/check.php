<?php
// Memcached of PHP, by text.
function check($what, $good) {
    echo $good ? "ok " : "not ok ", $what, "\n";
}
$c = new Memcached();
$c->setOption(Memcached::OPT_BINARY_PROTOCOL, false);
$c->setOption(Memcached::OPT_COMPRESSION, false);
$c->setOption(Memcached::OPT_POLL_TIMEOUT, 60000);
$c->addServer($argv[1], (int)$argv[2]);
$code = fn($wanted) => $c->getResultCode() === $wanted;
check("flush", $c->flush());
check("set", $c->set("k", "v", 60));
check("get", $c->get("k") === "v");
check("miss", $c->get("absent") === false && $code(Memcached::RES_NOTFOUND));
check("types", $c->set("o", ["a" => [1, 2.5, null]]) && $c->get("o") === ["a" => [1, 2.5, null]]);
check("bool", $c->set("bool", true) && $c->get("bool") === true);
check("bytes", $c->set("b", "\r\nEND\r\n\0\xff") && $c->get("b") === "\r\nEND\r\n\0\xff");
check("empty", $c->set("b", "") && $c->get("b") === "");
check("add", !$c->add("k", "x") && $code(Memcached::RES_NOTSTORED));
check("add absent", $c->add("fresh", "x"));
check("replace", $c->replace("k", "v2"));
check("replace absent", !$c->replace("absent", "x") && $code(Memcached::RES_NOTSTORED));
check("append", $c->append("k", "w") && $c->prepend("k", "u") && $c->get("k") === "uv2w");
check("append absent", !$c->append("absent", "x") && $code(Memcached::RES_NOTSTORED));
$got = $c->get("k", null, Memcached::GET_EXTENDED);
check("extended", $got !== false && $got["value"] === "uv2w" && $got["cas"] > 0);
check("cas", $c->cas($got["cas"] ?? 0, "k", "v3"));
check("cas conflict", !$c->cas($got["cas"] ?? 0, "k", "v4") && $code(Memcached::RES_DATA_EXISTS));
check("cas absent", !$c->cas(1, "absent", "v") && $code(Memcached::RES_NOTFOUND));
check("number", $c->set("n", 9) && $c->increment("n", 2) === 11 && $c->get("n") === 11);
check("decrement", $c->decrement("n", 20) === 0);
check("increment absent", $c->increment("absent") === false && $code(Memcached::RES_NOTFOUND));
check("touch", $c->touch("n", 100));
check("touch absent", !$c->touch("absent", 100) && $code(Memcached::RES_NOTFOUND));
check("delete", $c->delete("n"));
check("delete absent", !$c->delete("n") && $code(Memcached::RES_NOTFOUND));
$many = [];
for ($i = 0; $i < 50; $i++) {
    $many["multi$i"] = "v$i";
}
check("setMulti", $c->setMulti($many, 60));
check("getMulti", $c->getMulti(array_merge(array_keys($many), ["absent"]), Memcached::GET_PRESERVE_ORDER) === $many + ["absent" => null]);
check("getDelayed", $c->getDelayed(array_keys($many), true) && count($all = $c->fetchAll()) === 50 && $all[0]["cas"] > 0);
check("deleteMulti", $c->deleteMulti(array_keys($many)) === array_map(fn($v) => true, $many));
foreach ([1, 100000, 1000000, 1048500] as $size) {
    $value = str_repeat("0123456789", intdiv($size, 10)) . str_repeat("x", $size % 10);
    check("$size bytes", $c->set("big", $value) && $c->get("big") === $value);
}
check("too large", !$c->set("big", str_repeat("x", 2000000)) && $c->getResultCode() !== Memcached::RES_SUCCESS);
check("still in step", $c->set("k", "v") && $c->get("k") === "v");
check("key too long", !$c->set(str_repeat("x", 251), "v") && $c->set(str_repeat("x", 250), "v"));
$c->setOption(Memcached::OPT_COMPRESSION, true);
check("compressed", $c->set("z", str_repeat("z", 50000)) && $c->get("z") === str_repeat("z", 50000));
check("lifetime", $c->set("e", "1", 3) && $c->get("e") === "1");
check("absolute lifetime", $c->set("past", "1", time() - 10) && $c->get("past") === false);
sleep(4);
usleep(100000);
check("expired", $c->get("e") === false);
$q = new Memcached();
$q->setOption(Memcached::OPT_NOREPLY, true);
$q->addServer($argv[1], (int)$argv[2]);
for ($i = 0; $i < 100; $i++) {
    $q->set("q$i", "v$i");
}
check("noreply", $q->get("q0") === "v0" && $q->get("q99") === "v99");
$b = new Memcached();
$b->setOption(Memcached::OPT_BUFFER_WRITES, true);
$b->addServer($argv[1], (int)$argv[2]);
for ($i = 0; $i < 20; $i++) {
    $b->set("b$i", str_repeat("v", 100));
}
check("buffered", $b->get("b19") === str_repeat("v", 100) && $b->get("b0") === str_repeat("v", 100));
$server = "$argv[1]:$argv[2]";
check("version", str_starts_with($c->getVersion()[$server] ?? "", "1.6."));
check("stats", ($c->getStats()[$server]["curr_items"] ?? 0) > 100);
check("stats settings", ($c->getStats("settings")[$server]["item_size_max"] ?? 0) == 1048576);
// memcached itself lists the cold entries alone, so there this one may fail.
check("getAllKeys", in_array("q50", $c->getAllKeys() ?: []));
check("flushed", $c->flush() && $c->get("k") === false);
