import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { faultsOf, type SourceTexts } from './architecture/check.ts'
import type { House } from './architecture/house.ts'
import { manifest, root } from './support/manifest.ts'

const HOUSE: House = {
  floors: {
    util: 0,
    token: 1,
    telemetry: 1,
    keys: 2,
    store: 2,
    dpop: 2,
    oauth: 2,
    source: 3,
    resource: 3,
    client: 4,
    session: 4,
    'sign-in': 4,
    fetch: 4,
    undici: 5,
    axios: 5,
    got: 5,
    ky: 5,
    grpc: 5,
    express: 5,
    fastify: 5,
    hono: 5,
    next: 5,
    'stores/redis': 5,
    'stores/keyv': 5,
    'stores/postgres': 5,
    node: 5,
    otel: 5,
    diagnostics: 5,
    testing: 5,
    // The front door joins floors into the main entry point; only the command line stands above it.
    '.': 5.5,
    cli: 6,
  },
  beside: {
    // Client assertions and proofs are signed, and a signer is a key that knows nothing of either.
    oauth: ['keys'],
    // Nonces are shared through the stores that tokens are shared through.
    dpop: ['keys', 'store'],
    // Users are users of clients, which are defined in one way; and fetch needs nothing but authorizers.
    session: ['client', 'fetch'],
  },
  webFloor: 4,
  webFolders: ['fetch', '.'],
  adapterFloor: 5,
  packages: {
    oauth4webapi: ['oauth', 'sign-in'],
    jose: ['keys', 'session', 'sign-in'],
    'lru-cache': ['store', 'dpop', 'source', 'client', 'session'],
    '@opentelemetry/api': ['otel'],
  },
  peers: Object.keys(manifest.peerDependencies ?? {}),
  // Node has several parts that want a package of their own; each is loaded when the function that needs it is called.
  manyPeers: ['node'],
  // The command line works on the application's own configuration, which is a module of the application.
  loaders: ['cli/config-file.ts'],
}

describe('the house', () => {
  it('has every file of src on its floor and within the rules', () => {
    expect(faultsOf(HOUSE, sources())).toEqual([])
  })

  it('compiles what needs Node apart from what runs on Web standards', () => {
    const needsNode = [
      ...new Set(
        Object.entries(HOUSE.floors)
          .filter(([folder, floor]) => floor > HOUSE.webFloor && !HOUSE.webFolders.includes(folder))
          .map(([folder]) => `src/${folder.split('/')[0]}`),
      ),
    ].sort()
    const node = tsconfig('tsconfig.node.json')
    const web = tsconfig('tsconfig.web.json')
    expect(node.include).toEqual(needsNode)
    expect(web.exclude).toEqual(['src/**/*.test.ts', ...needsNode])
    expect(web.compilerOptions.types).toEqual([])
  })

  it('lets a folder lean on its neighbour in one direction only', () => {
    for (const [folder, neighbours] of Object.entries(HOUSE.beside)) {
      for (const neighbour of neighbours) {
        expect(HOUSE.floors[neighbour]).toBe(HOUSE.floors[folder])
        expect(HOUSE.beside[neighbour], `${neighbour} leans on nobody beside it`).toBeUndefined()
      }
    }
  })

  it('brings in no dependency that the table does not name', () => {
    for (const name of Object.keys(manifest.dependencies ?? {})) expect(HOUSE.packages, name).toHaveProperty(name)
    for (const peer of HOUSE.peers) expect(manifest.peerDependenciesMeta?.[peer]?.optional, peer).toBe(true)
  })
})

function sources(): SourceTexts {
  const paths = readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' }).map((path) =>
    path.replaceAll('\\', '/'),
  )
  const files = paths.filter((path) => path.endsWith('.ts')).sort()
  return Object.fromEntries(files.map((path) => [path, readFileSync(`${root}src/${path}`, 'utf8')]))
}

function tsconfig(name: string): {
  readonly include: readonly string[]
  readonly exclude: readonly string[]
  readonly compilerOptions: { readonly types: readonly string[] }
} {
  return JSON.parse(readFileSync(`${root}${name}`, 'utf8'))
}
