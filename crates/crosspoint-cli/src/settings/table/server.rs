//! The section `[server]`.

use crate::settings::kind::{count, millis, peer_id, secret, text};
use crate::settings::lists::{address_list, network_list};
use crate::settings::row::section;
use crosspoint_hub::PeerId;
use std::time::Duration;

section! {
    /// Where the program listens and what it is called.
    server: Server {
        /// Addresses to listen on, each HOST:PORT.
        ///
        /// Every address serves all protocols and transports. Port 0 picks a free port, which the
        /// program names at the start. An IPv6 address stands in brackets: `[::]:7680`, which takes
        /// IPv4 too unless an IPv4 address with the same port is in the list. `localhost` is
        /// 127.0.0.1 and ::1, at the same port. The program ends with an error if it cannot listen
        /// on one of them.
        listen: Vec<String> = "0.0.0.0:7680", address_list();

        /// Name of this hub, shown to clients.
        ///
        /// Native clients receive it when they are welcomed. It has no other effect; at most 255
        /// bytes.
        name: String = "", text(255);

        /// The hub's own id, 32 hexadecimal digits; made at random at each start if empty.
        ///
        /// Programs written with AnySocket know the hub by it: HTTP answers carry it in the header
        /// `Anysocket-Id`. Set it where they are to find the same hub after a restart, or behind
        /// one of several addresses. `openssl rand -hex 16` makes one.
        id: Option<PeerId> = "", peer_id();

        /// Secret that clients must present; empty lets everybody in.
        ///
        /// Native clients give it as their token, AnySocket programs as their `auth`. Without it they are
        /// refused with the reason `NotAllowed`, as often as they try: it should be long and made at random
        /// (`openssl rand -base64 24`). Peote programs have nothing to present and are not served then,
        /// unless `peote.enabled` is true. It cannot be set together with a file of `[auth]`. Other users of
        /// the machine can read flags, so prefer the environment or a file. At most 255 bytes, on one line;
        /// its line end is not part of it. SIGHUP lets the program read it again.
        access_token: String = "", secret(255);

        /// Networks of the proxies that are believed when they tell for whom they speak.
        ///
        /// From these the headers `X-Forwarded-For` or `Forwarded` of a request, and the header of the
        /// PROXY protocol (versions 1 and 2) of any connection, give the address that limits, bans and
        /// the log know (docs/http.md). From others such headers of requests are not heeded, and a
        /// connection that begins with a PROXY header is closed. Without this, everybody behind a proxy
        /// has the proxy's address.
        trusted_proxies: Vec<String> = "", network_list();

        /// How long a stop may take, in milliseconds.
        ///
        /// On a stop the hub accepts nothing new, tells every session that it stops and writes what
        /// waits in the outboxes. Sessions that have not taken everything by then are cut off. A session
        /// that ends while the hub runs may take as long, and two seconds in any case.
        stop_ms_max: Duration = "5000", millis(0..=600_000).zero("cut off at once");

        /// Threads that serve the sessions.
        ///
        /// More than there are cores gains nothing; fewer leave room for other programs.
        threads: usize = "0", count(0..=1024).zero("one per core");
    }
}
