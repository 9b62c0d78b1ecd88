//! The handshake: Noise XX by the `snow` library, with our cryptography below it.

use super::Role;
use super::cipher::{Cipher, TAG_BYTES};
use super::error::SecureError;
use super::records::Direction;
use crate::identity::{self, Identity, KEY_BYTES, PublicKey, wipe};
use aws_lc_rs::agreement::PrivateKey;
use bytes::Bytes;
use crosspoint_hub::PeerId;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{self, Dh, Hash, Random};

const NAME: &str = "Noise_XX_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE_LABEL: &[u8] = b"crosspoint peer 1";

/// Bytes of the three handshake messages: the keys, encrypted ones with their tags, and the tag of
/// the empty payload.
pub(super) const MESSAGE_BYTES: [usize; 3] = [
    KEY_BYTES,
    KEY_BYTES + (KEY_BYTES + TAG_BYTES) + TAG_BYTES,
    (KEY_BYTES + TAG_BYTES) + TAG_BYTES,
];

/// A handshake that goes on.
pub(super) struct Noise {
    state: snow::HandshakeState,
    /// The index of the message that is due, from either side.
    due: usize,
}

impl Noise {
    /// `random` becomes the ephemeral secret.
    pub(super) fn new(role: Role, identity: &Identity, peer: PeerId, random: [u8; 32]) -> Self {
        let own = identity.peer_id();
        let (opener, accepter) = match role {
            Role::Initiator => (own, peer),
            Role::Responder => (peer, own),
        };
        let prologue = [PROLOGUE_LABEL, &opener.as_bytes()[..], &accepter.as_bytes()[..]].concat();
        let secret = identity.to_bytes();
        let params = NAME.parse().expect("the library knows this handshake");
        let builder = snow::Builder::with_resolver(params, Box::new(Resolver(random)))
            .local_private_key(secret.as_bytes())
            .and_then(|builder| builder.prologue(&prologue))
            .expect("each is set once");
        let state = match role {
            Role::Initiator => builder.build_initiator(),
            Role::Responder => builder.build_responder(),
        };
        Self { state: state.expect("XX needs a secret, and the resolver has all of it"), due: 0 }
    }

    /// Bytes of the message that is due from the other side. `None`: it is this side's turn.
    pub(super) fn expects(&self) -> Option<usize> {
        if self.state.is_my_turn() { None } else { MESSAGE_BYTES.get(self.due).copied() }
    }

    pub(super) fn has_to_write(&self) -> bool {
        self.state.is_my_turn() && !self.is_finished()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.state.is_handshake_finished()
    }

    pub(super) fn write(&mut self) -> Result<Bytes, SecureError> {
        // The library wants room for a tag even where it writes none.
        let mut out = vec![0; MESSAGE_BYTES[self.due] + TAG_BYTES];
        let length = self.state.write_message(&[], &mut out).map_err(refusal)?;
        out.truncate(length);
        self.due += 1;
        Ok(out.into())
    }

    /// Takes a message of the length that was due.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<(), SecureError> {
        self.state.read_message(message, &mut []).map_err(refusal)?;
        self.due += 1;
        Ok(())
    }

    /// The other side's key, once it is known.
    pub(super) fn remote(&self) -> Option<PublicKey> {
        let key = self.state.get_remote_static()?.try_into().ok()?;
        // dh() has refused what is no key.
        PublicKey::new(key).ok()
    }

    /// After the last message: the direction in which this side sends, and the other.
    pub(super) fn finish(mut self) -> (Direction, Direction) {
        let (mut opener_key, mut accepter_key) = self.state.dangerously_get_raw_split();
        let (opener, accepter) = (Direction::new(&opener_key), Direction::new(&accepter_key));
        wipe(&mut opener_key);
        wipe(&mut accepter_key);
        if self.state.is_initiator() { (opener, accepter) } else { (accepter, opener) }
    }
}

fn refusal(error: snow::Error) -> SecureError {
    match error {
        snow::Error::Dh => SecureError::WeakKey,
        _ => SecureError::HandshakeFailed,
    }
}

/// What `snow` builds on; it holds the random bytes of one handshake.
struct Resolver([u8; 32]);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.0))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let DHChoice::Curve25519 = choice else { return None };
        Some(Box::new(X25519(None)))
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn types::Cipher>> {
        let CipherChoice::ChaChaPoly = choice else { return None };
        Some(Box::new(ChaChaPoly(Cipher::new(&[0; 32]))))
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Random bytes that serve once: a handshake needs one ephemeral secret.
struct Once(Option<[u8; 32]>);

impl Random for Once {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        let mut bytes = self.0.take().ok_or(snow::Error::Rng)?;
        let filled = if out.len() == bytes.len() {
            out.copy_from_slice(&bytes);
            Ok(())
        } else {
            Err(snow::Error::Rng)
        };
        wipe(&mut bytes);
        filled
    }
}

/// A key pair, once it is set or generated. Other than the library's own, it refuses keys that are no
/// [`PublicKey`]: those with which the secret would be zero, and other forms of a key.
struct X25519(Option<(PrivateKey, PublicKey)>);

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY_BYTES
    }

    fn priv_len(&self) -> usize {
        KEY_BYTES
    }

    fn set(&mut self, secret: &[u8]) {
        self.0 = secret.try_into().ok().map(identity::key_pair);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut secret = [0; 32];
        rng.try_fill_bytes(&mut secret)?;
        self.0 = Some(identity::key_pair(&secret));
        wipe(&mut secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |(_, public)| public.as_bytes())
    }

    /// Nothing: a handshake does not ask for it, and the secret stays where it is wiped.
    fn privkey(&self) -> &[u8] {
        &[]
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // The library's buffers are as long as its longest keys.
        let public = public.first_chunk().ok_or(snow::Error::Dh)?;
        let public = PublicKey::new(*public).map_err(|_not_one| snow::Error::Dh)?;
        let out = out.first_chunk_mut::<KEY_BYTES>().ok_or(snow::Error::Dh)?;
        let (secret, _) = self.0.as_ref().ok_or(snow::Error::Dh)?;
        identity::shared(secret, &public, |shared| out.copy_from_slice(shared))
            .ok_or(snow::Error::Dh)
    }
}

struct ChaChaPoly(Cipher);

impl types::Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = Cipher::new(key);
    }

    fn encrypt(&self, nonce: u64, aad: &[u8], text: &[u8], out: &mut [u8]) -> usize {
        let (sealed, rest) = out.split_at_mut(text.len());
        sealed.copy_from_slice(text);
        rest[..TAG_BYTES].copy_from_slice(&self.0.seal(nonce, aad, sealed));
        text.len() + TAG_BYTES
    }

    fn decrypt(
        &self,
        nonce: u64,
        aad: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let length = sealed.len().checked_sub(TAG_BYTES).ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..length).ok_or(snow::Error::Decrypt)?;
        self.0.open(nonce, aad, sealed, out).ok_or(snow::Error::Decrypt)?;
        Ok(length)
    }
}
