//! Everything inside the lab's namespaces, put together in order: underlay, API, objects, agents, kubelets.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use engine_kubelet::files::Resolver;
use kubelet::{Kubelet, Machine, NodePlace, Pods, Runtime};
use netns::{Netns, bring_up_loopback};
use serve_api::{ApiHandle, ApiServer, ApiServerConfig, Credentials, kubeconfig, kubeconfig_of};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;
use watch::Access;

use crate::address::{self, LabNode};
use crate::front::{Handover, Message};
use crate::settings::LabSettings;
use crate::sockets::HostSockets;
use crate::state::StateDir;
use crate::{bootstrap, control, nodes, publish, relay, rights, storage, underlay, world};

/// What came from the process in front.
pub(crate) struct Inherited {
    /// Messages up; its end tells that the process in front has ended.
    pub(crate) life: UnixStream,
    /// DNS questions up, answers down.
    pub(crate) questions: UnixDatagram,
    /// Sockets on the host's loopback.
    pub(crate) sockets: HostSockets,
}

/// Ports of the entries on every node.
const ENTRY_PORTS: (u16, u16) = (80, 443);
const DNS_PORT: u16 = 53;
/// Ports that Services of type NodePort use (kube-apiserver's `--service-node-port-range`).
const NODE_PORTS: (u16, u16) = (30_000, 32_767);

/// Runs the lab until the process in front ends or asks for the end.
pub(crate) fn run(handover: &Handover, inherited: Inherited) -> anyhow::Result<()> {
    let state = StateDir::at(&handover.settings.state_dir);
    netns::world::mount_tmpfs(&state.run())?;
    bring_up_loopback()?;
    // A host name that says where one is; nothing depends on it.
    let _ = nix::unistd::sethostname("sealane-lab");
    let families = handover.settings.families;
    let nodes = underlay::make(&state, address::nodes(handover.settings.nodes, families), families)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    runtime.block_on(serve(handover, inherited, &state, nodes))
}

async fn serve(
    handover: &Handover,
    inherited: Inherited,
    state: &StateDir,
    nodes: Vec<(LabNode, Arc<Netns>)>,
) -> anyhow::Result<()> {
    let Inherited { life, questions, sockets } = inherited;
    let front = life.try_clone().context("cannot use the stream to the process in front")?;
    let HostSockets { api, http, https, dns_udp, dns_tcp } = sockets;
    let shutdown = CancellationToken::new();
    let pods = Arc::new(Pods::default());
    let (handle, root_ca, serving) = serve_api(handover, state, api, &pods, &shutdown)?;
    let lab_nodes: Vec<LabNode> = nodes.iter().map(|(node, _)| node.clone()).collect();
    let families = handover.settings.families;
    bootstrap::write(&handle, &lab_nodes, families).await?;
    relay::serve(questions, SocketAddr::new(families.primary().outside, DNS_PORT)).await?;
    let first = &nodes.first().context("a lab needs at least one node")?;
    let at = |address: IpAddr, port| SocketAddr::new(address, port);
    publish::carry_tcp(http, at(first.0.address(), ENTRY_PORTS.0), None)?;
    publish::carry_tcp(https, at(first.0.address(), ENTRY_PORTS.1), None)?;
    let dns = at(families.primary().cluster_dns, DNS_PORT);
    publish::carry_tcp(dns_tcp, dns, Some(Arc::clone(&first.1)))?;
    publish::carry_udp(dns_udp, dns, Arc::clone(&first.1))?;
    let kubelets = kubelets(&handover.settings, state, &nodes, pods).await?;
    for (node, kubelet) in nodes.iter().zip(&kubelets) {
        nodes::spawn(&handover.settings, state, node, &kubelet.writer);
    }
    spawn_cluster_loop(&handover.settings, state);
    let drivers = control::Drivers {
        manager: connect(state, rights::CONTROLLER_MANAGER).await?,
        scheduler: connect(state, rights::SCHEDULER).await?,
        api: handle.acting_as(rights::CONTROLLER_MANAGER),
        root_ca,
    };
    tokio::spawn(storage::clear(drivers.manager.clone(), storage::directory(&handover.settings)));
    tokio::spawn(control::run(drivers));
    let ready = nodes::wait_until_ready(&nodes, families, &handle, |missing| {
        world::tell(&front, &Message::Waiting(missing));
    });
    let mut ended = std::pin::pin!(front_has_ended(life)?);
    tokio::select! {
        () = ready => {
            // Pods that a data directory kept wait for the network, as on any node.
            kubelets.into_iter().for_each(|kubelet| drop(tokio::spawn(kubelet::run(kubelet))));
            world::tell(&front, &Message::Ready);
            tracing::info!("the lab is ready");
            ended.await;
        }
        () = &mut ended => {}
    }
    tracing::info!("the lab ends");
    shutdown.cancel();
    // What was acknowledged must be in the data directory; Pods need no farewell, the kernel ends them with us.
    serving.await.context("the API server ended badly")??;
    Ok(())
}

type Serving = tokio::task::JoinHandle<Result<(), serve_api::ApiServerError>>;

fn serve_api(
    handover: &Handover,
    state: &StateDir,
    host: TcpListener,
    pods: &Arc<Pods>,
    shutdown: &CancellationToken,
) -> anyhow::Result<(ApiHandle, String, Serving)> {
    let data_dir = handover.settings.data_dir.as_deref();
    let credentials = match data_dir {
        Some(directory) => Credentials::load_or_generate(&directory.join("pki"))?,
        None => Credentials::generate()?,
    };
    let families = handover.settings.families;
    let mut listeners = vec![host];
    for at in families.addresses() {
        let at = SocketAddr::new(at.outside, address::API_PORT);
        listeners.push(TcpListener::bind(at).with_context(|| format!("cannot listen on {at}"))?);
    }
    let inner = SocketAddr::new(families.primary().outside, address::API_PORT);
    StateDir::write_private(&state.kubeconfig(), &kubeconfig(&credentials, &handover.api_url))?;
    let inner_url = format!("https://{inner}");
    let write = |path: &Path, user: &str, group| {
        let text = kubeconfig_of(&credentials, user, group, &inner_url)?;
        StateDir::write_private(path, &text).map_err(anyhow::Error::new)
    };
    write(&state.agent_kubeconfig(), rights::AGENT, None)?;
    write(&state.controller_kubeconfig(), rights::CONTROLLER, None)?;
    for component in [rights::CONTROLLER_MANAGER, rights::SCHEDULER] {
        write(&state.component_kubeconfig(component), component, None)?;
    }
    for node in address::nodes(handover.settings.nodes, families) {
        let user = rights::kubelet(&node.name);
        write(&state.component_kubeconfig(&user), &user, Some(rights::NODES_GROUP))?;
    }
    let root_ca = credentials.authority_pem().to_owned();
    let server = ApiServer::new(ApiServerConfig {
        listeners,
        credentials,
        data_dir: data_dir.map(Path::to_owned),
        runtime: Arc::new(Runtime::new(Arc::clone(pods))),
        store: engine_store::StoreConfig {
            service_cidrs: families.addresses().map(|at| at.service_cidr).collect(),
            node_port_range: NODE_PORTS,
            keep_journal: data_dir.is_some(),
        },
    })?;
    let handle = server.handle();
    Ok((handle, root_ca, tokio::spawn(server.serve(shutdown.clone()))))
}

/// A client of the API as one of the lab's own components.
async fn connect(state: &StateDir, user: &str) -> anyhow::Result<watch::Client> {
    Ok(watch::connect(&Access::Kubeconfig(state.component_kubeconfig(user))).await?)
}

/// One for each node, with the node's own rights.
async fn kubelets(
    settings: &LabSettings,
    state: &StateDir,
    nodes: &[(LabNode, Arc<Netns>)],
    pods: Arc<Pods>,
) -> anyhow::Result<Vec<Arc<Kubelet>>> {
    let resolver = Resolver {
        cluster_dns: settings.families.primary().cluster_dns,
        cluster_domain: address::CLUSTER_DOMAIN.to_owned(),
        node_dns: vec![settings.families.primary().outside],
    };
    let machine = Arc::new(Machine {
        images: kubelet::image_map(settings.image_map.as_deref())?,
        resolver,
        host_path: std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned()),
        logs: state.container_logs(),
        netns_dir: state.netns(""),
        pods,
        storage: storage::directory(settings),
        agents: nodes.iter().map(|(node, _)| node.admin()).collect(),
    });
    let mut kubelets = Vec::new();
    for (node, netns) in nodes {
        let place = NodePlace {
            name: node.name.clone(),
            addresses: node.addresses.clone(),
            netns: Arc::clone(netns),
            state: state.node(node.name.as_str()),
        };
        let client = connect(state, &rights::kubelet(&node.name)).await?;
        kubelets.push(Arc::new(Kubelet::new(client, place, Arc::clone(&machine))));
    }
    Ok(kubelets)
}

fn spawn_cluster_loop(settings: &LabSettings, state: &StateDir) {
    let settings = nodes::cluster_settings(settings, state);
    tokio::spawn(async move {
        if let Err(error) = agent::cluster::run(settings).await {
            tracing::error!(error = format!("{error:#}"), "the cluster loop ended");
        }
    });
}

/// Completes when the process in front has closed its end, or has died.
fn front_has_ended(life: UnixStream) -> anyhow::Result<impl Future<Output = ()>> {
    life.set_nonblocking(true)?;
    let mut life = tokio::net::UnixStream::from_std(life)?;
    Ok(async move {
        let mut buffer = [0; 64];
        while life.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    })
}
