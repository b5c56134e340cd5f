import assert from "node:assert/strict";
import { test } from "node:test";

import { concludeNetwork } from "./network.js";
import { reportOf } from "./report.js";
import { readUri } from "./turn-uri.js";
import { verdictOf } from "./verdict.js";

const TALLY = { sent: 50, returned: 50, best: 1, median: 12.4, worst: 30 };

function patient(url, findings, more = {}) {
  return { server: { url, username: "alice", credential: "hidden" }, uri: readUri(url), gathered: gathered("complete"),
    knocks: {}, refusal: null, findings: findings.map((code) => ({ code, sentence: `About ${code}.` })), ...more };
}

function works(url) {
  return patient(url, ["D045", "D059"], { tally: TALLY, outside: { outcome: "open" }, gathered: gathered("relay") });
}

function gathered(end, candidates = []) {
  return { end, candidates, errors: [], ms: 100 };
}

function mapped(port, foundation = "12345678", address = "203.0.113.9") {
  return { type: "srflx", protocol: "udp", address, port, foundation, ms: 30, related: null };
}

function verdict(patients, network = "undecided") {
  return verdictOf({ patients, network: { verdict: network, sentences: ["About the network."] } });
}

test("a relay that works over everything is said to work, first", () => {
  const said = verdict([works("turn:a"), works("turn:a?transport=tcp"), works("turns:a")]);
  assert.equal(said.level, "good");
  assert.equal(said.sentence, "Calls work from here over UDP, TCP and TLS, whatever network the other side is in.");
  assert.equal(said.why, "A message goes through the relay and back in 12 ms over UDP.");
});

test("what works is said before what does not", () => {
  const said = verdict([works("turn:a"), patient("turns:a", ["D013"])]);
  assert.equal(said.level, "poor");
  assert.equal(said.sentence, "Calls work from here over UDP; 1 of 2 URLs does not.");
  assert.match(said.why, /^About D013\. Get a certificate/);
});

test("UDP that is blocked is the verdict, whether or not another way is in the list", () => {
  const silent = patient("turn:a", ["D002"]);
  assert.match(verdict([silent, works("turn:a?transport=tcp")], "needs-turn-over-tcp").sentence, /only through the relay over TCP: UDP is blocked/);
  silent.findings[0].sentence = "Over TCP the same server works: UDP is blocked between …";
  assert.match(verdict([silent], "needs-turn-over-tcp").sentence, /UDP is blocked, and no URL for TCP or TLS/);
});

test("the cause is named, and not what follows from it", () => {
  const said = verdict([patient("turn:a", ["D032"]), patient("turns:b", ["D003"]), patient("turn:c", ["D002"])]);
  assert.equal(said.sentence, "The relay refuses the credential, which has expired.");
  assert.equal(said.level, "bad");
});

test("a relay whose loop works is no good if peers outside are not reached", () => {
  for (const code of ["D040", "D043", "D056", "D064"]) {
    const broken = { ...works("turn:a"), findings: [{ code, sentence: "Seen." }] };
    assert.equal(verdict([broken]).level, "bad", code);
    assert.equal(verdict([broken]).code, code);
  }
});

test("one URL that a browser does not take spoils the others", () => {
  for (const code of ["B001", "B004"]) {
    const said = verdict([works("turn:a"), patient("turn://b", [code], { refusal: { code } })]);
    assert.equal(said.level, "bad", code);
    assert.match(said.sentence, /does not take this list/);
  }
  assert.equal(verdict([works("turn:a"), patient("turn:b:53", ["B002"], { refusal: { code: "B002" } })]).level, "poor");
});

test("every error has a verdict that is a sentence", () => {
  for (const code of ["B001", "B002", "B003", "B004", "D001", "D002", "D003", "D004", "D009", "D010", "D013", "D017", "D030", "D032", "D035", "D036", "D037", "D042", "D058", "D064"]) {
    assert.match(verdict([patient("turn:a", [code])]).sentence, /^[A-Z].*\.$/, code);
  }
});

test("a STUN server alone relays nothing", () => {
  assert.match(verdict([patient("stun:a", ["D020"])]).sentence, /no TURN server/);
  assert.equal(verdict([patient("stun:a", ["D002"])]).level, "bad");
});

test("a list of which nothing was tested is no good list", () => {
  assert.deepEqual(verdict([patient("turn:a", [])]).sentence, "Nothing could be tested.");
});

test("one port for several servers is a cone, another port for each is symmetric", () => {
  const patients = [patient("stun:a", [], { gathered: gathered("mapped") }), patient("stun:b", [], { gathered: gathered("mapped") })];
  const network = (candidates, urls = ["stun:a:3478", "stun:b:3478"]) =>
    concludeNetwork({ patients, urls, joint: gathered("complete", candidates) });
  const host = (port) => ({ ...mapped(port), type: "host", address: "f00.local" });
  assert.equal(network([mapped(5000)]).verdict, "mostly-direct");
  assert.equal(network([mapped(5000), mapped(5001)]).verdict, "needs-turn");
  // One server, or one host, cannot tell.
  assert.equal(network([mapped(5000)], ["stun:a:3478"]).verdict, "undecided");
  assert.equal(network([mapped(5000)], ["stun:a:3478", "stun:a:3479"]).verdict, "undecided");
  assert.equal(network([mapped(5000), mapped(5001)], ["stun:a:3478", "stun:a:3479"]).verdict, "needs-turn");
  // Two sockets of Chromium have two foundations; Firefox has as many host candidates as sockets.
  assert.equal(network([mapped(5000, "12345678"), mapped(5001, "87654321")]).verdict, "mostly-direct");
  assert.equal(network([host(1), host(2), mapped(5000, "1"), mapped(5001, "2")]).verdict, "undecided");
  assert.equal(network([host(1), mapped(5000, "1"), mapped(5001, "2")]).verdict, "needs-turn");
  // IPv6 has ports of its own.
  assert.equal(network([mapped(5000), mapped(5001, "12345678", "2001:db8::1")]).verdict, "mostly-direct");
});

test("a network in which nothing or only TCP answers is told by what answered", () => {
  const [udp, tcp] = [patient("turn:a", [], { gathered: gathered("timeout") }), patient("turn:a?transport=tcp", [], { gathered: gathered("relay") })];
  const network = (patients) => concludeNetwork({ patients, urls: [], joint: null }).verdict;
  assert.equal(network([udp]), "blocked");
  assert.equal(network([udp, tcp]), "needs-turn-over-tcp");
  assert.equal(network([{ ...udp, knocks: { plainTcp: "answers" } }]), "needs-turn-over-tcp");
  assert.equal(network([tcp]), "undecided");
});

test("a carrier's address and hidden ones are told", () => {
  const patients = [patient("stun:a", [], { gathered: gathered("mapped", [mapped(1, "1", "100.64.3.4"), { ...mapped(2), type: "host", address: "f00.local" }]) })];
  const said = concludeNetwork({ patients, urls: [], joint: null }).sentences.join("\n");
  assert.match(said, /CGNAT/);
  assert.match(said, /hides its own addresses/);
});

test("a report without addresses keeps everything else", () => {
  const candidates = [mapped(5000), { ...mapped(5001), type: "host", address: "4b294cc2-27d0.local" }, mapped(5002, "1", "2001:db8::7")];
  const one = patient("turn:turn.example.org:3478", ["D045"], { gathered: gathered("relay", candidates) });
  one.findings[0].sentence = "At 203.0.113.9, at 2001:db8::7, at turn.example.org at 12:30:45.";
  const two = patient("turns:a", ["D013"]);
  const network = { verdict: "undecided", sentences: ["A sentence."], together: [] };
  const examined = { patients: [one, two], list: [], network, isFirefox: true };
  const options = { when: new Date(0), agent: "Mozilla/5.0 Firefox/153.0" };
  const report = (hasAddresses) => reportOf(examined, verdictOf(examined), { ...options, hasAddresses });
  for (const what of ["203.0.113.9", "2001:db8::7", "turn.example.org", "4b294cc2-27d0.local"]) {
    assert.ok(report(true).includes(what), what);
    assert.ok(!report(false).includes(what), report(false));
  }
  assert.match(report(false), /At \[address \d\], at \[address \d\], at \[server \d\]/);
  assert.match(report(false), /a certificate for another name|The certificate is for another name\./);
  assert.match(report(false), /1970-01-01 00:00 UTC, Firefox 153/);
  assert.ok(!report(true).includes("hidden"));
});
