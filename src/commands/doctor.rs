//! `lab doctor`: what this machine lacks, and what to do about it.

use std::time::Duration;

use super::session::Session;
use crate::engine::{docker, port};
use crate::error::Exit;
use crate::lab::{Containers, DEFAULT_NAME, State};
use crate::report::table::{Cell, Side, Table};
use crate::term::Tone;
use crate::undo;

/// How many open files a busy workshop needs: connections of the traffic, the gateway and the app.
const FILES_WANTED: u64 = 1024;

/// How long a daemon may take to answer.
const DOCKER_PATIENCE: Duration = Duration::from_secs(2);

/// How a finding is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grade {
    Good,
    /// It works; somebody may wonder.
    Note,
    /// It keeps lab from working.
    Bad,
}

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    grade: Grade,
    says: String,
}

pub(super) async fn run(session: &Session) -> anyhow::Result<Exit> {
    let findings = [executable(), state(), default_port(), loopback(), files(), docker().await, owed()];
    let mut table = Table::new(&[("", Side::Left), ("checked", Side::Left), ("found", Side::Left)]);
    for finding in &findings {
        let grade = match finding.grade {
            Grade::Good => Cell::new(Tone::Held, "ok"),
            Grade::Note => Cell::new(Tone::Warn, "note"),
            Grade::Bad => Cell::new(Tone::Failed, "bad"),
        };
        table.row([grade, finding.what.into(), finding.says.as_str().into()]);
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
    Finding { what: "executable", grade: Grade::Good, says }
}

fn state() -> Finding {
    let what = "state folder";
    let state = match State::open() {
        Ok(state) => state,
        Err(error) => {
            let says = format!("{error}; make it writable, or name another folder in LAB_STATE_DIR");
            return Finding { what, grade: Grade::Bad, says };
        }
    };
    let place = state.root().display();
    match tempfile::tempfile_in(state.root()) {
        Ok(_) => Finding { what, grade: Grade::Good, says: format!("{place}, writable") },
        Err(error) => {
            let says = format!("{place}: {error}; make it writable, or name another folder in LAB_STATE_DIR");
            Finding { what, grade: Grade::Bad, says }
        }
    }
}

fn default_port() -> Finding {
    let what = "port 8080";
    let ours = || State::open().ok()?.lab(crate::lab::DEFAULT_NAME).ok()?.record().ok()?;
    match port::must_be_free(8080) {
        Ok(()) => Finding { what, grade: Grade::Good, says: "free".to_owned() },
        Err(_) if ours().is_some_and(|record| record.gateway_port == 8080) => {
            Finding { what, grade: Grade::Good, says: "held by the lab default".to_owned() }
        }
        Err(error) => {
            let says = format!("{}; lab up needs another one: lab up --port 0", error.detail);
            Finding { what, grade: Grade::Note, says }
        }
    }
}

fn loopback() -> Finding {
    let what = "loopback";
    match port::must_be_free(0) {
        Ok(()) => Finding { what, grade: Grade::Good, says: "sockets on 127.0.0.1 work".to_owned() },
        Err(error) => Finding { what, grade: Grade::Bad, says: format!("no socket on 127.0.0.1: {}", error.detail) },
    }
}

fn files() -> Finding {
    let what = "open files";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(limit) if limit < FILES_WANTED => {
            let says = format!("{limit} allowed; traffic with many connections needs more: ulimit -n 4096");
            Finding { what, grade: Grade::Note, says }
        }
        Some(limit) => Finding { what, grade: Grade::Good, says: format!("{limit} allowed") },
        None => Finding { what, grade: Grade::Good, says: "no limit".to_owned() },
    }
}

/// Docker is worth having, and nothing that lab needs.
async fn docker() -> Finding {
    let what = "docker";
    let note = |says: String| Finding { what, grade: Grade::Note, says };
    let containers = Containers { host: docker::host_from_env(), ..Containers::default() };
    let Ok(docker) = State::open().and_then(|state| state.lab(DEFAULT_NAME)).map(|lab| lab.docker(&containers)) else {
        return note("not looked at: there is no state folder".to_owned());
    };
    let report = match docker {
        Ok(docker) => tokio::time::timeout(DOCKER_PATIENCE, docker.images()).await,
        Err(errors) => return note(format!("the stack that comes with lab is wrong: {errors}")),
    };
    match report {
        Ok(Ok(report)) if report.missing.is_empty() => {
            let without = match report.missing_optional.as_slice() {
                [] => String::new(),
                missing => format!("; goes without {}", missing.join(", ")),
            };
            let says = format!("{} at {}, all images are here{without}", report.version, report.host);
            Finding { what, grade: Grade::Good, says }
        }
        Ok(Ok(report)) => {
            let missing = report.missing.join(", ");
            note(format!("{} at {}; lab up --engine docker fetches {missing}", report.version, report.host))
        }
        Ok(Err(error)) => {
            let hint = error.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            note(format!("{error}{hint}; labs run embedded"))
        }
        Err(_) => note("the daemon does not answer; labs run embedded".to_owned()),
    }
}

/// Labs that a run left changed.
fn owed() -> Finding {
    let what = "owed undo";
    let labs = State::open().and_then(|state| state.labs()).unwrap_or_default();
    let owing: Vec<String> = labs
        .iter()
        .filter(|lab| lab.running().is_none())
        .filter(|lab| undo::pending(lab).ok().flatten().is_some_and(|pending| !pending.kept))
        .map(|lab| lab.name().to_owned())
        .collect();
    if owing.is_empty() {
        return Finding { what, grade: Grade::Good, says: "none".to_owned() };
    }
    let says = format!("lab {}; lab recover --all does it", owing.join(", "));
    Finding { what, grade: Grade::Note, says }
}
