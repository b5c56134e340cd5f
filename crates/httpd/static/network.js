/** The kind of network, as far as a page can tell: the words are those of `hairpin probe`. */

import { familyOf, kindOf } from "./addresses.js";
import { gather } from "./gathering.js";

/** Asks the servers that answer over UDP from one socket, and concludes. `more` are further STUN URLs. */
export async function askNetwork(patients, more) {
  const answering = patients.filter(({ uri, gathered }) => uri.transport === "udp" && ANSWERS.includes(gathered.end));
  const urls = [...new Set([...answering.map(({ uri }) => `stun:${uri.host}:${uri.port}`), ...more])];
  const joint = urls.length === 0
    ? null
    : await gather(urls.slice(0, MOST).map((url) => ({ url })), { wants: "none", patience: PATIENCE });
  return concludeNetwork({ patients, urls, joint });
}

/**
 * The conclusion. `verdict` is a name of `hairpin probe`, `sentences` say what it is drawn from.
 */
export function concludeNetwork({ patients, urls, joint }) {
  const all = [...patients.map(({ gathered }) => gathered), joint].filter(Boolean).flatMap(({ candidates }) => candidates);
  const mapped = all.filter(({ type }) => type === "srflx").map(({ address }) => address);
  const isOpen = (transport) => patients.some(({ uri, gathered, knocks }) =>
    uri.transport === transport && (ANSWERS.includes(gathered.end) || knocks.stranger === "answers"));
  const isUdpOpen = mapped.length > 0 || isOpen("udp") || patients.some(({ knocks }) => knocks.binding === "answers");
  const isTcpOpen = isOpen("tcp") || patients.some(({ knocks }) => ["relays", "answers"].includes(knocks.plainTcp));
  const network = { ...mappingOf(joint, urls), together: joint?.candidates ?? [], isUdpOpen, isTcpOpen, mapped: [...new Set(mapped)], sentences: [] };
  network.verdict = verdictOf(network, patients.some(({ uri }) => uri.transport === "udp"));
  network.sentences = sentencesOf(network, all);
  return network;
}

/** Whether one mapping serves all destinations, by the ports that several servers saw. RFC 4787 §4.1. */
function mappingOf(joint, urls) {
  const seen = joint?.candidates.filter(({ type, protocol }) => type === "srflx" && protocol === "udp") ?? [];
  const hosts = joint?.candidates.filter(({ type, protocol }) => type === "host" && protocol === "udp") ?? [];
  if (seen.length === 0) return { mapping: null, keepsPorts: null };
  const keepsPorts = seen.every(({ port }) => hosts.some((host) => host.port === port));
  const destinations = new Set(urls.map((url) => url.replace(/^stun:|:\d+$/g, "")));
  const groups = Object.values(groupBy(seen, ({ address, foundation }) => `${familyOf(address)} ${socketOf(foundation)}`));
  const ports = groups.map((group) => new Set(group.map(({ port }) => port)).size);
  const most = Math.max(...ports);
  // Where the sockets cannot be told apart there may be a port for each of them.
  const sockets = seen.some(({ foundation }) => socketOf(foundation) !== "") ? 1 : hosts.length;
  let mapping = null;
  if (most > Math.max(sockets, 1)) mapping = "destination-dependent";
  else if (most === 1 && destinations.size > 1) mapping = "endpoint-independent";
  return { mapping, keepsPorts };
}

/** Chromium's foundations are long, and the same for the candidates of one socket; Firefox's tell nothing. */
function socketOf(foundation) {
  return foundation.length > 4 ? foundation : "";
}

function groupBy(items, keyOf) {
  const groups = {};
  for (const item of items) (groups[keyOf(item)] ??= []).push(item);
  return groups;
}

function verdictOf({ mapping, isUdpOpen, isTcpOpen }, wasUdpAsked) {
  if (isUdpOpen) {
    if (mapping === "destination-dependent") return "needs-turn";
    return mapping === "endpoint-independent" ? "mostly-direct" : "undecided";
  }
  if (!wasUdpAsked) return "undecided";
  return isTcpOpen ? "needs-turn-over-tcp" : "blocked";
}

function sentencesOf({ verdict, mapping, keepsPorts, mapped, isUdpOpen }, candidates) {
  const sentences = [HEADLINES[verdict]];
  const families = [...new Set(mapped.map(familyOf))].sort();
  if (families.length > 0) sentences.push(`Servers see this browser over ${families.join(" and ")}.`);
  if (mapping === "endpoint-independent") {
    sentences.push("Several servers see the same port: one mapping serves all destinations (a cone NAT, or none).");
  }
  if (mapping === "destination-dependent") {
    sentences.push("Each server sees another port (a symmetric NAT): a peer cannot know where to answer.");
  }
  if (verdict === "needs-turn-over-tcp") sentences.push("UDP does not pass, TCP does: a firewall.");
  if (isUdpOpen && mapping === null) {
    sentences.push("One server alone does not show what kind of NAT there is; name a STUN server at another address under “More”.");
  }
  if (keepsPorts) sentences.push("The port that servers see is the browser's own: there is no NAT, or one that keeps ports.");
  const kinds = new Set(candidates.filter(({ type }) => type === "host" || type === "srflx").map(({ address }) => kindOf(address)));
  if (kinds.has("carrier")) {
    sentences.push("An address from 100.64.0.0/10 shows: the provider shares one public address among its customers (CGNAT).");
  }
  if (kinds.has("hidden")) {
    sentences.push("The browser hides its own addresses (names that end in .local), as it does for pages without a camera's permission.");
  }
  return sentences;
}

/** The names and the words are those of `hairpin probe`; a test of it compares. A page cannot find `direct`. */
const HEADLINES = {
  "mostly-direct": "Direct calls work with most peers.",
  "undecided": "Whether direct calls work cannot be told from this.",
  "needs-turn": "Calls need a TURN server.",
  "needs-turn-over-tcp": "Calls need a TURN server over TCP or TLS.",
  "blocked": "No server was reached.",
};

/** Ends of a gathering that show an answer. */
const ANSWERS = ["relay", "mapped", "refused"];
const MOST = 4;
const PATIENCE = 2500;
