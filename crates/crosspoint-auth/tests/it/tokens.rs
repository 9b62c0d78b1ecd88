//! Signed tokens: who gets in, what they may do, and every way in which they must not.

use crate::common::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crosspoint_auth::{
    Algorithm, Authenticator, Either, Key, KeyError, Secret, SecretHash, Secrets, Swap, Tokens,
    rule,
};
use crosspoint_hub::{Grant, Permissions, Reason};
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn secret() -> Signer {
    Signer::Secret(SECRET.to_vec())
}

fn tokens(key: Key) -> Tokens {
    Tokens::new([key], Permissions::NOTHING)
}

fn hs256() -> Tokens {
    tokens(Key::hs256(SECRET).expect("a secret of 32 bytes"))
}

/// Each algorithm: a signer and who knows its key.
fn all() -> [(Signer, Tokens); 3] {
    let (ed25519, rsa) = (Signer::ed25519(), Signer::rsa());
    let eddsa = Key::eddsa(&ed25519.public()).expect("a public key");
    let rs256 = Key::rs256(&rsa.public()).expect("a public key");
    [(secret(), hs256()), (ed25519, tokens(eddsa)), (rsa, tokens(rs256))]
}

#[tokio::test]
async fn a_token_of_each_algorithm_gives_what_its_claims_say() {
    for (signer, tokens) in all() {
        let claims = claims(json!({
            "sub": "17", "iat": in_seconds(-5), "other": { "deep": [1, null] },
            "name": "anna", "channels": ["arena-*"], "create": "*", "presence": true,
        }));
        let expected = Permissions {
            create: rule(["*"]).unwrap(),
            enter: rule(["arena-*"]).unwrap(),
            presence: true,
            ..Permissions::NOTHING
        };
        let grant = ask(&tokens.outlived(true), signer.sign(&claims)).await.unwrap();
        let name = Some("anna".into());
        assert_eq!(
            grant,
            Grant { name, identity: Some("0 17".into()), permissions: expected, lasts: None }
        );
    }
}

#[tokio::test]
async fn what_a_token_does_not_say_is_as_its_key_says_and_then_as_all_say() {
    let own = Permissions { presence: true, ..Permissions::NOTHING };
    let keys = [
        Key::hs256(SECRET).unwrap().with_id("a").with_defaults(own.clone()),
        Key::hs256(SECRET).unwrap().with_id("b"),
    ];
    let tokens = Tokens::new(keys, Permissions::ALL).outlived(true);
    for (id, permissions) in [("a", own), ("b", Permissions::ALL)] {
        let header = json!({ "alg": "HS256", "kid": id });
        let token = secret().sign_with(&header, claims(json!({})).to_string());
        assert_eq!(ask(&tokens, token).await, Ok(Grant { permissions, ..Grant::default() }));
    }
    let header = json!({ "alg": "HS256", "kid": "c" });
    let why = refusal(&tokens, secret().sign_with(&header, claims(json!({})).to_string())).await;
    assert_eq!(why, "no key has the algorithm HS256 and the id \"c\"");
}

#[tokio::test]
async fn one_of_several_keys_is_enough_and_the_refusal_tells_of_the_nearest() {
    let other = Key::hs256(&[7; 32]).unwrap();
    let wanted = Key::hs256(SECRET).unwrap().with_issuer("us");
    for keys in [[other.clone(), wanted.clone()], [wanted, other]] {
        let tokens = Tokens::new(keys, Permissions::NOTHING);
        assert!(ask(&tokens, secret().sign(&claims(json!({ "iss": "us" })))).await.is_ok());
        let why = refusal(&tokens, secret().sign(&claims(json!({ "iss": "them" })))).await;
        assert_eq!(why, "the token has another issuer (`iss`)");
    }
}

#[tokio::test]
async fn time_is_checked_with_half_a_minute_of_leeway() {
    for (signer, tokens) in all() {
        for (claims, refused) in [
            (json!({ "exp": in_seconds(-20) }), None),
            (json!({ "exp": in_seconds(-40) }), Some("has expired")),
            (json!({ "exp": 0 }), Some("has expired")),
            (json!({ "exp": in_seconds(60), "nbf": in_seconds(20) }), None),
            (json!({ "exp": in_seconds(600), "nbf": in_seconds(60) }), Some("not valid yet")),
            (json!({ "exp": in_seconds(600), "nbf": "soon" }), Some("nbf")),
            (json!({}), Some("lacks the claim `exp`")),
            (json!({ "exp": "never" }), Some("`exp`")),
            (json!({ "exp": null }), Some("`exp`")),
            (json!({ "exp": -1 }), Some("`exp`")),
            (json!({ "exp": 1e300 }), Some("`exp`")),
        ] {
            let answer = ask(&tokens, signer.sign(&claims)).await;
            match refused {
                None => assert!(answer.is_ok(), "{claims}"),
                Some(why) => assert!(answer.unwrap_err().reason.contains(why), "{claims}"),
            }
        }
    }
}

#[tokio::test]
async fn a_grant_lasts_as_long_as_its_token_is_taken_unless_sessions_may_outlive_it() {
    for (exp, seconds) in [
        (json!(in_seconds(-20)), Some(10)),
        (json!(in_seconds(3600)), Some(3630)),
        (json!(in_seconds(3600) as f64 + 0.5), Some(3630)),
        // Longer than a clock counts.
        (json!(u64::MAX), None),
    ] {
        let token = secret().sign(&json!({ "exp": exp }));
        let lasts = ask(&hs256(), token.clone()).await.unwrap().lasts.map(|lasts| lasts.as_secs());
        // The test takes its time.
        let right = match (lasts, seconds) {
            (Some(lasts), Some(seconds)) => (seconds - 5..=seconds).contains(&lasts),
            (lasts, _) => lasts.is_none_or(|lasts| lasts > 1 << 40),
        };
        assert!(right, "{exp}: {lasts:?}");
        assert_eq!(ask(&hs256().outlived(true), token).await.unwrap().lasts, None);
    }
}

#[tokio::test]
async fn whose_token_was_once_right_hears_that_it_has_expired_and_nobody_else() {
    for (signer, tokens) in all() {
        let token = signer.sign(&json!({ "exp": in_seconds(-40) }));
        assert_eq!(ask(&tokens, token.clone()).await.unwrap_err().told, Reason::Expired);
        let (rest, signature) = token.rsplit_once('.').unwrap();
        let turned: String = signature.chars().rev().collect();
        let denied = ask(&tokens, format!("{rest}.{turned}")).await.unwrap_err();
        assert_eq!(denied.told, Reason::NotAllowed);
    }
}

#[tokio::test]
async fn issuer_and_audience_must_be_there_and_right_when_they_are_demanded() {
    let strict = Key::hs256(SECRET).unwrap().with_issuer("us").with_audience("hub");
    let (strict, free) = (tokens(strict), hs256());
    for (more, by_strict, by_free) in [
        (json!({ "iss": "us", "aud": "hub" }), true, false),
        (json!({ "iss": "us", "aud": ["shop", "hub"] }), true, false),
        (json!({ "iss": "us", "aud": "shop" }), false, false),
        (json!({ "iss": "us", "aud": 7 }), false, false),
        (json!({ "iss": "us", "aud": null }), false, false),
        (json!({ "iss": "them", "aud": "hub" }), false, false),
        (json!({ "aud": "hub" }), false, false),
        (json!({ "iss": "us" }), false, true),
        (json!({ "iss": 7, "aud": "hub" }), false, false),
    ] {
        let token = secret().sign(&claims(more.clone()));
        assert_eq!(ask(&strict, token.clone()).await.is_ok(), by_strict, "{more}");
        assert_eq!(ask(&free, token).await.is_ok(), by_free, "{more}");
    }
}

#[tokio::test]
async fn claims_that_cannot_be_read_let_nobody_in() {
    for more in [
        json!({ "name": "" }),
        json!({ "name": "x".repeat(256) }),
        json!({ "name": 7 }),
        json!({ "name": null }),
        json!({ "create": "lobby" }),
        json!({ "reach": null }),
        json!({ "enter": [["*"]] }),
        json!({ "presence": 1 }),
    ] {
        assert!(ask(&hs256(), secret().sign(&claims(more.clone()))).await.is_err(), "{more}");
    }
    let header = json!({ "alg": "HS256" });
    let exp = in_seconds(60);
    for text in [
        format!(r#"{{"exp":{exp},"exp":{exp}}}"#),
        format!(r#"{{"exp":{exp},"create":[],"create":"*"}}"#),
        format!("[{exp}]"),
        "\u{0}".into(),
        String::new(),
    ] {
        assert!(ask(&hs256(), secret().sign_with(&header, &text)).await.is_err(), "{text}");
    }
    let not_utf8 = [format!(r#"{{"exp":{exp},"name":""#).as_bytes(), b"\xff\"}"].concat();
    assert!(ask(&hs256(), secret().sign_with(&header, not_utf8)).await.is_err());
}

#[tokio::test]
async fn a_token_cannot_choose_its_algorithm() {
    for (signer, tokens) in all() {
        let claims = claims(json!({})).to_string();
        for alg in ["none", "None", "", "HS256", "HS384", "RS256", "PS256", "ES256", "EdDSA"] {
            let token = signer.sign_with(&json!({ "alg": alg }), &claims);
            let right = alg == signer.algorithm();
            assert_eq!(ask(&tokens, token.clone()).await.is_ok(), right, "{alg}");
            let unsigned = token.rsplit_once('.').unwrap().0;
            assert!(ask(&tokens, format!("{unsigned}.")).await.is_err(), "{alg}");
            assert!(ask(&tokens, unsigned.to_owned()).await.is_err(), "{alg}");
        }
        for header in [json!({}), json!({ "alg": null }), json!({ "alg": [signer.algorithm()] })] {
            assert!(ask(&tokens, signer.sign_with(&header, &claims)).await.is_err());
        }
    }
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    for (public, key) in [
        (Signer::rsa().public(), Key::rs256 as fn(&str) -> Result<Key, KeyError>),
        (Signer::ed25519().public(), Key::eddsa),
    ] {
        let der = public.lines().filter(|line| !line.starts_with('-')).collect::<String>();
        let tokens = tokens(key(&public).unwrap());
        for secret in [public.as_bytes(), public.trim_end().as_bytes(), der.as_bytes()] {
            let token = Signer::Secret(secret.to_vec()).sign(&claims(json!({})));
            let why = refusal(&tokens, token).await;
            assert_eq!(why, "no key has the algorithm HS256 and the id none");
        }
        assert_eq!(Key::hs256(public.as_bytes()).unwrap_err(), KeyError::SecretIsPem);
    }
}

#[tokio::test]
async fn keys_that_a_token_brings_along_are_not_used() {
    let stranger = Signer::ed25519();
    let Signer::Ed25519(pair) = &stranger else { unreachable!() };
    let x = URL_SAFE_NO_PAD.encode(aws_lc_rs::signature::KeyPair::public_key(pair));
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    let header = json!({ "alg": "EdDSA", "jwk": jwk, "jku": "https://example.com/keys" });
    let token = stranger.sign_with(&header, claims(json!({})).to_string());
    let known = tokens(Key::eddsa(&Signer::ed25519().public()).unwrap());
    assert_eq!(refusal(&known, token).await, "the token is not signed with a known key");
}

#[tokio::test]
async fn a_token_that_demands_extensions_is_refused() {
    let header = json!({ "alg": "HS256", "crit": ["b64"], "b64": true });
    let token = secret().sign_with(&header, claims(json!({})).to_string());
    assert!(refusal(&hs256(), token).await.contains("`crit`"));
}

#[tokio::test]
async fn a_token_changed_at_any_place_is_refused() {
    for (signer, tokens) in all() {
        let token = signer.sign(&claims(json!({ "channels": ["lobby"] })));
        assert!(ask(&tokens, token.clone()).await.is_ok());
        for at in 0..token.len() {
            for byte in *b"Aw-." {
                let mut changed = token.clone().into_bytes();
                if std::mem::replace(&mut changed[at], byte) != byte {
                    assert!(ask(&tokens, changed).await.is_err(), "{byte} at {at} of {token}");
                }
            }
            assert!(ask(&tokens, token[..at].to_owned()).await.is_err());
        }
        for longer in
            [format!("{token}A"), format!("{token}="), format!("{token}."), format!(" {token}")]
        {
            assert!(ask(&tokens, longer).await.is_err());
        }
    }
}

#[tokio::test]
async fn a_token_is_at_most_8_kib_long() {
    let of_length = |filling: usize| {
        let claims = claims(json!({ "filling": "x".repeat(filling) }));
        secret().sign(&claims)
    };
    // Three bytes of claims are four of the token.
    let base = of_length(0).len();
    let fits = (0..4).map(|less| of_length((8192 - base) / 4 * 3 - less));
    assert!(fits.clone().any(|token| token.len() > 8188));
    for token in fits.filter(|token| token.len() <= 8192) {
        assert!(ask(&hs256(), token).await.is_ok());
    }
    let why = refusal(&hs256(), of_length((8192 - base) / 4 * 3 + 4)).await;
    assert!(why.ends_with("more than 8192"), "{why}");
}

#[tokio::test]
async fn the_example_of_the_standard_is_signed_rightly_and_has_expired() {
    // RFC 7515, appendix A.1
    const KEY: &str =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    const TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let tokens = tokens(Key::hs256_base64(KEY).unwrap());
    assert_eq!(refusal(&tokens, TOKEN).await, "the token has expired (`exp`)");
    assert_eq!(refusal(&hs256(), TOKEN).await, "the token is not signed with a known key");
}

#[test]
fn only_keys_that_are_safe_for_their_algorithm_are_taken() {
    const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDAcb6OJu/YClaRnckcpFSDsXsu
go3qkazpNR6ezsMr7OOoPyHFzidEnEbEBkSY3MnylHZrALas5FW1umOGBMnxnC3Z
dk2bP0WmKeuxFR3rdE3Q/jK+05bcNtPpFxS4gCWcCYYN69Frf3FvEOwT63X+bPE+
kNfpdndHT0RzSI6+KwIDAQAB
-----END PUBLIC KEY-----";
    const P_256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEa0qN4v+G9k5dCTie5f0wg24aYMY8
7NUL92KED3aUynmIV7hzvC7G/1E/Qc8m7jc/hWCuO7v0HTTPQINPdRhn0g==
-----END PUBLIC KEY-----";
    let ed25519 = Signer::ed25519().public();
    let rsa = Signer::rsa().public();
    let x25519_head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00];
    let x25519 = pem("PUBLIC KEY", &[&x25519_head[..], &[9; 32]].concat());
    let certificate = ed25519.replace("PUBLIC KEY", "CERTIFICATE");
    let private = ed25519.replace("PUBLIC", "PRIVATE");
    let cut = pem("PUBLIC KEY", &x25519_head);

    let wrong_ed = Some(KeyError::Public(Algorithm::EdDSA));
    for (pem, error) in [
        (&ed25519[..], None),
        (&rsa, wrong_ed),
        (P_256, wrong_ed),
        (&x25519, wrong_ed),
        (&certificate, wrong_ed),
        (&cut, wrong_ed),
        ("", wrong_ed),
        (&private, Some(KeyError::Private)),
    ] {
        assert_eq!(Key::eddsa(pem).err(), error, "{pem}");
    }
    let wrong_rsa = Some(KeyError::Public(Algorithm::RS256));
    for (pem, error) in [
        (&rsa[..], None),
        (&ed25519, wrong_rsa),
        (P_256, wrong_rsa),
        (&rsa.replace("PUBLIC KEY", "CERTIFICATE"), wrong_rsa),
        (&rsa.replace("PUBLIC", "RSA PRIVATE"), Some(KeyError::Private)),
        (RSA_1024, Some(KeyError::RsaSize)),
    ] {
        assert_eq!(Key::rs256(pem).err(), error, "{pem}");
    }
    assert_eq!(Key::hs256(&[0; 31]).err(), Some(KeyError::SecretShort(31)));
    assert_eq!(Key::hs256_base64("?").err(), Some(KeyError::Base64));
    assert_eq!(Key::hs256_base64("AAAA").err(), Some(KeyError::SecretShort(3)));
}

#[tokio::test]
async fn a_key_grants_the_names_that_it_may_and_these_are_reserved() {
    let names = rule(["keeper", "staff-*"]).unwrap();
    let tokens = tokens(Key::hs256(SECRET).unwrap().with_names(names)).outlived(true);
    for (name, allowed) in [("keeper", true), ("staff-7", true), ("anna", false)] {
        assert_eq!(tokens.reserves(name), allowed);
        let granted = ask(&tokens, secret().sign(&claims(json!({ "name": name })))).await;
        assert_eq!(granted.is_ok(), allowed, "{granted:?}");
    }
    assert!(ask(&tokens, secret().sign(&claims(json!({})))).await.is_ok());
    assert!(!hs256().reserves("keeper"), "a key of which nothing is said reserves nothing");
    let text = format!(
        "[[key]]\nalgorithm = \"HS256\"\nsecret = \"{}\"\nnames = [\"keeper\"]",
        str::from_utf8(SECRET).unwrap()
    );
    let swap = Swap::new(Arc::new(Either::new([Arc::new(
        Tokens::from_toml(&text, &Permissions::ALL).unwrap(),
    ) as Arc<dyn Authenticator>])));
    assert!(swap.reserves("keeper") && !swap.reserves("staff-7"));
}

#[tokio::test]
async fn a_key_of_which_no_names_are_said_grants_none_that_others_reserve() {
    let (eddsa, rsa) = (Signer::ed25519(), Signer::rsa());
    let staff = Key::eddsa(&eddsa.public()).unwrap().with_names(rule(["anna", "staff-*"]).unwrap());
    let others = || Key::rs256(&rsa.public()).unwrap();
    let named = |signer: &Signer, name| signer.sign(&claims(json!({ "name": name })));
    let granted = async |tokens: &dyn Authenticator, signer, name| {
        ask(tokens, named(signer, name)).await.map(|grant| grant.name.unwrap())
    };
    for keys in [[staff.clone(), others()], [others(), staff]] {
        let tokens = Tokens::new(keys, Permissions::ALL);
        for name in ["anna", "staff-7"] {
            assert_eq!(granted(&tokens, &eddsa, name).await, Ok(name.to_owned()));
            let denied = granted(&tokens, &rsa, name).await.unwrap_err();
            assert_eq!(denied.told, Reason::NotAllowed);
            let why = format!("the name \"{name}\" is reserved for other credentials");
            assert_eq!(denied.reason, why);
        }
        assert_eq!(granted(&tokens, &rsa, "bob").await, Ok("bob".to_owned()));
    }

    // The same holds of what secrets reserve, in either order.
    let grant = Grant { name: Some("keeper".into()), ..Grant::default() };
    let hash = SecretHash::of(b"swordfish").unwrap();
    let secret = Secret { name: "keeper".into(), hash, grant: grant.clone() };
    let secrets: Arc<dyn Authenticator> = Arc::new(Secrets::new([secret]).unwrap());
    let tokens: Arc<dyn Authenticator> = Arc::new(Tokens::new([others()], Permissions::ALL));
    for both in [[secrets.clone(), tokens.clone()], [tokens, secrets]] {
        let both = Either::new(both);
        assert_eq!(ask(&both, "keeper:swordfish").await, Ok(grant.clone()));
        assert_eq!(granted(&both, &rsa, "bob").await, Ok("bob".to_owned()));
        let why = "the name \"keeper\" is reserved for other credentials";
        assert_eq!(granted(&both, &rsa, "keeper").await.unwrap_err().reason, why);
    }
}

proptest! {
    #[test]
    fn nothing_made_up_is_let_in(token in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}".prop_map(String::into_bytes),
        ("\\{\"alg\":\"(HS256|none|RS256)\"(,\"[a-z0-9]{1,4}\":(null|1|\\[\\]))?\\}", ".{0,40}").prop_map(
            |(header, claims)| [header, claims, String::new()]
                .map(|part| URL_SAFE_NO_PAD.encode(part)).join(".").into_bytes()
        ),
    ]) {
        let tokens = hs256();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        prop_assert!(runtime.block_on(ask(&tokens, token)).is_err());
    }
}
