//! The bodies of answers that no backend gave.

/// An answer of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Status code.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Body.
    pub body: &'static str,
}

macro_rules! page {
    ($status:literal, $text:literal) => {
        Page {
            status: $status,
            content_type: "text/html",
            body: concat!(
                "<html>\r\n<head><title>",
                $text,
                "</title></head>\r\n<body>\r\n<center><h1>",
                $text,
                "</h1></center>\r\n<hr><center>sealane</center>\r\n</body>\r\n</html>\r\n"
            ),
        }
    };
}

impl Page {
    /// The client is sent to HTTPS.
    pub const PERMANENT_REDIRECT: Self = page!(308, "308 Permanent Redirect");
    /// The request is malformed.
    pub const BAD_REQUEST: Self = page!(400, "400 Bad Request");
    /// No route matches; the text of ingress-nginx's default backend.
    pub const NOT_FOUND: Self =
        Self { status: 404, content_type: "text/plain; charset=utf-8", body: "default backend - 404" };
    /// No backend took the connection, or it broke before the answer.
    pub const BAD_GATEWAY: Self = page!(502, "502 Bad Gateway");
    /// The route has no backend.
    pub const UNAVAILABLE: Self = page!(503, "503 Service Temporarily Unavailable");
    /// The backend did not answer in time.
    pub const GATEWAY_TIMEOUT: Self = page!(504, "504 Gateway Time-out");
}
