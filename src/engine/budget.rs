//! How much of an API's traffic may be repeats.

use std::time::{Duration, Instant};

const SLOT: Duration = Duration::from_secs(2);
const SLOTS: usize = 5;
/// Repeats that are always allowed within the window.
const FLOOR: f64 = 10.0;

/// Counts calls and repeats over the last ten seconds.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    begun: Option<Instant>,
    /// All there ever were.
    total: u64,
    slot: u64,
    calls: [u32; SLOTS],
    repeats: [u32; SLOTS],
}

impl Budget {
    /// Tells how many calls there were before.
    pub(crate) fn count_call(&mut self, now: Instant) -> u64 {
        let at = self.turn(now);
        self.calls[at] = self.calls[at].saturating_add(1);
        self.total += 1;
        self.total - 1
    }

    /// Takes one repeat, if the share allows it.
    pub(crate) fn take(&mut self, share: f64, now: Instant) -> bool {
        let at = self.turn(now);
        let sum = |slots: &[u32]| slots.iter().map(|n| f64::from(*n)).sum::<f64>();
        let allowed = (sum(&self.calls) * share).max(FLOOR);
        let granted = sum(&self.repeats) + 1.0 <= allowed;
        if granted {
            self.repeats[at] += 1;
        }
        granted
    }

    /// Empties the slots that have passed and gives the index of the present one.
    fn turn(&mut self, now: Instant) -> usize {
        let begun = *self.begun.get_or_insert(now);
        let passed = now.saturating_duration_since(begun).as_secs() / SLOT.as_secs();
        let slot = passed.max(self.slot);
        for skipped in 0..(slot - self.slot).min(SLOTS as u64) {
            let at = ((slot - skipped) % SLOTS as u64) as usize;
            self.calls[at] = 0;
            self.repeats[at] = 0;
        }
        self.slot = slot;
        (slot % SLOTS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_then_a_share_then_time_heals() {
        let mut now = Instant::now();
        let mut budget = Budget::default();
        let granted =
            |budget: &mut Budget, now| (0..1000).filter(|_| budget.take(0.2, now)).count();
        assert_eq!(granted(&mut budget, now), 10);
        for _ in 0..100 {
            budget.count_call(now);
        }
        assert_eq!(granted(&mut budget, now), 10, "20 of 100 in all");
        now += Duration::from_secs(11);
        assert_eq!(granted(&mut budget, now), 10);
    }
}
