//! What the environment says: the command and the container.

use std::collections::BTreeMap;
use std::net::IpAddr;

use types::{LinkName, PodName};

use crate::CniError;
use crate::runtime_config::parse_address;

/// The verbs of CNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
}

/// One call; a field that the command does not require is empty when it is not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub(crate) command: Command,
    pub(crate) container_id: String,
    pub(crate) ifname: LinkName,
    pub(crate) netns: String,
    pub(crate) pod: Option<PodName>,
    /// From `CNI_ARGS`: `IP`, as `host-local` and `static` have it.
    pub(crate) wishes: Vec<IpAddr>,
}

impl Command {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Add, Self::Del, Self::Check, Self::Gc, Self::Status, Self::Version];
        all.into_iter().find(|command| command.name() == text)
    }

    fn required(self) -> &'static [&'static str] {
        match self {
            Self::Add | Self::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
            Self::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
            Self::Gc => &["CNI_PATH"],
            Self::Status | Self::Version => &[],
        }
    }
}

impl Invocation {
    pub(crate) fn parse(environment: &BTreeMap<String, String>) -> Result<Self, CniError> {
        let value = |name: &str| environment.get(name).cloned().unwrap_or_default();
        let text = value("CNI_COMMAND");
        let Some(command) = Command::parse(&text) else {
            let problem = format!("CNI_COMMAND `{text}` is none of ADD, DEL, CHECK, GC, STATUS, VERSION");
            return Err(CniError::Environment { problems: vec![problem] });
        };
        let mut problems: Vec<String> = command
            .required()
            .iter()
            .filter(|name| value(name).is_empty())
            .map(|name| format!("{name} is required for {}", command.name()))
            .collect();
        let (container_id, ifname) = (value("CNI_CONTAINERID"), value("CNI_IFNAME"));
        if !container_id.is_empty() && !is_container_id(&container_id) {
            problems
                .push(format!("CNI_CONTAINERID `{container_id}` does not match [A-Za-z0-9][A-Za-z0-9_.-]*"));
        }
        if !ifname.is_empty() && !is_link_name(&ifname) {
            problems.push(format!(
                "CNI_IFNAME `{ifname}` is not a name of at most 15 bytes without / : or spaces"
            ));
        }
        let args = value("CNI_ARGS");
        // Nothing that was wished for may keep DEL from its work.
        let wishes = wishes(&args).unwrap_or_else(|text| {
            if command == Command::Add {
                problems.push(format!("CNI_ARGS has IP=`{text}`, which is not an address"));
            }
            Vec::new()
        });
        if !problems.is_empty() {
            return Err(CniError::Environment { problems });
        }
        let pod = pod(&args);
        Ok(Self { command, container_id, ifname: LinkName(ifname), netns: value("CNI_NETNS"), pod, wishes })
    }
}

/// `K8S_POD_NAMESPACE` and `K8S_POD_NAME`, which kubelet's runtimes put into `CNI_ARGS`.
fn pod(args: &str) -> Option<PodName> {
    let argument = |name: &str| argument(args, name).map(str::to_owned);
    Some(PodName::new(argument("K8S_POD_NAMESPACE")?, argument("K8S_POD_NAME")?))
}

/// `IP` in `CNI_ARGS`: addresses with commas between, each with or without a prefix length; or the one that is none.
fn wishes(args: &str) -> Result<Vec<IpAddr>, &str> {
    let texts =
        argument(args, "IP").unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty());
    texts.map(|text| parse_address(text).ok_or(text)).collect()
}

fn argument<'a>(args: &'a str, name: &str) -> Option<&'a str> {
    let pairs = args.split(';').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
}

/// CNI specification, section "Parameters".
fn is_container_id(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && text.bytes().all(is_inner)
}

/// `dev_valid_name` in the kernel's `net/core/dev.c`.
fn is_link_name(text: &str) -> bool {
    let is_allowed = |byte: u8| !b"/:".contains(&byte) && !byte.is_ascii_whitespace() && byte != 0x0b;
    text.len() <= 15 && ![".", ".."].contains(&text) && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_missing_variable_is_named() {
        let error = Invocation::parse(&environment(&[("CNI_COMMAND", "ADD")])).unwrap_err();
        assert_eq!(error.code(), 4);
        for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"] {
            assert!(error.to_string().contains(name), "{error}");
        }
        for (command, missing) in [("DEL", "CNI_IFNAME"), ("GC", "CNI_PATH"), ("add", "CNI_COMMAND")] {
            let error = Invocation::parse(&environment(&[("CNI_COMMAND", command)])).unwrap_err();
            assert!(error.to_string().contains(missing), "{error}");
        }
        assert!(Invocation::parse(&environment(&[("CNI_COMMAND", "STATUS")])).is_ok());
    }

    #[test]
    fn malformed_names_are_refused() {
        for (id, ifname) in [
            ("../etc", "eth0"),
            ("-a", "eth0"),
            ("a/b", "eth0"),
            ("a", "eth0/../x"),
            ("a", ".."),
            ("a", "a-name-too-long-for-a-link"),
        ] {
            let pairs = [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", id), ("CNI_IFNAME", ifname)];
            let error = Invocation::parse(&environment(&pairs)).unwrap_err();
            assert_eq!(error.code(), 4, "{id} {ifname}");
        }
    }

    #[test]
    fn the_pod_is_read_from_the_arguments() {
        let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=";
        assert_eq!(pod(args), Some(PodName::new("shop", "web-0")));
        assert_eq!(pod("K8S_POD_NAME=web-0"), None);
        assert_eq!(pod(""), None);
    }
}
