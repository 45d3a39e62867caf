//! A fleet of workers behind one API quota: the parts that its programs share.

pub mod load;
pub mod own_redis;
pub mod server;
pub mod worker;

use std::collections::HashMap;
use std::error::Error;
use std::str::FromStr;

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// `--name value` pairs.
pub struct Options(HashMap<String, String>);

impl Options {
    pub fn parse(args: impl IntoIterator<Item = String>) -> Outcome<Options> {
        let mut options = HashMap::new();
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            let name = name.strip_prefix("--").ok_or_else(|| format!("what is {name}?"))?;
            let value = args.next().ok_or_else(|| format!("--{name} needs a value"))?;
            options.insert(name.to_owned(), value);
        }
        Ok(Options(options))
    }

    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    pub fn get<T: FromStr>(&self, name: &str, default: T) -> Outcome<T> {
        match self.0.get(name) {
            Some(text) => {
                text.parse().map_err(|_| format!("--{name} {text}: not understood").into())
            }
            None => Ok(default),
        }
    }
}
