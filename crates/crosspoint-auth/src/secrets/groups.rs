//! What those who wait have in common. A flood can come from many addresses, but has most often one network
//! or one name in common. So turns and places are shared among groups, and not among addresses alone.

use super::attempt::{Attempt, Origin};
use crosspoint_hub::networks::Prefixes;
use std::collections::HashMap;

/// The networks of an address among which turns are shared, the widest first: of a provider, of one of its
/// customers, and smaller ones of those. The last one is the address itself, as limits know it.
const WIDTHS: [Prefixes; 3] = [
    Prefixes { ipv4: 16, ipv6: 32 },
    Prefixes { ipv4: 24, ipv6: 48 },
    Prefixes { ipv4: 32, ipv6: 56 },
];

/// How many groups an attempt belongs to.
const GROUPS: usize = WIDTHS.len() + 2;

/// Some of those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Group {
    /// Those of a network, and how many others it is in.
    Network(usize, Origin),
    /// Those who give this name.
    Name(u64),
}

/// The groups of an attempt: each network is in the one before it, and the name comes last.
fn groups_of(attempt: Attempt) -> [Group; GROUPS] {
    let mut groups = [Group::Name(attempt.name); GROUPS];
    for (depth, width) in WIDTHS.into_iter().enumerate() {
        groups[depth] = Group::Network(depth, attempt.origin.widened(width));
    }
    groups[ADDRESS] = Group::Network(ADDRESS, attempt.origin);
    groups
}

/// Where the group of the address stands among the others.
const ADDRESS: usize = WIDTHS.len();

/// What comes first when turns and places are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Network,
    Name,
}

impl By {
    /// One of these, which are in the order of groups: the name first, or last.
    fn at<T: Copy>(self, depth: usize, groups: &[T; GROUPS]) -> T {
        match (self, depth) {
            (Self::Network, _) => groups[depth],
            (Self::Name, 0) => groups[GROUPS - 1],
            (Self::Name, _) => groups[depth - 1],
        }
    }
}

/// The groups of one who waits, as the crowd numbers them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member([usize; GROUPS]);

/// The groups of one who does not wait yet, as far as there are such.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newcomer([Option<usize>; GROUPS]);

/// Where a group stands in turns with others: the lowest is the next.
pub(super) type Rank = [u64; GROUPS];

/// The groups of all who wait.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    numbers: HashMap<Group, usize>,
    standings: Vec<Standing>,
    /// Numbers that no group has.
    free: Vec<usize>,
    /// Counts what has happened.
    clock: u64,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    group: Group,
    waiting: usize,
    /// When it had its last turn; or when it came, if it has had none.
    since: u64,
}

impl Crowd {
    /// What there is of the groups of an attempt.
    pub(super) fn newcomer(&self, attempt: Attempt) -> Newcomer {
        Newcomer(groups_of(attempt).map(|group| self.numbers.get(&group).copied()))
    }

    /// One more waits. A group that is new comes behind all others.
    pub(super) fn enter(&mut self, attempt: Attempt) -> Member {
        self.clock += 1;
        let member = Member(groups_of(attempt).map(|group| self.number(group)));
        for number in member.0 {
            self.standings[number].waiting += 1;
        }
        member
    }

    fn number(&mut self, group: Group) -> usize {
        if let Some(number) = self.numbers.get(&group) {
            return *number;
        }
        let standing = Standing { group, waiting: 0, since: self.clock };
        let number = match self.free.pop() {
            Some(number) => {
                self.standings[number] = standing;
                number
            }
            None => {
                self.standings.push(standing);
                self.standings.len() - 1
            }
        };
        self.numbers.insert(group, number);
        number
    }

    /// One waits no longer.
    pub(super) fn leave(&mut self, member: Member) {
        for number in member.0 {
            let standing = &mut self.standings[number];
            standing.waiting -= 1;
            if standing.waiting == 0 {
                self.numbers.remove(&standing.group);
                self.free.push(number);
            }
        }
    }

    /// One of those who wait has a turn: its groups come behind all others.
    pub(super) fn serve(&mut self, member: Member) {
        self.clock += 1;
        for number in member.0 {
            self.standings[number].since = self.clock;
        }
    }

    /// Whose turn it is: of the widest networks, or of the names, the one that has had none for longest; in it
    /// the same again.
    pub(super) fn rank(&self, member: Member, by: By) -> Rank {
        std::array::from_fn(|depth| self.standings[by.at(depth, &member.0)].since)
    }

    /// How many of the address of a newcomer wait.
    pub(super) fn of_address(&self, newcomer: &Newcomer) -> usize {
        self.waiting(newcomer.0[ADDRESS])
    }

    /// How many give the same name as one who waits.
    pub(super) fn of_name(&self, member: Member) -> usize {
        self.waiting(Some(member.0[GROUPS - 1]))
    }

    /// Whether one who waits is of the same widest network as a newcomer, or of one of which more wait.
    pub(super) fn may_compare_names(&self, member: Member, newcomer: &Newcomer) -> bool {
        let (network, own) = (Some(member.0[0]), newcomer.0[0]);
        network == own || self.waiting(network) > self.waiting(own)
    }

    /// Who has the least right to a place: the index of the last one in the largest network, and in the largest
    /// network in that, and so on; or by name in the largest name first.
    ///
    /// With a newcomer there is one only if its own group has at least two fewer than the largest, somewhere on
    /// that way. Otherwise the two could take the place from each other in turns.
    pub(super) fn largest(
        &self,
        waiting: impl Iterator<Item = (usize, Member)>,
        by: By,
        newcomer: Option<&Newcomer>,
    ) -> Option<usize> {
        let mut some: Vec<_> = waiting.collect();
        let mut own = newcomer.copied();
        let depths = match by {
            // Names in an address are as many as somebody there likes.
            By::Network => ADDRESS + 1,
            By::Name => GROUPS,
        };
        for depth in 0..depths {
            let group = |member: &Member| Some(by.at(depth, &member.0));
            let sizes = some.iter().map(|(_, member)| group(member));
            let mut largest = sizes.max_by_key(|group| self.waiting(*group))?;
            if let Some(newcomer) = own {
                let mine = by.at(depth, &newcomer.0);
                match self.waiting(largest) <= self.waiting(mine) + 1 {
                    true => largest = mine,
                    // It has a better right than any of these.
                    false => own = None,
                }
            }
            some.retain(|(_, member)| group(member) == largest);
        }
        some.last().filter(|_| own.is_none()).map(|(index, _)| *index)
    }

    fn waiting(&self, group: Option<usize>) -> usize {
        group.map_or(0, |number| self.standings[number].waiting)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.free.len() == self.standings.len()
    }
}
