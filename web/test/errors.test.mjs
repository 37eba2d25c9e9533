// Refusals, full queues, cancellations and limits of time as the official client sees them.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import OpenAI from 'openai';
import { all, failure, serve, textOf, until, user } from './client.mjs';
import { endless } from './server.mjs';

const CONTEXT = ['-c', '131072']; // so that an endless answer is one

describe('refusals', () => {
  const api = serve({ schemas: ['ErrorResponse'] });
  const { BadRequestError, NotFoundError, APIError } = OpenAI;

  const wrong = [
    [{ messages: [] }, 'messages'],
    [{ messages: 'hello' }, 'messages'],
    [{ messages: [{ role: 'narrator', content: 'x' }] }, 'messages[0].role'],
    [{ messages: [...user('x'), { role: 'user' }] }, 'messages[1].content'],
    [{ messages: user([{ type: 'image_url', image_url: { url: 'x' } }]) }, 'messages[0].content[0]'],
    [{ temperature: 'hot' }, 'temperature'],
    [{ temperature: -1 }, 'temperature'],
    [{ top_p: 2 }, 'top_p'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_completion_tokens: 1.5 }, 'max_completion_tokens'],
    [{ n: 0 }, 'n'],
    [{ seed: 'lucky' }, 'seed'],
    [{ stop: 7 }, 'stop'],
    [{ stream: 'yes' }, 'stream'],
    [{ stream_options: { include_usage: true } }, 'stream_options'],
    [{ stream: true, stream_options: { include_usage: 1 } }, 'stream_options.include_usage'],
    [{ top_logprobs: 2 }, 'top_logprobs'],
    [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
    [{ logit_bias: { hello: 1 } }, 'logit_bias'],
    [{ presence_penalty: 3 }, 'presence_penalty'],
    [{ tools: [{ type: 'web' }] }, 'tools[0].type'],
    [{ tools: [{ type: 'function', function: {} }] }, 'tools[0].function.name'],
    [{ tool_choice: 'maybe' }, 'tool_choice'],
    [{ functions: [] }, 'functions'],
    [{ modalities: ['text', 'audio'] }, 'modalities'],
    [{ response_format: { type: 'poem' } }, 'response_format'],
    [{ messages: user('x '.repeat(9000)) }, 'messages'],
  ];
  for (const [fields, param] of wrong)
    test(`400 names ${param}: ${JSON.stringify(fields).slice(0, 60)}`, async () => {
      const error = await failure(api.chat('hello', fields));
      assert.ok(error instanceof BadRequestError, `${error}`);
      assert.equal(error.param, param);
      assert.equal(error.type, 'invalid_request_error');
      assert.ok(error.requestID);
    });

  test('what does not fit into the context has a code of its own', async () => {
    const long = 'x '.repeat(9000);
    assert.equal((await failure(api.chat(long))).code, 'context_length_exceeded');
    assert.equal((await failure(api.chat(long, { stream: true }))).code, 'context_length_exceeded');
    const error = await failure(api.client.completions.create({ model: 'script', prompt: long }));
    assert.deepEqual([error.code, error.param], ['context_length_exceeded', 'prompt']);
  });

  test('text completions name what is wrong, too', async () => {
    for (const [fields, param] of [
      [{ prompt: null }, 'prompt'],
      [{ prompt: '' }, 'prompt'],
      [{ prompt: [1, -1] }, 'prompt'],
      [{ prompt: 'x', logprobs: 6 }, 'logprobs'],
      [{ prompt: 'x', best_of: 2 }, 'best_of'],
      [{ prompt: 'x', suffix: 'y' }, 'suffix'],
    ]) {
      const error = await failure(api.client.completions.create({ model: 'script', ...fields }));
      assert.ok(error instanceof BadRequestError, `${error}`);
      assert.equal(error.param, param);
    }
  });

  test('a body that is no JSON', async () => {
    const options = { body: '{"messages": [', headers: { 'Content-Type': 'application/json' } };
    const error = await failure(api.client.post('/chat/completions', options));
    assert.equal(error.status, 400);
    assert.equal(error.code, 'invalid_json');
  });

  test('404 and 405', async () => {
    assert.equal((await failure(api.client.models.retrieve('gpt-4'))).code, 'model_not_found');
    assert.ok((await failure(api.client.embeddings.create({ model: 'script', input: 'x' }))) instanceof NotFoundError);
    const error = await failure(api.client.get('/chat/completions'));
    assert.ok(error instanceof APIError);
    assert.equal(error.status, 405);
    assert.equal(error.headers.get('allow'), 'POST');
  });
});

describe('a server with a key', () => {
  const api = serve({ key: 'open sesame', schemas: ['ErrorResponse', 'CreateChatCompletionResponse'] });

  test('401 without it, with a wrong one, and not with the right one', async () => {
    for (const apiKey of ['none', 'open sesam', 'open sesame!']) {
      const wrong = api.connect({ apiKey });
      const error = await failure(wrong.chat.completions.create({ model: 'script', messages: user('hello') }));
      assert.ok(error instanceof OpenAI.AuthenticationError, `${error}`);
      assert.equal(error.code, 'invalid_api_key');
      assert.ok((await failure(all(wrong.models.list()))) instanceof OpenAI.AuthenticationError);
    }
    assert.equal((await api.chat('hello')).choices[0].finish_reason, 'stop');
    assert.ok(!api.server.log.join('\n').includes('sesam')); // Keys are not logged.
  });
});

describe('a server with one place', () => {
  const api = serve({
    flags: ['-np', '1', '--max-queue', '0', ...CONTEXT],
    schemas: ['ErrorResponse', 'CreateChatCompletionStreamResponse'],
  });
  const free = () => until(async () => (await api.server.busy()) === 0, 'the slot is free again');
  /** A stream that has begun, and would go on. */
  const occupy = async (options) => {
    const body = { model: 'script', messages: user('count'), stream: true, ...(await endless(api.server)) };
    const stream = await api.client.chat.completions.create(body, options);
    const iterator = stream[Symbol.asyncIterator]();
    while (!(await iterator.next()).value.choices[0].delta.content) continue;
    assert.equal(await api.server.busy(), 1);
    return { stream, iterator };
  };

  test('429 says when to try again; the client does so by itself', async () => {
    const { stream } = await occupy();
    const error = await failure(api.chat('hello'));
    assert.ok(error instanceof OpenAI.RateLimitError, `${error}`);
    assert.match(error.headers.get('retry-after'), /^[1-9]\d*$/);
    const patient = api.connect({ maxRetries: 3 });
    const answer = patient.chat.completions.create({ model: 'script', messages: user('hello') });
    setTimeout(() => stream.controller.abort(), 100);
    assert.equal((await answer).choices[0].message.content, 'Hello! How can I help you?');
  });

  test('an aborted stream frees the slot at once', async () => {
    const { stream } = await occupy();
    stream.controller.abort();
    await free();
    assert.equal((await api.chat('hello')).choices[0].finish_reason, 'stop');
  });

  test('so does leaving the loop', async () => {
    const stream = await api.client.chat.completions.create({
      model: 'script',
      messages: user('count'),
      stream: true,
      ...(await endless(api.server)),
    });
    for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
    await free();
  });

  test('so does aborting a request without a stream', async () => {
    const controller = new AbortController();
    const body = { model: 'script', messages: user('count'), ...(await endless(api.server)) };
    const answer = failure(api.client.chat.completions.create(body, { signal: controller.signal }));
    await until(async () => (await api.server.busy()) === 1, 'the generation runs');
    controller.abort();
    assert.ok((await answer) instanceof OpenAI.APIUserAbortError);
    await free();
  });

  test("so does the end of the client's patience", async () => {
    const body = { model: 'script', messages: user('count'), ...(await endless(api.server)) };
    const error = await failure(api.client.chat.completions.create(body, { timeout: 300 }));
    assert.ok(error instanceof OpenAI.APIConnectionTimeoutError, `${error}`);
    await free();
  });

  test('n answers need n places', async () => {
    const error = await failure(api.chat('hello', { n: 2 }));
    assert.equal(error.status, 400);
    assert.equal(error.param, 'n');
    await free();
    assert.equal((await api.chat('hello')).choices[0].finish_reason, 'stop');
  });
});

describe('a server that waits for nobody', () => {
  const api = serve({
    flags: ['--timeout', '1', ...CONTEXT],
    schemas: ['ErrorResponse', 'CreateChatCompletionStreamResponse'],
  });

  test('504 when a generation takes longer than allowed', async () => {
    const error = await failure(api.chat('count', await endless(api.server)));
    assert.equal(error.status, 504);
    assert.equal(error.type, 'timeout_error');
  });

  test('in a stream, what there was, and then the error', async () => {
    const chunks = [];
    const stream = await api.chat('count', { stream: true, ...(await endless(api.server)) });
    const error = await failure(
      (async () => {
        for await (const chunk of stream) chunks.push(chunk);
      })(),
    );
    assert.ok(error instanceof OpenAI.APIError, `${error}`);
    assert.equal(error.type, 'timeout_error');
    assert.match(textOf(chunks), /^w1 w2 w3/);
  });
});
