//! From settings to what the libraries take.

use crate::settings::{RoomMode, Settings};
use crosspoint_hub::command::Mode;
use crosspoint_hub::hub::{HubOptions, RoomOptions};
use crosspoint_hub::{ChannelName, Limits};
use crosspoint_net::http::HttpOptions;
use crosspoint_net::server::ServerOptions;

/// How the hub is set up.
pub(crate) fn hub(settings: &Settings) -> Result<HubOptions, String> {
    let rooms = &settings.rooms;
    let declared = rooms.declared.iter().map(|room| {
        let name = ChannelName::new(room.name.clone().into_bytes())
            .map_err(|error| format!("rooms.declared: {error}"))?;
        let bytes_max = room.chunk_bytes_max.unwrap_or(rooms.chunk_bytes_max);
        let mode = match room.mode {
            RoomMode::Raw => Mode::Raw,
            RoomMode::Chunk => Mode::Chunk { bytes_max },
        };
        Ok(RoomOptions { name, mode, members_max: room.members_max })
    });
    let token = &settings.server.access_token;
    Ok(HubOptions {
        limits: limits(settings),
        access_token: (!token.is_empty()).then(|| token.clone().into_bytes().into()),
        rooms: declared.collect::<Result<_, String>>()?,
        rooms_on_entry: rooms.create_on_entry,
        room_mode: Mode::Chunk { bytes_max: rooms.chunk_bytes_max },
    })
}

/// How connections are served.
pub(crate) fn server(settings: &Settings) -> ServerOptions {
    ServerOptions {
        name: settings.server.name.clone(),
        peote: settings.peote.enabled,
        http: HttpOptions { health: settings.http.health, metrics: settings.http.metrics },
        flush_max: settings.server.stop_ms_max,
    }
}

fn limits(settings: &Settings) -> Limits {
    let limits = &settings.limits;
    Limits {
        frame_bytes_max: limits.frame_bytes_max,
        message_bytes_max: limits.message_bytes_max,
        outbox_bytes_max: limits.outbox_bytes_max,
        outbox_stall_max: limits.outbox_stall_ms_max,
        channels_owned_max: limits.channels_owned_max,
        channels_entered_max: limits.channels_entered_max,
        channels_total_max: limits.channels_total_max,
        members_max: limits.members_max,
        channel_name_bytes_max: limits.channel_name_bytes_max,
        commands_pending_max: limits.commands_pending_max,
        bans_max: limits.bans_max,
        connections_max: limits.connections_max,
        connections_per_address_max: limits.connections_per_address_max,
        loopback_exempt: limits.loopback_exempt,
        handshake_max: limits.handshake_ms_max,
        idle_max: Some(limits.idle_s_max).filter(|idle| !idle.is_zero()),
        heartbeat: limits.heartbeat_ms,
        heartbeat_missed_max: limits.heartbeat_missed_max,
        messages_per_second_max: limits.messages_per_second_max,
        bytes_per_second_max: limits.bytes_per_second_max,
        room_members_max: settings.rooms.members_max,
        rooms_max: settings.rooms.count_max,
    }
}
