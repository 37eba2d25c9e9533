import { defineConfig } from '@playwright/test';
import { browser } from './browser.mjs';

export default defineConfig({
  testDir: '.',
  testMatch: '*.spec.mjs',
  outputDir: 'results',
  fullyParallel: true,
  workers: 2,
  timeout: 30_000,
  expect: { timeout: 10_000 },
  forbidOnly: true,
  reporter: 'list',
  // No sandbox: as root, in a container, there is none; and the only page that is opened is ours.
  use: { launchOptions: { executablePath: await browser(), args: ['--no-sandbox'] }, locale: 'en-GB' },
});
