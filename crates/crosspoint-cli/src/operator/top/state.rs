//! What `crosspoint top` knows, and what keys do.

use crate::operator::api::ApiError;
use crate::operator::columns::name;
use crate::operator::events::Event;
use crosspoint_control::model::{HubFigures, Point, SessionRow, Sessions};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::widgets::TableState;
use std::collections::VecDeque;
use std::time::Duration;

/// Sessions that are followed. Others are found by a search.
const SESSIONS_MAX: usize = 100;

/// Seconds that are shown, as many as a hub remembers.
const POINTS_MAX: usize = 600;

/// The longest text that a hub searches for, in bytes.
const SEARCH_BYTES_MAX: usize = 256;

/// Rows that a page is.
const PAGE: usize = 10;

/// Orders of the sessions: the word of the API, the direction, and what is said of it.
const ORDERS: [(&str, &str, &str); 8] = [
    ("rate_in", "desc", "messages in/s"),
    ("rate_out", "desc", "messages out/s"),
    ("bytes_in", "desc", "bytes in/s"),
    ("bytes_out", "desc", "bytes out/s"),
    ("outbox", "desc", "bytes that wait"),
    ("round_trip", "desc", "round trip"),
    ("since", "desc", "newest"),
    ("name", "asc", "name"),
];

/// What comes from the hub.
#[derive(Debug)]
pub(super) enum News {
    /// There is a stream (again), and this was before.
    Live(Vec<Point>),
    /// The stream tells something.
    Event(Event),
    /// There is no stream, and so long nobody tries to open one.
    Lost { why: String, wait: Duration },
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Quit,
    /// Another list is wanted.
    Follow,
    /// This session is to be ended.
    Kick(u64),
}

/// What keys are for now.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mode {
    /// To move around.
    List,
    /// To write what is searched for.
    Search(String),
    /// To answer whether this session is to be ended.
    Question(Box<SessionRow>),
}

/// All that is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) place: String,
    pub(super) hub: Option<Box<HubFigures>>,
    /// Seconds, the oldest first.
    pub(super) points: VecDeque<Point>,
    pub(super) sessions: Option<Sessions>,
    /// Why there is nothing new, if so.
    pub(super) lost: Option<String>,
    pub(super) mode: Mode,
    pub(super) search: String,
    /// What a key has come to.
    pub(super) said: Option<String>,
    pub(super) table: TableState,
    /// The session that is chosen, wherever it stands.
    chosen: Option<u64>,
    order: usize,
}

impl State {
    pub(super) fn new(place: String) -> Self {
        Self {
            place,
            hub: None,
            points: VecDeque::new(),
            sessions: None,
            lost: None,
            mode: Mode::List,
            search: String::new(),
            said: None,
            table: TableState::default(),
            chosen: None,
            order: 0,
        }
    }

    /// What the event stream is asked for.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let (sort, order, _) = ORDERS[self.order];
        vec![
            ("views", "hub,sessions".to_owned()),
            ("sessions.sort", sort.to_owned()),
            ("sessions.order", order.to_owned()),
            ("sessions.limit", SESSIONS_MAX.to_string()),
            ("sessions.search", self.search.clone()),
        ]
    }

    /// What decides about the order, for people.
    pub(super) fn order(&self) -> &'static str {
        ORDERS[self.order].2
    }

    /// The sessions that are shown.
    pub(super) fn rows(&self) -> &[SessionRow] {
        self.sessions.as_ref().map_or(&[], |sessions| &sessions.sessions)
    }

    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Live(points) => {
                self.lost = None;
                self.points = points.into();
                self.shorten();
            }
            News::Event(event) => self.take(event),
            News::Lost { why, wait } => {
                self.lost = Some(format!("{why}; trying again in {} s", wait.as_secs()));
            }
        }
    }

    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Point(point) => {
                // The history may end with the point that the stream begins with.
                if self.points.back().is_none_or(|last| last.at_ms != point.at_ms) {
                    self.points.push_back(point);
                    self.shorten();
                }
            }
            Event::Hub(hub) => self.hub = Some(hub),
            Event::Sessions(sessions) => {
                self.sessions = Some(sessions);
                let chosen = self.chosen;
                let at = self.rows().iter().position(|row| Some(row.session) == chosen);
                // Where the chosen one has gone, nobody is chosen in its place, as keys may be on their way.
                self.choose(at);
            }
        }
    }

    fn shorten(&mut self) {
        let more = self.points.len().saturating_sub(POINTS_MAX);
        self.points.drain(..more);
    }

    /// Says what has come of ending a session.
    pub(super) fn kicked(&mut self, session: u64, result: &Result<bool, ApiError>) {
        self.said = Some(match result {
            Ok(true) => format!("ended session {session}"),
            Ok(false) => format!("there is no session {session} any more"),
            Err(error) => format!("session {session} was not ended: {error}"),
        });
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Wish {
        self.said = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Wish::Quit } else { Wish::Nothing };
        }
        match std::mem::replace(&mut self.mode, Mode::List) {
            Mode::List => self.key_of_list(key.code),
            Mode::Search(text) => self.key_of_search(text, key.code),
            Mode::Question(row) => match key.code {
                KeyCode::Char('y' | 'Y') => Wish::Kick(row.session),
                _ => {
                    self.said = Some("nobody was ended".to_owned());
                    Wish::Nothing
                }
            },
        }
    }

    fn key_of_list(&mut self, code: KeyCode) -> Wish {
        let last = self.rows().len().checked_sub(1);
        let at = self.table.selected();
        let down = |rows: usize| last.map(|last| at.map_or(0, |at| at + rows).min(last));
        let up = |rows: usize| last.map(|_| at.map_or(0, |at| at.saturating_sub(rows)));
        match code {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('s') => {
                self.order = (self.order + 1) % ORDERS.len();
                return Wish::Follow;
            }
            KeyCode::Char('/') => self.mode = Mode::Search(self.search.clone()),
            KeyCode::Char('k') => match at.and_then(|at| self.rows().get(at)) {
                Some(row) => self.mode = Mode::Question(Box::new(row.clone())),
                None => self.said = Some("choose a session with the arrows".to_owned()),
            },
            KeyCode::Down => self.choose(down(1)),
            KeyCode::Up => self.choose(up(1)),
            KeyCode::PageDown => self.choose(down(PAGE)),
            KeyCode::PageUp => self.choose(up(PAGE)),
            KeyCode::Home => self.choose(up(usize::MAX)),
            KeyCode::End => self.choose(last),
            KeyCode::Esc => {
                self.choose(None);
                if !self.search.is_empty() {
                    self.search.clear();
                    return Wish::Follow;
                }
            }
            _ => {}
        }
        Wish::Nothing
    }

    fn key_of_search(&mut self, mut text: String, code: KeyCode) -> Wish {
        match code {
            KeyCode::Enter => {
                let is_other = self.search != text;
                self.search = text;
                return if is_other { Wish::Follow } else { Wish::Nothing };
            }
            KeyCode::Esc => return Wish::Nothing,
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char(letter) if text.len() + letter.len_utf8() <= SEARCH_BYTES_MAX => {
                text.push(letter);
            }
            _ => {}
        }
        self.mode = Mode::Search(text);
        Wish::Nothing
    }

    fn choose(&mut self, at: Option<usize>) {
        self.chosen = at.and_then(|at| self.rows().get(at)).map(|row| row.session);
        self.table.select(at);
    }
}

/// Who is meant by a question.
pub(super) fn who(row: &SessionRow) -> String {
    format!(
        "session {} ({}, {})",
        row.session,
        name(row.name.as_deref()),
        name(row.address.as_deref())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::tests::session;

    fn press(state: &mut State, codes: impl IntoIterator<Item = KeyCode>) -> Vec<Wish> {
        let press = |code| state.key(KeyEvent::from(code));
        let wishes = codes.into_iter().map(press);
        wishes.filter(|wish| *wish != Wish::Nothing).collect()
    }

    fn typed(text: &str) -> impl Iterator<Item = KeyCode> {
        text.chars().map(KeyCode::Char)
    }

    fn list(state: &mut State, numbers: &[u64]) {
        let sessions: Vec<_> = numbers.iter().map(|number| session(*number, Some("Ann"))).collect();
        let (total, matched) = (numbers.len() as u64, numbers.len() as u64);
        state.take(Event::Sessions(Sessions { total, matched, offset: 0, sessions }));
    }

    fn point(at_ms: u64) -> Point {
        let (connections, sessions, messages_in, messages_out) = (0, 0, 0.0, 0.0);
        Point {
            at_ms,
            connections,
            sessions,
            messages_in,
            messages_out,
            bytes_in: 0.0,
            bytes_out: 0.0,
        }
    }

    #[test]
    fn the_chosen_session_stays_chosen_wherever_it_moves_and_is_the_one_that_is_ended() {
        let mut state = State::new(String::new());
        assert!(
            press(&mut state, [KeyCode::Down, KeyCode::Char('k'), KeyCode::Char('y')]).is_empty()
        );
        list(&mut state, &[5, 6, 7]);
        assert!(press(&mut state, typed("ky")).is_empty(), "nobody is chosen");
        assert!(state.said.is_none());
        press(&mut state, [KeyCode::Down, KeyCode::Down]);
        assert_eq!((state.table.selected(), state.chosen), (Some(1), Some(6)));
        list(&mut state, &[7, 5, 6]);
        assert_eq!((state.table.selected(), state.chosen), (Some(2), Some(6)));
        press(&mut state, typed("k"));
        // Meanwhile somebody else stands there.
        list(&mut state, &[7, 5, 8]);
        assert_eq!(press(&mut state, typed("y")), [Wish::Kick(6)]);
        assert_eq!((state.table.selected(), state.chosen), (None, None));
        assert!(press(&mut state, typed("k")).is_empty());
        assert_eq!(state.said.as_deref(), Some("choose a session with the arrows"));
        press(&mut state, [KeyCode::End, KeyCode::Down, KeyCode::PageUp, KeyCode::PageDown]);
        assert_eq!(state.chosen, Some(8));
        for no in [KeyCode::Char('n'), KeyCode::Enter, KeyCode::Esc, KeyCode::Char('q')] {
            assert!(press(&mut state, [KeyCode::Char('k'), no]).is_empty());
            assert_eq!(state.said.as_deref(), Some("nobody was ended"));
        }
    }

    #[test]
    fn orders_and_searches_ask_for_another_list() {
        let mut state = State::new(String::new());
        let of = |state: &State, name: &str| {
            state.query().into_iter().find(|(known, _)| *known == name).unwrap().1
        };
        assert_eq!(
            (of(&state, "sessions.sort"), state.order()),
            ("rate_in".into(), "messages in/s")
        );
        assert_eq!(press(&mut state, typed("s")), [Wish::Follow]);
        assert_eq!(of(&state, "sessions.sort"), "rate_out");
        assert_eq!(press(&mut state, typed("sssssss")).len(), 7);
        assert_eq!(of(&state, "sessions.sort"), "rate_in");
        // Letters are text here, whatever they do elsewhere.
        let search = typed("/qsäk").chain([KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!(press(&mut state, search), [Wish::Follow]);
        assert_eq!(of(&state, "sessions.search"), "qsä");
        assert!(press(&mut state, typed("/x").chain([KeyCode::Esc])).is_empty());
        assert!(press(&mut state, typed("/").chain([KeyCode::Enter])).is_empty());
        assert_eq!(press(&mut state, [KeyCode::Esc]), [Wish::Follow]);
        assert_eq!(of(&state, "sessions.search"), "");
        press(&mut state, typed("/").chain(typed(&"ä".repeat(200))).chain([KeyCode::Enter]));
        assert_eq!(state.search.len(), SEARCH_BYTES_MAX);
    }

    #[test]
    fn control_c_quits_from_everywhere_and_q_from_the_list() {
        let quit = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        for before in ["", "/", "k"] {
            let mut state = State::new(String::new());
            list(&mut state, &[1]);
            press(&mut state, [KeyCode::Down]);
            press(&mut state, typed(before));
            assert_eq!(state.key(quit), Wish::Quit);
        }
        assert_eq!(press(&mut State::new(String::new()), typed("q")), [Wish::Quit]);
    }

    #[test]
    fn seconds_are_known_once_and_not_for_ever_and_a_loss_is_said_until_it_is_over() {
        let mut state = State::new(String::new());
        state.hear(News::Live((0..700).map(point).collect()));
        assert_eq!((state.points.len(), state.points[0].at_ms), (POINTS_MAX, 100));
        state.take(Event::Point(point(699)));
        state.take(Event::Point(point(700)));
        assert_eq!((state.points.len(), state.points[0].at_ms), (POINTS_MAX, 101));
        state.hear(News::Lost { why: "gone".to_owned(), wait: Duration::from_secs(4) });
        assert_eq!(state.lost.as_deref(), Some("gone; trying again in 4 s"));
        assert_eq!(state.points.len(), POINTS_MAX);
        state.hear(News::Live(vec![point(1)]));
        assert_eq!((state.lost, state.points.len()), (None, 1));
    }
}
