//! wsroute's native relay engine: tunnels after their 101, without the interpreter.
//!
//! All policy is Python's. What it decides comes as numbers; what has become of a tunnel goes back
//! in batches. One thread serves all tunnels:
//!
//! - `sys` is the system-call layer, and has all `unsafe` code
//! - `tracker` follows frames, `frames` makes them, `limits` says what the clock asks: all pure
//! - `side` and `tunnel` are the rules of the relay, `call` those of the dial before it, `request`
//!   those of what asks for it, `answer` those of what it is answered
//! - `engine` is the thread, `context` what it has for all, `timers` its clock, `told` what it has to tell, `shared` what it has
//!   in common with Python
//! - `python` is the module that Python imports
//!
//! A panic of the thread ends the process: without it every tunnel would hang.

#![cfg_attr(not(feature = "python"), allow(dead_code))] // what only Python calls

pub mod answer;
mod call;
mod context;
mod engine;
mod frames;
mod limits;
#[cfg(feature = "python")]
mod python;
pub mod request;
mod shared;
mod side;
mod sys;
pub mod thread;
mod timers;
mod told;
pub mod tracker;
mod tunnel;
#[cfg(test)]
mod tunnel_time;
