// A signal whose value the browser keeps.
import { signal } from '@preact/signals';

/** `parse` gets what was kept, which anyone may have written, or null. Where storage is blocked, the value
 * lasts as long as the page. */
export function kept<T>(
  key: string,
  parse: (value: unknown) => T,
  where: 'localStorage' | 'sessionStorage' = 'localStorage',
) {
  let value: unknown = null;
  try {
    value = JSON.parse(window[where].getItem(key) ?? 'null');
  } catch {
    // Not JSON, so not ours; or storage is blocked.
  }
  const result = signal(parse(value));
  result.subscribe((now) => {
    try {
      window[where].setItem(key, JSON.stringify(now));
    } catch {
      // Blocked, or full.
    }
  });
  return result;
}
