//! The server as a browser wants to hear of it: `iceServers`, and TURN URIs.

use std::net::IpAddr;

use serde::Serialize;

use crate::config::{Config, Listener, Transport};

/// One entry of `RTCConfiguration.iceServers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct IceServer {
    urls: Vec<String>,
    username: String,
    credential: String,
}

impl IceServer {
    /// The entry for a server reached by `urls`.
    pub(crate) fn new(urls: Vec<String>, credential: relay::keys::Credential) -> Self {
        Self {
            urls,
            username: credential.username,
            credential: credential.password,
        }
    }

    /// An object that `new RTCPeerConnection(…)` takes as it is.
    pub(crate) fn json(&self) -> String {
        let object = serde_json::json!({ "iceServers": [self] });
        format!("{object:#}\n")
    }

    /// The same for programs that take URIs, a line each.
    pub(crate) fn lines(&self) -> String {
        let mut lines = String::new();
        for url in &self.urls {
            lines.push_str(url);
            lines.push('\n');
        }
        lines.push_str(&format!(
            "username {}\npassword {}\n",
            self.username, self.credential
        ));
        lines
    }
}

/// The name under which clients reach the server, and its port if it is not the listeners'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicName {
    host: String,
    port: Option<u16>,
}

impl PublicName {
    /// What the configuration knows: the address that peers see, or the realm.
    pub(crate) fn of(config: &Config) -> Self {
        let host = config.relay.addresses.first().map_or_else(
            || config.realm.clone(),
            |address| bracketed(address.external),
        );
        Self { host, port: None }
    }

    /// A TURN URI per transport and port. RFC 7065 §3.1.
    pub(crate) fn uris(&self, listeners: &[Listener]) -> Vec<String> {
        let mut uris = Vec::new();
        for listener in listeners {
            let port = self.port.unwrap_or(listener.listen.port());
            let transport = match listener.transport {
                Transport::Udp => "udp",
                Transport::Tcp => "tcp",
            };
            let uri = format!("turn:{}:{port}?transport={transport}", self.host);
            if !uris.contains(&uri) {
                uris.push(uri);
            }
        }
        uris
    }
}

impl std::str::FromStr for PublicName {
    type Err = &'static str;

    /// `turn.example.org`, `turn.example.org:443`, `192.0.2.7`, `2001:db8::7` or `[2001:db8::7]:443`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
            return Ok(Self {
                host: bracketed(ip),
                port: None,
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (
                host,
                Some(
                    port.parse()
                        .map_err(|_| "the port is not a number up to 65535")?,
                ),
            ),
            None => (text, None),
        };
        let is_bare = |letter: char| {
            letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '[' | ']' | ':')
        };
        if host.is_empty() || !host.chars().all(is_bare) {
            return Err("write a host name or an IP address, without turn: and without a path");
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// An address as URIs want it.
fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
