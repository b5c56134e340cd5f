//! Receive buffers of relay sockets: as large as the host's memory for UDP bears, and what the operator hears where
//! that is little.

use std::path::Path;

use lab::{
    live::LiveClient,
    program::{Program, number_after},
    server::{PORT, Server, hairpin_by},
    setup::Setup,
    world::{World, in_own_world},
};
use rustix::process::Signal;

/// The numbers are those of docs/configuration.md.
#[test]
fn relay_sockets_have_the_buffer_that_the_memory_of_udp_bears_and_another_after_a_reload() {
    in_own_world(|world| {
        // That of a host with a gibibyte of memory.
        world.show_udp_memory(192 << 20);
        let setup = || Setup::default().with("allocation.total = 1000");
        let server = world.serve(setup());
        server.wait_for_line(&[
            "server.datapath",
            "gro=true gso=true",
            "relay_buffer=402653",
        ]);
        // A host may grant less than is asked for, also for a listener.
        let most = receive_buffer(world, PORT);
        let (_first, before) = LiveClient::udp().allocated();
        assert_eq!(receive_buffer(world, before.port()), most.min(393));
        for (number, (setup, kibibytes)) in [
            (setup().with("allocation.total = 100"), 768),
            (Setup::default(), 256),
        ]
        .into_iter()
        .enumerate()
        {
            reload(&server, &setup, number + 1);
            let (_client, relayed) = LiveClient::udp().allocated();
            assert_eq!(receive_buffer(world, relayed.port()), most.min(kibibytes));
            let checked = check(world, &server);
            let said = format!(
                "{kibibytes} KiB for a relay socket; all UDP of this host may hold 192 MiB"
            );
            assert!(checked.contains(&said), "{checked}");
        }
        assert_eq!(receive_buffer(world, before.port()), most.min(393));
    });
}

#[test]
fn a_host_that_gives_udp_little_memory_is_told_so_at_the_start_and_after_a_reload() {
    in_own_world(|world| {
        world.show_udp_memory(16 << 20);
        let server = world.serve(Setup::default());
        let sentence = "may hold 16 MiB together (net.ipv4.udp_mem)";
        server.wait_for_line(&[
            "WARN",
            "socket.udp-memory",
            sentence,
            "for 1000 allocations",
        ]);
        assert!(check(world, &server).contains("may hold 16 MiB (net.ipv4.udp_mem)"));
        let at_most = |total| Setup::default().with(&format!("allocation.total = {total}"));
        reload(&server, &at_most(8_000), 1);
        server.wait_for_line(&["socket.udp-memory", sentence, "for 8000 allocations"]);
        // That is enough for these.
        reload(&server, &at_most(10), 2);
        reload(&server, &at_most(8_000), 3);
        server.wait_for_lines("for 8000 allocations", 2);
        server.wait_for_lines("socket.udp-memory", 3);
    });
}

/// The KiB of receive buffer that a socket of the server's host has. The kernel says twice what it was asked for.
#[track_caller]
fn receive_buffer(world: &World, port: u16) -> u64 {
    let mut ss = world.on_server_host("ss");
    ss.args(["-Huanm", &format!("sport = :{port}")]);
    let sockets = Program::succeed(ss);
    let buffer = number_after(&sockets, ",rb");
    buffer.unwrap_or_else(|| panic!("no socket at {port}: {sockets}")) / 2 / 1024
}

/// The words of `hairpin check` on the server's configuration.
fn check(world: &World, server: &Server) -> String {
    let mut check = hairpin_by(|program| world.on_server_host(program));
    check.args(["check", "--config", &server.config()]);
    Program::succeed(check)
}

/// Has another configuration read; it is the reload with this number.
fn reload(server: &Server, setup: &Setup, number: usize) {
    let config = server.config();
    setup.write(Path::new(&config).parent().expect("a directory"));
    server.program.signal(Signal::HUP);
    server.wait_for_lines("configuration.reloaded", number);
}
