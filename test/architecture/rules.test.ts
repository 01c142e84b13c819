import { describe, expect, it } from 'vitest'
import { faultsOf, type SourceTexts } from './check.ts'
import type { House } from './house.ts'

const plan: House = {
  floors: {
    util: 0,
    token: 1,
    keys: 2,
    oauth: 2,
    source: 3,
    client: 4,
    fetch: 5,
    undici: 5,
    node: 5,
    '.': 5.5,
    cli: 6,
  },
  beside: { oauth: ['keys'] },
  webFloor: 4,
  webFolders: ['fetch', '.'],
  adapterFloor: 5,
  packages: { oauth4webapi: ['oauth'], jose: ['keys'], 'lru-cache': ['source', 'client'] },
  peers: ['undici', 'ioredis'],
  manyPeers: [],
  loaders: ['cli/load.ts'],
}

describe('the rules of the house', () => {
  const exporting = "export { a } from './a.ts'\n"
  const importing = (specifier: string): string => `import type { A } from '${specifier}'\nexport type B = A\n`
  const plain = 'export const a: number = 1\n'

  const allowed: readonly { readonly name: string; readonly files: SourceTexts }[] = [
    {
      name: 'a file that loads what the user names',
      files: { 'cli/load.ts': 'export const load = (name: string): Promise<unknown> => import(name)\n' },
    },
    {
      name: 'a lower floor through its index',
      files: { 'token/b.ts': importing('../util/index.ts'), 'util/index.ts': exporting, 'util/a.ts': plain },
    },
    {
      name: 'a file of the same folder, from a folder within it',
      files: { 'oauth/inner/b.ts': importing('../a.ts'), 'oauth/a.ts': plain },
    },
    {
      name: 'a neighbour that the table names',
      files: { 'oauth/b.ts': importing('../keys/index.ts'), 'keys/index.ts': exporting, 'keys/a.ts': plain },
    },
    { name: 'Node on the floor of the adapters', files: { 'node/b.ts': importing('node:fs') } },
    { name: 'the one peer of an adapter', files: { 'undici/b.ts': importing('undici/types') } },
    {
      name: 'the transports, from the front door',
      files: { 'front.ts': importing('./fetch/index.ts'), 'fetch/index.ts': exporting, 'fetch/a.ts': plain },
    },
    {
      name: 'anything, from a unit test',
      files: { 'util/a.test.ts': "import { b } from '../client/b.ts'\nimport 'node:fs'\n", 'client/b.ts': plain },
    },
    { name: 'the time, in the clock', files: { 'util/clock.ts': 'export const now = (): number => Date.now()\n' } },
    {
      name: 'the word for the clock, in a comment',
      files: { 'util/a.ts': `// not Date.now() nor console.log\n${plain}` },
    },
    { name: 'a stronger digest', files: { 'util/a.ts': "export const hash: string = 'SHA-256'\n" } },
  ]
  it.each(allowed)('allow $name', ({ files }) => {
    expect(faultsOf(plan, files)).toEqual([])
  })

  const forbidden: readonly { readonly name: string; readonly files: SourceTexts; readonly fault: string }[] = [
    {
      name: 'a higher floor',
      files: { 'util/b.ts': importing('../token/index.ts'), 'token/index.ts': exporting, 'token/a.ts': plain },
      fault: 'src/util/b.ts:1 imports "../token/index.ts" upwards: "util" is on floor 0, "token" on floor 1',
    },
    {
      name: 'a folder of the same floor',
      files: { 'keys/b.ts': importing('../oauth/index.ts'), 'oauth/index.ts': exporting, 'oauth/a.ts': plain },
      fault: 'src/keys/b.ts:1 imports "../oauth/index.ts" sideways: "keys" is on floor 2, "oauth" on floor 2',
    },
    {
      name: 'a file behind the index of another folder',
      files: { 'token/b.ts': importing('../util/a.ts'), 'util/a.ts': plain },
      fault: 'src/token/b.ts:1 imports "../util/a.ts" past the index.ts of "util"',
    },
    {
      name: 'the command line',
      files: { 'front.ts': importing('./cli/index.ts'), 'cli/index.ts': exporting, 'cli/a.ts': plain },
      fault: 'src/front.ts:1 imports "./cli/index.ts" upwards: "." is on floor 5.5, "cli" on floor 6',
    },
    {
      name: 'the front door, from an adapter',
      files: { 'node/b.ts': importing('../front.ts'), 'front.ts': plain },
      fault: 'src/node/b.ts:1 imports "../front.ts" upwards: "node" is on floor 5, "." on floor 5.5',
    },
    {
      name: 'a file that does not exist',
      files: { 'util/b.ts': importing('./missing.ts') },
      fault: 'src/util/b.ts:1 imports "./missing.ts", which is no file of src',
    },
    {
      name: 'a folder without a floor',
      files: { 'helpers/b.ts': plain },
      fault: 'src/helpers/b.ts:1 lies in "helpers", which has no floor in the table',
    },
    {
      name: 'Node below the adapters',
      files: { 'client/b.ts': importing('node:fs') },
      fault: 'src/client/b.ts:1 imports "node:fs", but "client" runs on Web standards alone',
    },
    {
      name: 'Node without its prefix',
      files: { 'fetch/b.ts': importing('fs/promises') },
      fault: 'src/fetch/b.ts:1 imports "fs/promises", but "fetch" runs on Web standards alone',
    },
    {
      name: 'Node in the front door',
      files: { 'front.ts': importing('node:fs') },
      fault: 'src/front.ts:1 imports "node:fs", but "." runs on Web standards alone',
    },
    {
      name: 'the protocol engine outside oauth',
      files: { 'source/b.ts': importing('oauth4webapi') },
      fault: 'src/source/b.ts:1 imports "oauth4webapi", which belongs to oauth alone',
    },
    {
      name: 'the key library outside keys',
      files: { 'oauth/b.ts': "export type B = import('jose').JWK\n" },
      fault: 'src/oauth/b.ts:1 imports "jose", which belongs to keys alone',
    },
    {
      name: 'a bounded map where none belongs',
      files: { 'token/b.ts': "export { LRUCache } from 'lru-cache'\n" },
      fault: 'src/token/b.ts:1 imports "lru-cache", which belongs to source, client alone',
    },
    {
      name: 'a package that is no dependency',
      files: { 'util/b.ts': "export const b: Promise<unknown> = import('@scope/name/deep.js')\n" },
      fault: 'src/util/b.ts:1 imports "@scope/name", which is neither a dependency of the table nor a peer',
    },
    {
      name: 'a peer below the adapters',
      files: { 'client/b.ts': importing('undici') },
      fault: 'src/client/b.ts:1 imports the peer "undici", which only adapters may do',
    },
    {
      name: 'two peers in one adapter',
      files: { 'undici/a.ts': importing('undici'), 'undici/b.ts': importing('ioredis') },
      fault: 'src/undici imports 2 peers: ioredis, undici',
    },
    {
      name: 'an import that is computed',
      files: { 'util/b.ts': "const name = 'x'\nexport const b: Promise<unknown> = import(name)\n" },
      fault: 'src/util/b.ts:2 imports a computed specifier, which nothing can check',
    },
    {
      name: 'a statement in an index',
      files: { 'util/index.ts': plain },
      fault:
        'src/util/index.ts:1 holds a statement that is no export from another file; an index.ts holds nothing else',
    },
    {
      name: 'a re-export of everything',
      files: { 'util/index.ts': "export * from './a.ts'\n", 'util/a.ts': plain },
      fault: 'src/util/index.ts:1 re-exports everything of "./a.ts"; name the exports',
    },
    {
      name: 'a default export',
      files: { 'util/a.ts': 'export default 1\n' },
      fault: 'src/util/a.ts:1 has a default export; name it',
    },
    {
      name: 'a re-export as default',
      files: { 'util/index.ts': "export { a as default } from './a.ts'\n", 'util/a.ts': plain },
      fault: 'src/util/index.ts:1 has a default export; name it',
    },
    {
      name: 'a file of more than 300 lines',
      files: { 'util/a.ts': `${'\n'.repeat(300)}${plain}` },
      fault: 'src/util/a.ts has 301 lines; 300 are enough for one idea',
    },
    {
      name: 'a unit test of more than 300 lines',
      files: { 'util/a.test.ts': `${'\n'.repeat(300)}${plain}` },
      fault: 'src/util/a.test.ts has 301 lines; 300 are enough for one idea',
    },
    {
      name: 'the wall clock outside the clock',
      files: { 'token/a.ts': 'export const a: number = Date.now()\n' },
      fault: 'src/token/a.ts:1 reads the time with Date.now; only util/clock.ts does',
    },
    {
      name: 'the steady clock outside the clock',
      files: { 'token/a.ts': 'export const a: () => number = performance.now\n' },
      fault: 'src/token/a.ts:1 reads the time with performance.now; only util/clock.ts does',
    },
    {
      name: 'a date of the present',
      files: { 'token/a.ts': 'export const a: Date = new Date()\n' },
      fault: 'src/token/a.ts:1 reads the time with new Date(); only util/clock.ts does',
    },
    {
      name: 'weak randomness (A9.02)',
      files: { 'util/a.ts': 'export const a: number = Math.random()\n' },
      fault: 'src/util/a.ts:1 draws from Math.random; randomness comes from crypto',
    },
    {
      name: 'the console',
      files: { 'util/a.ts': "console.log('a')\n" },
      fault: 'src/util/a.ts:1 uses the console; what happens is told through telemetry',
    },
    {
      name: 'MD5 (A9.04)',
      files: { 'util/a.ts': "export const a: string = 'RSA-MD5'\n" },
      fault: 'src/util/a.ts:1 names a broken digest: "RSA-MD5"',
    },
    {
      name: 'SHA-1 (A9.04)',
      files: { 'util/a.ts': `export const a: string = \`sha-1\`\n` },
      fault: 'src/util/a.ts:1 names a broken digest: "sha-1"',
    },
    {
      name: 'work that is left',
      files: { 'util/a.ts': `/* ${'TODO'}: later */\n${plain}` },
      fault: 'src/util/a.ts:1 leaves work in a comment; an issue is the place for it',
    },
    {
      name: 'a reference directive',
      files: { 'util/a.ts': `/// <reference types="node" />\n${plain}` },
      fault: 'src/util/a.ts:1 holds a reference directive; tsconfig says what is in scope',
    },
  ]
  it.each(forbidden)('forbid $name', ({ files, fault }) => {
    expect(faultsOf(plan, files)).toEqual([fault])
  })
})
