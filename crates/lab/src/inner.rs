//! Everything inside the lab's namespaces, put together in order: underlay, API, objects, agents, kubelets.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use apply_kube::{Events, Writer};
use engine_kubelet::files::Resolver;
use kubelet::{HeldSources, NodeContext, Pods, Runtime, Shared, Storage};
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
use crate::{bootstrap, control, nodes, publish, relay, rights, underlay, world};

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
    let nodes = underlay::make(&state, address::nodes(handover.settings.nodes))?;
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
    let client = watch::connect(&Access::Kubeconfig(state.inner_kubeconfig())).await?;
    let writer = Writer::new(client.clone());
    let lab_nodes: Vec<LabNode> = nodes.iter().map(|(node, _)| node.clone()).collect();
    bootstrap::write(&writer, &lab_nodes, handover.settings.node_path).await?;
    relay::serve(questions, SocketAddr::new(address::OUTSIDE.into(), DNS_PORT)).await?;
    let first = &nodes.first().context("a lab needs at least one node")?;
    let at = |address: IpAddr, port| SocketAddr::new(address, port);
    publish::carry_tcp(http, at(first.0.address.into(), ENTRY_PORTS.0), None)?;
    publish::carry_tcp(https, at(first.0.address.into(), ENTRY_PORTS.1), None)?;
    let dns = at(address::CLUSTER_DNS.into(), DNS_PORT);
    publish::carry_tcp(dns_tcp, dns, Some(Arc::clone(&first.1)))?;
    publish::carry_udp(dns_udp, dns, Arc::clone(&first.1))?;
    let contexts = kubelets(&handover.settings, state, &nodes, &writer, pods)?;
    nodes::spawn(&handover.settings, state, &nodes, &writer);
    spawn_cluster_loop(state);
    tokio::spawn(control::run(client.clone(), handle, root_ca));
    let ready = nodes::wait_until_ready(&nodes, |missing| {
        world::tell(&front, &Message::Waiting(missing));
    });
    let mut ended = std::pin::pin!(front_has_ended(life)?);
    tokio::select! {
        () = ready => {
            // Pods that a data directory kept wait for the network, as on any node.
            if let Some(context) = contexts.first() {
                tokio::spawn(kubelet::run(client.clone(), Arc::clone(&context.shared), contexts.clone()));
            }
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
    let inner = SocketAddr::new(address::OUTSIDE.into(), address::API_PORT);
    let underlay = TcpListener::bind(inner).with_context(|| format!("cannot listen on {inner}"))?;
    StateDir::write_private(&state.kubeconfig(), &kubeconfig(&credentials, &handover.api_url))?;
    let inner_url = format!("https://{inner}");
    StateDir::write_private(&state.inner_kubeconfig(), &kubeconfig(&credentials, &inner_url))?;
    for (path, user) in
        [(state.agent_kubeconfig(), rights::AGENT), (state.controller_kubeconfig(), rights::CONTROLLER)]
    {
        StateDir::write_private(&path, &kubeconfig_of(&credentials, user, &inner_url)?)?;
    }
    let root_ca = credentials.authority_pem().to_owned();
    let server = ApiServer::new(ApiServerConfig {
        listeners: vec![host, underlay],
        credentials,
        data_dir: data_dir.map(Path::to_owned),
        runtime: Arc::new(Runtime::new(Arc::clone(pods))),
        store: engine_store::StoreConfig {
            service_cidr: address::prefix(address::SERVICE_CIDR),
            node_port_range: NODE_PORTS,
            keep_journal: data_dir.is_some(),
        },
    })?;
    let handle = server.handle();
    Ok((handle, root_ca, tokio::spawn(server.serve(shutdown.clone()))))
}

fn kubelets(
    settings: &LabSettings,
    state: &StateDir,
    nodes: &[(LabNode, Arc<Netns>)],
    writer: &Writer,
    pods: Arc<Pods>,
) -> anyhow::Result<Vec<Arc<NodeContext>>> {
    let images = kubelet::image_map(settings.image_map.as_deref())?;
    let resolver = Resolver {
        cluster_dns: address::CLUSTER_DNS.into(),
        cluster_domain: address::CLUSTER_DOMAIN.to_owned(),
        node_dns: vec![address::OUTSIDE.into()],
    };
    let shared = Arc::new(Shared {
        writer: writer.clone(),
        events: Events::new(writer.clone()),
        images,
        resolver,
        host_path: std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned()),
        logs: state.container_logs(),
        netns_dir: state.netns(""),
        pods,
        storage: Storage {
            driver: controllers::LAB_STORAGE,
            directory: settings.data_dir.as_deref().unwrap_or(state.root()).join("volumes"),
        },
        sources: HeldSources::default(),
    });
    let context = |(node, netns): &(LabNode, Arc<Netns>)| {
        Arc::new(NodeContext {
            name: node.name.clone(),
            address: node.address.into(),
            netns: Arc::clone(netns),
            state: state.node(node.name.as_str()),
            shared: Arc::clone(&shared),
        })
    };
    Ok(nodes.iter().map(context).collect())
}

fn spawn_cluster_loop(state: &StateDir) {
    let settings = nodes::cluster_settings(state);
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
