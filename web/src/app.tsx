// The page: conversations at the side, the one that is shown, and what the keyboard does everywhere.
import { effect, useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { current, running, stop } from './chat';
import { Composer } from './composer';
import { Dialogs } from './dialogs';
import { Icon } from './mark';
import { NoticeLine } from './notice';
import { Sidebar } from './sidebar';
import { Thread } from './thread';
import { dialog, focusComposer, openConversation, sidebarOpen, wide } from './view';

effect(() => {
  document.title = current.value?.title ? `${current.value.title} – bonsai` : 'bonsai';
});

function closeSidebar(): void {
  sidebarOpen.value = false;
  document.getElementById('menu')?.focus();
}

function onKey(event: KeyboardEvent): void {
  const typing = (event.target as Element).closest('input, textarea, select, [contenteditable]');
  if ((event.ctrlKey || event.metaKey) && event.shiftKey && event.key.toLowerCase() === 'o') {
    event.preventDefault();
    openConversation(null);
  } else if (event.key === 'Escape' && !dialog.value) {
    if (sidebarOpen.value && !wide.matches) closeSidebar();
    else if (running.value) stop();
  } else if (event.key === '?' && !typing && !dialog.value) {
    event.preventDefault();
    dialog.value = 'help';
  }
}

function lastAnswer(): string {
  const parts = document.querySelectorAll('.messages > li:last-child :is(.prose, .cut)');
  return [...parts].map((part) => part.textContent).join(' ');
}

/** Tells a screen reader what happened: the whole answer once it is there, and nothing while it grows. */
function Announcer() {
  const said = useSignal('');
  useEffect(() => {
    let writing = false;
    return effect(() => {
      if (running.value) said.value = 'The model is answering.';
      else if (writing) setTimeout(() => (said.value = lastAnswer())); // It is drawn in a microtask after this.
      writing = running.value !== null;
    });
  }, []);
  return (
    <div class="hidden" role="status" aria-live="polite">
      {said}
    </div>
  );
}

export function App() {
  useEffect(() => {
    document.addEventListener('keydown', onKey);
    focusComposer();
  }, []);
  const covered = sidebarOpen.value && !wide.matches;
  useEffect(() => {
    if (covered) document.querySelector<HTMLElement>('.sidebar .new')!.focus(); // What had the focus is inert now.
  }, [covered]);
  return (
    <>
      <div class={sidebarOpen.value ? 'app open' : 'app'}>
        <Sidebar hidden={!sidebarOpen.value} />
        {covered && <div class="scrim" onClick={closeSidebar} />}
        <main inert={covered}>
          <header>
            <button
              type="button"
              class="round"
              id="menu"
              aria-label="Conversations"
              aria-expanded={sidebarOpen.value}
              onClick={() => (sidebarOpen.value = !sidebarOpen.value)}
            >
              <Icon name="menu" />
            </button>
            <h1 dir="auto">{current.value?.title || 'New chat'}</h1>
          </header>
          <Thread />
          <Composer />
        </main>
      </div>
      {!dialog.value && <NoticeLine />}
      <Announcer />
      <Dialogs />
    </>
  );
}
