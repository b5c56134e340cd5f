//! The memory of the process that an allocation costs, with its socket and the task that reads it.

use lab::{live::LiveClient, server::Server, world::in_own_world};

use crate::server::setup;
use crate::{clients, silence::allow_many_files};

#[test]
fn thousands_of_idle_allocations_cost_the_process_little_each() {
    in_own_world(|_| {
        allow_many_files();
        // All of them come from one address at one moment.
        let server = Server::start(setup().with(
            "unauthenticated.per-prefix = 'unlimited'\nunauthenticated.total = 'unlimited'\n\
             allocation.per-user = 0",
        ));
        let (_first, _) = clients::on_udp().allocated();
        let before = server.program.memory();
        let sessions: Vec<LiveClient> = (0..ALLOCATIONS)
            .map(|_| {
                let (session, _) = clients::on_udp().allocated();
                session
            })
            .collect();
        let each = server.program.memory().saturating_sub(before) / ALLOCATIONS;
        println!("{ALLOCATIONS} allocations cost {each} bytes each");
        assert!(each <= MOST, "{each} bytes each");
        drop(sessions);
    });
}

const ALLOCATIONS: u64 = 3000;
/// At most a KiB is the core's; the rest is the runtime's. Memory of the kernel is not counted.
const MOST: u64 = 2560;
