//! `sealane lab services`: `sealane services` on the nodes of a running lab.

use anyhow::Result;

use super::on_nodes;
use crate::cli::LabServicesArgs;
use crate::config;

/// Prints what the named nodes, or all, have loaded.
pub(crate) fn run(args: &LabServicesArgs) -> Result<i32> {
    let info = config::state_dir(&args.which)?.running()?;
    on_nodes::run(&info, &args.nodes, args.output, |_| {
        let mut words = vec!["services".to_owned()];
        words.extend(args.services.iter().cloned());
        words
    })
}
