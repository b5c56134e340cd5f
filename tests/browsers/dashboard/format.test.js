import assert from "node:assert/strict";
import { test } from "node:test";
import { bits, bytes, often, percent, span } from "./format.js";

test("numbers are told in the unit that fits", () => {
  assert.deepEqual([0, 999.4, 64_000, 1_250_000, 2.5e9].map(bits),
    ["0 bit/s", "999 bit/s", "64.0 kbit/s", "1.3 Mbit/s", "2.5 Gbit/s"]);
  assert.deepEqual([0, 1500, 999_600, 123_456_789].map(bytes), ["0 B", "1.5 kB", "1.0 MB", "123 MB"]);
  assert.deepEqual([59, 61, 3720, 90_000].map(span), ["59 s", "1 min 1 s", "1 h 2 min", "1 d 1 h"]);
});

test("what is rare is not told as never", () => {
  assert.deepEqual([0, 0.01, 0.5, 6.24, 12.6].map(often), ["0", "< 0.1", "0.5", "6.2", "13"]);
  assert.deepEqual([0, 0.0001, 0.021, 0.5, 1].map(percent), ["0 %", "< 0.1 %", "2.1 %", "50 %", "100 %"]);
});
