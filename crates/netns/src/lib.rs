//! Create, enter and join network namespaces; the rootless world that tests and the lab live in.
