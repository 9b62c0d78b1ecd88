//! TLS as users have it: the program's own clients, openssl, curl, and AnySocket in node.

use crate::common::{Running, hub, program};
use crate::interop::node;
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes a certificate for localhost with openssl, as `name.pem` and `name.key`.
fn make(directory: &Path, name: &str, host: &str) {
    let file = |end: &str| directory.join(format!("{name}.{end}")).display().to_string();
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    openssl.args(["-days", "2", "-subj", &format!("/CN={host}")]);
    openssl.args(["-addext", &format!("subjectAltName=DNS:{host},IP:127.0.0.1")]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.args(["-keyout", &file("key"), "-out", &file("pem")]).stderr(Stdio::null());
    assert!(openssl.status().expect("run ./check once, or install openssl").success());
}

/// What openssl says of a connection.
fn s_client(port: &str, arguments: &[&str]) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &format!("127.0.0.1:{port}")]).args(arguments);
    let output = openssl.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_certificate_for_tries_is_known_by_its_fingerprint() {
    let mut hub = Running::start(&mut program(&["serve", "--listen", "127.0.0.1:0", "--tls-dev"]));
    let port = hub.wait_for("listening on 127.0.0.1:");
    let fingerprint = hub.wait_for("with the fingerprint ");
    let chat = |name: &str, scheme: &str, pin: &str| {
        let address = format!("{scheme}://localhost:{port}");
        let mut chat = program(&["chat", "--name", name, "--hub", &address, "--tls-pin", pin]);
        Running::start(chat.stderr(Stdio::piped()))
    };
    let mut ann = chat("Ann", "tls", &fingerprint);
    ann.wait_for("you are in lobby");
    let mut bob = chat("Bob", "wss", &fingerprint);
    bob.wait_for("Ann is here");
    ann.type_line("hello");
    assert_eq!(bob.wait_for("Ann: "), "hello");
    let mut eve = chat("Eve", "tls", &"00".repeat(32));
    let said = eve.errors().next().unwrap().unwrap();
    assert!(said.contains("the certificate is not the one that is pinned"), "{said}");
    assert_eq!(eve.wait().code(), Some(1));

    let (_plain, plain) = crate::common::hub(&[]);
    for (port, said) in [
        (&port, "no trusted authority vouches for the certificate"),
        (&plain, "a hub without TLS answers so"),
    ] {
        let address = format!("tls://localhost:{port}");
        let output = program(&["chat", "--hub", &address]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn certificates_are_chosen_by_name_served_in_both_versions_and_exchanged_by_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let path = |file: &str| directory.path().join(file).display().to_string();
    make(directory.path(), "one", "localhost");
    make(directory.path(), "two", "two.example");
    let certs = format!("--tls-cert={},{}", path("one.pem"), path("two.pem"));
    let keys = format!("--tls-key={},{}", path("one.key"), path("two.key"));
    let mut serve = program(&["serve", "--listen", "127.0.0.1:0", "--tls-required"]);
    let mut hub = Running::start(serve.args([&certs, &keys]).stderr(Stdio::piped()));
    let port = hub.wait_for("listening on 127.0.0.1:");
    for version in ["-tls1_2", "-tls1_3"] {
        let said = s_client(&port, &[version, "-CAfile", &path("one.pem")]);
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    }
    let named = s_client(&port, &["-servername", "two.example"]);
    assert!(named.contains("CN = two.example") || named.contains("CN=two.example"), "{named}");
    let url = format!("https://localhost:{port}/health");
    let curl = |pem: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--cacert", &path(pem), "--max-time", "20", &url]);
        curl.output().expect("run ./check once, or install curl").stdout
    };
    assert_eq!(curl("one.pem"), b"ok\n");
    let plain = format!("http://localhost:{port}/health");
    let refused = Command::new("curl").args(["--silent", &plain]).output().unwrap();
    assert_eq!(refused.stdout, b"only TLS is served here (tls.required)\n");

    make(directory.path(), "one", "localhost");
    assert_eq!(curl("one.pem"), b"");
    hub.signal("HUP");
    assert!(hub.errors().any(|line| line.unwrap().contains("were read again")));
    assert_eq!(curl("one.pem"), b"ok\n");
}

#[test]
fn programs_with_anysocket_come_by_wss() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), "hub", "localhost");
    let path = |file: &str| directory.path().join(file).display().to_string();
    let cert = format!("--tls-cert={}", path("hub.pem"));
    let key = format!("--tls-key={}", path("hub.key"));
    let (_hub, port) = hub(&[&cert, &key, "--tls-required"]);
    let hub = format!("tls://localhost:{port}");
    let roots = path("hub.pem");
    let mut ann =
        Running::start(&mut program(&["chat", "--name=Ann", "--hub", &hub, "--tls-roots", &roots]));
    ann.wait_for("you are in lobby");
    let mut member = node("room_member.mjs", &["localhost", &port, "lobby"]);
    member.env("NODE_EXTRA_CA_CERTS", path("hub.pem"));
    let mut member = Running::start(&mut member);
    ann.wait_for(": hello from node");
    ann.type_line("hello node");
    member.wait_for("hello node");
}

#[test]
fn what_is_wrong_with_the_settings_of_tls_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let nothing = directory.path().join("nothing.pem").display().to_string();
    std::fs::write(&nothing, "").unwrap();
    for (arguments, said) in [
        (&["--tls-required"][..], "tls.required is true without tls.cert or tls.dev"),
        (&["--tls-cert=/nowhere/cert.pem"], "tls.cert: /nowhere/cert.pem: "),
        (&["--tls-cert", &nothing], "there is no certificate in it"),
        (&["--tls-dev", "--tls-cert", &nothing], "set one of them"),
        (&["--tls-key", &nothing], "tls.key: 1 files for 0 of tls.cert"),
        (
            &["--tls-dev", "--auth-certificates"],
            "auth.certificates is set without tls.client_roots",
        ),
        (&["--tls-dev", "--tls-client-required"], "tls.client_required is set without"),
        (&["--tls-dev", "--tls-client-roots", &nothing], "there is no certificate in it"),
    ] {
        let mut serve = program(&["serve"]);
        let output = serve.args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(said), "{arguments:?}: {error}");
        assert!(!output.status.success());
    }
}

/// Makes an authority with openssl, `ca.pem` and `ca.key`, and a certificate for clients of it, as `name.pem` and
/// `name.key`.
fn vouch(directory: &Path, authority: &str, name: &str) {
    let run = |arguments: &[&str]| {
        let mut openssl = Command::new("openssl");
        let status = openssl.current_dir(directory).args(arguments).stderr(Stdio::null()).status();
        assert!(status.expect("run ./check once, or install openssl").success(), "{arguments:?}");
    };
    let [ca_pem, ca_key, pem, key, csr, ext] = [
        (authority, "pem"),
        (authority, "key"),
        (name, "pem"),
        (name, "key"),
        (name, "csr"),
        (name, "ext"),
    ]
    .map(|(name, end)| format!("{name}.{end}"));
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    if !directory.join(&ca_pem).exists() {
        let subject = format!("/CN={authority}");
        let own = ["-x509", "-days", "2", "-subj", &subject, "-keyout", &ca_key, "-out", &ca_pem];
        run(&[&new[..], &own].concat());
    }
    let subject = format!("/CN={name}");
    run(&[&new[..], &["-subj", &subject, "-keyout", &key, "-out", &csr]].concat());
    std::fs::write(directory.join(&ext), "extendedKeyUsage=clientAuth\n").unwrap();
    let sign = ["x509", "-req", "-days", "2", "-CAcreateserial", "-extfile", &ext];
    run(&[&sign[..], &["-in", &csr, "-CA", &ca_pem, "-CAkey", &ca_key, "-out", &pem]].concat());
}

#[test]
fn client_certificates_let_programs_in_and_are_exchanged_by_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let path = |file: &str| directory.path().join(file).display().to_string();
    make(directory.path(), "hub", "localhost");
    vouch(directory.path(), "ca", "ann");
    vouch(directory.path(), "other", "eve");
    std::fs::copy(path("ca.pem"), path("roots.pem")).unwrap();
    let mut serve = program(&["serve", "--listen=tls://127.0.0.1:0", "--tls-client-required"]);
    serve.args([
        format!("--tls-cert={}", path("hub.pem")),
        format!("--tls-key={}", path("hub.key")),
    ]);
    serve.arg(format!("--tls-client-roots={}", path("roots.pem"))).arg("--auth-certificates");
    let mut hub = Running::start(serve.stderr(Stdio::piped()));
    let port = hub.wait_for("listening on tls://127.0.0.1:");
    let url = format!("https://localhost:{port}/health");
    let curl = |name: Option<&str>| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--cacert", &path("hub.pem"), "--max-time", "20", &url]);
        if let Some(name) = name {
            let [pem, key] = ["pem", "key"].map(|end| path(&format!("{name}.{end}")));
            curl.args(["--cert", &pem, "--key", &key]);
        }
        curl.output().expect("run ./check once, or install curl").stdout
    };
    assert_eq!(curl(Some("ann")), b"ok\n");
    assert_eq!((curl(None), curl(Some("eve"))), (vec![], vec![]));
    for version in ["-tls1_2", "-tls1_3"] {
        let (pem, key) = (path("ann.pem"), path("ann.key"));
        let said = s_client(&port, &[version, "-cert", &pem, "-key", &key]);
        assert!(said.contains("CN=ca") || said.contains("CN = ca"), "asked for by name: {said}");
    }
    let chat = |name: &str| {
        let [pem, key] = ["pem", "key"].map(|end| path(&format!("{name}.{end}")));
        let address = format!("tls://localhost:{port}");
        let mut chat = program(&["chat", "--name", "whoever", "--hub", &address]);
        chat.args(["--tls-roots", &path("hub.pem"), "--tls-cert", &pem, "--tls-key", &key]);
        Running::start(chat.stderr(Stdio::piped()))
    };
    chat("ann").wait_for("you are in lobby");
    assert_eq!(chat("eve").wait().code(), Some(1));
    std::fs::copy(path("other.pem"), path("roots.pem")).unwrap();
    hub.signal("HUP");
    assert!(hub.errors().any(|line| line.unwrap().contains("were read again")));
    assert_eq!((curl(Some("eve")), curl(Some("ann"))), (b"ok\n".to_vec(), vec![]));
}

/// A hub neither stops nor begins to ask for certificates while it runs, and says so.
#[test]
fn authorities_of_clients_that_appear_or_go_need_a_restart_which_the_log_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = |file: &str| directory.path().join(file).display().to_string();
    make(directory.path(), "hub", "localhost");
    vouch(directory.path(), "ca", "ann");
    let plain =
        format!("[tls]\ncert = [\"{}\"]\nkey = [\"{}\"]\n", path("hub.pem"), path("hub.key"));
    let roots = format!("client_roots = \"{}\"\n", path("ca.pem"));
    let asking = format!("{plain}{roots}client_required = true\n");
    for (before, after, lets_in) in [(&asking, &plain, false), (&plain, &asking, true)] {
        std::fs::write(path("hub.toml"), before).unwrap();
        let config = format!("--config={}", path("hub.toml"));
        let mut serve = program(&["serve", "--listen=127.0.0.1:0", &config]);
        let mut hub = Running::start(serve.stderr(Stdio::piped()));
        let port = hub.wait_for("listening on 127.0.0.1:");
        std::fs::write(path("hub.toml"), after).unwrap();
        hub.signal("HUP");
        let lines = hub.errors().map(Result::unwrap);
        let said: Vec<String> = lines.take_while(|line| !line.contains("need a restart")).collect();
        assert!(
            said.iter().any(|line| line.contains("the old certificates stay in force")),
            "{said:?}"
        );
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--cacert", &path("hub.pem"), "--max-time", "20"]);
        let answer = curl.arg(format!("https://localhost:{port}/health")).output().unwrap().stdout;
        assert_eq!(answer == b"ok\n", lets_in);
    }
}

/// A pin that is not used must not look as if it were.
#[test]
fn flags_of_tls_are_refused_where_there_is_no_tls() {
    let pin = "00".repeat(32);
    let mut chat = program(&["chat", "--hub", "tcp://127.0.0.1:1", "--tls-pin", &pin]);
    let output = chat.output().expect("the program starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("--tls-pin has no effect on tcp://127.0.0.1:1"), "{told}");
    assert_eq!(output.status.code(), Some(2));
}
