//! Kinds of values: their words and ranges, how one is read from its text, and where it goes.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::time::Duration as Time;

use probe::UriHost;
use relay::PortRange;

use super::Config;
use super::form::{
    FILL_IN, Flaw, Form, TEMPLATE, bandwidth, flaw, has_template, is_blank, is_template, network,
    percent, rate, target, turn_uri,
};
use super::names::{listed, nearest};

/// The type of a value, its range, and where it goes. Values without a place are read by a review.
#[derive(Debug)]
pub(crate) enum Kind {
    Text(Form),
    /// An array of texts.
    Texts(Form),
    /// One text, or an array of texts.
    TextOrTexts(Form),
    /// A whole number from the first to the second.
    Number(u32, u32, fn(&mut Config, u32)),
    /// A time span, from the first to the second in seconds.
    Duration(u64, u64, fn(&mut Config, Time)),
    /// The same to the millisecond, from the first to the second in milliseconds.
    Milliseconds(u64, u64, fn(&mut Config, Time)),
    /// A share of a whole, in percent: in thousandths, from one on.
    Percent(fn(&mut Config, u32)),
    /// Bytes per second, or none for no limit.
    Rate(fn(&mut Config, Option<NonZeroU64>)),
    /// The same of data that is relayed, which people count in bits.
    Bandwidth(fn(&mut Config, Option<NonZeroU64>)),
    Flag(fn(&mut Config, bool)),
    /// One of these words.
    Word(&'static [Choice]),
    Ports(fn(&mut Config, PortRange)),
    /// A table of users with their passwords or keys.
    Users,
    /// `"always"`, `"draining"` or `{ allocations = 1000 }`.
    When,
}

/// A word, and its meaning.
pub(super) type Choice = (&'static str, fn(&mut Config));

impl Kind {
    /// The kind in words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Text(form) => form.words().to_owned(),
            Self::Texts(form) => format!("an array, each {}", form.words()),
            Self::TextOrTexts(form) => format!("one or an array, each {}", form.words()),
            Self::Number(..) => "a whole number".to_owned(),
            Self::Duration(..) | Self::Milliseconds(..) => "a duration".to_owned(),
            Self::Percent(_) => "a share in percent".to_owned(),
            Self::Rate(_) => "bytes per second".to_owned(),
            Self::Bandwidth(_) => "bits or bytes per second".to_owned(),
            Self::Flag(_) => "true or false".to_owned(),
            Self::Word(_) | Self::When => format!("one of {}", listed(&self.choices())),
            Self::Ports(_) => "a port range".to_owned(),
            Self::Users => "a table".to_owned(),
        }
    }

    /// The smallest and the largest value.
    pub(crate) fn range(&self) -> Option<[String; 2]> {
        if let Self::Number(least, most, _) = self {
            return Some([least, most].map(u32::to_string));
        }
        if let Self::Duration(least, most, _) = self {
            let span = |seconds: &u64| humantime::format_duration(Time::from_secs(*seconds));
            return Some([least, most].map(|seconds| span(seconds).to_string()));
        }
        if let Self::Milliseconds(least, most, _) = self {
            let span = |millis: &u64| humantime::format_duration(Time::from_millis(*millis));
            return Some([least, most].map(|millis| span(millis).to_string()));
        }
        if matches!(self, Self::Percent(_)) {
            return Some(["0.1%", "100%"].map(str::to_owned));
        }
        if matches!(self, Self::Bandwidth(_)) {
            return Some(["8kbit/s", "100Gbit/s, or \"unlimited\""].map(str::to_owned));
        }
        let is_rate = matches!(self, Self::Rate(_));
        is_rate.then(|| ["1KiB", "1GiB, or \"unlimited\""].map(str::to_owned))
    }

    /// Reads a value from its text, and puts it where it goes.
    pub(super) fn read(&self, text: &str, config: &mut Config) -> Result<(), Flaw> {
        // Secrets, also those in files, are reviewed; a file without its name filled in is not found.
        let is_file = matches!(
            self,
            Self::Text(Form::File | Form::Chain) | Self::Texts(Form::File)
        );
        let is_unfilled = is_template(text) || is_blank(text) || has_template(text);
        if is_unfilled && !is_file && !self.is_secret() {
            return flaw(TEMPLATE, FILL_IN);
        }
        match self {
            Self::Text(form) | Self::Texts(form) | Self::TextOrTexts(form) => form.check(text)?,
            Self::Number(least, most, set) => match text.parse() {
                Ok(number) if (*least..=*most).contains(&number) => set(config, number),
                Ok(_) | Err(_) => return self.outside(),
            },
            Self::Duration(least, most, set) => match humantime::parse_duration(text) {
                Ok(span) if span.subsec_nanos() > 0 => return flaw("is not a duration", DURATION),
                Ok(span) if (*least..=*most).contains(&span.as_secs()) => set(config, span),
                Ok(_) => return self.outside(),
                Err(_) => return flaw("is not a duration", DURATION),
            },
            Self::Milliseconds(least, most, set) => match humantime::parse_duration(text) {
                Ok(span) if span.subsec_nanos() % 1_000_000 > 0 => {
                    return flaw("is not a duration in milliseconds", MILLISECONDS);
                }
                Ok(span)
                    if (u128::from(*least)..=u128::from(*most)).contains(&span.as_millis()) =>
                {
                    set(config, span);
                }
                Ok(_) => return self.outside(),
                Err(_) => return flaw("is not a duration", MILLISECONDS),
            },
            Self::Percent(set) => match percent(text) {
                Some(0 | 1001..) => return self.outside(),
                Some(thousandths) => set(config, thousandths),
                None => return flaw("is not a share in percent", PERCENT),
            },
            Self::Rate(set) => match rate(text) {
                Some(Some(0..LEAST_RATE) | Some(MORE_THAN_MOST..)) => return self.outside(),
                Some(rate) => set(config, rate.and_then(NonZeroU64::new)),
                None => return flaw("is not a number of bytes", BYTES),
            },
            Self::Bandwidth(set) => match bandwidth(text) {
                Some(Some(0..LEAST_BANDWIDTH) | Some(MORE_THAN_MOST_BANDWIDTH..)) => {
                    return self.outside();
                }
                Some(rate) => set(config, rate.and_then(NonZeroU64::new)),
                None => return flaw("is not a number of bits or bytes per second", BANDWIDTH),
            },
            Self::Flag(set) if matches!(text, "true" | "false") => set(config, text == "true"),
            Self::Flag(_) => return flaw("must be true or false", ""),
            Self::Word(words) => match words.iter().find(|(word, _)| *word == text) {
                Some((_, set)) => set(config),
                None => return self.no_choice(text),
            },
            Self::Ports(set) => set(config, ports(text)?),
            Self::When if matches!(text, "always" | "draining") => {}
            Self::When => return self.no_choice(text),
            Self::Users => {}
        }
        Ok(())
    }

    /// The address in a text that is read as one, or as more.
    pub(super) fn address(&self, text: &str) -> Option<IpAddr> {
        let (Self::Text(form) | Self::Texts(form) | Self::TextOrTexts(form)) = self else {
            return None;
        };
        let address = match form {
            Form::Socket | Form::SecondSocket | Form::Backend => {
                text.parse::<SocketAddr>().ok()?.ip()
            }
            Form::Target => target(text)?.address.ip(),
            Form::Address | Form::External | Form::Certified => text.parse().ok()?,
            Form::Hosts => network(text)?.addr(),
            Form::Network => {
                let first = text.split(['/', '-']).next()?;
                let alone = first.parse::<IpAddr>().ok();
                alone.or_else(|| Some(first.parse::<SocketAddr>().ok()?.ip()))?
            }
            Form::TurnUri => match turn_uri(text).ok()?.host {
                UriHost::Address(address) => address,
                UriHost::Name(_) => return None,
            },
            Form::Teller
            | Form::Any
            | Form::Realm
            | Form::Domain
            | Form::Name(_)
            | Form::Origin
            | Form::Time
            | Form::Secret
            | Form::File
            | Form::Chain
            | Form::Contact
            | Form::Directory
            | Form::Size
            | Form::Webhook => return None,
        };
        Some(address.to_canonical())
    }

    fn outside(&self) -> Result<(), Flaw> {
        let [least, most] = self.range().unwrap_or_default();
        flaw(format!("must be from {least} to {most}"), "")
    }

    /// The choices of a word, or of `when`.
    fn choices(&self) -> Vec<&'static str> {
        let Self::Word(words) = self else {
            return vec!["always", "draining", "{ allocations = 1000 }"];
        };
        words.iter().map(|(word, _)| *word).collect()
    }

    fn no_choice(&self, text: &str) -> Result<(), Flaw> {
        let choices = self.choices();
        let all = listed(&choices);
        let help = match nearest(text, &choices) {
            Some(near) => format!("did you mean `{near}`? One of {all}"),
            None => format!("one of {all}"),
        };
        flaw(format!("cannot be `{text}`"), &help)
    }

    /// Whether values are hidden wherever they could be shown.
    pub(crate) fn is_secret(&self) -> bool {
        matches!(
            self,
            Self::Text(Form::Secret) | Self::Texts(Form::Secret) | Self::Users
        )
    }
}

fn ports(text: &str) -> Result<PortRange, Flaw> {
    let port = |text: &str| text.trim().parse::<u16>().ok();
    let ends = text.split_once('-');
    match ends.and_then(|(first, last)| port(first).zip(port(last))) {
        None => flaw("is not a port range", PORTS),
        Some((0, _) | (_, 0)) => flaw("contains port 0, which no peer can send to", ABOVE),
        Some((first, last)) => PortRange::new(first, last).ok_or_else(|| {
            let words = format!("starts at {first} and ends at {last}");
            (words, Some(format!("write \"{last}-{first}\"")))
        }),
    }
}

const DURATION: &str = "write a number and a unit, such as \"90s\", \"10m\" or \"1h 30m\"";
const MILLISECONDS: &str = "write a number and a unit, such as \"30ms\" or \"1s\"";
const PERCENT: &str = "write a number with at most one decimal place, such as \"3%\" or \"0.5%\"";
const BYTES: &str = "write a number and a unit, such as \"16KiB\" or \"2MiB\", or \"unlimited\"";
const BANDWIDTH: &str = "write a number and a unit in quotes, such as \"10Mbit/s\" or, \
                                    the same, \"1250kB/s\", or \"unlimited\"";
const LEAST_RATE: u64 = 1 << 10;
const MORE_THAN_MOST: u64 = (1 << 30) + 1;
const LEAST_BANDWIDTH: u64 = 1000;
const MORE_THAN_MOST_BANDWIDTH: u64 = 12_500_000_001;
const PORTS: &str = "write the first and the last port, such as \"49152-65535\"";
const ABOVE: &str = "start at 1024 or above, such as \"49152-65535\"";
