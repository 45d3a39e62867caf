//! The system itself fails: strace answers the n-th call of a kind in its stead.
//!
//! The client runs in a process of its own, so that only its calls are met.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use super::client::{self, TRANSPORTS, Transport};
use super::scene::{Lines, SCENES, Scene, Stage, Way, judge};
use super::tally::{self, Tally};

/// A system call, and what becomes of it.
type Fault = (&'static str, &'static str);

/// What these break is not broken in truth, so that only a limit of time ends the wait for what they
/// lost: the answer to a request that was never written, or not wholly, for a peek saw an end that is none; an
/// event nobody registered for.
fn is_half_true((call, fault): Fault) -> bool {
    fault.contains("LATE")
        || call == "epoll_ctl"
        || call == "recvfrom" && fault == "retval=0"
        || call.starts_with("sendto") && (fault.ends_with("RESET") || fault.ends_with("PIPE"))
}

/// Calls, and what becomes of the n-th.
const FAULTS: &[(&str, &[&str])] = &[
    ("socket", &["error=EMFILE", "error=ENOBUFS"]),
    ("connect", &["error=ECONNREFUSED", "error=ENETUNREACH", "error=ETIMEDOUT", "error=EINTR"]),
    ("setsockopt", &["error=ENOMEM"]),
    (
        "sendto,writev",
        &["error=ECONNRESET", "error=EPIPE", "error=ENOBUFS", "error=EINTR", "error=EAGAIN"],
    ),
    // EAGAIN in blocking: the timer of the socket, which is early.
    (
        "recvfrom",
        &[
            "error=ECONNRESET",
            "error=ETIMEDOUT",
            "error=ENOMEM",
            "error=EINTR",
            "error=EAGAIN",
            "retval=0",
            "delay_exit=LATE",
        ],
    ),
    ("shutdown", &["error=ENOTCONN"]),
    // Timers: a wait that ends early, for nothing, or late.
    ("poll", &["error=EINTR"]),
    ("epoll_wait,epoll_pwait,epoll_pwait2", &["error=EINTR", "retval=0", "delay_exit=LATE"]),
    ("timerfd_settime", &["delay_exit=LATE"]),
    ("epoll_ctl", &["error=ENOMEM"]),
];

const JOB: &str = "TORTURE_JOB";

/// More than the client's limits where the fault is to be late, in microseconds.
const LATE: &str = "300000";
const SHORT: Duration = Duration::from_millis(200);
/// Whoever waits for this has lost a wake-up.
const LONG: Duration = Duration::from_secs(60);

/// Runs as the client if this process was started for it.
pub fn client() -> bool {
    let Ok(job) = env::var(JOB) else { return false };
    let parts: Vec<&str> = job.splitn(8, '|').collect();
    let [scene, after, transport, patience, base, near, proxied, roots] = parts[..] else {
        panic!("a job has eight parts")
    };
    let scene = SCENES.iter().find(|known| known.name == scene).expect("a scene");
    let transport = TRANSPORTS[transport.parse::<usize>().unwrap()];
    let roots: Option<&'static str> = (!roots.is_empty()).then(|| &*roots.to_owned().leak());
    let near = near.parse().unwrap();
    let way = Way { base: base.to_owned(), near, proxied: proxied == "true", roots };
    let patience = Duration::from_millis(patience.parse().unwrap());
    let api = client::api(&way, near, patience);
    client::run(scene, after == "true", transport, api, |line| println!("{line}"));
    true
}

/// The n-th call fails, for each n there is; `None` where that is not permitted.
pub fn torture() -> Option<Tally> {
    let mut trial = Command::new("strace");
    trial.args(["-f", "--seccomp-bpf", "-e", "trace=connect", "-o", "/dev/null", "true"]);
    if !trial.output().is_ok_and(|output| output.status.success()) {
        return None;
    }
    let scratch = env::temp_dir().join(format!("torture-{}", std::process::id()));
    fs::create_dir(&scratch).expect("a place for logs");
    let mut jobs = Vec::new();
    for scene in SCENES {
        for transport in TRANSPORTS {
            jobs.extend(FAULTS.iter().map(|(call, faults)| (scene, transport, *call, *faults)));
        }
    }
    let tally = tally::over(&jobs, |at, (scene, transport, call, faults)| {
        let run =
            |fault, n| once(scene, *transport, (call, fault), n, &scratch.join(at.to_string()));
        let mut tally = Tally::default();
        // Those after the scene are the same everywhere, and a scene of their own.
        let calls = run(faults[0], None).calls;
        for fault in *faults {
            for n in first(call)..=calls {
                let Run { faults, wrong, .. } = run(fault, Some(n));
                tally.count(faults, wrong, || {
                    format!("{}, {transport:?}, {call}:{fault}:when={n}", scene.name)
                });
            }
        }
        tally
    });
    fs::remove_dir_all(&scratch).expect("the logs");
    Some(tally)
}

/// Without its reactor async-io gives up, with a panic.
fn first(call: &str) -> usize {
    if call == "epoll_ctl" { 3 } else { 1 }
}

struct Run {
    faults: usize,
    wrong: Vec<String>,
    /// System calls of this kind, in the thread that made most.
    calls: usize,
}

/// The n-th call fails; or none, and the scene is all.
fn once(scene: &Scene, transport: Transport, fault: Fault, n: Option<usize>, log: &Path) -> Run {
    let stage = Stage::new(scene.door);
    let way = stage.way();
    let patience = if is_half_true(fault) { SHORT } else { LONG };
    let transport = TRANSPORTS.iter().position(|known| *known == transport).unwrap();
    let job = [
        scene.name,
        &n.is_some().to_string(),
        &transport.to_string(),
        &patience.as_millis().to_string(),
        &way.base,
        &way.near.to_string(),
        &way.proxied.to_string(),
        way.roots.unwrap_or_default(),
    ];
    let said = log.with_extension("said");
    let (call, what) = (fault.0, fault.1.replace("LATE", LATE));
    let mut client = Command::new("strace");
    client.args(["-f", "--seccomp-bpf", "-e", &format!("trace={call}")]);
    if let Some(n) = n {
        client.args(["-e", &format!("inject={call}:{what}:when={n}")]);
    }
    client.arg("-o").arg(log).arg(env::current_exe().expect("this program"));
    client.env(JOB, job.join("|")).stdout(File::create(&said).expect("a file"));
    let Some(status) = tally::ended(client.stderr(Stdio::null())) else {
        return Run { faults: 1, wrong: vec![tally::HANG.to_owned()], calls: 0 };
    };
    let log = fs::read_to_string(log).unwrap_or_default();
    let faults = log.matches("(INJECTED)").count() + log.matches("(DELAYED)").count();
    let said = fs::read_to_string(&said).unwrap_or_default();
    let lines: Lines = said.lines().map(str::to_owned).collect();
    let mut wrong = match n {
        Some(_) => judge(scene, &lines, &stage.server, faults, is_half_true(fault)),
        None => Vec::new(),
    };
    if !status.success() {
        wrong.push(format!("the client ended with {status}"));
    }
    let mut threads = HashMap::new();
    for thread in log.lines().filter_map(|line| line.split_once(' ')) {
        *threads.entry(thread.0).or_default() += 1;
    }
    Run { faults, wrong, calls: threads.into_values().max().unwrap_or_default() }
}
