//! Counts the native frames in a passing stream of bytes, so that a loss can be told in frames.

/// Counts frames (docs/protocol.md, section 2) without looking into them.
#[derive(Debug, Clone)]
pub(crate) struct FrameCounter {
    state: State,
    begun: u64,
    whole: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes stand before the first frame.
    Magic(usize),
    /// Inside a length; so many of its bytes were seen.
    Length { value: u64, seen: u32 },
    /// So many bytes of the frame are to come.
    Body(u64),
    /// What passes is no sequence of frames.
    Astray,
}

/// Bytes of the longest length of a frame.
const LENGTH_BYTES_MAX: u32 = 5;

impl State {
    const BORDER: Self = Self::Length { value: 0, seen: 0 };
}

impl FrameCounter {
    /// A counter of frames that begin behind so many other bytes.
    pub(crate) fn new(magic_bytes: usize) -> Self {
        let state = if magic_bytes == 0 { State::BORDER } else { State::Magic(magic_bytes) };
        Self { state, begun: 0, whole: 0 }
    }

    /// Frames of which at least one byte has passed; `None` if these are no frames.
    pub(crate) fn begun(&self) -> Option<u64> {
        (self.state != State::Astray).then_some(self.begun)
    }

    /// Frames that have passed whole; `None` if these are no frames.
    pub(crate) fn whole(&self) -> Option<u64> {
        (self.state != State::Astray).then_some(self.whole)
    }

    /// Lets bytes pass.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let taken = match self.state {
                State::Astray => return,
                State::Magic(left) => {
                    let taken = left.min(bytes.len());
                    self.state =
                        if taken == left { State::BORDER } else { State::Magic(left - taken) };
                    taken
                }
                State::Length { value, seen } => {
                    self.begun += u64::from(seen == 0);
                    let value = value | u64::from(byte & 0x7f) << (7 * seen);
                    let more = byte & 0x80 != 0;
                    self.state = match value {
                        _ if more && seen + 1 < LENGTH_BYTES_MAX => {
                            State::Length { value, seen: seen + 1 }
                        }
                        1..=0xffff_ffff if !more => State::Body(value),
                        _ => State::Astray,
                    };
                    1
                }
                State::Body(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let left = left - taken as u64;
                    self.state = State::Body(left);
                    if left == 0 {
                        self.whole += 1;
                        self.state = State::BORDER;
                    }
                    taken
                }
            };
            bytes = &bytes[taken..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use crosspoint_hub::input::Input;
    use crosspoint_proto::frame::{next_frame, put_varint};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_counts_what_the_protocol_would_parse_however_the_bytes_are_cut(
            lengths in proptest::collection::vec(1..400usize, 0..12),
            cuts in proptest::collection::vec(1..90usize, 1..40),
            end in 0..4000usize,
        ) {
            let mut stream = b"XPT1".to_vec();
            for length in &lengths {
                put_varint(*length as u32, &mut stream);
                stream.resize(stream.len() + length, 0x81);
            }
            stream.truncate(end.max(4));
            let mut counter = FrameCounter::new(4);
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                counter.pass(now);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            let mut input = Input::default();
            input.push(Bytes::copy_from_slice(&stream[4..]));
            let mut whole = 0;
            while let Ok(Some(_)) = next_frame(&mut input, usize::MAX) {
                whole += 1;
            }
            prop_assert_eq!(counter.whole(), Some(whole));
            prop_assert_eq!(counter.begun(), Some(whole + u64::from(!input.is_empty())));
        }

        #[test]
        fn bytes_that_are_no_frames_are_admitted_to_be_none(bytes: Vec<u8>) {
            let mut counter = FrameCounter::new(0);
            counter.pass(&bytes);
            prop_assert_eq!(counter.begun().is_some(), counter.whole().is_some());
            counter.pass(&[0; 1]);
            counter.pass(&[0xff; 6]);
            if counter.begun().is_none() {
                counter.pass(&[1, 0, 1, 0]);
                prop_assert_eq!(counter.whole(), None);
            }
        }
    }

    #[test]
    fn a_length_of_zero_or_above_32_bits_leads_astray() {
        for wrong in [&[0][..], &[0x80, 0], &[0xff; 5], &[0xff, 0xff, 0xff, 0xff, 0x1f]] {
            let mut counter = FrameCounter::new(0);
            counter.pass(wrong);
            assert_eq!((counter.begun(), counter.whole()), (None, None), "{wrong:02x?}");
        }
    }
}
