//! A server of which very many look at everything, all the time.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use lab::{PATIENCE, server::PASSWORD, wait_for, world::in_own_world};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    bystander::Bystander, clients, crowds::start, reflection::yield_to_others, server::setup,
    silence::allow_many_files,
};

/// `hairpin top` and a dashboard are streams of looks, each of which lists all sessions.
#[test]
fn a_call_loses_nothing_while_ten_thousand_sessions_are_listed_watched_and_scraped() {
    in_own_world(|_| {
        allow_many_files();
        let place = TempDir::new().expect("a temporary directory");
        let socket = place.path().join("admin.sock");
        let more = format!(
            "admin.socket = '{}'\nrelay.ports = '20000-30100'\nallocation.per-user = 0\n\
             auth.users.{CROWD} = '{PASSWORD}'\nunauthenticated.per-prefix = 'unlimited'\n\
             unauthenticated.total = 'unlimited'",
            socket.display()
        );
        let mut server = start(setup().with(&more));
        server.wait_for_line(&["admin.listening"]);
        let crowd: Vec<_> = (0..SESSIONS)
            .map(|_| clients::on_udp().login(CROWD, PASSWORD).allocated())
            .collect();
        let session = Bystander::every(Duration::from_millis(5));
        let again = Duration::ZERO;
        let lists = Asked::again(&socket, "/v1/sessions?limit=10000", again);
        let scrapes = Asked::again(&socket, "/metrics", Duration::from_millis(100));
        let top = Asked::again(&socket, "/v1/live?limit=100", again);
        let dashboard = Asked::again(&socket, "/v1/live?by=peers&sort=age", again);
        for (asked, mark, times) in [
            (&lists, "\"sessions\":", 5),
            (&scrapes, "# EOF", 20),
            (&top, "data:", 3),
            (&dashboard, "data:", 3),
        ] {
            asked.wait_for(mark, times);
        }
        let told = top.end();
        let all = format!("\"sessions\":{},", crowd.len() + 1);
        assert!(told.contains(&all), "{told:.400}");
        drop((lists.end(), scrapes.end(), dashboard.end()));
        let trips = session.finish();
        println!("beside those who look: {trips}");
        trips.assert_lossless();
        trips.assert_within(95, DELAYED);
        // Ten thousand ends take longer to tell of than a stop may take else.
        server.program.signal(Signal::TERM);
        server.program.wait(3 * PATIENCE);
    });
}

/// Somebody who asks the same again and again, and reads all that comes.
struct Asked {
    stop: Arc<AtomicBool>,
    read: Arc<Mutex<String>>,
    thread: JoinHandle<()>,
}

impl Asked {
    fn again(socket: &Path, path: &str, pause: Duration) -> Self {
        let (stop, read) = (Arc::default(), Arc::default());
        let asker = Asker {
            socket: socket.to_owned(),
            path: path.to_owned(),
            stop: Arc::clone(&stop),
            read: Arc::clone(&read),
        };
        let thread = thread::spawn(move || {
            // Their own time is not the server's.
            yield_to_others();
            while !asker.stop.load(Ordering::Relaxed) {
                asker.ask();
                thread::sleep(pause);
            }
        });
        Self { stop, read, thread }
    }

    #[track_caller]
    fn wait_for(&self, mark: &str, times: usize) {
        wait_for(mark, 6 * PATIENCE, || {
            let read = self.read.lock().expect("no panic");
            (read.matches(mark).count() >= times).then_some(())
        });
    }

    /// All that came.
    fn end(self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic");
        let read = self.read.lock().expect("no panic");
        read.clone()
    }
}

struct Asker {
    socket: PathBuf,
    path: String,
    stop: Arc<AtomicBool>,
    read: Arc<Mutex<String>>,
}

impl Asker {
    fn ask(&self) {
        let mut stream = UnixStream::connect(&self.socket).expect("the server listens");
        let patience = Some(Duration::from_millis(500));
        stream.set_read_timeout(patience).expect("not zero");
        let head = format!("GET {} HTTP/1.1\r\nHost: hairpin\r\n\r\n", self.path);
        stream.write_all(head.as_bytes()).expect("a request");
        let mut buffer = vec![0; 1 << 16];
        while !self.stop.load(Ordering::Relaxed) {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    let text = String::from_utf8_lossy(&buffer[..length]);
                    self.read.lock().expect("no panic").push_str(&text);
                }
                // Nothing came for a moment.
                Err(_) => {}
            }
        }
    }
}

const CROWD: &str = "crowd";
const SESSIONS: usize = 10_000;
/// A debug build lists and scrapes slowly, on one of two processors.
const DELAYED: Duration = Duration::from_millis(200);
