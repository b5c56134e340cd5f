//! Other people's clients explore a NAT with our servers: coturn's `turnutils_natdiscovery` by
//! RFC 5780, Debian's `stun` by RFC 3489. There is no NAT; a strict firewall filters as one does,
//! and is recognised only if every answer comes from the right address.

use std::net::{IpAddr, SocketAddr};

use client::Transport;
use lab::{
    PATIENCE,
    authority::Wish,
    foreign::{assert_says, natdiscovery_by, stun_by},
    machine::Machine,
    program::here,
    server::{PORT, Server, serving},
    setup::Setup,
    socket::LiveSocket,
    wait_for,
    world::{
        ALTERNATE_V4, ALTERNATE_V6, CLIENT_V4, CLIENT_V6, FAR_V4, FAR_V6, SERVER_V4, SERVER_V6,
        World, in_own_world,
    },
};
use wire::attributes::{ChangeRequest, ErrorCode, OtherAddress, ResponseOrigin, XorMappedAddress};
use wire::{Class, Message, Method, TransactionId, Writer};

use crate::far::far_host;

#[test]
fn natdiscovery_finds_a_mapping_that_does_not_change() {
    in_own_world(|world| {
        let _server = two_addresses(world);
        let found = natdiscovery(SERVER_V4.into(), &["-m"]);
        assert_says(&found, "NAT with Endpoint Independent Mapping!");
        assert_says(&found, "No ALG: Mapped == XOR-Mapped");
        // The first answer names the other address, the second comes from it.
        assert_says(&found, "Other addr: : 198.51.100.3:3479");
        assert_says(&found, "Response origin: : 198.51.100.3:3478");
    });
}

#[test]
fn natdiscovery_finds_no_filter_where_there_is_none() {
    in_own_world(|world| {
        let _server = two_addresses(world);
        for options in [&["-f"][..], &["-f", "-P"]] {
            let found = natdiscovery(SERVER_V4.into(), options);
            assert_says(&found, "NAT with Endpoint Independent Filtering!");
        }
    });
}

#[test]
fn natdiscovery_finds_a_filter_by_address() {
    in_own_world(|world| {
        let _server = two_addresses(world);
        world.drop_incoming(&format!("ip saddr {ALTERNATE_V4}"));
        let found = natdiscovery(SERVER_V4.into(), &["-f"]);
        assert_says(&found, "NAT with Address Dependent Filtering!");
        assert_says(&found, "Response origin: : 198.51.100.1:3479");
    });
}

#[test]
fn natdiscovery_finds_a_filter_by_address_and_port() {
    in_own_world(|world| {
        let _server = two_addresses(world);
        world.drop_incoming("udp sport 3479");
        let found = natdiscovery(SERVER_V4.into(), &["-f"]);
        assert_says(&found, "NAT with Address and Port Dependent Filtering!");
    });
}

#[test]
fn natdiscovery_finds_the_same_over_ipv6() {
    in_own_world(|world| {
        let _server = two_addresses(world);
        let local = CLIENT_V6.to_string();
        let found = natdiscovery(SERVER_V6.into(), &["-m", "-f", "-L", &local]);
        assert_says(&found, "Other addr: : 2001:db8:51::3:3479");
        assert_says(&found, "NAT with Endpoint Independent Filtering!");
        world.drop_incoming(&format!("ip6 saddr {ALTERNATE_V6}"));
        let found = natdiscovery(SERVER_V6.into(), &["-f", "-L", &local]);
        assert_says(&found, "NAT with Address Dependent Filtering!");
    });
}

#[test]
fn natdiscovery_hears_at_the_port_that_it_asks_for_that_its_mapping_lives() {
    in_own_world(|world| {
        let _server = two_addresses(world);
        let found = natdiscovery(SERVER_V4.into(), &["-t", "-T", "1"]);
        assert_says(&found, "RFC 5780 response 2");
        assert!(!found.contains("timeout"), "{found}");
    });
}

#[test]
fn natdiscovery_hears_padded_answers() {
    in_own_world(|world| {
        let _server = two_addresses(world);
        let found = natdiscovery(SERVER_V4.into(), &["-m", "-P"]);
        assert_says(&found, "NAT with Endpoint Independent Mapping!");
        let found = natdiscovery(SERVER_V4.into(), &["-H", "-P"]);
        assert_says(&found, "maybe a successful hairpinning");
    });
}

#[test]
fn natdiscovery_is_told_that_there_is_no_second_address() {
    serving(Setup::default(), |_, _| {
        let found = natdiscovery(SERVER_V4.into(), &["-m", "-f"]);
        assert_says(&found, "UDP reflexive addr");
        assert!(!found.contains("RFC 5780 response"), "{found}");
    });
}

/// It sends a CHANGE-REQUEST without flags, and so do all programs that are made from it.
#[test]
fn stun_of_rfc_3489_hears_its_address_from_a_server_with_one() {
    serving(Setup::default(), |_, _| {
        let found = stun(SERVER_V4.into());
        assert_says(&found, &format!("MappedAddress = {CLIENT_V4}:"));
        // A success, to the first of its requests.
        assert_says(&found, "Received message of type 257  id=1");
    });
}

#[test]
fn stun_of_rfc_3489_finds_the_internet_open() {
    in_own_world(|world| {
        let _server = two_addresses(world);
        let found = stun(SERVER_V4.into());
        assert_says(&found, "Primary: Open");
        assert_says(&found, "ChangedAddress = 198.51.100.3:3479");
        assert_says(&found, "SourceAddress = 198.51.100.1:3479");
    });
}

#[test]
fn stun_of_rfc_3489_finds_a_firewall() {
    in_own_world(|world| {
        let _server = two_addresses(world);
        world.drop_incoming(&format!("ip saddr {ALTERNATE_V4}"));
        assert_says(&stun(SERVER_V4.into()), "Primary: Firewall");
    });
}

#[test]
fn two_hosts_with_one_address_each_find_what_one_with_two_does() {
    in_own_world(|world| {
        let _partners = Partners::start(world);
        let found = natdiscovery(SERVER_V4.into(), &["-m", "-f"]);
        assert_says(&found, "NAT with Endpoint Independent Mapping!");
        assert_says(&found, "NAT with Endpoint Independent Filtering!");
        assert_says(&found, "Other addr: : 192.0.2.9:3479");
        assert_says(&found, "Response origin: : 192.0.2.9:3479");
        // Whichever is asked first.
        let found = natdiscovery(FAR_V4.into(), &["-m", "-f", "-P"]);
        assert_says(&found, "NAT with Endpoint Independent Mapping!");
        assert_says(&found, "NAT with Endpoint Independent Filtering!");
        assert_says(&found, "Response origin: : 198.51.100.1:3479");
        let found = natdiscovery(SERVER_V6.into(), &["-f", "-L", &CLIENT_V6.to_string()]);
        assert_says(&found, "NAT with Endpoint Independent Filtering!");
        assert_says(&found, "Response origin: : 2001:db8:192::9:3479");
    });
}

#[test]
fn two_hosts_with_one_address_each_tell_filters_apart() {
    in_own_world(|world| {
        let _partners = Partners::start(world);
        world.drop_incoming(&format!("ip saddr {FAR_V4}"));
        let found = natdiscovery(SERVER_V4.into(), &["-f"]);
        assert_says(&found, "NAT with Address Dependent Filtering!");
        world.drop_incoming("udp sport 3479");
        let found = natdiscovery(SERVER_V4.into(), &["-f"]);
        assert_says(&found, "NAT with Address and Port Dependent Filtering!");
    });
}

#[test]
fn stun_of_rfc_3489_takes_two_partners_for_one_server() {
    in_own_world(|world| {
        let _partners = Partners::start(world);
        let found = stun(SERVER_V4.into());
        assert_says(&found, "Primary: Open");
        assert_says(&found, "SourceAddress = 192.0.2.9:3478");
        world.drop_incoming(&format!("ip saddr {FAR_V4}"));
        assert_says(&stun(SERVER_V4.into()), "Primary: Firewall");
    });
}

#[test]
fn without_its_partner_a_host_offers_one_address_and_with_it_two_again() {
    in_own_world(|world| {
        let mut partners = Partners::start(world);
        partners.there.stop();
        // One partner of each family, 15 seconds after the last note.
        partners.near.wait_for_news("partner.lost", FAR);
        let found = natdiscovery(SERVER_V4.into(), &["-m", "-f"]);
        assert_says(&found, "UDP reflexive addr");
        assert!(!found.contains("RFC 5780 response"), "{found}");
        partners.there = partners.start_there();
        partners.there.wait_for_line(&["partner.met"]);
        // The other server learns of it by the same note.
        wait_for("a second address", PATIENCE, || {
            let found = natdiscovery(SERVER_V4.into(), &["-f"]);
            found
                .contains("NAT with Endpoint Independent Filtering!")
                .then_some(())
        });
    });
}

/// Two servers that have met, each on a host with one address of each family.
struct Partners {
    near: Server,
    there: Server,
    far: Machine,
}

impl Partners {
    #[track_caller]
    fn start(world: &World) -> Self {
        let far = far_host(1500);
        let near = world.serve(Setup::default().with(&partner_of(FAR)));
        let there = start_there(&far);
        near.wait_for_news("partner.met", FAR);
        there.wait_for_news("partner.met", NEAR);
        Self { near, there, far }
    }

    #[track_caller]
    fn start_there(&self) -> Server {
        start_there(&self.far)
    }
}

#[track_caller]
fn start_there(far: &Machine) -> Server {
    let listeners = FAR.map(|ip| SocketAddr::new(ip, PORT));
    let setup = Setup::at(&listeners, &[]).with(&partner_of(NEAR));
    Server::start_by(|program| far.command(program), setup)
}

/// The table that makes a server the partner of another host's.
fn partner_of(other: [IpAddr; 2]) -> String {
    let [v4, v6] = at_3479(other);
    format!(
        "[nat-discovery]\npartner = [\"{v4}\", \"{v6}\"]\n\
         secret = \"what only the two of them know\"\n"
    )
}

fn at_3479(ips: [IpAddr; 2]) -> [SocketAddr; 2] {
    ips.map(|ip| SocketAddr::new(ip, 3479))
}

/// No client of RFC 5780 over TLS is known, so the messages are written here.
#[test]
fn over_tls_the_corners_name_the_one_across_and_change_nothing() {
    in_own_world(|world| {
        world.add_alternates();
        let primary = SocketAddr::from((SERVER_V4, PORT));
        let alternate = SocketAddr::from((ALTERNATE_V4, 3479));
        let setup = Setup::at(&[], &[SERVER_V4.into()]).with_certificates(&[Wish::RIGHT]);
        let _server = world.serve(setup.with(&format!(
            "[[listener]]\ntransport = 'auto'\nlisten = '{primary}'\n\
             [nat-discovery]\nalternate = '{alternate}'\n"
        )));
        for (port, across) in [(PORT, 3479), (3479, PORT)] {
            let corner = SocketAddr::from((SERVER_V4, port));
            let socket = LiveSocket::to(corner, Transport::Tls, 0);
            let ask = |change: Option<ChangeRequest>| {
                let mut request = Vec::new();
                let transaction = TransactionId::new([7; 12]);
                let mut writer =
                    Writer::new(&mut request, Method::Binding, Class::Request, transaction);
                if let Some(change) = change {
                    writer.put(&change);
                }
                socket.send(&request);
                let mut answer = vec![0; 2048];
                let length = socket.receive(&mut answer, PATIENCE).expect("an answer");
                answer.truncate(length);
                answer
            };
            let answer = ask(None);
            let answer = Message::parse(&answer).expect("an answer");
            assert_eq!(answer.get(), Ok(Some(XorMappedAddress(socket.address()))));
            assert_eq!(answer.get(), Ok(Some(ResponseOrigin(corner))));
            let other = SocketAddr::from((ALTERNATE_V4, across));
            assert_eq!(answer.get(), Ok(Some(OtherAddress(other))));

            let refused = ask(Some(ChangeRequest {
                ip: true,
                port: true,
            }));
            let refused = Message::parse(&refused).expect("an answer");
            let error = refused.get::<ErrorCode<'_>>().expect("a readable answer");
            assert_eq!(error.map(|it| it.code), Some(420));
        }
    });
}

/// A server whose host has two addresses of each family.
fn two_addresses(world: &World) -> Server {
    world.add_alternates();
    let [v4, v6] = at_3479([ALTERNATE_V4.into(), ALTERNATE_V6.into()]);
    world.serve(Setup::default().with(&format!(
        "[nat-discovery]\nalternate = [\"{v4}\", \"{v6}\"]\n"
    )))
}

/// The output of coturn's client.
#[track_caller]
fn natdiscovery(server: IpAddr, options: &[&str]) -> String {
    let local = CLIENT_V4.to_string();
    let local = ["-L", &local];
    let local = if server.is_ipv4() { &local[..] } else { &[] };
    natdiscovery_by(here, server, &[local, options].concat())
        .wait(PATIENCE)
        .output
}

/// The output of Debian's client. Its last line has the number of the NAT type.
#[track_caller]
fn stun(server: IpAddr) -> String {
    stun_by(here, server).wait(PATIENCE).output
}

/// The addresses of the two partners.
const NEAR: [IpAddr; 2] = [IpAddr::V4(SERVER_V4), IpAddr::V6(SERVER_V6)];
const FAR: [IpAddr; 2] = [IpAddr::V4(FAR_V4), IpAddr::V6(FAR_V6)];
