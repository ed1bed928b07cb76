//! A program on a terminal of fixed size, and what stands on its screen.
//!
//! As much of a terminal as programs that place their text need: positions, erasing, printing. Colours are dropped.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ROWS: u16 = 40;
const COLUMNS: u16 = 140;
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a wait pauses between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A running program and its screen; the program ends with this value.
pub(crate) struct Screen {
    child: Child,
    keyboard: File,
    grid: Arc<Mutex<Grid>>,
}

impl Screen {
    /// Starts a program on a terminal of its own.
    pub(crate) fn start(mut command: Command) -> Self {
        let size = libc::winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = nix::pty::openpty(Some(&size), None).unwrap();
        let (ours, theirs) = (File::from(pair.master), File::from(pair.slave));
        // Only its own copies, which stand at 0, 1 and 2, may be left in the program.
        for end in [&ours, &theirs] {
            nix::fcntl::fcntl(end, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).unwrap();
        }
        command.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap()).stderr(theirs);
        command.env("TERM", "xterm-256color");
        // SAFETY: between fork and exec, the closure makes two system calls.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                // SAFETY: no pointer is passed.
                match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let child = command.spawn().unwrap();
        let grid = Arc::new(Mutex::new(Grid::default()));
        let (shown, mut output) = (Arc::clone(&grid), ours.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // The last read fails: the other end of the terminal is gone.
            while let Ok(length @ 1..) = output.read(&mut piece) {
                shown.lock().unwrap().take(&piece[..length]);
            }
        });
        Self { child, keyboard: ours, grid }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until all of these texts, apart by `|`, stand on the screen.
    #[track_caller]
    pub(crate) fn wait_for(&self, texts: &str) {
        self.wait_until(texts, |screen| texts.split('|').all(|text| screen.contains(text)));
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.grid.lock().unwrap().text();
            if is_so(&screen) {
                return;
            }
            assert!(Instant::now() < deadline, "no `{what}` on the screen:\n{screen}");
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits for the program to end by itself.
    #[track_caller]
    pub(crate) fn wait_for_end(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "does not end:\n{}", self.grid.lock().unwrap().text());
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What stands where.
struct Grid {
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// What came of a letter or a sequence that is not complete yet.
    pending: Vec<u8>,
}

impl Default for Grid {
    fn default() -> Self {
        let cells = vec![vec![' '; COLUMNS.into()]; ROWS.into()];
        Self { cells, row: 0, column: 0, pending: Vec::new() }
    }
}

impl Grid {
    fn text(&self) -> String {
        let rows = self.cells.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned() + "\n");
        rows.collect()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        while let Some(used) = self.step() {
            self.pending.drain(..used);
        }
    }

    /// Acts on the first letter or sequence; how long it is, when it is complete.
    fn step(&mut self) -> Option<usize> {
        let first = *self.pending.first()?;
        match first {
            0x1b => match self.pending.get(1)? {
                b'[' => self.sequence(),
                // A title and the like: until a bell.
                b']' => Some(self.pending.iter().position(|byte| *byte == 7)? + 1),
                b'(' | b')' => self.pending.get(2).map(|_| 3),
                _ => Some(2),
            },
            b'\r' => self.moved(1, self.row, 0),
            b'\n' => self.moved(1, self.row + 1, self.column),
            8 => self.moved(1, self.row, self.column.saturating_sub(1)),
            0..0x20 => Some(1),
            _ => {
                let length = match first {
                    0xf0.. => 4,
                    0xe0.. => 3,
                    0xc0.. => 2,
                    _ => 1,
                };
                let letter = String::from_utf8_lossy(self.pending.get(..length)?).chars().next()?;
                if let Some(cell) = self.cells.get_mut(self.row).and_then(|row| row.get_mut(self.column)) {
                    *cell = letter;
                }
                self.moved(length, self.row, self.column + 1)
            }
        }
    }

    /// `ESC [ numbers letter`.
    fn sequence(&mut self) -> Option<usize> {
        let end = self.pending[2..].iter().position(|byte| (0x40..0x7f).contains(byte))? + 2;
        let numbers = String::from_utf8_lossy(&self.pending[2..end]).into_owned();
        let mut numbers = numbers.split(';').map(|number| number.parse::<usize>().unwrap_or(0));
        let (one, two) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let (row, column) = (self.row, self.column);
        match self.pending[end] {
            b'H' | b'f' => return self.moved(end + 1, one.max(1) - 1, two.max(1) - 1),
            b'A' => return self.moved(end + 1, row.saturating_sub(one.max(1)), column),
            b'B' => return self.moved(end + 1, row + one.max(1), column),
            b'C' => return self.moved(end + 1, row, column + one.max(1)),
            b'D' => return self.moved(end + 1, row, column.saturating_sub(one.max(1))),
            b'G' => return self.moved(end + 1, row, one.max(1) - 1),
            b'J' if one == 2 => self.cells.iter_mut().for_each(|row| row.fill(' ')),
            b'J' => self.cells.iter_mut().skip(row + 1).for_each(|row| row.fill(' ')),
            b'K' => self.cells.get_mut(row)?.get_mut(column..)?.fill(' '),
            _ => {}
        }
        Some(end + 1)
    }

    fn moved(&mut self, used: usize, row: usize, column: usize) -> Option<usize> {
        self.row = row.min(usize::from(ROWS) - 1);
        self.column = column.min(usize::from(COLUMNS));
        Some(used)
    }
}

#[test]
fn text_stands_where_it_is_put() {
    let mut grid = Grid::default();
    grid.take(b"\x1b[2J\x1b[2;3Hab\x1b[1mc\r\n\x1b]0;title\x07\x1b(Bx\xc3");
    grid.take(b"\xa4\x1b[3");
    grid.take(b";1Hy");
    assert!(grid.text().starts_with("\n  abc\ny\u{e4}\n"), "{}", grid.text());
    grid.take(b"\x1b[2;4H\x1b[K");
    assert!(grid.text().starts_with("\n  a\ny"), "{}", grid.text());
}
