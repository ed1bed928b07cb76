//! Why a connection works or fails, hop by hop, from the plans alone.
//!
//! This crate strings the engines together and decides nothing itself: names are `engine-dns`'s, verdicts are
//! `engine-policy`'s, HTTP routes are `engine-http`'s, and where a Service leads stands in the plan. It needs no
//! agent and no packet, so whoever may read the cluster's objects may ask.

mod cluster;
mod connect;
mod entry;
mod explanation;
mod names;
mod policy;
mod question;

pub use cluster::Cluster;
pub use explanation::{Conclusion, Explanation, Hop, HopVerdict, Stage};
pub use question::{Client, Question, QuestionError, Target, Url};

use types::Protocol;

/// Answers a question from the plans of all nodes.
#[must_use]
pub fn explain(cluster: &Cluster, question: &Question) -> Explanation {
    let mut explanation = Explanation::new(question);
    let Some(source) = cluster.source(&question.from) else {
        let nobody = format!("{} is not a running Pod with an address, or not a Node", question.from);
        return explanation.end(Conclusion::NoClient, nobody);
    };
    let destinations = match names::resolve(cluster, &source, &question.to) {
        Ok(found) => {
            explanation.hops.extend(found.hops);
            found.addresses
        }
        Err(lost) => {
            explanation.hops.extend(lost.hops);
            return explanation.end(lost.conclusion, lost.why);
        }
    };
    let Some(port) = question.port() else {
        return explanation.end(Conclusion::NoPort, "say which port, as in `web:80`".to_owned());
    };
    // A client tries the addresses in order; like most, we look at the first.
    let Some(address) = destinations.first() else {
        return explanation.end(Conclusion::NoName, "the name has no address".to_owned());
    };
    let protocol = if question.to.url().is_some() { Protocol::Tcp } else { question.protocol };
    let attempt = connect::Attempt { address: *address, port, protocol };
    connect::follow(cluster, &source, attempt, question.to.url(), &mut explanation);
    explanation
}

#[cfg(test)]
mod tests;
