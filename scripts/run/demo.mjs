// The demo project and token: made on the first run, kept afterwards.
import { existsSync, readFileSync } from "node:fs";
import { parseDotenv, writePrivate } from "./settings.mjs";

// The example upstream speaks three APIs; a provider for each.
const EXAMPLES = {
  example: {
    api: "openai",
    auth: { header: "authorization", prefix: "Bearer " },
    allowed_endpoints: [
      { methods: ["POST"], path: "/v1/chat/completions" },
      { methods: ["POST"], path: "/v1/responses" },
      { methods: ["POST"], path: "/v1/embeddings" },
      { methods: ["GET"], path: "/v1/models/**" },
    ],
  },
  "example-anthropic": {
    api: "anthropic",
    auth: { header: "x-api-key", prefix: "" },
    allowed_endpoints: [{ methods: ["POST"], path: "/v1/messages" }],
  },
  "example-google": {
    api: "gemini",
    auth: { header: "x-goog-api-key", prefix: "" },
    allowed_endpoints: [
      { methods: ["POST"], path: "/*/models/*:generateContent" },
      { methods: ["POST"], path: "/*/models/*:streamGenerateContent" },
    ],
  },
};
const EXAMPLE_KEY = "sk-example-upstream-key";

export async function ensureDemo({ home, controlPlane, managementToken, upstream }) {
  const api = client(controlPlane, managementToken);
  const keys = upstream
    ? Object.fromEntries(Object.keys(EXAMPLES).map((name) => [name, EXAMPLE_KEY]))
    : { openai: process.env.OPENAI_API_KEY };
  if (upstream) {
    for (const [name, provider] of Object.entries(EXAMPLES)) {
      await api("PUT", `/manage/providers/${name}`, { ...provider, base_url: upstream });
      await ensurePrice(api, name);
    }
  }
  const defaultProvider = upstream ? "example" : "openai";
  const file = `${home}/demo.env`;
  const kept = existsSync(file) ? parseDotenv(readFileSync(file, "utf8")) : {};
  const project = await ensureProject(api, kept.DEMO_PROJECT_ID, defaultProvider);
  await ensureCredentials(api, project.id, keys);
  const token = await ensureToken(api, project.id, kept);
  writePrivate(file, `DEMO_PROJECT_ID=${project.id}\nDEMO_TOKEN_ID=${token.id}\nDEMO_TOKEN=${token.token}\n`);
  const { published_version: snapshotVersion } = await api("POST", "/manage/snapshot/publish");
  return { token: token.token, model: upstream ? "gpt-example" : "gpt-4o-mini", snapshotVersion };
}

// Made up, so that the demo's usage has a cost.
async function ensurePrice(api, provider) {
  const { data } = await api("GET", `/manage/prices?provider=${provider}`);
  if (data.length > 0) return;
  const price = { input_usd_per_million: "2.5", cached_input_usd_per_million: "1.25", output_usd_per_million: "10" };
  await api("POST", "/manage/prices", { provider, model: "*", source: "made up for the demo", ...price });
}

async function ensureProject(api, id, defaultProvider) {
  const kept = id && (await api("GET", `/manage/projects/${id}`));
  if (!kept) return api("POST", "/manage/projects", { name: `demo-${Date.now().toString(36)}`, default_provider: defaultProvider });
  if (kept.default_provider === defaultProvider) return kept;
  return api("PATCH", `/manage/projects/${id}`, { default_provider: defaultProvider });
}

async function ensureCredentials(api, projectId, keys) {
  const path = `/manage/projects/${projectId}/credentials`;
  const { data } = await api("GET", `${path}?limit=100`);
  for (const [provider, key] of Object.entries(keys)) {
    const kept = data.find((credential) => credential.provider === provider);
    if (!kept) await api("POST", path, { provider, label: "demo", api_key: key });
    else if (kept.hint !== key.slice(-4) || !kept.is_active) {
      await api("PATCH", `${path}/${kept.id}`, { api_key: key, is_active: true });
    }
  }
}

async function ensureToken(api, projectId, kept) {
  const known = kept.DEMO_TOKEN_ID && (await api("GET", `/manage/tokens/${kept.DEMO_TOKEN_ID}`));
  if (known?.is_active) return { id: kept.DEMO_TOKEN_ID, token: kept.DEMO_TOKEN };
  return api("POST", "/manage/tokens", { project_id: projectId, name: "demo", expires_at: null });
}

// Resolves to null for 404.
function client(base, managementToken) {
  return async (method, path, body) => {
    const response = await fetch(base + path, {
      method,
      headers: { authorization: `Bearer ${managementToken}`, ...(body && { "content-type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
    if (method === "GET" && response.status === 404) return null;
    const answer = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${answer.error?.message ?? response.status}`);
    return answer;
  };
}
