//! Requests for tokens: `authentication.k8s.io/v1 TokenRequest`, read and checked.

use serde_json::Value;

/// Shortest life of a token in seconds (upstream: `pkg/apis/authentication/validation`).
const SHORTEST: i64 = 10 * 60;
/// Longest one, from the same place.
const LONGEST: i64 = 1 << 32;
/// Life of a token that is asked for without a life (upstream: defaults of `TokenRequestSpec`).
const DEFAULT: i64 = 60 * 60;
/// Life that Pods' own volumes ask for, and by which the server knows them
/// (upstream: `serviceaccount.WarnOnlyBoundTokenExpirationPeriod`).
pub(crate) const OF_POD_VOLUMES: i64 = 60 * 60 + 7;
/// Life that such tokens get, for clients that never read the file again
/// (upstream: `serviceaccount.ExpirationExtensionSeconds`).
const EXTENDED: i64 = 365 * 24 * 60 * 60;

/// What a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// For whom; empty for the API itself.
    pub audiences: Vec<String>,
    /// Seconds asked for.
    pub seconds: i64,
    /// What it shall be bound to: kind, apiVersion, name, uid.
    pub bound: Option<[String; 4]>,
}

/// A request that cannot be met: the field and the text of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct RequestError {
    /// Field path.
    pub field: &'static str,
    /// `Invalid value: …`.
    pub message: String,
}

impl TokenRequest {
    /// Reads a `TokenRequest`.
    ///
    /// # Errors
    /// When the life asked for is too short or too long.
    pub fn parse(request: &Value) -> Result<Self, RequestError> {
        let spec = &request["spec"];
        let seconds = spec["expirationSeconds"].as_i64().unwrap_or(DEFAULT);
        let refuse = |text: &str| RequestError {
            field: "spec.expirationSeconds",
            message: format!("Invalid value: {seconds}: {text}"),
        };
        if seconds < SHORTEST {
            return Err(refuse("may not specify a duration less than 10 minutes"));
        }
        if seconds > LONGEST {
            return Err(refuse("may not specify a duration larger than 2^32 seconds"));
        }
        let audiences = spec["audiences"].as_array().into_iter().flatten();
        let bound = spec.get("boundObjectRef").filter(|bound| bound.is_object()).map(|bound| {
            ["kind", "apiVersion", "name", "uid"]
                .map(|field| bound[field].as_str().unwrap_or_default().to_owned())
        });
        Ok(Self {
            audiences: audiences.filter_map(Value::as_str).map(str::to_owned).collect(),
            seconds,
            bound,
        })
    }

    /// Seconds the token really lives, and after how many its use would be remarked: tokens in the volumes
    /// that Pods get by themselves live long, as upstream's do (`--service-account-extend-token-expiration`).
    #[must_use]
    pub fn life(&self) -> (i64, Option<i64>) {
        let of_pod = self.bound.as_ref().is_some_and(|bound| bound[0] == "Pod");
        if of_pod && self.audiences.is_empty() && self.seconds == OF_POD_VOLUMES {
            (EXTENDED, Some(self.seconds))
        } else {
            (self.seconds, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mk(spec: &Value) -> Result<TokenRequest, RequestError> {
        TokenRequest::parse(&json!({"spec": spec}))
    }

    #[test]
    fn lives() {
        assert_eq!(mk(&json!({})).unwrap().life(), (3600, None));
        assert_eq!(mk(&json!({"expirationSeconds": 600})).unwrap().life(), (600, None));
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "name": "web"});
        let of_volume = json!({"expirationSeconds": 3607, "boundObjectRef": pod});
        assert_eq!(mk(&of_volume).unwrap().life(), (31_536_000, Some(3607)));
        assert_eq!(mk(&json!({"expirationSeconds": 3607})).unwrap().life(), (3607, None));
        assert_eq!(
            mk(&json!({"expirationSeconds": 599})).unwrap_err().to_string(),
            "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"
        );
        assert!(mk(&json!({"expirationSeconds": 1_i64 << 33})).is_err());
    }
}
