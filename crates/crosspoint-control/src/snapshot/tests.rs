use super::*;
use crate::params::{SESSIONS, Values};
use crate::view::sessions;
use crate::watch::Watch;
use crosspoint_hub::command::Hello;
use crosspoint_hub::testing::{LINES, open_as};
use crosspoint_hub::{HubOptions, PeerId, Session};
use std::time::SystemTime;

/// A hub with so many sessions that have names.
fn crowd(count: u32) -> (Arc<Source>, Vec<Session>) {
    let hub = Hub::new(HubOptions::default());
    let now = now();
    let sessions = (0..count).map(|number| {
        let mut id = [0x5e; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let name = Some(format!("Player {}", number.wrapping_mul(0x9e37_79b9)));
        let address = Some([192, 0, 2, number as u8].into());
        let hello = Hello { peer: Some(PeerId::new(id)), name, ..Hello::default() };
        open_as(&hub, now, &LINES, address, hello)
    });
    let sessions = sessions.collect();
    (Arc::new(Source::new(hub, String::new(), Clock::new(now, SystemTime::now()))), sessions)
}

fn list(snapshot: &Snapshot, query: &str) -> crate::model::Sessions {
    sessions::Query::new(&Values::read(SESSIONS, Some(query)).unwrap()).list(snapshot)
}

#[test]
fn nothing_is_taken_before_somebody_looks_and_all_who_look_share_it() {
    let (source, mut crowd) = crowd(3);
    let first = Snapshot::new(&source, None);
    assert!(first.sessions.get().is_none() && first.channels.get().is_none());
    assert!(source.last.lock().unwrap().is_none());
    let mut watches = [(); 2].map(|()| Watch::new(Some("views=sessions")).unwrap());
    let told = watches.each_mut().map(|watch| watch.events(&first));
    assert_eq!(told[0], told[1]);
    assert!(first.sessions.get().is_some() && first.channels.get().is_none());
    // Of this moment there is one picture, whoever comes and goes.
    crowd.pop();
    assert_eq!(list(&first, "").total, 3);
    let second = Snapshot::new(&source, None);
    assert_eq!((list(&second, "").total, list(&first, "").total), (2, 3));
    drop(crowd);
    source.forget_old(now());
    assert!(source.last.lock().unwrap().is_some());
    source.forget_old(now() + COMPARABLE + Duration::from_secs(1));
    assert!(source.last.lock().unwrap().is_none());
}

#[test]
fn rates_are_over_the_time_since_the_last_look_or_since_the_begin() {
    let (source, _crowd) = crowd(2);
    let infos = source.hub.session_infos();
    let moved = |infos: &[SessionInfo], bytes_in: u64| -> Vec<SessionInfo> {
        let mut infos = infos.to_vec();
        infos[0].traffic.bytes_in = bytes_in;
        infos
    };
    let (second, begin) = (Duration::from_secs(1), infos[0].since);
    let rate = |seen: &SessionsSeen| seen.find(infos[0].who.session).unwrap().rates.bytes_in;
    let first = SessionsSeen::new(begin + 4 * second, moved(&infos, 400), None);
    assert_eq!(rate(&first), 100.0);
    let next = SessionsSeen::new(begin + 6 * second, moved(&infos, 1000), Some(&first));
    assert_eq!(rate(&next), 300.0);
    // A look that is too long ago says nothing of the present, and one of the same moment neither.
    let late = SessionsSeen::new(begin + 20 * second, moved(&infos, 2000), Some(&next));
    assert_eq!(rate(&late), 100.0);
    let same = SessionsSeen::new(begin + 20 * second, moved(&infos, 2000), Some(&late));
    assert_eq!(rate(&same), 100.0);
    // One that was not there before.
    let alone = SessionsSeen::new(begin + 4 * second, vec![infos[1].clone()], None);
    let both = SessionsSeen::new(begin + 5 * second, moved(&infos, 500), Some(&alone));
    assert_eq!(rate(&both), 100.0);
    assert!(both.find(999_999).is_none());
}

/// Prints what a second costs with ten thousand sessions: the best of some, in milliseconds.
///
/// `cargo test --release -p crosspoint-control --lib cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, of a release build"]
fn the_cost_of_a_second_with_ten_thousand_sessions() {
    let (source, _crowd) = crowd(10_000);
    let best = |what: &str, query: Option<&str>, viewers: usize| {
        let mut watches: Vec<_> = (0..viewers).map(|_| Watch::new(query).unwrap()).collect();
        let taken = (0..30).map(|_| {
            let begun = Instant::now();
            let snapshot = Snapshot::new(&source, None);
            let _counted = source.counted();
            let told: usize = watches.iter_mut().map(|watch| watch.events(&snapshot).len()).sum();
            assert!(viewers == 0 || told > 0);
            begun.elapsed()
        });
        let best = taken.min().unwrap().as_secs_f64() * 1000.0;
        #[allow(clippy::print_stdout, reason = "this is what it is for")]
        {
            println!("{best:8.3} ms: {what}");
        }
    };
    best("nobody looks", None, 0);
    best("one looks at the figures", None, 1);
    best("one looks at sessions by name, 50 of them", Some("views=sessions"), 1);
    let busy = "views=sessions,channels,services,ends&sessions.sort=rate_out&sessions.limit=500";
    best("one looks at everything, 500 sessions by rate", Some(busy), 1);
    best("one searches", Some("views=sessions&sessions.search=99"), 1);
    best("sixteen look at sessions by name", Some("views=sessions"), 16);
}
