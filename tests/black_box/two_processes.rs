//! Two servers on one host that share a relay address and a small range of ports.

use std::{collections::HashSet, time::Duration};

use client::Transport;
use lab::{
    PATIENCE,
    live::{Code, LiveClient},
    setup::Setup,
    wait_for,
    world::{SERVER_V4, in_own_world},
};

#[test]
fn two_servers_share_a_range_of_ports_to_its_last() {
    in_own_world(|world| {
        let listeners = [3478, 3479];
        let _servers = listeners.map(|port| {
            world.serve(
                Setup::on_port(port).with("relay.ports = '50000-50003'\nallocation.per-user = 0"),
            )
        });

        let mut sessions: Vec<_> = listeners.repeat(2).into_iter().map(client_of).collect();
        let relayed: HashSet<_> = sessions
            .iter_mut()
            .map(|session| session.allocate().expect("a free port").port())
            .collect();
        assert_eq!(relayed, HashSet::from([50000, 50001, 50002, 50003]));

        for listener in listeners {
            let fifth = client_of(listener).allocate();
            assert_eq!(fifth, Err(Code(508)));
        }

        // A port that the other server was found to use is left alone for a while, but a port that
        // a server gives back it may take again, once the shard that had it has closed its socket.
        sessions[0].refresh(Duration::ZERO).expect("an end");
        wait_for("the port that is free", PATIENCE, || {
            client_of(listeners[0]).allocate().ok()
        });
    });
}

fn client_of(port: u16) -> LiveClient {
    LiveClient::to((SERVER_V4, port), Transport::Udp)
}
