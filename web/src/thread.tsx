// The conversation that is shown, which stays at its end while an answer grows unless the reader scrolled away.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { current, facts, running, server } from './chat';
import { type Conversation, type Message, path, siblings } from './conversation';
import { bytes } from './format';
import { Icon, Mark } from './mark';
import { Answer, Question } from './message';

const NEAR = 4; // Pixels from the end that still count as being there: browsers round.

export function Thread() {
  const box = useRef<HTMLDivElement>(null);
  const [away, setAway] = useState(false);
  const conversation = current.value;
  const toEnd = () => box.current?.scrollTo({ top: box.current.scrollHeight });
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current!;
    setAway(scrollHeight - scrollTop - clientHeight > NEAR);
  };
  useEffect(() => {
    setAway(false);
    toEnd();
  }, [conversation?.id, running.value?.message]);
  useLayoutEffect(() => {
    if (!away) toEnd();
  });
  useEffect(() => {
    const observer = new ResizeObserver(() => !away && toEnd()); // A keyboard appeared.
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, [away]);
  return (
    <div class="thread" ref={box} onScroll={onScroll} tabIndex={0} role="region" aria-label="Conversation">
      {conversation?.leaf ? <Messages conversation={conversation} /> : <Welcome />}
      {away && (
        <button type="button" class="round end" aria-label="To the end" onClick={toEnd}>
          <Icon name="down" />
        </button>
      )}
    </div>
  );
}

function Messages({ conversation }: { conversation: Conversation }) {
  const writing = running.value?.conversation === conversation.id ? running.value.message : null;
  const shown = path(conversation);
  return (
    <ol class="messages">
      {shown.map((message, i) => (
        <Item
          key={`${conversation.id}/${message.id}`}
          message={message}
          writing={message.id === writing}
          branches={siblings(conversation, message)
            .map(({ id }) => id)
            .join()}
          last={i === shown.length - 1}
        />
      ))}
    </ol>
  );
}

/** Drawn again only when something about it changes: in a long conversation, while an answer grows, that is one. */
function Item({
  message,
  writing,
  branches,
  last,
}: {
  message: Message;
  writing: boolean;
  branches: string;
  last: boolean;
}) {
  return useMemo(() => {
    const ids = branches.split(',').map(Number);
    return message.role === 'user' ? (
      <li>
        <Question message={message} branches={ids} />
      </li>
    ) : (
      <li>
        <Answer message={message} writing={writing} branches={ids} last={last} />
      </li>
    );
  }, [message, writing, branches, last]);
}

function Welcome() {
  const { model, context, memory } = facts.value;
  const parts = [
    memory.weights && `${bytes(memory.weights)} of weights`,
    context && `${context.toLocaleString('en')} tokens of context`,
  ].filter(Boolean);
  return (
    <div class="welcome">
      <Mark size={112} />
      <h2>{model ?? 'bonsai'}</h2>
      {parts.length > 0 && <p>{parts.join(' · ')}</p>}
      <p>
        {server.value === 'ready'
          ? 'It runs on your server, and conversations stay in this browser.'
          : 'Waiting for the server.'}
      </p>
    </div>
  );
}
