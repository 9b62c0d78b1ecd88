//! The section `[control]`.

use crate::settings::kind::{count, file_path, secret, switch, words};
use crate::settings::row::section;
use crosspoint_control::Access;

section! {
    /// The control center: a web page and an API that show the hub live.
    control: Control {
        /// Whether the control center is served.
        ///
        /// The page is at / and at /control/, the API under /api/v1. If `http.files` serves /, the page
        /// is at /control/ only. Paths of the control center take precedence over `http.files`.
        enabled: bool = "true", switch(), flag "control";

        /// Who may use the control center without a token: loopback or token.
        ///
        /// With loopback, browsers and programs on the machine of the hub need no token if they use a
        /// name or address that always means this machine, such as localhost, and come through no
        /// proxy. Everybody else needs the token. With token, everybody needs it. The page itself is
        /// readable for all, without any data of the hub.
        access: Access = "loopback",
            words(&[("loopback", Access::Loopback), ("token", Access::Token)]),
            flag "control-access";

        /// Token that gives access to the control center.
        ///
        /// A program sends it as `Authorization: Bearer TOKEN`. The page asks for it once and keeps a
        /// cookie for twelve hours. At least 16 visible ASCII characters. If neither this nor
        /// `control.token_file` is set, and the hub listens on addresses that others can reach, the
        /// program generates a token at each start and prints it.
        token: String = "", secret(255), flag "control-token";

        /// File that contains the token of the control center.
        ///
        /// If the file does not exist, the program creates it with a generated token, readable for its
        /// user only, and prints the token once. It cannot be set together with `control.token`.
        token_file: String = "", file_path(), flag "control-token-file";

        /// Event streams of the control center at the same time.
        ///
        /// Each open page has one. Another one gets the status 503.
        viewers_max: usize = "16", count(0..=1000), flag "control-viewers-max";
    }
}
