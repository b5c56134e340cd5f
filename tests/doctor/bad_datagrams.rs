//! Servers that behave badly over UDP: each examination ends soon, with a finding about the
//! behaviour.

use std::collections::HashSet;
use std::net::UdpSocket;

use lab::{
    server::{PASSWORD, USER},
    world::{CLIENT_V4, in_own_world},
};
use wire::attributes::{AlternateServer, ErrorCode};
use wire::{Class, Method, TransactionId, Writer};

use crate::examination::{Examination, examine, examine_as_user, read};
use crate::script::{answer, bound, challenged, is_signed, on_datagrams, on_datagrams_at, refused};

/// Examines a server that answers Binding and plays this script for all else.
fn examine_allocations(
    mut script: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> Examination {
    let server = on_datagrams(move |request, from| match bound(request, from) {
        Some(answer) => vec![answer],
        None => script(request),
    });
    examine_as_user(&format!("turn:{server}"), &[])
}

#[test]
fn silence_is_d002() {
    let server = on_datagrams(|_, _| vec![]);
    examine_as_user(&format!("turn:{server}"), &[]).assert_errors(&["D002"]);
}

#[test]
fn garbage_is_d005() {
    let server = on_datagrams(|_, _| vec![b"\xFF\xFE no idea what you mean".to_vec()]);
    examine_as_user(&format!("turn:{server}"), &[]).assert_errors(&["D005"]);
}

#[test]
fn silence_and_garbage_in_place_of_dtls_are_d010() {
    let silence = on_datagrams(|_, _| vec![]);
    let garbage = on_datagrams(|_, _| vec![b"\x16 no idea what you mean".to_vec(); 2]);
    for server in [silence, garbage] {
        examine_as_user(&format!("turns:{server}?transport=udp"), &[]).assert_errors(&["D010"]);
    }
}

#[test]
fn an_answer_from_another_address_is_d006() {
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let other = stranger.local_addr().unwrap();
    let server = on_datagrams(move |request, from| {
        stranger
            .send_to(&bound(request, from).unwrap(), from)
            .unwrap();
        vec![]
    });
    let report = examine_as_user(&format!("turn:{server}"), &[]);
    report.assert_errors(&["D006"]);
    report.assert_says("D006", &other.to_string());
}

#[test]
fn a_private_address_seen_in_place_of_the_clients_is_d064() {
    in_own_world(|_| {
        let server = on_datagrams_at(CLIENT_V4, |request, _| {
            let bridge = "172.17.0.1:40000".parse().unwrap();
            bound(request, bridge).into_iter().collect()
        });
        let report = examine(&[&format!("stun:{server}")]);
        report.assert_errors(&["D064"]);
        report.assert_says("D064", "172.17.0.1");
    });
}

#[test]
fn the_first_of_each_answer_lost_is_no_fault_of_a_server_for_stun() {
    let mut met = HashSet::new();
    let server = on_datagrams(move |request, from| {
        let is_new = met.insert(request.to_vec());
        bound(request, from)
            .filter(|_| !is_new)
            .into_iter()
            .collect()
    });
    examine(&[&format!("stun:{server}")]).assert_clean();
}

#[test]
fn answers_that_come_twice_are_heard_once() {
    let report = examine_allocations(|request| vec![challenged(request, 401, "a realm"); 2]);
    report.assert_errors(&["D030"]);
}

#[test]
fn a_redirect_to_nowhere_is_d037() {
    examine_allocations(|request| vec![refused(request, 300, "go away")]).assert_errors(&["D037"]);
}

#[test]
fn a_redirect_to_another_server_is_a_warning_that_names_it() {
    let report = examine_allocations(|request| {
        let other = AlternateServer("203.0.113.5:3478".parse().unwrap());
        vec![answer(request, Class::Error, |writer| {
            let (code, reason) = (300, "try elsewhere");
            writer.put(&ErrorCode { code, reason }).put(&other);
        })]
    });
    assert_eq!(report.codes("warning"), ["D028"], "{report}");
    report.assert_says("D028", "203.0.113.5:3478");
}

#[test]
fn a_400_a_420_and_a_500_to_all_are_told_with_the_code() {
    for code in [400, 420, 500] {
        let server = on_datagrams(move |request, _| vec![refused(request, code, "no")]);
        let report = examine_as_user(&format!("turn:{server}"), &[]);
        report.assert_errors(&["D036"]);
        report.assert_says("D036", &code.to_string());
        assert_eq!(report.codes("warning"), ["D021"], "{report}");
        examine(&[&format!("stun:{server}")]).assert_errors(&["D007"]);
    }
}

#[test]
fn a_401_for_ever_is_d030() {
    examine_allocations(|request| vec![challenged(request, 401, "a realm")])
        .assert_errors(&["D030"]);
}

#[test]
fn a_401_for_ever_of_ever_another_realm_is_d030() {
    let mut number = 0;
    let report = examine_allocations(move |request| {
        number += 1;
        vec![challenged(request, 401, &format!("realm {number}"))]
    });
    report.assert_errors(&["D030"]);
}

#[test]
fn a_401_without_realm_and_nonce_is_d024() {
    examine_allocations(|request| vec![refused(request, 401, "no")]).assert_errors(&["D024"]);
}

#[test]
fn a_challenge_of_many_times_the_request_is_d026() {
    let realm = "r".repeat(700);
    let report = examine_allocations(move |request| vec![challenged(request, 401, &realm)]);
    assert_eq!(report.codes("warning"), ["D026"], "{report}");
}

#[test]
fn a_short_challenge_that_comes_many_times_is_d026() {
    let report = examine_allocations(|request| vec![challenged(request, 401, "a realm"); 20]);
    assert_eq!(report.codes("warning"), ["D026"], "{report}");
}

#[test]
fn a_438_for_ever_is_d035() {
    let report = examine_allocations(|request| {
        let code = if is_signed(request) { 438 } else { 401 };
        vec![challenged(request, code, "a realm")]
    });
    report.assert_errors(&["D035"]);
}

#[test]
fn a_server_that_falls_silent_after_the_challenge_is_told_so() {
    let report = examine_allocations(|request| {
        let answer = (!is_signed(request)).then(|| challenged(request, 401, "a realm"));
        answer.into_iter().collect()
    });
    report.assert_errors(&["D058"]);
}

#[test]
fn answers_to_nobodys_question_are_d005() {
    let server = on_datagrams(|_, _| {
        let mut packet = Vec::new();
        let nobody = TransactionId::new([7; 12]);
        Writer::new(&mut packet, Method::Binding, Class::Success, nobody);
        vec![packet; 20]
    });
    examine_as_user(&format!("turn:{server}"), &[]).assert_errors(&["D005"]);
}

#[test]
fn what_a_server_says_cannot_command_a_terminal() {
    let words = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\n\u{202e}evil \u{200b}".repeat(20);
    let realm = words.clone();
    let reports = [
        examine_allocations(move |request| vec![challenged(request, 401, &realm)]),
        examine_allocations(move |request| vec![refused(request, 500, &words)]),
    ];
    for report in reports {
        assert_eq!(report.exit, Some(1), "{report}");
        let is_plain = |letter: char| {
            letter == '\n' || !(letter.is_control() || "\u{202e}\u{200b}".contains(letter))
        };
        assert!(report.text.chars().all(is_plain), "{:?}", report.text);
        // Nor characters that JSON turns into such letters again.
        assert!(report.to_string().chars().all(is_plain), "{report}");
        assert!(report.text.len() < 10_000, "{}", report.text.len());
    }
}

#[test]
fn people_read_the_verdict_first_and_of_each_fault_what_to_do() {
    let realm = "a realm\u{1b}[2J\u{202e}";
    let server = on_datagrams(move |request, from| match bound(request, from) {
        Some(answer) => vec![answer],
        None => vec![challenged(request, 401, realm)],
    });
    let uri = format!("turn:{server}");
    let text = read(&[&uri, "--user", USER, "--password", PASSWORD]);
    // But for the bounds of a run on the server's own host.
    let (bounds, verdict) = text.split_once("\n\n").unwrap();
    assert!(bounds.contains("only a run from another network"), "{text}");
    assert!(
        verdict.starts_with("It does not work: 1 error.\n"),
        "{text}"
    );
    for words in [
        &uri,
        "error      D030",
        "ok         D023",
        "-> Compare both with",
    ] {
        assert!(text.contains(words), "not found: {words}\n{text}");
    }
    // The worst finding is first, the password is not shown, and a file gets no colours.
    assert!(text.find("D030") < text.find("D023"), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
}
