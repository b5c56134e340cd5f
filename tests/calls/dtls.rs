//! Calls over DTLS: pion alone, of all stacks, speaks it to its TURN server.

use std::time::Duration;

use lab::{internet::on_the_internet, servers::hairpin_on_443};

use crate::{call::Call, stack::Stack::Pion};

/// It verifies the certificate, whose issuer it does not know.
#[test]
fn pion_over_dtls_calls_pion_over_udp() {
    on_the_internet(|internet| {
        let mut server = hairpin_on_443(1, "dtls.enabled = true");
        let mut call = Call::connect(internet, [Pion.over_dtls(), Pion.over_udp()]);
        call.goes_on_for(Duration::from_secs(3));
        call.hang_up();
        let ended = server.stop();
        assert_eq!(ended.sockets("dtls-sessions"), 1, "{}", ended.output);
        assert_eq!(ended.sockets("dtls-failed"), 0, "{}", ended.output);
    });
}
