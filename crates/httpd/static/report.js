/** The report as plain text, to be sent to whoever runs the server. Credentials are never in it. */

import { FINDINGS } from "./findings.js";
import { plain } from "./gathering.js";

/** @param {boolean} hasAddresses whether addresses, host names and user names stand in it */
export function reportOf({ patients, list, network, isFirefox }, verdict, { hasAddresses, when, agent }) {
  const lines = [
    "Does TURN work from here?",
    `${when.toISOString().slice(0, 16).replace("T", " ")} UTC, ${browserOf(agent, isFirefox)}`,
    "",
    verdict.sentence,
    ...(verdict.why ? [verdict.why] : []),
  ];
  patients.forEach(({ server, gathered, findings }, index) => {
    lines.push("", `${index + 1}. ${plain(server.url)}`);
    for (const { code, sentence } of findings) lines.push(...findingLines(code, sentence));
    lines.push(...(gathered?.candidates ?? []).map(candidateLine));
    for (const { code, text, ms } of gathered?.errors ?? []) {
      lines.push(`   error after ${ms} ms: ${code}${text ? ` ${text}` : ""}`);
    }
  });
  if (list.length > 0) lines.push("", "The list of URLs", ...list.flatMap(({ code, sentence }) => findingLines(code, sentence)));
  lines.push("", `Network: ${network.verdict}`, ...network.sentences.map((sentence) => `   ${sentence}`));
  if (network.together.length > 0) lines.push("   All servers asked from one place:", ...network.together.map(candidateLine));
  lines.push("");
  const text = lines.join("\n");
  return hasAddresses ? text : masked(text, patients);
}

function candidateLine({ type, protocol, address, port, ms }) {
  return `   candidate after ${ms} ms: ${type} ${protocol} ${address}:${port}`;
}

function findingLines(code, sentence) {
  const { severity, meaning } = FINDINGS[code];
  return [`   ${severity.padEnd(10)} ${code}  ${meaning}`, `                    ${sentence}`];
}

/** Puts numbers in the place of hosts, and of everything that looks like an address. */
function masked(text, patients) {
  const names = new Map();
  const stand = (kind, what) => {
    if (!names.has(what)) names.set(what, `[${kind} ${[...names.values()].filter((name) => name.startsWith(`[${kind} `)).length + 1}]`);
    return names.get(what);
  };
  const hosts = [...new Set(patients.map(({ uri, server }) => uri.host ?? server.url))].sort((one, other) => other.length - one.length);
  let masked = text;
  for (const host of hosts) {
    const whole = new RegExp(`(?<![\\w.-])${host.replace(/[^\w]/g, "\\$&")}(?![\\w-])`, "g");
    masked = masked.replace(whole, stand("server", host));
  }
  return masked
    .replace(/[\w-]+\.local\b/g, (name) => stand("host", name))
    .replace(/\b\d{1,3}(?:\.\d{1,3}){3}\b/g, (address) => stand("address", address))
    .replace(/(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])/gi, (address) => stand("address", address));
}

function browserOf(agent, isFirefox) {
  const version = (isFirefox ? /Firefox\/([\d.]+)/ : /(?:HeadlessChrome|Chrome|Version)\/([\d.]+)/).exec(agent)?.[1];
  if (!version) return agent;
  const name = isFirefox ? "Firefox" : agent.includes("Chrome") ? "Chromium" : "Safari";
  return `${name} ${version.split(".")[0]}`;
}
