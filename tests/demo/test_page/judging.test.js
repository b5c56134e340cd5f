import assert from "node:assert/strict";
import { test } from "node:test";

import { FINDINGS, remedyOf } from "./findings.js";
import { duration, judge, judgeList, timeLeft } from "./judging.js";
import { readUri } from "./turn-uri.js";

const NOW = 1_800_000_000_000;

/** A URL of which this was seen. */
function patient(url, seen = {}) {
  const gathered = { candidates: [], errors: [], end: "complete", ms: 100, thrown: null, ...seen.gathered };
  const server = { url, username: "alice", credential: "x", ...seen.server };
  return { server, uri: readUri(url), knocks: {}, ...seen, gathered };
}

function relay(url, seen = {}) {
  const candidates = [candidate("srflx", seen.mapped ?? "203.0.113.9"), candidate("relay", seen.relayed ?? "198.51.100.1")];
  const tally = { sent: 50, returned: 50, best: 1, median: 2, worst: 3 };
  const outside = { outcome: "open", seen: "203.0.113.9" };
  return patient(url, { tally, outside, loop: { connectedMs: 90, refusal: null }, gathered: { end: "relay", candidates }, ...seen });
}

function candidate(type, address) {
  return { type, protocol: "udp", foundation: "1", address, port: 5000, ms: 40, related: null };
}

function error(code, more = {}) {
  return { code, text: "", hasConnected: false, ms: 90, ...more };
}

function codes(patient, isFirefox = false) {
  return judge(patient, { isFirefox, now: NOW }).map(({ code }) => code);
}

test("a refusal of a credential is told from an expired one by the name", () => {
  const refused = (username) => patient("turn:a", { server: { username }, gathered: { end: "refused", errors: [error(401)] } });
  assert.deepEqual(codes(refused("alice")), ["D030"]);
  assert.deepEqual(codes(refused("1800003600:alice")), ["D030"]);
  assert.deepEqual(codes(refused("1799999999:alice")), ["D032"]);
});

test("the expiry of a name is read as the doctor reads it", () => {
  for (const [name, left] of [
    ["1799999990:alice", -10], ["1799999990", -10], ["1800000001:a", 1],
    ["4711", null], ["007:bond", null], ["alice:1799999990", null], ["99999999999999999999999:a", null], ["", null],
  ]) {
    assert.equal(timeLeft(name, NOW), left, name);
  }
  assert.equal(duration(119), "119 seconds");
  assert.equal(duration(172_800), "2 days");
});

test("other codes have findings of their own", () => {
  for (const [code, finding] of [[438, "D035"], [300, "D037"], [486, "D036"], [508, "D036"], [700, "D036"]]) {
    assert.deepEqual(codes(patient("turn:a", { gathered: { end: "refused", errors: [error(code)] } })), [finding]);
  }
});

test("silence over UDP is told by what the server does over TCP", () => {
  for (const [plainTcp, words] of [["relays", /UDP is blocked/], ["answers", /UDP is blocked/], ["refuses", /no server listens/], ["silent", /firewall drops everything/]]) {
    const silent = patient("turn:192.0.2.1", { knocks: { plainTcp }, gathered: { end: "timeout", ms: 5000 } });
    const [finding] = judge(silent, { isFirefox: false, now: NOW });
    assert.equal(finding.code, "D002");
    assert.match(finding.sentence, words);
  }
});

test("a TURN server that answers Bindings only is no silent one", () => {
  const seen = { gathered: { end: "timeout", ms: 5000, candidates: [candidate("srflx", "203.0.113.9")] } };
  assert.deepEqual(codes(patient("turn:a", seen)), ["D058"]);
  assert.deepEqual(codes(patient("turn:a", { knocks: { binding: "answers" }, gathered: { end: "timeout" } }), true), ["D058"]);
});

test("names that lead nowhere are found out in both browsers", () => {
  const chromium = { gathered: { errors: [error(701, { text: "TURN host lookup received error." })] } };
  assert.deepEqual(codes(patient("turn:nowhere", chromium)), ["D001"]);
  assert.deepEqual(codes(patient("turn:nowhere", { gathered: { errors: [error(701)] } }), true), ["D001"]);
  assert.deepEqual(codes(patient("turn:192.0.2.1", { gathered: { errors: [error(701)] } }), true), ["D009"]);
});

test("a connection that is refused is told from one that ends", () => {
  const failed = (more) => patient("turn:a?transport=tcp", { gathered: { errors: [error(701, more)] } });
  assert.deepEqual(codes(failed()), ["D003"]);
  assert.deepEqual(codes(failed({ hasConnected: true })), ["D004"]);
  assert.deepEqual(codes(patient("turn:a?transport=tcp", { gathered: { end: "timeout" } })), ["D003"]);
});

test("a certificate is named as the fault only where nothing else explains it", () => {
  const failed = (url, more) => patient(url, { gathered: { errors: [error(701)] }, ...more });
  const proven = { rightName: { name: "b", isProven: true } };
  assert.deepEqual(codes(failed("turns:a", proven)), ["D013"]);
  assert.deepEqual(codes(failed("turns:a", { rightName: { name: "b", isProven: false }, knocks: { plainTcp: "connects" } })), ["D017"]);
  assert.deepEqual(codes(failed("turns:a", { knocks: { plainTcp: "refuses" } })), ["D003"]);
  // Firefox does not tell whether there was a connection.
  assert.deepEqual(codes(failed("turns:a", { knocks: { plainTcp: "refuses" } }), true), ["D017"]);
  assert.deepEqual(codes(failed("turns:a:3478", { knocks: { plainTcp: "answers" } })), ["D010"]);
  // A listener for both may take the one and have a bad certificate.
  assert.deepEqual(codes(failed("turns:a:443", { knocks: { plainTcp: "answers" } })), ["D017"]);
});

test("an address that cannot be the browser's is a proxy's or a bridge's", () => {
  const [hidden, right] = [["127.0.0.1", "D064"], ["169.254.1.1", "D064"]];
  for (const [mapped, code] of [hidden, right]) {
    assert.deepEqual(codes(relay("turn:a", { mapped }))[0], code);
  }
  assert.equal(codes(relay("turn:198.51.100.1", { mapped: "10.0.0.7" }))[0], "D064");
  assert.equal(codes(relay("turn:a", { mapped: "172.17.0.1" }))[0], "D064");
  // A server of the same network.
  assert.ok(!codes(relay("turn:192.168.1.1", { mapped: "192.168.1.20", relayed: "192.168.1.1" })).includes("D064"));
  assert.ok(!codes(relay("turn:127.0.0.1", { mapped: "127.0.0.1" })).includes("D064"));
});

test("Firefox, which drops such answers, finds it by what strangers are answered", () => {
  const silent = { gathered: { end: "timeout" }, knocks: { stranger: "answers", binding: "silent" } };
  assert.deepEqual(codes(patient("turn:a", silent), true), ["D064"]);
  assert.deepEqual(codes(patient("turn:a", { ...silent, knocks: { stranger: "answers", binding: "answers" } }), true), ["D058"]);
  assert.deepEqual(codes(patient("turn:a", { ...silent, knocks: { stranger: "silent", binding: "silent" } }), true), ["D002"]);
});

test("what comes out of the relay and what goes in are told apart", () => {
  for (const [outcome, code] of [["open", "D055"], ["elsewhere", "D043"], ["in-closed", "D043"], ["closed", "D043"], ["out-closed", "D056"], ["refused", "D044"], ["no-address", "D044"]]) {
    assert.ok(codes(relay("turn:a", { outside: { outcome, seen: "203.0.113.9" } })).includes(code), outcome);
  }
  // A private address is no peer outside.
  assert.ok(codes(relay("turn:a", { outside: { outcome: "closed", seen: "10.0.0.7" } })).includes("D044"));
});

test("a relayed address that is private is a fault for browsers outside only", () => {
  assert.equal(codes(relay("turn:a", { relayed: "10.0.0.1" }))[0], "D040");
  assert.ok(!codes(relay("turn:a", { relayed: "10.0.0.1", mapped: "10.0.0.7" })).includes("D040"));
});

test("a relay that works has a finding that says so, unless anything is wrong", () => {
  assert.ok(codes(relay("turn:a")).includes("D059"));
  const lossy = relay("turn:a", { tally: { sent: 50, returned: 40, best: 1, median: 2, worst: 3 } });
  assert.equal(codes(lossy)[0], "D046");
  assert.ok(!codes(lossy).includes("D059"));
  const failed = (refusal) => relay("turn:a", { loop: { connectedMs: null, refusal }, tally: undefined });
  assert.equal(codes(failed(null))[0], "D042");
  // Gathering needs one allocation, a loop needs two.
  assert.equal(codes(failed(error(486)))[0], "D036");
});

test("the list as a whole is judged", () => {
  const found = (...urls) => judgeList(urls.map((url) => patient(url))).map(({ code }) => code);
  assert.deepEqual(found("turn:a", "turn:a?transport=tcp", "turns:a"), []);
  assert.deepEqual(found("turn:a"), ["D083"]);
  assert.deepEqual(found("stun:a"), []);
  assert.deepEqual(found("turn:a", "turn:a:3478?transport=udp", "turns:a"), ["B006"]);
  assert.deepEqual(found("turn:a", "turn:b", "turn:c", "turn:d", "turns:a"), ["B005"]);
});

test("every finding has all that is shown of it", () => {
  for (const [code, { name, severity, meaning, remedy }] of Object.entries(FINDINGS)) {
    assert.match(name, /^[A-Z]\w+$/, code);
    assert.ok(["ok", "note", "not tested", "warning", "error"].includes(severity), code);
    assert.ok(meaning.endsWith("."), code);
    assert.ok(remedy !== "" || severity === "ok" || severity === "note", code);
  }
});

test("no remedy names options of the command line", () => {
  for (const code of Object.keys(FINDINGS)) {
    const remedy = remedyOf(code);
    assert.doesNotMatch(remedy, /--|(^| )-[46]( |$)|doctor/, code);
    assert.ok(remedy === "" || /[.!?]$/.test(remedy), `${code}: ${remedy}`);
    assert.ok(FINDINGS[code].remedy === "" || remedy !== "", code);
  }
  assert.equal(remedyOf("D009"), "See this host's own network: its route to the address (ip route get) and its firewall.");
});
