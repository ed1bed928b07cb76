//! The command line as it is typed; what it means is in `config`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use agent::node::{NodeMask, PodLinkMtu};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cmd;
use crate::help;
use crate::output::Output;

/// All of Kubernetes networking in one binary.
///
/// Begin with `sealane lab tour`, or start a cluster of your own on this machine with `sealane lab up` and use it with
/// kubectl. `explain`, `dns query`, `status` and `plan` look at the cluster that --kubeconfig or KUBECONFIG names, else at the
/// running lab. The exit status is 0 when all is well, 1 when not, and 2 when the command line is not understood.
#[derive(Debug, Parser)]
#[command(name = "sealane", version, after_help = help::SEALANE, max_term_width = 110)]
pub(crate) struct Cli {
    /// What is logged: a level (error, warn, info, debug, trace), or a filter such as `sealane=debug`.
    #[arg(long, global = true, env = "SEALANE_LOG", hide_env_values = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A cluster on this machine: start it, stop it, run things in it.
    Lab(LabArgs),
    /// Why a connection works or fails, hop by hop.
    ///
    /// Follows a connection from the client to where it ends: name to address, Service to backends, NetworkPolicies of
    /// both sides, route. Each line names the object and field that decides. Nothing is sent: the answer is computed
    /// from the API's objects, by the code that programs the nodes. The exit status is 0 when the connection is expected
    /// to work, else 1.
    #[command(after_help = help::EXPLAIN)]
    Explain(cmd::explain::ExplainArgs),
    /// Cluster DNS: what becomes of a name and of a Corefile, and serving it by itself.
    Dns(Box<cmd::dns::DnsArgs>),
    /// The cluster at a glance, and what of its objects cannot be honoured.
    ///
    /// Lists the nodes: used and usable Pod addresses (and freed ones that rest), the size of the packets that Pods send to
    /// other nodes (and that of the link), how many nodes are reached in which way, and whether full-size packets were
    /// seen to get there. `?` is what a node's agent has not told. Then findings: objects that name something that does not exist or ask for something that is not
    /// served, each with field and reason. The exit status is 1 when a Node is not ready or a finding is an error;
    /// warnings alone leave it 0, as a workload scaled to zero is no failure.
    #[command(after_help = help::STATUS)]
    Status(cmd::status::StatusArgs),
    /// What is broken on this machine, by name, and what to do.
    ///
    /// Looks at settings, rules of others, address ranges, MTU, kernel features, ports, the agent and the CNI configuration
    /// of the node it runs on, and changes nothing. A line for each thing: ✓ good, ! may do harm, ✗ Pods lose traffic,
    /// - not looked at. The exit status is 1 when something is broken.
    #[command(after_help = help::CHECK)]
    Check(cmd::check::CheckArgs),
    /// The Services that this node's kernel has loaded, with live connections.
    ///
    /// Reads the rules and connection tracking of the node it runs on, and changes nothing. For each address and port: what
    /// becomes of new connections, and for each backend how many are open, and how many are being opened or closed. With
    /// `nft list map inet sealane frontend4`, the same addresses stand there under the same names.
    #[command(after_help = help::SERVICES)]
    Services(cmd::services::ServicesArgs),
    /// What should be true on a node, as its agent makes it so.
    #[command(after_help = help::PLAN)]
    Plan(cmd::plan::PlanArgs),
    /// A small client for HTTP, TCP, UDP and DNS, found in every Pod of a lab.
    ///
    /// The answer goes to standard output, what else there is to say to standard error. The exit status is 0 when every
    /// attempt was answered, whatever the answer was.
    #[command(after_help = help::PROBE)]
    Probe(cmd::probe::ProbeArgs),
    /// The agent of one node.
    Agent(Box<AgentArgs>),
    /// The loop of the whole cluster: Pod ranges, LoadBalancer addresses, statuses.
    Controller(ControllerArgs),
    /// Print the version.
    Version(VersionArgs),
    /// Print a completion script for a shell.
    #[command(after_help = help::COMPLETION)]
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print a manual page, in roff: `sealane man lab up | man -l -`.
    Man {
        /// The command whose page is wanted; the whole program's if none is given.
        command: Vec<String>,
    },
    /// The lab's own process.
    #[command(name = lab::WORLD_SUBCOMMAND, hide = true)]
    LabWorld {
        /// What the process in front passes on.
        handover: String,
    },
}

/// What `sealane lab` takes.
#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    #[command(subcommand)]
    pub(crate) command: LabCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Start a lab and keep it until Ctrl-C.
    ///
    /// The lab's API, HTTP and HTTPS entries and DNS answer on 127.0.0.1; everything else is in namespaces that end with
    /// the process, however it ends. Root is not needed where user namespaces are allowed.
    #[command(after_help = help::UP)]
    Up(UpArgs),
    /// Stop a lab, and remove what a killed one has left.
    ///
    /// Where none is running there is nothing to do, and the exit status is 0.
    Down(DownArgs),
    /// Show a running lab: where it answers, and what runs in its Pods.
    Status(LabStatusArgs),
    /// Start a lab, run a command with KUBECONFIG set, stop the lab; the exit status is the command's.
    ///
    /// The command also finds SEALANE_API (a URL), SEALANE_HTTP, SEALANE_HTTPS and SEALANE_DNS (address:port on 127.0.0.1)
    /// and SEALANE_STATE_DIR in its environment, so that `sealane` commands in it mean this lab.
    #[command(after_help = help::RUN)]
    Run(RunArgs),
    /// Run a program of this machine in a Pod, or beside the nodes.
    ///
    /// The program sees the Pod's network, file system and names. The exit status is the program's.
    #[command(after_help = help::EXEC)]
    Exec(ExecArgs),
    /// Look for what is broken on a lab's nodes, as `sealane check` does on a machine.
    ///
    /// The exit status is 1 when something is broken on one of them.
    Check(LabCheckArgs),
    /// Show the Services that the nodes have loaded, with live connections, as `sealane services` does on a machine.
    Services(LabServicesArgs),
    /// Start a lab and walk through eleven lessons with real traffic, each explained.
    ///
    /// The lab is the tour's own and ends with it, unless --keep is given. The exit status is 0 when everything observed
    /// is as stated.
    Tour(cmd::tour::TourArgs),
}

/// Which lab.
#[derive(Clone, Debug, Args)]
pub(crate) struct WhichLab {
    /// Name of the lab, to have several.
    #[arg(long, conflicts_with = "state_dir", value_parser = lab_name)]
    pub(crate) name: Option<String>,
    /// Directory with everything that belongs to the running lab [default: $SEALANE_STATE_DIR, or below
    /// $XDG_RUNTIME_DIR or /tmp].
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// What a lab is to be.
#[derive(Clone, Debug, Args)]
pub(crate) struct LabFlags {
    #[command(flatten)]
    pub(crate) which: WhichLab,
    /// Number of nodes: node-a in zone a, node-b in zone b, and so on.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=i64::from(lab::address::MAX_NODES)))]
    pub(crate) nodes: u8,
    /// Address families of Pods, Services and nodes.
    ///
    /// `ipv4` is the usual cluster. In an `ipv6` one everything has IPv6 addresses alone: Pods from fd00:10:244::/56,
    /// Services from fd00:10:96::/112, nodes from fd00:172:31::/64. In a `dual` one Pods and nodes have an address of
    /// each family; Services have one of IPv4 unless their `ipFamilyPolicy` and `ipFamilies` ask for more. What answers
    /// on 127.0.0.1 is the same in all of them.
    #[arg(long, value_enum, default_value_t, value_name = "FAMILY")]
    pub(crate) ip_family: IpFamilyFlag,
    /// Directory where the cluster's objects survive; without it they are forgotten.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// YAML list that says which programs of this machine run in place of which images.
    #[arg(long, value_name = "FILE")]
    pub(crate) image_map: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) pod_network: PodNetworkFlags,
    /// Port of the API on 127.0.0.1 [default: 16443, or any if that is taken].
    #[arg(long, value_name = "PORT")]
    pub(crate) api_port: Option<u16>,
    /// Port of the HTTP entry on 127.0.0.1 [default: 18080, or any].
    #[arg(long, value_name = "PORT")]
    pub(crate) http_port: Option<u16>,
    /// Port of the HTTPS entry on 127.0.0.1 [default: 18443, or any].
    #[arg(long, value_name = "PORT")]
    pub(crate) https_port: Option<u16>,
    /// Port of the cluster's DNS on 127.0.0.1 [default: 15353, or any].
    #[arg(long, value_name = "PORT")]
    pub(crate) dns_port: Option<u16>,
}

impl LabFlags {
    /// Three nodes and nothing asked for.
    pub(crate) fn usual(which: WhichLab, tunnel: Tunnel) -> Self {
        let (data_dir, image_map) = (None, None);
        let pod_network = PodNetworkFlags::usual(tunnel);
        let (api_port, http_port, https_port, dns_port) = (None, None, None, None);
        let ip_family = IpFamilyFlag::default();
        let nodes = 3;
        Self {
            which,
            nodes,
            ip_family,
            data_dir,
            image_map,
            pod_network,
            api_port,
            http_port,
            https_port,
            dns_port,
        }
    }
}

/// Address families of a lab.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum IpFamilyFlag {
    /// IPv4 alone.
    #[default]
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both, IPv4 first.
    Dual,
}

/// A name becomes a directory's.
pub(crate) fn lab_name(text: &str) -> Result<String, String> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if !text.is_empty() && !text.starts_with('.') && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("a name has only letters, digits, `-`, `_` and `.`, and does not begin with `.`".to_owned())
}

/// What `sealane lab up` takes.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) lab: LabFlags,
    /// Return when the lab is ready and leave it running.
    #[arg(long)]
    pub(crate) detach: bool,
    /// The process that `--detach` leaves behind.
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// What `sealane lab down` takes.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) which: WhichLab,
}

/// What `sealane lab status` takes.
#[derive(Debug, Args)]
pub(crate) struct LabStatusArgs {
    #[command(flatten)]
    pub(crate) which: WhichLab,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// What `sealane lab check` takes.
#[derive(Debug, Args)]
pub(crate) struct LabCheckArgs {
    #[command(flatten)]
    pub(crate) which: WhichLab,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// The nodes; all if none is given.
    pub(crate) nodes: Vec<String>,
}

/// What `sealane lab services` takes.
#[derive(Debug, Args)]
pub(crate) struct LabServicesArgs {
    #[command(flatten)]
    pub(crate) which: WhichLab,
    /// Only this one, NAME or NAMESPACE/NAME; several if given several times.
    #[arg(long = "service", value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// The nodes; all if none is given.
    pub(crate) nodes: Vec<String>,
}

/// What `sealane lab run` takes.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) lab: LabFlags,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// What `sealane lab exec` takes.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) which: WhichLab,
    /// Namespace of the Pod [default: default].
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Container; the Pod's first one if not given.
    #[arg(short, long)]
    pub(crate) container: Option<String>,
    /// Pass on standard input.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Give the command a terminal.
    #[arg(short = 't', long)]
    pub(crate) tty: bool,
    /// Run on the underlay beside the nodes, outside the cluster, instead of in a Pod.
    #[arg(long, conflicts_with_all = ["namespace", "container", "pod", "stdin", "tty"])]
    pub(crate) outside: bool,
    /// The Pod, as `name` or `namespace/name` (none with --outside).
    #[arg(required_unless_present = "outside")]
    pub(crate) pod: Option<String>,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

/// Which cluster a loop works for, and what is served.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoopFlags {
    /// Client configuration; the service account of the Pod if not given.
    #[arg(long, env = "KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Range of Pod addresses of the whole cluster; may be given several times.
    ///
    /// Nodes get one range of each family, from the first that has room.
    #[arg(long, default_value = "10.244.0.0/16")]
    pub(crate) pod_cidr: Vec<types::Prefix>,
    /// Range of Service addresses; may be given several times.
    #[arg(long, default_value = "10.96.0.0/16")]
    pub(crate) service_cidr: Vec<types::Prefix>,
    /// Cluster DNS address.
    #[arg(long, default_value = "10.96.0.10")]
    pub(crate) dns_address: Vec<IpAddr>,
    /// `spec.controller` of IngressClasses to serve [default: sealane.dev/ingress and k8s.io/ingress-nginx].
    #[arg(long, value_name = "NAME")]
    pub(crate) ingress_controller: Vec<String>,
    /// Range of LoadBalancer addresses: a prefix, or first and last address joined by `-`.
    #[arg(long, value_name = "RANGE")]
    pub(crate) lb_pool: Vec<String>,
    /// `spec.loadBalancerClass` to serve besides none at all.
    #[arg(long, value_name = "CLASS")]
    pub(crate) lb_class: Option<String>,
    /// Where health, metrics and the plan are served.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) admin: Option<SocketAddr>,
}

/// What `sealane agent` takes.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    pub(crate) common: LoopFlags,
    /// The Node it works for.
    #[arg(long, env = "NODE_NAME")]
    pub(crate) node: String,
    /// Directory shared with the CNI plugin.
    #[arg(long, default_value = "/run/sealane", value_name = "DIR")]
    pub(crate) state_dir: PathBuf,
    /// Keep the plugin's CNI configuration in this directory, usually /etc/cni/net.d, and the plugin in --cni-bin-dir,
    /// from when Pods can be served [default: install nothing].
    #[arg(long, value_name = "DIR")]
    pub(crate) cni_config_dir: Option<PathBuf>,
    /// Directory of CNI plugins; see --cni-config-dir.
    #[arg(long, default_value = "/opt/cni/bin", value_name = "DIR")]
    pub(crate) cni_bin_dir: PathBuf,
    /// Cluster domain.
    #[arg(long, default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    #[command(flatten)]
    pub(crate) resolvers: ResolverFlags,
    /// The link that faces the other nodes.
    #[arg(long, default_value = "eth0", value_name = "LINK")]
    pub(crate) underlay_link: String,
    #[command(flatten)]
    pub(crate) pod_network: PodNetworkFlags,
    /// Port of the HTTP entry; 0 turns it off.
    #[arg(long, default_value_t = 80)]
    pub(crate) http_port: u16,
    /// Port of the HTTPS entry; 0 turns it off.
    #[arg(long, default_value_t = 443)]
    pub(crate) https_port: u16,
}

/// Whom a DNS server asks for names that are not of the cluster.
#[derive(Clone, Debug, Args)]
pub(crate) struct ResolverFlags {
    /// Where names outside the cluster domain are asked [default: the servers of --resolv-conf].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) upstream_dns: Vec<SocketAddr>,
    /// A search domain of the node, which its kubelet puts behind those of the cluster: with `autopath` in the Corefile,
    /// names are searched there as well [default: those of --resolv-conf].
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) search_domain: Vec<String>,
    /// The node's own resolver configuration, as its kubelet reads it; changes are followed.
    #[arg(long, value_name = "FILE", default_value = "/etc/resolv.conf")]
    pub(crate) resolv_conf: PathBuf,
}

/// What `sealane dns serve` takes.
#[derive(Debug, Args)]
pub(crate) struct DnsServeArgs {
    /// Client configuration; the service account of the Pod if not given.
    #[arg(long, env = "KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Cluster domain, unless the Corefile has another.
    #[arg(long, default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// Address of the Service that leads here, told as that of the zone's name server; one of each family.
    #[arg(long, default_value = "10.96.0.10")]
    pub(crate) dns_address: Vec<IpAddr>,
    /// Range of Pod addresses, whose reverse names are answered here alone; may be given several times.
    #[arg(long, default_value = "10.244.0.0/16")]
    pub(crate) pod_cidr: Vec<types::Prefix>,
    /// Range of Service addresses, the same; may be given several times.
    #[arg(long, default_value = "10.96.0.0/16")]
    pub(crate) service_cidr: Vec<types::Prefix>,
    #[command(flatten)]
    pub(crate) resolvers: ResolverFlags,
    /// Address to listen on; may be given several times.
    #[arg(long, value_name = "ADDRESS", default_values = ["0.0.0.0", "::"])]
    pub(crate) listen: Vec<IpAddr>,
    /// The port to listen on.
    #[arg(long, default_value_t = 53)]
    pub(crate) port: u16,
    /// Where health, metrics and the plan are served.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) admin: Option<SocketAddr>,
}

/// How Pods of other nodes are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tunnel {
    /// Through VXLAN.
    #[default]
    Vxlan,
    /// By routes.
    Direct,
    /// By routes within the subnet, else through VXLAN.
    Auto,
}

/// How Pods are joined to their node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PodLinks {
    /// By a route for each.
    #[default]
    Routed,
    /// By one bridge, with a route for all.
    Bridge,
}

impl From<PodLinks> for types::NetworkMode {
    fn from(links: PodLinks) -> Self {
        match links {
            PodLinks::Routed => Self::Routed,
            PodLinks::Bridge => Self::Bridge,
        }
    }
}

/// How Pods are joined to their node, and what leaves it.
#[derive(Clone, Debug, Args)]
pub(crate) struct PodNetworkFlags {
    /// How Pods of other nodes are reached.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) tunnel: Tunnel,
    /// How Pods are joined to their node; those that run stay as they are.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) pod_links: PodLinks,
    /// MTU of the links between Pods and their node: bytes, or `path` for no more than gets to other nodes.
    ///
    /// Routes that leave the node have the path's MTU, however large the links are.
    #[arg(long, value_name = "BYTES", default_value_t)]
    pub(crate) pod_link_mtu: PodLinkMtu,
    /// Range outside the cluster that knows the way back to Pods: they keep their own addresses to there.
    #[arg(long, value_name = "RANGE", conflicts_with = "no_masquerade")]
    pub(crate) non_masquerade_cidr: Vec<types::Prefix>,
    /// Let Pods keep their own addresses to everywhere.
    #[arg(long)]
    pub(crate) no_masquerade: bool,
}

impl PodNetworkFlags {
    /// As it is without being told.
    pub(crate) fn usual(tunnel: Tunnel) -> Self {
        let pod_link_mtu = PodLinkMtu::default();
        let pod_links = PodLinks::default();
        Self { tunnel, pod_links, pod_link_mtu, non_masquerade_cidr: Vec::new(), no_masquerade: false }
    }

    /// The same as typed for an agent.
    pub(crate) fn for_agents(&self) -> Vec<String> {
        let links = types::NetworkMode::from(self.pod_links);
        let mut flags = vec![format!("--pod-links={links}"), format!("--pod-link-mtu={}", self.pod_link_mtu)];
        flags.extend(self.non_masquerade_cidr.iter().map(|range| format!("--non-masquerade-cidr={range}")));
        flags.extend(self.no_masquerade.then(|| "--no-masquerade".to_owned()));
        flags
    }

    /// What is masqueraded.
    pub(crate) fn masquerade(&self) -> types::Masquerading {
        match self.no_masquerade {
            true => types::Masquerading::Off,
            false => types::Masquerading::LeavingCluster {
                except: self.non_masquerade_cidr.iter().copied().collect(),
            },
        }
    }
}

/// What `sealane controller` takes.
#[derive(Debug, Args)]
pub(crate) struct ControllerArgs {
    #[command(flatten)]
    pub(crate) common: LoopFlags,
    /// Prefix length of a Node's IPv4 Pod range.
    #[arg(long, value_name = "BITS", default_value_t = NodeMask::default().v4)]
    pub(crate) node_cidr_mask_size_ipv4: u8,
    /// Prefix length of a Node's IPv6 Pod range.
    #[arg(long, value_name = "BITS", default_value_t = NodeMask::default().v6)]
    pub(crate) node_cidr_mask_size_ipv6: u8,
}

/// What `sealane version` takes.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}
