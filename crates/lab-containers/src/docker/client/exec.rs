//! Commands in running containers: run to their end, or made ready there and run at a word ([`Armed`]).

use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{CALL_TIMEOUT, Client, Fault, call};
use lab_system::deadline::timeout;

/// How a command in a container went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) struct Ran {
    pub(in crate::docker) code: i64,
    /// What it wrote, both streams together.
    pub(in crate::docker) output: String,
}

/// A command that is ready in its container. Dropped, it does not run.
pub(in crate::docker) struct Armed {
    client: Client,
    container: String,
    command: Vec<String>,
    id: String,
    output: Output,
    input: Pin<Box<dyn AsyncWrite + Send>>,
}

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

impl Client {
    /// Runs a command in a running container, to its end.
    pub(in crate::docker) async fn exec(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<Ran, Fault> {
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

    /// Makes a command ready in a running container: to start a process in there takes longer than most of what it then
    /// does. It takes a shell to wait for the word.
    pub(in crate::docker) async fn arm(&self, container: &str, command: &[String]) -> Result<Armed, Fault> {
        let waiting = ["/bin/sh", "-c", r#"read -r _ && exec "$@""#, "sh"].map(str::to_owned);
        let waiting: Vec<String> = waiting.into_iter().chain(command.iter().cloned()).collect();
        let (id, output, input) = self.begin(&subject(container, command), container, &waiting, true).await?;
        let (client, container, command) = (self.clone(), container.to_owned(), command.to_vec());
        Ok(Armed { client, container, command, id, output, input })
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

    /// Waits until a command has ended.
    async fn end(&self, subject: &str, id: &str, mut output: Output) -> Result<Ran, Fault> {
        let mut written = Vec::new();
        while let Some(piece) = output.next().await {
            // How it ended is asked below, whatever became of its output.
            let Ok(piece) = piece else { break };
            written.extend_from_slice(piece.as_ref());
        }
        let code = call(subject, CALL_TIMEOUT, self.docker.inspect_exec(id)).await?.exit_code;
        Ok(Ran { code: code.unwrap_or(-1), output: String::from_utf8_lossy(&written).trim().to_owned() })
    }
}

impl Armed {
    /// Runs it, to its end.
    pub(in crate::docker) async fn fire(self, limit: Duration) -> Result<Ran, Fault> {
        let Self { client, container, command, id, output, mut input } = self;
        let subject = subject(&container, &command);
        let fired = async {
            if input.write_all(b"\n").await.is_ok() && input.flush().await.is_ok() {
                match client.end(&subject, &id, output).await {
                    // There is no shell.
                    Ok(ran) if matches!(ran.code, 126 | 127) => {}
                    other => return other,
                }
            }
            client.exec(&container, &command, limit).await
        };
        match timeout(limit, fired).await {
            Ok(result) => result,
            Err(_) => Err(Fault::timeout(subject)),
        }
    }
}

fn subject(container: &str, command: &[String]) -> String {
    format!("{} in container {container}", command.join(" "))
}
