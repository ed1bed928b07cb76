//! UDP and TCP sockets around engine-dns, and forwarding of other names.
