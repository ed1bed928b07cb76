//! Links, addresses, routes, neighbours: read back, diff, write.
