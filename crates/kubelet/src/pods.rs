//! The Pods that are here, as those who ask for logs or run commands see them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use engine_kubelet::environment::Variables;
use engine_kubelet::tokens::Token;
use engine_kubelet::volumes::Mount;
use engine_kubelet::volumes::TokenWish;
use jiff::Timestamp;
use netns::Netns;
use serve_api::RuntimeError;
use types::{PodName, with_causes};

use crate::console::Console;
use crate::logs::RunLog;
use crate::process::Launch;
use crate::rootfs::OwnFiles;
use crate::sandbox::Sandbox;

/// All Pods here, by name.
#[derive(Debug, Default)]
pub struct Pods {
    held: Mutex<BTreeMap<PodName, Arc<HeldPod>>>,
}

/// One Pod here.
#[derive(Debug)]
pub struct HeldPod {
    /// Its uid: a later Pod of the same name is another.
    pub uid: String,
    /// Its sandbox, once made, with the files that are its own.
    pub sandbox: OnceLock<(Arc<Sandbox>, OwnFiles)>,
    containers: Mutex<BTreeMap<String, HeldContainer>>,
    /// Tokens of its service account: all containers have the same ones.
    tokens: Mutex<BTreeMap<TokenWish, Token>>,
}

/// One container here.
#[derive(Clone, Debug)]
pub struct HeldContainer {
    /// Output of the present run.
    pub log: Arc<RunLog>,
    /// Output of the run before.
    pub previous: Option<Arc<RunLog>>,
    /// The program's own input and output; a stand-in has none.
    pub console: Option<Arc<Console>>,
    /// Whether it runs.
    pub is_running: bool,
    /// Its environment.
    pub variables: Variables,
    /// Where its programs start.
    pub directory: String,
    /// Its mounts.
    pub mounts: Vec<Mount>,
    /// Its mount namespace, once made.
    pub root: Arc<OnceLock<Arc<OwnedFd>>>,
}

/// What is said about a container that has ended, or has not begun.
#[must_use]
pub(crate) fn not_running(container: &str) -> RuntimeError {
    RuntimeError::NotReady(format!("container \"{container}\" is not running"))
}

impl Pods {
    /// Takes in a Pod; one of the same name that is still ending is no longer found.
    pub fn put(&self, name: PodName, pod: Arc<HeldPod>) {
        self.locked().insert(name, pod);
    }

    /// Forgets this very Pod.
    pub fn remove(&self, name: &PodName, uid: &str) {
        let mut held = self.locked();
        if held.get(name).is_some_and(|pod| pod.uid == uid) {
            held.remove(name);
        }
    }

    /// The Pod of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, name: &PodName) -> Result<Arc<HeldPod>, RuntimeError> {
        let found = self.locked().get(name).map(Arc::clone);
        found
            .ok_or_else(|| RuntimeError::NotFound(format!("pod {name} is not running on a node of this lab")))
    }

    /// The network namespace of the node on which a Pod has this address.
    pub fn node_of(&self, address: IpAddr) -> Option<Arc<Netns>> {
        self.locked().values().find_map(|pod| {
            let (sandbox, _) = pod.sandbox.get()?;
            sandbox.addresses().contains(&address).then(|| Arc::clone(sandbox.node()))
        })
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<PodName, Arc<HeldPod>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldPod {
    /// A Pod without sandbox or containers.
    #[must_use]
    pub fn new(uid: String) -> Self {
        Self { uid, sandbox: OnceLock::new(), containers: Mutex::default(), tokens: Mutex::default() }
    }

    /// A new run of a container begins; its last log becomes the previous one.
    pub fn begin(&self, name: &str, mut container: HeldContainer) {
        let mut containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        container.previous = containers.get(name).map(|before| Arc::clone(&before.log));
        containers.insert(name.to_owned(), container);
    }

    /// A run of a container ended.
    pub fn end(&self, name: &str) {
        let mut containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(container) = containers.get_mut(name) {
            container.is_running = false;
            container.log.close();
        }
    }

    /// The token for this wish, even if it has ended.
    pub(crate) fn token(&self, wish: &TokenWish) -> Option<Token> {
        self.locked_tokens().get(wish).cloned()
    }

    pub(crate) fn keep_token(&self, wish: TokenWish, token: Token) {
        self.locked_tokens().insert(wish, token);
    }

    /// When the first token is to be renewed.
    pub(crate) fn renew_at(&self) -> Option<Timestamp> {
        self.locked_tokens().values().map(|token| token.renew_at).min()
    }

    fn locked_tokens(&self) -> MutexGuard<'_, BTreeMap<TokenWish, Token>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files of a container's mounts are others now.
    pub(crate) fn remount(&self, name: &str, mounts: Vec<Mount>) {
        let mut containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(container) = containers.get_mut(name) {
            container.mounts = mounts;
        }
    }

    /// A container as it is now.
    ///
    /// # Errors
    /// When it was never started.
    pub fn container(&self, name: &str) -> Result<HeldContainer, RuntimeError> {
        let containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        containers
            .get(name)
            .cloned()
            .ok_or_else(|| RuntimeError::NotReady(format!("container \"{name}\" is waiting to start")))
    }

    /// What is needed to run a program in a container.
    ///
    /// # Errors
    /// When the container does not run, or its view of the file system cannot be made.
    pub fn launch(&self, name: &str, argv: Vec<String>) -> Result<Launch, RuntimeError> {
        let container = self.container(name)?;
        if !container.is_running {
            return Err(not_running(name));
        }
        self.launch_in(&container, argv).map_err(RuntimeError::Failed)
    }

    /// As [`HeldPod::launch`], for a container that is about to start.
    ///
    /// # Errors
    /// When its view of the file system cannot be made.
    pub fn launch_in(&self, container: &HeldContainer, argv: Vec<String>) -> Result<Launch, String> {
        let (sandbox, files) = self.sandbox.get().ok_or("the Pod has no sandbox yet")?;
        let root = match container.root.get() {
            Some(root) => Arc::clone(root),
            None => {
                let made =
                    sandbox.container_root(files, &container.mounts).map_err(|error| with_causes(&error))?;
                Arc::clone(container.root.get_or_init(|| made))
            }
        };
        let entrance = sandbox.entrance(&root, &container.directory).map_err(|error| with_causes(&error))?;
        Ok(Launch { argv, variables: container.variables.clone(), entrance })
    }
}
