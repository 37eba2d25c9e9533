// Markdown that arrives piece by piece, drawn as elements. Safe by construction: markdown-it yields tokens, the table
// below says which become elements, and everything else, HTML included, becomes text. Nothing is ever loaded: images
// are links. markdown-it is linear even in hostile input, and a model that repeats itself is hostile input.
import MarkdownIt from 'markdown-it';
import type { Token } from 'markdown-it';
import { type ComponentChildren, Fragment, h, type VNode } from 'preact';
import { useRef, useState } from 'preact/hooks';

/** Levels of elements. Browsers lay out by recursion, so deeper ones must not become elements. */
const DEEPEST = 40;

const parser = new MarkdownIt({ html: false, linkify: true });
parser.set({ maxNesting: DEEPEST });
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
parser.validateLink = (url) => /^(https?:\/\/|mailto:)/i.test(url);

type Props = Record<string, unknown>;
type Env = Record<string, unknown>;

/** Tokens that open an element: their props. The element is the token's own tag unless `tag` says otherwise. */
const ELEMENTS: Record<string, (token: Token) => Props & { tag?: string }> = {
  paragraph_open: () => ({ dir: 'auto' }),
  heading_open: (token) => ({ tag: `h${Math.min(6, Number(token.tag.slice(1)) + 1)}`, dir: 'auto' }),
  blockquote_open: () => ({}),
  bullet_list_open: () => ({}),
  ordered_list_open: (token) => ({ start: token.attrGet('start') ?? undefined }),
  list_item_open: () => ({ dir: 'auto' }),
  table_open: () => ({}),
  thead_open: () => ({}),
  tbody_open: () => ({}),
  tr_open: () => ({}),
  th_open: (token) => ({ dir: 'auto', class: alignment(token) }),
  td_open: (token) => ({ dir: 'auto', class: alignment(token) }),
  em_open: () => ({}),
  strong_open: () => ({}),
  s_open: () => ({}),
  link_open: (token) => linkProps(token.attrGet('href')),
};

function alignment(token: Token): string | undefined {
  return /text-align:(left|center|right)/.exec(String(token.attrGet('style')))?.[1];
}

function linkProps(url: string | number | null): Props {
  return { href: url, title: url, target: '_blank', rel: 'noopener noreferrer' };
}

/** Tokens that stand for themselves. */
function leaf(token: Token): ComponentChildren {
  switch (token.type) {
    case 'inline':
      return build(token.children ?? []);
    case 'text':
      return token.content;
    case 'softbreak':
      return '\n';
    case 'hardbreak':
      return <br />;
    case 'hr':
      return <hr />;
    case 'code_inline':
      return <code>{token.content}</code>;
    case 'fence':
    case 'code_block':
      return <CodeBlock language={token.info.trim().split(/\s/)[0] ?? ''} code={token.content} />;
    case 'image':
      return <a {...linkProps(token.attrGet('src'))}>{`image: ${token.content || token.attrGet('src')}`}</a>;
    default:
      return token.content;
  }
}

/** The elements of a list of tokens: an element is a token that opens it, its content, and a token that closes it. */
function build(tokens: Token[]): ComponentChildren[] {
  const root: ComponentChildren[] = [];
  const open: { token: Token; children: ComponentChildren[] }[] = [];
  const target = () => open.at(-1)?.children ?? root;
  for (const token of tokens) {
    if (token.nesting === 1) {
      open.push({ token, children: open.length < DEEPEST && !token.hidden ? [] : target() });
    } else if (token.nesting === 0) {
      target().push(leaf(token));
    } else {
      const closed = open.pop();
      if (closed && closed.children !== target()) target().push(element(closed.token, closed.children));
    }
  }
  return root;
}

function element(token: Token, children: ComponentChildren[]): VNode {
  const { tag = token.tag, ...props } = ELEMENTS[token.type]?.(token) ?? { tag: null };
  if (tag === null) return <>{children}</>;
  const made = h(tag, props, ...children);
  // Wide tables scroll by themselves; what scrolls must be reachable by keyboard.
  return tag === 'table' ? (
    <div class="scroll" tabIndex={0} role="group" aria-label="Table">
      {made}
    </div>
  ) : (
    made
  );
}

function CodeBlock({ language, code }: { language: string; code: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await copyText(code);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <figure class="code">
      <figcaption>
        <span>{language}</span>
        <button type="button" onClick={copy} aria-label={copied ? 'Copied' : 'Copy code'}>
          {copied ? 'Copied' : 'Copy'}
        </button>
      </figcaption>
      <pre tabIndex={0} dir="ltr">
        <code>{showControls(code.replace(/\n$/, ''))}</code>
      </pre>
    </figure>
  );
}

/** Controls that reorder what follows make code look like other code (trojansource.codes), so they are named. */
function showControls(code: string): ComponentChildren[] {
  const name = (control: string) => `U+${control.charCodeAt(0).toString(16).toUpperCase()}`;
  return code.split(/([\u202a-\u202e\u2066-\u2069])/).map((part, i) => (i % 2 ? <mark>{name(part)}</mark> : part));
}

/** navigator.clipboard exists on localhost and over TLS alone; the old way works everywhere. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement('textarea');
  area.value = text;
  (document.querySelector('dialog[open]') ?? document.body).append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}

/** A paragraph, a list, a table: what stands at the outermost level. */
interface Block {
  at: number; // where it begins in the text
  content: Token[] | string; // a string is shown as it is
}

/** The blocks of `text`. The parser drops what is nested too deeply, so a paragraph with that is shown as it is. */
function parse(text: string, env: Env): Block[] {
  const blocks: Block[] = [];
  let from = 0;
  for (let attempts = 0; attempts < 8; ++attempts) {
    const found = parseFrom(text, from, env);
    const deep = found.findIndex(({ content }) => content.some(({ level }) => level >= DEEPEST - 2));
    if (deep < 0) return [...blocks, ...found];
    const { at } = found[deep]!;
    const end = text.indexOf('\n\n', at);
    if (end < 0) return [...blocks, ...found.slice(0, deep), { at, content: text.slice(at) }];
    blocks.push(...found.slice(0, deep), { at, content: text.slice(at, end) });
    from = end + 2;
  }
  return [...blocks, { at: from, content: text.slice(from) }];
}

function parseFrom(text: string, from: number, env: Env): { at: number; content: Token[] }[] {
  const rest = text.slice(from);
  const lines = [0, ...Array.from(rest.matchAll(/\r\n?|\n/g), (match) => match.index + match[0].length)];
  const blocks: { at: number; content: Token[] }[] = [];
  let depth = 0;
  for (const token of parser.parse(rest, env)) {
    if (depth === 0 && token.nesting >= 0) blocks.push({ at: from + lines[token.map![0]]!, content: [] });
    blocks.at(-1)!.content.push(token);
    depth += token.nesting;
  }
  return blocks;
}

/** Draws text that only grows. Blocks that cannot change any more are kept; only what follows them is parsed again. */
class Growing {
  private settled: VNode[] = [];
  private end = 0; // of the text that `settled` draws
  private env: Env = {};
  private complete = false;

  draw(text: string, complete: boolean): VNode[] {
    // Once more from the start at the end: a definition there may make links of earlier text.
    if (complete !== this.complete) Object.assign(this, { settled: [], end: 0, env: {}, complete });
    const rest = text.slice(this.end);
    const blocks = parse(rest, this.env);
    const drawn = blocks.map(({ content }, i) => (
      <Fragment key={this.settled.length + i}>
        {typeof content === 'string' ? (
          <p class="plain" dir="auto">
            {content}
          </p>
        ) : (
          build(content)
        )}
      </Fragment>
    ));
    const all = [...this.settled, ...drawn];
    // Once a block begins in a complete line, nothing that comes can reopen those before it.
    const lastLine = rest.lastIndexOf('\n') + 1;
    const settle = complete ? 0 : blocks.findLastIndex(({ at }) => at < lastLine);
    if (settle > 0) {
      this.settled.push(...drawn.slice(0, settle));
      this.end += blocks[settle]!.at;
    }
    return all;
  }
}

/** `text` may only grow as long as the component lives. */
export function Markdown({ text, complete }: { text: string; complete: boolean }) {
  const growing = useRef<Growing>(null);
  growing.current ??= new Growing();
  return <div class="prose">{growing.current.draw(text, complete)}</div>;
}
