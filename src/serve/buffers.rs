//! Receive buffers of relay sockets, as large as the host can bear.
//!
//! The kernel bounds what all UDP sockets of a host hold together (`net.ipv4.udp_mem`, in pages). Beyond it, whatever
//! comes to any of them is lost: also what comes to the listeners, and the answers of name servers. A socket holds
//! twice what it asked for. So 48 full sockets of 2 MiB are all that a host of 1 GiB bears, and relay sockets, which
//! may be thousands, ask for less where that is little: so much that those that may be full at once take half.

use net::{Running, SOCKET_BUFFER};
use procfs::Current;
use tracing::warn;

use crate::config::Config;

/// The memory that a host gives to UDP.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UdpMemory {
    /// Bytes that all sockets may hold together, by the kernel's setting. `None` in a network namespace, such as a
    /// container's, which does not show it.
    set: Option<u64>,
    /// The same, as kernels choose it at their start.
    chosen: Option<u64>,
    /// Bytes that a socket may ask for: `net.core.rmem_max`.
    most_of_each: Option<u64>,
}

impl UdpMemory {
    /// That of this host.
    pub(crate) fn here() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        let last = |text: String| text.split_whitespace().last()?.parse::<u64>().ok();
        let pages = read("/proc/sys/net/ipv4/udp_mem").and_then(last);
        let memory = procfs::Meminfo::current().ok();
        Self {
            set: pages.map(|pages| pages.saturating_mul(procfs::page_size())),
            chosen: memory.map(|memory| memory.mem_total / 16 * 3),
            most_of_each: read("/proc/sys/net/core/rmem_max").and_then(last),
        }
    }

    /// Bytes of receive buffer that each relay socket of this configuration is to ask for.
    pub(crate) fn relay_buffer(&self, config: &Config) -> usize {
        let Some(bytes) = self.set.or(self.chosen) else {
            return LEAST;
        };
        let of_each = bytes / 2 / full_at_once(most_relays(config)) / TWICE;
        usize::try_from(of_each).map_or(SOCKET_BUFFER, |it| it.clamp(LEAST, SOCKET_BUFFER))
    }

    /// A sentence on how many allocations the kernel's bound of all sockets is too small for, and the remedy; `None` if it
    /// is large enough.
    pub(crate) fn lack(&self, config: &Config) -> Option<String> {
        let set = self.set?;
        let relays = config.allocation.total.map_or(USUAL, u64::from);
        let relays = relays.min(most_relays(config));
        let wanted = full_at_once(relays) * LEAST as u64 * TWICE * 2;
        let page = procfs::page_size();
        let [least, pressure, most] =
            [2, 3, 4].map(|quarters| wanted.div_ceil(page) / 4 * quarters);
        (set < wanted).then(|| {
            format!(
                "the UDP sockets of this host may hold {} together (net.ipv4.udp_mem), which is little for {relays} \
                 allocations: when some are full, all UDP of the host is lost; \
                 `sysctl -w net.ipv4.udp_mem=\"{least} {pressure} {most}\"`, and the same in /etc/sysctl.d, or a smaller \
                 `total` in [allocation]",
                mebibytes(set)
            )
        })
    }

    /// The buffers of this configuration, as `hairpin check` says them.
    pub(crate) fn summary(&self, config: &Config) -> String {
        let wanted = self.relay_buffer(config);
        let mut summary = format!(
            "{} for a listener, {} for a relay socket",
            mebibytes(SOCKET_BUFFER as u64),
            kibibytes(wanted as u64)
        );
        if let Some(bytes) = self.set {
            let all = mebibytes(bytes);
            summary += &format!("; all UDP of this host may hold {all} (net.ipv4.udp_mem)");
        }
        if let Some(most) = self
            .most_of_each
            .filter(|most| *most < SOCKET_BUFFER as u64)
        {
            summary += &format!(
                "; the kernel grants {} (net.core.rmem_max) unless the server has CAP_NET_ADMIN: \
                 `sysctl -w net.core.rmem_max=4194304`",
                kibibytes(most)
            );
        }
        summary
    }
}

/// Has relay sockets that are opened from now on follow a configuration.
pub(super) fn follow(new: &Config, before: &Config, running: &Running) {
    let memory = UdpMemory::here();
    running.set_relay_buffer(memory.relay_buffer(new));
    if memory.lack(new) != memory.lack(before) {
        say_what_lacks(memory, new);
    }
}

/// Warns if the kernel's bound is small for a configuration.
pub(super) fn say_what_lacks(memory: UdpMemory, config: &Config) {
    if let Some(lack) = memory.lack(config) {
        warn!("socket.udp-memory: {lack}");
    }
}

/// The most relay sockets that there can be.
fn most_relays(config: &Config) -> u64 {
    let relays = config.relay.addresses.len().max(1);
    let ports = (config.relay.ports.count() * relays) as u64;
    let total = config.allocation.total.map_or(ports, u64::from);
    total.min(ports)
}

/// How many of so many sockets are full at the same time, at the worst: an eighth, as most calls send little, and all
/// where there are few.
fn full_at_once(relays: u64) -> u64 {
    (relays / 8).max(64).min(relays).max(1)
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn kibibytes(bytes: u64) -> String {
    format!("{} KiB", bytes >> 10)
}

/// The least that a relay socket asks for: a picture of video comes in one burst of some hundred kilobytes.
const LEAST: usize = 256 << 10;

/// The kernel doubles what a socket asks for, for its own bookkeeping. socket(7), `SO_RCVBUF`.
const TWICE: u64 = 2;

/// Allocations to expect where no limit is configured.
const USUAL: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// A host of so many MiB of memory.
    fn host(mebibytes: u64) -> UdpMemory {
        UdpMemory {
            set: Some((mebibytes << 20) / 16 * 3),
            ..UdpMemory::default()
        }
    }

    fn at_most(total: u32) -> Config {
        let mut config = Config::default();
        config.allocation.total = Some(total);
        config
    }

    #[test]
    fn relay_sockets_ask_for_what_an_eighth_of_them_can_hold_at_once() {
        let buffers = |host: UdpMemory| {
            [at_most(100), at_most(1_000), Config::default()]
                .map(|config| host.relay_buffer(&config) >> 10)
        };
        assert_eq!(buffers(host(1 << 10)), [768, 393, 256]);
        assert_eq!(buffers(host(4 << 10)), [2_048, 1_572, 256]);
        assert_eq!(buffers(host(24 << 10)), [2_048, 2_048, 576]);
        assert_eq!(buffers(host(64 << 10)), [2_048, 2_048, 1_536]);
        // Where nothing can be read, what every host bears.
        assert_eq!(buffers(UdpMemory::default()), [256; 3]);
        let guessed = UdpMemory {
            chosen: host(1 << 10).set,
            ..UdpMemory::default()
        };
        assert_eq!(buffers(guessed), buffers(host(1 << 10)));
    }

    #[test]
    fn a_host_that_gives_udp_too_little_hears_the_sysctl_and_its_value() {
        assert_eq!(host(1 << 10).lack(&Config::default()), None);
        assert_eq!(host(1 << 10).lack(&at_most(1_000)), None);
        let lack = host(1 << 10).lack(&at_most(10_000)).unwrap();
        assert!(lack.contains("may hold 192 MiB together"), "{lack}");
        assert!(lack.contains("10000 allocations"), "{lack}");
        // 1,250 sockets of 512 KiB are 640,000 KiB, and as much again is left to others.
        let value = "net.ipv4.udp_mem=\"160000 240000 320000\"";
        assert!(
            procfs::page_size() != 4_096 || lack.contains(value),
            "{lack}"
        );
        // With it nothing is lacking.
        let raised = UdpMemory {
            set: Some(320_000 * 4_096),
            ..UdpMemory::default()
        };
        assert_eq!(raised.lack(&at_most(10_000)), None);
        // A container cannot tell, nor set it.
        assert_eq!(UdpMemory::default().lack(&at_most(10_000)), None);
    }

    #[test]
    fn the_summary_names_what_the_kernel_bounds() {
        let host = UdpMemory {
            most_of_each: Some(212_992),
            ..host(1 << 10)
        };
        assert_eq!(
            host.summary(&at_most(1_000)),
            "2 MiB for a listener, 393 KiB for a relay socket; all UDP of this host may hold 192 MiB \
             (net.ipv4.udp_mem); the kernel grants 208 KiB (net.core.rmem_max) unless the server has CAP_NET_ADMIN: \
             `sysctl -w net.core.rmem_max=4194304`"
        );
    }
}
