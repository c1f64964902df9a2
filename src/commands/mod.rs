//! One file per command: selects the lab and the reporters and calls the crates.

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Cli, Command};
use lab_core::error::Exit;

mod annotate;
mod callers;
mod change;
mod choose;
mod complete;
mod dashboard;
mod db;
mod doctor;
mod down;
mod drill;
mod env;
mod failure;
mod host_process;
mod images;
mod key;
mod logs;
mod metrics;
mod open;
mod progress;
mod prove;
mod query;
mod recover;
mod request;
mod reset;
mod resources;
mod revisions;
mod room;
mod run;
mod runs;
mod scenario;
mod service;
mod session;
mod signals;
mod status;
mod swarm;
mod time_span;
mod traffic;
mod up;
mod watch;

pub(crate) use failure::{report as report_error, report_cli_error};
use service::Verb;
use session::Session;

/// Time for background tasks to release what they hold at the end.
const SHUTDOWN_GRACE: std::time::Duration = std::time::Duration::from_millis(200);

/// Runs the command.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<Exit> {
    lab_system::background::close_inherited_on_exec();
    resources::check()?;
    match &cli.command {
        // The services and their hosts have their own runtimes and no terminal.
        Command::App(args) if args.health => return Ok(lab_demo::app::health()),
        Command::App(args) => {
            name_process(c"lab-app");
            return Ok(lab_demo::app::run(args.service.tied));
        }
        Command::Gateway(args) => {
            name_process(c"lab-gateway");
            return Ok(lab_demo::gateway::run(args.tied));
        }
        Command::Edge(args) if args.health => return Ok(lab_demo::edge::exporter::health()),
        Command::Edge(_) => {
            name_process(c"lab-edge");
            return Ok(lab_demo::edge::exporter::run());
        }
        Command::Host { request } => {
            name_process(c"lab-host");
            return Ok(match request {
                Some(file) => lab_host::host::run_from_file(file),
                None => lab_host::host::run(),
            });
        }
        Command::CallersHost => {
            name_process(c"lab-callers");
            return Ok(callers::host::run());
        }
        Command::DrillHost => {
            name_process(c"lab-drill");
            return Ok(drill::host::run());
        }
        Command::RoomHost => {
            name_process(c"lab-room");
            return Ok(room::host::run());
        }
        Command::DashboardHost => {
            name_process(c"lab-dashboard");
            return Ok(dashboard::host::run());
        }
        _ => {}
    }
    let session = Session::new(cli.name.as_deref());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        // Turns a write beyond `ulimit -f` into an I/O error. By default the signal kills the process silently.
        let _caught = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
        verb(&session, &cli.command).await
    });
    // Dropped tasks clean up what they hold outside of the process. A blocking read would never end by itself.
    runtime.shutdown_timeout(SHUTDOWN_GRACE);
    result
}

/// Sets the name shown by `ps` and `top`. Started through `/proc/self/exe`, the process would be called `exe`.
fn name_process(name: &std::ffi::CStr) {
    #[cfg(target_os = "linux")]
    // Cosmetic: failure is ignored.
    let _ = rustix::thread::set_name(name);
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}

async fn verb(session: &Session, command: &Command) -> anyhow::Result<Exit> {
    drill::look::record(session, command);
    match command {
        Command::Up(args) => up::run(session, args).await,
        Command::Down(args) => down::run(session, args).await,
        Command::Status(args) => status::run(session, args).await,
        Command::Logs(args) => logs::run(session, args).await,
        Command::Watch(args) => watch::run(session, args).await,
        Command::Dashboard(args) => dashboard::run(session, args).await,
        Command::Open(args) => open::run(session, args).await,
        Command::Stop(args) => service::run(session, Verb::Stop, &args.services).await,
        Command::Start(args) => service::run(session, Verb::Start, &args.services).await,
        Command::Restart(args) => service::run(session, Verb::Restart, &args.services).await,
        Command::Kill(args) => service::run(session, Verb::Kill, &args.services).await,
        Command::Pause(args) => service::run(session, Verb::Pause, &args.services).await,
        Command::Unpause(args) => service::run(session, Verb::Unpause, &args.services).await,
        Command::Env(args) => env::run(session, args).await,
        Command::History(args) => revisions::history(session, args).await,
        Command::Rollback(args) => revisions::rollback(session, args).await,
        Command::Key(command) => key::run(session, command).await,
        Command::Request(args) => request::run(session, args).await,
        Command::Traffic(args) => traffic::run(session, args).await,
        Command::Callers(command) => callers::run(session, command).await,
        Command::Metrics(args) => metrics::run(session, args).await,
        Command::Drill(command) => Box::pin(drill::run(session, command)).await,
        Command::Room(command) => Box::pin(room::run(session, command)).await,
        Command::Db(command) => db::run(session, command).await,
        Command::Images(command) => images::run(session, command).await,
        Command::Swarm(command) => swarm::run(session, command).await,
        Command::Query(args) => query::run(session, args).await,
        Command::Scenario(command) => scenario::run(session, command).await,
        Command::Runs(command) => runs::run(session, command),
        Command::Reset(_) => reset::run(session).await,
        Command::Recover(args) => recover::run(session, args).await,
        Command::Doctor { json } => doctor::run(session, *json).await,
        Command::Completions { shell } => session.print(&crate::cli::completions(*shell)),
        Command::Complete { words } => complete::run(session, words),
        Command::App(_)
        | Command::Gateway(_)
        | Command::Edge(_)
        | Command::Host { .. }
        | Command::CallersHost
        | Command::DrillHost
        | Command::RoomHost
        | Command::DashboardHost => {
            unreachable!("started above")
        }
    }
}
