//! Processor time and memory of the lab's processes, as `/proc` tells them.

use std::collections::BTreeMap;
use std::path::Path;

/// What one process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Use {
    /// User and system time, in milliseconds.
    pub(crate) milliseconds: u64,
    /// Resident memory, in MiB.
    pub(crate) mebibytes: u64,
}

/// The lab's processes by what they are: an agent by its node, others by their subcommand.
pub(crate) fn all(state_dir: &Path) -> BTreeMap<String, Use> {
    let place = state_dir.display().to_string();
    let mut found = BTreeMap::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(command) = std::fs::read(process.path().join("cmdline")) else { continue };
        let command = String::from_utf8_lossy(&command).into_owned();
        let words: Vec<&str> = command.split('\0').collect();
        let name = match words[..] {
            ["sealane", "agent", "--node", node, ..] if command.contains(&place) => format!("agent {node}"),
            [program, ref rest @ ..] if program.ends_with("sealane") && command.contains(&place) => {
                let is_word = |word: &&&str| !word.starts_with(['-', '/', '{']);
                rest.iter().take_while(is_word).copied().collect::<Vec<_>>().join(" ")
            }
            _ => continue,
        };
        let Some(used) = of(&process.path()) else { continue };
        let sum: &mut Use = found.entry(name).or_default();
        sum.milliseconds += used.milliseconds;
        sum.mebibytes += used.mebibytes;
    }
    found
}

/// `None` when the process has ended.
fn of(process: &Path) -> Option<Use> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    // What follows the name, which may hold anything, begins with field 3 (proc_pid_stat(5)); a tick is 10 ms.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident.trim().trim_end_matches(" kB").parse().ok()?;
    Some(Use { milliseconds: ticks * 10, mebibytes: kibibytes / 1024 })
}
