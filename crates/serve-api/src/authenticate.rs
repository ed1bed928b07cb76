//! Who sends a request: from the connection's client certificate or the request's bearer token, and whom the
//! sender wants to be taken for.

use engine_access::{Impersonation, MASTERS_GROUP, TokenError, User, parse_token};
use engine_store::{Status, Target};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::credentials::{ADMIN_USER, Credentials};
use crate::error::ApiServerError;
use crate::issuer::{ISSUER, Issuer};
use crate::query::{Plus, decode};
use crate::shared::Shared;
use crate::shell;

/// What proves identities besides certificates.
pub(crate) struct Keys {
    administrator_token: String,
    pub(crate) issuer: Issuer,
}

/// A token that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    pub(crate) user: User,
    /// Which of the audiences asked about it is for.
    pub(crate) audiences: Vec<String>,
}

impl Keys {
    pub(crate) fn new(credentials: &Credentials) -> Result<Self, ApiServerError> {
        Ok(Self {
            administrator_token: credentials.administrator_token().to_owned(),
            issuer: Issuer::from_pem(credentials.token_key_pem())?,
        })
    }
}

/// The administrator of the kubeconfig.
pub(crate) fn administrator() -> User {
    User::authenticated(ADMIN_USER, [MASTERS_GROUP.to_owned()])
}

impl Shared {
    /// Who sends a request; 401 for a token that does not count.
    ///
    /// A certificate counts before a token, as upstream asks its authenticators in this order.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        certificate: Option<&User>,
    ) -> Result<User, Status> {
        if let Some(user) = certificate {
            return Ok(user.clone());
        }
        let unauthorized = || Status::new(401, "Unauthorized", "Unauthorized");
        match bearer(headers) {
            Bearer::Absent => Ok(User::anonymous()),
            Bearer::Unreadable => Err(unauthorized()),
            Bearer::Token(token) => {
                let proven = self.prove(token, &[ISSUER.to_owned()]);
                proven.map(|proven| proven.user).map_err(|_| unauthorized())
            }
        }
    }

    /// Whom a token stands for, if it is for one of the audiences.
    pub(crate) fn prove(&self, token: &str, audiences: &[String]) -> Result<Proven, TokenError> {
        if equal_in_constant_time(token.as_bytes(), self.keys.administrator_token.as_bytes()) {
            return Ok(Proven { user: administrator(), audiences: audiences.to_vec() });
        }
        let now = shell::now().as_second();
        let parsed = parse_token(token)?;
        self.keys.issuer.verify(&parsed)?;
        let claims = parsed.claims;
        let audiences = claims.check(ISSUER, audiences, now)?;
        let find = |resource: &str, name: &str| {
            let target = Target {
                version: "v1".to_owned(),
                resource: resource.to_owned(),
                namespace: Some(claims.kubernetes.namespace.clone()),
                name: Some(name.to_owned()),
                ..Target::default()
            };
            self.store().read(&target).ok()
        };
        let seconds = |text: &str| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second);
        claims.check_objects(now, find, seconds)?;
        Ok(Proven { user: claims.user(), audiences })
    }

    /// Who the request is once its `Impersonate-*` headers are honoured; 403 for whoever may not.
    pub(crate) fn impersonated(&self, user: User, headers: &HeaderMap) -> Result<User, Status> {
        let wish = impersonation(headers);
        if wish.is_empty() {
            return Ok(user);
        }
        let needed = wish.permissions().map_err(|error| Status::internal(error.to_string()))?;
        for permission in &needed {
            self.authorize(&user, permission)?;
        }
        Ok(wish.into_user())
    }
}

/// What the `Impersonate-*` headers say; keys of extra facts may be percent-encoded.
fn impersonation(headers: &HeaderMap) -> Impersonation {
    let texts = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let first = |name: &str| texts(name).into_iter().next().unwrap_or_default();
    let mut wish = Impersonation {
        user: first("impersonate-user"),
        groups: texts("impersonate-group"),
        uid: first("impersonate-uid"),
        ..Impersonation::default()
    };
    for name in headers.keys().map(http::HeaderName::as_str) {
        if let Some(key) = name.strip_prefix("impersonate-extra-") {
            wish.extra.insert(decode(key, Plus::IsPlus), texts(name));
        }
    }
    wish
}

/// What an `Authorization` header says.
#[derive(Debug, PartialEq, Eq)]
enum Bearer<'a> {
    /// No such header, or one without a token.
    Absent,
    /// This token.
    Token(&'a str),
    /// Another scheme.
    Unreadable,
}

fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Bearer::Absent };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        Some(token) if !token.is_empty() => Bearer::Token(token),
        _ => Bearer::Unreadable,
    }
}

/// Compares without telling by its duration where the first difference is.
fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_tokens_are_read() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), Bearer::Absent);
        for (text, wanted) in [
            ("Bearer secret", Bearer::Token("secret")),
            ("bearer  secret", Bearer::Token("secret")),
            ("Basic c2VjcmV0", Bearer::Unreadable),
            ("secret", Bearer::Unreadable),
            ("Bearer ", Bearer::Unreadable),
        ] {
            headers.insert(AUTHORIZATION, text.parse().unwrap());
            assert_eq!(bearer(&headers), wanted, "{text}");
        }
    }

    #[test]
    fn wishes_to_be_somebody_else() {
        let mut headers = HeaderMap::new();
        assert!(impersonation(&headers).is_empty());
        headers.insert("impersonate-user", "jane".parse().unwrap());
        headers.append("impersonate-group", "a".parse().unwrap());
        headers.append("impersonate-group", "b".parse().unwrap());
        headers.insert("impersonate-extra-acme.com%2Fproject", "x".parse().unwrap());
        let wish = impersonation(&headers);
        assert_eq!((wish.user.as_str(), wish.groups.len()), ("jane", 2));
        assert_eq!(wish.extra["acme.com/project"], ["x"]);
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(equal_in_constant_time(b"secret", b"secret"));
        assert!(!equal_in_constant_time(b"secret", b"secreT"));
        assert!(!equal_in_constant_time(b"secret", b"secrets"));
    }
}
