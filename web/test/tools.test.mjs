// Tool calls as the official client and its helpers see them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { all, serve, textOf, user } from './client.mjs';

const api = serve({ schemas: ['CreateChatCompletionResponse', 'CreateChatCompletionStreamResponse'] });

const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const tool = (name) => ({ type: 'function', function: { name, description: `Gets ${name}.`, parameters } });
const tools = ['get_weather', 'get_time', 'get_date'].map(tool);

const ask = (messages, more) => api.client.chat.completions.create({ model: 'script', messages, tools, ...more });

test('a call, and its result sent back', async () => {
  const { choices } = await ask(user('weather'));
  const [{ message, finish_reason }] = choices;
  assert.equal(finish_reason, 'tool_calls');
  assert.equal(message.content, null);
  const [call] = message.tool_calls;
  assert.match(call.id, /^call_/);
  assert.equal(call.type, 'function');
  assert.equal(call.function.name, 'get_weather');
  assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Paris' });

  const result = { role: 'tool', tool_call_id: call.id, content: 'sunny' };
  const next = await ask([...user('weather'), message, result]);
  assert.equal(next.choices[0].message.content, 'It is sunny in Paris.');
  assert.equal(next.choices[0].finish_reason, 'stop');
});

test('arguments in the history may be a string or an object: the prompt is the same', async () => {
  const withArguments = (parameters) => [
    ...user('weather'),
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: parameters } }],
    },
    { role: 'tool', tool_call_id: 'call_1', content: [{ type: 'text', text: 'sunny' }] },
  ];
  const prompts = [];
  for (const parameters of ['{"city": "Paris"}', { city: 'Paris' }]) {
    const messages = withArguments(parameters);
    assert.equal((await ask(messages)).choices[0].message.content, 'It is sunny in Paris.');
    prompts.push((await api.server.post('apply-template', { messages, tools })).prompt);
  }
  assert.equal(prompts[0], prompts[1]);
  assert.match(prompts[0], /get_weather \{"city": "Paris"\}/);
});

test('calls in parallel, and one at a time', async () => {
  const calls = async (more) => (await ask(user('both'), more)).choices[0];
  const both = await calls();
  assert.deepEqual(
    both.message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]),
    [
      ['get_time', { zone: 'UTC' }],
      ['get_date', {}],
    ],
  );
  assert.equal(both.message.content, 'Two calls.');
  assert.equal(new Set(both.message.tool_calls.map(({ id }) => id)).size, 2);
  const one = await calls({ parallel_tool_calls: false });
  assert.equal(one.message.tool_calls.length, 1);
  assert.equal(one.finish_reason, 'tool_calls');
  const streamed = await all(ask(user('both'), { parallel_tool_calls: false, stream: true }));
  const indices = streamed.flatMap(({ choices }) => choices[0].delta.tool_calls ?? []).map(({ index }) => index);
  assert.deepEqual(new Set(indices), new Set([0]));
});

test('streamed calls: a head each, then pieces of the arguments', async () => {
  const chunks = await all(ask(user('both'), { stream: true }));
  const pieces = chunks.flatMap(({ choices }) => choices[0].delta.tool_calls ?? []);
  const heads = pieces.filter(({ id }) => id !== undefined);
  assert.deepEqual(
    heads.map((head) => [head.index, head.type, head.function.name]),
    [
      [0, 'function', 'get_time'],
      [1, 'function', 'get_date'],
    ],
  );
  const written = (wanted) =>
    pieces
      .filter(({ index }) => index === wanted)
      .map((piece) => piece.function.arguments)
      .join('');
  assert.deepEqual([0, 1].map(written).map(JSON.parse), [{ zone: 'UTC' }, {}]);
  assert.equal(textOf(chunks), 'Two calls.');
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'tool_calls');
});

test('a call that is cut off says so: it is not one to run', async () => {
  const { choices } = await ask(user('weather'), { max_tokens: 4 });
  assert.equal(choices[0].finish_reason, 'length');
  assert.throws(() => JSON.parse(choices[0].message.tool_calls[0].function.arguments));
  const chunks = await all(ask(user('weather'), { max_tokens: 4, stream: true }));
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'length');
});

test("the client's helper for streams puts the calls together", async () => {
  const done = [];
  const stream = api.client.chat.completions
    .stream({ model: 'script', messages: user('both'), tools })
    .on('tool_calls.function.arguments.done', ({ index, name, arguments: text }) => done.push([index, name, text]));
  const { choices } = await stream.finalChatCompletion();
  assert.equal(choices[0].message.tool_calls.length, 2);
  assert.deepEqual(
    done.map(([index, name, text]) => [index, name, JSON.parse(text)]),
    [
      [0, 'get_time', { zone: 'UTC' }],
      [1, 'get_date', {}],
    ],
  );
});

for (const stream of [false, true])
  test(`the client's helper that runs tools does so${stream ? ', streaming' : ''}`, async () => {
    const asked = [];
    const getWeather = {
      ...tool('get_weather').function,
      parse: JSON.parse,
      function: (a) => (asked.push(a), 'sunny'),
    };
    const runner = api.client.chat.completions.runTools({
      model: 'script',
      messages: user('weather'),
      tools: [{ type: 'function', function: getWeather }],
      stream,
    });
    assert.equal(await runner.finalContent(), 'It is sunny in Paris.');
    assert.deepEqual(asked, [{ city: 'Paris' }]);
    const usage = await runner.totalUsage();
    if (!stream) assert.ok(usage.completion_tokens > 6);
  });

test('without tools, or with tool_choice "none", it is text', async () => {
  for (const more of [{ tools: undefined }, { tool_choice: 'none' }]) {
    const [{ message, finish_reason }] = (await ask(user('weather'), more)).choices;
    assert.equal(finish_reason, 'stop');
    assert.ok(!('tool_calls' in message));
    assert.match(message.content, /^<tool_call>/);
  }
});

test('a schema reaches the prompt with its keys in their order', async () => {
  const odd = { type: 'object', properties: { zeta: { type: 'string' }, alpha: { type: 'number' } } };
  const tools = [{ type: 'function', function: { name: 'f', parameters: odd } }];
  const { prompt } = await api.server.post('apply-template', { messages: user('hello'), tools });
  assert.ok(prompt.indexOf('zeta') < prompt.indexOf('alpha'));
});
