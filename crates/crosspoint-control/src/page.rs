//! The page: its files, which are in the program.

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use sha1::{Digest, Sha1};
use std::sync::LazyLock;

/// The files of the page, in `page/`: a line for each.
macro_rules! files {
    ($($name:literal: $kind:ident,)*) => {
        static FILES: LazyLock<Vec<File>> = LazyLock::new(|| vec![$(
            File::new($name, Kind::$kind, include_bytes!(concat!("../page/", $name))),
        )*]);
    };
}

files! {
    "api.js": Script,
    "app.js": Script,
    "cells.js": Script,
    "channel.js": Script,
    "channel_key.js": Script,
    "channels.js": Script,
    "chart.js": Script,
    "clock.js": Script,
    "dom.js": Script,
    "ending.js": Script,
    "ends.js": Script,
    "events.js": Script,
    "format.js": Script,
    "frame.css": Style,
    "history.js": Script,
    "icon.svg": Svg,
    "index.html": Html,
    "kept.js": Script,
    "list.js": Script,
    "lists.css": Style,
    "live.js": Script,
    "log.js": Script,
    "login.js": Script,
    "msgpack.js": Script,
    "names.js": Script,
    "native.js": Script,
    "native_frames.js": Script,
    "notices.js": Script,
    "overview.js": Script,
    "pager.js": Script,
    "question.js": Script,
    "route.js": Script,
    "said.js": Script,
    "scale.js": Script,
    "services.js": Script,
    "session.js": Script,
    "sessions.js": Script,
    "style.css": Style,
    "table.js": Script,
    "talk.js": Script,
    "talk_form.js": Script,
    "theme.js": Script,
    "theme_switch.js": Script,
    "views.css": Style,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Html,
    Script,
    Style,
    Svg,
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Script => "text/javascript; charset=utf-8",
            Self::Style => "text/css; charset=utf-8",
            Self::Svg => "image/svg+xml",
        }
    }
}

/// A file of the page.
#[derive(Debug)]
struct File {
    name: &'static str,
    kind: Kind,
    bytes: &'static [u8],
    /// Names the content.
    tag: HeaderValue,
}

/// What the page may do: run its own scripts and ask its own server, and nothing else. It makes no HTML of any text, and
/// the browser sees to it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

impl File {
    fn new(name: &'static str, kind: Kind, bytes: &'static [u8]) -> Self {
        let digest = Sha1::digest(bytes);
        let tag: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{tag}\""));
        Self { name, kind, bytes, tag: tag.expect("hexadecimal digits can stand in a header") }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        let mut known = known.flat_map(|tags| tags.split(','));
        let is_known = known.any(|tag| tag.trim().trim_start_matches("W/") == self.tag);
        let fixed = HeaderValue::from_static;
        let common = [
            (ETAG, self.tag.clone()),
            (CACHE_CONTROL, fixed("no-cache")),
            (CONTENT_SECURITY_POLICY, fixed(POLICY)),
            (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (REFERRER_POLICY, fixed("no-referrer")),
            (OPENER_POLICY, fixed("same-origin")),
            (RESOURCE_POLICY, fixed("same-origin")),
        ];
        match is_known {
            true => (StatusCode::NOT_MODIFIED, common).into_response(),
            false => {
                let kind = fixed(self.kind.content_type());
                (common, [(CONTENT_TYPE, kind)], self.bytes).into_response()
            }
        }
    }
}

/// Where the page is served, and at `/` if that is wanted.
pub(crate) fn routes(at_root: bool) -> Router {
    let index = |headers: HeaderMap| async move { file("index.html", &headers) };
    let named = |Path(name): Path<String>, headers: HeaderMap| async move { file(&name, &headers) };
    let routes = Router::new()
        .route("/control", get(|| async { Redirect::permanent("/control/") }))
        .route("/control/", get(index))
        .route("/control/{*name}", get(named));
    if at_root { routes.route("/", get(index)) } else { routes }
}

fn file(name: &str, headers: &HeaderMap) -> Response {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => file.answer(headers),
        None => (StatusCode::NOT_FOUND, "There is nothing here.\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
        let files = std::fs::read_dir(folder).unwrap();
        let there: BTreeSet<_> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(there, FILES.iter().map(|file| file.name.to_owned()).collect());
    }

    /// What a page asks for by name: the targets of links and imports.
    #[test]
    fn the_page_names_nothing_that_is_not_there() {
        for file in FILES.iter() {
            let text = std::str::from_utf8(file.bytes).unwrap();
            let paths = text.split("\"/control/").skip(1);
            let imports = text.split("from './").skip(1);
            for named in paths.chain(imports) {
                let name = named.split(['"', '\'']).next().unwrap();
                assert!(FILES.iter().any(|other| other.name == name), "{}: {name}", file.name);
            }
        }
    }
}
