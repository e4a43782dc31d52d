//! What `/manage/policy/check` says is what the edge does: random requests, by
//! policies of every kind and through routes.

mod question;
mod setting;

use latchkey_tests::edge::call::{Reply, send};
use latchkey_tests::soak::dice::Dice;
use latchkey_tests::stack::Stack;
use question::Question;
use serde_json::Value;
use setting::Setting;
use std::collections::BTreeMap;

const QUESTIONS: usize = 600;
/// By then everything has come up, whatever the dice.
const MOST_QUESTIONS: usize = 10 * QUESTIONS;

/// Everything that must have been compared: the codes of refusals, and how others passed.
const KINDS: [&str; 18] = [
    "invalid_path",
    "unknown_provider",
    "endpoint_not_allowed",
    "method_not_allowed",
    "network_not_allowed",
    "country_not_allowed",
    "origin_not_allowed",
    "header_required",
    "body_too_large",
    "param_not_allowed",
    "invalid_body",
    "encoded_body",
    "upstream_unavailable",
    "no target may be asked",
    "as named",
    "by a route",
    "by a route, a target left out",
    "refused by the provider that is named, for want of a route",
];

#[tokio::test]
async fn the_check_says_what_the_edge_does() {
    let mut dice = Dice::of_environment();
    let stack = Stack::start().await;
    let setting = Setting::make(&stack, &mut dice).await;
    stack.until_settled().await;
    let mut tally = BTreeMap::<&str, usize>::new();
    let mut asked = 0;
    while asked < QUESTIONS || KINDS.iter().any(|kind| !tally.contains_key(kind)) {
        assert!(asked < MOST_QUESTIONS, "not everything came up: {tally:?}");
        asked += 1;
        let token = setting.token(&mut dice);
        let question = Question::roll(&mut dice, token);
        let said = stack.control_plane.post("/manage/policy/check", question.to_check()).await;
        let reply = send(question.to_edge(&stack.edge)).await;
        if let Err(differs) = compare(&said, &reply) {
            panic!(
                "{differs}\nthe check said {said}\nthe edge said {} {:?} {}\n{question:?}",
                reply.status,
                reply.headers,
                reply.text()
            );
        }
        for kind in kinds(&said, &question) {
            *tally.entry(kind).or_default() += 1;
        }
    }
    println!("{asked} questions: {tally:?}");
}

fn compare(said: &Value, reply: &Reply) -> Result<(), String> {
    let code = said["code"].as_str();
    if reply.code() != code {
        return Err(format!("the code is {:?}", reply.code()));
    }
    if said["allowed"] != code.is_none() {
        return Err("it is allowed and refused".to_owned());
    }
    if code.is_some() {
        let told = (u64::from(reply.status), reply.message());
        let expected = (said["status"].as_u64().unwrap(), said["message"].as_str().unwrap().to_owned());
        return if told == expected { Ok(()) } else { Err(format!("status and message are {told:?}")) };
    }
    let provider = reply.header("x-latchkey-provider").ok_or("nobody was asked")?;
    let may_be_asked = said["targets"].as_array().unwrap().iter().filter(|target| target["allowed"] == true);
    let models: Vec<&Value> =
        may_be_asked.filter(|target| target["provider"] == provider).map(|target| &target["model"]).collect();
    if models.is_empty() {
        return Err(format!("{provider} was asked"));
    }
    match answered_model(reply) {
        // Null: it is not known what will be sent.
        Some(model) if !models.iter().any(|sent| sent.is_null() || **sent == *model) => {
            Err(format!("it was sent as {model}"))
        }
        Some(_) | None => Ok(()),
    }
}

/// The model that the provider was asked, where it says so.
fn answered_model(reply: &Reply) -> Option<String> {
    let answer: Value = serde_json::from_slice(&reply.body).ok().filter(|_| reply.status == 200)?;
    let model = answer["model"].as_str().or_else(|| answer["modelVersion"].as_str());
    model.map(str::to_owned)
}

fn kinds(said: &Value, question: &Question) -> Vec<&'static str> {
    let code = said["code"].as_str();
    let mut kinds: Vec<&str> = KINDS.into_iter().filter(|kind| Some(*kind) == code).collect();
    let targets = said["targets"].as_array().unwrap();
    let is_left_out = targets.iter().any(|target| target["allowed"] == false);
    match (said["route"].is_string(), said["allowed"] == true) {
        (true, true) if is_left_out => kinds.push("by a route, a target left out"),
        (true, true) => kinds.push("by a route"),
        (true, false) => kinds.push("no target may be asked"),
        (false, true) => kinds.push("as named"),
        (false, false)
            if question.may_have_route() && said["policy"] == "provider" && said["param"] == "model" =>
        {
            kinds.push("refused by the provider that is named, for want of a route");
        }
        (false, false) => {}
    }
    kinds
}
