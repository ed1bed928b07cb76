//! A disk without room: writes are refused with the API's error, nothing acknowledged is lost, and when there is room
//! again the server goes on by itself.

use engine_store::{Status, Write, WriteOptions};
use nix::mount::{MsFlags, mount};
use serde_json::json;

use crate::world::{World, target};

/// Size of the disk, in bytes.
const ROOM: usize = 6 * 1024 * 1024;

#[test]
fn a_full_disk_refuses_writes_and_loses_none() {
    netns::world::test(|| {
        let disk = netns::world::scratch("disk");
        let options = format!("size={ROOM}");
        mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
        let (data, reserve) = (disk.join("data"), disk.join("reserve"));
        std::fs::write(&reserve, vec![1; ROOM / 4]).unwrap();
        let world = World::start_in(Some(&data));
        let mut acknowledged = fill(&world, "a");
        // Everything can still be read.
        assert_holds(&world, &acknowledged);
        drop(world);

        // A start needs no room, and there is as little of it as before.
        let world = World::start_in(Some(&data));
        assert_holds(&world, &acknowledged);
        acknowledged.extend(fill(&world, "b"));
        std::fs::remove_file(&reserve).unwrap();
        create(&world, "after").expect("there is room again");
        acknowledged.push("after".to_owned());
        drop(world);
        let world = World::start_in(Some(&data));
        assert_holds(&world, &acknowledged);
    });
}

/// Creates until the disk is full; returns what was acknowledged.
fn fill(world: &World, prefix: &str) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0..ROOM / 1024 {
        let name = format!("{prefix}{number}");
        match create(world, &name) {
            Ok(()) => acknowledged.push(name),
            Err(refused) => {
                assert_eq!((refused.code, refused.reason), (500, "InternalError"), "{refused:?}");
                assert!(refused.message.contains("objects.redb"), "{}", refused.message);
                return acknowledged;
            }
        }
    }
    panic!("the disk never got full");
}

fn create(world: &World, name: &str) -> Result<(), Status> {
    let object = json!({"metadata": {"name": name}, "data": {"k": "v".repeat(32 * 1024)}});
    let maps = target("", "configmaps", None, None);
    let options = WriteOptions::default();
    world.tokio.block_on(world.handle.write(&maps, Write::Create(object), &options)).map(|_| ())
}

fn assert_holds(world: &World, names: &[String]) {
    for name in names {
        let found = world.handle.read(&target("", "configmaps", Some(name), None));
        assert!(found.is_ok(), "{name} was acknowledged: {found:?}");
    }
}
