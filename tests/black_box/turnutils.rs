//! coturn's own clients: `turnutils_uclient` and `turnutils_stunclient`.

use std::{net::IpAddr, process::Command};

use lab::{
    PATIENCE,
    program::Program,
    server::{Server, USER, serving},
    setup::Setup,
    wait_for,
    world::{CLIENT_V4, CLIENT_V6, PEER_V4, PEER_V6, SERVER_V4, SERVER_V6, in_own_world},
};

use crate::{
    credentials::{ELSEWHERE, EXPIRED_IN_2001, IN_MILLISECONDS, VALID_UNTIL_2038, WITHOUT_EXPIRY},
    uclient::Uclient,
};

#[test]
fn channels_carry_data_over_udp() {
    serving(Setup::default(), |_, _| {
        Uclient::to(PEER_V4).relays_everything();
    });
}

#[test]
fn channels_carry_data_over_tcp() {
    serving(Setup::default(), |_, _| {
        Uclient::to(PEER_V4).flag("-t").relays_everything();
    });
}

#[test]
fn send_indications_carry_data_over_udp() {
    serving(Setup::default(), |_, _| {
        Uclient::to(PEER_V4).flag("-s").relays_everything();
    });
}

#[test]
fn send_indications_carry_data_over_tcp() {
    serving(Setup::default(), |_, _| {
        Uclient::to(PEER_V4).flags("-s -t").relays_everything();
    });
}

#[test]
fn channels_and_send_indications_carry_data_over_tls() {
    serving(Setup::default().with_tls(), |_, _| {
        Uclient::to(PEER_V4).over_tls().relays_everything();
        Uclient::to(PEER_V6)
            .at(SERVER_V6)
            .over_tls()
            .flags("-x -s -m 5")
            .relays_everything();
    });
}

#[test]
fn two_clients_meet_relay_to_relay_over_udp() {
    in_own_world(|world| {
        // The relayed addresses are the server's own, so no rule has to allow them.
        let _server = world.serve(Setup::closed());
        Uclient::pair().relays_everything();
    });
}

#[test]
fn two_clients_meet_relay_to_relay_over_tcp_with_send_indications() {
    serving(Setup::closed(), |_, _| {
        Uclient::pair().flags("-s -t").relays_everything();
    });
}

#[test]
fn an_ipv6_relay_carries_data_for_an_ipv6_client() {
    serving(Setup::default(), |_, _| {
        Uclient::to(PEER_V6)
            .at(SERVER_V6)
            .flag("-x")
            .relays_everything();
    });
}

#[test]
fn an_ipv6_relay_carries_data_for_an_ipv4_client_over_tcp() {
    serving(Setup::default(), |_, _| {
        Uclient::to(PEER_V6).flags("-x -t").relays_everything();
    });
}

#[test]
fn reserved_ports_for_rtcp_carry_data_over_udp() {
    serving(Setup::default(), |_, _| {
        Uclient::to(PEER_V4).with_rtcp().relays_everything();
    });
}

#[test]
fn reserved_ports_for_rtcp_carry_data_over_tcp_for_several_clients() {
    serving(Setup::default(), |_, _| {
        Uclient::to(PEER_V4)
            .with_rtcp()
            .flags("-t -m 5")
            .relays_everything();
    });
}

#[test]
fn two_clients_with_rtcp_meet_relay_to_relay() {
    serving(Setup::closed(), |_, _| {
        Uclient::pair().with_rtcp().relays_everything();
    });
}

#[test]
fn a_dual_allocation_carries_data_to_an_ipv4_peer() {
    serving(Setup::default(), |_, server| {
        Uclient::to(PEER_V4).flag("-Z").relays_everything();
        assert_dual(server);
    });
}

#[test]
fn a_dual_allocation_carries_data_to_an_ipv6_peer() {
    serving(Setup::default(), |_, server| {
        Uclient::to(PEER_V6).flag("-Z").relays_everything();
        assert_dual(server);
    });
}

#[test]
fn clients_that_change_their_address_go_on_over_udp() {
    serving(eight_shards(), |_, server| {
        Uclient::to(PEER_V4).moving().relays_everything();
        assert_moved(server);
    });
}

#[test]
fn clients_that_change_their_address_go_on_over_tcp() {
    serving(eight_shards(), |_, server| {
        Uclient::to(PEER_V4).moving().flag("-t").relays_everything();
        assert_moved(server);
    });
}

#[test]
fn clients_that_change_their_address_go_on_with_send_indications_relay_to_relay() {
    serving(eight_shards().with("peers.allow = []"), |_, server| {
        Uclient::pair().moving().flags("-s -t").relays_everything();
        assert_moved(server);
    });
}

#[test]
fn dual_allocations_follow_clients_that_change_their_address() {
    serving(eight_shards(), |_, server| {
        Uclient::to(PEER_V6).moving().flag("-Z").relays_everything();
        assert_moved(server);
    });
}

#[test]
fn a_wrong_password_opens_nothing() {
    serving(Setup::default(), |_, _| {
        Uclient::to(PEER_V4)
            .credential(USER, "looking-glass")
            .gets_nothing();
    });
}

#[test]
fn a_time_limited_credential_opens_an_allocation() {
    serving(Setup::default(), |_, _| {
        let (name, password) = VALID_UNTIL_2038;
        Uclient::to(PEER_V4)
            .credential(name, password)
            .relays_everything();
    });
}

#[test]
fn time_limited_names_in_the_forms_of_other_servers_open_an_allocation() {
    serving(Setup::default(), |_, _| {
        for (name, password) in ELSEWHERE {
            Uclient::to(PEER_V4)
                .credential(name, password)
                .relays_everything();
        }
    });
}

#[test]
fn the_log_says_what_is_wrong_with_a_time_limited_name() {
    serving(Setup::default(), |_, server| {
        for ((name, password), sentence) in [
            (
                IN_MILLISECONDS,
                "the expiry in the name is in milliseconds, and must be in seconds",
            ),
            (
                WITHOUT_EXPIRY,
                "are for EXPIRY:USER, USER:EXPIRY or EXPIRY, in seconds since 1970",
            ),
        ] {
            Uclient::to(PEER_V4)
                .credential(name, password)
                .gets_nothing();
            server.wait_for_line(&[sentence]);
        }
    });
}

#[test]
fn an_expired_credential_opens_nothing() {
    serving(Setup::default(), |_, _| {
        let (name, password) = EXPIRED_IN_2001;
        Uclient::to(PEER_V4)
            .credential(name, password)
            .gets_nothing();
    });
}

#[test]
fn the_reflexive_address_is_the_clients_own() {
    in_own_world(|world| {
        let _server = world.serve(Setup::default());
        for (server, client) in [
            (IpAddr::from(SERVER_V4), IpAddr::from(CLIENT_V4)),
            (SERVER_V6.into(), CLIENT_V6.into()),
            (SERVER_V4.into(), PEER_V4.into()),
        ] {
            let mut stunclient = Command::new("turnutils_stunclient");
            stunclient
                .args(["-L", &client.to_string()])
                .arg(server.to_string());
            let ended = Program::run(stunclient, PATIENCE);
            let seen = format!("UDP reflexive addr: {client}:");
            assert!(
                ended.status.success() && ended.output.contains(&seen),
                "{ended:?}"
            );
        }
    });
}

/// The log shows an allocation with an address of each family.
#[track_caller]
fn assert_dual(server: &Server) {
    let log = server.log();
    let is_dual = |line: &str| {
        line.contains("allocation.opened")
            && line.contains(&SERVER_V4.to_string())
            && line.contains(&SERVER_V6.to_string())
    };
    assert!(log.lines().any(is_dual), "{log}");
}

/// The log shows that clients moved, and some of them from shard to shard, where the allocation
/// gets another id.
#[track_caller]
fn assert_moved(server: &Server) {
    wait_for("lines of moves", PATIENCE, || {
        let log = server.log();
        let moved = log.lines().filter(|line| line.contains("allocation.moved"));
        let crossed = moved.clone().filter(|line| line.contains("was="));
        (moved.count() >= 5 && crossed.count() >= 1).then_some(())
    });
}

/// With eight shards a client rarely comes to the same one again.
fn eight_shards() -> Setup {
    Setup::default().with("threads = 8")
}
