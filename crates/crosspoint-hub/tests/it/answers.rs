//! Commands that come faster than their answers are read.

use crate::common::*;
use crosspoint_hub::command::{
    ChannelCommand, ChannelOptions, Command, DirectoryCommand, EnterOptions, Event, LinkEvent,
    Query, Target, Watched,
};
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::events;
use crosspoint_hub::{ChannelName, LinkNumber, OwnedChannelId, Part, Session};
use std::time::Instant;

/// Gives a command again and again, all in one read, until the session has to wait. Gives how often.
fn until_it_waits(session: &mut Session, command: &Command) -> usize {
    for count in 0..1000 {
        match session.execute(Instant::now(), command.clone()) {
            Step::Go => {}
            Step::Wait => return count,
            close => panic!("{close:?} after {count} times {command:?}"),
        }
    }
    panic!("a thousand times {command:?} fit into the outbox");
}

#[test]
fn whatever_is_answered_waits_where_answers_are_not_read_and_goes_on_when_they_are() {
    let hub = narrow();
    let _others: Vec<_> = (2..60).map(|id| open(&hub, id, &format!("n{id}"))).collect();
    let channel = || ChannelName::new("c").unwrap();
    let commands = [
        Command::Directory(DirectoryCommand::Look {
            request: 1,
            query: Query::Everybody { after: None },
        }),
        Command::Directory(DirectoryCommand::Watch { request: 1, whom: Watched::Everybody }),
        provide("service", true),
        link(to(99)),
        link(to(1)),
        Command::Channel(ChannelCommand::Create {
            request: 1,
            name: channel(),
            options: ChannelOptions::default(),
        }),
        Command::Channel(ChannelCommand::Enter {
            request: 1,
            name: channel(),
            options: EnterOptions::default(),
        }),
        Command::Channel(ChannelCommand::Succeed {
            request: 1,
            channel: OwnedChannelId(9),
            member: None,
        }),
    ];
    for command in commands {
        let (mut one, woken) = open_woken(&hub, 1, "");
        let before = hits(&hub, "outbox_bytes_max");
        let count = until_it_waits(&mut one, &command);
        assert!(count > 1, "{command:?}");
        assert!((10_000..16_000).contains(&one.endpoint().cost()), "half of it and one answer");
        assert!(hits(&hub, "outbox_bytes_max") > before);
        // What it commands meanwhile comes behind, and the driver does not read it.
        assert_eq!(one.flush(Instant::now()), Step::Wait);
        let times = woken.times();
        assert!(events(&mut one).len() >= count, "{command:?}");
        assert!(woken.times() > times);
        assert_eq!(one.flush(Instant::now()), Step::Go);
        assert!(!events(&mut one).is_empty(), "the one that waited is answered");
    }
}

#[test]
fn what_is_not_answered_is_carried_out_where_answers_are_not_read() {
    let hub = narrow();
    let (mut one, mut other) = (open(&hub, 1, "ann"), open(&hub, 2, "bob"));
    let (mine, theirs) = join(&mut one, &mut other, 2);
    let watch = Command::Directory(DirectoryCommand::Watch { request: 1, whom: Watched::Nobody });
    while one.endpoint().cost() < 10_000 {
        ask(&mut one, watch.clone());
    }
    let (to, part) = (Target::Link(LinkNumber(mine)), Part::whole("on its way"));
    ask(&mut one, Command::Send { to, part });
    ask(&mut one, unlink(mine));
    assert_eq!(execute(&mut one, watch), Step::Wait);
    let ended = events(&mut other);
    assert!(
        matches!(ended[..], [Event::Link(LinkEvent::Closed { link, .. })] if link.0 == theirs),
        "{ended:?}"
    );
}
