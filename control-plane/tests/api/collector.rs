//! A collector of traces: OTLP over HTTP, protobuf. It can be made to fail.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
pub(crate) use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Answers(u16),
    /// Takes calls and says nothing.
    Hangs,
}

pub(crate) struct Collector {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    mode: Mutex<Mode>,
    calls: Mutex<Vec<Call>>,
    called: Condvar,
}

#[derive(Clone)]
pub(crate) struct Call {
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    was_taken: bool,
}

impl Collector {
    pub(crate) fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared =
            Arc::new(Shared { mode: Mutex::new(mode), calls: Mutex::default(), called: Condvar::new() });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&server);
                std::thread::spawn(move || shared.answer(stream.unwrap()));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    pub(crate) fn until_called(&self, times: usize) {
        self.until(&format!("{times} calls"), |calls| (calls.len() >= times).then_some(()));
    }

    /// Waits for a span and returns it.
    pub(crate) fn span(&self, what: &str, is_it: impl Fn(&Span) -> bool) -> Span {
        self.until(what, |calls| spans(calls).into_iter().find(|span| is_it(span)))
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        spans(&self.calls())
    }

    fn until<T>(&self, what: &str, find: impl Fn(&[Call]) -> Option<T>) -> T {
        let calls = self.shared.calls.lock().unwrap();
        let limit = Duration::from_mins(1);
        let (calls, _) =
            self.shared.called.wait_timeout_while(calls, limit, |calls| find(calls).is_none()).unwrap();
        find(&calls).unwrap_or_else(|| {
            let names: Vec<String> = spans(&calls).into_iter().map(|span| span.name).collect();
            panic!("no {what} among {names:?}")
        })
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let mode = *self.mode.lock().unwrap();
        self.calls.lock().unwrap().push(Call { head, body, was_taken: matches!(mode, Mode::Answers(200)) });
        self.called.notify_all();
        match mode {
            Mode::Answers(status) => {
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).ok();
            }
            // Until the client is gone.
            Mode::Hangs => drop(reader.read(&mut [0])),
        }
    }
}

fn spans(calls: &[Call]) -> Vec<Span> {
    let bodies = calls.iter().filter(|call| call.was_taken).map(|call| call.body.as_slice());
    let resources = bodies.flat_map(|body| ExportTraceServiceRequest::decode(body).unwrap().resource_spans);
    resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}

impl Call {
    /// Attributes of the resource that its spans are of.
    pub(crate) fn resource(&self, key: &str) -> Option<String> {
        let request = ExportTraceServiceRequest::decode(self.body.as_slice()).unwrap();
        find(&request.resource_spans[0].resource.as_ref()?.attributes, key)
    }
}

pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    find(&span.attributes, key)
}

/// A number is shown as `number n`, so that a text is not taken for one.
fn find(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text.clone()),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => Some(format!("number {number}")),
        other => panic!("{key}: {other:?}"),
    }
}
