//! The server in the form that browsers take: `iceServers`, and TURN URIs.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use relay::Transport;
use serde::Serialize;

use crate::config::{Config, Listener};

/// One entry of `RTCConfiguration.iceServers`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct IceServer {
    urls: Vec<String>,
    username: String,
    credential: String,
}

/// The password is left out.
impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
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
        let configuration = Configuration {
            ice_servers: [self],
        };
        let json = serde_json::to_string_pretty(&configuration).expect("strings are JSON");
        json + "\n"
    }

    /// The same for programs that take URIs, one per line; those with user name and password in
    /// them are no URIs of RFC 7065, but widely taken.
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
        let encoded = |text| utf8_percent_encode(text, RESERVED);
        let (user, password) = (encoded(&self.username), encoded(&self.credential));
        for server in self.urls.iter().filter_map(|url| url.strip_prefix("turn:")) {
            lines.push_str(&format!("turn://{user}:{password}@{server}\n"));
        }
        lines
    }
}

/// The part of `RTCConfiguration` that is ours.
#[derive(Serialize)]
struct Configuration<'a> {
    #[serde(rename = "iceServers")]
    ice_servers: [&'a IceServer; 1],
}

/// The name under which clients reach the server, and its port if it is not the listeners'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicName {
    host: String,
    port: Option<u16>,
}

impl PublicName {
    /// The name that the configuration gives: the address that peers see, or the realm.
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
            for (transport, scheme, word) in FORMS {
                let uri = format!("{scheme}:{}:{port}?transport={word}", self.host);
                if listener.transports.has(transport) && !uris.contains(&uri) {
                    uris.push(uri);
                }
            }
        }
        uris
    }
}

impl std::str::FromStr for PublicName {
    type Err = &'static str;

    /// `turn.example.org`, `turn.example.org:443`, `192.0.2.7`, `2001:db8::7` or `[2001:db8::7]:443`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Ok(Self {
                host: bracketed(socket.ip()),
                port: Some(socket.port()),
            });
        }
        let literal = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(ip) = literal.unwrap_or(text).parse() {
            return Ok(Self {
                host: bracketed(ip),
                port: None,
            });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| NOT_A_NAME)?)),
            None => (text, None),
        };
        let is_bare = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
        if host.is_empty() || !host.chars().all(is_bare) {
            return Err(NOT_A_NAME);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// All but the unreserved characters. RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// An address in the form of URIs.
fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

const NOT_A_NAME: &str =
    "write a host name or an IP address, with a port if need be, without turn: and without a path";

/// Each transport with its scheme and its word. RFC 7065 §3.1.
const FORMS: [(Transport, &str, &str); 4] = [
    (Transport::Udp, "turn", "udp"),
    (Transport::Tcp, "turn", "tcp"),
    (Transport::Tls, "turns", "tcp"),
    (Transport::Dtls, "turns", "udp"),
];

#[cfg(test)]
mod tests {

    use super::*;

    fn listener(transport: Transport, listen: &str) -> Listener {
        Listener {
            transports: transport.into(),
            listen: listen.parse().unwrap(),
        }
    }

    fn uris(name: &str, listeners: &[Listener]) -> Vec<String> {
        name.parse::<PublicName>().unwrap().uris(listeners)
    }

    #[test]
    fn each_transport_and_port_is_one_uri_whatever_the_families() {
        let listeners = [
            listener(Transport::Udp, "0.0.0.0:3478"),
            listener(Transport::Udp, "[::]:3478"),
            listener(Transport::Tcp, "0.0.0.0:3478"),
            listener(Transport::Tcp, "0.0.0.0:443"),
        ];
        assert_eq!(
            uris("turn.example.org", &listeners),
            [
                "turn:turn.example.org:3478?transport=udp",
                "turn:turn.example.org:3478?transport=tcp",
                "turn:turn.example.org:443?transport=tcp",
            ]
        );
    }

    #[test]
    fn a_name_may_bring_the_port_that_clients_see() {
        let listeners = [listener(Transport::Udp, "0.0.0.0:3478")];
        for (name, uri) in [
            ("192.0.2.7", "turn:192.0.2.7:3478?transport=udp"),
            ("192.0.2.7:80", "turn:192.0.2.7:80?transport=udp"),
            ("2001:db8::7", "turn:[2001:db8::7]:3478?transport=udp"),
            ("[2001:db8::7]", "turn:[2001:db8::7]:3478?transport=udp"),
            ("[2001:db8::7]:80", "turn:[2001:db8::7]:80?transport=udp"),
            (
                "turn.example.org:80",
                "turn:turn.example.org:80?transport=udp",
            ),
        ] {
            assert_eq!(uris(name, &listeners), [uri], "{name}");
        }
    }

    #[test]
    fn a_name_is_no_uri() {
        for wrong in [
            "",
            "turn:a",
            "turn:a:3478",
            "https://a",
            "a b",
            "a/b",
            "a:70000",
            ":80",
            "a]",
            "[a",
            "a\"b",
        ] {
            assert!(wrong.parse::<PublicName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn user_name_and_password_are_percent_encoded_in_a_uri_that_has_both() {
        let credential = relay::keys::Credential {
            username: "1:a@b".to_owned(),
            password: "p/+=".to_owned(),
        };
        let urls = uris("[2001:db8::7]:80", &[listener(Transport::Udp, "[::]:1")]);
        let lines = IceServer::new(urls, credential).lines();
        let last = lines.lines().last();
        let uri = "turn://1%3Aa%40b:p%2F%2B%3D@[2001:db8::7]:80?transport=udp";
        assert_eq!(last, Some(uri), "{lines}");
    }

    #[test]
    fn json_is_an_object_for_a_peer_connection() {
        let credential = relay::keys::Credential {
            username: "1:a".to_owned(),
            password: "p".to_owned(),
        };
        let server = IceServer::new(vec!["turn:a:1?transport=udp".to_owned()], credential);
        let expected = "{
  \"iceServers\": [
    {
      \"urls\": [
        \"turn:a:1?transport=udp\"
      ],
      \"username\": \"1:a\",
      \"credential\": \"p\"
    }
  ]
}
";
        assert_eq!(server.json(), expected);
    }
}
