//! What is answered: words that follow from the request alone, and the tokens they count for.
//! A token is a word, that is, whatever stands between white space; in JSON, eight characters.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::content::{Speaker, Turn};
use crate::schema;
use crate::script::{Fault, Model};
use crate::wanted::{Tool, Wanted};

/// The word that makes a frame of ten megabytes.
const GIANT: usize = 10 << 20;

/// The longest echo, in characters: a request of 90 MB gets a short answer all the same.
const ECHO_CHARS: usize = 400;

/// Characters of JSON that make a token, and a chunk.
const PIECE_CHARS: usize = 8;

pub(crate) struct Answer {
    /// 24 hexadecimal digits; the same request has the same id.
    pub(crate) id: String,
    /// The words, each with the space that precedes it: the chunks of a stream, the text when joined.
    pub(crate) words: Vec<String>,
    /// Instead of words.
    pub(crate) calls: Vec<Call>,
    pub(crate) finish: Finish,
    pub(crate) usage: Usage,
}

/// A call of one of the client's tools.
pub(crate) struct Call {
    /// As that of the answer, with the call's number.
    pub(crate) id: String,
    pub(crate) name: String,
    /// Its arguments in JSON, chunk by chunk.
    pub(crate) pieces: Vec<String>,
}

/// Why the answer ends where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    /// The request's own limit on output tokens cut it short.
    Length,
    /// The client is to call its tools.
    Calls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) input: usize,
    pub(crate) output: usize,
}

impl Usage {
    pub(crate) fn total(self) -> usize {
        self.input + self.output
    }
}

impl Answer {
    /// Answers the last turn of the user in at most `limit` tokens. The model option `chunks` sets
    /// the exact number of words and wins over the limit, since a test that asks for it counts them.
    pub(crate) fn compose(model: &Model, turns: &[Turn], limit: Option<usize>, wanted: &Wanted) -> Self {
        let id = id(&model.name, turns);
        let limit = limit.unwrap_or(usize::MAX);
        let called = wanted.called(turns);
        let (words, calls, is_whole) = match wanted.schema() {
            _ if !called.is_empty() => {
                let (calls, is_whole) = Call::all(&called, &id, limit);
                (Vec::new(), calls, is_whole)
            }
            Some(schema) => {
                let (words, is_whole) = kept(pieces(&schema::example(schema)), limit);
                (words, Vec::new(), is_whole)
            }
            None => {
                let (words, is_whole) = spoken(model, turns, limit);
                (words, Vec::new(), is_whole)
            }
        };
        let output = words.len() + calls.iter().map(|call| call.pieces.len()).sum::<usize>();
        Self {
            id,
            finish: match (is_whole, calls.is_empty()) {
                (false, _) => Finish::Length,
                (true, false) => Finish::Calls,
                (true, true) => Finish::Stop,
            },
            usage: Usage { input: turns.iter().map(|turn| tokens(&turn.text)).sum(), output },
            words,
            calls,
        }
    }

    pub(crate) fn text(&self) -> String {
        self.words.concat()
    }
}

impl Call {
    /// Those that `limit` leaves something of, and whether that is all.
    fn all(tools: &[&Tool], answer: &str, limit: usize) -> (Vec<Self>, bool) {
        let (mut calls, mut left, mut is_whole) = (Vec::new(), limit, true);
        for (at, tool) in tools.iter().enumerate() {
            let (pieces, is_all) = kept(pieces(&schema::example(&tool.schema)), left);
            (left, is_whole) = (left - pieces.len(), is_whole && is_all);
            if !pieces.is_empty() {
                calls.push(Self { id: format!("{answer}{at}"), name: tool.name.clone(), pieces });
            }
        }
        (calls, is_whole)
    }

    /// In JSON, and incomplete where the answer was cut short.
    pub(crate) fn arguments(&self) -> String {
        self.pieces.concat()
    }

    /// As a value, which they are not where the answer was cut short.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.arguments()).unwrap_or_default()
    }
}

/// The sentence that echoes the last turn of the user, and whether it is all there.
fn spoken(model: &Model, turns: &[Turn], limit: usize) -> (Vec<String>, bool) {
    let question = turns.iter().rev().find(|turn| turn.speaker == Speaker::User);
    let sentence = sentence(question.map_or("", |turn| turn.text.as_str()));
    let available = sentence.split_whitespace().count();
    let count = model.script.chunks.unwrap_or(available.min(limit));
    let mut words: Vec<String> = sentence
        .split_whitespace()
        .cycle()
        .take(count)
        .enumerate()
        .map(|(index, word)| if index == 0 { word.to_owned() } else { format!(" {word}") })
        .collect();
    let another = match &model.script.fault {
        Some(Fault::Giant) => Some("x".repeat(GIANT)),
        _ => model.script.says.clone(),
    };
    // The second, or the only one.
    if let Some((another, word)) = another.zip(words.iter_mut().take(2).last()) {
        *word = format!(" {another}");
    }
    (words, count >= available || model.script.chunks.is_some())
}

fn pieces(json: &Value) -> Vec<String> {
    let text: Vec<char> = json.to_string().chars().collect();
    text.chunks(PIECE_CHARS).map(|piece| piece.iter().collect()).collect()
}

/// At most `limit` of them, and whether that is all.
fn kept(mut pieces: Vec<String>, limit: usize) -> (Vec<String>, bool) {
    let is_all = pieces.len() <= limit;
    pieces.truncate(limit);
    (pieces, is_all)
}

pub(crate) fn tokens(text: &str) -> usize {
    text.split_whitespace().count()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn sentence(question: &str) -> String {
    let question = question.trim();
    let echo: String = question.chars().take(ECHO_CHARS).collect();
    let more = if echo.len() < question.len() { "…" } else { "" };
    format!(
        "Hello! You said: \"{echo}{more}\". \
         I am the example upstream, so no model was asked and nothing was spent."
    )
}

fn id(model: &str, turns: &[Turn]) -> String {
    let mut hash = Sha256::new();
    hash.update(model);
    for turn in turns {
        // A separator, so that the same words divided differently are another request.
        hash.update([0]);
        hash.update(&turn.text);
    }
    hex(&hash.finalize()[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compose(model: &str, limit: Option<usize>) -> Answer {
        let turns = [Turn::other("Be kind.".to_owned()), Turn::user("good  morning".to_owned())];
        let model = Model::try_from(model.to_owned()).unwrap();
        Answer::compose(&model, &turns, limit, &Wanted::default())
    }

    #[test]
    fn echoes_the_last_user_turn_and_counts_words() {
        let answer = compose("m", None);
        assert!(answer.text().starts_with("Hello! You said: \"good morning\". I am"));
        assert_eq!(answer.usage.input, 4);
        assert_eq!(answer.usage.output, tokens(&answer.text()));
        assert_eq!(answer.finish, Finish::Stop);
        assert_eq!(answer.id, compose("m", None).id);
        assert_ne!(answer.id, compose("n", None).id);
    }

    #[test]
    fn a_limit_cuts_it_short_unless_chunks_says_how_many() {
        let short = compose("m", Some(3));
        assert_eq!((short.words.len(), short.finish), (3, Finish::Length));
        let long = compose("m+chunks=200", Some(3));
        assert_eq!((long.words.len(), long.finish), (200, Finish::Stop));
    }

    #[test]
    fn a_huge_question_is_echoed_in_part() {
        let turns = [Turn::user("é".repeat(100_000))];
        let model = Model::try_from("m".to_owned()).unwrap();
        let answer = Answer::compose(&model, &turns, None, &Wanted::default());
        assert!(answer.text().len() < 1_000);
    }
}
