//! Everything a node's plan is brought about with: one method per step of the pipeline.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use apply_announce::Announcer;
use apply_netlink::Netlink;
use apply_nft::{Look, Nft};
use model::Snapshot;
use plan::{Failure, FindingSet, NodePlan, Report};
use serve_admin::{Admin, HealthChecks, Stage};
use serve_dns::DnsServer;
use serve_gateway::Gateway;
use types::{LinkName, NodeName, Port, UnderlayFacts};

use crate::attachments;
use crate::blocking::Blocking;
use crate::dns_loops;
use crate::epoch::common_names;
use crate::in_force::InForce;
use crate::install::Installer;
use crate::report::{log_report, timed, timed_compile, watch_metrics};
use crate::settings::Settings;
use crate::underlay;

/// The kernel, the servers, and those who want to know.
pub(crate) struct World {
    netlink: Blocking<Netlink>,
    nft: Blocking<Nft>,
    announcer: Blocking<Announcer>,
    dns: DnsServer,
    node: NodeName,
    gateway: Gateway,
    health_checks: HealthChecks,
    admin: Arc<Admin>,
    _admin_server: Option<serve_admin::Server>,
    installer: Option<Installer>,
    state_dir: PathBuf,
}

impl World {
    /// Opens everything; nothing is changed yet.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let admin = Admin::new();
        let admin_server = match settings.admin {
            Some(address) => Some(serve_admin::serve(Arc::clone(&admin), address).await?),
            None => None,
        };
        let dns = DnsServer::start(serve_dns::Config::default());
        let statistics = dns.statistics_source();
        admin.show_metrics(Box::new(move || statistics().to_metrics() + &watch_metrics()));
        Ok(Self {
            netlink: Blocking::new(Netlink::open()?),
            nft: Blocking::new(Nft::open()?),
            announcer: Blocking::new(Announcer::new()),
            dns,
            node: settings.node.clone(),
            gateway: Gateway::start(serve_gateway::Config::default())?,
            health_checks: HealthChecks::new(Arc::clone(&admin)),
            admin,
            _admin_server: admin_server,
            installer: settings
                .cni
                .clone()
                .map(|wish| Installer::new(wish, PathBuf::from("/proc/self/exe"), &settings.state_dir)),
            state_dir: settings.state_dir.clone(),
        })
    }

    /// This node's place on the network that joins the nodes.
    pub(crate) async fn underlay(&mut self, link: &LinkName) -> anyhow::Result<UnderlayFacts> {
        let name = link.clone();
        Ok(self.netlink.run(move |netlink| underlay::read(netlink, &name)).await?)
    }

    /// Counts the time that a compilation takes.
    pub(crate) fn timed<T>(&self, compile: impl FnOnce() -> T) -> T {
        timed_compile(&self.admin, compile)
    }

    /// Stops answering names that the new plan takes away, before their rules go.
    pub(crate) fn withdraw_names(&self, in_force: &InForce, plan: &NodePlan) {
        let Some(old) = in_force.plan() else { return };
        let common = common_names(&old.dns, &plan.dns);
        if common != old.dns {
            self.dns.publish(&common, in_force.revision());
        }
    }

    /// Links, addresses, routes and neighbours.
    pub(crate) async fn converge_netlink(&mut self, plan: &Arc<NodePlan>) -> Report {
        let plan = Arc::clone(plan);
        timed(&self.admin, Stage::Netlink, self.netlink.run(move |netlink| netlink.converge(&plan.podnet)))
            .await
    }

    /// Service rules, policy and masquerading, in one transaction; before them, who may send what on the bridge; after
    /// them, connections that lead elsewhere.
    pub(crate) async fn converge_nft(
        &mut self,
        in_force: &InForce,
        plan: &Arc<NodePlan>,
        look: Look,
    ) -> Report {
        let revision = in_force.revision_of(plan);
        let plan = Arc::clone(plan);
        let work = self.nft.run(move |nft| nft.converge_plan(&plan, look));
        let report = timed(&self.admin, Stage::Nft, work).await;
        if report.failures.is_empty() {
            self.admin.liveness().rules_are_right();
            self.admin.metrics().reached("rules", revision);
        }
        report
    }

    /// Tells neighbours of LoadBalancer addresses that are new here.
    pub(crate) async fn announce(&mut self, plan: &Arc<NodePlan>) -> Report {
        let plan = Arc::clone(plan);
        let work = self.announcer.run(move |announcer| announcer.converge(&plan.lb));
        timed(&self.admin, Stage::Announce, work).await
    }

    /// Names, HTTP routes and health checks, now that what they lead to is there.
    pub(crate) async fn publish(&mut self, in_force: &InForce, plan: &Arc<NodePlan>) -> Report {
        let revision = in_force.revision_of(plan);
        let work = async {
            let checks = self.health_checks.converge(&plan.services.health_checks);
            let names = self.dns.publish(&plan.dns, revision);
            self.admin.metrics().reached("names", revision);
            names.and(self.gateway.publish(&plan.gateway)).and(checks)
        };
        timed(&self.admin, Stage::Publish, work).await
    }

    /// Health check ports that somebody else on this node has.
    pub(crate) fn taken_health_check_ports(&self) -> BTreeSet<Port> {
        self.health_checks.taken().clone()
    }

    /// Lets requests that are under way come to their end. What is in the kernel stays.
    pub(crate) async fn drain(self) {
        tokio::join!(self.gateway.stop(), self.dns.stop());
    }

    /// Tells the admin page which Pods may get new connections, once the rules say so: a Pod that is to end is let go
    /// by its kubelet after this.
    pub(crate) fn show_endpoints(&self, in_force: &InForce, snapshot: &Snapshot) {
        if in_force.rules_are_loaded() {
            let slices = snapshot.endpoint_slices.clone();
            self.admin.show_endpoints(Box::new(move |pod| {
                let mut endpoints = slices.values().flat_map(|slice| &slice.endpoints);
                endpoints.any(|endpoint| !endpoint.terminating && endpoint.pod.as_ref() == Some(pod))
            }));
        }
    }

    /// Tells the CNI plugin what it needs to know, and has it found by the container runtime once that is possible.
    pub(crate) fn serve_plugin(&mut self, in_force: &InForce) -> Report {
        let Some(network) = in_force.network() else { return Report::default() };
        match attachments::write_network(&self.state_dir, &network) {
            Ok(()) => self.installer.as_mut().map(Installer::converge).unwrap_or_default(),
            Err(error) => {
                let what = self.state_dir.join("network.json").display().to_string();
                Report { written: 0, failures: vec![Failure { what, why: error.to_string() }] }
            }
        }
    }

    /// Tells the admin page and the log.
    pub(crate) fn tell(&self, in_force: &InForce, mut findings: FindingSet, report: Report) {
        dns_loops::of(&self.node, &self.dns.statistics()).for_each(|finding| findings.add(finding));
        log_report(in_force.revision(), &report);
        self.admin.publish(serve_admin::Status {
            revision: in_force.revision(),
            plan: in_force.plan().cloned().map(serve_admin::Plan::Node),
            findings,
            report,
        });
    }
}
