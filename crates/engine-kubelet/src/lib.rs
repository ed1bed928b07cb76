//! What a kubelet does for a Pod, and what the Pod's status shows, from data alone.
//!
//! [`decide::decide`] says what to do next for a Pod from the API's object, from what is [`observed`] here and from the
//! time; [`status::pod_status`] says what the API shows of it. What a container gets (program, environment, files,
//! volumes) follows from objects alone, too. Processes, namespaces, sockets and clocks are the caller's.

pub mod bandwidth;
pub mod decide;
pub mod environment;
pub mod ephemeral;
pub mod files;
pub mod image_map;
pub mod observed;
pub mod probes;
pub mod program;
pub mod status;
pub mod tokens;
pub mod volumes;
