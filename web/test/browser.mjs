// Finds a Chromium: BONSAI_BROWSER, Playwright's own, the system's, or the headless build that comes with npm ci.
// As a program it prints the path, or fails.
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { chromium } from '@playwright/test';

export async function browser() {
  const candidates = [
    process.env.BONSAI_BROWSER,
    chromium.executablePath(),
    '/usr/bin/chromium',
    '/usr/bin/google-chrome',
  ];
  const installed = candidates.find((path) => path && existsSync(path));
  if (installed || process.platform !== 'linux' || process.arch !== 'x64') return installed;
  const { default: packed } = await import('@sparticuz/chromium');
  return packed.executablePath();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const path = await browser();
  console.log(path ?? 'none');
  process.exit(path ? 0 : 1);
}
