// The chat page as a test sees it, whichever server it came from.
import { expect } from '@playwright/test';

/** Collects what must not happen: script errors, breaches of the policy, requests to anybody but the server at `url`. */
export function watch(page, url) {
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(error.message));
  page.on(
    'console',
    (message) => /Content Security Policy|Refused to/.test(message.text()) && wrong.push(message.text()),
  );
  page.on(
    'request',
    (request) => request.url().startsWith(url) || /^(data|blob):/.test(request.url()) || wrong.push(request.url()),
  );
  return wrong;
}

/** What one does with it. */
export const chatOn = (page) => ({
  answers: page.locator('.answer'),
  say: (text) =>
    page
      .getByLabel('Message', { exact: true })
      .fill(text)
      .then(() => page.keyboard.press('Enter')),
  idle: () => expect(page.getByRole('button', { name: 'Send' })).toBeVisible(),
  async ask(text) {
    const before = await page.locator('.answer').count();
    await this.say(text);
    await expect(page.locator('.answer')).toHaveCount(before + 1);
    await this.idle();
  },
});

export const conversations = (page) => page.getByRole('navigation').getByRole('listitem');
