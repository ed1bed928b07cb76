//! Which Pod is the other side.

use std::fmt;
use std::str::FromStr;

/// Which Pod is the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Distance {
    /// One on the same node.
    Near,
    /// One on the other node.
    Far,
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Near => "near",
            Self::Far => "far",
        })
    }
}

impl FromStr for Distance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "near" => Ok(Self::Near),
            "far" => Ok(Self::Far),
            _ => Err(format!("no distance {text}")),
        }
    }
}
