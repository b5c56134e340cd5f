//! Servers that behave badly over TCP: each examination ends soon, with a finding about the
//! behaviour.

use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::examination::{Examination, examine_as_user};
use crate::script::{bound, challenged, converse, on_connections, refused};

fn examine_stream(server: SocketAddr) -> Examination {
    examine_as_user(&format!("turn:{server}?transport=tcp"), &[])
}

#[test]
fn who_accepts_and_says_nothing_is_d005() {
    let server = on_connections(|stream| {
        thread::sleep(Duration::from_secs(60));
        drop(stream);
    });
    examine_stream(server).assert_errors(&["D005"]);
    examine_as_user(&format!("turns:{server}"), &[]).assert_errors(&["D010"]);
}

#[test]
fn who_hangs_up_is_d004() {
    let server = on_connections(drop);
    examine_stream(server).assert_errors(&["D004"]);
}

#[test]
fn a_web_server_is_d005() {
    let server = on_connections(|stream| {
        let page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec();
        converse(stream, |_, _| vec![page.clone()]);
    });
    examine_stream(server).assert_errors(&["D005"]);
}

#[test]
fn garbage_without_end_is_d005() {
    let server = on_connections(|mut stream| while stream.write_all(&[0xFF; 65_536]).is_ok() {});
    examine_stream(server).assert_errors(&["D005"]);
}

#[test]
fn frames_of_nobody_without_end_are_d005() {
    // ChannelData without data, on a channel that is not bound.
    let frames = [0x40, 0x01, 0x00, 0x00].repeat(16_384);
    let server = on_connections(move |mut stream| while stream.write_all(&frames).is_ok() {});
    examine_stream(server).assert_errors(&["D005"]);
}

#[test]
fn who_hangs_up_after_the_challenge_is_told_so() {
    let server = on_connections(|stream| {
        let mut asked = 0;
        converse(stream.try_clone().unwrap(), |request, from| {
            asked += 1;
            match bound(request, from) {
                Some(answer) => vec![answer],
                None if asked == 1 => vec![challenged(request, 401, "a realm")],
                None => {
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                    vec![]
                }
            }
        });
    });
    let report = examine_stream(server);
    report.assert_errors(&["D058"]);
    report.assert_says("D058", "ended");
}

#[test]
fn who_hangs_up_on_an_allocate_is_d029() {
    let server = on_connections(|stream| {
        converse(stream.try_clone().unwrap(), |request, from| {
            let answer = bound(request, from);
            if answer.is_none() {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
            answer.into_iter().collect()
        });
    });
    examine_stream(server).assert_errors(&["D029"]);
}

#[test]
fn a_401_for_ever_is_d030_and_a_438_is_d035() {
    for (code, finding) in [(401, "D030"), (438, "D035")] {
        let server = on_connections(move |stream| {
            converse(stream, |request, from| {
                vec![bound(request, from).unwrap_or_else(|| {
                    let is_signed = crate::script::is_signed(request);
                    challenged(request, if is_signed { code } else { 401 }, "a realm")
                })]
            });
        });
        examine_stream(server).assert_errors(&[finding]);
    }
}

#[test]
fn a_500_to_all_is_told_with_the_code() {
    let server =
        on_connections(|stream| converse(stream, |request, _| vec![refused(request, 500, "no")]));
    let report = examine_stream(server);
    report.assert_errors(&["D036"]);
    report.assert_says("D036", "500");
}
