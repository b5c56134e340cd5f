/** What one URL by itself gives: which candidates, after how long, and which errors. */

/**
 * Gathers from one server until it is clear what comes of it, or patience ends.
 *
 * `end` says what made it clear: `relay` (a relayed address came), `mapped` (a STUN server answered),
 * `refused` (an error code of the server), `complete` (the browser has given up), `timeout`, or
 * `thrown` (the browser refuses the URL itself).
 *
 * @param {{ url: string, username?: string, credential?: string }[]} servers
 * @param {{ wants: "relay" | "srflx", patience: number }} options
 */
export async function gather(servers, { wants, patience }) {
  const begun = performance.now();
  const gathered = { candidates: [], errors: [], end: "timeout", ms: 0, thrown: null };
  const since = () => Math.round(performance.now() - begun);
  let connection;
  try {
    connection = new RTCPeerConnection({ iceServers: servers.map(entryOf) });
  } catch (error) {
    return { ...gathered, end: "thrown", thrown: error.message };
  }
  try {
    gathered.end = await new Promise((resolve, reject) => {
      connection.onicecandidate = ({ candidate }) => {
        if (!candidate?.candidate) return;
        gathered.candidates.push(read(candidate, since()));
        // Others come in the same moment.
        if (candidate.type === wants && servers.length === 1) {
          setTimeout(resolve, MOMENT, wants === "relay" ? "relay" : "mapped");
        }
      };
      connection.onicecandidateerror = ({ errorCode, errorText, address }) => {
        gathered.errors.push({ code: errorCode, text: plain(errorText), hasConnected: address !== null, ms: since() });
        if (errorCode !== NO_ANSWER && servers.length === 1) setTimeout(resolve, MOMENT, "refused");
      };
      connection.onicegatheringstatechange = () => {
        if (connection.iceGatheringState === "complete") resolve("complete");
      };
      setTimeout(resolve, patience, "timeout");
      connection.createDataChannel("test");
      connection.setLocalDescription().catch(reject);
    });
  } finally {
    connection.close();
  }
  gathered.ms = since();
  // A browser may be done before the moment is over.
  if (gathered.candidates.some(({ type }) => type === wants)) gathered.end = wants === "relay" ? "relay" : "mapped";
  else if (gathered.errors.some(({ code }) => code !== NO_ANSWER)) gathered.end = "refused";
  return gathered;
}

/** The entry for `iceServers`. */
export function entryOf({ url, username, credential }) {
  return username === undefined ? { urls: url } : { urls: url, username, credential };
}

/** A server's words on one line, without characters that turn a text around. */
export function plain(text) {
  return (text ?? "").replace(/\p{C}/gu, "�").slice(0, 100);
}

/** What stands in a candidate. Browsers do not agree on its attributes, so its text is read too. */
function read(candidate, ms) {
  const words = candidate.candidate.split(" ");
  const after = (name) => words[words.indexOf(name, 6) + 1];
  const hasRelated = words.includes("raddr");
  return {
    ms,
    type: candidate.type,
    protocol: words[2].toLowerCase(),
    foundation: words[0].replace(/^candidate:/, ""),
    address: words[4],
    port: Number(words[5]),
    related: hasRelated ? { address: after("raddr"), port: Number(after("rport")) } : null,
  };
}

/** The code that browsers have for no answer or no connection. */
export const NO_ANSWER = 701;
const MOMENT = 60;
