//! The species list of the IUCN Red List (its version 3), defined once for every way of calling it.

use duocall::{Api, Auth, Endpoint, Error, Request, Response, Secret};
use serde::Deserialize;

/// The API says with a good status that a token is bad.
const REFUSAL: &str = "Token not valid!";

pub fn api(base: &str, token: impl Into<Secret>) -> Result<Api, Error> {
    Api::builder(base)
        .auth(Auth::query("token", token))
        .reject(|response: &Response| response.text_contains(REFUSAL).then(|| REFUSAL.into()))
        .concurrency(4)
        .build()
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Species {
    pub taxonid: u64,
    pub scientific_name: String,
    pub category: String,
}

/// A page of the list, which ends with an empty one.
pub struct SpeciesPage(pub u64);

pub enum Page {
    Species(Vec<Species>),
    /// A 404: some pages are missing in the middle of the list.
    Missing,
}

#[derive(Deserialize)]
struct Body {
    result: Vec<Species>,
}

impl Endpoint for SpeciesPage {
    type Output = Page;

    fn request(&self) -> Request {
        Request::get("species/page/{page}").param("page", self.0).accept(404)
    }

    fn decode(&self, response: Response) -> Result<Page, Error> {
        match response.status().as_u16() {
            404 => Ok(Page::Missing),
            _ => Ok(Page::Species(response.json::<Body>()?.result)),
        }
    }
}

/// All pages there could be. A batch pulls them as it has room for them.
pub fn pages() -> impl Iterator<Item = SpeciesPage> + Send {
    (0..).map(SpeciesPage)
}

/// What pages add up to, told one by one.
#[derive(Debug, Default, PartialEq)]
pub struct List {
    pub species: Vec<Species>,
    pub pages: usize,
    pub missing: usize,
}

impl List {
    /// Whether the list goes on after this page.
    pub fn add(&mut self, page: Page) -> bool {
        match page {
            Page::Species(species) if species.is_empty() => return false,
            Page::Species(mut species) => self.species.append(&mut species),
            Page::Missing => self.missing += 1,
        }
        self.pages += 1;
        true
    }
}
