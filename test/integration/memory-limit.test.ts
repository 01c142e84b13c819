import { createTokenManager, localLock, memoryStore, type TokenManagerOptions, type TokenStore } from 'evertoken'
import { dpopKeyRing } from 'evertoken/dpop'
import { describe, expect } from 'vitest'
import { clientOf, createRecorder, rejection, test } from '../support/fixtures.ts'
import { type HostileServer, tokenJson } from '../support/hostile-server.ts'
import { createTestKey } from '../support/keys.ts'
import type { TestClock } from '../support/test-clock.ts'

const LIMIT_MS = 60_000
const k1 = await createTestKey('ES256', 'k1')
const k2 = await createTestKey('ES256', 'k2')

type Options = Partial<Omit<TokenManagerOptions<Record<string, never>>, 'clients'>>

interface World {
  readonly server: HostileServer
  readonly clock: TestClock
}

/** A store that counts, and can be spoiled. */
interface SpoiltStore extends TokenStore {
  readonly calls: { get: number; set: number; delete: number }
  fails: { reads?: boolean; writes?: boolean }
}

function countingStore({ clock }: World): SpoiltStore {
  const inner = memoryStore({ clock })
  const calls = { get: 0, set: 0, delete: 0 }
  const store: SpoiltStore = {
    calls,
    fails: {},
    async get(key) {
      calls.get++
      if (store.fails.reads) throw new Error('no reads')
      return inner.get(key)
    },
    async set(key, value, expiresAt) {
      calls.set++
      if (store.fails.writes) throw new Error('no writes')
      return inner.set(key, value, expiresAt)
    },
    async delete(key) {
      calls.delete++
      if (store.fails.writes) throw new Error('no writes')
      return inner.delete(key)
    },
  }
  return store
}

/** Managers without news of each other, which share a store, as processes do. */
function fleet(size: number, { server, clock }: World, options: Options = {}) {
  const shared = { clock, store: memoryStore({ clock }), lock: localLock(), ...options }
  return Array.from({ length: size }, () => createTokenManager({ ...shared, clients: { api: clientOf(server) } }))
}

type Manager = ReturnType<typeof fleet>[number]

async function textOf(tokens: Manager | undefined): Promise<string | undefined> {
  return (await tokens?.getToken('api'))?.accessToken
}

describe('F6.11 memory is bounded where there is a store', () => {
  test('F6.11 a token that another process has deleted is given for no longer than a minute', async ({
    server,
    clock,
  }) => {
    const [one, other] = fleet(2, { server, clock })
    expect([await textOf(one), await textOf(other)]).toEqual(['token-1', 'token-1'])
    await one?.delete('api')
    await clock.advance(LIMIT_MS)
    expect(await textOf(other)).toBe('token-2')
    expect(await textOf(one)).toBe('token-2')
    expect(server.requests).toHaveLength(2)
  })

  test('F6.11 so is one that has been idle for long, and asks the store first', async ({ server, clock }) => {
    const [one, other] = fleet(2, { server, clock })
    await Promise.all([textOf(one), textOf(other)])
    await one?.delete('api')
    await clock.advance(50 * LIMIT_MS)
    expect(await textOf(other)).toBe('token-2')
  })

  test('F6.11 a token that another process has replaced is replaced here, and nobody waits for that', async ({
    server,
    clock,
  }) => {
    const world = { server, clock }
    const store = countingStore(world)
    const [one, other] = fleet(2, world, { store })
    const first = await one?.getToken('api')
    await other?.getToken('api')
    await one?.getToken('api', {}, { rejected: first as never })
    const before = store.calls.get
    await clock.advance(LIMIT_MS - 1)
    // Behind the caller, who gets what there is.
    expect(await textOf(other)).toBe('token-1')
    await expect.poll(() => textOf(other)).toBe('token-2')
    expect(store.calls.get - before).toBe(1)
    expect(server.requests).toHaveLength(2)
  })

  test('a token that still counts is asked about once a minute, and renewed when it would have been', async ({
    server,
    clock,
  }) => {
    const world = { server, clock }
    const store = countingStore(world)
    const [tokens] = fleet(1, world, { store })
    await textOf(tokens)
    const before = store.calls.get
    for (let minute = 0; minute < 50; minute++) {
      await clock.advance(LIMIT_MS)
      await Promise.all(Array.from({ length: 100 }, () => textOf(tokens)))
    }
    expect(store.calls.get - before).toBe(50)
    expect(server.requests).toHaveLength(1)
    // The soft edge of an hour's token is at 53 min 45 s at the earliest.
    await clock.advance(6 * LIMIT_MS)
    await textOf(tokens)
    await expect.poll(() => server.requests.length).toBe(2)
  })

  test.for([
    { name: 'has lost its entries', spoil: () => ({}), forgets: true },
    { name: 'fails', spoil: () => ({ reads: true, writes: true }), forgets: false },
    { name: 'takes no writes', spoil: () => ({ writes: true }), forgets: true },
  ])('C2 a store that $name is no reason to ask the server', async ({ spoil, forgets }, { server, clock }) => {
    const world = { server, clock }
    const store = countingStore(world)
    const [tokens] = fleet(1, world, {
      store: { ...store, get: (key) => (forgets && clock.now() > startedAt ? undefined : store.get(key)) },
    })
    const startedAt = clock.now()
    await textOf(tokens)
    store.fails = spoil()
    for (let minute = 0; minute < 50; minute++) {
      await clock.advance(LIMIT_MS)
      expect(await textOf(tokens)).toBe('token-1')
    }
    expect(server.requests).toHaveLength(1)
  })

  test('whoever is refused while the store is asked gets another token, and not the same again', async ({
    server,
    clock,
  }) => {
    const world = { server, clock }
    const inner = memoryStore({ clock })
    let open = (): void => {}
    let opened: Promise<void> | undefined
    const slow: TokenStore = {
      get: async (key) => {
        const text = inner.get(key)
        await opened
        return text
      },
      set: (key, value, expiresAt) => inner.set(key, value, expiresAt),
      delete: (key) => inner.delete(key),
    }
    const [tokens] = fleet(1, world, { store: slow })
    const first = await tokens?.getToken('api')
    opened = new Promise((resolve) => {
      open = resolve
    })
    await clock.advance(LIMIT_MS - 1)
    const behind = await textOf(tokens)
    const refused = tokens?.getToken('api', {}, { rejected: first as never })
    open()
    opened = undefined
    expect([behind, (await refused)?.accessToken, await textOf(tokens)]).toEqual(['token-1', 'token-2', 'token-2'])
    expect(server.requests).toHaveLength(2)
  })

  test('F3.07 a machine that sleeps while the store is asked hands out no dead token', async ({ server, clock }) => {
    const inner = memoryStore({ clock })
    let isAsleep = false
    const store: TokenStore = {
      ...inner,
      async get(key) {
        if (isAsleep) clock.leap(3_600_000)
        isAsleep = false
        return inner.get(key)
      },
    }
    const [tokens] = fleet(1, { server, clock }, { store })
    await textOf(tokens)
    await clock.advance(LIMIT_MS)
    isAsleep = true
    expect(await textOf(tokens)).toBe('token-2')
  })

  test('a deletion that is heard of while the server is down ends the token here too', async ({ server, clock }) => {
    const [one, other] = fleet(2, { server, clock })
    await Promise.all([textOf(one), textOf(other)])
    await one?.delete('api')
    server.answer = () => ({ status: 503, body: '' })
    await clock.advance(LIMIT_MS)
    const asked = server.nextRequest()
    const failing = other?.getToken('api')
    let isOver = false
    await asked
    failing?.catch(() => {}).finally(() => (isOver = true))
    while (!isOver) await clock.advance(500)
    await expect(failing).rejects.toMatchObject({ name: 'TokenEndpointError', status: 503 })
    server.answer = tokenJson()
    await clock.advance(LIMIT_MS)
    expect(await textOf(other)).toMatch(/^token-\d+$/)
  })

  test('`lifetime.memoryMs` says otherwise, for all clients or for one', async ({ server, clock }) => {
    const store = memoryStore({ clock })
    const clients = {
      brief: clientOf(server, { lifetime: { memoryMs: 1000 } }),
      long: clientOf(server, { scope: 'b' }),
    }
    const options = { clock, store, clients, lifetime: { memoryMs: 600_000 } }
    const [one, other] = [createTokenManager(options), createTokenManager(options)]
    for (const tokens of [one, other]) await Promise.all([tokens.getToken('brief'), tokens.getToken('long')])
    await one.delete()
    await clock.advance(1000)
    expect((await other.getToken('brief')).accessToken).toBe('token-3')
    expect((await other.getToken('long')).accessToken).toMatch(/^token-[12]$/)
    await clock.advance(600_000)
    expect((await other.getToken('long')).accessToken).toBe('token-4')
  })

  test('D8 a token of the key before is asked about under its own name', async ({ server, clock }) => {
    server.answer = tokenJson({ token_type: 'DPoP' })
    const store = memoryStore({ clock })
    const rings = [dpopKeyRing(k1.jwk, { clock }), dpopKeyRing(k1.jwk, { clock })]
    const [one, other] = rings.map((dpop) =>
      createTokenManager({ clock, store, clients: { api: clientOf(server, { dpop }) } }),
    )
    await Promise.all([one?.getToken('api'), other?.getToken('api')])
    const older = await rings[1]?.thumbprint()
    for (const ring of rings) ring.rotate(k2.jwk)
    await clock.advance(LIMIT_MS)
    expect((await other?.getToken('api'))?.jkt).toBe(older)
    await one?.delete('api')
    await clock.advance(LIMIT_MS)
    expect((await other?.getToken('api'))?.jkt).toBe(await rings[1]?.thumbprint())
  })
})

describe('F6.08 newer and older tokens', () => {
  /** A store that keeps what it is given, for good. */
  function plainStore(): { readonly store: TokenStore; readonly entries: Map<string, string> } {
    const entries = new Map<string, string>()
    const store: TokenStore = {
      get: (key) => entries.get(key),
      set: (key, value) => void entries.set(key, value),
      delete: (key) => void entries.delete(key),
    }
    return { store, entries }
  }

  test('F6.08 F6.12 a store that goes back to a refused token is put right, and nobody gets that one again', async ({
    server,
    clock,
  }) => {
    const { store, entries } = plainStore()
    const [one, other] = fleet(2, { server, clock }, { store })
    const first = await one?.getToken('api')
    const before = [...entries]
    await clock.advance(1000)
    await one?.getToken('api', {}, { rejected: first as never })
    // A replica that has not seen the last write takes over.
    for (const [key, value] of before) entries.set(key, value)
    await clock.advance(LIMIT_MS)
    expect(await textOf(one)).toBe('token-2')
    expect(await textOf(other)).toBe('token-2')
    expect(server.requests).toHaveLength(2)
  })

  test('F6.07 a store without writes does not bring a refused token back', async ({ server, clock }) => {
    const world = { server, clock }
    const store = countingStore(world)
    const [tokens] = fleet(1, world, { store })
    const first = await tokens?.getToken('api')
    store.fails = { writes: true }
    await clock.advance(1000)
    await tokens?.getToken('api', {}, { rejected: first as never })
    for (let minute = 0; minute < 20; minute++) {
      await clock.advance(LIMIT_MS)
      expect(await textOf(tokens)).toBe('token-2')
    }
    expect(server.requests).toHaveLength(2)
  })

  test('C2 M4 a store without writes does not bring back what this process has deleted, nor does an old mark end what came after it', async ({
    server,
    clock,
  }) => {
    const world = { server, clock }
    const store = countingStore(world)
    const [tokens] = fleet(1, world, { store })
    await textOf(tokens)
    store.fails = { writes: true }
    await tokens?.delete('api')
    expect(await textOf(tokens)).toBe('token-2')
    store.fails = {}
    await clock.advance(10_000)
    await tokens?.delete('api')
    store.fails = { writes: true }
    await clock.advance(10_000)
    expect(await textOf(tokens)).toBe('token-3')
    for (let minute = 0; minute < 20; minute++) {
      await clock.advance(LIMIT_MS)
      expect(await textOf(tokens)).toBe('token-3')
    }
    expect(server.requests).toHaveLength(3)
  })

  test('F6.08 a store that has lost a token gets it back from whoever has it', async ({ server, clock }) => {
    const { store, entries } = plainStore()
    const [one, other] = fleet(2, { server, clock }, { store })
    await textOf(one)
    entries.clear()
    await clock.advance(LIMIT_MS)
    await textOf(one)
    expect(await textOf(other)).toBe('token-1')
    // Whoever has been idle for longer than a mark lasts cannot tell a loss from a deletion.
    server.answer = tokenJson({ expires_in: 80_000 })
    await one?.getToken('api', {}, { forceRenewal: true })
    entries.clear()
    await clock.advance(65 * LIMIT_MS)
    expect(await textOf(one)).toBe('token-3')
  })

  test('one deletion is no affair of the tokens of others', async ({ server, clock }) => {
    const [one, other] = fleet(2, { server, clock })
    let open = (): void => {}
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    server.answer = async (request) => {
      await opened
      return tokenJson()(request)
    }
    const asking = Array.from({ length: 20 }, (_, n) => one?.getToken('api', { partition: `p${n}` }))
    await expect.poll(() => server.requests.length).toBe(20)
    await one?.delete('api', { partition: 'another' })
    open()
    await Promise.all(asking)
    await Promise.all(Array.from({ length: 20 }, (_, n) => other?.getToken('api', { partition: `p${n}` })))
    expect(server.requests).toHaveLength(20)
  })

  test('F6.11 a process that leaves the server alone finds what another one has got', async ({ server, clock }) => {
    const store = memoryStore({ clock })
    const [one] = fleet(1, { server, clock }, { store, lock: undefined })
    const [other] = fleet(1, { server, clock }, { store, lock: undefined })
    server.answer = () => ({ status: 429, headers: { 'retry-after': '60' }, body: '' })
    await rejection(Promise.resolve(one?.getToken('api')))
    server.answer = tokenJson()
    await textOf(other)
    await clock.advance(1000)
    expect(await textOf(one)).toBe('token-2')
    expect(server.requests).toHaveLength(2)
  })

  test('C6 a store that is down lets nobody queue for its lock', async ({ server, clock }) => {
    const world = { server, clock }
    const store = countingStore(world)
    store.fails = { reads: true, writes: true }
    let turns = 0
    const lock = localLock()
    const counted: typeof lock = (...args) => {
      turns++
      return lock(...args)
    }
    const fleetOf3 = fleet(3, world, { store, lock: counted })
    await Promise.all(fleetOf3.map(textOf))
    expect(turns).toBe(0)
    expect(server.requests).toHaveLength(3)
  })
})

describe('C4 own keys and own text in the store', () => {
  test('C4 a serializer makes the text, and reads it', async ({ server, clock }) => {
    const store = memoryStore({ clock })
    const texts: string[] = []
    const seen: TokenStore = {
      get: (key) => store.get(key),
      set: (key, value, expiresAt) => void [texts.push(value), store.set(key, value, expiresAt)],
      delete: (key) => store.delete(key),
    }
    const serializer = {
      stringify: (entry: object) => Buffer.from(JSON.stringify(entry)).toString('hex'),
      parse: (text: string): unknown => JSON.parse(Buffer.from(text, 'hex').toString()),
    }
    const [one, other] = fleet(2, { server, clock }, { store: seen, serializer })
    expect([await textOf(one), await textOf(other)]).toEqual(['token-1', 'token-1'])
    expect(texts).toEqual([expect.stringMatching(/^[0-9a-f]+$/)])
  })

  test.for([
    { name: 'throws', serializer: throwing() },
    { name: 'gives no text', serializer: { stringify: () => 1 as never, parse: () => undefined } },
  ])('C4 a serializer that $name costs the entry and no call', async ({ serializer }, { server, clock }) => {
    const recorder = createRecorder()
    const [one, other] = fleet(2, { server, clock }, { serializer, telemetry: recorder })
    expect([await textOf(one), await textOf(other)]).toEqual(['token-1', 'token-2'])
    expect(recorder.events).toContainEqual({ name: 'entry_ignored', reason: 'malformed' })
  })

  test('C4 a key maker names the entries', async ({ server, clock }) => {
    const store = memoryStore({ clock })
    const keys: string[] = []
    const seen: TokenStore = { ...store, set: (key, ...rest) => void [keys.push(key), store.set(key, ...rest)] }
    const told: unknown[] = []
    const [tokens] = fleet(
      1,
      { server, clock },
      {
        store: seen,
        storeKey(entry) {
          told.push(entry)
          return `${entry.clientName}/${entry.partition}/${entry.key}`
        },
      },
    )
    await tokens?.getToken('api', { scope: 'b a', resource: 'urn:x', partition: 'tenant' })
    expect(keys).toEqual([expect.stringMatching(/^api\/tenant\/[\w-]{43}$/)])
    const key = expect.stringMatching(/^[\w-]{43}$/)
    const parts = { scope: ['a', 'b'], resource: ['urn:x'], partition: 'tenant' }
    expect(told[0]).toEqual({ clientName: 'api', clientId: 'machine', ...parts, key })
  })

  test('C4 A1.03 a key maker that gives two tokens one key costs requests, and mixes nothing up', async ({
    server,
    clock,
  }) => {
    const [one, other] = fleet(2, { server, clock }, { storeKey: () => 'the same' })
    const a = await one?.getToken('api', { scope: 'a' })
    const b = await other?.getToken('api', { scope: 'b' })
    const again = await one?.getToken('api', { scope: 'b' })
    expect([a, b, again].map((token) => token?.accessToken)).toEqual(['token-1', 'token-2', 'token-2'])
    await one?.delete('api', { scope: 'a' })
    expect((await other?.getToken('api', { scope: 'a' }))?.accessToken).toBe('token-3')
  })

  test.for([
    { name: 'no text', storeKey: () => 1 as never },
    { name: 'an empty text', storeKey: () => '' },
    {
      name: 'an error',
      storeKey: () => {
        throw new Error('of-the-tenant')
      },
    },
  ])('C4 a key maker that gives $name is a mistake', async ({ storeKey }, { server, clock }) => {
    const [tokens] = fleet(1, { server, clock }, { storeKey })
    const error = await rejection(Promise.resolve(tokens?.getToken('api')))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'store_key_failed' })
    expect(error.message).not.toContain('of-the-tenant')
    expect(server.requests).toHaveLength(0)
  })

  test.for(['serializer', 'storeKey'] as const)('C4 %s without a store is a mistake', (option, { server }) => {
    const given = { serializer: JSON, storeKey: () => 'key' }[option]
    const clients = { api: clientOf(server) }
    expect(() => createTokenManager({ clients, [option]: given })).toThrow(/a store beside/)
    expect(() => createTokenManager({ clients, store: memoryStore(), [option]: 'odd' })).toThrow(option)
  })
})

describe('O1 where a token came from', () => {
  test('O1 memory, store, server, and memory although it is time', async ({ server, clock }) => {
    const recorder = createRecorder()
    const world = { server, clock }
    const [one, other] = fleet(2, world, { telemetry: recorder })
    await textOf(one)
    await textOf(one)
    await textOf(other)
    await clock.advance(57 * LIMIT_MS)
    await textOf(one)
    await expect.poll(() => server.requests.length).toBe(2)
    const tiers = recorder.outcomes.filter(({ operation }) => operation.name === 'token.get').map(({ cache }) => cache)
    expect(tiers).toEqual(['miss', 'l1', 'l2', 'stale'])
  })

  test('O1 waiting for a turn is an operation', async ({ server, clock }) => {
    const recorder = createRecorder()
    await Promise.all(fleet(2, { server, clock }, { telemetry: recorder }).map(textOf))
    const waits = recorder.outcomes.filter(({ operation }) => operation.name === 'lock.wait')
    expect(waits.map(({ operation, error }) => [operation, error])).toEqual([
      [{ name: 'lock.wait', lock: 'tokens' }, undefined],
      [{ name: 'lock.wait', lock: 'tokens' }, undefined],
    ])
  })
})

function throwing() {
  const fail = (): never => {
    throw new Error('of the serializer')
  }
  return { stringify: fail, parse: fail }
}
