//! `lab open`: opens a page of a lab, or the report of a run, in a browser.

use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use super::failure::text;
use super::runs;
use super::session::Session;
use crate::cli::{OpenArgs, PageChoice};
use lab_core::error::{Exit, Failure};
use lab_report::report::file::FileFormat;
use lab_report::term::Tone;
use lab_runner::lab::StateFolder;
use lab_system::files;

/// Name of a report in the folder of its run.
const REPORT: &str = "report.html";
/// Time for the browser's launcher to fail. Browsers that stay in the foreground are left running.
const PATIENCE: Duration = Duration::from_secs(1);

/// `--json` output.
#[derive(Serialize)]
struct Document {
    url: String,
}

pub(super) async fn run(session: &Session, args: &OpenArgs) -> anyhow::Result<Exit> {
    if args.id.is_some() && args.page != PageChoice::Report {
        return Err(Failure::usage("only a report has an id").hint("lab open report ID").into());
    }
    let url = match args.page {
        PageChoice::Report => report(args.id.as_deref())?,
        page => address(session, page).await?,
    };
    if args.json {
        return session.json(&Document { url });
    }
    // Printed in any case: over ssh, the browser is on another machine.
    session.line(&url)?;
    if !args.print
        && let Err(error) = browse(&url).await
    {
        let note = format!("no browser was opened ({}); open the address yourself", text(&error));
        session.term.note(&session.term.stderr_painter().paint(Tone::Dim, &note));
    }
    Ok(Exit::Passed)
}

/// Address of a page of the lab.
async fn address(session: &Session, page: PageChoice) -> anyhow::Result<String> {
    let connected = session.connect()?;
    let endpoints = connected.describe().await?.endpoints;
    let (found, what) = match page {
        PageChoice::Grafana => (endpoints.grafana, "Grafana"),
        PageChoice::Prometheus => (endpoints.prometheus, "Prometheus"),
        PageChoice::Dashboard | PageChoice::Report => (endpoints.grafana.or(endpoints.dashboard), "dashboard"),
    };
    let name = connected.lab.name_option();
    found.ok_or_else(|| {
        let hint = match page {
            PageChoice::Grafana => format!("lab open{name} opens lab's own dashboard"),
            PageChoice::Prometheus => "a lab on Docker has one: lab up --engine docker".to_owned(),
            PageChoice::Dashboard | PageChoice::Report => format!("lab up{name} serves one"),
        };
        Failure::failed(format!("lab {} serves no {what}", connected.lab.name())).hint(hint).into()
    })
}

/// Writes the report of a run to the run's folder, and returns its address.
fn report(id: Option<&str>) -> anyhow::Result<String> {
    let state = StateFolder::open()?;
    let journal = runs::selected_journal(&state, id)?;
    let mut page = Vec::new();
    FileFormat::Html.write(&mut page, &journal)?;
    let path = state.run_folder(&journal.id).path(REPORT);
    files::write_atomic(&path, &page).map_err(|error| runs::cannot_write(&path, &error))?;
    let url = reqwest::Url::from_file_path(&path);
    Ok(url.map_or_else(|()| path.display().to_string(), |url| url.to_string()))
}

/// Starts the user's browser.
async fn browse(url: &str) -> anyhow::Result<()> {
    let launcher = launcher(|name| std::env::var_os(name), cfg!(target_os = "macos"))?;
    let mut words = launcher.to_str().into_iter().flat_map(str::split_whitespace).map(OsStr::new);
    let program = words.next().unwrap_or(&launcher);
    let mut command = Command::new(program);
    command.args(words).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let shown = program.display();
    let mut browser = command.spawn().map_err(|error| anyhow::anyhow!("{shown}: {error}"))?;
    let ended = tokio::task::spawn_blocking(move || browser.wait());
    match tokio::time::timeout(PATIENCE, ended).await {
        Ok(Ok(Ok(status))) if !status.success() => Err(anyhow::anyhow!("{shown} failed")),
        _ => Ok(()),
    }
}

/// Command that opens an address: `$BROWSER`, else that of the desktop.
fn launcher(env: impl Fn(&str) -> Option<OsString>, is_macos: bool) -> anyhow::Result<OsString> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    if let Some(browser) = set("BROWSER") {
        return Ok(browser);
    }
    if is_macos {
        return Ok("open".into());
    }
    if set("DISPLAY").is_none() && set("WAYLAND_DISPLAY").is_none() {
        anyhow::bail!("this session has no display");
    }
    Ok("xdg-open".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_is_that_of_the_user_or_of_the_desktop() {
        let launcher = |pairs: &[(&str, &str)], is_macos| {
            let env = |name: &str| Some(OsString::from(pairs.iter().find(|(key, _)| *key == name)?.1));
            launcher(env, is_macos).map(|launcher| launcher.into_string().expect("text")).ok()
        };
        assert_eq!(launcher(&[("BROWSER", "firefox -P x"), ("DISPLAY", ":0")], false).as_deref(), Some("firefox -P x"));
        assert_eq!(launcher(&[("BROWSER", ""), ("DISPLAY", ":0")], false).as_deref(), Some("xdg-open"));
        assert_eq!(launcher(&[("WAYLAND_DISPLAY", "wayland-0")], false).as_deref(), Some("xdg-open"));
        assert_eq!(launcher(&[], true).as_deref(), Some("open"));
        assert_eq!(launcher(&[], false), None);
    }
}
