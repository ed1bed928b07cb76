//! What the API server asks of whoever runs the Pods: their logs, and programs started inside them.
//!
//! The server has checked that the Pod exists and that the container belongs to it before it asks;
//! whether the container runs is for the runtime to say.

use std::net::SocketAddr;

use engine_streams::command;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use types::NamespacedName;

/// A stream of bytes out of a Pod.
pub type ByteReader = Box<dyn AsyncRead + Send + Unpin>;
/// A stream of bytes into a Pod.
pub type ByteWriter = Box<dyn AsyncWrite + Send + Unpin>;

/// Both directions of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection to a port inside a Pod.
pub type ByteStream = Box<dyn Duplex>;

pub use command::TerminalSize;

/// Runs Pods; implemented by the lab.
pub trait PodRuntime: Send + Sync {
    /// The output of a container so far and, when asked to follow, from now on.
    fn logs(
        &self,
        pod: NamespacedName,
        request: LogRequest,
    ) -> BoxFuture<'static, Result<LogStream, RuntimeError>>;

    /// Whether a container runs, so that a program can be started in it or its own be joined. Asked before the
    /// connection stops being HTTP: a refusal after that is not an answer to the request any more.
    ///
    /// # Errors
    /// Why not.
    fn runs(&self, pod: &NamespacedName, container: &str) -> Result<(), RuntimeError>;

    /// Starts a program in a container. The returned session is dropped when the client leaves:
    /// the runtime then ends the program.
    fn exec(
        &self,
        pod: NamespacedName,
        request: ExecRequest,
    ) -> BoxFuture<'static, Result<ExecSession, RuntimeError>>;

    /// Joins a container's own program: what it writes from now on, and its standard input where it has one.
    /// The program goes on when the session is dropped; `exit` is 0 when it ends.
    fn attach(
        &self,
        pod: NamespacedName,
        request: AttachRequest,
    ) -> BoxFuture<'static, Result<ExecSession, RuntimeError>>;

    /// Connects to a port on the localhost of a Pod; the connection closes when it is dropped.
    fn dial(&self, pod: NamespacedName, port: u16) -> BoxFuture<'static, Result<ByteStream, RuntimeError>>;

    /// Connects to an address as the Pods and Nodes of the cluster are reached from the API server.
    fn reach(&self, address: SocketAddr) -> BoxFuture<'static, Result<ByteStream, RuntimeError>>;
}

/// Which part of a container's output is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRequest {
    /// The container; the server has filled in the only one where the client named none.
    pub container: String,
    /// Stay and send what is written later, until the container ends.
    pub follow: bool,
    /// The output of the run before the last restart.
    pub previous: bool,
    /// Start every line with its time (RFC 3339, nanoseconds, UTC) and a space.
    pub timestamps: bool,
    /// Only this many lines from the end.
    pub tail_lines: Option<u64>,
    /// Only lines younger than this many seconds.
    pub since_seconds: Option<u64>,
    /// Only lines at or after this time (RFC 3339).
    pub since_time: Option<String>,
    /// Stop after this many bytes.
    pub limit_bytes: Option<u64>,
    /// Where it was written.
    pub source: LogSource,
}

/// What a program writes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogSource {
    /// Both.
    #[default]
    All,
    /// Standard output; what a program writes on its terminal counts as such.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A container's output.
pub struct LogStream {
    /// The bytes, ending where the output ends.
    pub output: ByteReader,
}

/// A program to start in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// The container; the server has filled in the only one where the client named none.
    pub container: String,
    /// The program and its arguments; never empty.
    pub command: Vec<String>,
    /// The client will send standard input.
    pub stdin: bool,
    /// The client wants standard output.
    pub stdout: bool,
    /// The client wants standard error apart; never together with `tty`.
    pub stderr: bool,
    /// The program gets a terminal; its output, both kinds, comes as standard output.
    pub tty: bool,
}

/// A container's program to join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachRequest {
    /// The container; the server has filled in the only one where the client named none.
    pub container: String,
    /// The client will send standard input.
    pub stdin: bool,
    /// The client wants standard output.
    pub stdout: bool,
    /// The client wants standard error apart; never together with `tty`.
    pub stderr: bool,
    /// The client has a terminal whose size is to be followed.
    pub tty: bool,
}

/// A running program.
pub struct ExecSession {
    /// Its standard input, if asked for; dropping it (after shutdown) is end of file.
    pub stdin: Option<ByteWriter>,
    /// Its standard output, ending when the program closes it.
    pub stdout: ByteReader,
    /// Its standard error; `tokio::io::empty()` where it is not apart.
    pub stderr: ByteReader,
    /// Takes sizes of the client's terminal; none without a terminal.
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    /// Its exit status, as a shell counts it (128 + signal when a signal ended it).
    pub exit: BoxFuture<'static, i32>,
}

/// Why the runtime cannot do what it was asked for; the text goes to the client as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// The Pod or container is not (or no longer) here.
    #[error("{0}")]
    NotFound(String),
    /// It is here but in no state to answer, such as a container that has not started.
    #[error("{0}")]
    NotReady(String),
    /// The request asks for what cannot be, such as a program that does not exist.
    #[error("{0}")]
    Refused(String),
    /// Something failed on the way.
    #[error("{0}")]
    Failed(String),
}

/// A runtime without Pods: every question is answered with "not found".
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPods;

fn not_here<T>(pod: &NamespacedName) -> Result<T, RuntimeError> {
    Err(RuntimeError::NotFound(format!("no runtime here runs pod {pod}")))
}

impl PodRuntime for NoPods {
    fn logs(
        &self,
        pod: NamespacedName,
        _request: LogRequest,
    ) -> BoxFuture<'static, Result<LogStream, RuntimeError>> {
        Box::pin(async move { not_here(&pod) })
    }

    fn runs(&self, pod: &NamespacedName, _container: &str) -> Result<(), RuntimeError> {
        not_here(pod)
    }

    fn exec(
        &self,
        pod: NamespacedName,
        _request: ExecRequest,
    ) -> BoxFuture<'static, Result<ExecSession, RuntimeError>> {
        Box::pin(async move { not_here(&pod) })
    }

    fn attach(
        &self,
        pod: NamespacedName,
        _request: AttachRequest,
    ) -> BoxFuture<'static, Result<ExecSession, RuntimeError>> {
        Box::pin(async move { not_here(&pod) })
    }

    fn dial(&self, pod: NamespacedName, _port: u16) -> BoxFuture<'static, Result<ByteStream, RuntimeError>> {
        Box::pin(async move { not_here(&pod) })
    }

    fn reach(&self, address: SocketAddr) -> BoxFuture<'static, Result<ByteStream, RuntimeError>> {
        Box::pin(async move { Err(RuntimeError::NotFound(format!("no runtime here reaches {address}"))) })
    }
}
