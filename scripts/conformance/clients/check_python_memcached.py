import sys
import memcache


def check(what, good):
    print("ok" if good else "not ok", what)


c = memcache.Client(["%s:%s" % (sys.argv[1], sys.argv[2])], cache_cas=True, socket_timeout=60)
check("set", c.set("k", "v", time=60))
check("get", c.get("k") == "v")
check("miss", c.get("absent") is None)
check("object", c.set("o", {"a": (1, 2)}) and c.get("o") == {"a": (1, 2)})
check("add", not c.add("k", "x"))
check("replace", c.replace("k", "v2") and c.get("k") == "v2")
check("append", c.append("k", "w") and c.prepend("k", "u") and c.get("k") == "uv2w")
check("cas", c.gets("k") == "uv2w" and c.cas("k", "c"))
check("number", c.set("n", "9") and c.incr("n", 2) == 11 and c.decr("n", 20) == 0)
check("touch", c.touch("n", 100))
check("delete", c.delete("n"))
check("set_multi", c.set_multi({"m%d" % i: i for i in range(50)}) == [])
check("get_multi", c.get_multi(["m%d" % i for i in range(50)] + ["absent"]) == {"m%d" % i: i for i in range(50)})
check("delete_multi", c.delete_multi(["m%d" % i for i in range(50)]))
big = "0123456789" * 100000
check("big", c.set("big", big) and c.get("big") == big)
check("stats", "curr_items" in c.get_stats()[0][1])
c.flush_all()
check("flush", c.get("k") is None)
