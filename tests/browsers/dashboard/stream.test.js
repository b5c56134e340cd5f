import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, Closed, token, watch } from "./stream.js";

const kept = new Map();
globalThis.sessionStorage = {
  getItem: (name) => kept.get(name) ?? null,
  setItem: (name, text) => kept.set(name, text),
  removeItem: (name) => kept.delete(name),
};

/** A server that answers with these parts, and keeps what it was asked. */
function serve(status, parts) {
  const asked = [];
  globalThis.fetch = async (path, options) => {
    asked.push({ path, ...options });
    const bytes = parts.map((part) => typeof part === "string" ? new TextEncoder().encode(part) : part);
    return new Response(ReadableStream.from(bytes), { status });
  };
  return asked;
}

async function seen(parts) {
  serve(200, parts);
  const all = [];
  await watch("v1/live", undefined, (data) => all.push(data));
  return all;
}

test("events are read wherever their bytes are cut", async () => {
  assert.deepEqual(await seen(['data: {"a":1}\n\ndata: {"a":2}\n\n']), [{ a: 1 }, { a: 2 }]);
  assert.deepEqual(await seen(['da', 'ta: {"a"', ':1}\n', '\ndata: {"a":2}\n\n']), [{ a: 1 }, { a: 2 }]);
  const [name] = await seen(['data: "', new Uint8Array([0xc3]), new Uint8Array([0xa4]), '"\n\n']);
  assert.equal(name, "ä");
});

test("what is no data is left out, and so is an event that is cut off", async () => {
  assert.deepEqual(await seen([":\n\n", "event: x\ndata: 1\n\n", 'data: {"a"']), [1]);
});

test("a token is shown in a header and never in the address", async () => {
  token.set("a secret");
  const asked = serve(200, ["{}"]);
  await ask("v1/status");
  assert.equal(asked[0].headers.Authorization, "Bearer a secret");
  assert.equal(asked[0].path, "v1/status");
  token.forget();
  await ask("v1/status");
  assert.deepEqual(asked[1].headers, {});
});

test("a refusal is told in the server's words", async () => {
  serve(401, ['{"error":"show the token"}']);
  await assert.rejects(ask("v1/status"), (error) => error instanceof Closed && error.message === "show the token");
  serve(503, ['{"error":"full"}']);
  await assert.rejects(ask("v1/status"), (error) => !(error instanceof Closed) && error.message === "full");
  serve(502, ["<html>"]);
  await assert.rejects(ask("v1/status"), { message: "the server answers 502" });
});
