import { AsyncLocalStorage } from 'node:async_hooks'
import { clientSecretPost, createTokenManager, type Telemetry, type TelemetryEvent } from 'evertoken'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, vi } from 'vitest'
// Ends in .js because the compiler rewrites no .ts path into another project.
import { effectiveRequest, shapeOf } from '../../src/client/effective-request.js'
import { identityOf } from '../../src/client/store-entries.js'
import { canonicalText } from '../../src/util/canonical-text.js'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { errorJson, tokenJson } from '../support/hostile-server.ts'
import { openInterleaving, seededRandom } from '../support/interleaving.ts'
import { settle } from '../support/test-clock.ts'

describe('A1.01 A1.02 interleaved clients', () => {
  const SCHEDULES = 10_000
  /** Another run of chance: `ISOLATION_SEED=7 npx vitest run test/integration/isolation.test.ts`. */
  const seed = Number(process.env.ISOLATION_SEED ?? 20_260_101)

  // Jitter is drawn from crypto; here it follows the seed too, so that a failure can be played again.
  beforeEach(() => {
    const random = seededRandom(seed)
    vi.stubGlobal('crypto', {
      subtle: crypto.subtle,
      randomUUID: () => crypto.randomUUID(),
      getRandomValues(array: Uint32Array) {
        for (let i = 0; i < array.length; i++) array[i] = random() * 2 ** 32
        return array
      },
    })
  })
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  test('A1.01 A1.02 1,000 clients interleaved under a seeded scheduler, 10,000 schedules: no token ever reaches another client, scope, resource, parameter set or partition', {
    timeout: 300_000,
  }, async () => {
    await using interleaving = await openInterleaving({ clients: 1000, seed })
    for (let n = 0; n < SCHEDULES; n++) await interleaving.runSchedule(n)
    const { tokens, requests, faults, aborted, shared } = interleaving.counts
    // What was checked was worth checking.
    expect(tokens).toBeGreaterThan(4 * SCHEDULES)
    expect(requests).toBeGreaterThan(SCHEDULES)
    expect(shared).toBeGreaterThan(SCHEDULES)
    expect(Math.min(faults, aborted)).toBeGreaterThan(SCHEDULES / 20)
  })

  test('A1.01 a mix-up is caught, and its message names the seed', async () => {
    await using interleaving = await openInterleaving({ clients: 1000, seed, mixesUp: true })
    const run = async (): Promise<void> => {
      for (let n = 0; n < 1000; n++) await interleaving.runSchedule(n)
    }
    expect((await rejection(run())).message).toMatch(
      new RegExp(`^seed ${seed}, schedule \\d+: client-\\d+ at \\S+ asked for \\S+, got `),
    )
  })
})

describe('A1.03 keys', () => {
  const definition = {
    tokenEndpoint: 'https://as.example/token',
    clientId: 'machine',
    authentication: { method: 'none', apply() {} },
  }
  const key = (request: object): string => shapeOf(effectiveRequest('api', definition, request))

  const evil: readonly (readonly [string, object, object])[] = [
    ['a|b + c, a + b|c', { partition: 'a|b', scope: 'c' }, { partition: 'a', scope: 'b|c' }],
    ['a:: + c, a + ::c', { partition: 'a::', scope: 'c' }, { partition: 'a', scope: '::c' }],
    ['quotes that would end a string', { partition: '"],["x' }, { partition: '' }],
    ['NFC, NFD', { partition: 'caf\u00e9' }, { partition: 'cafe\u0301' }],
    ['NUL', { partition: 'a\u0000b' }, { partition: 'ab' }],
    ['NUL and its escape', { partition: '\u0000' }, { partition: '\\u0000' }],
    ['lone surrogates', { partition: '\ud800' }, { partition: '\ud801' }],
    ['empty, missing partition', { partition: '' }, {}],
    ['"null", missing partition', { partition: 'null' }, {}],
    ['"undefined", missing partition', { partition: 'undefined' }, {}],
    ['trailing space', { partition: 'a ' }, { partition: 'a' }],
    ['case of a partition', { partition: 'A' }, { partition: 'a' }],
    ['case of a scope', { scope: 'A' }, { scope: 'a' }],
    ['case of a resource path', { resource: 'https://a.example/X' }, { resource: 'https://a.example/x' }],
    ['case of a parameter name', { parameters: { A: '1' } }, { parameters: { a: '1' } }],
    ['two resources, one', { resource: ['urn:a', 'urn:b'] }, { resource: 'urn:a,urn:b' }],
    ['resource, audience parameter', { resource: 'urn:a' }, { parameters: { audience: 'urn:a' } }],
    ['parameter names and values', { parameters: { a: 'b', c: 'd' } }, { parameters: { a: 'd', c: 'b' } }],
    ['parameters joined', { parameters: { a: '1', b: '2' } }, { parameters: { a: '1,b,2' } }],
    ['__proto__ as a parameter', JSON.parse('{"parameters":{"__proto__":"x"}}'), {}],
    ['scope, partition', { scope: 'a' }, { partition: 'a' }],
  ]
  for (const [name, one, other] of evil) {
    test(`A1.03 ${name}: two keys`, () => {
      expect(key(one)).not.toBe(key(other))
    })
  }

  const equal: readonly (readonly [string, object, object])[] = [
    ['scope values in another order', { scope: 'a b' }, { scope: 'b a' }],
    ['a repeated scope value', { scope: 'a b a' }, { scope: 'a b' }],
    ['resources in another order', { resource: ['urn:a', 'urn:b'] }, { resource: ['urn:b', 'urn:a'] }],
    ['one resource, a list of it', { resource: 'urn:a' }, { resource: ['urn:a'] }],
    ['parameters in another order', { parameters: { a: '1', b: '2' } }, { parameters: { b: '2', a: '1' } }],
    ['an empty parameter, none: neither is sent', { parameters: { a: '' } }, {}],
    ['an empty scope, none', { scope: '' }, {}],
    ['context, which shapes no token by itself', { context: { user: 'a' } }, { context: { user: 'b' } }],
  ]
  for (const [name, one, other] of equal) {
    test(`A1.03 ${name}: one key`, () => {
      expect(key(one)).toBe(key(other))
    })
  }

  // Few pieces, so that pairs collide often if they can.
  const piece = fc.constantFrom('a', 'b', 'A', '|', ':', ',', 'null', '\\', '[', ']')
  const word = fc.array(piece, { minLength: 1, maxLength: 3 }).map((pieces) => pieces.join('').replaceAll('\\', '/'))
  const text = fc.oneof(
    fc
      .array(fc.oneof(piece, fc.constantFrom('"', ' ', '\u0000', 'é', 'e\u0301', '\ud800')), { maxLength: 3 })
      .map((pieces) => pieces.join('')),
    fc.string({ unit: 'binary', maxLength: 6 }),
  )
  const request = fc.record(
    {
      scope: fc.array(word, { maxLength: 3 }).map((values) => values.join(' ')),
      resource: fc.array(
        word.map((value) => `urn:x-${value}`),
        { maxLength: 3 },
      ),
      parameters: fc.dictionary(word, text, { maxKeys: 3 }),
      partition: text,
    },
    { requiredKeys: [] },
  )
  type Request = { scope?: string; resource?: string[]; parameters?: Record<string, string>; partition?: string }

  /** Whether two requests want the same token, said without any key. */
  function isSame(a: Request, b: Request): boolean {
    const sameSet = (x: readonly string[] = [], y: readonly string[] = []): boolean =>
      x.every((value) => y.includes(value)) && y.every((value) => x.includes(value))
    const sent = (parameters: Record<string, string> = {}): Map<string, string> =>
      new Map(Object.entries(parameters).filter(([, value]) => value !== ''))
    const [one, other] = [sent(a.parameters), sent(b.parameters)]
    return (
      sameSet(a.scope?.split(' ').filter(Boolean), b.scope?.split(' ').filter(Boolean)) &&
      sameSet(a.resource, b.resource) &&
      one.size === other.size &&
      [...one].every(([name, value]) => other.get(name) === value) &&
      a.partition === b.partition
    )
  }

  test('A1.03 two requests share a key exactly if they want the same token', () => {
    fc.assert(
      fc.property(request, request, (a, b) => (key(a) === key(b)) === isSame(a, b)),
      { numRuns: 50_000 },
    )
  })

  test('A1.03 one part changed: another key', () => {
    const part = fc.constantFrom('scope', 'resource', 'parameters', 'partition')
    fc.assert(
      fc.property(request, request, part, (a, b, name) => {
        const changed = { ...a, [name]: b[name] }
        return (key(a) === key(changed)) === isSame(a, changed)
      }),
      { numRuns: 50_000 },
    )
  })

  test('A1.03 a request in another order has the same key', () => {
    const reversed = ({ scope, resource, parameters, partition }: Request): object => ({
      ...(partition !== undefined && { partition }),
      ...(parameters !== undefined && { parameters: Object.fromEntries(Object.entries(parameters).reverse()) }),
      ...(resource !== undefined && { resource: [...resource].reverse() }),
      ...(scope !== undefined && { scope: scope.split(' ').reverse().join(' ') }),
    })
    fc.assert(fc.property(request, (a) => key(a) === key(reversed(a))))
  })

  test('A1.03 canonical text reads back as what it was made of', () => {
    const value = fc.letrec((tie) => ({
      node: fc.oneof(
        { maxDepth: 3 },
        text,
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('node'), { maxLength: 3 }),
      ),
    })).node
    fc.assert(
      fc.property(fc.array(value, { maxLength: 3 }), (values) => {
        expect(JSON.parse(canonicalText(values as never))).toEqual(values)
      }),
    )
  })

  test('A1.03 A1.04 names in a store differ by issuer, endpoint, client and what is accepted, and tell nothing', async () => {
    const tokenEndpoint = 'https://as.example/token'
    const issuer = 'https://as.example'
    const definitions = [
      definition,
      { ...definition, clientId: 'Machine' },
      { ...definition, clientId: 'machine ' },
      { ...definition, issuer },
      { ...definition, issuer: `${issuer}/` },
      { ...definition, tokenEndpoint: `${tokenEndpoint}/` },
      { issuer: tokenEndpoint, clientId: 'machine', authentication: definition.authentication },
      { ...definition, acceptNarrowedScope: true },
    ]
    const keys = await Promise.all(
      definitions.flatMap((each) => [key({}), key({ scope: 'a' })].map((shape) => identityOf(each, shape))),
    )
    expect(new Set(keys).size).toBe(keys.length)
    expect(keys.join(' ')).not.toMatch(/machine|example/)
  })
})

describe('A1.05 returned objects', () => {
  test('A1.05 a token does not change, whatever a caller tries, and neither does what others get', async ({
    manage,
  }) => {
    const tokens = manage({ scope: 'a b' })
    const token = await tokens.getToken('api')
    const before = { text: token.accessToken, type: token.tokenType, scope: token.scope, expiresAt: token.expiresAt }
    const open = token as unknown as Record<string, unknown>
    for (const name of ['accessToken', 'tokenType', 'scope', 'expiresAt', 'jkt', 'added']) {
      expect(() => {
        open[name] = 'changed'
      }, name).toThrow(TypeError)
      expect(() => Object.defineProperty(open, name, { value: 'changed' }), name).toThrow(TypeError)
      expect(Reflect.set(open, name, 'changed'), name).toBe(false)
    }
    expect(() => delete open.scope).toThrow(TypeError)
    expect(() => Object.setPrototypeOf(open, {})).toThrow(TypeError)
    expect(Object.isFrozen(token)).toBe(true)
    const next = await tokens.getToken('api')
    expect({ text: next.accessToken, type: next.tokenType, scope: next.scope, expiresAt: next.expiresAt }).toEqual(
      before,
    )
  })

  test('A1.05 changes to a request or a definition after the call change nothing', async ({ server }) => {
    const parameters: Record<string, string> = { tenant: '1' }
    const resource = ['urn:one']
    const definition = { ...clientOf(server), parameters: { audience: 'a' }, scope: 'a' }
    const tokens = createTokenManager({ clients: { api: definition } })
    const source = tokens.source('api', { parameters, resource })
    definition.parameters.audience = 'b'
    definition.scope = 'b'
    parameters.tenant = '2'
    resource[0] = 'urn:two'
    await source.getToken()
    expect(server.requests[0]?.form.get('tenant')).toBe('1')
    expect(server.requests[0]?.form.getAll('resource')).toEqual(['urn:one'])
    await tokens.getToken('api', { partition: 'x' })
    expect(server.requests.map(({ form }) => [form.get('audience'), form.get('scope')])).toEqual([
      ['a', 'a'],
      ['a', 'a'],
    ])
    await tokens.close()
  })

  test('A1.05 callers that share a failure get an error each', async ({ manage, server }) => {
    server.answer = () => errorJson(400, 'invalid_scope')
    const tokens = manage()
    const [one, other] = await Promise.all([rejection(tokens.getToken('api')), rejection(tokens.getToken('api'))])
    expect(one).not.toBe(other)
    one.message = 'changed'
    one.error = 'changed'
    expect((await rejection(tokens.getToken('api'))).error).toBe('invalid_scope')
    expect(other.error).toBe('invalid_scope')
    expect(server.requests).toHaveLength(1)
  })

  test('A1.05 headers of an attempt that are changed reach no other attempt', async ({ manage }) => {
    const authorizer = manage().authorizer('api', { origins: ['https://api.example'] })
    const target = { method: 'GET', url: new URL('https://api.example/') }
    const first = await authorizer.begin(target)
    Reflect.set(first.headers, 'authorization', 'changed')
    expect((await authorizer.begin(target)).headers.authorization).toBe('Bearer token-1')
  })
})

describe('A1.06 the context of callers', () => {
  interface Sight {
    readonly what: string
    readonly user: string | undefined
  }

  function watch(): {
    readonly users: AsyncLocalStorage<string>
    readonly seen: Sight[]
    readonly see: (what: string) => void
    readonly telemetry: Telemetry
    readonly fetch: typeof globalThis.fetch
  } {
    const users = new AsyncLocalStorage<string>()
    const seen: Sight[] = []
    const see = (what: string): void => void seen.push({ what, user: users.getStore() })
    return {
      users,
      seen,
      see,
      telemetry: {
        async run(operation, work) {
          // A look-up is its caller's own; what is shared is everything behind it.
          if (operation.name !== 'token.get') see(operation.name)
          return work({})
        },
        note: ({ name }: TelemetryEvent) => see(name),
      },
      fetch(input, init) {
        see('fetch')
        return fetch(input, init)
      },
    }
  }

  test('A1.06 shared work sees no caller, and each caller sees itself afterwards', async ({ manage }) => {
    const { users, seen, see, telemetry, fetch } = watch()
    const clientAssertion = (): undefined => see('service') as undefined
    const authentication = clientSecretPost(() => {
      see('secret')
      return 'a-long-enough-secret'
    })
    const store = { get: () => see('store.get') as undefined, set: () => see('store.set'), delete: () => {} }
    const tokens = manage({ authentication }, { fetch, telemetry, clientAssertion, store })
    const after = await Promise.all(
      ['ann', 'bob', 'cyd'].map((user) =>
        users.run(user, async () => {
          await tokens.getToken('api')
          return users.getStore()
        }),
      ),
    )
    expect(after).toEqual(['ann', 'bob', 'cyd'])
    expect(new Set(seen.map(({ what }) => what))).toEqual(
      new Set(['service', 'secret', 'fetch', 'store.get', 'store.set', 'token.request']),
    )
    expect(seen.filter(({ user }) => user !== undefined)).toEqual([])
  })

  test('A1.06 a renewal behind the caller and the note of its failure carry nobody', async ({
    manage,
    clock,
    server,
  }) => {
    const { users, seen, telemetry, fetch } = watch()
    const tokens = manage({}, { fetch, telemetry })
    await users.run('ann', () => tokens.getToken('api'))
    server.answer = () => errorJson(400, 'invalid_scope')
    await clock.advance(3_590_000 - 180_000)
    const came = server.nextRequest()
    await users.run('bob', () => tokens.getToken('api'))
    await came
    await vi.waitUntil(() => seen.some(({ what }) => what === 'renewal_failed'), { interval: 1 })
    expect(seen.filter(({ user }) => user !== undefined)).toEqual([])
  })

  test('A1.06 the manager that is made inside a request is not bound to it', async ({ server }) => {
    const { users, seen, telemetry, fetch } = watch()
    const tokens = users.run('ann', () => createTokenManager({ clients: { api: clientOf(server) }, fetch, telemetry }))
    await users.run('bob', () => tokens.getToken('api'))
    await tokens.close()
    // Whoever made the manager is the only one that shared work may see.
    expect(seen.filter(({ user }) => user === 'bob')).toEqual([])
  })

  test('A1.06 discovery and a failure that is shared carry nobody either', async ({ server }) => {
    const { users, seen, telemetry, fetch } = watch()
    server.answer = () => errorJson(404, 'nowhere')
    const { tokenEndpoint: _, ...definition } = clientOf(server, { issuer: server.origin })
    const tokens = createTokenManager({ clients: { api: { ...definition } }, fetch, telemetry })
    const after = await Promise.all(
      ['ann', 'bob'].map((user) =>
        users.run(user, async () => {
          await rejection(tokens.getToken('api'))
          return users.getStore()
        }),
      ),
    )
    await tokens.close()
    expect(after).toEqual(['ann', 'bob'])
    expect(seen.filter(({ what }) => what === 'fetch')).not.toEqual([])
    expect(seen.filter(({ user }) => user !== undefined)).toEqual([])
  })
})

describe('A1.07 no state of the module', () => {
  test('A1.07 two managers with equal options share no token, no failure and no end', async ({ manage, server }) => {
    const one = manage()
    const other = manage()
    const tokens = [await one.getToken('api'), await other.getToken('api')]
    expect(tokens.map(({ accessToken }) => accessToken)).toEqual(['token-1', 'token-2'])
    expect(server.requests).toHaveLength(2)

    await one.delete()
    expect(await other.getToken('api')).toBe(tokens[1])
    await one.close()
    expect(await other.getToken('api')).toBe(tokens[1])

    const third = manage()
    server.answer = () => errorJson(400, 'invalid_scope')
    await rejection(third.getToken('api'))
    server.answer = tokenJson()
    expect((await manage().getToken('api')).accessToken).toMatch(/^token-/)
  })

  test('A1.07 outages that one manager saw do not close the way of another', async ({ manage, server }) => {
    server.answer = () => errorJson(503, 'server_error', {})
    const one = manage({}, { fetch: async () => new Response(null, { status: 503, headers: { 'retry-after': '1' } }) })
    for (let n = 0; n < 6; n++) await rejection(one.getToken('api', { partition: String(n) }))
    expect((await rejection(one.getToken('api', { partition: 'last' }))).code).toBe('circuit_open')
    server.answer = tokenJson()
    expect((await manage().getToken('api')).accessToken).toBe('token-1')
  })

  test('A1.07 no partition is a partition of its own, not everybody’s', async ({ manage }) => {
    const tokens = manage()
    const all = await Promise.all([
      tokens.getToken('api'),
      tokens.getToken('api', { partition: '' }),
      tokens.getToken('api', { partition: 'undefined' }),
      tokens.getToken('api', { partition: 'null' }),
    ])
    expect(new Set(all.map(({ accessToken }) => accessToken)).size).toBe(4)
    await settle()
  })

  for (const partition of [null, 7, {}]) {
    test(`A1.07 the partition ${JSON.stringify(partition)} is refused`, async ({ manage, server }) => {
      // @ts-expect-error a partition is a text
      const error = await rejection(manage().getToken('api', { partition }))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'option_invalid' })
      expect(server.requests).toHaveLength(0)
    })
  }
})
