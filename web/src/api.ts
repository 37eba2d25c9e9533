// What the page says to `bonsai serve`, and what it understands of the answers; a field that is absent is undefined.
import type { Cost, ToolCall } from './conversation';
import { kept } from './kept';

/** network: nobody answers. loading: try again soon. key: an API key is needed. cut: the answer broke off. */
export type Trouble = 'network' | 'loading' | 'key' | 'refused' | 'cut';

export class ApiError extends Error {
  constructor(
    readonly trouble: Trouble,
    message: string,
  ) {
    super(message);
  }
}

/** What the server says of itself. */
export interface Props {
  model?: string;
  context?: number; // tokens
  defaults: Record<string, unknown>; // of the sampling settings
  memory: { weights?: number; kv?: number }; // bytes
}

/** One event of a streamed answer. */
export interface Delta {
  text: string | undefined;
  reasoning: string | undefined;
  toolCalls: (Partial<ToolCall> & { index: number })[];
  finish: string | undefined;
  cost: Cost | undefined;
}

// For this tab only: a key is a secret, and the next visitor of this browser may be someone else.
export const apiKey = kept('bonsai.key', (value) => (typeof value === 'string' ? value : ''), 'sessionStorage');

type Json = Record<string, any>;

const object = (value: unknown): Json => (typeof value === 'object' && value !== null ? value : {});
const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
const number = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined);

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (apiKey.value) headers.set('Authorization', `Bearer ${apiKey.value}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError('network', 'The server does not answer. Is bonsai serve still running?');
  }
  if (response.ok) return response;
  const problem = object(object(await response.json().catch(() => null)).error);
  const message = text(problem.message) ?? `The server answered ${response.status} ${response.statusText}`.trim() + '.';
  if (response.status === 401) throw new ApiError('key', message);
  throw new ApiError(response.status === 503 ? 'loading' : 'refused', message);
}

/** Returns when the server can generate; throws an ApiError otherwise. */
export async function health(): Promise<void> {
  await request('health');
}

export async function props(): Promise<Props> {
  const [all, models] = await Promise.all([
    request('props')
      .then((r) => r.json())
      .then(object),
    request('v1/models')
      .then((r) => r.json())
      .then(object)
      .catch((): Json => ({})),
  ]);
  const settings = object(all.default_generation_settings);
  const memory = object(all.memory);
  const list = Array.isArray(models.data) ? models.data : [];
  return {
    model: text(all.model) ?? text(object(list[0]).id),
    context: number(all.context),
    defaults: object(settings.params ?? settings),
    memory: { weights: number(memory.weights), kv: number(memory.kv) },
  };
}

/** Streams an answer. Throws an ApiError, or what aborting `signal` throws. */
export async function* complete(body: object, signal: AbortSignal): AsyncGenerator<Delta> {
  const response = await request('v1/chat/completions', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  let finished = false;
  try {
    for await (const data of events(response)) {
      if (data === '[DONE]') return;
      const event = object(JSON.parse(data));
      if (event.error)
        throw new ApiError('refused', text(object(event.error).message) ?? 'The server reported an error.');
      const delta = deltaFrom(event);
      finished ||= delta.finish !== undefined;
      yield delta;
    }
  } catch (error) {
    if (signal.aborted || error instanceof ApiError) throw error;
    throw new ApiError('cut', 'The connection broke off before the answer was complete.');
  }
  if (!finished) throw new ApiError('cut', 'The connection closed before the answer was complete.');
}

/** The data of server-sent events (WHATWG HTML, 9.2); other fields and comments do not matter here. */
async function* events(response: Response): AsyncGenerator<string> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let data: string[] = [];
  for (let part; !(part = await reader.read()).done;) {
    const lines = (rest + part.value).split(/\r?\n/);
    rest = lines.pop()!;
    for (const line of lines) {
      if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
      if (line !== '' || data.length === 0) continue;
      yield data.join('\n');
      data = [];
    }
  }
}

function deltaFrom(event: Json): Delta {
  const choice = object(Array.isArray(event.choices) ? event.choices[0] : null);
  const delta = object(choice.delta);
  const calls: unknown[] = Array.isArray(delta.tool_calls) ? delta.tool_calls : [];
  return {
    text: text(delta.content),
    reasoning: text(delta.reasoning_content),
    toolCalls: calls.map(object).map(toolCallFrom),
    finish: text(choice.finish_reason),
    cost: event.timings || event.usage ? costFrom(object(event.timings), object(event.usage)) : undefined,
  };
}

function toolCallFrom(call: Json) {
  const { name, arguments: parameters } = object(call.function);
  return { index: number(call.index) ?? 0, id: text(call.id), name: text(name), arguments: text(parameters) };
}

/** timings.prompt_n counts what was computed, usage.prompt_tokens what the prompt holds. */
function costFrom(timings: Json, usage: Json): Cost {
  const cached = number(timings.cache_n);
  const computed = number(timings.prompt_n);
  return {
    promptTokens: number(usage.prompt_tokens) ?? (computed === undefined ? undefined : computed + (cached ?? 0)),
    cachedTokens: cached,
    promptMs: number(timings.prompt_ms),
    answerTokens: number(timings.predicted_n) ?? number(usage.completion_tokens),
    tokensPerSecond: number(timings.predicted_per_second),
  };
}
