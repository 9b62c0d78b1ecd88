//! Credentials, and tokens signed here without the library that checks them.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{hmac, signature};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use crosspoint_auth::{Authenticator, Credentials, Denied};
use crosspoint_hub::Grant;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a native client says that gives this token.
pub(crate) fn credentials(token: impl Into<Bytes>) -> Credentials {
    Credentials { token: Some(token.into()), ..without_token("native") }
}

pub(crate) fn without_token(protocol: &'static str) -> Credentials {
    Credentials {
        protocol,
        process: None,
        certificate: None,
        address: None,
        peer: None,
        key_proven: false,
        name: None,
        token: None,
    }
}

pub(crate) async fn ask(
    whom: &dyn Authenticator,
    token: impl Into<Bytes>,
) -> Result<Grant, Denied> {
    whom.authenticate(credentials(token)).await
}

/// Why a token is refused.
pub(crate) async fn refusal(whom: &dyn Authenticator, token: impl Into<Bytes>) -> String {
    ask(whom, token).await.expect_err("refused").reason.into_owned()
}

/// Seconds since 1970, and so many more.
pub(crate) fn in_seconds(more: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    i64::try_from(now).expect("before the end of time") + more
}

/// Claims that expire in a minute, and these.
pub(crate) fn claims(more: Value) -> Value {
    let mut claims = json!({ "exp": in_seconds(60) });
    let (Value::Object(all), Value::Object(more)) = (&mut claims, more) else {
        panic!("claims are an object");
    };
    all.extend(more);
    claims
}

/// A private key of each algorithm.
pub(crate) enum Signer {
    Secret(Vec<u8>),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Signer {
    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().expect("a key"))
    }

    pub(crate) fn rsa() -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")))
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Secret(_) => "HS256",
            Self::Ed25519(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    /// The public key in PEM.
    pub(crate) fn public(&self) -> String {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Secret(_) => panic!("a secret is not public"),
            Self::Ed25519(pair) => pair.public_key().as_der().expect("a public key"),
            Self::Rsa(pair) => pair.public_key().as_der().expect("a public key"),
        };
        pem("PUBLIC KEY", der.as_ref())
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({ "typ": "JWT", "alg": self.algorithm() }), claims.to_string())
    }

    pub(crate) fn sign_with(&self, header: &Value, claims: impl AsRef<[u8]>) -> String {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = match self {
            Self::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Self::Rsa(pair) => rsa(pair, &RSA_PKCS1_SHA256, message.as_bytes()),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn rsa(
    pair: &RsaKeyPair,
    how: &'static signature::RsaSignatureEncoding,
    message: &[u8],
) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(how, &SystemRandom::new(), message, &mut signature).expect("a signature");
    signature
}

pub(crate) fn pem(tag: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", lines.join("\n"))
}
