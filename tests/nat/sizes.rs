//! The largest datagram on a path that loses fragments.

use lab::{internet::on_the_internet, nat::Nat, servers::Kind};
use serde_json::Value;

use crate::probe::{self, Probing, Told};

#[test]
fn where_fragments_are_lost_the_largest_payload_is_what_the_link_takes_at_once() {
    on_the_internet(|internet| {
        let [usual, tunnel] = [1, 2].map(|number| internet.home(number, Nat::PortRestricted));
        for home in [&usual, &tunnel] {
            home.lose_fragments();
        }
        tunnel.narrow(1_400);
        // Coturn pads every answer so much that it has to be fragmented.
        let kinds = [Kind::Alternate, Kind::Partners];
        let _servers = [kinds[0], kinds[1], Kind::Coturn].map(Kind::start);
        let coturn = probe::start(&usual, &Kind::Coturn.uris(), &[]);
        let probes =
            kinds.map(|kind| [&usual, &tunnel].map(|home| probe::start(home, &kind.uris(), &[])));
        for probes in probes {
            let [usual, tunnel] = probes.map(Probing::told);
            assert_largest(&usual, 1_472);
            // The headers take 28 bytes.
            assert_largest(&tunnel, 1_372);
        }
        let told = coturn.told();
        let why = "no padded answer arrived: none was given, or it was too long for the way back";
        for name in ["largest_payload", "fragments"] {
            assert_eq!(told.v4()[name], Value::Null, "{told:#?}");
            assert_eq!(told.v4()["unknown"][name], why, "{told:#?}");
        }
    });
}

#[track_caller]
fn assert_largest(told: &Told, bytes: u64) {
    assert_eq!(told.v4()["largest_payload"], bytes, "{told:#?}");
    assert_eq!(told.v4()["fragments"], false, "{told:#?}");
}
