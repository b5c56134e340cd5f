//! Two servers on one host that share a relay address and a small range of ports.

use std::{collections::HashSet, time::Duration};

use wire::AddressFamily;

use crate::{
    lab::{server::Setup, world::in_own_world},
    session::{Refused, Session},
};

#[test]
fn two_servers_share_a_range_of_ports_to_its_last() {
    in_own_world(|world| {
        let [one, other] = [3478, 3479].map(|port| Setup {
            port,
            relay_ports: 50000..=50003,
            ..Setup::default()
        });
        let listeners = [one.port, other.port];
        let _servers = [world.serve(one), world.serve(other)];

        let mut sessions: Vec<_> = listeners.repeat(2).into_iter().map(Session::new).collect();
        let relayed: HashSet<_> = sessions
            .iter_mut()
            .map(|session| {
                session
                    .allocate(AddressFamily::V4)
                    .expect("a free port")
                    .port()
            })
            .collect();
        assert_eq!(relayed, HashSet::from([50000, 50001, 50002, 50003]));

        for listener in listeners {
            let fifth = Session::new(listener).allocate(AddressFamily::V4);
            assert_eq!(fifth, Err(Refused(508)));
        }

        // A port that the other server was found to use is left alone for a while, but a port that
        // a server gives back it may take again.
        sessions[0].refresh(Duration::ZERO).expect("an end");
        let again = Session::new(listeners[0]).allocate(AddressFamily::V4);
        assert!(again.is_ok(), "{again:?}");
    });
}
