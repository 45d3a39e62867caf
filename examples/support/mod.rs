//! A small server on loopback, so that the examples need no network.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What it says, and how long it thinks before that.
pub struct Answer {
    pub status: u16,
    pub body: String,
    pub after: Duration,
}

/// Ends with the process.
pub struct Server {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Server {
    /// Asks `answer` about each target, such as `/jokes/1`.
    pub fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> io::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (answer, all) = (Arc::new(answer), open.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = answer.clone();
                if let (Ok(mut all), Ok(copy)) = (all.lock(), stream.try_clone()) {
                    all.push(copy);
                }
                // A client that leaves amid an answer is nothing to report.
                thread::spawn(move || drop(serve(&stream, &*answer)));
            }
        });
        Ok(Server { address, open })
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for stream in self.open.lock().iter().flat_map(|all| all.iter()) {
            // It may be closed already.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn serve(mut stream: &TcpStream, answer: &dyn Fn(&str) -> Answer) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        let target = line.split(' ').nth(1).unwrap_or("/").to_owned();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        line.clear();
        let Answer { status, body, after } = answer(&target);
        thread::sleep(after);
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\n");
        write!(stream, "{head}content-type: application/json\r\n\r\n{body}")?;
    }
    Ok(())
}
