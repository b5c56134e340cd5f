//! The pages: files that are in the binary, and no others.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The routes of the pages for visitors.
pub fn pages() -> Router {
    routes(FILES, POLICY)
}

/// The routes of the dashboard, a page for the operator. It asks `/v1/status` and `/v1/live` at the same
/// origin, which another crate serves; it asks for a token if those want one, and has no secret itself.
pub fn dashboard() -> Router {
    routes(DASHBOARD, DASHBOARD_POLICY)
}

fn routes(files: &'static [File], policy: &'static str) -> Router {
    let mut routes = Router::new();
    for &File { path, kind, bytes } in files {
        routes = routes.route(
            path,
            get(move || async move { answer(kind, bytes, policy) }),
        );
    }
    routes
}

struct File {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

fn answer(kind: &'static str, bytes: &'static [u8], policy: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Another version of the server has other pages.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (headers, bytes).into_response()
}

macro_rules! files {
    ($($path:literal $kind:ident $file:literal)+) => {
        &[$(File {
            path: $path,
            kind: $kind,
            bytes: include_bytes!(concat!("../static/", $file)),
        }),+]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml; charset=utf-8";

const FILES: &[File] = files! {
    "/" HTML "call.html"
    "/call.css" STYLE "call.css"
    "/call.js" SCRIPT "call.js"
    "/chat.css" STYLE "chat.css"
    "/chat.js" SCRIPT "chat.js"
    "/door.css" STYLE "door.css"
    "/door.js" SCRIPT "door.js"
    "/own-media.js" SCRIPT "own-media.js"
    "/statistics.js" SCRIPT "statistics.js"
    "/synthetic.js" SCRIPT "synthetic.js"
    "/tiles.js" SCRIPT "tiles.js"
    "/test" HTML "test.html"
    "/test.css" STYLE "test.css"
    "/test.js" SCRIPT "test.js"
    "/addresses.js" SCRIPT "addresses.js"
    "/examination.js" SCRIPT "examination.js"
    "/findings.js" SCRIPT "findings.js"
    "/gathering.js" SCRIPT "gathering.js"
    "/ice-servers.js" SCRIPT "ice-servers.js"
    "/judging.js" SCRIPT "judging.js"
    "/knocking.js" SCRIPT "knocking.js"
    "/loop.js" SCRIPT "loop.js"
    "/network.js" SCRIPT "network.js"
    "/report.js" SCRIPT "report.js"
    "/turn-uri.js" SCRIPT "turn-uri.js"
    "/verdict.js" SCRIPT "verdict.js"
    "/base.css" STYLE "base.css"
    "/icon.svg" PICTURE "icon.svg"
    "/hairpin-call.js" SCRIPT "hairpin-call.js"
    "/hairpin-files.js" SCRIPT "hairpin-files.js"
};

const DASHBOARD: &[File] = files! {
    "/" HTML "dashboard/dashboard.html"
    "/dashboard.css" STYLE "dashboard/dashboard.css"
    "/dashboard.js" SCRIPT "dashboard/dashboard.js"
    "/chart.js" SCRIPT "dashboard/chart.js"
    "/elements.js" SCRIPT "dashboard/elements.js"
    "/format.js" SCRIPT "dashboard/format.js"
    "/quality.js" SCRIPT "dashboard/quality.js"
    "/stream.js" SCRIPT "dashboard/stream.js"
    "/talkers.js" SCRIPT "dashboard/talkers.js"
    "/base.css" STYLE "base.css"
    "/icon.svg" PICTURE "icon.svg"
};

/// Nothing comes from elsewhere, and nothing that stands within a page is run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self' ws: wss:; \
     form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The dashboard speaks to its own server, and to nothing else.
const DASHBOARD_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: &File) -> &'static str {
        std::str::from_utf8(file.bytes).expect("pages are text")
    }

    #[test]
    fn pages_have_nothing_within_them_that_their_policy_forbids() {
        let all = FILES.iter().chain(DASHBOARD);
        for page in all.filter(|file| file.kind == HTML) {
            let text = text(page);
            for forbidden in ["<style", " style=", "<script>", " onclick=", "://"] {
                assert!(!text.contains(forbidden), "{}: {forbidden}", page.path);
            }
        }
    }

    #[test]
    fn every_page_says_that_a_part_has_not_come_until_its_script_runs() {
        let all = FILES.iter().chain(DASHBOARD);
        for page in all.filter(|file| file.kind == HTML) {
            let said = "<body>\n<p id=\"unfinished\" class=\"mistake\">";
            assert!(text(page).contains(said), "{}", page.path);
        }
    }

    #[test]
    fn every_file_that_a_page_or_a_module_names_is_served() {
        let sites = [FILES, DASHBOARD];
        let all = sites
            .iter()
            .flat_map(|site| site.iter().map(|file| (*site, file)));
        for (site, file) in all {
            let parts = text(file).split('"').zip(text(file).split('"').skip(1));
            let named = parts.filter_map(|(before, name)| {
                let is_import = before.ends_with(" from ") || before.ends_with("import ");
                let is_link = before.ends_with(" href=") || before.ends_with(" src=");
                let is_file = (is_import || is_link) && !name.starts_with('#');
                is_file.then(|| name.trim_start_matches("./"))
            });
            for name in named {
                let is_served = |other: &File| other.path.trim_start_matches('/') == name;
                assert!(site.iter().any(is_served), "{}: {name}", file.path);
            }
        }
    }
}
