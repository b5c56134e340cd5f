//! Names of keys and tables: as the file writes them, as sentences do, and the known one that a slip of
//! the finger turned into another. Names say whether a value is secret, too.

use super::row::Row;
use super::rows::ROWS;

/// The row of a key.
pub(super) fn find(table: &str, key: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.table == table && row.key == key)
}

/// The keys and tables that may stand in a table.
pub(super) fn known(table: &str) -> Vec<&'static str> {
    let mut known = Vec::new();
    for row in ROWS {
        let below = match table {
            "" => Some(row.table),
            _ => row
                .table
                .strip_prefix(table)
                .and_then(|rest| rest.strip_prefix('.')),
        };
        let inner = below.and_then(|path| path.split('.').next());
        let name = if row.table == table {
            Some(row.key)
        } else {
            inner
        };
        known.extend(name.filter(|name| !known.contains(name)));
    }
    known
}

/// How a table is written in the file.
pub(super) fn header(table: &str) -> String {
    let row = ROWS.iter().find(|row| row.table == table);
    row.map_or_else(|| format!("[{table}]"), |row| row.header.to_owned())
}

/// A key with its table.
pub(super) fn full_name(table: &str, key: &str) -> String {
    match header(table) {
        header if header.is_empty() => key.to_owned(),
        header if header.ends_with(']') => format!("{header} {key}"),
        header => format!("{header}.{key}"),
    }
}

/// The key that a name which `table` does not know may stand for, in words.
pub(super) fn hint(table: &str, name: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(name, known) {
        return format!("did you mean `{near}`?");
    }
    let hyphenated = name.replace('_', "-");
    if hyphenated != name && is_anywhere(&hyphenated) {
        return hint(table, &hyphenated, known);
    }
    let is_coturns = |row: &&Row| row.coturn.contains(&name) && row.key != name;
    if let Some(row) = ROWS.iter().find(is_coturns) {
        return format!("coturn's `{name}` is `{}` here", row.name());
    }
    let homes = ROWS
        .iter()
        .filter(|row| row.key == name && row.table != table);
    let homes: Vec<String> = homes.map(|row| place(row.table)).collect();
    if homes.is_empty() && crate::coturn::find(name).is_some() {
        return format!("coturn's `{name}` is not needed here, or not there");
    }
    if homes.is_empty() {
        return format!("known here: {}", listed(known));
    }
    format!("`{name}` belongs {}", homes.join(" or "))
}

/// Whether a key here or an option of coturn has this name.
fn is_anywhere(name: &str) -> bool {
    let mut rows = ROWS.iter();
    rows.any(|row| row.key == name || row.coturn.contains(&name))
        || crate::coturn::find(name).is_some()
}

/// Where a key stands, in words.
pub(super) fn place(table: &str) -> String {
    match table {
        "" => "at the top of the file, before the first table".to_owned(),
        _ => format!("in `{}`", header(table)),
    }
}

/// Words in backticks, separated by commas.
pub(super) fn listed(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// The known word that a slip or two of the finger turn into `name`.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |word: &str| strsim::osa_distance(name, word);
    let near = known.iter().copied().min_by_key(|word| distance(word))?;
    (distance(near) <= near.len().max(3) / 3).then_some(near)
}

/// Whether the value of `key` in `table` has to be hidden, or, without a key, what stands below
/// the table's header. A key that nobody knows may be a misspelt one that holds a secret.
pub(super) fn holds_a_secret(table: &str, key: &str) -> bool {
    if key.is_empty() {
        let top = |table: &'static str| table.split('.').next();
        let first = table.split('.').next();
        return ROWS
            .iter()
            .any(|row| row.kind.is_secret() && top(row.table) == first);
    }
    let (table, key) = match key.rsplit_once('.') {
        Some((path, key)) if table.is_empty() => (path, key),
        Some(_) => return true,
        None => (table, key),
    };
    find(table, key).is_none_or(|row| row.kind.is_secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        for (slip, meant) in [
            ("prts", "ports"),
            ("lisen", "listen"),
            ("per_user", "per-user"),
            ("chanels", "channels"),
        ] {
            let known: Vec<&str> = ROWS.iter().map(|row| row.key).collect();
            assert_eq!(nearest(slip, &known), Some(meant));
        }
        assert_eq!(
            nearest("bandwidth", &["addresses", "external", "ports"]),
            None
        );
        assert_eq!(nearest("", &["udp", "tcp"]), None);
    }

    #[test]
    fn underscores_are_read_as_hyphens() {
        for table in ["relay", "auth"] {
            let known = known(table);
            for name in ["external-ip", "min-port", "user-quota", "no-loopback-peers"] {
                let written = name.replace('-', "_");
                let told = hint(table, &written, &known);
                assert!(
                    told.starts_with(&format!("coturn's `{name}` is ")),
                    "{told}"
                );
                assert_eq!(told, hint(table, name, &known));
            }
        }
        let told = hint("relay", "nonce_lifetime", &known("relay"));
        assert_eq!(told, "`nonce-lifetime` belongs in `[auth]`");
        let told = hint("relay", "noth_ing", &known("relay"));
        assert!(told.starts_with("known here: "), "{told}");
    }

    #[test]
    fn what_is_not_known_to_be_public_is_secret() {
        for (table, key) in [
            ("", "realm"),
            ("", "auth.nonce-lifetime"),
            ("relay", "ports"),
            ("auth", "secret-files"),
            ("auth", "nonce-secret-file"),
            ("auth.realm", "name"),
            ("oauth.key", "key-file"),
            ("tls.certificates", "cert"),
            ("tls.certificates", "key"),
            ("redirect.when", "allocations"),
        ] {
            assert!(!holds_a_secret(table, key), "{table} {key}");
        }
        for (table, key) in [
            ("auth", "secrets"),
            ("", "auth.secrets"),
            ("auth", "users"),
            ("nat-discovery", "secret"),
            ("auth.users", "realm"),
            ("auth.realm", "secrets"),
            ("", "auth.realm.secrets"),
            ("auth.realm.users", "name"),
            ("oauth.key", "key"),
            ("", "oauth.key.key"),
            ("oauth", ""),
            ("oauth.key", ""),
            ("", "secret"),
            ("relay", "a.b"),
        ] {
            assert!(holds_a_secret(table, key), "{table} {key}");
        }
    }
}
