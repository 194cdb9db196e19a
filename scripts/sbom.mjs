// Prints a software bill of materials (CycloneDX 1.5, JSON) of what the program is built from, out of Cargo.lock by way of cargo's own metadata.
import { execFileSync } from 'node:child_process'

const metadata = JSON.parse(execFileSync('cargo',
  ['metadata', '--format-version', '1', '--locked', '--filter-platform', 'x86_64-unknown-linux-gnu'], { maxBuffer: 1 << 28 }))
const own = metadata.packages.find((found) => found.name === 'gpumkt')
const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]))

// Everything that is linked or builds what is linked; dependencies of tests are left out.
const reached = new Set()
const queue = [own.id]
while (queue.length > 0) {
  const id = queue.pop()
  if (reached.has(id)) continue
  reached.add(id)
  for (const { pkg, dep_kinds } of nodes.get(id).deps) if (dep_kinds.some(({ kind }) => kind !== 'dev')) queue.push(pkg)
}
const purl = ({ name, version }) => `pkg:cargo/${name}@${version}`
const packages = metadata.packages.filter(({ id }) => reached.has(id)).sort((a, b) => purl(a).localeCompare(purl(b)))
const byId = new Map(packages.map((found) => [found.id, found]))
const component = (found) => ({
  type: found === own ? 'application' : 'library', 'bom-ref': purl(found), name: found.name, version: found.version, purl: purl(found),
  ...(found.license ? { licenses: [{ expression: found.license.replaceAll('/', ' OR ') }] } : {}),
})
process.stdout.write(`${JSON.stringify({
  bomFormat: 'CycloneDX', specVersion: '1.5', version: 1,
  metadata: { component: component(own) },
  components: packages.filter((found) => found !== own).map(component),
  dependencies: packages.map((found) => ({
    ref: purl(found),
    dependsOn: nodes.get(found.id).deps.filter(({ pkg, dep_kinds }) => byId.has(pkg) && dep_kinds.some(({ kind }) => kind !== 'dev'))
      .map(({ pkg }) => purl(byId.get(pkg))).sort(),
  })),
}, null, 1)}\n`)
