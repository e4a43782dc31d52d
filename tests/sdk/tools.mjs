// SDKs for Node through routes, as routes.mjs: a streamed call of a tool, or JSON by a schema. CASES is a list of
// {sdk, model, wants}; prints for each of them that is for an SDK here {sdk, model, saw}, a line each.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { jsonSchemaOutputFormat } from "@anthropic-ai/sdk/helpers/json-schema";
import { generateObject, jsonSchema, streamText, tool } from "ai";
import OpenAI from "openai";

const { BASE_URL, TOKEN, CASES } = process.env;
const name = "get_weather";
const description = "The weather of some days.";
const input = `Use ${name}, please`;
const messages = [{ role: "user", content: input }];
const schema = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};

const openai = new OpenAI({ baseURL: `${BASE_URL}/openai/v1`, apiKey: TOKEN });
const anthropic = new Anthropic({ baseURL: `${BASE_URL}/anthropic`, apiKey: TOKEN });
const aiOpenai = createOpenAI({ baseURL: `${BASE_URL}/openai/v1`, apiKey: TOKEN });
const aiAnthropic = createAnthropic({ baseURL: `${BASE_URL}/anthropic/v1`, apiKey: TOKEN });

// How each gets the calls of a stream, as {name, arguments}, and the object.
const sdks = {
  chat: {
    async calls(model) {
      const tools = [{ type: "function", function: { name, description, parameters: schema, strict: true } }];
      const { choices } = await openai.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
      return choices[0].message.tool_calls.map(({ function: called }) => ({ name: called.name, arguments: JSON.parse(called.arguments) }));
    },
    async object(model) {
      const response_format = { type: "json_schema", json_schema: { name, schema, strict: true } };
      const { choices } = await openai.chat.completions.parse({ model, messages, response_format });
      return JSON.parse(choices[0].message.content);
    },
  },
  responses: {
    async calls(model) {
      const tools = [{ type: "function", name, description, parameters: schema, strict: true }];
      const { output } = await openai.responses.stream({ model, input, tools }).finalResponse();
      return output.map((item) => ({ name: item.name, arguments: JSON.parse(item.arguments) }));
    },
    async object(model) {
      const text = { format: { type: "json_schema", name, schema, strict: true } };
      return JSON.parse((await openai.responses.parse({ model, input, text })).output_text);
    },
  },
  anthropic: {
    async calls(model) {
      const tools = [{ name, description, input_schema: schema }];
      const { content } = await anthropic.messages.stream({ model, max_tokens: 2000, messages, tools }).finalMessage();
      return content.map((block) => ({ name: block.name, arguments: block.input }));
    },
    async object(model) {
      const output_config = { format: jsonSchemaOutputFormat(schema) };
      return (await anthropic.messages.parse({ model, max_tokens: 2000, messages, output_config })).parsed_output;
    },
  },
  "ai-openai": { calls: (model) => callsOfAi(aiOpenai(model)), object: (model) => objectOfAi(aiOpenai(model)) },
  "ai-chat": { calls: (model) => callsOfAi(aiOpenai.chat(model)), object: (model) => objectOfAi(aiOpenai.chat(model)) },
  "ai-anthropic": { calls: (model) => callsOfAi(aiAnthropic(model)), object: (model) => objectOfAi(aiAnthropic(model)) },
};

async function callsOfAi(model) {
  let failure;
  const tools = { [name]: tool({ description, inputSchema: jsonSchema(schema) }) };
  const result = streamText({ model, prompt: input, tools, onError: ({ error }) => (failure = error) });
  await result.consumeStream();
  if (failure) throw failure;
  return (await result.toolCalls).map((call) => ({ name: call.toolName, arguments: call.input }));
}

async function objectOfAi(model) {
  return (await generateObject({ model, prompt: input, schema: jsonSchema(schema) })).object;
}

await Promise.all(
  Object.entries(sdks).map(async ([sdk, ways]) => {
    for (const { model, wants } of JSON.parse(CASES).filter((one) => one.sdk === sdk)) {
      const saw = await ways[wants](model).catch((error) => `error: ${error?.constructor?.name}: ${String(error?.message).slice(0, 300)}`);
      console.log(JSON.stringify({ sdk, model, saw }));
    }
  }),
);
