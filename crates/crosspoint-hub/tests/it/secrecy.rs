//! The hub application wants sessions encrypted: who is asked, and what becomes of those who wait.

use crate::common::*;
use crosspoint_hub::command::{ApplicationEvent, Command, Event, Hello};
use crosspoint_hub::payload::Payload;
use crosspoint_hub::secrecy::Fingerprint;
use crosspoint_hub::testing::{Events, events, open_as};
use crosspoint_hub::wire::Profile;
use crosspoint_hub::{Hub, Limits, Reason, Session};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Instant;

/// A wire whose protocol can begin to encrypt.
static SECRETIVE: Events = Events(Profile {
    name: "secretive",
    id: 92,
    application: true,
    secures: true,
    ..Events::PROFILE
});

const KEYS: Fingerprint = [7; 32];

fn secretive(hub: &Arc<Hub>) -> Session {
    let hello = Hello { peer: Some(peer_id(1)), ..Hello::default() };
    open_as(hub, Instant::now(), &SECRETIVE, None, hello)
}

fn secure(hub: &Hub) -> Receiver<Result<Fingerprint, Reason>> {
    let (sender, settled) = channel();
    let done = Box::new(move |outcome| sender.send(outcome).expect("the test lives as long"));
    assert_eq!(hub.secure(peer_id(1), done), Ok(()));
    settled
}

#[test]
fn only_who_can_is_asked_and_all_who_wait_are_told_once() {
    let hub = hub(Limits::default());
    let nobody = || Box::new(|_| panic!("it was refused"));
    assert_eq!(hub.secure(peer_id(1), nobody()), Err(Reason::NoSuchPeer));
    let _plain = open(&hub, 2, "");
    assert_eq!(hub.secure(peer_id(2), nobody()), Err(Reason::Unsupported));

    let mut session = secretive(&hub);
    assert_eq!(hub.secured(peer_id(1)), None);
    assert!(hub.tell(peer_id(1), Payload::text("before")));
    let waiting = [secure(&hub), secure(&hub)];
    assert!(hub.tell(peer_id(1), Payload::text("behind")));
    let told = events(&mut session);
    assert!(
        matches!(
            told[..],
            [
                Event::Application(ApplicationEvent::Told { .. }),
                Event::Secure,
                Event::Application(ApplicationEvent::Told { .. })
            ]
        ),
        "asked once, and in its place: {told:?}"
    );
    assert!(waiting.iter().all(|settled| settled.try_recv() == Err(TryRecvError::Empty)));
    ask(&mut session, Command::Secured { outcome: Ok(KEYS) });
    for settled in waiting {
        assert_eq!(settled.try_recv(), Ok(Ok(KEYS)));
        assert_eq!(settled.try_recv(), Err(TryRecvError::Disconnected));
    }
    assert_eq!(hub.secured(peer_id(1)), Some(KEYS));
    // Who asks again is told at once.
    assert_eq!(secure(&hub).try_recv(), Ok(Ok(KEYS)));
    assert_eq!(events(&mut session), []);
}

#[test]
fn what_the_endpoint_has_begun_is_known_too() {
    let hub = hub(Limits::default());
    let mut session = secretive(&hub);
    ask(&mut session, Command::Secured { outcome: Ok(KEYS) });
    assert_eq!(secure(&hub).try_recv(), Ok(Ok(KEYS)));
    assert_eq!(events(&mut session), []);
}

#[test]
fn a_no_and_the_end_of_the_session_are_told_to_all_who_wait() {
    let hub = hub(Limits::default());
    let mut session = secretive(&hub);
    let refused = secure(&hub);
    ask(&mut session, Command::Secured { outcome: Err(Reason::Unsupported) });
    assert_eq!(refused.try_recv(), Ok(Err(Reason::Unsupported)));
    assert_eq!(hub.secured(peer_id(1)), None);
    // It may be asked again.
    let waiting = secure(&hub);
    assert_eq!(events(&mut session), [Event::Secure, Event::Secure]);
    session.close(Reason::HandshakeTimeout);
    assert_eq!(waiting.try_recv(), Ok(Err(Reason::HandshakeTimeout)));
    drop(session);

    let session = secretive(&hub);
    let waiting = secure(&hub);
    drop(session);
    assert_eq!(waiting.try_recv(), Ok(Err(Reason::ConnectionLost)));
}
