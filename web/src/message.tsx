// One message: what the user said, or what the model answered.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { current, edit, regenerate, removeMessage, running } from './chat';
import { type Cost, type Message, showBranch, type ToolCall } from './conversation';
import { count, rate, seconds } from './format';
import { copyText, Markdown } from './markdown';
import { save } from './store';
import { focusComposer } from './view';

export function Question({ message, branches }: { message: Message; branches: number[] }) {
  const [editing, setEditing] = useState(false);
  const close = () => {
    setEditing(false);
    focusComposer(); // What had the focus is gone.
  };
  return (
    <article class="question" aria-label="You">
      {editing ? <Editor message={message} close={close} /> : <p dir="auto">{message.text}</p>}
      {!editing && (
        <div class="actions">
          <Branches message={message} branches={branches} />
          <Copy text={message.text} />
          <Action label="Edit" run={() => setEditing(true)} needsIdle />
          <Action label="Delete" run={() => removeMessage(message)} needsIdle />
        </div>
      )}
    </article>
  );
}

export function Answer({
  message,
  writing,
  branches,
  last,
}: {
  message: Message;
  writing: boolean;
  branches: number[];
  last: boolean;
}) {
  const { text, reasoning, reasoningMs, toolCalls, cost, cut } = message;
  const blank = !text && !reasoning && !toolCalls?.length;
  return (
    <article class="answer" aria-label="Answer" aria-busy={writing}>
      {reasoning && <Reasoning text={reasoning} ms={reasoningMs} now={writing && !text} />}
      {text && <Markdown text={text} complete={!writing} />}
      {toolCalls?.map((call, i) => (
        <Tool key={i} call={call} />
      ))}
      {writing && blank && (
        <p class="waiting">
          <span class="hidden">Waiting for the answer</span>
        </p>
      )}
      {!writing && blank && !cut && <p class="cut">The model said nothing.</p>}
      {!writing && cut && (
        <p class="cut">
          {cut}{' '}
          {last && (
            <button type="button" onClick={() => regenerate(message)}>
              {blank ? 'Try again' : 'Answer again'}
            </button>
          )}
        </p>
      )}
      {!writing && (
        <div class="actions">
          <Branches message={message} branches={branches} />
          {text && <Copy text={text} />}
          <Action label="Again" run={() => regenerate(message)} needsIdle />
          <Action label="Delete" run={() => removeMessage(message)} needsIdle />
          {cost && <CostLine cost={cost} />}
        </div>
      )}
    </article>
  );
}

function Action({ label, run, needsIdle }: { label: string; run: () => void; needsIdle?: boolean }) {
  return (
    <button type="button" disabled={needsIdle && running.value !== null} onClick={run}>
      {label}
    </button>
  );
}

function Copy({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  const run = async () => {
    await copyText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return <Action label={copied ? 'Copied' : 'Copy'} run={run} />;
}

/** Which of several questions or answers in the same place this is, and the way to the others. */
function Branches({ message, branches }: { message: Message; branches: number[] }) {
  if (branches.length < 2) return null;
  const at = branches.indexOf(message.id);
  const step = (by: number) => {
    const target = branches[at + by];
    if (target !== undefined && current.value) save(showBranch(current.value, target));
  };
  return (
    <span class="branches">
      <button type="button" aria-label="Previous version" disabled={at === 0} onClick={() => step(-1)}>
        ‹
      </button>
      <span aria-label={`Version ${at + 1} of ${branches.length}`} role="img">
        {at + 1}/{branches.length}
      </span>
      <button type="button" aria-label="Next version" disabled={at === branches.length - 1} onClick={() => step(1)}>
        ›
      </button>
    </span>
  );
}

function Reasoning({ text, ms, now }: { text: string; ms: number | undefined; now: boolean }) {
  const time = ms === undefined ? '' : ` for ${seconds(ms)}`;
  return (
    <details class="reasoning">
      <summary class={now ? 'now' : ''}>{now ? 'Thinking' : `Thought${time}`}</summary>
      <p dir="auto">{text}</p>
    </details>
  );
}

function Tool({ call }: { call: ToolCall }) {
  return (
    <details class="tool" open>
      <summary>
        Calls <code>{call.name}</code>
      </summary>
      <pre tabIndex={0} dir="ltr">
        <code>{pretty(call.arguments)}</code>
      </pre>
    </details>
  );
}

function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json; // Not complete yet, or not JSON.
  }
}

function CostLine({ cost }: { cost: Cost }) {
  const { promptTokens, cachedTokens, promptMs, answerTokens, tokensPerSecond } = cost;
  const cached = cachedTokens ? `${count(cachedTokens)} of them kept from before` : '';
  const read = promptMs === undefined ? '' : `read in ${seconds(promptMs)}`;
  const parts = [
    answerTokens !== undefined && `${count(answerTokens)} tokens`,
    tokensPerSecond !== undefined && rate(tokensPerSecond),
  ].filter(Boolean);
  const prompt =
    promptTokens === undefined
      ? ''
      : [`prompt of ${count(promptTokens)} tokens`, cached, read].filter(Boolean).join(', ');
  return (
    <span class="cost" title={prompt}>
      {parts.map((part) => (
        <span key={part}>{part} </span>
      ))}
    </span>
  );
}

function Editor({ message, close }: { message: Message; close: () => void }) {
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    area.current?.focus();
    area.current?.setSelectionRange(message.text.length, message.text.length);
  }, []);
  const submit = () => {
    const text = area.current!.value.trim();
    if (!text || running.value) return;
    close();
    edit(message, text);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    } else if (event.key === 'Escape') {
      event.stopPropagation();
      close();
    }
  };
  return (
    <div class="editor">
      <textarea ref={area} aria-label="Edit message" dir="auto" defaultValue={message.text} onKeyDown={onKeyDown} />
      <div class="actions">
        <button type="button" class="primary" disabled={running.value !== null} onClick={submit}>
          Send
        </button>
        <Action label="Cancel" run={close} />
      </div>
    </div>
  );
}
