"""The official SDK for Python through routes: as routes.mjs."""

import json
import os

import openai

MESSAGES = [{"role": "user", "content": "Open, please"}]

client = openai.OpenAI(base_url=os.environ["BASE_URL"] + "/openai/v1", api_key=os.environ["TOKEN"])


def text(model, stream):
    answer = client.chat.completions.create(model=model, messages=MESSAGES, stream=stream)
    if not stream:
        return answer.choices[0].message.content
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)


def saw(model, stream):
    try:
        return text(model, stream)
    except openai.BadRequestError:
        return "bad request"
    except Exception as error:
        return f"error: {type(error).__name__}: {error}"[:300]


for case in json.loads(os.environ["CASES"]):
    if case["sdk"] == "python":
        told = {"sdk": "python", "model": case["model"], "saw": saw(case["model"], case["stream"])}
        print(json.dumps(told))
