// One line at a time that tells the user what happened, with at most one thing to do about it.
import { signal } from '@preact/signals';

export interface Notice {
  text: string;
  action?: { label: string; run: () => void };
}

export const notice = signal<Notice | null>(null);
let timer = 0;

export function say(text: string, action?: Notice['action']): void {
  notice.value = action ? { text, action } : { text };
  clearTimeout(timer);
  timer = setTimeout(() => (notice.value = null), 10_000);
}
