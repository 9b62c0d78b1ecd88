//! The program as its user sees it.

use crate::common::{PATIENT, Running, connect, get, hub, output_with_input, program};
use crosspoint::{ChannelOptions, Node};
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use tokio::runtime::Builder;

#[test]
fn two_people_chat_over_tcp_and_websocket() {
    let (_hub, port) = hub(&[]);
    let chat = |name: &str, scheme: &str| {
        let address = format!("{scheme}://127.0.0.1:{port}");
        Running::start(&mut program(&[
            "chat", "--room", "lobby", "--name", name, "--hub", &address,
        ]))
    };
    let mut ann = chat("Ann", "tcp");
    ann.wait_for("you are in lobby");
    let mut bob = chat("Bob", "ws");
    bob.wait_for("Ann is here");
    ann.wait_for("Bob is here");
    ann.type_line("hello Bob");
    assert_eq!(bob.wait_for("Ann: "), "hello Bob");
    bob.type_line("hello \u{1b}[31mAnn");
    assert_eq!(ann.wait_for("Bob: "), "hello \\u{1b}[31mAnn", "nobody commands another's terminal");
    bob.end_input();
    assert!(bob.wait().success());
    assert_eq!(ann.wait_for("Bob has gone "), "(left)");
}

#[test]
fn a_signal_stops_the_hub_members_are_told_and_all_is_well() {
    for name in ["INT", "TERM"] {
        let (mut hub, port) = hub(&[]);
        let address = format!("tcp://127.0.0.1:{port}");
        let mut command = program(&["chat", "--hub", &address]);
        let mut ann = Running::start(command.stderr(Stdio::piped()));
        ann.wait_for("you are in lobby");
        hub.signal(name);
        hub.wait_for("stopped");
        assert!(hub.wait().success());
        assert_eq!(ann.wait().code(), Some(1));
    }
}

#[test]
fn health_and_metrics_answer_on_the_same_port() {
    let (_hub, port) = hub(&[]);
    assert!(get(&port, "/health").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(get(&port, "/metrics").contains("\ncrosspoint_connections "));
    assert!(get(&port, "/elsewhere").starts_with("HTTP/1.1 404 "));
}

#[test]
fn the_log_says_once_who_has_broken_which_rule() {
    let mut log = tempfile::tempfile().unwrap();
    let mut command = program(&["serve", "--listen", "127.0.0.1:0"]);
    let mut hub = Running::start(command.stderr(log.try_clone().unwrap()));
    let port = hub.wait_for("listening on 127.0.0.1:");
    let say = |bytes: &[u8]| {
        let mut stream = connect(&port);
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        (stream.local_addr().unwrap(), answer)
    };
    // HELLO, and a LEAVE without its number.
    let (_, answer) = say(b"XPT1\x05\x01\x81\xa1v\x01\x01\x12");
    let rule = "frame 2 (LEAVE, type 0x12): it ends before all its fields";
    assert!(answer.ends_with(rule.as_bytes()), "{}", String::from_utf8_lossy(&answer));
    let (stranger, _) = say(b"SSH-2.0-\x1b[31m\r\n");
    hub.signal("TERM");
    assert!(hub.wait().success());
    let mut text = String::new();
    std::io::Seek::rewind(&mut log).unwrap();
    log.read_to_string(&mut text).unwrap();
    let lines = |word: &str| text.lines().filter(|line| line.contains(word)).collect::<Vec<_>>();
    let [line] = lines(rule)[..] else { panic!("not once: {text}") };
    for part in ["INFO", "session=1", "address=127.0.0.1", "malformed input"] {
        assert!(line.contains(part), "{line}");
    }
    let [line] = lines("SSH-2.0")[..] else { panic!("not once: {text}") };
    assert!(line.contains(&format!("address={stranger}")) && !text.contains('\u{1b}'), "{line}");
}

#[test]
fn files_and_the_bundle_are_served_and_answers_carry_the_id_of_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle.js");
    std::fs::write(folder.path().join("index.html"), "<p>hello").unwrap();
    std::fs::write(&bundle, "var AnySocket").unwrap();
    let root = format!("/game={}", folder.path().display());
    let id = "00112233445566778899aabbccddeeff";
    let bundle = bundle.to_str().unwrap();
    let (mut hub, port) = hub(&["--http-files", &root, "--id", id, "--anysocket-bundle", bundle]);
    assert_eq!(hub.wait_for("files "), format!("          curl http://127.0.0.1:{port}/game/"));
    let page = get(&port, "/game/");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("<p>hello"), "{page}");
    assert!(page.to_lowercase().contains(&format!("\r\nanysocket-id: {id}\r\n")), "{page}");
    assert!(get(&port, "/@anysocket").ends_with("var AnySocket"));
}

#[test]
fn wrong_settings_are_named_with_where_they_come_from_and_exit_2() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "[limits]\noutbox_bytes_max = \"many\"\n[servr]\nname = \"x\"").unwrap();
    let path = file.path().to_str().unwrap();
    let output = program(&["serve", "--config", path])
        .env("CROSSPOINT_LOG__FORMAT", "xml")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    for part in [
        path,
        "limits.outbox_bytes_max",
        "many",
        "servr",
        "server",
        "CROSSPOINT_LOG__FORMAT",
        "json",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn files_that_settings_name_are_looked_at_before_the_hub_starts() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets.toml");
    std::fs::write(&secrets, "[[secret]]\nname = \"a\"\nhsh = \"swordfish\"\n").unwrap();
    let (secrets, nowhere) = (secrets.to_str().unwrap(), folder.path().join("nowhere"));
    let (nowhere, root) = (nowhere.to_str().unwrap(), format!("/={}", nowhere.display()));
    for (arguments, parts) in [
        (["--secrets-file", secrets], ["auth.secrets_file", secrets, "line 3", "hsh"]),
        (["--jwt-keys", nowhere], ["auth.jwt_keys", nowhere, "No such file", ""]),
        (["--http-files", &root], ["http.files", nowhere, "No such file", ""]),
        (["--anysocket-bundle", nowhere], ["http.anysocket_bundle", nowhere, "No such file", ""]),
    ] {
        let output = program(&[&["serve", "--listen", "127.0.0.1:0"][..], &arguments].concat())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} in {text}");
        assert!(text.starts_with("crosspoint: ") && !text.contains("swordfish"), "{text}");
    }
}

#[test]
fn config_shows_what_is_in_force_and_where_it_comes_from() {
    let mut command = program(&["config", "--listen", "127.0.0.1:9", "--access-token", "hidden"]);
    let output = command.env("CROSSPOINT_LOG__FORMAT", "json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.contains("hidden"), "{text}");
    let has = |words: [&str; 3]| {
        let mut lines =
            text.lines().map(|line| line.split(['=', '#']).map(str::trim).collect::<Vec<_>>());
        assert!(lines.any(|line| line == words), "{words:?} is not in:\n{text}");
    };
    has(["listen", "[\"127.0.0.1:9\"]", "flag --listen"]);
    has(["format", "\"json\"", "env CROSSPOINT_LOG__FORMAT"]);
    has(["frame_bytes_max", "\"64KiB\"", "default"]);
}

#[test]
fn a_port_in_use_is_said_plainly_and_exits_1() {
    let (_hub, port) = hub(&[]);
    let output = program(&["serve", "--listen", &format!("127.0.0.1:{port}")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&port) && text.contains("--listen"), "{text}");
}

#[test]
fn an_access_token_is_asked_for() {
    let (_hub, port) = hub(&["--access-token", "open sesame"]);
    let address = format!("tcp://127.0.0.1:{port}");
    let output = program(&["chat", "--hub", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("not allowed"), "{text}");
    let mut ann =
        Running::start(&mut program(&["chat", "--hub", &address, "--token", "open sesame"]));
    ann.wait_for("you are in lobby");
}

#[test]
fn the_program_says_which_protocols_are_open_to_whom() {
    let lines = |more: &[&str]| {
        let (mut hub, _) = hub(more);
        ["native: ", "anysocket: ", "peote: "].map(|protocol| hub.wait_for(protocol))
    };
    assert_eq!(lines(&[]), ["everybody"; 3]);
    let [native, anysocket, peote] = lines(&["--access-token", "open sesame"]);
    assert_eq!((&native[..], &anysocket[..]), ("with credentials", "with credentials"));
    assert!(peote.starts_with("off (") && peote.contains("peote.enabled"), "{peote}");
    let [_, anysocket, peote] =
        lines(&["--access-token", "open sesame", "--peote", "--anysocket=false"]);
    assert!(anysocket.starts_with("off") && peote.starts_with("everybody"), "{anysocket} {peote}");
}

#[test]
fn a_secret_or_a_signed_token_lets_in_and_decides_what_is_allowed() {
    let output = output_with_input(&["hash-secret"], b"open sesame\n");
    let hash = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && hash.starts_with("$argon2id$"), "{hash}");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "[[secret]]\nname = \"thieves\"\nhash = \"{}\"", hash.trim_end()).unwrap();
    let path = file.path().to_str().unwrap();
    let mut keys = tempfile::NamedTempFile::new().unwrap();
    let key = "open sesame, said he, and it opened";
    writeln!(keys, "[[key]]\nalgorithm = \"HS256\"\nsecret = \"{key}\"").unwrap();
    // Of that key, for `Ali`, who may enter `cave-2`, until the year 2100.
    let signed = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                  eyJleHAiOjQxMDI0NDQ4MDAsIm5hbWUiOiJBbGkiLCJlbnRlciI6WyJjYXZlLTIiXX0.\
                  VVu9A0wrRog27PJqCksy3hYUm9mReF5Z4ljWFFxawfg";
    let (mut hub, port) = hub(&[
        "--secrets-file",
        path,
        "--jwt-keys",
        keys.path().to_str().unwrap(),
        "--permit-enter",
        "cave-*",
        PATIENT[0],
        PATIENT[1],
    ]);
    let address = format!("tcp://127.0.0.1:{port}");
    let chat = |room: &str, token: &str| {
        program(&["chat", "--hub", &address, "--room", room, "--token", token])
    };
    for (room, token) in [
        ("cave-1", "thieves:open barley"),
        ("cave-1", "open sesame"),
        ("lobby", "thieves:open sesame"),
        ("cave-1", signed),
        ("cave-2", &signed[..signed.len() - 1]),
    ] {
        let output = chat(room, token).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("not allowed"), "{text}");
        let is_known = room == "lobby" || (room, token) == ("cave-1", signed);
        let told = text.contains("have to cover entering this room, and creating it");
        assert_eq!(told, is_known, "{text}");
    }
    let mut thief = Running::start(&mut chat("cave-2", "thieves:open sesame"));
    thief.wait_for("you are in cave-2");
    let _ali = Running::start(&mut chat("cave-2", signed));
    thief.wait_for("Ali is here");
    assert!(hub.wait_for("a chat ").ends_with(" --token TOKEN"));
    hub.wait_for("over WebSocket");
    assert!(hub.wait_for("  ").starts_with("AnySocket"), "no peote program can enter");
}

#[test]
fn what_is_no_secret_is_not_hashed() {
    for (input, part) in [(&b""[..], "1 to 1024 bytes"), (b"\n", "1 to 1024"), (b"a\nb\n", "line")]
    {
        let output = output_with_input(&["hash-secret"], input);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{text}");
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn an_identity_is_made_once_and_shown_without_its_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anna.id");
    let id = |what: &str| program(&["id", what, path.to_str().unwrap()]).output().unwrap();
    let made = id("new");
    let text = String::from_utf8(made.stdout.clone()).unwrap();
    assert!(made.status.success(), "{text}");
    let shown: Vec<_> = text.lines().filter_map(|line| line.split_once("  ")).collect();
    let words: Vec<_> = shown.iter().map(|(word, value)| (*word, value.trim().len())).collect();
    assert_eq!(words, [("peer id", 32), ("fingerprint", 39), ("public key", 64)]);
    assert_eq!(id("show").stdout, made.stdout);

    let secret = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(secret.trim()));
    let again = id("new");
    let told = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.code() == Some(1) && told.contains("exists already"), "{told}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), secret);

    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let shown = id("show");
    assert!(shown.status.success());
    let told = String::from_utf8(shown.stderr).unwrap();
    assert!(told.contains("other users") && told.contains("chmod 600"), "{told}");
}

#[test]
fn windows_of_one_user_get_numbers_but_a_chosen_name_is_taken() {
    let (_hub, port) = hub(&[]);
    let address = format!("tcp://127.0.0.1:{port}");
    let chat = |more: &[&str]| {
        let mut command = program(&[&["chat", "--hub", &address], more].concat());
        command.env("USER", "sam");
        command
    };
    let mut first = Running::start(&mut chat(&[]));
    first.wait_for("you are in lobby");
    let _second = Running::start(&mut chat(&[]));
    first.wait_for("sam-2 is here");
    let output = chat(&["--name", "sam"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("--name"), "{text}");
}

#[test]
fn what_is_switched_off_is_not_offered() {
    let off = ["peote", "anysocket", "socketio", "metrics", "control"];
    let off = off.map(|what| format!("--{what}=false"));
    let (mut hub, port) = hub(&off.each_ref().map(String::as_str));
    hub.wait_for("over WebSocket");
    assert_eq!((hub.wait_for(""), hub.wait_for("")), ("".into(), "Stop with Ctrl-C.".into()));
    assert!(get(&port, "/metrics").starts_with("HTTP/1.1 404 "));
}

#[test]
fn who_wants_to_come_back_is_told_for_how_long_that_is_possible_or_turned_away() {
    // OPEN for a new session: its length, its type, version 1, and no token and totals.
    let open = [&b"XPR1\x32\x01\x01"[..], &[0; 48]].concat();
    let knock = |port: &str| {
        let mut stream = connect(port);
        stream.write_all(&open).unwrap();
        stream
    };
    let (_hub, port) = hub(&[
        "--resume-window-ms=7000",
        "--resume-retained-bytes-max=64k",
        "--resume-heartbeat-ms=3000",
    ]);
    let mut accepted = [0; 47];
    knock(&port).read_exact(&mut accepted).unwrap();
    assert_eq!(accepted[..2], [46, 2], "length and type of ACCEPTED");
    assert_eq!(accepted[46], 0, "not bound without TLS");
    let told: Vec<_> =
        accepted[34..46].chunks(4).map(|it| u32::from_be_bytes(it.try_into().unwrap())).collect();
    assert_eq!(told, [7000, 64 << 10, 3000]);

    let (_hub, port) = hub(&["--resume=false"]);
    let mut refused = Vec::new();
    knock(&port).read_to_end(&mut refused).unwrap();
    assert_eq!(refused[1..], [4, 0, 26], "REFUSED, because of UnknownProtocol");
}

#[test]
fn an_identity_is_at_the_hub_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anna.id");
    let path = path.to_str().unwrap();
    assert!(program(&["id", "new", path]).output().unwrap().status.success());
    let (_hub, port) = hub(&[]);
    let address = format!("tcp://127.0.0.1:{port}");
    let chat =
        |name: &str| program(&["chat", "--hub", &address, "--name", name, "--identity", path]);
    let mut ann = Running::start(&mut chat("Ann"));
    ann.wait_for("you are in lobby");
    let output = chat("Bob").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("another session has this peer id"), "{text}");
}

#[test]
fn the_newer_of_two_with_one_name_stays_where_the_hub_is_set_up_so() {
    let (_hub, port) = hub(&["--peer-duplicates", "replace"]);
    let address = format!("tcp://127.0.0.1:{port}");
    let chat = || program(&["chat", "--hub", &address, "--name", "Ann"]);
    let mut old = Running::start(&mut chat());
    old.wait_for("you are in lobby");
    let mut new = Running::start(&mut chat());
    new.wait_for("you are in lobby");
    assert_eq!(old.wait().code(), Some(1));
    new.end_input();
    assert!(new.wait().success());
}

#[test]
fn every_workload_of_bench_runs_over_the_protocols_that_have_it() {
    // All at once: each is short, and mostly waits for its time to pass.
    let mut runs = Vec::new();
    for (workload, protocols) in [
        (
            &["fanout", "--receivers", "3", "--seconds", "1"][..],
            &["native", "joint", "anysocket"][..],
        ),
        (&["relay", "--in-flight", "8", "--seconds", "1"], &["native", "joint"]),
        (&["stall", "--members", "3", "--rate", "100", "--seconds", "1"], &["native", "joint"]),
        (&["idle", "--connections", "50"], &["native", "joint", "anysocket"]),
        (
            &["requests", "--in-flight", "8", "--seconds", "1"],
            &["native", "encrypted", "anysocket"],
        ),
        (&["stream", "--seconds", "1"], &["native"]),
        (&["stalled", "--streams", "10"], &["native"]),
    ] {
        runs.extend(protocols.iter().map(|protocol| {
            let arguments = [&["bench"], workload, &["--protocol", protocol, "--json"]].concat();
            let child = program(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            (protocol, arguments, child.unwrap())
        }));
    }
    for (protocol, arguments, child) in runs {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["dialect"], *protocol);
        assert!(report["missing"].as_u64().unwrap_or(0) == 0, "{text}");
        for measured in ["deliveries", "requests_per_second", "bytes_per_connection"] {
            let above_nothing = report[measured].as_f64().is_none_or(|value| value > 0.0);
            assert!(above_nothing, "{arguments:?}: {text}");
        }
    }
}

#[test]
fn bench_is_pointed_at_a_hub_as_chat_is_and_shows_it_a_token() {
    let (_hub, port) = hub(&["--access-token", "sesame"]);
    let requests = |address: &str, more: &[&str]| {
        let arguments =
            ["bench", "requests", "--in-flight", "8", "--seconds", "1", "--hub", address];
        program(&[&arguments, more].concat()).output().unwrap()
    };
    let [bare, tcp, ws] = ["", "tcp://", "ws://"].map(|scheme| format!("{scheme}127.0.0.1:{port}"));
    for (address, protocol) in [
        (&bare, "native"),
        (&tcp, "native"),
        (&tcp, "encrypted"),
        (&tcp, "anysocket"),
        (&ws, "anysocket"),
    ] {
        let with = ["--protocol", protocol, "--token", "sesame"];
        let output = requests(address, &with);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{address} {protocol}: {errors}");
    }
    for (address, more, said) in [
        (&tcp, &["--protocol", "native"][..], "waiting for the hub's welcome was answered with"),
        (&tcp, &["--protocol", "anysocket"], "authenticating was answered with a close frame"),
        (
            &tcp,
            &["--protocol", "joint", "--token", "sesame"],
            "joint protocol cannot present a token",
        ),
        (&ws, &["--token", "sesame"], &format!("write --hub {tcp}")),
        (&format!("{ws}/path"), &["--protocol", "anysocket"], "no path"),
        (&"http://127.0.0.1".to_owned(), &[], "is no hub address"),
    ] {
        let output = requests(address, more);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && errors.contains(said), "{address}: {errors}");
    }
}

#[test]
fn what_an_anysocket_server_wants_to_see_is_json() {
    let output = program(&["bench", "requests", "--auth", "sesame"]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("a text needs quotation marks"), "{errors}");
}

#[test]
fn a_socket_of_the_file_system_serves_all_that_a_port_does_to_its_user() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sock");
    let listen = format!("--listen=unix:{}", path.display());
    // What an earlier program has left does no harm.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut hub = Running::start(&mut program(&["serve", &listen]));
    hub.wait_for("listening on unix:");
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let address = format!("unix:{}", path.display());
    let chat =
        |name: &str| Running::start(&mut program(&["chat", "--name", name, "--hub", &address]));
    let (mut ann, mut bob) = (chat("Ann"), chat("Bob"));
    ann.wait_for("Bob is here");
    ann.type_line("hello");
    assert_eq!(bob.wait_for("Ann: "), "hello");
    let mut http = std::os::unix::net::UnixStream::connect(&path).unwrap();
    http.write_all(b"GET /health HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    http.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");

    // It is in use as long as somebody listens.
    let second = program(&["serve", &listen]).output().unwrap();
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(error.contains("cannot listen on unix:"), "{error}");
    // It is the hub's file whoever changes its permissions.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    hub.signal("TERM");
    hub.wait_for("stopped");
    assert!(hub.wait().success());
    assert!(!path.exists());

    // A file that is none is kept.
    let file = directory.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    let serve = program(&["serve", &format!("--listen=unix:{}", file.display())]).output().unwrap();
    let error = String::from_utf8_lossy(&serve.stderr).into_owned();
    assert!(error.contains("there is a file that is no socket"), "{error}");

    // What has taken its place is not the hub's to remove.
    let mut hub = Running::start(&mut program(&["serve", &listen]));
    hub.wait_for("listening on unix:");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "kept").unwrap();
    hub.signal("TERM");
    assert!(hub.wait().success());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
}

#[test]
fn a_socket_has_the_permissions_and_the_group_of_the_settings_whatever_the_umask_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sock");
    let listen = format!("--listen=unix:{}", path.display());
    let group = Command::new("id").arg("-gn").output().unwrap().stdout;
    let group = format!("--unix-group={}", String::from_utf8(group).unwrap().trim_end());
    let gid = Command::new("id").arg("-g").output().unwrap().stdout;
    let gid: u32 = String::from_utf8(gid).unwrap().trim_end().parse().unwrap();
    for (umask, group) in [("0", group.clone()), ("777", format!("--unix-group={gid}"))] {
        let serve = program(&["serve", &listen, "--unix-mode=0606", &group]);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]);
        let mut hub = Running::start(shell.arg(serve.get_program()).args(serve.get_args()));
        hub.wait_for("listening on unix:");
        let file = path.metadata().unwrap();
        assert_eq!((file.mode() & 0o777, file.gid()), (0o606, gid));
    }
    let unknown = "--unix-group=no such group";
    for command in ["serve", "config"] {
        let output = program(&[command, &listen, unknown]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("server.unix_group = \"no such group\": there is no"), "{error}");
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn a_chat_says_what_a_hub_asks_for_and_which_names_are_too_long() {
    let (_hub, port) = hub(&["--access-token=open sesame"]);
    let address = format!("tcp://127.0.0.1:{port}");
    let said = |more: &[&str]| {
        let output = program(&[&["chat", "--hub", &address], more].concat()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, error) = said(&[]);
    assert!(code == Some(1) && error.contains("what the hub asks for with --token"), "{error}");
    let (code, error) = said(&["--token=open barley"]);
    assert!(code == Some(1) && !error.contains("--token"), "{error}");
    let (code, error) = said(&["--name", &"n".repeat(256)]);
    let told = "--name: a name has 1 to 255 bytes, this one has 256";
    assert!(code == Some(2) && error.contains(told), "{error}");
    let (code, error) = said(&["--room="]);
    assert!(code == Some(2) && error.contains("--room"), "{error}");
    let output = program(&["chat", "--hub", "peote://localhost"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && error.contains("has no rooms"), "{error}");
}

#[test]
fn a_port_alone_is_answered_with_how_to_listen_at_it() {
    let output = program(&["serve", "--port", "7680"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && error.contains("--listen 0.0.0.0:PORT"), "{error}");
}

#[test]
fn a_chat_in_a_channel_gives_its_password_and_says_who_gets_the_lines() {
    let (_hub, port) = hub(&[]);
    let address = format!("tcp://127.0.0.1:{port}");
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _owner = runtime.block_on(async {
        let node = Node::connect(&address).await.unwrap();
        let options = ChannelOptions::new().password("swordfish");
        node.create("cave", options).await.unwrap()
    });
    let chat = |more: &[&str]| {
        let mut chat = program(&[&["chat", "--hub", &address, "--room=cave"], more].concat());
        chat.stderr(Stdio::piped());
        chat
    };
    let error = chat(&[]).output().unwrap().stderr;
    let error = String::from_utf8_lossy(&error).into_owned();
    assert!(error.contains("wrong channel password; give it with --password"), "{error}");
    let mut chat = Running::start(&mut chat(&["--password=swordfish"]));
    let said = chat.wait_for("you are in cave");
    assert!(said.contains("whose owner alone gets your lines"), "{said}");
}
