//! Secrets: no command shows a value marked `secret`, even if a run leaves it in a lab, and the output of a step's command shows it
//! in no encoding.

use crate::desk::{CommandOutput, Desk};
use crate::pty::Pty;

const KEY: &str = "K3y-Sup3rS3cret/+x";

/// Asserts that the output does not contain the key.
#[track_caller]
fn assert_masked(result: &CommandOutput) -> &CommandOutput {
    for part in [KEY, "Sup3rS3cret", "K3y-Sup"] {
        assert!(!result.stdout.contains(part) && !result.stderr.contains(part), "{part}: {result:?}");
    }
    result
}

#[test]
fn no_command_shows_a_secret_key_that_a_run_leaves() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let file = desk.write(
        "secret_key.yaml",
        &format!(
            "title: A secret key\nkind: part\nparameters:\n  key: {{ default: \"{KEY}\", secret: true }}\ncallers:\n  \
             web: {{ key: \"${{key}}\" }}\nsteps:\n  - rotate_key: {{ server: \"${{key}}\" }}\n  \
             - {{ name: observe, traffic: {{ requests: 2, rate: 100 }} }}\n"
        ),
    );
    assert_masked(&desk.lab(&["scenario", "show", &file]).status(0));
    assert_masked(&desk.lab(&["scenario", "validate", &file]).status(0));
    assert_masked(&desk.lab(&["scenario", "run", &file, "--dry-run"]).status(0));
    assert_masked(&desk.lab(&["scenario", "run", &file, "--keep"]).status(0));
    assert_masked(&desk.lab(&["status"]).status(0))
        .stdout
        .find("server *** · caller apikey-v1")
        .expect("the keys differ");
    let status = desk.lab(&["status", "--json"]).status(0);
    let json = assert_masked(&status).json();
    assert_eq!((json["keys"]["server"].as_str(), json["keys"]["callers"]["web"].as_str()), (Some("***"), Some("***")));
    assert_eq!(json["services"][1]["env"]["APP_API_KEY"], "***");
    assert_masked(&desk.lab(&["status", "--all"]).status(0));
    assert_masked(&desk.lab(&["status", "--all", "--json"]).status(0)).json();
    assert_masked(&desk.lab(&["key", "show"]).status(0)).stdout.find("they differ").expect("the keys differ");
    assert_eq!(assert_masked(&desk.lab(&["key", "show", "--json"]).status(0)).json()["server"], "***");
    assert_masked(&desk.lab(&["up"]).status(0));
    assert_masked(&desk.lab(&["logs"]).status(0));
    assert_masked(&desk.lab(&["metrics"]).status(0));
    assert_masked(&desk.lab(&["metrics", "--raw"]).status(0));
    assert_masked(&desk.lab(&["runs", "list", "--json"]).status(0));
    let terminal = |args: &[&str]| {
        let mut pty = Pty::start(&desk.command(args), 100, 40);
        let text = String::from_utf8_lossy(&pty.bytes()).into_owned();
        assert!(text.contains("***") && !text.contains("Sup3rS3cret"), "{args:?}: {text}");
    };
    terminal(&["up"]);
    terminal(&["status"]);
    terminal(&["key", "show"]);
    let mut watch = Pty::start(&desk.command(&["watch", "--refresh", "200ms"]), 100, 40);
    watch.shows("server *** · caller apikey-v1");
    watch.types("q");
    assert!(!String::from_utf8_lossy(&watch.bytes()).contains("Sup3rS3cret"));
    // Changing a key shows neither the old key nor those of other callers.
    assert_masked(&desk.lab(&["key", "align", "--caller", "web"]).status(0));
    assert_masked(&desk.lab(&["key", "align"]).status(0));
    assert_masked(&desk.lab(&["traffic", "--requests", "2", "--rate", "100"]).status(0));
    assert_masked(&desk.lab(&["traffic", "--requests", "2", "--rate", "100", "--json"]).status(0)).json();
    assert_masked(&desk.lab(&["key", "rotate", "apikey-v3"]).status(0));
    assert_masked(&desk.lab(&["recover"]).status(0)).stdout.find("is restored").expect("the undo is reported");
}

#[test]
fn the_output_of_a_command_shows_a_secret_in_no_encoding() {
    let desk = Desk::new();
    let secret = "K3y-\"Sup3r\"<S3cret>&/'x'";
    let quoted = secret.replace('\'', "''");
    let commands = [
        "printf %s \"$T\"",
        "printf %s \"$T\" | base64 -w0",
        "printf %s \"user:$T\" | base64 -w0",
        "printf %s \"a$T!\" | base64 -w0 | tr -d = | tr +/ -_",
        "printf %s \"$T\" | od -An -v -tx1 | tr -d '\\n'",
        "printf %s \"$T\" | od -An -v -tx1 | tr -d ' \\n'",
        "printf %s \"$T\" | od -An -v -tx1 | tr -d ' \\n' | tr a-f A-F",
        "printf %s \"$T\" | sed 's/[\\\\\"]/\\\\&/g'",
        "printf %s \"$T\" | sed 's/\"/%22/g; s/</%3C/g; s/>/%3e/g; s/&/%26/g; s/\\//%2F/g'",
        "printf %s \"$T\" | sed 's/&/\\&amp;/g; s/</\\&lt;/g; s/>/\\&gt;/g; s/\"/\\&quot;/g'",
        "printf %s \"$T\" | sed \"s/'/'\\\\\\\\''/g\"",
    ];
    let step = |command: &&str| {
        let command = serde_json::to_string(command).expect("a text");
        format!("  - run: {{ command: [sh, -c, {command}], env: {{ T: \"${{t}}\" }} }}\n")
    };
    let steps = commands.iter().map(step).collect::<Vec<_>>().concat();
    let text =
        format!("title: T\nkind: part\nparameters:\n  t: {{ default: '{quoted}', secret: true }}\nsteps:\n{steps}");
    let file = desk.write("forms.yaml", &text);
    let result = desk.lab(&["scenario", "run", &file, "--allow-commands", "--format", "json"]).status(0);
    let journal = result.json();
    let outputs: Vec<String> =
        journal["steps"].as_array().expect("steps").iter().map(|step| step["output"].to_string()).collect();
    assert_eq!(outputs.len(), commands.len());
    for (command, output) in commands.iter().zip(outputs) {
        assert!(output.contains("***"), "{command}: {output}");
        let left: String = output.replace("***", "").chars().filter(char::is_ascii_alphanumeric).collect();
        assert!(left.len() <= 8, "{command}: {output}");
    }
}
