use super::*;

fn refusal(line: &str) -> String {
    parse(line).expect_err(line)
}

#[test]
fn every_command_of_the_runbooks_is_offered() {
    // What a participant of a room does with buttons, or has no use for: the lab is up, and the trainer starts drills.
    let elsewhere = [
        "lab up",
        "lab down",
        "lab recover",
        "lab reset",
        "lab scenario",
        "lab drill start",
        "lab callers st",
        "lab drill finish",
        "lab watch",
        "lab open",
        "lab start\n",
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("    ")) {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            if line.starts_with("lab ") && !elsewhere.iter().any(|other| line.starts_with(other)) {
                let line = line.split(" #").next().unwrap();
                parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn nothing_names_a_file_or_another_host() {
    for line in [
        "request -d @/etc/passwd",
        "request --body=@/etc/passwd",
        "traffic --body @/etc/passwd",
        "db query -",
        "env set app DATABASE_URL=postgres://elsewhere/",
        "env set app APP_LISTEN=0.0.0.0:80",
        "env unset app DATABASE_URL",
        "env set gateway GATEWAY_UPSTREAM=127.0.0.1:9000",
        "env set gateway GATEWAY_UPSTREAM=localhost:9000",
        "env set gateway APP_DB_POOL=8 GATEWAY_UPSTREAM=example.com:80",
    ] {
        refusal(line);
    }
    for line in ["env set gateway GATEWAY_UPSTREAM=app:8000", "env unset gateway GATEWAY_UPSTREAM", "request -d x@y"] {
        parse(line).expect(line);
    }
}

#[test]
fn traffic_is_limited() {
    for line in [
        "traffic --rate 51",
        "traffic --rate 20 --duration 61s",
        "traffic --rate 50 -n 1001",
        "traffic --rate 1 -n 61",
        "traffic -c 5",
        "traffic -c 5 -n 101",
        "traffic -c 5 --duration 1s",
        "traffic --rate 10 -c 65",
        "traffic --timeout 60s",
        "traffic --connect-timeout 60s",
        "traffic --stage 1s:50",
        "traffic --warmup 1h",
        "traffic --as-callers --rate 100",
    ] {
        refusal(line);
    }
    for line in [
        "traffic",
        "traffic --rate 50/s --duration 20s",
        "traffic -n 1000 --rate 50 -c 8",
        "traffic -c 5 -n 100",
        "traffic --as-callers",
        "traffic --key apikey-v1 --key apikey-v2=20% --poisson --seed 3",
    ] {
        parse(line).expect(line);
    }
}

#[test]
fn secrets_are_masked_in_what_is_shown() {
    let line = parse("lab env set app APP_CLIENT_SECRET=sesame 'APP_API_KEY_SCOPES=users:read reports:read'").unwrap();
    assert_eq!(line.shown, "lab env set app 'APP_CLIENT_SECRET=***' 'APP_API_KEY_SCOPES=users:read reports:read'");
    assert_eq!(line.arguments[3], "APP_CLIENT_SECRET=sesame");
    assert_eq!(parse("help logs").unwrap().shown, "lab help logs");
    assert_eq!(parse(" ").unwrap().shown, "lab");
}

#[tokio::test]
async fn output_is_read_up_to_a_limit() {
    let mut text = Vec::new();
    assert!(read(&mut &vec![b'x'; OUTPUT_LIMIT][..], &mut text).await.unwrap());
    assert_eq!(text.len(), OUTPUT_LIMIT);
    let mut text = Vec::new();
    assert!(!read(&mut &vec![b'x'; OUTPUT_LIMIT + 1][..], &mut text).await.unwrap());
    assert_eq!(text.len(), OUTPUT_LIMIT);
}

#[test]
fn the_address_of_the_gateway_is_left_out_before_paths() {
    for (text, shown) in [
        ("GET http://127.0.0.1:42919/api/users\n", "GET /api/users\n"),
        ("a http://127.0.0.1:1/x b http://127.0.0.1:22/y", "a /x b /y"),
        ("http://127.0.0.1:1 http://127.0.0.1:x/", "http://127.0.0.1:1 http://127.0.0.1:x/"),
        ("http://app:8000/", "http://app:8000/"),
    ] {
        assert_eq!(without_gateway(text), shown);
    }
}

#[test]
fn hints_name_only_what_the_console_offers() {
    let text = "error: no drill\n  next: lab drill start starts one, lab drill show shows the last one\n\
                next: lab drill ack when something is wrong · lab status · lab drill watch\nnext: change the text\nlast";
    let shown =
        "error: no drill\nnext: lab drill ack when something is wrong · lab status\nnext: change the text\nlast";
    assert_eq!(offered_hints(text), shown);
}
