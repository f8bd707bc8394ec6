// The npm client against a server: prints what it saw.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "none", maxRetries: 0 });
const model = "scalpel-demo";
const messages = [{ role: "user", content: "show me toxicity" }];
const seen = {};

const chat = client.chat.completions;
const { data, response } = await chat
  .create({ model, messages, scalpel: { breakers: { toxicity: 0.5 } } })
  .withResponse();
seen.chat = data.choices[0].message.content;
seen.report = data.scalpel;
seen.headers = Object.fromEntries(response.headers);

seen.stream = "";
seen.streamReports = [];
for await (const chunk of await chat.create({ model, messages, stream: true })) {
  seen.stream += chunk.choices[0].delta.content ?? "";
  seen.streamReports.push(chunk.scalpel ?? null);
}
seen.helper = await chat.stream({ model, messages }).finalContent();

const asked = { model, input: "hello" };
const strict = await client.responses.create(asked, { headers: { "X-Scalpel-Profile": "strict" } });
seen.responses = strict.output_text;
seen.responsesReport = strict.scalpel;
seen.events = [];
for await (const event of await client.responses.create({ ...asked, stream: true })) {
  seen.events.push(event.type);
}
seen.responsesHelper = (await client.responses.stream(asked).finalResponse()).output_text;

const moderation = await client.moderations.create({ input: ["show me toxicity", "hello"] });
seen.flagged = moderation.results.map((result) => result.flagged);
seen.categories = moderation.results[0].categories;

seen.models = [];
for await (const found of client.models.list()) {
  seen.models.push(found.id);
}
seen.refusals = [];
for (const wrong of [
  () => client.responses.create({ ...asked, previous_response_id: "resp_1" }),
  () => chat.create({ model: "gpt-4", messages }),
]) {
  await wrong().catch((error) => seen.refusals.push([error.constructor.name, error.status, error.param]));
}
console.log(JSON.stringify(seen));
