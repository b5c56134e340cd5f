//! Rooms of four, and what happens to networks meanwhile.

use std::{
    thread,
    time::{Duration, Instant},
};

use lab::{browser::Browser, internet::on_the_internet_for, nat::Nat};

use crate::{
    LIFETIME, demo,
    member::{FILE, Member},
};

/// One comes late, one loads its page again, one loses its network and comes back, and one is given another
/// address. Messages of the meantime arrive as if nothing had been.
#[test]
fn four_go_on_seeing_each_other_whatever_happens_to_their_networks() {
    on_the_internet_for(LIFETIME, |internet| {
        let _server = demo(internet);
        let nats = [
            Nat::PortRestricted,
            Nat::Symmetric,
            Nat::FullCone,
            Nat::Symmetric,
        ];
        let homes = [1, 2, 3, 4].map(|number| internet.home(number, nats[usize::from(number) - 1]));
        let mut alice = Member::join("Alice", Browser::Chromium, &homes[0]);
        let mut bob = Member::join("Bob", Browser::Firefox, &homes[1]);
        let mut carol = Member::join("Carol", Browser::Firefox, &homes[2]);
        let begun = Instant::now();
        let passed = |what: &str| println!("{:.0?}: {what}", begun.elapsed());
        alice.sees(&["Bob", "Carol"]);
        alice.say("one");
        bob.has_heard("Alice", &["one"]);

        let mut dave = Member::join("Dave", Browser::Chromium, &homes[3]);
        all_see_each_other([&mut alice, &mut bob, &mut carol, &mut dave]);

        passed("Dave has come");
        carol.reload();
        all_see_each_other([&mut alice, &mut bob, &mut carol, &mut dave]);
        passed("Carol has loaded her page again");

        homes[1].unplug();
        let unplugged = Instant::now();
        alice.say("two");
        alice.send_file(FILE);
        carol.accept_file();
        carol.has_file(FILE);
        alice.sees_but_for(&["Carol", "Dave"], "Bob");
        thread::sleep(Duration::from_secs(20).saturating_sub(unplugged.elapsed()));
        homes[1].plug();
        passed("Bob is back");
        all_see_each_other([&mut alice, &mut bob, &mut carol, &mut dave]);
        bob.has_heard("Alice", &["one", "two"]);

        bob.accept_file();
        bob.has_file(FILE);
        passed("Bob is seen again, and has a file of meanwhile");
        homes[3].move_to(77);
        alice.say("three");
        all_see_each_other([&mut alice, &mut bob, &mut carol, &mut dave]);
        passed("Dave is seen at another address");
        bob.has_heard("Alice", &["one", "two", "three"]);
        dave.has_heard("Alice", &["two", "three"]);
        carol.has_heard("Alice", &["two", "three"]);
    });
}

fn all_see_each_other(members: [&mut Member; 4]) {
    let names = members.each_ref().map(|member| member.name);
    for index in 0..members.len() {
        let mut others = names.to_vec();
        others.remove(index);
        if let Err(seen) = members[index].try_to_see(&others, "") {
            // The fault may be at the end that sends.
            let reports = members.map(|member| member.report());
            panic!("{seen}\n{}", reports.join("\n"));
        }
    }
}
