//! The loop of one node: the whole pipeline on one screen.

pub use crate::settings::{Settings, ingress_controllers};
pub use compile::TunnelMode;
pub use engine_ipam::IpRange;
