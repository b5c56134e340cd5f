//! The pages of `docs/recipes`: the code blocks are taken out of them and run, not copied.

mod containers;
mod firewalls;
mod fitting;
mod minting;
mod parsed;
mod port_443;
mod products;
mod served;
mod synapse;

use std::{
    fs,
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use client::Transport;
use lab::{
    authority::{Authority, Name, Wish},
    credentials::password_of,
    live::LiveClient,
    program::{Program, here},
    server::{hairpin_by, serve},
    socket::LiveSocket,
    tls::{TlsSession, trusting},
    world::{SERVER_V4, SERVER_V6, World},
};
use tempfile::TempDir;
use wire::AddressFamily;

#[test]
fn every_configuration_of_the_recipes_passes_the_check() {
    for change in changes() {
        let directory = Directory::with(&change.configuration);
        let mut check = hairpin_by(here);
        check.arg("check").arg("--config").arg(directory.config());
        let told = Program::run(check, lab::PATIENCE);
        assert!(
            told.status.success(),
            "{}: {}\n{}",
            change.page,
            change.configuration,
            told.output
        );
    }
}

#[test]
fn after_each_configuration_its_page_has_the_line_by_which_the_server_takes_it_up() {
    for Page { name, blocks, .. } in Page::all() {
        for (index, block) in blocks.iter().enumerate() {
            let is_followed = taken_up(&blocks[index..]).is_some();
            assert!(
                block.language != "toml" || is_followed,
                "{name}: no restart or reload of hairpin after:\n{}",
                block.text
            );
        }
    }
}

/// A page of the recipes, and its code blocks.
struct Page {
    name: String,
    text: String,
    blocks: Vec<Block>,
}

struct Block {
    /// The words of the last heading before it.
    heading: String,
    language: String,
    text: String,
}

impl Page {
    /// The page of this name, without `.md`.
    fn read(name: &str) -> Self {
        let path = recipes().join(name).with_extension("md");
        let text = fs::read_to_string(&path);
        let text = text.unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        Self {
            name: name.to_owned(),
            blocks: blocks(&text),
            text,
        }
    }

    /// Every page.
    fn all() -> Vec<Self> {
        let entries = fs::read_dir(recipes()).expect("recipes");
        let paths = entries.map(|entry| entry.expect("a file").path());
        let names = paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.iter().map(|name| Self::read(name)).collect()
    }

    /// The blocks of this language under headings with these words; an empty text is in every heading.
    #[track_caller]
    fn under(&self, words: &str, language: &str) -> Vec<&str> {
        let blocks = self.blocks.iter();
        let found: Vec<&str> = blocks
            .filter(|block| block.language == language && block.heading.contains(words))
            .map(|block| block.text.as_str())
            .collect();
        assert!(!found.is_empty(), "{}: {words}: no {language}", self.name);
        found
    }

    /// The only one of them.
    #[track_caller]
    fn only(&self, words: &str, language: &str) -> &str {
        let found = self.under(words, language);
        assert_eq!(found.len(), 1, "{}: {words}: {language}", self.name);
        found[0]
    }
}

fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes")
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut heading) = (Vec::new(), "");
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(Block {
                heading: heading.to_owned(),
                language: language.to_owned(),
                text: code.join("\n") + "\n",
            });
        } else if line.starts_with('#') {
            heading = line.trim_start_matches(['#', ' ']);
        }
    }
    blocks
}

/// The configuration of a reader who has done what the page says: its block alone where that begins with the realm, else
/// the base configuration and the block behind it.
fn configuration(block: &str) -> String {
    let whole = block.trim_start().starts_with("realm =");
    if whole {
        block.to_owned()
    } else {
        format!("{}\n{block}", base())
    }
}

/// The configuration that all recipes begin with.
fn base() -> String {
    let page = Page::read("README");
    page.only("", "toml").to_owned()
}

/// A configuration of a page, for a server that has the base configuration.
struct Change {
    page: String,
    configuration: String,
    by: TakenUp,
}

/// The way in which a server takes up a changed file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TakenUp {
    Reload,
    Restart,
}

/// The configurations of all pages.
fn changes() -> Vec<Change> {
    let mut changes = Vec::new();
    for Page { name, blocks, .. } in Page::all() {
        for (index, block) in blocks.iter().enumerate() {
            if block.language == "toml" {
                let by = taken_up(&blocks[index..]);
                changes.push(Change {
                    page: name.clone(),
                    configuration: configuration(&block.text),
                    by: by.unwrap_or_else(|| panic!("{name}: {}", block.text)),
                });
            }
        }
    }
    changes
}

/// The first line of these blocks that has the server take up its file.
fn taken_up(blocks: &[Block]) -> Option<TakenUp> {
    let shells = blocks.iter().filter(|block| block.language == "sh");
    let mut lines = shells.flat_map(|block| block.text.lines());
    lines.find_map(|line| match line {
        "sudo systemctl reload hairpin" => Some(TakenUp::Reload),
        "sudo systemctl restart hairpin" => Some(TakenUp::Restart),
        _ => None,
    })
}

/// A directory in place of `/etc/hairpin`, with all files that a recipe has made there.
struct Directory(TempDir);

impl Directory {
    fn with(configuration: &str) -> Self {
        let directory = Self(TempDir::new().expect("a temporary directory"));
        for (name, secret) in SECRETS {
            directory.write(name, &format!("{secret}\n"));
        }
        directory.write("turnserver.toml", configuration);
        directory
    }

    /// The same, with a certificate of the lab's authority in place of one that comes by itself.
    fn certified(configuration: &str) -> Self {
        let directory = Self::with(&with_files(configuration));
        certificate_for("turn.example.org").write(directory.0.path(), "turn");
        directory
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        fs::write(&path, text).expect("the directory is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn config(&self) -> String {
        self.path("turnserver.toml")
    }

    /// Starts Hairpin on the world's server host with this directory, and waits until it listens.
    #[track_caller]
    fn serve(&self, world: &World) -> Program {
        let mut command = serve(|program| world.on_server_host(program));
        command.arg("--config").arg(self.config());
        // Certificates that come by themselves are kept there.
        command.env("STATE_DIRECTORY", self.0.path());
        let mut program = Program::start(command);
        program.wait_for_words("listening");
        program
    }
}

/// The configuration with other lines in place of those by which a certificate comes from Let's Encrypt.
fn with_acme(configuration: &str, lines: &str) -> String {
    let acme = "[tls]\nacme = { names = [\"turn.example.org\"] }\n";
    assert!(configuration.contains(acme), "{configuration}");
    configuration.replace(acme, lines)
}

/// The configuration with a certificate in files in place of one that comes by itself.
fn with_files(configuration: &str) -> String {
    let files = "[tls]\ncertificates = [{ cert = \"turn.pem\", key = \"turn.key\" }]\n";
    with_acme(configuration, files)
}

/// A certificate for a name and for the world's server.
fn certificate_for(name: &str) -> lab::authority::Issued {
    let names = [
        Name::Host(name),
        Name::Address(SERVER_V4.into()),
        Name::Address(SERVER_V6.into()),
    ];
    Authority::lab().issue(Wish {
        names: &names,
        ..Wish::RIGHT
    })
}

/// A client over this transport at a port of the world's server, with a credential as `web-page.md` makes it.
fn client(ip: impl Into<IpAddr>, port: u16, transport: Transport) -> LiveClient {
    let to = SocketAddr::new(ip.into(), port);
    let client = match transport {
        Transport::Tls => LiveClient::on(secure(to, "turn.example.org")),
        Transport::Udp | Transport::Tcp | Transport::Dtls => LiveClient::to(to, transport),
    };
    with_credential(client, SECRET, "alice")
}

/// The client with a credential of this secret.
fn with_credential(client: LiveClient, secret: &str, user: &str) -> LiveClient {
    with_lasting_credential(client, secret, user, DAY)
}

/// The same for so many seconds.
fn with_lasting_credential(
    client: LiveClient,
    secret: &str,
    user: &str,
    seconds: u64,
) -> LiveClient {
    let name = format!("{}:{user}", now() + seconds);
    client.login(&name, &password_of(secret, &name))
}

/// A session over TLS with a server of this name.
fn secure(to: SocketAddr, name: &'static str) -> LiveSocket {
    let stream = TcpStream::connect(to).expect("a listener");
    let name = name.try_into().expect("a name of DNS");
    LiveSocket::Tls(TlsSession::connect(stream, name, trusting()).expect("a certificate for it"))
}

/// Opens an allocation for each of two clients, and sends from one to the other.
#[track_caller]
fn assert_meet(one: LiveClient, other: LiveClient, family: AddressFamily) {
    let (mut one, here) = one.allocated_of(family);
    let (mut other, there) = other.allocated_of(family);
    other.create_permission(here).expect("a permission");
    let channel = one.bind_channel(there).expect("a channel");
    one.post_on(channel, b"hello");
    assert_eq!(other.receive(), (here, b"hello".to_vec()));
}

/// In seconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock after 1970").as_secs()
}

/// In seconds.
const DAY: u64 = 86400;

/// The secrets in the files that the recipes make, each as `openssl rand -hex 32` prints one.
const SECRETS: [(&str, &str); 3] = [
    ("turn.secret", SECRET),
    ("shop.secret", SHOP_SECRET),
    ("janus.token", JANUS_TOKEN),
];
const SECRET: &str = "3f9c1b2a7d5e4f60819a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f70";
const SHOP_SECRET: &str = "a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f";
const JANUS_TOKEN: &str = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
/// The place in a product's configuration where a secret goes.
const PLACE: &str = "0000000000000000000000000000000000000000000000000000000000000000";
