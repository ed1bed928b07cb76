//! One netfilter netlink socket: a batch in one send, a dump in many receives.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::attribute::{Attributes, Received, add_flags, messages, number};
use crate::error::NftError;

/// How large batches are allowed to become where privilege permits: 64 MiB hold a million elements.
const WISHED_BUFFER: libc::c_int = 64 << 20;
/// The kernel refuses a message of `sk_sndbuf - 32` bytes and more (`netlink_sendmsg`).
const SEND_MARGIN: usize = 64;
/// Larger than what one dump datagram may hold (`NLMSG_GOODSIZE` to 32 KiB, or our own buffer's size).
const RECEIVE: usize = 1 << 20;

/// `NLM_F_DUMP_INTR`: the table changed while it was dumped.
const INTERRUPTED: u16 = 0x10;
/// `NLMSGERR_ATTR_MSG` of `linux/netlink.h`.
const ERROR_TEXT: u16 = 1;

pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
    /// Most bytes of one batch.
    pub(crate) batch_limit: usize,
}

impl Socket {
    pub(crate) fn open() -> Result<Self, NftError> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no pointer is passed.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_NETFILTER) };
        if fd < 0 {
            return Err(last("open it"));
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut socket = Self { fd, sequence: 1, buffer: vec![0; RECEIVE], batch_limit: 0 };
        socket.set(libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1);
        // Not allowed without privilege in the host's namespaces; then as much as `net.core.wmem_max` lets.
        if !socket.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, WISHED_BUFFER) {
            socket.set(libc::SOL_SOCKET, libc::SO_SNDBUF, WISHED_BUFFER);
        }
        if !socket.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, WISHED_BUFFER / 8) {
            socket.set(libc::SOL_SOCKET, libc::SO_RCVBUF, WISHED_BUFFER / 8);
        }
        socket.batch_limit = socket.send_buffer()?.saturating_sub(SEND_MARGIN);
        Ok(socket)
    }

    fn set(&self, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> bool {
        // SAFETY: the value outlives the call and its size is given.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                option,
                (&raw const value).cast(),
                size_of_val(&value) as libc::socklen_t,
            )
        };
        result == 0
    }

    fn send_buffer(&self) -> Result<usize, NftError> {
        let mut value: libc::c_int = 0;
        let mut len = size_of_val(&value) as libc::socklen_t;
        // SAFETY: both out-parameters outlive the call and the length says how large the first is.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_SNDBUF,
                (&raw mut value).cast(),
                &raw mut len,
            )
        };
        if result == 0 {
            Ok(value.try_into().unwrap_or_default())
        } else {
            Err(last("ask its buffer's size"))
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NftError> {
        // SAFETY: the bytes outlive the call and their length is given.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent < 0 { Err(last("send")) } else { Ok(()) }
    }

    /// The next datagram; `None` when none is there. The kernel answers before `send` returns, so none will come.
    fn receive(&mut self) -> Result<Option<&[u8]>, NftError> {
        loop {
            // SAFETY: the buffer outlives the call and its length is given.
            let got = unsafe {
                libc::recv(
                    self.fd.as_raw_fd(),
                    self.buffer.as_mut_ptr().cast(),
                    self.buffer.len(),
                    libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                )
            };
            match usize::try_from(got) {
                Ok(got) if got > self.buffer.len() => return Err(NftError::Garbled { what: "a request" }),
                Ok(got) => return Ok(Some(&self.buffer[..got])),
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    source => return Err(NftError::Socket { doing: "receive", source }),
                },
            }
        }
    }

    /// Sends messages as one datagram; the last but `trailing` is acknowledged. All of them happen, or none.
    ///
    /// `what` names the message of an index, for errors.
    pub(crate) fn transact(
        &mut self,
        batch: &mut [Vec<u8>],
        acknowledged: usize,
        what: impl Fn(usize) -> String,
    ) -> Result<(), NftError> {
        let first = self.sequence;
        for message in batch.iter_mut() {
            number(message, self.sequence);
            self.sequence = self.sequence.wrapping_add(1);
        }
        add_flags(&mut batch[acknowledged], libc::NLM_F_ACK as u16);
        self.send(&batch.concat())?;
        let mut refused = None;
        let mut answered = false;
        while let Some(datagram) = self.receive()? {
            for message in messages(datagram) {
                let index = message.sequence.wrapping_sub(first) as usize;
                if index >= batch.len() {
                    continue;
                }
                answered = true;
                if let Some(error) = refusal(&message, || what(index)) {
                    refused.get_or_insert(error);
                }
            }
        }
        match refused {
            Some(error) => Err(error),
            None if answered => Ok(()),
            None => Err(NftError::Garbled { what: "a batch" }),
        }
    }

    /// Asks one question and hands every answer to `take`. A dump that was interrupted is an error of `EINTR`.
    pub(crate) fn ask(
        &mut self,
        mut question: Vec<u8>,
        what: &'static str,
        mut take: impl FnMut(&Received<'_>),
    ) -> Result<(), NftError> {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        number(&mut question, sequence);
        self.send(&question)?;
        let mut interrupted = false;
        while let Some(datagram) = self.receive()? {
            for message in messages(datagram).iter().filter(|message| message.sequence == sequence) {
                interrupted |= message.flags & INTERRUPTED != 0;
                if let Some(error) = refusal(message, || what.to_owned()) {
                    return Err(error);
                }
                if message.kind > libc::NLMSG_DONE as u16 {
                    take(message);
                }
            }
        }
        if interrupted {
            let source = io::Error::from_raw_os_error(libc::EINTR);
            return Err(NftError::Refused { what: what.to_owned(), detail: String::new(), source });
        }
        Ok(())
    }
}

/// The error a message reports, if it does.
fn refusal(message: &Received<'_>, what: impl Fn() -> String) -> Option<NftError> {
    let is_error = message.kind == libc::NLMSG_ERROR as u16 || message.kind == libc::NLMSG_DONE as u16;
    let code = i32::from_ne_bytes(message.payload.get(..4).filter(|_| is_error)?.try_into().ok()?);
    if code == 0 {
        return None;
    }
    // `struct nlmsgerr`: the code, the header of the refused message (its payload is cut with `NLM_F_CAPPED`).
    let capped = message.flags & libc::NLM_F_CAPPED as u16 != 0;
    let quoted =
        message.payload.get(4..8).map_or(0, |len| u32::from_ne_bytes([len[0], len[1], len[2], len[3]]));
    let after = if capped { 20 } else { 4 + (quoted as usize).next_multiple_of(4) };
    let attributes = Attributes::of(message.payload.get(after..).unwrap_or_default());
    Some(NftError::Refused {
        what: what(),
        detail: attributes.text(ERROR_TEXT).unwrap_or_default(),
        source: io::Error::from_raw_os_error(-code),
    })
}

fn last(doing: &'static str) -> NftError {
    NftError::Socket { doing, source: io::Error::last_os_error() }
}
