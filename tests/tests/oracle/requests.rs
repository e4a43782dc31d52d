//! Requests, and whether they are answered as the rows allow.

use crate::clock::{self, DAY};
use crate::expect::{Credential, Expectation};
use crate::keys;
use crate::tally::Tally;
use crate::world::World;
use latchkey_tests::soak::dice::Dice;
use shared::id;
use shared::token::Token as PlainToken;

impl World {
    pub(crate) fn ask(&mut self, dice: &mut Dice, tally: &mut Tally) -> Result<(), String> {
        let edge = dice.below(self.edges.len());
        let any = dice.below(self.tokens.len());
        let credential = match dice.below(20) {
            0 => Credential::WrongSecret(any),
            1 => Credential::Stranger,
            2 => Credential::WrongTag,
            3..11 => Credential::Token(self.touched.unwrap_or(any)),
            _ => Credential::Token(any),
        };
        self.ask_for(edge, credential, dice.roll(), tally)
    }

    /// The error says what was wrong, and with what.
    pub(crate) fn ask_for(
        &mut self,
        edge: usize,
        credential: Credential,
        chance: u64,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let text = self.text(edge, credential, chance);
        let chance = u32::try_from(chance >> 32).unwrap();
        let edge = &mut self.edges[edge];
        let response = edge.ask(&self.runtime, &self.published, &text, chance);
        let credential = match credential {
            Credential::Token(token) if !edge.listed().tag.contains(&self.tokens[token].tag) => {
                Credential::WrongTag
            }
            other => other,
        };
        let expectation = Expectation::of(&self.model, credential, &response);
        match expectation.check(&self.model, credential, &response) {
            Ok(strictness) => {
                tally.count(strictness, response.verdict);
                if let Some(knows) = expectation.shows(&self.model, credential, &response) {
                    edge.showed(knows);
                }
            }
            Err(problem) => {
                let born = match credential {
                    Credential::Token(token) => format!("{:?}", self.model.births[token]),
                    _ => String::new(),
                };
                return Err(format!(
                    "{credential:?} was answered with {problem}\n{response:?}\nat location {}\n{born}",
                    edge.location
                ));
            }
        }
        self.runtime.pass_until(clock::now() + 1);
        Ok(())
    }

    fn text(&self, edge: usize, credential: Credential, chance: u64) -> String {
        let listed = self.edges[edge].listed();
        let now = clock::now();
        let stranger = || PlainToken::new(id::new(now - chance % DAY, &[7; 10]), [7; 20]);
        match credential {
            Credential::Token(token) => self.tokens[token].text.clone(),
            Credential::WrongSecret(token) => {
                PlainToken::new(self.tokens[token].id, [8; 20]).reveal(&listed.tags()).to_string()
            }
            Credential::Stranger => stranger().reveal(&listed.tags()).to_string(),
            Credential::WrongTag => stranger().reveal(&keys::foreign_tags()).to_string(),
        }
    }
}
