//! The loop of one node: the whole pipeline on one screen.

use std::sync::Arc;
use std::time::Instant;

use apply_nft::Look;
use compile::Compiler;
use plan::Report;
use watch::Access;

use crate::due::Due;
use crate::in_force::{InForce, Kernel};
use crate::inbox::Inbox;
use crate::kernel;
use crate::observed::Observed;
use crate::teller::Teller;
use crate::world::World;

pub use crate::install::CniInstall;
pub use crate::settings::{ResolverSettings, Settings};
pub use compile::{NodeMask, PodLinkMtu, RangeError, TunnelMode, check_ranges};
pub use engine_ipam::IpRange;

/// Runs until the process is asked to end; what is in the kernel then stays, so that traffic goes on.
///
/// # Errors
/// When it cannot start: credentials, sockets, the underlay link. Once running, failures are reported and retried.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let client = watch::connect(&Access::kubeconfig_or_in_cluster(settings.kubeconfig.clone())).await?;
    let mut inbox = Inbox::open_for_node(&client, &settings.state_dir)?;
    let mut world = World::open(&settings).await?;
    let underlay = world.underlay(&settings.underlay_link).await?;
    let mut context = settings.context(&underlay)?;
    inbox.follow_underlay(underlay.clone())?;
    if let Some(path) = settings.resolvers.file.clone() {
        inbox.follow_resolvers(path);
    }
    let mut probing = inbox.probe();
    let teller = Teller::new(client, settings.node.clone());
    let mut observed = Observed::at(underlay);
    let mut compiler = Compiler::default();
    let mut in_force = InForce::default();
    let mut due = Due::default();
    loop {
        for event in inbox.next(due.at()).await {
            observed.fold(event);
        }
        if observed.is_stopping() {
            world.drain().await;
            return Ok(());
        }
        if !observed.is_synced() {
            continue;
        }
        observed.inform(&mut context, &settings);
        teller.tell(observed.facts(&settings), &observed.snapshot);
        let (plan, findings) = world.timed(|| compiler.compile(&observed.snapshot, &context));
        let is_due = due.is_due(Instant::now());
        if !in_force.is_plan(&plan) || is_due {
            let plan = Arc::new(plan);
            world.withdraw_names(&in_force, &plan);
            let keeps_links = in_force.has_links_of(&plan) && !is_due;
            let links = match keeps_links {
                true => Report::default(),
                false => world.converge_netlink(&plan).await,
            };
            let look = if is_due { Look::Again } else { Look::IfChanged };
            let rules = world.converge_nft(&in_force, &plan, look).await;
            observed.lacks_sctp = kernel::lacks_sctp();
            let announcements = world.announce(&plan).await;
            let servers = world.publish(&in_force, &plan).await;
            observed.taken_health_check_ports = world.taken_health_check_ports();
            in_force = in_force.succeeded_by(plan, Kernel::of(&links), Kernel::of(&rules));
            let plugin = world.serve_plugin(&in_force);
            let report = links.and(rules).and(announcements).and(servers).and(plugin);
            match keeps_links {
                true => due.remember_part(&report, Instant::now()),
                false => due.remember(&report, Instant::now()),
            }
            world.tell(&in_force, findings, report);
        }
        world.show_endpoints(&in_force, &observed.snapshot);
        observed.answer_waiting(&in_force);
        probing.aim(&observed, &in_force);
    }
}
