//! Endpoints made of endpoints.

use std::fmt;
use std::time::Duration;

use super::Endpoint;
use crate::error::Error;
use crate::policy::Retry;
use crate::request::Request;
use crate::response::Response;

/// An endpoint whose body is not read. See [`Endpoint::ignored`].
#[derive(Clone, Copy, Debug)]
pub struct Ignored<E>(pub(super) E);

impl<E: Endpoint> Endpoint for Ignored<E> {
    type Output = ();

    fn request(&self) -> Request {
        self.0.request()
    }

    fn decode(&self, _: Response) -> Result<(), Error> {
        Ok(())
    }
}

/// An endpoint that gives the response itself. See [`Endpoint::raw`].
#[derive(Clone, Copy, Debug)]
pub struct Raw<E>(pub(super) E);

impl<E: Endpoint> Endpoint for Raw<E> {
    type Output = Response;

    fn request(&self) -> Request {
        self.0.request()
    }

    fn decode(&self, response: Response) -> Result<Response, Error> {
        Ok(response)
    }
}

/// An endpoint with one thing changed in its request. See [`Endpoint::accepting`],
/// [`with_timeout`](Endpoint::with_timeout), [`with_retry`](Endpoint::with_retry).
#[derive(Clone, Debug)]
pub struct Adjusted<E> {
    endpoint: E,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Accept(u16),
    Timeout(Duration),
    Retry(Retry),
}

impl<E> Adjusted<E> {
    pub(super) fn accept(endpoint: E, status: u16) -> Self {
        Adjusted { endpoint, change: Change::Accept(status) }
    }

    pub(super) fn timeout(endpoint: E, total: Duration) -> Self {
        Adjusted { endpoint, change: Change::Timeout(total) }
    }

    pub(super) fn retry(endpoint: E, retry: Retry) -> Self {
        Adjusted { endpoint, change: Change::Retry(retry) }
    }
}

impl<E: Endpoint> Endpoint for Adjusted<E> {
    type Output = E::Output;

    fn request(&self) -> Request {
        let request = self.endpoint.request();
        match &self.change {
            Change::Accept(status) => request.accept(*status),
            Change::Timeout(total) => request.timeout(*total),
            Change::Retry(retry) => request.retry(retry.clone()),
        }
    }

    fn decode(&self, response: Response) -> Result<E::Output, Error> {
        self.endpoint.decode(response)
    }
}

/// An endpoint whose output is made into another. See [`Endpoint::map`].
#[derive(Clone, Copy)]
pub struct Mapped<E, F>(pub(super) E, pub(super) F);

impl<E, F, T> Endpoint for Mapped<E, F>
where
    E: Endpoint,
    F: Fn(E::Output) -> T,
{
    type Output = T;

    fn request(&self) -> Request {
        self.0.request()
    }

    fn decode(&self, response: Response) -> Result<T, Error> {
        self.0.decode(response).map(&self.1)
    }
}

/// An endpoint whose output is made into another, or refused. See [`Endpoint::and_then`].
#[derive(Clone, Copy)]
pub struct Checked<E, F>(pub(super) E, pub(super) F);

impl<E, F, T> Endpoint for Checked<E, F>
where
    E: Endpoint,
    F: Fn(E::Output) -> Result<T, Error>,
{
    type Output = T;

    fn request(&self) -> Request {
        self.0.request()
    }

    fn decode(&self, response: Response) -> Result<T, Error> {
        self.0.decode(response).and_then(&self.1)
    }
}

impl<E: fmt::Debug, F> fmt::Debug for Mapped<E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mapped").field(&self.0).finish_non_exhaustive()
    }
}

impl<E: fmt::Debug, F> fmt::Debug for Checked<E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Checked").field(&self.0).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Boxed;
    use crate::error::ErrorKind;

    fn answer(body: &'static str) -> Response {
        Response::made("https://h/v1/names", 200, &[], body)
    }

    fn names() -> impl Endpoint<Output = Vec<String>> + Send {
        Request::get("names.json").query("page", 7).into_json()
    }

    #[test]
    fn outputs_are_made_into_others() {
        let good = answer(r#"["a","b"]"#);
        assert_eq!(names().map(|names| names.len()).decode(good.clone()).unwrap(), 2);
        assert_eq!(names().raw().decode(good.clone()).unwrap().bytes().len(), 9);
        names().ignored().decode(answer("not JSON")).unwrap();
        let refuse = |_| Err::<(), _>(Error::custom(ErrorKind::Rejected, "too few"));
        assert_eq!(names().and_then(refuse).decode(good).unwrap_err().kind(), ErrorKind::Rejected);
        // An error of the inner one is not mapped away.
        let wrong = names().map(|_| ()).decode(answer("{}")).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Decode);
    }

    #[test]
    fn requests_are_changed_and_nothing_else_of_them() {
        let adjusted = names()
            .accepting(404)
            .accepting(410)
            .with_timeout(Duration::from_secs(5))
            .with_retry(Retry::none())
            .map(|names| names.len());
        let request = adjusted.request();
        assert_eq!(request.accepted, [404, 410]);
        assert_eq!(request.timeout, Some(Duration::from_secs(5)));
        assert_eq!(request.retry.unwrap().attempts, 1);
        assert_eq!((request.target.as_str(), request.query.as_str()), ("names.json", "page=7"));
        assert!(names().accepting(99).request().mistake.is_some());
    }

    #[test]
    fn different_ones_go_together() {
        let own = String::from("b");
        let borrowed = &Request::get(&own);
        let mixed: [Boxed<'_, usize>; 3] = [
            names().map(|names| names.len()).boxed(),
            Request::get("a").map(|response| response.bytes().len()).boxed(),
            borrowed.map(|_| own.len()).boxed(),
        ];
        let targets = mixed.iter().map(|one| one.request().target);
        assert_eq!(targets.collect::<Vec<_>>(), ["names.json", "a", "b"]);
        assert_eq!(mixed[1].decode(answer("12345")).unwrap(), 5);
    }
}
