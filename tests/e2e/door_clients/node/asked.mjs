// What every client asks, and how it tells what came of it.
export const QUESTION = "What is a partition?";
export const IMAGE =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
export const PARAMETERS = {
  type: "object",
  properties: { city: { type: "string" }, unit: { enum: ["celsius", "fahrenheit"] } },
  required: ["city", "unit"],
  additionalProperties: false,
};
export const TOOL = { name: "get_weather", description: "Weather of a city.", parameters: PARAMETERS };
export const SCHEMA = {
  type: "object",
  properties: { number: { type: "integer" }, total: { type: "number" } },
  required: ["number", "total"],
  additionalProperties: false,
};

export async function told(scene, play) {
  let seen;
  try {
    seen = await play();
  } catch (error) {
    seen = { failed: `${error.name}: ${error.message}` };
  }
  console.log(JSON.stringify({ scene, ...seen }));
}

export async function attempt(play) {
  try {
    await play();
    return { status: 200 };
  } catch (error) {
    const status = error.status ?? error.statusCode ?? error.cause?.statusCode ?? error.lastError?.statusCode;
    return { status, code: error.code ?? error.error?.error?.type ?? null, type: error.constructor.name };
  }
}
