//! How much later a chunk arrives for having come through the edge.

use super::load;
use super::report::{Row, median, millis};
use super::rig::Rig;
use std::time::{Duration, Instant};

const PACE: Duration = Duration::from_millis(5);

/// Streams each way; of one alone, a moment in which something else ran would decide.
const ROUNDS: usize = 9;

/// The upstream keeps a pace; what of each chunk's delay behind that pace is
/// the edge's shows beside the same stream read without it.
pub async fn lateness(rig: &Rig) -> Row {
    let edge = rig.edge();
    let model = "gpt-example+chunks=200,pace=5";
    let through = rig.chat(&edge.url("/openai"), model, true);
    let direct = rig.chat(&rig.upstream, model, true);
    // Warm both.
    load::arrivals(&through).await;
    load::arrivals(&direct).await;
    let (mut of_edge, mut of_none) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_edge.push(latest(&load::arrivals(&through).await));
        of_none.push(latest(&load::arrivals(&direct).await));
    }
    let (through, direct) = (median(of_edge), median(of_none));
    Row {
        what: format!("latest chunk of a stream, behind its pace, median of {ROUNDS}"),
        measured: millis(through),
        beside: format!("{} read directly", millis(direct)),
        ratio: None,
        to_reach: "each within 2 ms".into(),
        is_reached: through < direct + Duration::from_millis(2),
    }
}

/// The longest that a chunk came after the one before it, beyond the pace.
fn latest(arrivals: &[Instant]) -> Duration {
    let gaps = arrivals.windows(2).map(|pair| (pair[1] - pair[0]).saturating_sub(PACE));
    gaps.max().unwrap_or_default()
}
