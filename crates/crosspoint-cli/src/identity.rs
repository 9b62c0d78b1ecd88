//! `crosspoint id`: identities in files.
//!
//! The file has one line: the secret in 64 hexadecimal digits (docs/peers.md, section 7).

use crate::secret_file;
use crate::small_file::{self, FileKind, ReadError};
use clap::{Arg, ArgMatches, Command, value_parser};
use crosspoint_proto::identity::{Identity, KEY_BYTES, NotAnIdentity};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a file is read to at most; one of ours is much shorter.
const FILE_BYTES_MAX: u64 = 4096;

/// The command and its subcommands.
pub(crate) fn command() -> Command {
    let file = |help: &'static str| {
        Arg::new("file")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .required(true)
            .help(help)
    };
    let new = Command::new("new").about("Make an identity, and a file that holds it").long_about(
        "Make an identity from the system's random source and write it to a new file that nobody \
         else can read (mode 0600). A file that exists is never overwritten. Anyone who has the file \
         can pass for its owner; there is no other copy.",
    );
    let show = Command::new("show").about("Show what others may know of an identity").long_about(
        "Show the peer id, the fingerprint and the public key of an identity. None of them is \
         secret. Who learns one of them from somebody they trust can be sure, with encryption, to \
         talk to the owner of the identity and to nobody else.",
    );
    Command::new("id")
        .about("Make and show identities: keys that prove who a client is")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(new.arg(file("The file to make")))
        .subcommand(show.arg(file("A file that `crosspoint id new` made")))
}

/// Makes or shows an identity.
pub(crate) fn run(matches: &ArgMatches) -> Result<(), String> {
    let (identity, path) = match matches.subcommand() {
        Some(("new", matches)) => {
            let path = path(matches)?;
            (make(path).map_err(|error| error.told(path))?, path)
        }
        Some(("show", matches)) => {
            let path = path(matches)?;
            (load(path)?, path)
        }
        _ => unreachable!("clap demands one of the commands"),
    };
    let key = identity.public_key();
    let told = writeln!(
        io::stdout(),
        "peer id      {}\nfingerprint  {}\npublic key   {key}",
        identity.peer_id(),
        key.fingerprint(),
    );
    told.map_err(|error| format!("{} cannot be shown: {error}", path.display()))
}

fn path(matches: &ArgMatches) -> Result<&Path, String> {
    let path = matches.get_one::<PathBuf>("file");
    path.map(PathBuf::as_path).ok_or_else(|| "no file is given".to_owned())
}

/// The identity of a file. Says on standard error when others can read it.
pub(crate) fn load(path: &Path) -> Result<Identity, String> {
    let (identity, mode) = read(path).map_err(|error| error.told(path))?;
    secret_file::warn_of_others(path, mode, "make a new identity");
    Ok(identity)
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("exists already, and an identity is never overwritten; choose another name")]
    Exists,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("is no identity: expected one line of {} hexadecimal digits", 2 * KEY_BYTES)]
    Text,
    #[error("no identity could be made: the system has no random source ({0})")]
    Random(String),
}

impl FileError {
    fn told(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Exists | Self::Text => format!("{path} {self}"),
            Self::Io(_) | Self::Read(_) | Self::Random(_) => format!("{path}: {self}"),
        }
    }
}

fn make(path: &Path) -> Result<Identity, FileError> {
    let identity = Identity::generate().map_err(|error| FileError::Random(error.to_string()))?;
    let secret = identity.to_bytes();
    let digits: String = secret.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    secret_file::create(path, &digits).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists,
        _ => error.into(),
    })?;
    Ok(identity)
}

/// The identity of a file, and the file's mode.
fn read(path: &Path) -> Result<(Identity, u32), FileError> {
    let file = match small_file::read(path, FileKind::Any, FILE_BYTES_MAX) {
        Err(ReadError::NotUtf8 | ReadError::TooLong(_)) => return Err(FileError::Text),
        result => result?,
    };
    let identity = file.text.parse().map_err(|NotAnIdentity| FileError::Text)?;
    Ok((identity, file.mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_back_as_it_was_made_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anna.id");
        let made = make(&path).unwrap();
        let (again, mode) = read(&path).unwrap();
        assert_eq!((again.public_key(), mode & 0o777), (made.public_key(), 0o600));
        assert!(matches!(make(&path), Err(FileError::Exists)));
        assert_eq!(read(&path).unwrap().0.public_key(), made.public_key());
    }

    #[test]
    fn a_file_with_anything_else_is_no_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id");
        let right = "0123456789abcdef".repeat(4);
        for (text, is_one) in [
            (right.clone(), true),
            (right.to_uppercase() + "\r\n", true),
            (String::new(), false),
            (right[1..].to_owned(), false),
            (right.clone() + "0", false),
            (right.replacen("01", "+1", 1), false),
            (right.replacen("01", "\u{e4}", 1), false),
            (format!("{right}\n{right}\n"), false),
            (" ".repeat(5000) + &right, false),
        ] {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(read(&path).is_ok(), is_one, "{text:?}");
        }
        std::fs::write(&path, b"\xff\xfe").unwrap();
        assert!(matches!(read(&path), Err(FileError::Text)));
    }
}
