//! One program, three times. What differs is the `use`, `wait()` and `.await`.

use crate::client::{Flow, RapidPro};
use crate::server;

/// What the program found out. The same in every way, or something is wrong.
pub struct Found {
    pub token_is_valid: bool,
    pub wrong_token_is_valid: bool,
    pub refusal: String,
    pub flow: Option<Flow>,
    pub missing: Option<Flow>,
    pub flows: Vec<Flow>,
}

/// The next token, put in place while the program runs.
pub fn rotated(token: &str) -> String {
    format!("{token}-rotated")
}

const AFTER: Option<&str> = Some("2024-02-01T00:00:00Z");
const BEFORE: Option<&str> = Some("2024-11-01T00:00:00Z");

fn told(error: duocall::Error) -> String {
    format!("{:?}: {}", error.kind(), error.meaning().unwrap_or("no meaning"))
}

pub mod blocking {
    use super::*;
    use duocall::blocking::Client;

    pub fn run(rapidpro: &RapidPro, token: &str) -> Result<Found, duocall::Error> {
        let client = Client::new(rapidpro.api());
        let token_is_valid = client.call(rapidpro.validate_token())?;
        rapidpro.set_token("wrong");
        let wrong_token_is_valid = client.call(rapidpro.validate_token())?;
        let refused = client.call(rapidpro.flow("any"));
        rapidpro.set_token(rotated(token));
        let flow = client.call(rapidpro.flow(&server::uuid(7)))?;
        let missing = client.call(rapidpro.flow("none"))?;
        let (request, paging) = rapidpro.flows(BEFORE, AFTER);
        let flows = client.pages::<Flow>(request, paging).collect::<Result<_, _>>()?;
        let refusal = refused.map_or_else(told, |_| "none".into());
        Ok(Found { token_is_valid, wrong_token_is_valid, refusal, flow, missing, flows })
    }
}

pub mod pool {
    use super::*;
    use duocall::pool::Client;

    pub fn run(rapidpro: &RapidPro, token: &str) -> Result<Found, duocall::Error> {
        let client = Client::new(rapidpro.api());
        let token_is_valid = client.call(rapidpro.validate_token()).wait()?;
        rapidpro.set_token("wrong");
        let wrong_token_is_valid = client.call(rapidpro.validate_token()).wait()?;
        let refused = client.call(rapidpro.flow("any")).wait();
        rapidpro.set_token(rotated(token));
        // These two go side by side.
        let flow = client.call(rapidpro.flow(&server::uuid(7)));
        let missing = client.call(rapidpro.flow("none"));
        let (flow, missing) = (flow.wait()?, missing.wait()?);
        let (request, paging) = rapidpro.flows(BEFORE, AFTER);
        let flows = client.pages::<Flow>(request, paging).collect::<Result<_, _>>()?;
        let refusal = refused.map_or_else(told, |_| "none".into());
        Ok(Found { token_is_valid, wrong_token_is_valid, refusal, flow, missing, flows })
    }
}

pub mod nonblocking {
    use super::*;
    use duocall::nonblocking::Client;
    use futures_lite::StreamExt;

    pub async fn run(rapidpro: &RapidPro, token: &str) -> Result<Found, duocall::Error> {
        let client = Client::new(rapidpro.api());
        let token_is_valid = client.call(rapidpro.validate_token()).await?;
        rapidpro.set_token("wrong");
        let wrong_token_is_valid = client.call(rapidpro.validate_token()).await?;
        let refused = client.call(rapidpro.flow("any")).await;
        rapidpro.set_token(rotated(token));
        let flow = client.call(rapidpro.flow(&server::uuid(7))).await?;
        let missing = client.call(rapidpro.flow("none")).await?;
        let (request, paging) = rapidpro.flows(BEFORE, AFTER);
        let flows = client.pages::<Flow>(request, paging).try_collect().await?;
        let refusal = refused.map_or_else(told, |_| "none".into());
        Ok(Found { token_is_valid, wrong_token_is_valid, refusal, flow, missing, flows })
    }
}
