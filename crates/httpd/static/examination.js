/** The whole test: every URL by itself, then loops through those that relay, and the network. */

import { familyOf } from "./addresses.js";
import { gather } from "./gathering.js";
import { judge, judgeList } from "./judging.js";
import { SOON, knock, relayedOf, relayedOverTcp, rightName } from "./knocking.js";
import { Loop, reachOutside } from "./loop.js";
import { askNetwork } from "./network.js";
import { readUri, refusalOfPort } from "./turn-uri.js";

/**
 * Examines servers. `progress` hears a sentence for each step, `heard` a sentence about a patient whose
 * outcome takes longer than a second, and `settled` each patient whose findings are known, as early as
 * they are.
 *
 * @param {{ url: string, username?: string, credential?: string }[]} servers
 */
export async function examine(servers, { more = [], progress, heard, settled }) {
  const isFirefox = navigator.userAgent.includes("Firefox/");
  const patients = servers.map((server, index) => patientOf(server, index, isFirefox));
  const sound = patients.filter(({ refusal }) => !refusal);
  const update = (patient) => {
    patient.findings = judge(patient, { isFirefox, now: Date.now() });
    settled(patient);
  };
  patients.filter(({ refusal }) => refusal).forEach(update);
  progress(`Asking ${counted(sound.length, "URL")}, each by itself`);
  await Promise.all(sound.map(async (patient) => {
    const pending = gather([patient.server], {
      wants: patient.uri.isTurn ? "relay" : "srflx",
      patience: patient.uri.transport === "udp" ? PATIENCE_UDP : PATIENCE_STREAM,
    });
    const hear = (sentence) => { if (patient.gathered === null) heard(patient, sentence); };
    const datagrams = patient.uri.isTurn ? "udp" : "binding";
    setTimeout(hear, SOON, SLOW[patient.uri.transport === "udp" ? datagrams : "stream"]);
    const knocking = knock(patient, pending, isFirefox, hear);
    patient.gathered = await pending;
    if (canRelay(patient)) heard(patient, `A relayed address came after ${patient.gathered.ms} ms. Sending data through it …`);
    // A clear outcome is shown at once.
    if (patient.gathered.end === "refused") update(patient);
    patient.knocks = await knocking;
    if (!canRelay(patient)) update(patient);
  }));
  await nameCertificates(sound, update);
  const network = askNetwork(sound, more);
  const relaying = sound.filter(canRelay);
  for (let at = 0; at < relaying.length; at += AT_ONCE) {
    await send(relaying.slice(at, at + AT_ONCE), sound, { progress, update });
  }
  return { patients, list: judgeList(patients), network: await network, isFirefox };
}

function patientOf(server, index, isFirefox) {
  const uri = readUri(server.url);
  const patient = { index, server, uri, gathered: null, knocks: {}, findings: [], refusal: null };
  const isAddress = uri.isSecure && uri.family !== null;
  if (uri.problem) patient.refusal = { code: "B001", sentence: uri.problem };
  else if (refusalOfPort(uri, isFirefox)) patient.refusal = { code: "B002", sentence: refusalOfPort(uri, isFirefox) };
  else if (uri.isTurn && !(server.username && server.credential)) {
    patient.refusal = { code: "B004", sentence: "One of the two is missing, or empty." };
  } else if (isFirefox && isAddress) {
    patient.refusal = { code: "B003", sentence: `${uri.host} is an address.` };
  }
  return patient;
}

/**
 * Finds out whether certificates are for another name of the list. Two names are one server if it
 * relays from the same address for both.
 */
async function nameCertificates(patients, update) {
  const failing = patients.filter(({ uri, gathered }) => uri.isSecure && gathered.end === "complete");
  const ports = patients.filter(({ uri }) => uri.isTurn && !uri.isSecure).map(({ uri }) => uri.port);
  await Promise.all(failing.map(async (patient) => {
    // No server is shown the credential of another.
    const { username, credential } = patient.server;
    const alike = patients.filter(({ server }) => server.username === username && server.credential === credential);
    const right = await rightName(patient, [...new Set(alike.map(({ uri }) => uri.host))]);
    if (right) {
      const own = patients.filter(({ uri, gathered }) => uri.host === patient.uri.host && gathered.end === "relay");
      const known = own.map(({ gathered }) => relayedOf(gathered));
      const relayed = known.length > 0 ? known : await relayedOverTcp(patient, ports);
      patient.rightName = { name: right.name, isProven: relayed.includes(right.relayed) };
    }
    update(patient);
  }));
}

/**
 * The way from the relays to this browser as a peer, then loops and their round trips, then one
 * throughput after the other. A user may have few allocations at a time: here two for each URL at most.
 */
async function send(patients, all, { progress, update }) {
  progress("Looking whether the relay reaches this browser as a peer");
  await Promise.all(patients.map(async (patient) => {
    patient.outside = await reachOutside(patient.server, stunFor(patient, all), PATIENCE_OUTSIDE);
  }));
  progress("Sending through the relay");
  await Promise.all(patients.map(async (patient) => {
    patient.loop = await Loop.open(patient.server, PATIENCE_LOOP);
    if (patient.loop.connectedMs !== null) patient.tally = await patient.loop.ping();
    update(patient);
  }));
  for (const patient of patients.filter(({ tally }) => tally)) {
    progress(`Measuring the throughput of ${patient.server.url}`);
    patient.throughput = await patient.loop.flood();
    patient.loop.close();
    update(patient);
  }
}

/**
 * Where the browser may ask over UDP for an address of the relayed one's family: the same host, if it
 * has told one.
 */
function stunFor({ uri, gathered }, patients) {
  const family = familyOf(relayedOf(gathered));
  const hasTold = (other) => other.uri.transport === "udp" && other.gathered.candidates.some(({ type, address }) =>
    type === "srflx" && familyOf(address) === family);
  const told = patients.filter(hasTold);
  const best = told.find((other) => other.uri.host === uri.host) ?? told[0];
  const { host, port } = best?.uri ?? uri;
  return `stun:${host}:${port}`;
}

function canRelay({ uri, gathered }) {
  return uri.isTurn && gathered?.end === "relay";
}

function counted(number, what) {
  return number === 1 ? `1 ${what}` : `${number} ${what}s`;
}

/** Said of a URL that has not answered in a second. */
const SLOW = {
  udp: "No answer over UDP within a second. Asking again, and over TCP as well …",
  binding: "No answer over UDP within a second. Asking again …",
  stream: "No connection within a second. Waiting a little longer …",
};

/** URLs whose relays are used at the same time. */
const AT_ONCE = 4;

// In milliseconds. A request over UDP is then sent for the fifth or sixth time.
const PATIENCE_UDP = 5000;
const PATIENCE_STREAM = 6000;
const PATIENCE_LOOP = 6000;
const PATIENCE_OUTSIDE = 3000;
