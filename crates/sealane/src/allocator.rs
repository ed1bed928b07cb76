//! Which allocator this process uses: one for servers, one for a program that ends after a millisecond.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU8, Ordering};

use mimalloc::MiMalloc;

/// mimalloc, but the C library's allocator in a CNI plugin.
///
/// JSON is made of many small allocations that live for one request: the API server spends half the time on them with
/// mimalloc. Its first allocation, though, takes a huge page, and clearing that is a third of the time in which a
/// plugin starts and ends.
pub(crate) struct ByRole;

const UNKNOWN: u8 = 0;
const PLUGIN: u8 = 1;
const SERVER: u8 = 2;

/// Decided by the first allocation, which the runtime makes before `main` and before there is a second thread; so
/// memory is always given back to where it came from.
static ROLE: AtomicU8 = AtomicU8::new(UNKNOWN);

fn is_plugin() -> bool {
    match ROLE.load(Ordering::Relaxed) {
        UNKNOWN => decide(),
        role => role == PLUGIN,
    }
}

#[cold]
fn decide() -> bool {
    // SAFETY: the name ends with a zero byte, and no other thread is there to change the environment.
    let is_plugin = unsafe { !libc::getenv(c"CNI_COMMAND".as_ptr()).is_null() };
    ROLE.store(if is_plugin { PLUGIN } else { SERVER }, Ordering::Relaxed);
    is_plugin
}

// SAFETY: every call is passed on, with what it was called with, to one of two allocators, always the same.
unsafe impl GlobalAlloc for ByRole {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as this function's own contract, here and below.
        unsafe { if is_plugin() { System.alloc(layout) } else { MiMalloc.alloc(layout) } }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: see `alloc`.
        unsafe {
            if is_plugin() { System.dealloc(pointer, layout) } else { MiMalloc.dealloc(pointer, layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see `alloc`.
        unsafe { if is_plugin() { System.alloc_zeroed(layout) } else { MiMalloc.alloc_zeroed(layout) } }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: see `alloc`.
        unsafe {
            if is_plugin() {
                System.realloc(pointer, layout, size)
            } else {
                MiMalloc.realloc(pointer, layout, size)
            }
        }
    }
}
