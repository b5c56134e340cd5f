//! Trials: whether data comes out where the server says it does, before any load goes there.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::carrier::is_for_later;
use crate::packet::{STAMP, Stamp, TRIAL};

/// The payload of a trial. It is random, so a datagram that holds it comes from somebody who has received it, and
/// nothing that was sent before it was made proves anything.
#[derive(Clone, Copy)]
pub(crate) struct Trial(Stamp);

impl Trial {
    pub(crate) fn new() -> Self {
        Self(Stamp {
            lane: TRIAL,
            number: rand::random(),
            nanos: rand::random(),
        })
    }

    pub(crate) fn payload(self) -> [u8; STAMP] {
        let mut payload = [0; STAMP];
        self.0.write(&mut payload);
        payload
    }

    pub(crate) fn is_in(self, payload: &[u8]) -> bool {
        Stamp::read(payload).is_some_and(|(stamp, _)| stamp == self.0)
    }

    /// Whether it arrives within a moment, from the address that the socket is connected to.
    pub(crate) fn arrives(self, socket: &UdpSocket) -> bool {
        let until = Instant::now() + MOMENT;
        let mut payload = [0; 2 * STAMP];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
                return false;
            }
            match socket.recv(&mut payload) {
                Ok(length) if self.is_in(&payload[..length]) => return true,
                // It came from anybody before the socket was connected.
                Ok(_) => {}
                Err(error) if is_for_later(&error) => {}
                Err(_) => return false,
            }
        }
    }
}

/// How often a way is tried.
pub(crate) const TRIALS: usize = 5;
/// How long what was sent may be on its way then.
pub(crate) const MOMENT: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lies::TRIES;
    use crate::{Fault, Mode, Plan, Rate, Transport};
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::thread;
    use wire::attributes::{Lifetime, XorMappedAddress, XorPeerAddress, XorRelayedAddress};
    use wire::{ChannelData, Class, Message, Method, Writer};

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A server that names a third party as the relayed address of everybody.
    struct Liar {
        socket: UdpSocket,
        victim: UdpSocket,
        /// Whether it sends data on as if from there. That takes a network which lets false source addresses out.
        is_spoofing: bool,
        peer: Option<SocketAddr>,
    }

    impl Liar {
        fn serve(mut self) {
            let mut packet = [0; 2_048];
            while let Ok((length, client)) = self.socket.recv_from(&mut packet) {
                if let Ok(request) = Message::parse(&packet[..length]) {
                    self.answer(&request, client);
                } else if let (Ok(data), Some(peer), true) = (
                    ChannelData::parse(&packet[..length]),
                    self.peer,
                    self.is_spoofing,
                ) {
                    self.victim.send_to(data.payload, peer).unwrap();
                }
            }
        }

        fn answer(&mut self, request: &Message<'_>, client: SocketAddr) {
            let mut answer = Vec::new();
            let transaction = request.transaction();
            let mut writer =
                Writer::new(&mut answer, request.method(), Class::Success, transaction);
            if request.method() == Method::Allocate {
                writer
                    .put(&XorRelayedAddress(self.victim.local_addr().unwrap()))
                    .put(&XorMappedAddress(client))
                    .put(&Lifetime(600));
            } else if let Ok(Some(XorPeerAddress(peer))) = request.get() {
                self.peer = Some(peer);
                // Before the peer's socket is connected.
                self.socket.send_to(b"x", peer).unwrap();
                let trial = Trial::new().payload();
                self.socket.send_to(&trial, peer).unwrap();
            }
            self.socket.send_to(&answer, client).unwrap();
        }
    }

    /// Why a bench with a liar ends, and how many datagrams the third party had.
    fn measured(is_spoofing: bool) -> (Fault, usize) {
        let socket = || UdpSocket::bind((LOCAL, 0)).unwrap();
        let (socket, victim) = (socket(), socket());
        let server = socket.local_addr().unwrap();
        let patience = Some(Duration::from_secs(10));
        socket.set_read_timeout(patience).unwrap();
        let liar = Liar {
            socket,
            victim: victim.try_clone().unwrap(),
            is_spoofing,
            peer: None,
        };
        thread::spawn(|| liar.serve());
        let plan = Plan {
            server,
            transport: Transport::Udp,
            trust: None,
            credentials: None,
            peer: Some(LOCAL),
            mode: Mode::Down,
            indications: false,
            payload: 160,
            burst: 1,
            together: false,
            flows: 1,
            rate: Rate::Even(1_000),
            duration: Duration::from_secs(1),
            threads: 1,
            pid: None,
        };
        let fault = crate::run(&plan, &mut |_| ()).expect_err("no way");
        victim.set_nonblocking(true).unwrap();
        let heard = std::iter::from_fn(|| victim.recv(&mut [0; 64]).ok());
        (fault, heard.count())
    }

    #[test]
    fn a_server_that_names_a_third_party_puts_no_load_on_it() {
        let (fault, heard) = measured(false);
        assert!(matches!(fault, Fault::NoWay { .. }), "{fault}");
        assert_eq!(heard, 0);
    }

    #[test]
    fn a_server_that_also_sends_as_if_it_were_a_third_party_puts_no_load_on_it() {
        let mut faults = (0..TRIES).map(|_| {
            let (fault, heard) = measured(true);
            assert!(heard <= TRIALS, "{heard}");
            fault
        });
        // On a host that stands still all trials on the way out may be late, and none is made on the way back.
        let fault = faults.find(|fault| !matches!(fault, Fault::NoWay { .. }));
        assert!(matches!(fault, Some(Fault::NoWayBack { .. })), "{fault:?}");
    }
}
