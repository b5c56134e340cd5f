//! Sockets that whoever started the process has bound for it, as systemd does for units of type
//! socket. sd_listen_fds(3)

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Socket, Type};

use crate::{ListenerOptions, sys};

/// A bound socket that a listener may serve.
#[derive(Debug)]
pub struct Passed {
    /// The name that the unit gives it, `FileDescriptorName=`.
    pub name: String,
    /// Its address.
    pub listen: SocketAddr,
    /// Whether it is of TCP, and not of UDP.
    pub is_stream: bool,
    pub(crate) socket: Socket,
}

/// Takes the sockets that were passed to this process. Later calls find none.
///
/// # Errors
/// If the environment does not agree with itself, or something was passed that is no UDP socket or
/// listening TCP socket of the Internet.
pub fn passed() -> io::Result<Vec<Passed>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let passed = sd_notify::listen_fds_with_names()?;
    passed
        .map(|(descriptor, name)| Passed::new(sys::adopt(descriptor)?, name))
        .collect()
}

impl Passed {
    fn new(socket: Socket, name: String) -> io::Result<Self> {
        let no_such = |what: &str| {
            let words = format!("the socket \"{}\" is {what}", name.escape_debug());
            io::Error::new(io::ErrorKind::InvalidInput, words)
        };
        let Some(listen) = socket.local_addr()?.as_socket() else {
            return Err(no_such("not of IPv4 or IPv6"));
        };
        let kind = socket.r#type()?;
        let is_stream = kind == Type::STREAM;
        if is_stream && !socket.is_listener()? {
            return Err(no_such(
                "a connection, not a listener: the unit needs Accept=no",
            ));
        }
        if !is_stream && kind != Type::DGRAM {
            return Err(no_such("neither of TCP nor of UDP"));
        }
        if listen.is_ipv6() && !socket.only_v6()? {
            // Clients over IPv4 would show addresses of another form.
            return Err(no_such(
                "of IPv6 and of IPv4 at once: the unit needs BindIPv6Only=ipv6-only",
            ));
        }
        Ok(Self {
            name,
            listen,
            is_stream,
            socket,
        })
    }

    /// Whether a listener is to serve it.
    pub(crate) fn fits(&self, listener: &ListenerOptions) -> bool {
        self.is_stream == listener.transports.are_streams() && self.listen == listener.listen
    }
}
