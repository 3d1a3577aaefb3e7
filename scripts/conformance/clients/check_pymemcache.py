import sys
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError
from pymemcache import serde


def check(what, good):
    print("ok" if good else "not ok", what)


c = Client((sys.argv[1], int(sys.argv[2])), default_noreply=False, serde=serde.pickle_serde)
check("set", c.set("k", "v", expire=60))
check("get", c.get("k") == "v")
check("miss", c.get("absent") is None)
check("object", c.set("o", {"a": [1, 2]}) and c.get("o") == {"a": [1, 2]})
check("add", not c.add("k", "x"))
check("replace", c.replace("k", "v2") and not c.replace("absent", "x"))
value, unique = c.gets("k")
check("cas", c.cas("k", "v3", unique) is True)
check("cas conflict", c.cas("k", "v4", unique) is False)
check("cas absent", c.cas("absent", "v", unique) is None)
check("append", c.append("k", "w") and c.prepend("k", "u") and c.get("k") == "uv3w")
check("set number", c.set("n", 9))
raw = Client((sys.argv[1], int(sys.argv[2])), default_noreply=False)
raw.set("n", b"9")
check("incr", raw.incr("n", 2) == 11)
check("decr", raw.decr("n", 20) == 0)
check("incr absent", raw.incr("absent", 1) is None)
check("touch", raw.touch("n", 100) and not raw.touch("absent", 1))
check("delete", raw.delete("n") and not raw.delete("n"))
many = {"multi%d" % i: b"%d" % i for i in range(50)}
check("set_many", raw.set_many(many) == [])
check("get_many", raw.get_many(list(many) + ["absent"]) == many)
check("gets_many", len(raw.gets_many(list(many))) == 50)
check("delete_many", raw.delete_many(list(many)))
big = b"0123456789" * 100000
check("big", raw.set("big", big) and raw.get("big") == big)
try:
    raw.set("big", big * 2)
    check("too large", False)
except MemcacheError:
    check("too large", True)
check("old value gone", raw.get("big") is None)
check("noreply", raw.set("q", b"1", noreply=True) and raw.get("q") == b"1")
check("expired", raw.set("e", b"1", expire=-1) and raw.get("e") is None)
check("version", raw.version().startswith(b"1.6."))
check("stats", raw.stats()[b"curr_items"] > 0)
check("settings", b"item_size_max" in raw.stats("settings"))
check("flush", raw.flush_all() and raw.get("q") is None)
raw.quit()
