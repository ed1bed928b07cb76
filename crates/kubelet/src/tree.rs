//! Mount trees as descriptors: copied in one mount namespace, attached in another (Linux 5.2, read-only 5.12).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::KubeletError;

// From the kernel's `include/uapi/linux/mount.h`.
const OPEN_TREE_CLONE: libc::c_uint = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
const MOVE_MOUNT_T_SYMLINKS: libc::c_uint = 0x10;
const MOUNT_ATTR_RDONLY: u64 = 1;
/// From the kernel's `include/uapi/linux/fcntl.h`.
const AT_RECURSIVE: libc::c_uint = 0x8000;

/// `struct mount_attr` of `include/uapi/linux/mount.h`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// A copy of a directory or file with all that is mounted below, attached nowhere.
#[derive(Debug)]
pub(crate) struct Tree(OwnedFd);

impl Tree {
    /// Copies what is at a path.
    pub(crate) fn copy(path: &Path) -> Result<Self, KubeletError> {
        let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC.cast_unsigned() | AT_RECURSIVE;
        let name = c_path(path)?;
        // SAFETY: the path outlives the call.
        let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, name.as_ptr(), flags) };
        if fd < 0 {
            return Err(KubeletError::file("copy the mounts of", path, io::Error::last_os_error()));
        }
        let fd = RawFd::try_from(fd).expect("descriptors fit");
        // SAFETY: the kernel just made it for us alone.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The same, read-only with all that is mounted below.
    pub(crate) fn read_only(self) -> Result<Self, KubeletError> {
        let attributes =
            MountAttributes { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, user_namespace: 0 };
        let flags = libc::AT_EMPTY_PATH.cast_unsigned() | AT_RECURSIVE;
        // SAFETY: the path is static, and the attributes outlive the call, which is told their size.
        let done = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                flags,
                &raw const attributes,
                size_of::<MountAttributes>(),
            )
        };
        if done < 0 {
            let error = io::Error::last_os_error();
            return Err(KubeletError::system("make a mount read-only", error));
        }
        Ok(self)
    }

    /// Whether it is a directory.
    pub(crate) fn is_dir(&self) -> Result<bool, KubeletError> {
        use nix::sys::stat::{SFlag, fstat};
        let stat = fstat(&self.0).map_err(|error| KubeletError::system("look at a mount", error))?;
        Ok(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
    }

    /// Mounts it on a path of the calling thread's namespace.
    pub(crate) fn attach(self, at: &Path) -> Result<(), KubeletError> {
        let name = c_path(at)?;
        // SAFETY: both paths outlive the call.
        let done = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                name.as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS,
            )
        };
        if done < 0 { Err(KubeletError::file("mount on", at, io::Error::last_os_error())) } else { Ok(()) }
    }
}

fn c_path(path: &Path) -> Result<CString, KubeletError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| KubeletError::file("use", path, io::Error::from(io::ErrorKind::InvalidInput)))
}
