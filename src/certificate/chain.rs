//! The certificates of a chain, judged as clients judge them. RFC 5280, RFC 8446 §4.4.2.

use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::OID_SIG_ED25519;
use x509_parser::parse_x509_certificate;
use x509_parser::public_key::PublicKey;

use super::{Algorithm, Flaw, Name};

/// All there is to know of the certificate of a server, and of its chain.
pub(super) struct Leaf {
    pub(super) names: Vec<Name>,
    pub(super) algorithm: Algorithm,
    pub(super) is_self_signed: bool,
    pub(super) begins: Duration,
    pub(super) ends: Duration,
}

/// Judges a chain, the server's own certificate first.
pub(super) fn examine(chain: &[CertificateDer<'_>]) -> Result<Leaf, Flaw> {
    let parsed: Result<Vec<_>, _> = chain.iter().enumerate().map(parse).collect();
    let parsed = parsed?;
    let [leaf, issuers @ ..] = parsed.as_slice() else {
        return Err(Flaw::NoCertificate);
    };
    in_order(leaf, issuers)?;
    let algorithm = algorithm(leaf)?;
    for_servers(leaf)?;
    let names = names(leaf);
    if names.is_empty() {
        return Err(Flaw::NoName);
    }
    let is_self_signed = issuers.is_empty() && is_root(leaf);
    // No public authority signs servers with its root, which clients have.
    if issuers.is_empty() && !is_self_signed {
        let issuer = shown(leaf.issuer());
        return Err(Flaw::Incomplete { issuer });
    }
    // Clients have roots of their own, and look at no time of one that is sent along.
    let timed = || {
        parsed
            .iter()
            .take(1)
            .chain(issuers.iter().filter(|it| !is_root(it)))
    };
    let seconds = |time: i64| Duration::from_secs(time.try_into().unwrap_or(0));
    let begins = timed().map(|it| it.validity().not_before.timestamp()).max();
    // The last second is a good one.
    let ends = timed()
        .map(|it| it.validity().not_after.timestamp() + 1)
        .min();
    Ok(Leaf {
        names,
        algorithm,
        is_self_signed,
        begins: seconds(begins.unwrap_or(0)),
        ends: seconds(ends.unwrap_or(0)),
    })
}

fn parse<'d>((place, der): (usize, &'d CertificateDer<'_>)) -> Result<X509Certificate<'d>, Flaw> {
    let place = place + 1;
    match parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(Flaw::Unreadable {
            place,
            why: "there is more behind it".to_owned(),
        }),
        Err(why) => Err(Flaw::Unreadable {
            place,
            why: why.to_string(),
        }),
    }
}

/// Whether each certificate is signed by the next one.
fn in_order(leaf: &X509Certificate<'_>, issuers: &[X509Certificate<'_>]) -> Result<(), Flaw> {
    let mut before = leaf;
    for (place, issuer) in (2..).zip(issuers) {
        if !has_signed(issuer, before) {
            let mut all = issuers.iter().chain([leaf]);
            let has_signed_another =
                all.any(|other| other.as_raw() != issuer.as_raw() && has_signed(issuer, other));
            return Err(if has_signed_another || has_signed(before, issuer) {
                Flaw::Order
            } else {
                Flaw::Stranger {
                    place,
                    subject: shown(issuer.subject()),
                }
            });
        }
        before = issuer;
    }
    Ok(())
}

/// A certificate signed with an algorithm that is not known here is taken by its names.
fn has_signed(issuer: &X509Certificate<'_>, signed: &X509Certificate<'_>) -> bool {
    let is_named = signed.issuer().as_raw() == issuer.subject().as_raw();
    is_named
        && !matches!(
            signed.verify_signature(Some(issuer.public_key())),
            Err(X509Error::SignatureVerificationError)
        )
}

fn is_root(certificate: &X509Certificate<'_>) -> bool {
    has_signed(certificate, certificate)
}

fn algorithm(leaf: &X509Certificate<'_>) -> Result<Algorithm, Flaw> {
    let key = leaf.public_key();
    if key.algorithm.algorithm == OID_SIG_ED25519 {
        return Err(Flaw::Ed25519);
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => match rsa.key_size() {
            2048..=4096 => Ok(Algorithm::Rsa),
            bits => Err(Flaw::RsaSize(bits)),
        },
        Ok(PublicKey::EC(point)) if matches!(point.key_size(), 256 | 384) => Ok(Algorithm::Ecdsa),
        Ok(_) | Err(_) => Err(Flaw::OtherAlgorithm),
    }
}

/// Whether it may be used by a server.
fn for_servers(leaf: &X509Certificate<'_>) -> Result<(), Flaw> {
    let is_authority = leaf.is_ca() && !is_root(leaf);
    if is_authority {
        return Err(Flaw::Authority(shown(leaf.subject())));
    }
    match leaf.extended_key_usage() {
        Ok(Some(usage)) if !usage.value.server_auth && !usage.value.any => Err(Flaw::NotForServers),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn names(leaf: &X509Certificate<'_>) -> Vec<Name> {
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    names.filter_map(name).collect()
}

fn name(name: &GeneralName<'_>) -> Option<Name> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is the library's, and these two are what servers are named by"
    )]
    match name {
        // Others are no names of DNS, whatever they are.
        GeneralName::DNSName(name) if name.chars().all(is_of_host) => {
            Some(Name::Host(name.to_ascii_lowercase()))
        }
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets).ok().map(IpAddr::from),
            _ => <[u8; 16]>::try_from(*octets).ok().map(IpAddr::from),
        }
        .map(Name::Address),
        _ => None,
    }
}

fn is_of_host(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '*')
}

/// A name of X.500 as a part of a sentence.
fn shown(name: &x509_parser::x509::X509Name<'_>) -> String {
    let text = name.to_string();
    let short: String = text.chars().take(MOST_SHOWN).collect();
    short.escape_debug().to_string()
}

/// In characters.
const MOST_SHOWN: usize = 200;
