//! The section `[peote]`.

use crate::settings::kind::auto_switch;
use crate::settings::row::section;

section! {
    /// Programs written with peote-net.
    peote: Peote {
        /// Whether programs written with peote-net may connect.
        ///
        /// They cannot present credentials. With auto they may connect only if no credentials are
        /// required, which means that neither `server.access_token` nor a file of `[auth]` is set.
        /// With true they may always connect, without credentials and with the permissions of
        /// `[permissions]`. Otherwise their connections are closed and the log says why.
        enabled: Option<bool> = "auto", auto_switch(), flag "peote";
    }
}
