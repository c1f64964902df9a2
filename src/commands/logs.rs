//! `lab logs`: what the services wrote.

use std::io::Write;

use futures_util::StreamExt;

use super::session::{Session, name_option};
use crate::cli::LogsArgs;
use crate::engine::{LogLine, LogRequest};
use crate::error::{Exit, Failure};
use crate::term::{Out, Painter, Tone};

pub(super) async fn run(session: &Session, args: &LogsArgs) -> anyhow::Result<Exit> {
    let connected = session.connect()?;
    let known: Vec<String> = connected.engine.services().into_iter().map(|service| service.name).collect();
    for service in &args.services {
        if !known.contains(service) {
            let message = format!("{service:?} is no service of this lab: {}", known.join(", "));
            return Err(Failure::usage(message).into());
        }
    }
    let request = LogRequest { services: args.services.clone(), tail: args.tail, follow: args.follow };
    let mut lines = connected.engine.logs(&request).await.map_err(|error| {
        error.hint(format!(
            "without -f the logs of a lab that is gone can be read: lab logs{}",
            name_option(&connected.lab)
        ))
    })?;
    let prefixed = args.services.len() != 1;
    let mut out = session.term.out();
    while let Some(line) = lines.next().await {
        write(&mut out, &line?, prefixed, session.term.painter())?;
        if out.is_closed() {
            break;
        }
    }
    Ok(Exit::Held)
}

fn write(out: &mut Out, line: &LogLine, prefixed: bool, painter: Painter) -> std::io::Result<()> {
    if prefixed {
        let prefix = format!("{:<7} |", line.service);
        write!(out, "{} ", painter.paint(Tone::Dim, &prefix))?;
    }
    writeln!(out, "{}", line.text)
}
