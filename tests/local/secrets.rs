//! Secrets: a value marked `secret` that a run leaves in a lab is shown by no verb, and the output of commands does not show it in
//! another form.

use crate::desk::{Desk, Ran};
use crate::pty::Pty;

const KEY: &str = "K3y-Sup3rS3cret/+x";

#[track_caller]
fn hides(ran: &Ran) -> &Ran {
    for part in [KEY, "Sup3rS3cret", "K3y-Sup"] {
        assert!(!ran.stdout.contains(part) && !ran.stderr.contains(part), "{part}: {ran:?}");
    }
    ran
}

#[test]
fn a_secret_key_that_is_kept_in_a_lab_is_shown_by_no_verb() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let file = desk.write(
        "secret_key.yaml",
        &format!(
            "title: A key that nobody is to read\nkind: part\nparameters:\n  key: {{ default: \"{KEY}\", secret: true }}\ncallers:\n  \
             web: {{ key: \"${{key}}\" }}\nsteps:\n  - rotate_key: {{ server: \"${{key}}\" }}\n  \
             - {{ name: observe, traffic: {{ requests: 2, rate: 100 }} }}\n"
        ),
    );
    hides(&desk.lab(&["scenario", "show", &file]).status(0));
    hides(&desk.lab(&["scenario", "validate", &file]).status(0));
    hides(&desk.lab(&["scenario", "run", &file, "--dry-run"]).status(0));
    hides(&desk.lab(&["scenario", "run", &file, "--keep"]).status(0));
    hides(&desk.lab(&["status"]).status(0))
        .stdout
        .find("server *** · caller apikey-v1")
        .expect("they differ, and are told so");
    let status = desk.lab(&["status", "--json"]).status(0);
    let json = hides(&status).json();
    assert_eq!((json["keys"]["server"].as_str(), json["keys"]["callers"]["web"].as_str()), (Some("***"), Some("***")));
    assert_eq!(json["services"][1]["env"]["APP_API_KEY"], "***");
    hides(&desk.lab(&["status", "--all"]).status(0));
    hides(&desk.lab(&["status", "--all", "--json"]).status(0)).json();
    hides(&desk.lab(&["key", "show"]).status(0)).stdout.find("they differ").expect("it says so");
    assert_eq!(hides(&desk.lab(&["key", "show", "--json"]).status(0)).json()["server"], "***");
    hides(&desk.lab(&["up"]).status(0));
    hides(&desk.lab(&["logs"]).status(0));
    hides(&desk.lab(&["metrics"]).status(0));
    hides(&desk.lab(&["metrics", "--raw"]).status(0));
    hides(&desk.lab(&["runs", "list", "--json"]).status(0));
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
    // Changing the key shows neither the old one nor those of others.
    hides(&desk.lab(&["key", "align", "--caller", "web"]).status(0));
    hides(&desk.lab(&["key", "align"]).status(0));
    hides(&desk.lab(&["traffic", "--requests", "2", "--rate", "100"]).status(0));
    hides(&desk.lab(&["traffic", "--requests", "2", "--rate", "100", "--json"]).status(0)).json();
    hides(&desk.lab(&["key", "rotate", "apikey-v3"]).status(0));
    hides(&desk.lab(&["recover"]).status(0)).stdout.find("is restored").expect("it is undone");
}

#[test]
fn the_output_of_a_command_shows_a_secret_in_no_form() {
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
    let ran = desk.lab(&["scenario", "run", &file, "--allow-commands", "--format", "json"]).status(0);
    let journal = ran.json();
    let outputs: Vec<String> =
        journal["steps"].as_array().expect("steps").iter().map(|step| step["output"].to_string()).collect();
    assert_eq!(outputs.len(), commands.len());
    for (command, output) in commands.iter().zip(outputs) {
        assert!(output.contains("***"), "{command}: {output}");
        let left: String = output.replace("***", "").chars().filter(char::is_ascii_alphanumeric).collect();
        assert!(left.len() <= 8, "{command}: {output}");
    }
}
