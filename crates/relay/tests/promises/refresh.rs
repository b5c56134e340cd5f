//! Refresh. RFC 8656 §8.

use relay::{AddressFamily, EndCause};
use sim::{Request, World, minutes, seconds};
use wire::attributes::{Lifetime, RequestedAddressFamily};
use wire::{Attribute, Method};

#[test]
fn a_refresh_counts_from_now_and_within_the_same_bounds() {
    let (mut world, alice) = World::of_alice();
    alice.allocate(&mut world, minutes(10));
    for (asked, granted) in [(1, 600), (700, 700), (100_000, 3600), (600, 600)] {
        assert_eq!(alice.refresh(&mut world, seconds(asked)), seconds(granted));
        world.advance(seconds(599));
    }
    assert_eq!(world.allocations(), 1);
    world.advance(seconds(1));
    assert_eq!(world.allocations(), 0);
}

#[test]
fn a_refresh_may_shorten() {
    let (mut world, alice) = World::of_alice();
    alice.allocate(&mut world, minutes(60));
    alice.refresh(&mut world, minutes(10));
    world.advance(minutes(10));
    assert!(world.is_idle());
}

#[test]
fn a_refresh_without_lifetime_asks_for_the_default() {
    let (mut world, alice) = World::of_alice();
    alice.allocate(&mut world, minutes(60));
    let answer = alice.ask(&mut world, Request::new(Method::Refresh));
    assert_eq!(answer.get(), Some(Lifetime(600)));
}

#[test]
fn zero_deletes_at_once_and_the_5_tuple_is_free_right_after() {
    let (mut world, alice) = World::of_alice();
    let first = alice.allocate(&mut world, minutes(10));
    let answer = alice.ask(&mut world, Request::refresh(seconds(0)));
    assert_eq!(answer.get(), Some(Lifetime(0)));
    assert!(answer.is_signed() && world.is_idle());
    // It ended in the same instant.
    assert_ne!(alice.allocate(&mut world, minutes(10)), first);
    assert_eq!(world.end_causes(), [EndCause::Deleted]);
}

#[test]
fn what_is_deleted_twice_is_a_mismatch_the_second_time() {
    let (mut world, alice) = World::of_alice();
    alice.allocate(&mut world, minutes(10));
    alice.delete(&mut world);
    alice.hears_error(&mut world, 437, Request::refresh(seconds(0)));
}

#[test]
fn a_refresh_of_another_family_is_refused_even_with_zero() {
    let (mut world, alice) = World::of_alice();
    alice.allocate(&mut world, minutes(10));
    for lifetime in [0, 600] {
        let v6 = Request::refresh(seconds(lifetime)).family(AddressFamily::V6);
        assert_eq!(alice.ask(&mut world, v6).code(), Some(443));
        let none = Request::refresh(seconds(lifetime)).put(RequestedAddressFamily(Err(9)));
        assert_eq!(alice.ask(&mut world, none).code(), Some(443));
    }
    let v4 = Request::refresh(minutes(10)).family(AddressFamily::V4);
    assert!(alice.ask(&mut world, v4).is_success());
}

#[test]
fn an_unreadable_lifetime_changes_nothing() {
    let (mut world, alice) = World::of_alice();
    alice.allocate(&mut world, minutes(10));
    world.advance(minutes(9));
    let request = Request::new(Method::Refresh).put_raw(Lifetime::TYPE, &[0, 0]);
    assert_eq!(alice.ask(&mut world, request).code(), Some(400));
    world.advance(minutes(1));
    assert!(world.is_idle());
}
