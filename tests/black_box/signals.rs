//! Signals: those that mean something, and those that other servers' scripts send.

use std::{net::UdpSocket, process::Command};

use rustix::process::Signal;
use wire::AddressFamily;

use crate::{
    lab::{
        PATIENCE,
        program::Program,
        server::Setup,
        world::{PEER_V4, in_own_world},
    },
    session::Session,
};

#[test]
fn no_signal_but_three_ends_or_drains_anything() {
    in_own_world(|world| {
        let mut server = world.serve(Setup::default());
        let mut session = Session::new(Setup::default().port);
        let relayed = session.allocate(AddressFamily::V4).expect("an allocation");
        let peer = UdpSocket::bind((PEER_V4, 0)).expect("a free port");
        let address = peer.local_addr().expect("a bound socket");
        session.create_permission(address).expect("a permission");
        for signal in [
            Signal::HUP,
            Signal::USR2,
            Signal::QUIT,
            Signal::PIPE,
            Signal::ALARM,
            Signal::VTALARM,
            Signal::PROF,
            Signal::IO,
            Signal::STKFLT,
            Signal::POWER,
            Signal::XCPU,
            Signal::XFSZ,
            Signal::WINCH,
            Signal::URG,
            Signal::CHILD,
            Signal::CONT,
        ] {
            server.signal(signal);
            peer.send_to(b"hello", relayed).expect("a route");
            assert_eq!(session.receive(), (address, b"hello".to_vec()));
        }
        // Real-time signals end a process by default, too, and rustix has no names for them.
        let mut kill = Command::new("kill");
        kill.args(["-40", &server.program.pid().to_string()]);
        let ended = Program::run(kill, "procps", PATIENCE);
        assert!(ended.status.success(), "{}", ended.output);
        // The same signal again, when the first has surely arrived.
        server.wait_for_line("this signal does nothing");
        server.signal(Signal::HUP);
        server.signal(Signal::USR2);
        let mut newcomer = Session::new(Setup::default().port);
        newcomer.allocate(AddressFamily::V4).expect("no draining");
        peer.send_to(b"still there", relayed).expect("a route");
        assert_eq!(session.receive(), (address, b"still there".to_vec()));
        assert!(server.is_running());
        let ended = server.stop();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
    });
}

#[test]
fn a_server_without_a_configuration_says_so_at_sighup() {
    in_own_world(|world| {
        let mut server = world.serve_unconfigured();
        server.signal(Signal::HUP);
        server.wait_for_line("there is no configuration file to read");
        assert!(server.is_running());
    });
}
