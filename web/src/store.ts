// Conversations, kept in the browser's IndexedDB. Where that is blocked the page works all the same, and forgets.
import { signal } from '@preact/signals';
import { type Conversation, parseConversation } from './conversation';
import { say } from './notice';

/** In UTF-16 units of JSON. Browsers allow an origin far more; this is what still loads at once on a phone. */
const LIMIT = 32 << 20;

/** All conversations, the most recently changed first. */
export const conversations = signal<Conversation[]>([]);

const sizes = new Map<string, number>();
let database: IDBDatabase | null = null;

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function write(change: (table: IDBObjectStore) => void): void {
  const transaction = database?.transaction('conversations', 'readwrite');
  if (!transaction) return;
  transaction.onabort = () => say('This browser has no room left, or refuses: the change is not kept.');
  change(transaction.objectStore('conversations'));
  transaction.commit(); // Now, since the page may be closed at any moment.
}

export async function openStore(): Promise<void> {
  try {
    const opening = indexedDB.open('bonsai', 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore('conversations', { keyPath: 'id' });
    database = await done(opening);
    database.onversionchange = () => database?.close();
    const found = (await done(database.transaction('conversations').objectStore('conversations').getAll()))
      .map(parseConversation)
      .filter((c) => c !== null);
    for (const conversation of found) sizes.set(conversation.id, JSON.stringify(conversation).length);
    conversations.value = found.sort((a, b) => b.changed - a.changed);
  } catch {
    say('This browser keeps nothing for this page: conversations are lost when it is closed.');
  }
}

/** Shows a conversation as it now is. It stays when the page is closed only after save(). */
export function show(conversation: Conversation): void {
  const others = conversations.value.filter((other) => other.id !== conversation.id);
  conversations.value = [conversation, ...others].sort((a, b) => b.changed - a.changed);
}

export function save(conversation: Conversation): void {
  show(conversation);
  sizes.set(conversation.id, JSON.stringify(conversation).length);
  makeRoom(conversation.id);
  write((table) => table.put(conversation));
}

export function erase(id: string): void {
  conversations.value = conversations.value.filter((conversation) => conversation.id !== id);
  sizes.delete(id);
  write((table) => table.delete(id));
}

function totalSize(): number {
  let total = 0;
  for (const size of sizes.values()) total += size;
  return total;
}

/** Erases the oldest conversations, never `keep`, until the rest is within the limit. */
function makeRoom(keep: string): void {
  let total = totalSize();
  const gone = [];
  for (const { id, title } of [...conversations.value].reverse()) {
    if (total <= LIMIT) break;
    if (id === keep) continue;
    total -= sizes.get(id) ?? 0;
    gone.push(title);
    erase(id);
  }
  if (gone.length > 0) say(`To stay within ${LIMIT >> 20} MB, the oldest went: ${gone.join(', ')}.`);
}

export function exportAll(): string {
  return JSON.stringify({ format: 'bonsai-conversations', version: 1, conversations: conversations.value }, null, 1);
}

/** Adds conversations from exported JSON; one that is here already stays as it is. Returns what to tell the user. */
export function importAll(json: string): string {
  if (totalSize() + json.length > LIMIT) return `With that file it would be over ${LIMIT >> 20} MB; nothing was read.`;
  let list: unknown;
  try {
    list = JSON.parse(json)?.conversations;
  } catch {
    return 'That file is not JSON; nothing was read.';
  }
  if (!Array.isArray(list)) return 'That file holds no list “conversations”; nothing was read.';
  const read = list.map(parseConversation).filter((conversation) => conversation !== null);
  const here = new Set(conversations.value.map(({ id }) => id));
  const added = read.filter(({ id }) => !here.has(id) && here.add(id));
  for (const conversation of added) save(conversation);
  const invalid = list.length - read.length;
  const notes = [
    `${added.length} added`,
    `${read.length - added.length} here already`,
    ...(invalid ? [`${invalid} not valid`] : []),
  ];
  return `Conversations: ${notes.join(', ')}.`;
}
