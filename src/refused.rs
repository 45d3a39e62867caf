//! What must not compile. Each refusal stands after the same program with the mistake put right, so
//! that nothing else can be the reason; the codes are checked where rustdoc does so (nightly).

/// A blocking call is no future; a pool's job is one.
///
/// ```no_run
/// async fn status(client: duocall::pool::Client) -> Result<u16, duocall::Error> {
///     Ok(client.send(duocall::Request::get("x")).await?.status().as_u16())
/// }
/// ```
/// ```compile_fail,E0277
/// async fn status(client: duocall::blocking::Client) -> Result<u16, duocall::Error> {
///     Ok(client.send(duocall::Request::get("x")).await?.status().as_u16())
/// }
/// ```
struct Awaited;

/// A secret has no `Display`: it is shown by its name only.
///
/// ```
/// fn shown(secret: &duocall::Secret) -> String {
///     format!("{}", secret.expose())
/// }
/// ```
/// ```compile_fail,E0277
/// fn shown(secret: &duocall::Secret) -> String {
///     format!("{}", secret)
/// }
/// ```
struct Shown;

/// A worker of a pool may outlive the caller, so what it calls is not borrowed.
///
/// ```no_run
/// fn call(client: &duocall::pool::Client) -> duocall::pool::Job<duocall::Response> {
///     let request = duocall::Request::get("x");
///     client.call(request)
/// }
/// ```
/// ```compile_fail,E0597
/// fn call(client: &duocall::pool::Client) -> duocall::pool::Job<duocall::Response> {
///     let request = duocall::Request::get("x");
///     client.call(&request)
/// }
/// ```
struct Borrowed;

/// A job is waited for once.
///
/// ```no_run
/// fn wait(job: duocall::pool::Job<duocall::Response>) {
///     let _ = job.wait();
/// }
/// ```
/// ```compile_fail,E0382
/// fn wait(job: duocall::pool::Job<duocall::Response>) {
///     let _ = job.wait();
///     let _ = job.wait();
/// }
/// ```
struct Twice;

/// New kinds of errors break nobody: a match has to have an arm for them.
///
/// ```
/// fn phase(error: &duocall::Error) -> Option<duocall::Phase> {
///     match error.kind() {
///         duocall::ErrorKind::Timeout(phase) => Some(phase),
///         _ => None,
///     }
/// }
/// ```
/// ```compile_fail,E0004
/// fn phase(error: &duocall::Error) -> Option<duocall::Phase> {
///     match error.kind() {
///         duocall::ErrorKind::Timeout(phase) => Some(phase),
///     }
/// }
/// ```
struct Matched;

/// The call of an async client may move between threads, so its endpoint can.
///
/// ```no_run
/// # use std::{rc::Rc, sync::Arc};
/// async fn call(client: &duocall::nonblocking::Client) {
///     let _ = client.call(Arc::new(duocall::Request::get("x"))).await;
/// }
/// ```
/// ```compile_fail,E0277
/// # use std::{rc::Rc, sync::Arc};
/// async fn call(client: &duocall::nonblocking::Client) {
///     let _ = client.call(Rc::new(duocall::Request::get("x"))).await;
/// }
/// ```
struct Sent;

/// The builder is not the API: without `build` there is nothing to call.
///
/// ```
/// fn client() -> Result<duocall::blocking::Client, duocall::Error> {
///     Ok(duocall::blocking::Client::new(duocall::Api::builder("http://localhost/").build()?))
/// }
/// ```
/// ```compile_fail,E0308
/// fn client() -> Result<duocall::blocking::Client, duocall::Error> {
///     Ok(duocall::blocking::Client::new(duocall::Api::builder("http://localhost/")))
/// }
/// ```
struct Unbuilt;
