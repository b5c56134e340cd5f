//! How long a token lasts, and what a new one renews. RFC 7635 §4.

use super::*;

#[test]
fn a_lifetime_ends_with_its_token_even_below_the_default() {
    let mut world = world();
    let guest = Mint::new(1).lifetime(100).client(&mut world);
    // At first it is the token's lifetime, and not five seconds more.
    let answer = guest.ask(&mut world, Request::allocate().lifetime(minutes(60)));
    assert_eq!(lifetime(&answer), 100);
    world.advance(seconds(50));
    // From then on the five seconds count.
    assert_eq!(guest.refresh(&mut world, minutes(60)), seconds(55));
    world.advance(seconds(54));
    assert_eq!(guest.refresh(&mut world, minutes(60)), seconds(1));
    world.advance(seconds(1));
    assert!(world.is_idle());
    let ended = world
        .reports()
        .into_iter()
        .any(|report| matches!(report, Report::Ended { cause, .. } if cause == EndCause::Expired));
    assert!(ended);
}

#[test]
fn a_long_token_does_not_lengthen_what_is_asked_for() {
    let mut world = world();
    let guest = Mint::new(1).lifetime(100_000).client(&mut world);
    let answer = guest.ask(&mut world, Request::allocate().lifetime(minutes(20)));
    assert_eq!(lifetime(&answer), 1200);
    assert_eq!(guest.refresh(&mut world, minutes(600)), minutes(60));
}

#[test]
fn a_new_token_of_another_key_renews_an_allocation() {
    let mut world = world();
    let (guest, peer) = (Mint::new(1).lifetime(100).client(&mut world), world.peer());
    guest.allocate(&mut world, minutes(10));
    let old = guest.write(&mut world, &Request::create_permission([peer]));
    world.advance(seconds(90));
    let new = Mint::new(2).mac_key(&[5; 20]).south().now(&world);
    guest.take_token(&mut world, new);
    assert_eq!(guest.refresh(&mut world, minutes(10)), minutes(10));
    // From now on the new token's key signs, under the id of the key that sealed it.
    guest.bind(&mut world, peer);
    world.advance(seconds(590));
    guest.refresh(&mut world, minutes(10));
    // The first token's key signs no more.
    let answer = guest.packet(&mut world, &old).answer();
    assert_eq!(answer.code(), Some(401));
    assert_eq!(world.allocations(), 1);
    guest.delete(&mut world);
    assert!(world.is_idle());
}

#[test]
fn a_refused_refresh_changes_no_key() {
    let mut world = world();
    let (guest, peer) = (guest(&mut world), world.peer());
    guest.allocate(&mut world, minutes(10));
    let first = guest.write(&mut world, &Request::create_permission([peer]));
    let other = Mint::new(2).mac_key(&[5; 20]).now(&world);
    guest.take_token(&mut world, other);
    let refused = Request::refresh(minutes(10)).family(AddressFamily::V6);
    assert_eq!(guest.ask(&mut world, refused).code(), Some(443));
    let first_grant = Mint::new(1).now(&world);
    guest.take_token(&mut world, first_grant);
    assert!(guest.packet(&mut world, &first).answer().is_success());
}

#[test]
fn a_refresh_without_a_token_lives_on_the_one_before() {
    let mut world = world();
    let guest = Mint::new(1).lifetime(500).client(&mut world);
    guest.allocate(&mut world, minutes(10));
    world.advance(seconds(300));
    let bare = || Request::refresh(minutes(10)).without(AccessToken::TYPE);
    let answer = guest.ask(&mut world, bare());
    assert_eq!(lifetime(&answer), 205);
    world.advance(seconds(204));
    let answer = guest.ask(&mut world, bare());
    assert_eq!(lifetime(&answer), 1);
    world.advance(seconds(1));
    assert!(world.is_idle());
}

#[test]
fn the_bearer_of_a_token_cannot_touch_a_users_allocation_nor_the_other_way_round() {
    let mut world = world();
    let client = world.client("alice");
    client.allocate(&mut world, minutes(10));
    let grant = Mint::new(1).now(&world);
    client.take_token(&mut world, grant);
    let answer = client.ask(&mut world, Request::refresh(seconds(0)));
    assert_eq!(answer.code(), Some(441));
    assert!(answer.is_signed());
    assert_eq!(world.allocations(), 1);

    let guest = guest(&mut world);
    guest.allocate(&mut world, minutes(10));
    let alice = ("alice", sim::password("alice"));
    let peer = world.peer();
    for request in [
        Request::refresh(seconds(0)),
        Request::create_permission([peer]),
        Request::channel_bind(0x4000, peer),
    ] {
        guest.hears_error(&mut world, 441, request.as_user(alice.0, &alice.1));
    }
    assert_eq!(world.allocations(), 2);
}

#[test]
fn a_user_with_the_name_of_a_key_is_somebody_else() {
    let mut world = world_with(|config| {
        config
            .rules_mut()
            .realms
            .default_keys()
            .add_user("north", "a password")
            .unwrap()
    });
    let guest = guest(&mut world);
    guest.allocate(&mut world, minutes(10));
    let tuple = guest.tuple(&world);
    let nonce = guest.nonce(&mut world);
    let request = Request::refresh(seconds(0));
    // The same 5-tuple, the same name, and the password of the user.
    let mut namesake = World::new();
    let user = namesake.client_at(0, tuple, "north", "a password");
    let packet = user.write(&mut namesake, &request.nonce(&nonce));
    let server = world.server(0);
    let now = namesake.now();
    let verdict = server.handle_client(now, tuple, &packet);
    let relay::Verdict::Answer(answer) = verdict else {
        panic!("{verdict:?}");
    };
    let answer = wire::Message::parse(answer.contents).unwrap();
    let error: wire::attributes::ErrorCode<'_> = answer.get().unwrap().unwrap();
    assert_eq!(error.code, 441);
}

#[test]
fn one_token_is_one_account_to_quotas() {
    let mut world = world_with(|config| config.rules_mut().limits.per_user = Some(1));
    let grant = Mint::new(1).now(&world);
    let first = world.client_with_token(grant.clone());
    first.allocate(&mut world, minutes(10));
    let second = world.client_with_token(grant);
    second.hears_error(&mut world, 486, Request::allocate());
    // Other tokens that the same key sealed are not concerned.
    let other = Mint::new(2).client(&mut world);
    other.allocate(&mut world, minutes(10));
    // The allocation counts where it was opened, whatever token renewed it.
    let third = Mint::new(3).south().now(&world);
    first.take_token(&mut world, third.clone());
    first.refresh(&mut world, minutes(10));
    second.hears_error(&mut world, 486, Request::allocate());
    let fourth = world.client_with_token(third);
    fourth.allocate(&mut world, minutes(10));
    first.delete(&mut world);
    second.allocate(&mut world, minutes(10));
}

#[test]
fn a_bearer_takes_an_allocation_along_with_the_token_that_it_lives_on() {
    let mut world = world();
    let (home, peer) = (guest(&mut world), world.peer());
    let ticket = mobility::allocate(home, &mut world);
    home.bind(&mut world, peer);
    let relayed = home.relayed(&world);
    // A thief who saw the ticket on its way, and has a token of the same key.
    let thief = Mint::new(2).client(&mut world);
    thief.hears_error(&mut world, 441, mobility::shown(&ticket));

    let away = world.roam(home, 0, relay::Transport::Udp);
    away.succeeds(&mut world, mobility::shown(&ticket));
    away.permit(&mut world, peer);
    let heard = away.send(&mut world, peer, b"here");
    assert_eq!(heard, peer.hears(relayed, b"here"));
    // From the new place it is renewed as from the old one.
    let new = Mint::new(3).south().now(&world);
    away.take_token(&mut world, new);
    away.refresh(&mut world, minutes(10));
    away.delete(&mut world);
    assert!(world.is_idle());
}
