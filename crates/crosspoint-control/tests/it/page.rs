//! The page.

use crate::common::*;
use crosspoint::HubOptions;
use crosspoint_control::ControlOptions;

const HEADERS: [(&str, &str); 6] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
];

#[tokio::test]
async fn the_page_may_run_its_own_scripts_and_nothing_else_and_needs_no_token() {
    let served = serve(HubOptions::default(), closed());
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/control/", "text/html; charset=utf-8"),
        ("/control/index.html?v=1", "text/html; charset=utf-8"),
        ("/control/app.js", "text/javascript; charset=utf-8"),
        ("/control/style.css", "text/css; charset=utf-8"),
        ("/control/icon.svg", "image/svg+xml"),
    ] {
        let answer = served.ask("GET", path, "").await;
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some(kind)), "{path}");
        for (name, value) in HEADERS {
            assert_eq!(answer.header(name), Some(value), "{path} {name}");
        }
        let tag = answer.header("ETag").unwrap();
        for (tags, status) in
            [(tag.to_owned(), 304), (format!("\"x\", W/{tag}"), 304), ("\"x\"".to_owned(), 200)]
        {
            let again = served.ask("GET", path, &format!("If-None-Match: {tags}\r\n")).await;
            assert_eq!(again.status, status, "{path} {tags}");
            assert_eq!(again.header("ETag"), Some(tag));
        }
    }
    let moved = served.ask("GET", "/control", "").await;
    assert_eq!((moved.status, moved.header("Location")), (308, Some("/control/")));
    for path in ["/control/none.js", "/control/../Cargo.toml", "/control/%2e%2e/Cargo.toml"] {
        assert_eq!(served.ask("GET", path, "").await.status, 404, "{path}");
    }
    assert_eq!(served.ask("POST", "/control/", "").await.status, 405);
}

#[tokio::test]
async fn the_root_may_be_for_something_else() {
    let options = ControlOptions { page_at_root: false, ..usual() };
    let served = serve(HubOptions::default(), options);
    assert_eq!(served.ask("GET", "/", "").await.status, 404);
    assert_eq!(served.ask("GET", "/control/", "").await.status, 200);
}
