//! A request rate that changes over time. [`Profile::mass`] returns the number of requests due before an instant and
//! [`Profile::instant`] is its inverse, so the schedule is absolute and does not drift.

use std::time::Duration;

use super::Stage;

/// Consecutive stages. The final rate of the last one continues indefinitely.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    segments: Vec<Segment>,
}

/// A stage with its position. Times are in seconds, rates in requests per second.
#[derive(Clone, Copy, Debug)]
struct Segment {
    start: f64,
    /// Requests due before the start.
    before: f64,
    /// Infinite for the segment after the last stage.
    length: f64,
    from: f64,
    to: f64,
}

impl Segment {
    fn mass(&self, elapsed: f64) -> f64 {
        if self.is_steady() {
            return self.from * elapsed;
        }
        elapsed * (self.from + (self.to - self.from) * elapsed / (2.0 * self.length))
    }

    /// Time after the start of the segment at which `mass` of its requests are due.
    fn elapsed(&self, mass: f64) -> f64 {
        if self.is_steady() {
            return if mass > 0.0 { mass / self.from } else { 0.0 };
        }
        // This form of the root avoids a subtraction, so a ramp from rate 0 is exact too.
        let slope = (self.to - self.from) / self.length;
        let root = (self.from * self.from + 2.0 * slope * mass).max(0.0).sqrt();
        if mass > 0.0 { 2.0 * mass / (self.from + root) } else { 0.0 }
    }

    #[expect(clippy::float_cmp, reason = "a steady stage was given one rate")]
    fn is_steady(&self) -> bool {
        self.from == self.to
    }
}

impl Profile {
    /// Needs at least one stage. The last one ends at a rate above 0, unless the schedule is limited in time.
    pub(super) fn new(stages: impl IntoIterator<Item = Stage>) -> Self {
        let (mut segments, mut start, mut before, mut last) = (Vec::new(), 0.0, 0.0, 0.0);
        for stage in stages {
            let segment = Segment { start, before, length: stage.length.as_secs_f64(), from: stage.from, to: stage.to };
            start += segment.length;
            before += segment.mass(segment.length);
            last = stage.to;
            segments.push(segment);
        }
        segments.push(Segment { start, before, length: f64::INFINITY, from: last, to: last });
        Self { segments }
    }

    /// Number of requests due before `seconds`, as a fraction.
    pub(super) fn mass(&self, seconds: f64) -> f64 {
        let segment = self.last_where(|segment| segment.start <= seconds);
        segment.before + segment.mass(seconds - segment.start)
    }

    /// Time at which `mass` requests have become due.
    pub(super) fn instant(&self, mass: f64) -> Duration {
        let segment = self.last_where(|segment| segment.before <= mass);
        let elapsed = segment.elapsed(mass - segment.before);
        Duration::try_from_secs_f64(segment.start + elapsed).unwrap_or(Duration::MAX)
    }

    fn last_where(&self, predicate: impl Fn(&Segment) -> bool) -> &Segment {
        let at = self.segments.partition_point(predicate).saturating_sub(1);
        &self.segments[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stage(millis: u64, from: f64, to: f64) -> Stage {
        Stage { length: Duration::from_millis(millis), from, to }
    }

    #[test]
    fn a_ramp_is_a_parabola() {
        let ramp = Profile::new([stage(10_000, 0.0, 100.0)]);
        assert!((ramp.mass(10.0) - 500.0).abs() < 1e-9);
        assert!((ramp.mass(5.0) - 125.0).abs() < 1e-9);
        assert!((ramp.mass(11.0) - 600.0).abs() < 1e-9, "the last rate continues");
        assert_eq!(ramp.instant(0.0), Duration::ZERO);
        assert_eq!(ramp.instant(125.0), Duration::from_secs(5));
        let down = Profile::new([stage(10_000, 100.0, 0.0)]);
        assert_eq!(down.instant(375.0), Duration::from_secs(5));
    }

    #[test]
    fn stages_follow_each_other() {
        let profile = Profile::new([stage(10_000, 50.0, 50.0), stage(30_000, 200.0, 200.0)]);
        assert_eq!(profile.instant(499.0), Duration::from_millis(9980));
        assert_eq!(profile.instant(500.0), Duration::from_secs(10));
        assert_eq!(profile.instant(700.0), Duration::from_secs(11));
    }

    proptest! {
        #[test]
        fn one_is_the_inverse_of_the_other(
            stages in prop::collection::vec((1u64..20_000, 0.1f64..5000.0, 0.1f64..5000.0, any::<bool>()), 1..5),
            part in 0.0f64..1.2,
        ) {
            let profile = Profile::new(stages.iter().map(|(millis, from, to, steady)| {
                stage(*millis, *from, if *steady { *from } else { *to })
            }));
            let end: u64 = stages.iter().map(|stage| stage.0).sum();
            let mass = profile.mass(Duration::from_millis(end).as_secs_f64()) * part;
            let back = profile.mass(profile.instant(mass).as_secs_f64());
            // An instant is a whole number of nanoseconds.
            prop_assert!((back - mass).abs() <= 1e-4 + mass * 1e-9, "{mass} {back}");
        }
    }
}
