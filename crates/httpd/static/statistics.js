// How a connection does: read from getStats, said in words, drawn as a graph.

/** Reads a member's connection once a second. */
export class Statistics {
  #connection = null;
  #before = null;
  #history = [];

  /** The numbers of now, or null if there is no connection. Rates are in bit/s, times in milliseconds. */
  async read(connection) {
    if (connection !== this.#connection) this.#before = null;
    this.#connection = connection;
    if (connection?.connectionState !== "connected") return null;
    const report = [...(await connection.getStats()).values()];
    const now = totals(report);
    const before = this.#before ?? now;
    this.#before = now;
    const seconds = (now.at - before.at) / 1000 || 1;
    const lost = Math.max(0, now.lost - before.lost);
    const came = Math.max(0, now.packets - before.packets);
    const numbers = {
      ...wayOf(report),
      loss: came + lost > 0 ? lost / (came + lost) : 0,
      received: (8 * (now.received - before.received)) / seconds,
      sent: (8 * (now.sent - before.sent)) / seconds,
      frames: now.frames,
      rate: Math.round((now.frames - before.frames) / seconds),
      size: now.size,
    };
    this.#history = [...this.#history, numbers].slice(-LENGTH);
    return numbers;
  }

  /** Draws the last minute. */
  draw(svg) {
    const most = Math.max(64000, ...this.#history.flatMap(({ received, sent }) => [received, sent]));
    for (const what of ["sent", "received"]) {
      const points = this.#history.map((each, index) => {
        const x = 100 - ((this.#history.length - 1 - index) * 100) / (LENGTH - 1);
        return `${x.toFixed(1)},${(29 - (28 * each[what]) / most).toFixed(1)}`;
      });
      svg.querySelector(`.${what}`).setAttribute("points", points.join(" "));
    }
  }
}

/** A graph without points yet. */
export function graph() {
  const make = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const svg = make("svg", { class: "graph", viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const what of ["sent", "received"]) svg.append(make("polyline", { class: what, "vector-effect": "non-scaling-stroke" }));
  return svg;
}

function totals(report) {
  const sum = { at: performance.now(), lost: 0, packets: 0, received: 0, sent: 0, frames: 0, size: "" };
  for (const each of report) {
    if (each.type === "inbound-rtp") {
      sum.lost += each.packetsLost ?? 0;
      sum.packets += each.packetsReceived ?? 0;
      sum.received += each.bytesReceived ?? 0;
      sum.frames += each.framesDecoded ?? 0;
      if (each.frameWidth) sum.size = `${each.frameWidth} × ${each.frameHeight}`;
    }
    if (each.type === "outbound-rtp") sum.sent += each.bytesSent ?? 0;
  }
  return sum;
}

/** The candidate pair in use: in words, and its round trip. */
function wayOf(report) {
  const byId = new Map(report.map((each) => [each.id, each]));
  const chosen = report.find((each) => each.type === "transport" && each.selectedCandidatePairId);
  const pair = chosen
    ? byId.get(chosen.selectedCandidatePairId)
    : report.find((each) => each.type === "candidate-pair" && each.selected);
  const [local, remote] = [byId.get(pair?.localCandidateId), byId.get(pair?.remoteCandidateId)];
  const heard = report.find((each) => each.type === "remote-inbound-rtp" && each.roundTripTime);
  const trip = pair?.currentRoundTripTime ?? heard?.roundTripTime;
  return { way: wordsOf(local, remote), roundTrip: trip === undefined ? null : trip * 1000 };
}

function wordsOf(local, remote) {
  if (!local || !remote) return "unknown";
  if (local.candidateType === "relay") return `through the relay, ${(local.relayProtocol ?? "udp").toUpperCase()}`;
  const over = local.protocol === "tcp" ? ", TCP" : "";
  if (remote.candidateType === "relay") return `through the other end's relay${over}`;
  const isNear = local.candidateType === "host" && remote.candidateType === "host";
  return `direct${isNear ? ", same network" : ""}${over}`;
}

/** A rate as people read it. */
export function rateInWords(bits) {
  return bits < 1e6 ? `${Math.round(bits / 1000)} kbit/s` : `${(bits / 1e6).toFixed(1)} Mbit/s`;
}

/** "good", "poor" or "bad". */
export function grade({ loss, roundTrip }) {
  if (loss > 0.08 || roundTrip > 500) return "bad";
  return loss > 0.02 || roundTrip > 250 ? "poor" : "good";
}

/** How many seconds a graph shows. */
const LENGTH = 60;
