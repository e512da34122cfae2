// The `@anthropic-ai/sdk` package: what a program does with it, as lines of JSON. The address is the only argument.
import Anthropic from "@anthropic-ai/sdk";
import { IMAGE, PARAMETERS, QUESTION, SCHEMA, TOOL, attempt, told } from "./asked.mjs";

const client = new Anthropic({ baseURL: process.argv[2].replace(/\/v1$/, ""), apiKey: "none" });
const ask = (messages, more = {}) => client.messages.create({ model: "auto", max_tokens: 500, messages, ...more });
const user = (content) => [{ role: "user", content }];
const textOf = (message) => message.content.filter((block) => block.type === "text").map((block) => block.text).join("");
const tools = [{ name: TOOL.name, description: TOOL.description, input_schema: PARAMETERS }];

await told("chat", async () => {
  const answer = await ask(user(QUESTION), { system: "Be brief." });
  return { text: textOf(answer), finish: answer.stop_reason, usage: answer.usage.input_tokens + answer.usage.output_tokens };
});
await told("stream", async () => {
  const answer = await client.messages.stream({ model: "auto", max_tokens: 500, messages: user(QUESTION) }).finalMessage();
  return { text: textOf(answer), usage: answer.usage.output_tokens };
});
await told("tools", async () => {
  const messages = user(`Use ${TOOL.name} for Oslo.`);
  const asked = await client.messages.stream({ model: "auto", max_tokens: 500, messages, tools }).finalMessage();
  const call = asked.content.find((block) => block.type === "tool_use");
  const result = { type: "tool_result", tool_use_id: call.id, content: "7 degrees" };
  messages.push({ role: "assistant", content: asked.content }, { role: "user", content: [result] });
  return { name: call.name, given: call.input, finish: asked.stop_reason, text: textOf(await ask(messages, { tools })) };
});
await told("structured", async () => {
  const output_config = { format: { type: "json_schema", schema: SCHEMA } };
  return { object: JSON.parse(textOf(await ask(user("Invoice 17, total 12.50."), { output_config }))) };
});
await told("image", async () => {
  const source = { type: "base64", media_type: "image/png", data: IMAGE.split(",")[1] };
  return { text: textOf(await ask(user([{ type: "text", text: "What is this?" }, { type: "image", source }]))) };
});
await told("count", async () => ({
  tokens: (await client.messages.countTokens({ model: "auto", messages: user(QUESTION) })).input_tokens,
}));
await told("error", () => attempt(() => ask(user(QUESTION), { tools: [{ name: "a b", input_schema: PARAMETERS }] })));
await told("retry", async () => {
  const options = { idempotencyKey: `node-anthropic-${process.argv[3]}` };
  const body = { model: "auto", max_tokens: 500, messages: user(QUESTION) };
  const [one, two] = await Promise.all([1, 2].map(() => client.messages.create(body, options)));
  return { same: textOf(one) === textOf(two) };
});
