//! [`Rollback`] of a failed `up`.

use futures_util::future::join_all;

use super::Inner;
use super::client::Client;

/// Changes of one call that are undone if it fails.
#[derive(Default)]
pub(super) struct Rollback {
    pub(super) containers: Vec<String>,
    /// The lab did not exist before.
    pub(super) is_new_lab: bool,
    /// Replaced containers: the service, the container, and whether it was running.
    pub(super) replaced: Vec<(String, String, bool)>,
}

impl Rollback {
    /// Removes the new containers and restores the replaced ones. Errors are ignored: they would hide the cause, and `lab down`
    /// reports them.
    pub(super) async fn run(self, inner: &Inner, client: &Client) {
        if self.is_new_lab {
            let _ = inner.remove_all(client).await;
        } else {
            let _ = join_all(self.containers.iter().map(|id| client.remove(id))).await;
        }
        for (service, old, ran) in &self.replaced {
            if *ran {
                let _ = client.start(old).await;
            }
            let _ = client.rename(old, &inner.names.container(service)).await;
        }
        if !self.replaced.is_empty() {
            let _ = inner.route_to_active_app(client).await;
        }
    }
}
