//! The configurations of the recipes, served and asked.

use std::{
    io::{BufRead, BufReader, Write},
    net::{IpAddr, SocketAddr},
    thread,
    time::Duration,
};

use client::Transport;
use lab::{
    PATIENCE,
    live::{Code, LiveClient},
    machine::configure,
    program::Program,
    wait_for,
    world::{SERVER_V4, SERVER_V6, World, in_own_world, in_own_world_for},
};
use rustix::process::Signal;
use wire::AddressFamily;

use super::{
    Directory, Page, SECRET, SHOP_SECRET, TakenUp, assert_meet, base, changes, client,
    configuration, with_credential, with_files,
};

#[test]
fn every_configuration_of_the_recipes_is_taken_up_as_its_page_says_and_relays() {
    // A server for each of them.
    in_own_world_for(Duration::from_secs(400), |world| {
        run_metadata_service(world);
        let base = base();
        for change in changes() {
            if change.page == "ipv6" {
                let add = |ip| format!("address add {ip} dev server0\n");
                // The server binds to an address of IPv6 at once.
                let lines = PUBLIC
                    .map(add)
                    .concat()
                    .replace("/128 dev server0", "/128 dev server0 nodad");
                configure(world.on_server_host("ip"), &lines);
            }
            let directory = Directory::certified(match change.by {
                TakenUp::Restart => &change.configuration,
                TakenUp::Reload => &base,
            });
            let mut server = directory.serve(world);
            if change.by == TakenUp::Reload {
                reload(&mut server, &directory, &change.configuration);
            }
            assert_relays_as_its_page_says(&change.page);
            if change.page == "ipv6" {
                let remove = |ip| format!("address del {ip} dev server0\n");
                configure(world.on_server_host("ip"), &PUBLIC.map(remove).concat());
            }
        }
    });
}

/// Has a server with the base configuration take up this one, and nothing is left for a restart.
#[track_caller]
fn reload(server: &mut Program, directory: &Directory, configuration: &str) {
    directory.write("turnserver.toml", &with_files(configuration));
    server.signal(Signal::HUP);
    server.wait_for_words("configuration.reloaded");
    let log = server.output();
    assert!(!log.contains("configuration.waits"), "{log}");
}

/// The public addresses of the pages' host.
const PUBLIC: [&str; 2] = ["203.0.113.7/32", "2001:db8::7/128"];

/// Allocations have the addresses of the page, and only where it allows the private host of its SFU may they send there.
fn assert_relays_as_its_page_says(page: &str) {
    let allocate = |family| {
        let mut client = client(SERVER_V4, 3478, Transport::Udp);
        let relayed = client.allocate_of(family).expect("an allocation");
        (client, relayed.ip())
    };
    let public = PUBLIC.map(|ip| ip.split_once('/').expect("a length").0);
    let wanted: [IpAddr; 2] = match page {
        "nat" => [public[0].parse().expect("an address"), SERVER_V6.into()],
        "ipv6" => public.map(|ip| ip.parse().expect("an address")),
        _ => [SERVER_V4.into(), SERVER_V6.into()],
    };
    // A server that asks for its address may have the answer a moment after the reload.
    wait_for(&format!("{page}: {wanted:?}"), PATIENCE, || {
        let relayed = [AddressFamily::V4, AddressFamily::V6].map(|family| allocate(family).1);
        (relayed == wanted).then_some(())
    });
    let sfu = SocketAddr::from(([10, 0, 0, 7], 10_000));
    let (mut client, _) = allocate(AddressFamily::V4);
    let is_allowed = ["bigbluebutton", "freeswitch", "livekit"].contains(&page);
    let expected = if is_allowed { Ok(()) } else { Err(Code(403)) };
    assert_eq!(client.create_permission(sfu), expected, "{page}");
}

/// A cloud's service, which tells the server's host the public address.
fn run_metadata_service(world: &World) {
    configure(
        world.on_server_host("ip"),
        "address add 169.254.169.254/32 dev lo\n",
    );
    let service = world.server_side_listener(SocketAddr::from(([169, 254, 169, 254], 80)));
    thread::spawn(move || {
        for mut stream in service.incoming().map_while(Result::ok) {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let is_known = request
                .first()
                .is_some_and(|line| line.starts_with("GET /latest/meta-data/public-ipv4 "));
            let answer: &[u8] = if is_known {
                b"HTTP/1.0 200 OK\r\n\r\n203.0.113.7"
            } else {
                b"HTTP/1.0 404 Not Found\r\n\r\n"
            };
            // A server that has gone is none of ours.
            let _ = stream.write_all(answer);
        }
    });
}

#[test]
fn the_base_configuration_serves_both_ports_both_families_and_every_transport() {
    in_own_world(|world| {
        let directory = Directory::certified(&base());
        let _server = directory.serve(world);
        for port in [443, 3478] {
            for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
                let over_v4 = client(SERVER_V4, port, transport);
                let over_v6 = client(SERVER_V6, port, transport);
                assert_meet(over_v4, over_v6, AddressFamily::V4);
            }
        }
    });
}

/// `ipv6.md`.
#[test]
fn clients_of_either_family_have_allocations_of_either() {
    in_own_world(|world| {
        let directory = Directory::certified(&base());
        let _server = directory.serve(world);
        for family in [AddressFamily::V4, AddressFamily::V6] {
            let over_v4 = client(SERVER_V4, 3478, Transport::Udp);
            let over_v6 = client(SERVER_V6, 3478, Transport::Udp);
            assert_meet(over_v4, over_v6, family);
        }
    });
}

/// `nat.md`.
#[test]
fn behind_nat_allocations_have_the_public_address() {
    in_own_world(|world| {
        let page = Page::read("nat");
        let listed = page.under("Hairpin", "toml")[0];
        let directory = Directory::certified(&configuration(listed));
        let _server = directory.serve(world);
        let mut client = client(SERVER_V4, 3478, Transport::Udp);
        let relayed = client.allocate().expect("an allocation");
        assert_eq!(relayed.ip().to_string(), "203.0.113.7");
    });
}

/// `two-realms.md`.
#[test]
fn each_of_two_services_is_good_at_its_own_port_alone() {
    in_own_world(|world| {
        let page = Page::read("two-realms");
        let directory = Directory::certified(&configuration(page.only("Hairpin", "toml")));
        let _server = directory.serve(world);
        let allocate = |port, secret, user| {
            let client = LiveClient::to((SERVER_V4, port), Transport::Udp);
            with_credential(client, secret, user).allocate().map(drop)
        };
        assert_eq!(allocate(3478, SECRET, "alice"), Ok(()));
        assert_eq!(allocate(3479, SHOP_SECRET, "alice"), Ok(()));
        assert_eq!(allocate(3479, SECRET, "alice"), Err(Code(401)));
        assert_eq!(allocate(3478, SHOP_SECRET, "alice"), Err(Code(401)));
        // A name that ends in the realm is of that realm at every listener.
        assert_eq!(allocate(443, SHOP_SECRET, "alice@shop.example"), Ok(()));
        assert_eq!(allocate(443, SECRET, "alice@shop.example"), Err(Code(401)));
    });
}

/// `monitoring.md`.
#[test]
fn the_command_of_the_page_prints_the_metrics() {
    in_own_world(|world| {
        let page = Page::read("monitoring");
        let directory = Directory::certified(&configuration(page.only("Hairpin", "toml")));
        let _server = directory.serve(world);
        let mut shell = world.on_server_host("sh");
        shell.arg("-c").arg(page.only("See that it works", "sh"));
        let printed = Program::succeed(shell);
        assert!(printed.contains("\nturn_"), "{printed}");
    });
}
