//! The ways to a running server, and who is let in by them.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::Command,
};

use lab::{
    program::{Program, here},
    server::{Server, TOKEN, hairpin_by, serving},
    setup::Setup,
    world::{SERVER_V4, World, in_own_world},
};

use crate::admin::{Asked, operated, place};

#[test]
fn commands_find_the_socket_by_themselves_and_say_where_they_looked_if_there_is_none() {
    let place = place();
    in_own_world(|world| {
        // Where systemd has the socket; the mounts of a test are its own.
        let mut mount = here("mount");
        Program::succeed({
            mount.args(["-t", "tmpfs", "none", "/run"]);
            mount
        });
        let session = place.path().display().to_string();
        let told = fails(status(world, &[]));
        let nowhere =
            "no running server was found: there is no /run/hairpin/admin.sock. Name its socket";
        assert!(told.contains(nowhere), "{told}");
        let of_session = [("XDG_RUNTIME_DIR", &*session)];
        let told = fails(status(world, &of_session));
        let both = format!("no /run/hairpin/admin.sock and no {session}/hairpin/admin.sock. Name");
        assert!(told.contains(&both), "{told}");

        let server = started(world, of_session);
        assert!(Program::succeed(status(world, &of_session)).contains("version "));
        let told = fails(status(world, &[]));
        assert!(told.contains(nowhere), "{told}");
        drop(server);
        let told = fails(status(world, &of_session));
        assert!(told.contains(&both), "{told}");

        let server = started(world, [("RUNTIME_DIRECTORY", "/run/hairpin")]);
        for variables in [&[][..], &of_session] {
            Program::succeed(status(world, variables));
        }
        drop(server);
    });
}

#[test]
fn a_socket_that_a_user_may_not_reach_is_told_apart_from_one_that_is_not_there() {
    let place = place();
    in_own_world(|world| {
        let session = place.path().display().to_string();
        let of_session = [("XDG_RUNTIME_DIR", &*session)];
        let server = started(world, of_session);
        let directory = place.path().join("hairpin");
        for (closed, mode) in [(&directory, 0o750), (&directory.join("admin.sock"), 0o660)] {
            fs::set_permissions(closed, Permissions::from_mode(0o0)).expect("ours");
            // Root whom the modes of files concern, as they do a user of another group.
            let powerless = |binary: &str| {
                let mut command = world.on_server_host("setpriv");
                command.args(["--inh-caps=-all", "--bounding-set=-all", binary]);
                command
            };
            let told = fails(status_by(powerless, &of_session));
            for words in [
                "cannot reach the server",
                "admin.sock: Permission denied",
                "(run it as root, or as a user of the group hairpin)",
            ] {
                assert!(told.contains(words), "{words}: {told}");
            }
            fs::set_permissions(closed, Permissions::from_mode(mode)).expect("ours");
            Program::succeed(status_by(powerless, &of_session));
        }
        drop(server);
    });
}

#[test]
fn the_socket_is_for_its_user_and_group_and_goes_with_the_server() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let socket = asked.socket();
        let mode = fs::metadata(&socket)
            .expect("a socket")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o660);
        server.stop();
        assert!(!socket.exists());
        let told = asked.fail(&["status"]);
        assert!(told.contains("cannot reach the server"), "{told}");
    });
}

#[test]
fn another_user_of_the_host_does_not_reach_the_socket() {
    let place = place();
    // So that it is the socket itself that refuses.
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).expect("ours");
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let mut other = asked.on_host("setpriv");
        other.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "curl",
            "-sS",
        ]);
        other.arg("--unix-socket").arg(asked.socket());
        other.arg("http://hairpin/v1/status");
        let refused = other.output().expect("setpriv (Debian package util-linux)");
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(7), "{refused:?}");
        assert!(
            told.contains("Permission denied") || told.contains("connect"),
            "{told}"
        );
        // It is there, and for its owner.
        asked.succeed(&["status"]);
    });
}

#[test]
fn pages_of_other_origins_are_refused_at_a_socket_that_was_forwarded() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let status = |host: &str, more: &[&str]| {
            let mut curl = asked.on_host("curl");
            curl.args([
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--unix-socket",
            ]);
            curl.arg(asked.socket()).args(more);
            curl.arg(format!("http://{host}/v1/drain"));
            Program::succeed(curl)
        };
        // Neither a form of another page, nor a name that was made to lead here.
        let form = ["-X", "POST", "-H", "Origin: https://example.org"];
        assert_eq!(status("localhost:9090", &form), "403");
        assert_eq!(status("rebound.example.org:9090", &["-X", "DELETE"]), "403");
        assert_eq!(asked.json(&["status"])["draining"], false);
        let own = ["-X", "DELETE", "-H", "Origin: http://localhost:9090"];
        assert_eq!(status("localhost:9090", &own), "200");
    });
}

#[test]
fn the_operator_comes_over_https_with_the_token_and_nobody_else_and_nobody_in_the_clear() {
    let place = place();
    let setup = operated(&place, "").with_tls().with(&format!(
        "admin.listen = ['{SERVER_V4}:9640', '127.0.0.1:9641']\nadmin.token = '{TOKEN}'"
    ));
    serving(setup, |world, server| {
        let asked = &Asked::begin(world, server, &place);
        let token = place.path().join("token");
        fs::write(&token, format!("{TOKEN}\n")).expect("ours");
        let root = lab::authority::Authority::lab().root_file();
        let by_url = |url: &str, arguments: &[&str]| {
            let mut command = asked.on_host(&lab::server::binary());
            command
                .args(arguments)
                .args(["--url", url, "--token-file"])
                .arg(&token);
            command.arg("--ca-file").arg(root.path());
            command
        };
        let elsewhere = format!("https://{SERVER_V4}:9640");
        let status = Program::succeed(by_url(&elsewhere, &["status", "--json"]));
        assert!(status.contains("\"allocations\": 0"), "{status}");
        let here = "http://127.0.0.1:9641";
        Program::succeed(by_url(
            here,
            &["sessions", "--min-age", "1h", "--min-bytes", "5"],
        ));
        let code = |url: &str, shown: &str| {
            let mut curl = asked.on_host("curl");
            curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"]);
            curl.arg(root.path()).args(["-H", shown, url]);
            Program::succeed(curl)
        };
        let right = format!("Authorization: Bearer {TOKEN}");
        assert_eq!(code(&format!("{elsewhere}/v1/status"), &right), "200");
        assert_eq!(code(&format!("{elsewhere}/metrics"), "X-None: 1"), "401");
        assert_eq!(code(&format!("{elsewhere}/ready"), "X-None: 1"), "200");
        let clear = format!("http://{SERVER_V4}:9640/v1/status");
        assert_eq!(code(&clear, &right), "403");
        server.wait_for_line(&["admin.refused", "reason=\"in-the-clear\""]);

        // A token that is another by now is none.
        fs::write(&token, "another token, for a while").expect("ours");
        let refused = by_url(here, &["status"]).output().expect("the binary");
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains("Authorization: Bearer TOKEN"), "{told}");
        let file = server.config();
        let good = fs::read_to_string(&file).expect("a configuration");
        fs::write(&file, good.replace(TOKEN, "b25lIHdobyBjYW1lIGxhdGVy")).expect("ours");
        asked.succeed(&["reload"]);
        fs::write(&token, "b25lIHdobyBjYW1lIGxhdGVy").expect("ours");
        Program::succeed(by_url(here, &["status"]));
        assert_eq!(code(&format!("{here}/v1/status"), &right), "401");
    });
}

/// A server with this variable alone, whose socket is there.
fn started(world: &World, variables: [(&str, &str); 1]) -> Server {
    let how = |program: &str| {
        let mut command = world.on_server_host(program);
        without_places(&mut command).envs(variables);
        command
    };
    let server = Server::start_by(how, Setup::default());
    server.wait_for_line(&["admin.listening"]);
    server
}

/// `hairpin status` that is told no place, but by these variables.
fn status(world: &World, variables: &[(&str, &str)]) -> Command {
    status_by(|program| world.on_server_host(program), variables)
}

fn status_by(how: impl FnOnce(&str) -> Command, variables: &[(&str, &str)]) -> Command {
    let mut command = hairpin_by(how);
    without_places(&mut command).envs(variables.iter().copied());
    command.arg("status");
    command
}

fn without_places(command: &mut Command) -> &mut Command {
    for variable in [
        "HAIRPIN_SOCKET",
        "HAIRPIN_URL",
        "RUNTIME_DIRECTORY",
        "XDG_RUNTIME_DIR",
    ] {
        command.env_remove(variable);
    }
    command
}

/// What a command that does not reach its server says.
#[track_caller]
fn fails(mut command: Command) -> String {
    let output = command.output().expect("the binary");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
