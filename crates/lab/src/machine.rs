//! Machines: hosts of a test's own, each with a network namespace, and their links, filters and
//! resolvers.

use std::{
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    path::Path,
    process::Command,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::NamedTempFile;

use crate::{
    namespaces::ADDRESS_DETECTION,
    program::{Program, here},
    socket::patient,
};

/// A host of its own, which is removed with this value.
pub struct Machine {
    idle: Program,
}

impl Machine {
    /// A host without any link.
    pub fn make() -> Self {
        let mut idle = Command::new("unshare");
        let script = format!("echo 0 > {ADDRESS_DETECTION}; echo apart; exec sleep infinity");
        idle.args(["--net", "sh", "-ec", &script]);
        let mut idle = Program::start(idle);
        idle.wait_for_words("apart");
        Self { idle }
    }

    /// A command that will run there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.pid()));
        command.arg("--").arg(program);
        command
    }

    /// A peer's socket there, which waits with `PATIENCE`, and its address. It stays in that network,
    /// whichever thread uses it.
    pub fn peer(&self, ip: impl Into<IpAddr>) -> (UdpSocket, SocketAddr) {
        let ip = ip.into();
        patient(
            self.there(move || UdpSocket::bind((ip, 0)))
                .expect("a free port"),
        )
    }

    /// A listener there. It stays in that network, whichever thread uses it.
    pub fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        self.there(move || TcpListener::bind(at))
    }

    /// A connection to a program there. It stays in that network, whichever thread uses it.
    pub fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        self.there(move || TcpStream::connect(to))
    }

    /// Runs this in that network, on a thread of its own. Sockets that it makes stay there.
    pub fn there<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let pid = self.pid();
        let there = thread::spawn(move || {
            let there = File::open(format!("/proc/{pid}/ns/net"))?;
            move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network))?;
            act()
        });
        there.join().expect("no panic")
    }

    /// A process there.
    pub fn pid(&self) -> i32 {
        self.idle.pid().as_raw_nonzero().get()
    }
}

/// Runs a batch of commands of `ip`, which is the one of a host.
#[track_caller]
pub fn configure(mut ip: Command, links: &str) {
    let batch = NamedTempFile::new().expect("a temporary file");
    fs::write(batch.path(), links).expect("the temporary file is ours");
    ip.arg("-batch").arg(batch.path());
    Program::succeed(ip);
}

/// Runs commands of `nft`, which is the one of a host.
#[track_caller]
pub fn filter(mut nft: Command, rules: &str) {
    nft.arg(rules);
    Program::succeed(nft);
}

/// Gives the test's own programs these resolvers, and no other.
pub fn resolve_by(resolvers: &[Ipv4Addr]) {
    let lines = resolvers.iter().map(|ip| format!("nameserver {ip}\n"));
    replace("/etc/resolv.conf", &lines.collect::<String>());
}

/// Gives the test's own programs the names of these hosts, without any resolver.
pub fn name_hosts(hosts: &[(IpAddr, &str)]) {
    let lines = hosts.iter().map(|(ip, name)| format!("{ip} {name}\n"));
    let text = format!("127.0.0.1 localhost\n{}", lines.collect::<String>());
    replace("/etc/hosts", &text);
}

/// Adds a file to `/etc`, for the test's own programs. Called before other files of `/etc` are replaced: it hides those.
pub fn add_to_etc(path: &str, text: &str) {
    let mut mount = here("sh");
    mount.args(["-ec", OVER_ETC]);
    Program::succeed(mount);
    let path = Path::new("/etc").join(path);
    fs::create_dir_all(path.parent().expect("a directory")).expect("it is the test's own");
    fs::write(path, text).expect("it is the test's own");
}

/// Files written below `/etc` are in memory from then on.
const OVER_ETC: &str = "place=$(mktemp --directory)
mount -t tmpfs none \"$place\"
mkdir \"$place/new\" \"$place/work\"
mount -t overlay none -o lowerdir=/etc,upperdir=\"$place/new\",workdir=\"$place/work\" /etc
umount --lazy \"$place\"
rmdir \"$place\"";

/// Gives a file another text for the test's own programs.
pub fn replace(path: &str, text: &str) {
    let file = NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), text).expect("the file is ours");
    // The mounts of the test are its own, too.
    let mut mount = here("mount");
    mount.arg("--bind").arg(file.path()).arg(path);
    Program::succeed(mount);
}
