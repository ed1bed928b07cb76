//! Namespaces are made, entered, kept apart and removed, for an ordinary user.

#![allow(clippy::disallowed_methods, reason = "tests start programs to look at namespaces from inside")]

use std::net::{TcpListener, TcpStream};
use std::process::Command;

use sealane_netns as netns;

use netns::world::{self, World, netns_path};
use netns::{Netns, run_in};

#[test]
fn a_world_has_loopback_only() {
    world::test(|| {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        assert_eq!(links(), ["lo"]);
        assert!(nix::unistd::geteuid().is_root());
    });
}

#[test]
fn a_namespace_is_created_entered_and_removed() {
    world::test(|| {
        let path = netns_path("a");
        let a = Netns::create(&path).unwrap();
        assert_eq!(a.path(), Some(path.as_path()));
        let socket = run_in(&a, || TcpListener::bind("127.0.0.1:7000").unwrap()).unwrap();
        let here = TcpStream::connect("127.0.0.1:7000");
        assert!(here.is_err(), "the socket is in another namespace");
        run_in(&a, || TcpStream::connect(socket.local_addr().unwrap()).unwrap()).unwrap();
        let again = Netns::open(&path).unwrap();
        assert!(a.is_same(&again).unwrap());
        assert!(!a.is_same(&Netns::current().unwrap()).unwrap());
        assert!(Netns::create(&path).is_err(), "the path is taken");

        netns::remove(&path).unwrap();
        netns::remove(&path).unwrap();
        assert!(!path.exists());
        assert!(Netns::open(&path).is_err());
    });
}

#[test]
fn a_child_starts_inside_a_namespace() {
    world::test(|| {
        let a = Netns::create_unnamed().unwrap();
        let ask = |command: &mut Command| {
            String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned()
        };
        let mut inside = Command::new("readlink");
        a.enter_on_exec(inside.arg("/proc/self/ns/net")).unwrap();
        let here = ask(Command::new("readlink").arg("/proc/self/ns/net"));
        assert_ne!(ask(&mut inside), here);
    });
}

#[test]
fn a_panic_inside_reaches_the_caller() {
    world::test(|| {
        let a = Netns::create_unnamed().unwrap();
        let outcome = std::panic::catch_unwind(|| run_in(&a, || panic!("as planned")));
        assert!(outcome.is_err());
    });
}

#[test]
fn worlds_nest() {
    world::test(|| {
        let mut command = Command::new("cat");
        command.arg("/proc/net/dev");
        World::new().with_host_name().with_ipc().enter_on_exec(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("lo:"));
    });
}

fn links() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/net/dev").expect("/proc is mounted");
    text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect()
}
