//! [`Plot`]: a run over its time, in columns of one width: requests a second by answer, keys that the app accepted and
//! refused, latency. What charts are drawn from, however many samples there are.

use std::collections::BTreeMap;

use super::journal::Journal;
use lab_core::event::{AlertState, StepResult};

/// The most columns.
pub(super) const COLUMNS: usize = 240;
/// Widths of columns, in seconds; beyond them it is hours.
const WIDTHS: [f64; 12] = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0];

/// A run over its time, in seconds since its start.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plot {
    /// Where the axis ends; above 0.
    pub(super) end: f64,
    /// How wide a column is.
    pub(super) width: f64,
    /// Requests a second by answer: status codes, then the causes of those without one.
    pub(super) answers: Vec<Line>,
    /// What the app counted a second: keys accepted, keys refused; empty where it was never asked.
    pub(super) keys: Vec<Line>,
    /// Milliseconds: the median, and the worst 99th percentile of a column.
    pub(super) latency: Vec<Line>,
    /// When the steps began and ended.
    pub(super) steps: Vec<Span>,
    /// From the first failed request to the first success that lasted, or the end.
    pub(super) outage: Option<(f64, f64)>,
    /// When alerts were pending and when they fired.
    pub(super) alerts: Vec<Alert>,
}

/// A value a column; none where nothing is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) values: Vec<Option<f64>>,
}

impl Line {
    /// The highest value.
    pub(super) fn peak(&self) -> f64 {
        self.values.iter().flatten().copied().fold(0.0, f64::max)
    }
}

/// A step on the axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) phase: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// An alert on the axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alert {
    pub(super) name: String,
    /// It fired; else it was pending.
    pub(super) firing: bool,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Plot {
    /// A run; none where it sent nothing whose time is known.
    pub(super) fn of(journal: &Journal) -> Option<Self> {
        let samples: Vec<_> = journal.steps.iter().flat_map(|step| &step.samples).collect();
        let last = samples.iter().map(|sample| sample.at).fold(0.0, f64::max);
        samples.first()?;
        let end = journal.duration.max(last + 0.2);
        // The last of a step may be short, and one that was late is long.
        #[expect(clippy::cast_precision_loss, reason = "there are some thousands")]
        let usual = samples.iter().map(|sample| sample.duration).sum::<f64>() / samples.len() as f64;
        let width = width(end, usual * 0.9);
        let grid = Grid { width, columns: columns(end, width) };
        let mut answers: BTreeMap<(bool, &str), Vec<f64>> = BTreeMap::new();
        for sample in &samples {
            let codes = sample.codes.iter().map(|(name, count)| ((false, name.as_str()), *count));
            let errors = sample.errors.iter().map(|(name, count)| ((true, name.as_str()), *count));
            for (name, count) in codes.chain(errors) {
                let column = answers.entry(name).or_insert_with(|| vec![0.0; grid.columns]);
                #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
                grid.spread(column, sample.at, sample.duration, count as f64 / width);
            }
        }
        let line = |((_, name), values): ((bool, &str), Vec<f64>)| Line {
            name: super::text::clean(name),
            values: values.into_iter().map(Some).collect(),
        };
        Some(Self {
            end,
            width,
            answers: answers.into_iter().map(line).collect(),
            keys: keys(journal, &grid),
            latency: latency(journal, &grid),
            steps: journal.steps.iter().map(span).collect(),
            outage: journal.outage.map(|outage| (outage.impact_at, outage.recovered_at.unwrap_or(end))),
            alerts: alerts(journal, end),
        })
    }

    /// How many columns there are.
    pub(super) fn columns(&self) -> usize {
        columns(self.end, self.width)
    }

    /// The same in at most so many columns, for a table: rates are averaged, of latency the worst is kept.
    pub(super) fn coarser(&self, most: usize) -> Self {
        let factor = self.columns().div_ceil(most).max(1);
        let mean = |values: &[Option<f64>]| {
            let known: Vec<f64> = values.iter().flatten().copied().collect();
            #[expect(clippy::cast_precision_loss, reason = "there are at most a few hundred")]
            let count = known.len() as f64;
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / count)
        };
        let worst = |values: &[Option<f64>]| values.iter().flatten().copied().reduce(f64::max);
        let each = |lines: &[Line], of: &dyn Fn(&[Option<f64>]) -> Option<f64>| {
            let line =
                |line: &Line| Line { name: line.name.clone(), values: line.values.chunks(factor).map(of).collect() };
            lines.iter().map(line).collect()
        };
        #[expect(clippy::cast_precision_loss, reason = "at most a few hundred")]
        let width = self.width * factor as f64;
        let (answers, keys, latency) =
            (each(&self.answers, &mean), each(&self.keys, &mean), each(&self.latency, &worst));
        Self { width, answers, keys, latency, ..self.clone() }
    }
}

/// The narrowest width with which it fits.
fn width(end: f64, finest: f64) -> f64 {
    let hours = (1..).map(|hours| f64::from(hours) * 3_600.0);
    let fits = |width: &f64| *width >= finest && columns(end, *width) <= COLUMNS;
    WIDTHS.into_iter().chain(hours).find(fits).unwrap_or(end)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and small")]
fn columns(end: f64, width: f64) -> usize {
    ((end / width).ceil() as usize).max(1)
}

fn span(step: &StepResult) -> Span {
    let name = super::text::clean(&step.name);
    Span { name, phase: step.phase.name(), from: step.elapsed, to: step.elapsed + step.duration }
}

/// Each time that an alert was pending, and each that it fired; what was not over at the end goes on to it.
fn alerts(journal: &Journal, end: f64) -> Vec<Alert> {
    let spans = journal.alerts.iter().enumerate().filter_map(|(index, alert)| {
        let firing = match alert.state {
            AlertState::Pending => false,
            AlertState::Firing => true,
            AlertState::Resolved | AlertState::Cleared => return None,
        };
        let next = journal.alerts[index + 1..].iter().find(|next| next.name == alert.name);
        let to = next.map_or(end, |next| next.since).clamp(alert.since, end.max(alert.since));
        Some(Alert { name: super::text::clean(&alert.name), firing, from: alert.since, to })
    });
    spans.collect()
}

struct Grid {
    width: f64,
    columns: usize,
}

impl Grid {
    /// Which column a time is in.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and capped")]
    fn column(&self, at: f64) -> usize {
        ((at.max(0.0) / self.width) as usize).min(self.columns - 1)
    }

    /// Adds an amount that came evenly over a time.
    fn spread(&self, values: &mut [f64], at: f64, duration: f64, amount: f64) {
        let duration = duration.max(1e-6);
        let (first, last) = (self.column(at), self.column(at + duration));
        for (index, value) in values.iter_mut().enumerate().take(last + 1).skip(first) {
            #[expect(clippy::cast_precision_loss, reason = "there are at most a few hundred columns")]
            let from = index as f64 * self.width;
            let to = if index == self.columns - 1 { f64::INFINITY } else { from + self.width };
            let overlap = (at + duration).min(to) - at.max(from);
            *value += amount * (overlap / duration).max(0.0);
        }
    }
}

/// What the app counted: its samples, and after the last of a step what the step's own deltas have beyond them.
fn keys(journal: &Journal, grid: &Grid) -> Vec<Line> {
    let lines = [("accepted", "app_auth_success_total"), ("refused", "app_auth_failures_total")];
    let lines = lines.map(|(name, counter)| {
        let mut values = vec![0.0; grid.columns];
        let mut known = false;
        for step in journal.steps.iter().filter(|step| step.sent.is_some() || !step.background.is_empty()) {
            let mut rest = step.deltas.get(counter).copied().flatten();
            let mut at = step.elapsed;
            for sample in &step.counters {
                let increase = sample.deltas.get(counter).copied().unwrap_or(0.0);
                grid.spread(&mut values, sample.at, sample.duration, increase / grid.width);
                rest = rest.map(|rest| rest - increase);
                at = sample.at + sample.duration;
                known = true;
            }
            if let Some(rest) = rest {
                grid.spread(&mut values, at, step.elapsed + step.duration - at, rest.max(0.0) / grid.width);
                known = true;
            }
        }
        known.then(|| Line { name: name.to_owned(), values: values.into_iter().map(Some).collect() })
    });
    lines.into_iter().flatten().collect()
}

/// The median of a column's samples, by how many responses each has, and their worst 99th percentile.
fn latency(journal: &Journal, grid: &Grid) -> Vec<Line> {
    let mut medians = vec![(0.0, 0.0); grid.columns];
    let mut tails: Vec<Option<f64>> = vec![None; grid.columns];
    for sample in journal.steps.iter().flat_map(|step| &step.samples) {
        let Some(latency) = sample.latency_ms else { continue };
        // Just before its end: there the next one begins.
        let (first, last) = (grid.column(sample.at), grid.column(sample.at + sample.duration * 0.99));
        #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
        let count = sample.codes.values().sum::<u64>() as f64;
        for column in first..=last {
            let (sum, weight) = &mut medians[column];
            *sum += latency.p50 * count;
            *weight += count;
            tails[column] = Some(tails[column].map_or(latency.p99, |tail| tail.max(latency.p99)));
        }
    }
    let median = medians.into_iter().map(|(sum, weight)| (weight > 0.0).then(|| sum / weight)).collect();
    vec![Line { name: "median".to_owned(), values: median }, Line { name: "p99".to_owned(), values: tails }]
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, Plot};
    use crate::report::journal::Journal;
    use lab_core::event::{CounterSample, Sample};
    use lab_testkit::stories;

    fn journal() -> Journal {
        Journal::from_events(&stories::sampled(stories::rotate_key())).expect("a whole run")
    }

    /// How many requests the columns of an answer add up to.
    fn total(plot: &Plot, name: &str) -> f64 {
        let line = plot.answers.iter().find(|line| line.name == name).expect(name);
        line.values.iter().flatten().sum::<f64>() * plot.width
    }

    #[test]
    fn no_request_is_lost_on_the_way_into_columns() {
        let plot = Plot::of(&journal()).expect("it has samples");
        assert_eq!(plot.columns(), 7, "columns are no finer than samples");
        assert!((total(&plot, "200") - 80.0).abs() < 1e-6);
        assert!((total(&plot, "401") - 40.0).abs() < 1e-6);
        let refused: f64 = plot.keys[1].values.iter().flatten().sum();
        assert!((refused - 40.0).abs() < 1e-6, "what no sample has is in the step's deltas: {refused}");
        assert_eq!(plot.outage, Some((2.1, 4.1)));
    }

    #[test]
    fn however_long_it_was_there_are_not_more_columns() {
        for seconds in [1_u32, 59, 1_800, 36_000, 400_000] {
            let mut journal = journal();
            let sample = |second: u32| Sample {
                at: f64::from(second),
                duration: 1.0,
                codes: [("200".to_owned(), 20)].into(),
                errors: [].into(),
                latency_ms: None,
            };
            journal.steps.truncate(1);
            journal.duration = f64::from(seconds);
            journal.steps[0].samples = (0..seconds).map(sample).collect();
            let plot = Plot::of(&journal).expect("it has samples");
            assert!(plot.columns() <= COLUMNS, "{seconds} s: {}", plot.columns());
            assert_eq!(plot.answers[0].values.len(), plot.columns());
            assert!((total(&plot, "200") - f64::from(seconds) * 20.0).abs() < 1e-3, "{seconds} s");
            let coarse = plot.coarser(40);
            assert!(coarse.answers[0].values.len() <= 40);
        }
    }

    #[test]
    fn counters_are_drawn_where_they_rose() {
        let mut journal = journal();
        let sample = |at, refused| CounterSample {
            at,
            duration: 1.0,
            deltas: [("app_auth_failures_total".to_owned(), refused)].into(),
        };
        journal.steps[2].counters = vec![sample(2.1, 30.0)];
        let plot = Plot::of(&journal).expect("it has samples");
        let refused: Vec<f64> = plot.keys[1].values.iter().flatten().map(|value| value.round()).collect();
        assert_eq!(refused, [0.0, 0.0, 27.0, 12.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn traffic_in_the_background_is_drawn_alike_as_requests_and_as_keys() {
        let mut journal = Journal::from_events(&stories::grown()).expect("a whole run");
        let step = &mut journal.steps[4];
        assert_eq!((step.name.as_str(), step.sent), ("runbook", None));
        let codes = [("200".to_owned(), 6), ("401".to_owned(), 2)].into();
        step.samples = vec![Sample { at: step.elapsed, duration: 0.8, codes, errors: [].into(), latency_ms: None }];
        journal.steps.drain(..4);
        let plot = Plot::of(&journal).expect("it has samples");
        assert!((total(&plot, "200") - 6.0).abs() < 1e-6 && (total(&plot, "401") - 2.0).abs() < 1e-6);
        let keys: Vec<f64> =
            plot.keys.iter().map(|line| line.values.iter().flatten().sum::<f64>() * plot.width).collect();
        assert!((keys[0] - 6.0).abs() < 1e-6 && (keys[1] - 2.0).abs() < 1e-6, "{keys:?}");
    }

    #[test]
    fn a_run_without_traffic_has_nothing_to_draw() {
        assert_eq!(Plot::of(&Journal::from_events(&stories::error()).expect("a run")), None);
    }
}
