//! Links the program to fixed addresses: a container runtime starts it for every Pod, and must not wait for relocation.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // ARCHITECTURE.md, "One binary, quickly started", has the figures. Libraries, heap and stack stay at random places.
    println!("cargo:rustc-link-arg-bins=-no-pie");
}
