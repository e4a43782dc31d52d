//! What a body does, one step after the other.

use std::io;
use std::iter;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::Stream;
use futures_util::stream;

use super::gzip::Gzip;
use super::{Events, Frame, Told};
use crate::record::Served;
use crate::script::Fault;

/// Time for the bytes before a cut to leave: an error drops what is still buffered.
const FLUSH: Duration = Duration::from_millis(20);

/// How long a stall lasts: longer than any test, and than any client.
const STALL: Duration = Duration::from_hours(24);

/// In the middle of its JSON, and of a character.
const MALFORMED: &[u8] = b"data: {\"id\": \"broken\", \"choices\": [{\"text\": \"\xf0\x9f\n\n";

pub(super) enum Step {
    Send(Frame),
    Wait(Duration),
    Cut,
}

/// A plain answer; a fault that breaks it off does so in the middle.
pub(super) fn document(frame: Frame, fault: Option<&Fault>) -> impl Iterator<Item = Step> + Send + use<> {
    let half = Frame::from(frame.bytes.slice(..frame.bytes.len() / 2));
    let (frame, last) = match fault {
        Some(Fault::Cut(_)) => (half, Some(Step::Cut)),
        Some(Fault::Stall(_)) => (half, Some(Step::Wait(STALL))),
        Some(Fault::End(_) | Fault::Malformed(_)) => (half, None),
        Some(Fault::Length) => (frame, Some(Step::Cut)),
        _ => (frame, None),
    };
    iter::once(Step::Send(frame)).chain(last)
}

pub(super) fn events(
    events: Events,
    pace: Duration,
    fault: Option<&Fault>,
) -> impl Iterator<Item = Step> + Send + use<> {
    let (limit, last) = match fault {
        Some(&Fault::Cut(count)) => (Some(count), Some(Step::Cut)),
        Some(&Fault::Stall(count)) => (Some(count), Some(Step::Wait(STALL))),
        Some(&Fault::End(count)) => (Some(count), None),
        // The server would give up at once, and what it had not sent yet with it.
        Some(Fault::Length) => (None, Some(Step::Cut)),
        _ => (None, None),
    };
    let malformed = match fault {
        Some(&Fault::Malformed(count)) => Some(count),
        _ => None,
    };
    let deltas = events.deltas.take(limit.unwrap_or(usize::MAX)).enumerate();
    let deltas = deltas.flat_map(move |(index, delta)| {
        let wait = (index > 0 && !pace.is_zero()).then_some(Step::Wait(pace));
        let broken = (malformed == Some(index)).then(|| Bytes::from_static(MALFORMED).into());
        let frames = broken.into_iter().chain(iter::once(delta)).map(Step::Send);
        wait.into_iter().chain(frames)
    });
    let tail = if limit.is_none() { events.tail } else { Vec::new() };
    let head = events.head.into_iter().map(Step::Send);
    head.chain(deltas).chain(tail.into_iter().map(Step::Send)).chain(last)
}

/// Every frame in pieces of so many bytes, with a pause between them.
pub(super) fn trickled(
    steps: impl Iterator<Item = Step> + Send,
    size: usize,
    pause: Duration,
) -> impl Iterator<Item = Step> + Send {
    steps.flat_map(move |step| {
        let Step::Send(Frame { bytes, told }) = step else { return vec![step] };
        let starts = (0..bytes.len()).step_by(size.max(1));
        starts
            .flat_map(|start| {
                let end = start.saturating_add(size).min(bytes.len());
                let told = if end == bytes.len() { told } else { Told::NOTHING };
                let piece = Frame { bytes: bytes.slice(start..end), told };
                [Step::Send(piece), Step::Wait(pause)]
            })
            .collect()
    })
}

pub(super) fn gzipped(steps: impl Iterator<Item = Step> + Send) -> impl Iterator<Item = Step> + Send {
    let mut gzip = Some(Gzip::default());
    let mut steps = steps.fuse();
    iter::from_fn(move || match steps.next() {
        Some(Step::Send(Frame { bytes, told })) => {
            let bytes = gzip.as_mut().map_or_else(Vec::new, |gzip| gzip.block(&bytes));
            Some(Step::Send(Frame { bytes: bytes.into(), told }))
        }
        None => gzip.take().map(|gzip| Step::Send(Bytes::from(gzip.finish()).into())),
        step => step,
    })
}

pub(super) fn stream(
    steps: impl Iterator<Item = Step> + Send + 'static,
    served: Served,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold((steps, served), |(mut steps, served)| async move {
        loop {
            match steps.next()? {
                Step::Send(Frame { bytes, told }) => {
                    served.add(told);
                    return Some((Ok(bytes), (steps, served)));
                }
                Step::Wait(pause) => tokio::time::sleep(pause).await,
                Step::Cut => {
                    tokio::time::sleep(FLUSH).await;
                    return Some((Err(io::Error::other("cut on purpose")), (steps, served)));
                }
            }
        }
    })
}
