/** `stun:` and `turn:` URLs as browsers read them, and the ports that they refuse. RFC 7064, RFC 7065. */

/**
 * Reads a URL. `problem` says why browsers refuse it.
 *
 * @returns {{ scheme: string, host: string, port: number, transport: "udp" | "tcp", isTurn: boolean,
 *   isSecure: boolean, family: "IPv4" | "IPv6" | null } | { problem: string }}
 */
export function readUri(text) {
  const parts = /^(stuns?|turns?):(.*)$/i.exec(text);
  if (!parts) return { problem: "It begins with none of stun:, turn: and turns:." };
  const scheme = parts[1].toLowerCase();
  const [authority, query, ...more] = parts[2].split("?");
  if (authority.startsWith("//")) return { problem: `There are no slashes in it: ${scheme}:HOST:PORT.` };
  if (authority.includes("/")) return { problem: "Nothing follows the port but ?transport=." };
  if (authority.includes("@")) {
    return { problem: "The user name does not stand in the URL: it has a place of its own, username." };
  }
  if (/[#\s]/.test(authority)) return { problem: "There is a # or a space in it." };
  const host = /^(\[[0-9a-f:.]+\]|[^\s:[\]]+)(?::(\d+))?$/i.exec(authority);
  if (!host) {
    const colons = authority.split(":").length > 2;
    return { problem: colons ? "An IPv6 address stands in brackets: [2001:db8::1]." : "The host or the port cannot be read." };
  }
  if (familyOf(host[1]) === "IPv4" && host[1].split(".").some((byte) => byte > 255)) {
    return { problem: "The numbers of an IPv4 address go up to 255." };
  }
  const isSecure = scheme.endsWith("s");
  const isTurn = scheme.startsWith("turn");
  const port = host[2] === undefined ? (isSecure ? 5349 : 3478) : Number(host[2]);
  if (port < 1 || port > 65_535) return { problem: "A port is a number from 1 to 65535." };
  const transport = transportOf(scheme, query, more);
  if (transport.problem) return transport;
  if (scheme === "stuns") return { problem: "Browsers know no stuns: write stun: or turns:." };
  return { scheme, host: host[1], port, transport, isTurn, isSecure, family: familyOf(host[1]) };
}

function transportOf(scheme, query, more) {
  if (query === undefined) return scheme.endsWith("s") ? "tcp" : "udp";
  if (!scheme.startsWith("turn")) return { problem: "stun: has no ?transport=: leave it out." };
  const transport = /^transport=(udp|tcp)$/.exec(query)?.[1];
  if (!transport || more.length > 0) {
    return { problem: "The only queries are ?transport=udp and ?transport=tcp, in small letters." };
  }
  // Over UDP it would be DTLS, which no browser speaks: they go over TCP instead.
  return scheme === "turns" ? "tcp" : transport;
}

/** The family of a host that is an address; `null` for a name. */
export function familyOf(host) {
  if (host.startsWith("[")) return "IPv6";
  return /^\d+(\.\d+){3}$/.test(host) ? "IPv4" : null;
}

/** Why this browser does not go to a port; `null` if it does. */
export function refusalOfPort({ port, isTurn }, isFirefox) {
  const isLow = !isFirefox && isTurn && port < 1024 && port !== 80 && port !== 443;
  if (isLow) return `Chromium goes to no TURN port below 1024 but 80 and 443, and this is ${port}.`;
  const isRefused = REFUSED.includes(port) || (isFirefox && port === 4190);
  return isRefused ? `Browsers go to no server on port ${port}, which belongs to another protocol.` : null;
}

/** The transport in the word that people know. */
export function transportName({ transport, isSecure }) {
  return isSecure ? "TLS" : transport.toUpperCase();
}

/** Measured with Chromium 156 and Firefox 153. */
const REFUSED = [
  1, 7, 22, 25, 69, 79, 110, 111, 123, 137, 143, 161, 179, 389, 427, 465, 514, 515, 554, 563, 587, 636,
  990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 5060, 5061, 6000, 6566, 6665, 6667, 6697, 10080,
];
