//! Certificates of an authority made here, judged at times that the tests choose.

use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::RootCertStore;

use super::*;

const NAME: &str = "turn.example.org";

/// 2030-01-01, seconds since 1970: when the certificates of servers here end.
const END: u64 = 1_893_456_000;

/// A root, an intermediate that it signed, and a witness that trusts the root.
struct World {
    intermediate: CertifiedIssuer<'static, KeyPair>,
    witness: Witness,
}

impl World {
    fn new() -> Self {
        Self::with_intermediate_until(2_040)
    }

    fn with_intermediate_until(year: i32) -> Self {
        let root = CertifiedIssuer::self_signed(authority("a root", 2_050), key()).unwrap();
        let params = authority("an intermediate", year);
        let intermediate = CertifiedIssuer::signed_by(params, key(), &root).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Self {
            intermediate,
            witness: Witness::new(usual.build().unwrap(), false),
        }
    }

    fn server(&self) -> Certificate {
        server().signed_by(&key(), &self.intermediate).unwrap()
    }

    fn intermediate(&self) -> CertificateDer<'static> {
        self.intermediate.der().clone()
    }

    /// The finding about a chain, this long before the server's certificate ends.
    fn finding(
        &self,
        chain: &[CertificateDer<'static>],
        name: &str,
        days_left: i64,
    ) -> (Code, String) {
        let now = END.checked_add_signed(-days_left * DAY).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let name = ServerName::try_from(name).unwrap();
        let (leaf, others) = chain.split_first().unwrap();
        let verdict = self
            .witness
            .verify_server_cert(leaf, others, &name, &[], now);
        // The rest of the server is examined, too, whatever the finding.
        verdict.unwrap();
        self.witness.finding().unwrap()
    }

    fn whole_chain(&self) -> [CertificateDer<'static>; 2] {
        [self.server().der().clone(), self.intermediate()]
    }
}

fn server() -> CertificateParams {
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2_020, 1, 1);
    params.not_after = date_time_ymd(2_030, 1, 1);
    params
        .distinguished_name
        .push(DnType::CommonName, "a server");
    params
}

fn authority(name: &str, until: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2_020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

#[track_caller]
fn assert_found((code, sentence): (Code, String), expected: Code, words: &str) {
    assert_eq!(code, expected, "{sentence}");
    assert!(sentence.contains(words), "{sentence}");
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

#[test]
fn a_whole_chain_is_good() {
    let world = World::new();
    assert_found(
        world.finding(&world.whole_chain(), NAME, 60),
        Code::CertificateGood,
        "expires in 60 days",
    );
}

#[test]
fn the_last_two_weeks_are_a_warning() {
    let world = World::new();
    let chain = world.whole_chain();
    assert_eq!(world.finding(&chain, NAME, 14).0, Code::CertificateGood);
    assert_found(
        world.finding(&chain, NAME, 13),
        Code::CertificateEndsSoon,
        "expires in 13 days",
    );
}

#[test]
fn an_expired_certificate_is_told_with_its_days() {
    let world = World::new();
    assert_found(
        world.finding(&world.whole_chain(), NAME, -3),
        Code::CertificateExpired,
        "the certificate expired 3 days ago",
    );
}

#[test]
fn an_expired_intermediate_is_not_taken_for_the_servers_own() {
    let world = World::with_intermediate_until(2_025);
    assert_found(
        world.finding(&world.whole_chain(), NAME, 365),
        Code::CertificateExpired,
        "intermediate certificate 1 expired",
    );
}

#[test]
fn a_certificate_of_the_future_is_no_broken_one() {
    let world = World::new();
    let (code, _) = world.finding(&world.whole_chain(), NAME, 11 * 366);
    assert_eq!(code, Code::CertificateTooEarly);
}

#[test]
fn a_missing_intermediate_is_named() {
    let world = World::new();
    assert_found(
        world.finding(&[world.server().der().clone()], NAME, 60),
        Code::ChainIncomplete,
        "one certificate, which ends at \"CN=an intermediate\"",
    );
}

#[test]
fn another_name_is_told_with_those_there_are() {
    let world = World::new();
    assert_found(
        world.finding(&world.whole_chain(), "stun.example.org", 60),
        Code::NameMismatch,
        "the certificate is for turn.example.org, and clients ask for stun.example.org",
    );
}

#[test]
fn a_certificate_signed_by_itself_is_told_so_whether_it_claims_to_be_an_authority_or_not() {
    let world = World::new();
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = server();
        params.is_ca = is_ca;
        let own = params.self_signed(&key()).unwrap();
        let (code, sentence) = world.finding(&[own.der().clone()], NAME, 60);
        assert_eq!(code, Code::SelfSigned, "{sentence}");
        assert!(sentence.contains("a server"), "{sentence}");
    }
}

#[test]
fn where_roots_were_given_an_authoritys_certificate_is_told_as_the_mistake() {
    let mut world = World::new();
    world.witness.are_given = true;
    let own = |is_ca| {
        let mut params = server();
        params.is_ca = is_ca;
        let own = params.self_signed(&key()).unwrap();
        own.der().clone()
    };
    assert_found(
        world.finding(&[own(IsCa::Ca(BasicConstraints::Unconstrained))], NAME, 60),
        Code::CertificateRefused,
        "basicConstraints=CA:FALSE",
    );
    // Its authority is still one that no file of --ca has.
    assert_found(
        world.finding(&[own(IsCa::NoCa)], NAME, 60),
        Code::SelfSigned,
        "a server",
    );
}

#[test]
fn garbage_cannot_be_used_whatever_its_length() {
    let world = World::new();
    let right = world.server().der().to_vec();
    for length in (0..right.len()).step_by(7) {
        let cut = CertificateDer::from(right[..length].to_vec());
        let (code, _) = world.finding(&[cut], NAME, 60);
        assert_eq!(code, Code::CertificateRefused, "{length} bytes");
    }
}

#[test]
fn a_changed_byte_never_makes_a_certificate_good() {
    let world = World::new();
    let right = world.server().der().to_vec();
    for at in (0..right.len()).step_by(5) {
        let mut changed = right.clone();
        changed[at] ^= 0x55;
        let chain = [CertificateDer::from(changed), world.intermediate()];
        let (code, _) = world.finding(&chain, NAME, 60);
        assert_ne!(code, Code::CertificateGood, "byte {at}");
    }
}

#[test]
fn a_certificate_alone_is_judged_by_name_and_time_and_not_by_its_chain() {
    let world = World::new();
    let leaf = world.server();
    let finding = |leaf: &Certificate, name: &'static str| {
        let name = ServerName::try_from(name).unwrap();
        world.witness.see_leaf(leaf.der(), &name);
        world.witness.finding().unwrap()
    };
    let (code, sentence) = finding(&leaf, NAME);
    assert_eq!(code, Code::CertificateGood);
    assert!(sentence.contains("over TLS only"), "{sentence}");
    assert_eq!(finding(&leaf, "stun.example.org").0, Code::NameMismatch);
    let own = server().self_signed(&key()).unwrap();
    assert_eq!(finding(&own, NAME).0, Code::SelfSigned);
    let mut past = server();
    past.not_after = date_time_ymd(2_021, 1, 1);
    let past = past.signed_by(&key(), &world.intermediate).unwrap();
    assert_eq!(finding(&past, NAME).0, Code::CertificateExpired);
}
