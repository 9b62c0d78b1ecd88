//! What a session has sent where rules for channels bound that. It outlives memberships, so that to leave and
//! enter again gains nothing.

use crate::rate_limiter::RateLimiter;
use crate::rules::ChannelRule;
use std::sync::Arc;
use std::time::Instant;

/// What former memberships have used and time has not given back: one limiter for each rule at most.
#[derive(Debug, Default)]
pub(super) struct Rates(Vec<(Arc<ChannelRule>, Box<RateLimiter>)>);

impl Rates {
    /// The limiter of a new membership, if the rule bounds what a member sends.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        rule: &Arc<ChannelRule>,
    ) -> Option<Box<RateLimiter>> {
        let mut limiter = Box::new(rule.limiter(now)?);
        if let Some(used) = self.used(rule) {
            limiter.take_over(now, used);
        }
        Some(limiter)
    }

    /// A membership ends that had this limiter.
    pub(super) fn end(&mut self, now: Instant, rule: &Arc<ChannelRule>, limiter: Box<RateLimiter>) {
        match self.used(rule) {
            Some(used) => used.take_over(now, &limiter),
            None => self.0.push((rule.clone(), limiter)),
        }
        self.0.retain_mut(|(_, used)| !used.is_full(now));
    }

    fn used(&mut self, rule: &Arc<ChannelRule>) -> Option<&mut RateLimiter> {
        let used = self.0.iter_mut().find(|(of, _)| Arc::ptr_eq(of, rule));
        used.map(|(_, used)| &mut **used)
    }
}
