// Writes src/api/schema.ts, the types of every answer, from docs/openapi.json. `--check` compares instead.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, writeOrCheck } from './files.mjs';

const { components, paths } = JSON.parse(readFileSync(join(root, 'docs/openapi.json'), 'utf8'));

function type(schema) {
  if (schema.$ref) return schema.$ref.split('/').pop();
  const any = schema.oneOf ?? schema.anyOf;
  if (any) return any.map(type).join(' | ');
  if (schema.allOf) return schema.allOf.map(type).join(' & ');
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const names = [schema.type].flat();
  return names.map((name) => single(name, schema)).join(' | ');
}

function single(name, schema) {
  if (name === 'array') return `Array<${type(schema.items)}>`;
  if (name === 'object') return schema.properties ? shape(schema) : 'Record<string, unknown>';
  if (name === 'integer' || name === 'number') return 'number';
  return name;
}

function shape(schema) {
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties).map(([name, value]) => {
    const said = value.description ? `  /** ${value.description.replaceAll('*/', '')} */\n` : '';
    return `${said}  ${name}${required.has(name) ? '' : '?'}: ${type(value)};`;
  });
  return `{\n${fields.join('\n')}\n}`;
}

let out = '// Written by `npm run api` from docs/openapi.json. Do not edit.\n';
for (const [name, schema] of Object.entries(components.schemas)) {
  out += `\n${schema.description ? `/** ${schema.description} */\n` : ''}export type ${name} = ${type(schema)};\n`;
}
const types = components.schemas.EventType.enum;
out += `\n/** Names of all events, in the order of the description. */\nexport const EVENT_TYPES = ${JSON.stringify(types)} as const;\n`;
out += `\n/** Paths that answer JSON. */\nexport const PATHS = ${JSON.stringify(Object.keys(paths))} as const;\n`;

writeOrCheck('dapp/src/api/schema.ts', out, 'npm run api');
