//! How the program of a hub speaks into rooms.

use super::args::{Args, ArgsError};
use super::error::EmitError;
use crate::lock::lock;
use crate::node::Node;
use crate::options::EnterOptions;
use crate::{ChannelError, Reason};
use crosspoint_gateways::socketio::room;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};
use tokio::sync::Mutex as Turn;

/// The rooms that are spoken into at present. Nobody is in a room twice, so one event after the other is said there.
#[derive(Debug, Default)]
pub(super) struct Rooms(Mutex<HashMap<Box<str>, Arc<Turn<()>>>>);

impl Rooms {
    /// Says an event to all in a room. Nobody hears it if there is no such room.
    pub(super) async fn emit(
        &self,
        node: &Node,
        name: &str,
        event: &str,
        args: &Args,
    ) -> Result<(), EmitError> {
        let turn = lock(&self.0).entry(name.into()).or_default().clone();
        let said = {
            let _turn = turn.lock().await;
            emit(node, name, event, args).await
        };
        drop(turn);
        // Who wants a turn takes it out of the map, which is locked here.
        let is_idle = |turn: &mut Arc<Turn<()>>| Arc::strong_count(turn) == 1;
        if let Entry::Occupied(mut turn) = lock(&self.0).entry(name.into())
            && is_idle(turn.get_mut())
        {
            turn.remove();
        }
        said
    }
}

/// It enters the room for this event alone. A room that was made on entry may end at any time and be made again, and who
/// stays in it as one who only speaks hears of that too late.
async fn emit(node: &Node, name: &str, event: &str, args: &Args) -> Result<(), EmitError> {
    args.check()?;
    let event = serde_json::to_string(event).map_err(ArgsError::from)?;
    let mut body = room::event(&event, args.inside(), args.attachments().len() as u8);
    args.attachments().iter().for_each(|attachment| body.attach(attachment));
    let body = body.finish().unwrap_or_default();
    let member = match node.enter(name, EnterOptions::new().silent()).await {
        Err(ChannelError::Refused(Reason::NoSuchName)) => return Ok(()),
        entered => entered?,
    };
    match member.send(body).await {
        // All have left meanwhile.
        Err(ChannelError::Closed(Reason::ClosedByOwner)) => Ok(()),
        sent => Ok(sent?),
    }
}
