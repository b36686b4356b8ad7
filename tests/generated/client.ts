import createClient from "npm:openapi-fetch@0";
import type { components, paths } from "./types.ts";

const client = createClient<paths>({ baseUrl: Deno.args[0], headers: { Authorization: "Bearer YOUR_API_KEY" } });
const converted = await client.POST("/convert", {
  params: { header: { Prefer: "wait=60" } },
  body: { url: "https://youtu.be/dQw4w9WgXcQ" },
});
if (!converted.data) throw new Error(converted.error.error.message);
const done: components["schemas"]["Conversion"] = converted.data;
const mp3 = await client.GET("/static/downloads/{conversion_id}.mp3", {
  params: { path: { conversion_id: done.conversion_id } },
  parseAs: "arrayBuffer",
});
const size = mp3.data ? mp3.data.byteLength : 0;
if (done.status !== "completed" || size !== done.file_size) throw new Error(JSON.stringify(done));
console.log(`a typed client has converted "${done.title}": ${size} bytes`);
