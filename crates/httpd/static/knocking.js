/**
 * Further questions about a URL that gives nothing. Browsers say only "701" for a server that is down, a
 * firewall and a certificate alike; what the same server does on other ways tells them apart.
 */

import { NO_ANSWER, gather } from "./gathering.js";
import { sleep } from "./loop.js";
import { familyOf } from "./turn-uri.js";

/**
 * Asks what helps with a URL of this kind; `pending` is its own gathering. Every answer is one of
 * `relays`, `answers` (with an error code), `connects` (and the connection ends), `refuses`, `silent`.
 * `hear` is told at once if TCP shows that UDP is blocked.
 */
export async function knock({ server, uri }, pending, isFirefox, hear) {
  const early = await Promise.race([pending, sleep(SOON).then(() => null)]);
  if (early && (early.end === "relay" || early.end === "refused" || !uri.isTurn)) return {};
  const base = `${uri.host}:${uri.port}`;
  const questions = {};
  if (uri.transport === "udp" || uri.isSecure) {
    questions.plainTcp = ask({ ...server, url: `turn:${base}?transport=tcp` });
  }
  if (uri.transport === "udp") {
    questions.binding = binding(`stun:${base}`);
    questions.plainTcp.then((answer) => {
      if (answer === "relays" || answer === "answers") hear(BLOCKED);
    });
  }
  // Firefox drops answers that tell it an address it does not believe, but it reports a refusal.
  if (isFirefox && !uri.isSecure) questions.stranger = ask({ ...server, username: STRANGER, credential: "x" });
  const names = Object.keys(questions);
  const answers = await Promise.all(Object.values(questions));
  return Object.fromEntries(names.map((name, index) => [name, answers[index]]));
}

/** One of these other names with which TLS works at the same port, and the relayed address there. */
export async function rightName({ server, uri }, names) {
  const others = names.filter((name) => name !== uri.host);
  // A certificate is rather for a name than for an address.
  others.sort((one, other) => Number(familyOf(one) !== null) - Number(familyOf(other) !== null));
  const tries = others.slice(0, NAMES).map(async (name) => {
    const gathered = await gather([{ ...server, url: `turns:${name}:${uri.port}` }], PATIENT);
    return { name, relayed: relayedOf(gathered) };
  });
  return (await Promise.all(tries)).find(({ relayed }) => relayed !== null) ?? null;
}

/** The relayed addresses that a host gives over TCP, to compare servers by. */
export async function relayedOverTcp({ server, uri }, ports) {
  const tries = [...new Set(ports)].slice(0, NAMES).map((port) =>
    gather([{ ...server, url: `turn:${uri.host}:${port}?transport=tcp` }], PATIENT));
  return (await Promise.all(tries)).map(relayedOf).filter((relayed) => relayed !== null);
}

/** The first relayed address, if there is one. */
export function relayedOf(gathered) {
  return gathered.candidates.find(({ type }) => type === "relay")?.address ?? null;
}

async function ask(server) {
  return classify(await gather([server], PATIENT));
}

async function binding(url) {
  const gathered = await gather([{ url }], { wants: "srflx", patience: PATIENT.patience });
  return gathered.end === "mapped" ? "answers" : "silent";
}

function classify({ end, errors }) {
  if (end === "relay") return "relays";
  if (errors.some(({ code }) => code !== NO_ANSWER)) return "answers";
  if (end === "timeout" || errors.length === 0) return "silent";
  if (errors.some(({ hasConnected }) => hasConnected)) return "connects";
  // A host that is not there is reported, too, but later.
  return errors.some(({ ms }) => ms < QUICK) ? "refuses" : "silent";
}

const BLOCKED =
  "The server answers over TCP, and not over UDP: UDP seems to be blocked. Waiting a little longer …";

const PATIENT = { wants: "relay", patience: 3000 };
const QUICK = 1500;
/** By then most servers have answered. */
export const SOON = 1000;
const NAMES = 3;
const STRANGER = "hairpin-test-page";
