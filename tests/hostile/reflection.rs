//! Requests in the names of others: the answers that those would get, and the cost for the clients.

use std::{
    env,
    net::{Ipv4Addr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use lab::{server::Server, world::in_own_world};
use rustix::process::nice;

use crate::server::{on_processor, setup};
use crate::{
    bystander::{Bystander, RoundTrips},
    clients,
    silence::allow_many_files,
    strangers::{Strangers, socket_at},
};

#[test]
fn a_flood_from_thousands_of_sources_is_hardly_amplified() {
    in_own_world(|_| {
        allow_many_files();
        let mut server = Server::start(setup());
        let bystander = Bystander::start();
        let mut strangers = Strangers::gather();
        let fence = socket_at(Ipv4Addr::new(127, 51, 0, 1));
        pass(&fence);

        let before = server.program.peak_memory();
        let start = Instant::now();
        while strangers.sent() < REQUESTS {
            strangers.ask();
            // The kernel drops datagrams that are not read, the session's too.
            if strangers.sent().is_multiple_of(AT_ONCE) {
                pass(&fence);
                strangers.hear();
            }
        }
        pass(&fence);
        strangers.hear();
        let grown = server.program.peak_memory().saturating_sub(before);
        let took = start.elapsed();
        strangers.assert_within_budget(took);
        assert!(strangers.answers() < REQUESTS, "all are answered");
        println!("the flood took {took:?} and cost {grown} bytes of memory");
        assert!(grown <= MOST_MEMORY, "{grown} bytes");

        bystander.finish().assert_undisturbed();
        // A client that comes after the flood is served as before.
        thread::sleep(Duration::from_secs(1));
        clients::on_udp().allocate().expect("an allocation");
        let dropped = server.stop().dropped("over-budget");
        assert_eq!(dropped as usize + strangers.answers(), REQUESTS);
    });
}

#[test]
fn twenty_sessions_lose_nothing_beside_a_flood() {
    in_own_world(|_| {
        // The listener's buffer holds the packets of a second, as long as a busy machine may keep a
        // server waiting.
        let beside = beside_a_flood(Server::start(setup()), 5_000, Duration::from_secs(4));
        beside.sessions.assert_lossless();
        assert!(beside.grown <= MOST_MEMORY, "{} bytes", beside.grown);
    });
}

/// Timings are no test: this is for a quiet machine, with a release build.
#[test]
#[ignore = "a measurement: run by `cargo xtask bench flood`"]
fn twenty_sessions_beside_a_flood_are_measured() {
    in_own_world(|_| {
        let wanted = |name| env::var(name).ok()?.parse().ok();
        let rate = wanted("HAIRPIN_FLOOD_RATE").unwrap_or(100_000);
        let seconds = wanted("HAIRPIN_FLOOD_SECONDS").unwrap_or(10);
        let server = Server::start_by(|program| on_processor("0", program), setup());
        beside_a_flood(server, rate, Duration::from_secs(seconds as u64));
    });
}

/// The outcome of the flood.
struct Beside {
    sessions: RoundTrips,
    /// Bytes of memory by which the server grew.
    grown: u64,
}

/// Twenty sessions of fifty datagrams a second each way, beside strangers who send requests at this
/// rate. Their answers must be within the budget.
fn beside_a_flood(mut server: Server, rate: usize, duration: Duration) -> Beside {
    allow_many_files();
    let sessions: Vec<Bystander> = (0..20).map(|_| Bystander::every(VOICE)).collect();
    let mut strangers = Strangers::gather();
    let before = server.program.peak_memory();
    let busy = server.program.processor_time();
    // The flood runs on the same processors as the sessions, whose delay is to be the server's
    // alone.
    let flood = thread::spawn(move || {
        yield_to_others();
        let took = strangers.ask_at(rate, duration);
        (strangers, took)
    });
    let (mut strangers, took) = flood.join().expect("strangers who ask");
    let busy = server.program.processor_time() - busy;
    let sessions = RoundTrips::of_all(sessions.into_iter().map(Bystander::finish));
    strangers.hear();
    strangers.assert_within_budget(took);
    let grown = server.program.peak_memory().saturating_sub(before);
    println!("sessions: {sessions}");
    println!(
        "server: {:.0} requests a second, busy for {:.0} % of the time, {grown} bytes of memory",
        strangers.sent() as f64 / took.as_secs_f64(),
        100.0 * busy.as_secs_f64() / took.as_secs_f64(),
    );
    let totals = server.stop();
    let overflow = totals.sockets("receive-overflow");
    println!("dropped in front of the server: {overflow}");
    Beside { sessions, grown }
}

/// A lower priority for this thread.
pub(crate) fn yield_to_others() {
    nice(10).expect("everyone may yield");
}

/// A Binding that is as long as its answer is always answered, and packets that were sent before it
/// were handled before it.
#[track_caller]
pub(crate) fn pass(fence: &UdpSocket) {
    let mut answer = [0; 64];
    fence.send(BINDING).expect("the server is there");
    let length = fence.recv(&mut answer).expect("an answer to the fence");
    assert_eq!((length, &answer[..2]), (BINDING.len(), &[0x01, 0x01][..]));
}

/// With SOFTWARE, which makes it 32 bytes long.
const BINDING: &[u8; 32] = b"\x00\x01\x00\x0C\x21\x12\xA4\x42is it there?\x80\x22\x00\x08padding!";
const REQUESTS: usize = 100_000;
const AT_ONCE: usize = 100;
/// The pause between two packets of speech.
const VOICE: Duration = Duration::from_millis(20);
/// The server keeps no state for strangers; this is the allocator's share.
const MOST_MEMORY: u64 = 512 << 10;
