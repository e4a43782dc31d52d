//! `make bench`.

#![allow(clippy::print_stdout, reason = "a command")]

use latchkey_tests::bench::{forward, rig::Rig};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let rig = Rig::start().await;
    let (edge, floor) = forward::beside_floor(&rig, "gpt-example+chunks=20,pace=0", false, 20_000).await;
    println!("forward: {edge:?} / {floor:?} = {:.2}", edge.as_secs_f64() / floor.as_secs_f64());
    let (edge, floor) = forward::beside_floor(&rig, "gpt-example+chunks=200,pace=0", true, 2_000).await;
    println!("stream: {edge:?} / {floor:?} = {:.2}", edge.as_secs_f64() / floor.as_secs_f64());
}
