/** What an address tells of where it is from. */

/** The kind of an address: `public`, or the reason why it is none that strangers can reach. */
export function kindOf(address) {
  if (/\.local$/i.test(address)) return "hidden";
  const kinds = address.includes(":") ? KINDS_V6 : KINDS_V4;
  return kinds.find(([, pattern]) => pattern.test(address))?.[0] ?? "public";
}

export function isPublic(address) {
  return kindOf(address) === "public";
}

export function familyOf(address) {
  return address.includes(":") ? "IPv6" : "IPv4";
}

/** RFC 1122, 1918, 3927, 6598. */
const KINDS_V4 = [
  ["unspecified", /^0\./],
  ["loopback", /^127\./],
  ["private", /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/],
  ["link-local", /^169\.254\./],
  ["carrier", /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./],
];
/** RFC 4291, 4193. */
const KINDS_V6 = [
  ["unspecified", /^(::|0:0:0:0:0:0:0:0)$/],
  ["loopback", /^(::1|0:0:0:0:0:0:0:1)$/],
  ["link-local", /^fe[89ab]/i],
  ["private", /^f[cd]/i],
];
