// SDKs for Node through routes: only base URL and key are set, so each would also try again by itself. CASES is a
// list of {sdk, model, stream}; prints for each of them that is for an SDK here {sdk, model, saw}, a line each.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { APICallError, generateText, streamText } from "ai";
import OpenAI from "openai";

const { BASE_URL, TOKEN, CASES } = process.env;
const input = "Open, please";
const messages = [{ role: "user", content: input }];

const openai = new OpenAI({ baseURL: `${BASE_URL}/openai/v1`, apiKey: TOKEN });
const anthropic = new Anthropic({ baseURL: `${BASE_URL}/anthropic`, apiKey: TOKEN });
const aiOpenai = createOpenAI({ baseURL: `${BASE_URL}/openai/v1`, apiKey: TOKEN });
const aiAnthropic = createAnthropic({ baseURL: `${BASE_URL}/anthropic/v1`, apiKey: TOKEN });

const isBadRequestOfAi = (error) => APICallError.isInstance(error) && error.statusCode === 400 && !error.isRetryable;

// How each gets the text of an answer, and whether an error is its own for status 400.
const sdks = {
  chat: {
    async text(model, stream) {
      const request = { model, messages };
      if (!stream) return (await openai.chat.completions.create(request)).choices[0].message.content;
      let text = "";
      for await (const { choices } of await openai.chat.completions.create({ ...request, stream })) text += choices[0]?.delta?.content ?? "";
      return text;
    },
    isBadRequest: (error) => error instanceof OpenAI.BadRequestError,
  },
  responses: {
    async text(model, stream) {
      const request = { model, input };
      if (!stream) return (await openai.responses.create(request)).output_text;
      return (await openai.responses.stream(request).finalResponse()).output_text;
    },
    isBadRequest: (error) => error instanceof OpenAI.BadRequestError,
  },
  anthropic: {
    async text(model, stream) {
      const request = { model, max_tokens: 2000, messages };
      const message = stream ? anthropic.messages.stream(request).finalMessage() : anthropic.messages.create(request);
      return (await message).content[0].text;
    },
    isBadRequest: (error) => error instanceof Anthropic.BadRequestError,
  },
  "ai-openai": { text: (model, stream) => textOfAi(aiOpenai(model), stream), isBadRequest: isBadRequestOfAi },
  "ai-chat": { text: (model, stream) => textOfAi(aiOpenai.chat(model), stream), isBadRequest: isBadRequestOfAi },
  "ai-anthropic": { text: (model, stream) => textOfAi(aiAnthropic(model), stream), isBadRequest: isBadRequestOfAi },
};

async function textOfAi(model, stream) {
  if (!stream) return (await generateText({ model, prompt: input })).text;
  let failure;
  const { textStream } = streamText({ model, prompt: input, onError: ({ error }) => (failure = error) });
  let text = "";
  for await (const piece of textStream) text += piece;
  if (failure) throw failure;
  return text;
}

await Promise.all(
  Object.entries(sdks).map(async ([sdk, { text, isBadRequest }]) => {
    for (const { model, stream } of JSON.parse(CASES).filter((one) => one.sdk === sdk)) {
      const saw = await text(model, stream).catch((error) =>
        isBadRequest(error) ? "bad request" : `error: ${error?.constructor?.name}: ${String(error?.message).slice(0, 300)}`,
      );
      console.log(JSON.stringify({ sdk, model, saw }));
    }
  }),
);
