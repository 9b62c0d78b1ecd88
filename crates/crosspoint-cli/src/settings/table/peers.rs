//! The section `[peers]`.

use crate::settings::kind::words;
use crate::settings::row::section;
use crosspoint_hub::peers::Duplicates;

section! {
    /// Clients that others find by name or id.
    peers: Peers {
        /// What happens when a client comes with the name or id of another: refuse or replace.
        ///
        /// With refuse the new one is refused with the reason `NameTaken` or `IdTaken`, and the old one has
        /// to show that it lives (`limits.probe_ms_max`). With replace the old one is disconnected with the
        /// reason `Replaced`, which suits clients that come back before the hub has noticed that they were
        /// gone. An id whose key was proven always wins over one that was only claimed, and never loses to
        /// it.
        duplicates: Duplicates = "refuse",
            words(&[("refuse", Duplicates::Refuse), ("replace", Duplicates::Replace)]),
            flag "peer-duplicates";
    }
}
