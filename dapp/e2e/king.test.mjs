// The pages on a real King: its index, its API and its event stream, over real (local) chains that reorganise, and through its death.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axe, open, overflow, shots } from './lib/browser.mjs';
import { abiOf, PROVIDER } from './lib/chains.mjs';
import { setStage } from './lib/stage.mjs';
import { accountOf, testWallet } from './lib/wallet.mjs';

let stage, chrome, chains, king, site;

before(async () => {
  stage = await setStage();
  ({ chrome, chains, king, site } = stage);
});
after(() => stage?.close());

const steps = (page) => page.locator('[data-testid=timeline] li[data-type]');
const type = (page, name) => page.locator(`[data-testid=timeline] li[data-type=${name}]`).first();

test('rents, sees each step arrive by itself, through a reorganisation, a reload and the death of the King', async () => {
  const wallet = testWallet({ rpc: chains.ethereum.url, chainId: 31301n, index: 11 });
  const { page, errors, close } = await open(chrome.browser, { before: (page) => wallet.install(page) });
  await page.goto(`${site.url}#/offers`);
  await page.getByTestId('wallet').click();
  await page.getByRole('button', { name: 'Test Wallet' }).click();
  await page.getByLabel('Rent offer 1').click();
  await page.getByTestId('duration').fill('10 min');
  await page.getByTestId('key-password').fill('correct horse');
  await page.getByTestId('make-key').click();
  await page.getByTestId('save-key').click({ timeout: 60_000 });
  await page.getByTestId('pay').click();
  await page.getByTestId('to-rental').click({ timeout: 60_000 });
  await type(page, 'rental_requested').waitFor();
  await page.getByText('waiting for the GPU').waitFor();

  await chains.write(PROVIDER, 'GPURental', 'ready', [1n]);
  await type(page, 'rental_ready').waitFor();
  await page.getByText('ready, not opened').waitFor();
  await page.reload();
  await type(page, 'rental_ready').waitFor();
  await page.screenshot({ path: `${shots}/king-rental-1440-light.png`, fullPage: true });

  // Blocks up to `ready` go: what they held is taken back without anybody asking.
  const { blockNumber } = await chains.client.getTransactionReceipt({ hash: (await chains.client.getContractEvents({ address: chains.addresses.ethereum.gpu_rental, abi: abiOf('GPURental'), eventName: 'RentalReady', fromBlock: 0n }))[0].transactionHash });
  const head = await chains.client.getBlockNumber({ cacheTime: 0 });
  await chains.ethereum.rpc('anvil_reorg', [Number(head - blockNumber) + 1, []]);
  await type(page, 'rental_ready').waitFor({ state: 'detached' });
  await page.getByText('waiting for the GPU').waitFor();
  await chains.write(PROVIDER, 'GPURental', 'ready', [1n]);
  await type(page, 'rental_ready').waitFor();

  const before = await steps(page).count();
  assert.deepEqual(errors, []);
  await king.kill();
  await page.getByText('What you see may be old').waitFor();
  assert.equal(await steps(page).count(), before, 'what was shown stays');
  await king.start();
  await page.waitForFunction(() => document.querySelector('.live')?.textContent === 'Live', null, { timeout: 40_000 });
  await page.getByTestId('extend-time').fill('5 min');
  await page.getByTestId('extend').click({ timeout: 30_000 });
  await type(page, 'rental_extended').waitFor({ timeout: 30_000 });
  await close();
});

test('every page shows what the King answers', async () => {
  for (const width of [360, 1440]) {
    const { page, errors, close } = await open(chrome.browser, { width });
    for (const hash of ['offers?show=all', 'offers/1', 'rentals/1', 'providers', `providers/${accountOf(PROVIDER).address.toLowerCase()}`, 'stake', 'votes', 'rewards', 'network']) {
      await page.goto(`${site.url}#/${hash}`);
      await page.waitForFunction(() => document.querySelector('main h1') && !document.querySelector('main .waiting'));
      assert.deepEqual(await page.locator('main [role=alert]').allInnerTexts(), [], hash);
      assert.deepEqual(await overflow(page), [], hash);
      assert.deepEqual(await axe(page), [], hash);
    }
    assert.deepEqual(errors, []);
    await close();
  }
});
