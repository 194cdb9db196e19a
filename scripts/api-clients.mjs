// Writes small clients from docs/openapi.json: clients/typescript/gpumkt.mjs with its types in gpumkt.d.mts, and
// clients/python/gpumkt.py. With --check it only says whether they are what they would be. Nothing but Node is needed, and neither
// client needs anything but its language.
import { readFileSync, writeFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = join(dirname(new URL(import.meta.url).pathname), '..');
const api = JSON.parse(readFileSync(join(root, 'docs/openapi.json'), 'utf8'));
const NOTE = 'Generated from docs/openapi.json by scripts/api-clients.mjs; edit those.';
const nameOf = (ref) => ref.split('/').pop();
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const operations = Object.entries(api.paths)
  .map(([path, { get }]) => ({
    path,
    name: get.operationId,
    summary: get.summary,
    inPath: get.parameters.filter((one) => one.in === 'path'),
    inQuery: get.parameters.filter((one) => one.in === 'query'),
    result: get.responses['200'].content?.['application/json']?.schema,
  }))
  .filter(({ result }) => result?.$ref);

// ------------------------------------------------------------------------------------------------ TypeScript

function ts(schema, indent = '') {
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.allOf) return schema.allOf.map((one) => ts(one, indent)).join(' & ');
  if (schema.anyOf) return schema.anyOf.map((one) => ts(one, indent)).join(' | ');
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.type === 'array') return `Array<${ts(schema.items, indent)}>`;
  if (schema.type !== 'object') return schema.type;
  const deeper = `${indent}  `;
  const fields = Object.entries(schema.properties).map(([name, field]) => {
    const note = field.description ? `${deeper}/** ${field.description} */\n` : '';
    return `${note}${deeper}${name}: ${ts(field, deeper)};\n`;
  });
  return `{\n${fields.join('')}${indent}}`;
}

/** Parameters of an operation, typed for declarations and bare for code. */
function parametersOf({ inPath, inQuery }) {
  const query = inQuery.map((one) => `${one.name}${one.required ? '' : '?'}: ${ts(one.schema)}`).join('; ');
  const isNeeded = inQuery.some((one) => one.required);
  const typed = inPath.map((one) => `${one.name}: ${ts(one.schema)}`);
  const bare = inPath.map((one) => one.name);
  if (query) {
    typed.push(`query${isNeeded ? '' : '?'}: { ${query} }`);
    bare.push(isNeeded ? 'query' : 'query = {}');
  }
  return { typed: typed.join(', '), bare: bare.join(', '), query: query ? 'query' : '{}' };
}

function declarations() {
  const types = Object.entries(api.components.schemas).map(([name, schema]) => {
    const note = schema.description ? `/** ${schema.description} */\n` : '';
    return `${note}export type ${name === 'Error' ? 'Refusal' : name} = ${ts(schema)};\n`;
  });
  const methods = operations.map((operation) => {
    const { typed } = parametersOf(operation);
    return `  /** ${operation.summary}. */\n  ${operation.name}(${typed}): Promise<${ts(operation.result)}>;\n`;
  });
  return `// ${NOTE}

${types.join('\n')}
/** A refusal, with its stable code and what to do next. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly next: string;
}

export class Client {
  /** @param origin of a King's public interface, such as \`http://127.0.0.1:7790\`. */
  constructor(origin: string);

${methods.join('\n')}
  /** All entries of a list, page after page: \`client.all((cursor) => client.listOffers({ cursor }))\`. */
  all<T>(page: (cursor?: string) => Promise<{ items: T[]; next_cursor: string | null }>): AsyncGenerator<T>;
}
`;
}

function code() {
  const methods = operations.map((operation) => {
    const { bare, query } = parametersOf(operation);
    const filled = operation.path.replace(/\{(\w+)\}/g, '${encodeURIComponent($1)}');
    const path = filled.includes('$') ? `\`${filled}\`` : `'${filled}'`;
    return `  ${operation.name}(${bare}) {\n    return this.#get(${path}, ${query});\n  }\n`;
  });
  return `// ${NOTE}

export class ApiError extends Error {
  constructor(status, code, message, next) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.next = next;
  }
}

export class Client {
  #base;

  constructor(origin) {
    this.#base = \`\${origin.replace(/\\/+$/, '')}/api/v1\`;
  }

${methods.join('\n')}
  async *all(page) {
    let cursor;
    do {
      const { items, next_cursor: next } = await page(cursor);
      yield* items;
      cursor = next ?? undefined;
    } while (cursor !== undefined);
  }

  async #get(path, query) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = given.length === 0 ? '' : \`?\${new URLSearchParams(given)}\`;
    const response = await fetch(\`\${this.#base}\${path}\${search}\`);
    const answer = await response.json();
    if (!response.ok) throw new ApiError(response.status, answer.code, answer.message, answer.next);
    return answer;
  }
}
`;
}

// ---------------------------------------------------------------------------------------------------- Python

function py(schema) {
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.allOf) return py(schema.allOf[0]);
  if (schema.anyOf) return `Optional[${py(schema.anyOf[0])}]`;
  if (schema.enum) return `Literal[${schema.enum.map((value) => JSON.stringify(value)).join(', ')}]`;
  if (schema.type === 'array') return `List[${py(schema.items)}]`;
  if (schema.type === 'object') return 'Dict[str, Any]';
  return { string: 'str', boolean: 'bool', null: 'None' }[schema.type];
}

function python() {
  const types = Object.entries(api.components.schemas).map(([name, schema]) => {
    if (schema.type !== 'object') return `${name} = ${py(schema)}`;
    // The functional form, because a field may be named like a keyword.
    const fields = Object.entries(schema.properties).map(([field, inner]) => `    "${field}": ${JSON.stringify(py(inner)).replace(/\\"/g, "'")},`);
    return `${name} = TypedDict("${name}", {\n${fields.join('\n')}\n})`;
  });
  const methods = operations.map(({ path, name, summary, inPath, inQuery, result }) => {
    const safe = (one) => (one.name === 'class' ? 'class_' : one.name);
    const positional = inPath.map((one) => `${one.name}: str`);
    const needed = inQuery.filter((one) => one.required).map((one) => `${safe(one)}: str`);
    const free = inQuery.filter((one) => !one.required).map((one) => `${safe(one)}: Optional[str] = None`);
    const keywords = needed.length + free.length ? ['*', ...needed, ...free] : [];
    const query = inQuery.map((one) => `"${one.name}": ${safe(one)}`).join(', ');
    const filled = path.replace(/\{(\w+)\}/g, '{quote($1, safe="")}');
    const text = filled.includes('{') ? `f'${filled}'` : `"${filled}"`;
    return `    def ${snake(name)}(${['self', ...positional, ...keywords].join(', ')}) -> ${py(result)}:
        """${summary}."""
        return self._get(${text}, {${query}})
`;
  });
  return `"""Client of a King's public interface. ${NOTE}"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Iterator, List, Literal, Optional, TypedDict
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import urlopen

${types.join('\n\n')}


class ApiError(Exception):
    """A refusal, with its stable code and what to do next."""

    def __init__(self, status: int, code: str, message: str, next_step: str) -> None:
        super().__init__(f"{code}: {message}; {next_step}")
        self.status, self.code, self.message, self.next = status, code, message, next_step


class Client:
    """\`origin\` is that of the interface, such as http://127.0.0.1:7790."""

    def __init__(self, origin: str, timeout: float = 30.0) -> None:
        self.base = origin.rstrip("/") + "/api/v1"
        self.timeout = timeout

${methods.join('\n')}
    def all(self, page: Callable[..., Any], *arguments: str, **filters: Optional[str]) -> Iterator[Any]:
        """All entries of a list, page after page: \`client.all(client.list_rentals, state="active")\`."""
        cursor: Optional[str] = None
        while True:
            answer = page(*arguments, **filters, cursor=cursor)
            yield from answer["items"]
            cursor = answer["next_cursor"]
            if cursor is None:
                return

    def _get(self, path: str, query: Dict[str, Optional[str]]) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        search = "?" + urlencode(given) if given else ""
        try:
            with urlopen(self.base + path + search, timeout=self.timeout) as response:
                return json.load(response)
        except HTTPError as error:
            told = json.load(error)
            raise ApiError(error.code, told["code"], told["message"], told["next"]) from None
`;
}

const written = {
  'clients/typescript/gpumkt.mjs': code(),
  'clients/typescript/gpumkt.d.mts': declarations(),
  'clients/python/gpumkt.py': python(),
};
let stale = 0;
for (const [path, text] of Object.entries(written)) {
  const full = join(root, path);
  if (process.argv.includes('--check')) {
    let found = '';
    try {
      found = readFileSync(full, 'utf8');
    } catch {
      // Missing is as stale as different.
    }
    if (found !== text) {
      stale += 1;
      console.error(`${path} is not what docs/openapi.json says: run node scripts/api-clients.mjs`);
    }
  } else {
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
    console.log(`wrote ${path}`);
  }
}
process.exitCode = stale === 0 ? 0 : 1;
