//! The table that holds the interpreter's rules for a request to upgrade and these to each other.

use std::path::Path;

use serde_json::Value;
use wsroute_relay::request::Request;

fn table() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sidecar/request_cases.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn head(lines: &Value) -> Vec<u8> {
    let lines = lines.as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    let text = lines.map(|line| format!("{line}\r\n")).collect::<String>() + "\r\n";
    text.chars().map(|char| u8::try_from(char).unwrap()).collect()
}

#[test]
fn what_is_plain_is_taken_with_what_follows_and_nothing_else() {
    let cases = table()["cases"].as_array().unwrap().clone();
    assert!(cases.len() > 100);
    for case in cases {
        println!("{}", case["name"]); // shown where it fails
        let sent = [head(&case["request"]), b"\x81\x00\r\n\r\n".to_vec()].concat();
        match Request::plain(sent.clone()) {
            Ok(request) => {
                assert!(case["plain"].as_bool().unwrap_or_default());
                assert_eq!(
                    (request.received(), request.early()),
                    (&sent[..], &b"\x81\x00\r\n\r\n"[..])
                );
            }
            Err(left) => {
                assert!(case["plain"].is_null());
                assert_eq!(left, sent);
            }
        }
    }
}

#[test]
fn accept_is_the_example_of_rfc_6455() {
    let sent = head(&table()["cases"][0]["request"]);
    assert_eq!(Request::plain(sent).unwrap().accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
