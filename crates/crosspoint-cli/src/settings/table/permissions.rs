//! The section `[permissions]`.

use crate::settings::kind::switch;
use crate::settings::lists::name_patterns;
use crate::settings::row::section;

section! {
    /// What a client may do if nothing else says so.
    permissions: Permitted {
        /// Names of the channels that a client may create.
        ///
        /// `*` is all, and at the end of a name any ending: `arena-*` (a shell wants it in quotation
        /// marks). An empty list allows none. Another name is refused with the reason `NotAllowed`.
        /// A file of `[auth]`, or a token that it accepts, may say something else; what both leave
        /// out is taken from here, and so it is with all of `[permissions]`.
        create: Vec<String> = "*", name_patterns(), flag "permit-create";

        /// Names of the channels and rooms that a client may enter.
        ///
        /// Patterns as in `permissions.create`. Another name is refused with the reason
        /// `NotAllowed`.
        enter: Vec<String> = "*", name_patterns(), flag "permit-enter";

        /// Names of the peers that a client may link to, and of the services that it may use.
        ///
        /// Patterns as in `permissions.create`. Others are refused with the reason `NotAllowed`. A
        /// peer without a name is reached under `*` alone.
        reach: Vec<String> = "*", name_patterns(), flag "permit-reach";

        /// Names of the services that a client may provide.
        ///
        /// Patterns as in `permissions.create`. Another name is refused with the reason
        /// `NotAllowed`.
        provide: Vec<String> = "*", name_patterns(), flag "permit-provide";

        /// Whether a client may ask who is connected and hear of coming and going.
        ///
        /// When false both are refused with the reason `NotAllowed`. Members of a channel still see
        /// each other.
        presence: bool = "true", switch(), flag "permit-presence";
    }
}
