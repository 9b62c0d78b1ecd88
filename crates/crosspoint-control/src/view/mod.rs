//! What there is, as the API says it: a module for each list.

pub(crate) mod channels;
pub(crate) mod ends;
pub(crate) mod hub;
pub(crate) mod services;
pub(crate) mod sessions;

use crate::listing::Search;
use crate::model::PeerRow;
use crosspoint_hub::inventory::Participant;

/// Who somebody is.
fn peer(who: &Participant) -> PeerRow {
    PeerRow {
        session: who.session,
        id: who.peer.id.to_string(),
        name: who.peer.name.as_deref().map(str::to_owned),
        protocol: who.peer.protocol.to_owned(),
    }
}

/// Where somebody comes from.
fn address(who: &Participant) -> Option<String> {
    who.address.map(|address| address.to_canonical().to_string())
}

/// Whether somebody is searched for, whose name has its letters in one case.
fn is_searched(search: Option<&Search>, who: &Participant, folded: Option<&str>) -> bool {
    let Some(search) = search else { return true };
    folded.is_some_and(|name| search.is_in(name))
        || search.is(who.session)
        || search.can_begin_id() && search.begins(who.peer.id)
        || search.can_begin_address()
            && who.address.is_some_and(|address| search.begins(address.to_canonical()))
}
