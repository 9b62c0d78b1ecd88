//! What a session has sent where rules for channels bound that. It outlives memberships, so that to leave and
//! enter again gains nothing.

use crate::meter::Meter;
use crate::rules::ChannelRule;
use std::sync::Arc;
use std::time::Instant;

/// What former memberships have used and time has not given back: one meter for each rule at most.
#[derive(Debug, Default)]
pub(super) struct Rates(Vec<(Arc<ChannelRule>, Box<Meter>)>);

impl Rates {
    /// The meter of a new membership, if the rule bounds what a member sends.
    pub(super) fn begin(&mut self, now: Instant, rule: &Arc<ChannelRule>) -> Option<Box<Meter>> {
        let mut meter = Box::new(rule.meter(now)?);
        if let Some(used) = self.used(rule) {
            meter.take_over(now, used);
        }
        Some(meter)
    }

    /// A membership ends that had this meter.
    pub(super) fn end(&mut self, now: Instant, rule: &Arc<ChannelRule>, meter: Box<Meter>) {
        match self.used(rule) {
            Some(used) => used.take_over(now, &meter),
            None => self.0.push((rule.clone(), meter)),
        }
        self.0.retain_mut(|(_, used)| !used.is_full(now));
    }

    fn used(&mut self, rule: &Arc<ChannelRule>) -> Option<&mut Meter> {
        let used = self.0.iter_mut().find(|(of, _)| Arc::ptr_eq(of, rule));
        used.map(|(_, used)| &mut **used)
    }
}
