// The official Anthropic SDK for Node: only the base URL and the key are changed.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const { BASE_URL, TOKEN, BAD_TOKEN } = process.env;
const baseURL = `${BASE_URL}/example-anthropic`;
const request = { model: "claude-example", max_tokens: 100, messages: [{ role: "user", content: "Open, please" }] };

const client = new Anthropic({ baseURL, apiKey: TOKEN, maxRetries: 0 });
const plain = await client.messages.create(request);
assert.match(plain.content[0].text, /Open, please/);
assert.equal(plain.stop_reason, "end_turn");

const final = await client.messages.stream(request).finalMessage();
assert.equal(final.content[0].text, plain.content[0].text);

const refused = new Anthropic({ baseURL, apiKey: BAD_TOKEN, maxRetries: 0 });
await assert.rejects(refused.messages.create(request), (error) => {
  assert.ok(error instanceof Anthropic.AuthenticationError, String(error));
  assert.equal(error.status, 401);
  assert.equal(error.error.error.type, "authentication_error");
  return true;
});
console.log("@anthropic-ai/sdk: ok");
