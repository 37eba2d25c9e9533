// Settings, help, and the API key.
import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { apiKey } from './api';
import { facts } from './chat';
import { NoticeLine, say } from './notice';
import { NUMBERS, settings, type Settings, theme, type Theme } from './settings';
import { exportAll, importAll } from './store';
import { dialog } from './view';

export function Dialogs() {
  if (dialog.value === 'settings') return <SettingsDialog />;
  if (dialog.value === 'help') return <HelpDialog />;
  if (dialog.value === 'key') return <KeyDialog />;
  return null;
}

const close = (event: Event) => (event.currentTarget as Element).closest('dialog')?.close();

function Dialog({ title, children }: { title: string; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => element.current!.showModal(), []);
  const onClick = (event: MouseEvent) => event.target === element.current && element.current!.close();
  return (
    <dialog ref={element} aria-labelledby="dialog-title" onClose={() => (dialog.value = null)} onClick={onClick}>
      <div class="sheet">
        {/* Else the first field has the focus, and a phone brings up its keyboard. */}
        <h2 id="dialog-title" tabIndex={-1} autofocus>
          {title}
        </h2>
        {children}
      </div>
      <NoticeLine />
    </dialog>
  );
}

function SettingsDialog() {
  const set = (fields: Partial<Settings>) => (settings.value = { ...settings.value, ...fields });
  const { system, thinking, numbers } = settings.value;
  return (
    <Dialog title="Settings">
      <p class="hint">
        For all conversations, from the next answer on. An empty field leaves the choice to the server.
      </p>
      <label class="field wide">
        <span>System prompt</span>
        <textarea rows={4} dir="auto" value={system} onInput={(event) => set({ system: event.currentTarget.value })} />
      </label>
      <div class="fields">
        {NUMBERS.map((number) => (
          <NumberField key={number.key} field={number} value={numbers[number.key]} />
        ))}
        <label class="field">
          <span>Reasoning</span>
          <select
            value={thinking}
            onChange={(event) => set({ thinking: event.currentTarget.value as Settings['thinking'] })}
          >
            <option value="auto">automatic</option>
            <option value="on">on</option>
            <option value="off">off</option>
          </select>
        </label>
        <label class="field">
          <span>Theme</span>
          <select value={theme.value} onChange={(event) => (theme.value = event.currentTarget.value as Theme)}>
            <option value="system">system</option>
            <option value="light">light</option>
            <option value="dark">dark</option>
          </select>
        </label>
      </div>
      <h3>Conversations</h3>
      <p class="hint">They are kept in this browser and nowhere else.</p>
      <div class="buttons">
        <button type="button" onClick={download}>
          Export all
        </button>
        <button type="button" onClick={() => void upload()}>
          Import
        </button>
        <button type="button" class="primary" onClick={close}>
          Done
        </button>
      </div>
    </Dialog>
  );
}

function NumberField({ field, value }: { field: (typeof NUMBERS)[number]; value: number | undefined }) {
  const { key: name, label, hint, min, max, step } = field;
  const preset = facts.value.defaults[name];
  const onChange = (event: Event & { currentTarget: HTMLInputElement }) => {
    const input = event.currentTarget;
    const { [name]: _, ...others } = settings.value.numbers;
    if (Number.isNaN(input.valueAsNumber)) settings.value = { ...settings.value, numbers: others };
    else if (input.reportValidity())
      settings.value = { ...settings.value, numbers: { ...others, [name]: input.valueAsNumber } };
  };
  return (
    <label class="field" title={hint}>
      <span>{label}</span>
      <input
        type="number"
        inputmode="decimal"
        min={min}
        max={max}
        step={step}
        value={value ?? ''}
        onChange={onChange}
        placeholder={typeof preset === 'number' && preset >= min ? String(+preset.toFixed(4)) : 'server'}
      />
    </label>
  );
}

/** A link to a blob that is downloaded, not opened: no directive of the policy is about that. */
function download(): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([exportAll()], { type: 'application/json' }));
  link.download = `bonsai-conversations-${new Date().toISOString().slice(0, 10)}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function upload(): Promise<void> {
  const input = document.createElement('input');
  input.type = 'file';
  input.accept = 'application/json,.json';
  input.onchange = async () => {
    const file = input.files?.[0];
    if (file) say(importAll(await file.text()));
  };
  input.click();
}

const KEYS = [
  [['Enter'], 'send'],
  [['Shift', 'Enter'], 'new line'],
  [['Esc'], 'stop the answer; close what is open'],
  [['Ctrl', 'Shift', 'O'], 'new chat (on a Mac also Cmd)'],
  [['?'], 'this list'],
] as const;

function HelpDialog() {
  return (
    <Dialog title="Help">
      <dl class="keys">
        {KEYS.map(([keys, meaning]) => (
          <div key={meaning}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <p>
        Editing a message or asking for another answer starts a branch; ‹ and › under a message lead to the others.
        Pictures in answers are shown as links, and nothing is loaded from elsewhere.
      </p>
      <div class="buttons">
        <button type="button" class="primary" onClick={close}>
          Done
        </button>
      </div>
    </Dialog>
  );
}

function KeyDialog() {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current!.focus(), []); // After the dialog's layout effect, which opens it.
  const submit = (event: Event) => {
    event.preventDefault();
    const key = input.current!.value.trim();
    close(event);
    // The same key again is an attempt too.
    apiKey.value = '';
    apiKey.value = key;
  };
  return (
    <Dialog title="API key">
      <p>The server was started with a key. What you enter is kept in this tab until you close it.</p>
      <form onSubmit={submit}>
        <label class="field wide">
          <span>Key</span>
          <input ref={input} type="password" autocomplete="off" required />
        </label>
        <div class="buttons">
          <button type="submit" class="primary">
            Use it
          </button>
        </div>
      </form>
    </Dialog>
  );
}
