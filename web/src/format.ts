// Numbers for people.

export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  for (; count >= 999.5 && unit < units.length - 1; count /= 1000) ++unit;
  return `${count.toLocaleString('en', { maximumSignificantDigits: 3 })} ${units[unit]}`;
}

export function seconds(ms: number): string {
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const whole = Math.round(ms / 1000);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** Tokens a second: the first decimal counts when there are few. */
export const rate = (n: number) => `${n < 99.95 ? n.toFixed(1) : count(Math.round(n))} tokens/s`;

export const count = (n: number) => n.toLocaleString('en');
