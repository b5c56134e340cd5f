//! Every item of std that the fence of a pure crate forbids, once each. It is never compiled into
//! anything: `fence.rs` shows it to clippy under each fence.

pub fn time() {
    let _ = Some(std::time::Instant::now()).unwrap().elapsed();
    let _ = None.unwrap_or_else(std::time::SystemTime::now).elapsed();
}

pub fn threads() {
    std::thread::spawn(|| ());
    std::thread::scope(|_scope| ());
    let _ = std::thread::Builder::new().spawn(|| ());
    std::thread::scope(|scope| std::thread::Builder::new().spawn_scoped(scope, || ()).is_ok());
    std::thread::sleep(std::time::Duration::ZERO);
    std::thread::park();
    std::thread::park_timeout(std::time::Duration::ZERO);
    std::thread::yield_now();
    let _ = std::thread::available_parallelism();
}

pub fn sockets(
    _: std::net::TcpListener,
    _: std::net::TcpStream,
    _: std::net::UdpSocket,
    _: std::os::unix::net::UnixDatagram,
    _: std::os::unix::net::UnixListener,
    _: std::os::unix::net::UnixStream,
) {
    let _ = std::net::ToSocketAddrs::to_socket_addrs("localhost:1");
}

pub fn files(_: std::fs::File, _: std::fs::OpenOptions) {
    let _ = std::fs::read("");
    let _ = std::fs::read_to_string("");
    let _ = std::fs::read_dir("");
    let _ = std::fs::metadata("");
    let _ = std::fs::write("", "");
    let _ = std::fs::create_dir("");
    let _ = std::fs::create_dir_all("");
    let _ = std::fs::remove_file("");
    let _ = std::fs::rename("", "");
}

pub fn process(_: std::process::Command) {
    let _ = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let _ = std::env::args();
    let _ = (std::env::var(""), std::env::var_os(""), std::env::vars());
    if std::hint::black_box(true) {
        std::process::exit(1);
    }
    std::process::abort();
}

pub fn output() {
    print!("");
    println!();
    eprint!("");
    eprintln!();
}

pub fn chance(
    _: std::collections::HashMap<u8, u8>,
    _: std::collections::HashSet<u8>,
    _: std::hash::RandomState,
) {
}
