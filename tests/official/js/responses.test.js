// Responses: answered, streamed, gone on from, and with functions of ours.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { assertShape } from "./shapes.js";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "any", maxRetries: 0, timeout: 20_000 });
const model = "chat";
const response = {
  id: "string",
  object: "string",
  created_at: "number",
  model: "string",
  status: "string",
  output: [{ id: "string", type: "string" }],
  tools: [],
  parallel_tool_calls: "boolean",
  metadata: {},
};
const weather = {
  type: "function",
  name: "weather",
  parameters: { type: "object", properties: { city: { type: "string" } } },
  strict: false,
};

test("a response is created, retrieved, its input listed, and deleted", async () => {
  const made = await client.responses.create({ model, input: "/say Hello there", metadata: { topic: "x" } });
  assertShape(made, response);
  assert.equal(made.output_text, "Hello there");
  assert.equal(made.status, "completed");
  const read = await client.responses.retrieve(made.id);
  assert.deepEqual(read.output, made.output);
  const given = [];
  for await (const item of client.responses.inputItems.list(made.id)) given.push(item);
  assert.equal(given[0].content[0].text, "/say Hello there");
  await client.responses.delete(made.id);
  await assert.rejects(client.responses.retrieve(made.id), OpenAI.NotFoundError);
});

test("a stream is typed, numbered, and picked up again anywhere", async () => {
  const stream = await client.responses.create({ model, input: "/tokens 10", stream: true });
  const events = [];
  for await (const event of stream) events.push(event);
  assert.equal(events[0].type, "response.created");
  assert.equal(events.at(-1).type, "response.completed");
  const numbers = events.map((event) => event.sequence_number);
  assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
  const id = events[0].response.id;
  const text = (some) =>
    some.map((event) => (event.type === "response.output_text.delta" ? event.delta : "")).join("");
  assert.equal(text(events), "1 2 3 4 5 6 7 8 9 10");
  for (const [i, { sequence_number }] of events.slice(0, -1).entries()) {
    const rest = [];
    const resumed = await client.responses.retrieve(id, { stream: true, starting_after: sequence_number });
    for await (const event of resumed) rest.push(event);
    assert.equal(text(events.slice(0, i + 1)) + text(rest), text(events));
    assert.equal(rest.at(-1).type, "response.completed");
  }
});

test("the helper puts a stream together", async () => {
  const stream = client.responses.stream({ model, input: "/say Hello there" });
  const done = await stream.finalResponse();
  assert.equal(done.output_text, "Hello there");
});

test("one response goes on from another, and in a conversation", async () => {
  const first = await client.responses.create({ model, input: "/say One" });
  const second = await client.responses.create({ model, input: "/say Two", previous_response_id: first.id });
  assert.equal(second.previous_response_id, first.id);
  const conversation = await client.conversations.create();
  await client.responses.create({ model, input: "/say Three", conversation: conversation.id });
  const items = [];
  for await (const item of client.conversations.items.list(conversation.id, { order: "asc" })) items.push(item);
  assert.deepEqual(items.map((item) => item.content[0].text), ["/say Three", "Three"]);
});

test("a function of ours is called, and its output goes on", async () => {
  const input = '/call weather {"city": "Oslo"}\n/say So: Snow';
  const asked = await client.responses.create({ model, input, tools: [weather] });
  const call = asked.output.find((item) => item.type === "function_call");
  assert.deepEqual(JSON.parse(call.arguments), { city: "Oslo" });
  const done = await client.responses.create({
    model,
    previous_response_id: asked.id,
    tools: [weather],
    input: [{ type: "function_call_output", call_id: call.call_id, output: "Snow" }],
  });
  assert.match(done.output_text, /Snow/);
});

test("one in the background is waited for, and another is cancelled", async () => {
  let made = await client.responses.create({ model, input: "/say Later", background: true });
  for (let tries = 0; made.status !== "completed" && tries < 400; tries += 1) {
    assert.ok(["queued", "in_progress"].includes(made.status), made.status);
    made = await client.responses.retrieve(made.id);
  }
  assert.equal(made.output_text, "Later");
  const long = await client.responses.create({ model, input: "/stall 600", background: true });
  await client.responses.cancel(long.id);
  let ended = await client.responses.retrieve(long.id);
  for (let tries = 0; ended.status !== "cancelled" && tries < 400; tries += 1) {
    ended = await client.responses.retrieve(long.id);
  }
  assert.equal(ended.status, "cancelled");
});

test("what makes no sense is refused by its name", async () => {
  await assert.rejects(
    client.responses.create({ model: "none", input: "Hello" }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found",
  );
  await assert.rejects(
    client.responses.create({ model, input: "Hello", tools: [{ type: "web_search" }] }),
    (error) => error instanceof OpenAI.BadRequestError && error.param?.startsWith("tools"),
  );
});
