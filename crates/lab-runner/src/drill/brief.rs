//! The [`Brief`] of a scenario: a copy of what its drill needs.

use lab_drill::brief::{Brief, Hint, Inject, Moment, Par, WrongFix};
use lab_scenario::Plan;
use lab_scenario::lesson::{self, Difficulty, Trigger};

/// Brief of a scenario. `None` if it states no diagnosis, so that it cannot be played. The injects are all messages of the
/// drill, also the default ones.
pub fn brief(plan: &Plan) -> Option<Brief> {
    let lesson = &plan.lesson;
    let lesson::Par { detect, mitigate, resolve } = lesson.par;
    let hint = |hint: &lesson::Hint| Hint { about: hint.about.clone(), text: hint.text.clone(), cost: hint.cost };
    let wrong = |fix: &lesson::WrongFix| {
        let partial = plan.is_incomplete(fix);
        WrongFix { name: fix.name.clone(), why: fix.why.clone(), partial }
    };
    let ticket = lesson.injects.iter().find(|inject| inject.ticket).map(|inject| &inject.text);
    Some(Brief {
        scenario: plan.source.clone(),
        title: plan.title.clone(),
        difficulty: lesson.difficulty.unwrap_or(Difficulty::Beginner).name().to_owned(),
        parameters: plan.parameters.clone(),
        ticket: lesson.ticket.as_ref().or(ticket).cloned().unwrap_or_default(),
        symptom: lesson.symptom.clone().unwrap_or_default(),
        solution: lesson.solution.clone().unwrap_or_default(),
        lessons: lesson.lessons.clone(),
        hints: lesson.hints.iter().map(hint).collect(),
        diagnosis: lesson.diagnosis?,
        par: Par { detect, mitigate, resolve },
        injects: lesson.injects.iter().map(inject).collect(),
        wrong_fixes: plan.claims.wrong_fixes.iter().map(wrong).collect(),
    })
}

fn inject(inject: &lesson::Inject) -> Inject {
    let after = match inject.after {
        Trigger::Impact => Moment::Impact,
        Trigger::Overdue => Moment::Overdue,
        Trigger::Mitigated => Moment::Mitigated,
        Trigger::Resolved => Moment::Resolved,
    };
    Inject { at: inject.at, after, from: inject.from.clone(), text: inject.text.clone(), ticket: inject.ticket }
}
