// The page that `bonsai serve` sends, with the server behind it.
import { readFile } from 'node:fs/promises';
import { expect, test as base } from '@playwright/test';
import { chatOn, conversations, watch } from './page.mjs';
import { endless, startServer } from './server.mjs';

/** `options` are the server's; each test has one of its own, and fails on what the console calls an error, too. */
const test = base.extend({
  options: [{}, { option: true }],
  allowed: [/^$/, { option: true }], // errors that the browser reports and that are meant
  server: async ({ options }, use) => {
    const server = await startServer(options);
    await use(server);
    await server.stop();
  },
  chat: async ({ page, server, allowed }, use) => {
    const wrong = watch(page, server.url);
    page.on('console', (m) => m.type() === 'error' && !allowed.test(m.text()) && wrong.push(m.text()));
    await page.goto(server.url);
    await use(chatOn(page));
    expect(wrong).toEqual([]);
  },
});

/** From now on the page's requests say this, too. */
const add = (page, fields) =>
  page.route('**/v1/chat/completions', (route) =>
    route.continue({ postData: JSON.stringify({ ...route.request().postDataJSON(), ...fields }) }),
  );

const TOOLS = ['get_time', 'get_date'].map((name) => ({ type: 'function', function: { name } }));

test('comes with its policy, and works under it', async ({ page, chat }) => {
  const file = (name) => readFile(new URL(`../dist/${name}`, import.meta.url), 'utf8');
  const response = await page.reload();
  const headers = response.headers();
  expect(headers['content-security-policy']).toBe((await file('csp.txt')).trim());
  expect(headers['x-content-type-options']).toBe('nosniff');
  expect(headers['referrer-policy']).toBe('no-referrer');
  expect(await response.text()).toBe(await file('index.html'));
  await expect(page.getByText('It runs on your server')).toBeVisible();
  await chat.ask('markdown');
  for (const tag of ['h2', 'strong', 'code', 'pre > code', 'ul > li'])
    await expect(page.locator(`.prose ${tag}`).first()).toBeVisible();
});

test('says what the model is, how much memory it takes, and what an answer cost', async ({ page, chat, server }) => {
  const { memory, context } = await server.get('props');
  const megabytes = (bytes) => `${(bytes / 1e6).toPrecision(3)} MB`;
  expect(context).toBe(8192);
  await expect(page.locator('.welcome')).toContainText('script');
  await expect(page.locator('.welcome')).toContainText(`${megabytes(memory.weights)} of weights · 8,192 tokens`);
  const facts = page.locator('.facts');
  await expect(facts).toContainText(`weights ${megabytes(memory.weights)}`);
  await expect(facts).toContainText(`cache ${megabytes(memory.kv)}`);
  await chat.ask('hello');
  await expect(chat.answers).toContainText('Hello! How can I help you?');
  await expect(chat.answers.locator('.cost')).toHaveText(/^7 tokens [\d,]+(\.\d)? tokens\/s $/);
  const usage = (await server.post('v1/chat/completions', { messages: [{ role: 'user', content: 'hello' }] })).usage;
  await expect(facts).toContainText(`context ${usage.total_tokens} of 8,192`);
});

test.describe('with a long answer', () => {
  test.use({ options: { flags: ['-np', '1', '-c', '131072'] }, allowed: /ERR_INCOMPLETE_CHUNKED_ENCODING/ });

  test('streams, stops, and the server stops too; answers again', async ({ page, chat, server }) => {
    await add(page, await endless(server));
    await chat.say('count');
    await expect(chat.answers).toContainText('w1 w2 w3');
    expect(await server.busy()).toBe(1);
    await page.getByRole('button', { name: 'Stop' }).click();
    await expect(chat.answers.locator('.cut')).toContainText('Stopped.');
    await expect.poll(server.busy).toBe(0);
    await page.unroute('**/v1/chat/completions');
    await chat.answers.getByRole('button', { name: 'Again', exact: true }).click();
    await expect(page.getByLabel('Version 2 of 2')).toBeVisible();
    await chat.idle();
    await expect(chat.answers.locator('.prose')).toHaveText(/^w1 w2 .* w1999 w2000$/);
  });

  test('says so when the server goes away in the middle', async ({ page, chat, server }) => {
    await add(page, await endless(server));
    await chat.say('count');
    await expect(chat.answers).toContainText('w1 w2 w3');
    await server.stop('SIGKILL');
    await expect(chat.answers.locator('.cut')).toContainText('The connection broke off');
  });
});

test('finds conversations again after a reload, and goes on', async ({ page, chat }) => {
  await chat.ask(`think about it, ${'and take your time, '.repeat(8)}please`);
  const cost = chat.answers.last().locator('.cost');
  const [, tokens] = /^prompt of (\d+) tokens/.exec(await cost.getAttribute('title'));
  await page.reload();
  await conversations(page).getByRole('button').first().click();
  await expect(chat.answers).toContainText('The answer is 42.');
  const asked = page.waitForRequest((request) => request.url().endsWith('/v1/chat/completions'));
  await chat.ask('hello');
  const { messages } = (await asked).postDataJSON();
  expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
  expect(messages[1].content).toBe('The answer is 42.'); // and not what it thought
  await expect(chat.answers.last()).toContainText('Hello! How can I help you?');
  // Of the first prompt, every block of 64 is there still.
  await expect(cost).toHaveAttribute('title', new RegExp(`, ${64 * Math.floor(tokens / 64)} of them kept from before`));
});

test('folds reasoning', async ({ page, chat }) => {
  await chat.ask('think');
  await expect(chat.answers.locator('.prose')).toHaveText('The answer is 42.');
  await expect(page.locator('.reasoning summary')).toHaveText(/^Thought for \d+\.\d s$/);
  await expect(page.getByText('Let me see.')).toBeHidden();
  await page.locator('.reasoning summary').click();
  await expect(page.getByText('Let me see.')).toBeVisible();
});

test('shows tool calls', async ({ page, chat }) => {
  await add(page, { tools: TOOLS });
  await chat.ask('both');
  await expect(chat.answers.locator('.prose')).toHaveText('Two calls.');
  await expect(page.locator('.tool summary')).toHaveText(['Calls get_time', 'Calls get_date']);
  await expect(page.locator('.tool pre').first()).toHaveText('{\n  "zone": "UTC"\n}');
  await page.reload();
  await conversations(page).getByRole('button').first().click();
  await expect(page.locator('.tool')).toHaveCount(2);
});

test('hostile Markdown runs nothing and loads nothing', async ({ page, chat }) => {
  await chat.ask('hostile');
  await expect(chat.answers).toContainText('The end.');
  const hrefs = await page.locator('.prose a').evaluateAll((links) => links.map((link) => link.href));
  for (const href of hrefs) expect(href).toMatch(/^https:\/\/evil\.example\/[a-e]/); // Links, and only when clicked.
  expect(hrefs.length).toBe(5);
  expect(await page.locator('.prose :is(script, style, iframe, img, [onerror])').count()).toBe(0);
  expect(await page.evaluate(() => window.hacked)).toBe(undefined);
});

test.describe('with a key', () => {
  test.use({ options: { key: 'open sesame' }, allowed: /401 \(Unauthorized\)/ });

  test('asks for it', async ({ page, chat, server }) => {
    const key = page.getByLabel('Key', { exact: true });
    await key.fill('wrong');
    await page.keyboard.press('Enter');
    await expect(key).toBeVisible();
    await key.fill('open sesame');
    await page.keyboard.press('Enter');
    await chat.ask('hello');
    await expect(chat.answers).toContainText('Hello! How can I help you?');
    await page.reload();
    await expect(page.locator('.facts')).toContainText('script');
    await expect(page.getByRole('dialog')).toHaveCount(0);
    expect(server.log.join('\n')).not.toContain('sesame');
  });
});

test.describe('with one place', () => {
  test.use({
    options: { flags: ['-np', '1', '--max-queue', '0', '-c', '131072'] },
    allowed: /429 \(Too Many Requests\)/,
  });

  test('says that it is busy, and tries again when told', async ({ page, chat, server }) => {
    const away = new AbortController();
    const other = fetch(`${server.url}v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ messages: [{ role: 'user', content: 'count' }], ...(await endless(server)) }),
      signal: away.signal,
    }).catch(() => {});
    await expect.poll(server.busy).toBe(1);
    await chat.ask('hello');
    await expect(chat.answers.locator('.cut')).not.toBeEmpty();
    away.abort();
    await other;
    await expect.poll(server.busy).toBe(0);
    await page.getByRole('button', { name: 'Try again' }).click();
    await expect(chat.answers).toContainText('Hello! How can I help you?');
  });
});
