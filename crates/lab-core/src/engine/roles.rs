//! Which service of a stack is meant by the words of scenarios.

use serde::{Deserialize, Serialize};

use super::{APP, DB, GATEWAY, KEY_VARIABLE};

/// Who plays which part in a stack. In lab's own each service is called by its part; a stack of one's own says it under
/// `x-lab`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// The reverse proxy in front of the app.
    pub gateway: String,
    /// The service under test.
    pub app: String,
    /// The app's database.
    pub db: String,
    /// The app's environment variable with the key that it expects.
    pub key_variable: String,
}

impl Default for Roles {
    fn default() -> Self {
        let [gateway, app, db, key_variable] = [GATEWAY, APP, DB, KEY_VARIABLE].map(str::to_owned);
        Self { gateway, app, db, key_variable }
    }
}

impl Roles {
    /// The service that a word of a scenario means: a part, or a service by its name.
    pub fn service<'a>(&'a self, word: &'a str) -> &'a str {
        match word {
            GATEWAY => &self.gateway,
            APP => &self.app,
            DB => &self.db,
            name => name,
        }
    }
}
