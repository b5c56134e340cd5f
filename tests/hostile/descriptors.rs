//! File descriptors: TCP clients leave one for every relay port.

use std::net::{Ipv4Addr, TcpStream};

use lab::{PATIENCE, program::here, server::Server, wait_for, world::in_own_world};

use crate::server::{SERVER, setup};
use crate::{clients, silence::allow_many_files, stream::connect};

#[test]
fn tcp_clients_take_only_the_open_files_that_the_ports_leave() {
    in_own_world(|_| {
        allow_many_files();
        let of_800_files = |program: &str| {
            let mut prlimit = here("prlimit");
            prlimit.args(["--nofile=800:800", program]);
            prlimit
        };
        let more = "relay.ports = '20000-20399'\nunauthenticated.per-prefix = 'unlimited'";
        let mut server = Server::start_by(of_800_files, setup().with(more));
        // 256 are for other uses.
        let left = 800 - 256 - 400;
        server.wait_for_line(&["WARN", "open files", &format!("connections={left}")]);
        let crowd: Vec<TcpStream> = (0..760_u16)
            .map(|number| {
                let [high, low] = number.to_be_bytes();
                connect((Ipv4Addr::new(127, 61 + high, low, 1), 0).into(), SERVER)
            })
            .collect();
        // All have been accepted or refused when the last is.
        let refused = |stream: &TcpStream| stream.peek(&mut [0]).is_ok_and(|length| length == 0);
        for stream in &crowd {
            stream.set_nonblocking(true).expect("a socket");
        }
        wait_for("the refusals", PATIENCE, || {
            let count = crowd.iter().filter(|stream| refused(stream)).count();
            (count == crowd.len() - left).then_some(())
        });
        let sessions = [(); 90].map(|()| clients::on_udp().allocated());
        drop((crowd, sessions));
        server.stop();
    });
}
