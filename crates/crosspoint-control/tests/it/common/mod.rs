//! A hub with its control center, and a client of HTTP.

use crosspoint::{EnterOptions, Hub, HubOptions, Member, Node, Server, ServerOptions, Shape};
use crosspoint_control::{Access, Control, ControlOptions, Token};
use crosspoint_net::http::HttpOptions;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing_subscriber::fmt::MakeWriter;

/// What everybody has to present in these tests.
pub(crate) const TOKEN: &str = "a-token-of-the-tests";

/// The header that presents it.
pub(crate) const BEARER: &str = "Authorization: Bearer a-token-of-the-tests\r\n";

/// The header of requests that change something.
pub(crate) const MARK: &str = "Crosspoint-Control: 1\r\n";

/// Everything in a test happens within this; only what does not happen takes so long.
const SOON: Duration = Duration::from_secs(30);

/// A hub that runs.
pub(crate) struct Served {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
}

/// How the control center is set up in most tests.
pub(crate) fn usual() -> ControlOptions {
    ControlOptions { token: Some(Token::new(TOKEN).unwrap()), ..ControlOptions::default() }
}

/// A control center that asks everybody for the token.
pub(crate) fn closed() -> ControlOptions {
    ControlOptions { access: Access::Token, ..usual() }
}

/// Runs a hub.
pub(crate) fn serve(hub: HubOptions, control: ControlOptions) -> Served {
    hear_everything();
    let hub = Hub::new(hub);
    let routes = Some(Control::new(hub.clone(), control).router());
    let http = HttpOptions { routes, ..HttpOptions::default() };
    let server = Server::with_hub(hub, ServerOptions { http, ..ServerOptions::default() });
    let address = server.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    Served { server, address }
}

impl Served {
    /// A program with a name.
    pub(crate) async fn node(&self, name: &str) -> Node {
        Node::builder().name(name).connect(format!("tcp://{}", self.address)).await.unwrap()
    }

    /// A program inside this one.
    pub(crate) async fn inside(&self, name: &str) -> Node {
        Node::builder().name(name).connect(self.server.inside(Shape::default())).await.unwrap()
    }

    /// Asks as a program on this machine does.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}", self.address);
        self.raw(&format!("{head}Connection: close\r\n\r\n")).await
    }

    /// Sends something and reads the answer.
    pub(crate) async fn raw(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(SOON, read).await.expect("an answer").unwrap();
        Answer::new(answer)
    }

    /// The JSON of a page.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// Asks until an answer is as it should be, which is a second old at most.
    pub(crate) async fn until(&self, path: &str, is_right: impl Fn(&Value) -> bool) -> Value {
        let asked = async {
            loop {
                let answer = self.json(path).await;
                if is_right(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, asked).await.unwrap_or_else(|_| panic!("{path} stays wrong"))
    }

    /// The number of the session with a name.
    pub(crate) async fn number(&self, name: &str) -> u64 {
        let path = format!("/api/v1/sessions?search={name}");
        let list = self.until(&path, |list| list["matched"] == 1).await;
        list["sessions"][0]["session"].as_u64().unwrap()
    }

    /// Begins an event stream.
    pub(crate) async fn follow(&self, query: &str, headers: &str) -> Events {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET /api/v1/events{query} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut events = Events { stream, raw: Vec::new(), text: String::new(), is_over: false };
        let head = events.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("text/event-stream") && head.contains("no-store"), "{head}");
        events
    }
}

/// Enters a room, which is made if there is none.
pub(crate) async fn enter(node: &Node, room: &str) -> Member {
    node.enter(room, EnterOptions::new().room()).await.unwrap()
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn new(bytes: Vec<u8>) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        Self { status, head, body: bytes[end..].to_vec() }
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|(is, _)| is.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("Content-Type"), Some("application/json"));
        assert_eq!(self.header("Cache-Control"), Some("no-store"));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code and the message of an error.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let error = self.json();
        let text = |name: &str| error[name].as_str().unwrap().to_owned();
        (self.status, text("error"), text("message"))
    }
}

/// An event stream, as it comes.
pub(crate) struct Events {
    stream: TcpStream,
    raw: Vec<u8>,
    text: String,
    pub(crate) is_over: bool,
}

impl Events {
    async fn more(&mut self) {
        let read = self.stream.read_buf(&mut self.raw);
        let read = tokio::time::timeout(SOON, read).await.expect("something more").unwrap_or(0);
        self.is_over |= read == 0;
    }

    async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.raw.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.raw.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(!self.is_over, "the connection ends without an answer");
            self.more().await;
        }
    }

    /// Takes chunks that are there whole.
    fn unwrap_chunks(&mut self) {
        while let Some(line) = self.raw.windows(2).position(|two| two == b"\r\n") {
            let length = str::from_utf8(&self.raw[..line]).unwrap();
            let length = usize::from_str_radix(length, 16).unwrap();
            let end = line + 2 + length + 2;
            if self.raw.len() < end {
                break;
            }
            self.is_over |= length == 0;
            self.text += str::from_utf8(&self.raw[line + 2..end - 2]).unwrap();
            self.raw.drain(..end);
        }
    }

    /// The next event and its data; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            self.unwrap_chunks();
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let Some((name, data)) = event.trim_end().split_once('\n') else { continue };
                let name = name.strip_prefix("event: ").unwrap().to_owned();
                let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
                return Some((name, data));
            }
            if self.is_over {
                return None;
            }
            self.more().await;
        }
    }

    /// Reads on until an event of this name.
    pub(crate) async fn wait_for(&mut self, name: &str) -> Value {
        self.wait_until(name, |_| true).await
    }

    /// Reads on until an event of this name is as it should be.
    pub(crate) async fn wait_until(
        &mut self,
        name: &str,
        is_right: impl Fn(&Value) -> bool,
    ) -> Value {
        loop {
            let (is, data) = self.next().await.expect("the stream goes on");
            if is == name && is_right(&data) {
                return data;
            }
        }
    }

    /// Reads to the end of the stream.
    pub(crate) async fn end(mut self) {
        while self.next().await.is_some() {}
    }
}

/// What is logged in this thread, without colours.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        hear_everything();
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone());
        let guard = tracing::subscriber::set_default(subscriber.finish());
        (log, guard)
    }

    /// The lines about the control center, from their message on.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let ours = text.lines().filter_map(|line| line.split_once("control action="));
        ours.map(|(_, line)| format!("action={line}")).collect()
    }
}

/// Lets no line be taken for one that nobody hears: where a test of another thread says it first, it would be lost for
/// all.
fn hear_everything() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let all = tracing_subscriber::fmt().with_writer(std::io::sink);
        tracing::subscriber::set_global_default(all.finish()).unwrap();
    });
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
