//! A file of messages for Wireshark: bare IP packets, each a whole UDP datagram. A message that came on a stream or
//! was encrypted is written as the datagram that it would be.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etherparse::PacketBuilder;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, PcapError};

use super::super::Fault;
use super::super::api::Line;

pub(super) struct Capture {
    path: PathBuf,
    writer: PcapWriter<File>,
}

impl Capture {
    /// A new file, which only its user may read: user names and addresses are in it.
    pub(super) fn create(path: &Path) -> Result<Self, Fault> {
        let mut options = File::options();
        let opened = options.create(true).write(true).truncate(true);
        let file = opened.mode(0o600).open(path);
        let header = PcapHeader {
            datalink: DataLink::RAW,
            ..PcapHeader::default()
        };
        let writer = file.map_err(PcapError::IoError);
        let writer = writer.and_then(|file| PcapWriter::with_header(file, header));
        Ok(Self {
            path: path.to_owned(),
            writer: writer.map_err(|error| unwritten(path, error))?,
        })
    }

    /// Writes the message of a line.
    pub(super) fn write(&mut self, line: &Line) -> Result<(), Fault> {
        let Some(packet) = packet(line) else {
            return Ok(());
        };
        let at = Duration::from_millis((line.at * 1000.0).round().max(0.0) as u64);
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        let written = PcapPacket::new(at, length, &packet);
        let written = self.writer.write_packet(&written);
        written.map_err(|error| unwritten(&self.path, error))?;
        Ok(())
    }
}

fn unwritten(path: &Path, error: PcapError) -> Fault {
    let source = if let PcapError::IoError(error) = error {
        error
    } else {
        io::Error::other(error)
    };
    Fault::Capture {
        path: path.to_owned(),
        source,
    }
}

/// The IP packet that a message would come in.
fn packet(line: &Line) -> Option<Vec<u8>> {
    let payload = STANDARD.decode(line.bytes.as_deref()?).ok()?;
    let (client, server) = (line.client?, line.server?);
    let (from, to) = if line.from.as_deref() == Some("client") {
        (client, server)
    } else {
        (server, client)
    };
    let mut packet = Vec::new();
    builder(from, to)?.write(&mut packet, &payload).ok()?;
    Some(packet)
}

fn builder(
    from: SocketAddr,
    to: SocketAddr,
) -> Option<etherparse::PacketBuilderStep<etherparse::UdpHeader>> {
    let addressed = match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), TTL),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), TTL),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    Some(addressed.udp(from.port(), to.port()))
}

const TTL: u8 = 64;
