// The official `openai` package, unmodified, against a real server; every answer that it gets is compared with the
// specification on its way.
import assert from 'node:assert/strict';
import { after, afterEach, before } from 'node:test';
import OpenAI from 'openai';
import { startServer } from './server.mjs';
import { absent, watchingFetch } from './spec.mjs';

/** A conversation of one message. */
export const user = (content) => [{ role: 'user', content }];

/** A server and a client for the tests of a file. `schemas`: what of the specification they must have met. */
export function serve({ flags, key, schemas = [] }) {
  const here = {};
  const { fetch, breaches, seen } = watchingFetch();
  before(async () => {
    here.server = await startServer({ flags, key });
    here.connect = (options = {}) =>
      new OpenAI({ baseURL: `${here.server.url}v1`, apiKey: key || 'none', maxRetries: 0, fetch, ...options });
    here.client = here.connect();
    here.chat = (content, more) =>
      here.client.chat.completions.create({ model: 'script', messages: user(content), ...more });
  });
  afterEach(() => assert.deepEqual(breaches.splice(0), []));
  after(async () => {
    await here.server?.stop();
    if (absent) return console.log(`answers were not compared with the specification: ${absent}`);
    for (const schema of schemas) assert.ok(seen[schema] > 0, `no ${schema} was compared`);
  });
  return here;
}

/** All that a stream brings. */
export async function all(stream) {
  const chunks = [];
  for await (const chunk of await stream) chunks.push(chunk);
  return chunks;
}

/** The text of one choice of a streamed chat. */
export const textOf = (chunks, index = 0) =>
  chunks
    .flatMap(({ choices }) => choices)
    .filter((choice) => choice.index === index)
    .map((choice) => choice.delta.content ?? '')
    .join('');

/** Waits until `condition` holds; fails after five seconds, by which time nothing "at once" is still going on. */
export async function until(condition, what) {
  for (const end = Date.now() + 5000; !(await condition());) {
    assert.ok(Date.now() < end, `${what}: not within 5 s`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The error that `promise` ends with. */
export async function failure(promise) {
  const error = await promise.then(
    (value) => assert.fail(`expected an error, got ${JSON.stringify(value)}`),
    (e) => e,
  );
  if (error instanceof assert.AssertionError) throw error;
  return error;
}
