//! `sealane lab check`: `sealane check` on the nodes of a running lab.

use anyhow::Result;

use super::on_nodes;
use crate::cli::LabCheckArgs;
use crate::config;

/// Checks the named nodes, or all; the exit status is 1 when something is broken on one of them.
pub(crate) fn run(args: &LabCheckArgs) -> Result<i32> {
    let info = config::state_dir(&args.which)?.running()?;
    on_nodes::run(&info, &args.nodes, args.output, |node| {
        let state_dir = ::lab::StateDir::at(&info.state_dir).node(node);
        let mut words = vec!["check".to_owned(), "--state-dir".to_owned(), state_dir.display().to_string()];
        for at in info.families.addresses() {
            words.extend(["--pod-cidr".to_owned(), at.pod_cidr.to_string()]);
            words.extend(["--service-cidr".to_owned(), at.service_cidr.to_string()]);
        }
        // Its kubelets call the plugin themselves.
        words.extend(["--cni-config-dir".to_owned(), String::new()]);
        words
    })
}
