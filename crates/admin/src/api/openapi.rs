//! The API as an OpenAPI document. `docs/openapi.json` is the same: a test compares both.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{
    bans, configuration, drain, end, live, log_level, policy, reload, sessions, stories, trace,
    usage,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hairpin",
        description = "A running server looked into and steered: at its Unix socket, and at `[admin] listen` by those who show the token.",
        version = "1",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        super::live_at_all,
        super::ready,
        super::status,
        drain::drain,
        drain::undrain,
        reload::reload,
        usage::usage,
        sessions::list,
        sessions::show,
        stories::list,
        trace::trace,
        end::end,
        bans::list,
        bans::lift,
        live::watch,
        live::top,
        policy::explain,
        configuration::show,
        log_level::show,
        log_level::set,
        log_level::take_back,
    ),
    components(schemas(crate::live::By, crate::live::Sort)),
    modifiers(&Token),
    security((), ("token" = []))
)]
struct Document;

/// The token of `[admin] listen`. The socket needs none.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let text = Document::openapi().to_pretty_json();
    // Only a fault in this crate could make it none.
    text.unwrap_or_default() + "\n"
});

pub(super) async fn show() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// `HAIRPIN_TEST_WRITE=1 cargo test -p hairpin-admin openapi` writes it anew.
    #[test]
    fn the_openapi_document_is_the_one_in_the_tree() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        if std::env::var_os("HAIRPIN_TEST_WRITE").is_some() {
            fs::write(&file, TEXT.as_str()).unwrap();
        }
        let there = fs::read_to_string(&file).unwrap();
        assert!(there == *TEXT, "{} is another", file.display());
        assert!(there.contains("/v1/sessions/{id}"));
    }
}
