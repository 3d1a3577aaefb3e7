import sys
import time
import pylibmc


def check(what, good):
    print("ok" if good else "not ok", what)


def raises(kind, call, *args):
    try:
        call(*args)
    except kind:
        return True
    return False


c = pylibmc.Client(["%s:%s" % (sys.argv[1], sys.argv[2])], binary=False, behaviors={"cas": True, "tcp_nodelay": True, "_poll_timeout": 60000})
check("flush", c.flush_all())
check("set", c.set("k", "v", time=60))
check("get", c.get("k") == "v")
check("miss", c.get("absent") is None)
check("object", c.set("o", {"a": [1, 2]}) and c.get("o") == {"a": [1, 2]})
check("compressed", c.set("z", "z" * 50000, min_compress_len=100) and c.get("z") == "z" * 50000)
check("add", not c.add("k", "x") and c.add("fresh", "x"))
check("replace", c.replace("k", "v2") and not c.replace("absent", "x"))
check("append", c.append("k", "w") and c.prepend("k", "u") and c.get("k") == "uv2w")
check("append absent", not c.append("absent", "x"))
value, unique = c.gets("k")
check("cas", value == "uv2w" and c.cas("k", "v3", unique))
check("cas conflict", c.cas("k", "v4", unique) is False and c.get("k") == "v3")
check("cas absent", raises(pylibmc.NotFound, c.cas, "absent", "v", unique))
check("number", c.set("n", 9) and c.incr("n", 2) == 11 and c.get("n") == 11)
check("decr", c.decr("n", 20) == 0)
check("incr 64 bits", c.set("n", 1 << 40) and c.incr("n", 7) == (1 << 40) + 7)
check("incr absent", raises(pylibmc.NotFound, c.incr, "absent"))
check("touch", c.touch("n", 100) and not c.touch("absent", 1))
check("delete", c.delete("n") and not c.delete("n"))
many = {"multi%d" % i: "v%d" % i for i in range(50)}
check("set_multi", c.set_multi(many, time=60) == [])
check("get_multi", c.get_multi(list(many) + ["absent"]) == many)
check("prefix", c.get_multi(["%d" % i for i in range(50)], key_prefix="multi") == {"%d" % i: "v%d" % i for i in range(50)})
check("incr_multi", c.set_multi({"a": 1, "b": 2}) == [] and c.incr_multi(["a", "b"], delta=5) is None and c.get("b") == 7)
check("add_multi", c.add_multi({"a": 1, "new": 2}) == ["a"])
check("delete_multi", c.delete_multi(list(many)) and c.get_multi(list(many)) == {})
for size in 1, 100000, 1000000, 1048500:
    check("%d bytes" % size, c.set("big", b"x" * size) and c.get("big") == b"x" * size)
check("too large", raises(pylibmc.Error, c.set, "big", b"x" * 2000000))
check("still in step", c.set("k", "v") and c.get("k") == "v")
check("key too long", raises(ValueError, c.set, "x" * 251, "v") and c.set("x" * 250, "v") and c.get("x" * 250) == "v")
check("expired", c.set("e", "1", time=3) and c.get("e") == "1")
time.sleep(4.1)
check("gone", c.get("e") is None)
q = pylibmc.Client(["%s:%s" % (sys.argv[1], sys.argv[2])], binary=False, behaviors={"_noreply": True, "_poll_timeout": 60000})
for i in range(100):
    q.set("q%d" % i, "v%d" % i)
check("noreply", q.get("q0") == "v0" and q.get("q99") == "v99")
stats = c.get_stats()[0][1]
check("stats", int(stats["curr_items"]) > 100 and stats["version"].startswith(b"1.6."))
check("flushed", c.flush_all() and c.get("k") is None)
