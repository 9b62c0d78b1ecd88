//! `crosspoint hash-secret`: the hash of a secret, for `auth.secrets_file`.

use clap::Command;
use crosspoint_auth::SecretHash;
use std::io::{BufRead, IsTerminal, Read, Write};

/// More than any secret has, so that one that is too long is noticed and never cut.
const INPUT_BYTES_MAX: u64 = 64 * 1024;

/// The command.
pub(crate) fn command() -> Command {
    Command::new("hash-secret")
        .about("Read a secret from standard input and print its hash for auth.secrets_file")
        .long_about(
            "Read a secret, one line of at most 1024 bytes, from standard input and print its \
             argon2id hash: the value of `hash` of an entry in the file that auth.secrets_file \
             names (docs/authentication.md).\n\n\
             A terminal shows the secret while it is typed. This shows it nowhere:\n\n  \
             openssl rand -base64 24 > secret.txt\n  \
             crosspoint hash-secret < secret.txt",
        )
}

/// Reads the secret and prints the hash.
pub(crate) fn run() -> Result<(), String> {
    let input = std::io::stdin();
    let mut bytes = Vec::new();
    let mut reader = input.lock().take(INPUT_BYTES_MAX);
    let read = match input.is_terminal() {
        true => {
            eprint!("Secret (shown while you type): ");
            reader.read_until(b'\n', &mut bytes)
        }
        false => reader.read_to_end(&mut bytes),
    };
    read.map_err(|error| format!("the secret cannot be read: {error}"))?;
    let hash = SecretHash::of(line(&bytes)?).map_err(|error| error.to_string())?;
    writeln!(std::io::stdout(), "{hash}")
        .map_err(|error| format!("the hash cannot be shown: {error}"))
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
    }
}
