//! Who may talk to the API: a certificate authority, an administrator, and the kubeconfig that says so.
//!
//! The authority and the administrator survive restarts when a directory is given; the server's own
//! certificate is made anew at each start, so that its names follow the program.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine_access::MASTERS_GROUP;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::error::ApiServerError;
use crate::shell;

/// The administrator's user name.
pub(crate) const ADMIN_USER: &str = "sealane-admin";

/// Every name and address under which clients reach the server.
const SERVER_NAMES: [&str; 11] = [
    "127.0.0.1",
    "::1",
    "172.31.0.1",
    "fd00:172:31::1",
    "10.96.0.1",
    "fd00:10:96::1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// A certificate with its private key, both as PEM.
#[derive(Clone, Debug)]
struct Certified {
    certificate: String,
    key: String,
}

/// The authority, the administrator's certificate and the administrator's bearer token.
#[derive(Clone, Debug)]
pub struct Credentials {
    authority: Certified,
    administrator: Certified,
    token: String,
    /// Private key that signs service account tokens, as PEM.
    token_key: String,
}

impl Credentials {
    /// New ones, kept nowhere.
    pub fn generate() -> Result<Self, ApiServerError> {
        let (authority, issuer) = new_authority()?;
        let administrator = issue("administrator", client_params(ADMIN_USER, Some(MASTERS_GROUP))?, &issuer)?;
        Ok(Self { authority, administrator, token: new_token()?, token_key: new_token_key()? })
    }

    /// Those kept in the directory, or new ones written there.
    pub fn load_or_generate(directory: &Path) -> Result<Self, ApiServerError> {
        let file = |name: &str| directory.join(name);
        if file("token").exists() && !read(&file("token"))?.trim().is_empty() {
            if !file("sa.key").exists() {
                write_private(&file("sa.key"), &new_token_key()?)?;
            }
            return Ok(Self {
                authority: Certified { certificate: read(&file("ca.crt"))?, key: read(&file("ca.key"))? },
                administrator: Certified {
                    certificate: read(&file("admin.crt"))?,
                    key: read(&file("admin.key"))?,
                },
                token: read(&file("token"))?.trim().to_owned(),
                token_key: read(&file("sa.key"))?,
            });
        }
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|source| {
            ApiServerError::File { action: "create", path: directory.to_owned(), source }
        })?;
        let made = Self::generate()?;
        // The token comes last: its presence says that the set is whole.
        for (name, text) in [
            ("ca.crt", &made.authority.certificate),
            ("ca.key", &made.authority.key),
            ("admin.crt", &made.administrator.certificate),
            ("admin.key", &made.administrator.key),
            ("sa.key", &made.token_key),
            ("token", &made.token),
        ] {
            write_private(&file(name), text)?;
        }
        Ok(made)
    }

    /// The authority's certificate as PEM: what a client trusts.
    #[must_use]
    pub fn authority_pem(&self) -> &str {
        &self.authority.certificate
    }

    /// The administrator's certificate as PEM.
    #[must_use]
    pub fn administrator_certificate_pem(&self) -> &str {
        &self.administrator.certificate
    }

    /// The administrator's private key as PEM.
    #[must_use]
    pub fn administrator_key_pem(&self) -> &str {
        &self.administrator.key
    }

    /// A bearer token that stands for the administrator too.
    #[must_use]
    pub fn administrator_token(&self) -> &str {
        &self.token
    }

    /// The private key that signs service account tokens, as PEM.
    pub(crate) fn token_key_pem(&self) -> &str {
        &self.token_key
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, ApiServerError> {
        let wrap = |source| ApiServerError::Certificate { what: "authority", source };
        let key = KeyPair::from_pem(&self.authority.key).map_err(wrap)?;
        Issuer::from_ca_cert_pem(&self.authority.certificate, key).map_err(wrap)
    }

    /// A fresh certificate of a user, in a group or in none.
    fn client(&self, user: &str, group: Option<&str>) -> Result<Certified, ApiServerError> {
        issue("client", client_params(user, group)?, &self.issuer()?)
    }

    /// A fresh server certificate and its key, both as PEM.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn server_certificate(&self) -> Result<(String, String), ApiServerError> {
        let wrap = |source| ApiServerError::Certificate { what: "server", source };
        let issuer = self.issuer()?;
        let names: Vec<String> = SERVER_NAMES.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(wrap)?;
        params.distinguished_name = distinguished_name("kube-apiserver", None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let made = issue("server", params, &issuer)?;
        Ok((made.certificate, made.key))
    }
}

/// The client configuration file of `kubectl` and every other client, for the administrator.
#[must_use]
pub fn kubeconfig(credentials: &Credentials, server_url: &str) -> String {
    kubeconfig_with(credentials, &credentials.administrator, server_url)
}

/// The client configuration file of a component that is this user, in a group or in none, by a certificate of its own.
///
/// # Errors
/// When the certificate cannot be made.
pub fn kubeconfig_of(
    credentials: &Credentials,
    user: &str,
    group: Option<&str>,
    server_url: &str,
) -> Result<String, ApiServerError> {
    Ok(kubeconfig_with(credentials, &credentials.client(user, group)?, server_url))
}

fn kubeconfig_with(credentials: &Credentials, client: &Certified, server_url: &str) -> String {
    let authority = STANDARD.encode(&credentials.authority.certificate);
    let certificate = STANDARD.encode(&client.certificate);
    let key = STANDARD.encode(&client.key);
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: sealane\n  cluster:\n    server: {server_url}\n    certificate-authority-data: {authority}\n\
         users:\n\
         - name: sealane\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n\
         contexts:\n\
         - name: sealane\n  context:\n    cluster: sealane\n    user: sealane\n\
         current-context: sealane\n"
    )
}

fn new_authority() -> Result<(Certified, Issuer<'static, KeyPair>), ApiServerError> {
    let wrap = |source| ApiServerError::Certificate { what: "authority", source };
    let key = KeyPair::generate().map_err(wrap)?;
    let mut params = lasting(CertificateParams::new(Vec::new()).map_err(wrap)?);
    params.distinguished_name = distinguished_name("sealane", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let certificate = params.self_signed(&key).map_err(wrap)?.pem();
    let kept = Certified { certificate, key: key.serialize_pem() };
    Ok((kept, Issuer::new(params, key)))
}

fn client_params(user: &str, group: Option<&str>) -> Result<CertificateParams, ApiServerError> {
    let mut params = CertificateParams::new(Vec::new())
        .map_err(|source| ApiServerError::Certificate { what: "client", source })?;
    params.distinguished_name = distinguished_name(user, group);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn issue(
    what: &'static str,
    params: CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<Certified, ApiServerError> {
    let wrap = |source| ApiServerError::Certificate { what, source };
    let mut params = lasting(params);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(wrap)?;
    let certificate = params.signed_by(&key, issuer).map_err(wrap)?.pem();
    Ok(Certified { certificate, key: key.serialize_pem() })
}

/// Fixed dates: a lab must work on machines whose clock is wrong, and its keys never leave the machine.
fn lasting(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    params
}

fn distinguished_name(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn new_token() -> Result<String, ApiServerError> {
    let mut bytes = [0_u8; 24];
    shell::fill_random(&mut bytes)?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

/// A P-256 key, which is what ES256 signs with.
fn new_token_key() -> Result<String, ApiServerError> {
    let key = KeyPair::generate()
        .map_err(|source| ApiServerError::Certificate { what: "service account", source })?;
    Ok(key.serialize_pem())
}

fn read(path: &Path) -> Result<String, ApiServerError> {
    std::fs::read_to_string(path).map_err(|source| ApiServerError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

/// The file is there whole or not at all, wherever the process is killed: half a token would be one.
fn write_private(path: &Path, text: &str) -> Result<(), ApiServerError> {
    let part = path.with_added_extension("part");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&part, path));
    written.map_err(|source| ApiServerError::File { action: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_authority_and_administrator() {
        let directory = std::env::temp_dir().join(format!("sealane-credentials-{}", std::process::id()));
        let first = Credentials::load_or_generate(&directory).unwrap();
        let second = Credentials::load_or_generate(&directory).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(first.authority_pem(), second.authority_pem());
        assert_eq!(first.administrator_key_pem(), second.administrator_key_pem());
        assert_eq!(first.administrator_token(), second.administrator_token());
        assert_eq!(first.token_key_pem(), second.token_key_pem());
        second.server_certificate().unwrap();
    }

    #[test]
    fn an_empty_token_is_nobodys() {
        let name = format!("sealane-credentials-empty-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        Credentials::load_or_generate(&directory).unwrap();
        std::fs::write(directory.join("token"), "").unwrap();
        let made = Credentials::load_or_generate(&directory).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(made.administrator_token().len() > 20);
    }

    #[test]
    fn the_kubeconfig_names_the_server() {
        let text = kubeconfig(&Credentials::generate().unwrap(), "https://127.0.0.1:6443");
        assert!(text.contains("server: https://127.0.0.1:6443\n"), "{text}");
        assert!(text.contains("\n- name: sealane\n  user:\n"), "{text}");
    }
}
