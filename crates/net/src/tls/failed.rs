//! The failure of a handshake in an operator's terms.

use relay::ClientTuple;
use rustls::{AlertDescription, Error, PeerIncompatible};

use super::{Lack, TlsEvent};

/// The event that a failed handshake is, if there is something to do about it. `name` is the one that
/// the client asked for.
pub(crate) fn failed(error: &Error, client: ClientTuple, name: Option<String>) -> Option<TlsEvent> {
    if let Some(alert) = distrust(error) {
        return Some(TlsEvent::Refused {
            client,
            name,
            alert,
        });
    }
    lack(error).map(|lack| TlsEvent::Unserved { client, lack })
}

/// The alert by which a client says that it does not trust our certificate.
fn distrust(error: &Error) -> Option<u8> {
    let Error::AlertReceived(alert) = error else {
        return None;
    };
    let is_of_certificate = matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
    );
    is_of_certificate.then(|| u8::from(*alert))
}

/// The lack that made a handshake fail, if a key of the configuration decides it.
fn lack(error: &Error) -> Option<Lack> {
    let is_version = matches!(
        error,
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired
                // Clients of TLS 1.1 and before have none.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired
        )
    );
    let is_key_type = matches!(
        error,
        Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoSignatureSchemesInCommon
        )
    );
    // There is no variant for that.
    let has_no_certificate = matches!(error, Error::General(why) if why == NO_CERTIFICATE);
    if is_version {
        return Some(Lack::Version);
    }
    (is_key_type || has_no_certificate).then_some(Lack::KeyType)
}

/// No certificate was chosen, as rustls says it. A test fails where it says so otherwise.
const NO_CERTIFICATE: &str = "no server certificate chain resolved";
