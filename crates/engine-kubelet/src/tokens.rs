//! When a Pod's token is replaced by a new one, before it ends.

use jiff::{SignedDuration, Timestamp};

/// Part of a token's life after which it is renewed, in percent, and the time after which it is in any case
/// (kubelet `pkg/kubelet/token/token_manager.go`: `requiresRefresh`, `maxTTL`).
const RENEWED_AFTER: (i64, SignedDuration) = (80, SignedDuration::from_hours(24));

/// A token and its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What proves the account.
    pub text: String,
    /// When it is renewed.
    pub renew_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
}

impl Token {
    /// A token issued now for so many seconds.
    #[must_use]
    pub fn issued(text: String, now: Timestamp, ends_at: Timestamp) -> Self {
        let (percent, longest) = RENEWED_AFTER;
        let life = ends_at.duration_since(now).as_secs().max(0);
        let part = SignedDuration::from_secs(life.saturating_mul(percent) / 100);
        Self { text, renew_at: now + part.min(longest), ends_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_after_four_fifths_of_its_life_or_a_day() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (life, renewed) in [(3600, 2880), (600, 480), (7 * 86_400, 86_400), (0, 0)] {
            let token = Token::issued(String::new(), at(1000), at(1000 + life));
            assert_eq!((token.renew_at, token.ends_at), (at(1000 + renewed), at(1000 + life)));
        }
    }
}
