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

/// Makes a certificate of version 1 for `hub.key`, as openssl does unless told otherwise: `old.pem`.
fn make_old(directory: &Path) {
    let request = "req -new -key hub.key -subj /CN=localhost -out old.csr";
    let sign = "x509 -req -days 2 -in old.csr -signkey hub.key -out old.pem";
    for command in [request, sign] {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(directory).args(command.split(' ')).stderr(Stdio::null());
        assert!(openssl.status().expect("run ./check once, or install openssl").success());
    }
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
    eve.errors().wait_for("its certificate has the fingerprint");
    assert_eq!(eve.wait().code(), Some(1));

    let (_plain, plain) = crate::common::hub(&[]);
    for (port, said) in
        [(&port, "an authority that is not trusted here"), (&plain, "it refuses TLS; ")]
    {
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
    hub.errors().wait_for("were read again");
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
    let mut member = node("room_member.mjs", &["localhost", &port, "lobby", "2"]);
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
    make(directory.path(), "hub", "localhost");
    make(directory.path(), "other", "localhost");
    make_old(directory.path());
    let [old, cert, key, other] = ["old.pem", "hub.pem", "hub.key", "other.key"]
        .map(|file| directory.path().join(file).display().to_string());
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
        (&["--tls-cert", &old, "--tls-key", &key], "version 1, and TLS takes version 3"),
        (&["--tls-cert", &cert, "--tls-key", &other], "the key belongs to another certificate"),
    ] {
        let mut serve = program(&["serve"]);
        let output = serve.args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(said), "{arguments:?}: {error}");
        assert!(!output.status.success());
    }
}

/// The commands of the documentation in which a text is.
fn documented(text: &str) -> &'static str {
    let page = include_str!("../../../../docs/tls.md");
    let mut blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(text)).unwrap_or_else(|| panic!("{text} is not documented"))
}

/// A documented command of the program, with other arguments behind it.
fn documented_program(directory: &Path, line: &str, more: &[&str]) -> Command {
    let arguments: Vec<_> = line.split(' ').skip(1).collect();
    let mut command = program(&[&arguments[..], more].concat());
    command.current_dir(directory).stderr(Stdio::piped());
    command
}

#[test]
fn the_documented_commands_make_certificates_that_hub_and_chat_take_and_the_hub_says_how_to_chat() {
    for (openssl, serve, shown) in [
        ("-out cert.pem", "--tls-cert cert.pem", ""),
        ("-out ca.pem", "--tls-cert hub.pem", " --tls-cert CERTIFICATE --tls-key KEY"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-ec", documented(openssl)]).current_dir(directory.path());
        assert!(shell.stderr(Stdio::null()).status().unwrap().success(), "{openssl}");
        let mut lines = documented(serve).lines();
        let (serve, chat) = (lines.next().unwrap(), lines.next().unwrap());
        let listen = ["--listen=127.0.0.1:0"];
        let mut hub = Running::start(&mut documented_program(directory.path(), serve, &listen));
        let port = hub.wait_for("listening on 127.0.0.1:");
        let hint = hub.wait_for("Try, in other terminals:") + &hub.wait_for("");
        let plain = hint.contains("a chat ");
        assert_eq!(plain, shown.is_empty(), "without TLS no certificate can be shown: {hint}");
        let hint = hub.wait_for("chat with TLS ");
        assert!(hint.ends_with(shown) && !hint.contains("TOKEN"), "{hint}");

        let chat = chat.replace("tls://localhost", &format!("tls://localhost:{port}"));
        let mut chat = Running::start(&mut documented_program(directory.path(), &chat, &[]));
        chat.wait_for("you are in lobby");
        let hint = hint.replace("CERTIFICATE", "ann.pem").replace("KEY", "ann.key");
        let (_, hint) = hint.split_once("crosspoint ").unwrap();
        let hint = format!("crosspoint {hint}");
        // A certificate gives the name, which only one of both can have.
        drop(chat);
        let mut chat = Running::start(&mut documented_program(directory.path(), &hint, &[]));
        chat.wait_for("you are in lobby");
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
    hub.errors().wait_for("were read again");
    assert_eq!((curl(Some("eve")), curl(Some("ann"))), (b"ok\n".to_vec(), vec![]));
}

#[test]
fn a_wrong_list_of_revoked_certificates_leaves_all_in_force_and_authorities_change_with_a_made_certificate()
 {
    let directory = tempfile::tempdir().unwrap();
    let path = |file: &str| directory.path().join(file).display().to_string();
    vouch(directory.path(), "ca", "ann");
    vouch(directory.path(), "other", "eve");
    let wrong = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    std::fs::write(path("wrong.pem"), wrong).unwrap();
    let set = |token: &str, roots: &str, lists: &[String]| {
        let text = format!(
            "server.access_token = \"{token}\"\n[tls]\ndev = true\nclient_roots = \"{}\"\nclient_crls = {lists:?}\n",
            path(roots)
        );
        std::fs::write(path("hub.toml"), text).unwrap();
    };
    let config = format!("--config={}", path("hub.toml"));
    let serve = || program(&["serve", "--listen=127.0.0.1:0", &config]);
    set("one", "ca.pem", &[path("wrong.pem")]);
    let output = serve().output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains(&format!("tls.client_crls: {}", path("wrong.pem"))), "{error}");

    set("one", "ca.pem", &[]);
    let mut hub = Running::start(serve().stderr(Stdio::piped()));
    let port = hub.wait_for("listening on 127.0.0.1:");
    let pin = hub.wait_for("with the fingerprint ");
    let hint = hub.wait_for("chat with TLS ");
    assert!(hint.ends_with(" --token TOKEN"), "{hint}");
    let chat = |token: &str, name: &str| {
        let address = format!("tls://localhost:{port}");
        let mut chat = program(&["chat", "--name", "Ann", "--hub", &address, "--tls-pin", &pin]);
        let [pem, key] = ["pem", "key"].map(|end| path(&format!("{name}.{end}")));
        chat.args(["--token", token, "--tls-cert", &pem, "--tls-key", &key]);
        Running::start(chat.stderr(Stdio::piped()))
    };
    let mut errors = hub.errors();
    let mut hung_up = |said: &str| {
        hub.signal("HUP");
        errors.wait_for(said);
    };
    set("two", "ca.pem", &[path("wrong.pem")]);
    hung_up("nothing was read again");
    chat("one", "ann").wait_for("you are in lobby");
    set("two", "other.pem", &[]);
    hung_up("were read again");
    chat("two", "eve").wait_for("you are in lobby");
    assert_eq!(chat("two", "ann").wait().code(), Some(1));
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
        let said = hub.errors().lines_until("need a restart");
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

/// Runs a workload of bench, and gives its report.
fn bench(arguments: &[&str]) -> serde_json::Value {
    let output = program(&[&["bench"], arguments, &["--json"]].concat()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn bench_measures_a_hub_over_tls_as_it_does_without() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), "hub", "localhost");
    let path = |file: &str| directory.path().join(file).display().to_string();
    let cert = format!("--tls-cert={}", path("hub.pem"));
    let key = format!("--tls-key={}", path("hub.key"));
    let (hub, port) = hub(&[&cert, &key, "--tls-required"]);
    let [tls, wss] = ["tls", "wss"].map(|scheme| format!("{scheme}://localhost:{port}"));
    let (roots, pid) = (path("hub.pem"), hub.id().to_string());
    let idle = ["idle", "--connections", "500", "--pid", &pid, "--tls-roots", &roots];
    let report = bench(&[&idle[..], &["--hub", &tls]].concat());
    assert!(report["bytes_per_connection"].as_f64().unwrap() > 8000.0, "{report}");
    let short = ["--seconds", "1", "--tls-roots", &roots, "--hub"];
    for (workload, protocol, address) in [
        (&["fanout", "--receivers", "3"][..], "native", &tls),
        (&["fanout", "--receivers", "3"], "joint", &tls),
        (&["requests", "--in-flight", "8"], "encrypted", &tls),
        (&["requests", "--in-flight", "8"], "anysocket", &wss),
    ] {
        let report = bench(&[workload, &short[..], &[address], &["--protocol", protocol]].concat());
        assert_eq!(report["dialect"], protocol);
        assert_eq!(report["missing"].as_u64().unwrap_or(0), 0, "{report}");
        for measured in ["deliveries", "requests_per_second"] {
            assert!(report[measured].as_f64().is_none_or(|value| value > 0.0), "{report}");
        }
    }
    // A hub of its own, by the fingerprint that it prints.
    bench(&["stream", "--seconds", "1", "--tls"]);
}

/// What a command says, and its exit code.
fn fails(arguments: &[&str]) -> (String, Option<i32>) {
    let output = program(arguments).stdin(Stdio::null()).output().unwrap();
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

/// Each command says where it was to connect, what happened, and what to do.
#[test]
fn what_is_wrong_with_tls_is_said_in_plain_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = |file: &str| directory.path().join(file).display().to_string();
    make(directory.path(), "hub", "localhost");
    make(directory.path(), "other", "localhost");
    make(directory.path(), "another", "another.example");
    make_old(directory.path());
    // Its authority, as openssl makes one unless told otherwise.
    vouch(directory.path(), "ca", "ann");
    let serve = |name: &str, key: &str| {
        let listen = "--listen=127.0.0.1:0,tls://127.0.0.1:0";
        let mut serve = program(&["serve", listen]);
        serve.arg(format!("--tls-cert={}", path(&format!("{name}.pem"))));
        let mut hub =
            Running::start(serve.arg(format!("--tls-key={}", path(&format!("{key}.key")))));
        let both = hub.wait_for("listening on 127.0.0.1:");
        (both, hub.wait_for("listening on tls://127.0.0.1:"), hub)
    };
    let (port, only_tls, _hub) = serve("hub", "hub");
    // This hub does not serve such a certificate, others do.
    let mut old = Command::new("openssl");
    old.current_dir(directory.path());
    old.args("s_server -www -accept 0 -cert old.pem -key hub.key".split(' '));
    let mut old = Running::start(old.stderr(Stdio::null()));
    let accepts = old.wait_for("ACCEPT ");
    let old_port = accepts.rsplit(':').next().unwrap();
    let (authority, _, _authority) = serve("ca", "ca");
    let (another, _, _another) = serve("another", "another");
    let (_plain, no_tls) = hub(&[]);
    let at = |scheme: &str, port: &str| format!("{scheme}://localhost:{port}");
    let [hub, old_hub, authority, no_tls, another] = [
        at("tls", &port),
        at("tls", old_port),
        at("tls", &authority),
        at("tls", &no_tls),
        at("tls", &another),
    ];
    let wrong = "00".repeat(32);
    let [strange, namesake, old_roots, ca] =
        ["another", "other", "old", "ca"].map(|name| path(&format!("{name}.pem")));
    for (hub, flags, said) in [
        (&hub, &["--tls-pin", &wrong][..], &["fingerprint", &wrong, "--tls-pin"][..]),
        (
            &hub,
            &["--tls-roots", &strange],
            &["an authority that is not trusted here", "--tls-roots FILE"],
        ),
        (&hub, &["--tls-roots", &namesake], &["a signature by another key", "--tls-roots"]),
        // Those of the system, which may have an authority with this name.
        (&hub, &[], &["its certificate ", "--tls-pin"]),
        (&old_hub, &["--tls-roots", &old_roots], &["X.509 version 1", "docs/tls.md"]),
        (&authority, &["--tls-roots", &ca], &["CA:TRUE", "--tls-pin"]),
        (
            &another,
            &["--tls-roots", &strange],
            &["not for this name, but for another.example, 127.0.0.1", "--tls-pin"],
        ),
        (&no_tls, &["--tls-pin", &wrong], &["it refuses TLS", "tcp://"]),
    ] {
        for command in [&["chat"][..], &["bench", "relay"]] {
            let (told, code) = fails(&[command, &["--hub", hub], flags].concat());
            let beginning = format!("no connection to {hub}: ");
            for text in [&[&*beginning], said].concat() {
                assert!(
                    told.contains(text),
                    "{command:?} {hub} {flags:?}: `{text}` is not in {told}"
                );
            }
            assert_eq!((code, told.lines().count()), (Some(1), 1), "{told}");
        }
    }
    let [tcp, ws] = ["tcp", "ws"].map(|scheme| at(scheme, &only_tls));
    for (command, hub, said) in [
        (&["chat"][..], &tcp, "TLS only (tls:// or wss://)"),
        (&["chat"], &ws, "TLS only: use wss://"),
        (&["bench", "relay"], &tcp, "TLS only (tls://)"),
    ] {
        let (told, code) = fails(&[command, &["--hub", hub]].concat());
        assert!(told.contains(said) && told.contains(&**hub), "{told}");
        assert_eq!(code, Some(1));
    }
    for (address, flag, said) in [
        (&*tcp, "--tls-pin", "--tls-pin has no effect on tcp://"),
        ("wss://localhost:1", "--tls-pin", "without WebSocket: write --hub tls://localhost:1"),
        ("unix:/nowhere", "--tls-pin", "over TCP only"),
    ] {
        let (told, code) = fails(&["bench", "relay", "--hub", address, flag, &wrong]);
        assert!(told.contains(said), "{told}");
        assert_eq!(code, Some(2));
    }
}
