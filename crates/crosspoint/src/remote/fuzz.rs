//! Invariants of the called end and of replies under arbitrary input, for fuzzers and tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::wire::{MAX_CALL_ID_BYTES, Status, put_call_id, take_call_id, take_target};
use super::{
    Answered, CALL, CallTransport, Calls, Fault, MESSAGE, Malicious, Object, Objects, Origin,
    Outcome, Reader, TransportError, Value, encode_result,
};
use bytes::{Bytes, BytesMut};

/// Gives a message to two objects, one of which is registered. The object runs exactly if the
/// outcome says so, a call is answered under its own id and within the bound of the transport, and the
/// result is what the arguments were. The first byte is the kind, the second bounds the reply.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_call(data: &[u8]) {
    let Some((&[kind, bound], payload)) = data.split_first_chunk::<2>() else {
        return;
    };
    let payload = Bytes::copy_from_slice(payload);
    fuzz_reply(&payload);
    let ran = Arc::<AtomicUsize>::default();
    let mut objects = Objects::with_max_payload(bound.into());
    let announced = objects.register(0, Echo(ran.clone())).expect("nothing is registered");
    assert_eq!(objects.message(Origin::Owner, announced), Outcome::Announced(0));

    let outcome = objects.handle(Origin::Owner, kind, payload.clone());
    let ran = ran.load(Ordering::Relaxed);
    match outcome {
        Outcome::Announced(id) => assert_eq!((kind, &payload[..], ran), (MESSAGE, &[id][..], 0)),
        Outcome::Called { object, procedure } => {
            assert_eq!((kind, &payload[..2], ran), (MESSAGE, &[object, procedure][..], 1));
        }
        Outcome::Malicious(Malicious::Kind { kind: told }) => {
            assert!(told == kind && kind != MESSAGE && kind != CALL && ran == 0);
        }
        Outcome::Malicious(malicious) => {
            assert!(payload.is_empty() || payload.len() > 1 || kind == CALL, "{malicious}");
            assert_eq!(ran, 0, "{malicious}");
        }
        Outcome::Reply { payload: reply, malicious } => {
            assert_eq!((kind, ran), (CALL, usize::from(malicious.is_none())));
            replied(&payload, &reply, malicious.as_ref(), bound.into());
        }
    }
}

fn replied(call: &Bytes, reply: &Bytes, malicious: Option<&Malicious>, bound: usize) {
    assert!(reply.len() <= bound.max(MAX_CALL_ID_BYTES + 1));
    let (mut call, mut reply) = (Reader::new(call.clone()), Reader::new(reply.clone()));
    let id = take_call_id(&mut call).expect("a call without id has no reply");
    assert_eq!(take_call_id(&mut reply), Some(id));
    let [status] = reply.array().expect("a reply has a status");
    let status = Status::from_byte(status).expect("the status is a known one");
    match status {
        Status::Ok => {
            assert_eq!(malicious, None);
            let (_, procedure) = take_target(&mut call).expect("something was called");
            let length = call.remaining();
            let args = call.take(length).expect("so many are left");
            let length = reply.remaining();
            let result = reply.take(length).expect("so many are left");
            assert_eq!(result, if procedure == 0 { Bytes::new() } else { args });
        }
        Status::ResultTooLarge => assert_eq!(reply.finish(), Ok(())),
        Status::UnknownObject | Status::UnknownProcedure | Status::Malformed => {
            assert!(malicious.is_some() || bound < MAX_CALL_ID_BYTES + 1);
            assert_eq!(reply.finish(), Ok(()));
        }
    }
}

/// A reply that nobody waits for is understood exactly if it has an id and a status.
fn fuzz_reply(payload: &Bytes) {
    let mut input = Reader::new(payload.clone());
    let id = take_call_id(&mut input);
    if let Some(id) = id {
        let mut written = BytesMut::new();
        put_call_id(id, &mut written);
        assert!(payload.starts_with(&written), "an id has one form");
    }
    let whole = id.is_some() && input.remaining() > 0;
    let answered = Calls::new(Nowhere).reply(payload.clone());
    assert_eq!(answered, whole.then_some(Answered::NobodyWaits));
}

/// Its procedures take a number; a text; and bytes and a list of numbers. All but the first give
/// their arguments back.
struct Echo(Arc<AtomicUsize>);

impl Object for Echo {
    fn call(
        &mut self,
        _: Origin,
        procedure: u8,
        args: &mut Reader,
    ) -> Result<Option<Bytes>, Fault> {
        let result = match procedure {
            0 => {
                i32::decode(args)?;
                None
            }
            1 => encode_result(&String::decode(args)?)?,
            2 => {
                let mut out = BytesMut::new();
                Bytes::decode(args)?.encode(&mut out).map_err(Fault::Result)?;
                Vec::<u16>::decode(args)?.encode(&mut out).map_err(Fault::Result)?;
                Some(out.freeze())
            }
            _ => return Err(Fault::UnknownProcedure),
        };
        args.finish()?;
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(result)
    }
}

/// A transport that takes nothing.
struct Nowhere;

impl CallTransport for Nowhere {
    fn send(&self, _: u8, _: Bytes) -> Result<(), TransportError> {
        Err(TransportError::Closed)
    }

    fn replies(&self) -> bool {
        true
    }
}
