//! HTTP and TLS listeners around engine-http.
