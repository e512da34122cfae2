// Vercel's AI SDK with `@ai-sdk/openai-compatible`: what a program does with it, as lines of JSON.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { IMAGE, PARAMETERS, QUESTION, SCHEMA, TOOL, attempt, told } from "./asked.mjs";

const provider = createOpenAICompatible({
  name: "tierstream", baseURL: process.argv[2], apiKey: "none", supportsStructuredOutputs: true, includeUsage: true,
});
const model = provider("auto");
const look = tool({ description: TOOL.description, inputSchema: jsonSchema(PARAMETERS), execute: async () => "7 degrees" });

await told("chat", async () => {
  const { text, finishReason, usage } = await generateText({ model, prompt: QUESTION });
  return { text, finish: finishReason, usage: usage.totalTokens };
});
await told("stream", async () => {
  const stream = streamText({ model, prompt: QUESTION });
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  return { text, usage: (await stream.usage).totalTokens };
});
await told("tools", async () => {
  const stream = streamText({
    model, prompt: `Use ${TOOL.name} for Oslo.`, tools: { [TOOL.name]: look }, stopWhen: stepCountIs(3),
  });
  const [steps, text] = [await stream.steps, await stream.text];
  const call = steps[0].toolCalls[0];
  return { name: call.toolName, given: call.input, text };
});
await told("structured", async () => {
  const output = Output.object({ schema: jsonSchema(SCHEMA) });
  return { object: (await generateText({ model, prompt: "Invoice 17, total 12.50.", output })).output };
});
await told("image", async () => {
  const content = [{ type: "text", text: "What is this?" }, { type: "image", image: IMAGE }];
  return { text: (await generateText({ model, messages: [{ role: "user", content }] })).text };
});
await told("error", () => attempt(() => generateText({ model, prompt: QUESTION, temperature: 9, maxRetries: 0 })));
