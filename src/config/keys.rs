//! The names of all keys, where they belong, and what a wrong one may have meant.

/// A key, by the table it belongs to ("" is the top of the file).
type Key = (&'static str, &'static str);

/// Every key of the file. A test holds this list to what the parser reads.
pub(super) const KEYS: &[Key] = &[
    ("", "realm"),
    ("", "threads"),
    ("listener", "transport"),
    ("listener", "listen"),
    ("relay", "addresses"),
    ("relay", "external"),
    ("relay", "ports"),
    ("nat-discovery", "alternate"),
    ("nat-discovery", "external"),
    ("nat-discovery", "partner"),
    ("nat-discovery", "port"),
    ("nat-discovery", "secret"),
    ("nat-discovery", "secret-file"),
    ("auth", "secrets"),
    ("auth", "secret-files"),
    ("auth", "users-file"),
    ("auth", "nonce-lifetime"),
    ("auth", "nonce-secret-file"),
    ("auth", "sha256"),
    ("auth", "users"),
    ("auth.realm", "name"),
    ("auth.realm", "listeners"),
    ("auth.realm", "secrets"),
    ("auth.realm", "secret-files"),
    ("auth.realm", "users-file"),
    ("auth.realm", "per-user"),
    ("auth.realm", "total"),
    ("auth.realm", "users"),
    ("oauth", "server-name"),
    ("oauth.key", "id"),
    ("oauth.key", "key"),
    ("oauth.key", "key-file"),
    ("oauth.key", "algorithm"),
    ("oauth.key", "not-before"),
    ("oauth.key", "expires"),
    ("allocation", "default-lifetime"),
    ("allocation", "max-lifetime"),
    ("allocation", "per-user"),
    ("allocation", "total"),
    ("allocation", "permissions"),
    ("allocation", "channels"),
    ("allocation", "mobility"),
    ("allocation", "icmp"),
    ("redirect", "to"),
    ("redirect", "when"),
    ("redirect", "realm"),
    ("unauthenticated", "per-prefix"),
    ("unauthenticated", "total"),
    ("tcp", "connections"),
    ("tcp", "per-prefix"),
    ("tcp", "first-frame"),
    ("tcp", "idle"),
    ("tcp", "stranger-lifetime"),
    ("tcp", "send-queue"),
    ("tcp", "data-indication"),
    ("peers", "allow"),
    ("peers", "deny"),
    ("peers", "mode"),
    ("log", "level"),
    ("log", "format"),
    ("log", "addresses"),
];

/// Keys of coturn as guides write them, and the keys that stand for them here.
const COTURN: &[(&str, &str)] = &[
    ("listening-port", "`listen` in a `[[listener]]`"),
    ("listening-ip", "`listen` in a `[[listener]]`"),
    ("relay-ip", "`[relay] addresses`"),
    ("external-ip", "`[relay] external`"),
    ("min-port", "`[relay] ports`"),
    ("max-port", "`[relay] ports`"),
    ("static-auth-secret", "`[auth] secrets`"),
    ("use-auth-secret", "`[auth] secrets`"),
    ("lt-cred-mech", "`[auth.users]`"),
    ("user", "`[auth.users]`"),
    ("userdb", "`[auth] users-file`"),
    ("oauth", "a `[[oauth.key]]`"),
    ("stale-nonce", "`[auth] nonce-lifetime`"),
    ("user-quota", "`[allocation] per-user`"),
    ("total-quota", "`[allocation] total`"),
    ("max-allocate-lifetime", "`[allocation] max-lifetime`"),
    ("allowed-peer-ip", "`[peers] allow`"),
    ("denied-peer-ip", "`[peers] deny`"),
    ("alt-listening-port", "`[nat-discovery] alternate`"),
    ("rfc5780", "`[nat-discovery] alternate`"),
    ("verbose", "`[log] level`"),
    ("alternate-server", "`to` in a `[[redirect]]`"),
];

/// How a table is written in the file.
pub(super) fn header(table: &str) -> String {
    match table {
        "listener" | "auth.realm" | "oauth.key" | "redirect" => format!("[[{table}]]"),
        "redirect.when" => "[[redirect]] when".to_owned(),
        _ => format!("[{table}]"),
    }
}

/// A key with its table, the way sentences name it.
pub(super) fn full_name(table: &str, key: &str) -> String {
    match table {
        "" => key.to_owned(),
        "redirect.when" => format!("[[redirect]] when.{key}"),
        _ => format!("{} {key}", header(table)),
    }
}

/// The finding about `name`, which `table` does not know; it knows `known`.
pub(super) fn hint(table: &str, name: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(name, known) {
        return format!("did you mean `{near}`?");
    }
    if let Some((_, ours)) = COTURN.iter().find(|(theirs, _)| *theirs == name) {
        return format!("coturn's `{name}` is {ours} here");
    }
    let homes = KEYS
        .iter()
        .filter(|(home, key)| *key == name && *home != table);
    let homes: Vec<String> = homes.map(|(home, _)| place(home)).collect();
    if !homes.is_empty() {
        return format!("`{name}` belongs {}", homes.join(" or "));
    }
    format!("known here: {}", listed(known))
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

/// Whether the value of `key` in `table` has to be hidden. A key nobody knows
/// may be a misspelt one that holds a secret.
pub(super) fn holds_a_secret(table: &str, key: &str) -> bool {
    if key.is_empty() {
        let (top, _) = table.split_once('.').unwrap_or((table, ""));
        return matches!(top, "auth" | "oauth");
    }
    let (table, key) = match key.rsplit_once('.') {
        Some((path, key)) if table.is_empty() => (path, key),
        Some(_) => return true,
        None => (table, key),
    };
    let credentials = matches!(
        (table, key),
        ("auth" | "auth.realm", "secrets" | "users")
            | ("nat-discovery", "secret")
            | ("oauth.key", "key")
    );
    credentials || !KEYS.contains(&(table, key)) && (table, key) != ("redirect.when", "allocations")
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
            let known: Vec<&str> = KEYS.iter().map(|&(_, key)| key).collect();
            assert_eq!(nearest(slip, &known), Some(meant));
        }
        assert_eq!(
            nearest("bandwidth", &["addresses", "external", "ports"]),
            None
        );
        assert_eq!(nearest("", &["udp", "tcp"]), None);
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
