//! `lab doctor`: checks prerequisites and suggests fixes.

use crate::engines::Connect;
use std::time::Duration;

use serde::Serialize;

use super::session::Session;
use lab_core::engine::port;
use lab_core::error::Exit;
use lab_report::report::table::{Cell, Side, Table};
use lab_report::term::Tone;
use lab_runner::lab::{Lab, StateFolder};
use lab_runner::undo;
use lab_system::deadline;

mod docker;

/// Open files for the connections of traffic, gateway and app in a busy workshop.
const FILES_RECOMMENDED: u64 = 1024;

/// Time for an engine to answer.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    #[serde(rename = "ok")]
    Good,
    /// Works, but may surprise.
    Note,
    /// Prevents lab from working.
    Bad,
}

/// Result of one check, with the suggested fix.
#[derive(Serialize)]
struct Finding {
    check: String,
    grade: Grade,
    text: String,
}

impl Finding {
    fn good(check: &str, text: String) -> Self {
        Self { check: check.to_owned(), grade: Grade::Good, text }
    }

    fn note(check: &str, text: String) -> Self {
        Self { check: check.to_owned(), grade: Grade::Note, text }
    }

    fn bad(check: &str, text: String) -> Self {
        Self { check: check.to_owned(), grade: Grade::Bad, text }
    }
}

/// `--json` output.
#[derive(Serialize)]
struct Document {
    /// False if a problem prevents lab from working.
    ready: bool,
    checks: Vec<Finding>,
}

pub(super) async fn run(session: &Session, json: bool) -> anyhow::Result<Exit> {
    let mut findings = vec![executable(), state(), loopback(), files(), default_port().await];
    let graphs = graphs(session).await;
    findings.extend(docker::findings(graphs.as_ref()).await);
    findings.extend(graphs.map(|graphs| graphs.finding()));
    findings.push(pending_undo());
    let ready = !findings.iter().any(|finding| finding.grade == Grade::Bad);
    if json {
        session.json(&Document { ready, checks: findings })?;
        return Ok(if ready { Exit::Passed } else { Exit::Failed });
    }
    let mut table = Table::new(&[("", Side::Left), ("checked", Side::Left), ("found", Side::Left)]);
    for finding in &findings {
        let grade = match finding.grade {
            Grade::Good => Cell::new(Tone::Good, "ok"),
            Grade::Note => Cell::new(Tone::Warn, "note"),
            Grade::Bad => Cell::new(Tone::Failed, "bad"),
        };
        table.row([grade, finding.check.as_str().into(), finding.text.as_str().into()]);
    }
    table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    session.line("")?;
    if !ready {
        session.line("lab cannot work on this machine until the problems marked bad are fixed")?;
        return Ok(Exit::Failed);
    }
    session.line("this machine is ready: try lab scenario run rotate-key")
}

fn executable() -> Finding {
    let linked = if cfg!(target_feature = "crt-static") { "static" } else { "linked to this system's libraries" };
    let text = format!("lab {} for {}, {linked}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    Finding::good("executable", text)
}

fn state() -> Finding {
    let check = "state folder";
    let state = match StateFolder::open() {
        Ok(state) => state,
        Err(error) => {
            let text = format!("{error}; make it writable, or set LAB_STATE_DIR to another folder");
            return Finding::bad(check, text);
        }
    };
    let path = state.root().display();
    match tempfile::tempfile_in(state.root()) {
        Ok(_) => Finding::good(check, format!("{path}, writable")),
        Err(error) => {
            let text = format!("{path}: {error}; make it writable, or set LAB_STATE_DIR to another folder");
            Finding::bad(check, text)
        }
    }
}

async fn default_port() -> Finding {
    let check = "port 8080";
    let Err(error) = port::require_free(8080) else { return Finding::good(check, "free".to_owned()) };
    let instead = "use another port: lab up --port 0";
    if let Some(holder) = docker::holder_of(8080).await {
        let ours = holder.ends_with(&format!("of lab {}", lab_runner::lab::DEFAULT_NAME));
        return if ours {
            Finding::good(check, format!("held by {holder}"))
        } else {
            Finding::note(check, format!("held by {holder}; {instead}"))
        };
    }
    let ours = || StateFolder::open().ok()?.lab(lab_runner::lab::DEFAULT_NAME).ok()?.record().ok()?;
    let is_ours = |record: lab_runner::lab::Record| record.gateway_port == 8080 && record.engine == lab_embedded::NAME;
    if error.detail.contains("lab-gateway") && ours().is_some_and(is_ours) {
        return Finding::good(check, "held by the lab default".to_owned());
    }
    Finding::note(check, format!("{}; {instead}", error.detail))
}

/// Dashboard address of a running lab.
struct Graphs {
    lab: Lab,
    page: Option<String>,
}

/// Dashboard of the selected lab, `None` if the lab is not up.
async fn graphs(session: &Session) -> Option<Graphs> {
    let lab = session.lab().ok()?;
    let engine = lab.engine(&lab.record().ok()??).ok()?;
    let now = deadline::timeout(PATIENCE, engine.describe()).await.ok()?.ok()?;
    Some(Graphs { lab, page: now.endpoints.grafana.or(now.endpoints.dashboard) })
}

impl Graphs {
    fn are_on(&self, port: u16) -> bool {
        let page = self.page.as_deref().map(|page| page.trim_end_matches('/'));
        page.is_some_and(|page| page.ends_with(&format!(":{port}")))
    }

    fn finding(&self) -> Finding {
        let check = "dashboard";
        let (name, option) = (self.lab.name(), self.lab.name_option());
        if let Some(page) = &self.page {
            return Finding::good(check, format!("of lab {name}: {page}"));
        }
        Finding::note(check, format!("lab {name} serves none; run lab up{option}"))
    }
}

fn loopback() -> Finding {
    let check = "loopback";
    match port::require_free(0) {
        Ok(()) => Finding::good(check, "sockets on 127.0.0.1 work".to_owned()),
        Err(error) => Finding::bad(check, format!("no socket on 127.0.0.1: {}", error.detail)),
    }
}

fn files() -> Finding {
    let check = "open files";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(limit) if limit < FILES_RECOMMENDED => {
            let text = format!("{limit} allowed; traffic with many connections needs more: ulimit -n 4096");
            Finding::note(check, text)
        }
        Some(limit) => Finding::good(check, format!("{limit} allowed")),
        None => Finding::good(check, "no limit".to_owned()),
    }
}

/// Lists labs with a pending undo.
fn pending_undo() -> Finding {
    let check = "pending undo";
    let labs = match StateFolder::open().and_then(|state| state.labs()) {
        Ok(labs) => labs,
        Err(error) => return Finding::note(check, format!("unknown: {error}")),
    };
    let (mut pending_labs, mut unknown) = (Vec::new(), Vec::new());
    // In a drill, it would tell whether the fault is injected.
    let is_quiet =
        |lab: &&lab_runner::lab::Lab| lab.running().is_none() && lab.drill().is_ok_and(|drill| drill.is_none());
    for lab in labs.iter().filter(is_quiet) {
        match undo::pending(lab) {
            Ok(pending) if pending.as_ref().is_some_and(|pending| !pending.kept) => pending_labs.push(lab.name()),
            Ok(_) => {}
            Err(error) => unknown.push(format!("unknown for lab {}: {error}", lab.name())),
        }
    }
    if !pending_labs.is_empty() {
        unknown.insert(0, format!("lab {}; run lab recover --all", pending_labs.join(", ")));
    }
    if unknown.is_empty() { Finding::good(check, "none".to_owned()) } else { Finding::note(check, unknown.join("; ")) }
}
