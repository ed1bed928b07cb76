//! How fast a Pod's annotations want its network to be.
//!
//! As container runtimes read them: `ExtractPodBandwidthResources` of what was Kubernetes' `pkg/util/bandwidth`.

use std::collections::BTreeMap;

use engine_schema::quantity;

const INGRESS: &str = "kubernetes.io/ingress-bandwidth";
const EGRESS: &str = "kubernetes.io/egress-bandwidth";

/// `1k` and `1P`, in billionths of a bit per second.
const SMALLEST: i128 = 1_000 * NANO;
const LARGEST: i128 = 1_000_000_000_000_000 * NANO;
const NANO: i128 = 1_000_000_000;

/// Limits in bits per second, seen from the Pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// To the Pod.
    pub ingress: Option<u64>,
    /// From the Pod.
    pub egress: Option<u64>,
}

/// What the annotations of a Pod say.
///
/// # Errors
/// When one of them is no quantity, or not a speed that anybody means.
pub fn of_annotations(annotations: Option<&BTreeMap<String, String>>) -> Result<Bandwidth, String> {
    let read =
        |name: &str| annotations.and_then(|all| all.get(name)).map(|text| parse(name, text)).transpose();
    Ok(Bandwidth { ingress: read(INGRESS)?, egress: read(EGRESS)? })
}

fn parse(name: &str, text: &str) -> Result<u64, String> {
    let why = match quantity::nanos(text) {
        None => "is not a quantity, such as 10M",
        Some(nanos) if nanos < SMALLEST => "is unreasonably small (< 1kbit)",
        Some(nanos) if nanos > LARGEST => "is unreasonably large (> 1Pbit)",
        // A part of a bit counts as a whole one, as in `Quantity.Value`.
        Some(nanos) => {
            let bits = nanos.div_euclid(NANO) + i128::from(nanos % NANO != 0);
            return Ok(u64::try_from(bits).expect("it is at most the largest"));
        }
    };
    Err(format!("annotation {name}: `{text}` {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ingress: &str, egress: &str) -> Result<Bandwidth, String> {
        let pairs = [(INGRESS, ingress), (EGRESS, egress)].into_iter().filter(|(_, text)| !text.is_empty());
        of_annotations(Some(&pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()))
    }

    #[test]
    fn annotations_are_quantities_in_bits() {
        assert_eq!(of_annotations(None), Ok(Bandwidth::default()));
        let wanted = Bandwidth { ingress: Some(10_000_000), egress: Some(2_097_152) };
        assert_eq!(read("10M", "2Mi"), Ok(wanted));
        assert_eq!(
            read("1k", "1P"),
            Ok(Bandwidth { ingress: Some(1_000), egress: Some(1_000_000_000_000_000) })
        );
        assert_eq!(read("1000500m", "").map(|bandwidth| bandwidth.ingress), Ok(Some(1_001)));
    }

    #[test]
    fn speeds_that_nobody_means_are_refused() {
        for (text, why) in [
            ("999", "is unreasonably small (< 1kbit)"),
            ("-1M", "is unreasonably small (< 1kbit)"),
            ("2P", "is unreasonably large (> 1Pbit)"),
            ("10Mbit", "is not a quantity"),
            ("fast", "is not a quantity"),
        ] {
            let error = read("1M", text).unwrap_err();
            assert!(error.starts_with(&format!("annotation {EGRESS}: `{text}` {why}")), "{error}");
        }
    }
}
