// What tests on a King stand on: Chromium, chains with an offer and a clock of their own, the King, and its pages behind a server.
import { launch } from './browser.mjs';
import { offerDevice, startChains } from './chains.mjs';
import { startKing } from './king.mjs';
import { proxy, serve } from './server.mjs';

/** `prepare` changes the chains before blocks come by themselves. */
export async function setStage(prepare = async () => {}) {
  const stage = {};
  const close = async () => {
    await stage.site?.close();
    await stage.king?.stop();
    stage.chains?.stop();
    await stage.chrome?.close();
  };
  try {
    stage.chrome = await launch();
    stage.chains = await startChains();
    await offerDevice(stage.chains);
    await prepare(stage.chains);
    for (const chain of [stage.chains.ethereum, stage.chains.classic]) await chain.rpc('evm_setIntervalMining', [1]);
    stage.king = await startKing(stage.chains);
    stage.site = await serve(proxy(stage.king.url));
  } catch (error) {
    await close();
    throw error;
  }
  return { ...stage, close };
}
