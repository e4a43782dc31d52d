// The official Google SDK for Node: only the base URL and the key are changed.
import assert from "node:assert/strict";
import { ApiError, GoogleGenAI } from "@google/genai";

const { BASE_URL, TOKEN, BAD_TOKEN } = process.env;
const httpOptions = { baseUrl: `${BASE_URL}/example-google` };
const request = { model: "gemini-example", contents: "Open, please" };

const client = new GoogleGenAI({ apiKey: TOKEN, httpOptions });
const plain = await client.models.generateContent(request);
assert.match(plain.text, /Open, please/);

let text = "";
for await (const chunk of await client.models.generateContentStream(request)) text += chunk.text ?? "";
assert.equal(text, plain.text);

const refused = new GoogleGenAI({ apiKey: BAD_TOKEN, httpOptions });
await assert.rejects(refused.models.generateContent(request), (error) => {
  assert.ok(error instanceof ApiError, String(error));
  assert.equal(error.status, 401);
  assert.match(error.message, /UNAUTHENTICATED/);
  return true;
});
console.log("@google/genai: ok");
