// Node's own fetch, and undici's by HTTP/2.
const fs = require("fs");
const { Agent, Pool, fetch: undici, request } = require("undici");
const [host, port] = process.argv.slice(2);
const check = (what, good) => console.log(good ? "ok" : "not ok", what);
const ca = fs.readFileSync(process.env.CA);
const bytes = async (r) => Buffer.from(await r.arrayBuffer());

const scenario = async (name, fetch, base, options) => {
  const k = base + "/rest/v2/caches/default/" + encodeURIComponent(name);
  const ask = (method, more = {}, path = k) => fetch(path, { method, ...options, ...more });
  const status = async (...args) => {
    const r = await ask(...args);
    await r.arrayBuffer();
    return r.status;
  };
  const checkIt = (what, good) => check(name + ": " + what, good);
  checkIt("miss", (await status("GET")) === 404);
  checkIt("put", (await status("PUT", { body: "hello", headers: { "Content-Type": "text/plain" } })) === 204);
  let r = await ask("GET");
  checkIt("get", (await r.text()) === "hello" && r.headers.get("content-type") === "text/plain");
  checkIt("valid", (await status("GET", { headers: { "If-None-Match": r.headers.get("etag") } })) === 304);
  r = await ask("HEAD");
  checkIt("head", r.headers.get("content-length") === "5" && (await r.text()) === "");
  checkIt("conflict", (await status("PUT", { body: "x", headers: { "If-Match": "1" } })) === 412);
  checkIt("create only", (await status("POST", { body: "x" })) === 409);
  await status("PUT", { body: JSON.stringify({ a: [1, "ü"] }), headers: { "Content-Type": "application/json" } });
  checkIt("json", JSON.stringify(await (await ask("GET")).json()) === '{"a":[1,"ü"]}');
  const big = Buffer.alloc(3000000, "0123456789abcdef-");
  checkIt("put big", (await status("PUT", { body: big })) === 204);
  checkIt("get big", (await bytes(await ask("GET"))).equals(big));
  checkIt("compressed", (r = await ask("GET", { headers: { "Accept-Encoding": "gzip" } })).headers.get("content-encoding") === "gzip" && (await bytes(r)).equals(big));
  const stream = new ReadableStream({
    start(c) {
      for (let i = 0; i < 100; i++) c.enqueue(new TextEncoder().encode(`part ${i}\n`.repeat(500)));
      c.close();
    },
  });
  checkIt("streamed up", (await status("PUT", { body: stream, duplex: "half" })) === 204);
  checkIt("and down", (await (await ask("GET")).text()).endsWith("part 99\n"));
  const many = await Promise.all(
    [...Array(100).keys()].map(async (i) => {
      const path = `${k}-${i}`;
      const put = await status("PUT", { body: `value ${i}` }, path);
      return put === 204 && (await (await ask("GET", {}, path)).text()) === `value ${i}`;
    }),
  );
  checkIt("100 at a time", many.every((x) => x));
  const stop = new AbortController();
  const begun = await ask("GET", { signal: stop.signal });
  stop.abort();
  await begun.text().catch(() => {});
  checkIt("after one broken off", (await (await ask("GET")).text()).startsWith("part 0\n"));
  checkIt("delete", (await status("DELETE")) === 204 && (await status("GET")) === 404);
};

(async () => {
  const clear = `http://${host}:${port}`;
  const tls = `https://${host}:${port}`;
  await scenario("node", fetch, clear, {});
  await scenario("node-tls", fetch, tls, {}); // trusts by NODE_EXTRA_CA_CERTS
  const h1 = new Agent({ connect: { ca }, pipelining: 10, connections: 4 });
  await scenario("undici-tls", undici, tls, { dispatcher: h1 });
  const h2 = new Agent({ connect: { ca }, allowH2: true, connections: 2 });
  await scenario("undici-h2", undici, tls, { dispatcher: h2 });
  const strict = new Agent({ connect: { ca, cert: fs.readFileSync(process.env.CERT), key: fs.readFileSync(process.env.KEY) } });
  const r = await undici(`https://${process.env.STRICT}/health/live`, { dispatcher: strict });
  check("client certificate", r.status === 200);
  await r.text();
  const refused = await undici(`https://${process.env.STRICT}/health/live`, { dispatcher: h1 }).catch((e) => e);
  check("no client certificate", refused instanceof Error);
  // Real pipelining: requests are written without waiting for answers.
  const pool = new Pool(clear, { connections: 1, pipelining: 20 });
  const answers = await Promise.all([...Array(200).keys()].map((i) => pool.request({ method: "GET", path: i % 2 ? "/health/live" : "/rest/v2/caches/default/none" })));
  for (const a of answers) await a.body.dump();
  check("pipelined", answers.every((a, i) => a.statusCode === (i % 2 ? 200 : 404)));
  await Promise.all([pool.close(), h1.close(), h2.close(), strict.close()]);
})();
