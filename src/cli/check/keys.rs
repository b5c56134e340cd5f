//! `hairpin check --keys`: what a configuration may hold.

use std::fmt::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::super::{Failure, print};
use crate::config::{ROWS, Row, Unwritten, is_needless};

/// Lists the keys that `words` fit, or all.
pub(super) fn list(words: &str, as_json: bool) -> Result<ExitCode, Failure> {
    let words = words.to_lowercase();
    let rows: Vec<&Row> = ROWS.iter().filter(|row| fits(row, &words)).collect();
    if rows.is_empty() {
        return Err(Failure::Usage(if is_needless(&words) {
            "no key has these words: coturn's option of this name is not needed here, or Hairpin has nothing like it (option --keys)"
        } else {
            "no key has these words (option --keys)"
        }));
    }
    if as_json {
        let rows: Vec<Value> = rows.into_iter().map(object).collect();
        print(&format!("{:#}\n", Value::from(rows)))?;
    } else {
        let rows: Vec<String> = rows.into_iter().map(paragraph).collect();
        print(&rows.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn fits(row: &Row, words: &str) -> bool {
    let name = row.name();
    let mut texts = [&*name, row.help]
        .into_iter()
        .chain(row.coturn.iter().copied());
    texts.any(|text| text.to_lowercase().contains(words))
}

fn paragraph(row: &Row) -> String {
    let mut words = format!("{}\n  {}.\n  {}", row.name(), row.help, row.kind.words());
    if let Some([least, most]) = row.kind.range() {
        let _ = write!(words, " from {least} to {most}");
    }
    let _ = match row.unwritten {
        Unwritten::Is("") => writeln!(words, "; none by default"),
        Unwritten::Is(value) => writeln!(words, "; {value} by default"),
        Unwritten::Says(says) => writeln!(words, "; without it: {says}"),
        Unwritten::Missing(example) => writeln!(words, "; required, such as {example}"),
    };
    if row.kind.is_secret() {
        words += "  Hidden wherever the configuration is shown.\n";
    }
    if !row.coturn.is_empty() {
        let _ = writeln!(words, "  In turnserver.conf: {}", row.coturn.join(", "));
    }
    words
}

fn object(row: &Row) -> Value {
    let (default, without, example) = match row.unwritten {
        Unwritten::Is(value) => (Some(value), None, None),
        Unwritten::Says(says) => (None, Some(says), None),
        Unwritten::Missing(example) => (None, None, Some(example)),
    };
    json!({
        "key": row.name(),
        "kind": row.kind.words(),
        "range": row.kind.range(),
        "default": default,
        "without": without,
        "required": example.is_some(),
        "example": example,
        "secret": row.kind.is_secret(),
        "help": row.help,
        "coturn": row.coturn,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> &'static Row {
        ROWS.iter().find(|row| row.name() == name).unwrap()
    }

    #[test]
    fn a_key_is_listed_with_kind_range_default_help_and_coturns_name() {
        assert_eq!(
            paragraph(row("[auth] nonce-lifetime")),
            "[auth] nonce-lifetime\n  The time for which a nonce is accepted.\n  \
             a duration from 1s to 1h; 1h by default\n  In turnserver.conf: stale-nonce\n"
        );
        let key = object(row("[auth] secrets"));
        assert_eq!(
            (&key["secret"], &key["default"]),
            (&json!(true), &json!("[]"))
        );
        assert_eq!(
            key["coturn"],
            json!(["static-auth-secret", "use-auth-secret"])
        );
    }

    #[test]
    fn a_key_is_found_by_its_name_its_help_or_coturns_name() {
        let found = |words: &str| -> Vec<String> {
            ROWS.iter()
                .filter(|row| fits(row, words))
                .map(Row::name)
                .collect()
        };
        assert_eq!(found("user-quota"), ["[allocation] per-user"]);
        assert_eq!(found("[tcp] id"), ["[tcp] idle"]);
        assert_eq!(found("shards"), ["threads"]);
        assert_eq!(found("").len(), ROWS.len());
    }
}
