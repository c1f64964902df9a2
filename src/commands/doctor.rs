//! `lab doctor`: what this machine lacks, and what to do about it.

use crate::engines::Connect;
use std::time::Duration;

use super::session::{Session, name_option};
use lab_core::engine::port;
use lab_core::error::Exit;
use lab_report::report::table::{Cell, Side, Table};
use lab_report::term::Tone;
use lab_runner::lab::{Lab, StateFolder};
use lab_runner::undo;
use lab_system::deadline;

mod docker;

/// How many open files a busy workshop needs: connections of the traffic, the gateway and the app.
const FILES_WANTED: u64 = 1024;

/// How long an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a finding is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grade {
    Good,
    /// It works; somebody may wonder.
    Note,
    /// It keeps lab from working.
    Bad,
}

/// One thing that was looked at, and what to do about it.
struct Finding {
    what: String,
    grade: Grade,
    says: String,
}

impl Finding {
    fn good(what: &str, says: String) -> Self {
        Self { what: what.to_owned(), grade: Grade::Good, says }
    }

    fn note(what: &str, says: String) -> Self {
        Self { what: what.to_owned(), grade: Grade::Note, says }
    }

    fn bad(what: &str, says: String) -> Self {
        Self { what: what.to_owned(), grade: Grade::Bad, says }
    }
}

pub(super) async fn run(session: &Session) -> anyhow::Result<Exit> {
    let mut findings = vec![executable(), state(), loopback(), files(), default_port().await];
    let graphs = graphs(session).await;
    findings.extend(docker::look(graphs.as_ref()).await);
    findings.extend(graphs.map(|graphs| graphs.finding()));
    findings.push(owed());
    let mut table = Table::new(&[("", Side::Left), ("checked", Side::Left), ("found", Side::Left)]);
    for finding in &findings {
        let grade = match finding.grade {
            Grade::Good => Cell::new(Tone::Held, "ok"),
            Grade::Note => Cell::new(Tone::Warn, "note"),
            Grade::Bad => Cell::new(Tone::Failed, "bad"),
        };
        table.row([grade, finding.what.as_str().into(), finding.says.as_str().into()]);
    }
    table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
    session.line("")?;
    if findings.iter().any(|finding| finding.grade == Grade::Bad) {
        session.line("lab will not work here before the lines marked bad are mended")?;
        return Ok(Exit::Failed);
    }
    session.line("this machine has what lab needs: lab scenario run rotate-key")
}

fn executable() -> Finding {
    let linked = if cfg!(target_feature = "crt-static") { "static" } else { "linked to this system's libraries" };
    let says = format!("lab {} for {}, {linked}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    Finding::good("executable", says)
}

fn state() -> Finding {
    let what = "state folder";
    let state = match StateFolder::open() {
        Ok(state) => state,
        Err(error) => {
            let says = format!("{error}; make it writable, or name another folder in LAB_STATE_DIR");
            return Finding::bad(what, says);
        }
    };
    let place = state.root().display();
    match tempfile::tempfile_in(state.root()) {
        Ok(_) => Finding::good(what, format!("{place}, writable")),
        Err(error) => {
            let says = format!("{place}: {error}; make it writable, or name another folder in LAB_STATE_DIR");
            Finding::bad(what, says)
        }
    }
}

async fn default_port() -> Finding {
    let what = "port 8080";
    let Err(error) = port::require_free(8080) else { return Finding::good(what, "free".to_owned()) };
    let instead = "lab up needs another one: lab up --port 0";
    if let Some(holder) = docker::holder_of(8080).await {
        let ours = holder.ends_with(&format!("of lab {}", lab_runner::lab::DEFAULT_NAME));
        return if ours {
            Finding::good(what, format!("held by {holder}"))
        } else {
            Finding::note(what, format!("held by {holder}; {instead}"))
        };
    }
    let ours = || StateFolder::open().ok()?.lab(lab_runner::lab::DEFAULT_NAME).ok()?.record().ok()?;
    let is_ours = |record: lab_runner::lab::Record| record.gateway_port == 8080 && record.engine == lab_embedded::NAME;
    if error.detail.contains("lab-gateway") && ours().is_some_and(is_ours) {
        return Finding::good(what, "held by the lab default".to_owned());
    }
    Finding::note(what, format!("{}; {instead}", error.detail))
}

/// Where the graphs of a lab that is up are.
struct Graphs {
    lab: Lab,
    page: Option<String>,
}

/// Those of the lab that is meant; none where it is not up.
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
        let what = "dashboard";
        let (name, option) = (self.lab.name(), name_option(&self.lab));
        if let Some(page) = &self.page {
            return Finding::good(what, format!("of lab {name}: {page}"));
        }
        Finding::note(what, format!("lab {name} has none; lab up{option} serves it again"))
    }
}

fn loopback() -> Finding {
    let what = "loopback";
    match port::require_free(0) {
        Ok(()) => Finding::good(what, "sockets on 127.0.0.1 work".to_owned()),
        Err(error) => Finding::bad(what, format!("no socket on 127.0.0.1: {}", error.detail)),
    }
}

fn files() -> Finding {
    let what = "open files";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(limit) if limit < FILES_WANTED => {
            let says = format!("{limit} allowed; traffic with many connections needs more: ulimit -n 4096");
            Finding::note(what, says)
        }
        Some(limit) => Finding::good(what, format!("{limit} allowed")),
        None => Finding::good(what, "no limit".to_owned()),
    }
}

/// Labs that a run left changed.
fn owed() -> Finding {
    let what = "owed undo";
    let labs = match StateFolder::open().and_then(|state| state.labs()) {
        Ok(labs) => labs,
        Err(error) => return Finding::note(what, format!("not known: {error}")),
    };
    let (mut owing, mut unknown) = (Vec::new(), Vec::new());
    for lab in labs.iter().filter(|lab| lab.running().is_none()) {
        match undo::pending(lab) {
            Ok(pending) if pending.as_ref().is_some_and(|pending| !pending.kept) => owing.push(lab.name()),
            Ok(_) => {}
            Err(error) => unknown.push(format!("of lab {} it is not known: {error}", lab.name())),
        }
    }
    if !owing.is_empty() {
        unknown.insert(0, format!("lab {}; lab recover --all does it", owing.join(", ")));
    }
    if unknown.is_empty() { Finding::good(what, "none".to_owned()) } else { Finding::note(what, unknown.join("; ")) }
}
