//! Real clients from npm against the hub. `./check` installs them into `interop/`.

use crate::common::{Running, get, hub, program};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub(crate) fn node(script: &str, arguments: &[&str]) -> Command {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop");
    let modules = std::path::Path::new(folder).join("node_modules");
    assert!(modules.exists(), "run ./check once, or `npm install --no-package-lock` in interop/");
    let mut command = Command::new("node");
    command.current_dir(folder).arg(script).args(arguments);
    command
}

/// Compiles a program in Haxe.
fn haxe(main: &str, directory: &tempfile::TempDir) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop");
    let program = directory.path().join("program.n");
    let mut compile = Command::new("haxe");
    compile.current_dir(folder).args(["--main", main, "--neko"]).arg(&program);
    let compiled =
        compile.status().expect("run ./check once, or install the packages haxe and neko");
    assert!(compiled.success());
    program
}

#[test]
fn a_websocket_client_owns_and_enters_a_channel_over_the_joint_protocol() {
    let (_hub, port) = hub(&[]);
    let output = node("joint_over_websocket.mjs", &[&port]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_node_server_becomes_a_service_and_a_peer_of_the_hub() {
    let (_hub, port) = hub(&["--access-token=1234", "--anysocket-auth={\"house\":\"blue\"}"]);
    let mut service =
        Running::start(&mut node("anysocket_service.mjs", &["127.0.0.1", &port, "1234"]));
    service.wait_for("ready");
    let output = node("anysocket_user.mjs", &["127.0.0.1", &port]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ann = service.wait_for("came ");
    assert!(ann.ends_with(" -"), "{ann}: without a name");
    let bert = service.wait_for("reached by ");
    service.wait_for(&format!("went {bert}"));
}

#[test]
fn a_haxe_owner_throws_a_user_out() {
    let (_hub, port) = hub(&[]);
    let directory = tempfile::tempdir().unwrap();
    let program = haxe("ThrowOut", &directory);
    let output = Command::new("neko").arg(&program).args(["127.0.0.1", &port]).output().unwrap();
    assert!(output.stdout == b"ok\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_client_written_from_the_specification_meets_a_rust_program_in_a_room() {
    let (_hub, port) = hub(&[]);
    let mut page =
        Running::start(&mut node("native_over_websocket.mjs", &[&port, "lobby", "hello Rust"]));
    page.wait_for("entered");
    let address = format!("tcp://127.0.0.1:{port}");
    let mut ann = Running::start(&mut program(&["chat", "--name", "Ann", "--hub", &address]));
    ann.wait_for("node is here");
    ann.type_line("hello JavaScript");
    page.wait_for("hello JavaScript");
    assert_eq!(ann.wait_for("node: "), "hello Rust");
    assert!(page.wait().success());
}

/// The client `ws` offers compression by itself, and compresses what is 1 KiB long.
#[test]
fn clients_from_npm_and_rust_programs_hear_each_other_through_a_hub_that_compresses() {
    let (hub, port) = hub(&["--websocket-deflate", "--websocket-deflate-bytes-min=64"]);
    let output = node("joint_over_websocket.mjs", &[&port]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let long = "hello Rust ".repeat(150).trim_end().to_owned();
    let mut page = Running::start(&mut node("native_over_websocket.mjs", &[&port, "lobby", &long]));
    page.wait_for("entered");
    let address = format!("tcp://127.0.0.1:{port}");
    let mut ann = Running::start(&mut program(&["chat", "--name", "Ann", "--hub", &address]));
    ann.wait_for("node is here");
    let said = "hello JavaScript ".repeat(50);
    ann.type_line(&said);
    page.wait_for(said.trim_end());
    assert_eq!(ann.wait_for("node: "), long);
    assert!(page.wait().success());
    let metrics = get(&port, "/metrics");
    let counted = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse::<u64>().ok()).unwrap()
    };
    assert!(counted("crosspoint_compressed_bytes_before_total ") >= 800);
    assert!(counted("crosspoint_decompressed_bytes_after_total ") >= 1600);
    drop(hub);
}

/// Every function of the plugin, and the events of its older generations, between clients of both versions over all
/// transports.
#[test]
fn clients_of_socket_io_do_everything_that_the_plugin_can() {
    let (_hub, port) = hub(&["--socketio-ping-interval-ms=300", "--socketio-ping-timeout-ms=4000"]);
    let url = format!("http://127.0.0.1:{port}");
    let run = |(transports, versions)| {
        let script = node("socketio_clients.mjs", &[&url, transports, versions]);
        (format!("{transports} {versions}"), begun(script))
    };
    let running = [
        ("websocket", "4,4"),
        ("websocket", "2,2"),
        ("polling", "4,2"),
        ("polling", "2,4"),
        ("polling,websocket", "4,4"),
        ("polling,websocket", "2,2"),
        ("polling,websocket", "4,2"),
    ];
    for (which, script) in running.map(run) {
        assert!(went_well(&which, script).lines().count() >= 26, "{which}");
    }
}

/// Starts a script that is waited for later.
fn begun(mut script: Command) -> Child {
    script.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a script, and gives what it has said.
fn went_well(which: &str, script: Child) -> String {
    let output = script.wait_with_output().unwrap();
    let (said, cried) = (output.stdout, output.stderr);
    let [said, cried] = [said, cried].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{which}\n{said}\n{cried}");
    said
}

/// The client from npm whose connections are lost, over all transports, also while one becomes another.
#[test]
fn clients_of_socket_io_come_back_to_their_sessions() {
    let (_hub, port) = hub(&["--socketio-recovery-ms=2000", "--socketio-ping-interval-ms=300"]);
    let url = format!("http://127.0.0.1:{port}");
    let run = |transports| {
        (transports, begun(node("socketio_recovery.mjs", &[&url, transports, "2000"])))
    };
    for (which, script) in ["websocket", "polling", "polling,websocket"].map(run) {
        assert_eq!(went_well(which, script).lines().count(), 5, "{which}");
    }
}

/// Two pages of another origin than the hub, with the client for browsers.
#[test]
fn pages_stream_to_each_other_with_socket_io() {
    let (_hub, port) = hub(&[]);
    let url = format!("http://127.0.0.1:{port}");
    let output = node("socketio_browser.mjs", &[&url, "50000000"]).output().unwrap();
    let [said, cried] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{said}\n{cried}");
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn programs_in_rust_and_haxe_and_with_anysocket_and_socket_io_talk_in_one_room() {
    let (_hub, port) = hub(&[]);
    let url = format!("http://127.0.0.1:{port}");
    let mut page = Running::start(&mut node("socketio_member.mjs", &[&url, "lobby", "3"]));
    page.wait_for("entered");
    let directory = tempfile::tempdir().unwrap();
    let mut game = Command::new("neko");
    game.arg(haxe("RoomMember", &directory)).args(["127.0.0.1", &port, "lobby", "3"]);
    let mut game = Running::start(&mut game);
    game.wait_for("entered");
    let place = ["127.0.0.1", &port, "lobby", "3"];
    let mut member = Running::start(&mut node("room_member.mjs", &place));
    page.wait_for("hello from node");
    member.wait_for("hello from the page");
    let address = format!("tcp://127.0.0.1:{port}");
    let mut ann = Running::start(&mut program(&["chat", "--name", "Ann", "--hub", &address]));
    ann.wait_for("page is here");
    ann.type_line("hello from Rust");
    for everybody_else in [&mut page, &mut member, &mut game] {
        everybody_else.wait_for("hello from Rust");
    }
    for everybody_else in [&mut page, &mut member, &mut ann] {
        everybody_else.wait_for("hello from Haxe");
    }
    assert!(page.wait().success() && member.wait().success() && game.wait().success());
}

#[test]
fn programs_with_socket_io_present_their_token_in_auth_or_in_the_query() {
    let (_hub, port) = hub(&["--access-token=1234"]);
    let url = format!("http://127.0.0.1:{port}");
    let mut page = Running::start(&mut node("socketio_member.mjs", &[&url, "lobby", "2", "1234"]));
    page.wait_for("entered");
    let address = format!("tcp://127.0.0.1:{port}");
    let chat = ["chat", "--name", "Ann", "--hub", &address, "--token", "1234"];
    let mut ann = Running::start(&mut program(&chat));
    ann.wait_for("page is here");
    ann.type_line("one");
    assert_eq!(ann.wait_for("page: "), "hello from the page");
    ann.type_line("two");
    page.wait_for("two");
    assert!(page.wait().success());
}
