//! Maps the roles that scenarios use to the services of a stack.

use serde::{Deserialize, Serialize};

use super::{APP, DB, GATEWAY, KEY_VARIABLE};

/// Service names by role. In lab's own stack, services are named after their roles; a custom stack sets them under
/// `x-lab`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// The reverse proxy in front of the app.
    pub gateway: String,
    /// The service under test.
    pub app: String,
    /// The app's database.
    pub db: String,
    /// Environment variable of the app that holds the expected key.
    pub key_variable: String,
}

impl Default for Roles {
    fn default() -> Self {
        let [gateway, app, db, key_variable] = [GATEWAY, APP, DB, KEY_VARIABLE].map(str::to_owned);
        Self { gateway, app, db, key_variable }
    }
}

impl Roles {
    /// Resolves a name in a scenario: a role, or the name of a service.
    pub fn service<'a>(&'a self, word: &'a str) -> &'a str {
        match word {
            GATEWAY => &self.gateway,
            APP => &self.app,
            DB => &self.db,
            name => name,
        }
    }
}
