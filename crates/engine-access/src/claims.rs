//! Service account tokens: what they claim, how that is written, and when it still holds.
//!
//! JSON Web Tokens signed with ES256 (RFC 7519, RFC 7515, RFC 7518 section 3.4). The signature itself is made and
//! checked by the caller. Claims and checks are upstream's `pkg/serviceaccount/claims.go`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::user::User;

/// What a token says of whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// For whom it is meant.
    pub aud: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// Who issued it.
    pub iss: String,
    /// Its own id.
    pub jti: String,
    /// What is Kubernetes' own.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Private,
    /// Before when it is not valid.
    pub nbf: i64,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub sub: String,
}

/// The claim `kubernetes.io`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Private {
    /// Namespace of the service account.
    pub namespace: String,
    /// Node of the Pod, for information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Named>,
    /// The Pod it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Named>,
    /// The Secret it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Named>,
    /// The service account.
    pub serviceaccount: Named,
    /// From when on its use would be remarked: it lives longer than asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// An object by name and uid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Name.
    pub name: String,
    /// uid.
    pub uid: String,
}

/// An object a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundRef {
    /// `Pod` or `Secret`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// uid.
    pub uid: String,
    /// Node of a Pod: name and uid.
    pub node: Option<(String, String)>,
}

/// What a new token is to claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Who issues it.
    pub issuer: &'a str,
    /// Namespace, name and uid of the service account.
    pub account: (&'a str, &'a str, &'a str),
    /// For whom.
    pub audiences: Vec<String>,
    /// What it is bound to.
    pub bound: Option<BoundRef>,
    /// Seconds it is valid.
    pub seconds: i64,
    /// Seconds after which its use would be remarked.
    pub warn_after: Option<i64>,
}

/// A token taken apart; nothing of it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// What the signature is over.
    pub signed: &'a str,
    /// The signature, 64 bytes of r and s.
    pub signature: Vec<u8>,
    /// Which key is said to have made it.
    pub key_id: String,
    /// What it claims.
    pub claims: Claims,
}

/// Why a token does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of this form.
    #[error("the token is not a signed JSON web token with ES256")]
    Malformed,
    /// Somebody else issued it.
    #[error("the token was issued by {0:?}")]
    Issuer(String),
    /// Its signature is not ours.
    #[error("the signature of the token is not valid")]
    Signature,
    /// It is past its end.
    #[error("service account token has expired")]
    Expired,
    /// Its time has not come.
    #[error("service account token is not valid yet")]
    Early,
    /// It is meant for others.
    #[error("token audiences {token:?} is invalid for the target audiences {wanted:?}")]
    Audience {
        /// Whom it is for.
        token: Vec<String>,
        /// Whom it was to be for.
        wanted: Vec<String>,
    },
    /// It contradicts itself.
    #[error("service account name claim is invalid")]
    Subject,
    /// An object it depends on is gone.
    #[error("{kind} {namespace}/{name} has been deleted")]
    Gone {
        /// Which kind.
        kind: &'static str,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// An object it depends on is another one by now.
    #[error("{kind} UID ({found}) does not match claim ({claimed})")]
    Replaced {
        /// Which kind.
        kind: &'static str,
        /// The uid of today's object.
        found: String,
        /// The uid in the token.
        claimed: String,
    },
}

/// The claims of a new token; `id` is a fresh uid.
#[must_use]
pub fn now_claims(wanted: Wanted<'_>, now: i64, id: String) -> Claims {
    let (namespace, name, uid) = wanted.account;
    let named = |bound: &BoundRef| Named { name: bound.name.clone(), uid: bound.uid.clone() };
    let of_kind = |kind: &str| wanted.bound.as_ref().filter(|bound| bound.kind == kind).map(named);
    let node = wanted.bound.as_ref().and_then(|bound| bound.node.clone());
    Claims {
        exp: now.saturating_add(wanted.seconds),
        iat: now,
        nbf: now,
        iss: wanted.issuer.to_owned(),
        jti: id,
        sub: format!("system:serviceaccount:{namespace}:{name}"),
        kubernetes: Private {
            namespace: namespace.to_owned(),
            node: node.map(|(name, uid)| Named { name, uid }),
            pod: of_kind("Pod"),
            secret: of_kind("Secret"),
            serviceaccount: Named { name: name.to_owned(), uid: uid.to_owned() },
            warnafter: wanted.warn_after.map(|seconds| now.saturating_add(seconds)),
        },
        aud: wanted.audiences,
    }
}

/// What the signature of a token is over: header and claims (RFC 7515 section 5.1).
#[must_use]
pub fn signing_input(claims: &Claims, key_id: &str) -> String {
    let header = json!({"alg": "ES256", "kid": key_id}).to_string();
    let claims = serde_json::to_string(claims).expect("claims are texts and numbers");
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

/// Takes a token apart.
///
/// # Errors
/// When it is none, or signed in another way: above all never `none`.
pub fn parse_token(token: &str) -> Result<Parsed<'_>, TokenError> {
    #[derive(Deserialize)]
    struct Header {
        alg: String,
        #[serde(default)]
        kid: String,
    }
    let malformed = || TokenError::Malformed;
    let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed);
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| malformed())?;
    if header.alg != "ES256" {
        return Err(malformed());
    }
    let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| malformed())?;
    Ok(Parsed { signed, signature: decode(signature)?, key_id: header.kid, claims })
}

impl Claims {
    /// The audiences of the token that are wanted; none in common is an error.
    ///
    /// # Errors
    /// When another issuer is named, the time is not right, or the token is for others.
    pub fn check(&self, issuer: &str, wanted: &[String], now: i64) -> Result<Vec<String>, TokenError> {
        if self.iss != issuer {
            return Err(TokenError::Issuer(self.iss.clone()));
        }
        if now < self.nbf {
            return Err(TokenError::Early);
        }
        if now >= self.exp {
            return Err(TokenError::Expired);
        }
        let common: Vec<String> =
            self.aud.iter().filter(|audience| wanted.contains(audience)).cloned().collect();
        if common.is_empty() {
            return Err(TokenError::Audience { token: self.aud.clone(), wanted: wanted.to_vec() });
        }
        let own = User::split_service_account(&self.sub);
        if own != Some((&self.kubernetes.namespace, &self.kubernetes.serviceaccount.name)) {
            return Err(TokenError::Subject);
        }
        Ok(common)
    }

    /// Whether what the token depends on is still the same; `find` gives objects by plural resource and name
    /// in the token's Namespace.
    ///
    /// # Errors
    /// When something is gone, about to go, or another object by the same name.
    pub fn check_objects<T: AsRef<Value>>(
        &self,
        now: i64,
        find: impl Fn(&str, &str) -> Option<T>,
        seconds_of: impl Fn(&str) -> Option<i64>,
    ) -> Result<(), TokenError> {
        let own = &self.kubernetes;
        let bound = [
            ("service account", "serviceaccounts", Some(&own.serviceaccount)),
            ("pod", "pods", own.pod.as_ref()),
            ("secret", "secrets", own.secret.as_ref()),
        ];
        for (kind, resource, named) in bound {
            let Some(named) = named else { continue };
            let gone =
                || TokenError::Gone { kind, namespace: own.namespace.clone(), name: named.name.clone() };
            let found = find(resource, &named.name).ok_or_else(gone)?;
            let metadata = &found.as_ref()["metadata"];
            let uid = metadata["uid"].as_str().unwrap_or_default();
            if uid != named.uid {
                let (found, claimed) = (uid.to_owned(), named.uid.clone());
                return Err(TokenError::Replaced { kind, found, claimed });
            }
            let ends = metadata["deletionTimestamp"].as_str().and_then(&seconds_of);
            if ends.is_some_and(|ends| ends.saturating_add(DELETION_LEEWAY) <= now) {
                return Err(gone());
            }
        }
        Ok(())
    }

    /// The user the token stands for.
    #[must_use]
    pub fn user(&self) -> User {
        let own = &self.kubernetes;
        let account = &own.serviceaccount;
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut tell = |key: &str, value: String| {
            extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
        };
        if !self.jti.is_empty() {
            tell("credential-id", format!("JTI={}", self.jti));
        }
        for (named, keys) in [(&own.pod, ["pod-name", "pod-uid"]), (&own.node, ["node-name", "node-uid"])] {
            if let Some(named) = named {
                tell(keys[0], named.name.clone());
                tell(keys[1], named.uid.clone());
            }
        }
        User { extra, ..User::service_account(&own.namespace, &account.name, &account.uid) }
    }
}

/// For how long after its end an object's tokens still count (upstream: `jwt.DefaultLeeway`).
const DELETION_LEEWAY: i64 = 60;

#[cfg(test)]
mod tests;
