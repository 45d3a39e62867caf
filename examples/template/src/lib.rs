//! A client of the notes API, for blocking, pooled and async programs.
//!
//! Pick a client of [`duocall`] by the feature of the same name, give it the [`api`], and call:
//!
//! ```no_run
//! # #[cfg(feature = "blocking")]
//! # fn main() -> Result<(), notes_api::Error> {
//! use notes_api::duocall::blocking::Client;
//!
//! let client = Client::new(notes_api::api("https://notes.example.com/v1/", "a token")?);
//! let note = client.call(notes_api::note(17))?;
//! println!("{}", note.text);
//!
//! let (request, paging) = notes_api::notes();
//! for note in client.pages::<notes_api::Note>(request, paging) {
//!     println!("{}", note?.text);
//! }
//! # Ok(()) }
//! # #[cfg(not(feature = "blocking"))]
//! # fn main() {}
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub use duocall::{self, Error};

use duocall::{Api, Auth, Endpoint, Paging, Rate, Request, Secret};
use serde::Deserialize;

/// The API at `base`, for a client of any kind.
///
/// # Errors
/// When the base is not a URL, or the token cannot be in a header.
pub fn api(base: &str, token: impl Into<Secret>) -> Result<Api, Error> {
    Api::builder(base)
        .auth(Auth::bearer(token))
        .header("accept", "application/json")
        .meaning(403, "The token may not do this.")
        .rate(Rate::per_second(10).burst(10))
        .build()
}

/// A note.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Note {
    /// Its number.
    pub id: u64,
    /// What it says.
    pub text: String,
}

/// What the API says about a failure: `error.api::<Problem>()`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// In words.
    pub detail: String,
}

/// One note.
pub fn note(id: u64) -> impl Endpoint<Output = Note> + Send {
    Request::get("notes/{id}").param("id", id).into_json()
}

/// Makes a note.
pub fn create(text: &str) -> impl Endpoint<Output = Note> + Send + use<> {
    Request::post("notes").form(&[("text", text)]).into_json()
}

/// Removes a note.
pub fn remove(id: u64) -> impl Endpoint<Output = ()> + Send {
    Request::delete("notes/{id}").param("id", id).ignored()
}

/// All notes, for the `pages` of a client.
pub fn notes() -> (Request, Paging) {
    (Request::get("notes"), Paging::next_url("/next", "/notes"))
}
