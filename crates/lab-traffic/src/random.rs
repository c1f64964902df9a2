//! Repeatable random numbers: the same seed gives the same sequence.

/// `SplitMix64` (Steele, Lea and Flood 2014): small, accepts any seed, and is good enough for gaps between requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a uniformly distributed number above 0, at most 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    pub(super) fn fraction(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Returns an exponentially distributed number with a mean of 1.
    pub(super) fn exponential(&mut self) -> f64 {
        -self.fraction().ln()
    }
}
