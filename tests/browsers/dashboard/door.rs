//! The dashboard of a server that wants a token.

use lab::{
    browser::Browser,
    driven::Driven,
    server::TOKEN,
    setup::Setup,
    world::{SERVER_V4, in_own_world},
};

use super::{assert_readable, says};

#[test]
fn the_dashboard_asks_for_the_token_by_keyboard_refuses_a_wrong_one_in_words_and_leaves_it_nowhere()
{
    in_own_world(|world| {
        let setup = format!("admin.listen = ['{SERVER_V4}:9640']\nadmin.token = '{TOKEN}'");
        let server = world.serve(Setup::default().with_tls().with(&setup));
        server.wait_for_line(&["server.listening", "9640"]);
        let origin = format!("https://{SERVER_V4}:9640");
        let mut page = Driven::open(Browser::Chromium, world.server_host(), None);
        page.visit(&origin);
        page.wait_until(&says("state", "A token is needed"));
        let is_asked =
            "!document.getElementById('door').hidden && document.getElementById('all').hidden";
        page.wait_until(is_asked);
        // It has the focus without a mouse.
        page.wait_until("document.activeElement.id === 'token'");
        page.wait_until("document.getElementById('token-mistake').hidden");
        assert_readable(&mut page);

        page.write("a guess");
        page.press("Enter");
        page.wait_until("!document.getElementById('token-mistake').hidden");
        page.wait_until(&says("token-mistake", "That was not it: "));
        page.wait_until(&says("token-mistake", "Authorization: Bearer TOKEN"));
        page.wait_until(is_asked);
        page.wait_until(
            "document.activeElement.id === 'token' && document.activeElement.value === ''",
        );
        assert_readable(&mut page);
        server.wait_for_line(&["admin.refused"]);

        page.write(TOKEN);
        // Next to it is the button.
        page.press("Tab");
        page.wait_until("document.activeElement.textContent === 'Look'");
        page.press(" ");
        page.wait_until(&says("state", "Live"));
        page.wait_until("document.getElementById('door').hidden");
        // One goes on from there.
        page.press("Tab");
        page.wait_until("document.activeElement.getAttribute('aria-label') === 'Throughput along the last hour'");

        // The tab keeps it, and nothing else has it.
        page.reload();
        page.wait_until(&says("state", "Live"));
        for url in page.history() {
            assert!(url == "about:blank" || url == format!("{origin}/"), "{url}");
        }
        let left = page.evaluate(
            "return JSON.stringify([location.href, document.title, document.cookie, { ...localStorage }, history.state,
               document.documentElement.outerHTML, document.getElementById('token').value,
               performance.getEntries().map(({ name }) => name)]);",
        );
        let left = left.as_str().expect("a text");
        assert!(!left.contains(TOKEN), "{left}");
        assert!(!page.complaints().concat().contains(TOKEN));
        assert!(!server.log().contains(TOKEN), "{}", server.log());
        let mut another = Driven::open(Browser::Chromium, world.server_host(), None);
        another.visit(&origin);
        another.wait_until(&says("state", "A token is needed"));
    });
}
