//! The programs of `web-page.md` that make credentials, and the names that products give to users.

use std::{fs, path::Path, process::Command, time::Duration};

use client::Transport;
use lab::{
    foreign::built,
    live::LiveClient,
    program::{Program, here},
    world::{SERVER_V4, in_own_world, in_own_world_for},
};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    DAY, Directory, Page, SECRET, base, fitting::beans, parsed::yaml, recipes,
    with_lasting_credential,
};

#[test]
fn what_all_five_programs_of_the_page_print_opens_an_allocation() {
    in_own_world_for(BUILD, |world| {
        let page = Page::read("web-page");
        let directory = Directory::certified(&base());
        let _server = directory.serve(world);
        let place = TempDir::new().expect("a temporary directory");
        let programs: Vec<(&str, Program)> = commands(&page, place.path())
            .map(|(language, mut command)| {
                command.env("TURN_SECRET", SECRET).current_dir(place.path());
                (language, Program::start(command))
            })
            .into();
        for (language, mut program) in programs {
            let ended = program.wait(BUILD);
            assert!(ended.status.success(), "{language}: {}", ended.output);
            let printed = ended.output.lines().last().expect("a line");
            let printed: Value = serde_json::from_str(printed)
                .unwrap_or_else(|why| panic!("{language}: {why}: {}", ended.output));
            let server = &printed["iceServers"][0];
            let text = |key: &str| server[key].as_str().expect("a text").to_owned();
            assert_eq!(server["urls"].as_array().map(Vec::len), Some(3));
            let mut client = LiveClient::to((SERVER_V4, 3478), Transport::Udp)
                .login(&text("username"), &text("credential"));
            assert!(client.allocate().is_ok(), "{language}: {server}");
        }
    });
}

/// How long two compilers may take beside the other tests.
const BUILD: Duration = Duration::from_secs(300);

/// The commands that run the programs, which are in files of this directory.
fn commands(page: &Page, place: &Path) -> [(&'static str, Command); 5] {
    let file = |name: &str, language: &str| {
        let path = place.join(name);
        fs::write(&path, page.only("", language)).expect("the directory is ours");
        path
    };
    let run = |program: &str, path: &Path| {
        let mut command = here(program);
        command.arg(path);
        command
    };
    let mut go = here("go");
    go.arg("run").arg(file("mint.go", "go"));
    go.env("GO111MODULE", "off").env_remove("GOFLAGS");
    go.env("GOCACHE", built("go-cache"));
    [
        ("JavaScript", run("node", &file("mint.mjs", "js"))),
        (
            "Python",
            run("/usr/bin/python3", &file("mint.py", "python")),
        ),
        ("PHP", run("php", &file("mint.php", "php"))),
        ("Go", go),
        ("Rust", rust(page, place)),
    ]
}

/// The package that the page's command lines make. Its dependencies are locked as those of this workspace, so that
/// nothing is fetched, and built once for all runs.
fn rust(page: &Page, place: &Path) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(recipes().join("web-page.md")).expect("a page");
    let (_, added) = text.split_once("`cargo add ").expect("a command line");
    let (added, _) = added.split_once('`').expect("its end");
    let dependencies = added.split(' ').map(|it| {
        let (name, version) = it.split_once('@').expect("a version");
        format!("{name} = \"{version}\"\n")
    });
    let manifest = format!(
        "[package]\nname = \"mint\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{}",
        dependencies.collect::<String>()
    );
    let package = place.join("mint");
    fs::create_dir_all(package.join("src")).expect("the directory is ours");
    fs::write(package.join("Cargo.toml"), manifest).expect("the directory is ours");
    fs::write(package.join("src/main.rs"), page.only("Rust", "rust"))
        .expect("the directory is ours");
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).expect("the directory is ours");
    let mut cargo = here(env!("CARGO"));
    cargo.args(["run", "--quiet", "--offline", "--manifest-path"]);
    cargo.arg(package.join("Cargo.toml"));
    cargo
        .arg("--target-dir")
        .arg(root.join("target/recipes-mint"));
    cargo
}

/// The pages of products that make credentials, each with the user and the seconds that it says.
fn products() -> Vec<(&'static str, String, u64)> {
    let cited = |name| cited_user(&Page::read(name));
    let yaml = |name| yaml(Page::read(name).only("", "yaml")).remove(0);
    let galene: Value = serde_json::from_str(Page::read("galene").only("", "json")).expect("JSON");
    let galene = galene[0]["username"].as_str().expect("a text").to_owned();
    let synapse = yaml("synapse")["turn_user_lifetime"].clone();
    assert_eq!(synapse.as_str(), Some("1d"));
    let livekit = yaml("livekit")["rtc"]["turn_servers"][0]["ttl"].as_u64();
    let [_, _, seconds] = beans(Page::read("bigbluebutton").only("", "xml")).remove(0);
    vec![
        // A day is what the other two always have.
        ("nextcloud-talk", cited("nextcloud-talk"), DAY),
        ("galene", galene, DAY),
        ("synapse", cited("synapse"), DAY),
        ("livekit", cited("livekit"), livekit.expect("seconds")),
        (
            "bigbluebutton",
            cited("bigbluebutton"),
            seconds.parse().expect("seconds"),
        ),
    ]
}

/// The user of the first name such as `1796065129:alice` on the page.
fn cited_user(page: &Page) -> String {
    let user = page.text.split('`').find_map(|span| {
        let (expiry, user) = span.split_once(':')?;
        let is_expiry = expiry.len() == 10 && expiry.bytes().all(|it| it.is_ascii_digit());
        (is_expiry && !user.contains(char::is_whitespace)).then(|| user.to_owned())
    });
    user.unwrap_or_else(|| panic!("{}: no user name", page.name))
}

#[test]
fn a_credential_of_each_product_opens_an_allocation() {
    in_own_world(|world| {
        let directory = Directory::certified(&base());
        let server = directory.serve(world);
        for (product, user, seconds) in products() {
            let client = LiveClient::to((SERVER_V4, 3478), Transport::Udp);
            let mut client = with_lasting_credential(client, SECRET, &user, seconds);
            let opened = client.allocate();
            assert!(opened.is_ok(), "{product}: {user}: {}", server.output());
        }
    });
}
