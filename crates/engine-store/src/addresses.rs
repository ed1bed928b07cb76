//! ServiceCIDRs and IPAddresses: the ranges of ClusterIPs, and one object for each address that a Service holds.
//!
//! What are controllers upstream is settled here before the write is over, so that an address has its object, and a
//! range is ready, from the answer on.

use std::net::IpAddr;

use engine_kinds::object::{self, list, set_metadata, text};
use engine_kinds::{Kind, Status};
use serde_json::{Value, json};
use types::{IpFamily, Prefix};

use crate::registry::KindId;
use crate::request::{DeleteOptions, Env, Target, Write, WriteOptions};
use crate::store::{Commit, Store};

const GROUP: &str = "networking.k8s.io";
const RANGES: &str = "servicecidrs";
const ADDRESSES: &str = "ipaddresses";
/// The ServiceCIDR of the configured ranges (upstream: `DefaultServiceCIDRName`).
const DEFAULT: &str = "kubernetes";
/// Labels of an IPAddress, and who makes it (k8s.io/api `networking/v1`, upstream `ipallocator.ControllerName`).
const FAMILY_LABEL: &str = "ipaddress.kubernetes.io/ip-family";
const MANAGED_BY_LABEL: &str = "ipaddress.kubernetes.io/managed-by";
const MANAGER: &str = "ipallocator.k8s.io";
/// Keeps a range for as long as addresses are in it (upstream: `ServiceCIDRProtectionFinalizer`).
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
/// Texts of the condition `Ready` (upstream: `pkg/controller/servicecidrs`).
const IS_READY: &str = "Kubernetes Service CIDR is ready";
const IS_HELD: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";

pub(crate) fn is_range(kind: &Kind) -> bool {
    kind.group == GROUP && kind.plural == RANGES
}

pub(crate) fn is_address(kind: &Kind) -> bool {
    kind.group == GROUP && kind.plural == ADDRESSES
}

fn ranges_of(object: &Value) -> impl Iterator<Item = Prefix> + '_ {
    list(object, "/spec/cidrs").iter().filter_map(|range| range.as_str()?.parse().ok())
}

impl Store {
    fn range_objects(&self) -> KindId {
        self.registry().built_in(GROUP, RANGES)
    }

    fn address_objects(&self) -> KindId {
        self.registry().built_in(GROUP, ADDRESSES)
    }

    /// Makes the ServiceCIDR of the configured ranges, or gives it the second family that they have by now.
    pub(crate) fn ensure_default_range(&mut self, env: &mut Env<'_>) -> Result<(), Status> {
        let ranges: Vec<String> = self.config().service_cidrs.iter().map(ToString::to_string).collect();
        let spec = json!({"cidrs": ranges});
        match self.get(self.range_objects(), "", DEFAULT) {
            None if ranges.is_empty() => Ok(()),
            None => self.write_network(env, RANGES, None, Write::Create(named(DEFAULT, spec))),
            Some(known) => {
                let held = list(&known, "/spec/cidrs");
                if held.len() == 1 && ranges.len() == 2 && held[0] == ranges[0] {
                    let mut upgraded = Value::clone(&known);
                    upgraded["spec"] = spec;
                    return self.write_network(env, RANGES, Some(DEFAULT), Write::Update(upgraded));
                }
                Ok(())
            }
        }
    }

    /// Takes over the ranges that may be used, and has each looked at.
    pub(crate) fn follow_ranges(&mut self) {
        let objects: Vec<_> = self.all(self.range_objects()).collect();
        let ready = objects.iter().filter(|range| !object::is_deleting(range));
        let ranges: Vec<Prefix> = ready.flat_map(|range| ranges_of(range)).collect();
        self.allocations_mut().set_ranges(ranges.into_iter());
        self.ranges_are_due = true;
    }

    /// Gives addresses that Services took their IPAddress, and takes it from those that are free again.
    pub(crate) fn settle_addresses(&mut self, env: &mut Env<'_>) {
        while let Some(address) = self.allocations_mut().next_due() {
            let known = self.get(self.address_objects(), "", &address.to_string());
            let holder = self.allocations().holder(address).cloned();
            // Neither can be refused: the objects are well-formed, and nothing else writes meanwhile.
            let written = match (&holder, &known) {
                (Some(holder), None) => {
                    self.write_network(env, ADDRESSES, None, Write::Create(address_object(address, holder)))
                }
                (None, Some(known)) if is_ours(known) => {
                    let delete = Write::Delete(DeleteOptions::default());
                    self.write_network(env, ADDRESSES, Some(object::name(known)), delete)
                }
                _ => continue,
            };
            debug_assert!(written.is_ok(), "{written:?}");
            // A range that is going may have waited for this one.
            self.ranges_are_due |= holder.is_none();
        }
        if std::mem::take(&mut self.ranges_are_due) {
            self.settle_ranges(env);
        }
    }

    /// One write of the server's own; whoever asks for it settles what is due then.
    fn write_network(
        &mut self,
        env: &mut Env<'_>,
        resource: &str,
        name: Option<&str>,
        write: Write,
    ) -> Result<(), Status> {
        let target = Target {
            group: GROUP.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            name: name.map(str::to_owned),
            ..Target::default()
        };
        let options = WriteOptions { field_manager: "kube-apiserver".to_owned(), ..WriteOptions::default() };
        self.write_one(env, &target, write, &options).map(|_| ())
    }

    /// A range is ready until it is deleted, and then stays for as long as addresses are in no other.
    fn settle_ranges(&mut self, env: &Env<'_>) {
        let objects: Vec<_> = self.all(self.range_objects()).collect();
        for range in &objects {
            let others: Vec<Prefix> = objects
                .iter()
                .filter(|other| object::name(other) != object::name(range))
                .flat_map(|other| ranges_of(other))
                .collect();
            let is_going = object::is_deleting(range);
            let may_go = is_going && !self.is_needed(range, &others);
            let mut settled = Value::clone(range);
            let mut finalizers: Vec<&str> =
                object::finalizers(range).filter(|name| *name != FINALIZER).collect();
            if !may_go && (!is_going || object::finalizers(range).any(|name| name == FINALIZER)) {
                finalizers.push(FINALIZER);
            }
            set_metadata(&mut settled, "finalizers", (!finalizers.is_empty()).then(|| json!(finalizers)));
            if !may_go {
                set_ready(&mut settled, !is_going, env.now);
            }
            if settled == **range {
                continue;
            }
            let goes = is_going && finalizers.is_empty();
            let commit = if goes { Commit::Remove(settled) } else { Commit::Put(settled) };
            self.commit(self.range_objects(), commit);
        }
        self.ranges_are_due = false;
    }

    /// Whether a Service's address is in the range and in no other (upstream: `canDeleteCIDR`).
    fn is_needed(&self, range: &Value, others: &[Prefix]) -> bool {
        let own: Vec<Prefix> = ranges_of(range).collect();
        if own.iter().all(|range| others.iter().any(|other| other.covers(*range))) {
            return false;
        }
        let addresses = self.all(self.address_objects()).filter(|address| is_ours(address));
        let mut addresses = addresses.filter_map(|address| object::name(&address).parse::<IpAddr>().ok());
        let within = |ranges: &[Prefix], address| ranges.iter().any(|range| range.contains(address));
        addresses.any(|address| within(&own, address) && !within(others, address))
    }
}

fn named(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": spec})
}

fn address_object(address: IpAddr, (namespace, name): &(String, String)) -> Value {
    // The core group's name is empty, and left out.
    let parent = json!({"resource": "services", "namespace": namespace, "name": name});
    let mut made = named(&address.to_string(), json!({"parentRef": parent}));
    made["metadata"]["labels"] =
        json!({FAMILY_LABEL: IpFamily::of(address).to_string(), MANAGED_BY_LABEL: MANAGER});
    made
}

/// Whether the API itself made the IPAddress, for a Service.
fn is_ours(address: &Value) -> bool {
    let labels = object::map(address, "/metadata/labels");
    labels.and_then(|labels| labels.get(MANAGED_BY_LABEL)).is_some_and(|manager| manager == MANAGER)
}

/// The condition `Ready`, which keeps its time for as long as it stays.
fn set_ready(range: &mut Value, is_ready: bool, now: jiff::Timestamp) {
    let (status, reason, message) =
        if is_ready { ("True", "", IS_READY) } else { ("False", "Terminating", IS_HELD) };
    let mut conditions = list(range, "/status/conditions").to_vec();
    let known = conditions.iter().position(|condition| text(condition, "/type") == "Ready");
    let mut condition = json!({
        "type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": object::time_text(now),
    });
    match known {
        Some(index) => {
            if text(&conditions[index], "/status") == status {
                condition["lastTransitionTime"] = conditions[index]["lastTransitionTime"].take();
            }
            conditions[index] = condition;
        }
        None => conditions.push(condition),
    }
    range["status"] = json!({"conditions": conditions});
}
