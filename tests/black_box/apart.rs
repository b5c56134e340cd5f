//! Datagrams that the kernel refuses to take in one call: they arrive all the same, and the log says so once.

use lab::{
    PATIENCE,
    live::LiveClient,
    program::Program,
    setup::Setup,
    socket::{assert_hears, peer_at},
    world::{CLIENT_V4, CLIENT_V6, PEER_V6, World, in_own_world, peer_of},
};
use wire::AddressFamily::{self, V4, V6};

/// Over IPv6 only the sender fragments, which the kernel does not do for those of one call.
#[test]
fn datagrams_that_fit_no_packet_of_their_route_arrive_although_the_kernel_takes_none_together() {
    in_own_world(|world| {
        for to in [
            format!("{CLIENT_V6} dev server0"),
            format!("{PEER_V6} via {CLIENT_V6} dev server0"),
        ] {
            on_server_host(world, &format!("ip -6 route add {to} mtu 1280"));
        }
        let refusal = kernels_answer(world, V6);
        assert_ne!(refusal, TAKEN, "this kernel refuses nothing");
        assert_whole(world, V6, &refusal);
    });
}

/// Kernels before 6.11 refuse (`EIO`) where a device computes no checksums, newer ones compute them. IPsec would be
/// refused by all of them, but not every kernel has it.
#[test]
fn datagrams_to_a_device_without_checksums_arrive_whether_or_not_the_kernel_takes_them_together() {
    in_own_world(|world| {
        on_server_host(world, "ethtool -K server0 tx off");
        let answer = kernels_answer(world, V4);
        assert_whole(world, V4, &answer);
    });
}

/// The answer of the kernel of the server's host to several such datagrams in one call: an error by its name.
fn kernels_answer(world: &World, family: AddressFamily) -> String {
    let client = match family {
        V4 => CLIENT_V4.to_string(),
        V6 => CLIENT_V6.to_string(),
    };
    let mut python = world.on_server_host("python3");
    python.args(["-c", SENDER, &client, &LENGTH.to_string()]);
    Program::succeed(python).trim().to_owned()
}

/// Data there and back is whole, and counted and told as the kernel answers.
#[track_caller]
fn assert_whole(world: &World, family: AddressFamily, answer: &str) {
    let mut server = world.serve(Setup::default());
    server.wait_for_line(&["server.datapath", "gso=true"]);
    let client = LiveClient::over(client::Transport::Udp, family);
    let (mut session, relayed) = client.allocated_of(family);
    let (peer, address) = peer_at(peer_of(family));
    let channel = session.bind_channel(address).expect("a channel");
    let datagrams = [1, 2, 3, 4, 5, 6].map(|number| [number; LENGTH]);
    for _ in 0..3 {
        server.program.while_stopped(|| {
            for datagram in &datagrams {
                session.post_on(channel, datagram);
            }
        });
        for datagram in &datagrams {
            assert_hears(&peer, relayed, datagram);
        }
        server.program.while_stopped(|| {
            for datagram in &datagrams {
                let sent = peer.send_to(datagram, relayed);
                sent.expect("a route to the relay");
            }
        });
        for datagram in &datagrams {
            let heard = session.receive_within(PATIENCE);
            assert_eq!(heard.as_deref(), Some(&datagram[..]));
        }
    }
    let ended = server.stop();
    let log = &ended.output;
    println!("the kernel's answer is {answer}");
    let (is_taken, why) = match answer {
        TAKEN => (true, ""),
        "EIO" => (false, "a device or its route takes one datagram a call"),
        "EINVAL" | "EMSGSIZE" => (false, "the datagrams do not fit their route whole"),
        other => panic!("{other}"),
    };
    let said = log.lines().filter(|line| line.contains("datapath.apart"));
    let said: Vec<_> = said.collect();
    if is_taken {
        assert!(ended.sockets("runs-sent") >= 6, "{log}");
        assert_eq!(said, [""; 0]);
    } else {
        assert_eq!(ended.sockets("runs-sent"), 0, "{log}");
        assert!(said.len() == 1 && said[0].contains(why), "{log}");
    }
    for lost in ["send-failed", "send-gone", "receive-overflow"] {
        assert_eq!(ended.sockets(lost), 0, "{log}");
    }
}

/// Runs a line on the server's host.
fn on_server_host(world: &World, line: &str) {
    let mut words = line.split(' ');
    let mut command = world.on_server_host(words.next().expect("a program"));
    command.args(words);
    Program::succeed(command);
}

/// The bytes of data of a datagram, which fits a packet of Ethernet, and over IPv6 none of 1,280 bytes.
const LENGTH: usize = 1_240;
/// The answer of a kernel that takes them.
const TAKEN: &str = "taken";

/// Sends three datagrams in one call, and says what the kernel answers.
const SENDER: &str = "
import errno, socket, sys
to, length = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ':' in to else socket.AF_INET
sender = socket.socket(family, socket.SOCK_DGRAM)
UDP_SEGMENT = 103
sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, length)
try:
    sender.sendto(bytes(3 * length), (to, 9))
    print('taken')
except OSError as refusal:
    print(errno.errorcode[refusal.errno])
";
