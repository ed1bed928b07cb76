//! Who answers at a Service: asked again and again, and told whenever it is another one than before.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, SystemTime};

use nix::sys::socket::{setsockopt, sockopt};

pub(crate) const PORT: u16 = 7010;
/// Between two connections.
const PAUSE: Duration = Duration::from_millis(1);
/// When a connection counts as lost.
const LOST: Duration = Duration::from_secs(1);

/// Tells every client its name, until the process ends.
pub(crate) fn serve(name: &str) -> ! {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
    for stream in listener.incoming() {
        // A client may be gone.
        let _ = stream.unwrap().write_all(name.as_bytes());
    }
    unreachable!("listening never ends by itself")
}

/// Prints a line each time that somebody else answers than before: when the answer was there, and who it was.
pub(crate) fn run(address: SocketAddr) -> ! {
    let mut last = String::new();
    loop {
        let now = ask(address).unwrap_or_else(|error| format!("{:?}", error.kind()));
        if now != last {
            println!("{} {now}", nanoseconds());
            last = now;
        }
        std::thread::sleep(PAUSE);
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LOST)?;
    stream.set_read_timeout(Some(LOST))?;
    let mut name = String::new();
    stream.read_to_string(&mut name)?;
    // A connection that is reset leaves nothing behind for a minute, neither here nor in connection tracking.
    setsockopt(&stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?;
    Ok(name)
}

/// The machine's clock, which all namespaces share.
pub(crate) fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}
