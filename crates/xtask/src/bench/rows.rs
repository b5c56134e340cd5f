//! The rows of the table.

use std::fmt::Write;

use super::servers::Kind::{self, Coturn, Forwarder, Hairpin, Offload};

/// A load, and the servers that carry it.
#[derive(Debug)]
pub(super) struct Row {
    /// On the command line.
    pub(super) name: &'static str,
    /// In the table.
    pub(super) title: &'static str,
    /// The way to the server.
    pub(super) way: Way,
    /// Options of `hairpin bench`.
    pub(super) load: &'static str,
    /// The measure that is compared.
    pub(super) measure: Measure,
    pub(super) place: Place,
    pub(super) servers: &'static [Kind],
    pub(super) targets: Targets,
    /// Another row that Hairpin's figures are also held against.
    pub(super) beside: Option<Beside>,
}

/// Hairpin's figures are to be no more than these.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Targets {
    /// As a share of coturn's.
    pub(super) coturn: Option<f64>,
    /// As a share of the better forwarder's.
    pub(super) forwarder: Option<f64>,
    /// The figure itself.
    pub(super) own: Option<f64>,
}

/// Hairpin under another load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    /// The row of that load.
    pub(super) row: &'static str,
    /// The share of that row's figure that this row's is to be at most.
    pub(super) target: Option<f64>,
}

/// How clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Udp,
    Tcp,
    Tls,
}

/// A measure of a measurement that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// CPU seconds per million packets that arrived, answers, or cycles.
    Cost,
    /// KiB of memory per allocation.
    Memory,
}

/// Which processors a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One, and the load has another one.
    Pinned,
    /// All, with as many threads as it wants; the load, too.
    Free,
}

/// Every row, in the order of the table.
pub(super) const ROWS: &[Row] = &[
    Row::pinned(
        "up-160",
        "up, 160 B",
        Way::Udp,
        "--mode up --flows 50 --payload 160",
        SIMPLE,
    )
    .of_coturn(0.9)
    .of_forwarder(1.05),
    Row::pinned(
        "down-160",
        "down, 160 B",
        Way::Udp,
        "--mode down --flows 50 --payload 160",
        SIMPLE,
    )
    .of_coturn(0.9)
    .of_forwarder(1.05),
    Row::pinned(
        "up-1200",
        "up, 1,200 B",
        Way::Udp,
        "--mode up --flows 50 --payload 1200",
        SIMPLE,
    )
    .of_coturn(0.9)
    .of_forwarder(1.05),
    Row::pinned(
        "down-1200",
        "down, 1,200 B",
        Way::Udp,
        "--mode down --flows 50 --payload 1200",
        SIMPLE,
    )
    .of_coturn(0.9)
    .of_forwarder(1.05),
    Row::pinned(
        "burst-up-160",
        "bursts of 8, up, 160 B",
        Way::Udp,
        "--mode up --flows 20 --burst 8 --payload 160",
        ALL,
    )
    .of_coturn(0.55)
    .of_forwarder(1.15),
    Row::pinned(
        "burst-down-160",
        "bursts of 8, down, 160 B",
        Way::Udp,
        "--mode down --flows 20 --burst 8 --payload 160",
        ALL,
    )
    .of_coturn(0.55)
    .of_forwarder(1.15),
    Row::pinned(
        "burst-up-1200",
        "bursts of 8, up, 1,200 B",
        Way::Udp,
        "--mode up --flows 20 --burst 8 --payload 1200",
        ALL,
    )
    .of_coturn(0.55)
    .of_forwarder(1.15),
    Row::pinned(
        "burst-down-1200",
        "bursts of 8, down, 1,200 B",
        Way::Udp,
        "--mode down --flows 20 --burst 8 --payload 1200",
        ALL,
    )
    .of_coturn(0.55)
    .of_forwarder(1.15),
    Row::pinned(
        "together-up-1200",
        "the same from a card that joins them (GRO), up",
        Way::Udp,
        "--mode up --flows 20 --burst 8 --together --payload 1200",
        ALL,
    ),
    Row::pinned(
        "together-down-1200",
        "the same, down",
        Way::Udp,
        "--mode down --flows 20 --burst 8 --together --payload 1200",
        ALL,
    ),
    Row::pinned(
        "relay",
        "relay to relay, 160 B",
        Way::Udp,
        "--mode relay --flows 50 --payload 160",
        TURN,
    )
    .of_coturn(0.45),
    Row::pinned(
        "both-160",
        "both ways, 160 B",
        Way::Udp,
        "--mode both --flows 50 --payload 160",
        SIMPLE,
    ),
    Row::pinned(
        "indications",
        "indications, both ways, 160 B",
        Way::Udp,
        "--mode both --indications --flows 50 --payload 160",
        TURN,
    )
    .beside("both-160", Some(1.05)),
    Row::pinned(
        "binding",
        "Binding, per million answers",
        Way::Udp,
        "--mode binding --flows 50",
        TURN,
    )
    .of_coturn(0.65),
    Row::pinned(
        "allocate",
        "Allocate and Refresh to 0, per million cycles",
        Way::Udp,
        "--mode allocate --flows 16",
        TURN,
    )
    // Eight times as many cycles of the same processor time.
    .of_coturn(0.125),
    Row::pinned(
        "tcp-up",
        "TCP, bursts of 4, up, 160 B",
        Way::Tcp,
        "--mode up --flows 20 --burst 4 --payload 160",
        TURN,
    )
    .of_coturn(0.8),
    Row::pinned(
        "tcp-down",
        "TCP, bursts of 4, down, 160 B",
        Way::Tcp,
        "--mode down --flows 20 --burst 4 --payload 160",
        TURN,
    )
    .of_coturn(0.8),
    Row::pinned(
        "tls-up",
        "TLS, bursts of 4, up, 160 B",
        Way::Tls,
        "--mode up --flows 20 --burst 4 --payload 160",
        TURN,
    ),
    Row::pinned(
        "tls-down",
        "TLS, bursts of 4, down, 160 B",
        Way::Tls,
        "--mode down --flows 20 --burst 4 --payload 160",
        TURN,
    ),
    Row::pinned(
        "tls-handshake",
        "TLS handshakes, per million",
        Way::Tls,
        "--mode connect --flows 8",
        TURN,
    ),
    Row::pinned(
        "paced-1000",
        "1,000 a second, both ways, 160 B",
        Way::Udp,
        "--mode both --flows 50 --payload 160 --rate 1000",
        SIMPLE,
    )
    .of_coturn(0.7),
    Row::pinned(
        "paced-5000",
        "5,000 a second",
        Way::Udp,
        "--mode both --flows 50 --payload 160 --rate 5000",
        SIMPLE,
    )
    .of_coturn(0.7),
    Row::pinned(
        "paced-30000",
        "30,000 a second",
        Way::Udp,
        "--mode both --flows 50 --payload 160 --rate 30000",
        SIMPLE,
    )
    .of_coturn(0.7),
    Row::free(
        "free-1000",
        "two processors, default settings: 1,000 a second",
        "--mode both --flows 50 --payload 160 --rate 1000",
    )
    .of_coturn(0.7)
    .beside("paced-1000", Some(1.15)),
    Row::free(
        "free-5000",
        "two processors: 5,000 a second",
        "--mode both --flows 50 --payload 160 --rate 5000",
    )
    .of_coturn(0.7)
    .beside("paced-5000", Some(1.15)),
    Row::free(
        "free-30000",
        "two processors: 30,000 a second",
        "--mode both --flows 50 --payload 160 --rate 30000",
    )
    .of_coturn(0.7)
    .beside("paced-30000", Some(1.15)),
    Row::free(
        "free-up",
        "two processors: up, 160 B",
        "--mode up --flows 50 --payload 160",
    )
    .beside("up-160", None),
    Row::free(
        "free-down",
        "two processors: down, 160 B",
        "--mode down --flows 50 --payload 160",
    )
    .beside("down-160", None),
    Row::free(
        "free-relay",
        "two processors: relay to relay, 160 B",
        "--mode relay --flows 50 --payload 160",
    )
    .of_coturn(0.45)
    .beside("relay", None),
    Row::memory(
        "idle",
        "idle, KiB per allocation",
        Way::Udp,
        "--mode idle --flows 2000",
    )
    .at_most(1.5),
    Row::memory(
        "idle-tcp",
        "the same over TCP",
        Way::Tcp,
        "--mode idle --flows 1000",
    ),
    Row::memory(
        "idle-tls",
        "the same over TLS",
        Way::Tls,
        "--mode idle --flows 500",
    ),
];

const TURN: &[Kind] = &[Hairpin, Coturn];
const SIMPLE: &[Kind] = &[Hairpin, Coturn, Forwarder];
const ALL: &[Kind] = &[Hairpin, Coturn, Forwarder, Offload];

impl Row {
    const fn pinned(
        name: &'static str,
        title: &'static str,
        way: Way,
        load: &'static str,
        servers: &'static [Kind],
    ) -> Self {
        Self {
            name,
            title,
            way,
            load,
            measure: Measure::Cost,
            place: Place::Pinned,
            servers,
            targets: Targets {
                coturn: None,
                forwarder: None,
                own: None,
            },
            beside: None,
        }
    }

    const fn free(name: &'static str, title: &'static str, load: &'static str) -> Self {
        Self {
            place: Place::Free,
            ..Self::pinned(name, title, Way::Udp, load, TURN)
        }
    }

    const fn memory(name: &'static str, title: &'static str, way: Way, load: &'static str) -> Self {
        Self {
            measure: Measure::Memory,
            ..Self::pinned(name, title, way, load, TURN)
        }
    }

    const fn of_coturn(mut self, share: f64) -> Self {
        self.targets.coturn = Some(share);
        self
    }

    const fn of_forwarder(mut self, share: f64) -> Self {
        self.targets.forwarder = Some(share);
        self
    }

    const fn at_most(mut self, figure: f64) -> Self {
        self.targets.own = Some(figure);
        self
    }

    const fn beside(mut self, row: &'static str, target: Option<f64>) -> Self {
        self.beside = Some(Beside { row, target });
        self
    }
}

/// The names of all rows, each with its load.
pub(super) fn list() -> String {
    let mut text = String::new();
    for row in ROWS {
        let _ = writeln!(text, "{:<16} {:?} {}", row.name, row.way, row.load);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_for_a_server_of_its_row_and_a_row_is_held_against_one_of_its_kind() {
        for row in ROWS {
            let has = |kinds: &[Kind]| row.servers.iter().any(|kind| kinds.contains(kind));
            let Targets {
                coturn, forwarder, ..
            } = row.targets;
            assert!(coturn.is_none() || has(&[Coturn]), "{}", row.name);
            assert!(
                forwarder.is_none() || has(&[Forwarder, Offload]),
                "{}",
                row.name
            );
            if let Some(beside) = row.beside {
                let other = ROWS.iter().find(|other| other.name == beside.row);
                let measure = other.map(|other| other.measure);
                assert_eq!(measure, Some(row.measure), "{}", row.name);
            }
        }
    }

    #[test]
    fn every_row_has_a_name_of_its_own_and_hairpin_first() {
        for (place, row) in ROWS.iter().enumerate() {
            assert_eq!(row.servers.first(), Some(&Hairpin), "{}", row.name);
            assert!(
                ROWS[..place].iter().all(|it| it.name != row.name),
                "{}",
                row.name
            );
        }
    }
}
