// What holders of tokens, delegators and judges do, on a King's index of real (local) chains whose clock is moved on.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { parseEther, parseUnits } from 'viem';
import { shots } from './lib/browser.mjs';
import { PROVIDER } from './lib/chains.mjs';
import { setStage } from './lib/stage.mjs';
import { done, unexpected, until, visit as visitAs } from './lib/visit.mjs';
import { accountOf } from './lib/wallet.mjs';

const FOUNDER = 0;
const QUEENS = [5, 6, 7];
const [RENTER, DELEGATOR] = [11, 12];
const DAY = 86_400n;

let stage, chrome, chains, site;

before(async () => {
  stage = await setStage(async (chains) => {
    await chains.write(PROVIDER, 'StakingPools', 'announceCommission', [1_000]);
    for (const queen of QUEENS) {
      await chains.write(queen, 'GPUToken', 'approve', [chains.addresses.ethereum.staking_manager, parseEther('20000')]);
      await chains.write(queen, 'StakingManager', 'stake', [2, parseEther('20000'), accountOf(queen).address, `0x${'03'.repeat(32)}`]);
    }
  });
  ({ chrome, chains, site } = stage);
});
after(() => stage?.close());

const visit = (hash, index) => visitAs({ chrome, rpc: chains.ethereum.url, site }, hash, index);
const balance = (address) => chains.read('GPUToken', 'balanceOf', [address]);
const amount = async (place) => parseUnits((await place.locator('.amount').first().innerText()).replace(/[^0-9.]/g, ''), 18);
const panel = (page, name) => page.getByRole('region', { name });
const fact = (place, name) => place.locator('.facts > div').filter({ has: place.page().locator('dt', { hasText: name }) }).locator('dd');
const time = async () => (await chains.client.getBlock()).timestamp;
async function pass(seconds) {
  await chains.ethereum.rpc('evm_increaseTime', [Number(seconds)]);
  await chains.ethereum.rpc('evm_mine');
}

test('a complaint is judged while the renter looks on, and what it gave back is claimed to the wei', async () => {
  const renter = accountOf(RENTER).address;
  const [, , , , total] = await chains.read('GPURental', 'quote', [1n, 600]);
  await chains.write(RENTER, 'GPUToken', 'approve', [chains.addresses.ethereum.gpu_rental, total]);
  await chains.write(RENTER, 'GPURental', 'rent', [1n, 600, renter, total]);
  await chains.write(PROVIDER, 'GPURental', 'ready', [1n]);
  const { page, errors, close } = await visit('#/rentals/1', RENTER);
  await page.getByTestId('evidence').setInputFiles({ name: 'log.txt', mimeType: 'text/plain', buffer: Buffer.from('the device is gone') });
  await page.getByTestId('complain').click();
  const complaint = panel(page, 'Complaint: case 1');
  await complaint.getByText('not drawn yet').waitFor({ timeout: 60_000 });
  await page.getByText('A complaint is open').waitFor();
  await complaint.getByRole('button', { name: 'Draw the judges' }).click();
  await complaint.getByText('0 to uphold, 0 to reject, of 3').waitFor({ timeout: 60_000 });

  const queen = await visit('#/rentals/1', QUEENS[0]);
  await panel(queen.page, 'Complaint: case 1').getByRole('button', { name: 'Uphold' }).click();
  await done(queen.page, 'You voted to uphold');
  assert.deepEqual(unexpected(queen.errors), []);
  await queen.close();
  await complaint.getByText('1 to uphold, 0 to reject, of 3').waitFor({ timeout: 30_000 });
  await chains.write(QUEENS[1], 'RentalCourt', 'vote', [1n, true]);

  await complaint.locator('.badge').getByText('upheld').waitFor({ timeout: 30_000 });
  await page.getByText('A committee of Queens upheld the complaint.').waitFor();
  await page.locator('.head .badge').getByText('ended, settling').waitFor();
  const { refunded } = await chains.read('GPURental', 'rental', [1n]);
  assert.ok(refunded > 0n, 'the time after the complaint is given back');
  assert.equal(await amount(page.locator('[data-money=refunded]')), refunded);
  await page.screenshot({ path: `${shots}/holder-upheld-1440-light.png`, fullPage: true });

  const had = await balance(renter);
  await page.goto(`${site.url}#/rewards`);
  const purse = (name) => page.locator(`[data-purse=${name}]`);
  assert.equal(await amount(purse('rent')), refunded);
  const { bond, judgeFee } = await chains.read('RentalCourt', 'parameters');
  assert.equal(await amount(purse('court')), bond - judgeFee);
  for (const [name, button] of [['rent', 'Claim rent and refunds'], ['court', 'Claim court']]) {
    await purse(name).getByRole('button', { name: button }).click();
    await purse(name).locator('[data-kind=done]').getByText('Claimed to your account').waitFor({ timeout: 60_000 });
    await purse(name).getByRole('button', { name: button }).waitFor({ state: 'detached', timeout: 30_000 });
    await purse(name).getByText('Claimed to your account').waitFor();
  }
  assert.equal(await balance(renter) - had, refunded + bond - judgeFee);
  assert.deepEqual(unexpected(errors), []);
  await close();
});

test('delegates to an open pool, takes it back, and withdraws it when it has left', async () => {
  const { page, errors, address, close } = await visit('#/stake', DELEGATOR);
  const lent = parseEther('100') + 1n;
  const had = await balance(address);
  const delegation = panel(page, 'Delegate');
  await delegation.getByTestId('delegate-to').selectOption(accountOf(PROVIDER).address.toLowerCase());
  await delegation.getByTestId('delegate-amount').fill('100.000000000000000001');
  await delegation.getByRole('button', { name: 'Delegate', exact: true }).click();
  await done(page, 'Delegated');
  await fact(delegation, 'Worth now').waitFor({ timeout: 60_000 });
  assert.equal(await amount(fact(delegation, 'Worth now')), lent);
  assert.equal(had - await balance(address), lent);
  await page.screenshot({ path: `${shots}/holder-delegated-1440-light.png`, fullPage: true });

  await delegation.getByRole('button', { name: 'Take all of it back' }).click();
  await done(page, 'Requested');
  const withdraw = delegation.getByRole('button', { name: 'Withdraw what has left' });
  await withdraw.waitFor({ timeout: 60_000 });
  assert.equal(await amount(fact(delegation, 'Leaving')), lent);
  assert.equal(await withdraw.isDisabled(), true);
  await pass((await chains.read('StakingManager', 'parameters')).unbondingPeriod);
  await withdraw.click({ timeout: 60_000 });
  await done(page, 'Withdrawn to your account');
  assert.equal(await balance(address), had);
  assert.deepEqual(unexpected(errors), []);
  await close();
});

test('releases what has vested', async () => {
  const { page, errors, address, close } = await visit('#/rewards', FOUNDER);
  const investors = panel(page, /^Investors: allocation/);
  await investors.waitFor();
  // The genesis begins at a fixed date: half a year of cliff and a month more, whenever this runs.
  const wanted = 1_767_225_600n + 15_768_000n + 30n * DAY;
  const now = await time();
  if (now < wanted) await pass(wanted - now);
  const [had, before] = [await balance(address), await amount(fact(investors, 'Released'))];
  await investors.getByRole('button', { name: 'Release what has vested' }).click({ timeout: 60_000 });
  await done(page, 'Released to the beneficiary');
  // What had vested by then was paid out by the deployment; this is the rest.
  const released = await balance(address) - had;
  assert.ok(released > 0n, `${released}`);
  await until('the page shows what was released', async () => await amount(fact(investors, 'Released')) === before + released);
  assert.deepEqual(unexpected(errors), []);
  await close();
});
