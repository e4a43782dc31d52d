"""Whether the official SDK for Python notices that an answer is not whole: as faults.mjs."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import openai

AT_ONCE = 6
END = "nothing was spent."
MESSAGES = [{"role": "user", "content": "Open, please"}]

client = openai.OpenAI(base_url=os.environ["BASE_URL"] + "/openai/v1", api_key=os.environ["TOKEN"], max_retries=0)


def text(model, stream):
    answer = client.chat.completions.create(model=model, messages=MESSAGES, stream=stream)
    if not stream:
        return answer.choices[0].message.content
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)


def look(case):
    model = f"python-{'stream' if case['stream'] else 'plain'}{case['options']}"
    try:
        end = text(model, case["stream"])[-200:]
        saw = "whole" if end.endswith(END) else f"no error, and not its end: {end}"
    except Exception as error:
        saw = f"error: {type(error).__name__}: {error}"[:200]
    return json.dumps({"sdk": "python", **case, "model": model, "saw": saw})


with ThreadPoolExecutor(AT_ONCE) as threads:
    for line in threads.map(look, json.loads(os.environ["CASES"])):
        print(line)
