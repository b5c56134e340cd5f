/**
 * All findings of the test page, by code. Those with a D are the doctor's, word for word, and a test of
 * the doctor's holds them to it. Those with a B are of browsers alone; docs/doctor.md lists both.
 */

/** What a visitor of the page can do: the doctor's words, without its options and where it is run. */
export function remedyOf(code) {
  const remedy = FINDINGS[code].remedy
    .replace("Run the doctor from another network", "Open this page in another network")
    .replace(/If the doctor runs .*/, "")
    .replace(/[:,]? --secret-file.*/, ".")
    .replace(", its firewall, and --bind.", " and its firewall.")
    .replace(/[;.]? -4 and -6 choose the address family\./, ".");
  return remedy.trim();
}

// The object is JSON, for that test.
export const FINDINGS = {
  "D001": {
    "name": "Unresolved",
    "severity": "error",
    "meaning": "The server's name leads to no address.",
    "remedy": "Correct the name in the URI, or publish A and AAAA records for it."
  },
  "D002": {
    "name": "NoUdpAnswer",
    "severity": "error",
    "meaning": "The server does not answer over UDP.",
    "remedy": "See that the server runs and listens on this port, and that every firewall between lets UDP to it pass, both ways."
  },
  "D003": {
    "name": "NoConnection",
    "severity": "error",
    "meaning": "The server takes no TCP connection.",
    "remedy": "See that the server listens on this port for TCP, and that every firewall between lets it pass."
  },
  "D004": {
    "name": "Broken",
    "severity": "error",
    "meaning": "The connection ended before the server answered.",
    "remedy": "See the server's log: it may speak TLS on this port (turns:), or something else than STUN."
  },
  "D009": {
    "name": "CannotSend",
    "severity": "error",
    "meaning": "This host cannot send to the server.",
    "remedy": "See this host's own network: its route to the address (ip route get), its firewall, and --bind. -4 and -6 choose the address family."
  },
  "D010": {
    "name": "NoTls",
    "severity": "error",
    "meaning": "There is no TLS or DTLS on this port.",
    "remedy": "Give the server a certificate and a key that belong together, and see that this port is its TLS port. One that comes by itself (`[tls.acme]`) may not have come yet: the line `certificate.failed` in the log says why."
  },
  "D013": {
    "name": "NameMismatch",
    "severity": "error",
    "meaning": "The certificate is for another name.",
    "remedy": "Get a certificate for the name in the URI, or use a name that the certificate has."
  },
  "D016": {
    "name": "CertificateGood",
    "severity": "ok",
    "meaning": "The certificate is good.",
    "remedy": ""
  },
  "D017": {
    "name": "CertificateRefused",
    "severity": "error",
    "meaning": "The certificate cannot be used.",
    "remedy": "Replace it; `openssl x509 -text` shows what it says."
  },
  "D020": {
    "name": "Bound",
    "severity": "ok",
    "meaning": "The server answers Binding requests.",
    "remedy": ""
  },
  "D023": {
    "name": "Challenged",
    "severity": "ok",
    "meaning": "The server asks strangers for credentials, as it should: the first 401 of each session is normal.",
    "remedy": ""
  },
  "D030": {
    "name": "CredentialsRefused",
    "severity": "error",
    "meaning": "The server does not accept the user name and password.",
    "remedy": "Compare both with the server's configuration; a key made for another realm is refused like a wrong password, and a time-limited name by a clock that is ahead."
  },
  "D032": {
    "name": "CredentialExpired",
    "severity": "error",
    "meaning": "The credential has expired.",
    "remedy": "Make a new credential for every call; most last a day."
  },
  "D035": {
    "name": "NonceRefused",
    "severity": "error",
    "meaning": "The server rejects every nonce as too old, even one that it has just given.",
    "remedy": "If several servers share this name, give them the same nonce secret; otherwise see the server's clock."
  },
  "D036": {
    "name": "AllocationRefused",
    "severity": "error",
    "meaning": "The server refuses an allocation.",
    "remedy": "See the code: 486 quota of the user ([allocation] per-user; user-quota in coturn), 508 no free port, or the server drains (see its log), 403 forbidden, 437 mismatch, 440 address family, 442 transport."
  },
  "D037": {
    "name": "RedirectsNowhere",
    "severity": "error",
    "meaning": "The server sends clients away, and names no other server.",
    "remedy": "Name one (alternate-server in coturn, redirect in Hairpin), or serve clients here."
  },
  "D040": {
    "name": "RelayedPrivate",
    "severity": "error",
    "meaning": "The relayed address is private: peers on the Internet cannot reach it.",
    "remedy": "Tell the server its public address (external-ip in coturn, relay.external in Hairpin)."
  },
  "D042": {
    "name": "NoRelay",
    "severity": "error",
    "meaning": "Nothing comes through the relay: not even from one allocation of the server to another.",
    "remedy": "See that the external address is right, that the relay ports are open, and that the server relays to itself."
  },
  "D043": {
    "name": "RelayPortsClosed",
    "severity": "error",
    "meaning": "A datagram from outside does not reach the relayed address.",
    "remedy": "Open the relay ports (UDP) in every firewall before the server, and see that the external address is right."
  },
  "D044": {
    "name": "OutsideUntried",
    "severity": "not tested",
    "meaning": "This host cannot tell whether peers outside are reached.",
    "remedy": "Run the doctor from another network, and from one whose peers the server relays to."
  },
  "D045": {
    "name": "Relays",
    "severity": "ok",
    "meaning": "Data passes the relay.",
    "remedy": ""
  },
  "D046": {
    "name": "Loses",
    "severity": "warning",
    "meaning": "The relay loses packets.",
    "remedy": "Check the server's CPU and socket buffers (net.core.rmem_max), the network between, and the server's limits of bandwidth ([allocation] bandwidth, per-user-bandwidth; max-bps in coturn)."
  },
  "D055": {
    "name": "ReachesOutside",
    "severity": "ok",
    "meaning": "Data passes both ways between the relay and a peer that uses no relay.",
    "remedy": ""
  },
  "D056": {
    "name": "NothingOut",
    "severity": "error",
    "meaning": "Packets of clients do not reach a peer outside.",
    "remedy": "Let UDP from the relay ports out, and see that a NAT before the server keeps addresses and ports."
  },
  "D058": {
    "name": "UserUnanswered",
    "severity": "error",
    "meaning": "The server does not answer users who ask for an allocation.",
    "remedy": "See the server's log; a firewall that looks into STUN may hold back longer requests, too."
  },
  "D059": {
    "name": "Works",
    "severity": "ok",
    "meaning": "Everything that was tested over this transport works.",
    "remedy": ""
  },
  "D064": {
    "name": "ClientsHidden",
    "severity": "error",
    "meaning": "The server sees a private address in place of its client's: a bridge or a load balancer stands in front.",
    "remedy": "Run the server on the host's own network (network_mode: host in Docker), or use PROXY protocol where server and load balancer both speak it. If the doctor runs on the server's network, run it from another one first."
  },
  "D082": {
    "name": "UsersUntried",
    "severity": "not tested",
    "meaning": "The service to users was not tested.",
    "remedy": "Give credentials: --secret-file, or --user with --password-file."
  },
  "D083": {
    "name": "WaysUntried",
    "severity": "not tested",
    "meaning": "Other ways to the server were not tested.",
    "remedy": "Name them as well: turn:HOST?transport=tcp for TCP, turns:HOST for TLS; -4 and -6 choose the address family."
  },
  "D099": {
    "name": "OutOfTime",
    "severity": "error",
    "meaning": "The examination ran out of time before it was finished.",
    "remedy": "Try again; the findings about the server say how far the examination came."
  },
  "B001": {
    "name": "InvalidUrl",
    "severity": "error",
    "meaning": "Browsers do not take this URL: the whole call of the page fails.",
    "remedy": "Correct it, or leave it out: one such URL makes `new RTCPeerConnection(…)` fail."
  },
  "B002": {
    "name": "PortRefused",
    "severity": "error",
    "meaning": "This browser goes to no server on this port.",
    "remedy": "Let the server listen on 3478, 443, 80, 5349, or another port from 1024 on."
  },
  "B003": {
    "name": "TlsNeedsName",
    "severity": "error",
    "meaning": "Firefox opens no TLS connection to a server that is named by its address.",
    "remedy": "Give the server a name and a certificate for it, and write the name into the URL: turns:turn.example.org."
  },
  "B004": {
    "name": "NoCredentials",
    "severity": "error",
    "meaning": "A TURN server needs a user name and a credential; without them browsers refuse the whole configuration.",
    "remedy": "Write username and credential beside the URLs."
  },
  "B005": {
    "name": "TooManyUrls",
    "severity": "warning",
    "meaning": "Five or more URLs slow down the start of every call.",
    "remedy": "Give one URL for each of UDP, TCP and TLS: four at most."
  },
  "B006": {
    "name": "SameServerTwice",
    "severity": "warning",
    "meaning": "The list has one server at one port twice: browsers then lose one of the two, and wait longer.",
    "remedy": "Leave one of them out."
  }
};
