//! The key that signs service account tokens, and what others need to check them.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine_access::{Claims, Parsed, TokenError, signing_input};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::error::ApiServerError;

/// Who issues the tokens, and for whom they are unless asked otherwise: the name under which Pods reach the API.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Where the public key is to be had.
const KEYS_PATH: &str = "/openid/v1/jwks";

/// Signs tokens and knows its own signatures.
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    key_id: String,
}

impl Issuer {
    /// From a P-256 private key as PKCS #8 in PEM.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, ApiServerError> {
        let what = "the service account key";
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|source| ApiServerError::Pem { what, source })?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
            .map_err(|_| ApiServerError::TokenKey)?;
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| ApiServerError::TokenKey)?;
        // The id as upstream makes it (`pkg/serviceaccount/jwt.go`, `keyIDFromPublicKey`).
        let key_id = URL_SAFE_NO_PAD.encode(digest(&SHA256, public.as_ref()));
        Ok(Self { key, key_id })
    }

    /// The token of these claims.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, ApiServerError> {
        let text = signing_input(claims, &self.key_id);
        let signature =
            self.key.sign(&SystemRandom::new(), text.as_bytes()).map_err(|_| ApiServerError::Entropy)?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Whether we made the token.
    pub(crate) fn verify(&self, token: &Parsed<'_>) -> Result<(), TokenError> {
        if token.key_id != self.key_id {
            return Err(TokenError::Signature);
        }
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        public.verify(token.signed.as_bytes(), &token.signature).map_err(|_| TokenError::Signature)
    }

    /// `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0, as far as Kubernetes serves it).
    pub(crate) fn configuration() -> Value {
        json!({
            "issuer": ISSUER,
            "jwks_uri": format!("{ISSUER}{KEYS_PATH}"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// `/openid/v1/jwks` (RFC 7517, RFC 7518 section 6.2).
    pub(crate) fn keys(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        json!({"keys": [{
            "use": "sig",
            "kty": "EC",
            "kid": self.key_id,
            "crv": "P-256",
            "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }
}

#[cfg(test)]
mod tests {
    use engine_access::parse_token;

    use super::*;
    use crate::credentials::Credentials;

    #[test]
    fn only_its_own_signatures_count() {
        let mk = || Issuer::from_pem(Credentials::generate().unwrap().token_key_pem()).unwrap();
        let (ours, other) = (mk(), mk());
        let claims = Claims { sub: "system:serviceaccount:a:b".into(), ..Claims::default() };
        let token = ours.sign(&claims).unwrap();
        let parsed = parse_token(&token).unwrap();
        assert_eq!(ours.verify(&parsed), Ok(()));
        assert_eq!(other.verify(&parsed), Err(TokenError::Signature));
        let forged = Claims { sub: "system:serviceaccount:kube-system:b".into(), ..claims };
        let text = signing_input(&forged, &ours.key_id);
        let forged = Parsed { signed: &text, ..parsed };
        assert_eq!(ours.verify(&forged), Err(TokenError::Signature));
    }

    #[test]
    fn the_keys_can_be_read_by_others() {
        let issuer = Issuer::from_pem(Credentials::generate().unwrap().token_key_pem()).unwrap();
        let keys = issuer.keys();
        let size = |field: &str| {
            let text = keys["keys"][0][field].as_str().unwrap();
            URL_SAFE_NO_PAD.decode(text).unwrap().len()
        };
        assert_eq!((size("x"), size("y"), size("kid")), (32, 32, 32));
    }
}
