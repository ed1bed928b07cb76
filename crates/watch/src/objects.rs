//! One kind as a stream of batches: the whole list, then single changes, for as long as it is polled.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Error};
use serde::de::DeserializeOwned;

use crate::interruption::Interruption;

/// First pause after a failed list or watch; doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause, so that a server that returns is found within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Kinds that not all API servers have: ServiceCIDRs are of Kubernetes 1.33 (KEP-1880).
const NEWER_KINDS: [&str; 1] = ["ServiceCIDR"];

/// What every object type here can do: be watched, decoded and logged.
pub trait Watched:
    kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
}

impl<K> Watched for K where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
}

/// Which objects of a kind are wanted; the default is all of them, in every namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// A label selector such as `app=web`.
    pub labels: Option<String>,
    /// A field selector such as `spec.nodeName=node-a`.
    pub fields: Option<String>,
}

impl Selection {
    /// Objects that this field selector selects.
    #[must_use]
    pub fn fields(selector: impl Into<String>) -> Self {
        Self { labels: None, fields: Some(selector.into()) }
    }

    /// Objects that this label selector selects.
    #[must_use]
    pub fn labels(selector: impl Into<String>) -> Self {
        Self { labels: Some(selector.into()), fields: None }
    }
}

/// One step of a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum ObjectBatch<K> {
    /// Everything there is; what is not in it is gone.
    Replace(Vec<K>),
    /// Made or changed.
    Put(K),
    /// Deleted; the object's last state.
    Remove(K),
}

impl<K> ObjectBatch<K> {
    /// The same step with each object replaced.
    pub fn map<T>(self, mut convert: impl FnMut(K) -> T) -> ObjectBatch<T> {
        match self {
            Self::Replace(objects) => ObjectBatch::Replace(objects.into_iter().map(convert).collect()),
            Self::Put(object) => ObjectBatch::Put(convert(object)),
            Self::Remove(object) => ObjectBatch::Remove(convert(object)),
        }
    }
}

/// Objects of one kind, decoded; the first batch is the list. Objects that cannot be decoded are logged and left out.
pub fn objects<K: Watched>(
    client: &Client,
    selection: Selection,
) -> impl Stream<Item = ObjectBatch<K>> + Send + use<K> {
    guarded::<K, _>(client, selection, |object| object).filter_map(|batch| async {
        match batch {
            ObjectBatch::Replace(list) => {
                Some(ObjectBatch::Replace(list.into_iter().filter_map(decoded).collect()))
            }
            ObjectBatch::Put(object) => decoded(object).map(ObjectBatch::Put),
            ObjectBatch::Remove(object) => decoded(object).map(ObjectBatch::Remove),
        }
    })
}

fn decoded<K: Watched>(object: Decoded<K>) -> Option<K> {
    object
        .inspect_err(|invalid| {
            let object = object_name(&invalid.metadata);
            tracing::warn!(kind = %K::kind(&()), object, error = invalid.error, "object cannot be decoded");
        })
        .ok()
}

fn object_name(metadata: &kube::core::ObjectMeta) -> String {
    let name = metadata.name.as_deref().unwrap_or_default();
    metadata.namespace.as_ref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

/// An object, or why it could not be decoded.
pub(crate) type Decoded<K> = Result<K, Box<InvalidObject>>;

pub(crate) fn decoded_or_not<K>(guard: DeserializeGuard<K>) -> Decoded<K> {
    guard.0.map_err(Box::new)
}

/// Objects of one kind, each decoded or with the reason why not, converted one by one as they come: what is collected while a
/// list goes on is many times smaller then.
pub(crate) fn guarded<K: Watched, T: Send>(
    client: &Client,
    selection: Selection,
    convert: fn(Decoded<K>) -> T,
) -> impl Stream<Item = ObjectBatch<T>> + Send + use<K, T> {
    guarded_from(Api::all(client.clone()), selection, convert)
}

/// As [`guarded`], of those that this end of the API gives.
pub(crate) fn guarded_from<K: Watched, T: Send>(
    api: Api<DeserializeGuard<K>>,
    selection: Selection,
    convert: fn(Decoded<K>) -> T,
) -> impl Stream<Item = ObjectBatch<T>> + Send + use<K, T> {
    let config = watcher::Config {
        label_selector: selection.labels,
        field_selector: selection.fields,
        ..watcher::Config::default()
    };
    let events = Box::pin(watcher(api, config));
    let state = (events, Relist::default(), Troubles::default());
    stream::unfold(state, move |(mut events, mut relist, mut troubles)| async move {
        loop {
            let Some(next) = troubles.interruption.watch(events.next()).await else { continue };
            match next? {
                Ok(event) => {
                    // It says so before it has asked.
                    if !matches!(event, Event::Init) {
                        troubles.interruption.end();
                    }
                    if let Some(batch) =
                        relist.fold(converted(event, |object| convert(decoded_or_not(object))))
                    {
                        troubles.pauses.start_over();
                        troubles.is_known = true;
                        return Some((batch, (events, relist, troubles)));
                    }
                }
                Err(watcher::Error::InitialListFailed(error))
                    if !troubles.is_known && is_kind_missing::<K>(&error) =>
                {
                    troubles.is_known = true;
                    tracing::info!(kind = %K::kind(&()), "the API has no such kind, so there are no objects of it");
                    return Some((ObjectBatch::Replace(Vec::new()), (events, relist, troubles)));
                }
                Err(watcher::Error::InitialListFailed(error)) if is_kind_missing::<K>(&error) => {
                    // Until the API server is a newer one.
                    tokio::time::sleep(troubles.pauses.draw()).await;
                }
                Err(error) => {
                    troubles.interruption.begin();
                    log_interruption::<K>(&error);
                    tokio::time::sleep(troubles.pauses.draw()).await;
                }
            }
        }
    })
}

/// What stands between one watch and the API.
#[derive(Default)]
struct Troubles {
    pauses: Pauses,
    interruption: Interruption,
    /// Whether there was a list, or there is none to be had.
    is_known: bool,
}

/// Whether this is how an API server says that it is too old for the kind. All have the other kinds: where they are missing,
/// something else answered.
pub(crate) fn is_kind_missing<K: Watched>(error: &Error) -> bool {
    NEWER_KINDS.contains(&&*K::kind(&())) && matches!(error, Error::Api(status) if status.code == 404)
}

fn converted<K, T>(event: Event<K>, convert: impl FnOnce(K) -> T) -> Event<T> {
    match event {
        Event::Apply(object) => Event::Apply(convert(object)),
        Event::Delete(object) => Event::Delete(convert(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(convert(object)),
        Event::InitDone => Event::InitDone,
    }
}

fn log_interruption<K: Watched>(error: &watcher::Error) {
    let why = types::with_causes(error);
    tracing::warn!(kind = %K::kind(&()), why, "watch interrupted; the last state stays in force until it is back");
}

/// Collects the pieces of a list until it is complete, so that nobody ever sees half of one.
pub(crate) struct Relist<K>(Option<Vec<K>>);

impl<K> Default for Relist<K> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K> Relist<K> {
    pub(crate) fn fold(&mut self, event: Event<K>) -> Option<ObjectBatch<K>> {
        match event {
            Event::Init => {
                self.0 = Some(Vec::new());
                None
            }
            Event::InitApply(object) => {
                self.0.get_or_insert_default().push(object);
                None
            }
            Event::InitDone => Some(ObjectBatch::Replace(self.0.take().unwrap_or_default())),
            Event::Apply(object) => Some(ObjectBatch::Put(object)),
            Event::Delete(object) => Some(ObjectBatch::Remove(object)),
        }
    }
}

/// Doubling pauses. They start over with the first batch, not with the first event: a watcher announces each new
/// attempt to list with an event.
#[derive(Default)]
pub(crate) struct Pauses {
    failures: u32,
}

impl Pauses {
    pub(crate) fn draw(&mut self) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    pub(crate) fn start_over(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn mk_object(name: &str) -> ConfigMap {
        let metadata = kube::core::ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    #[test]
    fn a_list_arrives_whole_or_not_at_all() {
        let mut relist = Relist::default();
        assert_eq!(relist.fold(Event::Init), None);
        assert_eq!(relist.fold(Event::InitApply(mk_object("lost"))), None);
        // The connection breaks here and the list starts again.
        assert_eq!(relist.fold(Event::Init), None);
        assert_eq!(relist.fold(Event::InitApply(mk_object("a"))), None);
        assert_eq!(relist.fold(Event::InitApply(mk_object("b"))), None);
        let whole = ObjectBatch::Replace(vec![mk_object("a"), mk_object("b")]);
        assert_eq!(relist.fold(Event::InitDone), Some(whole));
        assert_eq!(relist.fold(Event::Apply(mk_object("c"))), Some(ObjectBatch::Put(mk_object("c"))));
    }

    #[test]
    fn an_empty_list_is_a_batch_too() {
        let mut relist: Relist<ConfigMap> = Relist::default();
        assert_eq!(relist.fold(Event::Init), None);
        assert_eq!(relist.fold(Event::InitDone), Some(ObjectBatch::Replace(Vec::new())));
    }

    #[test]
    fn pauses_double_up_to_five_seconds_and_start_over() {
        let mut pauses = Pauses::default();
        let first: Vec<_> = (0..8).map(|_| pauses.draw().as_millis()).collect();
        assert_eq!(first, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        pauses.start_over();
        assert_eq!(pauses.draw(), FIRST_PAUSE);
    }
}
