//! The files shared with the CNI plugin: reads what it has given out, writes what it needs to know.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use types::{Attachment, LinkName, NodeNetwork};

/// Every attachment in the state directory, by file name; a file that cannot be read is logged and left out.
pub(crate) fn read(state_dir: &Path) -> Vec<Attachment> {
    let directory = state_dir.join("attachments");
    let mut files: Vec<PathBuf> = match std::fs::read_dir(&directory) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        // The plugin makes the directory with the first attachment.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(directory = %directory.display(), %error, "attachments cannot be read");
            return Vec::new();
        }
    };
    files.sort();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.iter().filter_map(|file| read_one(file)).collect()
}

/// One attachment; none when there is none, or what is there cannot be read.
pub(crate) fn read_attachment(state_dir: &Path, container_id: &str, ifname: &LinkName) -> Option<Attachment> {
    let file = state_dir.join("attachments").join(Attachment::file_name(container_id, ifname));
    // Another attachment may have the same file name.
    let is_this = |found: &Attachment| found.container_id == container_id && found.ifname == *ifname;
    read_one(&file).filter(is_this)
}

fn read_one(file: &Path) -> Option<Attachment> {
    let unreadable = |error: &dyn std::fmt::Display| {
        tracing::warn!(file = %file.display(), %error, "attachment cannot be read");
    };
    let text = match std::fs::read(file) {
        Ok(text) => text,
        // Removed by the plugin since the directory was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            unreadable(&error);
            return None;
        }
    };
    serde_json::from_slice(&text).inspect_err(|error| unreadable(error)).ok()
}

/// How long a freed address rests, in seconds: the plugin's default of `quarantineSeconds`. A configuration that says
/// otherwise is the plugin's alone; what is told of resting addresses is then off by those seconds.
const REST: Duration = Duration::from_secs(30);

/// Freed addresses that rest, as the plugin notes them: a file each, as old as the freedom.
pub(crate) fn resting(state_dir: &Path) -> BTreeSet<IpAddr> {
    let Ok(entries) = std::fs::read_dir(state_dir.join("released")) else { return BTreeSet::new() };
    let now = SystemTime::now();
    let resting = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let age = now.duration_since(entry.metadata().ok()?.modified().ok()?).ok()?;
        let address = entry.file_name().to_str()?.parse().ok()?;
        (age < REST).then_some(address)
    });
    resting.collect()
}

/// Writes `network.json`, so that a reader sees the old file or the new one and never half of one. An equal file is
/// left alone.
pub(crate) fn write_network(state_dir: &Path, network: &NodeNetwork) -> io::Result<()> {
    let file = state_dir.join("network.json");
    let text = serde_json::to_vec(network)?;
    if std::fs::read(&file).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let unfinished = state_dir.join(".network.json.new");
    std::fs::create_dir_all(state_dir)?;
    std::fs::write(&unfinished, text)?;
    std::fs::rename(&unfinished, &file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Mac, PodLink};

    fn mk_directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("sealane-agent-{name}-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("attachments")).expect("temporary directory");
        directory
    }

    fn mk_attachment(container_id: &str) -> Attachment {
        Attachment {
            container_id: container_id.into(),
            ifname: "eth0".into(),
            netns: "/run/netns/x".into(),
            pod: None,
            addresses: vec!["192.0.2.1".parse().expect("address")],
            host_link: "sl1".into(),
            host_mac: Mac::derived("host"),
            pod_mac: Mac::derived("pod"),
            link: None,
            origin: types::LinkOrigin::Own,
            port_mappings: Vec::new(),
            bandwidth: types::Bandwidth::default(),
        }
    }

    #[test]
    fn attachments_come_in_order_and_broken_files_are_left_out() {
        let directory = mk_directory("read");
        for id in ["b", "a"] {
            let text = serde_json::to_vec(&mk_attachment(id)).expect("json");
            std::fs::write(directory.join(format!("attachments/{id}-eth0.json")), text).expect("written");
        }
        std::fs::write(directory.join("attachments/c-eth0.json"), "{").expect("written");
        std::fs::write(directory.join("attachments/d.tmp"), "{}").expect("written");
        assert_eq!(read(&directory), [mk_attachment("a"), mk_attachment("b")]);
        std::fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn addresses_rest_for_a_while() {
        let directory = mk_directory("resting");
        let released = directory.join("released");
        std::fs::create_dir_all(&released).expect("directory");
        for (name, age) in [("192.0.2.1", 5), ("192.0.2.2", 60), ("no address", 0)] {
            let file = std::fs::File::create(released.join(name)).expect("made");
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("dated");
        }
        assert_eq!(resting(&directory), BTreeSet::from(["192.0.2.1".parse().expect("address")]));
        std::fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn no_directory_means_no_attachments() {
        assert!(read(Path::new("/nonexistent/sealane")).is_empty());
    }

    #[test]
    fn the_network_file_is_written_once() {
        let directory = mk_directory("network");
        let prefix = "192.0.2.0/24".to_owned().try_into().expect("prefix");
        let link = PodLink { mtu: 65_535, path_mtu: 1450, local: vec![prefix], ..PodLink::default() };
        let network = NodeNetwork { pod_cidrs: vec![prefix], link };
        write_network(&directory, &network).expect("written");
        let modified = || std::fs::metadata(directory.join("network.json")).and_then(|file| file.modified());
        let before = modified().expect("there");
        write_network(&directory, &network).expect("unchanged");
        assert_eq!(modified().expect("there"), before);
        let text = std::fs::read(directory.join("network.json")).expect("there");
        assert_eq!(serde_json::from_slice::<NodeNetwork>(&text).expect("json"), network);
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
