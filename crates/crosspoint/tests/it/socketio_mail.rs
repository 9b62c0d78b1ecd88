//! Messages that are kept for clients of Socket.IO that are absent.

use crate::socketio_common::Plugin;
use crosspoint::socketio::store::{Bound, Bounds, Change, Disk, Entry, KeepError, Kept, Mailboxes};
use crosspoint::socketio::store::{Memory, MessageStore, StoreError};
use crosspoint::socketio::{
    Acknowledged, Application, ApplicationBuilder, Args, EmitError, Letter, MailError, Mailbox,
    Notice,
};
use crosspoint::{Duplicates, Failure, HubOptions, Node, Payload, PresenceEvent, Server, Shape};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc as threads};
use std::time::Duration;
use tokio::sync::mpsc;

/// The folder in which the program that is killed keeps messages.
const FOLDER: &str = "CROSSPOINT_TEST_MAIL_FOLDER";

struct World {
    hub: Server,
    address: SocketAddr,
    program: Application,
    acknowledged: mpsc::UnboundedReceiver<(String, String)>,
}

impl World {
    async fn new(mailbox: Mailbox) -> Self {
        Self::with(Application::builder().mailbox(mailbox)).await
    }

    async fn with(builder: ApplicationBuilder) -> Self {
        Self::at(HubOptions::default(), builder).await
    }

    async fn at(hub: HubOptions, builder: ApplicationBuilder) -> Self {
        let hub = Server::new(hub);
        let address = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let (told, acknowledged) = mpsc::unbounded_channel();
        let tell = move |acknowledged: Acknowledged| {
            told.send((acknowledged.by, acknowledged.args.json())).unwrap();
            async {}
        };
        let program = builder.on_ack("done", tell).connect(hub.inside(Shape::default()));
        let program = program.await.unwrap();
        Self { hub, address, program, acknowledged }
    }

    async fn keep(&self, to: &str, number: u32) {
        let letter = Letter::new("job", Args::of(&[number]).unwrap());
        let letter = letter.on_ack("done", Args::of(&["job", &number.to_string()]).unwrap());
        self.program.emit_persistent(to, &letter).await.unwrap();
    }

    /// A client who gets this job next. Gives the id of the acknowledgement.
    async fn hears(client: &mut Plugin, number: u32) -> String {
        loop {
            let (id, array) = client.asked().await;
            // By which a client hears that it shares its name.
            if array != r#"["SERVER_PING"]"# {
                assert_eq!(array, format!(r#"["job",{number}]"#));
                return id;
            }
        }
    }

    async fn stop(self) {
        self.program.close().await;
        self.hub.stop().await;
    }
}

#[tokio::test]
async fn a_message_waits_for_the_client_and_is_forgotten_when_it_is_acknowledged() {
    let mut world = World::new(Mailbox::memory(Bounds::default())).await;
    for number in 0..100 {
        world.keep("ann", number).await;
    }
    world.keep("bob", 7).await;
    let mut ann = Plugin::named(world.address, "ann").await;
    for number in 0..100 {
        let id = World::hears(&mut ann, number).await;
        ann.say(&format!(r#"43{id}["ok",{number}]"#)).await;
        let told = world.acknowledged.recv().await.unwrap();
        assert_eq!(told, ("ann".to_owned(), format!(r#"["job","{number}","ok",{number}]"#)));
    }
    // One who is there gets it at once.
    world.keep("ann", 100).await;
    let id = World::hears(&mut ann, 100).await;
    ann.say(&format!("43{id}[]")).await;
    world.acknowledged.recv().await.unwrap();
    world.program.emit("ann", "last", Args::new()).await.unwrap();
    assert_eq!(ann.text().await, r#"42["last"]"#);
    drop(ann);
    let mut ann = back(&world, "ann").await;
    world.program.emit("ann", "last", Args::new()).await.unwrap();
    assert_eq!(ann.text().await, r#"42["last"]"#);
    let mut bob = Plugin::named(world.address, "bob").await;
    World::hears(&mut bob, 7).await;
    world.stop().await;
}

/// A client comes whose name is still that of a session that is about to end.
async fn back(world: &World, name: &str) -> Plugin {
    while world.program.client(name).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    Plugin::named(world.address, name).await
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_in_its_order() {
    let mut world = World::new(Mailbox::memory(Bounds::default())).await;
    for number in 0..5 {
        world.keep("ann", number).await;
    }
    let mut ann = Plugin::named(world.address, "ann").await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(World::hears(&mut ann, number).await);
    }
    ann.say(&format!("43{}[]", ids[3])).await;
    world.acknowledged.recv().await.unwrap();
    drop(ann);
    let mut ann = back(&world, "ann").await;
    for number in [0, 1, 2, 4] {
        World::hears(&mut ann, number).await;
    }
    // Nobody else gets them, and a message that is taken back is not sent.
    let letter = Letter::new("job", Args::of(&[5]).unwrap());
    let receipt = world.program.emit_persistent("bob", &letter).await.unwrap();
    assert!(receipt.cancel().await.unwrap());
    assert!(!receipt.cancel().await.unwrap());
    world.keep("bob", 6).await;
    let mut bob = Plugin::named(world.address, "bob").await;
    World::hears(&mut bob, 6).await;
    world.stop().await;
}

#[tokio::test]
async fn where_names_are_shared_the_newest_gets_what_was_not_acknowledged_and_after_it_the_one_before()
 {
    let hub = HubOptions { duplicates: Duplicates::Newest, ..HubOptions::default() };
    let builder = Application::builder().mailbox(Mailbox::memory(Bounds::default()));
    let mut world = World::at(hub, builder).await;
    for number in 0..3 {
        world.keep("ann", number).await;
    }
    let mut first = Plugin::named(world.address, "ann").await;
    for number in 0..3 {
        let id = World::hears(&mut first, number).await;
        if number == 1 {
            first.say(&format!("43{id}[]")).await;
            world.acknowledged.recv().await.unwrap();
        }
    }
    let mut second = Plugin::named(world.address, "ann").await;
    for number in [0, 2] {
        World::hears(&mut second, number).await;
    }
    world.keep("ann", 3).await;
    let id = World::hears(&mut second, 3).await;
    second.say(&format!("43{id}[]")).await;
    world.acknowledged.recv().await.unwrap();
    drop(second);
    for number in [0, 2] {
        let id = World::hears(&mut first, number).await;
        first.say(&format!("43{id}[]")).await;
        world.acknowledged.recv().await.unwrap();
    }
    world.keep("ann", 4).await;
    World::hears(&mut first, 4).await;
    world.stop().await;
}

#[tokio::test]
async fn messages_outlive_the_hub_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = || Mailbox::file(folder.path().join("mail"), Bounds::default());
    let world = World::new(file()).await;
    for number in 0..3 {
        world.keep("ann", number).await;
    }
    let args = Args::of(&["x"]).unwrap().with_bytes(&b"\0\xff"[..]);
    world.program.emit_persistent("ann", &Letter::new("raw", args)).await.unwrap();
    // Another program cannot open it meanwhile.
    let other = Application::builder().mailbox(file());
    assert!(other.connect(world.hub.inside(Shape::default())).await.is_err());
    world.stop().await;

    let mut world = World::new(file()).await;
    let mut ann = Plugin::named(world.address, "ann").await;
    for number in 0..3 {
        let id = World::hears(&mut ann, number).await;
        ann.say(&format!("43{id}[]")).await;
        world.acknowledged.recv().await.unwrap();
    }
    let (_, array) = ann.asked().await;
    assert_eq!(array, r#"["raw","x",{"_placeholder":true,"num":0}]"#);
    assert_eq!(ann.bytes().await, b"\0\xff");
    world.stop().await;
}

/// The program that is killed: it keeps messages for ever, and tells of each when it is confirmed.
#[tokio::test]
#[ignore = "a part of another test"]
async fn the_program_that_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let world = World::new(Mailbox::file(Path::new(&folder).join("mail"), Bounds::default())).await;
    let mut out = std::io::stdout();
    for number in 0.. {
        world.keep(if number % 2 == 0 { "ann" } else { "bob" }, number).await;
        writeln!(out, "kept {number}").unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn a_killed_program_has_lost_nothing_that_was_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let mut confirmed = 0;
    for round in 1..=2 {
        let arguments =
            ["--ignored", "--exact", "--nocapture", "socketio_mail::the_program_that_is_killed"];
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(arguments)
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let kept = lines.map(Result::unwrap).filter(|line| line.contains("kept "));
        confirmed += kept.take(50 * round).count();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let disk = Disk::open(folder.path().join("mail")).unwrap();
    let mut mailboxes = Mailboxes::open(disk, Bounds::default()).unwrap();
    let (there, _) = mailboxes.usage();
    // What was written and not read, or not even told, may be there as well.
    assert!(there >= confirmed && confirmed == 150, "{there} of {confirmed}");
    for to in ["ann", "bob"] {
        let kept = mailboxes.read(0, to, 0, usize::MAX).unwrap();
        assert!(kept.is_sorted_by_key(|kept| kept.number));
    }
}

#[tokio::test]
async fn a_client_s_messages_are_bounded_and_others_get_theirs() {
    let bounds = Bounds { client_messages_max: 2, ..Bounds::default() };
    let world = World::new(Mailbox::memory(bounds)).await;
    world.keep("ann", 0).await;
    world.keep("ann", 1).await;
    let letter = Letter::new("job", Args::new());
    let full = world.program.emit_persistent("ann", &letter).await;
    assert!(
        matches!(full, Err(MailError::Keep(KeepError::Full(Bound::ClientMessages)))),
        "{full:?}"
    );
    world.keep("bob", 2).await;
    let mut bob = Plugin::named(world.address, "bob").await;
    World::hears(&mut bob, 2).await;
    for (to, event) in [("", "job"), ("ann", "disconnect"), (&*"n".repeat(256), "job")] {
        let wrong = world.program.emit_persistent(to, &Letter::new(event, Args::new())).await;
        assert!(matches!(wrong, Err(MailError::Name(_) | MailError::Emit(_))), "{wrong:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_message_whose_time_is_over_is_not_sent() {
    let bounds = Bounds { time_max: Some(Duration::ZERO), ..Bounds::default() };
    let world = World::new(Mailbox::memory(bounds)).await;
    let mut ann = Plugin::named(world.address, "ann").await;
    world.keep("ann", 0).await;
    ann.heard_all().await;
    drop(ann);
    let mut ann = back(&world, "ann").await;
    ann.heard_all().await;
    world.stop().await;
}

#[tokio::test]
async fn a_program_does_not_start_with_a_damaged_file_and_hears_which_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail");
    let world = World::new(Mailbox::file(&path, Bounds::default())).await;
    for number in 0..20 {
        world.keep("ann", number).await;
    }
    world.stop().await;
    let mut file = std::fs::read(&path).unwrap();
    // Behind the head of the file, so that it is taken for one of a mailbox.
    file[4096..].fill(0);
    std::fs::write(&path, file).unwrap();
    let hub = Server::new(HubOptions::default());
    let program = Application::builder().mailbox(Mailbox::file(&path, Bounds::default()));
    let started = program.connect(hub.inside(Shape::default())).await;
    let error = started.unwrap_err().to_string();
    assert!(error.contains(&path.display().to_string()) && error.contains("damaged"), "{error}");
}

#[tokio::test]
async fn what_a_client_refuses_stays_and_is_told() {
    let (told, mut notices) = mpsc::unbounded_channel();
    let builder = Application::builder().mailbox(Mailbox::memory(Bounds::default()));
    let mut world =
        World::with(builder.on_notice(move |notice| told.send(notice.to_string()).unwrap())).await;
    world.keep("bob", 0).await;
    world.keep("bob", 1).await;
    // A native program without a handler, and one with it.
    let bob =
        Node::builder().name("bob").connect(world.hub.inside(Shape::default())).await.unwrap();
    let notice = notices.recv().await.unwrap();
    assert!(
        notice.starts_with("message 0 for bob is not delivered: the client refuses"),
        "{notice}"
    );
    bob.close().await;
    let bob =
        Node::builder().name("bob").serve("job", |(number,): (u32,)| async move { Ok(number) });
    let _bob = bob.connect(world.hub.inside(Shape::default())).await.unwrap();
    for number in 0..2 {
        let told = world.acknowledged.recv().await.unwrap();
        assert_eq!(told.1, format!(r#"["job","{number}",{number}]"#));
    }
    world.stop().await;
}

#[tokio::test]
async fn who_goes_and_is_back_before_anybody_is_told_gets_what_was_not_acknowledged() {
    let mut world = World::new(Mailbox::memory(Bounds::default())).await;
    // So many that the hub gathers who comes and goes.
    let mut watchers = Vec::new();
    for _ in 0..100 {
        let node = Node::builder().connect(world.hub.inside(Shape::default())).await.unwrap();
        let watch = node.watch().await.unwrap();
        watchers.push((node, watch));
    }
    let (told, mut got) = mpsc::unbounded_channel();
    let silent = Node::builder().name("ann").handle("job", move |_| {
        told.send(()).unwrap();
        std::future::pending::<Result<Payload, Failure>>()
    });
    let silent = silent.connect(world.hub.inside(Shape::default())).await.unwrap();
    // All have heard of her.
    let (_, news) = &mut watchers[0];
    assert!(matches!(news.next().await, Some(PresenceEvent::Came(_))));
    world.keep("ann", 0).await;
    got.recv().await.unwrap();
    let id = silent.peer_id();
    silent.close().await;
    let ann = Node::builder().name("ann").peer_id(id);
    let ann = ann.serve("job", |(number,): (u32,)| async move { Ok(number) });
    let _ann = ann.connect(world.hub.inside(Shape::default())).await.unwrap();
    let told = world.acknowledged.recv().await.unwrap();
    assert_eq!(told.1, r#"["job","0",0]"#);
    world.stop().await;
}

/// A store in memory that tells how much is forgotten at a time, and waits until it may.
struct Counting {
    memory: Memory,
    allowed: threads::Receiver<()>,
    forgotten: mpsc::UnboundedSender<usize>,
}

impl MessageStore for Counting {
    fn survey(&mut self, each: &mut dyn FnMut(Entry)) -> Result<u64, StoreError> {
        self.memory.survey(each)
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let forgotten = changes.iter().filter(|change| matches!(change, Change::Forget { .. }));
        if let count @ 1.. = forgotten.count() {
            self.forgotten.send(count).unwrap();
            self.allowed.recv().unwrap();
        }
        self.memory.apply(changes)
    }

    fn read(&mut self, to: &str, from: u64, bytes_max: usize) -> Result<Vec<Kept>, StoreError> {
        self.memory.read(to, from, bytes_max)
    }
}

#[tokio::test]
async fn many_acknowledgements_take_one_wait_for_the_disk() {
    let (allow, allowed) = threads::channel();
    let (forgotten, mut counts) = mpsc::unbounded_channel();
    let store = Counting { memory: Memory::default(), allowed, forgotten };
    let mut world = World::new(Mailbox::in_store(store, Bounds::default())).await;
    for number in 0..32 {
        world.keep("ann", number).await;
    }
    let mut ann = Plugin::named(world.address, "ann").await;
    for number in 0..32 {
        let id = World::hears(&mut ann, number).await;
        ann.say(&format!("43{id}[]")).await;
    }
    // All are acknowledged while the disk is at work for the first.
    let mut count = counts.recv().await.unwrap();
    for _ in 0..32 {
        world.acknowledged.recv().await.unwrap();
    }
    allow.send(()).unwrap();
    let mut waits = 1;
    while count < 32 {
        count += counts.recv().await.unwrap();
        allow.send(()).unwrap();
        waits += 1;
    }
    assert!(waits < 16, "{waits}");
    world.stop().await;
}

/// A store that does nothing until it is allowed to, and then what it is told.
struct Slow {
    memory: Memory,
    allowed: threads::Receiver<bool>,
    begun: mpsc::UnboundedSender<()>,
}

impl MessageStore for Slow {
    fn survey(&mut self, each: &mut dyn FnMut(Entry)) -> Result<u64, StoreError> {
        self.memory.survey(each)
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.begun.send(()).unwrap();
        match self.allowed.recv() {
            Ok(true) => self.memory.apply(changes),
            _ => Err(StoreError::Failed("no space".to_owned())),
        }
    }

    fn read(&mut self, to: &str, from: u64, bytes_max: usize) -> Result<Vec<Kept>, StoreError> {
        self.memory.read(to, from, bytes_max)
    }
}

#[tokio::test]
async fn a_store_that_is_slow_or_fails_harms_nobody_else() {
    let (allow, allowed) = threads::channel();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let slow = Slow { memory: Memory::default(), allowed, begun };
    let notices = Arc::new(Mutex::new(Vec::new()));
    let told = notices.clone();
    let builder = Application::builder().mailbox(Mailbox::in_store(slow, Bounds::default()));
    let builder =
        builder.on_notice(move |notice: &Notice| told.lock().unwrap().push(notice.clone()));
    let world = World::with(builder).await;
    let mut ann = Plugin::named(world.address, "ann").await;

    let letter = |number: u32| Letter::new("job", Args::of(&[number]).unwrap());
    let (first, program) = (letter(0), world.program.clone());
    let keeping = tokio::spawn(async move { program.emit_persistent("ann", &first).await });
    begins.recv().await.unwrap();
    // While the disk hangs, all else goes on, and nothing is sent that is not written down.
    world.program.emit("ann", "now", Args::new()).await.unwrap();
    assert_eq!(ann.text().await, r#"42["now"]"#);
    ann.heard_all().await;
    allow.send(false).unwrap();
    let failed = keeping.await.unwrap();
    assert!(matches!(failed, Err(MailError::Keep(KeepError::Store(_)))), "{failed:?}");
    ann.heard_all().await;

    allow.send(true).unwrap();
    world.program.emit_persistent("ann", &letter(1)).await.unwrap();
    let id = World::hears(&mut ann, 1).await;
    // It cannot be forgotten, so that it comes again.
    allow.send(false).unwrap();
    ann.say(&format!("43{id}[]")).await;
    let id = World::hears(&mut ann, 1).await;
    let told = notices.lock().unwrap().clone();
    let is_told = |notice: &Notice| matches!(notice, Notice::Store { .. });
    assert!(!told.is_empty() && told.iter().all(is_told), "{told:?}");
    allow.send(true).unwrap();
    ann.say(&format!("43{id}[]")).await;
    drop(allow);
    world.stop().await;
}

#[tokio::test]
async fn a_program_without_a_mailbox_keeps_nothing() {
    let hub = Server::new(HubOptions::default());
    let program = Application::builder().connect(hub.inside(Shape::default())).await.unwrap();
    let nowhere = program.emit_persistent("ann", &Letter::new("job", Args::new())).await;
    assert!(matches!(nowhere, Err(MailError::NoMailbox)));
    let missing = program.emit("ann", "job", Args::new()).await;
    assert_eq!(missing, Err(EmitError::NotConnected("ann".to_owned())));
}
