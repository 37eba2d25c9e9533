// A conversation is a tree of messages: editing or regenerating adds a sibling, and nothing is overwritten. What is
// shown, and sent to the model, is the path from the root to `leaf`. Values are never changed in place, so that undoing
// is keeping the old one, and what did not change need not be drawn again.

export interface ToolCall {
  id: string;
  name: string;
  arguments: string; // JSON, as the model wrote it: perhaps incomplete
}

/** What an answer cost; the server's numbers, in tokens and milliseconds. */
export interface Cost {
  promptTokens?: number;
  cachedTokens?: number;
  promptMs?: number;
  answerTokens?: number;
  tokensPerSecond?: number;
}

export interface Message {
  id: number; // unique in its conversation; later messages have larger ones
  parent: number | null;
  role: 'user' | 'assistant';
  text: string;
  reasoning?: string;
  reasoningMs?: number;
  toolCalls?: ToolCall[];
  cost?: Cost;
  /** Why the answer ends before it is complete, in words. */
  cut?: string;
}

export interface Conversation {
  id: string;
  title: string;
  changed: number; // milliseconds since 1970
  leaf: number | null;
  messages: Message[];
}

export function newConversation(): Conversation {
  // Not randomUUID: it is missing where the page does not come from localhost or over TLS.
  const id = Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36)).join('');
  return { id, title: '', changed: Date.now(), leaf: null, messages: [] };
}

/** The messages from the first to the one with the id `leaf`. */
export function path(conversation: Conversation, leaf = conversation.leaf): Message[] {
  const byId = new Map(conversation.messages.map((message) => [message.id, message]));
  const found: Message[] = [];
  for (let at = leaf; at !== null;) {
    const message = byId.get(at);
    if (!message) break;
    found.push(message);
    at = message.parent;
  }
  return found.reverse();
}

export function siblings(conversation: Conversation, message: Message): Message[] {
  return conversation.messages.filter((other) => other.parent === message.parent);
}

export function append(conversation: Conversation, message: Omit<Message, 'id'>): Conversation {
  const id = conversation.messages.reduce((most, other) => Math.max(most, other.id), 0) + 1;
  const messages = [...conversation.messages, { ...message, id }];
  const title = conversation.title || titleFrom(message.text);
  return { ...conversation, title, messages, leaf: id, changed: Date.now() };
}

export function change(conversation: Conversation, id: number, fields: Partial<Message>): Conversation {
  const messages = conversation.messages.map((message) => (message.id === id ? { ...message, ...fields } : message));
  return { ...conversation, messages, changed: Date.now() };
}

/** Shows the branch that `id` is on, to its most recent end. */
export function showBranch(conversation: Conversation, id: number): Conversation {
  let leaf = id;
  for (let child; (child = conversation.messages.findLast((message) => message.parent === leaf));) leaf = child.id;
  return { ...conversation, leaf };
}

/** Without the message `id` and all that follows it; shows a sibling, or else what came before. */
export function remove(conversation: Conversation, id: number): Conversation {
  const gone = new Set([id]);
  // Parents come before their children, so one pass finds them all.
  for (const message of conversation.messages) {
    if (message.parent !== null && gone.has(message.parent)) gone.add(message.id);
  }
  const target = conversation.messages.find((message) => message.id === id);
  const rest = { ...conversation, messages: conversation.messages.filter((m) => !gone.has(m.id)), changed: Date.now() };
  const sibling = rest.messages.findLast((message) => message.parent === target?.parent);
  return sibling ? showBranch(rest, sibling.id) : { ...rest, leaf: target?.parent ?? null };
}

function titleFrom(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length <= 60 ? line : line.slice(0, 60).replace(/\s?\S*$/, '') + ' …';
}

/** A conversation from a file that anyone may have written, or null if it is none. */
export function parseConversation(value: unknown): Conversation | null {
  const { id, title, changed, leaf, messages } = (value ?? {}) as Record<string, unknown>;
  if (typeof id !== 'string' || !id || typeof title !== 'string' || !Array.isArray(messages)) return null;
  const seen = new Set<number>();
  for (const message of messages) {
    // A parent comes before its children, so there are no cycles and no orphans.
    if (!isMessage(message) || seen.has(message.id) || (message.parent !== null && !seen.has(message.parent)))
      return null;
    seen.add(message.id);
  }
  return {
    id: id.slice(0, 64),
    title: title.slice(0, 200),
    changed: Number.isFinite(changed) ? (changed as number) : Date.now(),
    leaf: seen.has(leaf as number) ? (leaf as number) : null,
    messages,
  };
}

function isMessage(value: unknown): value is Message {
  const m = (value ?? {}) as Record<string, unknown>;
  const text = (field: unknown) => field === undefined || typeof field === 'string';
  const number = (field: unknown) => field === undefined || Number.isFinite(field);
  const call = (c: Record<string, unknown> | null) =>
    c !== null && ['id', 'name', 'arguments'].every((k) => typeof c[k] === 'string');
  return (
    Number.isSafeInteger(m.id) &&
    (m.id as number) > 0 &&
    (m.parent === null || (Number.isSafeInteger(m.parent) && (m.parent as number) < (m.id as number))) &&
    (m.role === 'user' || m.role === 'assistant') &&
    typeof m.text === 'string' &&
    text(m.reasoning) &&
    text(m.cut) &&
    number(m.reasoningMs) &&
    (m.toolCalls === undefined || (Array.isArray(m.toolCalls) && m.toolCalls.every(call))) &&
    (m.cost === undefined || (typeof m.cost === 'object' && m.cost !== null && Object.values(m.cost).every(number)))
  );
}
