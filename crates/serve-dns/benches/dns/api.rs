//! As much of a Kubernetes API as CoreDNS's plugin kubernetes needs: three lists, and watches in which nothing happens.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use crate::cluster::Size;

/// Serves until the process ends; the URL.
pub(crate) fn start(size: Size) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let lists = Arc::new(size.lists());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let lists = Arc::clone(&lists);
            std::thread::spawn(move || serve(stream.unwrap(), &*lists));
        }
    });
    url
}

/// One connection; it ends when the client closes it.
fn serve(mut stream: TcpStream, lists: &[(&str, String)]) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    loop {
        let request = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let target = request.split(' ').nth(1)?;
        let (path, parameters) = target.split_once('?').unwrap_or((target, ""));
        let list = lists.iter().find(|(own, _)| *own == path);
        let (status, body) = match list {
            // A client that is refused this lists and watches.
            Some(_) if parameters.contains("sendInitialEvents") => {
                ("422 Unprocessable Entity", status(422, "Invalid"))
            }
            Some(_) if parameters.contains("watch=") => {
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).ok()?;
                // Nothing ever changes.
                lines.next();
                return None;
            }
            Some((_, text)) => ("200 OK", text.clone()),
            None if path == "/version" => {
                ("200 OK", r#"{"major":"1","minor":"36","gitVersion":"v1.36.3"}"#.to_owned())
            }
            None => ("404 Not Found", status(404, "NotFound")),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
    }
}

fn status(code: u32, reason: &str) -> String {
    serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code})
        .to_string()
}
