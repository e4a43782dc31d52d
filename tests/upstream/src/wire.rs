//! The connection below HTTP, for what an HTTP server does not do: end it without an answer, or send
//! an answer's forerunners.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::extract::connect_info::Connected;
use axum::http::StatusCode;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Accepts connections that their handlers can speak to.
pub(crate) struct Wires(pub(crate) TcpListener);

pub(crate) struct Wire {
    stream: TcpStream,
    line: Line,
}

/// A handler's hold on its connection. What it asks for is done before the next byte leaves.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Mutex<Wish>>);

#[derive(Default)]
struct Wish {
    end: Option<End>,
    early: Vec<u8>,
}

/// How a connection ends without another byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// RST
    Reset,
    /// FIN
    Hangup,
}

/// In a response's extensions: none of it leaves.
#[derive(Clone, Copy)]
pub(crate) struct Unsent;

impl Line {
    pub(crate) fn end(&self, end: End) -> Unsent {
        self.wish().end = Some(end);
        Unsent
    }

    /// Adds an informational response (1xx) to go before the answer.
    pub(crate) fn send_early(&self, status: StatusCode) {
        let reason = status.canonical_reason().unwrap_or_default();
        let header =
            if status == StatusCode::EARLY_HINTS { "link: </hint>; rel=preload; as=fetch\r\n" } else { "" };
        let response = format!("HTTP/1.1 {} {reason}\r\n{header}\r\n", status.as_u16());
        self.wish().early.extend(response.into_bytes());
    }

    fn wish(&self) -> MutexGuard<'_, Wish> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Wires {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Chunks are small and paced: Nagle's algorithm would merge and delay them.
        drop(stream.set_nodelay(true));
        (Wire { stream, line: Line::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Wires>> for Line {
    fn connect_info(stream: IncomingStream<'_, Wires>) -> Self {
        stream.io().line.clone()
    }
}

impl Wire {
    fn poll_wish(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, line } = self;
        let mut wish = line.wish();
        if let Some(end) = wish.end {
            if end == End::Reset {
                stream.set_zero_linger()?;
            }
            // The server gives the connection up, which closes it.
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "ended on purpose")));
        }
        while !wish.early.is_empty() {
            let count = ready!(Pin::new(&mut *stream).poll_write(context, &wish.early))?;
            wish.early.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_wish(context))?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_wish(context))?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A FIN would go before the RST.
        if self.line.wish().end == Some(End::Reset) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
