//! One file per command: selects the lab and the reporters and calls the crates.

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Cli, Command, ProcessCommand};
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
    if let Command::Process(command) = &cli.command {
        // They have their own runtimes and no terminal.
        return Ok(run_process(command));
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

/// Runs a process that lab started itself.
fn run_process(command: &ProcessCommand) -> Exit {
    match command {
        ProcessCommand::App(args) if args.health => lab_demo::app::health(),
        ProcessCommand::App(args) => {
            name_process(c"lab-app");
            lab_demo::app::run(args.service.tied)
        }
        ProcessCommand::Gateway(args) => {
            name_process(c"lab-gateway");
            lab_demo::gateway::run(args.tied)
        }
        ProcessCommand::Edge(args) if args.health => lab_demo::edge::exporter::health(),
        ProcessCommand::Edge(_) => {
            name_process(c"lab-edge");
            lab_demo::edge::exporter::run()
        }
        ProcessCommand::Host { request } => {
            name_process(c"lab-host");
            match request {
                Some(file) => lab_host::host::run_from_file(file),
                None => lab_host::host::run(),
            }
        }
        ProcessCommand::CallersHost => {
            name_process(c"lab-callers");
            callers::host::run()
        }
        ProcessCommand::DrillHost => {
            name_process(c"lab-drill");
            drill::host::run()
        }
        ProcessCommand::RoomHost => {
            name_process(c"lab-room");
            room::host::run()
        }
        ProcessCommand::DashboardHost => {
            name_process(c"lab-dashboard");
            dashboard::host::run()
        }
    }
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
        Command::Process(_) => unreachable!("started above"),
    }
}
