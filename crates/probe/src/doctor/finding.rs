//! All findings of the doctor, each under a code that stays the same. `docs/doctor.md` lists them
//! for people.

use std::fmt;

use crate::Uri;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind of finding.
    pub code: Code,
    /// The server that it is about; `None` if it is about this host.
    pub uri: Option<Uri>,
    /// The observation, as a sentence.
    pub sentence: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Tested, and as it should be.
    Ok,
    /// Good to know, and neither right nor wrong.
    Note,
    /// Not tested: the remedy says how to have it tested.
    NotTested,
    /// Works, but not for all users or not for long.
    Warning,
    /// Does not work, or is dangerous.
    Error,
}

macro_rules! codes {
    ($($code:literal $name:ident $severity:ident $meaning:literal $remedy:literal)*) => {
        /// The code of a finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code itself.
            pub const fn as_str(self) -> &'static str {
                self.row().0
            }

            /// How serious it is.
            pub const fn severity(self) -> Severity {
                self.row().1
            }

            /// Its meaning, whatever was observed.
            pub const fn meaning(self) -> &'static str {
                self.row().2
            }

            /// The change that mends it; empty if none is needed.
            pub const fn remedy(self) -> &'static str {
                self.row().3
            }

            const fn row(self) -> (&'static str, Severity, &'static str, &'static str) {
                match self { $(Self::$name => ($code, Severity::$severity, $meaning, $remedy),)* }
            }
        }
    };
}

codes! {
    "D001" Unresolved Error "The server's name leads to no address."
        "Correct the name in the URI, or publish A and AAAA records for it."
    "D002" NoUdpAnswer Error "The server does not answer over UDP."
        "See that the server runs and listens on this port, and that every firewall between lets UDP to it pass, both ways."
    "D003" NoConnection Error "The server takes no TCP connection."
        "See that the server listens on this port for TCP, and that every firewall between lets it pass."
    "D004" Broken Error "The connection ended before the server answered."
        "See the server's log: it may speak TLS on this port (turns:), or something else than STUN."
    "D005" NotStun Error "The answer is not STUN, or makes no sense."
        "Correct host and port in the URI."
    "D006" WrongSource Error "The server answers from another address than the one that was asked."
        "On a host with several addresses, bind the server to each of them (listening-ip in coturn, listener in Hairpin); clients drop such answers."
    "D007" NoStun Error "The STUN server refuses Binding requests."
        "Look up the error code, and see the server's configuration: answering Binding requests is the only task of a STUN server."
    "D008" NoDns Error "The server's name could not be looked up: DNS does not answer, or fails."
        "See /etc/resolv.conf, and the way to the resolvers that it names. The server itself may be well: name it by its address."
    "D009" CannotSend Error "This host cannot send to the server."
        "See this host's own network: its route to the address (ip route get), its firewall, and --bind. -4 and -6 choose the address family."
    "D010" NoTls Error "There is no TLS or DTLS on this port."
        "Give the server a certificate and a key that belong together, and see that this port is its TLS port. One that comes by itself (`[tls.acme]`) may not have come yet: the line `certificate.failed` in the log says why."
    "D011" CertificateExpired Error "The certificate has expired."
        "Renew it, and see that the server takes up the new one: many read it only when they start."
    "D012" ChainIncomplete Error "The certificate does not lead to a root that is trusted: an intermediate certificate is missing, or the authority is a private one."
        "Configure the file with the whole chain (certbot calls it fullchain.pem), or give --ca FILE if clients trust that authority. Browsers may help themselves, TURN clients do not."
    "D013" NameMismatch Error "The certificate is for another name."
        "Get a certificate for the name in the URI, or use a name that the certificate has."
    "D014" SelfSigned Error "The certificate is self-signed."
        "Get one from an authority that browsers trust, or give --ca if all clients trust yours."
    "D015" CertificateEndsSoon Warning "The certificate expires within two weeks."
        "See that it is renewed by itself, and that the server takes up the new one."
    "D016" CertificateGood Ok "The certificate is good." ""
    "D017" CertificateRefused Error "The certificate cannot be used."
        "Replace it; `openssl x509 -text` shows what it says."
    "D018" DtlsNotExamined NotTested "DTLS could not be examined."
        "The doctor speaks DTLS with ECDSA certificates only. Browsers do not use TURN over DTLS."
    "D019" CertificateTooEarly Error "The certificate is not valid yet."
        "See that this host's clock is right; if it is, replace the certificate."
    "D020" Bound Ok "The server answers Binding requests." ""
    "D021" NotBound Warning "The server refuses Binding requests, which browsers send first."
        "Let the server answer STUN without credentials, or expect longer call set-ups."
    "D022" NoAuthentication Error "The server gives allocations to anyone."
        "Demand credentials at once: open relays are found within days, and used for attacks."
    "D023" Challenged Ok "The server asks strangers for credentials, as it should: the first 401 of each session is normal." ""
    "D024" NoChallenge Error "The server refuses strangers without telling realm and nonce, so nobody can authenticate."
        "Set a realm; in coturn also lt-cred-mech or use-auth-secret."
    "D025" RealmDiffers Error "The server's realm is not the one expected."
        "Passwords that were stored as keys are good for one realm only: set the realm that they were made with, or make new ones."
    "D026" Amplifies Warning "The server sends strangers much more than they send."
        "A server like this is used to flood others. Limit what strangers are answered; Hairpin does, under [unauthenticated]."
    "D027" Sha256 Ok "The server offers SHA-256 (RFC 8489)." ""
    "D028" Redirects Warning "The server sends clients to another one."
        "Examine that server, too: it is the one that clients meet."
    "D029" NotTurn Error "The server answers Binding requests and no Allocate: it is a STUN server."
        "Enable TURN (coturn: remove stun-only; Hairpin: add users or secrets under [auth]), or give the server to clients as stun:."
    "D030" CredentialsRefused Error "The server does not accept the user name and password."
        "Compare both with the server's configuration; a key made for another realm is refused like a wrong password, and a time-limited name by a clock that is ahead."
    "D031" SecretRefused Error "The server does not accept credentials made from the secret."
        "Compare the secret with the server's (static-auth-secret in coturn, auth.secrets in Hairpin), spaces and line ends too; or the server has no secrets at all: `hairpin check` says so."
    "D032" CredentialExpired Error "The credential has expired."
        "Make a new credential for every call; most last a day."
    "D033" ClockAhead Warning "The server refuses a credential that is still good for a minute: its clock is ahead."
        "Set the clock of the server, or of the host that makes the credentials, by NTP."
    "D034" ExpiryIgnored Warning "The server accepts a credential that expired an hour ago."
        "See that the server's clock is right and that it checks the expiry; otherwise a leaked credential is good for ever."
    "D035" NonceRefused Error "The server rejects every nonce as too old, even one that it has just given."
        "If several servers share this name, give them the same nonce secret; otherwise see the server's clock."
    "D036" AllocationRefused Error "The server refuses an allocation."
        "See the code: 486 quota of the user ([allocation] per-user; user-quota in coturn), 508 no free port, or the server drains (see its log), 403 forbidden, 437 mismatch, 440 address family, 442 transport."
    "D037" RedirectsNowhere Error "The server sends clients away, and names no other server."
        "Name one (alternate-server in coturn, redirect in Hairpin), or serve clients here."
    "D038" ClockBehind Note "The server accepts a credential that expired some minutes ago: its clock may be behind." ""
    "D039" ClockFarAhead Error "The server refuses credentials that are good for a day, and accepts longer ones: its clock is ahead."
        "Set the clock of the server by NTP, or that of the host that makes the credentials: users are refused until then."
    "D040" RelayedPrivate Error "The relayed address is private: peers on the Internet cannot reach it."
        "Tell the server its public address (external-ip in coturn, relay.external in Hairpin)."
    "D041" RelayedElsewhere Note "The relayed address is another one than the server's." ""
    "D042" NoRelay Error "Nothing comes through the relay: not even from one allocation of the server to another."
        "See that the external address is right, that the relay ports are open, and that the server relays to itself."
    "D043" RelayPortsClosed Error "A datagram from outside does not reach the relayed address."
        "Open the relay ports (UDP) in every firewall before the server, and see that the external address is right."
    "D044" OutsideUntried NotTested "This host cannot tell whether peers outside are reached."
        "Run the doctor from another network, and from one whose peers the server relays to."
    "D045" Relays Ok "Data passes the relay." ""
    "D046" Loses Warning "The relay loses packets."
        "Check the server's CPU and socket buffers (net.core.rmem_max), the network between, and the server's limits of bandwidth ([allocation] bandwidth, per-user-bandwidth; max-bps in coturn)."
    "D047" SmallPayload Warning "Datagrams of the size of video do not pass the relay."
        "See the MTU on the way, and that fragments are not dropped."
    "D048" PermissionRefused Error "The server refuses a permission or a channel."
        "See the server's peer policy and log."
    "D049" OneFramingOnly Error "Data passes in one framing only."
        "Send indications and ChannelData must both work; browsers use one or the other."
    "D050" RelaysIpv6 Ok "The server relays to IPv6 peers." ""
    "D051" NoIpv6 Note "The server does not relay to IPv6 peers." ""
    "D052" NotRefreshed Error "The allocation cannot be refreshed."
        "Calls end when the first lifetime does: see the server's log."
    "D053" NotDeleted Warning "The allocation outlives its deletion."
        "Clients that come back at once are refused with 437, and quotas fill up."
    "D054" LargestPayload Ok "The largest payload that was tried and passes the relay." ""
    "D055" ReachesOutside Ok "Data passes both ways between the relay and a peer that uses no relay." ""
    "D056" NothingOut Error "Packets of clients do not reach a peer outside."
        "Let UDP from the relay ports out, and see that a NAT before the server keeps addresses and ports."
    "D057" NoIpv4 Note "The server does not relay to IPv4 peers." ""
    "D058" UserUnanswered Error "The server does not answer users who ask for an allocation."
        "See the server's log; a firewall that looks into STUN may hold back longer requests, too."
    "D059" Works Ok "Everything that was tested over this transport works." ""
    "D060" RelaysToLoopback Error "The server relays to its own host's loopback addresses."
        "Forbid it at once (no allow-loopback-peers in coturn): whatever listens there only for the host itself is open to every user."
    "D061" RelaysToLinkLocal Error "The server relays to link-local addresses, where clouds keep their metadata service."
        "Forbid 169.254.0.0/16 and fe80::/10 at once: the host's cloud credentials may be read through it."
    "D062" RelaysToPrivate Warning "The server relays to private networks."
        "Forbid them unless peers live there (denied-peer-ip in coturn; Hairpin does by default)."
    "D063" PolicyCloses Ok "The server refuses peers that are not on the Internet." ""
    "D064" ClientsHidden Error "The server sees a private address in place of its client's: a bridge or a load balancer stands in front."
        "Run the server on the host's own network (network_mode: host in Docker), or use PROXY protocol where server and load balancer both speak it. If the doctor runs on the server's network, run it from another one first."
    "D070" RelayPortsTaken Error "Relay ports are in use by other programs."
        "Choose another range (relay.ports), or keep other programs out of it (net.ipv4.ip_local_reserved_ports)."
    "D071" FewFiles Warning "The file limit allows fewer allocations than the configuration."
        "Raise LimitNOFILE in the unit, or lower the limits under [allocation]."
    "D072" SmallBuffers Warning "The kernel grants small socket buffers, which lose bursts."
        "sysctl -w net.core.rmem_max=4194304, and the same in /etc/sysctl.d."
    "D073" ExternalDiffers Error "The configured external address is not the one that the Internet sees."
        "Set relay.external to the address seen, or remove it where the host has a public one."
    "D074" FirewallHint Note "A firewall is active on this host."
        "See that it lets through UDP and TCP to the listeners, and UDP to the relay ports."
    "D075" NotSandboxed Note "The service runs without the sandbox of the shipped unit file."
        "Use packaging/systemd/hairpin.service, or compare `systemd-analyze security hairpin`."
    "D076" ListenerClosed Error "Nothing listens where the configuration says."
        "Start the server, or see its log for why it did not."
    "D077" ExternalUnknown NotTested "The external address could not be compared with what the Internet sees."
        "Name a STUN server outside that this host reaches: --outside URI."
    "D078" ExternalPrivate Warning "The relay address is private, and no public one is known for it."
        "Set relay.external to the public address, unless all peers are on this network."
    "D079" ExternalExample Warning "The external address is an example from documentation."
        "Put this server's own public address in its place."
    "D080" FirewallUnread NotTested "The rules of nftables for packets to this host were not tested."
        "Run the doctor as root, with nft installed."
    "D081" OnServersHost NotTested "The doctor runs on the server's own host: only a run from another network shows that clients and peers get through."
        "Run it from another network as well, with the same credentials."
    "D082" UsersUntried NotTested "The service to users was not tested."
        "Give credentials: --secret-file, or --user with --password-file."
    "D083" WaysUntried NotTested "Other ways to the server were not tested."
        "Name them as well: turn:HOST?transport=tcp for TCP, turns:HOST for TLS; -4 and -6 choose the address family."
    "D084" ListenerUntried NotTested "A listener of the configuration was not tested."
        "Name it, with credentials of its realm: turn:HOST:PORT --user NAME --password-file FILE."
    "D085" ConfigCaution Note "The configuration has settings that may be a mistake."
        "`hairpin check --config FILE` says which."
    "D086" LittleUdpMemory Warning "The kernel gives UDP little memory for the allocations that are allowed: when it is used up, all UDP of the host is lost."
        "Set net.ipv4.udp_mem to the numbers that the finding names, and the same in /etc/sysctl.d, or lower total under [allocation]."
    "D087" NoAddressForListener Note "A listener has no address on this host, so nobody comes to it."
        "Nothing is needed, unless this host should have an address of that family."
    "D099" OutOfTime Error "The examination ran out of time before it was finished."
        "Try again; the findings about the server say how far the examination came."
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::NotTested => "not tested",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_everything_that_is_wrong_has_a_remedy() {
        assert!(Code::ALL.is_sorted_by(|one, two| one.as_str() < two.as_str()));
        for code in Code::ALL {
            let is_wrong = code.severity() > Severity::Note;
            assert!(!is_wrong || !code.remedy().is_empty(), "{code}");
            assert!(code.meaning().ends_with('.'), "{code}");
        }
    }

    #[test]
    fn the_manual_lists_every_code_as_it_is() {
        let manual = include_str!("../../../../docs/doctor.md");
        for code in Code::ALL {
            let row = format!(
                "| {code} | {} | {} | {} |",
                code.severity(),
                code.meaning(),
                code.remedy()
            );
            assert!(
                manual.contains(row.trim_end()),
                "missing in docs/doctor.md: {row}"
            );
        }
    }

    #[test]
    fn the_test_page_says_what_the_doctor_says() {
        let page = include_str!("../../../httpd/static/findings.js");
        let start = page.find("export const FINDINGS = ").expect("the table");
        let table = page[start..].trim_start_matches("export const FINDINGS = ");
        let table = table.trim_end().strip_suffix(';').expect("its end");
        let table: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(table).expect("JSON");
        let of_doctor = table.iter().filter(|(code, _)| code.starts_with('D'));
        let mut said = 0;
        for (code, finding) in of_doctor {
            let known = Code::ALL.iter().find(|it| it.as_str() == code);
            let known = known.unwrap_or_else(|| panic!("the doctor knows no {code}"));
            assert_eq!(finding["name"], format!("{known:?}"), "{code}");
            assert_eq!(finding["severity"], known.severity().to_string(), "{code}");
            assert_eq!(finding["meaning"], known.meaning(), "{code}");
            assert_eq!(finding["remedy"], known.remedy(), "{code}");
            said += 1;
        }
        assert!(said > 20, "{said}");
        let manual = include_str!("../../../../docs/doctor.md");
        for (code, finding) in table.iter().filter(|(code, _)| code.starts_with('B')) {
            let [severity, meaning, remedy] =
                ["severity", "meaning", "remedy"].map(|name| finding[name].as_str());
            let row = format!(
                "| {code} | {} | {} | {} |",
                severity.expect("a text"),
                meaning.expect("a text"),
                remedy.expect("a text")
            );
            assert!(manual.contains(&row), "missing in docs/doctor.md: {row}");
        }
    }
}
