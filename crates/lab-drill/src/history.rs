//! A person's history: one [`Summary`] per drill, and the next drill to try.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::event::{Ending, Known};
use crate::fold::Drill;
use crate::score::Score;

/// Difficulties from easy to hard, as in scenario files.
pub const DIFFICULTIES: [&str; 3] = ["beginner", "intermediate", "advanced"];
/// Points from which the next drill is one step harder.
pub const PASSED: f64 = 80.0;

/// Summary of one drill. Of a drill that is not over, it has nothing that is hidden.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Id of the drill.
    pub id: String,
    /// Time of the start.
    pub at: DateTime<Utc>,
    /// Name of the lab.
    pub lab: String,
    /// What the participant knew beforehand.
    pub known: Known,
    /// How it ended. `None` while it lasts.
    pub ending: Option<Ending>,
    /// Its result. `None` while it lasts.
    pub result: Option<Outcome>,
}

/// Result of a drill that is over. Times are from the impact, in milliseconds of drill time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Name of the scenario, or its path.
    pub scenario: String,
    /// Title of the scenario.
    pub title: String,
    /// `beginner`, `intermediate` or `advanced`.
    pub difficulty: String,
    /// Nothing was wrong in this drill.
    pub without_fault: bool,
    /// Points from 0 to 100. `None` if the drill is void or its table is unknown.
    pub points: Option<f64>,
    /// Until it was acknowledged.
    pub acknowledged: Option<u64>,
    /// Until the callers succeeded for good.
    pub mitigated: Option<u64>,
    /// Until the cause was removed for good.
    pub resolved: Option<u64>,
    /// The callers succeeded, but no longer at the end.
    pub mitigation_lost: bool,
    /// The cause was removed, but no longer at the end.
    pub resolution_lost: bool,
}

impl Summary {
    /// Summary of a drill.
    pub fn new(drill: &Drill) -> Self {
        let started = &drill.started;
        Self {
            id: started.id.clone(),
            at: drill.at,
            lab: started.lab.clone(),
            known: started.known,
            ending: drill.ended.map(|end| end.by),
            result: drill.ended.is_some().then(|| Outcome::new(drill)),
        }
    }
}

impl Outcome {
    fn new(drill: &Drill) -> Self {
        let brief = &drill.started.brief;
        let since = |at: Option<u64>| drill.impact.zip(at).map(|(impact, at)| at.saturating_sub(impact));
        Self {
            scenario: brief.scenario.clone(),
            title: brief.title.clone(),
            difficulty: brief.difficulty.clone(),
            without_fault: !drill.started.fault,
            points: Score::new(drill).ok().map(|score| score.points),
            acknowledged: since(drill.acknowledged()),
            mitigated: since(drill.mitigated()),
            resolved: since(drill.resolved()),
            mitigation_lost: drill.lost_mitigation().is_some(),
            resolution_lost: drill.lost_resolution().is_some(),
        }
    }
}

/// A scenario that can be played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Name of the scenario.
    pub name: String,
    /// `beginner`, `intermediate` or `advanced`.
    pub difficulty: String,
}

/// The next drill to try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// Command that starts it.
    pub command: String,
    /// Why it is suggested.
    pub reason: String,
}

/// Suggests the next drill, after the drills of `history` in the order of their starts. The difficulty is that of the last drill
/// with points, and one step harder from 80 points on. A blind drill is suggested while there are incidents of this
/// difficulty, or of the next harder ones, that were not played; a suggestion that names one would spoil it. If all were played,
/// it is the one with the lowest best result. `None` without candidates.
pub fn suggest(history: &[Summary], candidates: &[Candidate]) -> Option<Suggestion> {
    let results: Vec<&Outcome> = history.iter().filter_map(|summary| summary.result.as_ref()).collect();
    let last = results.iter().rev().find_map(|result| result.points.map(|points| (*result, points)));
    let level = |difficulty: &str| DIFFICULTIES.iter().position(|known| *known == difficulty).unwrap_or_default();
    let (from, why) = match last {
        Some((result, points)) if points >= PASSED => {
            let harder = (level(&result.difficulty) + 1).min(DIFFICULTIES.len() - 1);
            (harder, format!("after {points:.0} points, one step harder"))
        }
        Some((result, points)) => {
            (level(&result.difficulty), format!("after {points:.0} points, the same difficulty again"))
        }
        None => (0, "a first drill".to_owned()),
    };
    let played = |name: &str| results.iter().any(|result| !result.without_fault && result.scenario == name);
    let open =
        candidates.iter().filter(|candidate| !played(&candidate.name)).map(|candidate| level(&candidate.difficulty));
    let levels: Vec<usize> = open.collect();
    // Upwards from the level, then the nearest easier one.
    let next = levels.iter().filter(|level| **level >= from).min();
    if let Some(next) = next.or_else(|| levels.iter().max()) {
        let difficulty = DIFFICULTIES.get(*next)?;
        let reason = if *next == from { why } else { format!("you have not played every {difficulty} incident") };
        return Some(Suggestion { command: format!("lab drill start --difficulty {difficulty}"), reason });
    }
    let best = |name: &str| {
        let points = results.iter().filter(|result| result.scenario == name).filter_map(|result| result.points);
        points.fold(0.0, f64::max)
    };
    let worst = candidates.iter().min_by(|one, other| best(&one.name).total_cmp(&best(&other.name)))?;
    let reason =
        format!("you have played every incident; your best result with this one is {:.0} points", best(&worst.name));
    Some(Suggestion { command: format!("lab drill start {}", worst.name), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Story;

    fn candidates() -> Vec<Candidate> {
        let list = [("a", "beginner"), ("b", "beginner"), ("c", "intermediate"), ("d", "advanced")];
        list.map(|(name, difficulty)| Candidate { name: name.to_owned(), difficulty: difficulty.to_owned() }).to_vec()
    }

    fn over(name: &str, difficulty: &str, points: Option<f64>) -> Summary {
        let mut summary = Summary::new(&Story::new().quiet(1).end(Ending::Finished).drill());
        let result = summary.result.as_mut().unwrap();
        (result.scenario, result.difficulty) = (name.to_owned(), difficulty.to_owned());
        result.points = points;
        summary
    }

    fn command(history: &[Summary]) -> String {
        suggest(history, &candidates()).unwrap().command
    }

    #[test]
    fn a_running_drill_tells_nothing_and_a_finished_one_its_times() {
        let story = Story::new().quiet(30).inject().bad(40).ack().bad(60).good(10).check();
        let running = Summary::new(&story.drill());
        assert_eq!((running.ending, running.result.is_none()), (None, true));
        let text = serde_json::to_string(&running).unwrap();
        assert!(!text.contains("report"), "{text}");
        let result = Summary::new(&story.end(Ending::Finished).drill()).result.unwrap();
        assert_eq!(
            (result.acknowledged, result.mitigated, result.resolved),
            (Some(40_000), Some(100_000), Some(110_000))
        );
        // 10 + 0 + 25 + 30 + 0 of the missing closing update.
        assert_eq!((result.scenario.as_str(), result.points), ("report-timeout", Some(65.0)));
    }

    #[test]
    fn the_next_drill_is_harder_after_a_good_one() {
        assert_eq!(command(&[]), "lab drill start --difficulty beginner");
        assert_eq!(command(&[over("a", "beginner", Some(79.9))]), "lab drill start --difficulty beginner");
        assert_eq!(command(&[over("a", "beginner", Some(80.0))]), "lab drill start --difficulty intermediate");
        assert_eq!(command(&[over("d", "advanced", Some(90.0))]), "lab drill start --difficulty intermediate");
        let void = [over("a", "beginner", Some(85.0)), over("c", "intermediate", None)];
        assert_eq!(command(&void), "lab drill start --difficulty advanced", "a void drill does not count as a result");
    }

    #[test]
    fn the_weakest_is_repeated_when_all_were_played() {
        let all = [
            over("a", "beginner", Some(50.0)),
            over("a", "beginner", Some(90.0)),
            over("b", "beginner", Some(85.0)),
            over("c", "intermediate", Some(60.0)),
            over("d", "advanced", Some(70.0)),
        ];
        assert_eq!(command(&all), "lab drill start c");
        assert_eq!(suggest(&all, &[]), None);
        assert!(suggest(&all, &candidates()).unwrap().reason.contains("60 points"));
    }
}
