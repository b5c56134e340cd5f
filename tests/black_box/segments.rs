//! Datagrams that left in one call (UDP GSO) are ordinary ones on a wire: Wireshark finds each of them whole, with
//! its checksums, its DSCP and ECN, and DF where it was asked for.

use std::net::{IpAddr, SocketAddr};

use lab::{
    PATIENCE,
    live::LiveClient,
    machine::Machine,
    program::{Program, here},
    server::{PORT, Server, serving},
    setup::Setup,
    socket::{LiveSocket, mark},
    world::{FAR_V4, FAR_V6, server_of},
};
use tempfile::TempDir;
use wire::AddressFamily::{self, V4, V6};

use crate::{capture::Capture, far::far_host};

#[test]
fn what_left_in_one_call_is_ordinary_on_the_wire_for_peers_and_for_clients() {
    serving(Setup::default(), |_, server| {
        let far = far_host(1_500);
        // From here on as by a device that neither cuts datagrams nor computes checksums.
        let mut ethtool = here("ethtool");
        ethtool.args(["-K", "near0", "tx", "off", "tso", "off", "gso", "off"]);
        Program::succeed(ethtool);
        for family in [V4, V6] {
            let whole = Capture::of(family);
            let (up, down) = pass(server, &far, family, whole);
            assert_ordinary(family, 0, &up);
            assert_ordinary(family, CHANNEL_HEADER, &down);
        }
        // The first run of each way and family, and others that the server read at once.
        let ended = server.stop();
        let (least, most) = (4 * RUN as u64, 4 * all().len() as u64);
        let datagrams = ended.sockets("run-datagrams-sent");
        assert!((least..=most).contains(&datagrams), "{}", ended.output);
        assert!(ended.sockets("runs-sent") >= 4, "{}", ended.output);
    });
}

/// A datagram that is sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    length: usize,
    /// DSCP and ECN.
    marking: u8,
    dont_fragment: bool,
}

/// Runs that end with a shorter datagram, with another marking, with one that may be fragmented, and with DF.
fn all() -> Vec<Sent> {
    let sent = |count, length, marking, dont_fragment| {
        vec![
            Sent {
                length,
                marking,
                dont_fragment
            };
            count
        ]
    };
    [
        sent(6, 1_200, EXPEDITED | CAPABLE, false),
        sent(1, 400, EXPEDITED | CAPABLE, false),
        sent(3, 1_200, 0x28, false),
        sent(2, 1_400, 0x28, false),
        sent(2, 1_200, EXPEDITED, true),
        sent(2, 1_200, EXPEDITED, false),
        sent(3, 1_001, 0b11, false),
    ]
    .concat()
}

/// A datagram as Wireshark shows it.
#[derive(Debug)]
struct Seen {
    length: usize,
    marking: u8,
    dont_fragment: bool,
    identification: Option<u16>,
    checksums_are_right: bool,
}

/// Sends data to a peer and to a client on the far host; returns the packets that arrive there.
fn pass(
    server: &Server,
    far: &Machine,
    family: AddressFamily,
    mut whole: Capture,
) -> (Vec<Seen>, Vec<Seen>) {
    let ip: IpAddr = match family {
        V4 => FAR_V4.into(),
        V6 => FAR_V6.into(),
    };
    let (socket, _) = far.peer(ip);
    let (peer, address) = far.peer(ip);
    let listener = SocketAddr::new(server_of(family), PORT);
    socket.connect(listener).expect("a route to the server");
    let client = LiveClient::on(LiveSocket::Udp(socket));
    let (mut client, relayed) = client.allocated_of(family);
    let channel = client.bind_channel(address).expect("a channel");

    let sniffer = Sniffer::at(far, server_of(family));
    server.program.while_stopped(|| {
        for Sent {
            length,
            marking,
            dont_fragment,
        } in all()
        {
            client.socket.mark(marking);
            let payload = vec![marking; length];
            if dont_fragment {
                client.post_unfragmented(address, &payload);
            } else {
                client.post_on(channel, &payload);
            }
        }
    });
    // Half way they are still in one piece, or this test shows nothing.
    wait_for_one_piece(&mut whole, server_of(family), ip, 0);
    let up = sniffer.seen();

    let sniffer = Sniffer::at(far, server_of(family));
    server.program.while_stopped(|| {
        for Sent {
            length, marking, ..
        } in all()
        {
            mark(&(&peer).into(), relayed, marking);
            let sent = peer.send_to(&vec![marking; length], relayed);
            sent.expect("a route to the relay");
        }
    });
    wait_for_one_piece(&mut whole, server_of(family), ip, CHANNEL_HEADER);
    let down = sniffer.seen();
    (up, down)
}

/// Waits for the first run, with a header of so many bytes before each datagram.
#[track_caller]
fn wait_for_one_piece(whole: &mut Capture, server: IpAddr, to: IpAddr, header: usize) {
    let run = all().into_iter().take(RUN);
    let length: usize = run.map(|sent| sent.length + header).sum();
    while whole.next(server, to).payload.len() != length {}
}

/// Each is as it was sent, under a header of so many bytes.
#[track_caller]
fn assert_ordinary(family: AddressFamily, header: usize, seen: &[Seen]) {
    let is_up = header == 0;
    assert_eq!(seen.len(), all().len(), "{seen:#?}");
    for (seen, sent) in seen.iter().zip(all()) {
        assert_eq!(seen.length, sent.length + header, "{seen:?} of {sent:?}");
        assert_eq!(seen.marking, sent.marking, "{seen:?} of {sent:?}");
        assert!(seen.checksums_are_right, "{seen:?} of {sent:?}");
        let has_df = family == V4 && is_up && sent.dont_fragment;
        assert_eq!(seen.dont_fragment, has_df, "{seen:?} of {sent:?}");
        assert_eq!(seen.identification.is_some(), family == V4, "{seen:?}");
    }
    // The kernel numbers those of one call one by one, and those of the next call beside them: no path
    // fragments these.
    let numbers = |those: &[Seen]| {
        let mut numbers: Vec<_> = those.iter().map(|seen| seen.identification).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len()
    };
    if family == V4 {
        assert_eq!(numbers(&seen[..RUN]), RUN, "{seen:#?}");
        let fragmentable = seen
            .iter()
            .filter(|seen| seen.length > 1_252 && !seen.dont_fragment);
        let fragmentable: Vec<_> = fragmentable.map(|seen| seen.identification).collect();
        assert_eq!(fragmentable.len(), 2);
        assert_ne!(fragmentable[0], fragmentable[1], "{seen:#?}");
    }
}

/// Wireshark's on the far host, for the data of one pass.
struct Sniffer {
    dumpcap: Program,
    place: TempDir,
}

impl Sniffer {
    /// Sees from now on what comes from there and is no answer to a request.
    #[track_caller]
    fn at(far: &Machine, server: IpAddr) -> Self {
        let place = TempDir::new().expect("a temporary directory");
        let mut dumpcap = far.command("dumpcap");
        let filter = format!("udp and src host {server} and greater 400");
        dumpcap.args(["-q", "-i", "far0", "-f", &filter, "-c"]);
        dumpcap.arg(all().len().to_string());
        dumpcap.arg("-w").arg(place.path().join("pcap"));
        let mut dumpcap = Program::start(dumpcap);
        // It writes so when it listens.
        dumpcap.wait_for_words("File:");
        Self { dumpcap, place }
    }

    /// All of the data, once it came.
    #[track_caller]
    fn seen(mut self) -> Vec<Seen> {
        let ended = self.dumpcap.wait(PATIENCE);
        assert!(ended.status.success(), "{ended:?}");
        let mut tshark = here("tshark");
        tshark
            .args(["-n", "-r"])
            .arg(self.place.path().join("pcap"));
        for protocol in ["ip", "udp"] {
            let option = format!("{protocol}.check_checksum:TRUE");
            tshark.args(["-o", &option]);
        }
        tshark.args(["-T", "fields", "-E", "separator=,"]);
        for field in FIELDS {
            tshark.args(["-e", field]);
        }
        let fields = Program::succeed(tshark);
        fields.lines().filter_map(read).collect()
    }
}

/// A line of Wireshark's; others are warnings.
fn read(line: &str) -> Option<Seen> {
    let fields: Vec<&str> = line.split(',').collect();
    let fields: [&str; FIELDS.len()] = fields.try_into().ok()?;
    let [dsfield, tclass, df, id, length, ip_sum, udp_sum] = fields;
    let hexadecimal = |text: &str| u16::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let is_right = |status: &str| ["1", "Good"].contains(&status);
    // IPv6 has no checksum of its own.
    let ip_is_right = ip_sum.is_empty() && !tclass.is_empty() || is_right(ip_sum);
    Some(Seen {
        length: length.parse::<usize>().ok()? - 8,
        marking: hexadecimal(&format!("{dsfield}{tclass}"))? as u8,
        dont_fragment: ["1", "True"].contains(&df),
        identification: hexadecimal(id),
        checksums_are_right: ip_is_right && is_right(udp_sum),
    })
}

const FIELDS: [&str; 7] = [
    "ip.dsfield",
    "ipv6.tclass",
    "ip.flags.df",
    "ip.id",
    "udp.length",
    "ip.checksum.status",
    "udp.checksum.status",
];

/// How many of them leave in the first call.
const RUN: usize = 7;
/// The bytes of ChannelData before its data. RFC 8656 §12.4.
const CHANNEL_HEADER: usize = 4;
/// Expedited forwarding. RFC 3246.
const EXPEDITED: u8 = 46 << 2;
/// ECN: capable of it. RFC 3168 §5.
const CAPABLE: u8 = 0b10;
