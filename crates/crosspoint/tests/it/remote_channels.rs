//! Typed calls over the channels of a hub.

use crate::common::{channel, ended, heard, left, newcomer, silence, told};
use crosspoint::remote::{Bytes, CallError, Malicious, Origin, TransportError};
use crosspoint::testing::{node, two_nodes};
use crosspoint::{
    ChannelError, ChannelOptions, EnterOptions, Member, MemberEvent, MemberNumber, Node, Owner,
    OwnerEvent, Reason, Shape,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const A: MemberNumber = MemberNumber(0);
const B: MemberNumber = MemberNumber(1);

/// What the owner offers.
#[crosspoint::remote]
trait Bank {
    fn pay(&mut self, #[remote(caller)] from: Origin, sum: i32);
    fn balance(&self) -> i32;
    fn statement(&self, lines: i32) -> Bytes;
}

#[derive(Clone, Default)]
struct Account(Arc<Mutex<Vec<(Origin, i32)>>>);

impl Bank for Account {
    fn pay(&mut self, from: Origin, sum: i32) {
        self.0.lock().unwrap().push((from, sum));
    }
    fn balance(&self) -> i32 {
        self.0.lock().unwrap().iter().map(|(_, sum)| sum).sum()
    }
    fn statement(&self, lines: i32) -> Bytes {
        vec![b'-'; lines as usize].into()
    }
}

/// What a member offers.
#[crosspoint::remote]
trait Display {
    fn show(&mut self, text: String);
    fn width(&self) -> i32;
}

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<String>>>, i32);

impl Display for Screen {
    fn show(&mut self, text: String) {
        self.0.lock().unwrap().push(text);
    }
    fn width(&self) -> i32 {
        self.1
    }
}

async fn calling(ann: &Node, bob: &Node) -> (Owner, Member) {
    let (create, enter) = (ChannelOptions::new().calls(), EnterOptions::new().calls());
    channel(ann, bob, create, enter).await
}

/// Reads until a future is done. Panics on events.
async fn while_owner_reads<T>(owner: &mut Owner, future: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        event = owner.next() => panic!("{event:?}"),
        result = future => result,
    }
}

async fn while_member_reads<T>(member: &mut Member, future: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        event = member.next() => panic!("{event:?}"),
        result = future => result,
    }
}

#[tokio::test(start_paused = true)]
async fn several_objects_of_both_sides_are_called_and_answer() {
    let (_hub, ann, bob) = two_nodes().await;
    let (mut owner, mut member) = calling(&ann, &bob).await;
    let (first, second) = (Account::default(), Account::default());
    owner.register(1, BankDispatch::new(first.clone())).unwrap();
    owner.register(200, BankDispatch::new(second.clone())).unwrap();
    assert!(owner.register(1, BankDispatch::new(first.clone())).is_err());
    for object in [1, 200] {
        let announced = MemberEvent::Announced { from: None, object };
        assert_eq!(told(&mut member).await, announced);
    }
    let one = BankCaller::new(member.calls(), 1);
    let other = BankCaller::new(member.calls(), 200);
    let balances = async {
        one.pay(5).unwrap();
        one.pay(7).unwrap();
        other.pay(100).unwrap();
        (one.balance().await, other.balance().await)
    };
    let balances = while_owner_reads(&mut owner, balances).await;
    assert_eq!(balances, (Ok(12), Ok(100)));
    let from = Origin::Member(A);
    assert_eq!(*first.0.lock().unwrap(), [(from, 5), (from, 7)]);

    let screen = Screen(Arc::default(), 80);
    member.register(0, DisplayDispatch::new(screen.clone())).unwrap();
    let announced = OwnerEvent::Announced { member: A, object: 0 };
    assert_eq!(heard(&mut owner).await, announced);
    let display = DisplayCaller::new(&owner.calls(A), 0);
    let width = async {
        display.show("balance: 12".into()).unwrap();
        display.width().await
    };
    assert_eq!(while_member_reads(&mut member, width).await, Ok(80));
    assert_eq!(*screen.0.lock().unwrap(), ["balance: 12"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_enters_later_hears_of_all_objects_and_all_are_called_at_once() {
    let (hub, ann, bob) = two_nodes().await;
    let (mut owner, mut b) = calling(&ann, &bob).await;
    owner.register(7, BankDispatch::new(Account::default())).unwrap();
    let cid = node(&hub, "Cid", Shape::default()).await;
    let mut c = cid.enter("channel", EnterOptions::new().calls()).await.unwrap();
    assert_eq!(newcomer(&mut owner).await, B);
    let screens = [Screen::default(), Screen::default()];
    for (member, screen) in [&mut b, &mut c].into_iter().zip(&screens) {
        let (from, object) = (None, 7);
        assert_eq!(told(member).await, MemberEvent::Announced { from, object });
        member.register(0, DisplayDispatch::new(screen.clone())).unwrap();
    }
    let all = DisplayCaller::new(&owner.calls_to_all(None), 0);
    all.show("all".into()).unwrap();
    let but_b = DisplayCaller::new(&owner.calls_to_all(Some(A)), 0);
    but_b.show("c".into()).unwrap();
    silence(b.next()).await;
    silence(c.next()).await;
    assert_eq!(*screens[0].0.lock().unwrap(), ["all"]);
    assert_eq!(*screens[1].0.lock().unwrap(), ["all", "c"]);
    assert_eq!(all.width().await, Err(CallError::NoReplies));
}

#[tokio::test(start_paused = true)]
async fn malformed_calls_name_the_member_and_change_nothing() {
    let (hub, ann, bob) = two_nodes().await;
    let mut owner = ann.create("channel", ChannelOptions::new().calls()).await.unwrap();
    let account = Account::default();
    owner.register(0, BankDispatch::new(account.clone())).unwrap();
    // Entered without calls() a program can send whatever it wants.
    let member = bob.enter("channel", EnterOptions::new()).await.unwrap();
    newcomer(&mut owner).await;
    for (data, procedure) in
        [(&b"\0\0\x01\0\0"[..], 0), (b"\0\0\x01\0\0\0\0", 0), (b"\0\x03", 3), (b"\x09\x05", 5)]
    {
        member.send(data).await.unwrap();
        match heard(&mut owner).await {
            OwnerEvent::Malicious { member: A, error } => match error {
                Malicious::Refused { procedure: p, .. }
                | Malicious::UnknownObject { procedure: p, .. } => assert_eq!(p, procedure),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    assert!(account.0.lock().unwrap().is_empty());

    // Other traits at the two ends: both hear of it, and the channel goes on.
    let cid = node(&hub, "Cid", Shape::default()).await;
    let other = cid.enter("channel", EnterOptions::new().calls()).await.unwrap();
    assert_eq!(newcomer(&mut owner).await, B);
    let wrong = DisplayCaller::new(other.calls(), 0);
    wrong.show("12".into()).unwrap();
    match heard(&mut owner).await {
        OwnerEvent::Malicious { member: B, .. } => {}
        other => panic!("{other:?}"),
    }
    let nothing = DisplayCaller::new(other.calls(), 5);
    let (width, event) = tokio::join!(nothing.width(), owner.next());
    assert_eq!(width, Err(CallError::UnknownObject { object: 5 }));
    assert!(matches!(event, Some(OwnerEvent::Malicious { member: B, .. })), "{event:?}");
    let right = BankCaller::new(other.calls(), 0);
    assert_eq!(while_owner_reads(&mut owner, right.balance()).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn calls_to_a_channel_of_messages_are_malicious_and_messages_do_not_mix_with_calls() {
    let (_hub, ann, bob) = two_nodes().await;
    let (mut owner, member) = {
        let enter = EnterOptions::new().calls();
        channel(&ann, &bob, ChannelOptions::new(), enter).await
    };
    let account = BankCaller::new(member.calls(), 0);
    let short = account.clone().with_timeout(Duration::from_millis(1));
    assert!(matches!(short.balance().await, Err(CallError::TimedOut { .. })));
    match heard(&mut owner).await {
        OwnerEvent::Malicious { member: A, error } => {
            assert!(matches!(error, Malicious::Kind { kind: 1 }), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(member.send("text").await, Err(ChannelError::OnlyCalls));
    let calls = BankCaller::new(&owner.calls(A), 0);
    assert_eq!(calls.pay(1), Err(TransportError::NoCalls.into()));
    assert_eq!(calls.balance().await, Err(TransportError::NoCalls.into()));
    owner.delete().await.unwrap();

    let raw = ann.create("raw", ChannelOptions::new().raw()).await.unwrap();
    let member = bob.enter("raw", EnterOptions::new().calls()).await;
    assert_eq!(member.unwrap_err(), ChannelError::Raw);
    let mut raw = raw;
    assert_eq!(newcomer(&mut raw).await, A);
    assert_eq!(heard(&mut raw).await, left(0, Reason::Left));
}

#[tokio::test(start_paused = true)]
async fn calls_end_with_the_other_side() {
    let (_hub, ann, bob) = two_nodes().await;
    let (mut owner, mut member) = calling(&ann, &bob).await;
    let display = DisplayCaller::new(&owner.calls(A), 0);
    let waiting = tokio::spawn({
        let display = display.clone();
        async move { display.width().await }
    });
    tokio::task::yield_now().await;
    let bank = BankCaller::new(member.calls(), 0);
    owner.kick(A).await.unwrap();
    assert_eq!(heard(&mut owner).await, left(0, Reason::Kicked));
    // The call has arrived before the kick, and its answer comes too late.
    let unknown = told(&mut member).await;
    assert!(matches!(unknown, MemberEvent::Malicious { from: None, .. }), "{unknown:?}");
    assert_eq!(told(&mut member).await, ended(Reason::Kicked));
    let closed = CallError::Transport(TransportError::Closed);
    assert_eq!(waiting.await.unwrap(), Err(closed.clone()));
    // Not even if somebody else has the number now.
    let _member = bob.enter("channel", EnterOptions::new().calls()).await.unwrap();
    newcomer(&mut owner).await;
    assert_eq!(display.show("late".into()), Err(closed.clone()));
    assert_eq!(bank.pay(1), Err(closed.clone()));
    assert_eq!(bank.balance().await, Err(closed.clone()));
    let nobody = DisplayCaller::new(&owner.calls(MemberNumber(9)), 0);
    assert_eq!(nobody.show("nobody".into()), Err(closed.clone()));
    assert_eq!(nobody.width().await, Err(closed));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_the_channel_is_refused_on_its_side() {
    let (_hub, ann, bob) = two_nodes().await;
    let create = ChannelOptions::new().calls().chunk_max(100);
    let (mut owner, member) = channel(&ann, &bob, create, EnterOptions::new().calls()).await;
    owner.register(0, BankDispatch::new(Account::default())).unwrap();
    let bank = BankCaller::new(member.calls(), 0);
    let fits = while_owner_reads(&mut owner, bank.statement(97)).await;
    assert_eq!(fits.unwrap().len(), 97);
    let (object, procedure) = (0, 2);
    let result = while_owner_reads(&mut owner, bank.statement(98)).await;
    assert_eq!(result, Err(CallError::ResultTooLarge { object, procedure }));
    let display = DisplayCaller::new(&owner.calls(A), 0);
    let (length, max) = (2 + 1 + 98, 100);
    assert_eq!(display.show("x".repeat(98)), Err(CallError::TooLarge { length, max }));
}

#[tokio::test]
async fn more_calls_than_may_wait_are_refused_without_waiting() {
    let (_hub, ann, bob) = two_nodes().await;
    let (mut owner, member) = calling(&ann, &bob).await;
    let account = Account::default();
    owner.register(0, BankDispatch::new(account.clone())).unwrap();
    let bank = BankCaller::new(member.calls(), 0);
    // Nothing is written as long as this task does not wait.
    let mut sent = 0;
    let congested = loop {
        match bank.pay(1) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(congested, CallError::Transport(TransportError::Congested));
    assert!(sent >= 100, "{sent}");
    let balance = while_owner_reads(&mut owner, async {
        loop {
            match bank.balance().await {
                Err(CallError::Transport(TransportError::Congested)) => {
                    tokio::task::yield_now().await
                }
                other => return other,
            }
        }
    });
    assert_eq!(balance.await, Ok(sent));
}

#[tokio::test(start_paused = true)]
async fn in_a_room_calls_reach_all_others() {
    let (_hub, ann, bob) = two_nodes().await;
    let options = EnterOptions::new().room().calls();
    let mut a = ann.enter("room", options.clone()).await.unwrap();
    let mut b = bob.enter("room", options).await.unwrap();
    let account = Account::default();
    a.register(4, BankDispatch::new(account.clone())).unwrap();
    let (from, object) = (Some(A), 4);
    assert_eq!(told(&mut b).await, MemberEvent::Announced { from, object });
    let bank = BankCaller::new(b.calls(), 4);
    bank.pay(3).unwrap();
    silence(a.next()).await;
    assert_eq!(*account.0.lock().unwrap(), [(Origin::Member(B), 3)]);
    assert_eq!(bank.balance().await, Err(CallError::NoReplies));
}
