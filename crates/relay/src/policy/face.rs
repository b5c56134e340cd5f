//! The faces of an address: itself, and every IPv4 address written inside it.
//!
//! Several IPv6 formats carry an IPv4 address, and a tunnel, a translator or the kernel on the way
//! acts on it. A filter that looks only at the outside lets 127.0.0.1 pass in a new coat.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One address to judge, and how the peer address spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Face {
    /// The address judged.
    pub ip: IpAddr,
    /// Where in the peer address it stands.
    pub form: Form,
}

impl Face {
    /// The address the kernel would send to: an IPv4-mapped address is the IPv4 one.
    pub(super) fn outer(ip: IpAddr) -> Self {
        let canonical = ip.to_canonical();
        let form = if canonical == ip {
            Form::Itself
        } else {
            Form::Mapped
        };
        Self {
            ip: canonical,
            form,
        }
    }

    /// Whether this is the address the kernel would send to.
    pub(super) fn is_outer(self) -> bool {
        matches!(self.form, Form::Itself | Form::Mapped)
    }

    /// The IPv4 addresses inside this one. An address can fit several formats at once, such as a
    /// 6to4 prefix before an ISATAP interface identifier: then all of them count.
    pub(super) fn embedded(self) -> impl Iterator<Item = Self> {
        let v6 = match self.ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(ip),
        };
        v6.into_iter().flat_map(|ip| {
            Form::EMBEDDED.into_iter().filter_map(move |form| {
                let ip = form.read(ip)?;
                Some(Self {
                    ip: IpAddr::V4(ip),
                    form,
                })
            })
        })
    }
}

/// Whether packets to this address travel in a tunnel: 6to4, Teredo or ISATAP.
pub(crate) fn is_tunnelled(ip: IpAddr) -> bool {
    Face::outer(ip).embedded().any(|face| {
        matches!(
            face.form,
            Form::SixToFour | Form::TeredoServer | Form::TeredoClient | Form::Isatap
        )
    })
}

/// How a peer address spells the address judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Plainly.
    Itself,
    /// `::ffff:a.b.c.d`, RFC 4291 §2.5.5.2. To the kernel this *is* the IPv4 address.
    Mapped,
    /// `::a.b.c.d`, RFC 4291 §2.5.5.1, deprecated.
    Compatible,
    /// `::ffff:0:a.b.c.d`, RFC 2765 §2.1: what a stateless translator once called its IPv4 hosts.
    Translated,
    /// `2002:aabb:ccdd::/48`, RFC 3056 §2.
    SixToFour,
    /// The server in `2001:0:aabb:ccdd::/64`, RFC 4380 §4.
    TeredoServer,
    /// The client in the last 32 bits of a Teredo address, every bit inverted, RFC 4380 §4.
    TeredoClient,
    /// The interface identifiers `0:5efe:a.b.c.d` and `200:5efe:a.b.c.d` behind any prefix,
    /// RFC 5214 §6.1.
    Isatap,
    /// `64:ff9b::a.b.c.d`, RFC 6052 §2.1.
    Nat64,
    /// `64:ff9b:1::/48` used as one prefix, which RFC 6052 §2.2 puts *around* bits 64 to 71.
    LocalNat64Around,
    /// The last 32 bits under a /96 of `64:ff9b:1::/48`, RFC 8215 §5.
    LocalNat64Tail,
}

impl Form {
    /// Every format that hides an IPv4 address in an IPv6 one. [`Form::Mapped`] is not among them:
    /// [`Face::outer`] has undone it before.
    const EMBEDDED: [Self; 9] = [
        Self::Compatible,
        Self::Translated,
        Self::SixToFour,
        Self::TeredoServer,
        Self::TeredoClient,
        Self::Isatap,
        Self::Nat64,
        Self::LocalNat64Around,
        Self::LocalNat64Tail,
    ];

    /// The IPv4 address that `ip` spells in this form, if it is of this form.
    fn read(self, ip: Ipv6Addr) -> Option<Ipv4Addr> {
        let bits = ip.to_bits();
        let tail = field(bits, 96);
        let (is_form, found) = match self {
            Self::Itself => (false, tail),
            Self::Mapped => (bits >> 32 == 0xffff, tail),
            // `::` and `::1` are addresses of their own, not 0.0.0.0 and 0.0.0.1.
            Self::Compatible => (bits >> 32 == 0 && bits > 1, tail),
            Self::Translated => (bits >> 32 == 0xffff_0000, tail),
            Self::SixToFour => (bits >> 112 == 0x2002, field(bits, 16)),
            Self::TeredoServer => (bits >> 96 == 0x2001_0000, field(bits, 32)),
            Self::TeredoClient => (bits >> 96 == 0x2001_0000, !tail),
            Self::Isatap => (field(bits, 64) & !ISATAP_UNIVERSAL == 0x0000_5efe, tail),
            Self::Nat64 => (bits >> 32 == 0x0064_ff9b_0000_0000_0000_0000, tail),
            // The prefix does not tell which of the two layouts its owner chose. The field of the
            // layout not chosen is zero, which names no host; only if both are is 0.0.0.0 meant.
            Self::LocalNat64Around => (
                is_local_nat64(bits) && (around(bits) != 0 || tail == 0),
                around(bits),
            ),
            Self::LocalNat64Tail => (
                is_local_nat64(bits) && (tail != 0 || around(bits) == 0),
                tail,
            ),
        };
        is_form.then(|| Ipv4Addr::from_bits(found))
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Itself => "as it stands",
            Self::Mapped => "IPv4-mapped, RFC 4291",
            Self::Compatible => "IPv4-compatible, RFC 4291",
            Self::Translated => "IPv4-translated, RFC 2765",
            Self::SixToFour => "6to4, RFC 3056",
            Self::TeredoServer => "Teredo server, RFC 4380",
            Self::TeredoClient => "Teredo client, RFC 4380",
            Self::Isatap => "ISATAP, RFC 5214",
            Self::Nat64 => "NAT64, RFC 6052",
            Self::LocalNat64Around => "local NAT64 with a /48 prefix, RFC 8215",
            Self::LocalNat64Tail => "local NAT64 with a /96 prefix, RFC 8215",
        })
    }
}

/// The 32 bits from bit `start` on, counted from the left as RFCs do.
fn field(bits: u128, start: u32) -> u32 {
    (bits >> (96 - start)) as u32
}

fn is_local_nat64(bits: u128) -> bool {
    bits >> 80 == 0x0064_ff9b_0001
}

/// RFC 6052 §2.2 for a /48 prefix: 16 bits of the IPv4 address, the zero octet, the other 16 bits.
fn around(bits: u128) -> u32 {
    field(bits, 48) & 0xffff_0000 | field(bits, 56) & 0x0000_ffff
}

/// The "u" bit of an interface identifier, set where the IPv4 address is globally unique.
const ISATAP_UNIVERSAL: u32 = 0x0200_0000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The faces inside `ip`: form and address.
    fn inside(ip: &str) -> Vec<(Form, String)> {
        let outer = Face::outer(ip.parse().unwrap());
        outer
            .embedded()
            .map(|face| (face.form, face.ip.to_string()))
            .collect()
    }

    fn found<const N: usize>(forms: [(Form, &str); N]) -> Vec<(Form, String)> {
        forms.map(|(form, ip)| (form, ip.to_owned())).into()
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let outer = Face::outer("::ffff:192.0.2.1".parse().unwrap());
        assert_eq!(
            outer,
            Face {
                ip: "192.0.2.1".parse().unwrap(),
                form: Form::Mapped
            }
        );
        assert_eq!(outer.embedded().count(), 0);
    }

    #[test]
    fn an_ipv4_address_has_one_face() {
        let outer = Face::outer("192.0.2.1".parse().unwrap());
        assert_eq!(outer.form, Form::Itself);
        assert_eq!(outer.embedded().count(), 0);
    }

    #[test]
    fn an_ordinary_ipv6_address_hides_nothing() {
        for ip in ["2a00:1450:4001:81b::200e", "fe80::1", "::", "::1"] {
            assert_eq!(inside(ip), [], "{ip}");
        }
    }

    #[test]
    fn the_examples_of_the_rfcs_are_read() {
        for (ip, form, expected) in [
            ("::13.1.68.3", Form::Compatible, "13.1.68.3"),
            ("::ffff:0:13.1.68.3", Form::Translated, "13.1.68.3"),
            ("2002:c000:221::1", Form::SixToFour, "192.0.2.33"),
            ("64:ff9b::192.0.2.33", Form::Nat64, "192.0.2.33"),
            ("fe80::5efe:192.0.2.33", Form::Isatap, "192.0.2.33"),
            ("2a00::200:5efe:192.0.2.33", Form::Isatap, "192.0.2.33"),
        ] {
            assert_eq!(inside(ip), found([(form, expected)]), "{ip}");
        }
    }

    #[test]
    fn a_teredo_address_names_a_server_and_a_client() {
        assert_eq!(
            inside("2001:0:4136:e378:8000:63bf:3fff:fdd2"),
            found([
                (Form::TeredoServer, "65.54.227.120"),
                (Form::TeredoClient, "192.0.2.45")
            ])
        );
    }

    #[test]
    fn a_local_nat64_address_is_read_in_the_layout_that_is_filled() {
        let (around, tail) = (Form::LocalNat64Around, Form::LocalNat64Tail);
        let ip = "192.0.2.33";
        assert_eq!(inside("64:ff9b:1:c000:2:2100::"), found([(around, ip)]));
        assert_eq!(inside("64:ff9b:1::192.0.2.33"), found([(tail, ip)]));
        let both = inside("64:ff9b:1:c000:2:2100:192.0.2.33");
        assert_eq!(both, found([(around, ip), (tail, ip)]));
        assert_eq!(
            inside("64:ff9b:1::"),
            found([(around, "0.0.0.0"), (tail, "0.0.0.0")])
        );
    }

    #[test]
    fn nested_formats_are_all_read() {
        assert_eq!(
            inside("2002:c000:221::5efe:10.0.0.1"),
            found([(Form::SixToFour, "192.0.2.33"), (Form::Isatap, "10.0.0.1")])
        );
    }
}
