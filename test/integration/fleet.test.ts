import {
  createTokenManager,
  type Invalidations,
  localLock,
  memoryStore,
  type TokenManagerOptions,
  type TokenStore,
  type WithLock,
} from 'evertoken'
import { describe, expect } from 'vitest'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { errorJson, type HostileServer, tokenJson } from '../support/hostile-server.ts'
import type { TestClock } from '../support/test-clock.ts'

type Manager = ReturnType<typeof fleet>[number]
type Options = Partial<Omit<TokenManagerOptions<Record<string, never>>, 'clients'>>

/** Managers that share a store and a lock, as processes do. */
function fleet(
  size: number,
  { server, clock }: { readonly server: HostileServer; readonly clock: TestClock },
  options: Options = {},
) {
  const store = memoryStore({ clock })
  const lock = localLock()
  return Array.from({ length: size }, () =>
    createTokenManager({ clock, store, lock, ...options, clients: { api: clientOf(server) } }),
  )
}

describe('C5 one token request in a fleet', () => {
  test('C5 F5.18 4 processes, 1,000 cold calls each: one token request, one token', async ({ server, clock }) => {
    const processes = fleet(4, { server, clock })
    const tokens = await Promise.all(
      processes.flatMap((tokens) => Array.from({ length: 1000 }, () => tokens.getToken('api'))),
    )
    expect(new Set(tokens.map(({ accessToken }) => accessToken))).toEqual(new Set(['token-1']))
    expect(server.requests).toHaveLength(1)
  })

  test('C5 M12 20 lifetimes under load: one request for each', async ({ server, clock }) => {
    server.answer = tokenJson({ expires_in: 60 })
    const processes = fleet(4, { server, clock })
    for (let life = 0; life < 20; life++) {
      const before = server.requests.length
      const got = await Promise.all(processes.map((tokens) => tokens.getToken('api')))
      expect(new Set(got.map(({ accessToken }) => accessToken)).size).toBe(1)
      expect(server.requests.length - before).toBe(1)
      await clock.advance(60_000)
    }
  })

  test('C7 F6.12 fifty refusals in each of 4 processes: one renewal', async ({ server, clock }) => {
    const processes = fleet(4, { server, clock })
    const rejected = await Promise.all(processes.map((tokens) => tokens.getToken('api')))
    const renewed = await Promise.all(
      processes.flatMap((tokens, n) =>
        Array.from({ length: 50 }, () => tokens.getToken('api', {}, { rejected: rejected[n] as never })),
      ),
    )
    expect(new Set(renewed.map(({ accessToken }) => accessToken))).toEqual(new Set(['token-2']))
    expect(server.requests).toHaveLength(2)
  })

  test('C5 the next one to hold the lock asks again when the first one failed', async ({ server, clock }) => {
    server.answer = (request) => (request.n === 1 ? errorJson(400, 'invalid_scope') : tokenJson()(request))
    const processes = fleet(3, { server, clock })
    const answers = await Promise.allSettled(processes.map((tokens) => tokens.getToken('api')))
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    expect(server.requests).toHaveLength(2)
  })
})

describe('F6.11 what one process forgets the others forget', () => {
  /** News between managers of one process, who like processes do not hear themselves. */
  function bus(): () => Invalidations {
    const listeners = new Set<(key: string) => void>()
    return () => {
      let own: ((key: string) => void) | undefined
      return {
        publish(key) {
          for (const listener of listeners) if (listener !== own) listener(key)
        },
        subscribe(onKey) {
          own = onKey
          listeners.add(onKey)
          return () => listeners.delete(onKey)
        },
      }
    }
  }

  function connected(size: number, fixtures: { readonly server: HostileServer; readonly clock: TestClock }) {
    const connect = bus()
    const options = { store: memoryStore({ clock: fixtures.clock }), lock: localLock() }
    return Array.from(
      { length: size },
      () => fleet(1, fixtures, { ...options, invalidations: connect() })[0] as Manager,
    )
  }

  test('F6.11 a token that one deletes is given by nobody any more', async ({ server, clock }) => {
    const processes = connected(3, { server, clock })
    for (const tokens of processes) await tokens.getToken('api')
    await processes[0]?.delete('api')
    const again = await Promise.all(processes.map((tokens) => tokens.getToken('api')))
    expect(new Set(again.map(({ accessToken }) => accessToken))).toEqual(new Set(['token-2']))
    expect(server.requests).toHaveLength(2)
  })

  test('F6.11 F6.12 a token that one has seen refused is given by nobody any more', async ({ server, clock }) => {
    const processes = connected(3, { server, clock })
    const [first] = await Promise.all(processes.map((tokens) => tokens.getToken('api')))
    await processes[0]?.getToken('api', {}, { rejected: first as never })
    const again = await Promise.all(processes.map((tokens) => tokens.getToken('api')))
    expect(new Set(again.map(({ accessToken }) => accessToken))).toEqual(new Set(['token-2']))
    expect(server.requests).toHaveLength(2)
  })

  test('C7 F6.12 news that is heard while one looks for the new token: it looks again, and asks nobody', async ({
    server,
    clock,
  }) => {
    const store = memoryStore({ clock })
    let news = ''
    let hear = (_key: string): void => {}
    const telling: Invalidations = {
      publish: (key) => {
        news = key
      },
      subscribe: () => () => {},
    }
    const hearing: Invalidations = {
      publish: () => {},
      subscribe(onKey) {
        hear = onKey
        return () => {}
      },
    }
    const slow: TokenStore = {
      ...store,
      async get(key) {
        const found = await store.get(key)
        if (news !== '') hear(news)
        news = ''
        return found
      },
    }
    const lock = localLock()
    const [one] = fleet(1, { server, clock }, { store, lock, invalidations: telling })
    const [other] = fleet(1, { server, clock }, { store: slow, lock, invalidations: hearing })
    const rejected = await one?.getToken('api')
    await other?.getToken('api')
    // The other one has looked in vain and waits for its turn when the new token comes.
    const renewed = await Promise.all([one, other].map((tokens) => tokens?.getToken('api', {}, { rejected })))
    expect(news).toBe('')
    expect(renewed.map((token) => token?.accessToken)).toEqual(['token-2', 'token-2'])
    expect(server.requests).toHaveLength(2)
  })

  test('C7 F6.12 a refused token that others still look for does not come back to whoever names it', async ({
    server,
    clock,
  }) => {
    let forget = (_key: string): void => {}
    let name = ''
    const store = memoryStore({ clock })
    const keeping = {
      ...store,
      set(key: string, value: string, expiresAt: number) {
        name = key
        return store.set(key, value, expiresAt)
      },
    }
    const invalidations: Invalidations = {
      publish: () => {},
      subscribe(onKey) {
        forget = onKey
        return () => {}
      },
    }
    const [tokens] = fleet(1, { server, clock }, { store: keeping, invalidations })
    const rejected = await tokens?.getToken('api')
    // The memory is empty, the store is not.
    forget(name)
    const got = await Promise.all([tokens?.getToken('api'), tokens?.getToken('api', {}, { rejected })])
    expect(got.map((token) => token?.accessToken)).toEqual(['token-1', 'token-2'])
  })

  test('F6.12 a refusal that joins a renewal under way is told to the others too', async ({ server, clock }) => {
    const told: string[] = []
    const invalidations: Invalidations = { publish: (key) => void told.push(key), subscribe: () => () => {} }
    const [tokens] = fleet(1, { server, clock }, { invalidations })
    const rejected = await tokens?.getToken('api')
    const forced = tokens?.getToken('api', {}, { forceRenewal: true })
    await Promise.all([forced, tokens?.getToken('api', {}, { rejected })])
    await expect.poll(() => told.length).toBe(1)
  })

  test("F6.11 news of the client's own token is heard, however many other names there are", async ({
    server,
    clock,
  }) => {
    let hear = (_key: string): void => {}
    const names: string[] = []
    const inner = memoryStore({ clock })
    const store: TokenStore = {
      ...inner,
      set: (key, ...rest) => void [names.push(key), inner.set(key, ...rest)],
    }
    const invalidations: Invalidations = {
      publish: () => {},
      subscribe(onKey) {
        hear = onKey
        return () => {}
      },
    }
    const [tokens] = fleet(1, { server, clock }, { store, invalidations, maxEntries: 10 })
    await tokens?.getToken('api')
    for (let n = 0; n < 10; n++) await tokens?.getToken('api', { partition: String(n) })
    await inner.delete(names[0] ?? '')
    hear(names[0] ?? '')
    expect((await tokens?.getToken('api'))?.accessToken).toBe('token-12')
  })

  test.for([
    { name: 'subscribe', broken: { subscribe: throwing, publish: () => {} } },
    { name: 'publish', broken: { subscribe: () => () => {}, publish: throwing } },
    { name: 'its end', broken: { subscribe: () => throwing, publish: () => {} } },
  ])('F6.11 news whose $name fails costs no token, and no close', async ({ broken }, { server, clock }) => {
    const [tokens] = fleet(1, { server, clock }, { invalidations: broken })
    expect((await tokens?.getToken('api'))?.accessToken).toBe('token-1')
    await tokens?.delete('api')
    expect((await tokens?.getToken('api'))?.accessToken).toBe('token-2')
    await tokens?.close()
    expect(await rejection(Promise.resolve(tokens?.getToken('api')))).toMatchObject({ code: 'closed' })
  })

  test('F6.12 news does not end the patience with a server, nor the request that is under way', async ({
    server,
    clock,
  }) => {
    let hear = (_key: string): void => {}
    const names: string[] = []
    const inner = memoryStore({ clock })
    const store: TokenStore = { ...inner, get: (key) => void names.push(key) }
    const invalidations: Invalidations = {
      publish: () => {},
      subscribe(onKey) {
        hear = onKey
        return () => {}
      },
    }
    const [tokens] = fleet(1, { server, clock }, { store, invalidations, lock: undefined })
    server.answer = () => ({ status: 429, headers: { 'retry-after': '60' }, body: '' })
    await rejection(Promise.resolve(tokens?.getToken('api')))
    for (let n = 0; n < 10; n++) {
      hear(names[0] ?? '')
      await rejection(Promise.resolve(tokens?.getToken('api')))
    }
    expect(server.requests).toHaveLength(1)
  })

  test('M12 a renewal in time is no news: the others go on without waiting', async ({ server, clock }) => {
    const told: string[] = []
    const silent: Invalidations = { publish: (key) => void told.push(key), subscribe: () => () => {} }
    const [tokens] = fleet(1, { server, clock }, { invalidations: silent })
    await tokens?.getToken('api')
    await clock.advance(3_500_000)
    await tokens?.getToken('api')
    await expect.poll(() => server.requests.length).toBe(2)
    await tokens?.close()
    expect(told).toEqual([])
  })

  test('F8.02 a manager listens from its first token to its end', async ({ server, clock }) => {
    let isListening = false
    const invalidations: Invalidations = {
      publish: () => {},
      subscribe() {
        isListening = true
        return () => {
          isListening = false
        }
      },
    }
    const [tokens] = fleet(1, { server, clock }, { invalidations })
    expect(isListening).toBe(false)
    await tokens?.getToken('api')
    expect(isListening).toBe(true)
    await tokens?.close()
    expect(isListening).toBe(false)
  })
})

describe('C6 F7 a lock that is not to be had', () => {
  const down: WithLock = () => Promise.reject(new Error('no lock service'))

  test('F7.05 down: each process asks for itself, and one event tells', async ({ server, clock, recorder }) => {
    const [first] = fleet(1, { server, clock }, { lock: down, telemetry: recorder })
    for (let n = 0; n < 3; n++) await first?.getToken('api', {}, { forceRenewal: true })
    expect(server.requests).toHaveLength(3)
    expect(recorder.events).toEqual([{ name: 'lock_down', error: 'Error' }])
  })

  test('C6 F7.01 held by somebody who is gone: waited for, then done without, well before the deadline', async ({
    server,
    clock,
    recorder,
  }) => {
    let asked = (): void => {}
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve
    })
    const held: WithLock = (_name, _task, options) =>
      new Promise((_resolve, reject) => {
        options?.signal?.addEventListener('abort', () => reject(options.signal?.reason))
        asked()
      })
    const [tokens] = fleet(1, { server, clock }, { lock: held, telemetry: recorder })
    const waiting = tokens?.getToken('api')
    await isAsked
    await clock.advance(7000)
    expect((await waiting)?.accessToken).toBe('token-1')
    expect(recorder.events).toEqual([{ name: 'lock_down', error: 'lock_timeout' }])
  })

  test('C6 held by somebody who is gone, by a lock that does not listen: done without, and once', async ({
    server,
    clock,
  }) => {
    let giveTurn = (): Promise<unknown> => Promise.resolve()
    let asked = (): void => {}
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve
    })
    const deaf: WithLock = (_name, task) =>
      new Promise(() => {
        giveTurn = async () => task()
        asked()
      })
    const [tokens] = fleet(1, { server, clock }, { lock: deaf })
    const waiting = tokens?.getToken('api')
    await isAsked
    await clock.advance(7000)
    expect((await waiting)?.accessToken).toBe('token-1')
    expect(await rejection(giveTurn())).toMatchObject({ code: 'lock_timeout' })
    expect(server.requests).toHaveLength(1)
  })

  test.for([
    { name: 'finds the newer token, and gives that one', isCutOff: false, got: 'token-2' },
    { name: 'has lost store and lock meanwhile, and keeps its token to itself', isCutOff: true, got: 'token-1' },
  ])('C6 F7.02 a holder that comes back late $name', async ({ isCutOff, got }, { server, clock }) => {
    const inner = memoryStore({ clock })
    const writes: string[] = []
    let isDown = false
    const store: TokenStore = {
      ...inner,
      get: (key) => (isDown ? undefined : inner.get(key)),
      set: (key, value, expiresAt) => void [writes.push(value), inner.set(key, value, expiresAt)],
    }
    let lose = (): void => {}
    const lock: WithLock = (_name, task, { onLost = () => {} } = {}) => {
      lose = onLost
      return task()
    }
    let open = (): void => {}
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    server.answer = async (request) => {
      if (request.n === 1) await opened
      return tokenJson()(request)
    }
    const [late] = fleet(1, { server, clock }, { store, lock })
    const [other] = fleet(1, { server, clock }, { store: inner, lock: localLock() })
    const asked = server.nextRequest()
    const waiting = late?.getToken('api')
    await asked
    await clock.advance(6000)
    await other?.getToken('api')
    isDown = isCutOff
    if (isCutOff) lose()
    open()
    expect((await waiting)?.accessToken).toBe(got)
    expect(writes).toEqual([])
  })

  test('C6 F7.04 a lock that cannot be given back: the token that was got under it is not lost', async ({
    server,
    clock,
    recorder,
  }) => {
    const sticky: WithLock = async (_name, task) => {
      await task()
      throw new Error('the lock service went away')
    }
    const [tokens] = fleet(1, { server, clock }, { lock: sticky, telemetry: recorder })
    expect((await tokens?.getToken('api'))?.accessToken).toBe('token-1')
    expect(server.requests).toHaveLength(1)
    expect(recorder.events).toEqual([])
  })

  test('C6 a request that fails under the lock is not made again without it', async ({ server, clock, recorder }) => {
    server.answer = () => errorJson(401, 'invalid_client')
    const [tokens] = fleet(1, { server, clock }, { telemetry: recorder })
    expect(await rejection(tokens?.getToken('api') as Promise<unknown>)).toMatchObject({ code: 'client_refused' })
    expect(server.requests).toHaveLength(1)
    expect(recorder.events).toEqual([])
  })

  test('C6 it is back: an event tells, and one process asks for all again', async ({ server, clock, recorder }) => {
    const good = localLock()
    let lock: WithLock = down
    const changing: WithLock = (...held) => lock(...held)
    const [tokens] = fleet(1, { server, clock }, { lock: changing, telemetry: recorder })
    await tokens?.getToken('api')
    lock = good
    await tokens?.getToken('api', {}, { forceRenewal: true })
    expect(recorder.events.map(({ name }) => name)).toEqual(['lock_down', 'lock_up'])
  })

  test('a lock without a store is a mistake', ({ server, clock }) => {
    expect(() => fleet(1, { server, clock }, { store: undefined })).toThrow(
      expect.objectContaining({ name: 'ConfigurationError', code: 'option_invalid' }),
    )
  })
})

function throwing(): never {
  throw new Error('of the news')
}
