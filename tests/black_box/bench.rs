//! `hairpin bench`, against Hairpin and against coturn.

use std::{net::SocketAddr, process::Command, thread, time::Duration};

use lab::{
    PATIENCE,
    foreign::assert_says,
    program::{Ended, Program, here},
    server::{PASSWORD, PORT, Server, TLS_PORT, USER, USER_AND_PASSWORD, hairpin_by, serving},
    setup::Setup,
    world::{CLIENT_V4, PEER_V4, SERVER_V4, in_own_world},
};
use serde_json::Value;

#[test]
fn every_kind_of_load_passes_whole_and_is_accounted_for() {
    let setup = Setup::default().with_tls().with("allocation.per-user = 0");
    serving(setup, |_, server| {
        let udp = format!("turn:{SERVER_V4}");
        let tcp = format!("turn:{SERVER_V4}?transport=tcp");
        let tls = format!("turns:{SERVER_V4}:{TLS_PORT}");
        for (uri, load) in [
            (&udp, "--mode up --payload 1200 --burst 8"),
            (&udp, "--mode both --payload 1200 --burst 8 --together"),
            (&udp, "--mode down --payload 29"),
            (&udp, "--mode both --indications --payload 161"),
            (&udp, "--mode relay --threads 2"),
            (&udp, "--mode binding"),
            (&tcp, "--mode both --payload 161 --burst 4"),
            (&tls, "--mode both --payload 1200"),
        ] {
            // Slow enough to leave the machine to the tests beside this one.
            let load = format!("{load} --flows 4 --rate 400 --duration 500ms");
            let found = measured(uri, &load, server);
            let packets = &found["packets"];
            assert!(packets["sent"].as_u64() > Some(150), "{load}: {packets}");
            assert_eq!(packets["received"], packets["sent"], "{load}");
            for other in ["duplicates", "astray", "damaged"] {
                assert_eq!(packets[other], 0, "{load}");
            }
            assert!(found["latency"]["p99"].as_f64() > Some(1.0), "{load}");
            let cost = &found["cost"];
            assert!(
                cost["cpu_seconds_per_million"].as_f64() > Some(0.1),
                "{cost}"
            );
            assert!(cost["resident"].as_u64() > Some(1_000_000), "{cost}");
            let user_share = cost["user_share"].as_f64().expect("a number");
            assert!((0.0..=1.0).contains(&user_share), "{cost}");
        }
    });
}

#[test]
fn a_lane_sends_as_soon_as_its_packets_have_come_back_and_a_ramp_ends_where_they_do_not() {
    serving(Setup::default(), |_, server| {
        let udp = format!("turn:{SERVER_V4}");
        let most = measured(&udp, "--flows 4 --duration 300ms", server);
        // At any time packets of all lanes are on their way, however fast they are, so that their times on the way add up
        // to the time that was measured, for each lane. If a lane waited until its packets are given up, most of that
        // time nothing would be on its way. The steps of the distribution are twice too long at most.
        let steps = most["latency"]["distribution"].as_array().expect("steps");
        let number = |value: &Value| value.as_f64().expect("a number");
        let on_the_way = |step: &Value| number(&step["up_to"]) * number(&step["packets"]);
        let micros: f64 = steps.iter().map(on_the_way).sum();
        let (lanes, seconds) = (8.0, number(&most["seconds"]));
        assert!(micros / 1e6 > 0.3 * lanes * seconds, "{most}");

        // The shortest steps: it only has to be searched.
        let ramp = measured(&udp, "--flows 4 --rate ramp --duration 1s", server);
        let packets = &ramp["packets"];
        assert!(packets["sent"].as_u64() > Some(500), "{ramp}");
        assert!(ramp["seconds"].as_f64() < Some(1.0), "{ramp}");
    });
}

#[test]
fn packets_of_a_time_in_which_the_server_stands_still_are_charged_with_it() {
    serving(Setup::default(), |_, server| {
        let udp = format!("turn:{SERVER_V4}");
        let load = "--mode up --flows 2 --rate 500 --duration 2s";
        let stop = Duration::from_millis(200);
        // On a busy machine the stop may come too late, and a packet may be lost.
        let mut tries = (1..=5).map(|run| {
            let mut measuring = Program::start(bench_line(&udp, &measuring_line(load, server)));
            server.wait_for_lines("allocation.opened", 2 * run);
            // After the warm-up, of 200 ms, and long before the end.
            thread::sleep(Duration::from_millis(600));
            server.program.while_stopped(|| thread::sleep(stop));
            let found = read(measuring.wait(2 * PATIENCE));
            println!("{found}");
            let latency = |name: &str| found["latency"][name].as_f64().expect("microseconds");
            // A tenth of the packets was to be sent meanwhile.
            let is_charged = latency("max") > 190_000.0 && latency("p99") > 150_000.0;
            is_charged && found["packets"]["received"] == found["packets"]["sent"]
        });
        assert!(tries.any(|is_so| is_so), "not charged, or not whole");
    });
}

#[test]
fn progress_is_shown_on_a_terminal_and_the_result_behind_it() {
    serving(Setup::default(), |_, server| {
        let udp = format!("turn:{SERVER_V4}");
        let line = measuring_line("--flows 2 --rate 200 --duration 1s", server);
        let line = line.replace(" --json", "");
        let bench = bench_line(&udp, &line);
        // A program of util-linux, which runs another one on a terminal of its own.
        let mut terminal = here("script");
        terminal.env("TERM", "xterm").env("SHELL", "/bin/sh");
        terminal.args(["--quiet", "--return", "--command"]);
        terminal.arg(format!("{bench:?}")).arg("/dev/null");
        let shown = Program::succeed(terminal);
        assert!(shown.contains("preparing"), "{shown}");
        assert_says(&shown, "have arrived");
        let (_, result) = shown.rsplit_once("\narrived ").expect("the result");
        assert!(result.contains("0.00 % lost"), "{shown}");
        assert!(!result.contains("have arrived"), "it is wiped: {shown}");
    });
}

#[test]
fn cycles_and_idle_allocations_are_measured() {
    // Every cycle begins as a stranger.
    let keys = "allocation.per-user = 0\nunauthenticated.per-prefix = 'unlimited'\nunauthenticated.total = 'unlimited'";
    serving(Setup::default().with_tls().with(keys), |_, server| {
        let udp = format!("turn:{SERVER_V4}");
        // A busy machine may stand still for all of the time that counts.
        let mut tries = (0..5).map(|_| {
            let cycles = measured(&udp, "--mode allocate --flows 2 --duration 300ms", server);
            println!("{cycles}");
            cycles["packets"]["sent"].as_u64()
        });
        assert!(tries.any(|cycles| cycles > Some(20)), "few cycles");

        let tls = format!("turns:{SERVER_V4}:{TLS_PORT}");
        // Twenty a second, and fewer on a busy machine.
        let load = "--mode connect --flows 2 --rate 20 --duration 1s";
        let shaken = measured(&tls, load, server);
        let count = shaken["packets"]["received"].as_u64().expect("a number");
        assert!((1..=22).contains(&count), "{shaken}");

        let idle = measured(&udp, "--mode idle --flows 300 --duration 100ms", server);
        assert_eq!(idle["packets"]["sent"], 300, "{idle}");
        let each = idle["cost"]["per_allocation"].as_f64().expect("a number");
        assert!(each < 100_000.0, "{idle}");
    });
}

#[test]
fn a_server_that_bounds_its_answers_to_strangers_is_told_of_where_cycles_wait_for_it() {
    let setup = Setup::default().with("unauthenticated.per-prefix = '1KiB'");
    serving(setup, |_, server| {
        let udp = format!("turn:{SERVER_V4}");
        let cycles = measured(&udp, "--mode allocate --flows 2 --duration 2s", server);
        let remarks = cycles["remarks"].as_array().expect("a list");
        let share = remarks.iter().find_map(|it| it["asked_again"].as_f64());
        assert!(share.is_some_and(|it| it > 0.0 && it <= 1.0), "{cycles}");
    });
}

#[test]
fn coturn_is_measured_in_the_same_way() {
    in_own_world(|world| {
        let listen = SocketAddr::from((SERVER_V4, PORT));
        let how = |program: &str| world.on_server_host(program);
        let options = ["--no-dtls", "--no-tls", "--lt-cred-mech", "--realm", "a"];
        let options = [&options[..], &["--user", USER_AND_PASSWORD]].concat();
        let coturn = Server::coturn(how, &[listen], &options);
        let udp = format!("turn:{SERVER_V4}");
        let found = measured(&udp, "--flows 4 --rate 400 --duration 500ms", &coturn);
        assert_eq!(found["packets"]["received"], found["packets"]["sent"]);
        assert_eq!(found["packets"]["damaged"], 0);
        assert!(found["cost"]["cpu_seconds_per_million"].as_f64() > Some(0.1));

        // It keeps the 5-tuple of an allocation that was ended, so that each cycle needs another one.
        let load = "--mode allocate --flows 2 --duration 500ms";
        let cycles = measured(&udp, load, &coturn);
        let count = cycles["packets"]["received"].as_u64();
        assert!(count > Some(4), "more than one a flow: {cycles}");
    });
}

#[test]
fn no_load_goes_where_nothing_comes_back_and_what_was_granted_is_given_back() {
    let setup = Setup::default().with("allocation.per-user = 2");
    serving(setup, |world, server| {
        let udp = format!("turn:{SERVER_V4}");
        measured(&udp, "--mode idle --flows 2 --duration 100ms", server);
        server.wait_for_lines("allocation.ended", 2);
        let line = format!(
            "--user {USER} --password {PASSWORD} --peer {PEER_V4} --duration 100ms --i-run-this-server"
        );
        let refused = bench(&udp, &format!("{line} --flows 3"));
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert_says(&refused.output, "`per-user` in [allocation]");
        server.wait_for_lines("allocation.ended", 4);

        world.drop_incoming(&format!("ip daddr {PEER_V4} udp dport 1-65535"));
        let lost = bench(&udp, &format!("{line} --flows 1 --mode down"));
        assert_eq!(lost.status.code(), Some(1), "{lost:?}");
        assert_says(&lost.output, "no packet gets through");
    });
}

#[test]
fn a_far_server_is_measured_only_by_who_runs_it_and_refusals_name_the_way_out() {
    serving(Setup::default(), |world, _| {
        let udp = format!("turn:{SERVER_V4}");
        let login = format!("--user {USER} --password {PASSWORD}");
        let far = bench(&udp, &login);
        assert_eq!(far.status.code(), Some(2), "{far:?}");
        assert_says(&far.output, "--i-run-this-server");
        // By whatever address it is on the same host.
        let mut near = hairpin_by(|program| world.on_server_host(program));
        near.args(["bench", &udp, "--mode", "binding", "--flows", "1"]);
        near.args(["--duration", "100ms"]);
        let near = Program::run(near, PATIENCE);
        assert!(near.status.success(), "{near:?}");

        let short = "--flows 1 --duration 100ms --i-run-this-server";
        let denied = bench(&udp, &format!("{login} {short} --peer {CLIENT_V4}"));
        assert_eq!(denied.status.code(), Some(1), "{denied:?}");
        assert_says(&denied.output, "`allow` in [peers] of Hairpin");

        let wrong = bench(&udp, &format!("--user {USER} --password no {short}"));
        assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
        assert_says(&wrong.output, "or the secret, are not the server's");

        let nobody = bench(&udp, short);
        assert_eq!(nobody.status.code(), Some(2), "{nobody:?}");
        assert_says(&nobody.output, "--secret-file");
    });
}

/// The findings of a load at a server.
#[track_caller]
fn measured(uri: &str, load: &str, server: &Server) -> Value {
    read(bench(uri, &measuring_line(load, server)))
}

/// The options for a load at a server.
fn measuring_line(load: &str, server: &Server) -> String {
    let pid = server.program.pid().as_raw_nonzero();
    let login = if load.contains("binding") {
        String::new()
    } else {
        format!("--user {USER} --password {PASSWORD} --peer {PEER_V4}")
    };
    format!("{load} {login} --pid {pid} --i-run-this-server --json")
}

#[track_caller]
fn read(ended: Ended) -> Value {
    assert!(ended.status.success(), "{ended:?}");
    let mut found: Value = serde_json::from_str(&ended.output).expect("JSON");
    found["measured"].take()
}

#[track_caller]
fn bench(uri: &str, line: &str) -> Ended {
    Program::run(bench_line(uri, line), PATIENCE)
}

fn bench_line(uri: &str, line: &str) -> Command {
    let mut command = hairpin_by(here);
    command.arg("bench").arg(uri).args(line.split_whitespace());
    command
}
