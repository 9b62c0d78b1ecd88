//! Who one is: the first packet of either side (section 4).

use super::id::{Id, NoId};
use crate::value::{Json, NotJson};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;

/// The body of an AUTH packet. Fields that nobody knows are skipped.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// The sender's id.
    pub id: Id,
    /// What the sender's application gives to be let in, if it gives something.
    pub auth: Option<Json>,
}

impl fmt::Debug for Auth {
    /// Without what may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, auth } = self;
        let auth = auth.as_ref().map(|_| "***");
        f.debug_struct("Auth").field("id", id).field("auth", &auth).finish()
    }
}

/// The body is no AUTH; the connection should be closed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Not an object in JSON.
    #[error("the AUTH packet is {0}")]
    NotJson(#[from] NotJson),
    /// No id.
    #[error("the AUTH packet has no id: {0}")]
    NoId(#[from] NoId),
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    auth: Option<&'a RawValue>,
}

impl Auth {
    /// Reads a body.
    ///
    /// # Errors
    /// [`AuthError`] if it is no object or has no true id.
    pub fn parse(body: &Json) -> Result<Self, AuthError> {
        let fields: Fields = body.fields()?;
        let id = Id::from_json(&body.part(fields.id.ok_or(NoId)?))?;
        Ok(Self { id, auth: fields.auth.map(|auth| body.part(auth)) })
    }

    /// The body of a packet.
    pub fn to_json(&self) -> Json {
        let id = &self.id;
        Json::made(match &self.auth {
            Some(auth) => format!(r#"{{"id":{id},"auth":{auth}}}"#),
            None => format!(r#"{{"id":{id}}}"#),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &'static str) -> Result<Auth, AuthError> {
        Auth::parse(&Json::parse(body.into()).unwrap())
    }

    #[test]
    fn the_application_s_value_passes_unchanged_and_unknown_fields_are_skipped() {
        let body = r#"{"id":"c1c1c1c112344abc8def0011223300e9","auth":{"a":[1.50,"\ud800"]}}"#;
        assert_eq!(parse(body).unwrap().to_json().text(), body);
        let body = r#"{"x":1,"id":"c1c1c1c112344abc8def0011223300e9","y":{}}"#;
        let shown = format!("{:?}", parse(r#"{"id":1,"auth":"secret"}"#).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
        let read = parse(body).unwrap();
        assert_eq!(read.auth, None);
        assert_eq!(read.to_json().text(), r#"{"id":"c1c1c1c112344abc8def0011223300e9"}"#);
    }

    #[test]
    fn bodies_without_a_true_id_are_refused() {
        for body in [r#"{}"#, r#"{"id":0}"#, r#"{"id":null}"#, r#"{"id":""}"#] {
            assert!(matches!(parse(body), Err(AuthError::NoId(_))), "{body}");
        }
        for body in ["1", r#"["x"]"#, "null", r#""id""#] {
            assert!(parse(body).is_err(), "{body}");
        }
    }
}
