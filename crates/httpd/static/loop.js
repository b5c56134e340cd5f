/** Calls of this page to itself: through the relay alone, and from the relay to this browser as a peer. */

import { familyOf } from "./addresses.js";
import { NO_ANSWER, entryOf, plain } from "./gathering.js";

/** A call between two relayed addresses of one server. Close it when it is no longer needed. */
export class Loop {
  /** Connects; if that takes longer than `patience`, only its errors are of use. */
  static async open(server, patience) {
    const begun = performance.now();
    const configuration = { iceServers: [entryOf(server)], iceTransportPolicy: "relay" };
    const [near, far] = [0, 1].map(() => new RTCPeerConnection(configuration));
    const loop = new Loop(near, far);
    const isRelayed = ({ type }) => type === "relay";
    const opened = once(loop.echo, "open");
    const refused = new Promise((resolve) => {
      for (const end of [near, far]) {
        end.onicecandidateerror = ({ errorCode: code, errorText: text }) => {
          if (code === NO_ANSWER) return;
          loop.refusal = { code, text: plain(text), ms: Math.round(performance.now() - begun) };
          resolve(null);
        };
      }
    });
    await introduce(near, far, isRelayed, isRelayed);
    const isOpen = await Promise.race([within(patience, opened), refused]);
    if (isOpen) loop.connectedMs = Math.round(performance.now() - begun);
    else loop.close();
    return loop;
  }

  constructor(near, far) {
    [this.near, this.far] = [near, far];
    [this.connectedMs, this.refusal] = [null, null];
    // Lost messages stay lost, as those of a call do.
    this.echo = near.createDataChannel("echo", { ordered: false, maxRetransmits: 0 });
    this.bulk = near.createDataChannel("bulk");
    this.farBulk = new Promise((resolve) => {
      far.ondatachannel = ({ channel }) => {
        if (channel.label === "bulk") return resolve(channel);
        channel.onmessage = ({ data }) => channel.readyState === "open" && channel.send(data);
      };
    });
  }

  /** Sends small messages, which come back. Takes a second, and longer if some are late or lost. */
  async ping() {
    const [sentAt, roundTrips] = [new Map(), []];
    this.echo.onmessage = ({ data }) => {
      const number = Number(data.split(" ", 1)[0]);
      if (!sentAt.has(number)) return;
      roundTrips.push(performance.now() - sentAt.get(number));
      sentAt.delete(number);
    };
    const end = performance.now() + PINGING;
    let sent = 0;
    for (; sent < PINGS && performance.now() < end; sent += 1) {
      if (this.echo.readyState !== "open") break;
      sentAt.set(sent, performance.now());
      this.echo.send(`${sent} ${PADDING}`);
      await sleep(PERIOD);
    }
    const late = performance.now() + LATE;
    while (roundTrips.length < sent && performance.now() < late) await sleep(10);
    roundTrips.sort((one, other) => one - other);
    const returned = roundTrips.length;
    return { sent, returned, best: roundTrips[0], median: roundTrips[Math.floor(returned / 2)], worst: roundTrips.at(-1) };
  }

  /** Sends as fast as a data channel does; returns bits per second, from the first arrival to the last. */
  async flood() {
    const far = await within(LATE, this.farBulk);
    if (!far || this.bulk.readyState !== "open") return null;
    let [bytes, first, last] = [0, 0, 0];
    far.binaryType = "arraybuffer";
    far.onmessage = ({ data }) => {
      last = performance.now();
      // The first message only starts the clock.
      if (first === 0) first = last;
      else bytes += data.byteLength;
    };
    const chunk = new Uint8Array(CHUNK);
    const latest = performance.now() + LATE;
    const isOver = () => performance.now() > Math.min(latest, first === 0 ? latest : first + FLOODING);
    for (let sent = 0; sent < MOST && !isOver(); ) {
      if (this.bulk.readyState !== "open") return null;
      if (this.bulk.bufferedAmount < HIGH_WATER) {
        this.bulk.send(chunk);
        sent += CHUNK;
      } else {
        await sleep(2);
      }
    }
    return last > first ? (bytes * 8000) / (last - first) : null;
  }

  close() {
    this.near.close();
    this.far.close();
  }
}

/**
 * Sends between the server's relayed address and this browser as a peer without a relay, as most peers
 * are: it shows whether the relay ports are open.
 *
 * The outcome is `open`; `elsewhere` (the relay sends from another address than it says); `in-closed` (nothing comes in at the relayed address); `out-closed` (it comes
 * in, and nothing goes out); `closed` (neither is seen); `refused` (the server does not relay to this
 * browser's address); or `no-address` (this browser has no address to be reached at).
 */
export async function reachOutside(server, stun, patience) {
  const relay = new RTCPeerConnection({ iceServers: [entryOf(server)], iceTransportPolicy: "relay" });
  const peer = new RTCPeerConnection({ iceServers: [{ urls: stun }] });
  try {
    const opened = once(relay.createDataChannel("outside"), "open");
    // A relayed address reaches peers of its own family.
    const seen = {};
    let [relayed, family] = [null, null];
    const isRelayed = ({ type, address, port }) => {
      if (type !== "relay") return false;
      relayed ??= `${address} ${port}`;
      family ??= familyOf(address);
      return true;
    };
    const isOutside = ({ type, protocol, address }) => {
      if (type !== "srflx" || protocol !== "udp") return false;
      seen[familyOf(address)] = address;
      return true;
    };
    await introduce(relay, peer, isRelayed, isOutside);
    const watched = watch(relay, peer, () => family in seen, patience);
    const reached = opened.then(() => reaches(peer, () => relayed));
    const outcome = await Promise.race([reached, watched]);
    return family in seen ? { outcome, seen: seen[family] } : { outcome: "no-address", seen: null };
  } finally {
    relay.close();
    peer.close();
  }
}

/**
 * How a call has come about. It does even if the relayed address leads nowhere: the browser answers to
 * where the relay's packets come from.
 */
async function reaches(peer, relayed) {
  const end = performance.now() + SURE;
  do {
    const stats = await peer.getStats();
    const isThere = (pair) => {
      const { address, port } = stats.get(pair.remoteCandidateId) ?? {};
      return pair.state === "succeeded" && `${address} ${port}` === relayed();
    };
    if ((await pairs(peer)).some(isThere)) return "open";
    await sleep(50);
  } while (performance.now() < end);
  return "elsewhere";
}

/** Looks at the pairs of candidates until they tell why there is no connection, or patience ends. */
async function watch(relay, peer, hasAddress, patience) {
  const end = performance.now() + patience;
  let refusedSince = null;
  while (performance.now() < end) {
    await sleep(200);
    const [near, far] = await Promise.all([pairs(relay), pairs(peer)]);
    // The browser gives up a pair at once if the server refuses the permission, and only then.
    const isTried = hasAddress() && far.some(({ state }) => state === "in-progress");
    const isRefused = isTried && near.every(({ state }) => state === "failed");
    refusedSince = isRefused ? refusedSince ?? performance.now() : null;
    if (refusedSince !== null && performance.now() - refusedSince > SURE) return "refused";
  }
  const [near, far] = await Promise.all([pairs(relay), pairs(peer)]);
  const heard = (reports) => reports.some(({ requestsReceived }) => requestsReceived > 0);
  if (heard(near)) return "out-closed";
  // Firefox counts no requests, but takes a nomination only with one.
  return heard(far) || far.some(({ nominated }) => nominated) ? "in-closed" : "closed";
}

async function pairs(connection) {
  const stats = await connection.getStats();
  return [...stats.values()].filter(({ type }) => type === "candidate-pair");
}

/** Exchanges descriptions and those candidates that pass the filters. */
async function introduce(near, far, nearFilter, farFilter) {
  for (const [from, to, filter] of [[near, far, nearFilter], [far, near, farFilter]]) {
    const waiting = [];
    const add = (candidate) => to.addIceCandidate(candidate).catch(() => {});
    from.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate || !filter(candidate)) return;
      if (to.remoteDescription) add(candidate);
      else waiting.push(candidate);
    };
    to.onsignalingstatechange = () => {
      if (to.remoteDescription) waiting.splice(0).forEach(add);
    };
  }
  await near.setLocalDescription();
  await far.setRemoteDescription(withoutCandidates(near.localDescription));
  await far.setLocalDescription();
  await near.setRemoteDescription(withoutCandidates(far.localDescription));
}

/** The filters decide on every candidate, so none may stand in a description. */
function withoutCandidates({ type, sdp }) {
  return { type, sdp: sdp.replace(/^a=(candidate:.*|end-of-candidates)\r\n/gm, "") };
}

/** The value of a promise; `null` if it takes longer. */
function within(milliseconds, promise) {
  return Promise.race([promise.then((value) => value ?? true), sleep(milliseconds).then(() => null)]);
}

export function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function once(target, event) {
  return new Promise((resolve) => target.addEventListener(event, resolve, { once: true }));
}

// In milliseconds.
const PERIOD = 20;
const PINGING = 1200;
/** Longer than any way there and back. */
const LATE = 2000;
const FLOODING = 1000;
const SURE = 500;

const PINGS = 50;
/** A message is then about as long as one of voice. */
const PADDING = "x".repeat(120);
const CHUNK = 16_384;
const HIGH_WATER = 262_144;
/** In bytes: a test is no load for a server. */
const MOST = 16_777_216;
