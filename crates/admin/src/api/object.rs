//! Bodies of requests.

use std::fmt;
use std::marker::PhantomData;

use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};

use super::{Refusal, refuse};

/// A body that is an object, as the OpenAPI document says. For a struct serde takes a list of its fields as
/// well: `[0]` would be a deadline of now, which nobody has named.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(body: D) -> Result<Self, D::Error> {
        body.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

/// Reads a body of JSON; without one, and where it is null, these are the defaults.
pub(super) fn read_body<T: Default + DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    if body.is_empty() {
        return Ok(T::default());
    }
    let read = serde_json::from_slice::<Option<Object<T>>>(body);
    let read = read.or_else(|flaw| {
        let sentence = format!("the body is not understood: {flaw}");
        refuse(StatusCode::BAD_REQUEST, sentence)
    })?;
    Ok(read.map(|Object(body)| body).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Drain, End};

    #[test]
    fn a_body_is_an_object_null_or_nothing_and_no_list_of_values_without_names() {
        let within = |body: &str| read_body::<Drain>(body.as_bytes()).map(|drain| drain.within);
        for (body, expected) in [
            ("{\"within\": 60}", Some(60)),
            ("{}", None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(within(body).ok(), Some(expected), "{body}");
        }
        for wrong in [
            "[]",
            "[0]",
            "0",
            "\"now\"",
            "{\"within\": 1, \"within\": 2}",
            "{\"then\": 1}",
        ] {
            let Refusal(status, sentence) = within(wrong).expect_err(wrong);
            assert_eq!(status, StatusCode::BAD_REQUEST);
            assert!(sentence.contains("not understood"), "{sentence}");
        }
        let everybody = "[null, null, null, null, null, null, true]";
        let ended = serde_json::from_str::<Object<End>>(everybody);
        assert!(ended.is_err_and(|why| why.to_string().contains("expected an object")));
    }
}
