/** The test page: what is entered, and what is shown. The test itself is in `examination.js`. */

import { familyOf } from "./addresses.js";
import { examine } from "./examination.js";
import { FINDINGS, remedyOf } from "./findings.js";
import { readIceServers } from "./ice-servers.js";
import { bits } from "./judging.js";
import { reportOf } from "./report.js";
import { readUri, transportName } from "./turn-uri.js";
import { verdictOf } from "./verdict.js";

const at = (id) => document.getElementById(id);

// All modules have come.
at("unfinished").remove();

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  test();
});

at("own").addEventListener("click", async () => {
  try {
    const answer = await fetch("/ice");
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    const { iceServers } = await answer.json();
    at("servers").value = JSON.stringify(iceServers, null, 2);
  } catch (error) {
    return complain(`This server's iceServers cannot be had: ${error.message}.`);
  }
  test();
});

// The button is for a server that has something to give.
fetch("/ice").then((answer) => answer.json()).then(
  ({ iceServers }) => { at("own").hidden = iceServers.length === 0; }, () => {});

/** The outcome that the report is made of. */
let outcome = null;

async function test() {
  complain(null);
  if (!globalThis.RTCPeerConnection) {
    return complain("This browser has no WebRTC, or it is turned off: no call works in it.");
  }
  let read, more;
  try {
    read = readIceServers(at("servers").value);
    more = moreServers(at("more").value);
  } catch (error) {
    at("servers").focus();
    return complain(error.message);
  }
  busy(true);
  at("summary").hidden = at("rest").hidden = true;
  at("result").hidden = false;
  const cards = read.servers.map(card);
  at("urls").replaceChildren(...cards.map(({ element }) => element));
  try {
    const examined = await examine(read.servers, {
      more,
      progress,
      heard: (patient, sentence) => cards[patient.index].wait(sentence),
      settled: (patient) => cards[patient.index].show(patient),
    });
    show(examined, read.notes);
  } catch (error) {
    complain(`The test itself failed: ${error.message}. Reload the page, and try again.`);
    progress("");
    throw error;
  } finally {
    busy(false);
  }
}

/** The further STUN servers. */
function moreServers(text) {
  const urls = text.split(/[\s,]+/).filter((word) => word !== "");
  for (const url of urls) {
    const uri = readUri(url);
    if (uri.problem || uri.isTurn) throw new Error(`“${url}” is no STUN server: ${uri.problem ?? "it is for TURN."} Write stun:HOST:PORT.`);
  }
  return urls;
}

function show(examined, notes) {
  const verdict = verdictOf(examined);
  outcome = { examined, verdict };
  at("summary").className = `summary ${verdict.level}`;
  at("verdict").textContent = `${MARKS[verdict.level]} ${verdict.sentence}`;
  at("why").textContent = verdict.why;
  at("why").hidden = verdict.why === "";
  const about = [...examined.list.map(finding), ...notes.map((note) => item(note))];
  if (about.length > 0) at("urls").append(section("The list of URLs", list("findings", about)));
  at("network").replaceChildren(...examined.network.sentences.map((sentence) => item(sentence)));
  writeReport();
  at("summary").hidden = at("rest").hidden = false;
  // Heard by those who do not see it below.
  progress(verdict.sentence);
  at("summary").scrollIntoView({ block: "nearest" });
}

at("addresses").addEventListener("change", writeReport);

function writeReport() {
  if (outcome === null) return;
  const options = { hasAddresses: at("addresses").checked, when: new Date(), agent: navigator.userAgent };
  at("report").value = reportOf(outcome.examined, outcome.verdict, options);
}

at("copy").addEventListener("click", async () => {
  const report = at("report");
  report.select();
  try {
    // Only over HTTPS or on this very host.
    await navigator.clipboard.writeText(report.value);
    at("copied").textContent = "Copied.";
  } catch {
    at("copied").textContent = document.execCommand("copy") ? "Copied." : "The text is selected: copy it by keyboard.";
  }
});

/** The card of one URL, which is shown again whenever more is known. */
function card({ url }) {
  const element = document.createElement("article");
  element.className = "card url";
  const show = (patient) => {
    const badge = make("span", { className: `badge ${levelOf(patient)}`, textContent: stateOf(patient) });
    const head = make("div", { className: "head" }, make("h3", { textContent: url }), badge);
    element.replaceChildren(head, ...measures(patient), ...told(patient));
  };
  const wait = (sentence) => element.replaceChildren(
    make("h3", { textContent: url }), make("p", { className: "quiet wait", textContent: sentence }));
  wait("Asking …");
  return { element, show, wait };
}

function measures({ uri, gathered, tally, throughput }) {
  if (!tally) return [];
  const { sent, returned, median } = tally;
  const relayed = gathered.candidates.filter(({ type }) => type === "relay").map(({ address }) => familyOf(address));
  const values = [
    ["Transport", transportName(uri)],
    ["Relays to", [...new Set(relayed)].sort().join(", ")],
    ["There and back", median === undefined ? "–" : `${median.toFixed(1)} ms`],
    ["Lost", sent > 0 ? `${Math.round((100 * (sent - returned)) / sent)} %` : "–"],
    ["Throughput", throughput === undefined ? "…" : throughput === null ? "–" : bits(throughput)],
  ];
  const pairs = values.map(([name, value]) =>
    make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value })));
  return [make("dl", { className: "measures" }, ...pairs)];
}

function finding({ code, sentence }) {
  const { severity, meaning } = FINDINGS[code];
  const remedy = remedyOf(code);
  const line = make("div", {},
    make("span", { className: `code ${LEVELS[severity]}`, textContent: `${code} ${severity}` }),
    make("strong", { textContent: meaning }));
  const texts = [sentence, remedy].filter((text) => text !== "");
  return make("li", {}, line, ...texts.map((text) => make("p", { className: text === remedy ? "quiet" : "", textContent: text })));
}

/** What there is to know or to do; what is well, and what came after how long, on demand. */
function told({ findings, gathered }) {
  const isWell = ({ code }) => FINDINGS[code].severity === "ok";
  const [well, rest] = [findings.filter(isWell), findings.filter((it) => !isWell(it))];
  const came = (gathered?.candidates ?? []).map(({ ms, type, protocol, address, port }) =>
    [ms, `${ms} ms: ${TYPES[type] ?? type}, ${protocol}, ${address}:${port}`]);
  const failed = (gathered?.errors ?? []).map(({ ms, code, text }) => [ms, `${ms} ms: error ${code}${text ? ` ${text}` : ""}`]);
  const events = [...came, ...failed].sort(([one], [other]) => one - other).map(([, line]) => item(line));
  const details = make("details", {}, make("summary", { textContent: "What was seen" }));
  if (well.length > 0) details.append(list("findings", well.map(finding)));
  if (events.length > 0) details.append(list("events", events));
  const open = rest.length > 0 ? [list("findings", rest.map(finding))] : [];
  return details.childElementCount > 1 ? [...open, details] : open;
}

function levelOf({ findings }) {
  const levels = findings.map(({ code }) => LEVELS[FINDINGS[code].severity]);
  return ["bad", "poor", "good"].find((level) => levels.includes(level)) ?? "";
}

function stateOf(patient) {
  const words = { bad: "does not work", poor: "works, with a warning", good: "works" };
  const hasRelayed = patient.tally?.returned > 0;
  if (hasRelayed && levelOf(patient) === "bad") return "works in part";
  return words[levelOf(patient)] ?? "not tested";
}

function section(heading, ...content) {
  return make("section", { className: "card" }, make("h2", { textContent: heading }), ...content);
}

function list(className, items) {
  return make("ul", { className }, ...items);
}

function item(text) {
  return make("li", { textContent: text });
}

function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function progress(sentence) {
  at("progress").textContent = sentence;
}

function busy(isBusy) {
  for (const id of ["start", "own"]) at(id).disabled = isBusy;
  at("progress").className = isBusy ? "progress busy" : "unseen";
}

function complain(sentence) {
  at("mistake").textContent = sentence ?? "";
  at("mistake").hidden = sentence === null;
}

const MARKS = { good: "✓", poor: "!", bad: "✗" };
const LEVELS = { ok: "good", note: "", "not tested": "", warning: "poor", error: "bad" };
const TYPES = { host: "own address (host)", srflx: "address as the server sees it (srflx)", relay: "relayed address (relay)" };
