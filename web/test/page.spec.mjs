// The page against the mock server, under the policy that it is served with.
import { readFile } from 'node:fs/promises';
import AxeBuilder from '@axe-core/playwright';
import { expect, test as base } from '@playwright/test';
import { startMock } from '../mock/server.mjs';
import { chatOn, conversations, watch } from './page.mjs';

/** `mock` is a server; `chat` the page with helpers. A test fails on any script error or breach of the policy. */
const test = base.extend({
  mock: async ({}, use) => {
    const mock = await startMock();
    await use(mock);
    await mock.close();
  },
  chat: async ({ page, mock }, use) => {
    const wrong = watch(page, mock.url);
    await page.goto(mock.url);
    await use(chatOn(page));
    expect(wrong).toEqual([]);
  },
});

test('sends, streams, and shows what it cost', async ({ page, chat, mock }) => {
  await expect(page.getByText('1.28 GB of weights · 4,096 tokens of context')).toBeVisible();
  await chat.say('a slow one');
  await expect(chat.answers).toContainText('The old');
  expect((await chat.answers.textContent()).length).toBeLessThan(300); // It is not complete: so it streams.
  await expect(page.getByRole('button', { name: 'Stop' })).toBeVisible();
  await chat.idle();
  await expect(chat.answers.locator('.cost')).toHaveText(/^154 tokens \d+\.\d tokens\/s $/);
  await expect(page.locator('.facts')).toContainText('context 411 of 4,096');
  expect(mock.state.requests[0]).toEqual({
    model: 'Bonsai-8B',
    messages: [{ role: 'user', content: 'a slow one' }],
    stream: true,
    stream_options: { include_usage: true },
  });
  await expect(page.locator('[aria-live=polite]')).toHaveText(/^The old juniper .* small\.$/);
});

test('Shift+Enter breaks the line, Enter sends, Escape stops', async ({ page, chat, mock }) => {
  await page.getByLabel('Message', { exact: true }).fill('slow');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('second line');
  await page.keyboard.press('Enter');
  await expect(chat.answers).toContainText('The old');
  await page.keyboard.press('Escape');
  await expect(chat.answers.locator('.cut')).toContainText('Stopped.');
  await expect.poll(() => mock.state.aborted).toBe(1); // The server stops too.
  expect(mock.state.requests[0].messages[0].content).toBe('slow\nsecond line');
  await chat.ask('and on'); // What was said before the stop is part of the conversation.
  expect(mock.state.requests[1].messages[1].content).toMatch(/^The old/);
});

test('regenerating and editing make branches', async ({ page, chat, mock }) => {
  await chat.ask('one');
  await chat.ask('two');
  await chat.answers.last().getByRole('button', { name: 'Again' }).click();
  await expect(page.getByLabel('Version 2 of 2')).toBeVisible();
  await chat.idle();
  await page.locator('.question').first().hover();
  await page.locator('.question').first().getByRole('button', { name: 'Edit' }).click();
  await page.getByLabel('Edit message').fill('uno');
  await page.keyboard.press('Enter');
  await expect(chat.answers).toHaveText(/You said: uno/);
  await expect(page.getByLabel('Message', { exact: true })).toBeFocused();
  await chat.idle();
  expect(mock.state.requests[3].messages).toEqual([{ role: 'user', content: 'uno' }]);
  await page.getByLabel('Previous version').click();
  await expect(chat.answers).toHaveCount(2);
  await expect(chat.answers.last()).toContainText('You said: two');
});

test('deletes a message with what follows, and undoes it', async ({ page, chat }) => {
  await chat.ask('one');
  await chat.ask('two');
  await chat.answers.first().hover();
  await chat.answers.first().getByRole('button', { name: 'Delete' }).click();
  await expect(page.locator('.question')).toHaveCount(1);
  await expect(chat.answers).toHaveCount(0);
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(chat.answers).toHaveCount(2);
});

test('finds conversations again after a reload, renames and deletes them', async ({ page, chat }) => {
  await chat.ask('about pots');
  await page.keyboard.press('Control+Shift+O');
  await expect(chat.answers).toHaveCount(0);
  await chat.ask('about wire');
  await page.reload();
  await expect(conversations(page)).toHaveText([/about wire/, /about pots/]);
  await page.getByRole('button', { name: 'about pots', exact: true }).click();
  await expect(chat.answers).toContainText('You said: about pots');
  await conversations(page).last().hover();
  await page.getByRole('button', { name: 'Rename about pots' }).click();
  await page.keyboard.type('Pots');
  await page.keyboard.press('Enter');
  await expect(conversations(page)).toHaveText([/about wire/, /Pots/]);
  await page.reload();
  await expect(conversations(page)).toHaveText([/about wire/, /Pots/]);
  await conversations(page).last().hover();
  await page.getByRole('button', { name: 'Delete Pots' }).click();
  await page.reload();
  await expect(conversations(page)).toHaveText([/about wire/]);
});

test('keeps what was there when the page is closed in the middle', async ({ page, chat }) => {
  await chat.say('a slow one');
  await expect(chat.answers).toContainText('nobody had told it');
  await page.waitForTimeout(2500); // It saves every two seconds.
  await page.reload();
  await conversations(page).getByRole('button').first().click();
  await expect(chat.answers).toContainText('nobody had told it');
  await expect(chat.answers.locator('.cut')).toContainText('The page was closed');
});

test('exports and imports, and refuses what is not valid', async ({ page, chat }, info) => {
  await chat.ask('keep this');
  await page.getByRole('button', { name: 'Settings' }).click();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export all' }).click(),
  ]);
  const file = info.outputPath('all.json');
  await download.saveAs(file);
  const all = JSON.parse(await readFile(file, 'utf8'));
  expect(all.conversations).toHaveLength(1);
  const [good] = all.conversations;
  const cycle = [
    { id: 1, parent: 2, role: 'user', text: '' },
    { id: 2, parent: 1, role: 'user', text: '' },
  ];
  const list = [
    good,
    { ...good, id: 'new', title: 'Brought in' },
    { ...good, id: 'cycle', messages: cycle },
    { id: 'x' },
    null,
    7,
    { ...good, id: 'role', messages: [{ id: 1, parent: null, role: 'system', text: '' }] },
  ];
  const load = async (text) => {
    const [chooser] = await Promise.all([
      page.waitForEvent('filechooser'),
      page.getByRole('button', { name: 'Import' }).click(),
    ]);
    await chooser.setFiles({ name: 'a.json', mimeType: 'application/json', buffer: Buffer.from(text) });
  };
  await load('{');
  await expect(page.getByText('That file is not JSON')).toBeVisible();
  await load(JSON.stringify({ conversations: list }));
  await expect(page.getByText('Conversations: 1 added, 1 here already, 5 not valid.')).toBeVisible();
  await page.reload();
  await expect(conversations(page)).toHaveCount(2);
});

test('settings reach the server and are kept', async ({ page, chat, mock }) => {
  await page.getByRole('button', { name: 'Settings' }).click();
  await expect(page.getByLabel('Temperature')).toHaveAttribute('placeholder', '0.6');
  await page.getByLabel('System prompt').fill('Be brief.');
  await page.getByLabel('Temperature').fill('0.2');
  await page.getByLabel('Top k').fill('-3'); // Not valid, so not taken.
  await page.getByLabel('Seed').fill('7');
  await page.getByLabel('Reasoning').selectOption('off');
  await page.getByRole('button', { name: 'Done' }).click();
  await page.reload();
  await chat.ask('think about it');
  const { messages, temperature, top_k, seed, chat_template_kwargs } = mock.state.requests[0];
  expect(messages[0]).toEqual({ role: 'system', content: 'Be brief.' });
  expect({ temperature, top_k, seed, chat_template_kwargs }).toEqual({
    temperature: 0.2,
    top_k: undefined,
    seed: 7,
    chat_template_kwargs: { enable_thinking: false },
  });
  await expect(page.locator('.reasoning')).toHaveCount(0);
});

test('folds reasoning and shows tool calls', async ({ page, chat, mock }) => {
  await chat.ask('think about pots');
  await expect(page.locator('.reasoning summary')).toHaveText(/^Thought for \d+\.\d s$/);
  await expect(page.getByText('Unglazed for conifers')).toBeHidden();
  await page.locator('.reasoning summary').click();
  await expect(page.getByText('Unglazed for conifers')).toBeVisible();
  await chat.ask('use the tool');
  await expect(page.locator('.tool summary')).toHaveText('Calls get_weather');
  await expect(page.locator('.tool pre')).toHaveText(
    '{\n  "city": "Kyoto",\n  "days": 3,\n  "units": {\n    "temperature": "celsius"\n  }\n}',
  );
  await chat.ask('and then?');
  expect(mock.state.requests[2].messages[3].tool_calls[0].function.name).toBe('get_weather');
  expect(JSON.stringify(mock.state.requests[2])).not.toContain('Unglazed for'); // Reasoning is not sent back.
});

test('says what went wrong, and tries again', async ({ page, chat, mock }) => {
  await chat.ask('this is broken');
  await expect(chat.answers.last().locator('.cut')).toContainText('The connection broke off');
  await expect(chat.answers.last()).toContainText('The old juniper');
  await chat.ask('this fails');
  await expect(chat.answers.last().locator('.cut')).toContainText('out of memory');
  await chat.ask('refuse this');
  await expect(chat.answers.last().locator('.cut')).toContainText('the context holds 4096');
  await chat.ask('limit it');
  await expect(chat.answers.last().locator('.cut')).toContainText('greatest length');
  await page.route('**/v1/chat/completions', (route) => route.abort());
  await chat.ask('hello?');
  await expect(chat.answers.last().locator('.cut')).toContainText('The server does not answer');
  await page.unroute('**/v1/chat/completions');
  await chat.answers.last().getByRole('button', { name: 'Try again' }).click();
  await expect(chat.answers.last()).toContainText('You said: hello?');
  await expect(chat.answers).toHaveCount(5); // In place of the empty one, not beside it.
  expect(mock.state.requests.at(-1).messages.at(-1).content).toBe('hello?');
});

test('waits while the model is loading, and can be stopped', async ({ page, chat, mock }) => {
  mock.state.loading = true;
  await chat.say('first');
  await expect(page.getByText('The model is loading.')).toBeVisible();
  await page.getByRole('button', { name: 'Stop' }).click();
  await expect(chat.answers.locator('.cut')).toContainText('Stopped.');
  await chat.say('second');
  mock.state.loading = false;
  await expect(chat.answers.last()).toContainText('You said: second');
  await expect(page.getByText('The model is loading.')).toBeHidden();
});

test('asks for the key that the server wants', async ({ page, chat, mock }) => {
  mock.state.key = 'open sesame';
  await page.reload();
  await page.getByLabel('Key', { exact: true }).fill('wrong');
  await page.keyboard.press('Enter');
  await page.getByLabel('Key', { exact: true }).fill('open sesame');
  await page.keyboard.press('Enter');
  await chat.ask('let me in');
  await expect(chat.answers).toContainText('You said: let me in');
  await page.reload();
  await expect(page.locator('.facts')).toContainText('Bonsai-8B');
  await expect(page.getByRole('dialog')).toHaveCount(0);
  expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain('sesame');
});

test('draws Markdown the same when it arrives in pieces and at once', async ({ page, chat }) => {
  await chat.ask('the tour');
  const streamed = await page.locator('.prose').innerHTML();
  await page.reload();
  await conversations(page).getByRole('button').first().click();
  expect(await page.locator('.prose').innerHTML()).toBe(streamed);
  for (const tag of [
    'h2',
    'em',
    'strong',
    'ol > li > ul > li',
    'blockquote',
    'td.center > code',
    'td.right',
    'pre > code',
    'hr',
    's',
  ]) {
    await expect(page.locator(`.prose ${tag}`).first()).toBeVisible();
  }
  await expect(page.getByRole('link', { name: 'the notes' })).toHaveAttribute('rel', 'noopener noreferrer');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await expect(page.locator('.code figcaption span')).toHaveText('python');
  await page.getByRole('button', { name: 'Copy code' }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toMatch(/^def gauge[^]*, 1\)\n$/);
});

test('does not draw finished blocks of a growing answer again', async ({ page, chat }) => {
  await chat.say('the tour, slow');
  const heading = page.locator('.prose h2').first();
  await expect(page.locator('.prose ol')).toBeVisible();
  await heading.evaluate((element) => (element.dataset.mine = 'yes'));
  await expect(page.locator('.prose blockquote')).toBeVisible({ timeout: 15_000 });
  await expect(heading).toHaveAttribute('data-mine', 'yes');
});

test('hostile Markdown runs nothing and loads nothing', async ({ page, chat }) => {
  await chat.ask('hostile');
  const text = await chat.answers.textContent();
  for (const part of ['deep quote', 'deep list', 'deep emphasis', 'deep brackets', 'The end of it.'])
    expect(text).toContain(part);
  const hrefs = await page.locator('.prose a').evaluateAll((links) => links.map((link) => link.href));
  expect(hrefs.length).toBeGreaterThan(4);
  for (const href of hrefs) expect(href).toMatch(/^(https:\/\/|mailto:)/);
  expect(
    await page
      .locator('.prose :is(script, style, iframe, img, svg, link, object, [onclick], [onload], [style])')
      .count(),
  ).toBe(0);
  const depth = await page.locator('.prose').evaluate((root) => {
    const of = (element) => 1 + Math.max(0, ...[...element.children].map(of));
    return of(root);
  });
  expect(depth).toBeLessThan(64);
  expect(await page.evaluate(() => window.hacked)).toBe(undefined);
  await page.reload();
  await conversations(page).getByRole('button').first().click();
  await expect(chat.answers).toContainText('The end of it.');
  expect(await page.evaluate(() => window.hacked)).toBe(undefined);
});

test('the policy is on: an inline script does not run', async ({ page, mock }) => {
  await page.goto(mock.url);
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.hacked = 1';
    document.body.append(script);
  });
  expect(await page.evaluate(() => window.hacked)).toBe(undefined);
});

test('a long fast answer stays usable', async ({ page, chat }) => {
  await chat.say('flood');
  await expect(chat.answers).toContainText('The last words.', { timeout: 15_000 });
  await chat.idle();
  const end = () => page.locator('.thread').evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight);
  await expect.poll(end).toBeLessThan(5);
  await page.locator('.thread').hover();
  await page.mouse.wheel(0, -3000);
  await page.getByRole('button', { name: 'To the end' }).click();
  await expect.poll(end).toBeLessThan(5);
});

for (const colorScheme of ['light', 'dark']) {
  for (const [name, viewport] of [
    ['desktop', { width: 1280, height: 800 }],
    ['phone', { width: 320, height: 568 }],
  ]) {
    test(`is accessible and fits: ${name}, ${colorScheme}`, async ({ page, chat }) => {
      const check = async () => {
        const { violations } = await new AxeBuilder({ page }).analyze();
        expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`)).toEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
      };
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(viewport);
      await check();
      await chat.ask('think about pots');
      await chat.ask('the tour');
      await chat.ask('this is broken, and uses the tool');
      await check();
      if (name === 'phone') {
        await page.getByRole('button', { name: 'Conversations' }).click();
        await expect(page.getByRole('button', { name: 'New chat' })).toBeFocused();
        await check();
      }
      await page.getByRole('button', { name: 'Help' }).click();
      await check();
      await page.keyboard.press('Escape');
      await expect(page.getByRole('button', { name: 'Help' })).toBeFocused();
      await page.getByRole('button', { name: 'Settings' }).click();
      await check();
    });
  }
}
