//! Each mistake with a certificate, as it comes from the tools that make them.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType,
};

use super::*;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A root, an intermediate, and the certificate of a server.
struct Chain {
    root: Issuer,
    intermediate: Issuer,
    /// Certificate and key in PEM.
    leaf: [String; 2],
}

fn of_authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn of_server(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "a server");
    params
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn signed(params: CertificateParams, issuer: &Issuer, key: &KeyPair) -> [String; 2] {
    let certificate = params.signed_by(key, issuer).unwrap();
    [certificate.pem(), key.serialize_pem()]
}

impl Chain {
    fn of(params: CertificateParams, key: &KeyPair) -> Self {
        let root = Issuer::self_signed(of_authority("a root"), self::key()).unwrap();
        let params_of_intermediate = of_authority("an intermediate");
        let intermediate = Issuer::signed_by(params_of_intermediate, self::key(), &root).unwrap();
        let leaf = signed(params, &intermediate, key);
        Self {
            root,
            intermediate,
            leaf,
        }
    }

    fn new() -> Self {
        Self::of(of_server(&["turn.example.org"]), &key())
    }

    /// As certbot has it.
    fn full(&self) -> String {
        self.leaf[0].clone() + &self.intermediate.pem()
    }

    fn read(&self) -> Result<Certificate, Flaw> {
        read(&self.full(), &self.leaf[1])
    }
}

fn read(chain: &str, key: &str) -> Result<Certificate, Flaw> {
    Certificate::read(chain.as_bytes(), key.as_bytes())
}

#[test]
fn names_algorithm_and_times_are_those_of_the_server() {
    let mut params = of_server(&[
        "turn.example.org",
        "*.Example.NET",
        "192.0.2.7",
        "2001:db8::7",
    ]);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 4, 1);
    let certificate = Chain::of(params, &key()).read().unwrap();
    let names = "turn.example.org, *.example.net, 192.0.2.7, 2001:db8::7";
    assert_eq!(certificate.listed_names(), names);
    assert_eq!(certificate.to_string(), "turn.example.org ECDSA");
    assert!(!certificate.is_self_signed());
    let at = |time: &str| humantime::parse_rfc3339(time).unwrap();
    let second = Duration::from_secs(1);
    for (time, validity) in [
        ("2025-12-31T23:59:59Z", Validity::Early(second)),
        ("2026-04-01T00:00:00Z", Validity::Good(second)),
        ("2026-04-01T00:00:01Z", Validity::Expired(Duration::ZERO)),
    ] {
        assert_eq!(certificate.validity(at(time)), validity, "{time}");
    }
}

#[test]
fn a_chain_ends_when_its_first_certificate_does() {
    let root = Issuer::self_signed(of_authority("a root"), key()).unwrap();
    let mut params = of_authority("an old intermediate");
    params.not_after = rcgen::date_time_ymd(2026, 1, 1);
    let intermediate = Issuer::signed_by(params, key(), &root).unwrap();
    let [leaf, key] = signed(of_server(&["turn.example.org"]), &intermediate, &key());
    let certificate = read(&(leaf + &intermediate.pem()), &key).unwrap();
    let end = humantime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
    assert_eq!(certificate.last_second(), end);
}

/// RFC 5280 §4.1.2.5: 99991231235959Z has no well-defined end.
#[test]
fn a_certificate_without_an_end_can_be_shown() {
    let mut params = of_server(&["turn.example.org"]);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31) + Duration::from_secs(86_399);
    let certificate = Chain::of(params, &key()).read().unwrap();
    let end = humantime::format_rfc3339_seconds(certificate.last_second()).to_string();
    // The intermediate ends before.
    assert!(end.starts_with("4096-"), "{end}");
    let key = key();
    let mut params = of_server(&["turn.example.org"]);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31) + Duration::from_secs(86_399);
    let alone = params.self_signed(&key).unwrap();
    let certificate = read(&alone.pem(), &key.serialize_pem()).unwrap();
    let end = humantime::format_rfc3339_seconds(certificate.last_second()).to_string();
    assert_eq!(end, "9999-12-31T23:59:59Z");
}

#[test]
fn names_that_are_no_hosts_are_none_and_of_very_many_some_are_shown() {
    let names: Vec<String> = (0..100).map(|n| format!("turn{n}.example.org")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.insert(0, "turn\u{1b}[2J.example.org");
    let certificate = Chain::of(of_server(&all), &key()).read().unwrap();
    assert_eq!(certificate.names().len(), 100);
    let listed = certificate.listed_names();
    assert!(
        listed.starts_with("turn0.example.org, ") && listed.ends_with(", 90 more"),
        "{listed}"
    );
}

#[test]
fn no_changed_byte_of_a_certificate_does_more_than_refuse_it() {
    let chain = Chain::new();
    let der: rustls::pki_types::CertificateDer<'_> =
        rustls::pki_types::pem::PemObject::from_pem_slice(chain.leaf[0].as_bytes()).unwrap();
    let engine = base64::engine::general_purpose::STANDARD;
    for at in 0..der.len() {
        let mut changed = der.to_vec();
        changed[at] ^= 0xFF;
        let body = base64::Engine::encode(&engine, &changed);
        let text = format!(
            "-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n{}",
            chain.intermediate.pem()
        );
        read(&text, &chain.leaf[1]).unwrap_err();
    }
}

#[test]
fn whole_chains_are_good_with_and_without_the_root_and_in_one_file_with_the_key() {
    let chain = Chain::new();
    let [leaf, key] = &chain.leaf;
    chain.read().unwrap();
    read(&(chain.full() + &chain.root.pem()), key).unwrap();
    let all = chain.full() + key;
    read(&all, &all).unwrap();
    // Text between the certificates, as `openssl ca` writes it.
    let words = format!(
        "Certificate:\n    Data:\n{leaf}\nissuer\n{}",
        chain.intermediate.pem()
    );
    read(&words, key).unwrap();
    // As editors of Windows write it.
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    read(&windows(&chain.full()), &windows(key)).unwrap();
    // A private root that signs servers itself.
    let [leaf, key] = signed(of_server(&["turn.example.org"]), &chain.root, &self::key());
    read(&(leaf + &chain.root.pem()), &key).unwrap();
}

#[test]
fn one_that_is_signed_by_itself_is_called_so() {
    let key = key();
    let alone = of_server(&["localhost"]).self_signed(&key).unwrap();
    let certificate = read(&alone.pem(), &key.serialize_pem()).unwrap();
    assert!(certificate.is_self_signed());
    // As `openssl req -x509` makes it.
    let mut params = of_server(&["localhost"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let alone = params.self_signed(&key).unwrap();
    assert!(
        read(&alone.pem(), &key.serialize_pem())
            .unwrap()
            .is_self_signed()
    );
}

#[test]
fn a_chain_without_the_intermediate_is_incomplete() {
    let chain = Chain::new();
    let flaw = read(&chain.leaf[0], &chain.leaf[1]).unwrap_err();
    let issuer = "CN=an intermediate".to_owned();
    assert_eq!(flaw, Flaw::Incomplete { issuer });
    assert!(flaw.help().contains("fullchain.pem"));
}

#[test]
fn certificates_in_the_wrong_order_and_strangers_are_told_apart() {
    let (chain, other) = (Chain::new(), Chain::new());
    let [leaf, key] = &chain.leaf;
    let (intermediate, root) = (chain.intermediate.pem(), chain.root.pem());
    for text in [
        [&*intermediate, leaf].concat(),
        [&*root, &intermediate, leaf].concat(),
        [leaf, &*root, &intermediate].concat(),
    ] {
        assert_eq!(read(&text, key).unwrap_err(), Flaw::Order);
    }
    let stranger = |place, subject: &str| Flaw::Stranger {
        place,
        subject: subject.to_owned(),
    };
    // The names are the same, and the keys are others, as after a renewal.
    let wrong = [leaf, &*other.intermediate.pem()].concat();
    assert_eq!(
        read(&wrong, key).unwrap_err(),
        stranger(2, "CN=an intermediate")
    );
    let twice = [leaf, leaf, &*intermediate].concat();
    assert_eq!(read(&twice, key).unwrap_err(), stranger(2, "CN=a server"));
    let behind = chain.full() + &other.leaf[0];
    assert_eq!(read(&behind, key).unwrap_err(), stranger(3, "CN=a server"));
}

#[test]
fn a_key_that_is_of_another_certificate_or_kind_is_told() {
    let (chain, other) = (Chain::new(), Chain::new());
    let full = chain.full();
    assert_eq!(read(&full, &other.leaf[1]).unwrap_err(), Flaw::OtherKey);
    assert_eq!(read(&full, &full).unwrap_err(), Flaw::ChainForKey);
    let key = &chain.leaf[1];
    assert_eq!(read(key, key).unwrap_err(), Flaw::KeyForChain);
    assert_eq!(read(&full, "").unwrap_err(), Flaw::NoKey);
    assert_eq!(read("", key).unwrap_err(), Flaw::NoCertificate);
    assert_eq!(read("hello\n", key).unwrap_err(), Flaw::NoCertificate);
}

#[test]
fn ed25519_and_other_keys_that_browsers_do_not_take_are_refused() {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let chain = Chain::of(of_server(&["turn.example.org"]), &key);
    assert_eq!(chain.read().unwrap_err(), Flaw::Ed25519);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let chain = Chain::of(of_server(&["turn.example.org"]), &key);
    assert_eq!(chain.read().unwrap().algorithm(), Algorithm::Ecdsa);
}

#[test]
fn a_key_with_a_password_is_told_in_both_forms() {
    let chain = Chain::new();
    for key in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGjMF8G\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
         -----END RSA PRIVATE KEY-----\n",
    ] {
        assert_eq!(read(&chain.full(), key).unwrap_err(), Flaw::EncryptedKey);
    }
}

#[test]
fn files_that_are_no_pem_or_broken_are_told() {
    let chain = Chain::new();
    let [leaf, key] = &chain.leaf;
    let der = rustls::pki_types::pem::PemObject::from_pem_slice(leaf.as_bytes());
    let der: rustls::pki_types::CertificateDer<'_> = der.unwrap();
    let outcome = Certificate::read(&der, key.as_bytes());
    assert_eq!(outcome.unwrap_err(), Flaw::BinaryChain);
    let outcome = Certificate::read(leaf.as_bytes(), &der);
    assert_eq!(outcome.unwrap_err(), Flaw::BinaryKey);
    let cut = &leaf[..leaf.len() - 40];
    assert!(matches!(read(cut, key).unwrap_err(), Flaw::BrokenChain(_)));
    assert_eq!(
        read(leaf, &key[..key.len() - 40]).unwrap_err(),
        Flaw::BrokenKey
    );
    // Two files joined where the first has no line end.
    let joined = chain.full().replace("-----\n-----", "----------");
    assert!(matches!(
        read(&joined, key).unwrap_err(),
        Flaw::BrokenChain(_)
    ));
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let flaw = read(nonsense, key).unwrap_err();
    assert!(matches!(flaw, Flaw::Unreadable { place: 1, .. }), "{flaw}");
}

#[test]
fn a_certificate_without_names_or_for_something_else_is_told() {
    assert_eq!(
        Chain::of(of_server(&[]), &key()).read().unwrap_err(),
        Flaw::NoName
    );
    let mut params = of_server(&[]);
    let mail = "alice@example.org".try_into().unwrap();
    params.subject_alt_names = vec![SanType::Rfc822Name(mail)];
    assert_eq!(Chain::of(params, &key()).read().unwrap_err(), Flaw::NoName);
    let mut params = of_server(&["turn.example.org"]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let flaw = Chain::of(params.clone(), &key()).read().unwrap_err();
    assert_eq!(flaw, Flaw::NotForServers);
    params
        .extended_key_usages
        .push(ExtendedKeyUsagePurpose::ServerAuth);
    Chain::of(params, &key()).read().unwrap();
    // That of the authority in place of the server's.
    let chain = Chain::new();
    let mut params = of_authority("an authority");
    params.subject_alt_names = vec![SanType::DnsName("turn.example.org".try_into().unwrap())];
    let [pem, key] = signed(params, &chain.root, &key());
    let flaw = read(&(pem + &chain.root.pem()), &key).unwrap_err();
    assert_eq!(flaw, Flaw::Authority("CN=an authority".to_owned()));
}

#[test]
fn rsa_keys_have_2048_bits_at_least() {
    // Made by `openssl req -x509 -newkey rsa:N -nodes -subj /CN=a -addext subjectAltName=DNS:a.test
    // -days 36500`.
    let small = include_str!("tests/rsa-1024.pem");
    assert_eq!(read(small, small).unwrap_err(), Flaw::RsaSize(1024));
    let good = include_str!("tests/rsa-2048.pem");
    assert_eq!(read(good, good).unwrap().algorithm(), Algorithm::Rsa);
    let other = include_str!("tests/p-521.pem");
    assert_eq!(read(other, other).unwrap_err(), Flaw::OtherAlgorithm);
}

#[test]
fn nothing_that_is_shown_has_the_key_in_it() {
    let chain = Chain::new();
    let key = &chain.leaf[1];
    let shown = format!("{:?}", chain.read().unwrap());
    let body = key.lines().nth(1).unwrap();
    assert!(!shown.contains(body), "{shown}");
    let broken = key.replace(body, &format!("{body}!"));
    let flaw = read(&chain.full(), &broken).unwrap_err();
    assert!(!format!("{flaw} {flaw:?}").contains(&body[..16]), "{flaw}");
}
