// Every page at both widths in both themes: no error, nothing that sticks out, no violation of axe-core; screenshots in target/dapp.
// Answers come from lib/fixtures.mjs, for states that a short devnet does not reach. The other tests run against real chains.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { axe, launch, open, overflow, shots } from './lib/browser.mjs';
import { answerer, busy, empty, RENTER } from './lib/fixtures.mjs';
import { serve } from './lib/server.mjs';
import { testWallet } from './lib/wallet.mjs';

const PAGES = {
  offers: '#/offers?show=all', offer: '#/offers/1', rentals: '#/rentals', rental: '#/rentals/12', 'rental-waiting': '#/rentals/11', 'rental-done': '#/rentals/10', 'rental-fault': '#/rentals/9', 'rental-frozen': '#/rentals/8',
  providers: '#/providers', provider: `#/providers/0x${'a'.repeat(40)}`, stake: '#/stake', votes: '#/votes', proposal: '#/votes/73185274921847219847291847291847', rewards: '#/rewards', network: '#/network',
};
const LISTS = ['offers', 'rentals', 'providers', 'stake', 'votes', 'rewards', 'network'];
const WALLET = { rpc: 'http://127.0.0.1:9', chainId: 31301n, index: 11 };

let chrome;
before(async () => { chrome = await launch(); });
after(() => chrome?.close());

/** A page with a wallet that has shared its account before. */
async function visit(site, hash, options = {}, wallet = testWallet(WALLET)) {
  wallet.isShared = true;
  const opened = await open(chrome.browser, { ...options, before: async (page) => {
    await wallet.install(page);
    await page.addInitScript(() => localStorage.setItem('gpumkt.wallet', 'test.gpumkt.wallet'));
  } });
  await opened.page.goto(site.url + hash);
  return { ...opened, wallet };
}

const loaded = (page) => page.waitForFunction(() => document.querySelector('main h1, main .empty, main [role=alert]') && !document.querySelector('main .waiting'));
const isOfNetwork = (text) => /ERR_|Failed to load resource/.test(text);

function holds(schema, value, all, path) {
  if (schema.$ref) return holds(all[schema.$ref.split('/').pop()], value, all, path);
  const any = schema.oneOf ?? schema.anyOf;
  if (any) return any.some((one) => holds(one, value, all, path).length === 0) ? [] : [`${path}: fits none`];
  if (schema.enum && !schema.enum.includes(value)) return [`${path}: ${value} is none of ${schema.enum.slice(0, 9)}`];
  const types = [schema.type].flat();
  const is = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  if (schema.type && !types.includes(is)) return [`${path}: ${is} instead of ${types}`];
  if (is === 'string' && schema.pattern && !new RegExp(schema.pattern).test(value)) return [`${path}: "${value}" is not ${schema.pattern}`];
  if (is === 'array') return value.flatMap((entry, at) => holds(schema.items ?? {}, entry, all, `${path}[${at}]`));
  if (is !== 'object' || !schema.properties) return [];
  const missing = (schema.required ?? []).filter((name) => !(name in value)).map((name) => `${path}: no ${name}`);
  const unknown = Object.keys(value).filter((name) => !(name in schema.properties)).map((name) => `${path}: ${name} is not described`);
  return [...missing, ...unknown, ...Object.entries(schema.properties).flatMap(([name, one]) => (name in value ? holds(one, value[name], all, `${path}.${name}`) : []))];
}

test('the answers used here are those that the API describes', () => {
  const own = new URL('../../docs/openapi.json', import.meta.url);
  const { paths, components } = JSON.parse(readFileSync(own, 'utf8'));
  const patterns = Object.entries(paths).map(([name, { get }]) => [new RegExp(`^${name.replace(/\{[^}]+\}/g, '[^/]+')}$`), get.responses['200'].content['application/json']?.schema]);
  for (const answers of [busy, empty]) {
    for (const [name, value] of Object.entries(answers)) {
      const found = patterns.find(([pattern]) => pattern.test(name.split('?')[0]));
      assert.ok(found, `${name} is not described`);
      assert.deepEqual(holds(found[1], value, components.schemas, name), []);
    }
  }
});

for (const width of [360, 1440]) {
  for (const theme of ['light', 'dark']) {
    test(`every page at ${width} px, ${theme}`, async () => {
      const site = await serve(answerer(busy).handler);
      const problems = [];
      for (const [name, hash] of Object.entries(PAGES)) {
        const { page, errors, close } = await visit(site, hash, { width, theme });
        await loaded(page);
        await page.waitForFunction(() => document.querySelector('.live')?.textContent === 'Live');
        await page.screenshot({ path: `${shots}/${name}-${width}-${theme}.png`, fullPage: true });
        const wrong = { out: await overflow(page), axe: await axe(page), console: errors };
        for (const [kind, found] of Object.entries(wrong)) problems.push(...found.map((text) => `${name}: ${kind}: ${text}`));
        await close();
      }
      assert.deepEqual(problems, []);
      await site.close();
    });
  }
}

test('a market without anything says so on every page', async () => {
  const site = await serve(answerer(empty).handler);
  for (const name of LISTS) {
    const { page, errors, close } = await visit(site, PAGES[name], { width: 360 });
    await loaded(page);
    await page.screenshot({ path: `${shots}/${name}-empty-360-light.png`, fullPage: true });
    assert.deepEqual(await axe(page), [], `${name}: axe-core`);
    assert.deepEqual(errors, [], `${name}: console`);
    await close();
  }
  await site.close();
});

test('what does not exist, and what loads for ever, is told and does not break the page', async () => {
  const site = await serve(answerer({ ...busy, '/stakes': 'never' }).handler);
  const { page, close } = await visit(site, '#/rentals/999');
  await page.getByRole('alert').getByText('Not found').waitFor();
  await page.goto(`${site.url}#/stake`);
  await page.getByRole('status', { name: 'Loading stakes' }).waitFor();
  assert.deepEqual(await axe(page), []);
  await page.goto(`${site.url}#/nothing`);
  await page.getByText('There is no such page').waitFor();
  await close();
  await site.close();
});

test('the API goes and comes back: what was shown stays, is called old, and is new again', async () => {
  const api = answerer(structuredClone(busy));
  const site = await serve(api.handler);
  const { page, errors, close } = await visit(site, '#/rentals/12');
  await page.getByTestId('timeline').waitFor();
  site.setAway(true);
  await page.getByText('The node does not answer. What you see may be old').waitFor();
  await page.getByTestId('timeline').waitFor();
  await page.screenshot({ path: `${shots}/rental-away-1440-light.png`, fullPage: true });
  site.setAway(false);
  await page.waitForFunction(() => document.querySelector('.live')?.textContent === 'Live', null, { timeout: 30_000 });
  await page.waitForFunction(() => !document.querySelector('.banner'));
  assert.deepEqual(errors.filter((text) => !isOfNetwork(text)), []);
  await close();
  await site.close();
});

test('an event appears by itself, and a reorganisation takes it back', async () => {
  const answers = structuredClone(busy);
  const api = answerer(answers);
  const site = await serve(api.handler);
  const { page, errors, close } = await visit(site, '#/rentals/12');
  await page.waitForFunction(() => document.querySelector('.live')?.textContent === 'Live');
  await page.getByTestId('timeline').waitFor();
  const news = api.event(170, 'ethereum', 'rental_extended', 0, 'one more hour was bought');
  api.tell('rental_extended', news, '170/0');
  await page.getByText('One more hour was bought.').waitFor();
  api.tell('reorg', { chain: 'ethereum', to_block: '165' });
  await page.getByText('One more hour was bought.').waitFor({ state: 'detached' });
  await page.getByText('The renter logged in.').waitFor();
  assert.deepEqual(errors, []);
  await close();
  await site.close();
});

test('everything on a page can be reached and done with the keyboard', async () => {
  const site = await serve(answerer(busy).handler);
  const { page, errors, close } = await visit(site, '#/offers?show=all');
  await loaded(page);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to the page');
  const reached = new Set();
  for (let step = 0; step < 60; step += 1) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? ''));
  }
  for (const wanted of ['Rentals', 'Network', 'Rent offer 1', 'Rent offer 2']) assert.ok(reached.has(wanted), `${wanted} was not reached: ${[...reached]}`);
  await page.getByLabel('Rent offer 1').focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: /Offer 1/ }).waitFor();
  await page.waitForFunction(() => ['H1', 'MAIN'].includes(document.activeElement?.tagName));
  await page.getByTestId('wallet').focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.deepEqual(errors, []);
  await close();
  await site.close();
});

test('declining to connect, a wrong chain and an unknown one are told in words', async () => {
  const site = await serve(answerer(busy).handler);
  const wallet = testWallet({ ...WALLET, chainId: 1n });
  const { page, errors, close } = await open(chrome.browser, { width: 360, before: (page) => wallet.install(page) });
  await page.goto(`${site.url}#/rentals`);
  await page.getByRole('button', { name: 'Connect wallet' }).first().click();
  wallet.reject = /eth_requestAccounts/;
  await page.getByRole('button', { name: 'Test Wallet' }).click();
  await page.getByText('You declined it in your wallet').waitFor();
  assert.deepEqual(await axe(page), []);
  wallet.reject = null;
  await page.getByRole('button', { name: 'Test Wallet' }).click();
  await page.getByText('this market is on chain 31301').waitFor();
  await page.screenshot({ path: `${shots}/wrong-chain-360-light.png` });
  await page.getByRole('button', { name: 'Switch the wallet' }).click();
  await page.getByText('Your wallet does not know this chain').waitFor();
  await page.getByText('My wallet does not know that chain').click();
  await page.getByLabel('Address of an endpoint').fill('http://127.0.0.1:8545');
  await page.getByRole('button', { name: 'Add it to the wallet' }).click();
  await page.waitForFunction(() => !document.querySelector('.wallet.wrong'));
  assert.equal(wallet.chainId, 31301n);
  assert.deepEqual(await axe(page), []);
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: 'Rental 12' }).waitFor();
  assert.deepEqual(errors, []);
  assert.equal(RENTER, wallet.account.address.toLowerCase());
  await close();
  await site.close();
});
