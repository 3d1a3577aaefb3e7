import asyncio
import os
import ssl
import sys

import httpx


def check(what, good):
    print("ok" if good else "not ok", what)


address = sys.argv[1] + ":" + sys.argv[2]
trust = ssl.create_default_context(cafile=os.environ["CA"])
path = "/rest/v2/caches/default/httpx"


async def scenario(name, client, version):
    def check_(what, good):
        check(name + ": " + what, good)

    async with client as c:
        r = await c.get(path)
        check_("miss by " + version, r.status_code == 404 and r.http_version == version)
        check_("put", (await c.put(path, content=b"hello", headers={"Content-Type": "text/plain"})).status_code == 204)
        r = await c.get(path)
        check_("get", r.text == "hello")
        check_("valid", (await c.get(path, headers={"If-None-Match": r.headers["etag"]})).status_code == 304)
        check_("head", (await c.head(path)).headers["content-length"] == "5")
        check_("conflict", (await c.put(path, content=b"x", headers={"If-Match": "1"})).status_code == 412)
        check_("create only", (await c.post(path, content=b"x")).status_code == 409)
        check_("json", (await c.put(path, json={"a": 1})).status_code == 204 and (await c.get(path)).json() == {"a": 1})
        big = os.urandom(3_000_000)
        check_("big", (await c.put(path, content=big)).status_code == 204 and (await c.get(path)).content == big)

        async def parts():
            for i in range(500):
                yield b"%d," % i * 1000

        whole = b"".join([p async for p in parts()])
        check_("generator", (await c.put(path, content=parts())).status_code == 204)
        r = await c.get(path)
        check_("compressed", r.content == whole and "content-encoding" in r.headers)
        got = b""
        async with c.stream("GET", path) as r:
            async for piece in r.aiter_bytes(5000):
                got += piece
        check_("streamed", got == whole)

        async def one(i):
            u = path + str(i)
            value = b"%d" % i * (i * 50 + 1)
            return (await c.put(u, content=value)).status_code == 204 and (await c.get(u)).content == value

        check_("200 at once", all(await asyncio.gather(*[one(i) for i in range(200)])))

        async def broken(i):
            try:
                async with c.stream("GET", path) as r:
                    async for _ in r.aiter_bytes(100):
                        break
                return r.status_code == 200
            except httpx.HTTPError:
                return False

        if version == "HTTP/1.1":  # by HTTP/2 this client gives back no window of what it does not read
            check_("answers that nobody reads on", all(await asyncio.gather(*[broken(i) for i in range(20)])))
        check_("and after it", (await c.get(path)).content == whole)
        check_("delete", (await c.delete(path)).status_code == 204 and (await c.delete(path)).status_code == 404)


async def main():
    limits = httpx.Limits(max_connections=8)
    await scenario("1.1", httpx.AsyncClient(base_url="http://" + address, limits=limits, timeout=120), "HTTP/1.1")
    await scenario("h2c", httpx.AsyncClient(base_url="http://" + address, http1=False, http2=True, limits=limits, timeout=120), "HTTP/2")
    await scenario("TLS 1.1", httpx.AsyncClient(base_url="https://" + address, verify=trust, limits=limits, timeout=120), "HTTP/1.1")
    await scenario("TLS h2", httpx.AsyncClient(base_url="https://" + address, verify=trust, http2=True, limits=limits, timeout=120), "HTTP/2")


asyncio.run(main())
