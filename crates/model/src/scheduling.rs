//! How a Service's endpoints share its connections: two annotations of ours.

use std::collections::BTreeMap;

use types::Labels;

use crate::field::{FieldError, Read};

/// How an endpoint is chosen: `random` (the default) or `source-hash`.
pub const SCHEDULING_ANNOTATION: &str = "sealane.dev/scheduling";
/// How large a part of the connections groups of endpoints get: `track=stable: 9; track=canary: 1`, where a group is the
/// Pods with these labels (several with commas between them) or `*` for all others.
pub const WEIGHTS_ANNOTATION: &str = "sealane.dev/weights";

/// No weight is larger; parts of a thousand are finer than the rules are.
const MAX_WEIGHT: u32 = 1000;

/// How one of a Service's endpoints is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// By the client's address instead of by chance.
    pub by_source: bool,
    /// Groups, in the order in which a Pod is looked for in them; empty when all endpoints have the same chance.
    pub groups: Vec<WeightGroup>,
}

/// Endpoints that together get one part of the connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightGroup {
    /// Labels that its Pods have; `None` for everything that is in no other group.
    pub labels: Option<Labels>,
    /// The group's part of the sum of all weights, 0 to 1000.
    pub weight: u32,
}

impl Scheduling {
    /// Reads the annotations.
    pub(crate) fn of(annotations: Option<&BTreeMap<String, String>>) -> Read<Self> {
        let text = |name: &str| annotations.and_then(|all| all.get(name)).map(|text| text.trim());
        let by_source = match text(SCHEDULING_ANNOTATION) {
            None | Some("random") => false,
            Some("source-hash") => true,
            Some(other) => {
                let message = format!("`{other}` is neither random nor source-hash");
                return Err(FieldError::invalid(field(SCHEDULING_ANNOTATION), message));
            }
        };
        let groups = text(WEIGHTS_ANNOTATION).map_or(Ok(Vec::new()), parse_weights).map_err(|why| {
            let message = format!("{why}; weights are written `track=stable: 9; track=canary: 1`");
            FieldError::invalid(field(WEIGHTS_ANNOTATION), message)
        })?;
        Ok(Self { by_source, groups })
    }
}

fn field(annotation: &str) -> String {
    format!("metadata.annotations[{annotation}]")
}

fn parse_weights(text: &str) -> Result<Vec<WeightGroup>, String> {
    let groups: Vec<WeightGroup> = text
        .split(';')
        .filter(|group| !group.trim().is_empty())
        .map(parse_group)
        .collect::<Result<_, _>>()?;
    if groups.is_empty() {
        return Err("there is no weight in it".to_owned());
    }
    if groups.iter().all(|group| group.weight == 0) {
        return Err("every weight is 0".to_owned());
    }
    Ok(groups)
}

fn parse_group(text: &str) -> Result<WeightGroup, String> {
    let (labels, weight) = text.rsplit_once(':').ok_or_else(|| format!("`{}` has no weight", text.trim()))?;
    let weight = weight.trim();
    let number = weight.parse().ok().filter(|weight| *weight <= MAX_WEIGHT);
    let number = number.ok_or_else(|| format!("`{weight}` is no weight from 0 to {MAX_WEIGHT}"))?;
    let labels = match labels.trim() {
        "*" => None,
        labels => Some(labels.split(',').map(parse_label).collect::<Result<_, _>>()?),
    };
    Ok(WeightGroup { labels, weight: number })
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').map(|(key, value)| (key.trim(), value.trim())).unwrap_or_default();
    if key.is_empty() || value.is_empty() {
        return Err(format!("`{}` is no label with its value", text.trim()));
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Scheduling, String> {
        let annotations = BTreeMap::from([(name.to_owned(), text.to_owned())]);
        Scheduling::of(Some(&annotations)).map_err(|error| format!("{}: {}", error.field, error.message))
    }

    fn group(labels: &[(&str, &str)], weight: u32) -> WeightGroup {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        WeightGroup { labels: Some(labels), weight }
    }

    #[test]
    fn weights_are_read_group_by_group() {
        let read = read(WEIGHTS_ANNOTATION, "track=canary, zone = a : 1; *: 9;").unwrap();
        let rest = WeightGroup { labels: None, weight: 9 };
        assert_eq!(read.groups, [group(&[("track", "canary"), ("zone", "a")], 1), rest]);
        assert_eq!(Scheduling::of(None).unwrap(), Scheduling::default());
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (text, why) in [
            ("", "there is no weight in it"),
            ("track=stable", "`track=stable` has no weight"),
            ("track=stable: many", "`many` is no weight from 0 to 1000"),
            ("track=stable: 1001", "`1001` is no weight from 0 to 1000"),
            ("track: 5", "`track` is no label with its value"),
            ("a=b: 0; *: 0", "every weight is 0"),
        ] {
            let expected = format!(
                "metadata.annotations[sealane.dev/weights]: {why}; weights are written `track=stable: 9; track=canary: 1`"
            );
            assert_eq!(read(WEIGHTS_ANNOTATION, text).unwrap_err(), expected);
        }
        assert!(
            read(SCHEDULING_ANNOTATION, "maglev").unwrap_err().ends_with("neither random nor source-hash")
        );
        assert!(read(SCHEDULING_ANNOTATION, "source-hash").unwrap().by_source);
    }
}
