//! A file fetched so that an interruption costs little: it goes on where it stopped (RFC 9110 section 14).
//! Run: cargo run --example download [-- --way async] [-- --url URL --out FILE]
//! Expect: two interruptions by the embedded server, a file changed in between, its length and SHA-256.

#[path = "support/ranges.rs"]
mod ranges;

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use duocall::{Api, ErrorKind, Request, Response, Timeouts, blocking, nonblocking};
use indicatif::{ProgressBar, ProgressStyle};
use lexopt::prelude::{Long, ValueExt};
use ring::digest::{Context, SHA256};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Interruptions without a byte in between that are put up with.
const IN_VAIN: u32 = 5;

fn main() -> Result<()> {
    let (mut way, mut url, mut out) = ("blocking".to_owned(), None, None);
    let mut options = lexopt::Parser::from_env();
    while let Some(option) = options.next()? {
        match option {
            Long("way") => way = options.value()?.string()?,
            Long("url") => url = Some(options.value()?.string()?),
            Long("out") => out = Some(PathBuf::from(options.value()?)),
            _ => return Err(option.unexpected().into()),
        }
    }
    let out = out.unwrap_or_else(|| std::env::temp_dir().join("duocall-download.bin"));
    let embedded = ranges::Server::start()?;
    let url = url.unwrap_or_else(|| embedded.url());
    let origin: Vec<&str> = url.splitn(4, '/').take(3).collect();
    // A large file takes its time; the limit on pauses stays.
    let patient = Timeouts::default().total(Duration::MAX);
    let api = Api::builder(origin.join("/")).timeouts(patient).max_body(usize::MAX).build()?;
    let mut part = Part::open(&out)?;
    match &*way {
        "blocking" => fetch(&blocking::Client::new(api), &url, &mut part)?,
        "async" => smol::block_on(fetch_async(&nonblocking::Client::new(api), &url, &mut part))?,
        _ => return Err("--way is blocking or async".into()),
    }
    part.finish(&out)?;
    println!("{}: {} bytes, SHA-256 {}", out.display(), fs::metadata(&out)?.len(), hash(&out)?);
    Ok(())
}

fn fetch(client: &blocking::Client, url: &str, part: &mut Part) -> Result<()> {
    while !part.done {
        let mut body = client.open(part.request(url))?;
        if part.begin(body.response())? {
            while part.take(body.piece())? {}
        }
    }
    Ok(())
}

async fn fetch_async(client: &nonblocking::Client, url: &str, part: &mut Part) -> Result<()> {
    while !part.done {
        let mut body = client.open(part.request(url)).await?;
        if part.begin(body.response())? {
            while part.take(body.piece().await)? {}
        }
    }
    Ok(())
}

/// What there is of the file, in `FILE.part`; which version it is of, in `FILE.tag`.
struct Part {
    path: PathBuf,
    tag_path: PathBuf,
    file: File,
    have: u64,
    /// A strong entity tag: the same means the same bytes.
    tag: Option<String>,
    /// The length of the whole, where the server tells.
    total: Option<u64>,
    vain: u32,
    done: bool,
    bar: ProgressBar,
}

impl Part {
    /// Finds what an earlier run has left.
    fn open(out: &Path) -> Result<Part> {
        let [path, tag_path] = [".part", ".tag"].map(|end| {
            let mut name = out.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        });
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let style = ProgressStyle::with_template("[{bar:40}] {bytes}/{total_bytes} {eta}")?;
        Ok(Part {
            have: file.metadata()?.len(),
            tag: fs::read_to_string(&tag_path).ok(),
            path,
            tag_path,
            file,
            total: None,
            vain: 0,
            done: false,
            bar: ProgressBar::new(0).with_style(style.progress_chars("=> ")),
        })
    }

    /// Asks for what is missing, if the file is still the same one, and else for all of it.
    fn request(&self, url: &str) -> Request {
        // A range is one of the bytes sent, so no coding may come between.
        let request = Request::absolute(url).header("accept-encoding", "identity").accept(416);
        match &self.tag {
            Some(tag) if self.have > 0 => request
                .header("range", format!("bytes={}-", self.have))
                .header("if-range", tag.as_str()),
            _ => request,
        }
    }

    /// Whether the body is what is missing, or what to begin anew with.
    fn begin(&mut self, response: &Response) -> Result<bool> {
        let range = response.header("content-range").and_then(Range::read);
        let expected = range.as_ref().is_some_and(|range| range.first == Some(self.have));
        match response.status().as_u16() {
            206 if expected => {
                println!("goes on at byte {}", self.have);
                self.total = range.and_then(|range| range.total);
            }
            // Nothing is missing: it was interrupted before it got its name.
            416 if range.as_ref().is_some_and(|range| range.total == Some(self.have)) => {
                self.done = true;
                return Ok(false);
            }
            200 => {
                if self.have > 0 {
                    println!("another version: from the start");
                }
                self.restart(response.header("etag"))?;
                self.total = response.header("content-length").and_then(|text| text.parse().ok());
            }
            status => {
                self.failed_in_vain(&format!("status {status} with another range"))?;
                self.restart(None)?;
                return Ok(false);
            }
        }
        self.bar.set_length(self.total.unwrap_or_default());
        Ok(true)
    }

    /// Takes in what a read gave. False when the body is over, whole or not.
    fn take(&mut self, piece: std::result::Result<Option<Bytes>, duocall::Error>) -> Result<bool> {
        match piece {
            // To the page cache, in microseconds. For slow disks there is `smol::fs`.
            Ok(Some(piece)) => {
                self.file.write_all(&piece)?;
                self.have += piece.len() as u64;
                self.vain = 0;
                self.bar.set_position(self.have);
                Ok(true)
            }
            Ok(None) => {
                self.done = self.total.is_none_or(|total| total == self.have);
                if !self.done {
                    self.failed_in_vain("an end too early")?;
                }
                Ok(false)
            }
            Err(error) if matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Timeout(_)) => {
                println!("interrupted at byte {}", self.have);
                self.failed_in_vain(&error.to_string())?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn failed_in_vain(&mut self, why: &str) -> Result<()> {
        self.vain += 1;
        if self.vain > IN_VAIN { Err(format!("given up: {why}").into()) } else { Ok(()) }
    }

    fn restart(&mut self, tag: Option<&str>) -> Result<()> {
        self.file.set_len(0)?;
        self.have = 0;
        self.tag = tag.filter(|tag| !tag.starts_with("W/")).map(str::to_owned);
        match &self.tag {
            Some(tag) => fs::write(&self.tag_path, tag)?,
            None => drop(fs::remove_file(&self.tag_path)),
        }
        Ok(())
    }

    /// Only now is there a file of that name, and it is whole.
    fn finish(self, out: &Path) -> Result<()> {
        self.bar.finish();
        self.file.sync_all()?;
        fs::rename(&self.path, out)?;
        drop(fs::remove_file(&self.tag_path));
        Ok(())
    }
}

/// `bytes 500-999/1000`, or `bytes */1000` where there is no such range.
struct Range {
    first: Option<u64>,
    total: Option<u64>,
}

impl Range {
    fn read(text: &str) -> Option<Range> {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let first = range.split_once('-').and_then(|(first, _)| first.parse().ok());
        Some(Range { first, total: total.parse().ok() })
    }
}

fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut context) = (File::open(path)?, Context::new(&SHA256));
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => context.update(&buffer[..read]),
        }
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
