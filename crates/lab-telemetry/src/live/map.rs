//! Summary of a lab from its callers' point of view: one sentence, and a map of the request path with the state of each hop.
//! What callers get counts; the services' own states explain it.

use serde::Serialize;

use super::feed::{EdgePoint, Point};
use lab_core::engine::RunState;

/// Latency above which requests count as slow, in milliseconds. Same as in the alert rules.
const SLOW: f64 = 250.0;

/// Observed state of the services on the request path. `None` if it is not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathState<'a> {
    /// Newest point of the feed.
    pub point: Option<&'a Point>,
    /// Run state of the gateway, such as `running`.
    pub gateway: Option<&'a str>,
    /// Run state of the app.
    pub app: Option<&'a str>,
    /// Run state of the database.
    pub db: Option<&'a str>,
}

/// Severity of a state, which determines its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It works.
    Good,
    /// It is slow, or refuses requests.
    Warn,
    /// It fails.
    Bad,
    /// Nothing happens, or nothing is known.
    Idle,
}

/// One sentence about the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Headline {
    /// Colour of the sentence.
    pub level: Level,
    /// The sentence. It changes only if the state changes, so that screen readers need not repeat it.
    pub text: String,
}

/// Hop of the request path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Sender of the requests.
    pub from: &'static str,
    /// Receiver of the requests.
    pub to: &'static str,
    /// State of the hop.
    pub level: Level,
    /// Short explanation, such as `502` or `stopped`.
    pub text: String,
}

/// Meaning of a status code at the gateway, as the end of a sentence.
fn meaning(code: &str) -> &'static str {
    match code {
        "400" => "the request is malformed",
        "401" => "the key is wrong or missing",
        "403" => "the key lacks a scope",
        "404" => "the path does not exist",
        "429" => "the rate limit is exceeded",
        "499" => "callers gave up waiting",
        "502" => "the gateway does not reach the app",
        "503" => "the app cannot use its database",
        "504" => "the app does not answer in time",
        _ if code.starts_with('4') => "the request is refused",
        _ => "the server fails",
    }
}

impl<'a> PathState<'a> {
    fn edge(&self) -> Option<&'a EdgePoint> {
        self.point?.edge.as_ref()
    }

    /// Whatever callers get comes first, so that no sentence calls a lab healthy while its callers fail.
    pub fn headline(&self) -> Headline {
        let say = |level, text: &str| Headline { level, text: text.to_owned() };
        let Some(point) = self.point else { return say(Level::Idle, "Waiting for the first sample.") };
        if let Some(state) = stopped(self.gateway) {
            return say(Level::Bad, &format!("The gateway is {state}: callers get no response."));
        }
        if let Some(failing) = self.edge().and_then(failing) {
            return failing;
        }
        if let Some(state) = stopped(self.app) {
            return say(Level::Bad, &format!("The app is {state}."));
        }
        if !point.up {
            return say(Level::Bad, "The app does not answer.");
        }
        if let Some(state) = stopped(self.db) {
            return say(Level::Bad, &format!("The database is {state}."));
        }
        match self.edge() {
            Some(edge) if edge.p99.is_some_and(|p99| p99 > SLOW) => {
                say(Level::Warn, "Requests are slow: the slowest 1% take more than 250ms.")
            }
            Some(edge) if edge.recent_requests() > 0.0 => say(Level::Good, "Requests are answered."),
            Some(_) => say(Level::Idle, "The app is up, but no requests arrive."),
            // One scrape is no rate.
            None if point.edge_up => say(Level::Idle, "Waiting for the next sample."),
            None => without_edge(point),
        }
    }

    /// Hops from the callers to the database.
    pub fn hops(&self) -> [Hop; 3] {
        let hop = |from, to, (level, text)| Hop { from, to, level, text };
        [
            hop("callers", "gateway", self.callers()),
            hop("gateway", "app", self.gateway_to_app()),
            hop("app", "db", self.app_to_db()),
        ]
    }

    fn callers(&self) -> (Level, String) {
        if let Some(state) = stopped(self.gateway) {
            return (Level::Bad, state.to_owned());
        }
        let Some(edge) = self.edge() else {
            let is_counted = self.point.is_none_or(|point| point.edge_up);
            return (Level::Idle, if is_counted { "unknown" } else { "not counted" }.to_owned());
        };
        let share = edge.failing().unwrap_or_default();
        if share > 0.0 {
            let code = edge.most_frequent_failure().unwrap_or_default();
            return (Level::Bad, format!("{} fail: {code}", percent(share)));
        }
        match edge.p99 {
            _ if edge.recent_requests() <= 0.0 => (Level::Idle, "no requests".to_owned()),
            Some(p99) if p99 > SLOW => (Level::Warn, "slow".to_owned()),
            _ => (Level::Good, "ok".to_owned()),
        }
    }

    fn gateway_to_app(&self) -> (Level, String) {
        if let Some(state) = stopped(self.app) {
            return (Level::Bad, state.to_owned());
        }
        if let Some(code) = self.edge().and_then(|edge| edge.recent_code(&["502", "504", "499"])) {
            return (Level::Bad, code.to_owned());
        }
        let Some(point) = self.point else { return (Level::Idle, "unknown".to_owned()) };
        if !point.up {
            return (Level::Bad, "no answer".to_owned());
        }
        if let Some(code) = self.edge().and_then(|edge| edge.recent_code(&["401", "403", "429", "404", "400"])) {
            return (Level::Warn, format!("refused: {code}"));
        }
        self.used(point.p99)
    }

    fn app_to_db(&self) -> (Level, String) {
        if let Some(state) = stopped(self.db) {
            return (Level::Bad, state.to_owned());
        }
        if let Some(code) = self.edge().and_then(|edge| edge.recent_code(&["503"])) {
            return (Level::Bad, code.to_owned());
        }
        match self.point {
            Some(point) if point.up && self.edge().is_none_or(|edge| edge.recent_code(&["200"]).is_some()) => {
                self.used(None)
            }
            _ => (Level::Idle, "no requests".to_owned()),
        }
    }

    /// State of a hop without failures.
    fn used(&self, p99: Option<f64>) -> (Level, String) {
        let requests = match (self.edge(), self.point) {
            (Some(edge), _) => edge.recent_requests(),
            (None, Some(point)) => point.requests.unwrap_or_default(),
            (None, None) => 0.0,
        };
        match p99 {
            _ if requests <= 0.0 => (Level::Idle, "no requests".to_owned()),
            Some(p99) if p99 > SLOW => (Level::Warn, "slow".to_owned()),
            _ => (Level::Good, "ok".to_owned()),
        }
    }
}

/// State of a service that does not run.
fn stopped(state: Option<&str>) -> Option<&str> {
    state.filter(|state| *state != RunState::Running.name())
}

/// Sentence about failed requests.
fn failing(edge: &EdgePoint) -> Option<Headline> {
    let share = edge.failing().filter(|share| *share > 0.0)?;
    let code = edge.most_frequent_failure()?;
    let level = if share < 0.05 { Level::Warn } else { Level::Bad };
    let who = match share {
        1.0.. => "every request gets",
        0.5.. => "most requests get",
        _ => "some requests get",
    };
    let text = match code {
        "401" => format!("Keys are rejected: {who} a 401."),
        "499" => format!("Callers give up waiting: {who} no response."),
        _ => format!("Callers fail: {who} a {code}, {}.", meaning(code)),
    };
    Some(Headline { level, text })
}

/// Sentence for a stack that does not count what callers get.
fn without_edge(point: &Point) -> Headline {
    let (level, text) = if point.refused.is_some_and(|refused| refused > 0.0) {
        (Level::Bad, "Keys are rejected: callers get 401.")
    } else if point.codes.keys().any(|code| code.starts_with('5')) {
        (Level::Bad, "The app returns errors.")
    } else if point.requests.is_some_and(|requests| requests > 0.0) {
        (Level::Idle, "The app answers; what callers get at the gateway is not counted.")
    } else {
        (Level::Idle, "The app is up, but receives no requests.")
    };
    Headline { level, text: text.to_owned() }
}

/// `97%`; never `0%` or `100%` for something in between.
fn percent(share: f64) -> String {
    let whole = (share * 100.0).round();
    let bounded = if share < 1.0 { whole.clamp(1.0, 99.0) } else { whole };
    format!("{bounded}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(codes: &[(&str, f64)], p99: f64) -> Point {
        let codes: std::collections::BTreeMap<String, f64> =
            codes.iter().map(|(code, rate)| ((*code).to_owned(), *rate)).collect();
        let edge = EdgePoint { recent: codes.clone(), codes, p99: Some(p99), ..EdgePoint::default() };
        Point { up: true, requests: Some(20.0), edge: Some(edge), ..Point::default() }
    }

    fn summarized(point: &Point, [gateway, app, db]: [&str; 3]) -> (Level, String, String) {
        let path = PathState { point: Some(point), gateway: Some(gateway), app: Some(app), db: Some(db) };
        let hops = path.hops().map(|hop| format!("{:?} {}", hop.level, hop.text));
        let headline = path.headline();
        (headline.level, headline.text, hops.join(" | "))
    }

    const UP: [&str; 3] = ["running"; 3];

    #[test]
    fn the_failing_hop_is_bad_and_no_headline_calls_it_healthy() {
        let good = summarized(&point(&[("200", 20.0)], 2.0), UP);
        assert_eq!(good, (Level::Good, "Requests are answered.".into(), "Good ok | Good ok | Good ok".into()));
        let (level, text, hops) = summarized(&point(&[("401", 20.0)], 2.0), UP);
        assert_eq!((level, text.as_str()), (Level::Bad, "Keys are rejected: every request gets a 401."));
        assert_eq!(hops, "Bad 100% fail: 401 | Warn refused: 401 | Idle no requests");
        let (_, text, hops) = summarized(&point(&[("504", 20.0)], 2400.0), UP);
        assert_eq!(text, "Callers fail: every request gets a 504, the app does not answer in time.");
        assert_eq!(hops, "Bad 100% fail: 504 | Bad 504 | Idle no requests");
        let (_, text, hops) = summarized(&point(&[("200", 1.0), ("503", 19.0)], 500.0), UP);
        assert_eq!(text, "Callers fail: most requests get a 503, the app cannot use its database.");
        assert_eq!(hops, "Bad 95% fail: 503 | Good ok | Bad 503");
        let (level, text, _) = summarized(&point(&[("200", 99.0), ("429", 1.0)], 2.0), UP);
        assert_eq!(
            (level, text.as_str()),
            (Level::Warn, "Callers fail: some requests get a 429, the rate limit is exceeded.")
        );
        let (level, _, hops) = summarized(&point(&[("200", 20.0)], 900.0), UP);
        assert_eq!((level, hops.as_str()), (Level::Warn, "Warn slow | Good ok | Good ok"));
    }

    #[test]
    fn a_stopped_service_is_named_even_without_requests() {
        let idle = point(&[], 2.0);
        let text = |states| summarized(&idle, states).1;
        assert_eq!(text(UP), "The app is up, but no requests arrive.");
        assert_eq!(text(["stopped", "running", "running"]), "The gateway is stopped: callers get no response.");
        assert_eq!(text(["running", "paused", "running"]), "The app is paused.");
        assert_eq!(text(["running", "running", "paused"]), "The database is paused.");
        assert_eq!(PathState::default().headline().text, "Waiting for the first sample.");
    }

    #[test]
    fn a_stack_without_edge_counters_is_never_called_healthy() {
        let mut point = Point { edge: None, ..point(&[], 1.0) };
        let summarized_up = |point: &Point| summarized(point, UP);
        assert_eq!(summarized_up(&point).0, Level::Idle);
        assert!(summarized_up(&point).2.starts_with("Idle not counted"));
        point.refused = Some(1.0);
        assert_eq!(summarized_up(&point).0, Level::Bad);
    }
}
