// What a person does with a wallet, against the real contracts on real (local) chains: every transaction goes the whole way.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { encodeFunctionData, parseEther, parseEventLogs } from 'viem';
import { launch, shots } from './lib/browser.mjs';
import { abiOf, offerDevice, PROVIDER, startChains } from './lib/chains.mjs';
import { reader } from './lib/reader.mjs';
import { serve } from './lib/server.mjs';
import { done, told, visit as visitAs } from './lib/visit.mjs';

const RENTER = 11;
const PEER = '12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA';
let chrome, chains, api, site;

before(async () => {
  chrome = await launch();
  chains = await startChains();
  await offerDevice(chains);
  api = reader(chains);
  site = await serve(api.handler);
});
after(async () => {
  await site?.close();
  chains?.stop();
  await chrome?.close();
});

const visit = (hash, index = RENTER) => visitAs({ chrome, rpc: chains.ethereum.url, site }, hash, index);

test('declines, then rents with permit and payment in one step, reloads in the middle, extends, complains', async () => {
  const { page, errors, wallet, address, close } = await visit('#/offers/1');
  await page.getByTestId('duration').fill('10 min');
  await page.getByTestId('key-password').fill('correct horse');
  await page.getByTestId('make-key').click();
  const [download] = await Promise.all([page.waitForEvent('download', { timeout: 60_000 }), page.getByTestId('save-key').click({ timeout: 60_000 })]);
  const keystore = JSON.parse(readFileSync(await download.path(), 'utf8'));
  assert.equal(`0x${keystore.address}`, await page.getByTestId('session-key').textContent());

  const balance = await chains.read('GPUToken', 'balanceOf', [address]);
  wallet.reject = /eth_signTypedData/;
  await page.getByTestId('pay').click();
  assert.match(await told(page, 'rejected'), /nothing was paid/);
  wallet.reject = /eth_sendTransaction/;
  await page.getByTestId('pay').click();
  await page.waitForFunction(() => document.querySelectorAll('[data-kind=rejected]').length === 1);
  assert.equal(await chains.read('GPURental', 'rentalCount'), 0n);

  wallet.reject = null;
  const [, , , , total] = await chains.read('GPURental', 'quote', [1n, 600]);
  await page.getByTestId('pay').click();
  await done(page, 'Rental 1 is paid into escrow');
  const paid = await chains.read('GPURental', 'rental', [1n]);
  assert.equal(paid.sessionKey.toLowerCase(), `0x${keystore.address}`);
  assert.equal(paid.escrowed, total);
  assert.equal(balance - (await chains.read('GPUToken', 'balanceOf', [address])), total, 'to the wei');
  await page.getByTestId('to-rental').click();
  await page.getByText('waiting for the GPU').waitFor();

  await chains.write(PROVIDER, 'GPURental', 'ready', [1n]);
  await page.reload();
  await page.getByText('ready, not opened').waitFor();
  await page.waitForFunction(() => document.querySelector('.wallet.connected'));

  await page.getByTestId('extend-time').fill('5 min');
  await page.waitForFunction(() => /Extend for/.test(document.querySelector('[data-testid=extend]')?.textContent ?? ''), null, { timeout: 30_000 });
  await page.getByTestId('extend').click();
  await done(page, 'Extended by 5 min');
  const extended = await chains.read('GPURental', 'rental', [1n]);
  assert.equal(extended.end - paid.requestedAt >= 900n, true);

  await page.getByTestId('evidence').setInputFiles({ name: 'log.txt', mimeType: 'text/plain', buffer: Buffer.from('no device') });
  await page.getByTestId('complain').click();
  await page.waitForFunction(() => document.querySelector('[data-kind=done]')?.textContent?.includes('complaint is open') || !document.querySelector('[data-testid=complain]'), null, { timeout: 60_000 });
  assert.equal(await chains.read('RentalCourt', 'openComplaint', [1n]), 1n);
  api.again();
  await page.getByText('A complaint is open').waitFor();

  await page.getByTestId('extend-time').fill('6 min');
  assert.match(await told(page, 'refused'), /complaint is open/i);
  await page.screenshot({ path: `${shots}/chain-complaint-1440-light.png`, fullPage: true });
  assert.deepEqual(errors, []);
  await close();
});

test('too few tokens and a device that was rented meanwhile are told before anything is signed', async () => {
  const { page, wallet, close } = await visit('#/offers/1', 20);
  await page.getByText('This offer can not be rented now').waitFor();
  await page.goto(`${site.url}#/stake`);
  await page.getByTestId('stake-amount').fill('1000');
  await page.getByTestId('peer').fill(PEER);
  await page.getByTestId('stake').click();
  assert.match(await told(page, 'balance'), /1,000.00 are missing/);
  assert.equal(wallet.asked.includes('eth_signTypedData_v4'), false);
  assert.equal(wallet.asked.includes('eth_sendTransaction'), false);
  await close();
});

test('stakes by permit, asks for it back, and is told why it can not go below the minimum', async () => {
  const { page, errors, address, close } = await visit('#/stake', 13);
  await page.getByTestId('stake-amount').fill('1500.000000000000000001');
  await page.getByTestId('peer').fill(PEER);
  await page.getByTestId('stake').click();
  await done(page, 'Staked as provider');
  assert.equal((await chains.read('StakingManager', 'staker', [address])).staked, parseEther('1500') + 1n);
  api.again();
  await page.getByTestId('unstake-amount').fill('500.000000000000000001');
  await page.getByRole('button', { name: 'Request unstaking' }).click();
  await done(page, 'Requested');
  assert.equal((await chains.read('StakingManager', 'staker', [address])).unbonding, parseEther('500') + 1n);
  assert.deepEqual(errors, []);
  await close();
});

test('votes on a proposal, and is told that a vote can not be changed', async () => {
  const KING = 1;
  const { page, errors, address, close } = await visit('#/votes', KING);
  await page.getByRole('button', { name: 'Vote with them myself' }).click();
  await page.waitForFunction(() => !document.querySelector('main')?.textContent?.includes('vote for nobody'), null, { timeout: 60_000 });
  assert.equal((await chains.read('GPUToken', 'delegates', [address])), address);
  await chains.ethereum.rpc('evm_increaseTime', [5]);
  await chains.ethereum.rpc('evm_mine');
  const data = encodeFunctionData({ abi: abiOf('Governance'), functionName: 'setVotingDelay', args: [2] });
  const receipt = await chains.write(KING, 'Governance', 'propose', [[chains.addresses.ethereum.governance], [0n], [data], '# A test\n\nDelay of two seconds']);
  const [created] = parseEventLogs({ abi: abiOf('Governance'), logs: receipt.logs, eventName: 'ProposalCreated' });
  api.proposals.push({ id: created.args.proposalId, args: created.args });
  await chains.ethereum.rpc('evm_increaseTime', [3]);
  await chains.ethereum.rpc('evm_mine');
  await page.goto(`${site.url}#/votes/${created.args.proposalId}`);
  await page.getByRole('button', { name: 'For', exact: true }).click();
  await done(page, 'You voted: for');
  const [, yes] = await chains.read('Governance', 'proposalVotes', [created.args.proposalId]);
  assert.equal(yes, parseEther('1000000'));
  await page.reload();
  await page.getByText('You have voted on this proposal.').waitFor();
  assert.deepEqual(errors, []);
  await close();
});
