//! Addresses that were a Pod's until just now: conntrack entries, caches of names and clients still mean the old Pod.
//!
//! One empty file per address, whose time of change says when it was freed: no lock is needed to free one, and a call
//! that is killed leaves either the attachment or the file.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::CniError;
use crate::store;

/// The addresses of one node that rest.
#[derive(Debug)]
pub(crate) struct Quarantine {
    directory: PathBuf,
}

impl Quarantine {
    pub(crate) fn new(state: &Path) -> Self {
        Self { directory: state.join("released") }
    }

    /// Begins the rest of an address.
    pub(crate) fn begin(&self, address: IpAddr) -> Result<(), CniError> {
        let path = self.directory.join(address.to_string());
        let begin = || {
            fs::create_dir_all(&self.directory)?;
            File::create(&path)?.set_modified(SystemTime::now())
        };
        begin().map_err(CniError::io(format!("write {}", path.display())))
    }

    /// Addresses that were freed less than `period` ago; forgets the others.
    pub(crate) fn resting(&self, period: Duration) -> Result<BTreeSet<IpAddr>, CniError> {
        let what = || format!("list {}", self.directory.display());
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries.map_err(CniError::io(what()))?,
        };
        let now = SystemTime::now();
        let mut resting = BTreeSet::new();
        for entry in entries {
            let entry = entry.map_err(CniError::io(what()))?;
            let address = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let freed = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            // A time in the future is that of a clock that has been put back since, and says nothing.
            let age = freed.and_then(|freed| now.duration_since(freed).ok());
            match (address, age) {
                (Some(address), Some(age)) if age < period => drop(resting.insert(address)),
                _ => store::remove(&entry.path())?,
            }
        }
        Ok(resting)
    }
}
