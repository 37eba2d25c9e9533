// Starts the real `bonsai serve` on a model whose answers are known byte for byte (tests/script_model.h).
//
//   const server = await startServer({ flags: ['-np', '1'], key: 'secret' });
//   server.url         // http://127.0.0.1:39579/
//   await server.stop()
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';

const built = (name) => fileURLToPath(new URL(`../../build/release/bin/${name}`, import.meta.url));

/** ctest says where they are. */
export const PROGRAM = process.env.BONSAI_PROGRAM || built('bonsai');
const MAKE_MODEL = process.env.BONSAI_MAKE_MODEL || built('make_script_model');

export const canServe = () => existsSync(PROGRAM) && existsSync(MAKE_MODEL);

/** Resolves when the model is loaded. Without `key` it asks for none. */
export async function startServer({ flags = [], key = '' } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'bonsai-web-'));
  const model = join(folder, 'script.gguf');
  execFileSync(MAKE_MODEL, [model]);
  const args = ['serve', model, '--host', '127.0.0.1', '--port', '0', '--threads', '1', '--log-format', 'json'];
  const env = { ...process.env, BONSAI_API_KEY: key };
  const child = spawn(PROGRAM, [...args, ...flags], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const clean = () => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', clean); // Whatever happens to the tests, no server outlives them.
  const ended = new Promise((resolve) => child.once('close', resolve));
  const log = [];
  const ready = new Promise((resolve, reject) => {
    createInterface(child.stderr).on('line', (line) => {
      log.push(line);
      if (line.includes('"event":"ready"')) resolve(JSON.parse(line));
    });
    ended.then((code) => reject(new Error(`bonsai serve ended with ${code}:\n${log.join('\n')}`)));
  });
  let stopped = false;
  /** The second time it does nothing. Fails when the server did not end well, or had ended by itself. */
  const stop = async (signal = 'SIGTERM') => {
    if (stopped) return;
    stopped = true;
    child.kill(signal);
    const code = await ended;
    process.off('exit', clean);
    clean();
    if (code !== 0 && signal === 'SIGTERM')
      throw new Error(`bonsai serve ended with ${code}:\n${log.slice(-20).join('\n')}`);
  };
  const { urls } = await ready;
  const url = `${urls[0]}/`;
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const get = async (path) => (await fetch(url + path, { headers })).json();
  const post = async (path, body) =>
    (await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })).json();
  /** How many generations run. */
  const busy = async () => (await get('slots')).filter((slot) => slot.is_processing).length;
  return { url, log, get, post, busy, stop };
}

/** Fields of a request that does not end within a test: with its end forbidden the model goes on, at random. */
export async function endless(server) {
  const { tokens } = await server.post('tokenize', { content: '<|im_end|>' });
  return { logit_bias: { [tokens[0]]: -100 }, temperature: 1, seed: 1 };
}

// As a program it says whether there is something to start.
if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) process.exit(canServe() ? 0 : 1);
