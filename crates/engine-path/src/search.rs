//! One path: which size to try next, until it is known whether full-size packets pass, and which do.

/// How often a size is tried before it counts as lost. With one packet in ten lost each way, a good path loses three
/// round trips in a row once in 150 times, and twice three once in 20 000.
const TRIES: u32 = 3;

/// Size of the packets that show whether the peer answers at all; every IPv4 link carries 68 bytes (RFC 791, section 3.2),
/// every IPv6 link far more.
const SMALL: u32 = 96;

/// What is known of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Full-size packets pass.
    Passes,
    /// Only packets up to this size do.
    Narrow {
        /// The largest that was answered, in bytes with the IP header.
        passes: u32,
    },
    /// Nothing was answered.
    Silent,
}

/// A search that goes on: a path is asked for one size at a time.
///
/// It begins with the full size, and ends there when that is answered. Otherwise a small packet shows whether anybody
/// answers, halving finds the size, and the full size is tried once more: a path that was interrupted for a moment must
/// not be taken for a narrow one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    full: u32,
    phase: Phase,
    lost: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Full,
    Small,
    Between { passes: u32, too_big: u32 },
    FullAgain { passes: u32 },
}

impl Search {
    /// A search that begins with this size, in bytes with the IP header.
    #[must_use]
    pub fn new(full: u32) -> Self {
        Self { full, phase: Phase::Full, lost: 0 }
    }

    /// The size to send now.
    #[must_use]
    pub fn size(&self) -> u32 {
        match self.phase {
            Phase::Full | Phase::FullAgain { .. } => self.full,
            Phase::Small => SMALL.min(self.full),
            Phase::Between { passes, too_big } => passes.midpoint(too_big),
        }
    }

    /// The packet was answered; a verdict ends the search.
    pub fn answered(&mut self) -> Option<Verdict> {
        let size = self.size();
        match self.phase {
            Phase::Full | Phase::FullAgain { .. } => return Some(Verdict::Passes),
            Phase::Small => self.narrow_down(size, self.full),
            Phase::Between { too_big, .. } => self.narrow_down(size, too_big),
        }
        None
    }

    /// The packet was not answered in time; a verdict ends the search.
    pub fn lost(&mut self) -> Option<Verdict> {
        self.lost += 1;
        if self.lost < TRIES {
            return None;
        }
        match self.phase {
            Phase::Full => self.enter(Phase::Small),
            Phase::Small => return Some(Verdict::Silent),
            Phase::Between { passes, .. } => self.narrow_down(passes, self.size()),
            Phase::FullAgain { passes } => return Some(Verdict::Narrow { passes }),
        }
        None
    }

    fn narrow_down(&mut self, passes: u32, too_big: u32) {
        self.enter(if too_big - passes <= 1 {
            Phase::FullAgain { passes }
        } else {
            Phase::Between { passes, too_big }
        });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.lost = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a search over a path, and counts the packets.
    fn run(full: u32, mut answers: impl FnMut(u32) -> bool) -> (Verdict, u32) {
        let mut search = Search::new(full);
        for packets in 1.. {
            let verdict = if answers(search.size()) { search.answered() } else { search.lost() };
            if let Some(verdict) = verdict {
                return (verdict, packets);
            }
            assert!(packets < 1000, "a search ends");
        }
        unreachable!("the numbers do not end")
    }

    #[test]
    fn one_packet_proves_a_good_path() {
        assert_eq!(run(1450, |_| true), (Verdict::Passes, 1));
    }

    #[test]
    fn a_lost_packet_is_no_finding() {
        let mut seen = 0;
        let second = |_| {
            seen += 1;
            seen > 2
        };
        assert_eq!(run(1450, second), (Verdict::Passes, 3));
    }

    #[test]
    fn a_peer_that_never_answers_is_silent() {
        assert_eq!(run(1450, |_| false), (Verdict::Silent, 2 * TRIES));
    }

    #[test]
    fn a_path_that_comes_back_while_it_is_searched_is_not_narrow() {
        let mut packets = 0;
        let answers = |size| {
            packets += 1;
            size < 1000 || packets > 20
        };
        assert_eq!(run(1450, answers).0, Verdict::Passes);
    }

    proptest! {
        #[test]
        fn the_size_that_passes_is_found_to_the_byte(full in 1..=65_535_u32, limit in 1..=65_535_u32) {
            let (verdict, packets) = run(full, |size| size <= limit);
            let expected = match limit {
                limit if limit >= full => Verdict::Passes,
                limit if limit < SMALL.min(full) => Verdict::Silent,
                limit => Verdict::Narrow { passes: limit },
            };
            prop_assert_eq!(verdict, expected);
            prop_assert!(packets <= TRIES * 20, "{} packets", packets);
        }

        #[test]
        fn whatever_is_answered_a_search_ends(full in 0..=65_535_u32, answers in prop::collection::vec(any::<bool>(), 64)) {
            let mut answers = answers.into_iter().cycle();
            run(full, |size| size <= full && answers.next().unwrap_or_default());
        }
    }
}
