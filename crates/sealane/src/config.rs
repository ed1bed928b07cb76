//! What the command line means: settings, built once.

use std::path::{Path, PathBuf};

use agent::cluster::ClusterSettings;
use agent::names::NamesSettings;
use agent::node::{CniInstall, IpRange, NodeMask, ResolverSettings, Settings, TunnelMode, check_ranges};
use anyhow::{Context, Result, anyhow};
use lab::StateDir;
use lab::address::LabFamilies;
use lab::settings::{LabSettings, NodePath, PortWish, PortWishes};
use types::{LinkName, NodeName, Port};

use crate::cli::{
    AgentArgs, Cli, Command, ControllerArgs, DnsServeArgs, IpFamilyFlag, LabFlags, LoopFlags, ResolverFlags,
    Tunnel, WhichLab,
};

/// What processes that run for long log unless told otherwise.
const LOOP_LOG: &str = "info,kube=warn";
/// What commands log unless told otherwise: people read their output. What the client library logs as an error is one
/// that the command tells.
const COMMAND_LOG: &str = "error,kube_client=off";

/// Sends the log to standard error.
pub(crate) fn start_log(cli: &Cli) {
    let runs_long = match &cli.command {
        Command::Agent(_) | Command::Controller(_) | Command::LabWorld { .. } => true,
        Command::Dns(args) => args.runs_long(),
        _ => false,
    };
    let usual = if runs_long { LOOP_LOG } else { COMMAND_LOG };
    let filter = tracing_subscriber::EnvFilter::new(cli.log.as_deref().unwrap_or(usual));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

/// The state directory of a lab of this name, where it usually is; without a name the environment may say where.
pub(crate) fn usual_state_dir(name: Option<&str>) -> Result<StateDir> {
    match std::env::var_os("SEALANE_STATE_DIR").filter(|dir| name.is_none() && !dir.is_empty()) {
        Some(dir) => Ok(StateDir::at(absolute(Path::new(&dir))?)),
        None => Ok(StateDir::usual(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), name)),
    }
}

/// The state directory of the lab that is meant.
pub(crate) fn state_dir(which: &WhichLab) -> Result<StateDir> {
    match &which.state_dir {
        Some(dir) => Ok(StateDir::at(absolute(dir)?)),
        None => usual_state_dir(which.name.as_deref()),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is not a path", path.display()))
}

/// What a lab is to be.
pub(crate) fn lab_settings(flags: &LabFlags, log: Option<String>) -> Result<LabSettings> {
    let usual = PortWishes::default();
    let wish = |port: Option<u16>, usual| port.map_or(usual, PortWish::Exactly);
    Ok(LabSettings {
        nodes: flags.nodes,
        families: match flags.ip_family {
            IpFamilyFlag::Ipv4 => LabFamilies::Ipv4,
            IpFamilyFlag::Ipv6 => LabFamilies::Ipv6,
            IpFamilyFlag::Dual => LabFamilies::Dual,
        },
        state_dir: state_dir(&flags.which)?.root().to_owned(),
        data_dir: flags.data_dir.as_deref().map(absolute).transpose()?,
        image_map: flags.image_map.as_deref().map(absolute).transpose()?,
        node_path: match flags.pod_network.tunnel {
            Tunnel::Vxlan => NodePath::Vxlan,
            Tunnel::Direct => NodePath::Direct,
            Tunnel::Auto => NodePath::Auto,
        },
        agent_flags: flags.pod_network.for_agents(),
        ports: PortWishes {
            api: wish(flags.api_port, usual.api),
            http: wish(flags.http_port, usual.http),
            https: wish(flags.https_port, usual.https),
            dns: wish(flags.dns_port, usual.dns),
        },
        log: log.unwrap_or_else(|| LOOP_LOG.to_owned()),
    })
}

/// What a node agent is told.
pub(crate) fn agent_settings(args: AgentArgs) -> Result<Settings> {
    let common = args.common;
    check_ranges(&common.pod_cidr, &common.service_cidr, None).context("--pod-cidr")?;
    Ok(Settings {
        node: NodeName::from(args.node),
        state_dir: args.state_dir,
        cni: args.cni_config_dir.map(|config_dir| CniInstall { config_dir, bin_dir: args.cni_bin_dir }),
        cluster_domain: args.cluster_domain.trim_end_matches('.').to_owned(),
        dns_addresses: common.dns_address.iter().copied().collect(),
        resolvers: resolvers(args.resolvers),
        pod_cidrs: common.pod_cidr.iter().copied().collect(),
        service_cidrs: common.service_cidr.iter().copied().collect(),
        underlay_link: LinkName(args.underlay_link),
        tunnel: match args.pod_network.tunnel {
            Tunnel::Vxlan => TunnelMode::Vxlan,
            Tunnel::Direct => TunnelMode::Direct,
            Tunnel::Auto => TunnelMode::Auto,
        },
        pod_links: args.pod_network.pod_links.into(),
        pod_link_mtu: args.pod_network.pod_link_mtu,
        masquerade: args.pod_network.masquerade(),
        http_port: Port::new(args.http_port),
        https_port: Port::new(args.https_port),
        ingress_controllers: ingress_controllers(&common),
        lb_pools: lb_pools(&common)?,
        lb_class: common.lb_class,
        admin: common.admin,
        kubeconfig: common.kubeconfig,
    })
}

/// What a DNS server that is no node's agent is told.
pub(crate) fn names_settings(args: DnsServeArgs) -> NamesSettings {
    NamesSettings {
        kubeconfig: args.kubeconfig,
        cluster_domain: args.cluster_domain.trim_end_matches('.').to_owned(),
        dns_addresses: args.dns_address.into_iter().collect(),
        resolvers: resolvers(args.resolvers),
        pod_cidrs: args.pod_cidr.into_iter().collect(),
        service_cidrs: args.service_cidr.into_iter().collect(),
        listen: args.listen.into_iter().collect(),
        port: args.port,
        admin: args.admin,
    }
}

fn resolvers(flags: ResolverFlags) -> ResolverSettings {
    ResolverSettings {
        file: Some(flags.resolv_conf),
        servers: flags.upstream_dns,
        search: flags.search_domain,
    }
}

/// What the cluster loop is told.
pub(crate) fn cluster_settings(args: ControllerArgs) -> Result<ClusterSettings> {
    let common = args.common;
    let node_mask = NodeMask { v4: args.node_cidr_mask_size_ipv4, v6: args.node_cidr_mask_size_ipv6 };
    check_ranges(&common.pod_cidr, &common.service_cidr, Some(node_mask)).context("--pod-cidr")?;
    Ok(ClusterSettings {
        pod_cidrs: common.pod_cidr.clone(),
        node_mask,
        service_cidrs: common.service_cidr.iter().copied().collect(),
        dns_addresses: common.dns_address.iter().copied().collect(),
        ingress_controllers: ingress_controllers(&common),
        lb_pools: lb_pools(&common)?,
        lb_class: common.lb_class,
        admin: common.admin,
        kubeconfig: common.kubeconfig,
    })
}

fn ingress_controllers(flags: &LoopFlags) -> std::collections::BTreeSet<String> {
    if flags.ingress_controller.is_empty() {
        return agent::ingress_controllers();
    }
    flags.ingress_controller.iter().cloned().collect()
}

fn lb_pools(flags: &LoopFlags) -> Result<Vec<IpRange>> {
    let parse = |text: &String| text.parse().map_err(|error| anyhow!("--lb-pool: {error}"));
    flags.lb_pool.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_port_that_is_given_is_taken_or_nothing() {
        let cli = Cli::parse_from([
            "sealane",
            "lab",
            "up",
            "--state-dir",
            "/x",
            "--http-port",
            "80",
            "--nodes",
            "2",
        ]);
        let Command::Lab(lab) = cli.command else { panic!("not a lab command") };
        let crate::cli::LabCommand::Up(up) = lab.command else { panic!("not up") };
        let settings = lab_settings(&up.lab, None).unwrap();
        assert_eq!((settings.nodes, settings.state_dir), (2, PathBuf::from("/x")));
        assert_eq!(settings.ports.http, PortWish::Exactly(80));
        assert_eq!(settings.ports.api, PortWish::Preferably(16443));
    }

    #[test]
    fn ranges_that_cannot_be_are_refused_at_the_start() {
        let settings = |more: &[&str]| {
            let arguments = ["sealane", "controller"].iter().chain(more);
            let Command::Controller(args) = Cli::parse_from(arguments).command else {
                panic!("no controller")
            };
            cluster_settings(args)
        };
        let wide = settings(&["--pod-cidr", "10.0.0.0/25"]).unwrap_err();
        assert_eq!(
            format!("{wide:#}"),
            "--pod-cidr: a Node's range of 24 bits does not fit into 10.0.0.0/25; take a longer mask"
        );
        let both = settings(&["--pod-cidr", "10.0.0.0/8"]).unwrap_err();
        assert_eq!(format!("{both:#}"), "--pod-cidr: 10.0.0.0/8 overlaps 10.96.0.0/16");
        let small =
            ["--pod-cidr", "10.0.0.0/25", "--pod-cidr", "fd00::/48", "--node-cidr-mask-size-ipv4", "27"];
        assert_eq!(settings(&small).unwrap().node_mask, NodeMask { v4: 27, v6: 64 });
    }

    #[test]
    fn an_agent_gets_what_it_is_told() {
        let arguments = ["sealane", "agent", "--node", "a", "--lb-pool", "192.0.2.0/28", "--https-port", "0"];
        let Command::Agent(args) = Cli::parse_from(arguments).command else { panic!("not an agent") };
        let settings = agent_settings(*args).unwrap();
        assert_eq!((settings.http_port, settings.https_port), (Port::new(80), None));
        assert_eq!(settings.lb_pools.len(), 1);
        assert_eq!(settings.ingress_controllers, agent::ingress_controllers());
    }
}
