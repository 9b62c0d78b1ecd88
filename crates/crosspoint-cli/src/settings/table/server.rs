//! The section `[server]`.

use crate::settings::address::ListenAddress;
use crate::settings::kind::{count, file_mode, group, millis, peer_id, secret, text};
use crate::settings::lists::{address_list, network_list};
use crate::settings::row::section;
use crosspoint_hub::PeerId;
use std::time::Duration;

section! {
    /// Listening addresses, and what concerns the whole server.
    server: Server {
        /// Addresses to listen on, each HOST:PORT, unix:PATH or systemd.
        ///
        /// Each address serves all protocols and transports. Port 0 picks a free port, which the
        /// program prints at the start. An IPv6 address is written in brackets: `[::]:7680` also
        /// accepts IPv4, unless an IPv4 address with the same port is in the list. `localhost` is
        /// 127.0.0.1 and ::1, with the same port. The program exits with an error if it cannot listen
        /// on one of the addresses.
        ///
        /// `unix:PATH` is a socket of the file system, for programs of the same machine:
        /// `server.unix_mode` says which. Limits for each address do not hold there. The program
        /// removes the file when it stops.
        ///
        /// `systemd:NAME` is the TCP and Unix sockets with this `FileDescriptorName=` that systemd
        /// passes to the program (socket activation, docs/systemd.md). `systemd` is all that no other
        /// address takes. The program exits with an error if there is none, or if there is one that
        /// no address takes.
        ///
        /// `tls://` before an address refuses connections without TLS there, whatever `tls.required`
        /// says. It needs `tls.cert` or `tls.dev`.
        listen: Vec<String> = "0.0.0.0:7680", address_list();

        /// Permissions of the Unix sockets that the program creates, in octal digits.
        ///
        /// Programs that may write to the file may connect: with 0660 those of the user that runs the
        /// hub and of the group of the file, with 0666 those of everybody who can reach the directory.
        /// The permissions hold before anybody can connect, whatever the umask is. Others who may
        /// write to the directory can put a socket of their own in its place.
        unix_mode: u32 = "0660", file_mode();

        /// Group of the Unix sockets that the program creates; empty: the group of the program.
        ///
        /// A name or a number. Unless the program runs as root, its user has to be a member of the
        /// group.
        unix_group: String = "", group();

        /// Name of this hub, shown to clients.
        ///
        /// The WELCOME for native clients contains it. It has no other effect. At most 255 bytes.
        name: String = "", text(255);

        /// The id of the hub, 32 hexadecimal digits; random at each start if empty.
        ///
        /// Programs written with AnySocket identify the hub by it, and HTTP answers contain it in the
        /// header `Anysocket-Id`. Set it if they should recognise the hub after a restart, or behind
        /// several addresses. `openssl rand -hex 16` generates one.
        id: Option<PeerId> = "", peer_id();

        /// Secret that clients must present; empty lets everybody in.
        ///
        /// Native clients present it as their token, AnySocket programs as their `auth`. Clients
        /// without it are refused with the reason `NotAllowed`, and may try again without limit. The
        /// secret should therefore be long and random (`openssl rand -base64 24`). Peote programs
        /// cannot present it and are not served then, unless `peote.enabled` is true. It cannot be
        /// set together with a file of `[auth]`. Other users of the machine can read flags, so prefer
        /// the environment or a file. At most 255 bytes, on one line; the line end is not part of it.
        /// SIGHUP reloads it.
        access_token: String = "", secret(255);

        /// Networks of proxies whose statements about client addresses are trusted.
        ///
        /// The hub takes the client's address from the headers `X-Forwarded-For` or `Forwarded` of a
        /// request, and from the header of the PROXY protocol (versions 1 and 2) of any connection.
        /// Limits, bans and the log use that address (docs/http.md). From other networks, the hub
        /// ignores such headers of requests, and closes a connection that begins with a PROXY header.
        /// Without this setting, all clients behind a proxy have the address of the proxy.
        trusted_proxies: Vec<String> = "", network_list();

        /// How long a stop may take, in milliseconds.
        ///
        /// During a stop the hub accepts nothing new, tells all sessions that it stops, and writes
        /// the data in their outboxes. Sessions that have not taken all of it after this time are cut
        /// off. A session that ends while the hub runs has the same time, and at least two seconds.
        stop_ms_max: Duration = "5000", millis(0..=600_000).zero("cut off at once");

        /// Threads that serve the sessions.
        ///
        /// More threads than cores bring no gain. Fewer leave cores to other programs.
        threads: usize = "0", count(0..=1024).zero("one per core");
    }
}

impl Server {
    /// The addresses of `listen`.
    pub(crate) fn listen_addresses(&self) -> impl Iterator<Item = ListenAddress<'_>> {
        self.listen.iter().filter_map(|address| ListenAddress::parse(address))
    }
}
