// Chromium shows the status page.
const puppeteer = require("puppeteer-core");
const [host, port] = process.argv.slice(2);
const check = (what, good) => console.log(good ? "ok" : "not ok", what);

(async () => {
  // No sandbox: root has none. The certificate's authority is the run's own.
  const browser = await puppeteer.launch({
    timeout: 120000, // busy machines take long to start it
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--ignore-certificate-errors", "--disable-background-networking", "--disable-gpu"],
  });
  const visit = async (name, base, view) => {
    const page = await browser.newPage();
    await page.setViewport(view);
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: view.dark ? "dark" : "light" }]);
    const said = [], asked = [], failed = [];
    page.on("console", (m) => said.push(m.text()));
    page.on("pageerror", (e) => said.push(e.message));
    page.on("request", (r) => asked.push(r.url()));
    page.on("requestfailed", (r) => failed.push(r.url()));
    page.on("response", (r) => r.status() >= 400 && failed.push(r.url()));
    const answer = await page.goto(base, { waitUntil: "networkidle0", timeout: 120000 });
    check(`${name}: answer`, answer.status() === 200);
    const text = (id) => page.$eval("#" + id, (e) => e.textContent);
    const until = (f, ...args) => page.waitForFunction(f, { timeout: 60000 }, ...args).then(() => true, () => false);
    check(`${name}: runs`, await until(() => document.getElementById("about").textContent.endsWith("is running.")));
    check(`${name}: entries`, Number((await text("entries")).replace(/\D/g, "")) >= 20);
    check(`${name}: hit ratio`, (await text("ratio")).endsWith(" %"));
    check(`${name}: caches`, (await text("caches")).includes("default"));
    check(`${name}: addresses`, (await text("addresses")).includes(port));
    check(`${name}: rate`, await until(() => /^[\d,.]+$/.test(document.getElementById("rate").textContent)));
    check(`${name}: fits the screen`, await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    check(`${name}: styled`, await page.evaluate(() => getComputedStyle(document.querySelector("dl")).display === "grid"));
    check(`${name}: nothing on the console`, said.length === 0 || console.error(said));
    check(`${name}: nothing failed`, failed.length === 0 || console.error(failed));
    check(`${name}: nothing from elsewhere`, asked.every((u) => u.startsWith(base) || u.startsWith("data:")) || console.error(asked));
    const links = await page.$$eval("a", (all) => all.map((a) => a.href));
    let good = links.length > 3;
    for (const link of links.filter((l) => l.startsWith(base))) good &&= (await page.evaluate(async (l) => (await fetch(l)).status, link)) === 200;
    check(`${name}: links lead somewhere`, good);
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name.replace(/\W+/g, "-")}.png`, fullPage: true });
    return page;
  };
  const wide = { width: 1280, height: 800 }, phone = { width: 360, height: 640, isMobile: true, deviceScaleFactor: 2 };
  const page = await visit("clear", `http://${host}:${port}/`, wide);
  await visit("TLS", `https://${host}:${port}/`, wide);
  await visit("dark", `http://${host}:${port}/`, { ...wide, dark: true });
  await visit("phone", `http://${host}:${port}/`, phone);
  await visit("narrow", `http://${host}:${port}/`, { width: 240, height: 400 });
  await visit("below a path", `http://${process.env.FRONT}/deep/cache/`, wide);
  // What a page of our own stores and reads, and what a stored page may not do.
  const own = await page.evaluate(async () => {
    const k = "rest/v2/caches/default/from-a-page";
    const put = await fetch(k, { method: "PUT", body: "<script>document.title='bad'</script>hello", headers: { "Content-Type": "text/html" } });
    return put.status + " " + (await (await fetch(k)).text());
  });
  check("a page of our own stores and reads", own.startsWith("204 <script>"));
  const stored = await browser.newPage();
  await stored.goto(`http://${host}:${port}/rest/v2/caches/default/from-a-page`);
  check("scripts of a stored page do not run", (await stored.title()) !== "bad" && (await stored.evaluate(() => document.body.textContent)).includes("hello"));
  // A page of a stranger, which has this machine's browser ask.
  const stranger = await browser.newPage();
  await stranger.goto(`http://${process.env.STRANGER_SITE}/`);
  const theirs = await stranger.evaluate(async (u) => fetch(u, { method: "PUT", body: "x" }).then((r) => String(r.status), (e) => "refused"), `http://${host}:${port}/rest/v2/caches/default/theirs`);
  check("a stranger's page may not store", theirs === "refused");
  const left = await page.evaluate(async () => (await fetch("rest/v2/caches/default/theirs")).status);
  check("and has not", left === 404);
  await browser.close();
})().catch((e) => { console.error(e); process.exit(1); });
