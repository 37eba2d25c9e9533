// Stands in for `bonsai serve`: the page under its policy, and an API whose answers depend on words in the question.
//   node mock/server.mjs [--port 8088] [--loading SECONDS] [--key KEY]
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import { answers } from './answers.mjs';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const dist = (name) => readFile(new URL(`../dist/${name}`, import.meta.url));

const PROPS = {
  model: 'Bonsai-8B',
  context: 4096,
  default_generation_settings: { temperature: 0.6, top_p: 0.95, top_k: 20, min_p: 0, max_tokens: -1, seed: -1 },
  memory: { weights: 1_284_000_000, kv: 302_000_000 },
};

function json(response, status, body) {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

const error = (response, status, type, message) => json(response, status, { error: { message, type, code: status } });

async function body(request) {
  let text = '';
  for await (const part of request) text += part;
  return JSON.parse(text);
}

/** Starts a server. `state` may be changed while it runs; `state.requests` are the bodies of the completions asked for. */
export async function startMock({ port = 0, ...options } = {}) {
  const state = { loading: false, key: '', requests: [], aborted: 0, ...options };
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://mock');
    if (pathname === '/') {
      response.writeHead(200, {
        'Content-Type': 'text/html; charset=utf-8',
        'Content-Security-Policy': await dist('csp.txt'),
      });
      return response.end(await dist('index.html'));
    }
    if (pathname === '/health' || pathname.startsWith('/v1/')) {
      if (state.loading) return error(response, 503, 'unavailable_error', 'Loading model');
    }
    if (pathname === '/health') return json(response, 200, { status: 'ok' });
    if (state.key && request.headers.authorization !== `Bearer ${state.key}`) {
      return error(response, 401, 'authentication_error', 'Invalid API key');
    }
    if (pathname === '/props') return json(response, 200, PROPS);
    if (pathname === '/v1/models')
      return json(response, 200, { object: 'list', data: [{ id: PROPS.model, object: 'model' }] });
    if (pathname === '/v1/chat/completions' && request.method === 'POST') return complete(state, request, response);
    return error(response, 404, 'not_found_error', `There is no ${pathname}`);
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve)));
  return { url: `http://127.0.0.1:${server.address().port}/`, state, close };
}

async function complete(state, request, response) {
  const asked = await body(request);
  state.requests.push(asked);
  const question = asked.messages.at(-1).content;
  if (question.includes('refuse'))
    return error(response, 400, 'exceed_context_size_error', 'The request has 5000 tokens; the context holds 4096');
  let gone = false;
  response.on('close', () => (gone = !response.writableFinished) && ++state.aborted);
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  const event = (fields) =>
    response.write(
      `data: ${JSON.stringify({ id: 'c1', object: 'chat.completion.chunk', model: PROPS.model, ...fields })}\n\n`,
    );
  const delta = (fields, finish_reason = null) => event({ choices: [{ index: 0, delta: fields, finish_reason }] });
  const pause = question.includes('slow') ? 30 : /flood|hostile/.test(question) ? 0 : 4;

  const { reasoning = '', text = '', tool } = answers(question, asked);
  let count = 0;
  const began = Date.now();
  delta({ role: 'assistant', content: '' });
  for (const [field, whole] of [
    ['reasoning_content', reasoning],
    ['content', text],
  ]) {
    for (const piece of whole.match(/[\s\S]{1,4}/g) ?? []) {
      if (gone) return;
      if (question.includes('broken') && count === 12) return response.destroy();
      if (question.includes('fails') && count === 12)
        return response.end('data: {"error":{"message":"out of memory","type":"server_error","code":500}}\n\n');
      delta({ [field]: piece });
      if (++count % 16 === 0) response.write(': still here\n\n');
      if (pause > 0 || count % 64 === 0) await sleep(pause);
    }
  }
  if (tool) {
    const [head, ...rest] = JSON.stringify(tool.arguments).match(/.{1,6}/g);
    delta({
      tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: tool.name, arguments: head } }],
    });
    for (const piece of rest) delta({ tool_calls: [{ index: 0, function: { arguments: piece } }] });
  }
  const predicted_ms = Date.now() - began + 1;
  const timings = {
    prompt_n: 17,
    prompt_ms: 212,
    cache_n: 240,
    predicted_n: count,
    predicted_ms,
    predicted_per_second: (1000 * count) / predicted_ms,
  };
  delta({}, tool ? 'tool_calls' : question.includes('limit') ? 'length' : 'stop');
  event({ choices: [], usage: { prompt_tokens: 257, completion_tokens: count, total_tokens: 257 + count }, timings });
  response.end('data: [DONE]\n\n');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const option = (name) => process.argv[process.argv.indexOf(`--${name}`) + 1 || Infinity];
  const { url, state } = await startMock({ port: Number(option('port') ?? 8088), key: option('key') ?? '' });
  state.loading = option('loading') !== undefined;
  setTimeout(() => (state.loading = false), 1000 * Number(option('loading') ?? 0));
  console.log(url);
}
