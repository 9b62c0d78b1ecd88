//! How `crosspoint top` looks.

use super::state::{Mode, State, who};
use crate::operator::columns::SESSIONS;
use crate::operator::figures::{bytes, rate, since};
use crate::operator::plain;
use crate::operator::table::{Column, cut};
use crosspoint_control::model::{HubFigures, Point, SessionRow};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, RenderDirection, Row, Sparkline, Table};
use unicode_width::UnicodeWidthStr;

/// Columns of the table that are left out where there is no room, the first one first.
const LEFT_OUT: [&str; 8] = [
    "WAITING",
    "ROUND TRIP",
    "TRANSPORT",
    "SINCE",
    "ADDRESS",
    "PROTOCOL",
    "BYTES OUT/S",
    "BYTES IN/S",
];

/// Lines of the terminal below which there are no graphs.
const GRAPHS_FROM: u16 = 16;

const KEYS: &str = "arrows choose  s order  / search  k kick  q quit";

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let graphs = if frame.area().height < GRAPHS_FROM { 0 } else { 6 };
    let [title, figures, graphs, table, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(graphs),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(self::title(state), title);
    if let Some(hub) = &state.hub {
        frame.render_widget(self::figures(hub), figures);
    }
    draw_graphs(frame, state, graphs);
    draw_table(frame, state, table);
    frame.render_widget(self::footer(state), footer);
}

/// Which hub this is, and whether what is shown is what there is.
fn title(state: &State) -> Paragraph<'static> {
    if let Some(why) = &state.lost {
        let style = Style::new().fg(Color::White).bg(Color::Red).add_modifier(Modifier::BOLD);
        return Paragraph::new(format!("OLD: {}", plain(why))).style(style);
    }
    let mut text = format!("crosspoint {}", plain(&state.place));
    if let Some(hub) = &state.hub {
        let name = plain(&hub.name);
        let gap = if name.is_empty() { "" } else { "  " };
        let up = since(hub.started_at_ms, hub.now_ms);
        let stopping = if hub.stopping { "  stopping" } else { "" };
        text = format!("{text}{gap}{name}  {}  up {up}{stopping}", plain(&hub.version));
    }
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::BOLD))
}

fn figures(hub: &HubFigures) -> Paragraph<'static> {
    let protocols = hub.sessions_by_protocol.iter().filter(|(_, count)| **count > 0);
    let protocols: Vec<_> =
        protocols.map(|(name, count)| format!("{} {count}", plain(name))).collect();
    let protocols = match protocols.is_empty() {
        true => String::new(),
        false => format!(" ({})", protocols.join(", ")),
    };
    Paragraph::new(vec![
        Line::from(format!(
            "connections {} of {}   sessions {}{protocols}   memory {} of {}",
            hub.connections,
            hub.connections_max,
            hub.sessions,
            bytes(hub.memory_bytes as f64),
            bytes(hub.memory_bytes_max as f64),
        )),
        Line::from(format!(
            "rooms {}   channels {}   members {}   links {}   services {}   dropped {}   limits reached {}",
            hub.rooms,
            hub.channels,
            hub.members,
            hub.links,
            hub.services,
            hub.dropped,
            hub.limit_hits.values().sum::<u64>(),
        )),
    ])
}

fn draw_graphs(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let halves: [Rect; 2] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    let last = state.points.back();
    let messages = last.map_or_else(String::new, |point| {
        format!("in {}  out {}", rate(point.messages_in), rate(point.messages_out))
    });
    let data = last.map_or_else(String::new, |point| {
        format!("in {}  out {}", bytes(point.bytes_in), bytes(point.bytes_out))
    });
    let sums: [fn(&Point) -> f64; 2] =
        [|point| point.messages_in + point.messages_out, |point| point.bytes_in + point.bytes_out];
    let titles = [format!(" messages/s  {messages} "), format!(" bytes/s  {data} ")];
    let colors = [Color::Cyan, Color::Green];
    for (((area, title), sum), color) in halves.into_iter().zip(titles).zip(sums).zip(colors) {
        // The latest second is at the right.
        let values = state.points.iter().rev().map(|point| sum(point).round() as u64);
        let graph = Sparkline::default()
            .block(Block::new().borders(Borders::ALL).title(title))
            .data(values.take(area.width.into()))
            .direction(RenderDirection::RightToLeft)
            .style(Style::new().fg(color));
        frame.render_widget(graph, area);
    }
}

fn draw_table(frame: &mut Frame<'_>, state: &mut State, area: Rect) {
    let now_ms = state.hub.as_ref().map_or(0, |hub| hub.now_ms);
    let shown = Shown::new(state.rows(), now_ms, area.width.saturating_sub(2).into());
    let title = match &state.sessions {
        None => " sessions ".to_owned(),
        Some(sessions) => {
            let count = match sessions.matched == sessions.sessions.len() as u64 {
                true => sessions.matched.to_string(),
                false => format!("{} of {}", sessions.sessions.len(), sessions.matched),
            };
            let search = match state.search.as_str() {
                "" => String::new(),
                search => format!(", with \"{}\" (Esc: all)", plain(search)),
            };
            format!(" sessions {count}, by {}{search} ", state.order())
        }
    };
    let head = shown.columns.iter().map(|column| cell(column, column.head.to_owned()));
    let head = Row::new(head).style(Style::new().add_modifier(Modifier::BOLD));
    let rows = shown.cells.into_iter().map(|cells| {
        Row::new(shown.columns.iter().zip(cells).map(|(column, text)| cell(column, text)))
    });
    let widths = shown.widths.iter().map(|width| Constraint::Length(*width as u16));
    let table = Table::new(rows, widths)
        .header(head)
        .column_spacing(2)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::new().borders(Borders::ALL).title(title));
    frame.render_stateful_widget(table, area, &mut state.table);
}

fn cell(column: &Column<SessionRow>, text: String) -> Cell<'static> {
    let line = Line::from(text);
    Cell::from(if column.is_number { line.right_aligned() } else { line })
}

/// The columns for which there is room, and what stands in them.
struct Shown {
    columns: Vec<&'static Column<SessionRow>>,
    widths: Vec<usize>,
    cells: Vec<Vec<String>>,
}

impl Shown {
    fn new(rows: &[SessionRow], now_ms: u64, room: usize) -> Self {
        let mut columns: Vec<&'static Column<SessionRow>> = SESSIONS.iter().collect();
        let mut left_out = LEFT_OUT.iter();
        loop {
            let cells: Vec<Vec<String>> = rows
                .iter()
                .map(|row| columns.iter().map(|column| cut((column.show)(row, now_ms))).collect())
                .collect();
            let width = |(at, column): (usize, &&Column<SessionRow>)| {
                let widths = cells.iter().map(|cells| cells[at].width());
                widths.max().unwrap_or(0).max(column.head.width())
            };
            let widths: Vec<usize> = columns.iter().enumerate().map(width).collect();
            if widths.iter().map(|width| width + 2).sum::<usize>() <= room + 2 {
                return Self { columns, widths, cells };
            }
            let Some(head) = left_out.next() else {
                return Self { columns, widths, cells };
            };
            columns.retain(|column| column.head != *head);
        }
    }
}

/// The question, what is typed, what has happened, or what keys there are.
fn footer(state: &State) -> Line<'static> {
    let bold = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);
    match (&state.mode, &state.said) {
        (Mode::Question(row), _) => Line::styled(format!("End {}? y/n", who(row)), bold),
        (Mode::Search(text), _) => Line::from(vec![
            Span::styled("search: ", bold),
            Span::raw(plain(text)),
            Span::raw("\u{2588}  Enter: search  Esc: do not"),
        ]),
        (Mode::List, Some(said)) => Line::styled(plain(said), bold),
        (Mode::List, None) => Line::raw(KEYS),
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::News;
    use super::*;
    use crate::operator::events::Event;
    use crate::operator::tests::session;
    use crosspoint_control::model::Sessions;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent};
    use std::time::Duration;

    fn lines(state: &mut State, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state)).unwrap();
        let buffer = terminal.backend().buffer();
        let cells = buffer.content().chunks(width.into());
        cells.map(|row| row.iter().map(|cell| cell.symbol()).collect()).collect()
    }

    fn hub() -> HubFigures {
        serde_json::from_value(serde_json::json!({
            "name": "the \u{1b}[2Jhub", "version": "1.2.3", "started_at_ms": 0, "now_ms": 3_700_000,
            "stopping": false, "connections": 3, "connections_max": 1000, "sessions": 2,
            "sessions_by_protocol": { "native": 2, "peote": 0 }, "channels": 4, "rooms": 5, "members": 6,
            "links": 7, "services": 8, "messages_in": 0, "messages_out": 0, "bytes_in": 0, "bytes_out": 0,
            "memory_bytes": 1500, "memory_bytes_max": 1_000_000, "dropped": 9, "limit_hits": { "a": 1, "b": 2 },
            "closed": {}, "refused": {}, "connections_refused": {}
        }))
        .unwrap()
    }

    fn state() -> State {
        let mut state = State::new("http://127.0.0.1:7680".to_owned());
        state.take(Event::Hub(Box::new(hub())));
        let point = |at_ms| Point {
            at_ms,
            connections: 3,
            sessions: 2,
            messages_in: 12.0,
            messages_out: 340.0,
            bytes_in: 2_000.0,
            bytes_out: 50_000.0,
        };
        state.hear(News::Live((0..30).map(point).collect()));
        let mut fast = session(17, Some("An\u{1b}[31mn\u{202e}"));
        fast.messages_in_per_s = 99.0;
        let sessions = vec![fast, session(4, None)];
        state.take(Event::Sessions(Sessions { total: 9, matched: 7, offset: 0, sessions }));
        state
    }

    #[test]
    fn the_hub_is_shown_with_figures_graphs_and_sessions() {
        let mut state = state();
        let lines = lines(&mut state, 160, 30);
        let all = lines.join("\n");
        assert!(
            lines[0].starts_with(
                "crosspoint http://127.0.0.1:7680  the \\u{1b}[2Jhub  1.2.3  up 1 h 1 min"
            ),
            "{all}"
        );
        assert!(
            lines[1].contains(
                "connections 3 of 1000   sessions 2 (native 2)   memory 1.50 kB of 1.00 MB"
            ),
            "{all}"
        );
        assert!(
            lines[2].contains("rooms 5   channels 4") && lines[2].contains("limits reached 3"),
            "{all}"
        );
        assert!(
            lines[3].contains("messages/s  in 12  out 340")
                && lines[3].contains("bytes/s  in 2.00 kB"),
            "{all}"
        );
        // Half of the graph is thirty seconds, the latest at its right end.
        assert!(lines[7].starts_with("│ ") && lines[7][..].contains("███│"), "{all}");
        assert!(lines[9].contains("sessions 2 of 7, by messages in/s"), "{all}");
        assert!(lines[10].contains("SESSION  NAME") && lines[10].contains("BYTES OUT/S"), "{all}");
        assert!(
            lines[11].contains("17  An\\u{1b}[31mn\\u{202e}") && lines[11].contains("99"),
            "{all}"
        );
        assert!(lines[12].contains(" 4  - "), "{all}");
        assert!(lines[29].contains("q quit"), "{all}");
        assert!(!all.contains(['\u{1b}', '\u{202e}']));
    }

    #[test]
    fn a_loss_a_question_and_a_search_are_said() {
        let mut state = state();
        state.hear(News::Lost {
            why: "no connection\u{1b}".to_owned(),
            wait: Duration::from_secs(2),
        });
        assert!(
            lines(&mut state, 80, 20)[0]
                .starts_with("OLD: no connection\\u{1b}; trying again in 2 s")
        );
        let mut press = |code| {
            state.key(KeyEvent::from(code));
            lines(&mut state, 80, 20)[19].trim_end().to_owned()
        };
        assert_eq!(press(KeyCode::Char('k')), "choose a session with the arrows");
        press(KeyCode::Down);
        assert_eq!(
            press(KeyCode::Char('k')),
            "End session 17 (An\\u{1b}[31mn\\u{202e}, 192.0.2.7)? y/n"
        );
        assert_eq!(press(KeyCode::Char('n')), "nobody was ended");
        press(KeyCode::Char('/'));
        assert!(press(KeyCode::Char('\u{202e}')).starts_with("search: \\u{202e}█"));
        press(KeyCode::Enter);
        assert!(lines(&mut state, 100, 20)[9].contains(", with \"\\u{202e}\" (Esc: all)"));
    }

    #[test]
    fn every_size_can_be_drawn_and_narrow_ones_leave_columns_out() {
        let mut state = state();
        for width in 1..130 {
            for height in [1, 2, 3, 5, 15, 16, 40] {
                lines(&mut state, width, height);
            }
        }
        let narrow = lines(&mut state, 80, 24).join("\n");
        assert!(narrow.contains("IN/S") && !narrow.contains("WAITING"), "{narrow}");
    }
}
