// Where the user writes, and under it what the server says of itself.
import { useEffect, useRef, useState } from 'preact/hooks';
import { connect, current, facts, running, send, server, stop } from './chat';
import { path } from './conversation';
import { bytes, count, rate } from './format';
import { Icon } from './mark';
import { COMPOSER, dialog } from './view';

export function Composer() {
  const area = useRef<HTMLTextAreaElement>(null);
  const [draft, setDraft] = useState('');
  const busy = running.value !== null;
  useEffect(() => {
    area.current!.style.height = 'auto';
    area.current!.style.height = `${area.current!.scrollHeight}px`;
  }, [draft]);
  const submit = () => {
    if (!draft.trim() || busy) return;
    send(draft.trim());
    setDraft('');
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  };
  return (
    <footer>
      <ServerState />
      <form
        class="composer"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <textarea
          id={COMPOSER}
          ref={area}
          rows={1}
          dir="auto"
          value={draft}
          placeholder="Say something"
          aria-label="Message"
          enterkeyhint="send"
          onInput={(event) => setDraft(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        {busy ? (
          <button type="button" class="round stop" aria-label="Stop" onClick={stop}>
            <Icon name="stop" />
          </button>
        ) : (
          <button type="submit" class="round send" aria-label="Send" disabled={!draft.trim()}>
            <Icon name="send" />
          </button>
        )}
      </form>
      <Facts />
    </footer>
  );
}

const STATES = {
  connecting: 'Connecting …',
  loading: 'The model is loading. What you send now is answered when it is ready.',
  network: 'The server does not answer. Trying again …',
  key: 'The server asks for an API key.',
};

function ServerState() {
  const state = server.value;
  useEffect(() => {
    if (state === 'key') dialog.value = 'key';
  }, [state]);
  const text = state in STATES ? STATES[state as keyof typeof STATES] : '';
  return (
    <p class="state" role="status">
      {text}
      {state === 'key' && (
        <button type="button" onClick={() => (dialog.value = 'key')}>
          Enter it
        </button>
      )}
      {state === 'network' && (
        <button type="button" onClick={() => void connect()}>
          Try now
        </button>
      )}
    </p>
  );
}

function Facts() {
  const { model, context, memory } = facts.value;
  const cost = current.value ? path(current.value).findLast((message) => message.cost)?.cost : undefined;
  const used = cost?.promptTokens === undefined ? undefined : cost.promptTokens + (cost.answerTokens ?? 0);
  const parts = [
    model,
    memory.weights !== undefined && `weights ${bytes(memory.weights)}`,
    memory.kv !== undefined && `cache ${bytes(memory.kv)}`,
    context !== undefined &&
      (used === undefined ? `context ${count(context)}` : `context ${count(used)} of ${count(context)}`),
    cost?.tokensPerSecond !== undefined && rate(cost.tokensPerSecond),
  ].filter(Boolean);
  return (
    <p class="facts">
      {parts.map((part) => (
        <span key={part}>{part}</span>
      ))}
    </p>
  );
}
