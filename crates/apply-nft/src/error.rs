//! Why the kernel's table could not be read or changed.

use std::io;

/// Why the kernel's table could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The socket could not be made or used.
    #[error("netfilter socket: cannot {doing}")]
    Socket {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a message; nothing of its batch was done.
    #[error("kernel refuses {what}{}", hint(.detail, .source))]
    Refused {
        /// What the message was for.
        what: String,
        /// The kernel's own words (`NETLINK_EXT_ACK`); empty for none.
        detail: String,
        /// Error number.
        #[source]
        source: io::Error,
    },
    /// The kernel's answer is cut short or not in the form nf_tables uses.
    #[error("kernel answers {what} with a message that cannot be read")]
    Garbled {
        /// What was asked.
        what: &'static str,
    },
}

impl NftError {
    /// Whether the kernel said that something does not exist.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.raw_os_error() == Some(libc::ENOENT))
    }
}

fn hint(detail: &str, source: &io::Error) -> String {
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    let hint = match source.raw_os_error() {
        Some(libc::EPERM) => ": CAP_NET_ADMIN in this network namespace is needed",
        Some(libc::EOPNOTSUPP | libc::ENOSYS) => ": the kernel lacks nf_tables or one of its expressions",
        _ => "",
    };
    format!("{detail}{hint}")
}
