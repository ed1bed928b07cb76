//! Makes a client of the Kubernetes API from a kubeconfig file or from inside a Pod.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// How long a connection attempt may take; a server on the same network answers in milliseconds.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the address of the API server and the credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// This kubeconfig file, with its current context.
    Kubeconfig(PathBuf),
    /// The service account of the Pod we run in.
    InCluster,
    /// As kubectl: `KUBECONFIG`, then `~/.kube/config`, then the service account of the Pod.
    Usual,
}

impl Access {
    /// The file if there is one, else the service account.
    #[must_use]
    pub fn kubeconfig_or_in_cluster(kubeconfig: Option<PathBuf>) -> Self {
        kubeconfig.map_or(Self::InCluster, Self::Kubeconfig)
    }
}

/// Why the Kubernetes API cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig file is missing or malformed.
    #[error("kubeconfig `{path}` cannot be used; set KUBECONFIG or --kubeconfig to a readable file")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: kube::config::KubeconfigError,
    },
    /// No service account is mounted.
    #[error("no service account of a Pod found; give --kubeconfig when running outside a cluster")]
    InCluster(#[source] kube::config::InClusterError),
    /// Neither a kubeconfig nor a service account.
    #[error("no kubeconfig and no service account found; set KUBECONFIG or --kubeconfig")]
    Usual(#[source] kube::config::InferConfigError),
    /// Certificates or keys of the configuration are malformed.
    #[error("the credentials for the Kubernetes API cannot be used")]
    Credentials(#[source] kube::Error),
    /// A list failed.
    #[error("{kind} objects cannot be listed")]
    List {
        /// Kind of the objects.
        kind: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// One object cannot be read.
    #[error("{object} cannot be read")]
    Read {
        /// The object.
        object: types::ObjectRef,
        /// Why.
        source: Box<kube::Error>,
    },
}

/// A client; no request is sent yet.
///
/// # Errors
/// When the configuration cannot be read or its credentials are malformed.
pub async fn connect(access: &Access) -> Result<Client, Error> {
    let mut config = match access {
        Access::Kubeconfig(path) => read_kubeconfig(path).await?,
        Access::InCluster => Config::incluster().map_err(Error::InCluster)?,
        Access::Usual => Config::infer().await.map_err(Error::Usual)?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Our loops retry with the newest plan; a retry underneath would hold on to an old one for minutes.
    config.default_retry = false;
    Client::try_from(config).map_err(Error::Credentials)
}

async fn read_kubeconfig(path: &PathBuf) -> Result<Config, Error> {
    let unusable = |source| Error::Kubeconfig { path: path.clone(), source };
    let kubeconfig = Kubeconfig::read_from(path).map_err(unusable)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(unusable)
}
