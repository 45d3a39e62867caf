//! The RapidPro API, defined once for every way of calling it: where it is, what it allows, what
//! its statuses mean, and each call as a value.

use duocall::{Api, Auth, Endpoint, Error, Paging, Rate, Request, Secret};
use serde::Deserialize;

/// What the statuses mean in this API.
const MEANINGS: [(u16, &str); 7] = [
    (200, "The list or the resource is here."),
    (201, "The resource was created."),
    (204, "It is done, and there is nothing to show for it."),
    (400, "A parameter is wrong; sent again, the request would fail again."),
    (403, "You do not have permission to access this resource."),
    (404, "There is no such resource."),
    (429, "You have made too many requests in this hour."),
];

/// A workspace of RapidPro. Its [`api`](RapidPro::api) goes to a client of any kind, and that
/// client makes the calls: `client.call(rapidpro.flow(uuid))`.
pub struct RapidPro {
    api: Api,
}

impl RapidPro {
    pub fn new(base: &str, token: impl Into<Secret>) -> Result<RapidPro, Error> {
        let described = Api::builder(base)
            .auth(Auth::token(token))
            .header("accept", "application/json")
            .rate(Rate::per_hour(2500).burst(100));
        let api =
            MEANINGS.iter().fold(described, |api, (status, text)| api.meaning(*status, *text));
        Ok(RapidPro { api: api.build()? })
    }

    pub fn api(&self) -> Api {
        self.api.clone()
    }

    /// Takes effect in every client, from the next request on.
    pub fn set_token(&self, token: impl Into<Secret>) {
        self.api.set_auth(Auth::token(token));
    }

    /// Whether the API takes the token.
    pub fn validate_token(&self) -> impl Endpoint<Output = bool> + Send + use<> {
        Request::get("workspace.json").accept(403).map(|response| response.status() != 403)
    }

    /// One flow, if there is one with this UUID.
    pub fn flow(&self, uuid: &str) -> impl Endpoint<Output = Option<Flow>> + Send + use<> {
        let list = Request::get("flows.json").query("uuid", uuid).into_json::<List<Flow>>();
        list.map(|list| list.results.into_iter().next())
    }

    /// All flows that were modified in a span of time, for a client's `pages`.
    pub fn flows(&self, before: Option<&str>, after: Option<&str>) -> (Request, Paging) {
        let list = Request::get("flows.json").query_opt("before", before).query_opt("after", after);
        (list, Paging::next_url("/next", "/results"))
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Flow {
    pub uuid: String,
    pub name: String,
    pub modified_on: String,
}

#[derive(Deserialize)]
struct List<T> {
    results: Vec<T>,
}
