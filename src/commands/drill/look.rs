//! Records in the drill's log that the participant looked at something: the debrief names what was looked at and what never
//! was. It has the verb and the services, and no values.

use crate::cli::{CallersCommand, Command, DbCommand, KeyCommand, PageChoice};
use crate::commands::session::Session;
use lab_drill::event::Event;
use lab_runner::lab::StateFolder;

/// Records a look at the selected lab, if a drill is in progress there. A failure does not fail the command.
pub(in crate::commands) fn record(session: &Session, command: &Command) {
    let Some(what) = describe(command) else { return };
    let append = || {
        let id = session.lab().ok()?.drill().ok()??;
        let mut log = super::open_log(&StateFolder::open().ok()?, &id).ok()?;
        log.append(None, Event::Looked { what }).ok()
    };
    append();
}

/// Command and services. `None` for commands that do not look at a lab.
fn describe(command: &Command) -> Option<String> {
    let with = |verb: &str, services: &[String]| {
        let services = services.iter().map(String::as_str).filter(|name| is_name(name));
        std::iter::once(verb).chain(services).collect::<Vec<_>>().join(" ")
    };
    let one = |verb: &str, service: &Option<String>| with(verb, service.as_slice());
    Some(match command {
        Command::Status(args) if !args.all => "status".to_owned(),
        Command::Logs(args) => with("logs", &args.services),
        Command::Watch(_) => "watch".to_owned(),
        Command::Dashboard(_) => "dashboard".to_owned(),
        Command::Open(args) => page(args.page)?.to_owned(),
        Command::Env(args) if args.command.is_none() => one("env", &args.service),
        Command::History(args) => one("history", &args.service),
        Command::Key(KeyCommand::Show { .. }) => "key".to_owned(),
        Command::Request(_) => "request".to_owned(),
        Command::Traffic(_) => "traffic".to_owned(),
        Command::Callers(CallersCommand::Status { .. }) => "callers".to_owned(),
        Command::Metrics(_) => "metrics".to_owned(),
        Command::Db(DbCommand::Query(_)) => "db query".to_owned(),
        Command::Query(_) => "query".to_owned(),
        _ => return None,
    })
}

/// Page of the lab that `lab open` shows.
fn page(page: PageChoice) -> Option<&'static str> {
    match page {
        PageChoice::Dashboard | PageChoice::Grafana => Some("dashboard"),
        PageChoice::Prometheus => Some("query"),
        PageChoice::Report => None,
    }
}

/// Whether a text may be the name of a service. Anything else was typed by mistake and is not recorded.
fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    (1..=40).contains(&text.len()) && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn look(line: &str) -> Option<String> {
        let cli = cli::parse(line.split(' ').map(Into::into)).expect(line);
        describe(&cli.command)
    }

    #[test]
    fn a_look_has_the_verb_and_the_services_and_no_values() {
        for (line, what) in [
            ("status", Some("status")),
            ("status --all", None),
            ("logs -f app gateway", Some("logs app gateway")),
            ("logs k$y", Some("logs")),
            ("watch", Some("watch")),
            ("open", Some("dashboard")),
            ("open prometheus", Some("query")),
            ("open report 7f3a", None),
            ("env app --reveal", Some("env app")),
            ("env set app A=secret", None),
            ("history", Some("history")),
            ("history callers", Some("history callers")),
            ("key show", Some("key")),
            ("key rotate apikey-v9", None),
            ("request /api/users --key apikey-v2", Some("request")),
            ("traffic", Some("traffic")),
            ("callers status", Some("callers")),
            ("callers stop", None),
            ("metrics --filter x", Some("metrics")),
            ("db query SELECT", Some("db query")),
            ("query up", Some("query")),
            ("restart app", None),
            ("runs list", None),
        ] {
            assert_eq!(look(line).as_deref(), what, "{line}");
        }
    }
}
