//! A worker: takes items from a stream, calls the API through the shared gate,
//! writes the result and acknowledges, in that order.

use std::time::{Duration, Instant};

use duocall::redis::{Fallback, RedisGate};
use duocall::{Api, Endpoint, Error, Rate, Request, Response, pool};
use redis::streams::{
    StreamAutoClaimOptions, StreamAutoClaimReply, StreamId, StreamReadOptions, StreamReadReply,
};
use redis::{Commands, Connection, RedisResult};
use serde_json::Value;

use crate::{Options, Outcome};

pub const STREAM: &str = "fleet:items";
pub const GROUP: &str = "fleet";
/// A hash: item -> what the API said.
pub const RESULTS: &str = "fleet:results";
/// Set when no more items will come; the workers end when all is done.
pub const CLOSED: &str = "fleet:closed";
/// Name of the quota in Redis: everybody who spends it uses this.
pub const QUOTA: &str = "fleet:quota";

/// The API, and the gate that all workers share.
pub fn api(options: &Options, redis: &str) -> Outcome<Api> {
    let workers: f64 = options.get("workers", 4.0)?;
    let rate = Rate::per_second(options.get("rate", 200.0)?).burst(options.get("burst", 10)?);
    let fallback = match options.text("fallback", "refuse") {
        "local" => Fallback::local(1.0 / workers),
        _ => Fallback::refuse(),
    };
    let gate = RedisGate::new(redis, QUOTA)?
        .rate(rate)
        .concurrency(options.get("concurrency", 16)?)
        .lease(Duration::from_secs(options.get("lease", 3)?))
        .fallback(fallback);
    Ok(Api::builder(options.text("api", "http://127.0.0.1:8080/")).gate(gate).build()?)
}

/// Puts items into the stream.
pub fn fill(connection: &mut Connection, items: usize) -> RedisResult<()> {
    let made: RedisResult<()> = connection.xgroup_create_mkstream(STREAM, GROUP, "0");
    if let Err(error) = made {
        // It is there already.
        if error.code() != Some("BUSYGROUP") {
            return Err(error);
        }
    }
    let mut many = redis::pipe();
    for item in 0..items {
        many.xadd(STREAM, "*", &[("item", item.to_string())]).ignore();
    }
    many.query(connection)
}

#[derive(Clone)]
struct Item {
    id: String,
    name: String,
}

impl Item {
    fn of(entry: StreamId) -> Item {
        let name = entry.get("item").unwrap_or_default();
        Item { id: entry.id, name }
    }
}

impl Endpoint for Item {
    type Output = Value;

    fn request(&self) -> Request {
        // The entry's id is unique and stays the same, whoever takes the item however often: the API
        // acts once. It also makes the POST safe to retry.
        Request::post(format!("items/{}", self.name))
            .json(&serde_json::json!({ "item": self.name }))
            .idempotency_key(format!("{STREAM}-{}", self.id))
    }

    fn decode(&self, response: Response) -> Result<Value, Error> {
        response.json()
    }
}

/// Works until the stream is closed and everything in it is done.
pub fn run(options: &Options) -> Outcome<()> {
    let url = options.text("redis", "redis://127.0.0.1/").to_owned();
    let name = options.text("name", "worker").to_owned();
    // Longer than a call may take, or a slow worker's items are taken from it while it works.
    let claim_after = options.get("claim-after", 3000)?;
    let client = pool::Client::new(api(options, &url)?);
    let mut connection = redis::Client::open(url)?.get_connection()?;
    let (mut done, mut failed) = (0, 0);
    let mut claimed = Instant::now();
    loop {
        let mut items = Vec::new();
        if claimed.elapsed() >= Duration::from_millis(500) {
            items = claim(&mut connection, &name, claim_after)?;
            claimed = Instant::now();
        }
        if items.is_empty() {
            items = take(&mut connection, &name)?;
        }
        if items.is_empty() && finished(&mut connection)? {
            println!("{name}: {done} done, {failed} failed attempts");
            return Ok(());
        }
        for (index, result) in client.batch(items.clone()).stream() {
            let item = &items[index];
            match result {
                Ok(value) => {
                    finish(&mut connection, item, &value)?;
                    done += 1;
                }
                // Not acknowledged: it is claimed again later. When to give an item up is for you to say.
                Err(error) => {
                    failed += 1;
                    eprintln!("{name}: item {}: {error}", item.name);
                }
            }
        }
    }
}

const MOST: usize = 16;

/// New items; waits half a second for some.
fn take(connection: &mut Connection, name: &str) -> RedisResult<Vec<Item>> {
    let options = StreamReadOptions::default().group(GROUP, name).count(MOST).block(500);
    let reply: Option<StreamReadReply> = connection.xread_options(&[STREAM], &[">"], &options)?;
    let keys = reply.map_or(Vec::new(), |reply| reply.keys);
    Ok(keys.into_iter().flat_map(|key| key.ids).map(Item::of).collect())
}

/// Items of others that were not acknowledged for too long: their worker is dead, or the call failed.
fn claim(connection: &mut Connection, name: &str, idle: usize) -> RedisResult<Vec<Item>> {
    let options = StreamAutoClaimOptions::default().count(MOST);
    let reply: StreamAutoClaimReply =
        connection.xautoclaim_options(STREAM, GROUP, name, idle, "0-0", options)?;
    Ok(reply.claimed.into_iter().map(Item::of).collect())
}

/// The result first, then the acknowledgement, in one transaction.
fn finish(connection: &mut Connection, item: &Item, value: &Value) -> RedisResult<()> {
    redis::pipe()
        .atomic()
        .hset(RESULTS, &item.id, value.to_string())
        .ignore()
        .xack(STREAM, GROUP, &[&item.id])
        .ignore()
        .xdel(STREAM, &[&item.id])
        .ignore()
        .query(connection)
}

fn finished(connection: &mut Connection) -> RedisResult<bool> {
    let (closed, left): (bool, usize) =
        redis::pipe().exists(CLOSED).xlen(STREAM).query(connection)?;
    Ok(closed && left == 0)
}
