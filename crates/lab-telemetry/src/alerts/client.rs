//! Reads the alerts of a running lab.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{PATH, RulesResponse};
use lab_http::{Http, Request};

/// Time between two attempts.
const INTERVAL: Duration = Duration::from_millis(100);

/// Names of all alerts of the source at `base`, as soon as it returns them. `None` if it does not within `timeout`.
pub async fn fetch_names(base: &str, timeout: Duration) -> Option<BTreeSet<String>> {
    let http = Http::new();
    let names = async {
        loop {
            let response = http.request(&Request::get(format!("{base}{PATH}")).timeout(timeout)).await;
            let response = response.ok().filter(|response| response.status == 200);
            if let Some(rules) = response.and_then(|response| RulesResponse::parse(&response.text()).ok()) {
                return rules.names();
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    tokio::time::timeout(timeout, names).await.ok()
}
