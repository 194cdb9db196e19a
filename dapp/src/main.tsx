import { render } from 'preact';
import { App } from './app';
import { startRouting } from './lib/route';
import { learnChain } from './ui/walletmenu';
import { startWallets } from './wallet/session';
import './style/base.css';
import './style/parts.css';
import './style/pages.css';

startRouting();
startWallets();
learnChain();
const root = document.getElementById('app');
if (root) render(<App />, root);
