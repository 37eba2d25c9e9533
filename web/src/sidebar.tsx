// The list of conversations.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { currentId, removeConversation } from './chat';
import type { Conversation } from './conversation';
import { Mark } from './mark';
import { type Theme, theme } from './settings';
import { conversations, save } from './store';
import { dialog, focusComposer, openConversation } from './view';

const NEXT_THEME: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' };

export function Sidebar({ hidden }: { hidden: boolean }) {
  return (
    <nav class="sidebar" aria-label="Conversations" inert={hidden}>
      <div class="brand">
        <Mark size={36} />
        <span>bonsai</span>
      </div>
      <button type="button" class="new" onClick={() => openConversation(null)}>
        New chat
      </button>
      <ul>
        {conversations.value.map((conversation) => (
          <Item key={conversation.id} conversation={conversation} />
        ))}
      </ul>
      <div class="foot">
        <button type="button" onClick={() => (dialog.value = 'settings')}>
          Settings
        </button>
        <button type="button" onClick={() => (theme.value = NEXT_THEME[theme.value])}>
          Theme: {theme.value}
        </button>
        <button type="button" onClick={() => (dialog.value = 'help')}>
          Help
        </button>
      </div>
    </nav>
  );
}

function Item({ conversation }: { conversation: Conversation }) {
  const [renaming, setRenaming] = useState(false);
  const shown = conversation.id === currentId.value;
  const close = () => {
    setRenaming(false);
    focusComposer(); // What had the focus is gone.
  };
  if (renaming)
    return (
      <li>
        <Rename conversation={conversation} close={close} />
      </li>
    );
  return (
    <li class={shown ? 'shown' : ''}>
      <button
        type="button"
        class="title"
        dir="auto"
        aria-current={shown}
        onClick={() => openConversation(conversation.id)}
      >
        {conversation.title}
      </button>
      <button type="button" class="quiet" aria-label={`Rename ${conversation.title}`} onClick={() => setRenaming(true)}>
        Rename
      </button>
      <button
        type="button"
        class="quiet"
        aria-label={`Delete ${conversation.title}`}
        onClick={() => removeConversation(conversation)}
      >
        Delete
      </button>
    </li>
  );
}

function Rename({ conversation, close }: { conversation: Conversation; close: () => void }) {
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    input.current!.focus();
    input.current!.select();
  }, []);
  const keep = () => {
    const title = input.current?.value.trim(); // Absent when closing took the focus, and so came back here.
    if (title && title !== conversation.title) save({ ...conversation, title });
    close();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter') keep();
    if (event.key !== 'Escape') return;
    event.stopPropagation();
    close();
  };
  return (
    <input
      ref={input}
      aria-label="Title"
      dir="auto"
      maxLength={200}
      defaultValue={conversation.title}
      onKeyDown={onKeyDown}
      onBlur={keep}
    />
  );
}
