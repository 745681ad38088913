// Conversations and their items.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { assertShape } from "./shapes.js";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "any", maxRetries: 0, timeout: 20_000 });
const conversation = { id: "string", object: "string", created_at: "number", metadata: {} };
const user = (text) => ({ type: "message", role: "user", content: [{ type: "input_text", text }] });

test("a conversation is created, read, changed and deleted", async () => {
  const made = await client.conversations.create({ metadata: { topic: "rivers" } });
  assertShape(made, conversation);
  assert.deepEqual(await client.conversations.retrieve(made.id), made);
  const changed = await client.conversations.update(made.id, { metadata: { topic: "lakes" } });
  assert.deepEqual(changed.metadata, { topic: "lakes" });
  const gone = await client.conversations.delete(made.id);
  assert.deepEqual({ ...gone }, { id: made.id, object: "conversation.deleted", deleted: true });
  await assert.rejects(client.conversations.retrieve(made.id), OpenAI.NotFoundError);
});

test("items are added, paged in both directions, and taken out", async () => {
  const made = await client.conversations.create({ items: ["1", "2", "3"].map(user) });
  const added = await client.conversations.items.create(made.id, { items: ["4", "5"].map(user) });
  assertShape(added, { object: "string", data: [{ id: "string" }], first_id: "string", last_id: "string" });
  const texts = async (order) => {
    const found = [];
    for await (const item of client.conversations.items.list(made.id, { order, limit: 2 })) {
      assertShape(item, { id: "string", type: "string", role: "string", status: "string" });
      found.push(item.content[0].text);
    }
    return found;
  };
  assert.deepEqual(await texts("asc"), ["1", "2", "3", "4", "5"]);
  assert.deepEqual(await texts("desc"), ["5", "4", "3", "2", "1"]);
  const [four] = added.data;
  const one = await client.conversations.items.retrieve(four.id, { conversation_id: made.id });
  assert.deepEqual(one, four);
  const left = await client.conversations.items.delete(four.id, { conversation_id: made.id });
  assertShape(left, conversation);
  assert.deepEqual(await texts("asc"), ["1", "2", "3", "5"]);
});
