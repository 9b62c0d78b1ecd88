//! The section `[peers]`.

use crate::settings::kind::words;
use crate::settings::row::section;
use crosspoint_hub::peers::Duplicates;

section! {
    /// Sessions that others find by name or id.
    peers: Peers {
        /// What happens if a client has the name or id of another: refuse, replace or newest.
        ///
        /// With refuse, the new client is refused with the reason `NameTaken` or `IdTaken`, and the
        /// hub sends a probe to the old session (`limits.probe_ms_max`). With replace, the old
        /// session is disconnected with the reason `Replaced`. This suits clients that reconnect
        /// before the hub has detected the loss of their connection. With newest, both stay: the name
        /// leads to the newest of them, and after its end to the newest of the others; an id is refused
        /// as with refuse. With replace and newest, a client that may choose a name gets what is meant
        /// for another. An id with a proven key always takes precedence over one that was only claimed,
        /// and never loses to it.
        duplicates: Duplicates = "refuse",
            words(&[
                ("refuse", Duplicates::Refuse),
                ("replace", Duplicates::Replace),
                ("newest", Duplicates::Newest),
            ]),
            flag "peer-duplicates";
    }
}
