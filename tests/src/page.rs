//! A page of the documentation, as who follows it has it: its commands are run one
//! after the other in one shell, and what each prints is compared with the page.

use crate::process::root;
use std::process::Command;
use std::time::Duration;

/// Stands for what is left out of a line, or differs each time.
const ELLIPSIS: char = '…';
/// A line of the shell's own after each block.
const END: &str = "---- end of the block";
/// Beyond it something hangs.
const PATIENCE: Duration = Duration::from_mins(5);

/// A block of commands, and what the page shows under it: nothing, or a block of text
/// that follows with only empty lines between.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    line: usize,
    commands: String,
    shown: Vec<String>,
}

/// Runs the page's commands, each of `places` replaced, and checks what they print.
pub fn follow(page: &str, places: &[(&str, &str)]) {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let steps = steps(&text);
    assert!(!steps.is_empty(), "{page} has no commands");
    let said = run(&steps, places);
    for (at, step) in steps.iter().enumerate() {
        let Step { line, commands, shown } = step;
        let said = said.get(at).unwrap_or_else(|| panic!("{page}:{line} did not end:\n{commands}\n{said:?}"));
        assert!(is_as_shown(shown, said), "{page}:{line}\n{commands}\nshows {shown:#?}\nbut it said\n{said}");
    }
}

/// What each step printed, errors too, as far as they came to their end.
fn run(steps: &[Step], places: &[(&str, &str)]) -> Vec<String> {
    let commands = steps.iter().map(|step| format!("{}echo '{END}'\n", step.commands));
    let mut script = "exec 2>&1\n".to_owned() + &commands.collect::<String>();
    for (of_the_page, here) in places {
        assert!(script.contains(of_the_page), "the page does not name {of_the_page}");
        script = script.replace(of_the_page, here);
    }
    let mut command = Command::new("timeout");
    command.arg(PATIENCE.as_secs().to_string()).args(["bash", "-c", &script]).current_dir(root());
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let mut said: Vec<String> = said.split(&format!("{END}\n")).map(str::to_owned).collect();
    let unfinished = said.pop().unwrap();
    if said.len() < steps.len() {
        println!("{unfinished}");
    }
    said
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut block = None;
    let mut is_just_after_commands = false;
    for (at, line) in text.lines().enumerate() {
        match (block, line) {
            (None, "```sh") => {
                steps.push(Step { line: at + 1, commands: String::new(), shown: Vec::new() });
                block = Some("sh");
            }
            (None, "```text") if is_just_after_commands => block = Some("text"),
            (None, _) if line.starts_with("```") => block = Some("other"),
            (None, _) => is_just_after_commands &= line.is_empty(),
            (Some(kind), "```") => {
                is_just_after_commands = kind == "sh";
                block = None;
            }
            (Some("sh"), _) => {
                let commands = &mut steps.last_mut().unwrap().commands;
                commands.push_str(line);
                commands.push('\n');
            }
            (Some("text"), _) => steps.last_mut().unwrap().shown.push(line.to_owned()),
            (Some(_), _) => {}
        }
    }
    steps
}

/// Empty lines aside.
fn is_as_shown(shown: &[String], said: &str) -> bool {
    let shown: Vec<&str> = shown.iter().map(String::as_str).filter(|line| !line.is_empty()).collect();
    let said: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    shown.len() == said.len() && shown.iter().zip(said).all(|(shown, said)| is_like(shown, said))
}

fn is_like(shown: &str, said: &str) -> bool {
    let Some((start, rest)) = shown.split_once(ELLIPSIS) else { return shown == said };
    let Some(mut left) = said.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once(ELLIPSIS).unwrap_or(("", rest));
    for part in middle.split(ELLIPSIS) {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A page\n\n```sh\na=1\necho $a\necho two\n```\n\n```text\n1\n…o\n```\n\n\
        A picture:\n\n```text\n-->\n```\n\n```sh\ntrue\n```\nWords.\n```text\nnot shown by it\n```\n\
        ```json\n{}\n```\n";

    #[test]
    fn a_page_has_commands_and_what_is_shown_right_under_them() {
        let shown = |lines: &[&str]| lines.iter().map(ToString::to_string).collect();
        let expected = [
            Step { line: 3, commands: "a=1\necho $a\necho two\n".into(), shown: shown(&["1", "…o"]) },
            Step { line: 20, commands: "true\n".into(), shown: shown(&[]) },
        ];
        assert_eq!(steps(PAGE), expected);
        assert_eq!(run(&steps(PAGE), &[("two", "zero")]), ["1\nzero\n", ""]);
    }

    #[test]
    fn an_ellipsis_stands_for_anything_within_a_line() {
        for (shown, said) in [("a", "a"), ("a…", "a"), ("…", ""), ("a…b…c", "a b b c"), ("…ab", "abab")]
        {
            assert!(is_like(shown, said), "{shown} {said}");
        }
        for (shown, said) in [("a", "ab"), ("a…", "b"), ("a…b…c", "a c"), ("ab…b", "ab"), ("…a…", "b")]
        {
            assert!(!is_like(shown, said), "{shown} {said}");
        }
    }

    #[test]
    fn each_line_is_shown_and_no_other_is_said() {
        let shown = ["a…".to_owned(), "b".to_owned()];
        assert!(is_as_shown(&shown, "ab\n\nb\n"));
        assert!(!is_as_shown(&shown, "ab\n") && !is_as_shown(&shown, "a\nb\nb\n"));
        assert!(is_as_shown(&[], "\n") && !is_as_shown(&[], "an error\n"));
    }
}
