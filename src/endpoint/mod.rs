//! Calls as values: what to ask, and how to read the answer.

mod adapters;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

pub use adapters::{Adjusted, Checked, Ignored, Mapped, Raw};

use crate::error::Error;
use crate::policy::Retry;
use crate::request::Request;
use crate::response::Response;

/// One kind of call to an API, defined once for every way of running.
///
/// ```
/// use duocall::{Endpoint, Error, Request, Response};
/// # use serde::Deserialize;
/// # #[derive(Deserialize)] struct Flow { uuid: String }
///
/// struct Flows { after: Option<String> }
///
/// impl Endpoint for Flows {
///     type Output = Vec<Flow>;
///
///     fn request(&self) -> Request {
///         Request::get("flows.json").query_opt("after", self.after.as_deref())
///     }
///
///     fn decode(&self, response: Response) -> Result<Vec<Flow>, Error> {
///         response.json()
///     }
/// }
/// ```
///
/// Where the answer is just JSON, [`Request::into_json`] spares the `impl`, and
/// [`json_output!`](crate::json_output) two of its lines. What one caller wants
/// otherwise is an adapter away:
///
/// ```
/// use std::time::Duration;
/// use duocall::{Endpoint, Request, Retry};
///
/// # fn names() -> impl Endpoint<Output = Vec<String>> { Request::get("names.json").into_json() }
/// let count = names().map(|names| names.len()).with_timeout(Duration::from_secs(5));
/// let exists = Request::head("names/17").accepting(404).map(|r| r.status() == 200);
/// let create = Request::post("names").json("Ada").ignored().with_retry(Retry::none());
/// ```
///
/// An endpoint can be a trait object, see [`boxed`](Endpoint::boxed).
pub trait Endpoint {
    /// What the call gives.
    type Output;

    /// What to ask.
    fn request(&self) -> Request;

    /// Reads a response that was judged a success.
    ///
    /// # Errors
    /// What [`Response::json`] meets, or an error of the API's own by [`Error::custom`].
    fn decode(&self, response: Response) -> Result<Self::Output, Error>;

    /// Lets the body be: success is all there is to know.
    fn ignored(self) -> Ignored<Self>
    where
        Self: Sized,
    {
        Ignored(self)
    }

    /// Gives the response as it is instead of what this endpoint reads from it.
    fn raw(self) -> Raw<Self>
    where
        Self: Sized,
    {
        Raw(self)
    }

    /// Takes a response with this status for a success, too; `decode` sees it.
    /// See [`Request::accept`].
    fn accepting(self, status: u16) -> Adjusted<Self>
    where
        Self: Sized,
    {
        Adjusted::accept(self, status)
    }

    /// Another limit for the whole call than the API's `total`. See [`Request::timeout`].
    fn with_timeout(self, total: Duration) -> Adjusted<Self>
    where
        Self: Sized,
    {
        Adjusted::timeout(self, total)
    }

    /// Another retry policy than the API's. See [`Request::retry`].
    fn with_retry(self, retry: Retry) -> Adjusted<Self>
    where
        Self: Sized,
    {
        Adjusted::retry(self, retry)
    }

    /// Makes something else of the output.
    fn map<F, T>(self, map: F) -> Mapped<Self, F>
    where
        Self: Sized,
        F: Fn(Self::Output) -> T,
    {
        Mapped(self, map)
    }

    /// Makes something else of the output, or an error: see [`Error::custom`].
    fn and_then<F, T>(self, check: F) -> Checked<Self, F>
    where
        Self: Sized,
        F: Fn(Self::Output) -> Result<T, Error>,
    {
        Checked(self, check)
    }

    /// Forgets which endpoint it is, so that different ones with one output go
    /// into one batch.
    ///
    /// ```
    /// use duocall::{Endpoint, Request};
    ///
    /// let mixed = [
    ///     Request::delete("names/17").ignored().boxed(),
    ///     Request::post("names").json("Ada").map(|_| ()).boxed(),
    /// ];
    /// ```
    fn boxed<'a>(self) -> Boxed<'a, Self::Output>
    where
        Self: Sized + Send + 'a,
    {
        Box::new(self)
    }
}

/// An endpoint of which only the output is known. See [`Endpoint::boxed`].
pub type Boxed<'a, T> = Box<dyn Endpoint<Output = T> + Send + 'a>;

/// The output and `decode` of an [`Endpoint`] whose answer is just JSON.
///
/// ```
/// use duocall::{Endpoint, Request};
///
/// struct Names;
///
/// impl Endpoint for Names {
///     duocall::json_output!(Vec<String>);
///
///     fn request(&self) -> Request {
///         Request::get("names.json")
///     }
/// }
/// ```
#[macro_export]
macro_rules! json_output {
    ($output:ty) => {
        type Output = $output;

        fn decode(&self, response: $crate::Response) -> Result<Self::Output, $crate::Error> {
            response.json()
        }
    };
}

impl Endpoint for Request {
    type Output = Response;

    fn request(&self) -> Request {
        self.clone()
    }

    fn decode(&self, response: Response) -> Result<Response, Error> {
        Ok(response)
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<E: Endpoint + ?Sized> Endpoint for $pointer {
            type Output = E::Output;

            fn request(&self) -> Request {
                (**self).request()
            }

            fn decode(&self, response: Response) -> Result<E::Output, Error> {
                (**self).decode(response)
            }
        }
    )*};
}

forward!(&E, Box<E>, Arc<E>);

/// A request whose answer is read from JSON; made by [`Request::into_json`].
#[derive(Debug)]
pub struct Json<T> {
    request: Request,
    output: PhantomData<fn() -> T>,
}

impl<T> Json<T> {
    pub(crate) fn new(request: Request) -> Self {
        let output = PhantomData;
        Json { request, output }
    }
}

impl<T> Clone for Json<T> {
    fn clone(&self) -> Self {
        Json::new(self.request.clone())
    }
}

impl<T: DeserializeOwned> Endpoint for Json<T> {
    type Output = T;

    fn request(&self) -> Request {
        self.request.clone()
    }

    fn decode(&self, response: Response) -> Result<T, Error> {
        response.json()
    }
}
