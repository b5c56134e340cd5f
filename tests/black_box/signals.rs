//! Signals: those that mean something, and those that other servers' scripts send.

use lab::{
    live::LiveClient,
    program::{Program, here},
    server::serving,
    setup::Setup,
    socket::peer_at,
    world::{PEER_V4, in_own_world},
};
use rustix::process::Signal;

#[test]
fn no_signal_but_three_ends_or_drains_anything() {
    serving(Setup::default(), |_, server| {
        let (mut session, relayed) = LiveClient::udp().allocated();
        let (peer, address) = peer_at(PEER_V4);
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
            server.program.signal(signal);
            peer.send_to(b"hello", relayed).expect("a route");
            assert_eq!(session.receive(), (address, b"hello".to_vec()));
        }
        // Real-time signals end a process by default, too, and rustix has no names for them.
        let mut kill = here("kill");
        kill.args(["-40", &server.program.pid().to_string()]);
        Program::succeed(kill);
        // The same signal again, when the first has surely arrived.
        server.wait_for_line(&["this signal does nothing"]);
        server.program.signal(Signal::HUP);
        server.program.signal(Signal::USR2);
        let _newcomer = LiveClient::udp().allocated();
        peer.send_to(b"still there", relayed).expect("a route");
        assert_eq!(session.receive(), (address, b"still there".to_vec()));
        assert!(server.program.ended().is_none());
        let ended = server.stop();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
    });
}

#[test]
fn a_server_without_a_configuration_says_so_at_sighup() {
    in_own_world(|world| {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut server = world.serve_unconfigured(home.path());
        server.program.signal(Signal::HUP);
        server.wait_for_line(&["there is no configuration file to read"]);
        assert!(server.program.ended().is_none());
    });
}
