//! Calls as values: what to ask, and how to read the answer.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::Error;
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
/// [`json_output!`](crate::json_output) two of its lines.
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
}

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
