//! From settings to what the libraries take.

use crate::failure::Failure;
use crate::machine;
use crate::settings::{self, RoomMode, Settings, split_root};
use crate::small_file::{self, FileKind};
use crate::sockets::{self, Access};
use bytes::Bytes;
use crosspoint_auth::{
    Authenticator, Certificates, CheckLimits, Either, Exempt, FileError, Secrets, Swap, Tokens,
    rule,
};
use crosspoint_hub::command::Mode;
use crosspoint_hub::hub::{HubOptions, RoomOptions};
use crosspoint_hub::networks::{Network, Networks, Prefixes};
use crosspoint_hub::permissions::{Pattern, Rule};
use crosspoint_hub::rules::{ChannelRule, Who};
use crosspoint_hub::{ChannelName, Limits, PeerId, Permissions};
use crosspoint_net::engineio::{self, Beat, EngineIo};
use crosspoint_net::gateway::Gateways;
use crosspoint_net::gateways::{self, AnySocket, Json, SocketIo};
use crosspoint_net::http::{FileOptions, Files, HeaderValue, HttpOptions, MetricsToken};
use crosspoint_net::regular::open_regular;
use crosspoint_net::resume;
use crosspoint_net::server::ServerOptions;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How the hub is set up.
pub(crate) fn hub(settings: &Settings) -> Result<HubOptions, Failure> {
    let rooms = &settings.rooms;
    let declared = rooms.declared.iter().map(|room| {
        let name = ChannelName::new(room.name.clone().into_bytes())
            .map_err(|error| Failure::Setup(format!("rooms.declared: {error}")))?;
        let bytes_max = room.chunk_bytes_max.unwrap_or(rooms.chunk_bytes_max);
        let mode = match room.mode {
            RoomMode::Raw => Mode::Raw,
            RoomMode::Chunk => Mode::Chunk { bytes_max },
        };
        Ok(RoomOptions { name, mode, members_max: room.members_max })
    });
    Ok(HubOptions {
        limits: limits(settings, machine::memory()),
        access_token: access_token(settings),
        rooms: declared.collect::<Result<_, Failure>>()?,
        rooms_on_entry: rooms.create_on_entry,
        room_mode: Mode::Chunk { bytes_max: rooms.chunk_bytes_max },
        permissions: permissions(settings)?,
        duplicates: settings.peers.duplicates,
        channel_rules: settings
            .channels
            .rules
            .iter()
            .map(channel_rule)
            .collect::<Result<_, Failure>>()?,
        directory: None,
    })
}

/// What everybody has to present, if anything.
pub(crate) fn access_token(settings: &Settings) -> Option<Bytes> {
    let token = &settings.server.access_token;
    (!token.is_empty()).then(|| token.clone().into_bytes().into())
}

/// A rule for channels, of which all parts were checked when they were read.
fn channel_rule(given: &settings::ChannelRule) -> Result<ChannelRule, Failure> {
    let networks = |list: &Option<Vec<String>>| {
        let networks = list.iter().flatten().map(|network| network.parse::<Network>());
        let networks = networks.collect::<Result<Networks, _>>();
        networks.map_err(|error| Failure::Setup(format!("channels: {error}")))
    };
    // An empty list fits nobody; where there is none at all, everybody may.
    let who = |by: &Option<Vec<String>>, from: &Option<Vec<String>>| {
        let names = by.iter().flatten().map(|name| Pattern::new(name)).collect();
        let who = Who { names, networks: networks(from)? };
        Ok::<_, Failure>((by.is_some() || from.is_some()).then_some(who))
    };
    Ok(ChannelRule {
        name: Pattern::new(&given.name),
        members_max: given.members_max,
        message_bytes_max: given.message_bytes_max,
        waiting_bytes_max: given.waiting_bytes_max,
        messages_per_second_max: given.messages_per_second_max.unwrap_or_default(),
        bytes_per_second_max: given.bytes_per_second_max.unwrap_or_default(),
        create: who(&given.create_by, &given.create_from)?,
        enter: who(&given.enter_by, &given.enter_from)?,
        blocked: networks(&given.blocked)?,
    })
}

/// How connections are served. Reads the files that the settings name.
pub(crate) fn server(
    settings: &Settings,
    authenticator: Option<Arc<Swap>>,
) -> Result<ServerOptions, Failure> {
    Ok(ServerOptions {
        name: settings.server.name.clone(),
        gateways: gateways(settings)?,
        http: http(settings)?,
        authenticator: authenticator.map(|swap| swap as Arc<dyn Authenticator>),
        tls: None,
        flush_max: settings.server.stop_ms_max,
    })
}

/// Who may connect to the Unix sockets that the hub creates.
pub(crate) fn socket_access(settings: &Settings) -> Result<Access, Failure> {
    let server = &settings.server;
    let name = Some(server.unix_group.as_str()).filter(|name| !name.is_empty());
    let group = name.map(sockets::group).transpose().map_err(|error| {
        Failure::Setup(format!("server.unix_group = {:?}: {error}", server.unix_group))
    })?;
    Ok(Access { mode: server.unix_mode, group })
}

/// The protocols that are served, and how.
fn gateways(settings: &Settings) -> Result<Gateways, Failure> {
    Ok(gateways::standard()
        .with(gateways::resumable(settings.resume.enabled.then(|| resume(settings))))
        .with(gateways::Peote { enabled: settings.peote.enabled })
        .with(anysocket(settings)?)
        .with(EngineIo::from(socketio(settings)?)))
}

/// How sessions survive their connections.
fn resume(settings: &Settings) -> resume::Config {
    let resume = &settings.resume;
    resume::Config {
        window: resume.window_ms,
        detached_max: resume.detached_max,
        retained_bytes_max: resume.retained_bytes_max,
        heartbeat: resume.heartbeat_ms,
        tombstones_max: resume.tombstones_max,
        tombstone: resume.tombstone_s,
    }
}

/// What the hub is to programs with AnySocket.
pub(crate) fn anysocket(settings: &Settings) -> Result<AnySocket, Failure> {
    let enabled = settings.anysocket.enabled;
    if !enabled {
        return Ok(AnySocket { enabled, ..AnySocket::default() });
    }
    let text = &settings.anysocket.auth;
    let auth = match text.as_bytes().first() {
        None => None,
        Some(b'{') => Some(Json::parse(text.clone().into()).map_err(|_| {
            let wrong = "anysocket.auth: it begins with { and is no JSON object";
            Failure::Setup(wrong.to_owned())
        })?),
        Some(_) => Some(
            Json::new(text).map_err(|error| Failure::Setup(format!("anysocket.auth: {error}")))?,
        ),
    };
    Ok(AnySocket { enabled, auth, encrypt: settings.anysocket.encrypt })
}

/// What the hub is to programs with Socket.IO.
fn socketio(settings: &Settings) -> Result<SocketIo, Failure> {
    let socketio = &settings.socketio;
    let path = socketio
        .path
        .parse()
        .map_err(|error| Failure::Setup(format!("socketio.path = {:?}: {error}", socketio.path)))?;
    let beat = Beat {
        interval: socketio.ping_interval_ms,
        timeout: socketio.ping_timeout_ms,
        payload_bytes_max: socketio.payload_bytes_max,
    };
    Ok(SocketIo {
        enabled: socketio.enabled,
        path,
        engine: engineio::Config {
            beat,
            upgrade_max: socketio.upgrade_ms_max,
            cors_credentials: socketio.cors_credentials,
        },
        namespaces: socketio.namespaces.iter().map(|name| name.as_str().into()).collect(),
        attachments_max: socketio.attachments_max,
        acks_max: socketio.acks_max,
        wait_time: Some(socketio.wait_ms_max).filter(|time| !time.is_zero()),
        ack_time: Some(socketio.ack_ms_max).filter(|time| !time.is_zero()),
        generation: socketio.generation,
        recovery: Some(socketio.recovery_ms).filter(|time| !time.is_zero()).map(|window| {
            let (away_max, bytes_max) = (socketio.recovery_max, socketio.recovery_bytes_max);
            engineio::recovery::Config { window, away_max, bytes_max }
        }),
    })
}

fn http(settings: &Settings) -> Result<HttpOptions, Failure> {
    let http = &settings.http;
    let id = settings.server.id.map_or_else(PeerId::random, Ok);
    let id = id.map_err(|error| {
        Failure::Run(format!("the system has no random id for the hub ({error}); set server.id"))
    })?;
    let files = http.files.iter().filter_map(|root| split_root(root)).map(|(path, directory)| {
        Files::new(path, directory).map_err(|error| Failure::Setup(format!("http.files: {error}")))
    });
    Ok(HttpOptions {
        health: http.health,
        metrics: http.metrics,
        metrics_apart: !http.metrics_listen.is_empty(),
        files: files.collect::<Result<_, Failure>>()?,
        file_options: FileOptions {
            dot_files: http.files_dot,
            cache_control: header("http.files_cache_control", &http.files_cache_control)?,
            isolated: http.files_isolated,
            readable_from: header("http.files_cors", &http.files_cors)?,
            precompressed: http.files_precompressed,
        },
        metrics_token: (!http.metrics_token.is_empty())
            .then(|| MetricsToken::new(http.metrics_token.clone())),
        origins: http.origins.clone(),
        hosts: http.hosts.clone(),
        anysocket_bundle: bundle(&http.anysocket_bundle)?,
        node_id: Some(id),
        head_time_max: http.head_ms_max,
        keep_alive: http.keep_alive_ms,
        body_bytes_max: http.body_bytes_max,
        body_time_max: http.body_ms_max,
        ..HttpOptions::default()
    })
}

/// The value of a header, if there is one.
fn header(key: &str, value: &str) -> Result<Option<HeaderValue>, Failure> {
    if value.is_empty() {
        return Ok(None);
    }
    let wrong = |_| Failure::Setup(format!("{key}: {value:?} cannot stand in a header"));
    HeaderValue::try_from(value).map(Some).map_err(wrong)
}

/// The bundle's path. A file that is not there is better noticed now than by the first visitor.
fn bundle(path: &str) -> Result<Option<PathBuf>, Failure> {
    if path.is_empty() {
        return Ok(None);
    }
    let problem = match open_regular(path.as_ref()) {
        Ok(Some(_)) => return Ok(Some(path.into())),
        Ok(None) => "this is no file".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Failure::Setup(format!("http.anysocket_bundle: {path}: {problem}")))
}

/// Who decides about entering, if files of this kind say it.
pub(crate) fn authenticator(
    settings: &Settings,
    kind: FileKind,
) -> Result<Option<Arc<dyn Authenticator>>, Failure> {
    let defaults = permissions(settings)?;
    let auth = &settings.auth;
    let secrets = from_file("auth.secrets_file", &auth.secrets_file, kind, |text| {
        let secrets = Secrets::from_toml(text, &defaults)?.with_limits(check_limits(settings));
        Ok(Arc::new(secrets) as Arc<dyn Authenticator>)
    })?;
    let tokens = from_file("auth.jwt_keys", &auth.jwt_keys, kind, |text| {
        let tokens = Tokens::from_toml(text, &defaults)?.outlived(!auth.expiry_ends_sessions);
        Ok(Arc::new(tokens) as Arc<dyn Authenticator>)
    })?;
    // The last, as it is about the connection: what is presented in it says more.
    let certificates = auth.certificates.then(|| {
        let certificates = Certificates::new(defaults.clone());
        Arc::new(certificates.outlived(!auth.expiry_ends_sessions)) as Arc<dyn Authenticator>
    });
    let mut choices: Vec<_> = secrets.into_iter().chain(tokens).chain(certificates).collect();
    let checks: Option<Arc<dyn Authenticator>> = match choices.len() {
        0 | 1 => choices.pop(),
        _ => Some(Arc::new(Either::new(choices))),
    };
    // An operator who switches on a protocol without credentials wants it to be let in.
    let open = settings.peote.enabled == Some(true);
    Ok(checks.map(|others| match open {
        true => Arc::new(Exempt { protocol: "peote", permissions: defaults, others }),
        false => others,
    }))
}

/// What checking secrets may cost.
fn check_limits(settings: &Settings) -> CheckLimits {
    let auth = &settings.auth;
    let default = CheckLimits::default();
    CheckLimits {
        running_max: if auth.checks_max > 0 { auth.checks_max } else { default.running_max },
        remembered: auth.remembered_s,
        waiting_max: auth.checks_waiting_max,
        waiting_per_address_max: auth.checks_waiting_per_address_max,
        wrong_pause: auth.wrong_pause_ms,
        prefixes: prefixes(settings),
        loopback_exempt: settings.limits.loopback_exempt,
    }
}

/// What the file of a setting says, if it names one.
fn from_file<T>(
    key: &str,
    path: &str,
    kind: FileKind,
    read: impl FnOnce(&str) -> Result<T, FileError>,
) -> Result<Option<T>, Failure> {
    if path.is_empty() {
        return Ok(None);
    }
    let wrong = |error: &dyn std::error::Error| Failure::Setup(format!("{key}: {path}: {error}"));
    let file = small_file::read(path.as_ref(), kind, small_file::BYTES_MAX);
    let text = file.map_err(|error| wrong(&error))?.text;
    read(&text).map(Some).map_err(|error| wrong(&error))
}

/// What a client may do if nothing else says so.
fn permissions(settings: &Settings) -> Result<Permissions, Failure> {
    let permitted = &settings.permissions;
    let read = |key: &str, names: &[String]| -> Result<Rule, Failure> {
        rule(names).map_err(|error| Failure::Setup(format!("permissions.{key}: {error}")))
    };
    Ok(Permissions {
        create: read("create", &permitted.create)?,
        enter: read("enter", &permitted.enter)?,
        reach: read("reach", &permitted.reach)?,
        provide: read("provide", &permitted.provide)?,
        presence: permitted.presence,
    })
}

fn prefixes(settings: &Settings) -> Prefixes {
    Prefixes { ipv4: settings.limits.ipv4_prefix, ipv6: settings.limits.ipv6_prefix }
}

/// The networks of a setting, each of which was looked at when it was read.
pub(crate) fn networks(texts: &[String]) -> Networks {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The bounds, where the machine has so much memory.
fn limits(settings: &Settings, memory: Option<u64>) -> Limits {
    let limits = &settings.limits;
    Limits {
        frame_bytes_max: limits.frame_bytes_max,
        compressed_bytes_min: {
            let websocket = &settings.websocket;
            websocket.deflate.then_some(websocket.deflate_bytes_min)
        },
        message_bytes_max: limits.message_bytes_max,
        message_time_max: limits.message_s_max,
        outbox_bytes_max: limits.outbox_bytes_max,
        channel_bytes_max: limits.channel_bytes_max,
        unfinished_bytes_max: limits.unfinished_bytes_max,
        memory_bytes_max: match limits.memory_bytes_max {
            0 => memory.map_or(Limits::default().memory_bytes_max, |bytes| {
                usize::try_from(bytes / 2).unwrap_or(usize::MAX)
            }),
            bytes => bytes,
        },
        memory_per_address_bytes_max: limits.memory_per_address_bytes_max,
        outbox_stall_max: limits.outbox_stall_ms_max,
        receiver_bytes_per_second_min: limits.receiver_bytes_per_second_min,
        channels_owned_max: limits.channels_owned_max,
        channels_entered_max: limits.channels_entered_max,
        channels_total_max: limits.channels_total_max,
        channels_per_address_max: limits.channels_per_address_max,
        members_max: limits.members_max,
        channel_name_bytes_max: limits.channel_name_bytes_max,
        commands_pending_max: limits.commands_pending_max,
        claim_max: limits.claim_ms_max,
        bans_max: limits.bans_max,
        connections_max: limits.connections_max,
        connections_per_address_max: limits.connections_per_address_max,
        prefixes: prefixes(settings),
        trusted_proxies: networks(&settings.server.trusted_proxies),
        loopback_exempt: limits.loopback_exempt,
        handshake_max: limits.handshake_ms_max,
        first_words_max: match limits.first_words_ms_max {
            Duration::ZERO => 3 * limits.handshake_ms_max,
            most => most,
        },
        idle_max: Some(limits.idle_s_max).filter(|idle| !idle.is_zero()),
        heartbeat: limits.heartbeat_ms,
        heartbeat_missed_max: limits.heartbeat_missed_max,
        heartbeat_min: limits.heartbeat_ms_min,
        heartbeat_max: limits.heartbeat_ms_max,
        heartbeat_off: limits.heartbeat_off,
        probe_max: Some(limits.probe_ms_max).filter(|most| !most.is_zero()),
        messages_per_second_max: limits.messages_per_second_max,
        bytes_per_second_max: limits.bytes_per_second_max,
        announced_per_second_max: limits.announced_per_second_max,
        room_members_max: settings.rooms.members_max,
        rooms_max: settings.rooms.count_max,
        rooms_per_address_max: settings.rooms.per_address_max,
        links_max: limits.links_max,
        links_accepted_max: limits.links_accepted_max,
        links_accepted_per_address_max: limits.links_accepted_per_address_max,
        services_max: limits.services_max,
        asks_pending_max: limits.asks_pending_max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{add_arguments, load};
    use crosspoint_auth::Credentials;
    use std::io::Write;

    #[test]
    fn the_defaults_of_the_program_are_those_of_the_library() {
        let matches = add_arguments(clap::Command::new("")).get_matches_from([""]);
        let settings = load(&matches, std::iter::empty(), FileKind::Regular).unwrap().settings;
        assert_eq!(format!("{:?}", limits(&settings, None)), format!("{:?}", Limits::default()));
        let server = server(&settings, None).unwrap();
        let ServerOptions { gateways, flush_max, .. } = ServerOptions::default();
        assert_eq!(format!("{:?}", server.gateways), format!("{gateways:?}"));
        assert_eq!(server.flush_max, flush_max);
        assert_eq!(check_limits(&settings), CheckLimits::default());
    }
    #[test]
    fn a_session_outlives_its_token_only_where_the_settings_say_so() {
        let mut keys = tempfile::NamedTempFile::new().unwrap();
        let key = "open sesame, said he, and it opened";
        writeln!(keys, "[[key]]\nalgorithm = \"HS256\"\nsecret = \"{key}\"").unwrap();
        // Of that key, until the year 2100.
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                     eyJleHAiOjQxMDI0NDQ4MDAsIm5hbWUiOiJBbGkiLCJlbnRlciI6WyJjYXZlLTIiXX0.\
                     VVu9A0wrRog27PJqCksy3hYUm9mReF5Z4ljWFFxawfg";
        let keys = keys.path().to_str().unwrap();
        for (flag, ends) in [("true", true), ("false", false)] {
            let flag = format!("--auth-expiry-ends-sessions={flag}");
            let arguments = ["", "--jwt-keys", keys, &flag];
            let matches = add_arguments(clap::Command::new("")).get_matches_from(arguments);
            let settings = load(&matches, std::iter::empty(), FileKind::Regular).unwrap().settings;
            let authenticator = authenticator(&settings, FileKind::Regular).unwrap().unwrap();
            let credentials = Credentials {
                protocol: "native",
                address: None,
                process: None,
                certificate: None,
                peer: None,
                key_proven: false,
                name: None,
                token: Some(token.into()),
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let grant = runtime.block_on(authenticator.authenticate(credentials)).unwrap();
            assert_eq!(grant.lasts.is_some(), ends);
        }
    }
}
