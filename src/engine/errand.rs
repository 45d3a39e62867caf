//! What goes to the transport and what comes back, in one place.

use http::response::Parts;
use http::{Request, Response};

use super::Outgoing;
use crate::body::Body;
use crate::url::{Origin, Url};

/// A request until it is sent, then the head of its response. They stay where they are: each is
/// large, and would be copied by every layer on the way to the transport and back.
pub(crate) enum Mail {
    Out(Outgoing),
    Back(Parts),
}

const EARLY: &str = "a head comes before its body";

impl Mail {
    /// Forgets the last one.
    pub(super) fn renew(&mut self) -> &mut Outgoing {
        *self = Mail::Out(Outgoing::default());
        self.out()
    }

    fn out(&mut self) -> &mut Outgoing {
        match self {
            Mail::Out(request) => request,
            Mail::Back(_) => panic!("a request comes before its response"),
        }
    }

    pub(crate) fn head(&mut self) -> &mut Parts {
        match self {
            Mail::Back(head) => head,
            Mail::Out(_) => panic!("{EARLY}"),
        }
    }

    pub(crate) fn into_head(self) -> Parts {
        match self {
            Mail::Back(head) => head,
            Mail::Out(_) => panic!("{EARLY}"),
        }
    }

    pub(crate) fn to<'a>(&'a mut self, url: &'a Url) -> Errand<'a> {
        Errand { mail: self, url }
    }
}

/// A request as a transport gets it, and where the head of the response goes. How a request names
/// its URL depends on who is to have it.
pub(crate) struct Errand<'a> {
    mail: &'a mut Mail,
    url: &'a Url,
}

impl<'a> Errand<'a> {
    pub(crate) fn origin(&self) -> &'a Origin {
        self.url.origin()
    }

    /// The request with its whole URL. To be called once.
    pub(crate) fn take(&mut self) -> Request<Body> {
        self.take_as(true, |body| body)
    }

    /// The same with its whole URL or just the target, and the body as it is wanted.
    pub(crate) fn take_as<B>(&mut self, whole: bool, load: impl FnOnce(Body) -> B) -> Request<B> {
        self.mail.out().take(self.url, whole, load)
    }

    /// Keeps the head, and gives the body.
    pub(crate) fn split<B>(&mut self, response: Response<B>) -> B {
        let (head, body) = response.into_parts();
        *self.mail = Mail::Back(head);
        body
    }
}
