//! One client in a process of its own: what it is to do, and what it says of itself.

use std::fmt;
use std::fs;
use std::str::FromStr;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::drive::Turn;
use crate::{Count, Result, ways};

/// What a client process has to do. It travels as one argument.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) way: String,
    pub(crate) base: String,
    /// The certificate to trust.
    pub(crate) ca: String,
    pub(crate) path: String,
    pub(crate) in_flight: usize,
    /// Calls to measure; 0 for as many as fit into `millis`.
    pub(crate) calls: usize,
    pub(crate) millis: u64,
    pub(crate) warm: usize,
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Job { way, base, ca, path, in_flight, calls, millis, warm } = self;
        write!(f, "{way}|{base}|{ca}|{path}|{in_flight}|{calls}|{millis}|{warm}")
    }
}

impl FromStr for Job {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(text: &str) -> Result<Job> {
        let mut words = text.split('|');
        let mut word = || words.next().ok_or("the job is too short");
        Ok(Job {
            way: word()?.to_owned(),
            base: word()?.to_owned(),
            ca: word()?.to_owned(),
            path: word()?.to_owned(),
            in_flight: word()?.parse()?,
            calls: word()?.parse()?,
            millis: word()?.parse()?,
            warm: word()?.parse()?,
        })
    }
}

impl Job {
    pub(crate) fn url(&self) -> String {
        format!("{}{}", self.base, self.path)
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.base.starts_with("https:")
    }

    pub(crate) fn ca_pem(&self) -> Result<Vec<u8>> {
        Ok(fs::read(&self.ca)?)
    }

    pub(crate) fn warm_up(&self) -> Turn {
        Turn::calls(self.warm)
    }

    pub(crate) fn measured(&self) -> Turn {
        if self.calls > 0 {
            Turn::calls(self.calls)
        } else {
            Turn::time(Duration::from_millis(self.millis))
        }
    }
}

/// What a client process says at its end, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    pub(crate) calls: f64,
    pub(crate) wall_us: f64,
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// The peak, and what there was before the client was made.
    pub(crate) peak_kib: f64,
    pub(crate) base_kib: f64,
    pub(crate) allocations: f64,
}

impl Said {
    pub(crate) fn read(line: &str) -> Option<Said> {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<f64>().ok());
        let mut next = || numbers.next().flatten();
        Some(Said {
            calls: next()?,
            wall_us: next()?,
            cpu_us: next()?,
            p50_us: next()?,
            p99_us: next()?,
            peak_kib: next()?,
            base_kib: next()?,
            allocations: next()?,
        })
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.calls / self.wall_us * 1e6
    }

    pub(crate) fn cpu(&self) -> f64 {
        self.cpu_us / self.calls
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Said { calls, wall_us, cpu_us, p50_us, p99_us, peak_kib, base_kib, allocations } = self;
        write!(
            f,
            "{calls} {wall_us} {cpu_us} {p50_us} {p99_us} {peak_kib} {base_kib} {allocations}"
        )
    }
}

/// A look at what this process has used so far.
pub(crate) struct Used {
    cpu_us: f64,
    allocations: u64,
}

impl Used {
    pub(crate) fn now(count: Option<Count>) -> Result<Used> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Ok(Used { cpu_us: cpu as f64, allocations: count.map_or(0, |count| count()) })
    }
}

/// A figure in KiB of this process.
fn memory(name: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    Ok(number.unwrap_or(f64::NAN))
}

/// Warms up, measures, and says on stdout what came of it.
pub(crate) fn run(job: &Job, count: Option<Count>) -> Result<()> {
    // One provider of cryptography for everybody who asks rustls for its default.
    drop(rustls::crypto::ring::default_provider().install_default());
    let base_kib = memory("VmRSS")?;
    let meter = Meter { count, before: None };
    let (meter, mut latencies, wall) = ways::run(job, meter)?;
    let before = meter.before.ok_or("the way did not start the meter")?;
    let after = Used::now(count)?;
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies
            .get(index.min(latencies.len().wrapping_sub(1)))
            .map_or(f64::NAN, |ns| *ns as f64 / 1e3)
    };
    let said = Said {
        calls: latencies.len() as f64,
        wall_us: wall.as_secs_f64() * 1e6,
        cpu_us: after.cpu_us - before.cpu_us,
        p50_us: at(0.5),
        p99_us: at(0.99),
        peak_kib: memory("VmHWM")?,
        base_kib,
        allocations: (after.allocations - before.allocations) as f64,
    };
    println!("{said}");
    Ok(())
}

/// Started by a way when it is warm.
pub(crate) struct Meter {
    count: Option<Count>,
    before: Option<Used>,
}

impl Meter {
    pub(crate) fn start(&mut self) -> Result<()> {
        self.before = Some(Used::now(self.count)?);
        Ok(())
    }
}
