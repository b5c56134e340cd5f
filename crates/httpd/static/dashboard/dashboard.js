/** The dashboard: what the server tells of itself, as it tells it. */

import { Chart } from "./chart.js";
import { at, drawn, element } from "./elements.js";
import { bits, bytes, number, often, percent, span } from "./format.js";
import { summary } from "./quality.js";
import { ask, Closed, token, watch } from "./stream.js";
import * as talkers from "./talkers.js";

// All modules have come.
at("unfinished").remove();

const charts = [
  new Chart(at("throughput"), "Throughput along the last hour", [
    { name: "to peers", value: (point) => point.sent },
    { name: "from peers", value: (point) => point.received },
  ], bits),
  new Chart(at("sessions"), "Sessions along the last hour", [
    { name: "sessions", value: (point) => point.sessions },
  ], number),
  new Chart(at("failures"), "Refusals and drops along the last hour", [
    { name: "refused / s", value: (point) => point.refused },
    { name: "dropped / s", value: (point) => point.dropped },
  ], often),
];

/** The last hour. */
let points = [];
/** Ends the stream that runs. */
let running = new AbortController();

talkers.begin(begin);
document.addEventListener("visibilitychange", () => document.hidden ? running.abort() : begin());
at("door").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(at("token").value.trim());
  at("token").value = "";
  begin();
});
begin();

/** Begins to watch, in place of what was watched before. */
async function begin() {
  running.abort();
  const own = running = new AbortController();
  let pause = 1000;
  while (!own.signal.aborted) {
    try {
      await about(own.signal);
      await watch(`v1/live?${talkers.query()}`, own.signal, (seen) => {
        if (own.signal.aborted) return;
        pause = 1000;
        show(seen);
      });
      lost("The server has ended the stream; trying again");
    } catch (error) {
      if (own.signal.aborted) return;
      if (error instanceof Closed) return knock(error.message);
      lost(`No answer (${error.message}); trying again`);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 10_000);
  }
}

/** The version and the age of the server. */
async function about(signal) {
  const { version, started, configuration } = await (await ask("v1/status", signal)).json();
  const up = Math.max(Math.floor(Date.now() / 1000) - started, 0);
  at("server").textContent = `version ${version}, up for ${span(up)}, ${configuration}`;
}

function lost(words) {
  state(words, "bad");
}

function state(words, kind) {
  // A screen reader says it only when it changes.
  if (at("state").textContent === words) return;
  at("state").textContent = words;
  at("state").className = `badge ${kind}`;
}

/** The token is asked for. */
function knock(words) {
  const isFirst = token.get() === null;
  token.forget();
  at("all").hidden = true;
  at("door").hidden = false;
  at("token-mistake").hidden = isFirst;
  at("token-mistake").textContent = isFirst ? "" : `That was not it: ${words}.`;
  state("A token is needed", "poor");
  at("token").focus();
}

function show({ moment, top, points: more }) {
  at("door").hidden = true;
  at("all").hidden = false;
  state(moment.draining ? "Draining: nothing new is granted" : "Live", moment.draining ? "poor" : "good");
  document.title = `Hairpin: ${number(moment.sessions)} sessions`;
  const last = points.at(-1)?.time ?? 0;
  points = [...points, ...more.filter(({ time }) => time > last)].slice(-720);
  for (const chart of charts) chart.show(points);
  tiles(moment);
  talkers.show(top);
  limits(moment);
  certificates(moment.certificates);
  at("quality").replaceChildren(...summary(moment.quality));
  causes(moment);
}

function tiles(moment) {
  const all = (counts) => counts.reduce((sum, { rate }) => sum + rate, 0);
  const shown = [
    ["Sessions", number(moment.sessions)],
    ["To peers", bits(moment.sent.bits)],
    ["From peers", bits(moment.received.bits)],
    ["Packets / s", number(Math.round(moment.sent.packets + moment.received.packets))],
    ["Opened / s", often(moment.opened)],
    ["Refused / s", often(all(moment.refused))],
    ["Dropped / s", often(all(moment.dropped) + all(moment.lost))],
  ];
  const tile = ([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value));
  at("now").replaceChildren(...shown.map(tile));
}

function limits({ limits, shards, memory }) {
  const meter = (name, words, part) => {
    const kind = part >= 0.9 ? "bad" : part >= 0.7 ? "poor" : "";
    const bar = drawn("svg", { class: `bar ${kind}`, viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
      drawn("rect", { width: 100, height: 4 }),
      drawn("rect", { class: "used", width: Math.min(part, 1) * 100, height: 4 }));
    const near = kind === "" ? "" : `, ${kind === "bad" ? "nearly all" : "most of it"}`;
    return element("li", {}, element("div", {}, element("span", {}, name), element("span", {}, words + near)), bar);
  };
  const used = limits.map(({ name, used, most }) =>
    meter(name, `${number(used)} of ${number(most)} (${percent(used / most)})`, used / most));
  const busy = shards.map(({ name, busy }) => meter(`processor of ${name}`, percent(busy), busy));
  const resident = element("li", {}, element("div", {}, element("span", {}, "memory"), element("span", {}, bytes(memory))));
  at("limits").replaceChildren(...used, ...busy, resident);
}

function certificates(all) {
  const item = ({ name, key, days }) => {
    const [kind, words] = days < 0 ? ["bad", "has ended"] : [days < 7 ? "bad" : days < 21 ? "poor" : "good", `${days} days left`];
    return element("li", {}, `${name} (${key})`, element("span", { class: `badge ${kind}` }, words));
  };
  const none = element("li", { class: "quiet" }, "There are none.");
  at("certificates").replaceChildren(...(all.length > 0 ? all.map(item) : [none]));
}

function causes({ refused, dropped, lost }) {
  const kinds = [["refused", refused], ["dropped", dropped], ["at sockets", lost]];
  const rows = kinds.flatMap(([kind, counts]) => counts.map(({ cause, code, rate, total }) =>
    element("tr", { class: rate > 0 ? "now" : "still" },
      element("th", { scope: "row" }, code === undefined ? cause : `${code} ${cause}`, element("small", { class: "quiet" }, kind)),
      element("td", {}, often(rate)),
      element("td", {}, number(total)))));
  const heads = ["Cause", "Each second", "Since the start"].map((name) => element("th", { scope: "col" }, name));
  const none = element("tr", { class: "still" }, element("td", { colspan: 3 }, "Nothing yet."));
  at("causes").replaceChildren(
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...(rows.length > 0 ? rows : [none])),
  );
}
