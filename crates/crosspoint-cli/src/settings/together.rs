//! Settings that are right one by one and wrong together.

use super::Settings;
use super::error::{Fault, Origin, expected};
use std::collections::BTreeMap;

/// Where the settings come from, by their keys.
type Origins = BTreeMap<&'static str, Origin>;

/// The key of each setting that does not go with another, and why.
pub(super) fn conflicts(
    settings: &Settings,
    origins: &Origins,
) -> impl Iterator<Item = (&'static str, Fault)> {
    entrance(settings, origins)
        .chain(control_token(settings, origins))
        .chain(heartbeat(settings, origins))
}

/// There is one token of the control center.
fn control_token(settings: &Settings, origins: &Origins) -> Option<(&'static str, Fault)> {
    let (key, other) = ("control.token_file", "control.token");
    let both = !settings.control.token.is_empty() && !settings.control.token_file.is_empty();
    let origin = origin(origins, other);
    let advice = "there is one token of the control center; remove one of them";
    both.then_some((key, Fault::Excluded { key, other, origin, advice }))
}

/// An access token and credentials of `[auth]` exclude each other.
fn entrance(settings: &Settings, origins: &Origins) -> impl Iterator<Item = (&'static str, Fault)> {
    let token = "server.access_token";
    let token_given = !settings.server.access_token.is_empty();
    let token_origin = origin(origins, token);
    let files = [
        ("auth.secrets_file", !settings.auth.secrets_file.is_empty()),
        ("auth.jwt_keys", !settings.auth.jwt_keys.is_empty()),
        ("auth.certificates", settings.auth.certificates),
    ];
    let given = files.into_iter().filter(move |(_, given)| token_given && *given);
    given.map(move |(key, _)| {
        let advice = "where credentials of [auth] are set, they alone decide who enters; remove one of \
                      them, or make the token an entry of auth.secrets_file";
        (key, Fault::Excluded { key, other: token, origin: token_origin.clone(), advice })
    })
}

/// The shortest interval that can be wished for is not above the longest.
fn heartbeat(settings: &Settings, origins: &Origins) -> Option<(&'static str, Fault)> {
    let least = ("limits.heartbeat_ms_min", settings.limits.heartbeat_ms_min.as_millis());
    let most = ("limits.heartbeat_ms_max", settings.limits.heartbeat_ms_max.as_millis());
    if least.1 <= most.1 {
        return None;
    }
    let why = "because no interval can be both; change one of them";
    Some(wrong_order(origins, (least, "at most"), (most, "at least"), why))
}

/// A setting and its value in milliseconds, and how it should be to the other one.
type Related = ((&'static str, u128), &'static str);

/// Two settings whose values are not in order. The one with the stronger origin is called wrong.
fn wrong_order(
    origins: &Origins,
    (smaller, below): Related,
    (larger, above): Related,
    why: &str,
) -> (&'static str, Fault) {
    let blames_larger = origin(origins, larger.0) > origin(origins, smaller.0);
    let ((key, given), relation, (other, bound)) =
        if blames_larger { (larger, above, smaller) } else { (smaller, below, larger) };
    let origin = origin(origins, other);
    let allowed = format!("{relation} {other} = {bound} ({origin}), {why}");
    let expected = expected(None, &allowed);
    (key, Fault::Value { key: key.to_owned(), given: given.to_string(), expected })
}

fn origin(origins: &Origins, key: &str) -> Origin {
    origins.get(key).cloned().unwrap_or(Origin::Default)
}
