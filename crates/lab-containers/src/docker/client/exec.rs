//! Commands in running containers, run at once or prepared to run on demand ([`PreparedCommand`]).

use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{CALL_TIMEOUT, Client, Fault, call};
use lab_system::deadline::timeout;

/// Result of a command in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) struct CommandResult {
    pub(in crate::docker) code: i64,
    /// Output of both streams.
    pub(in crate::docker) output: String,
}

/// Output of a command, by stream. Invalid UTF-8 is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::docker) struct Streams {
    pub(in crate::docker) out: String,
    pub(in crate::docker) err: String,
}

/// A prepared command in a container. It does not run if this is dropped.
pub(in crate::docker) struct PreparedCommand {
    client: Client,
    container: String,
    command: Vec<String>,
    id: String,
    output: Output,
    input: Pin<Box<dyn AsyncWrite + Send>>,
}

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

impl Client {
    /// Runs a command in a running container and waits for it.
    pub(in crate::docker) async fn exec(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<CommandResult, Fault> {
        let subject = subject(container, command);
        let run = async {
            let (id, output, _) = self.begin(&subject, container, command, false).await?;
            self.end(&subject, &id, output).await
        };
        match timeout(limit, run).await {
            Ok(result) => result,
            Err(_) => Err(Fault::timeout(subject)),
        }
    }

    /// Runs a command in a running container and returns its output. The caller limits its time and its output.
    pub(in crate::docker) async fn exec_streams(&self, container: &str, command: &[String]) -> Result<Streams, Fault> {
        // The arguments may be long and are of no use in a message.
        let subject = subject(container, &command[..command.len().min(1)]);
        let (_, mut output, _) = self.begin(&subject, container, command, false).await?;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(piece) = output.next().await {
            match piece.map_err(|error| Fault::from_error(&subject, &error))? {
                LogOutput::StdErr { message } => err.extend_from_slice(&message),
                other => out.extend_from_slice(other.as_ref()),
            }
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Streams { out: text(out), err: text(err) })
    }

    /// Prepares a command in a running container, because starting a process there takes longer than most commands. Requires a
    /// shell that waits for the signal to continue.
    pub(in crate::docker) async fn prepare_command(
        &self,
        container: &str,
        command: &[String],
    ) -> Result<PreparedCommand, Fault> {
        let waiting = ["/bin/sh", "-c", r#"read -r _ && exec "$@""#, "sh"].map(str::to_owned);
        let waiting: Vec<String> = waiting.into_iter().chain(command.iter().cloned()).collect();
        let (id, output, input) = self.begin(&subject(container, command), container, &waiting, true).await?;
        let (client, container, command) = (self.clone(), container.to_owned(), command.to_vec());
        Ok(PreparedCommand { client, container, command, id, output, input })
    }

    async fn begin(
        &self,
        subject: &str,
        container: &str,
        command: &[String],
        stdin: bool,
    ) -> Result<(String, Output, Pin<Box<dyn AsyncWrite + Send>>), Fault> {
        let options = CreateExecOptions {
            attach_stdin: stdin.then_some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            ..CreateExecOptions::default()
        };
        let id = call(subject, CALL_TIMEOUT, self.docker.create_exec(container, options)).await?.id;
        let started = call(subject, CALL_TIMEOUT, self.docker.start_exec(&id, None::<StartExecOptions>)).await?;
        Ok(match started {
            StartExecResults::Attached { output, input } => (id, output, input),
            StartExecResults::Detached => (id, Box::pin(futures_util::stream::empty()), Box::pin(tokio::io::sink())),
        })
    }

    /// Waits for the end of a command.
    async fn end(&self, subject: &str, id: &str, mut output: Output) -> Result<CommandResult, Fault> {
        let mut written = Vec::new();
        while let Some(piece) = output.next().await {
            // The exit code is queried below, even if reading the output failed.
            let Ok(piece) = piece else { break };
            written.extend_from_slice(piece.as_ref());
        }
        let code = call(subject, CALL_TIMEOUT, self.docker.inspect_exec(id)).await?.exit_code;
        Ok(CommandResult { code: code.unwrap_or(-1), output: String::from_utf8_lossy(&written).trim().to_owned() })
    }
}

impl PreparedCommand {
    /// Runs the command and waits for it.
    pub(in crate::docker) async fn run(self, limit: Duration) -> Result<CommandResult, Fault> {
        let Self { client, container, command, id, output, mut input } = self;
        let subject = subject(&container, &command);
        // Boxed: the buffers of the connection would be part of every future above.
        let fired = Box::pin(async {
            if input.write_all(b"\n").await.is_ok() && input.flush().await.is_ok() {
                match client.end(&subject, &id, output).await {
                    // The image has no shell.
                    Ok(ran) if matches!(ran.code, 126 | 127) => {}
                    other => return other,
                }
            }
            client.exec(&container, &command, limit).await
        });
        match timeout(limit, fired).await {
            Ok(result) => result,
            Err(_) => Err(Fault::timeout(subject)),
        }
    }
}

fn subject(container: &str, command: &[String]) -> String {
    format!("{} in container {container}", command.join(" "))
}
