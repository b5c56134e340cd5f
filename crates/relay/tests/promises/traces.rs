//! Traces: what the clients that the operator named do, live, and nothing of others.

use relay::{
    Answer, Command, DropReason, EndCause, Event, Method, Places, Refusal, Seen, Selection, Trace,
    TraceId, Traced, Transport,
};
use sim::{Client, Request, World, minutes, seconds};
use wire::Message;
use wire::attributes::{MobilityTicket, Username};

use crate::mobility::{allocate, shown, ticket as ticket_of};
use crate::quality::{Path, Way};

const ID: TraceId = TraceId(7);

fn of_user(user: &str) -> Selection {
    Selection {
        user: Some(user.into()),
        ..Selection::default()
    }
}

/// Begins a trace, and follows what there is.
fn trace(world: &mut World, of: Selection) {
    begin(world, of, false);
}

fn begin(world: &mut World, of: Selection, messages: bool) {
    let trace = Trace {
        id: ID,
        of,
        messages,
    };
    world.command(0, Command::Trace(trace));
    let follow = Command::Follow(ID, Places::ALL);
    assert_eq!(world.command(0, follow), Answer::Tracing(None));
}

fn events(world: &mut World) -> Vec<Event> {
    let events = world.traced().into_iter().filter_map(|it| match it.what {
        Seen::Event { event, .. } => Some(event),
        Seen::Second { .. } | Seen::Message { .. } | Seen::Lost { .. } => None,
    });
    events.collect()
}

fn named(world: &mut World) -> Vec<(Option<Method>, &'static str)> {
    let method = |event: &Event| match event {
        Event::Granted { method, .. }
        | Event::Refused { method, .. }
        | Event::Unanswered { method, .. } => Some(*method),
        Event::PermissionOver { .. }
        | Event::ChannelOver { .. }
        | Event::Icmp { .. }
        | Event::Moved { .. }
        | Event::Away
        | Event::PeerConnected { .. }
        | Event::FamilyOver { .. }
        | Event::Ended { .. } => None,
    };
    let events = events(world);
    events.iter().map(|it| (method(it), it.name())).collect()
}

/// Bytes to peers, bytes from peers, and drops of a second.
type Second = (u64, u64, Vec<(DropReason, u32)>);

fn seconds_told(traced: &[Traced]) -> Vec<Second> {
    let seconds = traced.iter().filter_map(|it| match &it.what {
        Seen::Second {
            sent,
            received,
            drops,
            ..
        } => Some((sent.bytes, received.bytes, drops.clone())),
        Seen::Event { .. } | Seen::Message { .. } | Seen::Lost { .. } => None,
    });
    seconds.collect()
}

#[test]
fn a_trace_of_a_user_tells_also_of_allocations_that_begin_later_and_of_refusals() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let bob = world.client("bob");
    trace(&mut world, of_user("alice"));
    alice.hears_error(
        &mut world,
        401,
        Request::allocate().as_user("alice", "guessed"),
    );
    let told = world.traced();
    let [.., last] = &told[..] else {
        panic!("nothing is told");
    };
    assert_eq!(last.client, Some(alice.tuple(&world)));
    assert_eq!(last.user.as_deref(), Some("alice"));
    let Seen::Event { event, reason } = &last.what else {
        panic!("{last:?}");
    };
    assert!(matches!(
        event,
        Event::Refused {
            refusal: Refusal::BadIntegrity,
            ..
        }
    ));
    assert!(reason.as_deref().unwrap().contains("wrong password"));

    alice.allocate(&mut world, minutes(10));
    alice.permit(&mut world, peer);
    bob.allocate(&mut world, minutes(10));
    bob.permit(&mut world, peer);
    alice.delete(&mut world);
    let told = named(&mut world);
    let granted = |method| (Some(method), "granted");
    assert_eq!(
        told,
        [
            granted(Method::Allocate),
            granted(Method::CreatePermission),
            (None, "ended"),
            granted(Method::Refresh),
        ]
    );
}

#[test]
fn data_and_its_losses_are_told_once_a_second_and_not_by_packet() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let stranger = world.peer();
    let relayed = alice.allocate(&mut world, minutes(10));
    let channel = alice.bind(&mut world, peer);
    trace(&mut world, of_user("alice"));
    for _ in 0..50 {
        alice.send_on(&mut world, channel, b"ten bytes!");
        peer.send(&mut world, relayed, b"four");
        stranger.send(&mut world, relayed, b"no permission");
        alice.send(&mut world, stranger, b"no permission");
    }
    assert_eq!(world.traced(), []);
    world.advance(seconds(1));
    let told = world.traced();
    let drops = vec![
        (DropReason::NoPermission, 50),
        (DropReason::NoPeerPermission, 50),
    ];
    assert_eq!(seconds_told(&told), [(500, 200, drops)]);
    world.advance(seconds(5));
    assert_eq!(world.traced(), []);
    // The data of the last second is told with the end, and a client's next session begins anew.
    alice.send_on(&mut world, channel, b"ten bytes!");
    alice.delete(&mut world);
    assert_eq!(seconds_told(&world.traced()), [(10, 0, vec![])]);
    alice.allocate(&mut world, minutes(10));
    let channel = alice.bind(&mut world, peer);
    alice.send_on(&mut world, channel, b"ten bytes!");
    world.traced();
    world.advance(seconds(1));
    assert_eq!(seconds_told(&world.traced()), [(10, 0, vec![])]);
}

#[test]
fn the_quality_of_each_leg_is_told_with_the_data_of_a_second_and_nothing_where_it_is_not_measured()
{
    for is_measured in [true, false] {
        let mut world = World::ruled(|rules| {
            if !is_measured {
                rules.quality = None;
            }
        });
        let path = Path::on_a_channel(&mut world);
        trace(&mut world, of_user("alice"));
        let is_lost = |way, place| way == Way::Out && place % 10 == 3;
        path.talk(&mut world, 20, is_lost);
        let told = world.traced().into_iter().filter_map(|it| match it.what {
            Seen::Second { quality, .. } => Some(quality),
            Seen::Event { .. } | Seen::Message { .. } | Seen::Lost { .. } => None,
        });
        let told: Vec<_> = told.collect();
        assert!(told.len() >= 19, "one a second: {}", told.len());
        assert!(told.iter().all(|it| it.is_some() == is_measured));
        if let Some(Some(last)) = told.last() {
            let [client, peer] = [&last.client, &last.peer];
            let share = client.recent.share().unwrap();
            assert!((share - 0.1).abs() < 0.01, "{client:?}");
            assert_eq!(peer.recent.share(), Some(0.0));
            assert!(client.bad.loss && !peer.bad.is_any(), "{last:?}");
        }
    }
}

#[test]
fn what_is_over_is_told_when_it_is() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    alice.allocate(&mut world, minutes(10));
    let id = world.relay_of(alice).allocation;
    let this = Selection {
        id: Some(id),
        ..Selection::default()
    };
    trace(&mut world, this);
    alice.permit(&mut world, peer);
    events(&mut world);
    world.advance(seconds(299));
    assert_eq!(events(&mut world), []);
    world.advance(seconds(2));
    let over = Event::PermissionOver {
        peer: peer.0.ip(),
        denied: false,
    };
    assert_eq!(events(&mut world), [over]);
    world.advance(minutes(10));
    let cause = EndCause::Expired;
    assert_eq!(events(&mut world), [Event::Ended { cause }]);
}

#[test]
fn a_trace_of_a_peer_tells_who_asks_for_it_and_who_has_it() {
    let (mut world, alice, peer) = World::of_alice_and_peer();
    let (bob, other) = (world.client("bob"), world.peer());
    for client in [alice, bob] {
        client.allocate(&mut world, minutes(10));
    }
    alice.permit(&mut world, peer);
    let of_peer = Selection {
        peer: Some(peer.0.ip()),
        ..Selection::default()
    };
    trace(&mut world, of_peer);
    bob.permit(&mut world, other);
    assert_eq!(events(&mut world), []);
    alice.refresh(&mut world, minutes(10));
    bob.permit(&mut world, peer);
    let told = named(&mut world);
    let granted = |method| (Some(method), "granted");
    assert_eq!(
        told,
        [granted(Method::Refresh), granted(Method::CreatePermission)]
    );
}

#[test]
fn an_ended_trace_tells_nothing_and_leaves_no_timer() {
    let (mut world, alice) = World::of_alice();
    trace(&mut world, of_user("alice"));
    alice.allocate(&mut world, minutes(10));
    world.command(0, Command::Untrace(ID));
    world.traced();
    alice.delete(&mut world);
    world.advance(seconds(2));
    assert_eq!(world.traced(), []);
    assert_eq!(world.server(0).poll_timeout(), None);
}

#[test]
fn messages_are_told_both_ways_without_what_opens_something() {
    let (mut world, alice) = World::of_alice();
    alice.nonce(&mut world);
    begin(&mut world, of_user("alice"), true);
    let request = Request::allocate()
        .ticket(b"")
        .put_raw(0x7F01, b"a secret of others")
        .fingerprint();
    let told = world.traced();
    assert_eq!(told, []);
    alice.tell(&mut world, request);
    let request = Request::allocate().ticket(b"").fingerprint();
    assert!(alice.ask(&mut world, request).is_success());
    let messages = world.traced().into_iter().filter_map(|it| match it.what {
        Seen::Message { from_client, bytes } => Some((from_client, bytes)),
        Seen::Event { .. } | Seen::Second { .. } | Seen::Lost { .. } => None,
    });
    let messages: Vec<(bool, Vec<u8>)> = messages.collect();
    let ways: Vec<bool> = messages
        .iter()
        .map(|(from_client, _)| *from_client)
        .collect();
    assert_eq!(ways, [true, false, true, false]);
    for (_, bytes) in &messages {
        let message = Message::parse(bytes).unwrap();
        assert!(message.is_signed() && message.fingerprint_matches());
        let integrity = bytes.windows(4).position(|it| it == [0, 8, 0, 20]).unwrap();
        assert_eq!(bytes[integrity + 4..integrity + 24], [0; 20]);
        assert!(!bytes.windows(6).any(|it| it == b"secret"));
    }
    let request = Message::parse(&messages[0].1).unwrap();
    assert_eq!(request.get(), Ok(Some(Username("alice"))));
    let answer = Message::parse(&messages[3].1).unwrap();
    let Ok(Some(MobilityTicket(ticket))) = answer.get() else {
        panic!("no ticket in {answer:?}");
    };
    assert!(!ticket.is_empty() && ticket.iter().all(|byte| *byte == 0));
}

#[test]
fn a_flood_of_clients_that_are_meant_is_told_in_part_and_the_rest_in_number() {
    let mut world = World::new();
    let everybody = Selection {
        client: Some("0.0.0.0/0".parse().unwrap()),
        ..Selection::default()
    };
    trace(&mut world, everybody);
    let clients: Vec<Client> = (0..70).map(|_| world.client("alice")).collect();
    for client in &clients {
        client.allocate(&mut world, minutes(10));
    }
    for _ in 0..1000 {
        clients[0].refresh(&mut world, minutes(10));
    }
    let told = world.traced();
    assert!((900..=1000).contains(&told.len()), "{}", told.len());
    world.advance(seconds(1));
    let [lost] = &world.traced()[..] else {
        panic!("not one line");
    };
    let Seen::Lost { told, clients } = lost.what else {
        panic!("{lost:?}");
    };
    assert!(told > 100 && clients >= 6, "{told} {clients}");
}

#[test]
fn a_trace_follows_an_allocation_to_another_shard() {
    let mut world = World::sharded(2, |_| {});
    let (home, peer) = (world.client("alice"), world.peer());
    let ticket = allocate(home, &mut world);
    let channel = home.bind(&mut world, peer);
    let this = Selection {
        id: Some(world.relay_of(home).allocation),
        ..Selection::default()
    };
    for shard in [0, 1] {
        let trace = Trace {
            id: ID,
            of: this.clone(),
            messages: false,
        };
        world.command(shard, Command::Trace(trace));
        world.command(shard, Command::Follow(ID, Places::ALL));
    }
    let away = world.roam(home, 1, Transport::Udp);
    ticket_of(&away.ask(&mut world, shown(&ticket)));
    away.send_on(&mut world, channel, b"from elsewhere");
    let told = named(&mut world);
    assert_eq!(told, [(Some(Method::Refresh), "granted"), (None, "moved")]);
    away.refresh(&mut world, minutes(10));
    assert_eq!(named(&mut world), [(Some(Method::Refresh), "granted")]);
}
