//! The description of the API says what the answers are.

use crate::common::*;
use crosspoint::{ChannelOptions, HubOptions};
use serde_json::{Value, json};

/// Whether an answer is as its description says.
fn check(api: &Value, (path, method, status): (&str, &str, &str), body: &Value) {
    let response = &api["paths"][path][method]["responses"][status];
    let schema = &response["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {path} {status}: {response}");
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "allOf": [schema],
        "components": api["components"],
    });
    let validator = jsonschema::validator_for(&whole).unwrap();
    let errors: Vec<_> = validator.iter_errors(body).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{method} {path} {status}: {errors:#?}\n{body:#}");
}

/// Whether each field of an answer is described.
fn knows_all(api: &Value, schema: &Value, value: &Value) {
    let schema = resolve(api, schema);
    match value {
        Value::Object(fields) => {
            if schema["additionalProperties"].is_object() {
                return;
            }
            let parts = schema["allOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
            let parts: Vec<_> = parts.iter().map(|part| resolve(api, part).clone()).collect();
            for (name, value) in fields {
                let known = parts.iter().find_map(|part| part["properties"].get(name));
                let known = known.unwrap_or_else(|| panic!("{name} is not described: {schema:#}"));
                knows_all(api, known, value);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| knows_all(api, &schema["items"], item)),
        _ => {}
    }
}

fn resolve<'a>(api: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(options) = schema["oneOf"].as_array() {
        let some = options.iter().find(|option| option["type"] != "null");
        return resolve(api, some.unwrap());
    }
    match schema["$ref"].as_str() {
        Some(path) => api.pointer(path.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    }
}

#[tokio::test]
async fn answers_are_as_they_are_described() {
    let served = serve(HubOptions::default(), usual());
    let (ann, bob) = (served.node("Ann").await, served.inside("Bob").await);
    let _owner = ann.create("game", ChannelOptions::new()).await.unwrap();
    let _member = bob.enter("game", crosspoint::EnterOptions::new()).await.unwrap();
    let _lobby = (enter(&ann, "lobby").await, enter(&bob, "lobby").await);
    ann.provide("time").await.unwrap();
    let _link = bob.peer("Ann").await.unwrap();
    let gone = served.node("Gone").await;
    let number = served.number("Ann").await;
    gone.close().await;
    served.until("/api/v1/ends", |ends| ends["ends"] != json!([])).await;
    served.until("/api/v1/history", |history| history["points"] != json!([])).await;
    let api = served.json("/api/v1/openapi.json").await;
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    let detail = format!("/api/v1/sessions/{number}");
    for (path, asked) in [
        ("/api/v1/hub", "/api/v1/hub"),
        ("/api/v1/sessions", "/api/v1/sessions"),
        ("/api/v1/sessions/{session}", &detail),
        ("/api/v1/channels", "/api/v1/channels"),
        ("/api/v1/channels/{key}", "/api/v1/channels/game"),
        ("/api/v1/channels/{key}", "/api/v1/channels/lobby"),
        ("/api/v1/services", "/api/v1/services"),
        ("/api/v1/ends", "/api/v1/ends"),
        ("/api/v1/history", "/api/v1/history"),
        ("/api/v1/access", "/api/v1/access"),
    ] {
        let body = served.json(asked).await;
        check(&api, (path, "get", "200"), &body);
        let response = &api["paths"][path]["get"]["responses"]["200"];
        knows_all(&api, &response["content"]["application/json"]["schema"], &body);
        let error = served.ask("GET", &format!("{asked}?wrong=1"), "").await;
        assert_eq!(error.status, 400);
        check(&api, (path, "get", "400"), &error.json());
    }
    for (method, asked, headers, status, path) in [
        ("get", "/api/v1/hub", "Via: x\r\n", 401, "/api/v1/hub"),
        ("delete", "/api/v1/sessions/9", "", 403, "/api/v1/sessions/{session}"),
        ("delete", "/api/v1/sessions/999", MARK, 404, "/api/v1/sessions/{session}"),
        ("delete", "/api/v1/channels/none", MARK, 404, "/api/v1/channels/{key}"),
        ("post", "/api/v1/login", MARK, 400, "/api/v1/login"),
        ("post", "/api/v1/logout", "", 403, "/api/v1/logout"),
    ] {
        let answer = served.ask(&method.to_uppercase(), asked, headers).await;
        assert_eq!(answer.status, status, "{method} {asked}");
        check(&api, (path, method, &status.to_string()), &answer.json());
    }
}

#[tokio::test]
async fn every_request_is_described_with_its_parameters() {
    let served = serve(HubOptions::default(), usual());
    let api = served.json("/api/v1/openapi.json").await;
    let paths = api["paths"].as_object().unwrap();
    let mut described = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            described.push(format!("{method} {path}"));
            assert!(operation["summary"].is_string(), "{method} {path}");
            // A request for it is answered, by whatever.
            let asked = path.replace("{session}", "999").replace("{key}", "none");
            let method = if asked.ends_with("/events") { "HEAD" } else { method.as_str() };
            let answer = served.ask(&method.to_uppercase(), &asked, MARK).await;
            assert_ne!(answer.status, 405, "{method} {path}");
            assert!(answer.status != 404 || asked != *path, "{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string() && parameter["schema"].is_object());
                if parameter["in"] != "query" || parameter["name"] == "channel" {
                    continue;
                }
                // Each is known, and a default is a value.
                let name = parameter["name"].as_str().unwrap();
                let default = &parameter["schema"]["default"];
                let value = match default {
                    Value::Null => continue,
                    Value::String(text) => text.clone(),
                    Value::Array(words) => words[0].as_str().unwrap().to_owned(),
                    other => other.to_string(),
                };
                let view = name.split_once('.').map_or("hub", |(view, _)| view);
                let views = match view {
                    "hub" | "channel" => String::new(),
                    view => format!("&views={view}"),
                };
                let views = if name == "views" { "" } else { &views };
                let query = format!("{asked}?{name}={value}{views}");
                let answer = served.ask(method, &query, "").await;
                assert!(answer.status != 400, "{query}: {answer:?}");
            }
        }
    }
    assert_eq!(
        described,
        [
            "get /api/v1/access",
            "get /api/v1/channels",
            "delete /api/v1/channels/{key}",
            "get /api/v1/channels/{key}",
            "get /api/v1/ends",
            "get /api/v1/events",
            "get /api/v1/history",
            "get /api/v1/hub",
            "post /api/v1/login",
            "post /api/v1/logout",
            "get /api/v1/openapi.json",
            "get /api/v1/services",
            "get /api/v1/sessions",
            "delete /api/v1/sessions/{session}",
            "get /api/v1/sessions/{session}",
        ]
    );
}
