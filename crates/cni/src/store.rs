//! The node's state directory: which attachments exist, and which addresses they hold.
//!
//! Every file appears by renaming a finished one, so that a reader never sees half of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::{Attachment, LinkName, NodeNetwork};

use crate::CniError;
use crate::quarantine::Quarantine;
use crate::taken::Taken;

/// The state directory of one node.
#[derive(Debug)]
pub(crate) struct Store {
    directory: PathBuf,
}

/// Held while addresses are chosen and written down.
pub(crate) struct Lock {
    _file: Flock<File>,
}

/// Bytes of the file that says so; one address of each family takes at most 80.
const LAST_GIVEN_LEN: usize = 128;

/// Which addresses were given last, at most one per family: the next search begins behind them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LastGiven {
    pub(crate) addresses: Vec<IpAddr>,
}

/// Attachments on disk.
#[derive(Debug, Default)]
pub(crate) struct Attachments {
    pub(crate) readable: Vec<Attachment>,
    /// Files that are no attachment, or were never finished; only GC touches them.
    pub(crate) damaged: Vec<PathBuf>,
}

impl Store {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(crate) fn agent_socket(&self) -> PathBuf {
        self.directory.join("agent.sock")
    }

    /// Addresses that were freed just now.
    pub(crate) fn quarantine(&self) -> Quarantine {
        Quarantine::new(&self.directory)
    }

    /// Addresses that attachments have.
    pub(crate) fn taken(&self) -> Taken {
        Taken::new(&self.directory)
    }

    /// What the agent wrote about its node; `None` before it did.
    pub(crate) fn network(&self) -> Result<Option<NodeNetwork>, CniError> {
        read(&self.directory.join("network.json"))
    }

    pub(crate) fn attachment(
        &self,
        container_id: &str,
        ifname: &LinkName,
    ) -> Result<Option<Attachment>, CniError> {
        let attachment: Option<Attachment> = read(&self.file(container_id, ifname))?;
        // Another attachment may have the same file name.
        Ok(attachment.filter(|found| found.container_id == container_id && found.ifname == *ifname))
    }

    pub(crate) fn attachments(&self) -> Result<Attachments, CniError> {
        let directory = self.directory.join("attachments");
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Attachments::default()),
            entries => entries.map_err(CniError::io(format!("list {}", directory.display())))?,
        };
        let mut attachments = Attachments::default();
        for entry in entries {
            let path = entry.map_err(CniError::io(format!("list {}", directory.display())))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                attachments.damaged.push(path);
                continue;
            }
            match read(&path) {
                Ok(Some(attachment)) => attachments.readable.push(attachment),
                // Gone since the directory was listed.
                Ok(None) => {}
                Err(_) => attachments.damaged.push(path),
            }
        }
        Ok(attachments)
    }

    /// Writes an attachment whose addresses nobody has; to be called under the lock.
    pub(crate) fn put(&self, attachment: &Attachment) -> Result<(), CniError> {
        self.taken().take(attachment)?;
        write(&self.file(&attachment.container_id, &attachment.ifname), attachment)
    }

    /// Removes an attachment; succeeds when it is gone already.
    pub(crate) fn remove(&self, container_id: &str, ifname: &LinkName) -> Result<(), CniError> {
        let file = self.file(container_id, ifname);
        // Left by a call that was killed while it wrote.
        remove(&file.with_extension("tmp"))?;
        remove(&file)
    }

    pub(crate) fn last_given(&self) -> LastGiven {
        // Only a hint: without it the search begins at the start of the range.
        read(&self.directory.join("last-given.json")).ok().flatten().unwrap_or_default()
    }

    /// Written over the old one, blanks at its end: a file that replaces another is sent to the disk at once by some
    /// file systems (`auto_da_alloc` of ext4), which takes longer than all else. A hint that is torn is none.
    pub(crate) fn put_last_given(&self, last: &LastGiven) -> Result<(), CniError> {
        let path = self.directory.join("last-given.json");
        let write = || -> io::Result<()> {
            let mut text = serde_json::to_vec(last)?;
            text.resize(text.len().max(LAST_GIVEN_LEN), b' ');
            File::options().create(true).truncate(false).write(true).open(&path)?.write_all(&text)
        };
        write().map_err(CniError::io(format!("write {}", path.display())))
    }

    /// Waits until no other call chooses addresses.
    pub(crate) fn lock(&self) -> Result<Lock, CniError> {
        let directory = self.directory.join("attachments");
        fs::create_dir_all(&directory).map_err(CniError::io(format!("create {}", directory.display())))?;
        let path = self.directory.join("lock");
        let what = format!("lock {}", path.display());
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(CniError::io(what.as_str()))?;
        let file = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, error)| CniError::Io { what, source: error.into() })?;
        self.taken().prepare(|| Ok(self.attachments()?.readable))?;
        Ok(Lock { _file: file })
    }

    fn file(&self, container_id: &str, ifname: &LinkName) -> PathBuf {
        self.directory.join("attachments").join(Attachment::file_name(container_id, ifname))
    }
}

impl Attachments {
    pub(crate) fn addresses(&self) -> BTreeSet<IpAddr> {
        self.readable.iter().flat_map(|attachment| attachment.addresses.iter().copied()).collect()
    }
}

/// Removes a file; succeeds when it is gone already.
pub(crate) fn remove(path: &Path) -> Result<(), CniError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.map_err(CniError::io(format!("remove {}", path.display()))),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, CniError> {
    let bytes = match fs::read(path) {
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(None);
        }
        bytes => bytes.map_err(CniError::io(format!("read {}", path.display())))?,
    };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|source| CniError::Decode { what: path.display().to_string(), source })
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), CniError> {
    let write = || -> io::Result<()> {
        // Under the lock, or named after the container: nobody else writes the same file.
        let unfinished = path.with_extension("tmp");
        fs::write(&unfinished, serde_json::to_vec(value)?)?;
        fs::rename(&unfinished, path)
    };
    write().map_err(CniError::io(format!("write {}", path.display())))
}
