//! Server-Sent Events of the control center.

use super::api::{ANSWER_BYTES_MAX, Api, ApiError, TIME_MAX};
use bytes::Bytes;
use crosspoint_control::model::{HubFigures, Point, Sessions};
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use tokio::time::timeout;

/// What a stream tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// What there was in one second.
    Point(Point),
    /// The figures of the hub.
    Hub(Box<HubFigures>),
    /// The sessions that were asked for.
    Sessions(Sessions),
}

/// A stream that goes on.
#[derive(Debug)]
pub(crate) struct Events<'a> {
    api: &'a Api,
    body: Incoming,
    parser: Parser,
    parsed: VecDeque<Event>,
}

impl<'a> Events<'a> {
    /// Opens a stream.
    pub(crate) async fn open(api: &'a Api, query: &[(&str, &str)]) -> Result<Self, ApiError> {
        let response = api.send(Method::GET, "/api/v1/events", query).await?;
        let body = api.checked(response).await?.into_body();
        Ok(Self { api, body, parser: Parser::default(), parsed: VecDeque::new() })
    }

    /// The next event; `None` when the hub has ended the stream.
    ///
    /// # Errors
    /// The connection is lost, silent for longer than a hub is, or what comes is no stream of events.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, ApiError> {
        loop {
            if let Some(event) = self.parsed.pop_front() {
                return Ok(Some(event));
            }
            let frame = timeout(TIME_MAX, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| self.api.silent())? else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| self.api.no_hub(error))?;
            if let Ok(data) = frame.into_data() {
                let parsed = self.parser.take(&data);
                self.parsed.extend(parsed.map_err(|error| self.api.no_hub(error))?);
            }
        }
    }
}

/// What is wrong with a stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEvents {
    #[error("an event has more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    #[error("an event has other data: {0}")]
    Data(#[from] serde_json::Error),
}

/// Makes events of bytes, however they are cut. Events that are not known are left out.
#[derive(Debug, Default)]
struct Parser {
    /// The line that has begun.
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
}

impl Parser {
    fn take(&mut self, bytes: &Bytes) -> Result<Vec<Event>, NoEvents> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + self.data.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(NoEvents::TooLong);
            }
            self.line.extend_from_slice(piece);
            if self.line.pop_if(|last| *last == b'\n').is_some() {
                self.line.pop_if(|last| *last == b'\r');
                let line = std::mem::take(&mut self.line);
                events.extend(self.end_line(&line)?);
            }
        }
        Ok(events)
    }

    /// Takes a line. The empty one ends an event.
    fn end_line(&mut self, line: &[u8]) -> Result<Option<Event>, NoEvents> {
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            return event(&name, &data);
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            // Comments, and what later versions may add.
            _ => {}
        }
        Ok(None)
    }
}

fn event(name: &str, data: &[u8]) -> Result<Option<Event>, NoEvents> {
    Ok(Some(match name {
        "point" => Event::Point(read(data)?),
        "hub" => Event::Hub(Box::new(read(data)?)),
        "sessions" => Event::Sessions(read(data)?),
        _ => return Ok(None),
    }))
}

fn read<T: DeserializeOwned>(data: &[u8]) -> Result<T, NoEvents> {
    Ok(serde_json::from_slice(data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let text = "retry: 5\r\n: \n\nevent: point\ndata: {\"at_ms\":7,\"connections\":1,\"sessions\":2,\
                    \ndata:\"messages_in\":0.5,\"messages_out\":0,\"bytes_in\":0,\"bytes_out\":0}\n\n\
                    event: new\ndata: 1\r\n\r\nevent: sessions\n\
                    data: {\"total\":0,\"matched\":0,\"offset\":0,\"sessions\":[],\"new\":1}\n\nevent: hub\nda";
        let point = Point {
            at_ms: 7,
            connections: 1,
            sessions: 2,
            messages_in: 0.5,
            messages_out: 0.0,
            bytes_in: 0.0,
            bytes_out: 0.0,
        };
        let sessions = Sessions { total: 0, matched: 0, offset: 0, sessions: Vec::new() };
        let expected = [Event::Point(point), Event::Sessions(sessions)];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let pieces = text.as_bytes().chunks(size).map(Bytes::copy_from_slice);
            let events: Vec<_> = pieces.flat_map(|piece| parser.take(&piece).unwrap()).collect();
            assert_eq!(events, expected, "{size}");
        }
    }

    #[test]
    fn an_event_has_a_bound_and_the_data_of_its_name() {
        let wrong = Bytes::from_static(b"event: hub\ndata: []\n\n");
        assert!(matches!(Parser::default().take(&wrong), Err(NoEvents::Data(_))));
        let mut parser = Parser::default();
        let mebi = Bytes::from(vec![b'x'; 1 << 20]);
        let taken = (0..9).map(|_| parser.take(&mebi)).take_while(Result::is_ok).count();
        assert_eq!(taken, 8);
        let line = Bytes::from([&b"data: "[..], &mebi, b"\n"].concat());
        let mut parser = Parser::default();
        assert!((0..9).any(|_| parser.take(&line).is_err()));
    }
}
