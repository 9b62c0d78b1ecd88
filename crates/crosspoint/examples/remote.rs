//! Typed calls: a member plays on the owner's board, and the owner shows the result to all.
//!
//! `cargo run -p crosspoint --example remote`

use crosspoint::remote::Origin;
use crosspoint::{ChannelOptions, EnterOptions, MemberEvent, OwnerEvent, testing};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

/// What the owner lets its members call.
#[crosspoint::remote]
trait Board {
    /// Marks a field. The answer tells whether it was free.
    fn mark(&mut self, #[remote(caller)] player: Origin, field: u8) -> bool;
}

/// What each member lets the owner call.
#[crosspoint::remote]
trait Screen {
    /// Shows a line.
    fn show(&mut self, line: String);
}

#[derive(Default)]
struct Fields([Option<Origin>; 9]);

impl Board for Fields {
    fn mark(&mut self, player: Origin, field: u8) -> bool {
        match self.0.get_mut(usize::from(field)) {
            Some(free @ None) => free.replace(player).is_none(),
            _ => false,
        }
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Screen for Lines {
    fn show(&mut self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
    }
}

const BOARD: u8 = 0;
const SCREEN: u8 = 1;

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "a test runs the rest")]
async fn main() -> Result<(), Box<dyn Error>> {
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// Gives what the member was shown.
pub(crate) async fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let (hub, ann, bob) = testing::two_nodes().await;
    let mut owner = ann.create("board", ChannelOptions::new().calls()).await?;
    owner.register(BOARD, BoardDispatch::new(Fields::default()))?;
    // Calls of the board are carried out while the owner reads.
    tokio::spawn(async move {
        while let Some(event) = owner.next().await {
            if let OwnerEvent::Announced { member, object: SCREEN } = event {
                let screen = ScreenCaller::new(&owner.calls(member), SCREEN);
                // The member may have gone meanwhile.
                let _ = screen.show(format!("welcome, {member}"));
            }
        }
    });

    let mut member = bob.enter("board", EnterOptions::new().calls()).await?;
    let lines = Lines::default();
    member.register(SCREEN, ScreenDispatch::new(lines.clone()))?;
    let board = BoardCaller::new(member.calls(), BOARD);
    let playing = tokio::spawn(async move {
        let first = board.mark(4).await?;
        let again = board.mark(4).await?;
        Ok::<_, crosspoint::remote::CallError>((first, again))
    });
    while let Some(event) = member.next().await {
        if let MemberEvent::Announced { object: BOARD, .. } = event {
            let (first, again) = playing.await??;
            let mut screen = lines.clone();
            screen.show(format!("field 4 was free: {first}, and then: {again}"));
            break;
        }
    }
    hub.stop().await;
    // What has arrived is still carried out.
    while member.next().await.is_some() {}
    let lines = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(lines.clone())
}
