//! The section `[permissions]`.

use crate::settings::kind::switch;
use crate::settings::lists::name_patterns;
use crate::settings::row::section;

section! {
    /// Default permissions of a client.
    permissions: Permitted {
        /// Names of the channels that a client may create.
        ///
        /// `*` matches all names, and at the end of a pattern any suffix: `arena-*` (quote it in a
        /// shell). An empty list allows none. Other names are refused with the reason `NotAllowed`. A
        /// file of `[auth]`, or a token that it accepts, may set other permissions; what both leave
        /// out is taken from here. The same applies to all of `[permissions]`.
        create: Vec<String> = "*", name_patterns(), flag "permit-create";

        /// Names of the channels and rooms that a client may enter.
        ///
        /// Patterns as in `permissions.create`. Other names are refused with the reason `NotAllowed`.
        enter: Vec<String> = "*", name_patterns(), flag "permit-enter";

        /// Names of the peers that a client may link to, and of the services that it may use.
        ///
        /// Patterns as in `permissions.create`. Others are refused with the reason `NotAllowed`. Only
        /// `*` matches a peer without a name.
        reach: Vec<String> = "*", name_patterns(), flag "permit-reach";

        /// Names of the services that a client may provide.
        ///
        /// Patterns as in `permissions.create`. Other names are refused with the reason `NotAllowed`.
        provide: Vec<String> = "*", name_patterns(), flag "permit-provide";

        /// Whether a client may list the connected sessions and watch presence.
        ///
        /// If false, both are refused with the reason `NotAllowed`. Members of a channel still see
        /// each other.
        presence: bool = "true", switch(), flag "permit-presence";
    }
}
