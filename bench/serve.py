#!/usr/bin/env python3
"""What a running `bonsai serve` gives to several clients at a time. Python's standard library only.

    bonsai serve model.gguf -np 16 & bench/serve.py --clients 1,2,4,8,16 --tokens 64
    bench/serve.py --prefix 2000           how much sooner a prompt that was there before gets its first token

Prompts are random token ids, so that no prompt shares a prefix with another one unless that is what is measured.
"""
import argparse
import http.client
import json
import random
import statistics
import threading
import time
import urllib.parse


def stream(url, body):
    """Sends a completion, and returns (seconds to the first token, seconds, the last chunk's usage)."""
    at = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=3600)
    start = time.perf_counter()
    body = dict(body, stream=True, stream_options={"include_usage": True})
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"{answer.status}: {answer.read().decode()}")
    first, usage = None, None
    for line in answer:
        if not line.startswith(b"data: {"):
            continue
        first = first or time.perf_counter() - start
        event = json.loads(line[6:])
        if "error" in event:
            raise SystemExit(event["error"]["message"])
        usage = event.get("usage") or usage
    connection.close()
    return first, time.perf_counter() - start, usage


def ask(url, prompt, tokens, seed):
    return stream(url, {"prompt": prompt, "max_tokens": tokens, "temperature": 1, "seed": seed})


def random_prompt(length, vocab, rng):
    return [rng.randrange(min(vocab, 1000)) for _ in range(length)]


def load(url, clients, tokens, prompt_tokens, vocab, rng):
    """All clients at a time: (tokens a second together, the median seconds to a first token)."""
    results = []
    prompts = [random_prompt(prompt_tokens, vocab, rng) for _ in range(clients)]
    threads = [
        threading.Thread(target=lambda p=p, i=i: results.append(ask(url, p, tokens, i))) for i, p in enumerate(prompts)
    ]
    start = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    seconds = time.perf_counter() - start
    made = sum(usage["completion_tokens"] for _, _, usage in results)
    return made / seconds, statistics.median(first for first, _, _ in results)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--clients", default="1,2,4,8", help="how many at a time, several runs (1,2,4,8)")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens for each (64)")
    parser.add_argument("--prompt", type=int, default=16, help="prompt tokens of each (16)")
    parser.add_argument("--prefix", type=int, help="measure a repeated prompt of so many tokens instead")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the median is printed (3)")
    args = parser.parse_args()
    rng = random.Random()
    at = urllib.parse.urlsplit(args.url)
    connection = http.client.HTTPConnection(at.hostname, at.port)
    connection.request("GET", "/v1/models")
    vocab = json.load(connection.getresponse())["data"][0]["meta"]["n_vocab"]
    ask(args.url, random_prompt(8, vocab, rng), 4, 0)  # warm
    if args.prefix:
        first, again = [], []
        for _ in range(args.repeat):
            prompt = random_prompt(args.prefix, vocab, rng)
            first.append(ask(args.url, prompt, 2, 0)[0])
            again.append(ask(args.url, prompt, 2, 0)[0])
        a, b = statistics.median(first), statistics.median(again)
        print(f"prompt of {args.prefix} tokens: first token after {a * 1e3:.1f} ms, again after {b * 1e3:.1f} ms: {a / b:.1f}x")
        return
    one = None
    for clients in map(int, args.clients.split(",")):
        runs = [load(args.url, clients, args.tokens, args.prompt, vocab, rng) for _ in range(args.repeat)]
        rate = statistics.median(r for r, _ in runs)
        one = one or rate
        print(f"{clients:3} clients: {rate:8.1f} tok/s together, {rate / one:5.2f}x the first, "
              f"first token after {statistics.median(f for _, f in runs) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
