// A wallet for tests: announces itself as EIP-6963 says, signs with a key of the devnet, and does what a test tells it to do.
import { createWalletClient, http } from 'viem';
import { mnemonicToAccount } from 'viem/accounts';

const MNEMONIC = 'test test test test test test test test test test test junk';
const ICON = 'data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="8" height="8" fill="orange"/></svg>';

export const accountOf = (index) => mnemonicToAccount(MNEMONIC, { addressIndex: index });

/** In the page: only passes on, so that nothing in here is code of the dApp. */
function announce({ name, icon }) {
  const listeners = {};
  const provider = {
    request: async ({ method, params }) => {
      const { result, error } = await window.__testWallet(method, params ?? []);
      if (error) throw Object.assign(new Error(error.message), error);
      return result;
    },
    on: (event, listener) => { (listeners[event] ??= []).push(listener); },
    removeListener: (event, listener) => { listeners[event] = (listeners[event] ?? []).filter((known) => known !== listener); },
  };
  window.__walletEmit = (event, value) => { for (const listener of listeners[event] ?? []) listener(value); };
  const detail = Object.freeze({ info: { uuid: '350670db-19fa-4704-a166-e52e178b59d2', name, icon, rdns: 'test.gpumkt.wallet' }, provider });
  const say = () => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }));
  window.addEventListener('eip6963:requestProvider', say);
  say();
}

const refused = (code, message) => ({ error: { code, message } });

export function testWallet({ rpc, chainId, index }) {
  const account = accountOf(index);
  const state = { account, chainId, isShared: false, reject: null, asked: [], knows: new Set([chainId]) };
  const chain = { id: Number(chainId), name: 'devnet', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 }, rpcUrls: { default: { http: [rpc] } } };
  const client = createWalletClient({ account, chain, transport: http(rpc) });

  const forward = async (method, params) => {
    const answer = await fetch(rpc, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }) });
    const { result, error } = await answer.json();
    return error ? { error } : { result };
  };
  const answer = async (method, params) => {
    state.asked.push(method);
    if (state.reject && state.reject.test(method)) return refused(4001, 'User rejected the request.');
    switch (method) {
      case 'eth_requestAccounts':
        state.isShared = true;
        return { result: [account.address] };
      case 'eth_accounts':
        return { result: state.isShared ? [account.address] : [] };
      case 'eth_chainId':
        return { result: `0x${state.chainId.toString(16)}` };
      case 'wallet_switchEthereumChain': {
        const wanted = BigInt(params[0].chainId);
        if (!state.knows.has(wanted)) return refused(4902, 'Unrecognized chain ID.');
        state.chainId = wanted;
        return { result: null };
      }
      case 'wallet_addEthereumChain':
        state.knows.add(BigInt(params[0].chainId));
        state.chainId = BigInt(params[0].chainId);
        return { result: null };
      case 'eth_signTypedData_v4': {
        const { types, primaryType, domain, message } = JSON.parse(params[1]);
        delete types.EIP712Domain;
        return { result: await account.signTypedData({ types, primaryType, domain: { ...domain, chainId: BigInt(domain.chainId) }, message }) };
      }
      case 'eth_sendTransaction':
        return { result: await client.sendTransaction({ to: params[0].to, data: params[0].data }) };
      default:
        return forward(method, params);
    }
  };
  return Object.assign(state, {
    forward,
    async install(page) {
      await page.exposeFunction('__testWallet', (method, params) => answer(method, params).catch((error) => refused(-32603, error.shortMessage ?? String(error))));
      await page.addInitScript(announce, { name: 'Test Wallet', icon: ICON });
    },
  });
}
