//! The comparison: which clients, in which rounds, and who starts them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::child::{Job, Said};
use crate::options::Settings;
use crate::table::{Figures, Row};
use crate::{Result, chart, python, report, server, targets, trace};

/// The server's process. It ends when its standard input does.
struct Server {
    process: Child,
    plain: String,
    tls: String,
    ca: String,
}

impl Server {
    fn start(settings: &Settings) -> Result<Server> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(process.stdout.take().ok_or("no output")?);
        let mut ports = String::new();
        output.read_line(&mut ports)?;
        let mut pem = String::new();
        while !pem.contains("END CERTIFICATE") && output.read_line(&mut pem)? > 0 {}
        let (plain, tls) = ports.trim().split_once(' ').ok_or("the server did not start")?;
        let ca = settings.out.join("ca.pem");
        fs::write(&ca, pem)?;
        Ok(Server {
            process,
            plain: format!("http://127.0.0.1:{plain}/"),
            tls: format!("https://127.0.0.1:{tls}/"),
            ca: ca.to_string_lossy().into_owned(),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}

const ASYNC: [&str; 12] = [
    "duocall async, smol",
    "duocall async, tokio 1",
    "duocall async, tokio 2",
    "duocall plain, tokio 1",
    "duocall plain, tokio 2",
    "duocall over surf",
    "reqwest, tokio 1",
    "reqwest, tokio 2",
    "hyper-util, tokio 1",
    "hyper by hand, smol",
    "hyper by hand, tokio 1",
    "isahc, smol",
];

/// Those that are compared under TLS, too.
const TLS: [&str; 7] = [
    "duocall async, smol",
    "duocall async, tokio 1",
    "duocall async, tokio 2",
    "reqwest, tokio 1",
    "reqwest, tokio 2",
    "hyper by hand, smol",
    "hyper by hand, tokio 1",
];

const BLOCKING: [&str; 3] = ["duocall blocking", "ureq", "reqwest blocking"];
const THREADS: [&str; 4] = ["duocall pool", "duocall blocking", "ureq", "reqwest blocking"];

/// What is measured: groups of rows that take turns.
fn groups(settings: &Settings) -> Vec<Vec<Row>> {
    let quick = settings.quick;
    let row = |way: &str, tls, in_flight, body| Row::new(way, tls, in_flight, body);
    let mut groups = Vec::new();
    for in_flight in [1, 8, 32, 256, 1000] {
        let ways = ASYNC.iter().filter(|way| !quick || worth(way, in_flight));
        let mut group: Vec<Row> = ways.map(|way| row(way, false, in_flight, "small")).collect();
        match in_flight {
            1 => group.extend(BLOCKING.map(|way| row(way, false, 1, "small"))),
            8 if !quick => group.extend(THREADS.map(|way| row(way, false, 8, "small"))),
            32 => group.extend(THREADS.map(|way| row(way, false, 32, "small"))),
            _ => {}
        }
        groups.push(group);
    }
    for in_flight in [1, 8, 32, 256] {
        let all = !quick || in_flight == 32;
        let ways =
            TLS.iter().filter(|way| all || way.ends_with("smol") || way.starts_with("reqwest"));
        let mut group: Vec<Row> = ways.map(|way| row(way, true, in_flight, "small")).collect();
        if in_flight == 1 {
            group.extend(BLOCKING.map(|way| row(way, true, 1, "small")));
        }
        groups.push(group);
    }
    let bodies: &[&str] = if quick { &["large"] } else { &["medium", "large"] };
    for body in bodies {
        let ways = ["duocall async, smol", "reqwest, tokio 1", "hyper by hand, tokio 1"];
        let mut group: Vec<Row> = ways.map(|way| row(way, false, 8, body)).into();
        group.extend(BLOCKING.map(|way| row(way, false, 1, body)));
        groups.push(group);
    }
    for group in &mut groups {
        group.retain(|row| row.way.contains(&settings.only) && known(&row.way));
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// Whether a quick run has time for it: where there is a target, and of the rest what tells most.
fn worth(way: &str, in_flight: usize) -> bool {
    match in_flight {
        1 => true,
        1000 => {
            way.starts_with("reqwest")
                || way == "duocall async, smol"
                || way.starts_with("hyper by")
        }
        _ => {
            !way.starts_with("duocall plain")
                && (in_flight == 32 || !way.contains("surf") && !way.starts_with("isahc"))
        }
    }
}

fn known(way: &str) -> bool {
    cfg!(feature = "isahc") || !way.starts_with("isahc")
}

pub(crate) fn compare(settings: &Settings) -> Result<()> {
    let start = Instant::now();
    fs::create_dir_all(&settings.out)?;
    let server = Server::start(settings)?;
    let mut rows = Vec::new();
    for mut group in groups(settings) {
        for round in 0..settings.rounds {
            // Every other round goes backwards, so that nobody always follows the same neighbour.
            let mut order: Vec<&mut Row> = group.iter_mut().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for row in order {
                let said = child(&job(row, &server, settings), None);
                match said {
                    Ok(said) => row.rounds.push(Some(said)),
                    Err(error) => {
                        eprintln!("{}: {error}", row.name());
                        row.rounds.push(None);
                    }
                }
            }
        }
        rows.extend(group);
        eprint!("\r{} rows in {:.0} s ", rows.len(), start.elapsed().as_secs_f64());
    }
    eprintln!();
    let mut figures = Figures { rows, ..Figures::default() };
    python::measure(settings, &server.plain, &mut figures);
    trace::system_calls(&mut figures, |row, calls| counted(row, &server, calls));
    allocations(&mut figures, &server);
    figures.burst = burst(&server);
    report::write(settings, &figures)?;
    chart::draw(&settings.out.join("peers.svg"), &figures)?;
    println!("{} s in all", start.elapsed().as_secs());
    targets::print(&figures);
    Ok(())
}

fn job(row: &Row, server: &Server, settings: &Settings) -> Job {
    let base = if row.tls { &server.tls } else { &server.plain };
    let large = row.body == "large";
    Job {
        way: row.way.clone(),
        base: base.clone(),
        ca: server.ca.clone(),
        path: row.body.clone(),
        in_flight: row.in_flight,
        calls: 0,
        millis: if settings.quick { 160 } else { 1000 },
        warm: if large { 2 * row.in_flight } else { (2 * row.in_flight).max(200) },
    }
}

/// The same row with a number of calls, for counting.
fn counted(row: &Row, server: &Server, calls: usize) -> Job {
    Job {
        way: row.way.clone(),
        base: server.plain.clone(),
        ca: server.ca.clone(),
        path: row.body.clone(),
        in_flight: row.in_flight,
        calls,
        millis: 0,
        warm: (2 * row.in_flight).max(200),
    }
}

/// Runs a client in a process of its own.
fn child(job: &Job, program: Option<&PathBuf>) -> Result<Said> {
    let own = std::env::current_exe()?;
    let mut process = Command::new(program.unwrap_or(&own))
        .args(["--child", &job.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // A client that hangs must not hang the comparison.
    let limit = Instant::now() + Duration::from_secs(60);
    while process.try_wait()?.is_none() {
        if Instant::now() > limit {
            process.kill()?;
            process.wait()?;
            return Err("it took more than a minute".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut output = String::new();
    let mut pipe = process.stdout.take().ok_or("no output")?;
    pipe.read_to_string(&mut output)?;
    Said::read(&output).ok_or_else(|| {
        let mut words = String::new();
        if let Some(mut pipe) = process.stderr.take() {
            drop(pipe.read_to_string(&mut words));
        }
        format!("it failed: {}", words.trim()).into()
    })
}

/// Allocations per call of those with a target, by the program that counts them.
fn allocations(figures: &mut Figures, server: &Server) {
    let Some(program) = counting() else {
        figures.notes.push("allocations: the counting program could not be built".into());
        return;
    };
    let ways = [
        "duocall async, smol",
        "duocall async, tokio 1",
        "duocall over surf",
        "reqwest, tokio 1",
        "hyper-util, tokio 1",
        "hyper by hand, smol",
        "duocall blocking",
        "ureq",
    ];
    for way in ways {
        if let Some(row) = figures.rows.iter_mut().find(|row| row.is(way, false, 1, "small")) {
            let said = child(&counted(row, server, 2000), Some(&program));
            row.allocations = said.ok().map(|said| said.allocations / said.calls);
        }
    }
}

/// `peers-counting`, beside this program; Cargo builds it where it did not yet.
fn counting() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "-p", "peers", "--bin", "peers-counting"]);
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        if !cfg!(feature = "isahc") {
            command.arg("--no-default-features");
        }
        drop(command.status());
    }
    let program = own.with_file_name("peers-counting");
    program.is_file().then_some(program)
}

/// Ten thousand calls at once, each answered after 100 ms; the best of two.
fn burst(server: &Server) -> Option<std::result::Result<Said, String>> {
    let many = 10_000;
    let job = Job {
        way: "duocall async, smol".into(),
        base: server.plain.clone(),
        ca: server.ca.clone(),
        path: server::SLOW.into(),
        in_flight: many,
        calls: many,
        millis: 0,
        warm: 0,
    };
    let one = || child(&job, None).map_err(|error| error.to_string());
    match (one(), one()) {
        (Ok(a), Ok(b)) => Some(Ok(if a.wall_us < b.wall_us { a } else { b })),
        (Err(error), _) | (_, Err(error)) => Some(Err(error)),
    }
}
