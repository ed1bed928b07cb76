//! What files and the agent's socket say of the node. Settings and tables under `/proc` are those of the thread's network
//! namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use engine_check::CniFile;
use types::{AgentAnswer, AgentRequest, IpFamily, NodeNetwork};

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The settings that are judged, as far as they are there.
pub(super) fn settings<'a>(links: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let of_link = |link: &str| {
        ["ipv4/conf/LINK/rp_filter", "ipv6/conf/LINK/accept_ra"]
            .map(|name| format!("net/{}", name.replace("LINK", link)))
    };
    let fixed = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"].map(str::to_owned);
    let names = fixed.into_iter().chain(["all"].into_iter().chain(links).flat_map(of_link));
    let read = |name: String| {
        let value = fs::read_to_string(Path::new("/proc/sys").join(&name)).ok()?;
        Some((name, value.trim().to_owned()))
    };
    names.filter_map(read).collect()
}

/// Entries of connection tracking, and how many there may be.
pub(super) fn conntrack() -> Option<(u64, u64)> {
    let number = |name: &str| -> Option<u64> {
        fs::read_to_string(format!("/proc/sys/net/netfilter/{name}")).ok()?.trim().parse().ok()
    };
    Some((number("nf_conntrack_count")?, number("nf_conntrack_max")?))
}

/// Tables that legacy iptables has in the kernel.
pub(super) fn legacy_tables() -> Vec<(IpFamily, String)> {
    let files = [(IpFamily::V4, "ip_tables_names"), (IpFamily::V6, "ip6_tables_names")];
    let tables = files.into_iter().flat_map(|(family, name)| {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
        text.split_whitespace().map(|table| (family, table.to_owned())).collect::<Vec<_>>()
    });
    tables.collect()
}

/// UDP ports that somebody has: the second column of `/proc/net/udp` is `address:port` in hexadecimal (proc(5)).
pub(super) fn udp_ports() -> BTreeSet<u16> {
    let read = |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    let both = read("udp") + &read("udp6");
    let port = |line: &str| u16::from_str_radix(line.split_whitespace().nth(1)?.rsplit_once(':')?.1, 16).ok();
    both.lines().filter_map(port).collect()
}

/// What the agent wrote for the plugin.
pub(super) fn network(state_dir: &Path) -> Result<Option<NodeNetwork>, String> {
    match fs::read(state_dir.join("network.json")) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| error.to_string()),
    }
}

/// Whether the agent says that ADD can be served.
pub(super) fn ask_agent(state_dir: &Path, request: &AgentRequest) -> Result<(), String> {
    let ask = || -> io::Result<AgentAnswer> {
        let mut stream = UnixStream::connect(state_dir.join("agent.sock"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    };
    match ask() {
        Ok(AgentAnswer::Ready { .. }) => Ok(()),
        Ok(AgentAnswer::TryLater { reason } | AgentAnswer::Refused { reason }) => {
            Err(format!("it answers that Pods cannot be added: {reason}"))
        }
        Err(error) => Err(format!("it does not answer: {error}")),
    }
}

/// CNI configurations in the runtime's order, by name (libcni's `ConfFiles`).
pub(super) fn configurations(directory: &Path) -> Result<Vec<CniFile>, String> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| format!("{}: {error}", directory.display()))?,
    };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| {
        let extension = file.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("conf" | "conflist" | "json"))
    });
    files.sort();
    let read = |file: &std::path::PathBuf| CniFile {
        path: file.display().to_string(),
        plugins: fs::read(file).map(|text| plugins(&text)).unwrap_or_default(),
    };
    Ok(files.iter().map(read).collect())
}

/// `type` of each plugin of a list, or of the one that a configuration without a list is of.
fn plugins(text: &[u8]) -> Vec<String> {
    let configuration: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
    let list = configuration.get("plugins").and_then(serde_json::Value::as_array);
    let all = list.map_or(std::slice::from_ref(&configuration), Vec::as_slice);
    let kind = |plugin: &serde_json::Value| Some(plugin.get("type")?.as_str()?.to_owned());
    all.iter().map(|plugin| kind(plugin).unwrap_or_else(|| "(unreadable)".to_owned())).collect()
}
