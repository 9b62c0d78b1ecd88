//! `crosspoint hash-secret`: the hash of a secret, for `auth.secrets_file`.

use clap::Command;
use crosspoint_auth::SecretHash;
use std::io::{self, IsTerminal, Read, Write};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// More than any secret has, so that one that is too long is noticed and never cut.
const INPUT_BYTES_MAX: u64 = 64 * 1024;

/// The command.
pub(crate) fn command() -> Command {
    Command::new("hash-secret")
        .about("Read a secret and print its hash for auth.secrets_file")
        .long_about(
            "Read a secret, one line of at most 1024 bytes, from standard input and print its \
             argon2id hash: the value of `hash` of an entry in the file that auth.secrets_file \
             names (docs/authentication.md).\n\n\
             A terminal asks for it twice and does not show it. Better than what one can type is a \
             secret made at random:\n\n  \
             openssl rand -base64 24 > secret.txt\n  \
             crosspoint hash-secret < secret.txt",
        )
}

/// Reads the secret and prints the hash.
pub(crate) fn run() -> Result<(), String> {
    let input = io::stdin();
    let secret = match input.is_terminal() {
        true => typed(asked)?,
        false => piped(input.lock())?,
    };
    let hash = SecretHash::of(&secret).map_err(|error| error.to_string())?;
    writeln!(io::stdout(), "{hash}").map_err(|error| format!("the hash cannot be shown: {error}"))
}

/// A secret that somebody types, twice as nobody sees it.
fn typed(mut ask: impl FnMut(&str) -> io::Result<String>) -> Result<Vec<u8>, String> {
    let unread = |error| format!("the secret cannot be read: {error}");
    let secret = ask("Secret (not shown): ").map_err(unread)?;
    // Wrong already, whatever comes now.
    if secret.is_empty() {
        return Ok(Vec::new());
    }
    if secret.contains(char::REPLACEMENT_CHARACTER) {
        return Err("the terminal does not send UTF-8; give the secret by standard input".into());
    }
    match ask("The same again: ").map_err(unread)? == secret {
        true => Ok(secret.into_bytes()),
        false => Err("the two are not the same, so nothing was hashed; try again".into()),
    }
}

/// Asks at the terminal, which shows nothing of the answer.
fn asked(prompt: &str) -> io::Result<String> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    // Otherwise Ctrl-C would end the program before the terminal shows again what is typed.
    let _interrupt = signal(SignalKind::interrupt())?;
    rpassword::prompt_password(prompt)
}

/// The secret that another program gives.
fn piped(input: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = input.take(INPUT_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|error| format!("the secret cannot be read: {error}"))?;
    line(&bytes).map(<[u8]>::to_vec)
}

/// The one line of the input, without its end.
fn line(input: &[u8]) -> Result<&[u8], String> {
    let line = input.strip_suffix(b"\n").unwrap_or(input);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.contains(&b'\n') {
        true => Err("the input has more than one line; a secret is one line".to_owned()),
        false => Ok(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_line_is_no_part_of_the_secret_and_a_second_line_is_refused() {
        for input in ["a b", "a b\n", "a b\r\n"] {
            assert_eq!(line(input.as_bytes()), Ok(&b"a b"[..]));
        }
        assert_eq!(line(b" \xff\t\n"), Ok(&b" \xff\t"[..]));
        assert!(line(b"a\nb").is_err() && line(b"a\n\n").is_err());
        assert_eq!(piped(&b"a b\n"[..]).as_deref(), Ok(&b"a b"[..]));
    }

    #[test]
    fn what_is_typed_is_typed_twice_the_same() {
        let typed = |answers: &[&str]| {
            let mut answers = answers.iter().map(|answer| (*answer).to_owned());
            typed(|_| answers.next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into()))
        };
        assert_eq!(
            typed(&["sw\u{f6}rd fish", "sw\u{f6}rd fish"]).as_deref(),
            Ok("sw\u{f6}rd fish".as_bytes())
        );
        assert!(typed(&["swordfish", "swordfisch"]).unwrap_err().contains("not the same"));
        assert!(typed(&["sw\u{fffd}rd"]).unwrap_err().contains("UTF-8"));
        assert!(typed(&["swordfish"]).unwrap_err().contains("cannot be read"));
        assert_eq!(typed(&[""]), Ok(Vec::new()), "it is refused for its length");
    }
}
