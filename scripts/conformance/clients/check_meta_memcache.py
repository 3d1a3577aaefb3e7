import random
import sys
import time
from meta_memcache import CacheClient, Key, ServerAddress, SetMode, connection_pool_factory_builder
from meta_memcache.configuration import LeasePolicy, RecachePolicy, StalePolicy
from meta_memcache.errors import MemcacheError
from meta_memcache.protocol import Miss, RequestFlags


def check(what, good):
    print("ok" if good else "not ok", what)


c = CacheClient.cache_client_from_servers(
    [ServerAddress(sys.argv[1], int(sys.argv[2]))], connection_pool_factory_builder(recv_timeout=60, read_buffer_size=65536)
)
check("set", c.set("k", "v", ttl=60))
check("get", c.get("k") == "v")
check("miss", c.get("absent") is None)
check("object", c.set("o", {"a": [1, 2]}, ttl=60) and c.get("o") == {"a": [1, 2]})
check("bytes", c.set("b", b"\r\nEN\r\n\0\xff", ttl=60) and c.get("b") == b"\r\nEN\r\n\0\xff")
check("empty", c.set("b", b"", ttl=60) and c.get("b") == b"")
check("add", not c.set("k", "x", ttl=60, set_mode=SetMode.ADD) and c.set("fresh", "x", ttl=60, set_mode=SetMode.ADD))
check("refill", not c.refill("k", "x", ttl=60) and c.get("k") == "v")
check("replace", c.set("k", "v2", ttl=60, set_mode=SetMode.REPLACE))
check("replace absent", not c.set("absent", "x", ttl=60, set_mode=SetMode.REPLACE))
check("append", c.set("k", "w", ttl=60, set_mode=SetMode.APPEND) and c.get("k") == "v2w")
check("prepend", c.set("k", "u", ttl=60, set_mode=SetMode.PREPEND) and c.get("k") == "uv2w")
check("append absent", not c.set("absent", "x", ttl=60, set_mode=SetMode.APPEND))
value, token = c.get_cas("k")
check("cas", value == "uv2w" and c.set("k", "v3", ttl=60, cas_token=token))
check("cas conflict", not c.set("k", "v4", ttl=60, cas_token=token) and c.get("k") == "v3")
token = c.set_cas("k", "v5", ttl=60)
check("set returns cas", token == c.get_cas("k")[1])
check("delete with cas", not c.delete("k", cas_token=token + 1) and c.delete("k", cas_token=token))
check("delete absent", not c.delete("k") and c.invalidate("k"))
check("number", c.set("n", 9, ttl=60) and c.delta_and_get("n", 2) == 11 and c.get("n") == 11)
check("decrement", c.delta_and_get("n", -20) == 0)
check("delta", c.delta("n", 5) and c.get("n") == 5)
check("delta absent", c.delta_and_get("absent", 1) is None)
check("delta initialize", c.delta_initialize_and_get("count", 3, initial_value=10, initial_ttl=60) == 10)
check("delta initialized", c.delta_initialize_and_get("count", 3, initial_value=10, initial_ttl=60) == 13)
check("touch", c.touch("n", 100) and not c.touch("absent", 1))
check("get and touch", c.get("n", touch_ttl=200) == 5)
info = c.meta_get(Key("n"), RequestFlags(return_ttl=True, return_size=True, return_fetched=True, return_last_access=True))
ago = info.flags.last_access
check("flags", 100 < info.flags.ttl <= 200 - ago <= info.flags.ttl + 1 and info.flags.size == 2 and info.flags.fetched)
many = {Key("multi%d" % i): "v%d" % i for i in range(50)}
check("many", all(c.set(k, v, ttl=60) for k, v in many.items()))
check("multi_get", c.multi_get(list(many) + [Key("absent")]) == {**many, Key("absent"): None})
check("multi_get_cas", all(v == many[k] and t > 0 for k, (v, t) in c.multi_get_cas(list(many)).items()))
for key in "caf\u00e9", "x" * 250, "long" * 100:
    check("key of %d" % len(key), c.set(Key(key), "u", ttl=60) and c.get(Key(key)) == "u")
for size in 1, 100000, 1000000, 1048000:
    value = random.randbytes(size)
    check("%d bytes" % size, c.set("big", value, ttl=60) and c.get("big") == value)
try:
    c.set("big", random.randbytes(2000000), ttl=60)
    check("too large", False)
except MemcacheError:
    check("too large", c.get("big") is None)
check("still in step", c.set("k", "v", ttl=60) and c.get("k") == "v")
check("no reply", all(c.set("q%d" % i, i, ttl=60, no_reply=True) for i in range(100)) and c.get("q0") == 0 and c.get("q99") == 99)
check("no reply miss", c.delete("absent", no_reply=True) and c.get("k") == "v")

value, won = c.get_or_lease_cas("lease", LeasePolicy(ttl=30, miss_retries=1, miss_retry_wait=0.01))
check("lease won", value is None and won is not None)
lost = c.meta_get(Key("lease"), RequestFlags(return_value=True, vivify_on_miss_ttl=30))
check("lease lost", lost.flags.win is False and lost.value in ("", b""))
check("lease filled", c.set("lease", "made", ttl=60, cas_token=won) and c.get("lease") == "made")
check("recache", c.set("soon", "v", ttl=20) and c.get("soon", recache_policy=RecachePolicy(ttl=30)) is None
      and c.get("soon", recache_policy=RecachePolicy(ttl=30)) == "v")
stale = StalePolicy(mark_stale_on_deletion_ttl=30)
check("mark stale", c.set("s", "old", ttl=60) and c.delete("s", stale_policy=stale))
first = c.meta_get(Key("s"), RequestFlags(return_value=True, return_cas_token=True))
second = c.meta_get(Key("s"), RequestFlags(return_value=True, return_cas_token=True))
check("stale", first.flags.stale and first.flags.win and second.flags.stale and not second.flags.win)
check("refreshed", c.set("s", "new", ttl=60, cas_token=first.flags.cas_token)
      and not c.meta_get(Key("s"), RequestFlags(return_value=True)).flags.stale)
check("set expired", c.set("e", "1", ttl=3) and c.get("e") == "1")
time.sleep(4.1)
check("expired", c.get("e") is None and isinstance(c.meta_get(Key("e"), RequestFlags(return_value=True)), Miss))
