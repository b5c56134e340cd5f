//! Newcomers beside a flood of requests in the names of others: how many are answered when they ask
//! for the first time.

use std::{
    env,
    net::{Ipv4Addr, UdpSocket},
    thread,
    time::Duration,
};

use lab::world::in_own_world;

use crate::{
    clients, crowds,
    reflection::yield_to_others,
    server::setup,
    silence::allow_many_files,
    strangers::{ALLOCATE, Strangers, socket_at},
};

#[test]
fn newcomers_of_a_network_that_had_a_client_lately_are_answered_beside_forged_sources() {
    in_own_world(|_| {
        allow_many_files();
        let mut server = crowds::start(setup());
        let nets = 0..NEWCOMERS;
        for net in nets.clone() {
            let socket = socket_at(Ipv4Addr::new(127, 70, net, 1));
            clients::on_datagrams(socket).allocated();
        }
        let at = |second: u8| {
            let newcomer = move |net| socket_at(Ipv4Addr::new(127, second, net, 2));
            nets.clone().map(newcomer).collect::<Vec<UdpSocket>>()
        };
        let (acquaintances, strangers) = (at(70), at(80));
        let rate = env::var("HAIRPIN_FLOOD_RATE").ok();
        let rate = rate.map_or(RATE, |rate| rate.parse().expect("a number"));
        let mut flood = Strangers::gather();
        let flood = thread::spawn(move || {
            yield_to_others();
            let took = flood.ask_at(rate, DURATION);
            (flood, took)
        });
        // The budget's first second is for all who come.
        thread::sleep(Duration::from_secs(3));
        for (acquaintance, stranger) in acquaintances.iter().zip(&strangers) {
            for newcomer in [acquaintance, stranger] {
                newcomer.send(ALLOCATE).expect("the server is there");
            }
            thread::sleep(Duration::from_millis(20));
        }
        let (mut flood, took) = flood.join().expect("strangers who ask");
        flood.hear();
        flood.assert_within_budget(took);
        let [known, unseen] =
            [acquaintances, strangers].map(|all| all.iter().filter(hears).count());
        println!(
            "newcomers of {NEWCOMERS} networks beside {:.0} requests a second: {known} are answered \
             at once where there was a client, {unseen} where there was none",
            flood.sent() as f64 / took.as_secs_f64()
        );
        server.wait_for_line(&["answers.held-back", "[unauthenticated]"]);
        let log = server.log();
        assert_eq!(log.matches("answers.held-back").count(), 1, "{log}");
        let dropped = server.stop().sockets("receive-overflow");
        println!("dropped in front of the server: {dropped}");
        // A server that is kept from its processor for too long never saw some of them.
        let most = usize::from(NEWCOMERS) / 100 + usize::try_from(dropped).expect("few");
        assert!(usize::from(NEWCOMERS) - known <= most, "{known}");
        assert!(unseen < usize::from(NEWCOMERS), "there is no flood");
    });
}

fn hears(newcomer: &&UdpSocket) -> bool {
    newcomer.set_nonblocking(true).expect("a socket");
    newcomer.recv(&mut [0; 256]).is_ok()
}

const NEWCOMERS: u8 = 200;
const DURATION: Duration = Duration::from_secs(8);
/// A debug build on a busy machine can read as many, and the budget lets it answer fewer.
const RATE: usize = 5_000;
