//! Messages, whole and in two halves: the second half goes to those who have the first one.

use super::{Item, Member, Model};
use crosspoint_hub::command::{Mode, Target};
use crosspoint_hub::{MemberNumber, OwnedChannelId};

/// What is sent of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    Whole,
    First,
    Rest,
}

impl Piece {
    /// Where in a text it begins and ends.
    pub(crate) fn of(self, text: &str) -> (usize, usize) {
        let middle = text.len() / 2;
        match self {
            Self::Whole => (0, text.len()),
            Self::First => (0, middle),
            Self::Rest => (middle, text.len()),
        }
    }
}

/// Where one message at a time travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SendPath {
    Own(u32),
    In(u32),
}

fn path(to: Target) -> SendPath {
    match to {
        Target::Up(number) => SendPath::In(number.0),
        Target::Member(number, _) | Target::Everyone(number, _) => SendPath::Own(number.0),
        Target::Link(_) => unreachable!("there are no links here"),
    }
}

impl Model {
    /// What an endpoint sends if it wants to send this: on a path that a message travels already,
    /// its rest.
    pub(crate) fn next(
        &self,
        who: usize,
        to: Target,
        piece: Piece,
        text: &str,
    ) -> (Target, Piece, String) {
        match self.endpoints[who].open.get(&path(to)) {
            Some((to, text)) => (*to, Piece::Rest, text.clone()),
            None => (to, piece, text.to_owned()),
        }
    }

    pub(crate) fn send(&mut self, who: usize, to: Target, piece: Piece, text: &str) {
        let path = path(to);
        let holds = match path {
            SendPath::Own(number) => self.thinks_own(who, number).is_some(),
            SendPath::In(number) => self.endpoints[who].entered.contains_key(&number),
        };
        let open = &mut self.endpoints[who].open;
        let begun = open.remove(&path).is_some();
        if !holds || begun != (piece == Piece::Rest) {
            return;
        }
        if piece == Piece::First {
            open.insert(path, (to, text.to_owned()));
        }
        let (begin, end) = piece.of(text);
        let data = &text[begin..end];
        match to {
            Target::Up(number) => self.up(who, number.0, piece, data),
            Target::Member(own, member) => self.down(who, own, piece, data, |to| to == member.0),
            Target::Everyone(own, except) => {
                self.down(who, own, piece, data, |to| except != Some(MemberNumber(to)));
            }
            Target::Link(_) => unreachable!("there are no links here"),
        }
    }

    fn up(&mut self, who: usize, number: u32, piece: Piece, data: &str) {
        let (seat, id) = self.endpoints[who].entered[&number];
        let Some(number) = self.member(id, seat) else {
            return;
        };
        let chunk = shown(self.chunk(who));
        let place = self.places.get_mut(&id).expect("it has a member");
        let member = place.members.get_mut(&number).expect("it is one");
        let begun = member.begun.take();
        let text = match (piece, &begun) {
            // To who has not got the beginning.
            (Piece::Rest, None) => return,
            (Piece::Rest, Some(begun)) => format!("{begun}{data}"),
            (Piece::First, _) => {
                member.begun = Some(data.to_owned());
                data.to_owned()
            }
            (Piece::Whole, _) => data.to_owned(),
        };
        match place.owner {
            Some((owner, _, own)) => {
                let line = format!("own {own} from {number}{chunk}: {data}\n");
                self.endpoints[owner].inbox.push_back(Item::Data(line));
            }
            // Others in a room get whole messages.
            None if piece == Piece::First => {}
            None => {
                let members = self.places[&id].members.iter();
                for (_, other) in members.filter(|(other, one)| **other != number && !one.silent) {
                    let chunk = shown(self.chunk(other.who));
                    let line = format!("in {} from {number}{chunk}: {text}\n", other.number);
                    self.endpoints[other.who].inbox.push_back(Item::Data(line));
                }
            }
        }
    }

    fn down(
        &mut self,
        who: usize,
        own: OwnedChannelId,
        piece: Piece,
        data: &str,
        to: impl Fn(u32) -> bool,
    ) {
        let Some(place) = self.own(who, own.0).and_then(|id| self.places.get_mut(&id)) else {
            return;
        };
        let hears = |(number, member): &(&u32, &mut Member)| to(**number) && !member.silent;
        for (_, member) in place.members.iter_mut().filter(hears) {
            let midway = std::mem::replace(&mut member.midway, piece == Piece::First);
            if piece == Piece::Rest && !midway {
                continue;
            }
            let endpoint = &mut self.endpoints[member.who];
            let chunk = Some(Mode::CHUNK_BYTES_DEFAULT).filter(|_| endpoint.pieces);
            let line = format!("in {}{}: {data}\n", member.number, shown(chunk));
            endpoint.inbox.push_back(Item::Data(line));
        }
    }
}

fn shown(chunk: Option<u32>) -> String {
    chunk.map(|chunk| format!(" chunk {chunk}")).unwrap_or_default()
}
