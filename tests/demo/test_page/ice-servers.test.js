import assert from "node:assert/strict";
import { test } from "node:test";

import { NotIceServers, readIceServers } from "./ice-servers.js";

const ALICE = { url: "turn:turn.example:3478", username: "alice", credential: "secret" };

for (const [what, text] of [
  ["JSON, the whole configuration", '{"iceServers": [{"urls": "turn:turn.example:3478", "username": "alice", "credential": "secret"}]}'],
  ["a list", '[{"urls": ["turn:turn.example:3478"], "username": "alice", "credential": "secret"}]'],
  ["one entry", "{ urls: 'turn:turn.example:3478', username: 'alice', credential: 'secret' }"],
  ["the inside of an entry", "urls: 'turn:turn.example:3478', username: 'alice', credential: 'secret',"],
  ["a property alone", "iceServers: [{ urls: 'turn:turn.example:3478', username: 'alice', credential: 'secret' }],"],
  ["an object in place of the list, as Cloudflare answers", '{"iceServers": {"urls": ["turn:turn.example:3478"], "username": "alice", "credential": "secret"}}'],
  ["TURN REST", '{"username": "alice", "password": "secret", "ttl": 86400, "uris": ["turn:turn.example:3478"]}'],
  ["a statement", "const peer = new RTCPeerConnection({ iceServers: [{ urls: `turn:turn.example:3478`, username: `alice`, credential: `secret` }] });"],
  ["comments and commas at the end", "[ // ours\n { /* at home */ urls: ['turn:turn.example:3478',], username: 'alice', credential: 'secret', }, ]"],
  ["a configuration within another", '{ rtc: { iceServers: [{ urls: "turn:turn.example:3478", username: "alice", credential: "secret" }] }, video: true }'],
  ["escapes", String.raw`{ "urls": "turn:turn.ex\u0061mple:3478", "username": "\x61lice", "credential": "secret" }`],
]) {
  test(`${what} is read`, () => assert.deepEqual(readIceServers(text).servers, [ALICE]));
}

test("several entries need no list around them, and keep their order", () => {
  const { servers } = readIceServers("{ urls: 'stun:one' }, { urls: ['turn:two', 'turns:three'], username: 'u', credential: 'c' }");
  assert.deepEqual(servers.map(({ url }) => url), ["stun:one", "turn:two", "turns:three"]);
  assert.equal(servers[0].username, undefined);
});

test("URLs alone are read", () => {
  const { servers } = readIceServers("stun:one\nturn:two?transport=tcp, stun:[2001:db8::1]:3478".replace("[2001:db8::1]", "three"));
  assert.deepEqual(servers.map(({ url }) => url), ["stun:one", "turn:two?transport=tcp", "stun:three:3478"]);
});

test("a secret is read as it stands, quotes and slashes too", () => {
  const [{ credential }] = readIceServers(String.raw`{ urls: 'turn:a', username: 'u', credential: 'a//b/*c*/"d\'e=' }`).servers;
  assert.equal(credential, `a//b/*c*/"d'e=`);
});

test("names that browsers do not take are read, with a note", () => {
  const { notes } = readIceServers("[{ url: 'stun:one' }, { url: 'stun:two', password: 'x' }]");
  assert.equal(notes.length, 2);
  assert.match(notes[0], /“url” is read as “urls”/);
  assert.match(notes[1], /“credential”/);
});

for (const [what, text, why] of [
  ["nothing", " \n", /nothing to test/],
  ["a word", "hello", /neither an object nor a list/],
  ["a variable", "{ urls: server, username: 'a' }", /“server” is the name of a variable/],
  ["a name without a value", "{ urls: 'turn:a', username }", /“username” is the name of a variable/],
  ["a URL without quotes", "{ urls: turn:a }", /stands without quotes: write "turn:/],
  ["a template with a variable", "{ urls: `turn:${host}` }", /takes a value from elsewhere/],
  ["parts from elsewhere", "{ ...config }", /takes parts from elsewhere/],
  ["a text without an end", "{ urls: 'turn:a }", /has no end/],
  ["a list without an end", "[{ urls: 'turn:a' }", /ends too early: a comma or \] is missing/],
  ["a line that cannot be read", "[\n{ urls 'turn:a' }]", /Line 2 cannot be read: a colon is missing after “urls”/],
  ["a missing comma", "{ urls: 'turn:a' username: 'b' }", /a comma or } is missing after the value of “urls”/],
  ["other data", '{ "name": 1, "age": 2 }', /It has “name”, “age”, and neither “iceServers” nor “urls”/],
  ["a number for a text", "{ urls: 'turn:a', username: 17, credential: 'x' }", /“username” is a number.*username: "17"/],
  ["a list of numbers", "[1, 2]", /“1” is no server/],
  ["no entries", "{ iceServers: [] }", /There is no URL/],
  ["too many URLs", `[${"{ urls: 'stun:a' },".repeat(17)}]`, /17 URLs are too many/],
  ["what is nested without end", "[".repeat(50_000), /nested too deeply/],
  ["a text without bound", `["${"a".repeat(100_000)}"]`, /too long/],
  ["a prototype", '{ "__proto__": { "urls": "turn:a" } }', /“__proto__”/],
]) {
  test(`${what} is refused with a sentence that says what to paste`, () => {
    assert.throws(() => readIceServers(text), (error) => {
      assert.ok(error instanceof NotIceServers, String(error));
      assert.match(error.message, why);
      assert.match(error.message, /Paste .*urls|write "|Paste the value|Paste them/s);
      return true;
    });
  });
}

test("whatever is cut or changed is read or refused, and nothing else happens", () => {
  const text = "const c = { iceServers: [ { urls: [\"turn:a:1?transport=udp\", 'stun:b'], /* x */ username: `u\\n`, credential: \"\\u0041\" }, ] }; // end";
  const odd = ["", "{", "}", "[", "]", ",", ":", "'", '"', "`", "\\", "/*", "//", "${", "...", "\n", "\0", "𝕏"];
  for (let at = 0; at <= text.length; at += 1) {
    for (const piece of odd) {
      for (const changed of [text.slice(0, at) + piece, text.slice(0, at) + piece + text.slice(at + 1)]) {
        try {
          assert.ok(readIceServers(changed).servers.length > 0);
        } catch (error) {
          assert.ok(error instanceof NotIceServers, `${changed}: ${error.stack}`);
        }
      }
    }
  }
});
