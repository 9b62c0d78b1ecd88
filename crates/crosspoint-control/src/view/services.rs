//! Services.

use super::peer;
use crate::listing::{Page, Search, page};
use crate::model::{ServiceRow, Services};
use crate::params::Values;
use crate::snapshot::Snapshot;

/// Providers of all services of a page that are shown, which bounds the size of an answer.
const PAGE_PROVIDERS_MAX: usize = 1000;

/// Which services are listed.
#[derive(Debug)]
pub(crate) struct Query {
    search: Option<Search>,
    page: Page,
}

impl Query {
    /// From what was asked for.
    pub(crate) fn new(values: &Values) -> Self {
        Self { search: values.search(), page: values.page() }
    }

    /// The list, by name.
    pub(crate) fn list(&self, snapshot: &Snapshot) -> Services {
        let paged = page(
            snapshot.services(),
            |seen| self.search.as_ref().is_none_or(|search| search.is_in(&seen.folded)),
            |one, other| one.info.name.cmp(&other.info.name),
            self.page,
        );
        let mut left = PAGE_PROVIDERS_MAX;
        let services = paged.rows.into_iter().map(|seen| {
            let providers: Vec<_> = seen.info.providers.iter().take(left).map(peer).collect();
            left -= providers.len();
            ServiceRow {
                name: seen.info.name.as_str().to_owned(),
                providers,
                provider_count: seen.info.provider_count as u64,
            }
        });
        Services {
            total: paged.total as u64,
            matched: paged.matched as u64,
            offset: self.page.offset as u64,
            services: services.collect(),
        }
    }
}
