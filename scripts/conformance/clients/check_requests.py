import concurrent.futures
import gzip
import os
import sys

import requests

CAC = "/rest/v2/caches/default/"


def check(what, good):
    print("ok" if good else "not ok", what)


def scenario(name, s, base):
    def check_(what, good):
        check(name + ": " + what, good)

    k = base + CAC + "requests"
    check_("miss", s.get(k).status_code == 404)
    check_("put", s.put(k, data=b"hello", headers={"Content-Type": "text/plain"}).status_code == 204)
    r = s.get(k)
    check_("get", r.text == "hello" and r.headers["content-type"] == "text/plain")
    check_("head", s.head(k).headers["content-length"] == "5")
    check_("valid", s.get(k, headers={"If-None-Match": r.headers["etag"]}).status_code == 304)
    check_("after it", s.get(k).text == "hello")
    check_("conflict", s.put(k, data=b"x", headers={"If-Match": "1"}).status_code == 412)
    check_("create only", s.post(k, data=b"x").status_code == 409)
    check_("json", s.put(k, json={"a": [1, 2, "ä"]}).status_code == 204 and s.get(k).json() == {"a": [1, 2, "ä"]})
    check_("form", s.put(k, data={"a": "b c"}).status_code == 204)
    check_("unicode key", s.put(base + CAC + "grün/blau".replace("/", "%2F"), data=b"x").status_code == 204)
    check_("unicode key again", s.get(base + CAC + "gr%C3%BCn%2Fblau").content == b"x")
    big = os.urandom(3_000_000)
    check_("big", s.put(k, data=big).status_code == 204 and s.get(k).content == big)
    parts = (b"%d," % i * 1000 for i in range(500))
    whole = b"".join(b"%d," % i * 1000 for i in range(500))
    check_("generator", s.put(k, data=parts).status_code == 204 and s.get(k).content == whole)
    check_("streamed", b"".join(s.get(k, stream=True).iter_content(10_000)) == whole)
    check_("compressed", "content-encoding" in s.get(k, headers={"Accept-Encoding": "gzip"}).headers)
    check_("gzip up", s.put(k, data=gzip.compress(whole), headers={"Content-Encoding": "gzip"}).status_code == 204 and s.get(k).content == whole)
    check_("bytes", s.put(k, data=bytes(range(256))).status_code == 204 and s.get(k).content == bytes(range(256)))
    check_("expires", "timeToLiveSeconds" in s.get(k).headers or s.put(k, data=b"x", headers={"timeToLiveSeconds": "100"}).status_code == 204)
    check_("max-age", s.get(k).headers.get("cache-control", "").startswith("max-age"))
    check_("too large", s.put(k, data=b"x" * 10_100_000).status_code == 413)
    check_("and after it", s.get(k).content == b"x")
    check_("keys", "requests" in [key for key in s.get(base + CAC[:-1] + "?action=keys").json()])
    check_("size", int(s.get(base + CAC[:-1] + "?action=size").text) >= 2)
    check_("stats", s.get(base + CAC[:-1] + "?action=stats").json()["hits"] > 0)
    check_("delete", s.delete(k).status_code == 204 and s.get(k).status_code == 404)

    def work(i):
        u = base + CAC + "many%d" % i
        return all(s.put(u, data=b"%d-%d" % (i, n)).status_code == 204 and s.get(u).content == b"%d-%d" % (i, n) for n in range(20))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        check_("threads", all(pool.map(work, range(8))))


address = sys.argv[1] + ":" + sys.argv[2]
scenario("clear", requests.Session(), "http://" + address)
with requests.Session() as s:
    s.trust_env = False  # its bundle would be stronger than what is said here
    s.verify = os.environ["CA"]
    scenario("TLS", s, "https://" + address)
    s.cert = (os.environ["CERT"], os.environ["KEY"])
    check("client certificate", s.get("https://" + os.environ["STRICT"] + "/health/live").status_code == 200)
try:
    requests.get("https://" + os.environ["STRICT"] + "/health/live", verify=os.environ["CA"])
    check("no client certificate", False)
except requests.exceptions.RequestException:
    check("no client certificate", True)
try:
    requests.get("https://" + address + "/health/live", verify=True)
    check("no trust", False)
except requests.exceptions.SSLError:
    check("no trust", True)
