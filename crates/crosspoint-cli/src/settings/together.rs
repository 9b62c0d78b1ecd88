//! Settings that are right one by one and wrong together.

use super::Settings;
use super::error::{Fault, Origin};
use std::collections::BTreeMap;

/// Where the settings come from, by their keys.
type Origins = BTreeMap<&'static str, Origin>;

/// The key of each setting that does not go with another, and why.
pub(super) fn conflicts(
    settings: &Settings,
    origins: &Origins,
) -> impl Iterator<Item = (&'static str, Fault)> {
    entrance(settings, origins).chain(silence(settings, origins))
}

/// An access token and a file of `[auth]` exclude each other.
fn entrance(settings: &Settings, origins: &Origins) -> impl Iterator<Item = (&'static str, Fault)> {
    let token = "server.access_token";
    let token_given = !settings.server.access_token.is_empty();
    let token_origin = origin(origins, token);
    let files = [
        ("auth.secrets_file", &settings.auth.secrets_file),
        ("auth.jwt_keys", &settings.auth.jwt_keys),
    ];
    let given = files.into_iter().filter(move |(_, path)| token_given && !path.is_empty());
    given.map(move |(key, _)| {
        let advice = "where a file of [auth] is set, it alone decides who enters; remove one of \
                      them, or make the token an entry of auth.secrets_file";
        (key, Fault::Excluded { key, other: token, origin: token_origin.clone(), advice })
    })
}

/// A connection that has frozen is noticed before its session counts as one that does not read. Of
/// the two settings the one with the stronger origin is called wrong.
fn silence(settings: &Settings, origins: &Origins) -> Option<(&'static str, Fault)> {
    let heartbeat = ("resume.heartbeat_ms", settings.resume.heartbeat_ms.as_millis());
    let stall = ("limits.outbox_stall_ms_max", settings.limits.outbox_stall_ms_max.as_millis());
    if !settings.resume.enabled || 3 * heartbeat.1 < stall.1 {
        return None;
    }
    let blames_stall = origin(origins, stall.0) > origin(origins, heartbeat.0);
    let ((key, given), relation, (other, bound)) = match blames_stall {
        true => (stall, "more than three times", heartbeat),
        false => (heartbeat, "less than a third of", stall),
    };
    let origin = origin(origins, other);
    let allowed = format!(
        "{relation} {other} = {bound} ({origin}), because a connection that has frozen takes \
         nothing until that is noticed; change one of them, or set resume.enabled to false"
    );
    Some((key, Fault::Value { key: key.to_owned(), given: given.to_string(), allowed }))
}

fn origin(origins: &Origins, key: &str) -> Origin {
    origins.get(key).cloned().unwrap_or(Origin::Default)
}
