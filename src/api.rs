//! An API described once: where it is, who calls, how often, how long.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::{Auth, Kind};
use crate::clock::Clock;
use crate::engine::budget::Budget;
use crate::engine::cookies::Jar;
use crate::engine::credentials::Credentials;
use crate::engine::gate::{Gate, Gates, LocalGate};
use crate::engine::outgoing;
use crate::error::{Error, Mistake, Sent};
use crate::http2::Http2;
use crate::policy::{Rate, Retry, Timeouts};
use crate::proxy::{Proxies, Proxy};
use crate::request::{Fields, checked_header};
use crate::resolve::{Names, Resolve};
use crate::response::Response;
use crate::tls::Tls;
use crate::transport::Failure;
use crate::url::Url;

type Reject = Arc<dyn Fn(&Response) -> Option<String> + Send + Sync>;

/// An API as a value: its base URL, its credential, its policies.
///
/// No I/O happens here. Clones are cheap and share the credential, the gate and
/// the retry budget, whichever clients they go to.
///
/// ```
/// use std::time::Duration;
/// use duocall::{Api, Auth, Rate, Response, Retry, Timeouts};
///
/// # fn main() -> Result<(), duocall::Error> {
/// let api = Api::builder("https://api.example.com/v2/")
///     .auth(Auth::token("from the environment"))
///     .header("accept", "application/json")
///     .meaning(403, "You do not have permission to access this resource.")
///     .reject(|r: &Response| r.text_contains("Token not valid!").then(|| "Token not valid!".into()))
///     .retry(Retry::default().attempts(3))
///     .rate(Rate::per_second(20))
///     .concurrency(16)
///     .timeouts(Timeouts::default().total(Duration::from_secs(60)))
///     .max_body(10 << 20)
///     .build()?;
/// api.set_auth(Auth::token("rotated"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    settings: Settings,
    gates: Gates,
    credentials: Arc<Credentials>,
    shared: Shared,
}

/// What changes while calls are made.
pub(crate) struct Shared {
    pub(crate) budget: Mutex<Budget>,
    seed: u64,
    jar: Option<Jar>,
}

struct Settings {
    base: Url,
    headers: HeaderMap,
    meanings: Vec<(u16, String)>,
    reject: Option<Reject>,
    retry: Retry,
    timeouts: Timeouts,
    concurrency: usize,
    max_body: usize,
    expect_above: u64,
    keys: bool,
    tls: Tls,
    http2: Option<Http2>,
    names: Names,
    proxies: Proxies,
    clock: Clock,
}

impl Api {
    /// An API with every default.
    ///
    /// # Errors
    /// [`ErrorKind::Request`](crate::ErrorKind::Request) when the base is not a plain http or https URL.
    pub fn new(base: impl AsRef<str>) -> Result<Api, Error> {
        Api::builder(base).build()
    }

    /// Describes an API. The base gets a trailing slash if it has none.
    #[expect(clippy::missing_panics_doc, reason = "the stand-in is a good URL")]
    pub fn builder(base: impl AsRef<str>) -> ApiBuilder {
        let mut mistake = None;
        let base = Url::parse_base(base.as_ref()).unwrap_or_else(|error| {
            mistake = Some(Mistake::new("base URL", error.as_str()));
            Url::parse_base("http://unusable.invalid/").expect("a good URL")
        });
        ApiBuilder {
            settings: Settings {
                base,
                headers: HeaderMap::new(),
                meanings: Vec::new(),
                reject: None,
                retry: Retry::default(),
                timeouts: Timeouts::default(),
                concurrency: 32,
                max_body: 10 << 20,
                expect_above: 1 << 20,
                keys: false,
                tls: Tls::default(),
                http2: None,
                names: Names::default(),
                proxies: Proxies::default(),
                clock: Clock::default(),
            },
            auth: Auth::none(),
            rate: None,
            gate: None,
            jar: None,
            mistake,
        }
    }

    /// Puts another credential in place, for every clone and every client, from
    /// the next attempt on. A mistake in it is the error of the calls that follow.
    pub fn set_auth(&self, auth: Auth) {
        self.0.credentials.set(auth);
    }

    /// The base URL, with its trailing slash.
    pub fn base_url(&self) -> &str {
        self.0.settings.base.as_str()
    }

    pub(crate) fn base(&self) -> &Url {
        &self.0.settings.base
    }

    /// The API's own, and what every request has.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.0.settings.headers
    }

    pub(crate) fn retry(&self) -> &Retry {
        &self.0.settings.retry
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.0.settings.timeouts
    }

    pub(crate) fn max_body(&self) -> usize {
        self.0.settings.max_body
    }

    pub(crate) fn expect_above(&self) -> u64 {
        self.0.settings.expect_above
    }

    pub(crate) fn concurrency(&self) -> usize {
        self.0.settings.concurrency
    }

    pub(crate) fn keys(&self) -> bool {
        self.0.settings.keys
    }

    pub(crate) fn tls(&self) -> &Tls {
        &self.0.settings.tls
    }

    pub(crate) fn http2(&self) -> Option<&Http2> {
        self.0.settings.http2.as_ref()
    }

    /// Whether a transport will do that speaks HTTP/1.1 only.
    pub(crate) fn takes_http1(&self) -> Result<(), Failure> {
        if self.http2().is_some_and(Http2::is_prior) {
            let what = "HTTP/2 by prior knowledge needs the async client's own transport";
            let failure = Failure::new(crate::error::ErrorKind::Request, what);
            return Err(failure.sent(Sent::No).lasting());
        }
        Ok(())
    }

    pub(crate) fn names(&self) -> &Names {
        &self.0.settings.names
    }

    pub(crate) fn proxies(&self) -> &Proxies {
        &self.0.settings.proxies
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.settings.clock
    }

    pub(crate) fn gates(&self) -> &Gates {
        &self.0.gates
    }

    pub(crate) fn credentials(&self) -> &Arc<Credentials> {
        &self.0.credentials
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    pub(crate) fn jar(&self) -> Option<&Jar> {
        self.0.shared.jar.as_ref()
    }

    /// The query parameter that the credential is in.
    pub(crate) fn secret_param(&self) -> Option<Arc<str>> {
        match &self.0.credentials.current().auth.kind {
            Kind::Query(name, _) => Some(name.clone()),
            _ => None,
        }
    }

    pub(crate) fn meaning_of(&self, status: u16) -> Option<String> {
        let found = self.0.settings.meanings.iter().rev().find(|(of, _)| *of == status);
        found.map(|(_, text)| text.clone())
    }

    pub(crate) fn reject(&self, response: &Response) -> Option<String> {
        self.0.settings.reject.as_ref()?(response)
    }

    /// A call's own source of jitter: repeatable, and different from call to call.
    pub(crate) fn random(&self, call: u64, own: Option<&Retry>) -> fastrand::Rng {
        let seed = own.and_then(|retry| retry.seed).unwrap_or(self.0.shared.seed);
        fastrand::Rng::with_seed(seed.wrapping_add(call.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A key that no other call has.
    pub(crate) fn fresh_key(&self) -> HeaderValue {
        let key = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        HeaderValue::try_from(key).expect("hexadecimal")
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.0.settings;
        f.debug_struct("Api")
            .field("base", &settings.base)
            .field("auth", &self.0.credentials)
            .field("headers", &Fields(&settings.headers))
            .field("retry", &settings.retry)
            .field("timeouts", &settings.timeouts)
            .field("gate", &self.0.gates)
            .field("max_body", &settings.max_body)
            .field("tls", &settings.tls)
            .field("http2", &settings.http2)
            .field("proxies", &settings.proxies)
            .finish_non_exhaustive()
    }
}

/// Makes an [`Api`]. The first mistake is kept until [`build`](ApiBuilder::build).
#[must_use = "nothing is checked before `build`"]
pub struct ApiBuilder {
    settings: Settings,
    auth: Auth,
    rate: Option<Rate>,
    gate: Option<Arc<dyn Gate>>,
    jar: Option<Jar>,
    mistake: Option<Mistake>,
}

impl ApiBuilder {
    /// How calls show who they are. Defaults to no credential.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// A header of every request to this API; a request's own takes its place.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        match checked_header(name, value) {
            Ok((name, value)) => drop(self.settings.headers.insert(name, value)),
            Err(mistake) => self.keep(mistake),
        }
        self
    }

    /// What a status means for this API; errors show it. Defaults to what the
    /// registry of status codes says (RFC 9110 section 15).
    pub fn meaning(mut self, status: u16, text: impl Into<String>) -> Self {
        if !(100..1000).contains(&status) {
            self.keep(Mistake::new("status with a meaning", "is not a status code"));
        }
        self.settings.meanings.push((status, text.into()));
        self
    }

    /// Looks at every response with a good or an accepted status; a reason makes it a failure
    /// of kind [`Rejected`](crate::ErrorKind::Rejected).
    pub fn reject(
        mut self,
        rule: impl Fn(&Response) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.settings.reject = Some(Arc::new(rule));
        self
    }

    /// When to try again. Defaults to three attempts, see [`Retry`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.settings.retry = retry;
        self
    }

    /// Gives every call that is not idempotent by its method an
    /// `Idempotency-Key` of its own, the same in each of its attempts. For APIs
    /// that act once on one key. Defaults to false.
    pub fn idempotency_keys(mut self, on: bool) -> Self {
        self.settings.keys = on;
        self
    }

    /// How many calls per unit of time. Defaults to no limit.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// How many calls at once, over all clients of the API; at least 1. Defaults to 32.
    pub fn concurrency(mut self, most: usize) -> Self {
        self.settings.concurrency = most;
        self
    }

    /// A gate of another making instead of the one in this process; `rate` is then the gate's own business.
    pub fn gate(mut self, gate: impl Gate) -> Self {
        self.gate = Some(Arc::new(gate));
        self
    }

    /// Limits of time. See [`Timeouts`] for the defaults.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.settings.timeouts = timeouts;
        self
    }

    /// The largest body taken, in bytes after decoding. Defaults to 10 MiB.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.settings.max_body = bytes;
        self
    }

    /// Announces a request's body above so many bytes, and one of unknown length, with
    /// `Expect: 100-continue` (RFC 9110 section 10.1.1): the body waits until the server says 100, but
    /// at most a second, or half the limit for the head if that is shorter. A server that refuses at once (401, 413, 503) gets no byte of it, and a reader
    /// is then still whole for the next attempt. After a 417 the request goes out again without.
    /// Defaults to 1 MiB; `u64::MAX` announces none.
    ///
    /// The surf clients of others, [`blocking::Client::with_agent`](crate::blocking::Client::with_agent)
    /// and HTTP/2 do not wait.
    pub fn expect_above(mut self, bytes: u64) -> Self {
        self.settings.expect_above = bytes;
        self
    }

    /// How TLS is done. See [`Tls`] for the defaults.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.settings.tls = tls;
        self
    }

    /// Asks for HTTP/2, or insists on it: see [`Http2`]. Defaults to HTTP/1.1.
    #[cfg(feature = "http2")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http2")))]
    pub fn http2(mut self, http2: Http2) -> Self {
        self.settings.http2 = Some(http2);
        self
    }

    /// Keeps the cookies that responses set, redirects' too, and sends them where they belong
    /// (RFC 6265): to the host that set them or, where it says so, those below; never to a public
    /// suffix as a whole. They are shared by all clones of the API, and gone with the last. A
    /// `Cookie` header of a request or of the API takes their place. Defaults to false.
    ///
    /// What is a public suffix says the crate `psl` as it was compiled: keep it up to date.
    #[cfg(feature = "cookies")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cookies")))]
    pub fn cookies(mut self, on: bool) -> Self {
        self.jar = on.then(Jar::default);
        self
    }

    /// Who finds the addresses of names. Defaults to the system's resolver.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.settings.names.set_resolver(resolver);
        self
    }

    /// Connects to this address instead of resolving the host; to several, when
    /// called again. Port 0 stands for the port of the URL. The request and the
    /// certificate stay those of the host. Defaults to no such host.
    pub fn resolve(mut self, host: impl AsRef<str>, addr: SocketAddr) -> Self {
        if let Err(mistake) = self.settings.names.fix(host.as_ref(), addr) {
            self.keep(mistake);
        }
        self
    }

    /// Sends everything through this proxy, but what goes to hosts it is not for;
    /// the environment is then not read. The connections of an API's clients are
    /// all made under this one setting, so none is used for another.
    ///
    /// Defaults to what the environment says when the API is built, read as curl
    /// reads it: `http_proxy` for http; `https_proxy` or `HTTPS_PROXY` for https;
    /// `all_proxy` or `ALL_PROXY` for what is left. Upper-case `HTTP_PROXY` is not
    /// read. No proxy is used for the hosts in `no_proxy` or `NO_PROXY`, a list with
    /// commas: `example.com` covers that host and every one below it, `10.0.0.1` an
    /// address, `10.0.0.0/8` a block of them, and `*` alone covers all.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.settings.proxies = Proxies::One(Arc::new(proxy));
        self
    }

    /// Connects to every host directly, whatever the environment says.
    pub fn no_proxy(mut self) -> Self {
        self.settings.proxies = Proxies::None;
        self
    }

    /// The time that policies, waits and limits follow. Defaults to the system's.
    #[cfg(feature = "mock")]
    #[cfg_attr(docsrs, doc(cfg(feature = "mock")))]
    pub fn clock(mut self, clock: &crate::mock::VirtualClock) -> Self {
        self.settings.clock = clock.clock();
        self
    }

    fn keep(&mut self, mistake: Mistake) {
        self.mistake.get_or_insert(mistake);
    }

    fn check(&mut self) -> Result<(), Mistake> {
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        self.auth.check()?;
        self.settings.retry.check()?;
        self.settings.timeouts.check()?;
        self.settings.tls.check()?;
        self.settings.proxies.check()?;
        self.settings.http2.as_ref().map_or(Ok(()), Http2::check)?;
        if let Some(rate) = &self.rate {
            rate.check()?;
        }
        if self.settings.concurrency == 0 {
            return Err(Mistake::new("concurrency", "is zero"));
        }
        if self.settings.max_body == 0 {
            return Err(Mistake::new("max_body", "is zero"));
        }
        Ok(())
    }

    /// The API, if every setting was good.
    ///
    /// # Errors
    /// [`ErrorKind::Request`](crate::ErrorKind::Request) for the first mistake;
    /// it names the setting and not its value.
    pub fn build(mut self) -> Result<Api, Error> {
        self.check()?;
        if let Some(gate) = &self.gate {
            gate.check()?;
        }
        let gates = match self.gate {
            Some(gate) => Gates::Other(gate),
            None => Gates::Local(Arc::new(LocalGate::new(self.settings.concurrency, self.rate))),
        };
        let shared = Shared {
            budget: Mutex::default(),
            seed: self.settings.retry.seed.unwrap_or_else(|| fastrand::u64(..)),
            jar: self.jar,
        };
        let credentials = Arc::new(Credentials::new(self.auth));
        let mut settings = self.settings;
        outgoing::complete(&mut settings.headers);
        Ok(Api(Arc::new(Inner { settings, gates, credentials, shared })))
    }
}

impl fmt::Debug for ApiBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiBuilder")
            .field("base", &self.settings.base)
            .field("auth", &self.auth)
            .field("mistake", &self.mistake)
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert<T: Send + Sync + Clone>() {}
    assert::<Api>();
};
