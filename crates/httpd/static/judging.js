/** From what was seen to findings: each a code of the doctor's (or of browsers alone) and a sentence. */

import { isPublic, kindOf } from "./addresses.js";
import { FINDINGS } from "./findings.js";
import { NO_ANSWER } from "./gathering.js";
import { transportName } from "./turn-uri.js";

/**
 * The findings about one URL, the worst first.
 *
 * @param patient what was seen, see `examination.js`
 * @param {{ isFirefox: boolean, now: number }} circumstances `now` in milliseconds since 1970
 * @returns {{ code: string, sentence: string }[]}
 */
export function judge(patient, circumstances) {
  if (patient.refusal) return [patient.refusal];
  const { gathered, uri } = patient;
  if (gathered === null) return [];
  if (gathered.end === "thrown") return [found("B001", `The browser says: ${gathered.thrown}`)];
  const findings = [...hidden(patient)];
  if (!uri.isTurn) findings.push(...judgeStun(patient, circumstances));
  else if (gathered.end === "relay") findings.push(...judgeRelay(patient, circumstances.now));
  // The host that hides the clients is also the reason why there is no relayed address.
  else if (findings.length === 0) findings.push(failure(patient, circumstances));
  const isWrong = ({ code }) => ["error", "warning"].includes(FINDINGS[code].severity);
  if (patient.tally && !findings.some(isWrong)) {
    const isOpen = patient.outside?.outcome === "open";
    const more = isOpen ? "to peers outside as well" : "peers outside were not tested";
    findings.push(found("D059", `It relays over ${transportName(uri)}; ${more}.`));
  }
  return findings.sort((one, other) => rank(one) - rank(other));
}

/** Findings about the list of URLs as a whole. */
export function judgeList(patients) {
  const findings = [];
  const uris = patients.map(({ uri }) => uri).filter(({ problem }) => !problem);
  if (patients.length > 4) findings.push(found("B005", `There are ${patients.length}.`));
  const turns = uris.filter(({ isTurn }) => isTurn);
  const places = turns.map(({ host, port, transport, isSecure }) => `${host}:${port} ${transport} ${isSecure}`);
  const twice = places.find((place, index) => places.indexOf(place) !== index);
  if (twice) findings.push(found("B006", `It is ${twice.split(" ")[0]}.`));
  if (turns.length > 0 && turns.every(({ transport }) => transport === "udp")) {
    findings.push(found("D083", "No URL is for TCP or TLS: where UDP is blocked, calls fail."));
  }
  return findings;
}

function judgeStun({ gathered, uri }, { isFirefox }) {
  if (gathered.end === "mapped") return [found("D020", `It answered after ${first(gathered, "srflx").ms} ms.`)];
  // Without an error the answer was the browser's own address, which is no candidate of its own.
  if (gathered.end === "complete" && gathered.errors.length === 0) return [found("D020", "It sees the browser's own address.")];
  return [unanswered(uri, gathered, {}, isFirefox)];
}

function judgeRelay({ server, uri, gathered, loop, tally, throughput, outside }, now) {
  const findings = [];
  const relay = first(gathered, "relay");
  const mapped = mappedOf(gathered);
  if (uri.isSecure) findings.push(found("D016", "The browser accepted it."));
  if (!isPublic(relay.address) && isPublic(mapped ?? addressIn(uri) ?? relay.address)) {
    findings.push(found("D040", `It is ${relay.address}, and the server sees this browser at ${mapped ?? "an address that it does not show"}.`));
  }
  if (loop?.refusal) {
    const refusal = refused(loop.refusal, server, now);
    findings.push({ ...refusal, sentence: `Of several allocations not all were granted. ${refusal.sentence}` });
  } else if (loop && !tally && loop.connectedMs === null) {
    findings.push(found("D042", "The two ends of a loop found no way to each other."));
  }
  if (tally) findings.push(...judgeTally(tally, loop.connectedMs, throughput));
  if (outside) findings.push(judgeOutside(outside, uri));
  return findings;
}

function judgeTally({ sent, returned, best, median, worst }, loopMs, throughput) {
  if (returned === 0) return [found("D042", `Of ${sent} messages through the relay none came back.`)];
  const [fast, usual, slow] = [best, median, worst].map((ms) => ms.toFixed(1));
  const rate = throughput ? ` A data channel moves ${bits(throughput)} through it.` : "";
  const findings = [found("D045", `Connected in ${loopMs} ms; ${returned} of ${sent} messages came back, in ${usual} ms (${fast} to ${slow}).${rate}`)];
  const lost = sent - returned;
  // A busy browser loses one or two by itself.
  if (lost > 2) findings.push(found("D046", `${lost} of ${sent} messages were lost.`));
  return findings;
}

function judgeOutside({ outcome, seen }, uri) {
  const over = transportName(uri);
  switch (outcome) {
    case "open": return found("D055", `A call between the relay and this browser, at ${seen}, connects.`);
    case "elsewhere": return found("D043", `The relay's packets come from another address than the relayed one, to which nothing that this browser sends from ${seen} gets through.`);
    case "in-closed": return found("D043", `What this browser sends from ${seen} to the relayed address does not arrive; what the relay sends does.`);
    case "closed": return isPublic(seen)
      ? found("D043", `Nothing passes between the relayed address and this browser at ${seen}.`)
      : found("D044", `This browser is at ${seen} for the server, which peers outside are not.`);
    case "out-closed": return found("D056", `What this browser sends from ${seen} arrives at the relayed address; nothing comes back.`);
    case "refused": return found("D044", `The server does not relay to ${seen}, where it sees this browser.`);
    case "no-address": return found("D044", `Over UDP the server tells this browser no address${over === "UDP" ? "" : ` (${over} alone got through)`}.`);
    default: throw new Error(`no outcome: ${outcome}`);
  }
}

/** A mapped address that cannot be this browser's. */
function hidden({ uri, gathered, knocks }) {
  const mapped = mappedOf(gathered);
  const kind = mapped === null ? "public" : kindOf(mapped);
  const host = addressIn(uri);
  const isOwnHost = host !== null && kindOf(host) === "loopback";
  const isNever = ["loopback", "unspecified", "link-local"].includes(kind) && !isOwnHost;
  const isBetween = kind === "private" && ((host !== null && isPublic(host)) || DOCKER.test(mapped));
  if (isNever || isBetween) return [found("D064", `The server sees this browser at ${mapped}.`)];
  // It answers strangers; what it tells those that it knows is dropped by Firefox.
  if (knocks.stranger === "answers" && gathered.end !== "relay" && gathered.end !== "refused" && knocks.binding !== "answers") {
    return [found("D064", "The server answers strangers, but this browser drops what it says of the browser's own address: most likely the address is a loopback one.")];
  }
  return [];
}

/** The finding about a TURN URL that gives no relayed address. */
function failure({ server, uri, gathered, knocks, rightName }, { isFirefox, now }) {
  const refusal = gathered.errors.find(({ code }) => code !== NO_ANSWER);
  if (refusal) return refused(refusal, server, now);
  if (uri.isSecure && gathered.end === "complete") return noTls(uri, gathered, knocks, rightName, isFirefox);
  return unanswered(uri, gathered, knocks, isFirefox);
}

function refused({ code, text, ms }, { username }, now) {
  const said = `The server answered ${code}${text ? ` (${text.replace(/\.$/, "")})` : ""} after ${ms} ms`;
  if (code === 401) {
    const left = timeLeft(username, now);
    if (left === null) return found("D030", `${said}. The user name has no expiry, so name, password or realm is wrong.`);
    if (left <= 0) return found("D032", `${said}. The user name expired ${duration(-left)} ago by this computer's clock.`);
    return found("D030", `${said}. By this computer's clock the user name is good for ${duration(left)} more: the secret that the credential was made with is not the server's, or the server's clock is ahead.`);
  }
  if (code === 438) return found("D035", `${said}.`);
  if (code === 300) return found("D037", `${said}.`);
  return found("D036", `${said}: ${CODES[code] ?? "see the server's log"}.`);
}

function noTls(uri, gathered, knocks, rightName, isFirefox) {
  const place = `${uri.host}:${uri.port}`;
  if (rightName?.isProven) {
    return found("D013", `TLS fails with ${uri.host}, and works with ${rightName.name} on the same server.`);
  }
  const other = rightName ? ` TLS works with ${rightName.name}: if both names are of one server, the certificate is for that name only.` : "";
  const ask = `Open https://${place}/ in a new tab: the browser says there what is wrong with the certificate.`;
  const isTaken = ["relays", "answers", "connects"].includes(knocks.plainTcp);
  if (!isTaken && !isFirefox && knocks.plainTcp === "refuses") {
    return found("D003", `${place} refused the connection after ${last(gathered.errors)?.ms ?? gathered.ms} ms, or the name leads nowhere.`);
  }
  if (isTaken && knocks.plainTcp !== "connects" && uri.port !== 443 && uri.port !== 5349) {
    return found("D010", `${place} answers TURN over TCP without TLS.`);
  }
  const doubt = isTaken ? "" : " It is also possible that nothing listens there: this browser does not tell.";
  return found("D017", `${place} ends the TLS connection. The certificate is for another name, expired, self-signed, or lacks its chain; a page is not told which.${other} ${ask}${doubt}`);
}

/** The finding about a server that sends no code. */
function unanswered(uri, gathered, knocks, isFirefox) {
  const place = `${uri.host}:${uri.port}`;
  const error = last(gathered.errors);
  const isQuick = gathered.end === "complete" && gathered.ms < QUICK;
  if (/lookup/i.test(error?.text ?? "")) return found("D001", `The browser found no address for ${uri.host}.`);
  if (uri.transport === "tcp") return noStream(place, error, gathered, isFirefox);
  if (first(gathered, "srflx") || knocks.binding === "answers") {
    return found("D058", `${place} answers a Binding and no Allocate.`);
  }
  if (isQuick) {
    return uri.family === null
      ? found("D001", `The browser gave up after ${gathered.ms} ms: it found no address for ${uri.host}.`)
      : found("D009", `The browser gave up after ${gathered.ms} ms.`);
  }
  return found("D002", `No answer from ${place} within ${seconds(gathered.ms)}. ${BESIDE[knocks.plainTcp] ?? ""}`.trim());
}

function noStream(place, error, gathered, isFirefox) {
  if (gathered.end === "timeout") return found("D003", `No connection to ${place}, or no answer on it, within ${seconds(gathered.ms)}: a firewall drops it, or the host is off.`);
  if (error?.hasConnected && !isFirefox) return found("D004", `${place} took the connection and ended it after ${error.ms} ms.`);
  const ms = error?.ms ?? gathered.ms;
  if (ms > QUICK) return found("D003", `The connection to ${place} failed after ${ms} ms.`);
  return found("D003", `${place} refused the connection after ${ms} ms, or the name leads nowhere.`);
}

/** Seconds until a time-limited user name expires; `null` for other names. As the doctor reads them. */
export function timeLeft(username, now) {
  const digits = /^\d+(?=:|$)/.exec(username ?? "")?.[0];
  const expiry = Number(digits);
  if (!digits || !Number.isSafeInteger(expiry) || expiry <= 1_000_000_000) return null;
  return expiry - Math.floor(now / 1000);
}

/** The address that the server sees, if the browser shows it: Firefox repeats the relayed one instead. */
function mappedOf(gathered) {
  const reflexive = first(gathered, "srflx");
  if (reflexive) return reflexive.address;
  const relay = first(gathered, "relay");
  const related = relay?.related;
  return related && related.address !== "0.0.0.0" && related.address !== relay.address ? related.address : null;
}

/** The address of a server that is named by one. */
function addressIn({ host, family }) {
  return family === null ? null : host.replace(/[[\]]/g, "");
}

function first(gathered, type) {
  return gathered.candidates.find((candidate) => candidate.type === type);
}

function last(items) {
  return items[items.length - 1];
}

function found(code, sentence) {
  return { code, sentence };
}

function rank({ code }) {
  return SEVERITIES.indexOf(FINDINGS[code].severity);
}

export function bits(perSecond) {
  return perSecond >= 1e6 ? `${(perSecond / 1e6).toFixed(1)} Mbit/s` : `${Math.round(perSecond / 1e3)} kbit/s`;
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(0)} seconds`;
}

export function duration(time) {
  const units = [[86_400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const [size, name] = units.find(([each]) => time >= 2 * each) ?? units.at(-1);
  const number = Math.floor(time / size);
  return number === 1 ? `1 ${name}` : `${number} ${name}s`;
}

/** The worst first. */
const SEVERITIES = ["error", "warning", "not tested", "note", "ok"];

/** What a server that is silent over UDP does over TCP. */
const BESIDE = {
  relays: "Over TCP the same server works: UDP is blocked between this browser and the server.",
  answers: "Over TCP the same server answers: UDP is blocked between this browser and the server.",
  connects: "Over TCP something else listens on that port.",
  refuses: "Over TCP the connection is refused at once: no server listens there, it is down or has another port.",
  silent: "Over TCP there is no answer either: the host is off, or a firewall drops everything.",
};

/** RFC 8656 §19. */
const CODES = {
  400: "it cannot read the request",
  403: "it forbids this user to relay",
  437: "it takes this for an old allocation; try again",
  440: "it relays no addresses of this family",
  441: "the allocation belongs to another user",
  442: "it does not relay UDP",
  486: "the user has as many allocations as are allowed",
  500: "it has failed; try again",
  508: "it has no free relay port, or it is about to end",
};

/** The net that Docker gives to its first bridge. */
const DOCKER = /^172\.1[78]\.0\.1$/;
/** In milliseconds: silence takes longer in every browser. */
const QUICK = 1500;
