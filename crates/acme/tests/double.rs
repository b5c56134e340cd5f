//! The client against an authority that stands in for one: for renewal information (RFC 9773),
//! profiles and refusals, which no packaged ACME server has. It believes every signature and every
//! name; that proofs are right is tested with a real one, in `tests/black_box/acme.rs`.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "any other event fails the test"
)]

mod authority;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use acme::{Certificate, Duties, Event, Wanted, held, keep};
use authority::{Authority, Refusal};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A client that keeps a certificate, and what it tells.
struct Client {
    wanted: watch::Sender<Option<Wanted>>,
    events: mpsc::UnboundedReceiver<Event>,
    served: Arc<Mutex<Vec<Option<Certificate>>>>,
    task: JoinHandle<()>,
}

impl Client {
    fn start(wanted: Wanted, state: &TempDir) -> Self {
        let (told, events) = mpsc::unbounded_channel();
        let served: Arc<Mutex<Vec<Option<Certificate>>>> = Arc::default();
        let serving = Arc::clone(&served);
        let duties = Duties {
            show: Arc::new(|_| ()),
            serve: Arc::new(move |certificate| serving.lock().unwrap().push(certificate)),
            tell: Arc::new(move |event| told.send(event).unwrap_or_default()),
        };
        let (wanted, wish) = watch::channel(Some(wanted));
        let task = tokio::spawn(keep(wish, state.path().join("acme"), duties));
        Self {
            wanted,
            events,
            served,
            task,
        }
    }

    async fn next(&mut self) -> Event {
        let event = timeout(Duration::from_secs(120), self.events.recv()).await;
        event
            .expect("an event in time")
            .expect("a client that runs")
    }

    /// The reason of the next failure, and for how long nothing is tried.
    async fn failure(&mut self) -> (String, Duration) {
        match self.next().await {
            Event::Failed { failure, again, .. } => (failure.reason, again),
            other => panic!("{other:?}"),
        }
    }

    /// When the certificate that comes next is renewed, after now.
    async fn issued(&mut self) -> Duration {
        match self.next().await {
            Event::Issued { renewal, .. } => renewal
                .duration_since(SystemTime::now())
                .unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const NAMES: [&str; 2] = ["turn.example.org", "203.0.113.7"];
const HOUR: Duration = Duration::from_secs(3600);

fn state() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

#[tokio::test]
async fn a_certificate_comes_with_all_names_and_the_next_start_asks_nobody() {
    let authority = Authority::start().await;
    let state = state();
    let mut client = Client::start(authority.wanted(&NAMES), &state);
    client.issued().await;
    let names = NAMES.map(|name| name.parse().unwrap());
    let served = client.served.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(served.names, names);
    drop(client);
    let kept = held(&state.path().join("acme")).expect("a certificate");
    assert_eq!(kept, served);

    let asked = authority.asked();
    let wanted = authority.wanted(&NAMES);
    drop(authority);
    let mut client = Client::start(wanted, &state);
    assert!(matches!(client.next().await, Event::Found { .. }));
    assert_eq!(client.served.lock().unwrap()[0].as_ref(), Some(&served));
    // Any request of it would have failed.
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.events.try_recv().unwrap_err();
    assert!(asked > 0);
}

#[tokio::test]
async fn names_that_are_addresses_are_ordered_short_lived_and_others_as_the_directory_likes() {
    let authority = Authority::start().await;
    authority.offer(&["classic", "shortlived"]);
    for (names, profile) in [(&NAMES[..], Some("shortlived")), (&NAMES[..1], None)] {
        Client::start(authority.wanted(names), &state())
            .issued()
            .await;
        assert_eq!(authority.last_order()["profile"].as_str(), profile);
    }
    let mut wanted = authority.wanted(&NAMES);
    wanted.profile = Some("classic".to_owned());
    Client::start(wanted.clone(), &state()).issued().await;
    assert_eq!(authority.last_order()["profile"].as_str(), Some("classic"));

    wanted.profile = Some("clasic".to_owned());
    let (reason, _) = Client::start(wanted.clone(), &state()).failure().await;
    assert!(
        reason.starts_with("the directory has no profile `clasic`; it has c"),
        "{reason}"
    );
    // One without profiles gets plain orders, unless one is written.
    authority.offer(&[]);
    Client::start(authority.wanted(&NAMES), &state())
        .issued()
        .await;
    assert_eq!(authority.last_order().get("profile"), None);
    let (reason, _) = Client::start(wanted, &state()).failure().await;
    assert!(reason.contains("has no profiles"), "{reason}");
}

#[tokio::test]
async fn the_window_that_the_authority_suggests_is_the_time_of_renewal() {
    let authority = Authority::start().await;
    let state = state();
    authority.suggest(Some((HOUR, 2 * HOUR)));
    let mut client = Client::start(authority.wanted(&NAMES), &state);
    let renewal = client.issued().await;
    assert!(
        renewal > HOUR - Duration::from_secs(60) && renewal <= 2 * HOUR,
        "{renewal:?}"
    );
    // It outlives a restart.
    drop(client);
    let text = std::fs::read_to_string(state.path().join("acme/certificate.json")).unwrap();
    assert!(!text.contains("\"window\": null"), "{text}");
}

#[tokio::test]
async fn a_window_in_the_past_renews_at_the_next_start_and_the_order_says_what_it_replaces() {
    let (authority, state) = (Authority::start().await, state());
    authority.suggest(Some((Duration::ZERO, Duration::from_secs(1))));
    let mut client = Client::start(authority.wanted(&NAMES), &state);
    client.issued().await;
    assert_eq!(authority.last_order().get("replaces"), None);
    drop(client);
    let mut client = Client::start(authority.wanted(&NAMES), &state);
    assert!(matches!(client.next().await, Event::Found { .. }));
    client.issued().await;
    let replaces = authority.last_order()["replaces"].clone();
    assert!(
        replaces.as_str().is_some_and(|it| it.contains('.')),
        "{replaces}"
    );
}

#[tokio::test]
async fn an_authority_that_does_not_know_what_is_replaced_gets_a_plain_order() {
    let authority = Authority::start().await;
    authority.suggest(Some((HOUR, 2 * HOUR)));
    let mut client = Client::start(authority.wanted(&NAMES[..1]), &state());
    client.issued().await;
    authority.refuse_replacing();
    client.wanted.send_replace(Some(authority.wanted(&NAMES)));
    client.issued().await;
    assert_eq!(authority.last_order().get("replaces"), None);
}

#[tokio::test]
async fn nonces_that_are_refused_are_replaced() {
    let authority = Authority::start().await;
    authority.refuse(
        "/order",
        Refusal::problem(400, "badNonce", "JWS has an invalid nonce"),
    );
    Client::start(authority.wanted(&NAMES), &state())
        .issued()
        .await;
}

#[tokio::test]
async fn a_limit_is_told_and_kept_and_the_authority_is_not_asked_before() {
    let authority = Authority::start().await;
    let refusal = Refusal::problem(429, "rateLimited", "too many certificates\n WARN for you");
    authority.refuse("/order", refusal.after("7200"));
    let wanted = authority.wanted(&NAMES);
    let mut client = Client::start(wanted.clone(), &state());
    let (reason, again) = client.failure().await;
    assert_eq!(reason, "too many certificates  WARN for you (rateLimited)");
    assert!(again > HOUR && again <= 2 * HOUR, "{again:?}");
    let asked = authority.asked();
    // Nor does a reload change that.
    client.wanted.send_replace(Some(wanted));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(authority.asked(), asked);
    client.events.try_recv().unwrap_err();
}

#[tokio::test]
async fn whatever_an_authority_answers_is_a_failure_and_no_more() {
    let authority = Authority::start().await;
    let huge = "x".repeat(2_000_000);
    for (path, refusal, expected) in [
        ("/directory", Refusal::page(503, "<html>"), "answers 503"),
        ("/directory", Refusal::page(200, "<html>"), "JSON"),
        ("/directory", Refusal::page(200, &huge), "length limit"),
        ("/nonce", Refusal::page(500, ""), "answers 500"),
        ("/account", Refusal::page(502, "<html>"), "answers 502"),
        ("/order", Refusal::page(200, "{}"), "JSON"),
        (
            "/order",
            Refusal::page(200, "[]").after("99999999999999999999"),
            "JSON",
        ),
        (
            "/order",
            Refusal::problem(400, "rejectedIdentifier", "not you"),
            "not you (rejectedIdentifier)",
        ),
        ("/authorization", Refusal::page(200, "null"), "JSON"),
        (
            "/finalize",
            Refusal::problem(403, "orderNotReady", "no"),
            "no (orderNotReady)",
        ),
        (
            "/certificate",
            Refusal::page(200, "hello"),
            "is not written as PEM",
        ),
    ] {
        authority.refuse(path, refusal);
        let mut client = Client::start(authority.wanted(&NAMES), &state());
        let (reason, again) = client.failure().await;
        assert!(reason.contains(expected), "{path}: {reason}");
        assert!(again >= Duration::from_secs(10), "{path}: {again:?}");
        authority.forgive();
        // An operator who has mended something need not wait.
        let wanted = authority.wanted(&NAMES);
        client.wanted.send_replace(Some(wanted));
        client.issued().await;
    }
}

#[tokio::test]
async fn an_authority_that_says_not_yet_for_ever_is_given_up() {
    let authority = Authority::start().await;
    authority.never_finish("18446744073709551615");
    let (reason, again) = Client::start(authority.wanted(&NAMES), &state())
        .failure()
        .await;
    assert!(reason.contains("timed out"), "{reason}");
    assert!(again > 20 * HOUR && again <= 24 * HOUR, "{again:?}");
}

#[tokio::test]
async fn an_account_that_the_authority_has_lost_is_opened_again() {
    let authority = Authority::start().await;
    let state = state();
    let mut client = Client::start(authority.wanted(&NAMES[..1]), &state);
    client.issued().await;
    authority.lose_accounts();
    client.wanted.send_replace(Some(authority.wanted(&NAMES)));
    client.issued().await;
    assert_eq!(authority.accounts(), 2);
}

#[tokio::test]
async fn another_contact_is_told_to_the_authority_with_the_next_order() {
    let authority = Authority::start().await;
    let mut client = Client::start(authority.wanted(&NAMES[..1]), &state());
    client.issued().await;
    let mut wanted = authority.wanted(&NAMES);
    wanted.contact = vec!["mailto:admin@example.org".to_owned()];
    client.wanted.send_replace(Some(wanted));
    client.issued().await;
    assert_eq!(authority.contact(), ["mailto:admin@example.org"]);
    assert_eq!(authority.accounts(), 1);
}

#[tokio::test]
async fn a_wish_that_goes_takes_the_certificate_along_and_one_that_comes_back_finds_it() {
    let authority = Authority::start().await;
    let mut client = Client::start(authority.wanted(&NAMES), &state());
    client.issued().await;
    client.wanted.send_replace(None);
    let served = Arc::clone(&client.served);
    let gone = async {
        while served.lock().unwrap().last().unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(120), gone)
        .await
        .expect("nothing is served");
    client.wanted.send_replace(Some(authority.wanted(&NAMES)));
    assert!(matches!(client.next().await, Event::Found { .. }));
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_costs_the_next_start_and_nothing_else() {
    let authority = Authority::start().await;
    let state = state();
    // A file stands where the directory would be.
    std::fs::write(state.path().join("acme"), "").unwrap();
    let mut client = Client::start(authority.wanted(&NAMES), &state);
    let mut events = vec![client.next().await, client.next().await];
    events.push(client.next().await);
    let is_issued = |event: &Event| matches!(event, Event::Issued { .. });
    assert!(events.iter().any(is_issued), "{events:?}");
    assert!(
        matches!(&events[2], Event::NotKept(why) if why.contains("acme")),
        "{events:?}"
    );
}
