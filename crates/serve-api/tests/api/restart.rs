//! What was acknowledged is there after the server died.

use std::path::Path;
use std::sync::Arc;

use engine_store::{DeleteOptions, Write};
use redb::{Database, TableDefinition};
use sealane_serve_api::{ApiServer, ApiServerConfig, ApiServerError, Credentials, NoPods};
use serde_json::json;

use crate::world::{World, store_config, target};

#[test]
fn acknowledged_writes_survive_a_crash() {
    let base = std::env::temp_dir().join(format!("sealane-api-crash-{}", std::process::id()));
    let (live, copy) = (base.join("live"), base.join("copy"));
    std::fs::create_dir_all(&copy).unwrap();
    let world = World::start_in(Some(&live));
    let maps = target("", "configmaps", None, None);
    for number in 0..50 {
        let map = json!({"metadata": {"name": format!("m{number}")}, "data": {"n": number.to_string()}});
        world.write(&maps, Write::Create(map));
    }
    world.write(&target("", "configmaps", Some("m49"), None), Write::Delete(DeleteOptions::default()));
    let revision = world.handle.revision();
    // The file as a crash would leave it: the database is open and nobody has closed it.
    std::fs::copy(live.join("objects.redb"), copy.join("objects.redb")).unwrap();

    let restored = World::start_in(Some(&copy));
    for number in 0..49 {
        let object =
            restored.handle.read(&target("", "configmaps", Some(&format!("m{number}")), None)).unwrap();
        assert_eq!(object["data"]["n"], number.to_string());
    }
    let gone = restored.handle.read(&target("", "configmaps", Some("m49"), None)).unwrap_err();
    assert_eq!(gone.code, 404);
    assert!(restored.handle.revision() > revision, "revisions never come back");

    let http = crate::http_surface::Http::new(&restored);
    let events = http.get(&format!("/api/v1/configmaps?watch=true&resourceVersion={revision}"));
    assert!(
        events.text.contains("\"type\":\"ERROR\"") && events.text.contains("\"code\":410"),
        "{}",
        events.text
    );
    drop((restored, world));
    let _ = std::fs::remove_dir_all(&base);
}

#[test]
fn a_damaged_database_is_an_error_that_names_it() {
    let base = std::env::temp_dir().join(format!("sealane-api-damaged-{}", std::process::id()));
    let file = base.join("objects.redb");
    let mut world = World::start_in(Some(&base));
    for number in 0..20 {
        let map = json!({"metadata": {"name": format!("m{number}")}, "data": {"n": number.to_string()}});
        world.write(&target("", "configmaps", None, None), Write::Create(map));
    }
    world.stop();
    drop(world);
    let whole = std::fs::read(&file).unwrap();
    let noise: Vec<u8> = (0..4096_u32).map(|number| u8::try_from(number * 7 % 251).unwrap()).collect();
    for damaged in
        [noise.clone(), [&noise[..], &whole[noise.len()..]].concat(), whole[..whole.len() / 3].to_vec()]
    {
        std::fs::write(&file, &damaged).unwrap();
        let error = refusal(&base);
        assert!(error.to_string().contains("objects.redb"), "{error}");
    }
    std::fs::write(&file, &whole).unwrap();
    let restored = World::start_in(Some(&base));
    assert!(restored.handle.read(&target("", "configmaps", Some("m19"), None)).is_ok());
    drop(restored);
    let _ = std::fs::remove_dir_all(&base);
}

#[test]
fn a_database_of_a_newer_format_is_left_as_it_is() {
    const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    // What a newer version may make of the table of objects is open.
    const OBJECTS: TableDefinition<'_, u64, u64> = TableDefinition::new("objects");
    let base = std::env::temp_dir().join(format!("sealane-api-newer-{}", std::process::id()));
    std::fs::create_dir_all(&base).unwrap();
    let file = base.join("objects.redb");
    let database = Database::create(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", 2).unwrap();
    transaction.open_table(OBJECTS).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let error = refusal(&base).to_string();
        let text = "it has format 2, this version reads 1; move it away to start empty";
        assert!(error.contains("objects.redb") && error.contains(text), "{error}");
    }
    std::fs::remove_dir_all(&base).unwrap();
}

/// Why no server starts on what the directory holds.
fn refusal(data_dir: &Path) -> ApiServerError {
    let server = ApiServer::new(ApiServerConfig {
        listeners: Vec::new(),
        credentials: Credentials::generate().unwrap(),
        data_dir: Some(data_dir.to_owned()),
        runtime: Arc::new(NoPods),
        store: store_config(),
    });
    server.err().expect("what cannot be read is not taken for data")
}
