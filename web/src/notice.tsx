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

/** In the dialog, if one is open: what is outside it cannot be reached. */
export function NoticeLine() {
  if (!notice.value) return <div role="status" />;
  const { text, action } = notice.value;
  return (
    <div role="status" class="notice">
      <span>{text}</span>
      {action && (
        <button
          type="button"
          onClick={() => {
            notice.value = null;
            action.run();
          }}
        >
          {action.label}
        </button>
      )}
      <button type="button" onClick={() => (notice.value = null)}>
        Dismiss
      </button>
    </div>
  );
}
