// Chat Completions and Models, as a program that knows nothing of this server uses them.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { assertShape } from "./shapes.js";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "any", maxRetries: 0, timeout: 20_000 });
const model = "chat";
const asking = (content) => ({ model, messages: [{ role: "user", content }] });
const usage = { prompt_tokens: "number", completion_tokens: "number", total_tokens: "number" };
const weather = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};

test("the models are listed and found", async () => {
  const ids = [];
  for await (const found of client.models.list()) {
    assertShape(found, { id: "string", object: "string", created: "number", owned_by: "string" });
    ids.push(found.id);
  }
  assert.ok(ids.includes(model));
  assert.equal((await client.models.retrieve(model)).id, model);
});

test("a message is answered", async () => {
  const { data, request_id } = await client.chat.completions.create(asking("/say Hello there")).withResponse();
  assertShape(data, {
    id: "string",
    object: "string",
    created: "number",
    model: "string",
    usage,
    choices: [{ index: "number", finish_reason: "string", message: { role: "string", content: "string" } }],
  });
  assert.equal(data.choices[0].message.content, "Hello there");
  assert.equal(data.choices[0].finish_reason, "stop");
  assert.match(request_id, /^req_/);
});

test("an answer is streamed, and says at its end what it used", async () => {
  const stream = await client.chat.completions.create({
    ...asking("/tokens 40"),
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = [];
  for await (const chunk of stream) {
    assertShape(chunk, { id: "string", object: "string", created: "number", model: "string" });
    chunks.push(chunk);
  }
  const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
  assert.equal(text, Array.from({ length: 40 }, (_, i) => i + 1).join(" "));
  assertShape(chunks.at(-1).usage, usage);
  assert.equal(chunks.at(-2).choices[0].finish_reason, "stop");
});

test("the helper puts a stream together", async () => {
  const stream = client.chat.completions.stream(asking("/say Hello there"));
  let seen = "";
  stream.on("content", (delta) => (seen += delta));
  const done = await stream.finalChatCompletion();
  assert.equal(done.choices[0].message.content, "Hello there");
  assert.equal(seen, "Hello there");
});

for (const stream of [false, true]) {
  test(`a function of ours is called and its result goes on (stream: ${stream})`, async () => {
    const asked = [];
    const told = { ...weather.function, parse: JSON.parse, function: ({ city }) => (asked.push(city), "Snow") };
    const runner = client.chat.completions.runTools({
      ...asking('/call weather {"city": "Oslo"}\n/say So: Snow'),
      tools: [{ type: "function", function: told }],
      stream,
    });
    assert.match(await runner.finalContent(), /Snow/);
    assert.deepEqual(asked, ["Oslo"]);
  });
}

test("tools of the agent are used on the server and not shown", async () => {
  const done = await client.chat.completions.create({
    ...asking('/call calculate {"expression": "6*7"}\n/say Done'),
    tools: [weather],
  });
  assert.equal(done.choices[0].message.tool_calls, undefined);
  assert.equal(done.choices[0].finish_reason, "stop");
});

test("a failure has its class, its code and its parameter", async () => {
  await assert.rejects(
    client.chat.completions.create({ ...asking("Hello"), model: "none" }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found" && error.param === "model",
  );
  await assert.rejects(
    client.chat.completions.create({ ...asking("Hello"), n: 3 }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === "n",
  );
  await assert.rejects(
    client.chat.completions.create(asking("/fail rate_limited")),
    (error) => error instanceof OpenAI.InternalServerError && error.code === "model_rate_limited",
  );
});

test("a failure within a stream is thrown", async () => {
  const stream = await client.chat.completions.create({ ...asking("/fail unavailable"), stream: true });
  await assert.rejects(
    async () => {
      for await (const chunk of stream) assert.ok(chunk);
    },
    (error) => error instanceof OpenAI.APIError && error.code === "model_unavailable",
  );
});

test("a stream can be left", async () => {
  const stream = await client.chat.completions.create({ ...asking("/tokens 20\n/stall 600"), stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk);
    break;
  }
  assert.ok(stream.controller.signal.aborted);
});
