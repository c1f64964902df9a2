use std::time::Duration;

use super::{check_key, connections, duration, path, rate, requests, status, step_duration};

#[test]
fn durations_need_a_unit() {
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
    assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
    assert!(duration("5").unwrap_err().to_string().contains("did you mean `5s`"));
    for wrong in ["", "s", "5 s", "-1s", "1e3s", "infs", "1h", "99999999999999999999999m", "١s"] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
    assert!(step_duration("60m").is_ok() && step_duration("60.1m").is_err() && step_duration("0s").is_err());
}

#[test]
fn numbers_have_bounds() {
    assert!(rate("0.5").is_ok() && rate("1000000").is_ok());
    assert!(["0", "-1", "1000001", "nan", "inf", "x"].iter().all(|text| rate(text).is_err()));
    assert!(requests("1").is_ok() && requests("10000000").is_ok());
    assert!(["0", "10000001", "1.0", "+1", "1e3"].iter().all(|text| requests(text).is_err()));
    assert!(connections("10000").is_ok() && connections("10001").is_err());
    assert!(status("100").is_ok() && status("599").is_ok() && status("099").is_err() && status("600").is_err());
}

#[test]
fn a_key_is_visible_ascii() {
    assert_eq!(check_key("apikey-v2"), Ok(()));
    assert!(check_key("a\nb").unwrap_err().to_string().ends_with("character 2 is a line break (U+000A)"));
    assert!(check_key("ké").unwrap_err().to_string().ends_with("character 2 is `é` (U+00E9)"));
    assert!(check_key("").is_err() && check_key(&"k".repeat(257)).is_err() && check_key(&"k".repeat(256)).is_ok());
}

#[test]
fn a_path_is_absolute() {
    assert!(path("/api/users?x=1").is_ok());
    assert!(["", "api", "/a b", "/é", "/a#b"].iter().all(|text| path(text).is_err()));
}
