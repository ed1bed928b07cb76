//! Which addresses are taken: a symbolic link each, named by the address, to the attachment that has it.
//!
//! With them an ADD need not read every attachment. They are made and removed under the store's lock only. DEL, which
//! takes no lock, removes the attachment and leaves the link; one that leads nowhere means nothing. A link is made before
//! its attachment, so a call that is killed in between takes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use types::Attachment;

use crate::CniError;
use crate::store;

/// The taken addresses of one node.
#[derive(Debug)]
pub(crate) struct Taken {
    directory: PathBuf,
}

impl Taken {
    pub(crate) fn new(state: &Path) -> Self {
        Self { directory: state.join("addresses") }
    }

    /// Makes the links of all attachments where there are none yet: a version before this one kept none.
    pub(crate) fn prepare(
        &self,
        attachments: impl FnOnce() -> Result<Vec<Attachment>, CniError>,
    ) -> Result<(), CniError> {
        if self.directory.exists() {
            return Ok(());
        }
        // All of them appear at once.
        let unfinished = self.directory.with_extension("new");
        let attachments = attachments()?;
        let make = || -> io::Result<()> {
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            fs::create_dir_all(&unfinished)?;
            attachments.iter().try_for_each(|attachment| link(&unfinished, attachment))?;
            fs::rename(&unfinished, &self.directory)
        };
        make().map_err(CniError::io(format!("make {}", self.directory.display())))
    }

    /// Takes the addresses of an attachment that is about to be written.
    pub(crate) fn take(&self, attachment: &Attachment) -> Result<(), CniError> {
        link(&self.directory, attachment).map_err(CniError::io(format!("write {}", self.directory.display())))
    }

    /// Addresses of attachments that are there; forgets the others.
    pub(crate) fn addresses(&self) -> Result<BTreeSet<IpAddr>, CniError> {
        let what = || format!("list {}", self.directory.display());
        let mut taken = BTreeSet::new();
        for entry in fs::read_dir(&self.directory).map_err(CniError::io(what()))? {
            let entry = entry.map_err(CniError::io(what()))?;
            let address = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let leads_somewhere = entry.path().try_exists().map_err(CniError::io(what()))?;
            match address {
                Some(address) if leads_somewhere => drop(taken.insert(address)),
                _ => store::remove(&entry.path())?,
            }
        }
        Ok(taken)
    }
}

fn link(directory: &Path, attachment: &Attachment) -> io::Result<()> {
    let name = Attachment::file_name(&attachment.container_id, &attachment.ifname);
    let target = Path::new("../attachments").join(name);
    for address in &attachment.addresses {
        let path = directory.join(address.to_string());
        match symlink(&target, &path) {
            // It leads nowhere: who calls has looked.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(&path)?;
                symlink(&target, &path)?;
            }
            result => result?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use types::{Bandwidth, LinkOrigin, Mac};

    fn mk_state(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("sealane-cni-taken-{name}-{}", std::process::id()));
        fs::create_dir_all(directory.join("attachments")).expect("temporary directory");
        directory
    }

    fn mk_attachment(id: &str, addresses: &[&str]) -> Attachment {
        Attachment {
            container_id: id.into(),
            ifname: "eth0".into(),
            netns: String::new(),
            pod: None,
            addresses: addresses.iter().map(|text| text.parse().expect("address")).collect(),
            host_link: "sl1".into(),
            host_mac: Mac::derived("host"),
            pod_mac: Mac::derived("pod"),
            link: None,
            origin: LinkOrigin::Own,
            port_mappings: Vec::new(),
            bandwidth: Bandwidth::default(),
        }
    }

    fn write(state: &Path, id: &str) {
        fs::write(state.join(format!("attachments/{id}-eth0.json")), "damaged").expect("written");
    }

    fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().expect("address")).collect()
    }

    #[test]
    fn an_address_is_taken_as_long_as_its_attachment_is_there() {
        let state = mk_state("there");
        let taken = Taken::new(&state);
        taken.prepare(|| Ok(Vec::new())).expect("prepared");
        for (id, own) in [("a", ["10.0.0.1", "fd00::1"].as_slice()), ("b", &["10.0.0.2"])] {
            taken.take(&mk_attachment(id, own)).expect("taken");
            write(&state, id);
        }
        // Killed before its attachment was there.
        taken.take(&mk_attachment("c", &["10.0.0.3"])).expect("taken");
        // Also where the attachment cannot be read.
        assert_eq!(taken.addresses().expect("listed"), addresses(&["10.0.0.1", "10.0.0.2", "fd00::1"]));
        fs::remove_file(state.join("attachments/b-eth0.json")).expect("removed");
        taken.take(&mk_attachment("d", &["10.0.0.2"])).expect("taken");
        assert_eq!(taken.addresses().expect("listed"), addresses(&["10.0.0.1", "fd00::1"]));
        write(&state, "d");
        // The link of an attachment that never came was forgotten.
        assert_eq!(taken.addresses().expect("listed"), addresses(&["10.0.0.1", "fd00::1"]));
        taken.take(&mk_attachment("d", &["10.0.0.2"])).expect("taken");
        assert_eq!(taken.addresses().expect("listed"), addresses(&["10.0.0.1", "10.0.0.2", "fd00::1"]));
        fs::remove_dir_all(&state).expect("removed");
    }

    #[test]
    fn attachments_of_an_earlier_version_are_known() {
        let state = mk_state("earlier");
        write(&state, "a");
        // Left by a call that was killed.
        fs::create_dir_all(state.join("addresses.new/10.0.0.9")).expect("made");
        let taken = Taken::new(&state);
        let all = || Ok(vec![mk_attachment("a", &["10.0.0.1"])]);
        taken.prepare(all).expect("prepared");
        assert_eq!(taken.addresses().expect("listed"), addresses(&["10.0.0.1"]));
        taken.prepare(|| panic!("once is enough")).expect("prepared");
        fs::remove_dir_all(&state).expect("removed");
    }
}
