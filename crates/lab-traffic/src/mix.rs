//! Assigns each request to a caller and a request specification. The assignment depends only on the request's number, so
//! runs are repeatable, and the shares are exact after every round.

/// Resolution of shares (0.01 %), and roughly the maximum number of requests in a round.
const ROUND: u32 = 10_000;

/// Order in which the callers send.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    /// One round: the caller, and the number of its earlier requests in the round.
    turns: Vec<(usize, u64)>,
    /// Requests per round, by caller.
    counts: Vec<u64>,
    /// Number of request specifications.
    requests: u64,
    /// The only request specification of a caller, by caller.
    only: Vec<Option<usize>>,
}

impl Mix {
    /// The shares add up to 1. A caller without a request specification of its own in `only` cycles through all of them.
    pub(super) fn new(shares: &[f64], requests: usize, only: Vec<Option<usize>>) -> Self {
        let weights = weights(shares);
        let order = smooth(&weights);
        let mut counts = vec![0; shares.len()];
        let turns = order
            .into_iter()
            .map(|caller| {
                counts[caller] += 1;
                (caller, counts[caller] - 1)
            })
            .collect();
        Self { turns, counts, requests: requests as u64, only }
    }

    /// Returns the caller and the request specification for this request number.
    pub(super) fn assign(&self, number: u64) -> (usize, usize) {
        let length = self.turns.len() as u64;
        let (caller, before) = self.turns[usize::try_from(number % length).unwrap_or(0)];
        if let Some(Some(request)) = self.only.get(caller) {
            return (caller, *request);
        }
        let turn = (number / length).wrapping_mul(self.counts[caller]).wrapping_add(before);
        (caller, usize::try_from(turn % self.requests).unwrap_or(0))
    }
}

/// Index of the first share that rounding to the resolution would change by more than 1 %.
pub(super) fn too_fine(shares: &[f64]) -> Option<usize> {
    let kept = |share: &f64| {
        let (wanted, whole) = (share * f64::from(ROUND), (share * f64::from(ROUND)).round());
        (wanted - whole).abs() <= whole / 100.0
    };
    if are_equal(shares) { None } else { shares.iter().position(|share| !kept(share)) }
}

fn are_equal(shares: &[f64]) -> bool {
    shares.iter().all(|share| (share - shares[0]).abs() < 1e-9)
}

/// Converts shares to the smallest equivalent integer weights.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 1")]
fn weights(shares: &[f64]) -> Vec<u32> {
    // Equal shares such as thirds are not multiples of the resolution, but taking turns is exact.
    if are_equal(shares) {
        return vec![1; shares.len()];
    }
    let weights: Vec<u32> = shares.iter().map(|share| (share * f64::from(ROUND)).round() as u32).collect();
    let divisor = weights.iter().fold(0, |a, b| gcd(a, *b)).max(1);
    weights.into_iter().map(|weight| weight / divisor).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `TrafficCommands` one round so that each caller is spread evenly (nginx's smooth weighted round robin).
fn smooth(weights: &[u32]) -> Vec<usize> {
    let total: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
    let mut credit = vec![0i64; weights.len()];
    let mut order = Vec::new();
    for _ in 0..total {
        for (credit, weight) in credit.iter_mut().zip(weights) {
            *credit += i64::from(*weight);
        }
        // On a tie, the first caller wins.
        let chosen = (0..weights.len()).rev().max_by_key(|caller| credit[*caller]).unwrap_or(0);
        credit[chosen] -= total;
        order.push(chosen);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn callers(mix: &Mix, count: u64) -> Vec<usize> {
        (0..count).map(|number| mix.assign(number).0).collect()
    }

    #[test]
    fn a_share_of_a_fifth_is_every_fifth_request() {
        let mix = Mix::new(&[0.8, 0.2], 1, Vec::new());
        assert_eq!(callers(&mix, 10), [0, 0, 1, 0, 0, 0, 0, 1, 0, 0]);
        let thirds = Mix::new(&[1.0 / 3.0; 3], 1, Vec::new());
        assert_eq!(callers(&thirds, 6), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn every_caller_sends_every_request_in_turn() {
        let mix = Mix::new(&[0.5, 0.5], 2, Vec::new());
        let dealt: Vec<_> = (0..8).map(|number| mix.assign(number)).collect();
        assert_eq!(dealt, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 0), (1, 0), (0, 1), (1, 1)]);
    }

    #[test]
    fn a_caller_may_send_one_request_only() {
        let mix = Mix::new(&[0.5, 0.5], 3, vec![None, Some(2)]);
        let dealt: Vec<_> = (0..6).map(|number| mix.assign(number)).collect();
        assert_eq!(dealt, [(0, 0), (1, 2), (0, 1), (1, 2), (0, 2), (1, 2)]);
    }

    #[test]
    fn a_small_share_is_exact_or_refused() {
        for share in [0.0001, 0.0002, 0.0025] {
            assert_eq!(too_fine(&[1.0 - share, share]), None, "{share}");
            let mix = Mix::new(&[1.0 - share, share], 1, Vec::new());
            let second = callers(&mix, 10_000).into_iter().filter(|caller| *caller == 1).count();
            assert!(
                (f64::from(u32::try_from(second).expect("few")) - share * 10_000.0).abs() < 0.1,
                "{share}: {second}"
            );
        }
        for share in [0.000_01, 0.000_05, 0.000_15] {
            assert_eq!(too_fine(&[1.0 - share, share]), Some(1), "{share}");
        }
        assert_eq!(too_fine(&[1.0 / 30_000.0; 3]), None, "equal callers take turns");
    }

    proptest! {
        #[test]
        fn shares_are_met_at_any_time(percent in 1u32..100, sent in 1u64..5000) {
            let share = f64::from(percent) / 100.0;
            let mix = Mix::new(&[1.0 - share, share], 3, Vec::new());
            let second = callers(&mix, sent).into_iter().filter(|caller| *caller == 1).count();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let wanted = share * sent as f64;
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let off = (second as f64 - wanted).abs();
            prop_assert!(off <= 1.0, "{second} of {sent}, wanted {wanted}");
        }
    }
}
