"""The official SDK for Python through routes: as tools.mjs."""

import json
import os

import openai
import pydantic

MESSAGES = [{"role": "user", "content": "Use get_weather, please"}]

client = openai.OpenAI(base_url=os.environ["BASE_URL"] + "/openai/v1", api_key=os.environ["TOKEN"])


class Weather(pydantic.BaseModel):
    city: str
    days: int


def calls(model):
    tools = [openai.pydantic_function_tool(Weather, name="get_weather")]
    with client.chat.completions.stream(model=model, messages=MESSAGES, tools=tools) as stream:
        message = stream.get_final_completion().choices[0].message
    called = [call.function for call in message.tool_calls]
    return [{"name": one.name, "arguments": one.parsed_arguments.model_dump()} for one in called]


def parsed(model):
    answer = client.chat.completions.parse(model=model, messages=MESSAGES, response_format=Weather)
    return answer.choices[0].message.parsed.model_dump()


def saw(model, wants):
    try:
        return {"calls": calls, "object": parsed}[wants](model)
    except Exception as error:
        return f"error: {type(error).__name__}: {error}"[:300]


for case in json.loads(os.environ["CASES"]):
    if case["sdk"] == "python":
        told = {"sdk": "python", "model": case["model"], "saw": saw(case["model"], case["wants"])}
        print(json.dumps(told))
