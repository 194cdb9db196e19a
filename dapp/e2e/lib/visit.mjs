// A person with a wallet on a page, and what the page says to them.
import { open } from './browser.mjs';
import { testWallet } from './wallet.mjs';

/** Opens `hash` and connects the wallet of `index`, as a person does. */
export async function visit({ chrome, rpc, site }, hash, index) {
  const wallet = testWallet({ rpc, chainId: 31301n, index });
  const opened = await open(chrome.browser, { before: (page) => wallet.install(page) });
  await opened.page.goto(site.url + hash);
  await opened.page.getByTestId('wallet').click();
  await opened.page.getByRole('button', { name: 'Test Wallet' }).click();
  await opened.page.waitForFunction(() => document.querySelector('.wallet.connected'));
  return { ...opened, wallet, address: wallet.account.address };
}

/** The end of a transaction that succeeded. */
export const done = (page, text) => page.locator('[data-kind=done]').getByText(text).waitFor({ timeout: 60_000 });
/** Why something was refused. */
export const told = async (page, kind) => (await page.locator(`[role=alert][data-kind=${kind}]`).first().textContent({ timeout: 30_000 })) ?? '';
/** Errors of a page but for those of a King that is busy: it says that its index is behind (503), and the page asks again. */
export const unexpected = (errors) => errors.filter((text) => !/Failed to load resource.* 503 /.test(text));
/** Waits for what no single element shows. */
export async function until(what, probe, withinMs = 60_000) {
  const deadline = Date.now() + withinMs;
  while (!await probe()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
}
