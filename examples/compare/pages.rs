//! What is called: the definition of each call, the same for all ways.

use duocall::{Endpoint, Error, Request, Response};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, PartialEq, Deserialize)]
pub struct Species {
    pub id: u64,
    pub scientific_name: String,
    pub category: String,
    pub population: u64,
    pub trend: String,
}

/// A page of the embedded server.
pub struct SpeciesPage(pub usize);

impl Endpoint for SpeciesPage {
    type Output = Vec<Species>;

    fn request(&self) -> Request {
        Request::get(format!("species/page/{}", self.0))
    }

    fn decode(&self, response: Response) -> Result<Vec<Species>, Error> {
        response.json()
    }
}

/// A page of the API that `--url` names, of whose data nothing is known.
pub struct AnyPage {
    /// With a place for the number: `{n}`.
    pub target: String,
    pub number: usize,
}

#[derive(PartialEq)]
pub enum AnyBody {
    Json(Value),
    Bytes(Vec<u8>),
}

impl Endpoint for AnyPage {
    type Output = AnyBody;

    fn request(&self) -> Request {
        Request::get(self.target.as_str()).param("n", self.number)
    }

    fn decode(&self, response: Response) -> Result<AnyBody, Error> {
        let bytes = response.bytes();
        Ok(match serde_json::from_slice(bytes) {
            Ok(value) => AnyBody::Json(value),
            Err(_) => AnyBody::Bytes(bytes.to_vec()),
        })
    }
}
