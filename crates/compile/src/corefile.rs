//! CoreDNS's configuration, as the cluster has it: ConfigMap `coredns`, and what it imports from `coredns-custom`.

use engine_corefile::{Corefile, Line, Sources, Verdict, read};
use model::{COREFILE_CONFIG_MAPS, COREFILE_NAMESPACE, Snapshot};
use plan::{DnsKubernetes, DnsSettings, ExposedNamespaces, Finding, Severity};
use types::{NamespacedName, ObjectRef};

use crate::findings::{Findings, error};

/// The key that counts.
const COREFILE: &str = "Corefile";
/// More lines than this are not told of one by one.
const MOST_TOLD: usize = 50;

/// What DNS is to do: as the Corefile says, or as ever where there is none or it makes no sense.
pub(crate) fn settings(snapshot: &Snapshot) -> DnsSettings {
    let mut settings = corefile(snapshot).and_then(|corefile| corefile.settings).unwrap_or_default();
    for block in &mut settings.blocks {
        if let Some(DnsKubernetes {
            namespaces: ExposedNamespaces::Labelled { selector, matching }, ..
        }) = &mut block.kubernetes
        {
            let namespaces = snapshot.namespaces.values();
            let chosen = namespaces.filter(|namespace| selector.matches(&namespace.labels));
            *matching = chosen.map(|namespace| namespace.name.clone()).collect();
        }
    }
    settings
}

/// Whether settings say of Namespaces' labels which have names.
pub(crate) fn asks_for_labels_of_namespaces(settings: &DnsSettings) -> bool {
    let mut sections = settings.blocks.iter().filter_map(|block| block.kubernetes.as_ref());
    sections.any(|kubernetes| matches!(kubernetes.namespaces, ExposedNamespaces::Labelled { .. }))
}

/// Lines that are not taken as CoreDNS takes them.
pub(crate) fn check(snapshot: &Snapshot, findings: &mut Findings) {
    let Some(corefile) = corefile(snapshot) else { return };
    findings.extend(corefile.notes().take(MOST_TOLD).map(|line| of_line(snapshot, line)));
    let rest = corefile.notes().count().saturating_sub(MOST_TOLD);
    if rest > 0 {
        let message =
            format!("{rest} more lines are not taken as CoreDNS takes them; `sealane dns import` names them");
        findings.insert(error(object(0), field(COREFILE), "CorefileLineNotTaken", message));
    }
}

fn corefile(snapshot: &Snapshot) -> Option<Corefile> {
    let maps = COREFILE_CONFIG_MAPS
        .map(|name| snapshot.config_maps.get(&NamespacedName::new(COREFILE_NAMESPACE, name)));
    let text = maps[0]?.data.get(COREFILE)?;
    let files = maps.iter().flatten().flat_map(|map| &map.data).filter(|(key, _)| *key != COREFILE);
    let files = files.map(|(key, text)| (key.clone(), text.clone())).collect();
    Some(read(&Sources { corefile: text.clone(), files }))
}

fn of_line(snapshot: &Snapshot, line: &Line) -> Finding {
    let is_of = |index: usize| {
        let name = NamespacedName::new(COREFILE_NAMESPACE, COREFILE_CONFIG_MAPS[index]);
        snapshot.config_maps.get(&name).is_some_and(|map| map.data.contains_key(&line.at.file))
    };
    let own = if line.at.file != COREFILE && is_of(1) { 1 } else { 0 };
    let (reason, severity) = match line.verdict {
        Verdict::Broken { .. } => ("CorefileLineBroken", Severity::Error),
        Verdict::NotTaken { .. } => ("CorefileLineNotTaken", Severity::Error),
        _ => ("CorefileLineChanged", Severity::Warning),
    };
    let message = format!("line {} `{}`: {}", line.at.line, line.text, line.verdict);
    Finding { severity, ..error(object(own), field(&line.at.file), reason, message) }
}

fn object(index: usize) -> ObjectRef {
    ObjectRef::namespaced("ConfigMap", &NamespacedName::new(COREFILE_NAMESPACE, COREFILE_CONFIG_MAPS[index]))
}

fn field(key: &str) -> String {
    format!("data[{key}]")
}
