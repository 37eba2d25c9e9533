// Builds the page into one file, dist/index.html, and the policy that it is served under, dist/csp.txt.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vite';

const sha256 = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** The licences of the packages that these modules are from: they ask to be kept with every copy. */
function licences(modules: string[]): string {
  const folders = new Set(modules.flatMap((id) => id.match(/^.*\/node_modules\/(@[^/]+\/)?[^/]+/)?.[0] ?? []));
  const texts = [...folders].sort().map((folder) => {
    const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
    if (!file) throw new Error(`${folder} has no licence`);
    return `${folder.replace(/^.*\/node_modules\//, '')}\n\n${readFileSync(`${folder}/${file}`, 'utf8').trim()}`;
  });
  return texts.join('\n\n----\n\n').replaceAll('--', '- -');
}

/** Puts the script and the style sheet into the HTML, where a hash in the policy is what allows them. */
function oneFile(): Plugin {
  return {
    name: 'one-file',
    enforce: 'post',
    generateBundle(_, bundle) {
      const page = bundle['index.html'];
      const files = Object.values(bundle).filter((file) => file !== page);
      const script = files.find((file) => file.type === 'chunk');
      const style = files.find((file) => file.type === 'asset' && file.fileName.endsWith('.css'));
      if (page?.type !== 'asset' || script?.type !== 'chunk' || style?.type !== 'asset' || files.length !== 2) {
        throw new Error(`expected a page, a script and a style sheet, got ${Object.keys(bundle).join(', ')}`);
      }
      // "</script" would end the element; in a string, the only place for it, the backslash changes nothing.
      const code = script.code
        .trim()
        .replace(/<\/(script)/gi, '<\\/$1')
        .replace(/<!--/g, '<\\!--');
      const css = String(style.source).trim();
      const html = String(page.source)
        .replace(/\s*<(script|link)\b[^>]*(src|href)="\.?\/assets\/[^>]*>(<\/script>)?/g, '')
        .replace('</head>', () => `  <style>${css}</style>\n  </head>`)
        .replace(
          '</body>',
          () => `  <!--\nThis page contains:\n\n${licences(Object.keys(script.modules))}\n-->\n  </body>`,
        )
        .replace('</body>', () => `  <script type="module">${code}</script>\n  </body>`);
      if (html.includes('/assets/')) throw new Error('the page still refers to a file');
      page.source = html;
      for (const file of files) delete bundle[file.fileName];
      const policy = [
        "default-src 'none'",
        "connect-src 'self'",
        'img-src data:',
        `script-src ${sha256(code)}`,
        `style-src ${sha256(css)}`,
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
      ];
      this.emitFile({ type: 'asset', fileName: 'csp.txt', source: policy.join('; ') });
    },
  };
}

export default defineConfig({
  base: './',
  build: {
    target: ['chrome123', 'firefox121', 'safari17.5'], // the first with light-dark() and :has()
    modulePreload: false,
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  plugins: [oneFile()],
});
