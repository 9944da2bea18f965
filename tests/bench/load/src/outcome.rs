//! How what can fail ends: any fault ends a run, and is told in words.

use std::error::Error;

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;
