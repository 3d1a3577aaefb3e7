"use strict";

const show = (id, text) => { document.getElementById(id).textContent = text; };
const size = (n) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1000;
  return n.toFixed(i ? 1 : 0) + " " + units[i];
};
let last = null;

async function refresh() {
  try {
    const answer = await fetch("status.json", { cache: "no-store" });
    if (!answer.ok) throw new Error("status " + answer.status);
    const s = await answer.json();
    show("version", s.version);
    show("about", "Node " + s.node + (s.cluster ? " of cluster " + s.cluster : "") + " is running.");
    document.getElementById("about").className = "";
    show("entries", s.entries.toLocaleString());
    show("memory", size(s.bytes) + " of " + size(s.limit));
    show("connections", s.connections.toLocaleString());
    show("started", new Date(s.started).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }));
    show("addresses", s.addresses.join(", "));
    show("protocols", s.protocols.join(", "));
    show("caches", s.caches.join(", "));
    const ops = (t) => t.hits + t.misses + t.stores + t.removals;
    if (last && s.now > last.now) {
      show("rate", Math.round((ops(s) - ops(last)) * 1000 / (s.now - last.now)).toLocaleString());
    }
    show("ratio", s.hits + s.misses ? (100 * s.hits / (s.hits + s.misses)).toFixed(1) + " %" : "\u2013");
    last = s;
  } catch (e) {
    show("about", "The node does not answer: " + e.message);
    document.getElementById("about").className = "lost";
  }
}

refresh();
setInterval(refresh, 2000);
