// Writes docs/errors.md, or checks it (--check): every code that the program can print, what it says, and what to do next.
// The texts are read from the source, where each error has them: an enum with #[error("…")] and its `impl Coded`.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const OUT = 'docs/errors.md'
const CODE = /"(E-[A-Z]+-\d{3})"/g
// Made up by unit tests.
const IGNORED = new Set(['E-X-001'])
const AREAS = {
  AUDIT: 'demands that Queens make of commits', BENCH: 'measuring a device', CHAIN: 'an endpoint of a chain, or a transaction', CLIENT: 'commands',
  CONFIG: 'configuration files', COUNCIL: 'what Kings decide about themselves', COURT: 'cases about rentals', DEPLOY: 'deploying and auditing contracts', DEVNET: 'the local network', FOLLOW: 'following the log of a chain',
  GPU: 'OpenCL and devices', HTTP: 'health, metrics, webhooks', KEY: 'keystores and passwords', KING: 'signing checkpoints',
  NET: 'the peer-to-peer network', PEER: 'finding the peer of a node', PROFILE: 'class profiles', PROOF: 'proofs that do not hold',
  QUEEN: 'committees and receipts', RECORDS: 'records of nodes', ROLE: 'starting a node', SANDBOX: 'containers, and programs of renters',
  SEND: 'transactions of a node', SESSION: 'sessions of renters', STORE: 'the database', TASK: 'services of a node', TENANT: 'rentals on a provider',
  WORK: 'work that a peer refuses', API: 'the HTTP API', INDEX: 'the index of both chains', DOCTOR: 'checks before a start',
}

const sources = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? sources(join(folder, entry.name)) : entry.name.endsWith('.rs') ? [join(folder, entry.name)] : [])

/** The text between the brace at `open` and its partner; strings may hold braces. */
function block(text, open) {
  let depth = 0
  for (let at = open; at < text.length; at++) {
    if (text[at] === '"') {
      for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++
    } else if (text[at] === '{') depth++
    else if (text[at] === '}' && --depth === 0) return text.slice(open + 1, at)
  }
  throw new Error('a brace is never closed')
}

const STRING = /"((?:[^"\\]|\\[\s\S])*)"/
const plain = (literal) => literal.replace(/\\\n\s*/g, '').replace(/\\"/g, '"').replace(/\{\{/g, '{').replace(/\}\}/g, '}')
const holes = (text) => text.replace(/\{\d+(?::[^}]*)?\}/g, '‹cause›').replace(/\{(\w+)(?::[^}]*)?\}/g, '‹$1›').replace(/\{[^}]*\}/g, '‹…›').replaceAll('|', '\\|')

/** Variants of an enum with their #[error("…")]. */
function messages(body) {
  const found = new Map()
  const attribute = /#\[error\(\s*(?:(transparent)|"((?:[^"\\]|\\[\s\S])*)"[\s\S]*?)\)\]\s*(?:#\[[^\]]*\]\s*)*(\w+)/g
  for (const [, transparent, text, variant] of body.matchAll(attribute)) found.set(variant, transparent ? null : plain(text))
  return found
}

/** Arms `Type::A { .. } | Type::B(..) => value` of one function's match, by variant. */
function arms(body) {
  const found = new Map()
  const pattern = /((?:\|?\s*(?:Self|\w+)::\w+\s*(?:\{[^}]*\}|\([^)]*\))?\s*)+)(?:if [^=]+)?=>\s*/g
  const hits = [...body.matchAll(pattern)]
  hits.forEach((hit, index) => {
    const value = body.slice(hit.index + hit[0].length, hits[index + 1]?.index ?? body.length)
    for (const [, variant] of hit[1].matchAll(/::(\w+)/g)) if (!found.has(variant)) found.set(variant, value)
  })
  return found
}

function method(body, name) {
  const at = body.search(new RegExp(`fn ${name}\\b`))
  return at < 0 ? '' : block(body, body.indexOf('{', at))
}

const entries = new Map()
for (const path of sources('src')) {
  const text = readFileSync(path, 'utf8')
  for (const hit of text.matchAll(/impl (?:crate::types::)?Coded for (\w+)\s*\{/g)) {
    const body = block(text, hit.index + hit[0].length - 1)
    const declared = text.search(new RegExp(`enum ${hit[1]}\\b`))
    const says = declared < 0 ? new Map() : messages(block(text, text.indexOf('{', declared)))
    const steps = method(body, 'next_step')
    const next = arms(steps)
    const rest = (next.size === 0 ? steps : (steps.match(/[\n\s]_ =>[\s\S]*/)?.[0] ?? '')).match(STRING)?.[1]
    const codes = method(body, 'code')
    const coded = arms(codes)
    if (coded.size === 0) {
      coded.set('struct', codes)
      const attributes = text.slice(0, text.search(new RegExp(`struct ${hit[1]}\\b`))).match(/#\[error\(\s*"((?:[^"\\]|\\[\s\S])*)"[^\n]*\)\][^;{}]*$/)
      if (attributes) says.set('struct', plain(attributes[1]))
    }
    for (const [variant, value] of coded) {
      const code = value.match(/"(E-[A-Z]+-\d{3})"/)?.[1]
      if (!code) continue
      const step = next.get(variant)?.match(STRING)?.[1] ?? rest
      const entry = entries.get(code) ?? { says: [], next: [] }
      const message = says.get(variant)
      if (message) entry.says.push(message)
      if (step) entry.next.push(plain(step))
      entries.set(code, entry)
    }
  }
  // Codes outside such an enum: refusals that cross the network, single errors.
  const tests = text.indexOf('#[cfg(test)]\nmod tests')
  for (const [, code] of (tests < 0 ? text : text.slice(0, tests)).matchAll(CODE)) {
    if (!IGNORED.has(code) && !entries.has(code)) entries.set(code, { says: [], next: [], where: path })
  }
}

const NOTES = JSON.parse(readFileSync('scripts/errors.json', 'utf8'))
const missing = []
const lines = []
let area = ''
for (const code of [...entries.keys()].sort()) {
  const { says, next } = entries.get(code)
  const note = NOTES[code] ?? {}
  const meaning = note.says ? [note.says] : says
  const advice = note.next ? [note.next] : next
  if (meaning.length === 0 || advice.length === 0) missing.push(`${code} (${entries.get(code).where ?? 'no text found'})`)
  const name = code.split('-')[1]
  if (name !== area) {
    area = name
    lines.push('', `## ${name}: ${AREAS[name] ?? missing.push(`area ${name}`)}`, '', '| code | says | do next |', '|---|---|---|')
  }
  const cell = (texts) => [...new Set(texts)].map(holes).join('; or: ')
  lines.push(`| <a id="${code.toLowerCase()}"></a>${code} | ${cell(meaning)} | ${cell(advice)} |`)
}
for (const code of Object.keys(NOTES)) if (!entries.has(code)) missing.push(`${code} is noted in scripts/errors.json and nowhere in the source`)
if (missing.length > 0) {
  console.error(`errors without a text; give them one in scripts/errors.json:\n  ${missing.join('\n  ')}`)
  process.exit(1)
}
const page = `# Errors by code

Everything that goes wrong is told in one line with a code, followed by the next step: \`gpumkt\` prints both, \`--json\` puts them into
\`code\`, \`cause\` and \`next\`, and logs carry the code. Codes never change their meaning. ‹Words in these brackets› stand for what the message
names. Exit codes: 1 for an error below, 2 for a wrong command line, 3 where an audit disagrees.

This page is made from the source by \`node scripts/errors.mjs\`, and \`make check\` refuses a stale one: a code that the program can print
and that is not here fails the build.
${lines.join('\n')}
`
if (process.argv.includes('--check')) {
  if (readFileSync(OUT, 'utf8') !== page) {
    console.error(`${OUT} is stale; run: node scripts/errors.mjs`)
    process.exit(1)
  }
  console.log(`${OUT} has all ${entries.size} codes`)
} else {
  writeFileSync(OUT, page)
  console.log(`${OUT}: ${entries.size} codes`)
}
