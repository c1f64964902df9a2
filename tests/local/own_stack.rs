//! A stack of somebody's own that is wrong: told before a daemon is asked for anything, and no lab is left of it.

use std::path::PathBuf;

use crate::copied::copy_of_the_stack;
use crate::desk::{Desk, Ran};

/// A copy of the stack that comes with lab, which somebody works on.
struct Own {
    desk: Desk,
    folder: PathBuf,
}

impl Own {
    fn new() -> Self {
        let desk = Desk::new();
        let folder = copy_of_the_stack(desk.path());
        Self { desk, folder }
    }

    /// With a part of its file replaced.
    fn with(part: &str, other: &str) -> Self {
        let own = Self::new();
        let file = own.folder.join("compose.yaml");
        let text = std::fs::read_to_string(&file).expect("it was copied");
        assert_eq!(text.matches(part).count(), 1, "{part:?}");
        std::fs::write(&file, text.replace(part, other)).expect("it is ours");
        own
    }

    /// Each command that reads it, where no daemon answers.
    fn commands(&self) -> [Ran; 3] {
        let stack = self.folder.display().to_string();
        [
            &["up", "--engine", "docker", "--stack", &stack][..],
            &["images", "list", "--stack", &stack],
            &["images", "pull", "--stack", &stack],
        ]
        .map(|args| {
            let mut command = self.desk.command(args);
            command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
            Desk::ran(args, command)
        })
    }

    /// What is wrong, and at which line of the file; in none of the commands is it something else.
    #[track_caller]
    fn is_refused(&self, message: &str, line: &str, more: &str) {
        let text = std::fs::read_to_string(self.folder.join("compose.yaml")).expect("it is there");
        let number = 1 + text.lines().position(|other| other.contains(line)).expect("the file has the line");
        let place = format!("{}:{number}:", self.folder.join("compose.yaml").display());
        for ran in self.commands() {
            let ran = ran.status(2).complains(message).complains(&place).complains(more);
            assert_eq!(ran.stderr.matches("error").count(), 1, "{}", ran.stderr);
        }
        self.desk.is_clean();
    }
}

#[test]
fn a_stack_that_is_right_gets_as_far_as_the_daemon() {
    let own = Own::new();
    for ran in own.commands() {
        ran.status(3).complains("no Docker daemon answers at /nonexistent/docker.sock");
    }
    own.desk.is_clean();
}

#[test]
fn an_unknown_key_is_named() {
    let own = Own::with("    stop_signal: SIGQUIT\n", "    stop_signl: SIGQUIT\n");
    own.is_refused("unknown key `stop_signl` in a service", "stop_signl", "did you mean `stop_signal`?");
}

#[test]
fn a_circle_is_named() {
    let own = Own::with(
        "    image: postgres:17\n",
        "    image: postgres:17\n    depends_on: { gateway: { condition: service_started } }\n",
    );
    own.is_refused("`depends_on` goes round in a circle", "depends_on: { gateway:", "gateway > app > db > gateway");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let own = Own::new();
    std::fs::remove_dir_all(own.folder.join("nginx/templates")).expect("it was copied");
    own.is_refused("nginx/templates", "./nginx/templates:", "templates");
}

#[test]
fn a_stack_that_is_not_there_is_named() {
    let own = Own::new();
    std::fs::remove_file(own.folder.join("compose.yaml")).expect("it was copied");
    for ran in own.commands() {
        ran.status(2).complains("compose.yaml").complains(&own.folder.display().to_string());
    }
    std::fs::remove_dir_all(&own.folder).expect("it was copied");
    for ran in own.commands() {
        ran.status(2).complains(&format!("there is no folder {}", own.folder.display()));
    }
    own.desk.is_clean();
}
