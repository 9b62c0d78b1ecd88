//! The description of the API, made of the handlers, the types and the tables of parameters.

use crate::handlers::{self, Answer, Head};
use crate::model::{ChannelDetail, Error, Gone, Point};
use crate::params::{self, Kind, Param};
use crate::refused::json_bytes;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::LazyLock;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Crosspoint control center",
        description = "What a hub does, and what its operator can do. docs/control.md tells who may ask.",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        handlers::get_hub,
        handlers::list_sessions,
        handlers::get_session,
        handlers::delete_session,
        handlers::list_channels,
        handlers::get_channel,
        handlers::delete_channel,
        handlers::list_services,
        handlers::list_ends,
        handlers::get_history,
        handlers::get_events,
        handlers::get_access,
        handlers::log_in,
        handlers::log_out,
        get_openapi,
    ),
    components(schemas(Error, Gone, Point, ChannelDetail))
)]
struct Description;

/// This description, as OpenAPI 3.1.
#[utoipa::path(get, path = "/api/v1/openapi.json", responses((status = 200, description = "It.")))]
pub(crate) async fn get_openapi(head: Head) -> Answer {
    head.values(params::NONE)?;
    Ok(json_bytes(description()))
}

/// The description, as JSON.
fn description() -> Bytes {
    static TEXT: LazyLock<Bytes> =
        LazyLock::new(|| complete(json!(Description::openapi())).to_string().into());
    TEXT.clone()
}

/// Adds what the tables of parameters say, and the errors that every request may have.
fn complete(mut api: Value) -> Value {
    for (path, table) in [
        ("/api/v1/sessions", params::SESSIONS),
        ("/api/v1/channels", params::CHANNELS),
        ("/api/v1/channels/{key}", params::MEMBERS),
        ("/api/v1/services", params::SERVICES),
        ("/api/v1/ends", params::ENDS),
        ("/api/v1/events", params::EVENTS),
    ] {
        add_parameters(&mut api["paths"][path]["get"], table, "");
    }
    for (view, table) in params::VIEWS {
        add_parameters(&mut api["paths"]["/api/v1/events"]["get"], table, &format!("{view}."));
    }
    let paths = api["paths"].as_object_mut().into_iter().flat_map(|paths| paths.iter_mut());
    for (path, methods) in paths {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            add_errors(path, method, operation);
        }
    }
    api["components"]["securitySchemes"] = json!({
        "token": { "type": "http", "scheme": "bearer", "description": "control.token" },
        "login": { "type": "apiKey", "in": "cookie", "name": "crosspoint_control" },
    });
    api["security"] = json!([{}, { "token": [] }, { "login": [] }]);
    api
}

fn add_parameters(operation: &mut Value, table: &[Param], prefix: &str) {
    let described = table.iter().map(|param| {
        let mut schema = match &param.kind {
            Kind::Text | Kind::Key => json!({ "type": "string" }),
            Kind::Choice(words) => json!({ "type": "string", "enum": words }),
            Kind::Choices(words) => {
                json!({ "type": "array", "items": { "type": "string", "enum": words } })
            }
            Kind::Number(range) => {
                json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
            }
        };
        match (&param.kind, param.default) {
            (_, "") => {}
            (Kind::Number(_), number) => schema["default"] = json!(number.parse::<u64>().ok()),
            (Kind::Choices(_), words) => {
                schema["default"] = json!(words.split(',').collect::<Vec<_>>())
            }
            (_, text) => schema["default"] = json!(text),
        }
        json!({
            "name": format!("{prefix}{}", param.name),
            "in": "query",
            "required": false,
            // Lists are separated by commas.
            "explode": false,
            "description": param.doc,
            "schema": schema,
        })
    });
    let described: Vec<_> = described.collect();
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.extend(described),
        None => operation["parameters"] = described.into(),
    }
}

fn add_errors(path: &str, method: &str, operation: &mut Value) {
    let names_one = path.contains('{');
    let is_open = path == "/api/v1/access";
    let (logs_in, changes) = (path == "/api/v1/login", method != "get");
    for (status, description, may_be) in [
        ("400", "Something in the request is wrong.", true),
        ("401", "The token is missing or wrong.", !is_open && path != "/api/v1/logout"),
        ("403", "This client may not do that.", !is_open),
        ("404", "There is no such thing (any more).", names_one),
        ("429", "Too many wrong tokens.", !is_open && path != "/api/v1/logout"),
        ("503", "Not now.", logs_in || path == "/api/v1/events"),
    ] {
        if may_be {
            operation["responses"][status] = json!({
                "description": description,
                "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/Error" }
                } },
            });
        }
    }
    if changes {
        let mark = json!({
            "name": "Crosspoint-Control",
            "in": "header",
            "required": false,
            "description": "Needed unless the token is presented: pages of other sites cannot send it.",
            "schema": { "type": "string", "enum": ["1"] },
        });
        match operation["parameters"].as_array_mut() {
            Some(parameters) => parameters.push(mark),
            None => operation["parameters"] = json!([mark]),
        }
    }
}
