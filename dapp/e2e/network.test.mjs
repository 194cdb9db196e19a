// A renter on a whole network: pays in the browser, logs in by the lines that the page shows, and watches until the money is settled.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createPublicClient, http, parseUnits } from 'viem';
import { launch, open, shots } from './lib/browser.mjs';
import { abiOf } from './lib/chains.mjs';
import { startNetwork } from './lib/network.mjs';
import { proxy, serve } from './lib/server.mjs';
import { done, unexpected, visit } from './lib/visit.mjs';

const RENTER = 11;
/** The password of the devnet's keystores, which the page asks to use for the session key as well. */
const PASSWORD = 'devnet';
/** Time for the closing challenge to be drawn, proven, settled and carried over; a loaded machine needs it. */
const COMPLETED_WITHIN_MS = 420_000;
/** What the program says to a launch that came after the provider's own. */
const LAUNCHED_ALREADY = 'E-TENANT-003';

let chrome, network, site, client;

before(async () => {
  chrome = await launch();
  network = await startNetwork();
  client = createPublicClient({ transport: http(network.rpc) });
  site = await serve(proxy(network.url));
});
after(async () => {
  await site?.close();
  await network?.stop();
  await chrome?.close();
});

const type = (page, name) => page.locator(`[data-testid=timeline] li[data-type=${name}]`).first();
const shown = async (page, name) => parseUnits((await page.locator(`[data-money=${name}] .amount`).first().innerText()).replace(/[^0-9.]/g, ''), 18);
const line = (page, name) => page.getByLabel(name, { exact: true }).innerText({ timeout: 60_000 });
const balance = (account) => client.readContract({ address: network.addresses.ethereum.gpu_token, abi: abiOf('GPUToken'), functionName: 'balanceOf', args: [account] });

test('the program serves the pages, and they show what can be rented', async () => {
  const { page, errors, close } = await open(chrome.browser);
  await page.goto(network.url);
  await page.getByLabel('Rent offer 1').waitFor({ timeout: 30_000 });
  assert.deepEqual(unexpected(errors), []);
  await close();
});

test('rents, logs in by what the page says, and sees the rental completed and every wei accounted for', async () => {
  const { page, errors, address, close } = await visit({ chrome, rpc: network.rpc, site }, '#/offers/1', RENTER);
  await page.getByTestId('duration').fill('1 min');
  await page.getByTestId('key-password').fill(PASSWORD);
  await page.getByText('whoever gets the file can guess it').waitFor();
  await page.getByTestId('make-key').click();
  const [download] = await Promise.all([page.waitForEvent('download', { timeout: 60_000 }), page.getByTestId('save-key').click({ timeout: 60_000 })]);
  await download.saveAs(join(network.shell.downloads, download.suggestedFilename()));
  assert.deepEqual(await network.shell.type(await line(page, 'Where the key file goes')), { code: 0, out: '', err: '' });
  await page.getByTestId('pay').click();
  await page.getByTestId('to-rental').click({ timeout: 60_000 });
  const [, id] = /rentals\/(\d+)/.exec(page.url());

  const launched = await network.shell.type(await line(page, 'Start it and wait'));
  // A browser that was slow: the provider did not wait for the renter any longer, and started its standard image.
  assert.ok(launched.code === 0 || launched.err.includes(LAUNCHED_ALREADY), launched.err);
  await type(page, 'rental_ready').waitFor({ timeout: 60_000 });
  const used = await network.shell.type(`${await line(page, 'Log in to the GPU')} -- 'hostname && test -w ~ && exit 7'`);
  assert.deepEqual([used.code, used.out.trim()], [7, `rental-${id}`], used.err);
  await type(page, 'session_opened').waitFor({ timeout: 60_000 });
  await page.locator('.badge').getByText('session opened').waitFor();
  await page.screenshot({ path: `${shots}/network-running-1440-light.png`, fullPage: true });

  // Nothing is loaded anew: the page follows both chains to the end.
  await page.locator('.head .badge').getByText('completed').waitFor({ timeout: COMPLETED_WITHIN_MS });
  await page.getByLabel('Challenges of this rental').getByText('(closing)').waitFor();
  await page.getByLabel('Challenges of this rental').getByText('passed').first().waitFor();
  const money = Object.fromEntries(await Promise.all(['escrowed', 'paid', 'running', 'held', 'refunded', 'fees'].map(async (name) => [name, await shown(page, name)])));
  const chain = await client.readContract({ address: network.addresses.ethereum.gpu_rental, abi: abiOf('GPURental'), functionName: 'rental', args: [BigInt(id)] });
  assert.deepEqual(money, { escrowed: chain.escrowed, paid: chain.paid, running: 0n, held: 0n, refunded: chain.refunded, fees: chain.fees });
  assert.equal(money.paid + money.refunded + money.fees, money.escrowed);
  assert.ok(money.paid > 0n, 'the provider was paid for verified time');
  await page.screenshot({ path: `${shots}/network-completed-1440-light.png`, fullPage: true });

  if (money.refunded > 0n) {
    const before = await balance(address);
    await page.getByRole('link', { name: 'Rewards' }).last().click();
    await page.getByRole('button', { name: 'Claim rent and refunds' }).click();
    await done(page, 'Claimed');
    assert.equal(await balance(address) - before, money.refunded);
  }
  assert.deepEqual(unexpected(errors), []);
  await close();
});
