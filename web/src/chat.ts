// What happens: the connection to the server, the conversation that is shown, and the answer that is being written.
import { computed, signal } from '@preact/signals';
import { apiKey, ApiError, complete, type Delta, health, type Props, props, type Trouble } from './api';
import {
  append,
  change,
  type Conversation,
  type Message,
  newConversation,
  path,
  remove,
  type ToolCall,
} from './conversation';
import { say } from './notice';
import { requestFields, settings } from './settings';
import { conversations, erase, save, show } from './store';

export const server = signal<Trouble | 'connecting' | 'ready'>('connecting');
export const facts = signal<Props>({ defaults: {}, memory: {} });

export const currentId = signal<string | null>(null);
export const current = computed(() => conversations.value.find(({ id }) => id === currentId.value) ?? null);

/** The answer that is being written; one at a time, in whatever conversation. */
export const running = signal<{ conversation: string; message: number } | null>(null);
let abort = new AbortController();

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
let connecting: Promise<void> | null = null;

/** Tries until the server is ready; what it waits for is in `server`. With `trouble`, that has just been seen. */
export function connect(trouble?: Trouble): Promise<void> {
  return (connecting ??= untilReady(trouble).finally(() => (connecting = null)));
}

async function untilReady(trouble?: Trouble): Promise<void> {
  for (let wait = 500; ; wait = Math.min(2 * wait, 4000)) {
    trouble ??= await tryOnce();
    server.value = trouble ?? 'ready';
    if (!trouble) return;
    if (trouble !== 'key') await sleep(wait);
    else await nextKey().then(() => (server.value = 'connecting')); // So that a second refusal is seen as one.
    trouble = undefined;
  }
}

async function tryOnce(): Promise<Trouble | undefined> {
  try {
    await health();
    facts.value = await props();
  } catch (error) {
    const trouble = error instanceof ApiError ? error.trouble : 'refused';
    if (trouble !== 'refused') return trouble; // A server without /health or /props can still answer.
  }
  return undefined;
}

function nextKey(): Promise<void> {
  const old = apiKey.value;
  return new Promise((resolve) => {
    const stop = apiKey.subscribe((key) => {
      if (key === old) return;
      resolve();
      queueMicrotask(() => stop());
    });
  });
}

/** Says `text` in the conversation shown, or in a new one. */
export function send(text: string): void {
  if (running.value) return;
  const conversation = current.value ?? newConversation();
  currentId.value = conversation.id;
  void answer(append(conversation, { parent: conversation.leaf, role: 'user', text }));
}

/** Says `text` instead of `message`, on a branch of its own. */
export function edit(message: Message, text: string): void {
  if (running.value || !current.value) return;
  void answer(append(current.value, { parent: message.parent, role: 'user', text }));
}

/** Another answer beside `message`; in its place, if it holds nothing. */
export function regenerate(message: Message): void {
  if (running.value || !current.value) return;
  const empty = !message.text && !message.reasoning && !message.toolCalls?.length;
  const conversation = empty ? remove(current.value, message.id) : current.value;
  void answer({ ...conversation, leaf: message.parent });
}

export function stop(): void {
  abort.abort();
}

export function removeMessage(message: Message): void {
  const before = current.value;
  if (!before) return;
  save(remove(before, message.id));
  say('Message deleted.', { label: 'Undo', run: () => save(before) });
}

export function removeConversation(conversation: Conversation): void {
  if (running.value?.conversation === conversation.id) stop();
  erase(conversation.id);
  if (currentId.value === conversation.id) currentId.value = null;
  say(`“${conversation.title}” deleted.`, { label: 'Undo', run: () => save(conversation) });
}

/** Writes an answer to the last message of `asked`. */
async function answer(asked: Conversation): Promise<void> {
  const cut = 'The page was closed before the answer was complete.'; // What is true if nothing replaces it.
  const begun = append(asked, { parent: asked.leaf, role: 'assistant', text: '', cut });
  const [conversation, message] = [begun.id, begun.leaf!];
  save(begun);
  running.value = { conversation, message };
  abort = new AbortController();
  const update = (fields: Partial<Message>, keep: typeof save) => {
    const now = conversations.value.find(({ id }) => id === conversation);
    if (now?.messages.some(({ id }) => id === message)) keep(change(now, message, fields));
    else stop(); // It was deleted meanwhile.
  };
  const end = await write(requestBody(asked), update);
  running.value = null;
  update({ cut: end }, save);
}

/** Streams an answer into `update`. Returns why it ended early, or undefined. Waits while the server is not ready. */
async function write(body: object, update: (fields: Partial<Message>, keep: typeof save) => void) {
  const { signal } = abort;
  const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
  const writing = new Writing();
  const draw = paced(() => update(writing.fields(), show));
  const saving = setInterval(() => update(writing.fields(), save), 2000);
  try {
    while (!signal.aborted) {
      try {
        for await (const delta of complete(body, signal)) {
          writing.add(delta);
          draw();
        }
        return writing.finish === 'length' ? 'The answer reached its greatest length.' : undefined;
      } catch (error) {
        if (signal.aborted) break;
        const trouble = error instanceof ApiError ? error.trouble : 'cut';
        if (trouble === 'refused' || trouble === 'cut') return error instanceof Error ? error.message : String(error);
        const ready = connect(trouble);
        if (trouble === 'network') return (error as Error).message;
        await Promise.race([ready, aborted]);
      }
    }
    return 'Stopped.';
  } finally {
    clearInterval(saving);
    draw.stop();
    update(writing.fields(), show);
  }
}

/** The fields of the answer so far. */
class Writing {
  private text = '';
  private reasoning = '';
  private reasoningBegan = 0;
  private reasoningMs: number | undefined;
  private toolCalls: ToolCall[] = [];
  private cost: Message['cost'];
  finish: string | undefined;

  add(delta: Delta): void {
    if (delta.reasoning) {
      this.reasoningBegan ||= performance.now();
      this.reasoning += delta.reasoning;
      this.reasoningMs = performance.now() - this.reasoningBegan;
    }
    this.text += delta.text ?? '';
    for (const { index, ...part } of delta.toolCalls) {
      // A server may skip indices, but each event adds at most one call.
      const call = (this.toolCalls[Math.min(index, this.toolCalls.length)] ??= { id: '', name: '', arguments: '' });
      call.id = part.id ?? call.id;
      call.name += part.name ?? '';
      call.arguments += part.arguments ?? '';
    }
    this.finish = delta.finish ?? this.finish;
    if (delta.cost) this.cost = { ...this.cost, ...JSON.parse(JSON.stringify(delta.cost)) }; // Only what is defined.
  }

  fields(): Partial<Message> {
    const toolCalls = this.toolCalls.map((call) => ({ ...call }));
    const { text, reasoning, reasoningMs, cost } = this;
    return { text, reasoning, reasoningMs, cost, toolCalls };
  }
}

/** Runs `draw` soon after each call, at most 60 times and for at most a quarter of a second a second, however long it
 * takes: the work is proportional to the time, not to the square of the answer. */
function paced(draw: () => void) {
  let timer = 0;
  let earliest = 0;
  const run = () => {
    timer = 0;
    const began = performance.now();
    draw();
    // Elements change in a microtask, so before this.
    setTimeout(() => (earliest = performance.now() + Math.max(16, 3 * (performance.now() - began))));
  };
  const request = () => void (timer ||= setTimeout(run, Math.max(0, earliest - performance.now())));
  return Object.assign(request, { stop: () => clearTimeout(timer) });
}

function requestBody(asked: Conversation): object {
  const { system } = settings.value;
  const messages = path(asked).map(({ role, text, toolCalls }) => ({
    role,
    content: text,
    ...(toolCalls?.length
      ? { tool_calls: toolCalls.map(({ id, ...call }) => ({ id, type: 'function', function: call })) }
      : {}),
  }));
  if (system.trim()) messages.unshift({ role: 'system' as 'user', content: system });
  return { model: facts.value.model, messages, ...requestFields(settings.value) };
}
