//! What a change left that was cut short: by a SIGKILL, or a power cut. What it had put aside comes back, and the rest goes.

use super::Inner;
use super::change::Task;
use super::client::Client;
use super::survey::{Found, Survey};
use lab_core::engine::EngineError;

impl Inner {
    /// Takes back what was put aside and whose place nobody has taken, and removes the rest; what of the lab is there then.
    /// Whether a service that was to be replaced runs again is left to who brings up the lab: else it is to `restart`.
    pub(super) async fn tidy(&self, client: &Client, survey: Survey, restart: bool) -> Result<Survey, EngineError> {
        let aside = |found: &&Found| found.container.name != self.names.container(&found.service);
        let (apps, others): (Vec<&Found>, Vec<&Found>) =
            survey.serving.values().filter(aside).partition(|found| found.service == self.stack.lab.app.service);
        if survey.leftovers.is_empty() && apps.is_empty() && others.is_empty() {
            return Ok(survey);
        }
        for app in apps {
            if app.container.name == self.names.passing(&app.service, "stopping", app.instance()) {
                // It may be ending already, and nobody waits for its last requests any more.
                client.kill(app.id()).await?;
            }
            client.rename(app.id(), &self.names.container(&app.service)).await?;
        }
        // The gateway may lead to what is about to go. Where it cannot be led, the change that comes next says so.
        let _ = self.lead(client).await;
        for leftover in &survey.leftovers {
            client.remove(leftover).await?;
        }
        for old in others {
            self.take_back(client, &survey, old, restart).await?;
        }
        Survey::of(client, &self.names).await?.whole()
    }

    /// Takes back a container that another was to replace: it ran. It has its name again once it runs again, so that who is cut
    /// short here finds it as it was found now.
    async fn take_back(&self, client: &Client, survey: &Survey, old: &Found, restart: bool) -> Result<(), EngineError> {
        let name = self.names.container(&old.service);
        let Some(service) = self.service(&old.service) else { return Ok(client.rename(old.id(), &name).await?) };
        let task = Task { inner: self, client, survey, service, found: Some(old) };
        // It was told to end, and may still be ending.
        client.stop(old.id(), task.grace()).await?;
        if restart {
            task.begin(old.id()).await?;
        }
        client.rename(old.id(), &name).await?;
        if restart { task.after().await } else { Ok(()) }
    }
}
