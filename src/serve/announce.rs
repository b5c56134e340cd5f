//! The announcement of a server without configuration, for the person who started it.

mod demo;

use std::fmt::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use probe::{Service, Uri, UriHost};
use relay::keys::{Mint, mint};
use relay::policy::block;
use relay::{RelayAddress, Transport};

use super::trial::Made;
use crate::certificate::Certificate;
use crate::config::Config;
use crate::ice_servers::{IceServer, note, uris};

/// Prints the server's addresses, a credential to paste, what to do if no client can reach it, and
/// how one trusts the certificate that was `made`.
pub(super) fn print(config: &Config, made: Option<&Made>) {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // A closed standard output is no reason to fail.
    let text = text(config, unix, made);
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
}

fn text(config: &Config, unix: Duration, made: Option<&Made>) -> String {
    if config.demo {
        return demo::text(config, made.is_some(), &given());
    }
    let mut text = String::new();
    let Some(secret) = config.auth.secrets.first() else {
        return text;
    };
    let expiry = (unix + CREDENTIAL_LIFETIME).as_secs();
    let credential = mint(Mint::Sha1, secret.expose().as_bytes(), Some("try"), expiry);
    let mut uris = uris(config, None);
    uris.extend(made.and_then(|made| for_trying(config, &made.certificate)));
    text.push_str(
        "\nPaste this into the RTCPeerConnection of your page; it is good for 24 hours:\n\n",
    );
    text.push_str(&IceServer::new(&uris, credential).json());
    text.push('\n');
    for (uri, note) in uris.iter().filter_map(|uri| Some((uri, note(uri)?))) {
        let _ = writeln!(text, "{uri}: {note}, which opens TLS to names only.\n");
    }
    for address in &config.relay.addresses {
        let _ = writeln!(text, "{}", reach(*address));
    }
    if let Some(made) = made {
        let _ = writeln!(text, "{made}");
    }
    text.push_str(
        "More: `hairpin credentials --help`, and turnserver.toml for a server that stays.\n",
    );
    text
}

/// The options that this program was given, for a line of a shell.
fn given() -> String {
    let bare = |letter: char| letter.is_ascii_alphanumeric() || "-._/=:,".contains(letter);
    let quoted = |word: String| match word.chars().all(bare) && !word.is_empty() {
        true => word,
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    let words = std::env::args_os().skip(1);
    let words = words.map(|word| quoted(word.to_string_lossy().into_owned()));
    words.collect::<Vec<_>>().join(" ")
}

/// The URI over TLS for a browser on this host: the certificate that was made here is in no file, and
/// of its names only this one leads to this host for certain.
fn for_trying(config: &Config, certificate: &Certificate) -> Option<Uri> {
    let host = UriHost::Name("localhost".to_owned());
    let mut listeners = config.listeners.iter();
    let secure = listeners.find(|listener| {
        let ip = listener.listen.ip();
        listener.transports.has(Transport::Tls) && (ip.is_unspecified() || ip.is_loopback())
    })?;
    certificate.is_for(&host).then_some(Uri {
        service: Service::Turn,
        is_secure: true,
        host,
        port: Some(secure.listen.port()),
        transport: Some(probe::Transport::Tcp),
    })
}

/// Which clients can reach a relay address.
fn reach(RelayAddress { external, .. }: RelayAddress) -> String {
    if block(external).is_none() {
        return format!(
            "{external} is a public address. Let UDP and TCP to port 3478 and UDP to the relay \
             ports through the firewall.\n"
        );
    }
    let family = match external {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    };
    format!(
        "{external} is not a public address: only machines of the same network reach it. Behind \
         a 1:1 NAT set `external = [\"YOUR PUBLIC {family}\"]` in [relay].\n"
    )
}

const CREDENTIAL_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::super::trial;
    use super::*;
    use crate::config::Machine;

    fn at(ip: &str) -> String {
        let ip = ip.parse().unwrap();
        reach(RelayAddress {
            local: ip,
            external: ip,
        })
    }

    #[test]
    fn a_browser_on_this_host_is_given_tls_by_the_name_localhost() {
        let host = Machine {
            name: "host.example.org".to_owned(),
            ..Machine::anywhere()
        };
        let mut config = Config::defaults(&host);
        let made = trial::certificate(&config, &host, None).unwrap();
        assert_eq!(for_trying(&config, &made.certificate), None);
        trial::listen(&mut config, &host);
        let uri = for_trying(&config, &made.certificate).unwrap();
        assert_eq!(uri.to_string(), "turns:localhost:5349?transport=tcp");
    }

    #[test]
    fn a_private_address_is_said_to_need_an_external_one() {
        assert!(at("10.0.0.5").contains("external = [\"YOUR PUBLIC IPv4\"]"));
        assert!(at("fd00::5").contains("external = [\"YOUR PUBLIC IPv6\"]"));
        assert!(at("100.64.0.1").contains("not a public address"));
    }

    #[test]
    fn a_public_address_is_said_to_need_an_open_firewall() {
        assert!(at("9.9.9.9").contains("is a public address"));
    }
}
