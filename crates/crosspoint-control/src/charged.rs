//! Answers whose memory is charged for as long as they wait to be written, so that those who read slowly cannot make the
//! hub hold more than it may.

use crate::model::ErrorCode;
use crate::refused::Refused;
use axum::body::{Body, HttpBody, to_bytes};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use crosspoint_hub::Hub;
use crosspoint_hub::ledger::{Account, Charge, Exhausted, Purpose};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that wait to be written, and are charged for as long.
struct Charged(Bytes, #[expect(dead_code, reason = "held")] Charge);

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Charges bytes until the last clone of them is gone.
///
/// # Errors
/// There is no memory for them.
pub(crate) fn charge(account: &Arc<Account>, bytes: Bytes) -> Result<Bytes, Exhausted> {
    let charge = account.try_charge(Purpose::Outbox, bytes.len())?;
    Ok(Bytes::from_owner(Charged(bytes, charge)))
}

/// The account of those who ask from an address.
pub(crate) fn account(hub: &Hub, address: Option<IpAddr>) -> Arc<Account> {
    hub.account(address, "http")
}

/// An answer to somebody at an address, charged if it is whole already, or one that says that there is no memory for it.
pub(crate) async fn answer(hub: &Hub, address: Option<IpAddr>, response: Response) -> Response {
    // What has no length is an event stream, which charges what it says.
    let Some(length) = response.body().size_hint().exact() else { return response };
    let (head, body) = response.into_parts();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    match to_bytes(body, length).await {
        Ok(bytes) => match charge(&account(hub, address), bytes) {
            Ok(bytes) => Response::from_parts(head, Body::from(bytes)),
            Err(Exhausted { limit }) => {
                hub.metrics.hit(limit);
                let message = format!("There is no memory for the answer ({limit}). Try again.");
                let refused = Refused::new(ErrorCode::Unavailable, message);
                refused.after(Duration::from_secs(1)).into_response()
            }
        },
        Err(error) => {
            // A whole answer does not fail.
            tracing::error!(%error, "an answer could not be read");
            axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use crosspoint_hub::{HubOptions, Limit, Limits};
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn answers_that_wait_count_for_the_one_who_asks_and_are_refused_above_the_bound() {
        const BOUND: usize = 1024 * 1024;
        let limits = Limits { memory_per_address_bytes_max: BOUND, ..Limits::default() };
        let hub = Hub::new(HubOptions { limits, ..HubOptions::default() });
        let [one, other] = [1, 2].map(|last| Some(IpAddr::from(Ipv4Addr::new(192, 0, 2, last))));
        let asked = async |address| {
            let response = Body::from(vec![b'x'; BOUND / 3]).into_response();
            answer(&hub, address, response).await
        };
        let mut waiting = Vec::new();
        loop {
            let response = asked(one).await;
            if response.status() != StatusCode::OK {
                assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
                let said = to_bytes(response.into_body(), BOUND).await.unwrap();
                let said = String::from_utf8(said.to_vec()).unwrap();
                assert!(said.contains(Limit::MemoryPerAddressBytes.key()), "{said}");
                break;
            }
            waiting.push(to_bytes(response.into_body(), BOUND).await.unwrap());
            assert_eq!(hub.ledger.used(), waiting.len() * (BOUND / 3));
        }
        assert_eq!(waiting.len(), 3);
        assert_eq!(asked(other).await.status(), StatusCode::OK, "others are not concerned");
        // What is written is given back.
        waiting.pop();
        assert_eq!(asked(one).await.status(), StatusCode::OK);
        waiting.clear();
        assert_eq!(hub.ledger.used(), 0);
    }
}
