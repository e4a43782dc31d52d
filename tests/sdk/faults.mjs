// Whether the official SDKs for Node notice that an answer is not whole. CASES is a list of {options, stream};
// prints for each of them and each SDK {sdk, options, stream, model, saw}, a line each: `whole`, or why not. The
// model is asked for by nobody else.
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";

const { BASE_URL, TOKEN, CASES } = process.env;
const AT_ONCE = 6;
const END = "nothing was spent.";
const input = "Open, please";
const messages = [{ role: "user", content: input }];

const openai = new OpenAI({ baseURL: `${BASE_URL}/openai/v1`, apiKey: TOKEN, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: `${BASE_URL}/anthropic`, apiKey: TOKEN, maxRetries: 0 });
const google = new GoogleGenAI({ apiKey: TOKEN, httpOptions: { baseUrl: `${BASE_URL}/google` } });

// The text of an answer.
const sdks = {
  async chat(model, stream) {
    const request = { model, messages };
    if (!stream) return (await openai.chat.completions.create(request)).choices[0].message.content;
    let text = "";
    for await (const { choices } of await openai.chat.completions.create({ ...request, stream })) text += choices[0]?.delta?.content ?? "";
    return text;
  },
  async responses(model, stream) {
    const request = { model, input };
    if (!stream) return (await openai.responses.create(request)).output_text;
    return (await openai.responses.stream(request).finalResponse()).output_text;
  },
  async anthropic(model, stream) {
    const request = { model, max_tokens: 2000, messages };
    const message = stream ? anthropic.messages.stream(request).finalMessage() : anthropic.messages.create(request);
    return (await message).content[0].text;
  },
  async google(model, stream) {
    const request = { model, contents: input };
    if (!stream) return (await google.models.generateContent(request)).text;
    let text = "";
    for await (const chunk of await google.models.generateContentStream(request)) text += chunk.text ?? "";
    return text;
  },
};

const work = JSON.parse(CASES).flatMap((one) => Object.keys(sdks).map((sdk) => ({ sdk, ...one })));
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let one = work.shift(); one !== undefined; one = work.shift()) {
      const { sdk, options, stream } = one;
      const model = `${sdk}-${stream ? "stream" : "plain"}${options}`;
      const saw = await sdks[sdk](model, stream).then(
        (text) => (text?.endsWith(END) ? "whole" : `no error, and not its end: ${text?.slice(-200)}`),
        (error) => `error: ${error?.constructor?.name}: ${String(error?.message).slice(0, 200)}`,
      );
      console.log(JSON.stringify({ sdk, options, stream, model, saw }));
    }
  }),
);
