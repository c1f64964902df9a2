//! [`Made`]: what one call of `up` made, to be removed where it fails.

use futures_util::future::join_all;

use super::Inner;
use super::client::Client;

/// What one call made.
#[derive(Default)]
pub(super) struct Made {
    pub(super) containers: Vec<String>,
    /// The lab was not there before.
    pub(super) all: bool,
    /// What others were made in the place of, to be taken back where this call fails: the service, the container, and
    /// whether it ran.
    pub(super) replaced: Vec<(String, String, bool)>,
}

impl Made {
    /// Removes it, and puts back what was replaced. What is wrong has been found; that it cannot be cleared away either would
    /// only hide it, and `lab down` says so.
    pub(super) async fn take_back(self, inner: &Inner, client: &Client) {
        if self.all {
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
            let _ = inner.lead(client).await;
        }
    }
}
