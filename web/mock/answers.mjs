// What the mock answers, by words in the question.

const TOUR = `# Wiring a juniper

A *juniper* is wired in **late autumn**, when the sap is slow. Three things matter: the gauge, the angle, and patience.
See [the notes](https://example.org/notes "Notes"), or https://example.org/bare.

1. Choose copper of a third of the branch's thickness.
2. Anchor it twice around the trunk.
   - never cross two wires
   - leave room for growth
3. Bend slowly, and stop when it creaks.

> The tree decides; you suggest.

| Branch | Gauge | Weeks |
| :-- | :-: | --: |
| first | 3.5 mm | 20 |
| second | 2.5 mm | 16 |
| crown | \`1.0 mm\` | 9 |

\`\`\`python
def gauge(thickness_mm: float) -> float:
    """Copper is strong: a third is enough, and a wire that is too thick scars the bark before it has done its work."""
    return round(thickness_mm / 3, 1)
\`\`\`

---

Done when \`gauge(9.0)\` gives ~~4~~ **3.0**.
`;

export const HOSTILE = `![pixel](https://evil.example/a.png) [![nested](https://evil.example/b.png)](https://evil.example/c)
<img src="https://evil.example/d.png" onerror="window.hacked=1"> <script>window.hacked=2</script>
<iframe src="https://evil.example/e"></iframe>
<style>body{background:url(https://evil.example/f.png)}</style>
<svg onload="window.hacked=3"><link rel="stylesheet" href="https://evil.example/g.css">

[click](javascript:window.hacked=4) [data](data:text/html,<script>window.hacked=5</script>) [vb](vbscript:x)
[tab](java\tscript:window.hacked=6) [entity](&#106;avascript:window.hacked=7) <javascript:window.hacked=8>
[file](file:///etc/passwd) [relative](/v1/models) [proto](//evil.example/h) [mail](mailto:a@example.org)
[ok](https://example.org/ "title" onclick="window.hacked=9")

\u202Eright to left override\u202C \u2066isolated

${'> '.repeat(3000)}deep quote

${'- '.repeat(3000)}deep list

${'*'.repeat(4000)}deep emphasis${'*'.repeat(4000)}

${'['.repeat(4000)}deep brackets${']'.repeat(4000)}

${'_a__'.repeat(4000)}

| a |
|---|
${'| <b onmouseover="window.hacked=10">x</b> ![t](https://evil.example/i.png) |\n'.repeat(3)}
\`\`\`"><script>window.hacked=11</script>
</code></pre><script>window.hacked=12</script>
\`\`\`

[ref]: javascript:window.hacked=13
[ref]

The end of it.
`;

const STORY = 'The old juniper stood on the sill, and nobody had told it that it was small. '.repeat(8).trim();

export function answers(question, asked) {
  if (question.includes('tour')) return { text: TOUR };
  if (question.includes('hostile')) return { text: HOSTILE };
  if (question.includes('flood'))
    return { text: `${STORY}\n\n- ${'item\n- '.repeat(60)}end\n\n`.repeat(25) + 'The last words.' };
  if (question.includes('tool')) {
    return {
      text: 'Let me look that up.',
      tool: { name: 'get_weather', arguments: { city: 'Kyoto', days: 3, units: { temperature: 'celsius' } } },
    };
  }
  if (question.includes('think') && asked.chat_template_kwargs?.enable_thinking !== false) {
    return {
      reasoning: 'The user asks about pots.\nUnglazed for conifers; glazed for trees that flower.',
      text: 'An unglazed pot, about as deep as the trunk is thick.',
    };
  }
  if (question.includes('nothing')) return {};
  if (/slow|broken|fails|limit/.test(question)) return { text: STORY };
  return { text: `You said: ${question}` };
}
