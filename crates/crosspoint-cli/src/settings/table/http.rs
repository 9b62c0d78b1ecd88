//! The section `[http]`.

use super::{GIB, HOUR_MS};
use crate::settings::kind::{bytes, file_path, millis, secret, switch, text};
use crate::settings::lists::{directories, host_list, optional_address_list, origin_list};
use crate::settings::row::section;
use std::time::Duration;

section! {
    /// HTTP requests on the listening addresses.
    http: Http {
        /// Origins, besides the hub's own host, whose web pages may open WebSockets to the hub.
        ///
        /// Pages that are served under the host name of the hub, on any port, are always allowed. A
        /// page of another origin gets the status 403 unless its origin is listed here. A game at
        /// `https://game.example` that connects to a hub at `hub.example` needs `--http-origins
        /// https://game.example`. `null` stands for pages without an origin, such as files opened
        /// from a disk, and `*` for all. Programs that are not browsers send no origin and are not
        /// restricted. The same applies to requests that change state.
        origins: Vec<String> = "", origin_list(), flag "http-origins";

        /// Host names under which pages may use the hub from browsers in its own network.
        ///
        /// An attacker can let a name resolve to a machine in the network of a visitor (DNS
        /// rebinding). The hub therefore checks the host name if the browser has a loopback or
        /// private address, or shares a prefix with the address at which it reached the hub (48 bits
        /// of IPv6, 24 of IPv4). The name must be an address, `localhost`, a name without a dot,
        /// under `.localhost`, `.local` or `.internal`, or listed here. Other names get the status
        /// 403, unless `http.origins` contains the origin of the page. List the public name of the
        /// hub here if its pages have visitors in the network of the hub.
        hosts: Vec<String> = "", host_list(), flag "http-hosts";

        /// Whether GET /metrics returns the metrics, for Prometheus.
        ///
        /// The hub uses the text format, or OpenMetrics for clients that prefer it. Anyone who can
        /// connect can read the metrics, unless `http.metrics_listen` or `http.metrics_token` is set.
        /// If false, the path does not exist.
        metrics: bool = "true", switch();

        /// Whether GET /health and GET /ready are answered, for load balancers and supervisors.
        ///
        /// /health succeeds while the hub runs. /ready answers with the status 503 while the hub
        /// stops, or when it has as many connections as `limits.connections_max`. If false, neither
        /// path exists.
        health: bool = "true", switch();

        /// Directories whose files are served, each PATH=DIRECTORY.
        ///
        /// With `/assets=/srv/game` the file /srv/game/a.png is served at /assets/a.png. The path `/`
        /// matches everything. The longest matching path is used, after /health, /metrics and the
        /// bundle of AnySocket. For a path that ends with a slash, its index.html is served.
        /// Directories are never listed, and symbolic links are followed. Anyone who can connect can
        /// read the files. A directory with a comma in its name can be set in a file only. The
        /// program does not start if one of them is not a directory.
        files: Vec<String> = "", directories(), flag "http-files";

        /// Whether files are served whose names begin with a dot.
        ///
        /// The same applies to files in directories with such names. They are often private, such as
        /// `.git` and `.env`. Files under `/.well-known` are always served.
        files_dot: bool = "false", switch(), flag "http-files-dot";

        /// Header Cache-Control of served files; empty for none.
        ///
        /// For example `max-age=3600`. Without the header, a browser decides how long it keeps a
        /// file.
        files_cache_control: String = "", text(255), flag "http-files-cache-control";

        /// Whether served pages are isolated from pages of other origins.
        ///
        /// They get `Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy:
        /// require-corp`. Games that use threads in the browser need this. Pages that include files
        /// of other sites without their consent do not work with it.
        files_isolated: bool = "false", switch(), flag "http-files-isolated";

        /// Origin whose pages may read served files; * for all, empty for our own only.
        ///
        /// This is the header Access-Control-Allow-Origin, for example `https://example.org`.
        files_cors: String = "", text(255), flag "http-files-cors";

        /// Whether precompressed files are served.
        ///
        /// For `a.js` these are `a.js.br`, `a.js.zst` and `a.js.gz`. They are sent to clients that
        /// accept the encoding.
        files_precompressed: bool = "false", switch(), flag "http-files-precompressed";

        /// Separate addresses for the metrics, each HOST:PORT; empty to serve them everywhere.
        ///
        /// If set, /metrics exists only at these addresses and no longer at those of `server.listen`.
        /// Besides it, only /health and /ready are served there, and they also stay at the other
        /// addresses. The addresses have the form of those of `server.listen`. Connections are
        /// counted and limited like all others. If `http.metrics` is false, the hub does not listen
        /// there.
        metrics_listen: Vec<String> = "", optional_address_list(), flag "http-metrics-listen";

        /// Token that /metrics requires; empty lets everybody read the metrics.
        ///
        /// A client sends it as `Authorization: Bearer TOKEN`, which Prometheus calls
        /// `authorization.credentials`. Without it the status is 401.
        metrics_token: String = "", secret(255), flag "http-metrics-token";

        /// The browser bundle of AnySocket, served at /@anysocket.
        ///
        /// A JavaScript file with AnySocket for web pages. AnySocket's own server serves its bundle
        /// at the same path. If empty, the path does not exist. The program does not start if it
        /// cannot read the file.
        anysocket_bundle: String = "", file_path();

        /// How long the head of a request may take from its first byte to its last, in milliseconds.
        ///
        /// After this time the connection is closed. The first request must also arrive within
        /// `limits.handshake_ms_max` from the start of its connection.
        head_ms_max: Duration = "5000", millis(100..=HOUR_MS), flag "http-head-ms-max";

        /// How long a connection may be idle between two requests, in milliseconds.
        ///
        /// After this time it is closed. Most proxies keep idle connections for 60 seconds. This
        /// value should be longer, or a request may reach a connection that is just being closed.
        keep_alive_ms: Duration = "75000", millis(0..=HOUR_MS).zero("closed after each answer"),
            flag "http-keep-alive-ms";

        /// Largest body of a request, in bytes.
        ///
        /// A larger body gets the status 413.
        body_bytes_max: usize = "1MiB", bytes(0..=GIB), flag "http-body-bytes-max";

        /// How long the body of a request may take to arrive, in milliseconds.
        ///
        /// After this time the hub does not wait for the rest, and closes the connection after the
        /// answer.
        body_ms_max: Duration = "30000", millis(100..=HOUR_MS), flag "http-body-ms-max";
    }
}
