//! What happens in a history. Steps are data, made from a seed before the first
//! one is taken, and any part of them can be taken alone: whom a step concerns
//! is a number, which counts among those there are when its time comes.

use crate::clock::{DAY, HOUR, MINUTE, SECOND, Time};
use crate::view::{Fault, Location};
use latchkey_tests::soak::dice::Dice;
use std::collections::BTreeSet;

pub(crate) const LOCATIONS: usize = 3;

/// Whom a step concerns, modulo how many there are.
pub(crate) type Pick = usize;

/// How long a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Forever,
    For(Time),
}

/// Which key is rotated, one step of it at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rotated {
    Signing,
    Tag,
    Credential,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Pass(Time),
    CreateProject,
    CreateToken(Pick, Life),
    ChangeExpiry(Pick, Life),
    Revoke(Pick),
    RevokeAll(Pick),
    Activate(Pick, bool),
    ChangeKey(Pick),
    RemoveKey(Pick),
    MoveProvider,
    Rebuild,
    /// One whose last objects are long on their way.
    RebuildSlowly(Time),
    /// Tokens that nobody uses, more than a delta holds.
    Flood(Life),
    /// The control plane dies, and starts again later.
    Kill(Time),
    /// It is down for so long; where the flag says so, all isolates then start anew.
    Outage(Time, bool),
    /// It dies while its manifest is on its way, which arrives.
    KillInWrite,
    /// The same, but that arrives after its successor's.
    KillAndLandLate,
    BackUp,
    /// And so long until the control plane starts again.
    Restore(Time),
    Rotate(Rotated),
    /// From its first step to its last.
    RotateWholly(Rotated),
    /// Plots of several: see [`crate::plots`].
    CompactUnseen(Pick),
    RestoreUnseen(Pick),
    RestoreOver,
    WipeKv,
    /// KV fails the control plane.
    BreakControl(Time),
    /// KV fails a location.
    BreakEdge(Location, Fault, Time),
    ForgetCopies(Location),
    /// Isolates end, and others start as they are asked.
    Evict(Pick),
    /// The worker is deployed anew.
    Deploy,
}

const ROTATED: [Rotated; 3] = [Rotated::Signing, Rotated::Tag, Rotated::Credential];
/// In [`each`], between two: everything settles, and faults end.
const BETWEEN: Time = 5 * MINUTE;
/// Chance has by then brought about everything that it can.
const SAMPLE: usize = 50_000;

impl Action {
    /// What it does, whomever it concerns and however long it takes.
    pub(crate) fn kind(self) -> String {
        let text = format!("{self:?}");
        match self {
            Self::Rotate(_) | Self::RotateWholly(_) => text,
            _ => text.split('(').next().unwrap().to_owned(),
        }
    }
}

/// A step, and where the requests after it get their chance from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) action: Action,
    pub(crate) requests: u64,
}

pub(crate) fn steps(dice: &mut Dice, count: usize) -> Vec<Step> {
    (0..count).map(|_| Step { action: action(dice), requests: dice.roll() }).collect()
}

/// All kinds that chance may bring about.
pub(crate) fn kinds() -> BTreeSet<String> {
    steps(&mut Dice::new(0), SAMPLE).into_iter().map(|step| step.action.kind()).collect()
}

/// A history in which each kind of step is done once, and nothing hinders it.
pub(crate) fn each(dice: &mut Dice) -> Vec<Step> {
    let rotations = ROTATED.into_iter().flat_map(|of| [Action::RotateWholly(of), Action::Rotate(of)]);
    let all = [
        Action::CreateProject,
        Action::CreateToken(0, Life::For(2 * BETWEEN)),
        Action::ChangeExpiry(0, Life::For(DAY)),
        Action::ChangeKey(0),
        Action::MoveProvider,
        Action::Rebuild,
        // So that there is something new to make.
        Action::CreateToken(0, Life::Forever),
        Action::RebuildSlowly(MINUTE),
        Action::Flood(Life::For(MINUTE)),
        Action::CompactUnseen(0),
        Action::KillInWrite,
        Action::KillAndLandLate,
        Action::Kill(MINUTE),
        Action::BackUp,
        Action::Revoke(0),
        Action::Restore(3 * MINUTE),
        Action::RestoreUnseen(0),
        Action::RestoreOver,
        Action::Revoke(0),
        Action::WipeKv,
        Action::BreakControl(MINUTE),
        Action::BreakEdge(0, Fault::Fail, MINUTE),
        Action::ForgetCopies(0),
        Action::Evict(0),
        Action::Deploy,
        Action::RemoveKey(0),
        Action::RevokeAll(1),
        Action::Activate(1, false),
        Action::Outage(DAY + HOUR, true),
    ];
    let spaced = all.into_iter().chain(rotations).flat_map(|action| [action, Action::Pass(BETWEEN)]);
    spaced.map(|action| Step { action, requests: dice.roll() }).collect()
}

fn action(dice: &mut Dice) -> Action {
    let pick = usize::try_from(dice.roll() >> 32).unwrap();
    match dice.below(1000) {
        0..319 => Action::Pass(time(dice)),
        319..322 => Action::RotateWholly(ROTATED[dice.below(3)]),
        322..330 => Action::CompactUnseen(pick),
        330..335 => Action::RestoreUnseen(pick),
        335..340 => Action::RestoreOver,
        340..510 => Action::CreateToken(pick, life(dice)),
        510..560 => Action::Revoke(pick),
        560..600 => Action::ChangeExpiry(pick, life(dice)),
        600..612 => Action::RevokeAll(pick),
        612..650 => Action::Activate(pick, dice.percent(70)),
        650..670 => Action::ChangeKey(pick),
        670..680 => Action::RemoveKey(pick),
        680..690 => Action::CreateProject,
        690..700 => Action::MoveProvider,
        700..745 => Action::Rebuild,
        745..755 => Action::RebuildSlowly(short(dice)),
        755..765 => Action::Flood(life(dice)),
        765..773 => Action::Kill(if dice.percent(40) { 0 } else { time(dice) }),
        773..785 => Action::Outage(DAY + dice.roll() % (6 * HOUR), dice.percent(70)),
        785..795 => Action::KillInWrite,
        795..805 => Action::KillAndLandLate,
        805..820 => Action::BackUp,
        820..835 => Action::Restore([0, MINUTE, 3 * MINUTE, HOUR][dice.below(4)]),
        835..855 => Action::Rotate(ROTATED[dice.below(3)]),
        855..863 => Action::WipeKv,
        863..885 => Action::BreakControl(fault_time(dice)),
        885..935 => Action::BreakEdge(dice.below(LOCATIONS), fault(dice), fault_time(dice)),
        935..945 => Action::ForgetCopies(dice.below(LOCATIONS)),
        945..990 => Action::Evict(pick),
        _ => Action::Deploy,
    }
}

fn life(dice: &mut Dice) -> Life {
    match dice.below(10) {
        0..5 => Life::Forever,
        5 | 6 => Life::For(1 + dice.roll() % MINUTE),
        7 | 8 => Life::For(1 + dice.roll() % (10 * MINUTE)),
        _ => Life::For(1 + dice.roll() % (2 * DAY)),
    }
}

fn time(dice: &mut Dice) -> Time {
    let (least, most) = match dice.below(20) {
        0..4 => (1, SECOND),
        4..9 => (SECOND, 20 * SECOND),
        9..13 => (20 * SECOND, 2 * MINUTE),
        13..17 => (2 * MINUTE, 10 * MINUTE),
        17 | 18 => (10 * MINUTE, 6 * HOUR),
        _ => (6 * HOUR, 30 * HOUR),
    };
    least + dice.roll() % (most - least)
}

fn short(dice: &mut Dice) -> Time {
    SECOND + dice.roll() % (3 * MINUTE)
}

fn fault_time(dice: &mut Dice) -> Time {
    if dice.percent(90) { short(dice) } else { time(dice) }
}

fn fault(dice: &mut Dice) -> Fault {
    match dice.below(8) {
        0 => Fault::Fail,
        1 => Fault::Hang,
        2 => Fault::Slow(300 + dice.roll() % 4_000),
        3 => Fault::NoManifest,
        _ => Fault::NoObjects,
    }
}
