//! Where sessions are asked for.

use std::fmt;
use std::str::FromStr;

/// The path of a server of Engine.IO, such as `/socket.io`. Clients put a slash behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(String);

/// Why a text is no path for a server of Engine.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It leads nowhere, or to everything.
    #[error("the path is empty; give one such as /socket.io")]
    Empty,
    /// A part of it is empty, or has characters that have a meaning in a URL.
    #[error(
        "the path may have parts of letters, digits and -._~ alone, with a slash between them, such as /socket.io"
    )]
    Character,
    /// The hub answers it by itself.
    #[error("the hub itself answers this path; give another one, such as /socket.io")]
    Taken,
}

impl Path {
    /// Whether the path of a request is this one.
    pub(super) fn is(&self, path: &str) -> bool {
        path.strip_suffix('/').unwrap_or(path) == self.0
    }

    /// The path without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Path {
    type Err = PathError;

    /// Slashes at both ends make no difference.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let text = text.strip_prefix('/').unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(is_plain);
        match text {
            "" => Err(PathError::Empty),
            "health" | "ready" | "metrics" => Err(PathError::Taken),
            text if text.split('/').all(is_part) => Ok(Self(format!("/{text}"))),
            _ => Err(PathError::Character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_plain_parts_and_is_found_with_a_slash_and_without() {
        for text in ["/socket.io", "socket.io/", "/socket.io/"] {
            let path: Path = text.parse().unwrap();
            assert_eq!(path.as_str(), "/socket.io");
            assert!(path.is("/socket.io") && path.is("/socket.io/"));
            assert!(!path.is("/socket.io//") && !path.is("/socket.io/x") && !path.is("/socket"));
        }
        assert_eq!("/a/b-c_d~1".parse::<Path>().unwrap().to_string(), "/a/b-c_d~1");
        for (text, error) in [
            ("", PathError::Empty),
            ("/", PathError::Empty),
            ("//", PathError::Empty),
            ("/a//b", PathError::Character),
            ("/../b", PathError::Character),
            ("/{a}", PathError::Character),
            ("/a b", PathError::Character),
            ("/metrics", PathError::Taken),
        ] {
            assert_eq!(text.parse::<Path>(), Err(error), "{text}");
        }
    }
}
