//! The one store behind all connections: reads under a short lock, writes that are on disk before they
//! are answered, and a signal for whoever waits for changes.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use engine_access::{RBAC_GROUP, Rbac, User};
use engine_admission::Admission;
use engine_store::{Env, Kind, Status, Store, StoreConfig, Target, Write, WriteOptions, Written};
use serde_json::Value;
use tokio::sync::watch;

use crate::access;
use crate::admission::{self, ADMISSION_GROUP, Asked};
use crate::authenticate::{Keys, administrator};
use crate::credentials::ADMIN_USER;
use crate::disk::{Disk, Pending};
use crate::error::ApiServerError;
use crate::openapi::Documents;
use crate::runtime::PodRuntime;
use crate::shell;
use crate::signals::{News, Signals};

/// How long a read waits for a revision that is not there yet (apiserver `blockTimeout`).
const REVISION_PATIENCE: Duration = Duration::from_secs(3);

/// What every request needs.
pub(crate) struct Shared {
    store: Mutex<Store>,
    /// The newest revision that watches may show.
    revision: watch::Sender<u64>,
    /// Who watches, by kind.
    pub(crate) signals: Signals,
    disk: Option<Disk>,
    /// What the documents of the built-in kinds are made from; they depend on the kinds, not on the objects.
    config: StoreConfig,
    built_in: OnceLock<Documents>,
    /// The documents of all kinds, and the generation of kinds they are of.
    documents: Mutex<Option<(u64, Arc<Documents>)>>,
    pub(crate) runtime: Arc<dyn PodRuntime>,
    /// Roles and bindings, read; nothing once they have changed.
    rbac: Mutex<Option<Arc<Rbac>>>,
    /// Admission policies and bindings, in the same way.
    admission: Mutex<Option<Arc<Admission>>>,
    pub(crate) keys: Keys,
}

impl Shared {
    /// Restores the store from the data directory, if there is one, and adds what every cluster has.
    pub(crate) fn open(
        config: StoreConfig,
        data_dir: Option<&Path>,
        runtime: Arc<dyn PodRuntime>,
        keys: Keys,
    ) -> Result<Self, ApiServerError> {
        let config = StoreConfig { keep_journal: data_dir.is_some(), ..config };
        let revision = watch::Sender::new(0);
        let (mut store, disk) = match data_dir {
            None => (Store::new(config.clone()), None),
            Some(directory) => {
                let (store, disk) = Disk::open(directory, config.clone(), revision.clone())?;
                (store, Some(disk))
            }
        };
        let mut env = Env { now: shell::now(), random: &mut shell::random, user: ADMIN_USER };
        store.bootstrap(&mut env).map_err(|status| ApiServerError::Bootstrap(Box::new(status)))?;
        access::bootstrap(&mut store, &mut env)
            .map_err(|status| ApiServerError::Bootstrap(Box::new(status)))?;
        let records = store.take_journal();
        revision.send_replace(store.revision());
        if let Some(disk) = &disk {
            disk.keep(records, store.revision());
        }
        let (built_in, documents) = (OnceLock::new(), Mutex::new(None));
        let (store, rbac, admission) = (Mutex::new(store), Mutex::new(None), Mutex::new(None));
        let signals = Signals::default();
        Ok(Self {
            store,
            revision,
            signals,
            disk,
            config,
            built_in,
            documents,
            runtime,
            rbac,
            admission,
            keys,
        })
    }

    /// Roles and bindings as they are now.
    pub(crate) fn rbac(&self) -> Arc<Rbac> {
        let kept = self.kept_rbac().clone();
        kept.unwrap_or_else(|| {
            let store = self.store();
            let read = Arc::new(access::read(&store));
            // Still under the store's lock, so that no change comes in between.
            *self.kept_rbac() = Some(Arc::clone(&read));
            read
        })
    }

    fn admission(&self, store: &Store) -> Arc<Admission> {
        let mut kept = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kept.get_or_insert_with(|| Arc::new(admission::read(store))))
    }

    /// What is read from these objects is read anew.
    fn forget(&self, group: &str) {
        match group {
            RBAC_GROUP => *self.kept_rbac() = None,
            ADMISSION_GROUP => *self.admission.lock().unwrap_or_else(PoisonError::into_inner) = None,
            _ => {}
        }
    }

    fn kept_rbac(&self) -> MutexGuard<'_, Option<Arc<Rbac>>> {
        self.rbac.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The OpenAPI documents; those of built-in kinds are made on first use, without holding up the store, those of
    /// custom kinds whenever a definition changed them.
    pub(crate) fn documents(&self) -> Arc<Documents> {
        let built_in = self.built_in.get_or_init(|| Documents::new(&Store::new(self.config.clone())));
        let mut latest = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let store = self.store();
        let generation = store.kinds_generation();
        if let Some((made_at, documents)) = &*latest
            && *made_at == generation
        {
            return Arc::clone(documents);
        }
        let documents = Arc::new(built_in.with_custom(&store));
        drop(store);
        *latest = Some((generation, Arc::clone(&documents)));
        documents
    }

    /// The store, for as long as it takes to look something up; never held across an await.
    ///
    /// A panic in a write leaves the store as it was before its commit, so a poisoned lock is no reason to
    /// stop serving.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A receiver that is woken by every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Carries out a write; when it returns, the change is on disk (if there is one) and watches see it.
    pub(crate) async fn write(
        &self,
        user: &User,
        target: &Target,
        write: Write,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        if let Some(retried) = self.disk.as_ref().and_then(Disk::retry) {
            retried.done().await.map_err(Status::internal)?;
        }
        let (written, pending, _news) = self.commit(user, target, write, options);
        if let Some(pending) = pending {
            pending.done().await.map_err(Status::internal)?;
        }
        written
    }

    /// The part under the lock. Even a refused write may have changed something before it was refused, so
    /// what changed is kept and announced in either case.
    fn commit(
        &self,
        user: &User,
        target: &Target,
        write: Write,
        options: &WriteOptions,
    ) -> (Result<Written, Status>, Option<Pending>, News<'_>) {
        let mut store = self.store();
        let before = store.revision();
        let mut env = Env { now: shell::now(), random: &mut shell::random, user: &user.name };
        let asked = Asked { user, target, write: &write, options };
        let policies = self.admission(&store);
        let written = admission::admit(&mut store, &mut env, &policies, asked).and_then(|warnings| {
            let mut written = if target.group == RBAC_GROUP {
                access::write(&mut store, &mut env, user, target, write, options)
            } else {
                store.write(&mut env, target, write, options)
            }?;
            written.warnings.extend(warnings);
            Ok(written)
        });
        self.forget(&target.group);
        let news = self.signals.news(store.take_changed());
        let revision = store.revision();
        if revision == before {
            return (written, None, news);
        }
        let records = store.take_journal();
        match &self.disk {
            Some(disk) => (written, Some(disk.keep(records, revision)), news),
            None => {
                self.revision.send_replace(revision);
                (written, None, news)
            }
        }
    }

    /// Asks the store, and once more after each change while the revision asked for lies in the future.
    pub(crate) async fn read_at_revision<T>(
        &self,
        mut ask: impl FnMut(&Store) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let mut changes = self.changes();
        let patience = tokio::time::Instant::now() + REVISION_PATIENCE;
        loop {
            changes.borrow_and_update();
            let answer = ask(&self.store());
            match answer {
                Err(status) if status.code == 504 => {
                    let changed = tokio::time::timeout_at(patience, changes.changed()).await;
                    if !matches!(changed, Ok(Ok(()))) {
                        return Err(status);
                    }
                }
                answer => return answer,
            }
        }
    }
}

/// Direct access to the objects, with the semantics of the API but without HTTP.
#[derive(Clone)]
pub struct ApiHandle {
    shared: Arc<Shared>,
    /// Who it acts as; none is the API server itself, which may do everything.
    user: Option<User>,
}

impl ApiHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, user: None }
    }

    /// The same for a user, who may write what roles and bindings allow and nothing else.
    #[must_use]
    pub fn acting_as(&self, user: &str) -> Self {
        Self { shared: Arc::clone(&self.shared), user: Some(User::authenticated(user, [])) }
    }

    /// Every kind that is served now.
    #[must_use]
    pub fn kinds(&self) -> Vec<Arc<Kind>> {
        self.shared.store().kinds().to_vec()
    }

    /// One object.
    pub fn read(&self, target: &Target) -> Result<Arc<Value>, Status> {
        self.shared.store().read(target)
    }

    /// Carries out a write; 403 for what its user may not do.
    pub async fn write(
        &self,
        target: &Target,
        write: Write,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let Some(user) = &self.user else {
            return self.shared.write(&administrator(), target, write, options).await;
        };
        self.shared.authorize(user, &access::attributes(verb(&write), target))?;
        self.shared.write(user, target, write, options).await
    }

    /// The revision of the last change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.shared.store().revision()
    }
}

/// The verb that a write asks for.
fn verb(write: &Write) -> &'static str {
    match write {
        Write::Create(_) => "create",
        Write::Update(_) => "update",
        Write::Patch(..) => "patch",
        Write::Delete(_) => "delete",
        Write::DeleteCollection { .. } => "deletecollection",
    }
}
