//! A place in a list as text, to go on from in another process.

use serde_json::{Value, json};

use super::Scheme;
use super::plan::{Extent, Plan, Position};
use crate::error::Mistake;
use crate::url::Url;

/// The next item to give.
#[derive(Debug, PartialEq)]
pub(super) struct Place {
    pub(super) at: Position,
    /// How many items of the page were given already.
    pub(super) given: usize,
    pub(super) extent: Option<Extent>,
}

impl Place {
    pub(super) fn to_token(&self) -> String {
        let at = match &self.at {
            Position::First => Value::Null,
            Position::Number(number) => json!(number),
            Position::Cursor(cursor) => json!({ "cursor": cursor }),
            Position::Link(url) => json!({ "link": url }),
        };
        let extent = self.extent.map(|extent| json!([extent.last, extent.step]));
        json!({ "at": at, "given": self.given, "extent": extent }).to_string()
    }

    pub(super) fn from_token(plan: &Plan, token: &str) -> Result<Place, Mistake> {
        let read = || {
            let token: Value = serde_json::from_str(token).ok()?;
            let at = position(plan, token.get("at")?)?;
            let given = usize::try_from(token.get("given")?.as_u64()?).ok()?;
            let extent = match token.get("extent")? {
                Value::Null => None,
                pair => Some(Extent {
                    last: pair.get(0)?.as_u64()?,
                    step: pair.get(1)?.as_u64().filter(|step| *step > 0)?,
                }),
            };
            Some(Place { at, given, extent })
        };
        read().ok_or(Mistake::new("resume token", "does not belong to this paging and this API"))
    }
}

fn position(plan: &Plan, at: &Value) -> Option<Position> {
    match (&plan.paging.scheme, at) {
        (Scheme::Page { .. } | Scheme::Offset { .. }, at) => at.as_u64().map(Position::Number),
        (_, Value::Null) => Some(Position::First),
        (Scheme::Cursor { .. }, at) => {
            Some(Position::Cursor(at.get("cursor")?.as_str()?.to_owned()))
        }
        (_, at) => {
            // A token may have been anywhere meanwhile: it leads nowhere that a link may not.
            let url = Url::parse(at.get("link")?.as_str()?).ok()?;
            plan.check(&url).ok()?;
            Some(Position::Link(url.as_str().to_owned()))
        }
    }
}
