//! Messages for many receivers whose own tasks write data, kept once for all of them.

use crate::encodings::{Encoding, Encodings};
use crate::envelope::FrameCompressor;
use crate::ledger::{Common, SharedCharge};
use crate::wire::{FrameWriter, Part};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// The number of the wire, and with what each body begins.
type BodyKey = (u8, Box<[u8]>);

/// Messages of one sender in one channel, with what protocols write of them alike for all.
struct Messages {
    parts: Vec<Part>,
    bodies: Encodings<BodyKey, ()>,
    /// The same bodies compressed, empty where that is not smaller.
    compressed: Encodings<BodyKey, ()>,
    /// The channel, which is charged for what its receivers share.
    common: Common,
    /// For the list and for small data, once a receiver shares them.
    charge: OnceLock<SharedCharge>,
}

impl Messages {
    fn charge(&self) {
        self.charge.get_or_init(|| {
            let small = self.parts.iter().filter(|part| !Common::is_charged(&part.data));
            let bytes: usize = small.map(|part| part.data.len()).sum();
            self.common.hold(bytes + size_of::<Self>() + size_of_val(&*self.parts))
        });
    }
}

/// Messages that many get, as far as they wait for one receiver.
#[derive(Clone)]
pub struct Run {
    messages: Arc<Messages>,
    range: Range<u32>,
    /// The bytes of their data.
    bytes: usize,
    /// Whether the receiver pays for them: that costs less than to count what is shared.
    own: bool,
}

impl Run {
    /// The most messages that each receiver pays for.
    const FEW: usize = 4;

    /// So many bytes make a receiver's share, together with so many for each message.
    const SHARE_BYTES: usize = 64 * 1024;
    const MESSAGE_BYTES: usize = 128;

    /// How often bodies are written with another beginning.
    const INTROS_MAX: usize = 4;

    /// All messages of a batch.
    pub(crate) fn new(common: &Common, mut parts: Vec<Part>) -> Self {
        let bytes = parts.iter().map(|part| part.data.len()).sum();
        let length =
            u32::try_from(parts.len()).expect("a batch is bounded by what is read at once");
        let is_large = |part: &Part| Common::is_charged(&part.data);
        let own = parts.len() <= Self::FEW && !parts.iter().any(is_large);
        for part in &mut parts {
            part.data = common.charge(std::mem::take(&mut part.data));
        }
        let [bodies, compressed] = [Encodings::default(), Encodings::default()];
        let (common, charge) = (common.clone(), OnceLock::new());
        let messages = Messages { parts, bodies, compressed, common, charge };
        Self { messages: Arc::new(messages), range: 0..length, bytes, own }
    }

    /// The same for one more receiver. One that lags does not pay, but shares.
    pub(crate) fn for_receiver(&self, lags: bool) -> Self {
        let own = self.own && !lags;
        if !own {
            self.messages.charge();
        }
        Self { own, ..self.clone() }
    }

    /// The messages.
    pub fn parts(&self) -> &[Part] {
        &self.messages.parts[self.range.start as usize..self.range.end as usize]
    }

    /// The bytes of their data that the receiver pays for.
    pub(crate) fn own(&self) -> usize {
        if self.own { self.bytes } else { 0 }
    }

    /// The bytes of their data that are charged to the channel.
    pub(crate) fn shared(&self) -> usize {
        if self.own { 0 } else { self.bytes }
    }

    /// Takes out the first of the messages, if they are more than a receiver is told at once.
    pub(crate) fn split(&mut self) -> Option<Self> {
        let (mut count, mut bytes, mut share) = (0, 0, 0);
        for part in self.parts() {
            if share >= Self::SHARE_BYTES {
                break;
            }
            count += 1;
            bytes += part.data.len();
            share += part.data.len() + Self::MESSAGE_BYTES;
        }
        if count as usize == self.parts().len() {
            return None;
        }
        let middle = self.range.start + count;
        let first = Self { range: self.range.start..middle, bytes, ..self.clone() };
        self.range.start = middle;
        self.bytes -= bytes;
        Some(first)
    }

    /// What receivers get alike of the messages, each behind a header of its own: `intro`, and what `write` writes
    /// for one message. It is written once for all receivers with the same number of their
    /// [wire](crate::wire::Profile::id) and the same intro. `None` if there are so many intros that it is not worth
    /// its while.
    pub fn bodies(
        &self,
        wire: u8,
        intro: &[u8],
        write: impl Fn(&Part, &mut Vec<u8>),
    ) -> Option<Bodies<'_>> {
        let Messages { parts, bodies, common, .. } = &*self.messages;
        let is = |(known, begins): &BodyKey| *known == wire && **begins == *intro;
        let encoding = bodies.get(Self::INTROS_MAX, is, || {
            let bytes = |part: &Part| intro.len() + part.data.len() + Self::MESSAGE_BYTES;
            let mut out = Vec::with_capacity(parts.iter().map(bytes).sum());
            let mut ends = Vec::with_capacity(parts.len());
            for part in parts {
                out.extend_from_slice(intro);
                write(part, &mut out);
                ends.push(out.len());
            }
            out.shrink_to_fit();
            // Charged for as long as somebody has a part of it.
            let charge = common.hold(out.len() + size_of_val(&*ends));
            Encoding::new((wire, intro.into()), charge.with(out.into()), ends, |_| ())
        });
        Some(Bodies { run: self, encoding: encoding? })
    }
}

/// See [`Run::bodies`].
#[derive(Clone, Copy)]
pub struct Bodies<'a> {
    run: &'a Run,
    encoding: &'a Encoding<BodyKey, ()>,
}

impl<'a> Bodies<'a> {
    /// The bytes of all of them.
    pub fn bytes(&self) -> usize {
        let Range { start, end } = self.run.range;
        self.encoding.range(end as usize).start - self.encoding.range(start as usize).start
    }

    /// The messages, each with its body.
    pub fn iter(&self) -> impl Iterator<Item = (&'a Part, Body<'a>)> + use<'a> {
        let Self { run, encoding } = *self;
        let bodies = run.range.clone().map(move |index| {
            let index = index as usize;
            Body { run, encoding, index, range: encoding.range(index) }
        });
        run.parts().iter().zip(bodies)
    }
}

/// The body of one message.
pub struct Body<'a> {
    run: &'a Run,
    encoding: &'a Encoding<BodyKey, ()>,
    index: usize,
    range: Range<usize>,
}

impl Body<'_> {
    /// Its bytes.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Writes it as a frame, behind a header. Where frames are compressed, the body is compressed once for all.
    pub fn frame(self, header: &[u8], out: &mut FrameWriter) {
        if !out.compresses() || !self.compressed_frame(header, out) {
            out.frame_of(header, self.encoding.bytes(), self.range);
        }
    }

    /// Writes it compressed. Gives whether it becomes smaller by that.
    #[cold]
    fn compressed_frame(&self, header: &[u8], out: &mut FrameWriter) -> bool {
        let compressor = out.compressor(header.len() + self.len());
        let compressed = compressor.and_then(|compressor| self.compressed(compressor));
        let Some(compressed) = compressed else { return false };
        let range = compressed.range(self.index);
        let smaller = !range.is_empty();
        if smaller {
            out.compressed_frame_of(header, compressed.bytes(), range);
        }
        smaller
    }

    /// All bodies compressed that are large enough. `None` if there are too many kinds of them.
    fn compressed(&self, compressor: &FrameCompressor) -> Option<&Encoding<BodyKey, ()>> {
        let Self { run, encoding, .. } = self;
        let Messages { parts, compressed, common, .. } = &*run.messages;
        compressed.get(
            Run::INTROS_MAX,
            |key| key == encoding.key(),
            || {
                let mut out = Vec::new();
                let mut ends = Vec::with_capacity(parts.len());
                for index in 0..parts.len() {
                    let body = &encoding.bytes()[encoding.range(index)];
                    if compressor.wants(body.len())
                        && let Some(body) = compressor.compress(body)
                    {
                        out.extend_from_slice(&body);
                    }
                    ends.push(out.len());
                }
                out.shrink_to_fit();
                let charge = common.hold(out.len() + size_of_val(&*ends));
                Encoding::new(encoding.key().clone(), charge.with(out.into()), ends, |_| ())
            },
        )
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parts()).finish()
    }
}
