//! Questions under way: everyone who asks the same meanwhile waits for the same reply.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Questions under way, by their packets.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<BTreeMap<Vec<u8>, Flight>>);

#[derive(Debug)]
struct Flight {
    outcome: watch::Receiver<State>,
    ids: Arc<Ids>,
}

/// The outer `None`: not yet known; the inner: there is no reply.
type State = Option<Option<Arc<[u8]>>>;

/// The IDs that a question was sent under.
#[derive(Debug, Default)]
pub(crate) struct Ids(Mutex<Vec<u16>>);

/// What becomes of a question.
#[derive(Debug)]
pub(crate) struct Outcome(watch::Receiver<State>);

/// The one who asks; all who wait are told when it ends, however it ends.
#[derive(Debug)]
pub(crate) struct Landing {
    sender: watch::Sender<State>,
    pub(crate) ids: Arc<Ids>,
}

/// Who joins a question.
pub(crate) enum Boarding {
    /// The first, who is to ask.
    First(Landing, Outcome),
    /// Another. The question may have been ours: it came under an ID that we sent it under.
    Another { outcome: Outcome, may_be_ours: bool },
    /// Nobody: there are as many questions under way as may be.
    Full,
}

impl Flights {
    /// Joins those who wait for the reply to a question.
    pub(crate) fn board(&self, query: &[u8], client_id: Option<u16>, most: usize) -> Boarding {
        let mut flights = self.lock();
        // Without a sender, whoever asked has failed.
        let flight = flights.get(query).filter(|flight| flight.outcome.has_changed().is_ok());
        if let Some(flight) = flight {
            let may_be_ours = client_id.is_some_and(|id| flight.ids.contains(id));
            return Boarding::Another { outcome: Outcome(flight.outcome.clone()), may_be_ours };
        }
        if flights.len() >= most {
            return Boarding::Full;
        }
        let (sender, outcome) = watch::channel(None);
        let ids = Arc::new(Ids::default());
        flights.insert(query.to_vec(), Flight { outcome: outcome.clone(), ids: Arc::clone(&ids) });
        Boarding::First(Landing { sender, ids }, Outcome(outcome))
    }

    /// Tells everyone. Who comes later asks anew, or finds the reply kept.
    pub(crate) fn land(&self, query: &[u8], landing: &Landing, reply: Option<Vec<u8>>) {
        self.lock().remove(query);
        landing.sender.send_replace(Some(reply.map(Into::into)));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ids {
    pub(crate) fn add(&self, id: u16) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    fn contains(&self, id: u16) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }
}

impl Outcome {
    /// The reply; `None` when there is none.
    pub(crate) async fn reply(&mut self) -> Option<Arc<[u8]>> {
        // When the one who asks is gone without a word, the run time is ending.
        self.0.wait_for(Option::is_some).await.ok()?.clone().flatten()
    }
}
