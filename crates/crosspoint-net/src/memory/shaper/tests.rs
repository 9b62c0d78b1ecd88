use proptest::prelude::*;

use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn rate(bytes_per_second: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(bytes_per_second)
}

fn piece(length: usize) -> Bytes {
    Bytes::from(vec![0x5a; length])
}

/// Takes out everything, each piece with the time since `start` at which it arrived.
fn drain(link: &mut Shaper, start: Instant) -> Vec<(Duration, usize)> {
    let mut arrivals = Vec::new();
    while let Some(due) = link.deadline() {
        if due > start {
            assert!(link.poll(due - Duration::from_nanos(1)).is_none(), "a piece came too early");
        }
        let taken = link.poll(due).expect("a piece is there at its deadline");
        arrivals.push((due - start, taken.len()));
    }
    arrivals
}

#[test]
fn lags_overlap_and_transmissions_queue() {
    let start = Instant::now();
    let mut link = Shaper::new(Shape { lag: ms(20), ..Shape::default() });
    link.push(start, piece(100)).unwrap();
    link.push(start + ms(5), piece(200)).unwrap();
    assert_eq!(drain(&mut link, start), [(ms(20), 100), (ms(25), 200)]);

    let shape = Shape { lag: ms(20), bytes_per_second: rate(1000), ..Shape::default() };
    let mut link = Shaper::new(shape);
    link.push(start, piece(100)).unwrap();
    link.push(start, piece(100)).unwrap();
    link.push(start + ms(500), piece(10)).unwrap();
    assert_eq!(drain(&mut link, start), [(ms(120), 100), (ms(220), 100), (ms(530), 10)]);
}

#[test]
fn peote_lags_add_up() {
    let start = Instant::now();
    let mut link = Shaper::new(Shape::peote(20, NonZeroU64::new(1000).unwrap()));
    link.push(start, piece(100)).unwrap();
    link.push(start, piece(100)).unwrap();
    // The one before has 240 ms, of which 50 have passed: max(0, 240 - 50) + 120 after now.
    link.push(start + ms(50), piece(100)).unwrap();
    // Long after: nothing to wait for.
    link.push(start + ms(1000), piece(100)).unwrap();
    let times: Vec<Duration> = drain(&mut link, start).into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [ms(120), ms(240), ms(360), ms(1120)]);
}

#[test]
fn peote_delays_are_whole_milliseconds_rounded_down() {
    let start = Instant::now();
    let mut link = Shaper::new(Shape::peote(20, NonZeroU64::new(3).unwrap()));
    for _ in 0..3 {
        link.push(start, piece(1)).unwrap(); // 20 + 333.33…
    }
    assert_eq!(drain(&mut link, start), [(ms(353), 1), (ms(706), 1), (ms(1059), 1)]);

    let mut link = Shaper::new(Shape::peote(PEOTE_NET_LAG_MS, PEOTE_NET_SPEED));
    link.push(start, piece(1048)).unwrap(); // 20 + 0.999…
    link.push(start, piece(1049)).unwrap(); // 20 + 1.0004…
    assert_eq!(drain(&mut link, start), [(ms(20), 1048), (ms(41), 1049)]);

    // 0.99999999 ms each: what is cut off does not add up.
    let mut link = Shaper::new(Shape::peote(0, NonZeroU64::new(100_000_001).unwrap()));
    link.push(start, piece(100_000)).unwrap();
    link.push(start, piece(100_000)).unwrap();
    assert_eq!(drain(&mut link, start), [(ms(0), 100_000), (ms(0), 100_000)]);
}

#[test]
fn a_new_shape_is_for_what_has_not_begun_its_transmission() {
    let start = Instant::now();
    let slow = Shape { lag: ms(10), bytes_per_second: rate(100), ..Shape::default() };
    let mut link = Shaper::new(slow.clone());
    for _ in 0..3 {
        link.push(start, piece(100)).unwrap(); // begin at 0, 1000 and 2000 ms
    }
    link.set_shape(start + ms(500), Shape { bytes_per_second: rate(1000), ..slow.clone() });
    assert_eq!(drain(&mut link, start), [(ms(1010), 100), (ms(1110), 100), (ms(1210), 100)]);

    // A shorter lag lets nothing overtake.
    let mut link = Shaper::new(Shape { lag: ms(500), ..Shape::default() });
    link.push(start, piece(1)).unwrap();
    link.set_shape(start, Shape::default());
    link.push(start + ms(1), piece(2)).unwrap();
    assert_eq!(drain(&mut link, start), [(ms(500), 1), (ms(500), 2)]);

    // The first has set out and is not hurried, the second sets out when it has arrived.
    let mut link = Shaper::new(Shape::peote(20, NonZeroU64::new(1000).unwrap()));
    link.push(start, piece(100)).unwrap();
    link.push(start, piece(100)).unwrap();
    link.set_shape(start + ms(10), Shape::peote(70, NonZeroU64::new(1000).unwrap()));
    assert_eq!(drain(&mut link, start), [(ms(120), 100), (ms(290), 100)]);

    // From lags that add up to lags that overlap: the second has not set out yet.
    let mut link = Shaper::new(Shape::peote(20, NonZeroU64::new(1000).unwrap()));
    link.push(start, piece(100)).unwrap();
    link.push(start, piece(100)).unwrap();
    link.set_shape(start + ms(10), Shape { lag: ms(150), ..Shape::default() });
    assert_eq!(drain(&mut link, start), [(ms(120), 100), (ms(160), 100)]);

    // The same settings again change nothing, the sequence of jitters included.
    let shape = Shape { jitter: ms(500), ..Shape::default() };
    let [untouched, reshaped] = [false, true].map(|reshape| {
        let mut link = Shaper::new(shape.clone());
        for second in 0..20 {
            let now = start + Duration::from_secs(second);
            link.push(now, piece(1)).unwrap();
            if reshape {
                link.set_shape(now, shape.clone());
            }
        }
        drain(&mut link, start)
    });
    assert_eq!(untouched, reshaped);
}

#[test]
fn the_bound_counts_what_is_in_flight_and_what_is_unread() {
    let start = Instant::now();
    let shape = Shape { lag: ms(5), buffer_bytes_max: 10, ..Shape::default() };
    let mut link = Shaper::new(shape);
    link.push(start, piece(8)).unwrap();
    assert_eq!(link.free(), 2);
    assert_eq!(link.push(start, piece(3)), Err(PushError::Full { length: 3, free: 2 }));
    link.push(start, piece(2)).unwrap();
    assert_eq!(link.free(), 0);

    let arrived = start + ms(5);
    assert_eq!(link.poll_up_to(arrived, 0), None);
    assert_eq!(link.poll_up_to(arrived, 5).unwrap().len(), 5);
    assert_eq!(link.free(), 5);
    assert_eq!(link.poll(arrived).unwrap().len(), 3, "the rest of the first piece");

    link.set_shape(arrived, Shape { buffer_bytes_max: 0, ..Shape::default() });
    assert_eq!(link.free(), 0);
    assert_eq!(link.poll(arrived).unwrap().len(), 2, "a smaller bound drops nothing");
    assert_eq!(link.free(), 1, "a bound of nothing would block for ever");
}

#[test]
fn tiny_pieces_are_bounded_in_number() {
    let start = Instant::now();
    let mut link = Shaper::new(Shape::default());
    for _ in 0..PIECES_MAX {
        link.push(start, piece(1)).unwrap();
    }
    assert_eq!(link.push(start, piece(1)), Err(PushError::Full { length: 1, free: 0 }));
    assert!(link.poll(start).is_some());
    link.push(start, piece(1)).unwrap();
}

#[test]
fn the_end_travels_behind_the_last_piece() {
    let start = Instant::now();
    let mut link = Shaper::new(Shape { lag: ms(20), ..Shape::default() });
    link.push(start, piece(1)).unwrap();
    link.finish(start + ms(5));
    link.finish(start + ms(9));
    assert_eq!(link.push(start, piece(1)), Err(PushError::Finished));
    assert_eq!(link.free(), 0);
    assert!(!link.is_finished(start + ms(100)), "there is a piece to take out first");
    assert!(link.poll(start + ms(20)).is_some());
    assert_eq!(link.deadline(), Some(start + ms(25)));
    assert!(!link.is_finished(start + ms(24)));
    assert!(link.is_finished(start + ms(25)));
    assert_eq!(link.poll(start + ms(25)), None);

    let mut link = Shaper::new(Shape::peote(20, PEOTE_NET_SPEED));
    link.push(start, piece(1)).unwrap();
    link.finish(start);
    assert!(link.poll(start + ms(20)).is_some());
    assert!(link.is_finished(start + ms(20)), "where lags add up the end has none of its own");
}

#[test]
fn absurd_settings_are_cut_to_the_longest_delay() {
    let start = Instant::now();
    for accumulate in [false, true] {
        let mut link = Shaper::new(Shape {
            lag: Duration::MAX,
            jitter: Duration::MAX,
            bytes_per_second: rate(1),
            accumulate,
            buffer_bytes_max: usize::MAX,
            ..Shape::default()
        });
        for _ in 0..PIECES_MAX {
            link.push(start, piece(100)).unwrap();
        }
        let first = link.deadline().unwrap();
        assert!(first >= start + DELAY_MAX && first <= start + 3 * DELAY_MAX);
    }
    let mut link = Shaper::new(Shape { bytes_per_second: rate(u64::MAX), ..Shape::default() });
    link.push(start, piece(1000)).unwrap();
    assert_eq!(link.deadline(), Some(start));
}

#[test]
fn jitter_covers_its_whole_range_evenly() {
    let start = Instant::now();
    let mut sum = Duration::ZERO;
    let (mut least, mut most) = (Duration::MAX, Duration::ZERO);
    for seed in 0..2000 {
        let mut link = Shaper::new(Shape { jitter: ms(100), seed, ..Shape::default() });
        link.push(start, piece(1)).unwrap();
        let drawn = link.deadline().unwrap() - start;
        sum += drawn;
        (least, most) = (least.min(drawn), most.max(drawn));
    }
    assert!(least < ms(2) && most > ms(98) && most <= ms(100), "{least:?} to {most:?}");
    assert!((ms(47)..ms(53)).contains(&(sum / 2000)), "mean {:?}", sum / 2000);

    let drawn = |seed| {
        let jitter = Duration::from_nanos(1);
        let mut link = Shaper::new(Shape { jitter, seed, ..Shape::default() });
        link.push(start, piece(1)).unwrap();
        link.deadline().unwrap() - start
    };
    assert_eq!((0..100).map(drawn).max(), Some(Duration::from_nanos(1)), "both limits are drawn");
    assert_eq!((0..100).map(drawn).min(), Some(Duration::ZERO));
}

fn any_shape() -> impl Strategy<Value = Shape> {
    (
        0..200_000u64,
        prop_oneof![Just(0), 0..100_000u64],
        prop_oneof![Just(0), 1..2_000_000u64],
        any::<u64>(),
        any::<bool>(),
        1..4000usize,
    )
        .prop_map(|(lag, jitter, speed, seed, accumulate, buffer_bytes_max)| Shape {
            lag: Duration::from_micros(lag),
            jitter: Duration::from_micros(jitter),
            bytes_per_second: rate(speed),
            seed,
            accumulate,
            buffer_bytes_max,
            pieces_max: PIECES_MAX,
        })
}

/// What happens to a link at one moment.
#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Poll(usize),
    Reshape(Shape),
}

fn any_steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        6 => (0..1500usize).prop_map(Step::Push),
        4 => (0..3000usize).prop_map(Step::Poll),
        1 => any_shape().prop_map(Step::Reshape),
    ];
    prop::collection::vec((0..50_000u64, step), 1..120)
}

/// A link beside what it must live up to.
struct Checked {
    link: Shaper,
    sent: Vec<u8>,
    received: Vec<u8>,
    /// For each piece not yet taken out: the bytes sent up to its end, and the soonest its lag
    /// lets it arrive.
    under_way: VecDeque<(usize, Instant)>,
    arrivals: Vec<(Instant, usize)>,
}

impl Checked {
    fn lag(&self) -> Duration {
        let Shape { lag, accumulate, .. } = *self.link.shape();
        if accumulate { whole_millis(lag) } else { lag }
    }

    fn push(&mut self, now: Instant, length: usize) {
        let free = self.link.free();
        let at = self.sent.len();
        let bytes: Vec<u8> = (at..at + length).map(|at| (at % 251) as u8).collect();
        match self.link.push(now, Bytes::copy_from_slice(&bytes)) {
            Ok(()) => {
                assert!(length <= free);
                self.sent.extend(bytes);
                if length > 0 {
                    self.under_way.push_back((at + length, now + self.lag()));
                }
            }
            Err(refused) => assert_eq!(refused, PushError::Full { length, free }),
        }
    }

    fn take(&mut self, now: Instant, most: usize) {
        while let Some(taken) = self.link.poll_up_to(now, most) {
            self.received.extend_from_slice(&taken);
            self.arrivals.push((now, taken.len()));
            let (upto, soonest) = *self.under_way.front().expect("something was sent");
            assert!(now >= soonest, "bytes came earlier than the lag");
            if self.received.len() == upto {
                self.under_way.pop_front();
            }
        }
    }

    fn reshape(&mut self, now: Instant, shape: Shape) {
        self.link.set_shape(now, shape);
        // What waited for its transmission may go by a shorter lag now.
        let soonest = now + self.lag();
        for (_, piece_soonest) in &mut self.under_way {
            *piece_soonest = soonest.min(*piece_soonest);
        }
    }
}

/// Runs the steps on a fresh link, checks what must always hold, and returns the arrivals.
fn run(shape: &Shape, steps: &[(u64, Step)], start: Instant) -> Vec<(Instant, usize)> {
    let mut checked = Checked {
        link: Shaper::new(shape.clone()),
        sent: Vec::new(),
        received: Vec::new(),
        under_way: VecDeque::new(),
        arrivals: Vec::new(),
    };
    let mut now = start;
    for (pause, step) in steps {
        now += Duration::from_micros(*pause);
        match step {
            Step::Push(length) => checked.push(now, *length),
            Step::Poll(most) => checked.take(now, *most),
            Step::Reshape(shape) => checked.reshape(now, shape.clone()),
        }
    }
    while let Some(due) = checked.link.deadline() {
        checked.take(due.max(now), usize::MAX);
    }
    assert_eq!(checked.sent, checked.received, "order is kept and nothing is lost");
    assert_eq!(checked.link.held_bytes, 0);
    checked.arrivals
}

proptest! {
    #[test]
    fn order_is_kept_nothing_is_lost_or_early_and_a_seed_repeats_itself(
        shape in any_shape(),
        steps in any_steps(),
    ) {
        let start = Instant::now();
        let first = run(&shape, &steps, start);
        prop_assert_eq!(first, run(&shape, &steps, start));
    }

    #[test]
    fn a_long_run_has_exactly_the_rate(
        speed in 1..5_000_000_000u64,
        lag in 0..1_000u64,
        lengths in prop::collection::vec(1..1500usize, 1..300),
    ) {
        let start = Instant::now();
        let mut link = Shaper::new(Shape {
            lag: ms(lag),
            bytes_per_second: rate(speed),
            buffer_bytes_max: usize::MAX,
            ..Shape::default()
        });
        for length in &lengths {
            link.push(start, piece(*length)).unwrap();
        }
        let (last, _) = drain(&mut link, start).pop().unwrap();
        let total: usize = lengths.iter().sum();
        let nanos = total as u128 * NANOS_PER_SECOND / u128::from(speed);
        prop_assert_eq!((last - ms(lag)).as_nanos(), nanos);
    }
}
