//! The table that holds the verdict of `handshake.py` and this one to the same rules.

use std::path::Path;

use serde_json::Value;
use wsroute_relay::answer::{MAX_HEAD, Opening, opening};

const SWITCHING: [&str; 3] =
    ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];

fn table() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sidecar/answer_cases.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

fn head(lines: &[&str]) -> Vec<u8> {
    let text = format!("{}\r\n\r\n", lines.join("\r\n"));
    text.chars().map(|char| u8::try_from(char).unwrap()).collect()
}

#[test]
fn what_is_plain_opens_and_nothing_else() {
    let table = table();
    let accept = table["accept"].as_str().unwrap().as_bytes();
    let cases = table["cases"].as_array().unwrap();
    assert!(cases.len() > 50);
    for case in cases {
        println!("{}", case["name"]); // shown where it fails
        let answer = head(&strings(&case["answer"]));
        let opens =
            (case.get("passes").is_some() && case.get("judged").is_none()).then(|| Opening {
                head: head(&[&SWITCHING[..], &strings(&case["passes"])].concat()),
                subprotocol: case["subprotocol"].as_str().unwrap_or_default().to_owned(),
                size: answer.len(),
            });
        assert_eq!(opening(&answer, accept), opens);
        assert_eq!(opening(&[&answer[..], b"\x81\x00\r\n\r\n"].concat(), accept), opens);
        assert_eq!(opening(&answer[..answer.len() - 1], accept), None);
    }
}

#[test]
fn a_head_is_not_longer_than_the_interpreter_takes_it() {
    let plain = [&SWITCHING[..], &["Sec-WebSocket-Accept: a"]].concat();
    let rest = MAX_HEAD - (head(&plain).len() - 2) - "X: ".len();
    for (more, opens) in [(0, true), (1, false)] {
        let field = format!("X: {}", "x".repeat(rest + more));
        let long = head(&[&plain[..], &[&field]].concat());
        assert_eq!(opening(&long, b"a").is_some(), opens);
    }
}
