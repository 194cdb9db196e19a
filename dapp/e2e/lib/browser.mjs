// Chromium, and pages that fail a test by any error in their console.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const axePath = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
export const shots = fileURLToPath(new URL('../../../target/dapp', import.meta.url));

export async function launch() {
  const executablePath = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => path && existsSync(path));
  if (!executablePath) throw new Error('no Chromium: install it (Debian: apt-get install chromium) or name it in CHROMIUM');
  mkdirSync(shots, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), 'gpumkt-dapp-'));
  const browser = await chromium.launch({ executablePath, args: [...FLAGS, `--disk-cache-dir=${join(folder, 'cache')}`] });
  return { browser, async close() { await browser.close(); rmSync(folder, { recursive: true, force: true }); } };
}

/** A page that keeps its errors. `expected` are patterns of what a test provokes. */
export async function open(browser, { width = 1440, height = 900, theme = 'light', before } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, locale: 'en-GB', timezoneId: 'UTC', reducedMotion: 'reduce' });
  const page = await context.newPage();
  const errors = [];
  page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()); });
  page.on('pageerror', (error) => errors.push(String(error)));
  if (before) await before(page);
  return { page, errors, close: () => context.close() };
}

/** Violations of axe-core, one line each. It is put into the page by the debugger, which its policy does not concern. */
export async function axe(page) {
  await page.evaluate(readFileSync(axePath, 'utf8'));
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return violations.flatMap(({ id, help, nodes }) => nodes.map((node) => `${id}: ${help}: ${node.target.join(' ')} ${node.failureSummary?.split('\n')[1]?.trim() ?? ''}`));
}

/** Elements that stick out of the page on the right. */
export function overflow(page) {
  return page.evaluate(() => {
    const wide = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= wide) return [];
    return [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > wide + 1).map((element) => `${element.tagName}.${element.className} ${element.textContent?.slice(0, 40)}`).slice(0, 8);
  });
}
