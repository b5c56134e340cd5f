//! Corrections of a value of another type, or without quotes: the same value in the right type
//! if it can be read as that, so that the next try is not refused again.

use toml::de::DeValue;

use super::Config;
use super::form::Form;
use super::kind::Kind;
use super::row::Row;

/// A value as it is written, without quotes; `None` if it has parts.
pub(super) fn written(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(is) => Some(is.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Help for a text that is of another type than the row's, or than one entry of the row's array.
pub(super) fn instead(row: &Row, text: &str, is_entry: bool) -> Option<String> {
    let kind = &row.kind;
    let is_list = matches!(kind, Kind::TextOrTexts(_)) && text.contains([',', ';', ' ']);
    let is_array = (matches!(kind, Kind::Texts(_)) || is_list) && !is_entry;
    let is_text = kind.takes_text() || is_entry;
    if kind.is_secret() {
        // The value may be the secret itself, which is shown nowhere.
        let marks = if is_array {
            "brackets: [\"…\"]"
        } else {
            "quotes: \"…\""
        };
        return (!matches!(kind, Kind::Users)).then(|| format!("put it in {marks}"));
    }
    let mut flaw = None;
    let mut reads = |text: &str| match kind.read(text, &mut Config::default()) {
        Ok(()) => true,
        Err((_, help)) => {
            flaw = help.or(flaw.take());
            false
        }
    };
    let right = if is_array {
        let pieces = text
            .split([',', ';', ' '])
            .filter(|piece| !piece.is_empty());
        let pieces: Vec<&str> = pieces.collect();
        let all = pieces.iter().all(|piece| reads(piece));
        all.then(|| format!("[\"{}\"]", pieces.join("\", \"")))
    } else if is_text {
        let mut forms = [text.to_owned(), completed(kind, text)].into_iter();
        forms
            .find(|text| reads(text))
            .map(|text| format!("\"{text}\""))
    } else {
        reads(text).then(|| text.to_owned())
    };
    Some(match (right, flaw) {
        (Some(right), _) => format!("write {right}"),
        (None, Some(help)) => help,
        (None, None) => wanted(kind, is_entry, is_array || is_text),
    })
}

/// A number alone lacks its unit, or its address.
fn completed(kind: &Kind, text: &str) -> String {
    match kind {
        Kind::Duration(..) => format!("{text}s"),
        Kind::Milliseconds(..) => format!("{text}ms"),
        Kind::Percent(_) => format!("{text}%"),
        Kind::Rate(_) => format!("{text}B"),
        Kind::Text(Form::Socket) => format!("0.0.0.0:{text}"),
        Kind::Text(_)
        | Kind::Texts(_)
        | Kind::TextOrTexts(_)
        | Kind::Number(..)
        | Kind::Flag(_)
        | Kind::Word(_)
        | Kind::Ports(_)
        // Of bits or of bytes: either could be meant.
        | Kind::Bandwidth(_)
        | Kind::Users
        | Kind::When => text.to_owned(),
    }
}

/// The kind of value that is wanted, where the text does not show which value was meant.
fn wanted(kind: &Kind, is_entry: bool, is_quoted: bool) -> String {
    let mut words = if let Kind::Texts(form) = kind
        && is_entry
    {
        format!("write {}", form.words())
    } else {
        format!("write {}", kind.words())
    };
    if let Some([least, most]) = kind.range() {
        words += &format!(" from {least} to {most}");
    }
    if is_quoted {
        words += ", in quotes";
    }
    words
}
