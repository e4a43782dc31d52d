// The official OpenAI SDK for Node: only the base URL and the key are changed.
import assert from "node:assert/strict";
import OpenAI from "openai";

const { BASE_URL, TOKEN, BAD_TOKEN } = process.env;
const client = new OpenAI({ baseURL: `${BASE_URL}/v1`, apiKey: TOKEN, maxRetries: 0 });
const messages = [{ role: "user", content: "Open, please" }];

const plain = await client.chat.completions.create({ model: "gpt-example", messages });
assert.match(plain.choices[0].message.content, /Open, please/);
assert.equal(plain.choices[0].finish_reason, "stop");

let text = "";
const stream = await client.chat.completions.create({ model: "gpt-example+pace=1", messages, stream: true });
for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
assert.equal(text, plain.choices[0].message.content);

const response = await client.responses.create({ model: "gpt-example", input: "Open, please" });
assert.match(response.output_text, /Open, please/);

const events = [];
for await (const event of await client.responses.create({ model: "gpt-example", input: "Open", stream: true })) events.push(event.type);
assert.equal(events.at(-1), "response.completed");

const embedding = await client.embeddings.create({ model: "embedding-example", input: "door" });
assert.ok(embedding.data[0].embedding.length > 0);

const models = await client.models.list();
assert.ok(models.data.length > 0);

const refused = new OpenAI({ baseURL: `${BASE_URL}/v1`, apiKey: BAD_TOKEN, maxRetries: 0 });
await assert.rejects(refused.chat.completions.create({ model: "gpt-example", messages }), (error) => {
  assert.ok(error instanceof OpenAI.AuthenticationError, String(error));
  assert.equal(error.status, 401);
  assert.equal(error.code, "malformed_token");
  assert.equal(error.headers.get("x-latchkey-error"), "malformed_token");
  return true;
});
console.log("openai for Node: ok");
