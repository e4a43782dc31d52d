//! Everything that an event passes on its way fails, over and over: control
//! planes are killed and stopped, the databases are killed, and the way to the
//! control planes loses requests and answers.

use super::rig::Rig;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::soak::dice::Dice;
use crate::soak::path::Losses;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two faults of one part. Each must get somewhere.
const BETWEEN: Range<u64> = 500..5_000;
/// How long what was killed stays away.
const AWAY: Range<u64> = 0..1_500;

/// It blows until each part has failed so often, and it is over.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Of each part.
    pub kills: usize,
    /// How long each control plane, and the consumer in it, stands still in the
    /// midst. What it holds is another's meanwhile, if it is long enough.
    pub pause: Duration,
}

/// The servers that the control planes need, which may be killed.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    pub postgres: Option<Arc<Postgres>>,
    pub redis: Option<Arc<Redis>>,
}

/// How often what was done.
#[derive(Clone, Copy, Debug)]
pub struct Damage {
    control_planes: usize,
    pauses: usize,
    postgres: usize,
    redis: usize,
    losses: Losses,
}

impl Storm {
    /// Afterwards everything is up again.
    pub async fn blow(
        self,
        rig: Arc<Rig>,
        servers: Servers,
        is_over: Arc<AtomicBool>,
        mut dice: Dice,
    ) -> Damage {
        rig.path.set_bad(true);
        let is_enough = move |kills| kills >= self.kills && is_over.load(Ordering::Relaxed);
        let members = rig.fleet.all().map(|at| self.strike(&rig, at, dice.child(), &is_enough));
        let members = futures_util::future::join_all(members.collect::<Vec<_>>());
        let (postgres_dice, redis_dice) = (dice.child(), dice.child());
        let postgres = async {
            match servers.postgres {
                Some(server) => {
                    kill_often(postgres_dice, &is_enough, &server, Postgres::kill, Postgres::restart).await
                }
                None => 0,
            }
        };
        let redis = async {
            match servers.redis {
                Some(server) => {
                    kill_often(redis_dice, &is_enough, &server, Redis::kill, Redis::restart).await
                }
                None => 0,
            }
        };
        let (members, postgres, redis) = tokio::join!(members, postgres, redis);
        rig.path.set_bad(false);
        Damage {
            control_planes: members.iter().sum(),
            pauses: members.len(),
            postgres,
            redis,
            losses: rig.path.losses(),
        }
    }

    /// Kills a control plane again and again, and in the midst lets it stand still.
    async fn strike(
        &self,
        rig: &Rig,
        at: usize,
        mut dice: Dice,
        is_enough: &impl Fn(usize) -> bool,
    ) -> usize {
        let mut kills = 0;
        while !is_enough(kills) {
            tokio::time::sleep(dice.millis(BETWEEN)).await;
            if kills == self.kills / 2 {
                rig.fleet.pause(at, self.pause).await;
            }
            rig.fleet.kill(at);
            kills += 1;
            tokio::time::sleep(dice.millis(AWAY)).await;
            rig.fleet.restart(at).await;
        }
        kills
    }
}

async fn kill_often<S: Send + Sync + 'static>(
    mut dice: Dice,
    is_enough: &impl Fn(usize) -> bool,
    server: &Arc<S>,
    kill: fn(&S),
    restart: fn(&S),
) -> usize {
    let mut kills = 0;
    while !is_enough(kills) {
        tokio::time::sleep(dice.millis(BETWEEN)).await;
        let (server, away) = (Arc::clone(server), dice.millis(AWAY));
        let killed = tokio::task::spawn_blocking(move || {
            kill(&server);
            std::thread::sleep(away);
            restart(&server);
        });
        killed.await.unwrap();
        kills += 1;
    }
    kills
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { control_planes, pauses, postgres, redis, losses } = self;
        let Losses { requests, answers, late } = losses;
        write!(
            f,
            "kill -9 of {control_planes} control planes, {postgres} times PostgreSQL, {redis} times Redis; \
             {pauses} control planes stood still; on the way {requests} requests and {answers} answers were \
             lost and {late} pieces were late"
        )
    }
}
