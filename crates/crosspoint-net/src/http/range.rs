//! Parts of files (RFC 9110, section 14): when a part is the answer, and when it is the whole file.
//!
//! The library that serves the files knows how to cut. What it takes for a fault is answered with the whole
//! file here, as is allowed of every `Range`, unless the part begins behind the end.

use axum::http::header::{CONTENT_RANGE, ETAG};
use axum::http::{HeaderValue, Response, StatusCode};

/// A `Range` in bytes, as the library wants it; `None` if its unit is another one, or it is no text.
pub(super) fn of_bytes(range: &HeaderValue) -> Option<HeaderValue> {
    let (unit, parts) = range.to_str().ok()?.split_once('=')?;
    let is_known = unit.eq_ignore_ascii_case("bytes");
    is_known.then(|| HeaderValue::try_from(format!("bytes={parts}")).ok()).flatten()
}

/// Whether this is an answer to the request for a part. `condition` is its `If-Range`. Otherwise the whole
/// file is.
pub(super) fn asked_for<B>(
    response: &Response<B>,
    range: &HeaderValue,
    condition: Option<&HeaderValue>,
) -> bool {
    let is_part = match response.status() {
        StatusCode::PARTIAL_CONTENT => true,
        StatusCode::RANGE_NOT_SATISFIABLE => false,
        _ => return true,
    };
    let headers = response.headers();
    // A date is too coarse to tell whether a file is the same: it may change twice in a second.
    let is_same = condition.is_none_or(|tag| headers.get(ETAG) == Some(tag));
    let bytes = headers.get(CONTENT_RANGE).and_then(|told| told.to_str().ok()?.split_once('/'));
    let Some(bytes) = bytes.and_then(|(_, bytes)| bytes.parse::<u64>().ok()) else {
        return false;
    };
    // An empty file has no part.
    is_same && bytes > 0 && (is_part || is_beyond(range, bytes))
}

/// Whether a `Range` asks for nothing that a file of so many bytes has.
fn is_beyond(range: &HeaderValue, bytes: u64) -> bool {
    let part = range.to_str().ok().and_then(|range| range.strip_prefix("bytes="));
    match part.and_then(|part| part.split_once('-')) {
        Some(("", last)) => last.parse() == Ok(0),
        Some((first, _)) => first.parse::<u64>().is_ok_and(|first| first >= bytes),
        None => false,
    }
}
