//! URIs and URLs: of servers, of clients' lists, and of authorities.

use probe::Uri;

use super::{Flaw, flaw};
use crate::browsers::refusing;
use crate::config::Teller;

/// The source of this host's external address.
pub(in crate::config) fn teller(text: &str) -> Option<Teller> {
    if text == "metadata" {
        return Some(Teller::Metadata);
    }
    let uri: Uri = text.parse().ok()?;
    let is_plain = text.starts_with("stun:") && !uri.is_secure;
    is_plain.then_some(Teller::Stun(uri))
}

/// A URI for `RTCPeerConnection`. With one that it refuses browsers make no connection at all, whatever
/// others are there.
pub(in crate::config) fn turn_uri(text: &str) -> Result<Uri, Flaw> {
    let scheme = text.split(':').next().unwrap_or_default();
    if text.contains("//") {
        return flaw("has `//`, on which browsers give up", TURN_URI);
    }
    if text.ends_with('/') {
        return flaw("ends with `/`, on which browsers give up", TURN_URI);
    }
    match scheme {
        "turn" | "turns" => {}
        "stun" => return flaw("is no TURN URI", "a `turn:` URI answers STUN as well"),
        "stuns" => return flaw("is `stuns:`, on which Firefox gives up", TURN_URI),
        _ => return flaw("begins with neither `turn:` nor `turns:`", TURN_URI),
    }
    if let Some((_, query)) = text.split_once('?')
        && query != query.to_ascii_lowercase()
    {
        return flaw(
            "has capitals in its transport, on which Firefox gives up",
            "write ?transport=udp or ?transport=tcp",
        );
    }
    let uri: Uri = match text.parse() {
        Ok(uri) => uri,
        Err(why) => return flaw(format!("is not a TURN URI: {why}"), TURN_URI),
    };
    if uri.is_secure && uri.transport == Some(probe::Transport::Udp) {
        return flaw(
            "is over DTLS, which no browser speaks: they take it for TLS over TCP",
            "write ?transport=tcp for TLS",
        );
    }
    let port = uri.port_or_default();
    match refusing(port) {
        Some(who) => flaw(format!("has port {port}, which {who}"), BROWSERS_PORTS),
        None => Ok(uri),
    }
}

/// The URL of an authority's directory.
pub(in crate::config) fn directory(text: &str) -> Option<&str> {
    match text {
        "letsencrypt" => Some(acme::PRODUCTION),
        "staging" => Some(acme::STAGING),
        url => acme::is_directory(url).then_some(url),
    }
}

/// A correction for a text that names no directory.
pub(super) fn directory_help(text: &str) -> &'static str {
    if text.contains("staging") && !text.contains("://") {
        "did you mean \"staging\"?"
    } else {
        DIRECTORY
    }
}

/// The URL of a webhook, and whether it is over TLS.
pub(in crate::config) fn webhook(text: &str) -> Option<(hyper::Uri, bool)> {
    let url: hyper::Uri = text.parse().ok()?;
    let is_secure = match url.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(_) | None => return None,
    };
    let has_password = url.authority()?.as_str().contains('@');
    (url.host().is_some_and(|host| !host.is_empty()) && !has_password).then_some((url, is_secure))
}

/// Whether a text is what RFC 8555 §7.3 takes: a mailto URL with one mailbox and nothing else.
pub(super) fn is_mailbox(text: &str) -> bool {
    let mailbox = text.strip_prefix("mailto:");
    let parts = mailbox.and_then(|mailbox| mailbox.split_once('@'));
    parts.is_some_and(|(user, host)| {
        let is_plain = |part: &str| {
            let mut letters = part.chars();
            !part.is_empty() && letters.all(|it| it.is_ascii_graphic() && !",?&@".contains(it))
        };
        is_plain(user) && is_plain(host)
    })
}

const TURN_URI: &str = "write \"turn:turn.example.org:3478?transport=udp\", ?transport=tcp, or for TLS \
                        \"turns:turn.example.org:443?transport=tcp\"";
pub(in crate::config) const BROWSERS_PORTS: &str = "browsers take 80, 443 and ports from 1024 on that are of no other protocol: 3478 and 443 are usual";
const DIRECTORY: &str = "write the URL with https://, as the authority tells it";
