//! What is answered: words that follow from the request alone, and the tokens they count for.
//! A token is a word, that is, whatever stands between white space.

use sha2::{Digest as _, Sha256};

use crate::content::{Speaker, Turn};
use crate::script::{Fault, Model};

/// The word that makes a frame of ten megabytes.
const GIANT: usize = 10 << 20;

/// The longest echo, in characters: a request of 90 MB gets a short answer all the same.
const ECHO_CHARS: usize = 400;

pub(crate) struct Answer {
    /// 24 hexadecimal digits; the same request has the same id.
    pub(crate) id: String,
    /// The words, each with the space that precedes it: the chunks of a stream, the text when joined.
    pub(crate) words: Vec<String>,
    pub(crate) finish: Finish,
    pub(crate) usage: Usage,
}

/// Why the answer ends where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    /// The request's own limit on output tokens cut it short.
    Length,
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
    pub(crate) fn compose(model: &Model, turns: &[Turn], limit: Option<usize>) -> Self {
        let question = turns.iter().rev().find(|turn| turn.speaker == Speaker::User);
        let sentence = sentence(question.map_or("", |turn| turn.text.as_str()));
        let available = sentence.split_whitespace().count();
        let count = match (model.script.chunks, limit) {
            (Some(chunks), _) => chunks,
            (None, Some(limit)) => available.min(limit),
            (None, None) => available,
        };
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
        Self {
            id: id(&model.name, turns),
            finish: if count < available && model.script.chunks.is_none() {
                Finish::Length
            } else {
                Finish::Stop
            },
            usage: Usage { input: turns.iter().map(|turn| tokens(&turn.text)).sum(), output: words.len() },
            words,
        }
    }

    pub(crate) fn text(&self) -> String {
        self.words.concat()
    }
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
        Answer::compose(&model, &turns, limit)
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
        assert!(Answer::compose(&model, &turns, None).text().len() < 1_000);
    }
}
