//! Sessions that have ended.

use super::{address, is_searched};
use crate::clock::millis;
use crate::listing::Search;
use crate::model::{EndRow, Ends};
use crate::params::Values;
use crate::snapshot::Snapshot;

/// Which ends are listed.
#[derive(Debug)]
pub(crate) struct Query {
    search: Option<Search>,
    reason: Option<String>,
    let_in: Option<bool>,
    limit: usize,
}

impl Query {
    /// From what was asked for.
    pub(crate) fn new(values: &Values) -> Self {
        let reason = values.text("reason").map(str::to_owned);
        let let_in = values.text("let_in").map(|word| word == "yes");
        Self { search: values.search(), reason, let_in, limit: values.page().limit }
    }

    /// The list, the latest first.
    pub(crate) fn list(&self, snapshot: &Snapshot) -> Ends {
        let clock = &snapshot.source.clock;
        let matching = snapshot.ends().iter().filter(|seen| {
            let reason = self.reason.as_deref();
            reason.is_none_or(|reason| seen.ended.reason.word() == reason)
                && self.let_in.is_none_or(|let_in| seen.ended.let_in == let_in)
                && is_searched(self.search.as_ref(), &seen.ended.who, seen.folded.as_deref())
        });
        let ends = matching.take(self.limit).map(|seen| {
            let ended = &seen.ended;
            EndRow {
                session: ended.who.session,
                let_in: ended.let_in,
                id: ended.who.peer.id.to_string(),
                name: ended.who.peer.name.as_deref().map(str::to_owned),
                protocol: ended.who.peer.protocol.to_owned(),
                address: address(&ended.who),
                reason: ended.reason.word(),
                text: ended.reason.of_session().to_string(),
                ended_at_ms: clock.ms(ended.at),
                lasted_ms: millis(ended.lasted),
            }
        });
        Ends { ends: ends.collect() }
    }
}
