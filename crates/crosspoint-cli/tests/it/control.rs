//! The control center of the program.

use crate::common::*;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The answer to a request with these headers.
fn ask(port: &str, path: &str, headers: &str) -> String {
    let mut stream = connect(port);
    write!(stream, "GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn with_token(token: &str) -> String {
    format!("Host: hub.example\r\nAuthorization: Bearer {token}\r\n")
}

fn start(arguments: &[&str]) -> Running {
    Running::start(&mut program(&[&["serve"], arguments].concat()))
}

#[test]
fn the_hub_shows_itself_to_its_own_machine_and_says_where() {
    let mut hub = start(&["--listen", "127.0.0.1:0"]);
    let port = hub.wait_for("listening on 127.0.0.1:");
    let url = hub.wait_for("control center: http://127.0.0.1:");
    assert_eq!(url, format!("{port}/"));
    // Nobody else can come here, so there is no token.
    assert_eq!(hub.wait_for("control access: "), "this machine, without a token");
    assert!(hub.wait_for("Try, in other").starts_with(" terminals"));
    let page = ask(&port, "/", "Host: hub.example\r\n");
    assert!(page.contains("text/html") && page.contains("Content-Security-Policy"), "{page}");
    assert_eq!(status(&ask(&port, "/api/v1/hub", "Host: localhost\r\n")), 200);
    let refused = ask(&port, "/api/v1/hub", "Host: hub.example\r\n");
    assert_eq!(status(&refused), 401, "{refused}");
    assert!(ask(&port, "/health", "Host: hub.example\r\n").ends_with("ok\n"));
}

#[test]
fn a_hub_that_others_can_reach_prints_a_token_of_this_run() {
    // Others come through a trusted proxy, too.
    let through_proxy = &["--listen", "127.0.0.1:0", "--trusted-proxies", "127.0.0.1"];
    for arguments in [&["--listen", "0.0.0.0:0"][..], through_proxy] {
        let mut hub = start(arguments);
        let address = hub.wait_for("listening on ");
        let (_, port) = address.rsplit_once(':').unwrap();
        hub.wait_for("control center: http://127.0.0.1:");
        let here = "this machine by a loopback address without a token, all others with the token";
        let access = if arguments.len() == 2 { here } else { "with the token" };
        assert_eq!(hub.wait_for("control access: "), access);
        let line = hub.wait_for("control token: ");
        let (token, said) = line.split_once(' ').unwrap();
        assert_eq!((token.len(), said), (32, "(of this run; control.token_file keeps one)"));
        assert_eq!(status(&ask(port, "/api/v1/hub", &with_token(token))), 200);
        assert_eq!(status(&ask(port, "/api/v1/hub", &with_token("0123456789abcdef"))), 401);
    }
}

#[test]
fn a_file_of_the_token_is_made_once_and_read_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let arguments = ["--listen", "127.0.0.1:0", "--control-token-file", path.to_str().unwrap()];
    let checked = program(&["config", "--control-token-file", path.to_str().unwrap()]).output();
    assert!(checked.unwrap().status.success() && !path.exists(), "a check makes nothing");
    let mut hub = start(&arguments);
    let port = hub.wait_for("listening on 127.0.0.1:");
    let token = hub.wait_for("control token: ");
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(token, format!("{} (written to {})", written.trim(), path.display()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(status(&ask(&port, "/api/v1/hub", &with_token(written.trim()))), 200);
    drop(hub);
    let mut hub = start(&arguments);
    let port = hub.wait_for("listening on 127.0.0.1:");
    // It is not printed again.
    assert_eq!(hub.wait_for("control token: "), format!("in {}", path.display()));
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    assert_eq!(status(&ask(&port, "/api/v1/hub", &with_token(written.trim()))), 200);
}

#[test]
fn what_is_wrong_with_the_token_is_said_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("short");
    fs::write(&short, "too-short\n").unwrap();
    let nowhere = Path::new("/nowhere/at/all");
    for (arguments, expected) in [
        (vec!["--control-token", "too-short"], "control.token: a token has at least 16"),
        (vec!["--control-token-file", short.to_str().unwrap()], "a token has at least 16"),
        (
            vec!["--control-token-file", "x", "--control-token", "0123456789abcdef"],
            "there is one token of the control center",
        ),
        (vec!["--control-viewers-max", "1001"], "control.viewers_max"),
        (vec!["--control-access", "everybody"], "control.access"),
    ] {
        let output = program(&[&["config"], &arguments[..]].concat()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(!said.contains("too-short") && !said.contains("0123456789abcdef"), "{said}");
    }
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--control-token-file", nowhere.to_str().unwrap()];
    let output = program(&arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("control.token_file: /nowhere/at/all: No such file"), "{said}");
    // A token is not shown with the settings.
    let output = program(&["config", "--control-token", "0123456789abcdef"]).output().unwrap();
    assert!(!String::from_utf8(output.stdout).unwrap().contains("0123456789abcdef"));
}

#[test]
fn without_the_control_center_there_is_nothing_of_it() {
    let mut hub = start(&["--listen", "127.0.0.1:0", "--control=false"]);
    let port = hub.wait_for("listening on 127.0.0.1:");
    assert!(ask(&port, "/", "Host: localhost\r\n").contains("This is a Crosspoint hub."));
    for path in ["/control/", "/api/v1/hub", "/api/v1/access"] {
        assert_eq!(status(&ask(&port, path, "Host: localhost\r\n")), 404, "{path}");
    }
}

#[test]
fn files_at_the_root_stay_there_and_the_page_is_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.html"), "the game\n").unwrap();
    let root = format!("/={}", folder.path().display());
    let mut hub = start(&["--listen", "127.0.0.1:0", "--http-files", &root]);
    let port = hub.wait_for("listening on 127.0.0.1:");
    assert_eq!(hub.wait_for("control center: http://127.0.0.1:"), format!("{port}/control/"));
    assert!(ask(&port, "/", "Host: localhost\r\n").ends_with("the game\n"));
    assert!(ask(&port, "/control/", "Host: localhost\r\n").contains("Content-Security-Policy"));
    assert_eq!(status(&ask(&port, "/api/v1/hub", "Host: localhost\r\n")), 200);
    assert_eq!(status(&ask(&port, "/nothing", "Host: localhost\r\n")), 404);
}

#[test]
fn with_access_token_nobody_is_let_in_without_it() {
    let token = "a-token-of-the-tests";
    let settings = ["--listen", "127.0.0.1:0", "--control-access", "token"];
    let mut hub = start(&[&settings[..], &["--control-token", token]].concat());
    let port = hub.wait_for("listening on 127.0.0.1:");
    assert_eq!(status(&ask(&port, "/api/v1/hub", "Host: localhost\r\n")), 401);
    assert_eq!(status(&ask(&port, "/api/v1/hub", &with_token(token))), 200);
    assert_eq!(hub.wait_for("control access: "), "with the token");
    assert_eq!(hub.wait_for("control token: "), "that of control.token");
    // Without one in the settings there is one of this run.
    let mut hub = start(&settings);
    assert!(hub.wait_for("control token: ").ends_with("keeps one)"));
}
