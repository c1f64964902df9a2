//! `lab status` during a drill: what can be observed from outside, such as states, ages and addresses.

use super::Document;

impl Document {
    /// Removes what would be half of a diagnosis: the keys side by side, environments, the reasons of unhealthy services, and
    /// what of the lab is to be undone.
    pub(super) fn hide_causes(&mut self) {
        (self.keys, self.undo, self.run) = (None, None, None);
        for service in &mut self.services {
            service.env.clear();
            service.detail = None;
        }
    }
}
