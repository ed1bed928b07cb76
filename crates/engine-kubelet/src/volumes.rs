//! What a container's volumes hold and where they are mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, ServiceAccountTokenProjection,
    Volume, VolumeProjection,
};

use crate::environment::{ConfigError, Place, Sources, field_value};

/// Files of a volume by relative path.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What one volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An empty directory that lives as long as the Pod.
    Empty,
    /// These files.
    Files(Files),
    /// A directory or file of this machine.
    Host(PathBuf),
    /// A directory of the lab that outlives the Pod; made when it is first used.
    Kept(PathBuf),
}

/// One mount of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The volume's name.
    pub volume: String,
    /// Its content.
    pub content: Content,
    /// Part of the volume that is mounted; empty for all of it.
    pub sub_path: PathBuf,
    /// Where.
    pub at: PathBuf,
    /// Whether the container may write.
    pub access: Access,
}

/// Whether a mount may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Yes.
    ReadWrite,
    /// No.
    ReadOnly,
}

/// A token that a volume wants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenWish {
    /// For whom; empty for the API itself.
    pub audience: String,
    /// Seconds it shall be valid.
    pub seconds: i64,
}

impl TokenWish {
    fn of(source: &ServiceAccountTokenProjection) -> Self {
        /// What the API fills in (`k8s.io/api/core/v1` `ServiceAccountTokenProjection`).
        const DEFAULT_SECONDS: i64 = 3600;
        Self {
            audience: source.audience.clone().unwrap_or_default(),
            seconds: source.expiration_seconds.unwrap_or(DEFAULT_SECONDS),
        }
    }
}

/// The tokens that volumes mounted by one container want.
#[must_use]
pub fn token_wishes(pod: &Pod, container: &Container) -> BTreeSet<TokenWish> {
    let projected = mounted(pod, container).filter_map(|volume| volume.projected.as_ref()?.sources.as_ref());
    let sources = projected.flatten();
    sources.filter_map(|source| source.service_account_token.as_ref().map(TokenWish::of)).collect()
}

/// The volumes that one container mounts.
fn mounted<'a>(pod: &'a Pod, container: &'a Container) -> impl Iterator<Item = &'a Volume> {
    let is_mounted =
        |volume: &&Volume| container.volume_mounts.iter().flatten().any(|mount| mount.name == volume.name);
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()).filter(is_mounted)
}

/// The ConfigMaps and Secrets that volumes of a Pod show.
pub fn object_names(pod: &Pod) -> impl Iterator<Item = &str> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.flat_map(|volume| {
        let map = volume.config_map.as_ref().map(|source| source.name.as_str());
        let secret = volume.secret.as_ref().and_then(|source| source.secret_name.as_deref());
        let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        let projected = sources.flat_map(|source| {
            let map = source.config_map.as_ref().map(|source| source.name.as_str());
            map.into_iter().chain(source.secret.as_ref().map(|source| source.name.as_str()))
        });
        map.into_iter().chain(secret).chain(projected)
    })
}

/// What is different in the files of volumes that a running container has mounted. Parts of volumes (`subPath`) stay as
/// they were when the container started, as upstream.
#[must_use]
pub fn renewed<'a>(before: &'a [Mount], now: &'a [Mount]) -> Vec<(&'a Mount, &'a Mount)> {
    let same_place = |one: &Mount, other: &Mount| one.at == other.at && one.volume == other.volume;
    let pairs = now.iter().filter_map(|new| Some((before.iter().find(|old| same_place(old, new))?, new)));
    let is_whole = |mount: &Mount| mount.sub_path.as_os_str().is_empty();
    pairs
        .filter(|(old, new)| {
            is_whole(new) && matches!(new.content, Content::Files(_)) && old.content != new.content
        })
        .collect()
}

/// The claims that volumes mounted by one container name.
#[must_use]
pub fn claim_names(pod: &Pod, container: &Container) -> BTreeSet<String> {
    let sources = mounted(pod, container).filter_map(|volume| volume.persistent_volume_claim.as_ref());
    sources.map(|claim| claim.claim_name.clone()).collect()
}

/// The mounts of one container, in the order in which they must be made.
///
/// # Errors
/// When something referred to is missing, or the lab has no such kind of volume.
pub fn mounts(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    place: &Place,
) -> Result<Vec<Mount>, ConfigError> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.clone()).unwrap_or_default();
    let mut mounts = Vec::new();
    for wished in container.volume_mounts.iter().flatten() {
        let volume = volumes
            .iter()
            .find(|volume| volume.name == wished.name)
            .ok_or_else(|| format!("volume \"{}\" not found", wished.name))?;
        let claim = volume.persistent_volume_claim.as_ref();
        let read_only = wished.read_only == Some(true)
            || claim.is_some_and(|claim| claim.read_only == Some(true))
            || volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.projected.is_some();
        mounts.push(Mount {
            volume: wished.name.clone(),
            content: content(volume, pod, sources, place)?,
            sub_path: inside(wished.sub_path.as_deref().unwrap_or_default())?,
            at: PathBuf::from(&wished.mount_path),
            access: if read_only { Access::ReadOnly } else { Access::ReadWrite },
        });
    }
    // A mount inside another comes after it.
    mounts.sort_by(|one, other| one.at.cmp(&other.at));
    Ok(mounts)
}

/// A relative path that does not leave its directory.
fn inside(path: &str) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(path);
    let stays = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if stays { Ok(path) } else { Err(format!("path \"{}\" leaves its volume", path.display())) }
}

fn content(volume: &Volume, pod: &Pod, sources: &Sources, place: &Place) -> Result<Content, ConfigError> {
    if volume.empty_dir.is_some() {
        return Ok(Content::Empty);
    }
    if let Some(host) = &volume.host_path {
        return Ok(Content::Host(PathBuf::from(&host.path)));
    }
    if let Some(wished) = &volume.persistent_volume_claim {
        return claimed(&wished.claim_name, sources);
    }
    if let Some(wished) = &volume.config_map {
        let found = sources.config_maps.get(&wished.name).map(config_map_files);
        let files = chosen(
            found,
            wished.items.as_deref(),
            wished.optional,
            &format!("configmap \"{}\"", wished.name),
        )?;
        return Ok(Content::Files(files));
    }
    if let Some(wished) = &volume.secret {
        let name = wished.secret_name.clone().unwrap_or_default();
        let found = sources.secrets.get(&name).map(secret_files);
        let files = chosen(found, wished.items.as_deref(), wished.optional, &format!("secret \"{name}\""))?;
        return Ok(Content::Files(files));
    }
    if let Some(wished) = &volume.downward_api {
        let items = wished.items.clone().unwrap_or_default();
        return Ok(Content::Files(downward(&items, pod, place)?));
    }
    if let Some(wished) = &volume.projected {
        let mut files = Files::new();
        for source in wished.sources.iter().flatten() {
            files.extend(projected(source, pod, sources, place)?);
        }
        return Ok(Content::Files(files));
    }
    Err(format!(
        "volume \"{}\" is of a kind that the lab does not have; it has emptyDir, hostPath, persistentVolumeClaim, \
         configMap, secret, downwardAPI and projected",
        volume.name
    ))
}

/// What a claim is bound to: a directory of this machine where the volume names one, else one of the lab's own.
fn claimed(name: &str, sources: &Sources) -> Result<Content, ConfigError> {
    let (claim, volume) =
        sources.claims.get(name).ok_or_else(|| format!("persistentvolumeclaim \"{name}\" not found"))?;
    let Some(volume) = volume else {
        return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
    };
    let spec = volume.spec.clone().unwrap_or_default();
    if let Some(host) = spec.host_path {
        return Ok(Content::Host(PathBuf::from(host.path)));
    }
    Ok(Content::Kept(sources.storage.join(claim.metadata.uid.as_deref().unwrap_or_default())))
}

fn projected(
    source: &VolumeProjection,
    pod: &Pod,
    sources: &Sources,
    place: &Place,
) -> Result<Files, ConfigError> {
    if let Some(wished) = &source.config_map {
        let found = sources.config_maps.get(&wished.name).map(config_map_files);
        return chosen(
            found,
            wished.items.as_deref(),
            wished.optional,
            &format!("configmap \"{}\"", wished.name),
        );
    }
    if let Some(wished) = &source.secret {
        let found = sources.secrets.get(&wished.name).map(secret_files);
        return chosen(
            found,
            wished.items.as_deref(),
            wished.optional,
            &format!("secret \"{}\"", wished.name),
        );
    }
    if let Some(wished) = &source.downward_api {
        return downward(&wished.items.clone().unwrap_or_default(), pod, place);
    }
    if let Some(wished) = &source.service_account_token {
        let token =
            sources.tokens.get(&TokenWish::of(wished)).ok_or("the service account token is missing")?;
        return Ok(Files::from([(inside(&wished.path)?, token.clone().into_bytes())]));
    }
    Err("a projected volume has a source that the lab does not have; it has configMap, secret, downwardAPI and \
         serviceAccountToken"
        .to_owned())
}

fn config_map_files(map: &ConfigMap) -> Files {
    let texts = map.data.iter().flatten().map(|(key, text)| (PathBuf::from(key), text.clone().into_bytes()));
    let binaries = map.binary_data.iter().flatten().map(|(key, bytes)| (PathBuf::from(key), bytes.0.clone()));
    texts.chain(binaries).collect()
}

fn secret_files(secret: &Secret) -> Files {
    secret.data.iter().flatten().map(|(key, bytes)| (PathBuf::from(key), bytes.0.clone())).collect()
}

fn chosen(
    found: Option<Files>,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    what: &str,
) -> Result<Files, ConfigError> {
    let optional = optional == Some(true);
    let Some(all) = found else {
        return if optional { Ok(Files::new()) } else { Err(format!("{what} not found")) };
    };
    let Some(items) = items else { return Ok(all) };
    let mut files = Files::new();
    for item in items {
        match all.get(Path::new(&item.key)) {
            Some(bytes) => {
                files.insert(inside(&item.path)?, bytes.clone());
            }
            None if optional => {}
            None => return Err(format!("{what} references non-existent key: {}", item.key)),
        }
    }
    Ok(files)
}

fn downward(items: &[DownwardAPIVolumeFile], pod: &Pod, place: &Place) -> Result<Files, ConfigError> {
    let mut files = Files::new();
    for item in items {
        if let Some(field) = &item.field_ref {
            files.insert(inside(&item.path)?, field_value(field, pod, place)?.into_bytes());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{
        ConfigMapVolumeSource, EmptyDirVolumeSource, PodSpec, ProjectedVolumeSource, VolumeMount,
    };

    fn mk_pod(volumes: Vec<Volume>) -> Pod {
        let spec = PodSpec { volumes: Some(volumes), ..PodSpec::default() };
        Pod { spec: Some(spec), ..Pod::default() }
    }

    fn mk_mount(name: &str, at: &str) -> VolumeMount {
        VolumeMount { name: name.into(), mount_path: at.into(), ..VolumeMount::default() }
    }

    #[test]
    fn mounts_come_outside_in_with_their_files() {
        let config_map = ConfigMapVolumeSource {
            name: "site".into(),
            items: Some(vec![KeyToPath { key: "a".into(), path: "pages/a.html".into(), mode: None }]),
            ..ConfigMapVolumeSource::default()
        };
        let volumes = vec![
            Volume { name: "site".into(), config_map: Some(config_map), ..Volume::default() },
            Volume {
                name: "data".into(),
                empty_dir: Some(EmptyDirVolumeSource::default()),
                ..Volume::default()
            },
        ];
        let mounts_wished = vec![mk_mount("site", "/data/site"), mk_mount("data", "/data")];
        let container = Container { volume_mounts: Some(mounts_wished), ..Container::default() };
        let map =
            ConfigMap { data: Some([("a".to_owned(), "hello".to_owned())].into()), ..ConfigMap::default() };
        let sources = Sources { config_maps: [("site".to_owned(), map)].into(), ..Sources::default() };
        let result = mounts(&mk_pod(volumes), &container, &sources, &Place::default()).unwrap();
        assert_eq!(result[0].content, Content::Empty);
        let files = Files::from([(PathBuf::from("pages/a.html"), b"hello".to_vec())]);
        assert_eq!((result[1].content.clone(), result[1].access), (Content::Files(files), Access::ReadOnly));
    }

    #[test]
    fn a_projected_volume_holds_the_token_it_asked_for() {
        let token = ServiceAccountTokenProjection {
            path: "token".into(),
            expiration_seconds: Some(3607),
            ..ServiceAccountTokenProjection::default()
        };
        let source = VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() };
        let projected = ProjectedVolumeSource { sources: Some(vec![source]), ..Default::default() };
        let pod =
            mk_pod(vec![Volume { name: "api".into(), projected: Some(projected), ..Volume::default() }]);
        let container =
            Container { volume_mounts: Some(vec![mk_mount("api", "/api")]), ..Container::default() };
        let wishes = token_wishes(&pod, &container);
        let wish = TokenWish { audience: String::new(), seconds: 3607 };
        assert_eq!(wishes, [wish.clone()].into());
        assert_eq!(token_wishes(&pod, &Container::default()), BTreeSet::new());
        let mut sources = Sources::default();
        assert!(mounts(&pod, &container, &sources, &Place::default()).is_err());
        sources.tokens.insert(wish, "secret".into());
        let result = mounts(&pod, &container, &sources, &Place::default()).unwrap();
        let files = Files::from([(PathBuf::from("token"), b"secret".to_vec())]);
        assert_eq!((result[0].content.clone(), result[0].access), (Content::Files(files), Access::ReadOnly));
    }

    #[test]
    fn whole_volumes_of_files_are_renewed_and_parts_are_not() {
        let mount = |volume: &str, sub_path: &str, content| Mount {
            volume: volume.into(),
            content,
            sub_path: sub_path.into(),
            at: format!("/{volume}{sub_path}").into(),
            access: Access::ReadOnly,
        };
        let files = |text: &str| Content::Files([(PathBuf::from("a"), text.into())].into());
        let before = [
            mount("map", "", files("old")),
            mount("map", "a", files("old")),
            mount("same", "", files("same")),
            mount("dir", "", Content::Empty),
        ];
        let mut now = before.clone();
        now[0].content = files("new");
        now[1].content = files("new");
        now[3].content = Content::Kept("/elsewhere".into());
        assert_eq!(renewed(&before, &now), [(&before[0], &now[0])]);
        assert!(renewed(&before, &before).is_empty());
    }

    #[test]
    fn the_objects_that_volumes_show_are_named() {
        let volumes = serde_json::json!([
            {"name": "a", "configMap": {"name": "map"}}, {"name": "b", "secret": {"secretName": "key"}},
            {"name": "c", "projected": {"sources": [{"configMap": {"name": "ca"}}, {"secret": {"name": "other"}}]}},
            {"name": "d", "emptyDir": {}},
        ]);
        let pod = mk_pod(serde_json::from_value(volumes).unwrap());
        assert_eq!(object_names(&pod).collect::<Vec<_>>(), ["map", "key", "ca", "other"]);
    }

    #[test]
    fn a_claim_is_a_directory_that_stays_or_the_one_its_volume_names() {
        use serde_json::json;
        let claim = json!({ "metadata": { "name": "data", "uid": "7" }, "spec": { "volumeName": "pv" } });
        let claim = serde_json::from_value(claim).unwrap();
        let volume =
            |spec| serde_json::from_value(json!({ "metadata": { "name": "pv" }, "spec": spec })).unwrap();
        let mut sources = Sources { storage: "/lab/volumes".into(), ..Sources::default() };
        assert!(claimed("data", &sources).unwrap_err().contains("not found"));
        sources.claims.insert("data".to_owned(), (claim, None));
        assert!(claimed("data", &sources).unwrap_err().contains("unbound"));
        sources.claims.get_mut("data").unwrap().1 = Some(volume(json!({})));
        assert_eq!(claimed("data", &sources), Ok(Content::Kept("/lab/volumes/7".into())));
        sources.claims.get_mut("data").unwrap().1 = Some(volume(json!({ "hostPath": { "path": "/srv" } })));
        assert_eq!(claimed("data", &sources), Ok(Content::Host("/srv".into())));
    }

    #[test]
    fn nothing_leaves_its_volume_and_unknown_kinds_are_named() {
        assert!(inside("../etc").is_err());
        assert!(inside("/etc").is_err());
        let volume = Volume { name: "disk".into(), ..Volume::default() };
        let container =
            Container { volume_mounts: Some(vec![mk_mount("disk", "/disk")]), ..Container::default() };
        let error =
            mounts(&mk_pod(vec![volume]), &container, &Sources::default(), &Place::default()).unwrap_err();
        assert!(error.contains("\"disk\" is of a kind that the lab does not have"), "{error}");
    }
}
