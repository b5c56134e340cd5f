/** One sentence that says whether calls work from here, and one for the reason or the remedy. */

import { FINDINGS, remedyOf } from "./findings.js";
import { transportName } from "./turn-uri.js";

/**
 * @returns {{ level: "good" | "poor" | "bad", sentence: string, why: string, code: string | null }}
 */
export function verdictOf({ patients, network, isFirefox }) {
  const turns = patients.filter(({ uri, refusal }) => uri.isTurn || refusal);
  if (turns.length === 0) return stunOnly(patients, network);
  const working = turns.filter(({ tally }) => tally && tally.returned > 0);
  const faults = turns.flatMap(({ findings }) => findings).filter(isError);
  const worst = faults.sort((one, other) => weight(one) - weight(other))[0] ?? null;
  if (working.length === 0) return none(worst, network);
  const ways = [...new Set(working.map(({ uri }) => transportName(uri)))].join(", ").replace(/, (?=[^,]*$)/, " and ");
  // One URL that a browser does not take, and it takes none.
  const fatal = faults.find(({ code }) => code === "B001" || code === "B004" || (code === "B002" && isFirefox));
  if (fatal) return said("bad", "Calls fail: the browser does not take this list of servers as it is.", fatal);
  const serious = faults.find(({ code }) => EVEN_SO[code]);
  if (serious) return said("bad", EVEN_SO[serious.code], serious);
  const isUdpBlocked = network.verdict === "needs-turn-over-tcp";
  if (isUdpBlocked) {
    return said("poor", `Calls work from here, but only through the relay over ${ways}: UDP is blocked.`, worst);
  }
  if (worst) {
    const failed = turns.length - working.length;
    return said("poor", `Calls work from here over ${ways}; ${failed} of ${turns.length} URLs ${failed === 1 ? "does" : "do"} not.`, worst);
  }
  const warning = turns.flatMap(({ findings }) => findings).find(({ code }) => FINDINGS[code].severity === "warning");
  if (warning) return said("poor", `Calls work from here over ${ways}, but not well.`, warning);
  const chances = turns.some(({ outside }) => outside?.outcome === "open") ? ", whatever network the other side is in" : "";
  return { level: "good", sentence: `Calls work from here over ${ways}${chances}.`, why: fastest(working), code: null };
}

function stunOnly(patients, network) {
  const isOk = patients.some(({ findings }) => findings.some(({ code }) => code === "D020"));
  if (!isOk) return none(patients.flatMap(({ findings }) => findings).find(isError) ?? null, network);
  const sentence = "There is no TURN server in the list: only direct calls can work from here.";
  return { level: "poor", sentence, why: network.sentences[0], code: null };
}

function none(worst, network) {
  if (worst === null) return { level: "bad", sentence: "Nothing could be tested.", why: "", code: null };
  const isSilent = worst.code === "D002" && /UDP is blocked/.test(worst.sentence);
  const sentence = isSilent
    ? "The relay does not work from here: UDP is blocked, and no URL for TCP or TLS is in the list."
    : NO_CALLS[worst.code] ?? `The relay does not work from here: ${lowered(FINDINGS[worst.code].meaning)}`;
  const direct = network.verdict === "mostly-direct" ? " Direct calls may work." : "";
  return said("bad", sentence, worst, direct);
}

function said(level, sentence, finding, more = "") {
  if (finding === null) return { level, sentence, why: "", code: null };
  const remedy = remedyOf(finding.code);
  return { level, sentence, why: `${finding.sentence} ${remedy}${more}`.trim(), code: finding.code };
}

function fastest(working) {
  // A call takes UDP where it can, whatever a message takes over a connection.
  const isStream = ({ uri }) => Number(transportName(uri) !== "UDP");
  const [best] = [...working].sort((one, other) => isStream(one) - isStream(other) || one.tally.median - other.tally.median);
  return `A message goes through the relay and back in ${best.tally.median.toFixed(0)} ms over ${transportName(best.uri)}.`;
}

function isError({ code }) {
  return FINDINGS[code].severity === "error";
}

/** Causes before their consequences. */
function weight({ code }) {
  const place = ORDER.indexOf(code);
  return place < 0 ? ORDER.length : place;
}

function lowered(text) {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

const ORDER = [
  "B001", "B004", "D064", "D032", "D030", "D035", "D037", "D036", "D040", "D043", "D056", "D042",
  "D013", "D010", "D017", "B002", "B003", "D001", "D058", "D004", "D009", "D003", "D002",
];

const NO_CALLS = {
  B001: "Calls fail: browsers do not take this configuration.",
  B004: "Calls fail: browsers do not take this configuration without user name and credential.",
  D001: "The relay is not found: its name leads to no address.",
  D002: "The relay does not answer: it is down, or a firewall is in the way.",
  D003: "The relay does not answer: it is down, or a firewall is in the way.",
  D013: "The relay cannot be used over TLS: its certificate is for another name.",
  D030: "The relay refuses the user name and credential.",
  D032: "The relay refuses the credential, which has expired.",
  D064: "The relay does not see where its clients are: a proxy or a bridge stands in front of it.",
};

/** Faults that break calls although the loop works. */
const EVEN_SO = {
  D040: "Calls will fail: the relay hands out a private address.",
  D043: "Many calls will fail: the relay works, but its ports are closed to peers outside.",
  D056: "Many calls will fail: the relay's packets do not reach peers outside.",
  D064: "The relay works, but does not see where its clients are: a proxy or a bridge stands in front of it.",
};
