//! Data caps: what follows when a user or a realm has used up the data of a month.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use client::Transport;
use lab::{
    PATIENCE,
    live::{Code, LiveClient},
    server::{Server, USER, serving},
    socket::peer_at,
    wait_for,
    world::{PEER_V4, SERVER_V4, in_own_world},
};
use serde_json::Value;

use crate::realms::{OTHER_PASSWORD, another_realm};
use crate::usage::{Place, events_in, in_one_line, pass};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_user_over_a_cap_is_refused_with_486_until_the_cap_is_lifted_and_a_restart_forgets_nothing() {
    let place = Place::new();
    in_own_world(|world| {
        let keys = format!(
            "{}\n{}",
            place.written(),
            cap("user = '*'\nmonth = '20 kB'\nthen = 'refuse'")
        );
        let setup = place.setup(&keys);
        let mut server = world.serve(setup.clone());
        let (mut caller, _) = LiveClient::udp().allocated();
        pass(&mut caller, 21);
        server.wait_for_line(&["cap.reached", "user=\"alice\"", "then=\"refuse\""]);
        assert_eq!(refused(LiveClient::udp()), Code(486));
        // A call that runs goes on.
        caller.refresh(MINUTE).expect("an allocation");
        pass(&mut caller, 1);
        let capped = capped_until_the_end(&place, &mut server, 1);
        assert_eq!(capped.len(), 1);
        assert_eq!(
            (&capped[0]["cap"], &capped[0]["then"]),
            (&20_000.into(), &"refuse".into())
        );

        let server = world.serve(setup);
        wait_for("the cap of before", PATIENCE, || {
            (LiveClient::udp().allocate() == Err(Code(486))).then_some(())
        });
        assert!(
            !server.log().contains("cap.reached"),
            "it was told: {}",
            server.log()
        );
        let status = place.ask(world, &server, &["status"]);
        assert!(
            in_one_line(&status).contains("over a cap 1 (refuse)"),
            "{status}"
        );
        let usage = place.ask(world, &server, &["usage"]);
        assert!(usage.contains(" refuse\n"), "{usage}");
        // Lifted at a reload, at once.
        let file = server.config();
        place
            .setup(&place.written())
            .write(PathBuf::from(&file).parent().expect("a directory"));
        let told = place.ask(world, &server, &["reload"]);
        assert!(told.starts_with("changed: [[cap]]\n"), "{told}");
        wait_for("an allocation", PATIENCE, || {
            LiveClient::udp().allocate().ok()
        });
    });
}

#[test]
fn a_throttled_user_goes_on_at_the_rate_of_the_cap() {
    let place = Place::new();
    let cap = cap("month = '20 kB'\nthen = 'throttle'\nthrottle = '80kbit/s'");
    serving(
        place.setup(&format!("usage.every = '5s'\n{cap}")),
        |_world, server| {
            let (mut caller, _) = LiveClient::udp().allocated();
            pass(&mut caller, 30);
            server.wait_for_line(&["cap.reached", "then=\"throttle\""]);
            let (peer, address) = peer_at(PEER_V4);
            peer.set_read_timeout(Some(Duration::from_secs(1)))
                .expect("a socket");
            // It is there when the shards were told, a moment after the line.
            wait_for("the rate of the cap", PATIENCE, || {
                (0..100).for_each(|_| caller.post(address, &[7; 1000]));
                let passed = (0..100)
                    .take_while(|_| peer.recv(&mut [0; 1000]).is_ok())
                    .count();
                // The largest datagram may come at once, in any case.
                (passed <= 67).then_some(())
            });
        },
    );
}

#[test]
fn a_cap_that_warns_stops_nobody_and_that_of_a_realm_is_met_by_all_its_users_together() {
    let place = Place::new();
    let caps = [
        cap("realm = 'example.net'\nuser = '*'\nmonth = '10 kB'\nthen = 'warn'"),
        cap("realm = 'hairpin.test'\nmonth = '20 kB'\nthen = 'refuse'"),
    ];
    let setup = place.setup("auth.users.bob = 'builder'");
    let setup = setup.with(&place.written()).with(&another_realm());
    serving(setup.with(&caps.join("\n")), |world, server| {
        let of_net = || {
            let client = LiveClient::to((IpAddr::from(SERVER_V4), 3479), Transport::Udp);
            client.login(USER, OTHER_PASSWORD)
        };
        let bob = || LiveClient::udp().login("bob", "builder");
        let clients = [of_net(), LiveClient::udp(), bob()];
        let [mut warned, _alice, _bob] = clients.map(|client| {
            let (mut client, _) = client.allocated();
            pass(&mut client, 11);
            client
        });
        let net = "realm=\"example.net\"";
        server.wait_for_line(&["WARN cap.reached", net, "user=\"alice\"", "then=\"warn\""]);
        server.wait_for_line(&[
            "WARN cap.reached",
            "realm=\"hairpin.test\"",
            "then=\"refuse\"",
        ]);
        for client in [LiveClient::udp(), bob()] {
            assert_eq!(refused(client), Code(486));
        }
        pass(&mut warned, 5);
        of_net().allocated();

        let status = place.ask(world, server, &["status"]);
        let told = "over a cap 1 (warn), 1 (refuse)";
        assert!(in_one_line(&status).contains(told), "{status}");
        let capped = capped_until_the_end(&place, server, 2);
        let mut capped: Vec<String> = capped
            .iter()
            .map(|it| format!("{} {} {}", it["then"], it["realm"], it["user"]))
            .collect();
        capped.sort();
        assert_eq!(
            capped,
            [
                r#""refuse" "hairpin.test" null"#,
                r#""warn" "example.net" "alice""#
            ]
        );
        // Once in a month each.
        assert_eq!(server.log().matches("cap.reached").count(), 2);
    });
}

/// All events of caps in the file when the server has ended, of which so many are there before.
#[track_caller]
fn capped_until_the_end(place: &Place, server: &mut Server, count: usize) -> Vec<Value> {
    let capped = || {
        let mut events = events_in(&place.path("usage.jsonl"));
        events.retain(|event| event["type"] == "usage.capped");
        events
    };
    // A cap is in force before its event is written.
    wait_for("the events of caps", PATIENCE, || {
        (capped().len() >= count).then_some(())
    });
    server.stop();
    capped()
}

#[track_caller]
fn refused(mut client: LiveClient) -> Code {
    let patience = PATIENCE;
    wait_for("a refusal", patience, || client.allocate().err())
}

fn cap(keys: &str) -> String {
    format!("[[cap]]\n{keys}")
}
