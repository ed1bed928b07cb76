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

use types::{IpFamily, Port, Protocol};

/// Answers a question from the plans of all nodes.
#[must_use]
pub fn explain(cluster: &Cluster, question: &Question) -> Explanation {
    let mut explanation = Explanation::new(question);
    let Some(source) = cluster.source(&question.from) else {
        return explanation.end(Conclusion::NoClient, nobody(&question.from));
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
    let Some(first) = destinations.first() else {
        return explanation.end(Conclusion::NoName, "the name has no address".to_owned());
    };
    // A client tries the addresses in order; like most, we look at the first of a family that it has.
    let way = destinations.iter().find_map(|address| Some((address, source.clone().towards(*address)?)));
    let Some((address, source)) = way else {
        let why = format!("the client has no {} address to reach {first} with", IpFamily::of(*first));
        explanation.hops.push(Hop::stop(Stage::Route, why.clone()));
        return explanation.end(Conclusion::Refused, why);
    };
    let attempt = match question.port() {
        Some(port) => connect::Attempt { address: *address, port, protocol: question.protocol },
        None => match cluster.service_ports(*address).as_slice() {
            [(port, protocol)] => connect::Attempt { address: *address, port: *port, protocol: *protocol },
            several => return explanation.end(Conclusion::NoPort, which_port(&question.to, several)),
        },
    };
    connect::follow(cluster, &source, attempt, question.to.url(), &mut explanation);
    explanation
}

fn nobody(client: &Client) -> String {
    match client {
        Client::Pod(pod) => {
            format!(
                "there is no running Pod {pod} with an address; a client is a Pod: `name` or `namespace/name`"
            )
        }
        other => format!("there is no {other} with an address"),
    }
}

fn which_port(target: &Target, ports: &[(Port, Protocol)]) -> String {
    let listed: Vec<_> = ports.iter().map(|(port, protocol)| format!("{port}/{protocol}")).collect();
    match listed.as_slice() {
        [] => format!("say which port of {target} is meant, with `:port` after it"),
        listed => format!(
            "say which port of {target} is meant, with `:port` after it: it has {}",
            listed.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests;
