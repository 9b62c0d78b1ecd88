//! The section `[http]`.

use super::{GIB, HOUR_MS};
use crate::settings::kind::{bytes, file_path, millis, secret, switch, text};
use crate::settings::lists::{directories, host_list, optional_address_list, origin_list};
use crate::settings::row::section;
use std::time::Duration;

section! {
    /// What is answered to plain HTTP requests on the listening addresses.
    http: Http {
        /// Origins, besides its own host, whose web pages may open WebSockets to the hub.
        ///
        /// Pages that were served under the same host name as the hub, at any port, may in any case.
        /// Those of another origin are answered with 403 unless it stands here: a game at
        /// `https://game.example` that connects to a hub at `hub.example` needs
        /// `--http-origins https://game.example`. `null` are pages without an origin, such as files
        /// opened from a disk, and `*` is all. Programs that are no browsers say no origin and are
        /// not asked. The same holds for requests that change something.
        origins: Vec<String> = "", origin_list(), flag "http-origins";

        /// Names under which pages may use the hub from browsers in its own network.
        ///
        /// Somebody can let a name of his own lead to a machine in the network of his visitors (DNS
        /// rebinding). So where the browser is at a loopback or private address, or its address begins
        /// as that at which it has reached the hub (48 bits of IPv6, 24 of IPv4), the hub's name has to
        /// be an address, `localhost`, a name without a dot or under `.localhost`, `.local` or
        /// `.internal`, or stand here. Others are answered with 403, unless `http.origins` names the
        /// origin of the page. Name the hub's own public name here if pages under it have visitors
        /// in the hub's network.
        hosts: Vec<String> = "", host_list(), flag "http-hosts";

        /// Whether GET /metrics answers with the metrics, for Prometheus.
        ///
        /// It speaks the text format, or OpenMetrics to those that prefer it.
        /// Anyone who can connect can read them, unless `http.metrics_listen` or `http.metrics_token` is
        /// set. When false the path does not exist.
        metrics: bool = "true", switch();

        /// Whether GET /health answers while the hub runs, and GET /ready while it has room.
        ///
        /// For load balancers and supervisors. /ready says 503 while the hub stops, or has as many
        /// connections as `limits.connections_max`. When false neither path exists.
        health: bool = "true", switch();

        /// Directories whose files are served, each PATH=DIRECTORY.
        ///
        /// With `/assets=/srv/game` a request for /assets/a.png is answered with /srv/game/a.png;
        /// the path `/` is everything. The longest path that fits is taken, after /health, /metrics
        /// and the bundle of AnySocket. A path that ends in a slash is answered with its
        /// index.html; directories are never listed, symbolic links are followed. Anyone who can
        /// connect can read the files. A directory with a comma in its name can be set in a file
        /// only. The program does not start if one of them is no directory.
        files: Vec<String> = "", directories(), flag "http-files";

        /// Whether files are served whose names begin with a dot.
        ///
        /// The same holds for what is in directories with such names. They are often not meant for others:
        /// `.git`, `.env`. What is under `/.well-known` is served in any case.
        files_dot: bool = "false", switch(), flag "http-files-dot";

        /// Header Cache-Control of served files; empty for none.
        ///
        /// Such as `max-age=3600`. Without it browsers decide by themselves for how long they keep a file.
        files_cache_control: String = "", text(255), flag "http-files-cache-control";

        /// Whether served pages are isolated from pages of other origins.
        ///
        /// They get `Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy:
        /// require-corp`. Games that use threads in the browser need that; pages that include files
        /// of others without their consent do not work with it.
        files_isolated: bool = "false", switch(), flag "http-files-isolated";

        /// Origin whose pages may read served files; * for all, empty for our own only.
        ///
        /// It is the header Access-Control-Allow-Origin, such as `https://example.org`.
        files_cors: String = "", text(255), flag "http-files-cors";

        /// Whether files that were compressed beforehand are served in the place of others.
        ///
        /// For `a.js` that is `a.js.br`, `a.js.zst` or `a.js.gz`, to browsers that take it.
        files_precompressed: bool = "false", switch(), flag "http-files-precompressed";

        /// Addresses of their own for the metrics, each HOST:PORT; empty to answer on all addresses.
        ///
        /// Then /metrics is there alone and no longer at the addresses of `server.listen`. Nothing else is
        /// served there but /health and /ready, which stay at the others as well. Addresses are
        /// written as those of `server.listen`. Connections count and are bounded as all others. With
        /// `http.metrics` false nobody listens there.
        metrics_listen: Vec<String> = "", optional_address_list(), flag "http-metrics-listen";

        /// Token that /metrics has to be asked with; empty lets everybody read them.
        ///
        /// It is given as `Authorization: Bearer TOKEN`, which Prometheus calls `authorization.credentials`.
        /// Without it the answer is 401.
        metrics_token: String = "", secret(255), flag "http-metrics-token";

        /// The browser bundle of AnySocket, answered at /@anysocket.
        ///
        /// A file of JavaScript that holds AnySocket for web pages; AnySocket's own server answers
        /// with it at the same path. If empty the path does not exist. The program does not start
        /// if the file cannot be read.
        anysocket_bundle: String = "", file_path();

        /// How long the head of a request may take from its first byte to its last, in milliseconds.
        ///
        /// Then the connection is closed. A first request has `limits.handshake_ms_max` from the beginning of
        /// its connection as well.
        head_ms_max: Duration = "5000", millis(100..=HOUR_MS), flag "http-head-ms-max";

        /// How long a connection may be idle between two requests, in milliseconds.
        ///
        /// Then it is closed. Proxies keep idle connections for 60 seconds, most of them; this should be
        /// longer than theirs, or a request may reach a connection that is just being closed.
        keep_alive_ms: Duration = "75000", millis(0..=HOUR_MS).zero("closed after each answer"),
            flag "http-keep-alive-ms";

        /// Largest body of a request, in bytes.
        ///
        /// A larger one is answered with the status 413.
        body_bytes_max: usize = "1MiB", bytes(0..=GIB), flag "http-body-bytes-max";

        /// How long the body of a request may take to arrive, in milliseconds.
        ///
        /// Then it is not waited for any longer, and the connection is closed after the answer.
        body_ms_max: Duration = "30000", millis(100..=HOUR_MS), flag "http-body-ms-max";
    }
}
