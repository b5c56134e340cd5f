//! The server in the form that browsers take: `iceServers`, and TURN URIs.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use net::Transports;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use probe::{Service, Uri, UriHost};
use relay::{RelayAddress, Transport};
use serde::Serialize;

use crate::browsers::{MOST_URIS, rank, refusing};
use crate::certificate::Name;
use crate::config::Config;

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
    /// The entry for a server reached by `uris`.
    pub(crate) fn new(uris: &[Uri], credential: relay::keys::Credential) -> Self {
        Self {
            urls: uris.iter().map(Uri::to_string).collect(),
            username: credential.username,
            credential: credential.password,
        }
    }

    /// Where it is.
    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The user name of the credential.
    pub(crate) fn username(&self) -> &str {
        &self.username
    }

    /// Its password.
    pub(crate) fn credential(&self) -> &str {
        &self.credential
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
        for (scheme, server) in self.urls.iter().filter_map(|url| url.split_once(':')) {
            lines.push_str(&format!("{scheme}://{user}:{password}@{server}\n"));
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
    host: UriHost,
    port: Option<u16>,
}

/// The TURN URIs for clients: those that the configuration has, unless a name is given, or else those
/// of its listeners. In the order in which a browser should try them, and no more than it should
/// have. URIs that browsers refuse are left out, unless there are no others. RFC 7065 §3.1.
pub(crate) fn uris(config: &Config, name: Option<&PublicName>) -> Vec<Uri> {
    if name.is_none() && !config.advertised.is_empty() {
        let mut uris = config.advertised.clone();
        uris.sort_by_key(rank);
        return uris;
    }
    let all = of_listeners(config, name, &certified(config));
    let good = |uri: &&Uri| uri.port.is_some_and(|port| refusing(port).is_none());
    let good: Vec<Uri> = all.iter().filter(good).cloned().collect();
    fairly(if good.is_empty() { all } else { good })
}

/// The browser that does not open a URI, for those who are shown it.
pub(crate) fn note(uri: &Uri) -> Option<&'static str> {
    let is_address = matches!(uri.host, UriHost::Address(_));
    (uri.is_secure && is_address).then_some("not Firefox")
}

/// An address in URIs that is one of this host's own, and that nobody has written as the public one.
pub(crate) fn guessed(config: &Config, uris: &[Uri]) -> Option<IpAddr> {
    if !config.advertised.is_empty() {
        return None;
    }
    let mut relays = config.relay.addresses.iter();
    let is_given = |ip: IpAddr| uris.iter().any(|uri| uri.host == UriHost::Address(ip));
    let is_own = |relay: &&RelayAddress| relay.local == relay.external && is_given(relay.local);
    let relay = relays.find(is_own)?;
    (!config.relay.external.contains(&relay.external)).then_some(relay.external)
}

/// Whether clients refuse a URI by its name, which no certificate is for.
pub(crate) fn is_uncertified(config: &Config, uri: &Uri) -> bool {
    uri.is_secure && !is_certified(config, &uri.host)
}

/// The name by which clients check the server over TLS: that of a URI which they are given, or else
/// the best one that the server can prove to have.
pub(crate) fn secure_host(config: &Config) -> Option<UriHost> {
    let advertised = config.advertised.iter().filter(|uri| uri.is_secure);
    let mut hosts = advertised.map(|uri| &uri.host);
    let given = hosts.find(|host| is_certified(config, host));
    given.cloned().or_else(|| best(&certified(config)))
}

impl PublicName {
    /// Whether it has one port for listeners of several: then it is right for one of them at most.
    pub(crate) fn hides_ports(&self, config: &Config) -> bool {
        // Of which no URI is made.
        let dtls = Transports::Only(Transport::Dtls);
        let listeners = config.listeners.iter().filter(|it| it.transports != dtls);
        let mut ports = listeners.map(|listener| listener.listen.port());
        let first = ports.next();
        self.port.is_some() && ports.any(|port| Some(port) != first)
    }
}

/// One for each transport and port, of that transport with the best port first. Not over DTLS:
/// browsers take `turns:` for TLS whatever transport it names.
fn of_listeners(config: &Config, name: Option<&PublicName>, certified: &[UriHost]) -> Vec<Uri> {
    let mut uris: Vec<Uri> = Vec::new();
    for listener in &config.listeners {
        let port = name.and_then(|name| name.port);
        let port = port.unwrap_or(listener.listen.port());
        for transport in listener.transports.each() {
            let host = match (name, transport) {
                (_, Transport::Dtls) => None,
                (Some(name), _) => Some(name.host.clone()),
                (None, Transport::Tls) => best(certified),
                (None, Transport::Udp | Transport::Tcp) => public(config, listener.listen.ip()),
            };
            let uri = host.map(|host| uri(transport, host, port));
            let same = |other: &Uri| {
                let of = |uri: &Uri| (uri.is_secure, uri.transport, uri.port);
                uri.as_ref().map(of) == Some(of(other))
            };
            if !uris.iter().any(same) {
                uris.extend(uri);
            }
        }
    }
    // A firewall that lets little pass lets the web pass.
    uris.sort_by_key(|uri| {
        let is_stream = uri.transport == Some(probe::Transport::Tcp);
        (rank(uri), is_stream && uri.port != Some(443))
    });
    uris
}

/// The URI of a transport at a host and port.
pub(crate) fn uri(transport: Transport, host: UriHost, port: u16) -> Uri {
    Uri {
        service: Service::Turn,
        is_secure: transport.is_secure(),
        host,
        port: Some(port),
        transport: Some(if transport.is_stream() {
            probe::Transport::Tcp
        } else {
            probe::Transport::Udp
        }),
    }
}

/// The name to reach TLS by: an address only where there is no other.
fn best(certified: &[UriHost]) -> Option<UriHost> {
    let is_name = |host: &&UriHost| matches!(host, UriHost::Name(_));
    let name = certified.iter().find(is_name);
    name.or_else(|| certified.first()).cloned()
}

/// The names that the server can prove to have, or will once the certificate has come that it gets by
/// itself. The realm is the first if it is one of them: the operator has called the server so.
fn certified(config: &Config) -> Vec<UriHost> {
    let certificates = config.tls.certificates.iter();
    let names = certificates.flat_map(|filed| filed.certificate.names());
    let realm = UriHost::Name(config.realm.to_ascii_lowercase());
    let realm = (is_bare(&config.realm) && is_certified(config, &realm)).then_some(realm);
    // A client cannot come to all names that a wildcard stands for.
    let host = |name: &Name| match name {
        Name::Host(name) if name.contains('*') => None,
        Name::Host(name) => Some(UriHost::Name(name.clone())),
        Name::Address(ip) => Some(UriHost::Address(*ip)),
    };
    let wanted = config.tls.acme.iter().flat_map(|wanted| &wanted.names);
    let wanted = wanted.map(|name| match name {
        acme::Name::Host(name) => UriHost::Name(name.clone()),
        acme::Name::Address(ip) => UriHost::Address(*ip),
    });
    let names = names.filter_map(host).chain(wanted);
    realm.into_iter().chain(names).collect()
}

/// Whether clients that come by this name are shown a certificate for it.
fn is_certified(config: &Config, host: &UriHost) -> bool {
    let is_wanted = |name: &acme::Name| match (name, host) {
        (acme::Name::Host(own), UriHost::Name(name)) => own.eq_ignore_ascii_case(name),
        (acme::Name::Address(own), UriHost::Address(ip)) => own == ip,
        (acme::Name::Host(_), UriHost::Address(_)) | (acme::Name::Address(_), UriHost::Name(_)) => {
            false
        }
    };
    let mut certificates = config.tls.certificates.iter();
    let mut wanted = config.tls.acme.iter().flat_map(|wanted| &wanted.names);
    certificates.any(|filed| filed.certificate.is_for(host)) || wanted.any(is_wanted)
}

/// Whether a text has the letters of a host name and no others.
fn is_bare(text: &str) -> bool {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
    !text.is_empty() && text.chars().all(is_bare)
}

/// Where clients reach what listens at an address.
fn public(config: &Config, listen: IpAddr) -> Option<UriHost> {
    let relays = &config.relay.addresses;
    if relays.is_empty() {
        return Some(UriHost::Name(config.realm.clone()));
    }
    let is_anywhere = listen.is_unspecified() || listen.is_loopback();
    let mut relays = relays.iter();
    let face = if is_anywhere {
        relays.find(|relay| relay.local.is_ipv4() == listen.is_ipv4())
    } else {
        relays.find(|relay| relay.local == listen)
    };
    match face {
        Some(relay) => Some(UriHost::Address(relay.external)),
        None if is_anywhere => None,
        None => Some(UriHost::Address(listen)),
    }
}

/// As many as a browser should have: the first of each transport, then the second, and so on.
fn fairly(uris: Vec<Uri>) -> Vec<Uri> {
    let mut places = [0; 3];
    let mut places: Vec<(usize, Uri)> = uris
        .into_iter()
        .map(|uri| {
            let place = &mut places[usize::from(rank(&uri))];
            *place += 1;
            (*place, uri)
        })
        .collect();
    places.sort_by_key(|(place, _)| *place);
    places.truncate(MOST_URIS);
    places.sort_by_key(|(place, uri)| (rank(uri), *place));
    places.into_iter().map(|(_, uri)| uri).collect()
}

impl std::str::FromStr for PublicName {
    type Err = &'static str;

    /// `turn.example.org`, `turn.example.org:443`, `192.0.2.7`, `2001:db8::7` or `[2001:db8::7]:443`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Ok(Self {
                host: UriHost::Address(socket.ip()),
                port: Some(socket.port()),
            });
        }
        let literal = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(ip) = literal.unwrap_or(text).parse() {
            return Ok(Self {
                host: UriHost::Address(ip),
                port: None,
            });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| NOT_A_NAME)?)),
            None => (text, None),
        };
        if !is_bare(host) {
            return Err(NOT_A_NAME);
        }
        Ok(Self {
            host: UriHost::Name(host.to_owned()),
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

const NOT_A_NAME: &str =
    "write a host name or an IP address, with a port if need be, without turn: and without a path";

#[cfg(test)]
mod tests {
    use relay::RelayAddress;

    use super::*;
    use crate::config::{Listener, Machine};

    fn listener(transports: impl Into<Transports>, listen: &str) -> Listener {
        Listener {
            transports: transports.into(),
            listen: listen.parse().unwrap(),
        }
    }

    fn config(listeners: &[Listener]) -> Config {
        let mut config = Config::defaults(&Machine::anywhere());
        config.listeners = listeners.to_vec();
        config.relay.addresses = [("10.0.0.5", "203.0.113.7"), ("2001:db8::5", "2001:db8::5")]
            .map(|(local, external)| RelayAddress {
                local: local.parse().unwrap(),
                external: external.parse().unwrap(),
            })
            .into();
        config
    }

    fn listed(uris: &[Uri]) -> Vec<String> {
        uris.iter().map(Uri::to_string).collect()
    }

    fn named(name: &str, listeners: &[Listener]) -> Vec<String> {
        let name = name.parse().unwrap();
        listed(&uris(&config(listeners), Some(&name)))
    }

    #[test]
    fn each_transport_and_port_is_one_uri_whatever_the_families() {
        let listeners = [
            listener(Transport::Tcp, "0.0.0.0:3478"),
            listener(Transport::Tcp, "0.0.0.0:443"),
            listener(Transport::Udp, "0.0.0.0:3478"),
            listener(Transport::Udp, "[::]:3478"),
        ];
        assert_eq!(
            named("turn.example.org", &listeners),
            [
                "turn:turn.example.org:3478?transport=udp",
                "turn:turn.example.org:443?transport=tcp",
                "turn:turn.example.org:3478?transport=tcp",
            ]
        );
    }

    #[test]
    fn a_listener_is_reached_where_the_world_sees_it() {
        let listeners = [
            listener(Transport::Udp, "0.0.0.0:3478"),
            listener(Transport::Udp, "[::]:3479"),
            listener(Transport::Tcp, "10.0.0.5:3478"),
            listener(Transport::Tcp, "198.51.100.1:443"),
        ];
        assert_eq!(
            listed(&uris(&config(&listeners), None)),
            [
                "turn:203.0.113.7:3478?transport=udp",
                "turn:[2001:db8::5]:3479?transport=udp",
                "turn:198.51.100.1:443?transport=tcp",
                "turn:203.0.113.7:3478?transport=tcp",
            ]
        );
    }

    #[test]
    fn four_uris_have_every_transport_and_the_ports_that_firewalls_let_through() {
        let listeners = ["0.0.0.0:3478", "0.0.0.0:5349", "0.0.0.0:443"].map(|listen| {
            [
                listener(Transports::Datagrams, listen),
                listener(Transports::Streams, listen),
            ]
        });
        assert_eq!(
            named("turn.example.org", listeners.as_flattened()),
            [
                "turn:turn.example.org:3478?transport=udp",
                "turn:turn.example.org:5349?transport=udp",
                "turn:turn.example.org:443?transport=tcp",
                "turns:turn.example.org:443?transport=tcp",
            ]
        );
    }

    #[test]
    fn over_tls_the_server_has_a_name_of_its_certificate_or_no_uri() {
        let config = config(&[listener(Transports::Streams, "0.0.0.0:443")]);
        let address = UriHost::Address("203.0.113.7".parse().unwrap());
        let name = UriHost::Name("turn.example.org".to_owned());
        let secure = |certified: &[UriHost]| {
            let uris = of_listeners(&config, None, certified);
            let secure = uris.into_iter().find(|uri| uri.is_secure);
            secure.map(|uri| (uri.to_string(), note(&uri)))
        };
        let uri = |text: &str, note| Some((text.to_owned(), note));
        assert_eq!(secure(&[]), None);
        assert_eq!(
            secure(std::slice::from_ref(&address)),
            uri("turns:203.0.113.7:443?transport=tcp", Some("not Firefox"))
        );
        assert_eq!(
            secure(&[address, name]),
            uri("turns:turn.example.org:443?transport=tcp", None)
        );
    }

    #[test]
    fn over_tls_the_realm_is_the_name_if_a_certificate_is_for_it() {
        let mut config = config(&[listener(Transport::Tls, "0.0.0.0:443")]);
        config.tls.acme = Some(acme::Wanted {
            names: ["foo.net", "turn.foo.net", "203.0.113.7"]
                .map(|name| name.parse().unwrap())
                .into(),
            directory: acme::PRODUCTION.to_owned(),
            roots: Vec::new(),
            contact: Vec::new(),
            profile: None,
            external_account: None,
            http_01: None,
        });
        for (realm, host) in [
            ("TURN.foo.net", "turn.foo.net"),
            ("a realm", "foo.net"),
            ("example.org", "foo.net"),
        ] {
            realm.clone_into(&mut config.realm);
            let uri = format!("turns:{host}:443?transport=tcp");
            assert_eq!(listed(&uris(&config, None)), [uri]);
            assert_eq!(secure_host(&config), Some(UriHost::Name(host.to_owned())));
        }
        for (name, is_refused) in [
            ("foo.net", false),
            ("other.example.net", true),
            ("203.0.113.7", false),
            ("203.0.113.8", true),
        ] {
            let uri = &uris(&config, Some(&name.parse().unwrap()))[0];
            assert_eq!(is_uncertified(&config, uri), is_refused, "{uri}");
        }
    }

    #[test]
    fn one_port_does_not_stand_for_listeners_of_several() {
        let hides = |name: &str, listeners: &[Listener]| {
            let name: PublicName = name.parse().unwrap();
            name.hides_ports(&config(listeners))
        };
        let udp = listener(Transport::Udp, "0.0.0.0:3478");
        let tcp = listener(Transport::Tcp, "0.0.0.0:3478");
        let tls = listener(Transport::Tls, "0.0.0.0:443");
        let dtls = listener(Transport::Dtls, "0.0.0.0:5349");
        assert!(hides("a:8443", &[udp, tls]));
        assert!(!hides("a", &[udp, tls]));
        assert!(!hides("a:8443", &[udp, tcp, dtls]));
    }

    #[test]
    fn what_browsers_refuse_is_left_out_unless_it_is_all_there_is() {
        let dns = listener(Transport::Udp, "0.0.0.0:53");
        let usual = listener(Transport::Udp, "0.0.0.0:3478");
        let dtls = listener(Transport::Dtls, "0.0.0.0:5349");
        let (only, both) = (["turn:a:53?transport=udp"], ["turn:a:3478?transport=udp"]);
        assert_eq!(named("a", &[dns, dtls]), only);
        assert_eq!(named("a", &[dns, usual]), both);
    }

    #[test]
    fn what_is_advertised_stands_for_all_listeners_in_the_order_for_browsers() {
        let mut config = config(&[listener(Transport::Udp, "0.0.0.0:3478")]);
        let advertised = [
            "turns:turn.example.org:443?transport=tcp",
            "turn:turn.example.org:3478?transport=udp",
        ];
        config.advertised = advertised.map(|uri| uri.parse().unwrap()).into();
        assert_eq!(listed(&uris(&config, None)), [advertised[1], advertised[0]]);
        let name = "198.51.100.1".parse().unwrap();
        assert_eq!(
            listed(&uris(&config, Some(&name))),
            ["turn:198.51.100.1:3478?transport=udp"]
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
            assert_eq!(named(name, &listeners), [uri], "{name}");
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
        let uris = [
            "turn:[2001:db8::7]:80?transport=udp",
            "turns:a:443?transport=tcp",
        ];
        let uris = uris.map(|uri| uri.parse().unwrap());
        let lines = IceServer::new(&uris, credential).lines();
        let with_both = "turn://1%3Aa%40b:p%2F%2B%3D@[2001:db8::7]:80?transport=udp\n\
                         turns://1%3Aa%40b:p%2F%2B%3D@a:443?transport=tcp\n";
        assert!(lines.ends_with(with_both), "{lines}");
    }

    #[test]
    fn json_is_an_object_for_a_peer_connection() {
        let credential = relay::keys::Credential {
            username: "1:a".to_owned(),
            password: "p".to_owned(),
        };
        let server = IceServer::new(&["turn:a:1?transport=udp".parse().unwrap()], credential);
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
