//! The values of a configuration as they may be shown: what is written, and for what is not written what holds without
//! it. Secrets are starred out.

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::kind::Kind;
use super::names::holds_a_secret;
use super::row::{Row, Unwritten};
use super::rows::ROWS;
use super::table::join;

/// Tables and keys, as the file has them.
pub(crate) type Values = Map<String, Value>;

/// Those of a file, with the variables that count beside it.
pub(super) fn of(tree: &DeTable<'_>) -> Values {
    let mut values = shown(tree, "");
    for row in ROWS {
        let Unwritten::Is(text) = row.unwritten else {
            continue;
        };
        let path: Vec<&str> = row
            .table
            .split('.')
            .filter(|name| !name.is_empty())
            .collect();
        // A table in a table may be left out, and mean something by that.
        let may_add = path.len() <= 1 && !row.is_repeated();
        each(&mut values, &path, may_add, &mut |table| {
            table.entry(row.key).or_insert_with(|| default(row, text));
        });
    }
    values
}

/// New values, of which these keys keep their old ones; a table that does keeps all but what `live` says.
pub(crate) fn keeping(mut new: Values, old: &Values, fixed: &[String], live: &[String]) -> Values {
    for name in fixed {
        let (table, key) = parts(name);
        let written = new.clone();
        copy(&mut new, old, &table, key);
        for live in live {
            let (of, key) = parts(live);
            if of == table && key.is_some() {
                copy(&mut new, &written, &table, key);
            }
        }
    }
    new
}

/// The table and the key in a name such as `[relay] ports`, `[[listener]]` or `realm`.
pub(super) fn parts(name: &str) -> (Vec<&str>, Option<&str>) {
    let Some((table, key)) = name.rsplit_once(']') else {
        return (Vec::new(), Some(name));
    };
    let table = table.trim_matches(['[', ']']).split('.').collect();
    let key = key.trim();
    (table, (!key.is_empty()).then_some(key))
}

fn copy(to: &mut Values, from: &Values, table: &[&str], key: Option<&str>) {
    let Some((first, rest)) = table.split_first() else {
        if let Some(key) = key {
            put(to, key, from.get(key));
        }
        return;
    };
    let inner = from.get(*first);
    if rest.is_empty() && key.is_none() {
        return put(to, first, inner);
    }
    let Some(inner) = inner.and_then(Value::as_object) else {
        return;
    };
    let mine = to.entry(*first).or_insert_with(|| Map::new().into());
    if let Some(mine) = mine.as_object_mut() {
        copy(mine, inner, rest, key);
    }
}

fn put(to: &mut Values, key: &str, value: Option<&Value>) {
    match value {
        Some(value) => drop(to.insert(key.to_owned(), value.clone())),
        None => drop(to.remove(key)),
    }
}

fn shown(tree: &DeTable<'_>, path: &str) -> Values {
    let entries = tree.iter().map(|(key, value)| {
        let key = key.get_ref();
        let is_secret = holds_a_secret(path, key);
        let value = worded(value.get_ref(), &join(path, key), is_secret);
        (key.to_string(), value)
    });
    entries.collect()
}

fn worded(value: &DeValue<'_>, path: &str, is_secret: bool) -> Value {
    let is_empty = value.as_str().is_some_and(str::is_empty);
    match value {
        DeValue::Table(table) => shown(table, path).into(),
        DeValue::Array(array) => {
            let elements = array.iter();
            let elements = elements.map(|it| worded(it.get_ref(), path, is_secret));
            elements.collect::<Vec<Value>>().into()
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
            if is_secret && !is_empty =>
        {
            "***".into()
        }
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            parsed.map_or_else(|_| number.as_str().into(), Value::from)
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse::<f64>();
            parsed.map_or_else(|_| number.as_str().into(), Value::from)
        }
        DeValue::Boolean(is) => (*is).into(),
        DeValue::Datetime(time) => time.to_string().into(),
    }
}

/// Does something to each table at a path.
fn each(table: &mut Values, path: &[&str], may_add: bool, change: &mut impl FnMut(&mut Values)) {
    let Some((first, rest)) = path.split_first() else {
        return change(table);
    };
    if may_add {
        table.entry(*first).or_insert_with(|| Map::new().into());
    }
    let inner = table.get_mut(*first);
    let (one, many) = match inner {
        Some(Value::Object(one)) => (Some(one), None),
        Some(Value::Array(many)) => (None, Some(many)),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {
            (None, None)
        }
    };
    let many = many.into_iter().flatten().filter_map(Value::as_object_mut);
    for table in one.into_iter().chain(many) {
        each(table, rest, may_add, change);
    }
}

/// The value of a row that is not written.
fn default(row: &Row, text: &str) -> Value {
    match row.kind {
        Kind::Number(..) => text
            .parse::<u32>()
            .map_or_else(|_| text.into(), Value::from),
        Kind::Flag(_) => (text == "true").into(),
        Kind::Texts(_) | Kind::TextOrTexts(_) if text.starts_with('[') => {
            let value = format!("it = {text}").parse::<toml::Table>();
            let value = value
                .ok()
                .and_then(|table| serde_json::to_value(&table["it"]).ok());
            value.unwrap_or_else(|| text.into())
        }
        Kind::Text(_)
        | Kind::Texts(_)
        | Kind::TextOrTexts(_)
        | Kind::Duration(..)
        | Kind::Milliseconds(..)
        | Kind::Percent(_)
        | Kind::Rate(_)
        | Kind::Bandwidth(_)
        | Kind::Word(_)
        | Kind::Ports(_)
        | Kind::Users
        | Kind::When => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(text: &str) -> Values {
        of(DeTable::parse(text).unwrap().get_ref())
    }

    #[test]
    fn a_value_is_shown_as_it_is_or_as_it_is_without_the_file_and_no_secret_is() {
        let text = "realm = \"example.org\"\n[auth]\nsecrets = [\"sesame\", \"open\"]\n\
                    [auth.users]\nalice = \"wonderland\"\n[allocation]\ntotal = 0x10\n\
                    [[auth.realm]]\nname = \"b\"\nsecrets = [\"sesame\"]\n\
                    [metrics]\ntoken = \"\"\n[unknown]\nkey = \"sesame\"\n";
        let values = values(text);
        assert_eq!(values["realm"], "example.org");
        assert_eq!(values["auth"]["secrets"], json!(["***", "***"]));
        assert_eq!(values["auth"]["users"], json!({ "alice": "***" }));
        assert_eq!(values["auth"]["realm"][0]["secrets"], json!(["***"]));
        assert_eq!(values["allocation"]["total"], 16);
        assert_eq!(values["allocation"]["max-lifetime"], "1h");
        assert_eq!(values["dtls"]["enabled"], false);
        assert_eq!(values["http"]["listen"], json!([]));
        assert_eq!(values["metrics"]["token"], "");
        assert_eq!(values["unknown"]["key"], "***");
        let text = serde_json::to_string(&values).unwrap();
        assert!(
            !text.contains("sesame") && !text.contains("wonderland"),
            "{text}"
        );
    }

    #[test]
    fn a_key_that_waits_for_a_restart_keeps_its_old_value() {
        let old = values("threads = 2\n[tcp]\nidle = \"1m\"\n");
        let new = values(
            "realm = \"b\"\nthreads = 4\n[tcp]\nidle = \"2m\"\ndata-indication = 1500\n\
             [[listener]]\ntransport = \"udp\"\nlisten = \"127.0.0.1:5\"\n[relay]\nports = \"50000-50099\"\n",
        );
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let fixed = names(&["threads", "[tcp]", "[[listener]]", "[relay] ports"]);
        let live = names(&["realm", "[tcp] data-indication"]);
        let kept = keeping(new, &old, &fixed, &live);
        assert_eq!(kept["threads"], 2);
        assert_eq!(kept["tcp"]["idle"], "1m");
        assert_eq!(kept["tcp"]["data-indication"], 1500);
        assert_eq!(kept.get("listener"), None);
        assert_eq!(kept["relay"]["ports"], old["relay"]["ports"]);
        assert_eq!(kept["realm"], "b");
    }
}
