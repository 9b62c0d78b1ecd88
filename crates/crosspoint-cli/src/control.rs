//! The control center of the hub, and its token.

use crate::failure::Failure;
use crate::listen::{Listening, local};
use crate::options::networks;
use crate::secret_file;
use crate::settings::{Settings, split_root};
use crate::small_file::{self, FileKind, ReadError};
pub(crate) use crosspoint_control::Access;
use crosspoint_control::{Control, ControlOptions, NoToken, Token};
use crosspoint_hub::Hub;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// More than any token has, with the end of its line.
const FILE_BYTES_MAX: u64 = 1024;

/// The control center, and what is said of its token at the start.
pub(crate) struct Center {
    pub(crate) control: Control,
    pub(crate) told: Option<String>,
    pub(crate) admission: Admission,
    /// Whether the page is at `/`.
    pub(crate) page_at_root: bool,
}

/// Who needs the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Nobody: this machine is let in without it, and nobody else can come.
    Nobody,
    /// All but this machine.
    Others,
    /// Everybody.
    All,
}

impl Admission {
    fn new(settings: &Settings, listening: &[Listening]) -> Self {
        let is_loopback = |at: SocketAddr| at.ip().to_canonical().is_loopback();
        let mut addresses = listening.iter().map(Listening::address);
        // Who comes through a proxy always needs it.
        let proxies = networks(&settings.server.trusted_proxies);
        let lets_in = |at| is_loopback(local(at)) && !proxies.contain(local(at).ip());
        let is_near = addresses.clone().all(|at| at.is_some_and(is_loopback));
        match settings.control.access {
            Access::Loopback if !addresses.any(|at| at.is_some_and(lets_in)) => Self::All,
            Access::Loopback if is_near && proxies.is_empty() => Self::Nobody,
            Access::Loopback => Self::Others,
            Access::Token => Self::All,
        }
    }

    /// The same as a line for people.
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::Nobody => "this machine, without a token",
            Self::Others => {
                "this machine by a loopback address without a token, all others with the token"
            }
            Self::All => "with the token",
        }
    }
}

/// Where the token comes from.
enum Source {
    /// From the settings.
    Set(Token),
    /// From a file that was there.
    File(Token),
    /// The file was made.
    NewFile(Token),
    /// It holds for this run.
    ThisRun(Token),
    /// There is none, as nobody could need it.
    None,
}

/// What is wrong with the file of the token.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Token(#[from] NoToken),
}

/// The control center of a hub that listens there, if it is wanted.
///
/// # Errors
/// What is wrong with the token or its file.
pub(crate) fn center(
    settings: &Settings,
    given: Option<Token>,
    hub: &Arc<Hub>,
    listening: &[Listening],
) -> Result<Option<Center>, Failure> {
    let control = &settings.control;
    if !control.enabled {
        return Ok(None);
    }
    let admission = Admission::new(settings, listening);
    let file = std::path::absolute(&control.token_file).unwrap_or_default();
    let file = file.display();
    let (token, told) = match token(settings, given, admission)? {
        Source::Set(token) => (Some(token), Some("that of control.token".to_owned())),
        Source::File(token) => (Some(token), Some(format!("in {file}"))),
        Source::NewFile(token) => {
            let told = format!("{} (written to {file})", token.reveal());
            (Some(token), Some(told))
        }
        Source::ThisRun(token) => {
            let told = format!("{} (of this run; control.token_file keeps one)", token.reveal());
            (Some(token), Some(told))
        }
        Source::None => (None, None),
    };
    let files = settings.http.files.iter().filter_map(|root| split_root(root));
    let page_at_root = files.into_iter().all(|(path, _)| !path.trim_matches('/').is_empty());
    let options = ControlOptions {
        name: settings.server.name.clone(),
        access: control.access,
        token,
        viewers_max: control.viewers_max,
        page_at_root,
    };
    let control = Control::new(hub.clone(), options);
    Ok(Some(Center { control, told, admission, page_at_root }))
}

/// The token, which is made if somebody could need one.
fn token(
    settings: &Settings,
    given: Option<Token>,
    admission: Admission,
) -> Result<Source, Failure> {
    if let Some(token) = given {
        let is_set = !settings.control.token.is_empty();
        return Ok(if is_set { Source::Set(token) } else { Source::File(token) });
    }
    let random = || {
        let wrong =
            |error| Failure::Run(format!("no token could be made: {error}; set control.token"));
        Token::random().map_err(wrong)
    };
    let file = &settings.control.token_file;
    if !file.is_empty() {
        let token = random()?;
        secret_file::create(file.as_ref(), token.reveal())
            .map_err(|error| Failure::Setup(format!("control.token_file: {file}: {error}")))?;
        return Ok(Source::NewFile(token));
    }
    match admission {
        Admission::Nobody => Ok(Source::None),
        Admission::Others | Admission::All => random().map(Source::ThisRun),
    }
}

/// The token of the settings, or of the file that they name if it is there.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn given(settings: &Settings) -> Result<Option<Token>, Failure> {
    let (token, file) = (&settings.control.token, &settings.control.token_file);
    if !settings.control.enabled {
        return Ok(None);
    }
    if !token.is_empty() {
        let token = Token::new(token.clone());
        return token.map(Some).map_err(|error| Failure::Setup(format!("control.token: {error}")));
    }
    if file.is_empty() {
        return Ok(None);
    }
    read(file.as_ref())
        .map_err(|error| Failure::Setup(format!("control.token_file: {file}: {error}")))
}

fn read(path: &Path) -> Result<Option<Token>, FileError> {
    let file = match small_file::read(path, FileKind::Any, FILE_BYTES_MAX) {
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result?,
    };
    let token = Token::new(file.text.trim())?;
    secret_file::warn_of_others(path, file.mode, "write another token");
    Ok(Some(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_token_and_none_is_there_before_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(read(&path).unwrap().is_none());
        secret_file::create(&path, "a-token-of-the-tests").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().reveal(), "a-token-of-the-tests");
        assert!(secret_file::create(&path, "another-token-of-them").is_err());
        for wrong in ["", "\n", "short", "a token of the tests", &"x".repeat(2000)] {
            std::fs::write(&path, wrong).unwrap();
            assert!(read(&path).is_err(), "{wrong:?}");
        }
        assert!(matches!(read(folder.path()), Err(FileError::Read(_))));
    }
}
