//! Leftovers of changes that were interrupted by SIGKILL or a power cut. Renamed containers are restored, the rest is removed.

use super::Inner;
use super::client::Client;
use super::observed_state::{ObservedState, ServiceContainer};
use super::transition::Transition;
use lab_core::engine::EngineError;

impl Inner {
    /// Restores renamed containers that have no successor, removes the other leftovers, and returns the state afterwards.
    /// `restart` also starts restored services again; `up` leaves that to its own plan.
    pub(super) async fn remove_leftovers(
        &self,
        client: &Client,
        observed: ObservedState,
        restart: bool,
    ) -> Result<ObservedState, EngineError> {
        let renamed = |found: &&ServiceContainer| found.container.name != self.names.container(&found.service);
        let (apps, others): (Vec<&ServiceContainer>, Vec<&ServiceContainer>) =
            observed.active.values().filter(renamed).partition(|found| found.service == self.stack.lab.app.service);
        if observed.leftovers.is_empty() && apps.is_empty() && others.is_empty() {
            return Ok(observed);
        }
        for app in apps {
            if app.container.name == self.names.temporary_container(&app.service, "stopping", app.instance()) {
                // It may be stopping already, and nothing waits for its last requests any more.
                client.kill(app.id()).await?;
            }
            client.rename(app.id(), &self.names.container(&app.service)).await?;
        }
        // The gateway may route to a container that is about to be removed. An error is reported by the next change.
        let _ = self.route_to_active_app(client).await;
        for leftover in &observed.leftovers {
            client.remove(leftover).await?;
        }
        for old in others {
            self.restore(client, &observed, old, restart).await?;
        }
        ObservedState::inspect(client, &self.names).await?.require_complete()
    }

    /// Restores a container that was about to be replaced. It gets its name back once it runs again, so that another interruption
    /// leaves it in the same state.
    async fn restore(
        &self,
        client: &Client,
        observed: &ObservedState,
        old: &ServiceContainer,
        restart: bool,
    ) -> Result<(), EngineError> {
        let name = self.names.container(&old.service);
        let Some(service) = self.service(&old.service) else { return Ok(client.rename(old.id(), &name).await?) };
        let transition = Transition { inner: self, client, observed, service, found: Some(old) };
        // A stop was requested, and may still be in progress.
        client.stop(old.id(), transition.grace()).await?;
        if restart {
            transition.start_and_wait(old.id()).await?;
        }
        client.rename(old.id(), &name).await?;
        if restart { transition.after_start().await } else { Ok(()) }
    }
}
