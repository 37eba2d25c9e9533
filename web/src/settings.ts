// What the user sets, for all conversations. An empty field leaves the choice to the server.
import { kept } from './kept';

export const NUMBERS = [
  { key: 'temperature', label: 'Temperature', min: 0, max: 5, step: 0.05, hint: '0 always takes the likeliest token' },
  {
    key: 'top_p',
    label: 'Top p',
    min: 0,
    max: 1,
    step: 0.01,
    hint: 'the likeliest tokens that together have this probability',
  },
  { key: 'top_k', label: 'Top k', min: 0, max: 1000, step: 1, hint: 'this many of the likeliest tokens; 0 is all' },
  {
    key: 'min_p',
    label: 'Min p',
    min: 0,
    max: 1,
    step: 0.01,
    hint: 'tokens at least this likely, next to the likeliest',
  },
  { key: 'max_tokens', label: 'Longest answer', min: 1, max: 1_000_000, step: 1, hint: 'in tokens' },
  { key: 'seed', label: 'Seed', min: 0, max: 4_294_967_295, step: 1, hint: 'the same seed gives the same answer' },
] as const;

export type NumberKey = (typeof NUMBERS)[number]['key'];

export interface Settings {
  system: string;
  thinking: 'auto' | 'on' | 'off';
  numbers: Partial<Record<NumberKey, number>>;
}

export const settings = kept<Settings>('bonsai.settings', (value) => {
  const { system, thinking, numbers } = (value ?? {}) as Partial<Settings>;
  return {
    system: typeof system === 'string' ? system : '',
    thinking: thinking === 'on' || thinking === 'off' ? thinking : 'auto',
    numbers: Object.fromEntries(
      NUMBERS.map(({ key }) => [key, (numbers as Settings['numbers'] | undefined)?.[key]]).filter(([, n]) =>
        Number.isFinite(n),
      ),
    ),
  };
});

export type Theme = 'system' | 'light' | 'dark';

export const theme = kept<Theme>('bonsai.theme', (value) => (value === 'light' || value === 'dark' ? value : 'system'));
theme.subscribe((now) => (document.documentElement.dataset.theme = now));

/** The part of a request that the settings decide. */
export function requestFields({ thinking, numbers }: Settings): object {
  return {
    ...numbers,
    ...(thinking === 'auto' ? {} : { chat_template_kwargs: { enable_thinking: thinking === 'on' } }),
  };
}
