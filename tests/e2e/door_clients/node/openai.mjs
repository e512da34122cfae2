// The `openai` package: what a program does with it, as lines of JSON. The address is the only argument.
import OpenAI from "openai";
import { IMAGE, QUESTION, SCHEMA, TOOL, attempt, told } from "./asked.mjs";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none" });
const ask = (messages, more = {}) => client.chat.completions.create({ model: "auto", messages, ...more });
const user = (content) => [{ role: "user", content }];

await told("chat", async () => {
  const answer = await ask(user(QUESTION));
  return { text: answer.choices[0].message.content, finish: answer.choices[0].finish_reason, usage: answer.usage.total_tokens };
});
await told("stream", async () => {
  let text = "", usage = 0;
  for await (const chunk of await ask(user(QUESTION), { stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage?.total_tokens ?? usage;
  }
  return { text, usage };
});
await told("tools", async () => {
  const tools = [{ type: "function", function: TOOL }];
  const messages = user(`Use ${TOOL.name} for Oslo.`);
  const stream = client.chat.completions.stream({ model: "auto", messages, tools });
  const asked = (await stream.finalChatCompletion()).choices[0].message;
  const call = asked.tool_calls[0];
  messages.push(asked, { role: "tool", tool_call_id: call.id, content: "7 degrees" });
  const answer = await ask(messages, { tools });
  return { name: call.function.name, given: JSON.parse(call.function.arguments), text: answer.choices[0].message.content };
});
await told("structured", async () => {
  const response_format = { type: "json_schema", json_schema: { name: "invoice", schema: SCHEMA, strict: true } };
  return { object: JSON.parse((await ask(user("Invoice 17, total 12.50."), { response_format })).choices[0].message.content) };
});
await told("image", async () => {
  const content = [{ type: "text", text: "What is this?" }, { type: "image_url", image_url: { url: IMAGE } }];
  return { text: (await ask(user(content))).choices[0].message.content };
});
await told("responses", async () => {
  const answer = await client.responses.create({ model: "auto", input: QUESTION });
  const again = await client.responses.retrieve(answer.id);
  return { text: answer.output_text, same: again.output_text === answer.output_text, status: again.status };
});
await told("error", () => attempt(() => ask(user(QUESTION), { tools: [{ type: "function", function: { name: "a b" } }] })));
await told("retry", async () => {
  const options = { idempotencyKey: `node-openai-${process.argv[3]}` };
  const body = { model: "auto", messages: user(QUESTION) };
  const [one, two] = await Promise.all([1, 2].map(() => client.chat.completions.create(body, options)));
  return { same: one.id === two.id || one.choices[0].message.content === two.choices[0].message.content };
});
