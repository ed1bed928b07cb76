//! What a container runs on this machine: a host program, or a stand-in, and why.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Container;
use types::{Port, PortProto, Protocol};

use crate::environment::{Variables, expand};
use crate::image_map::ImageMap;

/// What a container runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A program of this machine.
    Host {
        /// Program and arguments.
        argv: Vec<String>,
    },
    /// A built-in server.
    StandIn {
        /// Where it listens.
        ports: BTreeSet<PortProto>,
        /// Why not the program, for a person.
        because: String,
    },
}

impl Program {
    /// How the Pod's status names it (`imageID`).
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Host { argv } => format!("sealane.dev/host-program:{}", argv[0]),
            Self::StandIn { .. } => "sealane.dev/stand-in".to_owned(),
        }
    }

    /// A sentence for the Event about it.
    #[must_use]
    pub fn explained(&self, image: &str) -> String {
        match self {
            Self::Host { argv } => {
                format!("runs `{}` of this machine in place of image {image}", argv.join(" "))
            }
            Self::StandIn { ports, because } => {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                let ports = if ports.is_empty() { "no port".to_owned() } else { ports.join(", ") };
                format!("is a stand-in on {ports} in place of image {image}: {because}")
            }
        }
    }
}

/// Chooses what a container runs; `is_here` says whether this machine has a program.
#[must_use]
pub fn choose(
    container: &Container,
    variables: &Variables,
    images: &ImageMap,
    is_here: impl Fn(&str) -> bool,
) -> Program {
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        words.iter().flatten().map(|word| expand(word, variables)).collect()
    };
    let (command, arguments) = (expanded(&container.command), expanded(&container.args));
    let entry = images.entry(container.image.as_deref().unwrap_or_default());
    let argv = if command.is_empty() {
        let entrypoint = entry.and_then(|entry| entry.entrypoint.clone());
        let default = entry.map(|entry| entry.cmd.clone()).unwrap_or_default();
        let arguments = if arguments.is_empty() { default } else { arguments };
        entrypoint.map(|entrypoint| [entrypoint, arguments].concat()).unwrap_or_default()
    } else {
        [command, arguments].concat()
    };
    let because = match argv.first() {
        Some(program) if is_here(program) => return Program::Host { argv },
        Some(program) => format!("this machine has no program `{program}`"),
        None if entry.is_some() => "the image map names a server and no program".to_owned(),
        None => "the container names no command and the image is not in the image map".to_owned(),
    };
    let mut ports = declared_ports(container);
    if ports.is_empty() {
        ports.extend(entry.into_iter().flat_map(crate::image_map::ImageEntry::stand_in_ports));
    }
    Program::StandIn { ports, because }
}

fn declared_ports(container: &Container) -> BTreeSet<PortProto> {
    let declared = container.ports.iter().flatten();
    declared
        .filter_map(|port| {
            let protocol = port.protocol.as_deref().map_or(Some(Protocol::Tcp), |text| text.parse().ok())?;
            Some(PortProto { port: Port::try_from(port.container_port).ok()?, protocol })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_container(image: &str, command: &[&str], args: &[&str]) -> Container {
        let words = |words: &[&str]| {
            (!words.is_empty()).then(|| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        };
        let (command, args) = (words(command), words(args));
        Container { image: Some(image.to_owned()), command, args, ..Container::default() }
    }

    fn chosen(container: &Container) -> Program {
        let here = ["sh", "sleep", "/bin/sh"];
        choose(container, &Variables::new(), &ImageMap::built_in(), |program| here.contains(&program))
    }

    fn host(argv: &[&str]) -> Program {
        Program::Host { argv: argv.iter().map(|word| (*word).to_owned()).collect() }
    }

    #[test]
    fn a_command_of_this_machine_runs() {
        let container = mk_container("example.com/app", &["/bin/sh", "-c"], &["true"]);
        assert_eq!(chosen(&container), host(&["/bin/sh", "-c", "true"]));
    }

    #[test]
    fn a_shell_image_runs_its_arguments() {
        assert_eq!(chosen(&mk_container("busybox:1.36", &[], &["sleep", "60"])), host(&["sleep", "60"]));
    }

    #[test]
    fn everything_else_is_a_stand_in_on_the_right_ports() {
        let mut container = mk_container("example.com/app", &["/docker-entrypoint.sh"], &[]);
        let port = k8s_openapi::api::core::v1::ContainerPort { container_port: 53, ..Default::default() };
        let udp = k8s_openapi::api::core::v1::ContainerPort { protocol: Some("UDP".into()), ..port.clone() };
        container.ports = Some(vec![port, udp]);
        let Program::StandIn { ports, because } = chosen(&container) else { panic!("no stand-in") };
        assert_eq!(ports.iter().map(ToString::to_string).collect::<Vec<_>>(), ["53/TCP", "53/UDP"]);
        assert_eq!(because, "this machine has no program `/docker-entrypoint.sh`");
        let Program::StandIn { ports, .. } = chosen(&mk_container("nginx", &[], &[])) else {
            panic!("no stand-in")
        };
        assert_eq!(ports.iter().map(ToString::to_string).collect::<Vec<_>>(), ["80/TCP"]);
    }
}
