//! Files of secrets and keys: read as they are documented, refused with the place of each mistake.

use crate::common::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crosspoint_auth::{SecretHash, Secrets, Tokens, rule};
use crosspoint_hub::{Grant, Permissions};
use serde_json::json;

const DOCS: &str = include_str!("../../../../docs/authentication.md");

/// The TOML of the documentation that has this in it.
fn example(mark: &str) -> &'static str {
    DOCS.split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("a part"))
        .find(|toml| toml.contains(mark))
        .expect("an example")
}

#[tokio::test]
async fn the_documented_file_of_secrets_lets_in_with_the_documented_permissions() {
    let mut text = example("[[secret]]").to_owned();
    Secrets::from_toml(&text, &Permissions::ALL).expect_err("what everybody knows is no secret");
    for secret in ["correct horse", "battery staple"] {
        let hash = SecretHash::of(secret.as_bytes()).unwrap().to_string();
        text = text.replacen("$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH", &hash, 1);
    }
    let secrets = Secrets::from_toml(&text, &Permissions::ALL).unwrap();
    let players = Permissions {
        create: rule(["arena-*", "lobby"]).unwrap(),
        enter: rule(["arena-*", "lobby"]).unwrap(),
        provide: rule([""; 0]).unwrap(),
        ..Permissions::ALL
    };
    assert_eq!(
        ask(&secrets, "players:correct horse").await,
        Ok(Grant { permissions: players, ..Grant::default() })
    );
    let scores = Permissions {
        create: rule([""; 0]).unwrap(),
        enter: rule([""; 0]).unwrap(),
        provide: rule(["scores"]).unwrap(),
        ..Permissions::ALL
    };
    assert_eq!(
        ask(&secrets, "scores:battery staple").await,
        Ok(Grant { name: Some("score-keeper".into()), permissions: scores, ..Grant::default() })
    );
    assert!(ask(&secrets, "scores:correct horse").await.is_err());
}

#[tokio::test]
async fn the_documented_file_of_keys_is_read_and_its_keys_are_taken() {
    let text = example("[[key]]");
    Tokens::from_toml(text, &Permissions::ALL).expect_err("what everybody knows is no secret");
    let secret = b"0123456789abcdef0123456789abcdef";
    let text = text.replace("REPLACE-ME", &STANDARD.encode(secret));
    Tokens::from_toml(&text, &Permissions::ALL).expect("all else is right");
    let ed25519 = Signer::ed25519();
    let public = text.split("\"\"\"").nth(1).expect("a key in the example");
    let text = text.replace(public, &ed25519.public());
    let tokens = Tokens::from_toml(&text, &Permissions::ALL).unwrap().outlived(true);

    let base = Permissions { presence: false, ..Permissions::ALL };
    let by_login = claims(json!({ "iss": "https://login.example.com", "aud": "crosspoint" }));
    let header = json!({ "alg": "EdDSA", "kid": "2026-01" });
    let grant = ask(&tokens, ed25519.sign_with(&header, by_login.to_string())).await;
    let permissions = Permissions { create: rule([""; 0]).unwrap(), ..base.clone() };
    assert_eq!(grant, Ok(Grant { permissions, ..Grant::default() }));
    assert!(ask(&tokens, ed25519.sign(&claims(json!({ "aud": "crosspoint" })))).await.is_err());

    let shared = Signer::Secret(secret.to_vec());
    let grant = ask(&tokens, shared.sign(&claims(json!({})))).await;
    assert_eq!(grant, Ok(Grant { permissions: base, ..Grant::default() }));
}

#[test]
fn a_mistake_in_a_file_of_secrets_is_named_with_its_place_and_without_secrets() {
    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdCBvZiBhIHRlc3Q$AAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let entry = |more: &str| format!("[[secret]]\nname = \"a\"\nhash = \"{HASH}\"\n{more}");
    for (text, wrong) in [
        (entry(""), None),
        (String::new(), Some("there is no [[secret]] in it")),
        ("secret = []".into(), Some("there is no [[secret]] in it")),
        ("[[key]]".into(), Some("line 1: unknown field `key`")),
        ("secret = \"swordfish\"".into(), Some("line 1: a wrong value; expected a sequence")),
        ("[[secret]]\nname = \"a\"\nhash = swordfish".into(), Some("line 3: ")),
        ("[[secret]]\nname = \"a\"".into(), Some("line 1: missing field `hash`")),
        ("[[secret]]\nname = \"a\"\nhash = \"swordfish\"".into(), Some("number 1: not a hash")),
        (entry("") + &entry(""), Some("[[secret]]: the name \"a\" is there twice")),
        (entry("") + &entry("as = \"\""), Some("number 2: `as`: a name has 1 to 255 bytes")),
        (entry("permissions.enter = \"lobby\""), Some("line 4: a rule is \"*\" or an array")),
        (entry("permissions.enter = 1"), Some("line 4: a wrong value; expected \"*\" or an array")),
        (entry("permissions.entre = []"), Some("line 4: unknown field `entre`")),
        (entry("\n[permissions]\npresence = 1"), Some("line 6: a wrong value; expected a boolean")),
    ] {
        let error =
            Secrets::from_toml(&text, &Permissions::ALL).err().map(|error| error.to_string());
        match (wrong, error) {
            (None, None) => {}
            (Some(wrong), Some(error)) => {
                assert!(error.contains(wrong), "{text}\n{error}");
                assert!(!error.contains("swordfish"), "{error}");
            }
            (_, error) => panic!("{text}\n{error:?}"),
        }
    }
}

#[test]
fn a_mistake_in_a_file_of_keys_is_named_with_its_place_and_without_secrets() {
    let key = |more: &str| format!("[[key]]\n{more}");
    let (ed25519, long) = (Signer::ed25519().public(), "swordfish".repeat(4));
    for (text, wrong) in [
        (key(&format!("algorithm = \"HS256\"\nsecret = \"{long}\"")), None),
        (key(&format!("algorithm = \"EdDSA\"\npublic_key = \"\"\"\n{ed25519}\"\"\"")), None),
        (String::new(), Some("there is no [[key]] in it")),
        (key(""), Some("line 1: missing field `algorithm`")),
        (key("algorithm = \"none\""), Some("line 2: unknown variant `none`")),
        (key("algorithm = \"HS256\""), Some("number 1: HS256 needs `secret` or `secret_base64`")),
        (
            key("algorithm = \"HS256\"\nsecret = \"swordfish\""),
            Some("number 1: the secret has 9 bytes"),
        ),
        (key("algorithm = \"HS256\"\nsecret_base64 = \"swordfish?\""), Some("is not Base64")),
        (
            key(&format!("algorithm = \"HS256\"\nsecret = \"{long}\"\nsecret_base64 = \"{long}\"")),
            Some("number 1: HS256 needs"),
        ),
        (
            key(&format!("algorithm = \"RS256\"\nsecret = \"{long}\"")),
            Some("RS256 needs `public_key`"),
        ),
        (
            key(&format!("algorithm = \"RS256\"\npublic_key = \"\"\"\n{ed25519}\"\"\"")),
            Some("no public key for RS256"),
        ),
        (
            key(&format!("algorithm = \"HS256\"\nsecret = [\"{long}\"]")),
            Some("line 3: a wrong value"),
        ),
    ] {
        let error =
            Tokens::from_toml(&text, &Permissions::ALL).err().map(|error| error.to_string());
        match (wrong, error) {
            (None, None) => {}
            (Some(wrong), Some(error)) => {
                assert!(error.contains(wrong), "{text}\n{error}");
                assert!(!error.contains("swordfish"), "{error}");
            }
            (_, error) => panic!("{text}\n{error:?}"),
        }
    }
}
