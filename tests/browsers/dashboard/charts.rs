//! The charts and tables of the dashboard: what was relayed, whose network is bad, and why a client is not served.

use lab::{
    driven::Driven,
    live::LiveClient,
    server::PASSWORD,
    setup::Setup,
    traffic::{Exchange, Traffic},
    world::in_own_world,
};
use tempfile::TempDir;

use super::{Dashboard, assert_readable, says};

#[test]
fn the_dashboard_draws_what_was_relayed_and_says_whose_network_is_bad_and_each_cause() {
    in_own_world(|world| {
        let place = TempDir::new().expect("a temporary directory");
        let socket = place.path().join("admin.sock");
        let setup = format!("admin.socket = '{}'", socket.display());
        let server = world.serve(Setup::default().with_tls().with(&setup));
        server.wait_for_line(&["admin.listening"]);
        let mut dashboard = Dashboard::open(&socket);
        let page = &mut dashboard.page;
        page.wait_until(&draws("throughput", "sent", 0));
        assert_eq!(highest(page, "throughput"), 0.0, "nothing was relayed");
        page.wait_until(&says("causes", "Nothing yet"));

        let traffic = Traffic::of(vec![
            Exchange::begin(LiveClient::udp(), [400, 200]).losing(10),
        ]);
        page.wait_until(&format!("({HIGHEST})('throughput') > 0"));
        let before = highest(page, "throughput");
        traffic.grow(10);
        page.wait_until(&format!("({HIGHEST})('throughput') > {}", 2.0 * before));
        // Each point that the server tells stands where it belongs.
        for (name, index) in [("sent", 0), ("received", 1)] {
            page.wait_until(&draws("throughput", name, index));
        }
        page.wait_until(&draws("sessions", "sessions", 0));
        page.wait_until(&says("sessions", "highest: 1"));

        page.wait_until(&says(
            "quality",
            "between clients and this server1 of 1 bad",
        ));
        page.wait_until(&says("quality", "between this server and peersall 1 good"));
        page.wait_until(&says("talkers", "bad: the client's network (loss)"));
        let mut exchanges = traffic.end();

        let mut guesser = LiveClient::udp().login("alice", "a guess");
        guesser.allocate().expect_err("a wrong password");
        let mut stranger = LiveClient::udp().login("mallory", PASSWORD);
        stranger.allocate().expect_err("a user who is none");
        let nobody = "192.0.2.77:7".parse().expect("an address");
        exchanges[0]
            .client()
            .send(nobody, b"to whom nothing is permitted");
        for row in [
            ["401 bad-integrity", "refused", "1"],
            ["401 unknown-user", "refused", "1"],
            ["no-permission", "dropped", "1"],
        ] {
            page.wait_until(&caused(row));
        }
        page.wait_until(&format!("({HIGHEST})('failures') > 0"));
        page.wait_until(&draws("failures", "refused", 0));
        page.wait_until(&draws("failures", "dropped", 1));

        page.wait_until(&says("certificates", "days left"));
        assert_readable(page);
        assert_eq!(page.complaints(), [""; 0]);
    });
}

/// An expression: whether a chart draws, as the line of this number, this value of each point that the server tells.
fn draws(chart: &str, value: &str, line: usize) -> String {
    let of_chart = match chart {
        "throughput" => "[it.sent, it.received]",
        "sessions" => "[it.sessions]",
        _ => "[it.refused, it.dropped]",
    };
    let class = ["first", "second"][line];
    format!(
        "await (async () => {{
          const stopped = new AbortController();
          const answer = await fetch('v1/live', {{ signal: stopped.signal }});
          const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
          let text = '';
          while (!text.includes('\\n\\n')) text += (await reader.read()).value;
          stopped.abort();
          const data = text.split('\\n').find((line) => line.startsWith('data:')).slice(5);
          const points = JSON.parse(data).points;
          const line = document.querySelector('#{chart} path.{class}')?.getAttribute('d') ?? '';
          const drawn = [...line.matchAll(/[ML]([\\d.]+) ([\\d.]+)/g)];
          const highest = Math.max(...points.flatMap((it) => {of_chart})) || 1;
          return points.length > 1 && drawn.length === points.length && points.every((it, index) =>
            Math.abs(Number(drawn[index][2]) - 160 * (1 - it.{value} / highest)) < 0.1);
        }})()"
    )
}

/// An expression: whether the table of causes has a row with this cause, kind and count.
fn caused([cause, kind, count]: [&str; 3]) -> String {
    format!(
        "[...document.querySelectorAll('#causes tbody tr')].some((row) =>
          row.cells[0].textContent === '{cause}{kind}' && row.cells[2].textContent === '{count}')"
    )
}

/// The highest value of a chart, by its words.
fn highest(page: &mut Driven, chart: &str) -> f64 {
    let value = page.evaluate(&format!("return ({HIGHEST})('{chart}');"));
    value.as_f64().expect("a number")
}

/// A function: the highest value of a chart, by its words.
const HIGHEST: &str = "(chart) => {
  const words = /highest: (?:< )?([\\d.,]+) ?(\\w*)/.exec(document.getElementById(chart).textContent) ?? [0, '0', ''];
  const unit = { k: 1e3, M: 1e6, G: 1e9 }[words[2][0]] ?? 1;
  return Number(words[1].replaceAll(',', '')) * unit;
}";
