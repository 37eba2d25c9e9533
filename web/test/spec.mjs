// Compares what a server sends with the OpenAI specification (OpenAPI 3.1), where that file is: it is data of others, not
// part of this repository.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Ajv from 'ajv/dist/2020.js';
import { parse } from 'yaml';

const DATA = process.env.BONSAI_TEST_DATA || fileURLToPath(new URL('../../../shared/data', import.meta.url));
const FILE = join(DATA, 'suites/openai-openapi/openapi.yaml');

/** OpenAPI 3.0's `nullable`, which this 3.1 file still uses, in the words of JSON Schema. */
function withNulls(schema) {
  if (Array.isArray(schema)) return schema.map(withNulls);
  if (typeof schema !== 'object' || schema === null) return schema;
  const { nullable, ...rest } = Object.fromEntries(Object.entries(schema).map(([k, v]) => [k, withNulls(v)]));
  return nullable === true ? { anyOf: [rest, { type: 'null' }] } : rest;
}

/** Of streams of /v1/completions the schema knows no chunks, only the prose: null until there is something to say. */
function addTextChunks(schemas) {
  const chunk = structuredClone(schemas.CreateCompletionResponse);
  const orNull = (schema) => ({ anyOf: [schema, { type: 'null' }] });
  const { properties } = chunk.properties.choices.items;
  properties.finish_reason = orNull(properties.finish_reason);
  chunk.properties.usage = orNull(chunk.properties.usage);
  schemas.CompletionChunk = chunk;
}

function load() {
  const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
  const { components } = withNulls(parse(readFileSync(FILE, 'utf8')));
  addTextChunks(components.schemas);
  ajv.addSchema({ $id: 'openai', components });
  return (name) => ajv.getSchema(`openai#/components/schemas/${name}`);
}

/** Why nothing is compared; empty when it is. */
export const absent = existsSync(FILE) ? '' : `no ${FILE}`;
const validator = absent ? null : load();

/** What is wrong with `value` as a `name` of the specification: a list, empty when nothing is. */
export function wrongAs(name, value) {
  if (!validator) return [];
  const validate = validator(name);
  if (validate(value)) return [];
  return validate.errors.map((e) => `${name}${e.instancePath} ${e.message}: ${JSON.stringify(value)}`);
}

function schemaOf(path, status, streamed) {
  if (status >= 400) return 'ErrorResponse';
  if (path.endsWith('/chat/completions'))
    return streamed ? 'CreateChatCompletionStreamResponse' : 'CreateChatCompletionResponse';
  if (path.endsWith('/completions')) return streamed ? 'CompletionChunk' : 'CreateCompletionResponse';
  return path.endsWith('/models') ? 'ListModelsResponse' : 'Model';
}

/**
 * A `fetch` for the client that looks at every answer on its way. `breaches` collects what breaks the specification,
 * `seen` counts what was compared, by schema.
 */
export function watchingFetch() {
  const breaches = [];
  const seen = {};
  const look = (name, text) => {
    seen[name] = (seen[name] ?? 0) + 1;
    breaches.push(...wrongAs(name, JSON.parse(text)));
  };
  const watching = async (url, init) => {
    const response = await fetch(url, init);
    const { pathname } = new URL(url);
    const streamed = response.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
    if (!streamed) {
      const text = await response.text();
      look(schemaOf(pathname, response.status), text);
      return new Response(text, response);
    }
    const name = schemaOf(pathname, response.status, true);
    return new Response(response.body.pipeThrough(eachEvent((data) => lookAtEvent(data, name))), response);
  };
  const lookAtEvent = (data, name) => {
    if (data === '[DONE]') return;
    look(data.startsWith('{"error"') ? 'ErrorResponse' : name, data);
  };
  return { fetch: watching, breaches, seen };
}

/** Hands on what it gets, and each event's data to `take`. */
function eachEvent(take) {
  const decoder = new TextDecoder();
  let rest = '';
  return new TransformStream({
    transform(bytes, controller) {
      const events = (rest + decoder.decode(bytes, { stream: true })).split('\n\n');
      rest = events.pop();
      for (const event of events) if (event.startsWith('data: ')) take(event.slice(6));
      controller.enqueue(bytes);
    },
  });
}
