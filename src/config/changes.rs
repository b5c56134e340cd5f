//! The values in which two configurations differ, by table and key.

use serde_json::Value;

use super::table::join;
use super::values::{Values, parts};

/// A key with another value, as it may be shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// As sentences name it: `[clients] deny`, `[[listener]]`, `realm`.
    pub(crate) key: String,
    /// None where it was not written.
    pub(crate) from: Option<Value>,
    /// None where it is not written any more.
    pub(crate) to: Option<Value>,
}

/// Those in what these names stand for, each once. A secret is starred out, and so no change unless
/// there are more or fewer of them.
pub(crate) fn changes<'n>(
    old: &Values,
    new: &Values,
    names: impl IntoIterator<Item = &'n str>,
) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    for name in names {
        let (mut path, key) = parts(name);
        path.extend(key);
        let Some((key, table)) = path.split_last() else {
            continue;
        };
        let [from, to] = [old, new].map(|values| at(values, table)?.get(*key));
        walk(&table.join("."), key, from, to, &mut all);
    }
    all
}

fn at<'v>(values: &'v Values, table: &[&str]) -> Option<&'v Values> {
    let mut inner = table.iter();
    inner.try_fold(values, |values, name| values.get(*name)?.as_object())
}

fn walk(table: &str, key: &str, from: Option<&Value>, to: Option<&Value>, all: &mut Vec<Change>) {
    if from == to {
        return;
    }
    let tables = [from, to].map(|value| value.map(Value::as_object));
    if let [Some(Some(_)) | None, Some(Some(_)) | None] = tables {
        let [from, to] = tables.map(Option::flatten);
        let path = join(table, key);
        let both = [from, to].into_iter().flatten();
        let mut keys: Vec<&String> = both.flat_map(Values::keys).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let [from, to] = [from, to].map(|values| values?.get(key));
            walk(&path, key, from, to, all);
        }
        return;
    }
    let has_tables = |value: &Value| {
        let elements = value.as_array();
        elements.is_some_and(|all| all.iter().any(Value::is_object))
    };
    let key = match table {
        _ if from.or(to).is_some_and(has_tables) || to.is_some_and(has_tables) => {
            format!("[[{}]]", join(table, key))
        }
        "" => key.to_owned(),
        table => format!("[{table}] {key}"),
    };
    if all.iter().all(|change| change.key != key) {
        let [from, to] = [from, to].map(Option::<&Value>::cloned);
        all.push(Change { key, from, to });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_that_differs_is_named_by_its_key_and_no_secret_is_told() {
        let [old, new] = [
            json!({ "clients": { "deny": [], "allow": ["192.0.2.0/24"] }, "threads": 1,
                    "auth": { "users": { "alice": "***" }, "secrets": ["***"] } }),
            json!({ "clients": { "deny": ["192.0.2.7"], "allow": ["192.0.2.0/24"] }, "threads": 2,
                    "auth": { "users": { "alice": "***", "bob": "***" }, "secrets": ["***"] },
                    "listener": [{ "transport": "udp" }] }),
        ]
        .map(|value| value.as_object().cloned().unwrap_or_default());
        let names = [
            "[clients]",
            "[clients] deny",
            "threads",
            "[auth] users",
            "[auth] secrets",
            "[[listener]]",
            "[oauth]",
        ];
        let told: Vec<_> = changes(&old, &new, names)
            .into_iter()
            .map(|Change { key, from, to }| (key, from, to))
            .collect();
        assert_eq!(
            told,
            [
                (
                    "[clients] deny".to_owned(),
                    Some(json!([])),
                    Some(json!(["192.0.2.7"]))
                ),
                ("threads".to_owned(), Some(json!(1)), Some(json!(2))),
                ("[auth.users] bob".to_owned(), None, Some(json!("***"))),
                (
                    "[[listener]]".to_owned(),
                    None,
                    Some(json!([{ "transport": "udp" }]))
                ),
            ]
        );
    }
}
