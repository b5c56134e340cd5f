//! The commands that change a running server, and those that show by what it works.

use std::fs;

use lab::{
    live::{Code, LiveClient},
    program::Program,
    server::serving,
};
use rustix::process::Signal;

use crate::admin::{Asked, operated, place};

#[test]
fn a_server_drains_and_goes_on_again_at_the_operators_word() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let (mut client, _) = LiveClient::udp().allocated();
        let told = asked.succeed(&["drain"]);
        let of = "draining: 1 session is left, and the server ends with it\n1 of hairpin.test\n";
        assert!(told.starts_with(of), "{told}");
        assert_eq!(LiveClient::udp().allocate(), Err(Code(508)));
        let mut curl = asked.on_host("curl");
        curl.args(["-s", "--unix-socket"]).arg(asked.socket());
        curl.arg("http://hairpin/ready");
        assert_eq!(Program::succeed(curl), "draining\n");
        assert_eq!(
            asked.succeed(&["drain", "--undo"]),
            "sessions are granted\n"
        );
        LiveClient::udp().allocated();
        client.refresh(std::time::Duration::ZERO).expect("the end");
        // Ended, had it still drained when its first session ended.
        assert_eq!(asked.json(&["status"])["draining"], false);
        server.program.signal(Signal::TERM);
    });
}

#[test]
fn a_reload_answers_with_what_changed_or_with_every_fault() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        assert_eq!(asked.succeed(&["reload"]), "changed: nothing\n");
        let file = server.config();
        let good = fs::read_to_string(&file).expect("a configuration");
        fs::write(
            &file,
            good.replace("[allocation]", "[allocation]\nchannels = 7"),
        )
        .expect("ours");
        let told = asked.succeed(&["reload"]);
        let keys = "changed: [allocation] channels\n  [allocation] channels: ";
        assert!(
            told.starts_with(keys) && told.ends_with(" -> 7\n"),
            "{told}"
        );
        fs::write(&file, format!("bogus = 1\n{good}")).expect("ours");
        // Keys that hold only after a restart are said, too.
        fs::write(
            &file,
            good.replace("[relay]", "[relay]\nports = '50000-50009'"),
        )
        .expect("ours");
        let told = asked.succeed(&["reload"]);
        assert!(told.contains("needs a restart: [relay] ports\n"), "{told}");
        assert!(told.contains("-> \"50000-50009\"\n"), "{told}");
        let status = asked.succeed(&["status"]);
        assert!(
            status.contains("needs a restart [relay] ports\n"),
            "{status}"
        );
        assert!(!status.contains("file refused"), "{status}");
        fs::write(&file, format!("bogus = 1\n{good}")).expect("ours");
        let told = asked.misuse(&["reload"]);
        assert!(told.contains("unknown key `bogus`"), "{told}");
        assert!(told.contains(":1:1"), "{told}");
        let status = asked.succeed(&["status"]);
        assert!(status.contains("file refused    since "), "{status}");
        fs::write(&file, good).expect("ours");
        asked.succeed(&["reload"]);
        let status = asked.succeed(&["status"]);
        assert!(!status.contains("file refused"), "{status}");
        assert!(!status.contains("needs a restart"), "{status}");
    });
}

#[test]
fn a_dry_run_says_what_a_reload_would_change_and_changes_nothing() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let file = server.config();
        let good = fs::read_to_string(&file).expect("a configuration");
        let more = good
            .replace("[allocation]", "[allocation]\nchannels = 7")
            .replace("[relay]", "[relay]\nports = '50000-50009'")
            + "\n[[listener]]\ntransport = 'tcp'\nlisten = '198.51.100.1:3555'\n";
        fs::write(&file, &more).expect("ours");
        let told = "a reload would change: [[listener]], [allocation] channels\n\
                    would need a restart: [relay] ports\n  \
                    [[listener]]: + {\"listen\":\"198.51.100.1:3555\",\"transport\":\"tcp\"}\n  \
                    [allocation] channels: 256 -> 7\n  \
                    [relay] ports: \"49152-65535\" -> \"50000-50009\"\n";
        assert_eq!(asked.succeed(&["reload", "--dry-run"]), told);
        assert_eq!(asked.succeed(&["reload", "--dry-run"]), told, "as before");
        let check = ["check", "--config", &file, "--against-running"];
        let checked = asked.succeed(&check);
        assert!(
            checked.contains("ok: ") && checked.trim_end().ends_with(told.trim_end()),
            "{checked}"
        );
        assert!(
            !server.log().contains("configuration.re"),
            "{}",
            server.log()
        );
        let checked = asked.succeed(&["check", "--against-running"]);
        assert!(
            checked.contains(&format!("ok: {file}")) && checked.ends_with(told),
            "without --config it is the server's own: {checked}"
        );
        let other = place.path().join("other.toml");
        fs::write(&other, &more).expect("ours");
        let other = other.display().to_string();
        let refused = asked.fail(&["check", "--config", &other, "--against-running"]);
        let words = format!("the running server reads {file}, and not {other}");
        assert!(refused.contains(&words), "{refused}");
        fs::write(&file, format!("bogus = 1\n{more}")).expect("ours");
        for command in [["reload", "--dry-run"], ["check", "--against-running"]] {
            let faults = asked.misuse(&command);
            assert!(
                faults.contains(":1:1") && faults.contains("`bogus`"),
                "{faults}"
            );
        }

        fs::write(&file, &more).expect("ours");
        let told = asked.succeed(&["reload"]);
        let keys = "changed: [[listener]], [allocation] channels\nneeds a restart: [relay] ports\n";
        assert!(told.starts_with(keys), "{told}");
    });
}

#[test]
fn a_level_of_the_log_is_set_for_a_while_and_falls_back_by_itself() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        assert_eq!(asked.succeed(&["log-level"]), "info\n");
        // Half a minute more than is told, in which the answer comes.
        let told = asked.succeed(&["log-level", "debug", "--for", "1h 30s"]);
        assert_eq!(told, "debug for 1 h 0 min, then info\n");
        server.wait_for_line(&["log.level", "to=\"debug\""]);
        asked.succeed(&["reload"]);
        assert_eq!(asked.json(&["log-level"])["level"], "debug");
        assert!(!server.log().contains("to=\"info\""), "{}", server.log());
        asked.succeed(&["log-level", "debug", "--for", "1s"]);
        server.wait_for_line(&["log.level", "to=\"info\""]);
        assert_eq!(asked.succeed(&["log-level"]), "info\n");
        let told = asked.succeed(&["log-level", "warn"]);
        assert_eq!(told, "warn in place of info\n");
        assert_eq!(asked.succeed(&["log-level", "--undo"]), "info\n");
        let told = asked.fail(&["log-level", "debug", "--for", "2 weeks"]);
        assert!(told.contains("604800"), "{told}");
    });
}

#[test]
fn policy_and_configuration_are_shown_as_they_are_in_force_and_no_secret_is() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let denied = asked.fail_quietly(&["policy", "explain", "10.0.0.7", "--running"]);
        assert!(denied.starts_with("denied: 10.0.0.7"), "{denied}");
        let values = |key: &str| asked.json(&["config"])["values"][key].clone();
        assert_eq!(values("auth")["users"]["alice"], "***");
        assert_eq!(values("allocation")["max-lifetime"], "1h");
        let file = server.config();
        let good = fs::read_to_string(&file).expect("a configuration");
        let more = good
            .replace("[peers]\n", "[peers]\ndeny = ['198.18.7.0/24']\n")
            .replace("realm =", "threads = 7\nrealm =");
        assert!(
            more.contains("198.18.7.0") && more.contains("threads"),
            "{more}"
        );
        fs::write(&file, more).expect("ours");
        asked.succeed(&["reload"]);
        assert_eq!(values("peers")["deny"][0], "198.18.7.0/24");
        assert_eq!(asked.json(&["config"])["needs_restart"][0], "threads");
        assert_eq!(values("threads"), 0);
        let words = asked.succeed(&["config"]);
        assert!(
            words.contains("# threads was changed, and needs a restart"),
            "{words}"
        );
        assert!(!words.contains(lab::server::PASSWORD), "{words}");
        let denied = asked.fail_quietly(&["policy", "explain", "198.18.7.1:5000", "--running"]);
        assert!(denied.contains("198.18.7.0/24"), "{denied}");
    });
}
