//! A small blocking HTTP/1.1 client, so that tests decide about every byte and every connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// Its status code.
    pub status: u16,
    /// Its body, whole.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, which it must be.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {}", self.status, self.text()))
    }
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What a connection is made of: TCP, with or without TLS.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One kept connection.
pub struct Connection {
    reader: BufReader<Box<dyn Stream>>,
    socket: TcpStream,
}

impl Connection {
    /// Connects to `host:port`.
    pub fn open(address: &str) -> std::io::Result<Connection> {
        let socket = connect(address)?;
        let reader = BufReader::new(Box::new(socket.try_clone()?) as Box<dyn Stream>);
        Ok(Connection { reader, socket })
    }

    /// The same over TLS, to a server with a certificate for `localhost`. The handshake is made by
    /// the first request.
    pub fn open_tls(address: &str, config: Arc<ClientConfig>) -> std::io::Result<Connection> {
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
        let socket = connect(address)?;
        let stream = StreamOwned::new(tls, socket.try_clone()?);
        Ok(Connection { reader: BufReader::new(Box::new(stream)), socket })
    }

    /// Reading an answer fails when nothing comes for so long.
    pub fn give_up_after(&mut self, patience: Duration) -> std::io::Result<()> {
        self.socket.set_read_timeout(Some(patience))
    }

    /// Sends a request without waiting for the answer.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<()> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.reader.get_mut().write_all(&request)?;
        self.reader.get_mut().flush()
    }

    /// Reads the answer of the oldest request sent.
    pub fn receive(&mut self) -> std::io::Result<Response> {
        let broken = |what: &str| std::io::Error::other(what.to_owned());
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| broken("no status line"))?;
        let (mut length, mut chunked) = (None, false);
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(broken("ended inside headers"));
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse::<usize>().ok();
            }
            chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        let mut body = Vec::new();
        if chunked {
            self.read_chunks(&mut body)?;
        } else {
            body.resize(length.unwrap_or(0), 0);
            self.reader.read_exact(&mut body)?;
        }
        Ok(Response { status, body })
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> std::io::Result<()> {
        loop {
            let mut size = String::new();
            self.reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
            let from = body.len();
            body.resize(from + size, 0);
            self.reader.read_exact(&mut body[from..])?;
            self.reader.read_line(&mut String::new())?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    /// Sends a request and reads its answer.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        self.send(method, target, headers, body)?;
        self.receive()
    }
}

/// Percent-encodes a query-string value.
pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
