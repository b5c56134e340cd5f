//! Flaws of a certificate or its key, for the operator.

/// Why clients would not take a certificate. The sentence follows the name of the file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("which is not PEM")]
    BinaryChain,
    #[error("which holds a key and no certificate")]
    KeyForChain,
    #[error("in which there is no certificate")]
    NoCertificate,
    #[error("whose PEM is broken: {0}")]
    BrokenChain(String),
    #[error("whose certificate number {place} cannot be read: {why}")]
    Unreadable { place: usize, why: String },
    #[error("whose certificates are in the wrong order")]
    Order,
    #[error("whose certificate number {place} ({subject}) has not signed the one before it")]
    Stranger { place: usize, subject: String },
    #[error("whose chain is incomplete: the certificate of its issuer ({issuer}) is not in it")]
    Incomplete { issuer: String },
    #[error("whose certificate is that of an authority ({0}), not of a server")]
    Authority(String),
    #[error("whose certificate has no name that clients look at (subjectAltName)")]
    NoName,
    #[error("whose certificate is not for servers (extended key usage)")]
    NotForServers,
    #[error("whose certificate has an Ed25519 key, which no browser takes")]
    Ed25519,
    #[error("whose certificate has an RSA key of {0} bits")]
    RsaSize(usize),
    #[error("whose certificate has a key of another kind than RSA and ECDSA on P-256 or P-384")]
    OtherAlgorithm,
    #[error("which is not PEM")]
    BinaryKey,
    #[error("which holds a certificate and no key")]
    ChainForKey,
    #[error("in which there is no key")]
    NoKey,
    #[error("whose PEM is broken")]
    BrokenKey,
    #[error("whose key is encrypted")]
    EncryptedKey,
    #[error("whose key cannot be used: {0}")]
    UnusableKey(String),
    #[error("whose key is not that of the certificate")]
    OtherKey,
}

impl Flaw {
    /// Whether it is one of the file of the key.
    pub(crate) fn is_of_key(&self) -> bool {
        match self {
            Self::BinaryKey
            | Self::ChainForKey
            | Self::NoKey
            | Self::BrokenKey
            | Self::EncryptedKey
            | Self::UnusableKey(_)
            | Self::OtherKey => true,
            Self::BinaryChain
            | Self::KeyForChain
            | Self::NoCertificate
            | Self::BrokenChain(_)
            | Self::Unreadable { .. }
            | Self::Order
            | Self::Stranger { .. }
            | Self::Incomplete { .. }
            | Self::Authority(_)
            | Self::NoName
            | Self::NotForServers
            | Self::Ed25519
            | Self::RsaSize(_)
            | Self::OtherAlgorithm => false,
        }
    }

    /// The remedy.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::BinaryChain => BINARY,
            Self::BinaryKey => BINARY,
            Self::KeyForChain | Self::ChainForKey => {
                "`cert` is the file of the certificate and its issuers (certbot's fullchain.pem), `key` \
                 that of the key (privkey.pem)"
            }
            Self::NoCertificate => {
                "it is a text with -----BEGIN CERTIFICATE----- in it; certbot calls it fullchain.pem"
            }
            Self::BrokenChain(_) | Self::BrokenKey => {
                "it may be cut off, or joined without a line end between two parts: copy it again from \
                 where it came"
            }
            Self::Unreadable { .. } => "copy it again from where it came",
            Self::Order => {
                "the certificate of the server comes first, and each that follows has signed the one \
                 before it; certbot's fullchain.pem is in this order"
            }
            Self::Stranger { .. } => {
                "remove it, or put the certificate of the issuer before it; a new certificate may have \
                 other issuers than the old one, so take all of fullchain.pem"
            }
            Self::Incomplete { .. } => {
                "use fullchain.pem in place of cert.pem, or append the certificates that the authority \
                 sent along (the intermediate, the bundle); where a private root has signed it directly, \
                 append the root. Browsers that fetch what is missing hide this from you, others fail"
            }
            Self::Authority(_) => {
                "the authority signs one for the server; that one comes first, and this one after it"
            }
            Self::NoName => {
                "clients look at subjectAltName, and no longer at the common name: have one made with \
                 the names or addresses of this server there"
            }
            Self::NotForServers => {
                "have one made whose extended key usage has serverAuth, or that has none"
            }
            Self::Ed25519 => ANOTHER_KEY,
            Self::RsaSize(_) => {
                "RSA keys have 2048 to 4096 bits here; ECDSA on P-256 is faster and as good: certbot \
                 makes it with `--key-type ecdsa`"
            }
            Self::OtherAlgorithm | Self::UnusableKey(_) => ANOTHER_KEY,
            Self::NoKey => {
                "it is a text with -----BEGIN PRIVATE KEY----- in it; certbot calls it privkey.pem"
            }
            Self::EncryptedKey => {
                "nobody is there to type its password when the server starts: write it without one \
                 (`openssl pkey -in KEY -out NEW`), for the server alone to read (chmod 600)"
            }
            Self::OtherKey => {
                "both come from one request: after a renewal copy both. `openssl x509 -noout -pubkey -in \
                 CERT` and `openssl pkey -pubout -in KEY` print the same where they match"
            }
        }
    }
}

const BINARY: &str = "it may be DER (`openssl x509 -inform der -in FILE -out NEW.pem`, `openssl pkey \
                      -inform der -in FILE -out NEW.pem`) or PKCS#12 (`openssl pkcs12 -in FILE -nodes \
                      -out NEW.pem`, which has both in one)";
const ANOTHER_KEY: &str = "have the certificate made for a key that all clients take: ECDSA on P-256 \
                           (`certbot --key-type ecdsa`, `openssl ecparam -name prime256v1 -genkey \
                           -noout`), or RSA of 2048 bits";
