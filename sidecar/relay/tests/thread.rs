//! A failure of the engine's thread ends the process, which this test's own program stands in for.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

#[test]
fn a_panic_of_the_engines_thread_ends_the_process_with_one_line_that_says_why() {
    let program = std::env::current_exe().unwrap();
    let outcome =
        Command::new(program).args(["--exact", "panics", "--ignored", "--nocapture"]).output();
    let outcome = outcome.unwrap();
    assert_eq!(outcome.status.code(), Some(70));
    let said = String::from_utf8(outcome.stderr).unwrap();
    assert!(said.starts_with("wsroute-sidecar: the relay engine has failed, and ends the process"));
    assert!(said.contains("on purpose (tests/thread.rs:"), "{said}");
    assert_eq!(said.lines().count(), 1);
}

#[test]
#[ignore = "ends the process"]
fn panics() {
    wsroute_relay::thread::spawn(|| panic!("on {}", "purpose")).unwrap();
    sleep(Duration::from_secs(60)); // the process does not live to see its end
}
