//! Typed calls over a link whose two ends are joined by hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crosspoint::remote::{
    Answered, Bytes, CALL, CallError, CallTransport, Calls, DEFAULT_TIMEOUT, DecodeError, Fault,
    MESSAGE, Malicious, Objects, Origin, Outcome, REPLY, TransportError,
};
use crosspoint_hub::MemberNumber;

/// A game with calls of each form.
#[crosspoint::remote]
trait Game {
    fn hello(&mut self, name: String, loud: bool);
    fn add(&mut self, a: i32, b: i32) -> i32;
    fn who(&self, #[remote(caller)] from: Origin, _: u8) -> String;
    fn scores(&mut self, scores: BTreeMap<String, Vec<i16>>) -> Vec<BTreeMap<i32, f64>> {
        scores.into_values().map(|s| s.iter().map(|&n| (n.into(), n.into())).collect()).collect()
    }
}

#[derive(Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Game for Recorder {
    fn hello(&mut self, name: String, loud: bool) {
        self.0.lock().unwrap().push(format!("hello {name} {loud}"));
    }
    fn add(&mut self, a: i32, b: i32) -> i32 {
        a + b
    }
    fn who(&self, from: Origin, number: u8) -> String {
        format!("{from} sent {number}")
    }
}

/// One direction of the link: what was sent and not yet taken.
#[derive(Clone)]
struct Wire {
    sent: Arc<Mutex<VecDeque<(u8, Bytes)>>>,
    replies: bool,
    max: usize,
}

impl Wire {
    fn new() -> Self {
        Self { sent: Arc::default(), replies: true, max: usize::MAX }
    }

    fn take(&self) -> Option<(u8, Bytes)> {
        self.sent.lock().unwrap().pop_front()
    }
}

impl CallTransport for Wire {
    fn send(&self, kind: u8, payload: Bytes) -> Result<(), TransportError> {
        self.sent.lock().unwrap().push_back((kind, payload));
        Ok(())
    }
    fn replies(&self) -> bool {
        self.replies
    }
    fn max_payload(&self) -> usize {
        self.max
    }
}

const FROM: Origin = Origin::Member(MemberNumber(3));

fn recorder() -> (Objects, Arc<Mutex<Vec<String>>>) {
    let (mut objects, recorder) = (Objects::new(), Recorder::default());
    let said = recorder.0.clone();
    assert_eq!(objects.register(7, GameDispatch::new(recorder)).unwrap(), [7][..]);
    (objects, said)
}

/// Runs a call while carrying its message to the objects and the reply back.
async fn carried<T>(
    call: impl Future<Output = Result<T, CallError>>,
    wire: &Wire,
    calls: &Calls,
    objects: &mut Objects,
) -> Result<T, CallError> {
    let mut call = std::pin::pin!(call);
    loop {
        tokio::select! {
            biased;
            result = &mut call => return result,
            () = std::future::ready(()) => {}
        }
        while let Some((kind, payload)) = wire.take() {
            match objects.handle(FROM, kind, payload) {
                Outcome::Reply { payload, .. } => {
                    assert_eq!(calls.reply(payload), Some(Answered::Delivered));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_call_with_a_result_is_answered_with_it() {
    let (mut objects, _) = recorder();
    let wire = Wire::new();
    let calls = Calls::new(wire.clone());
    let game = GameCaller::new(&calls, 7);
    assert_eq!(carried(game.add(20, 22), &wire, &calls, &mut objects).await, Ok(42));
    assert_eq!(
        carried(game.who(9), &wire, &calls, &mut objects).await.as_deref(),
        Ok("member 3 sent 9")
    );
    let scores = BTreeMap::from([("ann".to_owned(), vec![1, -2])]);
    assert_eq!(
        carried(game.scores(scores), &wire, &calls, &mut objects).await,
        Ok(vec![BTreeMap::from([(1, 1.0), (-2, -2.0)])])
    );
    assert_eq!(calls.in_flight(), 0);
}

#[test]
fn a_call_without_a_result_is_the_message_of_the_haxe_library() {
    let (mut objects, said) = recorder();
    let wire = Wire { replies: false, ..Wire::new() };
    let game = GameCaller::new(&Calls::new(wire.clone()), 7);
    game.hello("Ann".to_owned(), true).unwrap();
    let (kind, payload) = wire.take().unwrap();
    assert_eq!((kind, &payload[..]), (MESSAGE, &b"\x07\x00\x03Ann\x01"[..]));
    assert_eq!(objects.handle(FROM, kind, payload), Outcome::Called { object: 7, procedure: 0 });
    assert_eq!(*said.lock().unwrap(), ["hello Ann true"]);
}

#[tokio::test]
async fn call_and_reply_have_the_documented_bytes() {
    let (mut objects, _) = recorder();
    let wire = Wire::new();
    let calls = Calls::new(wire.clone());
    let game = GameCaller::new(&calls, 7);
    for id in 0..200u8 {
        let mut call = polled_once(game.add(1, 2));
        let (kind, payload) = wire.take().unwrap();
        let head = if id < 0x80 { vec![id] } else { vec![id, 1] };
        assert_eq!(kind, CALL);
        assert_eq!(payload, [&head[..], &[7, 1, 1, 0, 0, 0, 2, 0, 0, 0]].concat());
        let Outcome::Reply { payload, malicious: None } = objects.handle(FROM, kind, payload)
        else {
            panic!("no reply");
        };
        assert_eq!(payload, [&head[..], &[0, 3, 0, 0, 0]].concat());
        assert_eq!(calls.reply(payload), Some(Answered::Delivered));
        assert_eq!(call.as_mut().await, Ok(3));
    }
}

/// A future that has been polled once and waits.
fn polled_once<T>(future: impl Future<Output = T>) -> std::pin::Pin<Box<impl Future<Output = T>>> {
    let mut future = Box::pin(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    future
}

#[tokio::test]
async fn a_call_can_be_made_in_a_task_of_its_own() {
    let (mut objects, _) = recorder();
    let wire = Wire::new();
    let calls = Calls::new(wire.clone());
    let game = GameCaller::new(&calls, 7);
    let task = tokio::spawn(async move { game.add(1, 2).await });
    tokio::task::yield_now().await;
    let (kind, payload) = wire.take().unwrap();
    let Outcome::Reply { payload, .. } = objects.handle(FROM, kind, payload) else {
        panic!("no reply");
    };
    calls.reply(payload);
    assert_eq!(task.await.unwrap(), Ok(3));
}

#[tokio::test]
async fn a_far_end_that_cannot_reply_is_not_asked() {
    let wire = Wire { replies: false, ..Wire::new() };
    let game = GameCaller::new(&Calls::new(wire.clone()), 7);
    assert_eq!(game.add(1, 2).await, Err(CallError::NoReplies));
    assert_eq!(wire.take(), None);
}

#[test]
fn a_call_above_the_size_of_the_link_is_not_sent() {
    let wire = Wire { max: 20, ..Wire::new() };
    let game = GameCaller::new(&Calls::new(wire.clone()), 7);
    assert_eq!(game.hello("x".repeat(16), true), Ok(()));
    assert_eq!(game.hello("x".repeat(17), true), Err(CallError::TooLarge { length: 21, max: 20 }));
    assert_eq!(wire.sent.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_reply_times_out_and_its_late_reply_is_nobodys() {
    let wire = Wire::new();
    let calls = Calls::new(wire.clone());
    let game = GameCaller::new(&calls, 7);
    let (object, procedure) = (7, 1);
    let start = tokio::time::Instant::now();
    assert_eq!(
        game.add(1, 2).await,
        Err(CallError::TimedOut { object, procedure, after: DEFAULT_TIMEOUT })
    );
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    let after = Duration::from_millis(300);
    assert_eq!(
        game.clone().with_timeout(after).add(1, 2).await,
        Err(CallError::TimedOut { object, procedure, after })
    );
    assert_eq!(calls.in_flight(), 0);
    assert_eq!(calls.reply(Bytes::from_static(&[0, 0, 3, 0, 0, 0])), Some(Answered::NobodyWaits));
}

#[tokio::test]
async fn dropped_calls_make_room_for_others() {
    let calls = Calls::with_limit(Wire::new(), 2);
    let game = GameCaller::new(&calls, 7);
    let first = polled_once(game.add(1, 1));
    let _second = polled_once(game.add(2, 2));
    assert_eq!(game.add(3, 3).await, Err(CallError::TooManyCalls { limit: 2 }));
    drop(first);
    assert_eq!(calls.in_flight(), 1);
    let _third = polled_once(game.add(3, 3));
}

#[tokio::test]
async fn a_closed_link_ends_waiting_and_later_calls() {
    let calls = Calls::new(Wire::new());
    let game = GameCaller::new(&calls, 7);
    let waiting = polled_once(game.add(1, 1));
    calls.close();
    assert_eq!(waiting.await, Err(TransportError::Closed.into()));
    assert_eq!(game.add(1, 1).await, Err(TransportError::Closed.into()));
}

#[tokio::test]
async fn a_refused_call_tells_both_ends_why() {
    /// A newer game than the far end has.
    #[crosspoint::remote]
    trait Newer {
        fn hello(&self) -> bool;
        fn add(&self, a: i32, b: i32) -> u8;
        fn who(&self);
        fn scores(&self);
        fn more(&self) -> bool;
    }
    let (mut objects, said) = recorder();
    let wire = Wire::new();
    let calls = Calls::new(wire.clone());
    let newer = NewerCaller::new(&calls, 7);
    let nobody = NewerCaller::new(&calls, 8);
    assert_eq!(
        carried(nobody.more(), &wire, &calls, &mut objects).await,
        Err(CallError::UnknownObject { object: 8 })
    );
    assert_eq!(
        carried(newer.more(), &wire, &calls, &mut objects).await,
        Err(CallError::UnknownProcedure { object: 7, procedure: 4 })
    );
    assert_eq!(
        carried(newer.hello(), &wire, &calls, &mut objects).await,
        Err(CallError::MalformedArguments { object: 7, procedure: 0 })
    );
    assert_eq!(
        carried(newer.add(1, 2), &wire, &calls, &mut objects).await,
        Err(CallError::MalformedResult(DecodeError::LeftOver { count: 3 }))
    );
    assert!(said.lock().unwrap().is_empty());

    let refused = |payload: &'static [u8], objects: &mut Objects| match objects
        .call(FROM, Bytes::from_static(payload))
    {
        Outcome::Reply { payload, malicious: Some(malicious) } => (payload, malicious),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refused(&[5, 8, 0], &mut objects),
        (vec![5, 1].into(), Malicious::UnknownObject { object: 8, procedure: 0 })
    );
    assert_eq!(
        refused(&[5, 7, 4], &mut objects),
        (
            vec![5, 2].into(),
            Malicious::Refused { object: 7, procedure: 4, fault: Fault::UnknownProcedure }
        )
    );
    assert_eq!(refused(&[5, 7], &mut objects), (vec![5, 3].into(), Malicious::Head));
}

#[test]
fn malicious_messages_are_named_and_change_nothing() {
    let (mut objects, said) = recorder();
    let refused =
        |procedure, fault| Outcome::Malicious(Malicious::Refused { object: 7, procedure, fault });
    for (kind, payload, outcome) in [
        (MESSAGE, &b""[..], Outcome::Malicious(Malicious::Empty)),
        (MESSAGE, b"\x07\x04", refused(4, Fault::UnknownProcedure)),
        (
            MESSAGE,
            b"\x07\x00\x03Ann",
            refused(0, DecodeError::Short { needed: 1, left: 0, at: 6 }.into()),
        ),
        (
            MESSAGE,
            b"\x07\x00\x03Ann\x01\x00",
            refused(0, DecodeError::LeftOver { count: 1 }.into()),
        ),
        (
            MESSAGE,
            b"\x08\x00",
            Outcome::Malicious(Malicious::UnknownObject { object: 8, procedure: 0 }),
        ),
        (CALL, b"\x80", Outcome::Malicious(Malicious::Head)),
        (REPLY, b"\x00\x00", Outcome::Malicious(Malicious::Kind { kind: REPLY })),
    ] {
        assert_eq!(objects.handle(FROM, kind, Bytes::from_static(payload)), outcome);
    }
    assert!(said.lock().unwrap().is_empty());
}

#[test]
fn malformed_replies_are_told_from_late_ones() {
    let calls = Calls::new(Wire::new());
    assert_eq!(calls.reply(Bytes::new()), None);
    assert_eq!(calls.reply(Bytes::from_static(&[4])), None);
    assert_eq!(calls.reply(Bytes::from_static(&[4, 0])), Some(Answered::NobodyWaits));
}

#[test]
fn objects_are_announced_until_they_are_removed() {
    let (mut objects, _) = recorder();
    objects.register(2, GameDispatch::new(Recorder::default())).unwrap();
    assert!(objects.register(2, GameDispatch::new(Recorder::default())).is_err());
    assert_eq!(objects.announcements().collect::<Vec<_>>(), [&[2][..], &[7]]);
    assert_eq!(objects.message(FROM, Bytes::from_static(&[9])), Outcome::Announced(9));
    assert!(objects.remove(2).is_some());
    assert_eq!(objects.announcements().count(), 1);
}

#[tokio::test]
async fn a_call_of_a_method_without_result_is_answered_when_it_has_run() {
    let (mut objects, said) = recorder();
    let payload = Bytes::from_static(b"\x05\x07\x00\x03Ann\x01");
    assert_eq!(
        objects.call(FROM, payload),
        Outcome::Reply { payload: vec![5, 0].into(), malicious: None }
    );
    assert_eq!(said.lock().unwrap().len(), 1);
}
