//! Clients of Socket.IO against servers that answer requests as none should, or not at all.

use crosspoint::socketio::client::{
    Client, ClientBuilder, ConnectError, Ended, Socket, SocketError, Transports,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const OPEN: &str = r#"0{"sid":"s/id ?","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;

/// One connection of the client, at the server's side.
struct Script(TcpStream);

impl Script {
    async fn accept(listener: &TcpListener) -> Self {
        Self(listener.accept().await.unwrap().0)
    }

    /// The next request: its first line.
    async fn request(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        head.lines().next().unwrap().to_owned()
    }

    async fn answer(&mut self, status: u16, body: &str) {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n{body}");
        self.raw(answer.as_bytes()).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        // The client may have hung up.
        let _ = self.0.write_all(bytes).await;
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn client() -> ClientBuilder {
    Client::builder().reconnection(None).transports(Transports::Requests).client_id("a b&c")
}

/// A client of whose first request the server says this.
async fn refused(client: ClientBuilder, status: u16, body: &str) -> String {
    let (listener, url) = listen().await;
    let serve = async {
        let mut script = Script::accept(&listener).await;
        script.request().await;
        script.answer(status, body).await;
        script
    };
    let (connected, _script) = tokio::join!(client.connect(&url), serve);
    connected.unwrap_err().to_string()
}

/// A client that has connected, with the connections over which it asks and says.
async fn connected(client: ClientBuilder) -> (Socket, Script, TcpListener) {
    let (listener, url) = listen().await;
    let serve = async {
        let mut script = Script::accept(&listener).await;
        let first = script.request().await;
        assert!(
            first.starts_with("GET /socket.io/?clientId=a%20b%26c&EIO=4&transport=polling&t="),
            "{first}"
        );
        script.answer(200, OPEN).await;
        let mut says = Script::accept(&listener).await;
        let post = says.request().await;
        assert!(post.starts_with("POST ") && post.contains("&sid=s%2Fid%20%3F&"), "{post}");
        let mut body = [0; 2];
        says.0.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"40");
        says.answer(200, "ok").await;
        script.request().await;
        script.answer(200, "40{\"sid\":\"x\"}").await;
        script
    };
    let (socket, script) = tokio::join!(client.connect(&url), serve);
    (socket.unwrap(), script, listener)
}

#[tokio::test]
async fn a_server_that_does_not_open_a_session_is_told_apart() {
    let says = refused(client(), 400, r#"{"code":5,"message":"Unsupported protocol version"}"#);
    let says = says.await;
    assert!(says.contains("status 400") && says.contains("Unsupported protocol version"), "{says}");
    for (body, error) in [
        ("", "no packet"),
        ("hello", "no open packet"),
        ("0{\"sid\":\"\",\"pingInterval\":1,\"pingTimeout\":1}", "an id of 0 bytes"),
        (&"0".repeat(3000), "more than 2000 bytes"),
    ] {
        let says = refused(client().message_bytes_max(1000), 200, body).await;
        assert!(says.contains(error), "{says}");
    }
    // What is said about an error is not read without end.
    let says = refused(client(), 500, &"x".repeat(1 << 20)).await;
    assert!(says.len() < 6000 && says.contains("status 500"), "{}", says.len());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let (listener, url) = listen().await;
    let connecting = client().timeout(Duration::from_millis(50)).connect(&url);
    let (connected, _script) = tokio::join!(connecting, Script::accept(&listener));
    assert!(matches!(connected, Err(ConnectError::TimedOut { .. })));
    // No HTTP at all.
    let serve = async {
        let mut script = Script::accept(&listener).await;
        script.raw(b"SSH-2.0-x\r\n\r\n").await;
        script
    };
    let (connected, _script) = tokio::join!(client().connect(&url), serve);
    assert!(matches!(connected, Err(ConnectError::Unreachable { .. })), "{connected:?}");
}

#[tokio::test]
async fn an_answer_that_is_none_ends_the_connection_with_a_clear_error() {
    for (body, error) in [
        ("4hello", "unknown kind"),
        ("42[\"a\"", "byte"),
        ("bA", "not base64"),
        ("4511-[]", "more than 10 attachments"),
        ("", "no packet"),
    ] {
        let (socket, mut script, _listener) = connected(client()).await;
        let asked = tokio::spawn({
            let socket = socket.clone();
            async move { socket.emit_with_ack("q", &()).await }
        });
        script.request().await;
        script.answer(200, body).await;
        let Ended::Fault(fault) = socket.closed().await else { panic!("{body}") };
        assert!(fault.to_string().contains(error), "{body}: {fault}");
        let asked = asked.await.unwrap();
        let is_told = matches!(asked, Err(SocketError::Abandoned | SocketError::Closed(_)));
        assert!(is_told, "{asked:?}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_held() {
    let (socket, mut script, _listener) = connected(client().message_bytes_max(100_000)).await;
    script.request().await;
    script.raw(b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = [b"8000\r\n4", &[b'x'; 0x7fff][..], b"\r\n"].concat();
    let flood = async { while script.0.write_all(&chunk).await.is_ok() {} };
    let (ended, ()) = tokio::join!(socket.closed(), flood);
    let Ended::Fault(fault) = ended else { panic!("{ended}") };
    assert!(fault.to_string().contains("more than 200000 bytes"), "{fault}");
}

#[tokio::test]
async fn a_server_that_goes_is_noticed() {
    let (socket, mut script, _listener) = connected(client()).await;
    script.request().await;
    drop(script);
    let ended = socket.closed().await;
    assert!(matches!(ended, Ended::Fault(_) | Ended::Broken(_) | Ended::There), "{ended}");
    assert!(ended.is_passing());
}
