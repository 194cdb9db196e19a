//! When a message that could not be delivered is tried again, and when it is left to a person.

use std::time::Duration;

/// First pause. Shorter hammers a handler that refuses, longer delays what was a passing trouble.
const FIRST: Duration = Duration::from_secs(2);
/// Longest pause. Longer leaves a repaired message lying for half a day.
const LONGEST: Duration = Duration::from_secs(2 * 3_600);
/// Attempts after which a message becomes a dead letter: with the pauses above, more than half a day.
pub const MAX_ATTEMPTS: u32 = 18;

/// Pause after `attempts` failed ones. `jitter` (0 to 1) spreads relays that failed together over half of it.
pub fn pause_after(attempts: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST);
    doubled.mul_f64(0.75 + 0.5 * jitter.clamp(0.0, 1.0))
}

pub fn is_dead(attempts: u32) -> bool {
    attempts >= MAX_ATTEMPTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_hours_and_differ() {
        let pauses: Vec<u64> = (1..=16).map(|attempts| pause_after(attempts, 0.5).as_secs()).collect();
        assert_eq!(pauses[..5], [2, 4, 8, 16, 32]);
        assert_eq!(pauses[15], 7_200);
        assert_eq!(pause_after(u32::MAX, 0.5), LONGEST);
        assert!(pause_after(4, 0.0) < pause_after(4, 1.0));
        assert_eq!(pause_after(4, f64::INFINITY), pause_after(4, 1.0));
    }

    #[test]
    fn a_dead_letter_has_been_tried_for_half_a_day() {
        let tried: Duration = (1..MAX_ATTEMPTS).map(|attempts| pause_after(attempts, 0.0)).sum();
        assert!(tried > Duration::from_secs(6 * 3_600), "{tried:?}");
        assert!(is_dead(MAX_ATTEMPTS) && !is_dead(MAX_ATTEMPTS - 1));
    }
}
