//! `turnutils_uclient` beyond a plain session: options that few clients use, and misbehaviour.

use std::time::Duration;

use lab::{
    server::{SECRET, USER, serving},
    setup::Setup,
    world::{PEER_V4, SERVER_V6, in_own_world_for},
};

use crate::uclient::Uclient;

#[test]
fn an_ipv4_relay_may_be_asked_for_by_its_family() {
    serving(Setup::default(), |_, _| {
        Uclient::to(PEER_V4)
            .at(SERVER_V6)
            .flag("-X")
            .relays_everything();
    });
}

/// In the Allocate and in each Send indication.
#[test]
fn a_client_that_asks_for_df_is_served_over_udp_and_tcp() {
    serving(Setup::default(), |_, _| {
        for transport in ["-v", "-t"] {
            Uclient::to(PEER_V4)
                .flags("-g -s")
                .flag(transport)
                .relays_everything();
        }
    });
}

#[test]
fn channel_data_padded_on_datagrams_is_relayed_without_the_padding() {
    serving(Setup::default(), |_, _| {
        Uclient::to(PEER_V4)
            .flag("-D")
            .length(997)
            .relays_everything();
    });
}

#[test]
fn messages_of_any_length_are_relayed_over_tcp() {
    serving(Setup::default(), |_, _| {
        // The tool's messages begin with a header of 16 bytes.
        for length in [17, 998, 1499] {
            Uclient::to(PEER_V4)
                .flag("-t")
                .length(length)
                .relays_everything();
        }
    });
}

#[test]
fn permissions_and_channels_asked_for_again_and_again_do_no_harm() {
    serving(Setup::default(), |_, _| {
        for transport in ["-v", "-t"] {
            Uclient::to(PEER_V4)
                .flag("-G")
                .flag(transport)
                .relays_everything();
        }
    });
}

#[test]
fn attributes_of_others_that_may_be_ignored_are_ignored_in_a_session() {
    serving(Setup::default(), |_, _| {
        // coturn's own NEW-BANDWIDTH, and ORIGIN of a draft.
        for option in [["-a", "100000"], ["-o", "example.org"]] {
            let [flag, value] = option;
            Uclient::to(PEER_V4)
                .flag(flag)
                .flag(value)
                .relays_everything();
        }
    });
}

#[test]
fn a_client_that_mints_its_credential_from_the_secret_is_served() {
    serving(Setup::default(), |_, server| {
        Uclient::to(PEER_V4)
            .flag("-W")
            .flag(SECRET)
            .relays_everything();
        // Its name is a time and the user.
        assert!(server.log().contains(&format!(":{USER}\"")));
    });
}

#[test]
fn without_a_permission_nothing_passes() {
    serving(Setup::default(), |_, server| {
        Uclient::to(PEER_V4).flags("-I -s").relays_nothing();
        let log = server.stop().output;
        let mut ended = log.lines().filter(|line| line.contains("allocation.ended"));
        let sent_none = |line: &str| line.contains("sent_packets=0 ");
        assert!(ended.clone().count() > 0 && ended.all(sent_none), "{log}");
    });
}

/// Chance decides how the tool's negative tests end, and how many messages they lose, so only the
/// clients after them count. The options make negative tests of attributes and of the protocol,
/// clients that leave silently and come back, and clients that connect and exit at once.
#[test]
fn after_clients_that_misbehave_others_are_served_as_before() {
    // Sixteen clients, of which each may be slow.
    in_own_world_for(Duration::from_secs(400), |world| {
        let _server = world.serve(Setup::default());
        for misbehaviour in ["-N", "-R", "-B", "-O"] {
            for how in ["-s", "-t"] {
                let client = Uclient::to(PEER_V4);
                client.flag(misbehaviour).flag(how).run_for(A_WHILE);
                Uclient::to(PEER_V4)
                    .flag(how)
                    .messages(10)
                    .relays_everything();
            }
        }
    });
}

/// Where messages were lost the tool waits for them much longer than this.
const A_WHILE: Duration = Duration::from_secs(2);
