//! Changes of a service by hand. They are the user's own: no run undoes them.

use super::session::{Connected, Session};
use super::signals;
use lab_core::engine::{Reconciliation, ServiceChange};
use lab_core::error::{Exit, Failure};
use lab_runner::lab::ChangeError;
use lab_runner::lab::lock::Lock;
use lab_runner::lab::revisions::{Author, State};
use lab_runner::runner::{Interrupt, Signal};

/// A lab that is locked for changes by hand.
pub(super) struct ManualChange<'a> {
    session: &'a Session,
    connected: &'a Connected,
    interrupt: Interrupt,
    author: Author,
    _lock: Lock,
}

impl<'a> ManualChange<'a> {
    /// Waits for the change lock. Returns `None` if it was interrupted, with the exit code. `holder` is the command, for those
    /// who wait for the lock meanwhile.
    pub(super) async fn begin(
        session: &'a Session,
        connected: &'a Connected,
        holder: &str,
    ) -> anyhow::Result<Result<Self, Exit>> {
        let interrupt = signals::install()?;
        let locked = async {
            let lock = connected.lab.lock_change(holder).await?;
            connected.lab.locked_record(&lock)?;
            connected.lab.settle(connected.engine.as_ref()).await?;
            anyhow::Ok(lock)
        };
        let lock = tokio::select! {
            biased;
            () = interrupt.stop().cancelled() => return Ok(Err(exit(&interrupt))),
            locked = locked => locked?,
        };
        Ok(Ok(Self { session, connected, interrupt, author: Author::hand(holder), _lock: lock }))
    }

    /// Exit code of a command whose changes are complete.
    pub(super) fn exit(&self) -> Exit {
        exit(&self.interrupt)
    }

    /// Returns true once Ctrl-C or SIGTERM was received. Then no further change should begin.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupt.signal().is_some()
    }

    /// Changes the callers' keys.
    pub(super) fn set_callers(&self, state: &State) -> anyhow::Result<()> {
        Ok(self.connected.lab.restore_callers(state, &self.author)?)
    }

    /// Changes a service in one revision. The first signal lets the change complete, because half a change is worse; a second
    /// one aborts it.
    pub(super) async fn apply(&self, service: &str, wanted: &[ServiceChange]) -> anyhow::Result<Reconciliation> {
        let Self { session, connected, interrupt, author, .. } = self;
        let changed = async {
            let changed = connected.lab.reconcile(connected.engine.as_ref(), service, wanted, author);
            changed.await.map_err(|error| match error {
                ChangeError::Lab(error) => anyhow::Error::from(error).context(format!("{service} was not changed")),
                ChangeError::Engine(error) => error.into(),
            })
        };
        let mut changed = std::pin::pin!(changed);
        let noted = interrupt.stop().is_cancelled();
        tokio::select! {
            changed = &mut changed => return changed,
            () = interrupt.stop().cancelled() => {}
        }
        if !noted {
            session.term.note("completing the change first; press Ctrl-C again to abort it");
        }
        tokio::select! {
            changed = changed => changed,
            () = interrupt.give_up().cancelled() => {
                let failure = Failure { exit: exit(interrupt), ..Failure::failed("the change was aborted and may be incomplete") };
                Err(failure.hint(format!("repair the lab with lab up{}", connected.lab.name_option())).into())
            }
        }
    }
}

fn exit(interrupt: &Interrupt) -> Exit {
    interrupt.signal().map_or(Exit::Passed, Signal::exit)
}
