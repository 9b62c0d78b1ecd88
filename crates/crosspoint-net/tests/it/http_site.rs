//! Who answers which path: our pages, an embedder's routes, files, the bundle.

use crate::common::http::{Answer, ask, get, serve_http};
use crate::common::{Dice, Served};
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::routing::{any, get as on_get};
use crosspoint_hub::PeerId;
use crosspoint_net::http::{
    BUNDLE_PATH, FileOptions, Files, FilesError, HeaderValue, HttpOptions, MetricsToken,
};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;

/// A directory with `secret.txt`, and files that may be seen in `public` next to it.
fn house() -> TempDir {
    let house = tempfile::tempdir().expect("a directory");
    let write = |path: &str, bytes: &[u8]| {
        let path = house.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    };
    write("secret.txt", b"secret\n");
    write("public2/secret.txt", b"secret\n");
    write("public/index.html", "<html>h\u{e9}llo</html>".as_bytes());
    write("public/a.png", &image());
    write("public/empty.bin", b"");
    write("public/b c.js", b"let b;\n");
    write("public/deep/er/notes.txt", b"notes\n");
    write("public/deep/index.html", b"deep\n");
    house
}

/// Every byte in every neighbourhood, and more than one read.
fn image() -> Vec<u8> {
    let mut dice = Dice(7);
    [(0..=255).collect(), dice.bytes(300_000)].concat()
}

fn files(prefix: &str, directory: &Path) -> Files {
    Files::new(prefix, directory).expect("a prefix and a directory")
}

fn serve_files(house: &TempDir) -> Served {
    let files = vec![files("/static", &house.path().join("public"))];
    let node_id = Some(PeerId::new([0x5e; 16]));
    serve_http(HttpOptions { files, node_id, ..HttpOptions::default() })
}

/// Asks on a connection of its own.
async fn fetch(served: &Served, request: &str) -> Answer {
    let answer = ask(&mut served.tcp().await, request).await;
    let id = answer.header("ANYSOCKET-ID");
    assert!(id == Some(&*"5e".repeat(16)) || answer.status == 400, "{answer:?}");
    answer
}

fn with(path: &str, lines: &str) -> String {
    get(path).replace("Host", &format!("{lines}\r\nHost"))
}

#[tokio::test]
async fn files_arrive_as_they_are_with_their_type_ranges_and_conditions() {
    let house = house();
    let served = serve_files(&house);
    let image = image();
    let whole = fetch(&served, &get("/static/a.png")).await;
    assert_eq!((whole.status, whole.header("Content-Type")), (200, Some("image/png")));
    assert_eq!(whole.header("X-Content-Type-Options"), Some("nosniff"));
    assert!(whole.body == image);

    let head = fetch(&served, &get("/static/a.png").replace("GET", "HEAD")).await;
    for name in ["Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges"] {
        assert!(head.header(name).is_some_and(|value| whole.header(name) == Some(value)), "{name}");
    }
    let part = fetch(&served, &with("/static/a.png", "Range: bytes=250-259")).await;
    assert_eq!((part.status, &part.body[..]), (206, &image[250..260]));
    assert_eq!(part.header("Content-Range"), Some("bytes 250-259/300256"));
    let beyond = fetch(&served, &with("/static/a.png", "Range: bytes=400000-")).await;
    assert_eq!(beyond.status, 416);
    let etag = format!("If-None-Match: {}", whole.header("ETag").expect("a tag"));
    assert_eq!(fetch(&served, &with("/static/a.png", &etag)).await.status, 304);

    for (path, kind, body) in [
        ("/static/", "text/html; charset=utf-8", "<html>h\u{e9}llo</html>"),
        ("/static/index.html?v=1", "text/html; charset=utf-8", "<html>h\u{e9}llo</html>"),
        ("/static/b%20c.js", "text/javascript; charset=utf-8", "let b;\n"),
        ("/static/deep/", "text/html; charset=utf-8", "deep\n"),
        ("/static/deep/er/notes.txt", "text/plain; charset=utf-8", "notes\n"),
        ("/static/empty.bin", "application/octet-stream", ""),
    ] {
        let answer = fetch(&served, &get(path)).await;
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some(kind)), "{path}");
        assert_eq!(answer.body, body.as_bytes(), "{path}");
    }
    for (path, place) in [("/static", "/static/"), ("/static//deep", "/static/deep/")] {
        let answer = fetch(&served, &get(path)).await;
        assert_eq!((answer.status, answer.header("Location")), (307, Some(place)));
    }
    for missing in ["/static/none", "/static/a.png/", "/static/a.png/x", "/static/deep/er/"] {
        assert_eq!(fetch(&served, &get(missing)).await.status, 404, "{missing}");
    }
    let post = "POST /static/a.png HTTP/1.1\r\nHost: hub\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(fetch(&served, post).await.status, 405);
}

#[tokio::test]
async fn what_is_no_file_is_not_opened_as_a_pipe_would_hold_a_thread() {
    let house = house();
    let pipe = house.path().join("public/pipe.js");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let files = vec![files("/static", &house.path().join("public"))];
    let anysocket_bundle = Some(pipe);
    let served = serve_http(HttpOptions { files, anysocket_bundle, ..HttpOptions::default() });
    for path in ["/static/pipe.js", "/static/pipe.js?a", BUNDLE_PATH] {
        for request in [get(path), get(path).replace("GET", "HEAD")] {
            let asked = ask(&mut served.tcp().await, &request).await;
            assert_eq!(asked.status, 404, "{request}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_swapped_with_a_pipe_while_it_is_asked_for_holds_nothing() {
    let house = house();
    let at = |name: &str| house.path().join("public").join(name);
    fs::write(at("file"), b"x").expect("a file");
    assert!(Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo").success());
    let served = serve_files(&house);
    let over = Arc::new(AtomicBool::new(false));
    let swap = {
        let (over, public) = (over.clone(), house.path().join("public"));
        std::thread::spawn(move || {
            for to in ["file", "pipe"].into_iter().cycle() {
                symlink(to, public.join("next")).expect("a link");
                fs::rename(public.join("next"), public.join("swapped")).expect("its place");
                if over.load(Ordering::Relaxed) {
                    return;
                }
            }
        })
    };
    let mut link = served.tcp().await;
    let asked = async {
        let mut seen = [0; 2];
        for _ in 0..1000 {
            match ask(&mut link, &get("/static/swapped")).await.status {
                200 => seen[0] += 1,
                404 => seen[1] += 1,
                status => panic!("{status}"),
            }
        }
        seen
    };
    let seen = tokio::time::timeout(Duration::from_secs(60), asked).await;
    over.store(true, Ordering::Relaxed);
    swap.join().expect("no panic");
    // What hangs, if anything, ends when somebody writes.
    let writer = fs::OpenOptions::new().read(true).write(true).open(at("pipe")).expect("a pipe");
    let seen = seen.expect("no answer is missing");
    drop(writer);
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[tokio::test]
async fn a_file_of_any_date_is_served_without_one_where_http_has_none() {
    let house = house();
    let served = serve_files(&house);
    let day = Duration::from_secs(86_400);
    let year_10000 = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    for (date, is_told) in [
        (UNIX_EPOCH - day, false),
        (UNIX_EPOCH - Duration::from_nanos(1), false),
        (UNIX_EPOCH, true),
        (year_10000 - day, true),
        (year_10000, false),
    ] {
        let file = fs::File::create(house.path().join("public/old")).expect("a file");
        file.set_modified(date).expect("a date");
        // Where the file system has no such date, nothing is to be tried.
        let is_kept = file.metadata().and_then(|found| found.modified()).expect("a date") == date;
        for method in ["GET", "HEAD"] {
            let asked = get("/static/old").replace("GET", method);
            let answer = fetch(&served, &asked).await;
            assert_eq!(answer.status, 200, "{date:?}");
            if is_kept {
                let told = ["Last-Modified", "ETag"].map(|name| answer.header(name).is_some());
                assert_eq!(told, [is_told; 2], "{date:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_part_is_sent_where_it_is_meant_and_the_whole_file_otherwise() {
    let house = house();
    fs::write(house.path().join("public/ten"), b"0123456789").expect("a file");
    let served = serve_files(&house);
    let whole = fetch(&served, &get("/static/ten")).await;
    let header = |name| whole.header(name).expect("a header").to_owned();
    let (tag, date) = (header("ETag"), header("Last-Modified"));
    let tagged = |tag: &str| format!("bytes=2-3\r\nIf-Range: {tag}");
    let part = |text: &'static str, told: &'static str| (206, text, Some(told));
    let all = (200, "0123456789", None);
    let beyond = (416, "", Some("bytes */10"));
    for (range, (status, body, told)) in [
        ("bytes=2-3", part("23", "bytes 2-3/10")),
        ("BYTES=2-3", part("23", "bytes 2-3/10")),
        ("bytes=8-99", part("89", "bytes 8-9/10")),
        ("bytes=8-", part("89", "bytes 8-9/10")),
        ("bytes=-2", part("89", "bytes 8-9/10")),
        ("bytes=-10", part("0123456789", "bytes 0-9/10")),
        ("bytes=10-", beyond),
        ("bytes=10-20", beyond),
        ("bytes=-0", beyond),
        // A file that is shorter than what is asked for of its end.
        ("bytes=-11", all),
        // Other units, several parts, and what is none.
        ("lines=1-2", all),
        ("bytes", all),
        ("bytes=", all),
        ("bytes=a-b", all),
        ("bytes=5-2", all),
        ("bytes=0-1,4-5", all),
        // The file has changed, or that cannot be told.
        (&tagged(&tag), part("23", "bytes 2-3/10")),
        (&tagged("\"other\""), all),
        (&tagged(&format!("W/{tag}")), all),
        (&tagged(&date), all),
    ] {
        let answer = fetch(&served, &with("/static/ten", &format!("Range: {range}"))).await;
        assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()), "{range}");
        assert_eq!(answer.header("Content-Range"), told, "{range}");
        let length = body.len().to_string();
        assert_eq!(answer.header("Content-Length"), Some(&*length), "{range}");
    }
    for range in ["bytes=0-0", "bytes=0-", "bytes=5-", "bytes=-1"] {
        let answer = fetch(&served, &with("/static/empty.bin", &format!("Range: {range}"))).await;
        assert_eq!((answer.status, answer.header("Content-Range")), (200, None), "{range}");
    }
    let head = with("/static/ten", "Range: bytes=2-3").replace("GET", "HEAD");
    let head = fetch(&served, &head).await;
    assert_eq!((head.status, head.header("Content-Length")), (200, Some("10")));
}

#[tokio::test]
async fn a_file_is_served_as_it_is_where_what_is_compressed_is_no_file() {
    let house = house();
    let public = house.path().join("public");
    fs::create_dir(public.join("b c.js.br")).expect("a directory");
    assert!(Command::new("mkfifo").arg(public.join("b c.js.zst")).status().expect("it").success());
    let file_options = FileOptions { precompressed: true, ..FileOptions::default() };
    let files = vec![files("/", &public)];
    let served = serve_http(HttpOptions { files, file_options, ..HttpOptions::default() });
    for coding in ["br", "zstd", "br, zstd"] {
        let asked = with("/b%20c.js", &format!("Accept-Encoding: {coding}"));
        for (method, body) in [("GET", &b"let b;\n"[..]), ("HEAD", b"")] {
            let answer = ask(&mut served.tcp().await, &asked.replace("GET", method)).await;
            assert_eq!((answer.status, &answer.body[..]), (200, body), "{method} {coding}");
            assert_eq!(answer.header("Content-Encoding"), None);
            assert_eq!(answer.header("Content-Length"), Some("7"), "{method} {coding}");
        }
    }
}

#[tokio::test]
async fn no_path_leads_out_of_a_directory() {
    let house = house();
    let served = serve_files(&house);
    let secret = house.path().join("secret.txt");
    let secret = secret.to_str().expect("a path of text");
    let long = "x".repeat(5000);
    for path in [
        "/static/../secret.txt",
        "/static/deep/../../secret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/.%2E/secret.txt",
        "/static/..%2fsecret.txt",
        "/static/deep%2f..%2f..%2fsecret.txt",
        "/static/%252e%252e/secret.txt",
        "/static/..\\secret.txt",
        "/static/..%5csecret.txt",
        "/static../secret.txt",
        "/static2/secret.txt",
        "/static/%2e%2e%2fpublic2/secret.txt",
        "/../secret.txt",
        "//secret.txt",
        "/static%2f..%2fsecret.txt",
        "/static/..;/secret.txt",
        "/static/\u{ff0e}\u{ff0e}/secret.txt",
        "/static/a.png%00",
        "/static/%00",
        "/static/../secret.txt%00.png",
        "/static/%ff%fe",
        "/static/%",
        "/static/%zz",
        &format!("/static/{secret}"),
        &format!("/static/{}", secret.replace('/', "%2f")),
        &format!("/static/{long}"),
        &format!("http://hub/static/../{secret}"),
        "file:///static/../secret.txt",
        "*",
    ] {
        for method in ["GET", "HEAD"] {
            let answer = fetch(&served, &get(path).replace("GET", method)).await;
            assert!([400, 404].contains(&answer.status), "{method} {path}: {answer:?}");
        }
    }
    for raw in ["/static/a.png\0", "/static/\u{7f}", "relative/../secret.txt", ""] {
        assert_eq!(fetch(&served, &get(raw)).await.status, 400, "{raw:?}");
    }
    let mut link = served.tcp().await;
    let parts = [
        "..",
        "%2e%2e",
        "%2f",
        "/",
        "\\",
        "%5c",
        "%00",
        "static",
        ".",
        "%2E",
        "secret.txt",
        "public2",
        "public",
        "deep",
        "%252e",
        ";",
        "?",
        "//",
    ];
    let mut dice = Dice(11);
    for _ in 0..2000 {
        let tail = (0..dice.below(9)).map(|_| parts[dice.below(parts.len())]);
        let path = format!("/static/{}", tail.collect::<String>());
        let answer = ask(&mut link, &get(&path)).await;
        assert!([200, 307, 404].contains(&answer.status), "{path}: {answer:?}");
        assert!(answer.body != "secret\n", "{path}");
    }
}

#[tokio::test]
async fn the_longest_prefix_is_taken_and_the_root_may_be_one() {
    let house = house();
    let at = |path: &str| house.path().join(path);
    let served = serve_http(HttpOptions {
        files: vec![files("/", &at("public")), files("/deep/@er/", &at("public/deep/er"))],
        ..HttpOptions::default()
    });
    let mut link = served.tcp().await;
    for (path, status, body) in [
        ("/", 200, "<html>h\u{e9}llo</html>"),
        ("/deep/", 200, "deep\n"),
        ("/deep/@er/notes.txt", 200, "notes\n"),
        ("/deep/@er/index.html", 404, ""),
        ("/deep/er/notes.txt", 200, "notes\n"),
        ("/health", 200, "ok\n"),
        ("/../secret.txt", 404, ""),
    ] {
        let answer = ask(&mut link, &get(path)).await;
        assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()), "{path}");
    }
    // A redirect stays on this host.
    let answer = ask(&mut link, &get("//deep")).await;
    assert_eq!((answer.status, answer.header("Location")), (307, Some("/deep/")));
}

#[test]
fn a_wrong_prefix_or_directory_is_named_at_once() {
    let house = house();
    for prefix in ["", "static", "//", "/a//b", "/../x", "/a/.", "/a?b", "/a%20b", "/{x}", "/a b"] {
        let error = Files::new(prefix, house.path()).expect_err(prefix);
        assert!(matches!(&error, FilesError::Prefix { prefix: told } if told == prefix), "{error}");
    }
    for directory in [house.path().join("none"), house.path().join("secret.txt")] {
        let error = Files::new("/", &directory).expect_err("no directory");
        assert!(error.to_string().contains(directory.to_str().expect("text")), "{error}");
    }
}

#[tokio::test]
async fn our_pages_come_first_unless_they_are_off_then_routes_then_files() {
    let house = house();
    let theirs = Router::new()
        .route("/health", any(async || "theirs"))
        .route("/metrics", any(async || "theirs"))
        .route("/static/a.png", on_get(async || "route"))
        .fallback(async |request: Request| format!("fallback {}", request.uri().path()));
    let routes = Some(theirs);
    let options = HttpOptions { metrics: false, routes, ..HttpOptions::default() };
    let served = serve_http(options.clone());
    let mut link = served.tcp().await;
    for (path, body) in [
        ("/health", "ok\n"),
        ("/metrics", "theirs"),
        ("/", "fallback /"),
        ("/@anysocket", "fallback /@anysocket"),
    ] {
        assert_eq!(ask(&mut link, &get(path)).await.body, body, "{path}");
    }
    let files = vec![files("/static", &house.path().join("public"))];
    let served = serve_http(HttpOptions { files, ..options });
    let mut link = served.tcp().await;
    assert_eq!(ask(&mut link, &get("/static/a.png")).await.body, "route");
    assert_eq!(ask(&mut link, &get("/static/deep/")).await.body, "deep\n");
    assert_eq!(ask(&mut link, &get("/none")).await.status, 404);
}

#[tokio::test]
async fn a_handler_knows_where_its_client_is() {
    let from = |ConnectInfo(from): ConnectInfo<SocketAddr>| async move { from.to_string() };
    let routes = Some(Router::new().route("/from", on_get(from)));
    let served = serve_http(HttpOptions { routes, ..HttpOptions::default() });
    let seen = ask(&mut served.tcp().await, &get("/from")).await.body;
    let seen: SocketAddr = std::str::from_utf8(&seen).expect("text").parse().expect("an address");
    assert!(seen.ip().is_loopback());
    assert_ne!(seen.port(), served.address.port());
    // Inside the program there is none.
    assert_eq!(ask(&mut served.memory(), &get("/from")).await.status, 500);
}

#[tokio::test]
async fn files_with_a_dot_are_served_where_that_is_wanted() {
    let house = house();
    for path in [".env", "deep/.git/config", ".well-known/acme", ".well-known/.x"] {
        let path = house.path().join("public").join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, b"dotted").expect("a file");
    }
    for wanted in [false, true] {
        let files = vec![files("/", &house.path().join("public"))];
        let file_options = FileOptions { dot_files: wanted, ..FileOptions::default() };
        let served = serve_http(HttpOptions { files, file_options, ..HttpOptions::default() });
        let hidden = if wanted { 200 } else { 404 };
        for (path, status) in [
            ("/.env", hidden),
            ("/%2eenv", hidden),
            ("/%2Eenv", hidden),
            ("//.env", hidden),
            ("/deep/.git/config", hidden),
            ("/deep%2f.git/config", hidden),
            ("/.well-known/.x", hidden),
            ("/.well-known/acme", 200),
            ("/deep/er/notes.txt", 200),
        ] {
            let answer = ask(&mut served.tcp().await, &get(path)).await;
            assert_eq!(answer.status, status, "{path}, wanted: {wanted}");
        }
    }
}

#[tokio::test]
async fn files_are_described_and_compressed_as_wanted() {
    let house = house();
    fs::write(house.path().join("public/b c.js.gz"), b"zipped").expect("a file");
    let file_options = FileOptions {
        cache_control: Some(HeaderValue::from_static("max-age=60")),
        isolated: true,
        readable_from: Some(HeaderValue::from_static("*")),
        precompressed: true,
        ..FileOptions::default()
    };
    let files = vec![files("/", &house.path().join("public"))];
    let served = serve_http(HttpOptions { files, file_options, ..HttpOptions::default() });
    let answer = ask(&mut served.tcp().await, &with("/b%20c.js", "Accept-Encoding: gzip")).await;
    assert_eq!(
        (&answer.body[..], answer.header("Content-Encoding")),
        (&b"zipped"[..], Some("gzip"))
    );
    for (name, value) in [
        ("Cache-Control", "max-age=60"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Embedder-Policy", "require-corp"),
        ("Access-Control-Allow-Origin", "*"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    let answer = ask(&mut served.tcp().await, &get("/b%20c.js")).await;
    assert_eq!((&answer.body[..], answer.header("Content-Encoding")), (&b"let b;\n"[..], None));
    let missing = ask(&mut served.tcp().await, &get("/missing")).await;
    assert_eq!((missing.status, missing.header("Cache-Control")), (404, None));
}

#[tokio::test]
async fn metrics_may_need_a_token() {
    let metrics_token = Some(MetricsToken::new("open sesame"));
    let served = serve_http(HttpOptions { metrics_token, ..HttpOptions::default() });
    for (lines, status) in [
        ("A: b", 401),
        ("Authorization: Basic open sesame", 401),
        ("Authorization: Bearer open", 401),
        ("Authorization: Bearer open sesame", 200),
        ("Authorization: bearer open sesame", 200),
    ] {
        let answer = ask(&mut served.tcp().await, &with("/metrics", lines)).await;
        assert_eq!(answer.status, status, "{lines}");
    }
    assert_eq!(ask(&mut served.tcp().await, &get("/health")).await.status, 200);
}
