"""The official OpenAI SDK for Python: only the base URL and the key are changed."""

import os

import openai

BASE_URL = os.environ["BASE_URL"] + "/v1"
MESSAGES = [{"role": "user", "content": "Open, please"}]

client = openai.OpenAI(base_url=BASE_URL, api_key=os.environ["TOKEN"], max_retries=0)

plain = client.chat.completions.create(model="gpt-example", messages=MESSAGES)
assert "Open, please" in plain.choices[0].message.content, plain

stream = client.chat.completions.create(model="gpt-example+pace=1", messages=MESSAGES, stream=True)
text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
assert text == plain.choices[0].message.content, text

response = client.responses.create(model="gpt-example", input="Open, please")
assert "Open, please" in response.output_text, response

refused = openai.OpenAI(base_url=BASE_URL, api_key=os.environ["BAD_TOKEN"], max_retries=0)
try:
    refused.chat.completions.create(model="gpt-example", messages=MESSAGES)
except openai.AuthenticationError as error:
    assert error.status_code == 401 and error.code == "malformed_token", error
else:
    raise AssertionError("a malformed token was accepted")
print("openai for Python: ok")
