// Chats and text completions as the official client sees them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { all, serve, textOf, user } from './client.mjs';
import { absent, wrongAs } from './spec.mjs';

const HELLO = 'Hello! How can I help you?';
const words = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => ` w${from + i}`).join('');
/** Chats drop white space before the answer. */
const chatWords = (to) => words(1, to).trim();
/** So hot, and with nothing cut off, that the script is only the likeliest of many ways. */
const RANDOM = { temperature: 8, top_p: 1, max_tokens: 30, top_k: 0, min_p: 0 };

/** The vocabulary has no merges, so a word's own token is found only by looking. */
async function idOf(text) {
  for (let id = 256; id < 512; ++id)
    if ((await api.server.post('detokenize', { tokens: [id] })).content === text) return id;
  return assert.fail(`no token "${text}"`);
}

const api = serve({
  schemas: [
    'CreateChatCompletionResponse',
    'CreateChatCompletionStreamResponse',
    'CreateCompletionResponse',
    'CompletionChunk',
    'ListModelsResponse',
    'Model',
  ],
});

test('the comparison with the specification notices', { skip: absent }, async () => {
  const good = await api.chat('hello', { logprobs: true });
  assert.deepEqual(wrongAs('CreateChatCompletionResponse', good), []);
  const spoil = [
    (answer) => delete answer.id,
    (answer) => (answer.created = '1'),
    (answer) => (answer.choices[0].finish_reason = 'done'),
    (answer) => delete answer.choices[0].message.refusal,
    (answer) => (answer.choices[0].message.role = 'user'),
    (answer) => (answer.usage.prompt_tokens = 0.5),
    (answer) => delete answer.choices[0].logprobs.content[0].bytes,
  ];
  for (const change of spoil) {
    const bad = structuredClone(good);
    change(bad);
    assert.equal(wrongAs('CreateChatCompletionResponse', bad).length > 0, true, String(change));
  }
});

test('models', async () => {
  const list = await all(api.client.models.list());
  assert.deepEqual(
    list.map(({ id }) => id),
    ['script'],
  );
  const model = await api.client.models.retrieve('script');
  assert.equal(model.owned_by, 'bonsai');
  assert.ok(Math.abs(model.created - Date.now() / 1000) < 600);
});

test('an answer, and what it cost', async () => {
  const answer = await api.chat('hello');
  const [choice] = answer.choices;
  assert.equal(choice.message.content, HELLO);
  assert.equal(choice.finish_reason, 'stop');
  assert.equal(answer.model, 'script');
  assert.match(answer.id, /^chatcmpl-/);
  assert.ok(answer._request_id);
  const { prompt_tokens, completion_tokens, total_tokens } = answer.usage;
  assert.equal(completion_tokens, 7); // six pieces and the end
  assert.equal(total_tokens, prompt_tokens + completion_tokens);
  const { prompt } = await api.server.post('apply-template', { messages: user('hello') });
  assert.equal((await api.server.post('tokenize', { content: prompt })).tokens.length, prompt_tokens);
});

test('fields that are null are absent, and those that change nothing here are taken', async () => {
  const names = [
    'max_tokens',
    'n',
    'stop',
    'temperature',
    'top_p',
    'tools',
    'tool_choice',
    'logprobs',
    'stream',
    'seed',
  ];
  const absent = Object.fromEntries([...names, 'response_format', 'logit_bias'].map((name) => [name, null]));
  const known = { user: 'ann', store: false, metadata: { a: 'b' }, service_tier: 'auto', verbosity: 'low' };
  const format = { response_format: { type: 'text' }, modalities: ['text'], reasoning_effort: 'low', tools: [] };
  for (const fields of [absent, known, format])
    assert.equal((await api.chat('hello', fields)).choices[0].message.content, HELLO);
});

test('every role, and content in parts', async () => {
  const messages = [
    { role: 'developer', content: 'Be brief.' },
    { role: 'user', content: [{ type: 'text', text: 'hel' }] },
    { role: 'assistant', content: [{ type: 'text', text: HELLO }], refusal: null },
    { role: 'user', name: 'ann', content: [{ type: 'text', text: 'a tr' }, { type: 'text', text: 'ee' }] }, // prettier-ignore
  ];
  const answer = await api.client.chat.completions.create({ model: 'any name', messages });
  assert.equal(answer.choices[0].message.content, 'A tree: 🌳.');
});

for (const name of ['max_tokens', 'max_completion_tokens'])
  test(`${name} ends an answer`, async () => {
    const { choices, usage } = await api.chat('count', { [name]: 5 });
    assert.equal(choices[0].message.content, chatWords(5));
    assert.equal(choices[0].finish_reason, 'length');
    assert.equal(usage.completion_tokens, 5);
  });

test('a stream: the role, the text, one end, and the usage after it', async () => {
  const chunks = await all(api.chat('count', { stream: true, stream_options: { include_usage: true } }));
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.completion_tokens, 2001);
  assert.equal(textOf(chunks), chatWords(2000));
  assert.deepEqual(chunks[0].choices[0].delta, { role: 'assistant', content: '' });
  assert.deepEqual(
    chunks.flatMap(({ choices }) => choices[0].finish_reason ?? []),
    ['stop'],
  );
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
  for (const chunk of chunks) {
    assert.equal(chunk.usage, null);
    assert.equal(chunk.id, last.id);
    assert.equal(chunk.created, last.created);
  }
});

test('a stream says nothing of usage unless asked', async () => {
  for (const chunk of await all(api.chat('hello', { stream: true }))) assert.ok(!('usage' in chunk));
});

test('a character of several tokens arrives whole', async () => {
  const chunks = await all(api.chat('tree', { stream: true }));
  assert.equal(textOf(chunks), 'A tree: 🌳.');
  for (const { choices } of chunks) assert.doesNotMatch(choices[0].delta.content ?? '', /\ufffd/);
});

test('stop strings end an answer before them, and no part of them gets out', async () => {
  const cases = [
    [' w7', chatWords(6)], // a token, and the beginning of others
    ['3 w4', 'w1 w2 w'], // across tokens
    [['never', '5 w'], 'w1 w2 w3 w4 w'],
  ];
  for (const [stop, expected] of cases) {
    const { choices } = await api.chat('count', { stop });
    assert.equal(choices[0].message.content, expected);
    assert.equal(choices[0].finish_reason, 'stop');
    assert.equal(textOf(await all(api.chat('count', { stop, stream: true }))), expected);
  }
  // What looks like the beginning of a stop string is said when it turns out to be none.
  assert.equal((await api.chat('hello', { stop: '? No' })).choices[0].message.content, HELLO);
  assert.equal(textOf(await all(api.chat('hello', { stop: '? No', stream: true }))), HELLO);
});

test('logprobs: of each token and of what else it could have been', async () => {
  const options = { logprobs: true, top_logprobs: 4, temperature: 0 };
  const [{ message, logprobs }] = (await api.chat('tree', options)).choices;
  const bytes = logprobs.content.flatMap((token) => token.bytes);
  assert.equal(Buffer.from(bytes).toString(), message.content);
  assert.equal(logprobs.content.length, 6);
  for (const { token, logprob, top_logprobs } of logprobs.content) {
    assert.deepEqual([top_logprobs[0].token, top_logprobs[0].logprob], [token, logprob]);
    const values = top_logprobs.map((top) => top.logprob);
    assert.equal(values.length, 4);
    assert.deepEqual(
      values,
      [...values].sort((a, b) => b - a),
    );
    // Four roundings of a float32 (2^-24 each) at most beyond one.
    assert.ok(values.reduce((sum, value) => sum + Math.exp(value), 0) <= 1 + 2 ** -22);
  }
  const chunks = await all(api.chat('tree', { ...options, stream: true }));
  assert.deepEqual(
    chunks.flatMap(({ choices }) => choices[0].logprobs?.content ?? []),
    logprobs.content,
  );
  assert.equal((await api.chat('tree')).choices[0].logprobs, null);
});

test('the same seed says the same, another something else, in streams too', async () => {
  const say = async (seed) => (await api.chat('hello', { ...RANDOM, seed })).choices[0].message.content;
  const first = await say(1);
  assert.equal(await say(1), first);
  assert.notEqual(await say(2), first);
  assert.equal(textOf(await all(api.chat('hello', { ...RANDOM, seed: 1, stream: true }))), first);
});

test('n: several answers, each with its own chance', async () => {
  const { choices, usage } = await api.chat('hello', { ...RANDOM, n: 3, seed: 1 });
  const texts = choices.map(({ message }) => message.content);
  assert.deepEqual(
    choices.map(({ index }) => index),
    [0, 1, 2],
  );
  assert.equal(new Set(texts).size, 3);
  const one = await api.chat('hello', { ...RANDOM, seed: 1 });
  assert.equal(one.choices[0].message.content, texts[0]);
  assert.equal(usage.prompt_tokens, one.usage.prompt_tokens); // A prompt counts once.
  assert.ok(usage.completion_tokens > one.usage.completion_tokens);
  const chunks = await all(api.chat('hello', { ...RANDOM, n: 3, seed: 1, stream: true }));
  assert.deepEqual(
    [0, 1, 2].map((index) => textOf(chunks, index)),
    texts,
  );
});

test('logit_bias forbids and forces', async () => {
  const biased = async (word, bias) =>
    (await api.chat('hello', { logit_bias: { [await idOf(word)]: bias }, max_tokens: 2 })).choices[0].message.content;
  assert.doesNotMatch(await biased('Hello', -100), /Hello/);
  assert.equal(await biased(' help', 100), 'help help');
});

test('reasoning is apart from the answer', async () => {
  const { choices, usage } = await api.chat('think');
  assert.equal(choices[0].message.content, 'The answer is 42.');
  assert.equal(choices[0].message.reasoning_content, 'Let me see.');
  assert.ok(usage.completion_tokens_details.reasoning_tokens >= 2);
  const chunks = await all(api.chat('think', { stream: true }));
  const reasoning = chunks.map(({ choices }) => choices[0].delta.reasoning_content ?? '').join('');
  assert.equal(reasoning, 'Let me see.');
  assert.equal(textOf(chunks), 'The answer is 42.');
  assert.ok(!('reasoning_content' in (await api.chat('hello')).choices[0].message));
  // Clients send back what they got.
  const messages = [...user('think'), choices[0].message, ...user('hello')];
  const next = await api.client.chat.completions.create({ model: 'script', messages });
  assert.equal(next.choices[0].message.content, HELLO);
});

test('a second question finds the first still read', async () => {
  const long = `hello ${'and so on '.repeat(100)}`;
  const first = await api.chat(long);
  const messages = [...user(long), first.choices[0].message, ...user('hello')];
  const { usage } = await api.client.chat.completions.create({ model: 'script', messages });
  // All whole blocks of 64 of the first prompt.
  assert.ok(usage.prompt_tokens_details.cached_tokens >= first.usage.prompt_tokens - 64 - 16);
  assert.equal(first.usage.prompt_tokens_details.cached_tokens, 0);
});

test('many at a time', async () => {
  const answers = await Promise.all(Array.from({ length: 24 }, (_, i) => api.chat('count', { max_tokens: 20 + i })));
  answers.forEach(({ choices }, i) => assert.equal(choices[0].message.content, chatWords(20 + i)));
});

test('text completions', async () => {
  const { tokens } = await api.server.post('tokenize', { content: '<|cue:hello|>' });
  const create = (more) => api.client.completions.create({ model: 'script', prompt: tokens, ...more });
  const whole = await create();
  assert.equal(whole.choices[0].text, HELLO);
  assert.equal(whole.choices[0].finish_reason, 'stop');
  assert.match(whole.id, /^cmpl-/);
  assert.deepEqual(
    [whole.usage.prompt_tokens, whole.usage.completion_tokens, whole.usage.total_tokens],
    [1, 7, 8], // six pieces and the end
  );

  const chunks = await all(create({ stream: true, stream_options: { include_usage: true } }));
  assert.deepEqual(chunks.pop().usage, whole.usage);
  assert.equal(chunks.map(({ choices }) => choices[0].text).join(''), HELLO);
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');

  const { logprobs } = (await create({ logprobs: 2, temperature: 0 })).choices[0];
  assert.equal(logprobs.tokens.join(''), HELLO);
  assert.deepEqual(logprobs.text_offset, [0, 5, 10, 16, 21, 25]);
  logprobs.tokens.forEach((token, i) => assert.equal(logprobs.top_logprobs[i][token], logprobs.token_logprobs[i]));

  const limited = await create({ max_tokens: 2, stop: ' can' });
  assert.deepEqual([limited.choices[0].text, limited.choices[0].finish_reason], ['Hello! How', 'length']);
});

test('text completions of several prompts; echo; and 16 tokens unless it is said', async () => {
  const w1 = await idOf(' w1');
  const prompt = [[w1 + 1998], [w1 + 2]];
  const { choices } = await api.client.completions.create({ model: 'script', prompt, echo: true });
  assert.deepEqual(
    choices.map(({ index, text, finish_reason }) => [index, text, finish_reason]),
    [
      [0, ' w1999 w2000', 'stop'],
      [1, words(3, 19), 'length'],
    ],
  );
  const texts = await api.client.completions.create({ model: 'script', prompt: ['one', 'two'], n: 2, max_tokens: 1 });
  assert.equal(texts.choices.length, 4);
  assert.equal(texts.usage.prompt_tokens, 6); // Without merges a letter is a token; a prompt counts once.
});
