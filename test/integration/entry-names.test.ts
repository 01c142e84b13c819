import { type ClientDefinition, none } from 'evertoken'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
// Ends in .js because the compiler rewrites no .ts path into another project.
import { effectiveRequest, shapeOf } from '../../src/client/effective-request.js'
import { identityOf } from '../../src/client/store-entries.js'
import { seededRandom } from '../support/interleaving.ts'

/** Every request is held against every other one: so many make 4.5 * 10^10 pairs. */
const REQUESTS = 300_000
const NAMES = 100_000
const HASHED = 10_000
/** Another run of chance: `NAMES_SEED=7 npx vitest run test/integration/entry-names.test.ts`. */
const SEED = Number(process.env.NAMES_SEED ?? 20_260_102)

interface Request {
  readonly scope?: string
  readonly resource?: readonly string[]
  readonly parameters?: Readonly<Record<string, string>>
  readonly partition?: string
}

/** What may stand in a scope value, a resource or the name of a parameter; few, so that texts meet. */
const WORDS = ['a', 'b', 'A', 'ab', '|', 'a|b', '::', 'a::', ',', '[', ']', 'null', '0', '1:a', '()']
/** What may stand in a value or a partition. */
const TEXTS = [...WORDS, '', ' ', 'a ', '"', '","', '\\', '\\u0000', '\0', 'é', 'e\u0301', '\ud800', '\ud801', '\u202e']

const definition: ClientDefinition = {
  tokenEndpoint: 'https://as.example/token',
  clientId: 'machine',
  authentication: none(),
}

/** Draws from a seed. */
function drawer(seed: number) {
  const random = seededRandom(seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  const pick = (from: readonly string[]): string => from[below(from.length)] ?? ''
  const some = (from: readonly string[], most: number): readonly string[] =>
    Array.from({ length: below(most + 1) }, () => pick(from))
  const joined = (from: readonly string[]): string => some(from, 2).join('')
  const maybe = <T>(make: () => T): T | undefined => (random() < 0.6 ? make() : undefined)
  const request = (): Request => ({
    ...defined(
      'scope',
      maybe(() => some(WORDS, 2).join(' ')),
    ),
    ...defined(
      'resource',
      maybe(() => some(WORDS, 2).map((word) => `urn:x-${word}`)),
    ),
    ...defined(
      'parameters',
      maybe(() => Object.fromEntries(some(WORDS, 2).map((name) => [name, joined(TEXTS)]))),
    ),
    ...defined(
      'partition',
      maybe(() => joined(TEXTS)),
    ),
  })
  return { random, below, pick, request, joined, maybe }
}

function defined(name: string, value: unknown): object {
  return value === undefined ? {} : { [name]: value }
}

/** What a request wants, spelled with the length of everything before it: nothing to forge, and nothing of JSON. */
function spelled({ scope = '', resource = [], parameters = {}, partition }: Request): string {
  const set = (values: readonly string[]): readonly string[] => [...new Set(values)].sort()
  const sent = Object.entries(parameters).filter(([, value]) => value !== '')
  return [
    list(set(scope.split(' ').filter(Boolean))),
    list(set(resource)),
    list(sent.sort(([a], [b]) => (a < b ? -1 : 1)).flat()),
    list(partition === undefined ? [] : [partition]),
  ].join('')
}

function list(texts: readonly string[]): string {
  return `${texts.length}(${texts.map((text) => `${text.length}:${text}`).join('')})`
}

/** Takes pairs of a name and what is named; tells of the first name that is used twice, and of the first thing with two names. */
function register(): { add(name: string, thing: string): void; readonly size: number; readonly faults: string[] } {
  const [things, names, faults] = [new Map<string, string>(), new Map<string, string>(), [] as string[]]
  return {
    faults,
    get size() {
      return things.size
    },
    add(name, thing) {
      const known = things.get(name)
      if (known !== undefined && known !== thing) faults.push(`${name} names ${known} and ${thing}`)
      const before = names.get(thing)
      if (before !== undefined && before !== name) faults.push(`${thing} is named ${before} and ${name}`)
      things.set(name, thing)
      names.set(thing, name)
    },
  }
}

describe('A1.03 A1.01 names of entries', () => {
  test(`A1.03 of ${REQUESTS} requests each two have one name exactly if they want the same token: ${(REQUESTS ** 2 / 2).toExponential(0)} pairs`, {
    timeout: 120_000,
  }, () => {
    const { request } = drawer(SEED)
    const registered = register()
    for (let n = 0; n < REQUESTS; n++) {
      const drawn = request()
      registered.add(shapeOf(effectiveRequest('api', definition, drawn)), spelled(drawn))
    }
    expect(registered.faults.slice(0, 3)).toEqual([])
    // Many met, and many differed.
    expect(registered.size).toBeGreaterThan(REQUESTS / 10)
    expect(registered.size).toBeLessThan((REQUESTS * 9) / 10)
  })

  /** Everything that a name in a store is made of. */
  function drawName({ pick, joined, maybe, random, below, request }: ReturnType<typeof drawer>): {
    readonly name: Promise<string>
    readonly thing: string
  } {
    const urls = ['https://as.example', 'https://as.example/', 'https://as.example/token', 'https://AS.example']
    const [issuer, tokenEndpoint] = [maybe(() => pick(urls)), maybe(() => pick(urls))]
    const [clientId, jkt, thumbprint] = [joined(TEXTS), maybe(() => joined(TEXTS)), maybe(() => joined(TEXTS))]
    const acceptNarrowedScope = random() < 0.3
    // Most of them want the same, so that what differs is the client.
    const wanted = below(4) === 0 ? request() : {}
    const certificate = thumbprint === undefined ? undefined : { thumbprint }
    const described = { issuer, tokenEndpoint, clientId, acceptNarrowedScope, certificate } as ClientDefinition
    const shape = shapeOf(effectiveRequest('api', definition, wanted))
    const optional = [issuer, tokenEndpoint, jkt, thumbprint].map((text) => list(text === undefined ? [] : [text]))
    return {
      name: identityOf(described, shape, jkt),
      thing: [...optional, list([clientId, String(acceptNarrowedScope)]), spelled(wanted)].join(''),
    }
  }

  describe('before they are hashed', () => {
    beforeEach(() => {
      // The name is then the text itself; SHA-256 is trusted.
      vi.stubGlobal('crypto', { subtle: { digest: async (_algorithm: string, bytes: Uint8Array) => bytes } })
    })
    afterEach(() => {
      vi.unstubAllGlobals()
    })

    test(`A1.03 A1.04 of ${NAMES} names in a store each two are equal exactly if issuer, endpoint, client, key, certificate and request are`, {
      timeout: 120_000,
    }, async () => {
      const drawn = drawer(SEED + 1)
      const registered = register()
      for (let n = 0; n < NAMES; n++) {
        const { name, thing } = drawName(drawn)
        registered.add(await name, thing)
      }
      expect(registered.faults.slice(0, 3)).toEqual([])
      expect(registered.size).toBeGreaterThan(NAMES / 10)
      expect(registered.size).toBeLessThan((NAMES * 9) / 10)
    })
  })

  test('A1.03 A2.03 names in a store are 256 bits that tell nothing', async () => {
    const drawn = drawer(SEED + 2)
    const registered = register()
    for (let n = 0; n < HASHED; n++) {
      const { name, thing } = drawName(drawn)
      expect(await name).toMatch(/^[\w-]{43}$/)
      registered.add(await name, thing)
    }
    expect(registered.faults.slice(0, 3)).toEqual([])
  })

  const apart: readonly (readonly [string, Request, Request])[] = [
    ['a|b + c, a + b|c', { partition: 'a|b', scope: 'c' }, { partition: 'a', scope: 'b|c' }],
    ['NFC, NFD', { partition: 'é' }, { partition: 'e\u0301' }],
    ['case', { partition: 'user' }, { partition: 'User' }],
    ['a trailing space', { partition: 'user' }, { partition: 'user ' }],
    ['::', { partition: 'a::b' }, { partition: 'a', parameters: { b: '::' } }],
    ['NUL', { partition: 'a\0' }, { partition: 'a' }],
    ['empty, missing', { partition: '' }, {}],
    ['one resource with a comma, two', { resource: ['urn:a,urn:b'] }, { resource: ['urn:a', 'urn:b'] }],
    ['["a b"], ["a","b"]', { parameters: { a: 'a b' } }, { parameters: { a: 'a', b: 'b' } }],
    ['half surrogates', { partition: '\ud800' }, { partition: '\ud801' }],
  ]
  test.each(apart)('A1.03 %s: two names in a store', async (_name, one, other) => {
    const names = [one, other].map((each) => identityOf(definition, shapeOf(effectiveRequest('api', definition, each))))
    expect(await names[0]).not.toBe(await names[1])
  })
})
