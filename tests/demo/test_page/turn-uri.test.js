import assert from "node:assert/strict";
import { test } from "node:test";

import { readUri, refusalOfPort, transportName } from "./turn-uri.js";

test("ports and transports are those that browsers go to", () => {
  for (const [text, port, transport, family] of [
    ["stun:a", 3478, "UDP", null],
    ["turn:a", 3478, "UDP", null],
    ["TURN:a:80?transport=tcp", 80, "TCP", null],
    ["turns:a", 5349, "TLS", null],
    // No browser speaks DTLS: they go over TCP.
    ["turns:a:443?transport=udp", 443, "TLS", null],
    ["turn:192.0.2.1:3479", 3479, "UDP", "IPv4"],
    ["turn:[2001:db8::1]:3479?transport=tcp", 3479, "TCP", "IPv6"],
  ]) {
    const uri = readUri(text);
    assert.deepEqual([uri.port, transportName(uri), uri.family], [port, transport, family], text);
  }
});

test("what browsers refuse is refused with the reason", () => {
  for (const [text, why] of [
    ["http://a", /begins with none/],
    ["turn://a", /no slashes/],
    ["turn:a/", /Nothing follows the port/],
    ["turn:user@a", /place of its own/],
    ["turn:2001:db8::1", /in brackets/],
    ["turn:", /cannot be read/],
    ["turn:a#b", /a # or a space/],
    ["turn:300.1.1.1", /up to 255/],
    ["turn:a:0", /from 1 to 65535/],
    ["turn:a:65536", /from 1 to 65535/],
    ["turn:a?transport=TCP", /small letters/],
    ["turn:a?transport=tls", /only queries/],
    ["turn:a?transport=udp?x", /only queries/],
    ["stun:a?transport=udp", /stun: has no/],
    ["stuns:a", /no stuns/],
  ]) {
    assert.match(readUri(text).problem ?? "", why, text);
  }
});

test("ports that a browser does not go to are known", () => {
  for (const [text, chromium, firefox] of [
    ["turn:a:53", true, false],
    ["turn:a:853?transport=tcp", true, false],
    ["stun:a:853", false, false],
    ["turn:a:443?transport=tcp", false, false],
    ["turn:a:5060", true, true],
    ["turn:a:4190", false, true],
  ]) {
    const refusals = [false, true].map((isFirefox) => refusalOfPort(readUri(text), isFirefox) !== null);
    assert.deepEqual(refusals, [chromium, firefox], text);
  }
});
