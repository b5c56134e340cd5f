//! How clients come to the server.

use ipnet::IpNet;
use net::proxy::Proxies;
use net::{ProxyOptions, TlsVersion, Transports, WebOptions};
use relay::Networks;

use super::span;
use crate::config::{Clients, Config, Listener};
use crate::ice_servers;

pub(super) fn listeners(config: &Config) -> String {
    // One key of the configuration is two listeners there.
    let takes = |transports, listen| config.listeners.contains(&Listener { transports, listen });
    let names = config.listeners.iter().filter_map(|listener| {
        let &Listener { transports, listen } = listener;
        let name = format!("{} {listen}", transports.name());
        match transports {
            Transports::Streams if takes(Transports::Datagrams, listen) => None,
            Transports::Datagrams if takes(Transports::Streams, listen) => {
                Some(name + " (UDP and TCP)")
            }
            Transports::Only(_) | Transports::Streams | Transports::Datagrams => Some(name),
        }
    });
    names.collect::<Vec<_>>().join(", ")
}

/// The URIs for browsers, in their order.
pub(super) fn uris(config: &Config) -> String {
    let uris = ice_servers::uris(config, None);
    if uris.is_empty() {
        return "none for a browser: write them to `[advertise] uris`, or give `hairpin credentials` a \
                name by --host"
            .to_owned();
    }
    let words = uris.iter().map(|uri| match ice_servers::note(uri) {
        Some(note) => format!("{uri} ({note})"),
        None => uri.to_string(),
    });
    let mut words = words.collect::<Vec<_>>().join(", ");
    if let (Some(_), Some(ip)) = (&config.relay.tellers, ice_servers::guessed(config, &uris)) {
        words += &format!(
            "; in place of {ip} comes the public address, which the running server finds out and \
             `check` does not know"
        );
    }
    words
}

pub(super) fn tls(config: &Config) -> String {
    let oldest = match config.tls.minimum {
        TlsVersion::V1_2 => "version 1.2 and above",
        TlsVersion::V1_3 => "version 1.3",
    };
    let all = config.tls.certificates.iter().map(|filed| {
        let certificate = &filed.certificate;
        format!(
            "{} ({}) until {}",
            certificate.listed_names(),
            certificate.algorithm().name(),
            humantime::format_rfc3339_seconds(certificate.last_second())
        )
    });
    let wanted = config.tls.acme.iter().map(|wanted| {
        let names: Vec<String> = wanted.names.iter().map(ToString::to_string).collect();
        format!("{} by itself from {}", names.join(", "), wanted.directory)
    });
    let is_on_auto = |listener: &Listener| listener.transports == Transports::Datagrams;
    let dtls = if config.takes_dtls() {
        Some("DTLS 1.2")
    } else {
        let mut listeners = config.listeners.iter();
        listeners.any(is_on_auto).then_some("DTLS off")
    };
    let words: Vec<String> = [oldest.to_owned()]
        .into_iter()
        .chain(dtls.map(str::to_owned))
        .chain(all)
        .chain(wanted)
        .collect();
    words.join("; ")
}

pub(super) fn tcp(config: &Config) -> String {
    let limits = &config.tcp;
    format!(
        "at most {}, {} of one network; closed after {} without a first request, {} of silence, \
         {} without an allocation; Data indications above {} bytes are dropped",
        limits.connections,
        limits.per_prefix,
        span(limits.first_frame),
        span(limits.idle),
        span(limits.stranger_lifetime),
        config.allocation.stream_indication,
    )
}

/// Which clients are served, if not all.
pub(super) fn served(config: &Config) -> Option<String> {
    let Clients {
        allow,
        deny,
        ban_after,
        ban_within,
        ban_for,
    } = &config.clients;
    let named = |networks: &Networks| {
        let all: Vec<String> = networks.iter().map(|it| it.to_string()).collect();
        all.join(", ")
    };
    let allow = (!allow.is_empty()).then(|| format!("clients from {} only", named(allow)));
    let deny = (!deny.is_empty()).then(|| format!("none from {}", named(deny)));
    let ban = ban_after.map(|after| {
        format!(
            "a network is banned for {} after {after} failures to authenticate within {}",
            span(*ban_for),
            span(*ban_within)
        )
    });
    let all: Vec<String> = [allow, deny, ban].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Whose PROXY headers are believed, if anybody's.
pub(super) fn proxies(config: &Config) -> Option<String> {
    let ProxyOptions { tcp, udp } = &config.proxies;
    let of = |proxies: &Proxies, what| {
        let hosts: Vec<String> = proxies.networks().iter().map(IpNet::to_string).collect();
        (!hosts.is_empty()).then(|| format!("{what} of {}", hosts.join(", ")))
    };
    let both = [of(tcp, "connections"), of(udp, "datagrams")];
    let both: Vec<String> = both.into_iter().flatten().collect();
    (!both.is_empty()).then(|| format!("begin with a PROXY header: {}", both.join("; ")))
}

/// The web server behind the same ports, if there is one.
pub(super) fn web(config: &Config) -> Option<String> {
    let WebOptions {
        https,
        proxy_protocol,
        quic,
    } = config.web;
    let told = if proxy_protocol {
        ", with a PROXY header"
    } else {
        ""
    };
    let https = https.map(|it| format!("TLS for other names and protocols goes to {it}{told}"));
    let quic = quic.map(|it| format!("QUIC goes to {it}"));
    let both: Vec<String> = [https, quic].into_iter().flatten().collect();
    (!both.is_empty()).then(|| both.join("; "))
}
