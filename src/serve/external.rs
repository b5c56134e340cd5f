//! The addresses that the world knows this host by, behind 1:1 NAT: `external = "auto"`.

use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use probe::doctor::reflexive_address;
use relay::RelayAddress;
use relay::policy::block;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::config::{Config, Teller};

/// The local addresses whose external ones are wanted, and those who are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Question {
    tellers: Vec<Teller>,
    /// Private addresses of this host: a public one is its own external one.
    locals: Vec<IpAddr>,
}

impl Question {
    /// Of a configuration; empty if there is nothing to find out.
    pub(crate) fn of(config: &Config) -> Self {
        let Some(tellers) = config.relay.tellers.clone().filter(|it| !it.is_empty()) else {
            return Self::default();
        };
        let locals = config.relay.addresses.iter().map(|pair| pair.local);
        Self {
            tellers,
            locals: locals.filter(|local| block(*local).is_some()).collect(),
        }
    }

    /// Asks for each address, one teller after the other until one knows it. An answer that was
    /// known before is kept where nobody answers, and for an address that is away: it may be back
    /// before anybody can be asked again.
    pub(crate) async fn ask(&self, known: &[RelayAddress]) -> Vec<RelayAddress> {
        let is_away = |pair: &RelayAddress| !self.locals.contains(&pair.local);
        let mut found: Vec<_> = known.iter().copied().filter(is_away).collect();
        for &local in &self.locals {
            let kept = known.iter().find(|pair| pair.local == local).copied();
            let mut silent = Vec::new();
            let mut told = None;
            for teller in &self.tellers {
                match external(teller, local).await {
                    Ok(external) => {
                        told = Some(RelayAddress { local, external });
                        break;
                    }
                    Err(error) => silent.push((teller, error)),
                }
            }
            for (teller, error) in silent {
                let outcome = outcome(told, kept, local);
                warn!(address = %local, %teller, %error, "address.unknown: {outcome}");
            }
            found.extend(told.or(kept));
        }
        found
    }
}

/// The consequence where a service that was asked did not tell the external address of `local`.
fn outcome(told: Option<RelayAddress>, kept: Option<RelayAddress>, local: IpAddr) -> String {
    if told.is_some() {
        return "the external address was told by another of [relay] external-from".to_owned();
    }
    let nobody = "nobody told the external address ([relay] external-from)";
    if let Some(RelayAddress { external, .. }) = kept {
        return format!("{nobody}: {external}, which was told before, is used");
    }
    let is_private = match local {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    };
    let kind = if is_private { "private " } else { "" };
    format!(
        "{nobody}: peers are told this {kind}one, and calls from outside fail; it is asked for \
         again every minute. Name somebody who knows it there, or write the address in [relay] \
         external"
    )
}

/// Finds them out again and again, for as long as the server runs.
pub(super) async fn follow(
    mut question: watch::Receiver<Question>,
    found: watch::Sender<Vec<RelayAddress>>,
) {
    let mut unconfirmed = Vec::new();
    loop {
        let asked = question.borrow_and_update().clone();
        let known = found.borrow().clone();
        let answer = asked.ask(&known).await;
        let is_settled = is_believed(&known, &unconfirmed, &answer);
        if is_settled && answer != known {
            found.send_replace(answer);
        } else {
            unconfirmed = answer;
        }
        let is_found = |local| found.borrow().iter().any(|pair| pair.local == local);
        let is_whole = asked.locals.iter().copied().all(is_found);
        let wait = match (is_settled, is_whole) {
            (false, _) => CONFIRM,
            (true, false) => RETRY,
            (true, true) => AGAIN,
        };
        tokio::select! {
            changed = question.changed() => if changed.is_err() {
                return pending().await;
            },
            () = sleep(wait) => {}
        }
    }
}

/// Whether an answer counts. A network with several ways out may show another address once: what
/// takes the place of a known address, and ends calls, has to be told twice.
fn is_believed(
    known: &[RelayAddress],
    unconfirmed: &[RelayAddress],
    answer: &[RelayAddress],
) -> bool {
    let is_new = |pair: &RelayAddress| known.iter().all(|known| known.local != pair.local);
    let mut pairs = answer.iter();
    pairs.all(|pair| is_new(pair) || known.contains(pair) || unconfirmed.contains(pair))
}

/// The answer of one teller.
async fn external(teller: &Teller, local: IpAddr) -> io::Result<IpAddr> {
    let answer = match teller {
        Teller::Stun(server) => reflexive_address(server, local).await?,
        Teller::Metadata if local.is_ipv4() => metadata(METADATA).await?.into(),
        Teller::Metadata => return Err(io::Error::other("it knows IPv4 addresses only")),
    };
    let refused = || io::Error::other(format!("it tells {answer}, which cannot be one"));
    can_be(answer, local).then_some(answer).ok_or_else(refused)
}

/// Whether a host elsewhere could reach the local address by this one. It may be private: there are
/// networks with a NAT within.
const fn can_be(external: IpAddr, local: IpAddr) -> bool {
    match external {
        IpAddr::V4(ip) => {
            let is_unicast = matches!(ip.octets()[0], 1..=126 | 128..=223);
            local.is_ipv4() && is_unicast && !ip.is_link_local()
        }
        // Global unicast, and what is unique within a network.
        IpAddr::V6(ip) => {
            local.is_ipv6() && matches!(ip.segments()[0], 0x2000..=0x3FFF | 0xFC00..=0xFDFF)
        }
    }
}

/// Asks a cloud's metadata service in the ways of all clouds, until one of them is its own.
async fn metadata(service: SocketAddr) -> io::Result<Ipv4Addr> {
    let mut last = io::Error::other("no metadata service");
    // Amazon wants a token where its older way is switched off.
    let token = timeout(PATIENCE, http(service, TOKEN)).await;
    let token = token.ok().and_then(Result::ok).unwrap_or_default();
    for request in CLOUDS {
        let request = request.replace("{token}", token.trim());
        match timeout(PATIENCE, http(service, &request)).await {
            Ok(Ok(body)) => match body.trim().parse() {
                Ok(address) => return Ok(address),
                Err(_) => last = io::Error::other("it knows no public address of this host"),
            },
            Ok(Err(error)) => last = error,
            // It is silent: no other question will change that.
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
    Err(last)
}

/// The body of the answer to a request line and its headers, if it is 200.
async fn http(service: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(service).await?;
    let (line, headers) = request.split_once('\n').unwrap_or((request, ""));
    let host = service.ip();
    let headers = headers.replace('\n', "\r\n");
    let request = format!("{line} HTTP/1.0\r\nHost: {host}\r\n{headers}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MOST).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        status => Err(io::Error::other(format!(
            "status {}",
            status.unwrap_or("unknown")
        ))),
    }
}

/// Where every cloud has its metadata service.
const METADATA: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80);

/// Request line and headers for a token.
const TOKEN: &str =
    "PUT /latest/api/token\nX-aws-ec2-metadata-token-ttl-seconds: 60\nContent-Length: 0";

/// Request lines and headers: of Amazon and OpenStack, Google, Azure, DigitalOcean, Hetzner.
const CLOUDS: [&str; 5] = [
    "GET /latest/meta-data/public-ipv4\nX-aws-ec2-metadata-token: {token}",
    "GET /computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip\n\
     Metadata-Flavor: Google",
    "GET /metadata/instance/network/interface/0/ipv4/ipAddress/0/publicIpAddress\
     ?api-version=2021-02-01&format=text\nMetadata: true",
    "GET /metadata/v1/interfaces/public/0/ipv4/address",
    "GET /hetzner/v1/metadata/public-ipv4",
];

/// How long the metadata service, a neighbour, may take for an answer; in tests, whose machine is busy, longer.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 2 });

/// The longest answer that is read, in bytes.
const MOST: u64 = 4096;

/// Between two times.
const AGAIN: Duration = Duration::from_secs(300);

/// Until nobody's answer is asked for again.
const RETRY: Duration = Duration::from_secs(60);

/// Until an answer that differs is asked for again.
const CONFIRM: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A metadata service that answers the request whose path and header these are, as clouds do:
    /// nothing else, and nothing without the header.
    fn cloud(path: &'static str, header: &'static str, body: &'static str) -> SocketAddr {
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = service.local_addr().unwrap();
        thread::spawn(move || {
            for stream in service.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let request: Vec<String> = lines
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let is_token = request[0].starts_with("PUT /latest/api/token ");
                let is_known = request[0].starts_with(&format!("GET {path}"))
                    && (header.is_empty() || request.iter().any(|line| line == header));
                let answer = match (is_token && header.contains("aws"), is_known) {
                    (true, _) => "HTTP/1.1 200 OK\r\n\r\nsesame".to_owned(),
                    (false, true) => format!("HTTP/1.1 200 OK\r\nServer: x\r\n\r\n{body}\n"),
                    (false, false) => "HTTP/1.1 404 Not Found\r\n\r\nno".to_owned(),
                };
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn the_metadata_service_of_each_cloud_tells_the_external_address() {
        let clouds = [
            (
                "/latest/meta-data/public-ipv4 ",
                "X-aws-ec2-metadata-token: sesame",
            ),
            ("/latest/meta-data/public-ipv4 ", ""),
            ("/computeMetadata/v1/instance/", "Metadata-Flavor: Google"),
            ("/metadata/instance/network/", "Metadata: true"),
            ("/metadata/v1/interfaces/public/0/ipv4/address ", ""),
            ("/hetzner/v1/metadata/public-ipv4 ", ""),
        ];
        for (path, header) in clouds {
            let told = metadata(cloud(path, header, "203.0.113.7")).await;
            assert_eq!(told.unwrap(), Ipv4Addr::new(203, 0, 113, 7), "{path}");
        }
        assert!(metadata(cloud("/else", "", "203.0.113.7")).await.is_err());
        let nothing = metadata(cloud("/hetzner/v1/metadata/public-ipv4 ", "", "")).await;
        assert!(
            nothing
                .unwrap_err()
                .to_string()
                .contains("no public address")
        );
    }

    #[test]
    fn what_no_peer_could_reach_is_not_taken_for_an_external_address() {
        let (v4, v6) = ("10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap());
        let takes = |external: &str, local| can_be(external.parse().unwrap(), local);
        assert!(takes("9.9.9.9", v4) && takes("172.16.0.9", v4));
        assert!(takes("2620:fe::9", v6) && takes("fd01::9", v6));
        assert!(!takes("9.9.9.9", v6) && !takes("2620:fe::9", v4));
        for external in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "169.254.169.254",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!takes(external, v4), "{external}");
        }
        for external in [
            "::",
            "::1",
            "::ffff:9.9.9.9",
            "::9.9.9.9",
            "64:ff9b::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!takes(external, v6), "{external}");
        }
    }

    #[tokio::test]
    async fn an_external_address_is_remembered_while_its_local_one_is_away() {
        let known = [RelayAddress {
            local: [10, 0, 0, 5].into(),
            external: [9, 9, 9, 9].into(),
        }];
        assert_eq!(Question::default().ask(&known).await, known);
    }

    #[test]
    fn an_external_address_takes_the_place_of_another_when_it_is_told_twice() {
        let told = |last| {
            vec![RelayAddress {
                local: [10, 0, 0, 5].into(),
                external: [203, 0, 113, last].into(),
            }]
        };
        assert!(is_believed(&[], &[], &told(7)));
        assert!(is_believed(&told(7), &[], &told(7)));
        assert!(!is_believed(&told(7), &[], &told(8)));
        assert!(!is_believed(&told(7), &told(9), &told(8)));
        assert!(is_believed(&told(7), &told(8), &told(8)));
    }

    #[test]
    fn what_follows_where_nobody_tells_the_external_address_is_said() {
        let pair = |local: &str| RelayAddress {
            local: local.parse().unwrap(),
            external: [203, 0, 113, 7].into(),
        };
        let said = |told, kept, local: &str| outcome(told, kept, local.parse().unwrap());
        let private = said(None, None, "10.0.0.5");
        assert!(private.contains("peers are told this private one, and calls from outside fail"));
        assert!(said(None, None, "100.64.0.5").contains("peers are told this one"));
        let kept = said(None, Some(pair("10.0.0.5")), "10.0.0.5");
        assert!(kept.contains("203.0.113.7, which was told before, is used"));
        let told = said(Some(pair("10.0.0.5")), None, "10.0.0.5");
        assert!(told.contains("by another of [relay] external-from"));
    }

    #[test]
    fn nobody_is_asked_who_is_not_named_and_nothing_that_is_known() {
        let read = |external: &str| {
            let text = format!("[relay]\naddresses = [\"10.0.0.5\", \"2a00::5\"]\n{external}");
            let path = std::path::Path::new("turnserver.toml");
            let host = crate::config::Machine::anywhere();
            Question::of(&crate::config::read(&text, path, &host).unwrap().config)
        };
        assert_eq!(read(""), Question::default());
        assert_eq!(read("external = \"auto\"\n"), Question::default());
        let asked = read("external = \"auto\"\nexternal-from = \"metadata\"\n");
        let locals = vec!["10.0.0.5".parse().unwrap()];
        let tellers = vec![Teller::Metadata];
        assert_eq!(asked, Question { tellers, locals });
    }
}
