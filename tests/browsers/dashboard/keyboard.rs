//! The dashboard by the keys of a keyboard, and by nothing else.

use lab::{
    driven::Driven,
    live::LiveClient,
    server::{PASSWORD, USER},
    setup::Setup,
    traffic::{Exchange, Traffic},
    world::in_own_world,
};
use tempfile::TempDir;

use super::{Dashboard, assert_readable, says};

#[test]
fn everything_of_the_dashboard_is_reached_and_worked_by_real_keys() {
    in_own_world(|world| {
        let place = TempDir::new().expect("a temporary directory");
        let socket = place.path().join("admin.sock");
        let setup = format!(
            "admin.socket = '{}'\nauth.users.bob = '{PASSWORD}'",
            socket.display()
        );
        let server = world.serve(Setup::default().with(&setup));
        server.wait_for_line(&["admin.listening"]);
        // One sends, and the other is sent more.
        let _traffic = Traffic::of(vec![
            Exchange::begin(LiveClient::udp(), [400, 0]),
            Exchange::begin(LiveClient::udp().login("bob", PASSWORD), [0, 1000]),
        ]);
        let mut dashboard = Dashboard::open(&socket);
        let page = &mut dashboard.page;
        page.look(1280, true);
        page.wait_until(&users(["bob", USER]));
        page.wait_until("document.querySelector('#throughput input').max >= 3");

        // All the way there and back: nothing is left out, and nothing holds the focus.
        assert_eq!(walk(page, "Tab"), ALL);
        let back: Vec<_> = ALL.into_iter().rev().collect();
        assert_eq!(walk(page, "Shift+Tab"), back);

        press(page, "Tab", ALL[0]);
        page.press("Enter");
        page.wait_until("document.activeElement.id === 'talkers-heading'");
        kinds_and_order(page);
        filter(page);
        back_in_time(page);
        assert_readable(page);
        assert_eq!(page.complaints(), [""; 0]);
    });
}

/// From the heading above them on.
fn kinds_and_order(page: &mut Driven) {
    press(page, "Tab", "Sessions");
    press(page, "Tab", "Users");
    page.press(" ");
    page.wait_until("document.activeElement.getAttribute('aria-pressed') === 'true'");
    page.wait_until(
        "document.querySelector('#talkers thead').textContent.startsWith('UserSessions')",
    );
    press(page, "Tab", "Client networks");
    page.press("Enter");
    page.wait_until(&says("talkers", "198.51.100.0/24"));
    press(page, "Tab", "Peers");
    page.press("Enter");
    page.wait_until(&says("talkers", "203.0.113.9"));
    for name in ["Client networks", "Users", "Sessions"] {
        press(page, "Shift+Tab", name);
    }
    page.press(" ");
    page.wait_until(&users(["bob", USER]));
    for name in ["Users", "Client networks", "Peers", "sort"] {
        press(page, "Tab", name);
    }
    page.press("ArrowDown");
    page.wait_until("document.getElementById('sort').value === 'sent'");
    page.wait_until(&users([USER, "bob"]));
    page.press("ArrowDown");
    page.wait_until(&users(["bob", USER]));
}

/// From the choice of the order on.
fn filter(page: &mut Driven) {
    press(page, "Tab", "filter");
    page.write("alic");
    page.wait_until(&users([USER]));
    page.press("Enter");
    for _ in "alic".chars() {
        page.press("Backspace");
    }
    page.wait_until(&users(["bob", USER]));
    assert_eq!(focused(page), "filter", "it keeps the focus");
}

/// From the filter back to the first chart.
fn back_in_time(page: &mut Driven) {
    for name in ALL[1..9].iter().rev() {
        press(page, "Shift+Tab", name);
    }
    const SAID: &str = "document.activeElement.getAttribute('aria-valuetext')";
    page.wait_until(&format!("{SAID}.startsWith('now: to peers ')"));
    page.press("Home");
    // Before there were clients.
    page.wait_until(&format!(
        "/^\\d.*: to peers .*, from peers /.test({SAID}) && document.querySelector('#throughput .cursor')"
    ));
    page.press("ArrowRight");
    page.wait_until("document.activeElement.value === '1'");
    page.press("End");
    page.wait_until(&format!("{SAID}.startsWith('now: ')"));
}

/// Presses a key until the focus has gone from one end of the page to the other; the names of what had it. Each is seen,
/// and marked as having the focus.
#[track_caller]
fn walk(page: &mut Driven, key: &str) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        page.press(key);
        let name = focused(page);
        if name.is_empty() {
            return names;
        }
        assert_eq!(
            page.evaluate(IS_MARKED),
            true,
            "{name} is not seen to have the focus"
        );
        assert!(!names.contains(&name), "{name} came twice: {names:?}");
        names.push(name);
    }
}

/// Presses a key that takes the focus to this.
#[track_caller]
fn press(page: &mut Driven, key: &str, name: &str) {
    page.press(key);
    assert_eq!(focused(page), name, "after {key}");
}

/// The name of what has the focus, if something has.
#[track_caller]
fn focused(page: &mut Driven) -> String {
    let name = page.evaluate(
        "const it = document.activeElement;
         const named = (name) => it.getAttribute(name);
         return it === document.body ? '' : it.id || named('aria-label') || named('aria-labelledby') || it.textContent;",
    );
    name.as_str().expect("a text").to_owned()
}

/// An expression: whether the table has these users, in this order.
fn users<const N: usize>(names: [&str; N]) -> String {
    format!(
        "[...document.querySelectorAll('#talkers tbody th')].map((it) => it.firstChild.textContent).join() === '{}'",
        names.join(",")
    )
}

/// The body of a function: whether what has the focus is on the screen, and has a line around it.
const IS_MARKED: &str = "
  const it = document.activeElement;
  const { top, bottom } = it.getBoundingClientRect();
  // A slider is as large as its picture, and invisible.
  const { outlineStyle, outlineWidth } = getComputedStyle(it.closest('.plot') ?? it);
  return bottom > 0 && top < innerHeight && outlineStyle === 'solid' && parseFloat(outlineWidth) >= 2;
";

/// Everything that a person works the page by, from its beginning to its end.
const ALL: [&str; 12] = [
    "To those who use the relay most",
    "Throughput along the last hour",
    "Sessions along the last hour",
    "Refusals and drops along the last hour",
    "Sessions",
    "Users",
    "Client networks",
    "Peers",
    "sort",
    "filter",
    "talkers-heading",
    "causes-heading",
];
