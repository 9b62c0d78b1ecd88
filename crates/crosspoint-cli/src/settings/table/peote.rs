//! The section `[peote]`.

use crate::settings::kind::auto_switch;
use crate::settings::row::section;

section! {
    /// Programs written with peote-net.
    peote: Peote {
        /// Whether programs written with peote-net may connect.
        ///
        /// They cannot present credentials. So with auto they may only where nobody has to: as long as
        /// neither `server.access_token` nor a file of `[auth]` is set. With true they may in any
        /// case, without credentials and with what `[permissions]` say. Otherwise their connections are
        /// closed, and the log says why.
        enabled: Option<bool> = "auto", auto_switch(), flag "peote";
    }
}
