//! A joke per call, at most five at once, one of which does not exist: all results, or all or nothing.
//! Run: cargo run --example jokes [-- --url https://official-joke-api.appspot.com/]
//! Expect: eleven jokes and one error; then the same call that gives up at once and says what it stopped.

#[path = "support/mod.rs"]
mod support;

use std::error::Error;
use std::time::Duration;

use duocall::nonblocking::Client;
use duocall::{Api, Endpoint, Request, json_output};
use futures_lite::future::block_on;
use serde::Deserialize;
use support::{Answer, Server};

#[derive(Deserialize)]
struct Told {
    setup: String,
    punchline: String,
}

struct Joke(u32);

impl Endpoint for Joke {
    json_output!(Told);

    fn request(&self) -> Request {
        Request::get(format!("jokes/{}", self.0))
    }
}

/// Nobody has ever told number 9999.
const NUMBERS: [u32; 12] = [1, 2, 3, 9999, 4, 5, 6, 7, 8, 9, 10, 11];

fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::start(tell)?;
    let url = match url_option()? {
        Some(url) => url,
        None => server.url(),
    };
    let client = Client::new(Api::builder(url).meaning(404, "no such joke").build()?);
    block_on(async {
        println!("gather: every result, in order");
        let results = client.batch(NUMBERS.map(Joke)).concurrency(5).gather().await;
        for (number, result) in NUMBERS.iter().zip(results) {
            match result {
                Ok(joke) => println!("  {number}. {} — {}", joke.setup, joke.punchline),
                Err(error) => println!("  {number}. {error}"),
            }
        }
        println!("\nfail_fast: the first error stops the rest");
        match client.batch(NUMBERS.map(Joke)).concurrency(5).fail_fast().await {
            Ok(jokes) => println!("  {} jokes", jokes.len()),
            Err(group) => {
                println!("  {group}");
                for (index, joke) in group.take_results::<Told>() {
                    println!("  [{index}] was told by then: {}", joke.setup);
                }
            }
        }
    });
    Ok(())
}

fn url_option() -> Result<Option<String>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_env();
    let mut url = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("url") => url = Some(parser.value()?.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(url)
}

fn tell(target: &str) -> Answer {
    const JOKES: [(&str, &str); 11] = [
        ("Why did the client wear gloves?", "It had caught a cold start."),
        ("What does a thread say to its pool?", "I'm joining you later."),
        ("Why was the future so relaxed?", "Nobody had polled it yet."),
        ("How does a server decline an invitation?", "With a 429: maybe later."),
        ("Why do mutexes live alone?", "They can't share."),
        ("What did the header say to the body?", "I'll go ahead."),
        ("Why did the retry go to therapy?", "It kept backing off."),
        ("What is a socket's favourite farewell?", "FIN."),
        ("Why is the cache never invited?", "It always brings stale bread."),
        ("What did the timer say to the deadline?", "I'll be there in time."),
        ("Why did the iterator stop telling jokes?", "It had none left."),
    ];
    let number = target.strip_prefix("/jokes/").and_then(|number| number.parse::<u32>().ok());
    let joke = number.and_then(|number| JOKES.get(number.checked_sub(1)? as usize));
    let after = Duration::from_millis(20 + 15 * u64::from(number.unwrap_or(0) % 7));
    match joke {
        Some((setup, punchline)) => {
            let body = serde_json::json!({ "setup": setup, "punchline": punchline });
            Answer { status: 200, body: body.to_string(), after }
        }
        None => Answer { status: 404, body: "{}".to_owned(), after },
    }
}
