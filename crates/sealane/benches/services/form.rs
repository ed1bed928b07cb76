//! Rules in the form of others, loaded by the programs that those use.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use netns::Netns;

use crate::cluster::{Change, MEASURED, SERVERS, Service, Size};
use crate::{iptables, nftables};

/// The rule without which nothing is tracked (`bench podnet` has the same).
const TRACKING: &str = "table inet bench { chain forward { type filter hook forward priority 0; \
                        ct state established,related accept; }; }";

/// What it costs that destinations are translated at all, without a choice: the measured Service's first endpoint stands for it.
const TRANSLATION: &str = "table inet bench { chain forward { type filter hook forward priority 0; \
                           ct state established,related accept; }; \
                           chain prerouting { type nat hook prerouting priority dstnat; \
                           ip daddr MEASURED dnat ip to SERVER; }; }";

/// Whose form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Connection tracking and no Services at all.
    Tracked,
    /// The same, and one rule that translates the one address that is measured.
    Translated,
    /// kube-proxy's nftables mode.
    Nft,
    /// kube-proxy's iptables mode, with the iptables of old kernels' interface.
    IptablesLegacy,
    /// The same with the iptables that speaks nftables.
    IptablesNft,
}

impl Form {
    pub(crate) const ALL: [Self; 5] =
        [Self::Tracked, Self::Translated, Self::Nft, Self::IptablesLegacy, Self::IptablesNft];

    /// The program that loads it.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Tracked | Self::Translated | Self::Nft => "nft",
            Self::IptablesLegacy => "iptables-legacy-restore",
            Self::IptablesNft => "iptables-nft-restore",
        }
    }

    /// Whether there are Services at all.
    pub(crate) fn has_services(self) -> bool {
        !matches!(self, Self::Tracked | Self::Translated)
    }

    /// Whether the program is here.
    pub(crate) fn is_here(self) -> bool {
        Command::new(self.program()).arg("--version").stdout(Stdio::null()).status().is_ok()
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tracked => "conntrack only",
            Self::Translated => "one DNAT rule",
            Self::Nft => "nftables form",
            Self::IptablesLegacy => "iptables form",
            Self::IptablesNft => "iptables-nft form",
        })
    }
}

/// Rules on one node.
pub(crate) struct Rules<'a> {
    pub(crate) form: Form,
    services: Vec<Service>,
    node: &'a Netns,
    limit: Duration,
}

impl<'a> Rules<'a> {
    pub(crate) fn new(form: Form, size: Size, node: &'a Netns, limit: Duration) -> Self {
        Self { form, services: size.all(), node, limit }
    }

    /// Loads all into a node that has none: how long the program took, or why it did not.
    pub(crate) fn load(&self) -> Result<Duration, String> {
        match self.form {
            Form::Tracked => self.run("nft", &["-f", "-"], TRACKING),
            Form::Translated => {
                let rule = TRANSLATION.replace("MEASURED", &MEASURED.to_string());
                self.run("nft", &["-f", "-"], &rule.replace("SERVER", &SERVERS[0].to_string()))
            }
            Form::Nft => self.run("nft", &["-f", "-"], &nftables::full(&self.services)),
            Form::IptablesLegacy | Form::IptablesNft => self.restore(&iptables::full(&self.services)),
        }
    }

    pub(crate) fn unload(&self) -> Result<Duration, String> {
        match self.form {
            Form::Tracked | Form::Translated => Ok(Duration::ZERO),
            Form::Nft => self.run("nft", &["delete", "table", "ip", "kube-proxy"], ""),
            Form::IptablesLegacy | Form::IptablesNft => {
                self.run(self.form.program(), &["-w", "5"], "*filter\nCOMMIT\n*nat\nCOMMIT\n")
            }
        }
    }

    /// One change as kube-proxy does it, with what it asks the kernel first.
    pub(crate) fn change(&mut self, change: &Change) -> Result<Duration, String> {
        match self.form {
            Form::Tracked | Form::Translated => Ok(Duration::ZERO),
            Form::Nft => {
                // `ListAll` of sigs.k8s.io/knftables.
                let list = ["--json", "--terse", "list", "table", "ip", "kube-proxy"];
                let asked = self.run("nft", &list, "")?;
                Ok(asked + self.run("nft", &["-f", "-"], &nftables::partial(change))?)
            }
            Form::IptablesLegacy | Form::IptablesNft => {
                let text = iptables::partial(&mut self.services, change);
                let program = self.form.program().replace("restore", "save");
                let asked = match iptables::looks_for_leftovers(&self.services) {
                    true => self.run(&program, &["-t", "nat"], "")?,
                    false => Duration::ZERO,
                };
                Ok(asked + self.restore(&text)?)
            }
        }
    }

    /// `restoreInternal` of Kubernetes' `pkg/util/iptables`.
    fn restore(&self, text: &str) -> Result<Duration, String> {
        self.run(self.form.program(), &["-w", "5", "--noflush", "--counters"], text)
    }

    fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<Duration, String> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.node.enter_on_exec(&mut command).unwrap();
        let start = Instant::now();
        let mut child = command.spawn().map_err(|error| format!("cannot run {program} ({error})"))?;
        let (mut to, mut out, mut err) =
            (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
        std::thread::scope(|scope| {
            // A program that ends early reads no more.
            scope.spawn(move || drop(to.write_all(input.as_bytes())));
            scope.spawn(move || out.read_to_end(&mut Vec::new()));
            let problem = scope.spawn(move || {
                let mut text = String::new();
                let _ = err.read_to_string(&mut text);
                text
            });
            let took = wait(&mut child, start, self.limit);
            let problem = problem.join().unwrap();
            match took {
                Some((took, true)) => Ok(took),
                Some((_, false)) => Err(format!("{program}: {}", problem.lines().next().unwrap_or("failed"))),
                None => Err(format!("not done within {} s", self.limit.as_secs())),
            }
        })
    }
}

/// Waits for a program; when it ended and whether it succeeded, or nothing when it had to be stopped.
fn wait(child: &mut Child, start: Instant, limit: Duration) -> Option<(Duration, bool)> {
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some((start.elapsed(), status.success()));
        }
        if start.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}
