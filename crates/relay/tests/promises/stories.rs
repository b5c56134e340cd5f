//! Stories: "it failed a moment ago" has an answer, also for who has no allocation.

use relay::policy::{Mode, Network, Policy};
use relay::{
    Allowance, Answer, ClientTuple, Command, EndCause, Event, Failed, Method, Refusal, Selection,
    Shown, Standing, Transport,
};
use sim::{Client, LISTENER, Request, World, minutes, password, seconds};

/// All about an allocation, also once it has ended.
#[track_caller]
fn shown(world: &mut World, id: relay::AllocationId) -> Shown {
    let Answer::Shown(Some(shown)) = world.command(0, Command::Show(id)) else {
        panic!("no allocation {id}");
    };
    *shown
}

/// The last control events of an allocation, with their ages in seconds.
fn story(world: &mut World, id: relay::AllocationId) -> Vec<(u64, Event)> {
    let story = shown(world, id).story.into_iter();
    story.map(|it| (it.ago.as_secs(), it.event)).collect()
}

fn lately(world: &mut World, selection: Selection) -> (Vec<Shown>, Vec<Failed>) {
    let Answer::Lately(ended, failed) = world.command(0, Command::Lately(selection)) else {
        panic!("no answer");
    };
    (ended, failed)
}

fn granted(method: Method) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Granted { method: its, .. } if *its == method)
}

fn refused(method: Method, refusal: Refusal) -> impl Fn(&Event) -> bool {
    move |event| {
        matches!(event, Event::Refused { method: its, refusal: why, .. }
            if (*its, *why) == (method, refusal))
    }
}

#[test]
fn the_story_of_an_allocation_has_what_was_asked_refused_and_over() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(60));
    let id = world.relay_of(alice).allocation;
    world.advance(seconds(1));
    alice.permit(&mut world, peer);
    let channel = alice.bind(&mut world, peer);
    let private = Request::create_permission([std::net::SocketAddr::from(([10, 0, 0, 1], 5))]);
    alice.hears_error(&mut world, 403, private);
    world.advance(minutes(11));
    let story = story(&mut world, id);
    let ages: Vec<u64> = story.iter().map(|(ago, _)| *ago).collect();
    assert_eq!(ages, [661, 660, 660, 660, 360, 60]);
    let [
        allocate,
        permit,
        bind,
        refusal,
        permission_over,
        channel_over,
    ] = story[..]
    else {
        panic!("{story:?}");
    };
    assert!(matches!(
        allocate.1,
        Event::Granted {
            method: Method::Allocate,
            lifetime: Some(3600),
            ..
        }
    ));
    assert!(granted(Method::CreatePermission)(&permit.1));
    assert_eq!(permit.1.peer(), Some(peer.0.ip()));
    assert!(
        matches!(bind.1, Event::Granted { channel: Some(its), peer: Some(to), .. }
            if its == channel && to == peer.0)
    );
    assert!(refused(Method::CreatePermission, Refusal::PeerDenied)(
        &refusal.1
    ));
    assert_eq!(refusal.1.peer(), Some([10, 0, 0, 1].into()));
    let over = Event::ChannelOver {
        channel,
        peer: peer.0,
        denied: false,
    };
    assert_eq!(channel_over.1, over);
    let over = Event::PermissionOver {
        peer: peer.0.ip(),
        denied: false,
    };
    assert_eq!(permission_over.1, over);
}

#[test]
fn a_story_outlives_its_allocation_by_a_quarter_of_an_hour() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    let id = world.relay_of(alice).allocation;
    alice.bind(&mut world, peer);
    world.advance(seconds(9));
    alice.delete(&mut world);
    world.advance(minutes(14));
    let ended = shown(&mut world, id);
    assert_eq!(ended.ended, Some((minutes(14), EndCause::Deleted)));
    assert_eq!(ended.listed.age, seconds(9));
    let last = ended.story.last().map(|it| it.event);
    let cause = EndCause::Deleted;
    assert_eq!(last, Some(Event::Ended { cause }));
    let of_alice = Selection {
        user: Some("alice".into()),
        ..Selection::default()
    };
    assert_eq!(lately(&mut world, of_alice.clone()).0, [ended]);
    world.advance(minutes(1));
    assert_eq!(world.command(0, Command::Show(id)), Answer::Shown(None));
    assert_eq!(lately(&mut world, of_alice), (vec![], vec![]));
    assert!(world.is_idle());
}

#[test]
fn other_rules_that_cut_off_a_peer_stand_in_the_story() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    let id = world.relay_of(alice).allocation;
    alice.permit(&mut world, peer);
    let mut rules = crate::rules::rules(&["alice"]);
    rules.policy = Policy::new(Mode::AllowList, vec![], vec![], sim::own_addresses());
    world.change_rules(rules);
    let over = Event::PermissionOver {
        peer: peer.0.ip(),
        denied: true,
    };
    assert_eq!(story(&mut world, id).last().map(|it| it.1), Some(over));
}

#[test]
fn a_client_that_was_refused_is_found_by_its_address_and_its_name_with_every_cause() {
    let mut world = World::ruled(|rules| rules.limits.per_user = Some(1));
    let alice = world.client("alice");
    alice.hears_error(&mut world, 401, guess());
    world.advance(seconds(2));
    world.client("alice").allocate(&mut world, minutes(10));
    alice.hears_error(&mut world, 486, Request::allocate());
    let at = alice.tuple(&world);
    let from = at.client.ip().to_string().parse::<Network>().unwrap();
    for selection in [
        Selection {
            client: Some(from),
            ..Selection::default()
        },
        Selection {
            user: Some("alice".into()),
            ..Selection::default()
        },
    ] {
        let (_, failed) = lately(&mut world, selection);
        let told = failed.iter().map(|it| (it.client, it.standing));
        let told: Vec<_> = told.collect();
        assert_eq!(told, [(at, Standing::Seen), (at, Standing::Signed)]);
        let [first, second] = &failed[..] else {
            panic!("{failed:?}");
        };
        assert_eq!(first.story[0].ago, seconds(2));
        assert!(refused(Method::Allocate, Refusal::BadIntegrity)(
            &first.story[0].event
        ));
        assert!(refused(Method::Allocate, Refusal::UserQuota)(
            &second.story[0].event
        ));
    }
    let of_bob = Selection {
        user: Some("bob".into()),
        ..Selection::default()
    };
    assert_eq!(lately(&mut world, of_bob).1, []);
}

#[test]
fn strangers_push_out_no_users_story_and_no_network_those_of_all_others() {
    let mut world = World::ruled(|rules| {
        rules.failures_per_minute = None;
        rules.unauthenticated = Allowance {
            per_prefix: None,
            total: None,
        };
    });
    let (bob, peer) = (world.client("bob"), world.peer());
    bob.allocate(&mut world, minutes(10));
    let id = world.relay_of(bob).allocation;
    bob.permit(&mut world, peer);
    bob.delete(&mut world);
    let guesser = at(&mut world, [203, 0, 113, 7], 4000);
    guesser.hears_error(&mut world, 401, guess());
    // Forged in others' names, from everywhere.
    for number in 0..3000_u16 {
        let [high, low] = number.to_be_bytes();
        let forged = at(&mut world, [100, high, low, 9], 4000);
        let nonce = guess().nonce("forged");
        forged.tell(&mut world, nonce);
    }
    // And from one network that has its address.
    for port in 0..500 {
        let near = at(&mut world, [192, 0, 2, 1], 5000 + port);
        near.hears_error(&mut world, 401, guess());
    }
    assert!(!shown(&mut world, id).story.is_empty());
    let (ended, failed) = lately(&mut world, Selection::default());
    assert_eq!(ended.len(), 1);
    let of = |standing| failed.iter().filter(|it| it.standing == standing).count();
    assert_eq!(of(Standing::Claimed), 256);
    assert_eq!(of(Standing::Seen), 33);
    let first = guesser.tuple(&world);
    assert!(failed.iter().any(|it| it.client == first));
}

#[test]
fn who_forges_requests_in_a_clients_name_pushes_out_nothing_of_its_story() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    let id = world.relay_of(alice).allocation;
    alice.permit(&mut world, peer);
    for number in 0..200 {
        let name = format!("guess{number}");
        alice.tell(&mut world, Request::allocate().as_user(&name, "guessed"));
        alice.tell(&mut world, Request::refresh(minutes(1)).unsigned());
    }
    let story = story(&mut world, id);
    assert!(story.len() < 8, "{story:?}");
    assert!(granted(Method::Allocate)(&story[0].1));
    assert!(granted(Method::CreatePermission)(&story[1].1));
}

fn guess() -> Request {
    Request::allocate().as_user("alice", "guessed")
}

/// Alice at an address.
fn at(world: &mut World, ip: [u8; 4], port: u16) -> Client {
    let tuple = ClientTuple {
        transport: Transport::Udp,
        client: (ip, port).into(),
        server: LISTENER,
    };
    world.client_at(0, tuple, "alice", &password("alice"))
}
