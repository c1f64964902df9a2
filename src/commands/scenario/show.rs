//! `lab scenario show`: the ticket, as trainees get it. Hints and solution are shown only on request.

use std::collections::BTreeMap;

use serde::Serialize;

use super::kind_and_level;
use crate::cli::ShowArgs;
use crate::commands::drill::refuse_spoiler;
use crate::commands::session::Session;
use lab_core::diagnosis::Diagnosis;
use lab_core::error::{Exit, Failure};
use lab_report::report::table::{Side, Table};
use lab_report::report::text;
use lab_report::term::{Tone, clean};
use lab_scenario::lesson::{Difficulty, Hint, Inject, Par};
use lab_scenario::skeleton::SCHEMA_FILE;
use lab_scenario::vary::Vary;
use lab_scenario::{LoadOptions, Plan, Source, library, load};
use lab_system::files;

/// `--json` output. What was not requested is null.
#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    title: &'a str,
    kind: &'static str,
    difficulty: Option<&'static str>,
    tags: &'a [String],
    /// Empty: any engine.
    engines: &'a [String],
    ticket: Option<&'a str>,
    symptom: Option<&'a str>,
    hints: Option<&'a [Hint]>,
    /// Expected times in a drill, in seconds.
    par: Par,
    solution: Option<Solution<'a>>,
}

/// Spoilers.
#[derive(Serialize)]
struct Solution<'a> {
    diagnosis: Option<Diagnosis>,
    text: Option<&'a str>,
    description: &'a str,
    lessons: &'a [String],
    wrong_fixes: Vec<WrongFix<'a>>,
    /// Names of the legitimate fixes other than the steps.
    other_fixes: Vec<&'a str>,
    /// Messages during a drill.
    injects: &'a [Inject],
    parameters: &'a BTreeMap<String, String>,
    /// Possible values in a drill, by parameter.
    varied: BTreeMap<&'a str, String>,
    steps: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct WrongFix<'a> {
    name: &'a str,
    why: &'a str,
}

#[derive(Serialize)]
struct Step<'a> {
    name: &'a str,
    phase: &'static str,
    action: &'static str,
    expect: Vec<String>,
}

pub(super) fn run(session: &Session, args: &ShowArgs) -> anyhow::Result<Exit> {
    refuse_spoiler(session, "lab scenario show")?;
    let from = Source::parse(&args.scenario);
    // Shown even if the file is invalid.
    if args.source
        && let Some(text) = library::file(&args.scenario)
    {
        if !session.term.is_terminal() {
            session
                .term
                .note(&format!("for editors, also create the schema next to it: lab scenario schema > {SCHEMA_FILE}"));
        }
        return session.print(text.as_bytes());
    }
    if args.source
        && let Source::Path(path) = &from
    {
        let read = files::read_input(path, files::RECORD_LIMIT);
        return session.print(&read.map_err(|error| Failure::usage(format!("{}: {error}", args.scenario)))?);
    }
    let plan = load(&from, &LoadOptions::default())?;
    session.hide(&plan.secrets);
    if args.json {
        return session.json(&document(args, &plan));
    }
    let painter = session.term.painter();
    session.line(&format!("{} · {}", painter.paint(Tone::Strong, &plan.name), clean(&plan.title)))?;
    let tags = if plan.tags.is_empty() { String::new() } else { format!(" · {}", plan.tags.join(", ")) };
    session.line(&painter.paint(Tone::Dim, &format!("{}{tags}", kind_and_level(&plan))))?;
    // Without a ticket the scenario is not an exercise, so there is nothing to hide.
    let exercise = plan.lesson.ticket.is_some();
    let page = Page { session };
    page.paragraph("ticket", plan.lesson.ticket.as_deref())?;
    page.paragraph("symptom", plan.lesson.symptom.as_deref())?;
    if args.hints {
        let number = |(index, hint): (usize, &Hint)| {
            (format!("{}. ", index + 1), format!("{} ({} %): {}", hint.about, hint.cost, hint.text))
        };
        page.list("hints", plan.lesson.hints.iter().enumerate().map(number))?;
    }
    if args.solution {
        page.paragraph("diagnosis", plan.lesson.diagnosis.map(|diagnosis| diagnosis.to_string()).as_deref())?;
        page.paragraph("solution", plan.lesson.solution.as_deref())?;
        let fix = |fix: &lab_scenario::lesson::WrongFix| ("- ".to_owned(), format!("{}: {}", fix.name, fix.why));
        page.list("wrong fixes", plan.claims.wrong_fixes.iter().map(fix))?;
        let other = |fix: &lab_scenario::lesson::OtherFix| ("- ".to_owned(), describe_fix(fix, &plan));
        page.list("other fixes", plan.claims.other_fixes.iter().map(other))?;
        page.list("what to learn", plan.lesson.lessons.iter().map(|lesson| ("- ".to_owned(), lesson.clone())))?;
    }
    if args.solution || !exercise {
        plan_details(&page, &plan)?;
    }
    session.line("")?;
    session.line(&painter.paint(Tone::Dim, &next(args, &plan)))
}

/// Name of a fix, and what it does.
fn describe_fix(fix: &lab_scenario::lesson::OtherFix, plan: &Plan) -> String {
    let steps: Vec<String> = fix.steps.iter().map(|step| step.describe(&plan.secrets)).collect();
    format!("{}: {}", fix.name, plan.secrets.mask(&steps.join(", ")))
}

fn document<'a>(args: &ShowArgs, plan: &'a Plan) -> Document<'a> {
    let lesson = &plan.lesson;
    let solution = || Solution {
        diagnosis: lesson.diagnosis,
        text: lesson.solution.as_deref(),
        description: &plan.description,
        lessons: &lesson.lessons,
        wrong_fixes: plan.claims.wrong_fixes.iter().map(|fix| WrongFix { name: &fix.name, why: &fix.why }).collect(),
        other_fixes: plan.claims.other_fixes.iter().map(|fix| fix.name.as_str()).collect(),
        injects: &lesson.injects,
        parameters: &plan.parameters,
        varied: plan.varied.iter().map(|(name, vary)| (name.as_str(), vary.describe())).collect(),
        steps: plan.all_steps().map(step_document).collect(),
    };
    Document {
        name: &plan.name,
        title: &plan.title,
        kind: plan.kind.name(),
        difficulty: lesson.difficulty.map(Difficulty::name),
        tags: &plan.tags,
        engines: &plan.engines,
        ticket: lesson.ticket.as_deref(),
        symptom: lesson.symptom.as_deref(),
        hints: args.hints.then_some(&lesson.hints),
        par: lesson.par,
        solution: (args.solution || lesson.ticket.is_none()).then(solution),
    }
}

fn step_document(step: &lab_scenario::plan::Step) -> Step<'_> {
    let expect = step.expect.iter().map(|expect| format!("{} {}", expect.metric_text, expect.text)).collect();
    Step { name: &step.name, phase: step.phase.name(), action: step.action.name(), expect }
}

/// Suggests the parts of the lesson that were not shown, then the run.
fn next(args: &ShowArgs, plan: &Plan) -> String {
    let (typed, lesson) = (&args.scenario, &plan.lesson);
    if !args.hints && !lesson.hints.is_empty() {
        return format!("next: lab scenario show {typed} --hints · --solution shows everything");
    }
    if !args.solution && lesson.ticket.is_some() {
        return format!("next: lab scenario show {typed} --solution");
    }
    format!("next: lab scenario run {typed} · lab scenario show {typed} --source")
}

fn plan_details(page: &Page<'_>, plan: &Plan) -> anyhow::Result<()> {
    let (session, painter) = (page.session, page.session.term.painter());
    page.paragraph("story", Some(&plan.description).filter(|text| !text.is_empty()).map(String::as_str))?;
    if !plan.parameters.is_empty() {
        session.line("")?;
        let columns = [("parameter", Side::Left), ("default", Side::Left), ("in a drill", Side::Left)];
        let mut table = Table::new(if plan.varied.is_empty() { &columns[..2] } else { &columns });
        for (name, value) in &plan.parameters {
            let drawn = plan.varied.get(name).map(Vary::describe).unwrap_or_default();
            let cells = [name.as_str().into(), plan.secrets.mask(value).into(), drawn.into()];
            table.row(cells.into_iter().take(if plan.varied.is_empty() { 2 } else { 3 }));
        }
        table.write(&mut session.term.out(), session.term.width(), painter)?;
    }
    session.line("")?;
    steps(plan).write(&mut session.term.out(), session.term.width(), painter)?;
    Ok(())
}

fn steps(plan: &Plan) -> Table {
    let columns = [("step", Side::Left), ("phase", Side::Left), ("action", Side::Left), ("expects", Side::Left)];
    let mut table = Table::new(&columns);
    for step in plan.all_steps() {
        let expects: Vec<String> =
            step.expect.iter().map(|expect| format!("{} {}", expect.metric_text, expect.text)).collect();
        table.row([
            step.name.as_str().into(),
            step.phase.name().into(),
            step.action.name().into(),
            expects.join(", ").into(),
        ]);
    }
    table
}

/// Prints sections with a dim heading and indented, wrapped text.
struct Page<'a> {
    session: &'a Session,
}

impl Page<'_> {
    fn paragraph(&self, head: &str, text: Option<&str>) -> anyhow::Result<()> {
        self.list(head, text.map(|text| (String::new(), text.to_owned())).into_iter())
    }

    /// Prints items with their prefixes; nothing if there are no items.
    fn list(&self, head: &str, items: impl Iterator<Item = (String, String)>) -> anyhow::Result<()> {
        let mut items = items.peekable();
        if items.peek().is_none() {
            return Ok(());
        }
        self.session.line("")?;
        self.session.line(&self.session.term.painter().paint(Tone::Dim, head))?;
        for (mut before, text) in items {
            let width = self.session.term.width().saturating_sub(before.len() + 2).max(10);
            for line in text::wrap(&text, width) {
                self.session.line(format!("  {before}{line}").trim_end())?;
                before = " ".repeat(before.len());
            }
        }
        Ok(())
    }
}
