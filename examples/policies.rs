//! Shows each policy at work, on a mock and a virtual clock: no network, no waiting.
//! Run: cargo run --example policies
//! Expect: a timeline per policy (virtual seconds, what the server was asked, what it said).

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duocall::blocking::Client;
use duocall::mock::{Mock, Reply, VirtualClock};
use duocall::{
    Api, ApiBuilder, Auth, ErrorKind, Phase, Rate, Request, Retry, Timeouts, nonblocking,
};

fn main() -> Result<(), Box<dyn Error>> {
    retries()?;
    server_waits()?;
    what_is_not_safe_is_sent_once()?;
    limits_of_time()?;
    rate_and_gate()?;
    refreshed_credential()?;
    redirects()?;
    judgement()?;
    Ok(())
}

/// An API on a mock that answers with `replies` in turn, and prints what goes by.
struct Stage {
    clock: VirtualClock,
    mock: Mock,
}

impl Stage {
    fn new(title: &str, replies: Vec<Reply>) -> Stage {
        println!("\n{title}");
        let clock = VirtualClock::new();
        let (time, turn) = (clock.clone(), Arc::new(Mutex::new(0)));
        let mock = Mock::answering(move |seen| {
            let mut turn = turn.lock().expect("nobody panics here");
            let reply = replies[(*turn).min(replies.len() - 1)].clone();
            *turn += 1;
            let auth = seen.header("authorization").map(|text| format!("  [{text}]"));
            let (method, path) = (seen.method(), seen.uri().path());
            let at = time.elapsed().as_secs_f64();
            println!("  {at:7.2} s  {method} {path}{}", auth.unwrap_or_default());
            reply
        });
        Stage { clock, mock }
    }

    fn api(&self, settings: impl Fn(ApiBuilder) -> ApiBuilder) -> Result<Api, duocall::Error> {
        // A seed makes the jitter the same in every run.
        let plain = Api::builder("https://api.example.com/v1/").retry(Retry::default().seed(42));
        settings(plain).clock(&self.clock).build()
    }

    fn client(
        &self,
        settings: impl Fn(ApiBuilder) -> ApiBuilder,
    ) -> Result<Client, duocall::Error> {
        Ok(Client::with_transport(self.api(settings)?, self.mock.clone()))
    }

    fn send(&self, client: &Client, request: Request) {
        let result = client.send(request);
        let at = self.clock.elapsed().as_secs_f64();
        match result {
            Ok(response) => println!("  {at:7.2} s  => {}", response.status()),
            Err(error) => println!("  {at:7.2} s  => {error}"),
        }
    }
}

fn retries() -> Result<(), duocall::Error> {
    let replies =
        vec![Reply::status(503), Reply::fail(ErrorKind::Connect), Reply::text("well again")];
    let stage = Stage::new("Retries: full jitter, for what is safe to repeat", replies);
    stage.send(&stage.client(|api| api)?, Request::get("flows.json"));
    Ok(())
}

fn server_waits() -> Result<(), duocall::Error> {
    let busy = Reply::status(429).header("retry-after", "30");
    let stage = Stage::new("Retry-After: the server's word counts", vec![busy, Reply::text("")]);
    stage.send(&stage.client(|api| api)?, Request::get("flows.json"));

    let busy = Reply::status(429).header("retry-after", "3600");
    let stage = Stage::new("Retry-After beyond the limit of the call: fails at once", vec![busy]);
    stage.send(&stage.client(|api| api)?, Request::get("flows.json"));
    Ok(())
}

fn what_is_not_safe_is_sent_once() -> Result<(), duocall::Error> {
    let replies = vec![Reply::status(503), Reply::status(201)];
    let stage = Stage::new("A POST is sent once", replies.clone());
    stage.send(&stage.client(|api| api)?, Request::post("orders"));
    let stage = Stage::new("A POST with an Idempotency-Key is repeated", replies);
    stage.send(&stage.client(|api| api)?, Request::post("orders").idempotency_key("order-17"));
    Ok(())
}

fn limits_of_time() -> Result<(), duocall::Error> {
    let stage = Stage::new("Limits of time name their phase", vec![Reply::stall(Phase::Head)]);
    let client =
        stage.client(|api| api.timeouts(Timeouts::default().total(Duration::from_secs(20))))?;
    stage.send(&client, Request::get("slow").retry(Retry::none()));
    stage.send(&client, Request::get("slow"));
    Ok(())
}

fn rate_and_gate() -> Result<(), duocall::Error> {
    let stage = Stage::new("Five a second, three at once after a pause", vec![Reply::text("")]);
    let api = stage.api(|api| api.rate(Rate::per_second(5).burst(3)))?;
    let client = nonblocking::Client::with_transport(api, stage.mock.clone());
    let calls = (1..=7).map(|n| Request::get(format!("page/{n}")));
    futures_lite::future::block_on(client.batch(calls).gather());

    let replies = vec![Reply::status(429).header("retry-after", "2"), Reply::text("")];
    let stage = Stage::new("One 429 closes the gate for every call", replies);
    let api = stage.api(|api| api.concurrency(1))?;
    let client = nonblocking::Client::with_transport(api, stage.mock.clone());
    let calls = (1..=3).map(|n| Request::get(format!("page/{n}")));
    futures_lite::future::block_on(client.batch(calls).gather());
    Ok(())
}

fn refreshed_credential() -> Result<(), duocall::Error> {
    let replies = vec![Reply::text(""), Reply::status(401), Reply::text("")];
    let stage = Stage::new("A refused credential is made anew, once", replies);
    let made = Mutex::new(0);
    let client = stage.client(|api| api.auth(Auth::none()))?;
    client.api().set_auth(Auth::refreshing(move || {
        let mut made = made.lock().expect("nobody panics here");
        *made += 1;
        Ok::<_, duocall::Error>(Auth::bearer(format!("made-{made}")))
    }));
    stage.send(&client, Request::get("flows.json"));
    stage.send(&client, Request::get("flows.json"));
    Ok(())
}

fn redirects() -> Result<(), duocall::Error> {
    let away = Reply::status(302).header("location", "https://elsewhere.example/file");
    let stage = Stage::new("A credential stays at home", vec![away, Reply::text("")]);
    let client = stage.client(|api| api.auth(Auth::token("mine")))?;
    stage.send(&client, Request::get("export"));

    let down = Reply::status(302).header("location", "http://api.example.com/v1/file");
    let stage = Stage::new("No way from https to http", vec![down]);
    stage.send(&stage.client(|api| api)?, Request::get("export"));
    Ok(())
}

fn judgement() -> Result<(), duocall::Error> {
    let stage = Stage::new("A status has a meaning", vec![Reply::status(403)]);
    let client = stage.client(|api| api.meaning(403, "this token may not see flows"))?;
    stage.send(&client, Request::get("flows.json").query("key", "never shown"));

    let stage = Stage::new("A 200 that is a failure", vec![Reply::text("Token not valid!")]);
    let client = stage.client(|api| {
        api.reject(|r| r.text_contains("Token not valid!").then(|| "the token is not valid".into()))
    })?;
    stage.send(&client, Request::get("species"));
    Ok(())
}
