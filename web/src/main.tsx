import { render } from 'preact';
import { App } from './app';
import { connect } from './chat';
import { openStore } from './store';
import './style.css';

void connect();
void openStore().then(() => render(<App />, document.getElementById('app')!));
