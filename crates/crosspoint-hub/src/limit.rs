//! The limits that are counted, each named by its setting.

use std::fmt;

macro_rules! limits {
    ($($name:ident = $key:literal,)*) => {
        /// A limit that can be reached, named by the setting that sets it.
        ///
        /// [`Metrics::hit`](crate::metrics::Metrics::hit) counts how often it was reached. The values of most
        /// limits are in [`Limits`](crate::Limits); those of other sections belong to the crate that keeps to
        /// them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Limit {$(
            #[doc = concat!("The setting `", $key, "`.")]
            $name,
        )*}

        impl Limit {
            /// Every limit, in the order of the settings' sections.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The key of the setting, such as `limits.outbox_bytes_max`.
            pub const fn key(self) -> &'static str {
                match self {$(
                    Self::$name => $key,
                )*}
            }
        }
    };
}

limits! {
    TrustedProxies = "server.trusted_proxies",

    AuthWrongPause = "auth.wrong_pause_ms",
    AuthChecksWaiting = "auth.checks_waiting_max",
    AuthChecksWaitingPerAddress = "auth.checks_waiting_per_address_max",

    HttpOrigins = "http.origins",
    HttpHosts = "http.hosts",
    HttpHeadTime = "http.head_ms_max",
    HttpBodyBytes = "http.body_bytes_max",
    HttpBodyTime = "http.body_ms_max",

    ControlViewers = "control.viewers_max",

    SocketIoAttachments = "socketio.attachments_max",
    SocketIoAcks = "socketio.acks_max",
    SocketIoWaitTime = "socketio.wait_ms_max",
    SocketIoAckTime = "socketio.ack_ms_max",
    SocketIoRecoveries = "socketio.recovery_max",
    SocketIoRecoveryBytes = "socketio.recovery_bytes_max",

    ResumeDetached = "resume.detached_max",

    Rooms = "rooms.count_max",
    RoomsPerAddress = "rooms.per_address_max",
    RoomMembers = "rooms.members_max",
    RoomChunkBytes = "rooms.chunk_bytes_max",

    RuleCreate = "channels.create",
    RuleEnter = "channels.enter",
    RuleBlocked = "channels.blocked",
    RuleMembers = "channels.members_max",
    RuleMessageBytes = "channels.message_bytes_max",
    RuleWaitingBytes = "channels.waiting_bytes_max",
    RuleMessagesPerSecond = "channels.messages_per_second_max",
    RuleBytesPerSecond = "channels.bytes_per_second_max",

    FrameBytes = "limits.frame_bytes_max",
    MessageBytes = "limits.message_bytes_max",
    MessageTime = "limits.message_s_max",
    OutboxBytes = "limits.outbox_bytes_max",
    OutboxStall = "limits.outbox_stall_ms_max",
    ChannelBytes = "limits.channel_bytes_max",
    UnfinishedBytes = "limits.unfinished_bytes_max",
    MemoryBytes = "limits.memory_bytes_max",
    MemoryPerAddressBytes = "limits.memory_per_address_bytes_max",
    ChannelsOwned = "limits.channels_owned_max",
    ChannelsEntered = "limits.channels_entered_max",
    ChannelsTotal = "limits.channels_total_max",
    ChannelsPerAddress = "limits.channels_per_address_max",
    Members = "limits.members_max",
    ChannelNameBytes = "limits.channel_name_bytes_max",
    CommandsPending = "limits.commands_pending_max",
    ClaimTime = "limits.claim_ms_max",
    Bans = "limits.bans_max",
    Links = "limits.links_max",
    LinksAccepted = "limits.links_accepted_max",
    LinksAcceptedPerAddress = "limits.links_accepted_per_address_max",
    Services = "limits.services_max",
    AsksPending = "limits.asks_pending_max",
    Connections = "limits.connections_max",
    ConnectionsPerAddress = "limits.connections_per_address_max",
    Handshake = "limits.handshake_ms_max",
    FirstWords = "limits.first_words_ms_max",
    Idle = "limits.idle_s_max",
    HeartbeatMissed = "limits.heartbeat_missed_max",
    HeartbeatMin = "limits.heartbeat_ms_min",
    HeartbeatMax = "limits.heartbeat_ms_max",
    HeartbeatOff = "limits.heartbeat_off",
    Probe = "limits.probe_ms_max",
    AnnouncedPerSecond = "limits.announced_per_second_max",
    MessagesPerSecond = "limits.messages_per_second_max",
    BytesPerSecond = "limits.bytes_per_second_max",
}

impl Limit {
    /// How metrics and the log name it: its key, without the section if that is `limits`.
    pub fn label(self) -> &'static str {
        let key = self.key();
        key.strip_prefix("limits.").unwrap_or(key)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}
