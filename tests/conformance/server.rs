//! The real httpbin, under gunicorn, where it is installed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/httpbin.sh");
/// Where `.ci/run` puts it.
const VENV: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/httpbin");

pub struct Httpbin {
    child: Child,
    port: u16,
}

impl Httpbin {
    /// `None` where it is not installed.
    pub fn start() -> Option<Httpbin> {
        if !Path::new(VENV).join("installed.txt").exists() {
            return None;
        }
        let mut command = Command::new(SCRIPT);
        let mut child =
            command.args(["serve", VENV]).stderr(Stdio::piped()).spawn().expect("the script");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let listens = "Listening at: http://127.0.0.1:";
        let mut told = String::new();
        let port = log.by_ref().map_while(Result::ok).find_map(|line| {
            told += &line;
            told += "\n";
            line.split_once(listens)?.1.split(' ').next()?.parse().ok()
        });
        let port = port.unwrap_or_else(|| panic!("httpbin does not start:\n{told}"));
        // Read on, or it would block on a full pipe.
        thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        Some(Httpbin { child, port })
    }

    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same server, as another origin.
    pub fn other(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Its routes that none of these calls, `METHOD PATH`, reaches.
    pub fn uncalled(&self, calls: &[String]) -> Vec<String> {
        let mut command = Command::new(SCRIPT);
        command.args(["uncalled", VENV]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the script");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(calls.join("\n").as_bytes()).expect("it reads all");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "the routes of httpbin are not told");
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
    }
}

impl Drop for Httpbin {
    fn drop(&mut self) {
        // Killed, it would leave its workers behind.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
