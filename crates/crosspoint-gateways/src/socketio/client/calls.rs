//! What a client asks of the server itself, in the words of the plugin.

use super::args::{Args, quoted};

/// An event for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it is called.
    pub name: &'static str,
    /// What it says.
    pub args: Args,
}

fn call(name: &'static str, inside: &str) -> Call {
    Call { name, args: Args::json(inside) }
}

fn one(name: &'static str, text: &str) -> Call {
    call(name, &quoted(text))
}

/// Enters a room. The `null` is where a callback would be: newer servers do not call it.
pub fn join_room(room: &str) -> Call {
    call("JOIN_ROOM", &format!("{},null", quoted(room)))
}

/// Leaves a room.
pub fn leave_room(room: &str) -> Call {
    call("LEAVE_ROOM", &format!("{},null", quoted(room)))
}

/// Says an event to all others in a room.
pub fn emit_room(room: &str, event: &str, args: &Args) -> Call {
    Call { name: "EMIT_ROOM", args: args.behind(&[room, event]) }
}

/// Asks for the names of all clients.
pub fn list_clients() -> Call {
    call("LIST_CLIENTS", "")
}

/// Asks whether a client is there. The answer is `true`, or `null`.
pub fn client_status(id: &str) -> Call {
    one("GET_CLIENT_CONNECTED_STATUS", id)
}

/// Names another client a target, so that each hears when the other one goes. The answer is an error, or nothing.
pub fn add_target(id: &str) -> Call {
    one(super::words::ADD_TARGET, id)
}

/// Asks whether somebody provides a service.
pub fn check_service(name: &str) -> Call {
    one("CHECK_API_NAME", name)
}

/// Provides a service.
pub fn create_service(name: &str) -> Call {
    one("CREATE_API", name)
}

/// Calls a service, which a server of old has to have: it dies otherwise.
pub fn use_service(name: &str, args: &Args) -> Call {
    Call { name: "USE_API", args: args.behind(&[name]) }
}

/// Provides a service no longer, or none at all.
pub fn destroy_service(name: Option<&str>) -> Call {
    call("DESTROY_API", &name.map(quoted).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_front() {
        let bytes = Args::bytes(bytes::Bytes::from_static(b"x"));
        let said = emit_room("r\"", "ev", &bytes);
        assert_eq!(said.args.array(), r#"["r\"","ev",{"_placeholder":true,"num":0}]"#);
        assert_eq!(said.args.attachments().len(), 1);
        assert_eq!(use_service("sum", &Args::default()).args.array(), r#"["sum"]"#);
        assert_eq!(destroy_service(None).args, Args::default());
        assert_eq!(join_room("r").args.array(), r#"["r",null]"#);
    }
}
