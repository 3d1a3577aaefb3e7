import os
import ssl
import sys

from pymemcache.client.base import Client
from pymemcache.client.base import PooledClient
from pymemcache.exceptions import MemcacheError


def check(what, good):
    print("ok" if good else "not ok", what)


def scenario(name, address, context):
    def check_(what, good):
        check(name + ": " + what, good)

    c = Client(address, tls_context=context, default_noreply=False, timeout=60)
    check_("set", c.set("k", b"v", expire=60) and c.get("k") == b"v")
    value, unique = c.gets("k")
    check_("cas", c.cas("k", b"w", unique) is True and c.cas("k", b"x", unique) is False)
    check_("append", c.append("k", b"2") and c.get("k") == b"w2")
    check_("incr", c.set("n", b"9") and c.incr("n", 2) == 11)
    many = {"multi%d" % i: b"%d" % i * 100 for i in range(500)}
    check_("set_many", c.set_many(many) == [])
    check_("get_many", c.get_many(list(many) + ["absent"]) == many)
    big = os.urandom(1000000)
    check_("big", c.set("big", big) and c.get("big") == big)
    try:
        c.set("big", big * 2)
        check_("too large", False)
    except MemcacheError:
        check_("too large", True)
    check_("noreply", c.set("q", b"1", noreply=True) and c.get("q") == b"1")
    check_("stats", c.stats()[b"curr_items"] > 500)
    check_("delete", c.delete("k") and c.get("k") is None)
    c.quit()
    pool = PooledClient(address, tls_context=context, max_pool_size=4, default_noreply=False)
    check_("pool", all(pool.set("p%d" % i, b"x" * i) and pool.get("p%d" % i) == b"x" * i for i in range(200)))


address = (sys.argv[1], int(sys.argv[2]))
trust = ssl.create_default_context(cafile=os.environ["CA"])
scenario("TLS 1.3", address, trust)
older = ssl.create_default_context(cafile=os.environ["CA"])
older.maximum_version = ssl.TLSVersion.TLSv1_2
scenario("TLS 1.2", address, older)
host, port = os.environ["STRICT"].split(":")
known = ssl.create_default_context(cafile=os.environ["CA"])
known.load_cert_chain(os.environ["CERT"], os.environ["KEY"])
scenario("client certificate", (host, int(port)), known)
try:
    Client((host, int(port)), tls_context=trust, timeout=60).version()
    check("no client certificate", False)
except (OSError, MemcacheError):
    check("no client certificate", True)
plain = Client(address, timeout=60)
check("in clear beside it", plain.get("p199") == b"x" * 199)
