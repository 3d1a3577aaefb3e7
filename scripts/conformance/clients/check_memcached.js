const Memcached = require("memcached");
const [host, port] = process.argv.slice(2);
const c = new Memcached(`${host}:${port}`, { timeout: 60000, maxValue: 1048576 });
const check = (what, good) => console.log(good ? "ok" : "not ok", what);
const call = (method, ...args) =>
  new Promise((resolve) => c[method](...args, (err, value) => resolve(err ? { err: String(err) } : value)));

(async () => {
  check("set", (await call("set", "k", "v", 60)) === true);
  check("get", (await call("get", "k")) === "v");
  check("miss", (await call("get", "absent")) === undefined);
  check("object", (await call("set", "o", { a: [1, 2] }, 60)) === true);
  check("get object", JSON.stringify(await call("get", "o")) === '{"a":[1,2]}');
  check("add", (await call("add", "k", "x", 60)) !== true);
  check("replace", (await call("replace", "k", "v2", 60)) === true);
  check("append", (await call("append", "k", "w")) === true);
  check("prepend", (await call("prepend", "k", "u")) === true);
  check("joined", (await call("get", "k")) === "uv2w");
  const got = await call("gets", "k");
  check("gets", got.k === "uv2w" && got.cas !== undefined);
  check("cas", (await call("cas", "k", "c", got.cas, 60)) === true);
  check("cas conflict", (await call("cas", "k", "c", got.cas, 60)) !== true);
  check("number", (await call("set", "n", 9, 60)) === true);
  check("incr", (await call("incr", "n", 2)) === 11);
  check("decr", (await call("decr", "n", 1)) === 10);
  check("touch", (await call("touch", "n", 100)) === true);
  check("del", (await call("del", "n")) === true);
  const keys = [];
  for (let i = 0; i < 50; i++) {
    keys.push("m" + i);
    await call("set", "m" + i, "v" + i, 60);
  }
  const many = await call("getMulti", keys.concat("absent"));
  check("multi", Object.keys(many).length === 50 && many.m49 === "v49");
  const big = "0123456789".repeat(100000);
  check("set big", (await call("set", "big", big, 60)) === true);
  check("get big", (await call("get", "big")) === big);
  check("version", (await call("version"))[0].version.startsWith("1.6."));
  check("stats", (await call("stats"))[0].curr_items !== undefined);
  check("flush", (await call("flush"))[0] === true);
  check("flushed", (await call("get", "k")) === undefined);
  c.end();
})();
